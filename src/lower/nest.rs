//! Nests: structured code over virtual registers and word-addressed memory, in which nothing is left to decide.
//!
//! Invariants:
//! * every element in memory is one 8-byte word (real as f64, int as i64, bool as 0 or 1);
//! * a register may be assigned more than once (loops, branches); lane registers live inside one segment only;
//! * every slot is whole groups of 8 words, at least one;
//! * every address is in bounds: what the lowering could not prove it guards with [`Node::InBounds`] and a select.

use crate::ir::core::{Noise, Scalar};
use crate::ir::op::Op;

/// Lanes per iteration of a segment's vector loop.
pub const WIDTH: usize = 4;
/// Accumulator lanes of a strip index: part of Core's meaning.
pub const LANES: usize = 4;

/// A virtual register of a routine; index into [`Routine::regs`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Reg(pub u32);

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Operand {
    Reg(Reg),
    Real(f64),
    Int(i64),
    Bool(bool),
}

/// What an address is relative to; offsets are words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Base {
    /// The program's one frame: inputs, outputs, what outlives a top-level statement.
    Frame,
    /// Memory of the running thread, reused by every top-level statement.
    Scratch,
    /// A data input.
    Data(usize),
}

/// A word address: base, constant offset, and registers times strides.
#[derive(Clone, PartialEq, Debug)]
pub struct Place {
    pub base: Base,
    pub offset: i64,
    pub index: Vec<(Operand, i64)>,
}

/// How values meet in an accumulator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fold {
    Sum,
    Max,
    Min,
    All,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Node {
    /// An inline scalar operation.
    Op {
        result: Reg,
        op: Op,
        args: Vec<Operand>,
    },
    Copy {
        result: Reg,
        value: Operand,
    },
    /// `result = acc fold value`, all scalars.
    Fold {
        result: Reg,
        fold: Fold,
        scalar: Scalar,
        acc: Operand,
        value: Operand,
    },
    /// `0 <= index < extent`.
    InBounds {
        result: Reg,
        index: Operand,
        extent: usize,
    },
    /// The accumulator lane of an element: `index mod 4`.
    Lane {
        result: Reg,
        index: Operand,
    },
    Load {
        result: Reg,
        place: Place,
    },
    Store {
        place: Place,
        scalar: Scalar,
        value: Operand,
    },
    /// `index` goes through `0..count`, or backwards.
    Loop {
        index: Reg,
        count: Operand,
        reverse: bool,
        body: Vec<Node>,
    },
    If {
        condition: Operand,
        then: Vec<Node>,
        otherwise: Vec<Node>,
    },
    Segment(Segment),
    /// A vector-math kernel over a strip of `count` elements (rounded up to whole groups of 8).
    Kernel {
        op: Op,
        inputs: Vec<Place>,
        output: Place,
        count: Operand,
    },
    /// The same kernel on one element.
    Call {
        result: Reg,
        op: Op,
        args: Vec<Operand>,
    },
    Draw {
        result: Reg,
        noise: Noise,
        site: u32,
        args: Vec<Operand>,
        index: Operand,
    },
    /// Draw number `index + stride * e`, or the number in strip `at`, to element `e` of a strip.
    DrawStrip {
        noise: Noise,
        site: u32,
        args: Vec<Place>,
        index: Operand,
        stride: i64,
        at: Option<Place>,
        output: Place,
        count: Operand,
    },
    /// Copies `count` words.
    Move {
        from: Place,
        to: Place,
        count: usize,
    },
    Fill {
        to: Place,
        scalar: Scalar,
        value: Operand,
        count: usize,
    },
    Linear(Linear),
    /// If false: the step's status names `check`.
    Check {
        ok: Operand,
        check: u32,
    },
    /// If false: the step's status is `Domain`.
    Domain {
        ok: Operand,
    },
    /// Runs a task for each of `count` chunks, on the pool.
    Parallel {
        task: usize,
        count: usize,
    },
}

/// A whole-array routine of the runtime. Extents are in elements, arrays contiguous and row-major.
#[derive(Clone, PartialEq, Debug)]
pub enum Linear {
    Cholesky {
        n: usize,
        a: Place,
        result: Place,
    },
    /// `m` right-hand sides, row-major `[n, m]`.
    SolveLower {
        n: usize,
        m: usize,
        transposed: bool,
        l: Place,
        b: Place,
        result: Place,
    },
    Sort {
        n: usize,
        scalar: Scalar,
        a: Place,
        result: Place,
    },
    /// Members of `0..of` for this step.
    Subset {
        of: usize,
        take: usize,
        plate: u32,
        result: Place,
    },
    RowsDot {
        rows: Operand,
        d: usize,
        x: Place,
        b: Place,
        result: Place,
    },
    /// Adds to `result`.
    RowsAxpy {
        rows: Operand,
        d: usize,
        x: Place,
        r: Place,
        result: Place,
    },
    /// `result[m, n] = a[m, k] b[k, n]`, with strides of rows and columns.
    Gemm {
        m: usize,
        k: usize,
        n: usize,
        a: Place,
        a_strides: (i64, i64),
        b: Place,
        b_strides: (i64, i64),
        result: Place,
        result_strides: (i64, i64),
    },
}

/// A loop over the elements of one strip: whole groups of lanes, then the rest one by one.
#[derive(Clone, PartialEq, Debug)]
pub struct Segment {
    /// Elements; not negative.
    pub count: Operand,
    pub tail: Tail,
    pub body: Vec<LaneNode>,
}

/// What becomes of elements beyond the last whole group of lanes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tail {
    /// There are none.
    None,
    /// Done one by one.
    Elements,
    /// Done as a whole group: memory has room for it. Accumulators take the elements there are (then `count` is a
    /// constant).
    Padded,
}

/// Operation on the element `e` of a strip (on `WIDTH` of them at once). Operands that are not lane registers are
/// the same for each lane.
#[derive(Clone, PartialEq, Debug)]
pub enum LaneNode {
    Op {
        result: Reg,
        op: Op,
        args: Vec<Operand>,
    },
    /// `base + coefficient * e`.
    Position {
        result: Reg,
        base: Operand,
        coefficient: i64,
    },
    /// The word at `place + stride * e`.
    Load {
        result: Reg,
        place: Place,
        stride: i64,
    },
    /// `padded`: whole groups may be written.
    Store {
        place: Place,
        stride: i64,
        scalar: Scalar,
        value: Operand,
        padded: bool,
    },
    /// The word at `place + stride * e + Σ index * stride`; where an index with an extent is not below it, 0 and status
    /// `Domain`.
    Gather {
        result: Reg,
        place: Place,
        stride: i64,
        index: Vec<LaneIndex>,
    },
    /// `value` is added to the word there, unless out of bounds (status `Domain`).
    Scatter {
        place: Place,
        stride: i64,
        index: Vec<LaneIndex>,
        scalar: Scalar,
        value: Operand,
    },
    /// Element `e` meets word `e mod 4` at `place`; the strip starts at a multiple of 4.
    Accumulate {
        place: Place,
        fold: Fold,
        scalar: Scalar,
        value: Operand,
    },
    Check {
        ok: Operand,
        check: u32,
    },
    Domain {
        ok: Operand,
    },
}

#[derive(Clone, PartialEq, Debug)]
pub struct LaneIndex {
    pub index: Operand,
    pub stride: i64,
    /// The extent, if the index has to be tested against it.
    pub extent: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RegInfo {
    pub scalar: Scalar,
    pub lanes: bool,
}

/// Code that is one machine function.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Routine {
    pub regs: Vec<RegInfo>,
    pub body: Vec<Node>,
    /// For a task: the chunk's number.
    pub chunk: Option<Reg>,
}

/// Where the frame holds an input or an output: first word, words, type of an element.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    pub offset: usize,
    pub len: usize,
    pub scalar: Scalar,
}

/// A lowered program.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Nests {
    pub setup: Routine,
    pub step: Routine,
    pub tasks: Vec<Routine>,
    /// Words of the frame and of one thread's scratch.
    pub frame: usize,
    pub scratch: usize,
    /// Words of the frame that hold constants.
    pub constants: Vec<(usize, Vec<u64>)>,
    pub data: Vec<(String, crate::ir::core::Type)>,
    pub params: Vec<Span>,
    pub tuned: Vec<Span>,
    pub states: Vec<Span>,
    pub outputs: Vec<Span>,
}

impl Place {
    pub fn new(base: Base, offset: usize) -> Place {
        Place { base, offset: i64::try_from(offset).unwrap_or(i64::MAX), index: Vec::new() }
    }

    /// The place `operand * stride` words further.
    pub fn at(&self, operand: Operand, stride: i64) -> Place {
        let mut place = self.clone();
        match operand {
            Operand::Int(i) => place.offset = place.offset.wrapping_add(i.wrapping_mul(stride)),
            _ => place.index.push((operand, stride)),
        }
        place
    }

    pub fn plus(&self, words: usize) -> Place {
        self.at(Operand::Int(i64::try_from(words).unwrap_or(i64::MAX)), 1)
    }
}

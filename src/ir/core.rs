//! The definition of Core: eight kinds of statement over single-assignment variables, with regions.
//!
//! Invariants (the validator checks each after every pass):
//! * every variable is defined once, before its uses, in a region that encloses them;
//! * types agree with [`super::op::Op`]'s table and the rules written at each statement; extents are concrete;
//! * iterations of a [`For`] do not depend on each other; a [`Loop`] is in order;
//! * a [`Draw`] is a pure function of (seed, step, site, index): cloning one or moving it changes nothing, and no pass
//!   changes its `site` or the value of its `index`;
//! * [`Stmt::Sample`] and [`Stmt::Term`] stand only in Core with sites (between `specialize` and `estimate`);
//! * after the strip pass every outermost `for` that folds has a strip index; the order of its sums is then part of
//!   the meaning (see [`For::strip`]).

use super::op::Op;
use crate::base::source::Span;

/// A variable; index into [`Program::vars`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Var(pub u32);

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Scalar {
    Real,
    Int,
    Bool,
}

/// A scalar (`shape` empty) or a row-major array with concrete extents.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Type {
    pub scalar: Scalar,
    pub shape: Vec<usize>,
}

/// An operand: a variable or a scalar constant.
#[derive(Clone, Copy, Debug)]
pub enum Atom {
    Var(Var),
    Real(f64),
    Int(i64),
    Bool(bool),
}

/// Equal bits: NaN equals itself, 0.0 differs from -0.0.
impl PartialEq for Atom {
    fn eq(&self, other: &Atom) -> bool {
        match (self, other) {
            (Atom::Var(a), Atom::Var(b)) => a == b,
            (Atom::Real(a), Atom::Real(b)) => a.to_bits() == b.to_bits(),
            (Atom::Int(a), Atom::Int(b)) => a == b,
            (Atom::Bool(a), Atom::Bool(b)) => a == b,
            _ => false,
        }
    }
}
impl Eq for Atom {}
impl std::hash::Hash for Atom {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Atom::Var(v) => v.hash(state),
            Atom::Real(x) => x.to_bits().hash(state),
            Atom::Int(i) => i.hash(state),
            Atom::Bool(b) => b.hash(state),
        }
    }
}

/// A region: statements, then the atoms it yields to the statement that owns it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Block {
    pub stmts: Vec<Stmt>,
    pub results: Vec<Atom>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Stmt {
    /// `r = op(a, b, …)`, operands scalars (but the array of `read`, and `stop`, which also takes an array).
    Op {
        result: Var,
        op: Op,
        args: Vec<Atom>,
    },
    For(For),
    Loop(Loop),
    If(If),
    Contract(Contract),
    /// An array primitive.
    Array {
        results: Vec<Var>,
        prim: Prim,
        args: Vec<Atom>,
    },
    Draw(Draw),
    /// If `ok` is false the step's status names check `check` of [`Program::checks`]; of several that fail the one with
    /// the lowest number is reported, and before `Status::Domain`. It has no result and is never removed, but may be hoisted with its operand.
    Check {
        ok: Atom,
        check: u32,
    },
    /// Only in Core with sites: a random variable, not yet given an estimator. See [`Sample`].
    Sample(Sample),
    /// Only in Core with sites: adds a real scalar to the objective, under the loops and conditions it stands in.
    Term(Atom),
}

/// `(r…) = for i<n, j<m { body } yield c e, …`. Independent iterations. `body.results` has one atom per collector.
#[derive(Clone, Debug, PartialEq)]
pub struct For {
    pub results: Vec<Var>,
    /// Index variables (int scalars) and their extents, outermost first. At least one.
    pub indices: Vec<(Var, usize)>,
    pub body: Block,
    pub collectors: Vec<Collector>,
    /// `None`: every sum runs in index order, innermost index first (an inner sum is complete before it is added to
    /// the outer one), each starting from 0.0. `Some(k)`, only on a `for` at top level or directly in a top-level
    /// `loop`'s body: as above, but index `k` is the strip index: its elements are added into 4 lanes, element `i` into
    /// lane `i mod 4`, each lane from 0.0, and combined as (0+2)+(1+3); and index 0 is cut in chunks of
    /// `chunk_size(n)` elements, whose totals are added in order from 0.0 (if `k == 0` lanes are combined at
    /// each chunk's end). `sum_at` accumulates per chunk in index order, chunks added in order. Max and min and all
    /// have no order.
    pub strip: Option<usize>,
}

/// max(1024, n/64 rounded up to a multiple of 256).
pub fn chunk_size(n: usize) -> usize {
    n.div_ceil(64).div_ceil(256).saturating_mul(256).max(1024)
}

#[derive(Clone, Debug, PartialEq)]
pub enum Collector {
    /// Array over all loop indices (then the yielded value's own axes).
    Collect,
    /// Sum over all indices but those in `keep` (positions, ascending); the result has one axis per kept index, then
    /// the yielded value's own axes (added element-wise). Real, or int (wrapping).
    Sum {
        keep: Vec<usize>,
    },
    /// Real or int scalar over all indices; of nothing -inf / the least int.
    Max,
    Min,
    /// Conjunction of bools.
    All,
    /// `sum_at(idx…; shape)`: an array of `shape` (then the value's own axes), zero but where added to. Index atoms are
    /// ints of the body; out of bounds is a run-time status.
    SumAt {
        index: Vec<Atom>,
        shape: Vec<usize>,
    },
}

/// `loop t<n (s = init) { body } yield …`: in order (backwards if `reverse`), carried values of any type.
/// `body.results` = the next value of each carried variable, then one atom per collector.
#[derive(Clone, Debug, PartialEq)]
pub struct Loop {
    /// Final value of each carried variable, then one per collector.
    pub results: Vec<Var>,
    pub index: Var,
    pub extent: usize,
    /// Variable in the body, and its first value.
    pub carried: Vec<(Var, Atom)>,
    pub body: Block,
    /// Any of `Collect` (stored at the iteration's own index, also when reversed), `Sum { keep: [] }` (in execution
    /// order), `SumAt`.
    pub collectors: Vec<Collector>,
    pub reverse: bool,
}

/// Only the taken branch runs. Results of the two blocks agree in type.
#[derive(Clone, Debug, PartialEq)]
pub struct If {
    pub results: Vec<Var>,
    pub condition: Atom,
    pub then: Block,
    pub otherwise: Block,
}

/// `r = contract{ab,bc->ac}(A, B)`: sum over the labels that are not in `out` of the product of elements.
/// No label occurs twice in one operand or in `out`; every label of `out` occurs in an operand.
#[derive(Clone, Debug, PartialEq)]
pub struct Contract {
    pub result: Var,
    pub a: Atom,
    pub b: Atom,
    pub a_labels: Vec<u8>,
    pub b_labels: Vec<u8>,
    pub out: Vec<u8>,
    /// Set by `opt/`; fixes the order of the sums. `None`: as `Loops`.
    pub kind: Option<ContractKind>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum ContractKind {
    /// Generated loops: output elements in order, summed labels in order of first occurrence (a, then b), innermost
    /// last, each dot product from 0.0, one multiplication then one addition (`fma` is not used).
    Loops,
    /// Matrix A[rows, d] streamed once by strips of rows: `rows_dot` for `ij,j->i`, `rows_axpy` for `ij,i->j`; order as
    /// the runtime's row kernels define it, sums over rows by chunks of `chunk_size(rows)`, each from 0.0, whose totals
    /// are added in order from 0.0.
    Rows,
    /// The runtime's `gemm` on whole operands.
    Gemm,
}

/// Array primitives. Operand and result shapes are written at each.
#[derive(Clone, Debug, PartialEq)]
pub enum Prim {
    /// `[n, n] -> [n, n]`, reads the lower triangle, the upper one of the result is 0. A pivot that is not positive
    /// gives NaN from there on, and a status.
    Cholesky,
    /// `(L[n, n], b[n] or b[n, m])`: solves `L x = b`, or `Lᵀ x = b` if `transposed`; reads the lower triangle.
    SolveLower { transposed: bool },
    /// Running sum along the only axis; from the end if `reverse`.
    CumSum { reverse: bool },
    /// Arrays of equal shape but for `axis`.
    Concat { axis: usize },
    /// n values of one type (scalars or arrays of equal shape) to an array with a new first axis of extent n.
    Stack,
    /// Same elements in row-major order, another shape.
    Reshape { shape: Vec<usize> },
    /// `[n] -> [n]` ascending; NaN last.
    Sort,
    /// An array whose elements all are the scalar operand.
    Fill { shape: Vec<usize> },
    /// A constant array, row-major (ints and bools as their value).
    Const { data: std::sync::Arc<[f64]>, ty: Type },
    /// `() -> int[take]`: distinct members of `0..of`, a function of (seed, step, plate) alone. Steps go through a permutation of
    /// `0..of`, `take` at a time, then through the next one. Never in `setup`.
    Subset { of: usize, take: usize, plate: u32 },
}

/// A native random primitive: a scalar that is a function of (seed, step, site, index).
#[derive(Clone, Debug, PartialEq)]
pub struct Draw {
    pub result: Var,
    pub noise: Noise,
    /// As many reals as [`Noise::operands`].
    pub args: Vec<Atom>,
    /// Site and draw number, given by the specialiser.
    pub site: u32,
    /// (index, extent) over all enclosing loops at the place where the sample statement stood, outermost first; the
    /// counter's index is row-major over them.
    pub index: Vec<(Atom, usize)>,
    /// If given (a bool) and true, the draw is mirrored: -ε for a normal, 1-u for a uniform. Antithetic pairs share
    /// `index`.
    pub mirror: Option<Atom>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Noise {
    Normal,
    /// In (0, 1), never 0 or 1; 53 bits.
    Uniform,
    /// -log of a uniform.
    Exponential,
    /// Logarithm of a gamma variate of scale 1; operand: its shape. In logarithms since small shapes underflow.
    LogGamma,
    /// A count as a real; operand: its mean.
    Poisson,
    /// A count as a real; operands: trials (a whole number) and the probability of success.
    Binomial,
}

impl Noise {
    /// Every primitive, with its name in Core's text form.
    pub const ALL: [(Noise, &'static str); 6] = [
        (Noise::Normal, "normal"),
        (Noise::Uniform, "uniform"),
        (Noise::Exponential, "exponential"),
        (Noise::LogGamma, "log_gamma"),
        (Noise::Poisson, "poisson"),
        (Noise::Binomial, "binomial"),
    ];

    pub fn operands(self) -> usize {
        match self {
            Noise::Normal | Noise::Uniform | Noise::Exponential => 0,
            Noise::LogGamma | Noise::Poisson => 1,
            Noise::Binomial => 2,
        }
    }

    /// Whether the draw is a smooth function of its operands (with the counter held).
    pub fn is_smooth(self) -> bool {
        self == Noise::LogGamma
    }

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(noise, _)| *noise == self).map_or("", |(_, name)| name)
    }
}

/// `r… = sample#site d(…) by s(…)`: only in Core with sites. `entry` is a key into the table of distribution and
/// strategy bodies that `specialize` hands to `estimate` beside the program; `args` are all Core atoms those bodies
/// mention, in the table's order, so def-use sees them.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub results: Vec<Var>,
    pub site: u32,
    pub entry: u32,
    pub args: Vec<Atom>,
    /// As in [`Draw::index`].
    pub index: Vec<(Atom, usize)>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct VarInfo {
    pub ty: Type,
    /// A hint for printing; need not be unique.
    pub name: Option<String>,
    /// The expression of the user's file that it was made for.
    pub span: Option<Span>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Role {
    /// Bound once; the only inputs that `setup` may read.
    Data,
    /// Read at each step, differentiated.
    Param,
    /// Read at each step; has a gradient of its own objective.
    Tuned,
    /// Memory of strategies, read at a step's start and written at its end.
    State,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    pub var: Var,
    pub role: Role,
    pub name: String,
}

/// What a check is about, for the message when it fails at run time.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckInfo {
    pub message: String,
    pub span: Option<Span>,
}

/// One program. `step` reads inputs and what `setup` defined. `step.results` are the outputs, named in `outputs`: any
/// types; after `ad` the first is the value, then one gradient per `Param` input in order of the inputs, then the
/// objective of tuned parameters' gradients, then the next states.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Program {
    pub vars: Vec<VarInfo>,
    pub inputs: Vec<Input>,
    pub setup: Vec<Stmt>,
    pub step: Block,
    pub outputs: Vec<String>,
    pub checks: Vec<CheckInfo>,
    /// First values of states and tuned parameters that a strategy declares, row-major, by input.
    pub initial: Vec<(Var, Vec<f64>)>,
    /// What new variables are made for.
    pub here: Option<Span>,
}

impl Type {
    pub const REAL: Type = Type { scalar: Scalar::Real, shape: Vec::new() };
    pub const INT: Type = Type { scalar: Scalar::Int, shape: Vec::new() };
    pub const BOOL: Type = Type { scalar: Scalar::Bool, shape: Vec::new() };

    pub fn array(scalar: Scalar, shape: impl Into<Vec<usize>>) -> Type {
        Type { scalar, shape: shape.into() }
    }

    pub fn size(&self) -> usize {
        self.shape.iter().product()
    }

    pub fn is_scalar(&self) -> bool {
        self.shape.is_empty()
    }
}

impl Program {
    pub fn new_var(&mut self, ty: Type, name: Option<&str>) -> Var {
        let var = Var(u32::try_from(self.vars.len()).unwrap_or(u32::MAX));
        self.vars.push(VarInfo { ty, name: name.map(str::to_owned), span: self.here });
        var
    }

    pub fn ty(&self, var: Var) -> &Type {
        &self.vars[var.0 as usize].ty
    }

    pub fn atom_type(&self, atom: Atom) -> Type {
        match atom {
            Atom::Var(v) => self.ty(v).clone(),
            Atom::Real(_) => Type::REAL,
            Atom::Int(_) => Type::INT,
            Atom::Bool(_) => Type::BOOL,
        }
    }

    /// Inputs of one role, in order: the layout of the flat vector of that role.
    pub fn inputs_of(&self, role: Role) -> impl Iterator<Item = &Input> {
        self.inputs.iter().filter(move |i| i.role == role)
    }
}

impl From<Var> for Atom {
    fn from(v: Var) -> Atom {
        Atom::Var(v)
    }
}

impl Atom {
    pub fn var(self) -> Option<Var> {
        match self {
            Atom::Var(v) => Some(v),
            _ => None,
        }
    }
}

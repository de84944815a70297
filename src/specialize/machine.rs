//! The partial evaluator's state: the Core program being made, the region that statements go to, enclosing loops, cells
//! of `var`s, frames of generative functions, and what is known of variables (intervals, affine forms of ints).
//!
//! Every operation goes through [`Machine::op`], which folds literals exactly as Core would compute them.

use super::clause::PlateSet;
use super::generative::Frame;
use super::gradient::Gradient;
use super::memory::Memory;
use super::sites::SiteDescription;
use super::strategy::{CallRecord, Current, SiteEntry};
use super::types::TypeValue;
use super::value::{Env, Known, Value};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::ir::core::{
    Atom, Block, CheckInfo, Collector, Draw, For, Input, Noise, Prim, Program, Role, Scalar, Stmt, Type, Var,
};
use crate::ir::op::Op;
use crate::types::program::{Checked, ItemId};
use std::collections::HashMap;
use std::rc::Rc;

/// Why evaluation stopped.
#[derive(Debug)]
pub(super) enum Fail {
    Error(Box<Diagnostic>),
    /// The loop whose index is `index` must hand the address' value of `offset` iterations ago on.
    Window {
        index: Var,
        name: String,
        offset: usize,
        position: usize,
        dims: Vec<Atom>,
    },
    /// The loop whose index is `index` can only be written out.
    Unroll {
        index: Var,
        reason: Box<Diagnostic>,
    },
}

pub(super) type R<T> = Result<T, Fail>;

impl From<Diagnostic> for Fail {
    fn from(d: Diagnostic) -> Fail {
        Fail::Error(Box::new(d))
    }
}

impl Fail {
    pub(super) fn into_diagnostic(self) -> Diagnostic {
        match self {
            Fail::Error(d) => *d,
            Fail::Unroll { reason, .. } => *reason,
            Fail::Window { name, .. } => {
                Diagnostic::bare("E0390", format!("`{name}` is read at an iteration that does not exist"))
            }
        }
    }
}

pub(super) fn unsupported<T>(span: Span, what: impl Into<String>) -> R<T> {
    Err(Diagnostic::error("E0290", span, format!("{} is not supported yet", what.into())).into())
}

pub(super) fn refuse<T>(span: Span, message: impl Into<String>) -> R<T> {
    Err(Diagnostic::error("E0390", span, message).into())
}

/// What is bound: data and constants by item.
#[derive(Clone, Debug, Default)]
pub(super) struct Bindings {
    pub data: HashMap<ItemId, Rc<Known>>,
    pub consts: HashMap<ItemId, Constant>,
    /// How `grad` differentiates.
    pub gradient: Option<Gradient>,
}

/// The value of a `const`.
#[derive(Clone, Debug)]
pub(super) enum Constant {
    Leaf(Rc<Known>),
    Tuple(Vec<Constant>),
    Record(Vec<(String, Constant)>),
}

impl Constant {
    pub(super) fn has_missing(&self) -> bool {
        match self {
            Constant::Leaf(k) => k.has_missing(),
            Constant::Tuple(items) => items.iter().any(Constant::has_missing),
            Constant::Record(fields) => fields.iter().any(|(_, c)| c.has_missing()),
        }
    }

    /// The record of leaves with these paths, whose first segment is its own name.
    pub(super) fn of_leaves(leaves: Vec<(String, Rc<Known>)>) -> Constant {
        let mut fields: Vec<(String, Vec<(String, Rc<Known>)>)> = Vec::new();
        for (path, leaf) in leaves {
            let Some((_, rest)) = path.split_once('.') else { return Constant::Leaf(leaf) };
            let head = rest.split('.').next().unwrap_or(rest).to_owned();
            let inner = (rest.to_owned(), leaf);
            match fields.iter_mut().find(|(n, _)| *n == head) {
                Some((_, list)) => list.push(inner),
                None => fields.push((head, vec![inner])),
            }
        }
        Constant::Record(fields.into_iter().map(|(n, list)| (n, Constant::of_leaves(list))).collect())
    }
}

/// How parameters enter a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Space {
    /// Inputs are the parameters on the unconstrained space; the bijectors of their supports are part of the program.
    Unconstrained,
    /// Inputs are the declared values.
    Constrained,
}

/// What becomes of a sample statement that is simulated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SiteForm {
    /// A site, for `estimate` to eliminate.
    Keep,
    /// A plain draw: right in value, without the strategy's derivative.
    Draw,
}

/// What is known of a variable.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fact {
    /// Every element lies in `lower..=upper`.
    pub lower: f64,
    pub upper: f64,
    /// An int that equals `base + offset`.
    pub affine: Option<(Var, i64)>,
    /// Depends on a sample or a draw.
    pub random: bool,
    /// Number of regions that enclosed its definition.
    pub depth: usize,
}

pub(super) const UNKNOWN: Fact =
    Fact { lower: f64::NEG_INFINITY, upper: f64::INFINITY, affine: None, random: false, depth: 0 };

/// A loop of the language whose body is being evaluated.
#[derive(Clone)]
pub(super) struct OpenLoop<'a> {
    pub index: Var,
    /// Value of the name bound to the index where the index is 0.
    pub from: i64,
    /// The frame it stands in, and the addresses that its body samples.
    pub frame: u32,
    pub samples: Rc<[&'a str]>,
    /// It goes through the rows of a subsampled plate.
    pub plate: bool,
    /// It goes through a plate, whole or not: its elements are alike.
    pub alike: bool,
}

pub(super) struct Machine<'a> {
    pub checked: &'a Checked,
    pub bindings: Rc<Bindings>,
    pub space: Space,
    pub sites_form: SiteForm,
    pub program: Program,
    /// The region under construction, and those that enclose it, outermost first.
    pub stmts: Vec<Stmt>,
    pub outer: Vec<Vec<Stmt>>,
    /// Statements that stand before the step: values of constrained parameters.
    pub prologue: Vec<Stmt>,
    /// Index atoms (from 0) and extents of the enclosing loops.
    pub loops: Vec<(Atom, usize)>,
    /// The language's loops under evaluation.
    pub open: Vec<OpenLoop<'a>>,
    pub cells: Vec<Value<'a>>,
    pub frames: Vec<Frame<'a>>,
    pub next_frame: u32,
    pub facts: HashMap<Var, Fact>,
    pub frozen: bool,
    /// A frozen function runs forwards here: nothing that it samples from has a derivative.
    pub held: bool,
    /// Values of parameters, and with derivative zero.
    pub params: HashMap<ItemId, Value<'a>>,
    pub frozen_params: HashMap<ItemId, Value<'a>>,
    /// Number of parameters read so far.
    pub param_reads: usize,
    /// Core variables of known arrays, by address of the array.
    pub known: HashMap<*const Known, (Rc<Known>, Atom)>,
    pub sites: Vec<SiteEntry<'a>>,
    pub next_site: u32,
    /// Site and number of the next draw, inside a site.
    pub drawing: Option<(u32, u32)>,
    /// Calls of the continuation, inside a strategy.
    pub calls: Vec<CallRecord>,
    /// Results of bijectors' `forward`, so that `inverse` of one is its operand.
    pub forwards: Vec<super::dist::Forward<'a>>,
    /// Subsampled plates met so far.
    pub plates: HashMap<ItemId, Rc<PlateSet>>,
    /// What is read from an index set: the plate, and the position in it.
    pub rows: HashMap<Var, (ItemId, Atom)>,
    /// All rows of subsampled plates are gone through.
    pub whole_plates: bool,
    /// The objective is the mean of so many runs.
    pub copies: f64,
    /// Addresses sampled row by row in subsampled plates.
    pub local_addresses: Vec<String>,
    pub depth_of_calls: usize,
    /// Form of the site's value, inside its strategy.
    pub current: Option<Current<'a>>,
    /// Indices of the addresses of the children under evaluation.
    pub address_indices: Vec<Atom>,
    /// What that strategy keeps and learns.
    pub memory: Memory<'a>,
    /// Whether its continuation detaches its argument (`k: free`).
    pub detaches: bool,
    /// Whether a product of a whole matrix may be moved before the loop over its rows.
    pub hoists: bool,
    /// Samples are variables to be summed out: no strategy, all values of their supports.
    pub enumerating: bool,
    /// Such samples by the number of their site.
    pub summed: HashMap<u32, SiteDescription>,
    /// Absent optional addresses are NaN: for reports, which show what is present.
    pub absent_is_missing: bool,
    /// The declared type of the expression about to be evaluated: sizes of a call that no argument settles come from it.
    /// Taken by the first expression that is evaluated.
    pub want: Option<TypeValue<'a>>,
    /// Parameters stand for their initial values; those whose initial value is being evaluated.
    pub initialising: Option<Vec<ItemId>>,
    /// `inspect`ed so far, in a program made for that.
    pub inspected: Option<Vec<(String, Var)>>,
    /// A distribution without a density has been sampled: the score of its function is not a number.
    pub point: bool,
}

/// Draws of one site are numbered below this.
pub(super) const DRAWS_PER_SITE: u32 = 1 << 10;

impl<'a> Machine<'a> {
    pub(super) fn new(checked: &'a Checked, bindings: Rc<Bindings>, space: Space, sites_form: SiteForm) -> Machine<'a> {
        Machine {
            checked,
            bindings,
            space,
            sites_form,
            program: Program::default(),
            stmts: Vec::new(),
            outer: Vec::new(),
            prologue: Vec::new(),
            loops: Vec::new(),
            open: Vec::new(),
            cells: Vec::new(),
            frames: Vec::new(),
            next_frame: 1,
            facts: HashMap::new(),
            frozen: false,
            held: false,
            params: HashMap::new(),
            frozen_params: HashMap::new(),
            param_reads: 0,
            known: HashMap::new(),
            sites: Vec::new(),
            next_site: 0,
            drawing: None,
            calls: Vec::new(),
            forwards: Vec::new(),
            plates: HashMap::new(),
            rows: HashMap::new(),
            whole_plates: false,
            copies: 1.0,
            local_addresses: Vec::new(),
            depth_of_calls: 0,
            current: None,
            address_indices: Vec::new(),
            memory: Memory::default(),
            detaches: false,
            hoists: true,
            enumerating: false,
            summed: HashMap::new(),
            absent_is_missing: false,
            want: None,
            initialising: None,
            inspected: None,
            point: false,
        }
    }

    pub(super) fn main_env(&self) -> Env<'a> {
        Env::new(self.checked.main, 0)
    }

    pub(super) fn fact(&self, atom: Atom) -> Fact {
        match atom {
            Atom::Var(v) => self.facts.get(&v).copied().unwrap_or(UNKNOWN),
            Atom::Real(x) => Fact { lower: x, upper: x, ..UNKNOWN },
            Atom::Int(i) => Fact { lower: i as f64, upper: i as f64, ..UNKNOWN },
            Atom::Bool(_) => UNKNOWN,
        }
    }

    pub(super) fn set_fact(&mut self, atom: Atom, fact: Fact) {
        if let Atom::Var(v) = atom {
            self.facts.insert(v, Fact { depth: self.outer.len(), ..fact });
        }
    }

    pub(super) fn scalar_of(&self, atom: Atom) -> Scalar {
        match atom {
            Atom::Var(v) => self.program.ty(v).scalar,
            Atom::Real(_) => Scalar::Real,
            Atom::Int(_) => Scalar::Int,
            Atom::Bool(_) => Scalar::Bool,
        }
    }

    pub(super) fn new_var(&mut self, ty: Type, name: Option<&str>) -> Var {
        let var = self.program.new_var(ty, name);
        self.facts.insert(var, Fact { depth: self.outer.len(), ..UNKNOWN });
        var
    }

    /// A scalar operation; folded if its operands are literals.
    pub(super) fn op(&mut self, op: Op, args: &[Atom]) -> Atom {
        if let Some(folded) = super::fold::fold(op, args) {
            return folded;
        }
        let affine = self.affine_of(op, args);
        if let Some((base, 0)) = affine
            && self.program.ty(base).scalar == Scalar::Int
        {
            return base.into();
        }
        // Index arithmetic is shared, so that equal indices are the same variable.
        if matches!(op, Op::IAdd | Op::ISub | Op::IMul | Op::IDiv | Op::IMod | Op::IMin | Op::IMax)
            && let Some(Stmt::Op { result, .. }) = self
                .stmts
                .iter()
                .rev()
                .take(64)
                .find(|s| matches!(s, Stmt::Op { op: o, args: a, .. } if *o == op && a == args))
        {
            return (*result).into();
        }
        let ty = match op.signature() {
            Some((_, result)) => Type { scalar: result, shape: Vec::new() },
            None => match op {
                Op::Read => Type { scalar: self.scalar_of(args[0]), shape: Vec::new() },
                Op::Select => self.program.atom_type(args[1]),
                _ => self.program.atom_type(args[0]),
            },
        };
        let facts: Vec<Fact> = args.iter().map(|&a| self.fact(a)).collect();
        let random = facts.iter().any(|f| f.random);
        let (lower, upper) = super::fold::interval(op, args, &facts);
        let result = self.program.new_var(ty, None);
        self.stmts.push(Stmt::Op { result, op, args: args.to_vec() });
        self.facts.insert(result, Fact { lower, upper, affine, random, depth: self.outer.len() });
        result.into()
    }

    /// `(base, offset)` of an int.
    pub(super) fn affine(&self, atom: Atom) -> (Option<Var>, i64) {
        match atom {
            Atom::Int(i) => (None, i),
            Atom::Var(v) => match self.facts.get(&v).and_then(|f| f.affine) {
                Some((base, offset)) => (Some(base), offset),
                None => (Some(v), 0),
            },
            _ => (None, 0),
        }
    }

    fn affine_of(&self, op: Op, args: &[Atom]) -> Option<(Var, i64)> {
        let sign = match op {
            Op::IAdd => 1,
            Op::ISub => -1,
            _ => return None,
        };
        match (self.affine(args[0]), self.affine(args[1])) {
            ((Some(base), a), (None, b)) => Some((base, a + sign * b)),
            ((None, a), (Some(base), b)) if sign == 1 => Some((base, a + b)),
            _ => None,
        }
    }

    pub(super) fn read(&mut self, array: Atom, indices: &[Atom]) -> Atom {
        let mut args = Vec::with_capacity(indices.len() + 1);
        args.push(array);
        args.extend_from_slice(indices);
        self.op(Op::Read, &args)
    }

    pub(super) fn real_of(&mut self, atom: Atom) -> Atom {
        match self.scalar_of(atom) {
            Scalar::Real => atom,
            Scalar::Int => self.op(Op::ToReal, &[atom]),
            Scalar::Bool => {
                let i = self.op(Op::BoolToInt, &[atom]);
                self.op(Op::ToReal, &[i])
            }
        }
    }

    pub(super) fn real_op(&mut self, op: Op, args: &[Atom]) -> Atom {
        let args: Vec<Atom> = args.iter().map(|&a| self.real_of(a)).collect();
        self.op(op, &args)
    }

    pub(super) fn prim(&mut self, prim: Prim, args: &[Atom], ty: Type) -> Atom {
        let facts: Vec<Fact> = args.iter().map(|&a| self.fact(a)).collect();
        let random = facts.iter().any(|f| f.random);
        let keeps =
            matches!(prim, Prim::Concat { .. } | Prim::Stack | Prim::Reshape { .. } | Prim::Sort | Prim::Fill { .. });
        let (lower, upper) = if keeps && !facts.is_empty() {
            (
                facts.iter().map(|f| f.lower).fold(f64::INFINITY, f64::min),
                facts.iter().map(|f| f.upper).fold(f64::NEG_INFINITY, f64::max),
            )
        } else {
            (f64::NEG_INFINITY, f64::INFINITY)
        };
        let result = self.program.new_var(ty, None);
        self.stmts.push(Stmt::Array { results: vec![result], prim, args: args.to_vec() });
        self.facts.insert(result, Fact { lower, upper, affine: None, random, depth: self.outer.len() });
        result.into()
    }

    /// Opens a region inside the present one.
    pub(super) fn enter(&mut self) {
        let stmts = std::mem::take(&mut self.stmts);
        self.outer.push(stmts);
    }

    /// Closes the region; its statements.
    pub(super) fn leave(&mut self) -> Vec<Stmt> {
        let outer = self.outer.pop().unwrap_or_default();
        std::mem::replace(&mut self.stmts, outer)
    }

    /// `for` over `extents`; `body` yields one atom per collector.
    pub(super) fn for_(
        &mut self,
        extents: &[usize],
        collectors: Vec<Collector>,
        body: impl FnOnce(&mut Machine<'a>, &[Atom]) -> R<Vec<Atom>>,
    ) -> R<Vec<Atom>> {
        self.enter();
        let indices = self.open_loops(extents);
        let atoms: Vec<Atom> = indices.iter().map(|&(v, _)| v.into()).collect();
        let results = body(self, &atoms);
        self.loops.truncate(self.loops.len() - extents.len());
        let stmts = self.leave();
        Ok(self.push_for(indices, Block { stmts, results: results? }, collectors))
    }

    /// Index variables of new loops, entered into `loops`.
    pub(super) fn open_loops(&mut self, extents: &[usize]) -> Vec<(Var, usize)> {
        extents
            .iter()
            .map(|&n| {
                let var = self.new_var(Type::INT, None);
                let fact = Fact { lower: 0.0, upper: (n as f64 - 1.0).max(0.0), ..UNKNOWN };
                self.set_fact(var.into(), fact);
                self.loops.push((var.into(), n));
                (var, n)
            })
            .collect()
    }

    pub(super) fn push_for(
        &mut self,
        indices: Vec<(Var, usize)>,
        body: Block,
        collectors: Vec<Collector>,
    ) -> Vec<Atom> {
        let extents: Vec<usize> = indices.iter().map(|&(_, n)| n).collect();
        let mut results = Vec::new();
        for (collector, &value) in collectors.iter().zip(&body.results) {
            let ty = collector.result_type(&extents, &self.program.atom_type(value));
            let var = self.program.new_var(ty, None);
            let fact = collected(collector, self.fact(value));
            self.facts.insert(var, Fact { depth: self.outer.len(), ..fact });
            results.push(var);
        }
        let atoms = results.iter().map(|&v| v.into()).collect();
        self.stmts.push(Stmt::For(For { results, indices, body, collectors, strip: None }));
        atoms
    }

    /// Runs `f` with statements going to the prologue, outside all loops and frames.
    pub(super) fn in_prologue<T>(&mut self, f: impl FnOnce(&mut Machine<'a>) -> R<T>) -> R<T> {
        let stmts = std::mem::take(&mut self.stmts);
        let outer = std::mem::take(&mut self.outer);
        let loops = std::mem::take(&mut self.loops);
        let frozen = std::mem::replace(&mut self.frozen, false);
        self.stmts = std::mem::take(&mut self.prologue);
        let result = f(self);
        self.prologue = std::mem::replace(&mut self.stmts, stmts);
        self.outer = outer;
        self.loops = loops;
        self.frozen = frozen;
        result
    }

    pub(super) fn input(&mut self, role: Role, name: &str, ty: Type) -> Atom {
        let var = self.program.new_var(ty, Some(name));
        self.facts.insert(var, UNKNOWN);
        self.program.inputs.push(Input { var, role, name: name.to_owned() });
        var.into()
    }

    /// The Core variable of a known array: a data input, or a constant of `setup`.
    pub(super) fn known_atom(&mut self, known: &Rc<Known>) -> Atom {
        let key = Rc::as_ptr(known);
        if let Some((_, atom)) = self.known.get(&key) {
            return *atom;
        }
        let ty = Type { scalar: known.scalar, shape: known.shape.clone() };
        let existing = known.name.as_ref().and_then(|n| self.program.inputs.iter().find(|i| &i.name == n));
        let atom: Atom = match (&known.name, existing) {
            (Some(_), Some(input)) => input.var.into(),
            (Some(name), None) => {
                let name = name.clone();
                self.input(Role::Data, &name, ty)
            }
            (None, _) => {
                let var = self.program.new_var(ty.clone(), None);
                let data = known.values.clone().into();
                self.program.setup.push(Stmt::Array {
                    results: vec![var],
                    prim: Prim::Const { data, ty },
                    args: Vec::new(),
                });
                var.into()
            }
        };
        let (mut lower, mut upper) = (f64::INFINITY, f64::NEG_INFINITY);
        for &x in &known.values {
            lower = lower.min(x);
            upper = upper.max(x);
        }
        if known.values.is_empty() {
            (lower, upper) = (f64::NEG_INFINITY, f64::INFINITY);
        }
        if let Atom::Var(v) = atom {
            self.facts.insert(v, Fact { lower, upper, ..UNKNOWN });
        }
        self.known.insert(key, (known.clone(), atom));
        atom
    }

    /// A fresh site for draws and samples.
    pub(super) fn fresh_site(&mut self) -> u32 {
        let site = self.next_site;
        self.next_site = self.next_site.wrapping_add(DRAWS_PER_SITE);
        site
    }

    /// Runs `f` as a draw of its own, unless inside a site's.
    pub(super) fn with_drawing<T>(&mut self, f: impl FnOnce(&mut Machine<'a>) -> R<T>) -> R<T> {
        if self.drawing.is_some() {
            return f(self);
        }
        let site = self.fresh_site();
        self.drawing = Some((site, 0));
        let result = f(self);
        self.drawing = None;
        result
    }

    /// A native random number at the present place.
    pub(super) fn noise(&mut self, noise: Noise, args: Vec<Atom>) -> Atom {
        let site = match &mut self.drawing {
            Some((site, number)) => {
                let s = *site + *number;
                *number += 1;
                s
            }
            None => self.fresh_site(),
        };
        let result = self.program.new_var(Type::REAL, None);
        let (lower, upper) = match noise {
            Noise::Normal => (f64::NEG_INFINITY, f64::INFINITY),
            Noise::Uniform => (0.0, 1.0),
            Noise::LogGamma => (f64::NEG_INFINITY, f64::INFINITY),
            Noise::Exponential | Noise::Poisson | Noise::Binomial => (0.0, f64::INFINITY),
        };
        let fact = Fact { lower, upper, affine: None, random: true, depth: self.outer.len() };
        self.facts.insert(result, fact);
        let index = self.loops.clone();
        self.stmts.push(Stmt::Draw(Draw { result, noise, args, site, index, mirror: None }));
        result.into()
    }

    /// A run-time check, unless it is known to hold.
    pub(super) fn check(&mut self, ok: Atom, message: String, span: Span) -> R<()> {
        match ok {
            Atom::Bool(true) => Ok(()),
            Atom::Bool(false) => Err(Diagnostic::error("E0308", span, message).into()),
            _ => {
                let check = u32::try_from(self.program.checks.len()).unwrap_or(u32::MAX);
                self.program.checks.push(CheckInfo { message, span: Some(span) });
                self.stmts.push(Stmt::Check { ok, check });
                Ok(())
            }
        }
    }
}

/// What is known of a collector's result.
pub(super) fn collected(collector: &Collector, value: Fact) -> Fact {
    let random = value.random;
    match collector {
        Collector::Collect | Collector::Max | Collector::Min => Fact { affine: None, ..value },
        Collector::Sum { .. } | Collector::SumAt { .. } => Fact {
            lower: if value.lower >= 0.0 { 0.0 } else { f64::NEG_INFINITY },
            upper: if value.upper <= 0.0 { 0.0 } else { f64::INFINITY },
            random,
            ..UNKNOWN
        },
        Collector::All => Fact { random, ..UNKNOWN },
    }
}

//! Random valid Core programs from a seed, for laws: printing and parsing, validation, interpreter against machine code,
//! reverse against forward mode, optimised against unoptimised.
//!
//! Invariants: the same seed and options give the same program on every machine; the program is valid; values that
//! are used further stay of moderate size (so that comparisons mean something), while special values and unguarded
//! operands go to outputs directly; over 500 seeds every statement, operation, collector and primitive occurs (see
//! [`coverage`]). With `smooth_only` the first output is differentiable in the parameters almost everywhere: what
//! jumps (comparisons, rounding, conversions, `sign`) and what has no derivative sees operands free of them.

pub mod coverage;
mod inputs;
mod prims;
pub mod random;
mod regions;
mod scalars;

#[cfg(test)]
mod tests;

use super::core::{Atom, Block, CheckInfo, Program, Scalar, Stmt, Type, Var};
use crate::runtime::executable::Array;
use random::Random;

/// What to generate.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The first output is differentiable in the parameters almost everywhere; no strips, no contract kinds.
    pub smooth_only: bool,
    /// Also `sample` and `term` statements (then it cannot be run).
    pub with_sites: bool,
    /// Also inputs of role `Tuned` and `State`.
    pub all_roles: bool,
    /// Statements, roughly.
    pub size: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { smooth_only: false, with_sites: false, all_roles: false, size: 24 }
    }
}

/// A program and inputs to run it with.
#[derive(Clone, Debug)]
pub struct Case {
    pub program: Program,
    pub data: Vec<Array>,
    pub params: Vec<f64>,
    pub tuned: Vec<f64>,
    pub state: Vec<f64>,
}

/// A program that can be run, its data and its flat parameters (inputs are data and parameters only).
pub fn program(seed: u64) -> (Program, Vec<Array>, Vec<f64>) {
    let case = case(seed, Options::default());
    (case.program, case.data, case.params)
}

/// As [`program`], with the first output differentiable almost everywhere in the parameters.
pub fn smooth_program(seed: u64) -> (Program, Vec<Array>, Vec<f64>) {
    let case = case(seed, Options { smooth_only: true, ..Options::default() });
    (case.program, case.data, case.params)
}

/// A program of the kind `options` ask for.
pub fn case(seed: u64, options: Options) -> Case {
    let mut g = Generator::new(seed, options);
    let (data, params, tuned, state) = inputs::inputs(&mut g);
    let setup_size = 1 + g.random.below(4);
    g.in_setup = true;
    g.statements(setup_size);
    g.in_setup = false;
    g.program.setup = std::mem::take(&mut g.stmts);
    inputs::expose_step_inputs(&mut g);
    let focus = (seed as usize) % super::op::Op::ALL.len();
    scalars::operation(&mut g, super::op::Op::ALL[focus]);
    prims::primitive(&mut g, (seed as usize) % prims::KINDS);
    g.statements(options.size);
    let value = g.value();
    let mut results = vec![value];
    let mut names = vec!["value".to_owned()];
    let mut candidates: Vec<Atom> = g.scope.iter().filter(|k| k.depth == 0).map(|k| k.var.into()).collect();
    candidates.append(&mut g.raw);
    for n in 0..candidates.len().min(10) {
        let pick = g.random.below(candidates.len());
        results.push(candidates.swap_remove(pick));
        names.push(format!("out_{n}"));
    }
    let stmts = std::mem::take(&mut g.stmts);
    g.program.step = Block { stmts, results };
    g.program.outputs = names;
    Case { program: g.program, data, params, tuned, state }
}

/// A variable that statements may use.
#[derive(Clone, Debug)]
struct Known {
    var: Var,
    ty: Type,
    /// Depth of the region that defines it.
    depth: usize,
}

struct Generator {
    random: Random,
    options: Options,
    program: Program,
    /// Statements of the region being built.
    stmts: Vec<Stmt>,
    scope: Vec<Known>,
    /// By variable: may depend on an input of role `Param`.
    depends: Vec<bool>,
    /// Enclosing loops, outermost first: index and extent.
    loops: Vec<(Atom, usize)>,
    depth: usize,
    /// The region stands directly in a `loop` at top level.
    in_top_loop: bool,
    in_setup: bool,
    site: u32,
    /// Values of any size, for the outputs only (defined at depth 0).
    raw: Vec<Atom>,
    /// Statements that a run executes, roughly.
    spent: usize,
}

/// Statements that a run executes, at most (roughly): laws run hundreds of programs many times each.
const AFFORDABLE: usize = 12_000;

impl Generator {
    fn new(seed: u64, options: Options) -> Generator {
        Generator {
            random: Random::new(seed),
            options,
            program: Program::default(),
            stmts: Vec::new(),
            scope: Vec::new(),
            depends: Vec::new(),
            loops: Vec::new(),
            depth: 0,
            in_top_loop: false,
            in_setup: false,
            site: 0,
            raw: Vec::new(),
            spent: 0,
        }
    }

    fn var(&mut self, ty: Type, name: Option<&str>) -> Var {
        let var = self.program.new_var(ty, name);
        self.depends.push(false);
        var
    }

    fn depends(&self, atom: Atom) -> bool {
        atom.var().is_some_and(|v| self.depends[v.0 as usize])
    }

    /// Whether what jumps may read this atom.
    fn free(&self, atom: Atom) -> bool {
        !self.options.smooth_only || !self.depends(atom)
    }

    /// Adds a statement; its real results depend on the parameters if anything it reads does.
    fn push(&mut self, stmt: Stmt) {
        let jumps = matches!(&stmt, Stmt::Draw(d) if !d.noise.is_smooth());
        let depends = stmt.free_vars().iter().any(|v| self.depends[v.0 as usize]) && !jumps;
        for v in stmt.results() {
            self.depends[v.0 as usize] = depends && self.program.ty(v).scalar == Scalar::Real;
        }
        self.stmts.push(stmt);
        self.spent += self.work();
    }

    /// Lets later statements use the atom.
    fn expose(&mut self, atom: Atom) {
        if let Atom::Var(var) = atom {
            let ty = self.program.ty(var).clone();
            self.scope.push(Known { var, ty, depth: self.depth });
        }
    }

    /// The atom may be an output, whatever its size.
    fn output(&mut self, atom: Atom) {
        if self.depth == 0 && !self.in_setup && atom.var().is_some() {
            self.raw.push(atom);
        }
    }

    /// Product of the enclosing extents.
    fn work(&self) -> usize {
        self.loops.iter().map(|&(_, n)| n.max(1)).product()
    }

    fn extent(&mut self) -> usize {
        let large = self.depth == 0 && self.random.chance(0.18);
        let n = if large {
            *self.random.pick(&[1030, 1030, 64, 300])
        } else {
            *self.random.pick(&[1, 2, 3, 3, 5, 5, 8, 8, 4])
        };
        let n = if self.random.chance(0.04) { 0 } else { n };
        if self.spent + 4 * self.work() * n > AFFORDABLE { n.min(2) } else { n }
    }

    fn small_extent(&mut self) -> usize {
        if self.random.chance(0.03) { 0 } else { *self.random.pick(&[1, 2, 3, 3, 4, 5, 8]) }
    }

    /// A variable in scope that satisfies `wanted`; the later ones are likelier.
    fn find(&mut self, wanted: impl Fn(&Known) -> bool) -> Option<Var> {
        let found: Vec<Var> = self.scope.iter().filter(|k| wanted(k)).map(|k| k.var).collect();
        if found.is_empty() {
            return None;
        }
        let a = self.random.below(found.len());
        let b = self.random.below(found.len());
        Some(found[a.max(b)])
    }

    fn statements(&mut self, count: usize) {
        for _ in 0..count {
            self.statement();
        }
    }

    fn statement(&mut self) {
        // A loop that costs too much already gets no further loops.
        let nested = if self.spent + 20 * self.work() > AFFORDABLE { 3 } else { self.depth };
        match self.random.below(100) {
            0..38 => {
                let op = *self.random.pick(super::op::Op::ALL);
                scalars::operation(self, op);
            }
            38..56 if nested < 3 => regions::for_(self),
            56..63 if nested < 3 => regions::loop_(self),
            63..69 if nested < 3 => regions::if_(self),
            69..75 => prims::contract(self),
            75..88 => {
                let kind = self.random.below(prims::KINDS);
                prims::primitive(self, kind);
            }
            88..94 if !self.in_setup => prims::draw(self),
            94..96 => self.check(),
            96..98 if self.options.with_sites && !self.in_setup => prims::sample(self),
            98..100 if self.options.with_sites && !self.in_setup => {
                let a = self.real();
                self.push(Stmt::Term(a));
            }
            _ => {
                let op = *self.random.pick(&[super::op::Op::Mul, super::op::Op::Add, super::op::Op::Read]);
                scalars::operation(self, op);
            }
        }
    }

    fn check(&mut self) {
        let ok = if self.random.chance(0.7) {
            let x = self.free_real();
            self.op(super::op::Op::Le, &[x, Atom::Real(50.0)])
        } else {
            self.boolean()
        };
        let check = u32::try_from(self.program.checks.len()).unwrap_or(u32::MAX);
        self.program.checks.push(CheckInfo { message: format!("check {check}"), span: None });
        self.push(Stmt::Check { ok, check });
    }

    /// A real scalar on which everything of moderate size in the step's own region bears.
    fn value(&mut self) -> Atom {
        let mut total = Atom::Real(0.25);
        let known: Vec<Known> =
            self.scope.iter().filter(|k| k.depth == 0 && k.ty.scalar == Scalar::Real).cloned().collect();
        for (n, k) in known.iter().enumerate() {
            let weight = Atom::Real(0.5 + 0.25 * (n % 5) as f64);
            let scalar = if k.ty.is_scalar() { k.var.into() } else { self.weighted_sum(k.var.into()) };
            let term = self.op(super::op::Op::Mul, &[scalar, weight]);
            total = self.op(super::op::Op::Add, &[total, term]);
        }
        total
    }
}

//! Evaluating a term anew: its definition is followed backwards and re-emitted under a choice of loop indices, with the
//! values of site elements assigned. Arrays are never formed where one element is read: `theta[e]` is the body that
//! computes `theta`, at index `e`.
//!
//! Reads of a joined array that straddle its pieces, and of the first elements of a chain, ask for the term's loop to be
//! split ([`Interrupt::Split`]). A fold whose body reads a different element at each index is unrolled.

use super::definitions::{Definitions, compound_indices};
use super::fresh::{Fresh, Shot};
use super::overrides::Overrides;
use super::tree;
use crate::diagnostic::Diagnostic;
use crate::ir::builder::Builder;
use crate::ir::core::{Atom, Block, Collector, Contract, For, If, Prim, Program, Sample, Stmt, Type, Var};
use crate::ir::op::Op;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// No elimination makes more statements than this, those of trials included.
const EMITTED: usize = 3_000_000;
/// No more than this are kept of it.
const KEPT: usize = 100_000;
/// Folds with more iterations than this are not unrolled.
pub(super) const UNROLL_LIMIT: usize = 64;
/// How far a carried value is followed back.
pub(super) const CARRY_LIMIT: usize = 80;

pub(crate) enum Interrupt {
    /// The loop over new index `index` must be cut at `at`.
    Split {
        index: Var,
        at: usize,
    },
    /// A fold over inner indices must be unrolled.
    Unroll,
    /// A fold must be cut in two along one of its axes.
    Cut {
        axis: usize,
        at: usize,
    },
    Fail(Box<Diagnostic>),
}

pub(crate) type Pulled<T> = Result<T, Interrupt>;

/// Ranges of loops by original index.
pub(crate) type Loops = Vec<(Var, usize, usize)>;

/// Terms that stand in one place: its loops (original index, range) and conditions.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub loops: Loops,
    pub conditions: Vec<(Atom, bool)>,
    pub terms: Vec<Atom>,
}

/// An element of a site: the site's number, and an index per loop around it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Element {
    pub site: usize,
    pub at: Vec<Atom>,
}

#[derive(Default)]
pub(crate) struct Scope {
    pub stmts: Vec<Stmt>,
    pub(super) operations: HashMap<(Op, Vec<Atom>), Atom>,
    pub(super) memo: HashMap<(Var, Vec<Atom>), Atom>,
    /// Of the inner loop whose body this is.
    pub(super) indices: Vec<Var>,
}

pub(crate) type Env = HashMap<Var, Atom>;

/// A plain draw of a sample's distribution: statements and a value per result.
pub(crate) type Redraw<'a> = dyn FnMut(&mut Program, &Sample) -> Result<(Vec<Stmt>, Vec<Atom>), Diagnostic> + 'a;

/// The evaluator. New statements go to the innermost scope; scope 0 is the top list's end.
pub(crate) struct Pull<'a> {
    pub program: &'a mut Program,
    pub defs: Rc<Definitions>,
    /// What depends on the sites being eliminated.
    pub tainted: HashSet<Var>,
    pub(super) overrides: Option<Overrides>,
    /// For samples that depend on the value which is overridden.
    pub(super) redraw: Option<&'a mut Redraw<'a>>,
    /// Result variables of the sites being eliminated: (site, position).
    pub site_of: HashMap<Var, (usize, usize)>,
    pub scopes: Vec<Scope>,
    /// New loop indices and their extents.
    pub ranges: HashMap<Var, usize>,
    pub(super) inner: HashSet<Var>,
    /// Operations emitted, for reading index expressions.
    pub(super) operations: HashMap<Var, (Op, Vec<Atom>)>,
    pub assigned: Vec<(Element, Vec<Atom>)>,
    /// While recording, an element that is not assigned gets a placeholder.
    pub recording: bool,
    pub placeholders: HashSet<Var>,
    /// Variables that hold the position of an element.
    pub value_vars: HashSet<Var>,
    /// The override's element met last.
    pub(super) met: Option<Env>,
    /// (variable, array over its loops) to be made visible at the top.
    pub exports: Vec<(Var, Var)>,
    /// Result types of the sites being eliminated.
    pub site_types: Vec<Vec<Type>>,
    /// New index of each loop of the task at hand.
    pub(super) task_indices: Vec<Var>,
    pub(super) carry_steps: usize,
    pub(super) depth: usize,
    /// Logarithms of zero have derivative zero: under a log of a sum of exponentials their weight is zero.
    pub guards_logs: bool,
    /// Calls of continuations in loops at hand, and the draws that they make anew.
    pub shots: Vec<Shot>,
    pub fresh: Fresh,
    /// What was read from arrays made elsewhere although it varies with the calls.
    pub conflicts: HashSet<Var>,
    /// Statements made so far.
    pub(super) emitted: usize,
}

impl<'a> Pull<'a> {
    pub(crate) fn new(program: &'a mut Program, stmts: &[Stmt], tainted: HashSet<Var>) -> Pull<'a> {
        Pull {
            program,
            defs: Rc::new(Definitions::of(stmts)),
            tainted,
            overrides: None,
            redraw: None,
            site_of: HashMap::new(),
            scopes: vec![Scope::default()],
            ranges: HashMap::new(),
            inner: HashSet::new(),
            operations: HashMap::new(),
            assigned: Vec::new(),
            recording: false,
            placeholders: HashSet::new(),
            value_vars: HashSet::new(),
            met: None,
            exports: Vec::new(),
            site_types: Vec::new(),
            task_indices: Vec::new(),
            carry_steps: 0,
            depth: 0,
            guards_logs: false,
            shots: Vec::new(),
            fresh: Fresh::default(),
            conflicts: HashSet::new(),
            emitted: 0,
        }
    }

    /// Opens the loops of a task: new indices, and the original indices' values.
    pub(crate) fn open_task(&mut self, task: &Task) -> (Vec<(Var, usize)>, Env) {
        self.scopes.push(Scope::default());
        self.task_indices.clear();
        let mut env = Env::new();
        let mut indices = Vec::new();
        for &(old, lo, hi) in &task.loops {
            let low = i64::try_from(lo).unwrap_or(0);
            let new = self.program.new_var(Type::INT, None);
            self.task_indices.push(new);
            if hi - lo == 1 {
                env.insert(old, Atom::Int(low));
                continue;
            }
            self.ranges.insert(new, hi - lo);
            indices.push((new, hi - lo));
            let shifted = self.op(Op::IAdd, &[new.into(), Atom::Int(low)]);
            env.insert(old, shifted);
        }
        (indices, env)
    }

    /// Loops cut in two at `at` iterations of the one whose new index is `index`.
    pub(super) fn cut(&self, loops: &[(Var, usize, usize)], index: Var, at: usize) -> Option<(Loops, Loops)> {
        let k = self.task_indices.iter().position(|&v| v == index)?;
        let (var, low, high) = loops[k];
        let middle = low + at;
        if middle <= low || middle >= high {
            return None;
        }
        let (mut first, mut second) = (loops.to_vec(), loops.to_vec());
        first[k] = (var, low, middle);
        second[k] = (var, middle, high);
        Some((first, second))
    }

    /// Evaluates under the task's conditions; zero where one fails.
    pub(crate) fn guarded(
        &mut self,
        task: &Task,
        env: &Env,
        eval: impl FnOnce(&mut Self, &Env) -> Pulled<Atom>,
    ) -> Pulled<Atom> {
        let mut condition: Option<Atom> = None;
        for &(c, wanted) in &task.conditions {
            let mut value = self.atom(c, env)?;
            if !wanted {
                value = self.op(Op::Not, &[value]);
            }
            condition = Some(match condition {
                None => value,
                Some(all) => self.op(Op::And, &[all, value]),
            });
        }
        let Some(condition) = condition else { return eval(self, env) };
        self.scopes.push(Scope::default());
        let value = match eval(self, env) {
            Ok(v) => v,
            Err(e) => {
                self.scopes.pop();
                return Err(e);
            }
        };
        let scope = self.scopes.pop().unwrap_or_default();
        let result = self.program.new_var(Type::REAL, None);
        self.push(Stmt::If(If {
            results: vec![result],
            condition,
            then: Block { stmts: scope.stmts, results: vec![value] },
            otherwise: Block { stmts: Vec::new(), results: vec![Atom::Real(0.0)] },
        }));
        Ok(result.into())
    }

    pub(crate) fn push(&mut self, stmt: Stmt) {
        self.emitted += 1;
        if let Some(scope) = self.scopes.last_mut() {
            scope.stmts.push(stmt);
        }
    }

    /// Emits an operation, once per scope, with index arithmetic in the form `base + constant`.
    pub(crate) fn op(&mut self, op: Op, args: &[Atom]) -> Atom {
        match (op, args) {
            (Op::IAdd, &[Atom::Int(a), Atom::Int(b)]) => return Atom::Int(a.wrapping_add(b)),
            (Op::IAdd, &[x, Atom::Int(0)] | &[Atom::Int(0), x]) => return x,
            (Op::IAdd, &[Atom::Int(a), x]) => return self.op(Op::IAdd, &[x, Atom::Int(a)]),
            (Op::IAdd, &[Atom::Var(v), Atom::Int(b)]) => {
                if let Some((Op::IAdd, inner)) = self.operations.get(&v)
                    && let &[x, Atom::Int(a)] = &inner[..]
                {
                    return self.op(Op::IAdd, &[x, Atom::Int(a.wrapping_add(b))]);
                }
            }
            (Op::ISub, &[x, Atom::Int(b)]) => return self.op(Op::IAdd, &[x, Atom::Int(b.wrapping_neg())]),
            (Op::IMul, &[Atom::Int(a), Atom::Int(b)]) => return Atom::Int(a.wrapping_mul(b)),
            (Op::IMul, &[x, Atom::Int(1)] | &[Atom::Int(1), x]) | (Op::IDiv, &[x, Atom::Int(1)]) => return x,
            (Op::IMul, &[_, Atom::Int(0)] | &[Atom::Int(0), _]) | (Op::IMod, &[_, Atom::Int(1)]) => {
                return Atom::Int(0);
            }
            (Op::IMod, &[Atom::Int(a), Atom::Int(b)]) if b > 0 => return Atom::Int(a.rem_euclid(b)),
            (Op::IMax, &[Atom::Int(a), Atom::Int(b)]) => return Atom::Int(a.max(b)),
            (Op::IMin, &[Atom::Int(a), Atom::Int(b)]) => return Atom::Int(a.min(b)),
            // Clamps and tests of an index that is known to lie inside: the element is then the same one as without.
            (Op::IMax, &[x, Atom::Int(c)]) if self.interval(x).is_some_and(|(low, _)| low >= c) => return x,
            (Op::IMin, &[x, Atom::Int(c)]) if self.interval(x).is_some_and(|(_, high)| high <= c) => return x,
            (Op::ILe, &[Atom::Int(c), x]) if self.interval(x).is_some_and(|(low, _)| low >= c) => {
                return Atom::Bool(true);
            }
            (Op::ILt, &[x, Atom::Int(c)]) if self.interval(x).is_some_and(|(_, high)| high < c) => {
                return Atom::Bool(true);
            }
            (Op::And, &[Atom::Bool(true), x] | &[x, Atom::Bool(true)]) => return x,
            (Op::IDiv, &[Atom::Int(a), Atom::Int(b)]) if b != 0 => {
                return Atom::Int(a.div_euclid(b) - i64::from(b < 0 && a.rem_euclid(b) != 0));
            }
            (Op::Select, &[Atom::Bool(true), a, _]) => return a,
            (Op::Select, &[Atom::Bool(false), _, b]) => return b,
            (Op::IEq, &[Atom::Int(a), Atom::Int(b)]) => return Atom::Bool(a == b),
            (Op::ILt, &[Atom::Int(a), Atom::Int(b)]) => return Atom::Bool(a < b),
            (Op::ILe, &[Atom::Int(a), Atom::Int(b)]) => return Atom::Bool(a <= b),
            _ => {}
        }
        let key = (op, args.to_vec());
        for scope in self.scopes.iter().rev() {
            if let Some(&known) = scope.operations.get(&key) {
                return known;
            }
        }
        let mut builder = Builder::new(self.program);
        let result = builder.op(op, args);
        let mut stmts = builder.stmts;
        self.emitted += stmts.len();
        if let Some(v) = result.var() {
            self.operations.insert(v, key.clone());
        }
        if let Some(scope) = self.scopes.last_mut() {
            scope.stmts.append(&mut stmts);
            scope.operations.insert(key, result);
        }
        result
    }

    /// A logarithm whose derivative is zero where it is -infinity.
    fn guarded_log(&mut self, op: Op, x: Atom) -> Atom {
        let (edge, inside) = if op == Op::Log { (0.0, 1.0) } else { (-1.0, 0.0) };
        if matches!(x, Atom::Real(_)) {
            return self.op(op, &[x]);
        }
        let none = self.op(Op::Eq, &[x, Atom::Real(edge)]);
        let safe = self.op(Op::Select, &[none, Atom::Real(inside), x]);
        let log = self.op(op, &[safe]);
        self.op(Op::Select, &[none, Atom::Real(f64::NEG_INFINITY), log])
    }

    /// An operation that stands in the open scope.
    pub(crate) fn known(&mut self, op: Op, args: &[Atom], result: Atom) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.operations.insert((op, args.to_vec()), result);
        }
    }

    /// `base + offset` of an emitted index.
    pub(crate) fn affine(&self, atom: Atom) -> (Option<Var>, i64) {
        tree::affine(&self.operations, atom)
    }

    pub(super) fn memo_key(&self, var: Var, env: &Env) -> (Var, Vec<Atom>) {
        let at = self.defs.indices(var).iter().map(|i| env.get(i).copied().unwrap_or((*i).into())).collect();
        (var, at)
    }

    /// How many scopes may hold a value: one, if it is another one in each of the calls at hand.
    fn memo_reach(&self, var: Var) -> usize {
        if self.fresh.varies(var, &self.shots) { 1 } else { self.scopes.len() }
    }

    pub(super) fn is_direct(&self, var: Var) -> bool {
        self.defs.home(var).is_empty() && !self.tainted.contains(&var) && !self.fresh.varies(var, &self.shots)
    }

    /// The value of a scalar under `env`.
    pub(crate) fn atom(&mut self, atom: Atom, env: &Env) -> Pulled<Atom> {
        let Atom::Var(var) = atom else { return Ok(atom) };
        if let Some(&value) = env.get(&var) {
            return Ok(value);
        }
        if self.is_direct(var) || !(self.defs.stmts.contains_key(&var) || self.defs.carried.contains_key(&var)) {
            return Ok(atom);
        }
        let key = self.memo_key(var, env);
        let reach = self.memo_reach(var);
        for scope in self.scopes.iter().rev().take(reach) {
            if let Some(&known) = scope.memo.get(&key) {
                return Ok(known);
            }
        }
        self.depth += 1;
        if self.depth > 4000 {
            self.depth = 0;
            return Err(fail("a term's definition is too deep to be enumerated"));
        }
        let value = self.define(var, env);
        self.depth = self.depth.saturating_sub(1);
        let value = value?;
        if let Some(scope) = self.scopes.last_mut() {
            scope.memo.insert(key, value);
        }
        Ok(value)
    }

    pub(super) fn define(&mut self, var: Var, env: &Env) -> Pulled<Atom> {
        if self.emitted > EMITTED {
            return Err(too_long());
        }
        if let Some(&(site, position)) = self.site_of.get(&var) {
            return self.element(var, site, position, env);
        }
        if let Some(o) = &self.overrides
            && let Some(k) = o.values.iter().position(|&v| v == var)
        {
            let arg = o.args[k];
            self.met = Some(env.clone());
            return self.atom(arg, env);
        }
        if let Some(&(compound, k)) = self.defs.carried.get(&var) {
            let index = compound_indices(&self.defs.compounds[compound])[0].0;
            let at = env.get(&index).copied().unwrap_or(index.into());
            return self.carried_at(compound, k, at, env, &[]);
        }
        let Some((stmt, position)) = self.defs.stmts.get(&var).cloned() else { return Ok(var.into()) };
        match &*stmt {
            Stmt::Op { op: Op::Read, args, .. } => {
                let indices = args[1..].iter().map(|&a| self.atom(a, env)).collect::<Pulled<Vec<_>>>()?;
                // An index that depends on elements names others by their values, however it is computed.
                for (old, new) in args[1..].iter().zip(&indices) {
                    if tree::is_tainted(&self.tainted, *old) {
                        self.value_vars.extend(new.var());
                    }
                }
                self.read(args[0], &indices, env)
            }
            Stmt::Op { op, args, .. } => {
                let args = args.iter().map(|&a| self.value(a, env)).collect::<Pulled<Vec<_>>>()?;
                if self.guards_logs && matches!(op, Op::Log | Op::Log1p) {
                    return Ok(self.guarded_log(*op, args[0]));
                }
                Ok(self.op(*op, &args))
            }
            Stmt::Draw(draw) => {
                let mut new = draw.clone();
                for a in &mut new.args {
                    *a = self.atom(*a, env)?;
                }
                for (a, _) in &mut new.index {
                    *a = self.atom(*a, env)?;
                }
                if let Some(a) = &mut new.mirror {
                    *a = self.atom(*a, env)?;
                }
                new.index.extend(self.fresh.indices(draw.result, &self.shots));
                new.result = self.program.new_var(Type::REAL, None);
                let result = new.result;
                self.push(Stmt::Draw(new));
                Ok(result.into())
            }
            Stmt::Sample(s) if self.is_redrawn(var) => self.redrawn(s, position, env),
            Stmt::Sample(_) => self.exported(var, &[], env),
            Stmt::If(i) => {
                self.read_by_branches(i, position, env)?;
                self.branch(i, env, |p, env, block| p.atom(block.results[position], env))
            }
            Stmt::For(f) => {
                if !self.tainted.contains(&var) {
                    return self.copy_whole(&stmt, position, env);
                }
                match &f.collectors[position] {
                    Collector::Sum { keep } if keep.is_empty() => self.fold(f, position, &[], &[], env),
                    Collector::Max | Collector::Min | Collector::All => self.fold(f, position, &[], &[], env),
                    Collector::Sum { .. } | Collector::Collect | Collector::SumAt { .. } => self.value(var.into(), env),
                }
            }
            Stmt::Loop(l) => {
                if !self.tainted.contains(&var) {
                    return self.copy_whole(&stmt, position, env);
                }
                let id = self.defs.results.get(&var).copied().unwrap_or(0);
                if position < l.carried.len() {
                    let last = Atom::Int(i64::try_from(l.extent).unwrap_or(0));
                    return self.carried_at(id, position, last, env, &[]);
                }
                if l.extent > UNROLL_LIMIT {
                    return Err(fail("a sum over a sequential loop depends on enumerated values"));
                }
                let mut parts = Vec::new();
                for t in 0..l.extent {
                    let mut inner = env.clone();
                    inner.insert(l.index, Atom::Int(i64::try_from(t).unwrap_or(0)));
                    parts.push(self.atom(l.body.results[position], &inner)?);
                }
                Ok(self.combine(Op::Add, parts, Atom::Real(0.0)))
            }
            Stmt::Contract(_) | Stmt::Array { .. } => self.value(var.into(), env),
            Stmt::Check { .. } | Stmt::Term(_) => Ok(var.into()),
        }
    }

    /// A value of any shape.
    pub(crate) fn value(&mut self, atom: Atom, env: &Env) -> Pulled<Atom> {
        let ty = self.program.atom_type(atom);
        if ty.is_scalar() {
            return self.scalar_value(atom, env);
        }
        let Atom::Var(var) = atom else { return Ok(atom) };
        if self.is_direct(var) {
            return Ok(atom);
        }
        let key = self.memo_key(var, env);
        let reach = self.memo_reach(var);
        for scope in self.scopes.iter().rev().take(reach) {
            if let Some(&known) = scope.memo.get(&key) {
                return Ok(known);
            }
        }
        let stmt = self.defs.stmts.get(&var).cloned();
        let result = match stmt {
            Some((stmt, position)) if !self.tainted.contains(&var) && !matches!(*stmt, Stmt::Sample(_)) => {
                self.copy_whole(&stmt, position, env)?
            }
            Some((stmt, position)) => match &*stmt {
                Stmt::Sample(s) if self.is_redrawn(var) => self.redrawn(s, position, env)?,
                Stmt::Array {
                    prim:
                        prim @ (Prim::Cholesky
                        | Prim::SolveLower { .. }
                        | Prim::CumSum { .. }
                        | Prim::Sort
                        | Prim::Const { .. }),
                    args,
                    ..
                } => {
                    let args = args.iter().map(|&a| self.value(a, env)).collect::<Pulled<Vec<_>>>()?;
                    let result = self.program.new_var(ty, None);
                    self.push(Stmt::Array { results: vec![result], prim: prim.clone(), args });
                    result.into()
                }
                Stmt::Contract(c) => {
                    let (a, b) = (self.value(c.a, env)?, self.value(c.b, env)?);
                    let result = self.program.new_var(ty, None);
                    self.push(Stmt::Contract(Contract { result, a, b, ..c.clone() }));
                    result.into()
                }
                _ => self.gather(var, &ty, env)?,
            },
            None => self.gather(var, &ty, env)?,
        };
        if let Some(scope) = self.scopes.last_mut() {
            scope.memo.insert(key, result);
        }
        Ok(result)
    }

    pub(super) fn scalar_value(&mut self, atom: Atom, env: &Env) -> Pulled<Atom> {
        // Scalar contractions are the one scalar defined by whole arrays.
        if let Atom::Var(var) = atom
            && !self.is_direct(var)
            && let Some((stmt, _)) = self.defs.stmts.get(&var).cloned()
            && let Stmt::Contract(c) = &*stmt
        {
            let (a, b) = (self.value(c.a, env)?, self.value(c.b, env)?);
            let result = self.program.new_var(Type::REAL, None);
            self.push(Stmt::Contract(Contract { result, a, b, ..c.clone() }));
            return Ok(result.into());
        }
        self.atom(atom, env)
    }

    /// An array element by element.
    fn gather(&mut self, var: Var, ty: &Type, env: &Env) -> Pulled<Atom> {
        self.array_of(ty.scalar, &ty.shape, |p, at| p.read(var.into(), at, env))
    }

    pub(super) fn branch(
        &mut self,
        i: &If,
        env: &Env,
        mut eval: impl FnMut(&mut Self, &Env, &Block) -> Pulled<Atom>,
    ) -> Pulled<Atom> {
        let condition = self.atom(i.condition, env)?;
        if let Atom::Bool(b) = condition {
            return eval(self, env, if b { &i.then } else { &i.otherwise });
        }
        let depth = self.scopes.len();
        let mut blocks = Vec::new();
        for block in [&i.then, &i.otherwise] {
            self.scopes.push(Scope::default());
            match eval(self, env, block) {
                Ok(value) => {
                    let scope = self.scopes.pop().unwrap_or_default();
                    blocks.push(Block { stmts: scope.stmts, results: vec![value] });
                }
                Err(e) => {
                    self.scopes.truncate(depth);
                    return Err(e);
                }
            }
        }
        let ty = self.program.atom_type(blocks[0].results[0]);
        let result = self.program.new_var(ty, None);
        let otherwise = blocks.pop().unwrap_or_default();
        let then = blocks.pop().unwrap_or_default();
        self.push(Stmt::If(If { results: vec![result], condition, then, otherwise }));
        Ok(result.into())
    }
}

pub(super) fn without_terms(mut stmt: Stmt) -> Stmt {
    for region in stmt.regions_mut() {
        let stmts = std::mem::take(&mut region.stmts);
        region.stmts =
            stmts.into_iter().filter(|s| !matches!(s, Stmt::Term(_) | Stmt::Check { .. })).map(without_terms).collect();
    }
    stmt
}

pub(crate) fn unravel(mut linear: usize, extents: &[usize]) -> Vec<Atom> {
    let mut at = vec![Atom::Int(0); extents.len()];
    for (k, &n) in extents.iter().enumerate().rev() {
        at[k] = Atom::Int(i64::try_from(linear % n.max(1)).unwrap_or(0));
        linear /= n.max(1);
    }
    at
}

pub(crate) fn unsupported(message: &str) -> Diagnostic {
    Diagnostic::bare("E0312", message)
        .note("a site whose strategy calls its continuation several times is summed over the values that each term reads")
        .fix("use a one-shot strategy (`by reinforce`) for that site, or rewrite the term so that it reads single elements")
}

pub(super) fn fail(message: &str) -> Interrupt {
    Interrupt::Fail(Box::new(unsupported(message)))
}

pub(super) fn too_many(elements: usize) -> Interrupt {
    Interrupt::Fail(Box::new(
        Diagnostic::bare("E0314", format!("one term depends on {elements} enumerated values jointly"))
            .note(format!(
                "with at least 2 values each that is 2^{elements} assignments or more; at most {} are evaluated",
                super::JOINT_LIMIT
            ))
            .fix(
                "use a one-shot strategy (`by reinforce`), or rewrite the term as a sum of terms that read few of them",
            ),
    ))
}

/// Refuses what would take minutes and much memory to compile.
pub(super) fn of_bearable_size(stmts: Vec<Stmt>) -> Pulled<Vec<Stmt>> {
    fn count(stmts: &[Stmt]) -> usize {
        stmts.iter().map(|s| 1 + s.regions().iter().map(|b| count(&b.stmts)).sum::<usize>()).sum()
    }
    if count(&stmts) > KEPT { Err(too_long()) } else { Ok(stmts) }
}

fn too_long() -> Interrupt {
    Interrupt::Fail(Box::new(
        Diagnostic::bare("E0314", "the sum over the values of enumerated sites takes too long a program")
            .note(format!("what the terms read is written out for each place that reads it, which would be more than {KEPT} statements"))
            .fix("use a one-shot strategy (`by reinforce`, `by mvd`) for some of the sites"),
    ))
}

/// Makes `var` visible at the end of the top list under the name `array`.
pub(crate) fn apply_export(program: &mut Program, stmts: &mut Vec<Stmt>, var: Var, array: Var) {
    let path = match tree::find(stmts, var) {
        Some(path) => path,
        None => match find_carried(stmts, var) {
            Some(path) => path,
            None => return,
        },
    };
    let atom = tree::export(program, stmts, &path, var.into());
    let ty = program.ty(array).clone();
    let indices: Vec<(Var, usize)> = ty.shape.iter().map(|&n| (program.new_var(Type::INT, None), n)).collect();
    let element = program.new_var(Type { scalar: ty.scalar, shape: Vec::new() }, None);
    let mut args = vec![atom];
    args.extend(indices.iter().map(|&(v, _)| Atom::Var(v)));
    stmts.push(Stmt::For(For {
        results: vec![array],
        indices,
        body: Block { stmts: vec![Stmt::Op { result: element, op: Op::Read, args }], results: vec![element.into()] },
        collectors: vec![Collector::Collect],
        strip: None,
    }));
}

/// A place inside the loop that carries `var`.
fn find_carried(stmts: &[Stmt], var: Var) -> Option<tree::Path> {
    for (i, stmt) in stmts.iter().enumerate() {
        if let Stmt::Loop(l) = stmt
            && l.carried.iter().any(|c| c.0 == var)
        {
            return Some(vec![(i, 0), (0, 0)]);
        }
        for (r, region) in stmt.regions().into_iter().enumerate() {
            if let Some(mut inner) = find_carried(&region.stmts, var) {
                inner.insert(0, (i, r));
                return Some(inner);
            }
        }
    }
    None
}

//! Reverse mode over Core, by redundant execution.
//!
//! The forward statements are kept (some with further results, see [`super::eager`] and [`super::sequential`]); then the
//! adjoints are pulled back statement by statement, last first. The adjoint of a `for` is a `for` over the same indices
//! whose body runs the original body again and then pulls back in it; nothing is stored but what the forward pass
//! returns anyway. An inner loop's body is thus written once in the forward pass and once more per level of nesting: code
//! grows by the depth, not exponentially, because the copy made for an outer level is itself swept only once.
//!
//! before: `v = for i<n { t = x[i]*x[i] } yield sum t`
//! after:  `v, x_adj = for i<n { t = x[i]*x[i]; a = 2*x[i] } yield sum t, collect a`

use super::AdError;
use super::activity::{passes, propagate, trace_back};
use super::contribution::{Adjoints, Contribution, Place, leave_loop, slice, zeros};
use super::eager::{Stash, Sum};
use super::rules::{self, Partial};
use super::sequential::Stored;
use crate::ir::builder::Builder;
use crate::ir::core::{Atom, Block, Collector, For, If, Program, Role, Scalar, Stmt, Var};
use crate::ir::op::Op;
use crate::ir::walk::{Substitution, copy_block, copy_stmt};
use std::collections::{HashMap, HashSet};

/// Choices of the transformation; all give the same derivative.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Differentiate scalar loops in the forward pass (true by default).
    pub eager: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { eager: true }
    }
}

/// The program that returns the value (`step.results[0]`), then one gradient per input of role `wrt` in order (of the
/// input's type), then the remaining results.
///
/// # Errors
/// The first result is no real scalar; an operation without derivative is reached; sites are left.
pub fn reverse(program: &Program, wrt: Role) -> Result<Program, AdError> {
    reverse_output(program, 0, wrt)
}

/// As [`reverse`], for the result at position `output`; the gradients stand right after it. The gradients of tuned
/// parameters' objective are made by a second call.
///
/// # Errors
/// As [`reverse`].
pub fn reverse_output(program: &Program, output: usize, wrt: Role) -> Result<Program, AdError> {
    reverse_with(program, output, wrt, Options::default())
}

/// As [`reverse_output`], with choices.
///
/// # Errors
/// As [`reverse`].
pub fn reverse_with(program: &Program, output: usize, wrt: Role, options: Options) -> Result<Program, AdError> {
    let mut program = program.clone();
    let Some(&value) = program.step.results.get(output) else {
        return Err(AdError::new("the program has no result to differentiate"));
    };
    if program.atom_type(value) != crate::ir::core::Type::REAL {
        return Err(AdError::new("the result to differentiate is not a real scalar"));
    }
    let inputs: Vec<(Var, String)> = program
        .inputs_of(wrt)
        .filter(|i| program.ty(i.var).scalar == Scalar::Real)
        .map(|i| (i.var, i.name.clone()))
        .collect();
    let step = std::mem::take(&mut program.step);
    let vars: Vec<Var> = inputs.iter().map(|&(v, _)| v).collect();
    let Block { stmts, results: gradients } = region(&mut program, &step.stmts, value, &vars, options)?;
    program.step.stmts = stmts;
    program.step.results = step.results;
    let at = output + 1;
    program.step.results.splice(at..at, gradients);
    while program.outputs.len() < at {
        program.outputs.push(String::new());
    }
    program.outputs.splice(at..at, inputs.iter().map(|(_, name)| format!("gradient {name}")));
    program.outputs.resize(program.step.results.len(), String::new());
    Ok(program)
}

/// The gradients of a region's only result, a real scalar, in variables of its own or from outside: a region with one result per
/// variable, of its type.
///
/// # Errors
/// As [`reverse`].
pub fn gradient(program: &mut Program, block: &Block, wrt: &[Var]) -> Result<Block, AdError> {
    match block.results[..] {
        [value] if program.atom_type(value) == crate::ir::core::Type::REAL => {
            region(program, &block.stmts, value, wrt, Options::default())
        }
        _ => Err(AdError::new("the result to differentiate is not a real scalar")),
    }
}

/// `stmts`, and the gradients of `value` in variables that they read.
fn region(program: &mut Program, stmts: &[Stmt], value: Atom, wrt: &[Var], options: Options) -> Result<Block, AdError> {
    let mut active: HashSet<Var> = wrt.iter().copied().collect();
    propagate(program, stmts, &mut active);
    let mut useful: HashSet<Var> = value.var().into_iter().collect();
    trace_back(program, stmts, &mut useful);
    active.retain(|v| useful.contains(v));
    let mut ad = Reverse { active, options };
    let mut b = Builder::new(program);
    let taped = ad.forward(&mut b, stmts)?;
    let mut adjoints = Adjoints::default();
    if let Atom::Var(v) = value
        && ad.active.contains(&v)
    {
        adjoints.add_whole(&b, v, Atom::Real(1.0));
    }
    ad.pull(&mut b, &taped, &mut adjoints)?;
    let mut gradients = Vec::new();
    for &v in wrt {
        let gradient = match adjoints.take(&mut b, v) {
            Some(g) => g,
            None => {
                let ty = b.program.ty(v).clone();
                zeros(&mut b, &ty)
            }
        };
        gradients.push(gradient);
    }
    Ok(Block { stmts: b.stmts, results: gradients })
}

/// An active statement of the forward pass, and what it kept for the reverse one.
pub(super) enum Taped {
    Plain(Stmt),
    /// A `for` that returned its own gradients with seed one.
    Sums(Vec<Sum>),
    Stash(Box<Stash>),
    Stored(Box<Stored>),
}

pub(super) struct Reverse {
    pub active: HashSet<Var>,
    pub options: Options,
}

impl Reverse {
    /// Variables made by copying are active where their originals are.
    pub(super) fn inherit(&mut self, map: &Substitution) {
        let new: Vec<Var> =
            map.iter().filter(|(old, _)| self.active.contains(old)).filter_map(|(_, a)| a.var()).collect();
        self.active.extend(new);
    }

    /// Emits the forward pass of `stmts` into `b`.
    pub(super) fn forward(&mut self, b: &mut Builder<'_>, stmts: &[Stmt]) -> Result<Vec<Taped>, AdError> {
        let mut taped = Vec::new();
        for stmt in stmts {
            let active = stmt.results().iter().any(|v| self.active.contains(v));
            match stmt {
                Stmt::Sample(_) | Stmt::Term(_) => {
                    return Err(AdError::new("a sample statement is left in the program to differentiate"));
                }
                Stmt::For(f) if active => match self.eager_for(b, f)? {
                    Some(t) => taped.push(t),
                    None => {
                        b.stmts.push(stmt.clone());
                        taped.push(Taped::Plain(stmt.clone()));
                    }
                },
                Stmt::Loop(l) if active => taped.push(self.forward_loop(b, l)),
                _ => {
                    b.stmts.push(stmt.clone());
                    if active {
                        taped.push(Taped::Plain(stmt.clone()));
                    }
                }
            }
        }
        Ok(taped)
    }

    /// Pulls adjoints back through statements of one region, last first.
    pub(super) fn pull(&mut self, b: &mut Builder<'_>, taped: &[Taped], adj: &mut Adjoints) -> Result<(), AdError> {
        for t in taped.iter().rev() {
            match t {
                Taped::Plain(stmt) => self.pull_stmt(b, stmt, adj)?,
                Taped::Sums(sums) => Reverse::pull_sums(b, sums, adj),
                Taped::Stash(stash) => Reverse::pull_stash(b, stash, adj),
                Taped::Stored(stored) => self.pull_loop(b, stored, adj)?,
            }
        }
        Ok(())
    }

    /// What it makes is said to be made for what the statement was made for.
    fn pull_stmt(&mut self, b: &mut Builder<'_>, stmt: &Stmt, adj: &mut Adjoints) -> Result<(), AdError> {
        b.program.here = stmt.results().first().and_then(|v| b.program.vars[v.0 as usize].span);
        let done = self.pull_stmt_here(b, stmt, adj);
        b.program.here = None;
        done
    }

    fn pull_stmt_here(&mut self, b: &mut Builder<'_>, stmt: &Stmt, adj: &mut Adjoints) -> Result<(), AdError> {
        match stmt {
            Stmt::Op { result, op, args } => {
                if let Some(r_adj) = adj.take(b, *result) {
                    self.pull_op(b, *result, *op, args, r_adj, adj)?;
                }
            }
            Stmt::Array { results, prim, args } => {
                if let Some(r_adj) = adj.take(b, results[0]) {
                    self.pull_primitive(b, results[0], prim, args, r_adj, adj)?;
                }
            }
            Stmt::Contract(c) => {
                if let Some(r_adj) = adj.take(b, c.result) {
                    self.pull_contract(b, c, r_adj, adj);
                }
            }
            Stmt::For(f) => self.pull_for(b, f, adj)?,
            Stmt::If(i) => self.pull_if(b, i, adj)?,
            Stmt::Draw(d) => {
                if let Some(r_adj) = adj.take(b, d.result)
                    && let Some(v) = d.args.first().and_then(|a| a.var())
                    && self.active.contains(&v)
                {
                    let p = rules::draw_partial(b, &d.args, d.result.into());
                    if let Some(x) = p.apply(b, r_adj) {
                        adj.add(v, Vec::new(), x);
                    }
                }
            }
            Stmt::Loop(_) | Stmt::Check { .. } | Stmt::Sample(_) | Stmt::Term(_) => {}
        }
        Ok(())
    }

    fn pull_op(
        &mut self,
        b: &mut Builder<'_>,
        result: Var,
        op: Op,
        args: &[Atom],
        r_adj: Atom,
        adj: &mut Adjoints,
    ) -> Result<(), AdError> {
        if op == Op::Read {
            if let Some(&Atom::Var(array)) = args.first()
                && self.active.contains(&array)
            {
                adj.add(array, args[1..].iter().map(|&i| Place::At(i)).collect(), r_adj);
            }
            return Ok(());
        }
        if !passes(op) {
            return Ok(());
        }
        let square = op == Op::Mul && args[0] == args[1];
        for (k, &arg) in args.iter().enumerate() {
            let Atom::Var(v) = arg else { continue };
            if !self.active.contains(&v) || (square && k == 1) {
                continue;
            }
            if square {
                let t = rules::mul(b, r_adj, arg);
                let t = rules::mul(b, t, Atom::Real(2.0));
                adj.add(v, Vec::new(), t);
                continue;
            }
            let p = rules::partial(b, op, args, result.into(), k);
            if p == Partial::Refused {
                return Err(refused(op, k));
            }
            if let Some(x) = p.apply(b, r_adj) {
                adj.add(v, Vec::new(), x);
            }
        }
        Ok(())
    }

    fn pull_for(&mut self, b: &mut Builder<'_>, f: &For, adj: &mut Adjoints) -> Result<(), AdError> {
        let mut seeds: Vec<Option<Atom>> = Vec::new();
        for &r in &f.results {
            let seed = if self.active.contains(&r) { adj.take(b, r) } else { None };
            seeds.push(seed);
        }
        if seeds.iter().all(Option::is_none) {
            return Ok(());
        }
        let firsts = self.first_extremes(b, f, &seeds);
        let mut map = Substitution::default();
        let Stmt::For(copy) = copy_stmt(b.program, &Stmt::For(f.clone()), &mut map) else { return Ok(()) };
        self.inherit(&map);
        let mut inner = Builder::new(b.program);
        let body = without_checks(&copy.body.stmts);
        let taped = self.forward(&mut inner, &body)?;
        let index: Vec<Atom> = copy.indices.iter().map(|&(v, _)| v.into()).collect();
        let mut inner_adj = Adjoints::default();
        for (k, seed) in seeds.iter().enumerate() {
            let (&Some(seed), Atom::Var(value)) = (seed, copy.body.results[k]) else { continue };
            if !self.active.contains(&value) {
                continue;
            }
            let local = match &copy.collectors[k] {
                Collector::Collect => slice(&mut inner, seed, &index),
                Collector::Sum { keep } => {
                    let kept: Vec<Atom> = keep.iter().map(|&q| index[q]).collect();
                    slice(&mut inner, seed, &kept)
                }
                Collector::SumAt { index, .. } => slice(&mut inner, seed, index),
                Collector::Max | Collector::Min => {
                    let Some(first) = firsts[k] else { continue };
                    let flat = flat_index(&mut inner, &copy.indices);
                    let hit = inner.op(Op::IEq, &[flat, first]);
                    inner.op(Op::Select, &[hit, seed, Atom::Real(0.0)])
                }
                Collector::All => continue,
            };
            inner_adj.add_whole(&inner, value, local);
        }
        self.pull(&mut inner, &taped, &mut inner_adj)?;
        let parts = inner_parts(inner, &copy.indices, inner_adj);
        finish_for(b, parts, copy.indices, adj);
        Ok(())
    }

    /// For each `max` or `min` that has a seed: the first position (row-major) where it is attained.
    pub(super) fn first_extremes(&mut self, b: &mut Builder<'_>, f: &For, seeds: &[Option<Atom>]) -> Vec<Option<Atom>> {
        let extreme = |c: &Collector| matches!(c, Collector::Max | Collector::Min);
        let wanted: Vec<usize> =
            (0..seeds.len()).filter(|&k| seeds[k].is_some() && extreme(&f.collectors[k])).collect();
        let mut firsts = vec![None; seeds.len()];
        if wanted.is_empty() {
            return firsts;
        }
        let mut map = Substitution::default();
        let Stmt::For(copy) = copy_stmt(b.program, &Stmt::For(f.clone()), &mut map) else { return firsts };
        let mut inner = Builder::new(b.program);
        inner.stmts = without_checks(&copy.body.stmts);
        let flat = flat_index(&mut inner, &copy.indices);
        let mut values = Vec::new();
        for &k in &wanted {
            let hit = inner.op(Op::Eq, &[copy.body.results[k], f.results[k].into()]);
            values.push(inner.op(Op::Select, &[hit, flat, Atom::Int(i64::MAX)]));
        }
        let block = crate::ir::core::Block { stmts: inner.stmts, results: values };
        let found = b.push_for(copy.indices, block, vec![Collector::Min; wanted.len()]);
        for (&k, &at) in wanted.iter().zip(&found) {
            firsts[k] = Some(at);
        }
        firsts
    }

    fn pull_if(&mut self, b: &mut Builder<'_>, i: &If, adj: &mut Adjoints) -> Result<(), AdError> {
        let mut seeds: Vec<Option<Atom>> = Vec::new();
        for &r in &i.results {
            let seed = if self.active.contains(&r) { adj.take(b, r) } else { None };
            seeds.push(seed);
        }
        if seeds.iter().all(Option::is_none) {
            return Ok(());
        }
        // Key of a contribution to variables outside: both branches share a result for it if all its places are too.
        type Key = (Var, Vec<Place>, Vec<usize>);
        let mut shared: HashMap<Key, usize> = HashMap::new();
        let mut slots: Vec<(Var, Vec<Place>, [Option<Atom>; 2])> = Vec::new();
        let mut index_slots: Vec<(usize, usize, usize, Atom)> = Vec::new();
        let mut blocks = Vec::new();
        for (side, block) in [&i.then, &i.otherwise].into_iter().enumerate() {
            let mut map = Substitution::default();
            let copy = copy_block(b.program, block, &mut map);
            self.inherit(&map);
            let mut inner = Builder::new(b.program);
            let body = without_checks(&copy.stmts);
            let taped = self.forward(&mut inner, &body)?;
            let mut inner_adj = Adjoints::default();
            for (&seed, &value) in seeds.iter().zip(&copy.results) {
                if let (Some(seed), Atom::Var(v)) = (seed, value)
                    && self.active.contains(&v)
                {
                    inner_adj.add_whole(&inner, v, seed);
                }
            }
            self.pull(&mut inner, &taped, &mut inner_adj)?;
            let affine = super::contribution::Affine::new(&[], &inner.stmts);
            for (var, Contribution { places, value }) in inner_adj.leave(&mut inner, &affine) {
                let inside = |p: &Place| matches!(p, Place::At(a) if affine.is_inside(*a));
                let local = places.iter().any(inside);
                let key = (var, places.clone(), inner.program.atom_type(value).shape);
                let slot = match shared.get(&key) {
                    Some(&slot) if !local => slot,
                    _ => {
                        slots.push((var, places.clone(), [None, None]));
                        slots.len() - 1
                    }
                };
                slots[slot].2[side] = Some(value);
                if local {
                    for (axis, p) in places.iter().enumerate() {
                        if let Place::At(a) = *p
                            && affine.is_inside(a)
                        {
                            index_slots.push((slot, axis, side, a));
                        }
                    }
                } else {
                    shared.insert(key, slot);
                }
            }
            blocks.push(inner.stmts);
        }
        let mut results: [Vec<Atom>; 2] = [Vec::new(), Vec::new()];
        for (_, _, values) in &slots {
            let Some(some) = values[0].or(values[1]) else { continue };
            let ty = b.program.atom_type(some);
            for side in 0..2 {
                let value = match values[side] {
                    Some(v) => v,
                    None => {
                        let mut inner = Builder::new(b.program);
                        let zero = zeros(&mut inner, &ty);
                        blocks[side].extend(inner.stmts);
                        zero
                    }
                };
                results[side].push(value);
            }
        }
        for &(_, _, side, a) in &index_slots {
            results[side].push(a);
            results[1 - side].push(Atom::Int(0));
        }
        let [then_results, else_results] = results;
        let otherwise = crate::ir::core::Block { stmts: blocks.pop().unwrap_or_default(), results: else_results };
        let then = crate::ir::core::Block { stmts: blocks.pop().unwrap_or_default(), results: then_results };
        let vars: Vec<Var> = then
            .results
            .iter()
            .map(|&a| {
                let ty = b.program.atom_type(a);
                b.program.new_var(ty, None)
            })
            .collect();
        for (n, &(slot, axis, _, _)) in index_slots.iter().enumerate() {
            slots[slot].1[axis] = Place::At(vars[slots.len() + n].into());
        }
        for ((var, places, _), &result) in slots.into_iter().zip(&vars) {
            adj.add(var, places, result.into());
        }
        b.stmts.push(Stmt::If(If { results: vars, condition: i.condition, then, otherwise }));
        Ok(())
    }
}

/// What a finished adjoint body yields.
pub(super) struct Parts {
    stmts: Vec<Stmt>,
    exported: Vec<super::contribution::Exported>,
}

pub(super) fn inner_parts(mut inner: Builder<'_>, indices: &[(Var, usize)], adjoints: Adjoints) -> Parts {
    let exported = leave_loop(&mut inner, indices, adjoints, false);
    Parts { stmts: inner.stmts, exported }
}

/// Closes an adjoint `for` and hands its results on as contributions of the enclosing region.
pub(super) fn finish_for(b: &mut Builder<'_>, parts: Parts, indices: Vec<(Var, usize)>, adj: &mut Adjoints) {
    if parts.exported.is_empty() {
        return;
    }
    let results = parts.exported.iter().map(|e| e.value).collect();
    let collectors = parts.exported.iter().map(|e| e.collector.clone()).collect();
    let block = crate::ir::core::Block { stmts: parts.stmts, results };
    let values = b.push_for(indices, block, collectors);
    for (e, value) in parts.exported.into_iter().zip(values) {
        adj.add(e.var, e.places, value);
    }
}

/// Row-major position over the indices.
fn flat_index(b: &mut Builder<'_>, indices: &[(Var, usize)]) -> Atom {
    let mut flat: Option<Atom> = None;
    for &(v, n) in indices {
        flat = Some(match flat {
            None => v.into(),
            Some(f) => {
                let f = b.op(Op::IMul, &[f, Atom::Int(i64::try_from(n).unwrap_or(i64::MAX))]);
                b.op(Op::IAdd, &[f, v.into()])
            }
        });
    }
    flat.unwrap_or(Atom::Int(0))
}

pub(super) fn refused(op: Op, k: usize) -> AdError {
    AdError::new(format!("`{}` has no derivative in its operand {}, and the gradient needs it", op.name(), k + 1))
}

/// A recomputation does not repeat checks: the forward pass has made them.
pub(super) fn without_checks(stmts: &[Stmt]) -> Vec<Stmt> {
    stmts
        .iter()
        .filter(|s| !matches!(s, Stmt::Check { .. }))
        .map(|s| {
            let mut s = s.clone();
            for region in s.regions_mut() {
                region.stmts = without_checks(&region.stmts);
            }
            s
        })
        .collect()
}

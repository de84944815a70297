//! The adjoint of a `loop`: the forward loop collects its carried values as they were at the start of
//! each iteration; a loop in the other direction carries their adjoints, runs the body again from the stored values and
//! pulls back through it.

use super::AdError;
use super::contribution::{Adjoints, leave_loop, slice, zeros};
use super::reverse::{Reverse, Taped, without_checks};
use crate::ir::builder::Builder;
use crate::ir::core::{Atom, Block, Collector, Loop, Stmt, Type, Var};
use crate::ir::walk::{Substitution, copy_block, subst};

pub(super) struct Stored {
    /// The loop as it was.
    original: Loop,
    /// Per carried value: the array of its values at the start of each iteration.
    states: Vec<Atom>,
}

impl Reverse {
    pub(super) fn forward_loop(&mut self, b: &mut Builder<'_>, l: &Loop) -> Taped {
        let mut grown = l.clone();
        let mut states = Vec::new();
        for &(v, _) in &l.carried {
            let ty = Collector::Collect.result_type(&[l.extent], b.program.ty(v));
            let result = b.program.new_var(ty, None);
            grown.results.push(result);
            grown.collectors.push(Collector::Collect);
            grown.body.results.push(v.into());
            states.push(result.into());
        }
        b.stmts.push(Stmt::Loop(grown));
        Taped::Stored(Box::new(Stored { original: l.clone(), states }))
    }

    pub(super) fn pull_loop(
        &mut self,
        b: &mut Builder<'_>,
        stored: &Stored,
        adj: &mut Adjoints,
    ) -> Result<(), AdError> {
        let l = &stored.original;
        let n = l.carried.len();
        let mut seeds: Vec<Option<Atom>> = Vec::new();
        for &r in &l.results {
            let seed = if self.active.contains(&r) { adj.take(b, r) } else { None };
            seeds.push(seed);
        }
        if seeds.iter().all(Option::is_none) {
            return Ok(());
        }
        let new_index = b.program.new_var(Type::INT, None);
        // Carried adjoints: of each active carried variable.
        let carried: Vec<usize> = (0..n).filter(|&k| self.active.contains(&l.carried[k].0)).collect();
        let mut init = Vec::new();
        let mut vars = Vec::new();
        for &k in &carried {
            let ty = b.program.ty(l.carried[k].0).clone();
            let start = match seeds[k] {
                Some(seed) => seed,
                None => zeros(b, &ty),
            };
            let var = b.program.new_var(ty, None);
            vars.push(var);
            init.push((var, start));
        }
        let mut inner = Builder::new(b.program);
        let index: Atom = new_index.into();
        let mut start_map = Substitution::default();
        start_map.insert(l.index, index);
        for (k, &(v, _)) in l.carried.iter().enumerate() {
            let value = slice(&mut inner, stored.states[k], &[index]);
            if let (Atom::Var(new), true) = (value, self.active.contains(&v)) {
                self.active.insert(new);
            }
            start_map.insert(v, value);
        }
        let mut moved = start_map.clone();
        let body = copy_block(inner.program, &l.body, &mut moved);
        self.inherit(&moved);
        let stmts = without_checks(&body.stmts);
        let taped = self.forward(&mut inner, &stmts)?;
        let mut inner_adj = Adjoints::default();
        let mut seed = |inner: &Builder<'_>, this: &Reverse, atom: Atom, value: Atom| {
            if let Atom::Var(v) = atom
                && this.active.contains(&v)
            {
                inner_adj.add_whole(inner, v, value);
            }
        };
        for (&k, &var) in carried.iter().zip(&vars) {
            seed(&inner, self, body.results[k], var.into());
        }
        let mut collectors = Vec::new();
        for (c, collector) in l.collectors.iter().enumerate() {
            let collector = match collector {
                Collector::SumAt { index, shape } => {
                    Collector::SumAt { index: index.iter().map(|&a| subst(&moved, a)).collect(), shape: shape.clone() }
                }
                other => other.clone(),
            };
            collectors.push(collector);
            let Some(r_adj) = seeds[n + c] else { continue };
            let local = match &collectors[c] {
                Collector::Collect => slice(&mut inner, r_adj, &[index]),
                Collector::SumAt { index, .. } => slice(&mut inner, r_adj, index),
                Collector::Sum { .. } => r_adj,
                Collector::Max | Collector::Min | Collector::All => {
                    return Err(AdError::new("a loop that yields max, min or all has no derivative"));
                }
            };
            seed(&inner, self, body.results[n + c], local);
        }
        self.pull(&mut inner, &taped, &mut inner_adj)?;
        let mut next = Vec::new();
        for &k in &carried {
            let v = l.carried[k].0;
            let value = match start_map[&v] {
                Atom::Var(local) => inner_adj.take(&mut inner, local),
                _ => None,
            };
            let value = match value {
                Some(value) => value,
                None => {
                    let ty = inner.program.ty(v).clone();
                    zeros(&mut inner, &ty)
                }
            };
            next.push(value);
        }
        let indices: [(Var, usize); 1] = [(new_index, l.extent)];
        let exported = leave_loop(&mut inner, &indices, inner_adj, true);
        let mut results = next;
        results.extend(exported.iter().map(|e| e.value));
        let block = Block { stmts: inner.stmts, results };
        let collectors = exported.iter().map(|e| e.collector.clone()).collect();
        let values = b.push_loop(new_index, l.extent, init, block, collectors, !l.reverse);
        for (&k, &value) in carried.iter().zip(&values) {
            if let (_, Atom::Var(v)) = l.carried[k]
                && self.active.contains(&v)
            {
                adj.add_whole(b, v, value);
            }
        }
        for (e, &value) in exported.into_iter().zip(&values[carried.len()..]) {
            adj.add(e.var, e.places, value);
        }
        Ok(())
    }
}

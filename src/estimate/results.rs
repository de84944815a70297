//! Results of the calls of a site that is eliminated by [`super::distribute`], for what it remembers and learns: for each
//! element and each call, the sum of the terms at the value passed, in the mean over all other such sites.

use super::distribute::Enumeration;
use super::fresh;
use super::memory::Keeper;
use super::pull::{Element, Interrupt, Pulled, Scope, Task};
use crate::ir::builder::Builder;
use crate::ir::core::{Atom, Block, Collector, For, Scalar, Stmt, Type, Var};
use crate::ir::op::Op;
use std::collections::{BTreeSet, HashMap};

/// By the variable that stands for the result: an array over the site's loops and the call's.
pub(crate) type Results = HashMap<Var, Atom>;

impl Enumeration<'_, '_, '_> {
    /// Statements, and the results of each keeper's calls.
    pub(crate) fn results_of_calls(
        &mut self,
        tasks: &[Task],
        keepers: &[(usize, Keeper)],
    ) -> Pulled<(Vec<Stmt>, Vec<Results>)> {
        let mut all = Vec::new();
        for (site, keeper) in keepers {
            let mut parts: HashMap<Var, Vec<Atom>> = HashMap::new();
            let mut left: Vec<Task> = tasks.iter().rev().cloned().collect();
            while let Some(task) = left.pop() {
                match self.shots_of(&task, *site, keeper, &mut parts) {
                    Ok(()) => {}
                    Err(deeper @ Interrupt::Deeper { .. }) => return Err(deeper),
                    Err(other) => {
                        self.pull.split_task(other, task, &mut left).map_err(|d| Interrupt::Fail(Box::new(d)))?;
                    }
                }
            }
            let mut results = Results::new();
            for &(call, placeholder) in &keeper.form.results {
                let extents = self.whole(*site, call);
                let arrays = parts.remove(&placeholder).unwrap_or_default();
                let total = self.added(arrays, &extents);
                results.insert(placeholder, total);
            }
            all.push(results);
        }
        Ok((std::mem::take(&mut self.pull.scopes[0].stmts), all))
    }

    /// Extents of the site's loops, then the call's.
    fn whole(&self, site: usize, call: usize) -> Vec<usize> {
        let mut extents = self.site_extents(site);
        extents.extend(&self.sites[site].form.calls[call].extents);
        extents
    }

    fn site_extents(&self, site: usize) -> Vec<usize> {
        let result = self.sites[site].sample.results[0];
        let home = self.pull.defs.home(result).to_vec();
        home.iter()
            .flat_map(|&c| super::definitions::compound_indices(&self.pull.defs.compounds[c]))
            .map(|(_, n)| n)
            .collect()
    }

    fn added(&mut self, arrays: Vec<Atom>, extents: &[usize]) -> Atom {
        let mut b = Builder::new(&mut self.pull.d.program);
        let sum = |b: &mut Builder<'_>, at: &[Atom]| {
            let mut total = Atom::Real(0.0);
            for &a in &arrays {
                let x = if at.is_empty() { a } else { b.read(a, at) };
                total = b.op(Op::Add, &[total, x]);
            }
            total
        };
        let result = if extents.is_empty() {
            sum(&mut b, &[])
        } else {
            b.for_(extents, vec![Collector::Collect], |b, at| vec![sum(b, at)])[0]
        };
        let stmts = std::mem::take(&mut b.stmts);
        self.pull.scopes[0].stmts.extend(stmts);
        result
    }

    /// Adds what the terms of one place contribute.
    fn shots_of(
        &mut self,
        task: &Task,
        site: usize,
        keeper: &Keeper,
        parts: &mut HashMap<Var, Vec<Atom>>,
    ) -> Pulled<()> {
        let (indices, env) = self.pull.open_task(task);
        let (analysed, groups) = self.groups(task, &env)?;
        let mut yielded: Vec<(Element, Var, Atom)> = Vec::new();
        for (set, terms) in groups {
            let own: Vec<usize> = set.iter().copied().filter(|&i| analysed.elements[i].site == site).collect();
            for e in own {
                let element = analysed.elements[e].clone();
                let rest: BTreeSet<usize> = set.iter().copied().filter(|&i| i != e).collect();
                let at_element = self.element_env(&element);
                for &(k, placeholder) in &keeper.form.results {
                    let call = self.sites[site].form.calls[k].clone();
                    let loops: Vec<(Var, usize)> =
                        call.extents.iter().map(|&n| (self.pull.d.program.new_var(Type::INT, None), n)).collect();
                    for &(v, n) in &loops {
                        self.pull.ranges.insert(v, n);
                    }
                    let l: Vec<Atom> = loops.iter().map(|&(v, _)| v.into()).collect();
                    self.pull.scopes.push(Scope::default());
                    let mark = self.pull.assigned.len();
                    let shots = self.pull.shots.len();
                    if fresh::shoots(&self.sites[site].form, &call) {
                        let at = loops.iter().map(|&(v, n)| (Atom::Var(v), n)).collect();
                        self.pull.shots.push(fresh::Shot { site, at });
                    }
                    let mut values = Vec::new();
                    for &a in &call.args {
                        values.push(self.at_call(a, &l, &at_element)?);
                    }
                    self.pull.assigned.push((element.clone(), values));
                    let part = Task { terms: terms.clone(), ..task.clone() };
                    let value = self.expectation(&analysed, &rest, &part, &env)?;
                    self.pull.assigned.truncate(mark);
                    self.pull.shots.truncate(shots);
                    let value = self.close_collected(loops, value);
                    yielded.push((element.clone(), placeholder, value));
                }
            }
        }
        let scope = self.pull.scopes.pop().unwrap_or_default();
        if yielded.is_empty() {
            return Ok(());
        }
        let shape = self.site_extents(site);
        if indices.is_empty() {
            for stmt in scope.stmts {
                self.pull.push(stmt);
            }
            for (element, placeholder, value) in yielded {
                let placed = self.placed(value, &element.at, &shape);
                parts.entry(placeholder).or_default().push(placed);
            }
            return Ok(());
        }
        let mut results = Vec::new();
        let mut collectors = Vec::new();
        let mut values = Vec::new();
        let extents: Vec<usize> = indices.iter().map(|i| i.1).collect();
        for (element, placeholder, value) in yielded {
            let collector = if shape.is_empty() {
                Collector::Sum { keep: Vec::new() }
            } else {
                Collector::SumAt { index: element.at, shape: shape.clone() }
            };
            let ty = collector.result_type(&extents, &self.pull.d.program.atom_type(value));
            let result = self.pull.d.program.new_var(ty, None);
            results.push(result);
            collectors.push(collector);
            values.push(value);
            parts.entry(placeholder).or_default().push(result.into());
        }
        let body = Block { stmts: scope.stmts, results: values };
        self.pull.push(Stmt::For(For { results, indices, body, collectors, strip: None }));
        Ok(())
    }

    /// Closes the open scope as an array over a call's own loops.
    fn close_collected(&mut self, indices: Vec<(Var, usize)>, value: Atom) -> Atom {
        let scope = self.pull.scopes.pop().unwrap_or_default();
        if indices.is_empty() {
            for stmt in scope.stmts {
                self.pull.push(stmt);
            }
            return value;
        }
        let extents: Vec<usize> = indices.iter().map(|i| i.1).collect();
        let result = self.pull.d.program.new_var(Type::array(Scalar::Real, extents), None);
        self.pull.push(Stmt::For(For {
            results: vec![result],
            indices,
            body: Block { stmts: scope.stmts, results: vec![value] },
            collectors: vec![Collector::Collect],
            strip: None,
        }));
        result.into()
    }

    /// A value at one place of an array over the site's loops, zero elsewhere.
    fn placed(&mut self, value: Atom, place: &[Atom], shape: &[usize]) -> Atom {
        if shape.is_empty() {
            return value;
        }
        let own = self.pull.d.program.atom_type(value).shape;
        let all: Vec<usize> = shape.iter().chain(&own).copied().collect();
        let mut b = Builder::new(&mut self.pull.d.program);
        let result = b.for_(&all, vec![Collector::Collect], |b, at| {
            let mut here = Atom::Bool(true);
            for (&i, &p) in at.iter().zip(place) {
                let same = b.op(Op::IEq, &[i, p]);
                here = b.op(Op::And, &[here, same]);
            }
            let x = if own.is_empty() { value } else { b.read(value, &at[shape.len()..]) };
            vec![b.op(Op::Select, &[here, x, Atom::Real(0.0)])]
        })[0];
        let stmts = std::mem::take(&mut b.stmts);
        for stmt in stmts {
            self.pull.push(stmt);
        }
        result
    }
}

//! Memory of sites: what a strategy remembers (`next`) and learns, computed from the results of its continuation.
//!
//! The result of a call is the sum of the terms that depend on the site's element ([`Deriver::results_of`]), which is
//! what its coefficients multiply. Next states are means over executions: over all loops around the site but those that
//! index its memory. The objective of `learn` is the sum over memories of such means.
//!
//! Before: `x = sample … by reinforce_running; term t(x)`. After: besides value and companions, `next = decay b + (1 - decay) t`.

use super::dependence::{Analysis, At, Dependence, disjoint};
use super::{Deriver, Site, factor};
use crate::diagnostic::Diagnostic;
use crate::eliminate::tree::{self, Around, find_term};
use crate::ir::builder::Builder;
use crate::ir::core::{Atom, Block, Collector, For, Scalar, Stmt, Type, Var};
use crate::ir::op::Op;
use crate::ir::walk::{Substitution, copy_stmt, subst};
use crate::specialize::sites::{StrategyForm, Target};
use std::collections::{BTreeMap, HashMap, HashSet};

/// What a region computed for a memory: sums over the region's loops but those that tell memories apart.
pub(crate) struct Remembered {
    target: Target,
    /// `[kept…, own…]`
    sum: Var,
    /// `[kept…]`: how many executions were added up.
    count: Var,
    /// Of the site's loops, outermost first: which tell memories apart; the region's are the last ones.
    kept: Vec<bool>,
    entry: u32,
}

/// A site with memory whose sample has been replaced.
pub(crate) struct Keeper {
    /// The sample's values.
    pub values: Vec<Var>,
    pub form: StrategyForm,
    pub entry: u32,
    /// Number of loops around the sample, in the whole program.
    pub depth: usize,
}

impl Keeper {
    pub(crate) fn of(site: &Site) -> Option<Keeper> {
        (!site.form.after.is_empty()).then(|| Keeper {
            values: site.sample.results.clone(),
            form: StrategyForm { stmts: Vec::new(), ..site.form.clone() },
            entry: site.sample.entry,
            depth: site.sample.index.len(),
        })
    }

    /// Everything that the strategy's form and what it remembers mention.
    pub(crate) fn reads(&self) -> HashSet<Var> {
        let calls = self.form.calls.iter().flat_map(|c| c.args.iter().copied().chain(c.primal).chain(c.stopped));
        let mut all: HashSet<Var> = calls.filter_map(Atom::var).collect();
        for after in &self.form.after {
            all.extend(after.atom.var());
            after.stmts.iter().for_each(|s| all.extend(s.free_vars()));
        }
        all
    }
}

impl Deriver<'_> {
    /// Computes what a one-shot site remembers and learns, at the end of the region.
    pub(crate) fn remember(&mut self, stmts: &mut Vec<Stmt>, site: &Keeper) -> Result<(), Diagnostic> {
        let Some(path) = tree::find(stmts, site.values[0]) else { return Ok(()) };
        let loops = tree::loops_around(stmts, &path);
        let mut results: BTreeMap<Var, Atom> = BTreeMap::new();
        let mut end = Vec::new();
        if !site.form.results.is_empty() {
            let v = self.results_of(stmts, &site.values, &loops, &mut end);
            for &(_, placeholder) in &site.form.results {
                results.insert(placeholder, v);
            }
        }
        self.afterwards(stmts, &mut end, site, &path, &results)?;
        stmts.append(&mut end);
        Ok(())
    }

    /// Evaluates `next` and `learn` for every element of the site whose sample stands at `path`, given the results of calls as
    /// arrays over the site's loops (and the call's own). The statements go to `end`, what they need is made visible.
    pub(crate) fn afterwards(
        &mut self,
        stmts: &mut [Stmt],
        end: &mut Vec<Stmt>,
        site: &Keeper,
        path: &[(usize, usize)],
        results: &BTreeMap<Var, Atom>,
    ) -> Result<(), Diagnostic> {
        let loops = tree::loops_around(stmts, path);
        let extents: Vec<usize> = loops.iter().map(|l| l.extent).collect();
        let executed = tree::export(&mut self.program, stmts, path, Atom::Bool(true));
        let always = !under_condition(stmts, path);
        let outer = site.depth.saturating_sub(loops.len());
        let kept: Vec<bool> = (0..site.depth).map(|p| site.form.kept.contains(&p)).collect();
        let inner_kept: Vec<usize> = (0..loops.len()).filter(|&p| kept.get(outer + p) == Some(&true)).collect();
        for after in &site.form.after {
            // What the statements mention, made visible.
            let mut free: Vec<Var> = Vec::new();
            let mut defined: HashSet<Var> = HashSet::new();
            for s in &after.stmts {
                let mut all: Vec<Var> = s.free_vars().into_iter().collect();
                all.sort();
                free.extend(all.into_iter().filter(|v| !defined.contains(v)));
                defined.extend(s.results());
            }
            free.extend(after.atom.var().filter(|v| !defined.contains(v)));
            free.sort();
            free.dedup();
            let inputs: HashSet<Var> = self.program.inputs.iter().map(|i| i.var).collect();
            let mut shown: Vec<(Var, Atom)> = Vec::new();
            for &v in &free {
                if results.contains_key(&v) || inputs.contains(&v) || loops.iter().any(|l| l.index == v) {
                    continue;
                }
                if tree::find(stmts, v).is_some_and(|p| p.len() == 1) || !self.defined_inside(stmts, v) {
                    continue;
                }
                let array = tree::export(&mut self.program, stmts, path, v.into());
                shown.push((v, array));
            }
            let indices: Vec<(Var, usize)> =
                extents.iter().map(|&n| (self.program.new_var(Type::INT, None), n)).collect();
            let at: Vec<Atom> = indices.iter().map(|&(v, _)| v.into()).collect();
            let mut map = Substitution::default();
            let mut body = Vec::new();
            for (l, &a) in loops.iter().zip(&at) {
                map.insert(l.index, a);
            }
            let mut ordered: Vec<(Var, Atom)> = results.iter().map(|(&p, &a)| (p, a)).collect();
            ordered.sort_by_key(|r| r.0);
            for (placeholder, array) in ordered {
                let shape = self.program.ty(placeholder).shape.clone();
                let value = self.read_element(&mut body, array, &at, &shape);
                map.insert(placeholder, value);
            }
            for &(v, array) in &shown {
                let shape = self.program.ty(v).shape.clone();
                let value = self.read_element(&mut body, array, &at, &shape);
                map.insert(v, value);
            }
            for s in &after.stmts {
                let copy = copy_stmt(&mut self.program, s, &mut map);
                body.push(copy);
            }
            let mut value = subst(&map, after.atom);
            let own = self.program.atom_type(value).shape;
            let mut one = Atom::Real(1.0);
            if !always {
                let here = if at.is_empty() {
                    executed
                } else {
                    let mut args = vec![executed];
                    args.extend(&at);
                    self.emit(&mut body, Op::Read, &args)
                };
                one = self.emit(&mut body, Op::Select, &[here, Atom::Real(1.0), Atom::Real(0.0)]);
                value = self.chosen(&mut body, here, value, &own);
            }
            let (sum, count) = if indices.is_empty() {
                end.append(&mut body);
                (self.held(end, value), self.held(end, one))
            } else {
                let collector = Collector::Sum { keep: inner_kept.clone() };
                let value_ty = self.program.atom_type(value);
                let sum = self.program.new_var(collector.result_type(&extents, &value_ty), None);
                let count = self.program.new_var(collector.result_type(&extents, &Type::REAL), None);
                end.push(Stmt::For(For {
                    results: vec![sum, count],
                    indices,
                    body: Block { stmts: body, results: vec![value, one] },
                    collectors: vec![collector.clone(), collector],
                    strip: None,
                }));
                (sum, count)
            };
            self.remembered.push(Remembered {
                target: after.target,
                sum,
                count,
                kept: kept.clone(),
                entry: site.entry,
            });
        }
        Ok(())
    }

    fn defined_inside(&self, stmts: &[Stmt], v: Var) -> bool {
        fn carried(stmts: &[Stmt], v: Var) -> bool {
            stmts.iter().any(|s| {
                let own = match s {
                    Stmt::Loop(l) => l.index == v || l.carried.iter().any(|c| c.0 == v),
                    Stmt::For(f) => f.indices.iter().any(|i| i.0 == v),
                    _ => false,
                };
                own || s.regions().iter().any(|r| carried(&r.stmts, v))
            })
        }
        tree::find(stmts, v).is_some() || carried(stmts, v)
    }

    /// A variable of its own for a value.
    fn held(&mut self, out: &mut Vec<Stmt>, value: Atom) -> Var {
        let ty = self.program.atom_type(value);
        let name = self.program.new_var(ty, None);
        let copy = self.named_copy(name, value);
        out.push(copy);
        name
    }

    fn read_element(&mut self, out: &mut Vec<Stmt>, array: Atom, at: &[Atom], shape: &[usize]) -> Atom {
        if at.is_empty() { array } else { self.read_whole(out, array, at, shape) }
    }

    /// The value where `here` holds, else zero.
    fn chosen(&mut self, out: &mut Vec<Stmt>, here: Atom, value: Atom, shape: &[usize]) -> Atom {
        let mut b = Builder::new(&mut self.program);
        let result = if shape.is_empty() {
            b.op(Op::Select, &[here, value, Atom::Real(0.0)])
        } else {
            b.for_(shape, vec![Collector::Collect], |b, at| {
                let x = b.read(value, at);
                vec![b.op(Op::Select, &[here, x, Atom::Real(0.0)])]
            })[0]
        };
        out.append(&mut b.stmts);
        result
    }

    /// For each element of a site, the sum of the terms that depend on it: an array over the site's loops.
    fn results_of(&mut self, stmts: &mut [Stmt], values: &[Var], loops: &[Around], end: &mut Vec<Stmt>) -> Atom {
        let tainted = tree::taint(stmts, values.iter().copied().collect());
        let mut operations = HashMap::new();
        tree::operations(stmts, &mut operations);
        let terms: Vec<(Atom, Dependence)> = Analysis::run(&self.program, stmts, values, loops, &operations, &tainted)
            .into_iter()
            .filter(|t| !t.atom.var().is_some_and(|v| self.zero_terms.contains(&v)))
            .map(|t| (t.atom, disjoint(&t.on, loops.len())))
            .collect();
        let extents: Vec<usize> = loops.iter().map(|l| l.extent).collect();
        // (array over the loops at these positions)
        let mut parts: Vec<(Vec<usize>, Atom)> = Vec::new();
        for (atom, on) in terms {
            let Some(path) = find_term(stmts, atom) else { continue };
            let around = tree::loops_around(stmts, &path);
            let array = tree::export(&mut self.program, stmts, &path, atom);
            for pattern in on {
                self.scatter(end, array, &around, loops, &pattern, &mut parts);
            }
        }
        if extents.is_empty() {
            let all = parts.into_iter().map(|p| p.1).collect();
            return self.add_all(end, all);
        }
        let mut b = Builder::new(&mut self.program);
        let result = b.for_(&extents, vec![Collector::Collect], |b, at| {
            let mut total = Atom::Real(0.0);
            for (axes, array) in &parts {
                let here: Vec<Atom> = axes.iter().map(|&p| at[p]).collect();
                let x = if here.is_empty() { *array } else { b.read(*array, &here) };
                total = b.op(Op::Add, &[total, x]);
            }
            vec![total]
        })[0];
        end.append(&mut b.stmts);
        result
    }

    /// Adds a term (an array over its own loops) to the elements that it depends on.
    fn scatter(
        &mut self,
        end: &mut Vec<Stmt>,
        array: Atom,
        around: &[Around],
        loops: &[Around],
        pattern: &[At],
        parts: &mut Vec<(Vec<usize>, Atom)>,
    ) {
        let visible = |base: Option<Var>| base.is_none_or(|v| around.iter().any(|a| a.index == v));
        let reach = pattern.iter().filter(|p| matches!(p, At::Index { up_to: true, .. })).count();
        let known = reach <= 1
            && pattern.iter().all(|p| match *p {
                At::Index { base, .. } => visible(base),
                At::Axis { .. } => false,
                At::Any => true,
            });
        let axes: Vec<usize> = if known {
            (0..pattern.len()).filter(|&p| matches!(pattern[p], At::Index { .. })).collect()
        } else {
            Vec::new()
        };
        let shape: Vec<usize> = axes.iter().map(|&p| loops[p].extent).collect();
        let own: Vec<usize> = around.iter().map(|a| a.extent).collect();
        let mut b = Builder::new(&mut self.program);
        let place = |b: &mut Builder<'_>, at: &[Atom]| -> (Atom, Vec<Atom>) {
            let mut inside = Atom::Bool(true);
            let mut index = Vec::new();
            for &p in &axes {
                let At::Index { base, offset, up_to } = pattern[p] else { continue };
                let n = i64::try_from(loops[p].extent).unwrap_or(i64::MAX);
                let from = match base {
                    None => Atom::Int(0),
                    Some(v) => around.iter().position(|a| a.index == v).map_or(Atom::Int(0), |k| at[k]),
                };
                let i = match from {
                    Atom::Int(c) => Atom::Int(c + offset),
                    a if offset == 0 => a,
                    a => b.op(Op::IAdd, &[a, Atom::Int(offset)]),
                };
                let low = b.op(Op::ILe, &[Atom::Int(0), i]);
                inside = b.op(Op::And, &[inside, low]);
                if !up_to {
                    let high = b.op(Op::ILt, &[i, Atom::Int(n)]);
                    inside = b.op(Op::And, &[inside, high]);
                }
                let least = b.op(Op::IMax, &[i, Atom::Int(0)]);
                index.push(b.op(Op::IMin, &[least, Atom::Int(n - 1)]));
            }
            (inside, index)
        };
        let mut result = if shape.is_empty() {
            if own.is_empty() {
                array
            } else {
                b.for_(&own, vec![Collector::Sum { keep: Vec::new() }], |b, at| vec![b.read(array, at)])[0]
            }
        } else if own.is_empty() {
            let (inside, index) = place(&mut b, &[]);
            b.for_(&shape, vec![Collector::Collect], |b, at| {
                let mut here = inside;
                for (&a, &i) in at.iter().zip(&index) {
                    let same = b.op(Op::IEq, &[a, i]);
                    here = b.op(Op::And, &[here, same]);
                }
                vec![b.op(Op::Select, &[here, array, Atom::Real(0.0)])]
            })[0]
        } else {
            // The places of all elements first: a collector's index is one of the body's variables.
            let indices: Vec<(Var, usize)> = own.iter().map(|&n| (b.program.new_var(Type::INT, None), n)).collect();
            let at: Vec<Atom> = indices.iter().map(|&(v, _)| v.into()).collect();
            let before = std::mem::take(&mut b.stmts);
            let (inside, index) = place(&mut b, &at);
            let x = b.read(array, &at);
            let x = b.op(Op::Select, &[inside, x, Atom::Real(0.0)]);
            let stmts = std::mem::replace(&mut b.stmts, before);
            let ty = Type::array(Scalar::Real, shape.clone());
            let result = b.program.new_var(ty, None);
            b.stmts.push(Stmt::For(For {
                results: vec![result],
                indices,
                body: Block { stmts, results: vec![x] },
                collectors: vec![Collector::SumAt { index, shape: shape.clone() }],
                strip: None,
            }));
            result.into()
        };
        end.append(&mut b.stmts);
        // What reaches up to an index counts for all before it.
        if known && let Some(k) = axes.iter().position(|&p| matches!(pattern[p], At::Index { up_to: true, .. })) {
            result = factor::running_sums(self, end, result, &shape, k, true);
        }
        parts.push((axes, result));
    }

    /// Next states and the objective of tuned parameters, at the end of the program: `(learn, next states in order)`.
    pub(crate) fn memories(&mut self, stmts: &mut Vec<Stmt>) -> Result<(Atom, Vec<(String, Atom)>), Diagnostic> {
        let mut learn: Vec<Atom> = Vec::new();
        let mut next: HashMap<Var, Atom> = HashMap::new();
        for r in std::mem::take(&mut self.remembered) {
            let Some(path) = tree::find(stmts, r.sum) else {
                let about = self.sites.describe(r.entry);
                return Err(Diagnostic::error(
                    "E0290",
                    about.span,
                    format!("`{}` keeps a memory, and stands in a loop that depends on enumerated sites: this is not supported yet", about.address),
                )
                .fix("use a strategy without memory for it, or a one-shot strategy for the enumerated sites"));
            };
            let around = tree::loops_around(stmts, &path);
            let sum = tree::export(&mut self.program, stmts, &path, r.sum.into());
            let count = tree::export(&mut self.program, stmts, &path, r.count.into());
            let keep: Vec<usize> = (0..around.len()).filter(|&p| r.kept.get(p) == Some(&true)).collect();
            let extents: Vec<usize> = around.iter().map(|a| a.extent).collect();
            let (sum, count) = if extents.is_empty() {
                (sum, count)
            } else {
                (self.summed(stmts, sum, &extents, &keep), self.summed(stmts, count, &extents, &keep))
            };
            // Axes of the count are the memories'; the rest of the sum's are the value's own.
            let memories = self.program.atom_type(count).shape;
            match r.target {
                Target::Next(state) => {
                    let shape = self.program.ty(state).shape.clone();
                    if self.program.atom_type(sum).shape != shape {
                        let about = self.sites.describe(r.entry);
                        return Err(Diagnostic::error(
                            "E0390",
                            about.span,
                            "a state and its next value have different shapes",
                        ));
                    }
                    let value = self.mean_or(stmts, sum, count, &memories, &shape, Some(state));
                    next.insert(state, value);
                }
                Target::Learn => {
                    let each = self.mean_or(stmts, sum, count, &memories, &memories, None);
                    if memories.is_empty() {
                        learn.push(each);
                    } else {
                        let mut b = Builder::new(&mut self.program);
                        let total = b
                            .for_(&memories, vec![Collector::Sum { keep: Vec::new() }], |b, at| vec![b.read(each, at)])
                            [0];
                        stmts.append(&mut b.stmts);
                        learn.push(total);
                    }
                }
            }
        }
        let learn = self.add_all(stmts, learn);
        let states: Vec<(Var, String)> =
            self.program.inputs_of(crate::ir::core::Role::State).map(|i| (i.var, i.name.clone())).collect();
        let next = states
            .into_iter()
            .map(|(v, name)| (format!("next {name}"), next.get(&v).copied().unwrap_or(v.into())))
            .collect();
        Ok((learn, next))
    }

    fn summed(&mut self, stmts: &mut Vec<Stmt>, array: Atom, extents: &[usize], keep: &[usize]) -> Atom {
        let own = self.program.atom_type(array).shape[extents.len()..].to_vec();
        let indices: Vec<(Var, usize)> = extents.iter().map(|&n| (self.program.new_var(Type::INT, None), n)).collect();
        let at: Vec<Atom> = indices.iter().map(|&(v, _)| v.into()).collect();
        let mut body = Vec::new();
        let value = self.read_whole(&mut body, array, &at, &own);
        let collector = Collector::Sum { keep: keep.to_vec() };
        let ty = collector.result_type(extents, &self.program.atom_type(value));
        let result = self.program.new_var(ty, None);
        stmts.push(Stmt::For(For {
            results: vec![result],
            indices,
            body: Block { stmts: body, results: vec![value] },
            collectors: vec![collector],
            strip: None,
        }));
        result.into()
    }

    /// `sum / count`, element by element; where nothing was executed, what was there before (or zero).
    fn mean_or(
        &mut self,
        stmts: &mut Vec<Stmt>,
        sum: Atom,
        count: Atom,
        memories: &[usize],
        shape: &[usize],
        before: Option<Var>,
    ) -> Atom {
        let mut b = Builder::new(&mut self.program);
        let one = |b: &mut Builder<'_>, at: &[Atom]| {
            let read = |b: &mut Builder<'_>, a: Atom, at: &[Atom]| if at.is_empty() { a } else { b.read(a, at) };
            let s = read(b, sum, at);
            let n = read(b, count, &at[..memories.len()]);
            let old = before.map_or(Atom::Real(0.0), |v| read(b, v.into(), at));
            let some = b.op(Op::Lt, &[Atom::Real(0.0), n]);
            let safe = b.op(Op::Max, &[n, Atom::Real(1.0)]);
            let mean = b.op(Op::Div, &[s, safe]);
            b.op(Op::Select, &[some, mean, old])
        };
        let result = if shape.is_empty() {
            one(&mut b, &[])
        } else {
            b.for_(shape, vec![Collector::Collect], |b, at| vec![one(b, at)])[0]
        };
        stmts.append(&mut b.stmts);
        result
    }
}

/// Whether a condition stands around the place.
fn under_condition(stmts: &[Stmt], path: &[(usize, usize)]) -> bool {
    let mut list = stmts;
    for &(i, r) in &path[..path.len().saturating_sub(1)] {
        if matches!(list[i], Stmt::If(_)) {
            return true;
        }
        match list[i].regions().get(r) {
            Some(block) => list = &block.stmts,
            None => return false,
        }
    }
    false
}

//! Which elements of a site each term depends on, for one-shot sites. The answer may be too large (a companion term of a
//! term that does not depend on the site has mean zero), never too small.
//!
//! A site in loops `i, t` has elements `x[i, t]`. A dependence is a set of patterns, one index description per loop of
//! the site: at an index, at all up to an index (through values carried by a `loop`), or any.

use crate::eliminate::tree::{Around, affine};
use crate::ir::core::{Atom, Collector, Prim, Program, Stmt, Var};
use crate::ir::op::Op;
use std::collections::{HashMap, HashSet};

/// Where along one loop of the site.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum At {
    /// Index of the array's own axis, plus an offset.
    Axis {
        axis: usize,
        offset: i64,
        up_to: bool,
    },
    /// `base + offset` (a constant if there is no base).
    Index {
        base: Option<Var>,
        offset: i64,
        up_to: bool,
    },
    Any,
}

pub type Pattern = Vec<At>;
/// Empty: no dependence.
pub type Dependence = Vec<Pattern>;

/// A term and what it depends on.
#[derive(Clone, Debug)]
pub struct TermDependence {
    pub atom: Atom,
    pub on: Dependence,
}

const MOST_PATTERNS: usize = 8;

pub struct Analysis<'a> {
    program: &'a Program,
    loops: &'a [Around],
    operations: &'a HashMap<Var, (Op, Vec<Atom>)>,
    /// All variables that depend on the site at all.
    tainted: &'a HashSet<Var>,
    map: HashMap<Var, Dependence>,
    terms: Vec<TermDependence>,
}

impl<'a> Analysis<'a> {
    /// `seeds`: the variables that hold the sample inside its loops.
    pub fn run(
        program: &'a Program,
        stmts: &[Stmt],
        seeds: &[Var],
        loops: &'a [Around],
        operations: &'a HashMap<Var, (Op, Vec<Atom>)>,
        tainted: &'a HashSet<Var>,
    ) -> Vec<TermDependence> {
        let own: Pattern = loops.iter().map(|l| At::Index { base: Some(l.index), offset: 0, up_to: false }).collect();
        let map = seeds.iter().map(|&s| (s, vec![own.clone()])).collect();
        let mut analysis = Analysis { program, loops, operations, tainted, map, terms: Vec::new() };
        analysis.stmts(stmts, &Vec::new(), true);
        analysis.terms
    }

    fn of(&self, atom: Atom) -> Dependence {
        atom.var().and_then(|v| self.map.get(&v).cloned()).unwrap_or_default()
    }

    fn whole(&self) -> Dependence {
        vec![vec![At::Any; self.loops.len()]]
    }

    fn set(&mut self, var: Var, on: Dependence) {
        if self.tainted.contains(&var) && !self.map.contains_key(&var) || !on.is_empty() {
            let on = if on.is_empty() { self.whole() } else { on };
            self.map.insert(var, on);
        }
    }

    fn join(&self, parts: &[Dependence]) -> Dependence {
        let mut all: Vec<Pattern> = parts.concat();
        all.sort();
        all.dedup();
        if all.len() > MOST_PATTERNS { self.whole() } else { all }
    }

    fn stmts(&mut self, stmts: &[Stmt], control: &Dependence, record: bool) {
        for stmt in stmts {
            self.stmt(stmt, control, record);
        }
    }

    fn stmt(&mut self, stmt: &Stmt, control: &Dependence, record: bool) {
        match stmt {
            Stmt::Term(a) => {
                let on = self.join(&[self.of(*a), control.clone()]);
                if record && !on.is_empty() {
                    self.terms.push(TermDependence { atom: *a, on });
                }
            }
            Stmt::Check { .. } => {}
            Stmt::Op { result, op: Op::Read, args } => {
                let indices: Vec<(Option<Var>, i64)> = args[1..].iter().map(|&a| affine(self.operations, a)).collect();
                let element = self.of(args[0]).iter().map(|p| read_pattern(p, &indices)).collect();
                let mut parts = vec![element, control.clone()];
                parts.extend(args[1..].iter().map(|&a| self.of(a)));
                let on = self.join(&parts);
                self.seeded(*result, on);
            }
            Stmt::Op { result, args, .. } => {
                let mut parts: Vec<Dependence> = args.iter().map(|&a| self.of(a)).collect();
                parts.push(control.clone());
                let on = self.join(&parts);
                self.seeded(*result, on);
            }
            Stmt::Array { results, prim, args } => {
                let parts: Vec<Dependence> = match prim {
                    Prim::Concat { axis } => self.concat(*axis, args),
                    Prim::CumSum { reverse: false } => args.iter().map(|&a| up_to_axis(&self.of(a))).collect(),
                    Prim::Stack => args.iter().map(|&a| shift_axes(&self.of(a), 1)).collect(),
                    Prim::Fill { .. } => args.iter().map(|&a| self.of(a)).collect(),
                    Prim::Cholesky
                    | Prim::SolveLower { .. }
                    | Prim::CumSum { reverse: true }
                    | Prim::Reshape { .. }
                    | Prim::Sort
                    | Prim::Const { .. }
                    | Prim::Subset { .. } => {
                        let any = args.iter().any(|&a| !self.of(a).is_empty());
                        if any { vec![self.whole()] } else { Vec::new() }
                    }
                };
                let mut parts = parts;
                parts.push(control.clone());
                let on = self.join(&parts);
                for &r in results {
                    self.set(r, on.clone());
                }
            }
            Stmt::Contract(c) => {
                let side = |a: Atom, labels: &[u8], me: &Self| -> Dependence {
                    me.of(a).iter().map(|p| relabel(p, labels, &c.out)).collect()
                };
                let on = self.join(&[side(c.a, &c.a_labels, self), side(c.b, &c.b_labels, self), control.clone()]);
                self.set(c.result, on);
            }
            Stmt::Draw(_) | Stmt::Sample(_) => {
                let mut parts = vec![control.clone()];
                stmt.each_atom(&mut |a| parts.push(self.of(a)));
                let on = self.join(&parts);
                for r in stmt.results() {
                    self.set(r, on.clone());
                }
            }
            Stmt::If(i) => {
                let control = self.join(&[control.clone(), self.of(i.condition)]);
                self.stmts(&i.then.stmts, &control, record);
                self.stmts(&i.otherwise.stmts, &control, record);
                for ((&r, &a), &b) in i.results.iter().zip(&i.then.results).zip(&i.otherwise.results) {
                    let on = self.join(&[self.of(a), self.of(b), control.clone()]);
                    self.set(r, on);
                }
            }
            Stmt::For(f) => {
                self.stmts(&f.body.stmts, control, record);
                let indices: Vec<Var> = f.indices.iter().map(|&(v, _)| v).collect();
                for ((&r, &a), c) in f.results.iter().zip(&f.body.results).zip(&f.collectors) {
                    let value = self.of(a);
                    let on: Dependence = match c {
                        Collector::Collect => value.iter().map(|p| collected(p, &indices, &indices)).collect(),
                        Collector::Sum { keep } => {
                            let kept: Vec<Var> = keep.iter().map(|&k| indices[k]).collect();
                            value.iter().map(|p| collected(p, &kept, &indices)).collect()
                        }
                        Collector::Max | Collector::Min | Collector::All => {
                            value.iter().map(|p| collected(p, &[], &indices)).collect()
                        }
                        Collector::SumAt { index, .. } => {
                            let moved = index.iter().any(|&x| !self.of(x).is_empty());
                            if value.is_empty() && !moved { Vec::new() } else { self.whole() }
                        }
                    };
                    let on = self.join(&[on, control.clone()]);
                    self.set(r, on);
                }
            }
            Stmt::Loop(l) => {
                let position = self.loops.iter().position(|a| a.index == l.index);
                for &(v, init) in &l.carried {
                    let on = self.of(init);
                    self.set_carried(v, on);
                }
                // Carried values: whatever they may hold from earlier iterations.
                for round in 0..3 {
                    self.stmts(&l.body.stmts, control, false);
                    let mut changed = false;
                    for (&(v, _), &next) in l.carried.iter().zip(&l.body.results) {
                        let on: Dependence = self.of(next).iter().map(|p| carried(p, l.index, position)).collect();
                        let joined = self.join(&[self.of(v.into()), on]);
                        let joined = merge_up_to(joined, position);
                        if joined != self.of(v.into()) {
                            changed = true;
                            let joined = if round == 2 { self.whole() } else { joined };
                            self.map.insert(v, joined);
                        }
                    }
                    if !changed {
                        break;
                    }
                }
                self.stmts(&l.body.stmts, control, record);
                let n = l.carried.len();
                for (k, (&r, &a)) in l.results.iter().zip(&l.body.results).enumerate() {
                    let value = self.of(a);
                    let on: Dependence = if k < n {
                        let mut parts: Dependence = value.iter().map(|p| collected(p, &[], &[l.index])).collect();
                        parts.extend(self.of(l.carried[k].1));
                        parts
                    } else {
                        match &l.collectors[k - n] {
                            Collector::Collect => value.iter().map(|p| collected(p, &[l.index], &[l.index])).collect(),
                            Collector::Sum { .. } | Collector::Max | Collector::Min | Collector::All => {
                                value.iter().map(|p| collected(p, &[], &[l.index])).collect()
                            }
                            Collector::SumAt { .. } => {
                                if value.is_empty() {
                                    Vec::new()
                                } else {
                                    self.whole()
                                }
                            }
                        }
                    };
                    let on = self.join(&[on, control.clone()]);
                    self.set(r, on);
                }
            }
        }
    }

    /// A seed keeps its own pattern.
    fn seeded(&mut self, result: Var, on: Dependence) {
        let own: Dependence = self
            .map
            .get(&result)
            .filter(|d| {
                d.len() == 1
                    && d[0]
                        .iter()
                        .zip(self.loops)
                        .all(|(p, l)| *p == At::Index { base: Some(l.index), offset: 0, up_to: false })
            })
            .cloned()
            .unwrap_or_default();
        let on = self.join(&[own, on]);
        self.set(result, on);
    }

    fn set_carried(&mut self, var: Var, on: Dependence) {
        if on.is_empty() {
            self.map.remove(&var);
        } else {
            self.map.insert(var, on);
        }
    }

    fn concat(&self, axis: usize, args: &[Atom]) -> Vec<Dependence> {
        // Offsets of pieces are not needed to be exact at other pieces' places: reads out of range are masked.
        let mut before = 0_i64;
        let mut out = Vec::new();
        for &a in args {
            out.push(
                self.of(a)
                    .iter()
                    .map(|p| {
                        p.iter()
                            .map(|at| match *at {
                                At::Axis { axis: k, offset, up_to } if k == axis => {
                                    At::Axis { axis: k, offset: offset - before, up_to }
                                }
                                other => other,
                            })
                            .collect()
                    })
                    .collect(),
            );
            before += self.program.atom_type(a).shape.get(axis).map_or(0, |&n| i64::try_from(n).unwrap_or(0));
        }
        out
    }
}

/// The pattern of `a[indices]`.
fn read_pattern(pattern: &Pattern, indices: &[(Option<Var>, i64)]) -> Pattern {
    pattern
        .iter()
        .map(|at| match *at {
            At::Axis { axis, offset, up_to } => match indices.get(axis) {
                Some(&(base, own)) => At::Index { base, offset: own + offset, up_to },
                None => At::Any,
            },
            other => other,
        })
        .collect()
}

/// The pattern of an array collected over `kept` when the loop binds `bound`.
fn collected(pattern: &Pattern, kept: &[Var], bound: &[Var]) -> Pattern {
    pattern
        .iter()
        .map(|at| match *at {
            At::Axis { axis, offset, up_to } => At::Axis { axis: axis + kept.len(), offset, up_to },
            At::Index { base: Some(v), offset, up_to } => match kept.iter().position(|&k| k == v) {
                Some(axis) => At::Axis { axis, offset, up_to },
                None if bound.contains(&v) => At::Any,
                None => At::Index { base: Some(v), offset, up_to },
            },
            other => other,
        })
        .collect()
}

/// A value of one iteration seen from a later one.
fn carried(pattern: &Pattern, index: Var, position: Option<usize>) -> Pattern {
    pattern
        .iter()
        .enumerate()
        .map(|(p, at)| match *at {
            At::Index { base: Some(v), offset, up_to } if v == index => {
                if Some(p) == position {
                    // Carried twice is not one further back: all up to here covers both.
                    let offset = if up_to { offset } else { offset - 1 };
                    At::Index { base: Some(v), offset, up_to: true }
                } else {
                    At::Any
                }
            }
            other => other,
        })
        .collect()
}

/// Patterns that differ only in how far they reach along loop `position` become one.
fn merge_up_to(on: Dependence, position: Option<usize>) -> Dependence {
    let Some(p) = position else { return on };
    let mut out: Dependence = Vec::new();
    for pattern in on {
        let reach = |x: &Pattern| match x[p] {
            At::Index { base, offset, up_to: true } => Some((base, offset)),
            At::Axis { .. } | At::Index { .. } | At::Any => None,
        };
        let same = out.iter_mut().find(|o| {
            reach(o).is_some()
                && reach(o).map(|r| r.0) == reach(&pattern).map(|r| r.0)
                && o.iter().zip(&pattern).enumerate().all(|(i, (a, b))| i == p || a == b)
        });
        match (same, reach(&pattern)) {
            (Some(o), Some((base, offset))) => {
                let old = reach(o).map_or(offset, |r| r.1);
                o[p] = At::Index { base, offset: old.max(offset), up_to: true };
            }
            _ => out.push(pattern),
        }
    }
    out
}

fn up_to_axis(on: &Dependence) -> Dependence {
    on.iter()
        .map(|p| {
            p.iter()
                .map(|at| match *at {
                    At::Axis { axis, offset, .. } => At::Axis { axis, offset, up_to: true },
                    other => other,
                })
                .collect()
        })
        .collect()
}

fn shift_axes(on: &Dependence, by: usize) -> Dependence {
    on.iter()
        .map(|p| {
            p.iter()
                .map(|at| match *at {
                    At::Axis { axis, offset, up_to } => At::Axis { axis: axis + by, offset, up_to },
                    other => other,
                })
                .collect()
        })
        .collect()
}

fn relabel(pattern: &Pattern, labels: &[u8], out: &[u8]) -> Pattern {
    pattern
        .iter()
        .map(|at| match *at {
            At::Axis { axis, offset, up_to } => match labels.get(axis).and_then(|l| out.iter().position(|o| o == l)) {
                Some(axis) => At::Axis { axis, offset, up_to },
                None => At::Any,
            },
            other => other,
        })
        .collect()
}

/// Dependence as one covering set of disjoint patterns: what may overlap is merged or becomes everything.
pub fn disjoint(on: &Dependence, loops: usize) -> Dependence {
    if on.len() <= 1 {
        return on.clone();
    }
    // All alike but for the reach along one loop, with one of them reaching "up to".
    for p in 0..loops {
        let base = |x: &Pattern| match x[p] {
            At::Index { base, offset, up_to } => Some((base, offset, up_to)),
            At::Axis { .. } | At::Any => None,
        };
        let Some((first, ..)) = base(&on[0]) else { continue };
        let alike = on.iter().all(|x| {
            base(x).is_some_and(|b| b.0 == first)
                && x.iter().zip(&on[0]).enumerate().all(|(i, (a, b))| i == p || a == b)
        });
        if !alike {
            continue;
        }
        let reach: Vec<(i64, bool)> = on.iter().filter_map(|x| base(x).map(|b| (b.1, b.2))).collect();
        if reach.iter().any(|r| r.1) {
            let offset = reach.iter().map(|r| r.0).max().unwrap_or(0);
            let mut one = on[0].clone();
            one[p] = At::Index { base: first, offset, up_to: true };
            return vec![one];
        }
        // Single elements at distinct offsets of one base are disjoint (patterns are deduplicated).
        let exact = on[0].iter().enumerate().all(|(i, a)| i == p || matches!(a, At::Index { up_to: false, .. }));
        if exact {
            return on.clone();
        }
    }
    vec![vec![At::Any; loops]]
}

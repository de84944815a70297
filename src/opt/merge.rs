//! Sums of one loop that are only added up become one sum of what is added up in the loop: an accumulator less each, and
//! a shorter chain of additions after it. A sum of what does not change in the loop is a product. Literals among the
//! terms become one, and what depends on data alone is added in `setup`. The inverse of [`super::split`], when that has
//! done its work. Changes rounding.
//!
//! before: `s, t = for j<n { … } yield sum a, sum b; u = s + c; v = t + u`
//! after:  `w = for j<n { …; e = a + b } yield sum e; v = w + c`

use super::sums::{Term, definitions, inner, is_sum, signed_sum, terms, uses};
use crate::base::hash::{HashMap, HashSet};
use crate::ir::builder::Builder;
use crate::ir::core::{Atom, Block, Collector, For, Program, Stmt, Type, Var};
use crate::ir::op::Op;

/// Merges sums in the step, outermost loops first.
pub fn merge(mut program: Program) -> Program {
    let step = std::mem::take(&mut program.step);
    let mut m = Merge { uses: uses(&step), setup: Vec::new(), program: &mut program };
    let stmts = m.region(step.stmts);
    let made = m.setup;
    program.setup.extend(made);
    program.step = Block { stmts, results: step.results };
    program
}

struct Merge<'p> {
    program: &'p mut Program,
    /// In the whole step.
    uses: HashMap<Var, usize>,
    /// Statements for `setup`.
    setup: Vec<Stmt>,
}

impl Merge<'_> {
    fn region(&mut self, stmts: Vec<Stmt>) -> Vec<Stmt> {
        let mut stmts = self.products(stmts);
        let definitions = definitions(&stmts);
        let inner = inner(&definitions, &self.uses);
        let mut at = 0;
        while at < stmts.len() {
            if let [root] = stmts[at].results()[..]
                && definitions.contains_key(&root)
                && !inner.contains(&root)
            {
                let (terms, parts) = terms(&definitions, &self.uses, root.into());
                if let Some(new) = self.sum(&mut stmts[..at], root, terms) {
                    stmts.splice(at..=at, new);
                    // The partial sums are gone, and with them what read the loops' old results.
                    stmts.retain(|s| !matches!(s, Stmt::Op { result, .. } if parts.contains(result)));
                    at = stmts.iter().position(|s| s.results().contains(&root)).unwrap_or(at);
                }
            }
            at += 1;
        }
        for s in &mut stmts {
            for block in s.regions_mut() {
                let inner = std::mem::take(&mut block.stmts);
                block.stmts = self.region(inner);
            }
        }
        stmts
    }

    /// Sums of what is the same in every iteration.
    fn products(&mut self, stmts: Vec<Stmt>) -> Vec<Stmt> {
        let mut out = Vec::with_capacity(stmts.len());
        for s in stmts {
            let Stmt::For(mut f) = s else {
                out.push(s);
                continue;
            };
            let mut made: HashSet<Var> = f.indices.iter().map(|&(v, _)| v).collect();
            made.extend(f.body.stmts.iter().flat_map(Stmt::results));
            let count = f.indices.iter().fold(1.0, |n, &(_, m)| n * m as f64);
            let mut after = Vec::new();
            for k in (0..f.results.len()).rev() {
                let value = f.body.results[k];
                if is_sum(&f, k, self.program) && count > 0.0 && value.var().is_none_or(|v| !made.contains(&v)) {
                    after.push(Stmt::Op { result: f.results[k], op: Op::Mul, args: vec![value, Atom::Real(count)] });
                    remove(&mut f, k);
                }
            }
            let checks = f.body.stmts.iter().any(|s| matches!(s, Stmt::Check { .. }));
            if !f.results.is_empty() || checks {
                out.push(Stmt::For(f));
            }
            out.extend(after);
        }
        out
    }

    /// The statements that define `root` anew, if that is less work.
    fn sum(&mut self, before: &mut [Stmt], root: Var, terms: Vec<Term>) -> Option<Vec<Stmt>> {
        let mut literal = 0.0;
        let mut literals = 0;
        let mut fixed: Vec<Term> = Vec::new();
        let mut loops: Vec<(usize, Vec<(bool, Var)>)> = Vec::new();
        let mut others: Vec<Term> = Vec::new();
        let global: HashSet<Var> = self.program.setup.iter().flat_map(Stmt::results).collect();
        for (sign, atom) in terms {
            match atom {
                Atom::Real(x) => {
                    literal += if sign { x } else { -x };
                    literals += 1;
                }
                Atom::Var(v) if global.contains(&v) => fixed.push((sign, atom)),
                Atom::Var(v) => match self.home(before, v) {
                    Some(at) => match loops.iter_mut().find(|l| l.0 == at) {
                        Some((_, list)) => list.push((sign, v)),
                        None => loops.push((at, vec![(sign, v)])),
                    },
                    None => others.push((sign, atom)),
                },
                Atom::Int(_) | Atom::Bool(_) => return None,
            }
        }
        if literals < 2 && fixed.len() < 2 && loops.iter().all(|l| l.1.len() < 2) {
            return None;
        }
        let mut list: Vec<Term> = Vec::new();
        for (at, mine) in loops {
            if let [(sign, v)] = mine[..] {
                list.push((sign, v.into()));
                continue;
            }
            let Stmt::For(f) = &mut before[at] else { return None };
            list.push((true, self.join(f, &mine).into()));
        }
        if fixed.len() > 1 {
            let mut b = Builder::new(self.program);
            let total = signed_sum(&mut b, &fixed);
            self.setup.append(&mut b.stmts);
            list.push((true, total));
        } else {
            list.append(&mut fixed);
        }
        if literal != 0.0 || literal.is_nan() {
            list.push((true, Atom::Real(literal)));
        }
        list.append(&mut others);
        // The last addition bears the name that others read.
        let last = list.pop().unwrap_or((true, Atom::Real(0.0)));
        let mut b = Builder::new(self.program);
        let (op, args) = if list.is_empty() {
            match last {
                (true, a) => (Op::Add, vec![a, Atom::Real(0.0)]),
                (false, a) => (Op::Neg, vec![a]),
            }
        } else {
            let rest = signed_sum(&mut b, &list);
            (if last.0 { Op::Add } else { Op::Sub }, vec![rest, last.1])
        };
        let mut new = b.stmts;
        new.push(Stmt::Op { result: root, op, args });
        for s in &new {
            // What is new here is read once; the terms keep their number of uses.
            self.uses.extend(s.results().into_iter().filter(|r| *r != root).map(|r| (r, 1)));
        }
        Some(new)
    }

    /// The loop ahead whose sum over everything `v` is, if nothing else reads it.
    fn home(&self, before: &[Stmt], v: Var) -> Option<usize> {
        if self.uses.get(&v) != Some(&1) {
            return None;
        }
        before.iter().position(|s| {
            let Stmt::For(f) = s else { return false };
            f.results.iter().position(|&r| r == v).is_some_and(|k| is_sum(f, k, self.program))
        })
    }

    /// One sum in place of several.
    fn join(&mut self, f: &mut For, mine: &[(bool, Var)]) -> Var {
        let mut terms = Vec::new();
        for &(sign, v) in mine {
            let Some(k) = f.results.iter().position(|&r| r == v) else { continue };
            terms.push((sign, f.body.results[k]));
            remove(f, k);
        }
        let mut b = Builder::new(self.program);
        let value = signed_sum(&mut b, &terms);
        self.uses.extend(b.stmts.iter().flat_map(Stmt::results).map(|r| (r, 1)));
        f.body.stmts.append(&mut b.stmts);
        let result = self.program.new_var(Type::REAL, None);
        self.uses.insert(result, 1);
        f.results.push(result);
        f.collectors.push(Collector::Sum { keep: Vec::new() });
        f.body.results.push(value);
        result
    }
}

fn remove(f: &mut For, k: usize) {
    f.results.remove(k);
    f.collectors.remove(k);
    f.body.results.remove(k);
}

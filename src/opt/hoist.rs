//! What depends on data alone leaves the step for `setup`: whole statements; data-only results of loops
//! that also have others; and costly data-only values inside loops, as arrays over the loops they depend on. A value is
//! costly if finding it again costs more than reading it; cheap ones stay, so that no array is made for one product.
//! Checks of data alone go too: a status of `setup` is that of every step. [`outward`] does the same within the step for
//! costly values that depend on some of the loops around them only.

use super::dynamic::dynamic_vars;
use crate::base::hash::{HashMap, HashSet};
use crate::ir::builder::Builder;
use crate::ir::core::{Atom, Block, Collector, For, Prim, Program, Scalar, Stmt, Type, Var};
use crate::ir::op::Op;
use crate::ir::walk::{Substitution, copy_stmts};
use std::collections::BTreeSet;

/// Cost from which a value is kept in an array.
const COSTLY: usize = 4;
/// Largest array made for it.
const LARGEST: usize = 1 << 22;

/// Moves data-only work to `setup`.
pub fn hoist(mut program: Program) -> Program {
    let dynamic = dynamic_vars(&program);
    let step = std::mem::take(&mut program.step);
    let mut kept = Vec::new();
    // What `setup` may read.
    let mut global: HashSet<Var> =
        program.inputs.iter().filter(|i| i.role == crate::ir::core::Role::Data).map(|i| i.var).collect();
    global.extend(program.setup.iter().flat_map(Stmt::results));
    for stmt in step.stmts {
        let results = stmt.results();
        let known = stmt.free_vars().iter().all(|v| global.contains(v));
        if known && !draws(&stmt) && (!results.is_empty() || checks(&stmt)) {
            global.extend(&results);
            program.setup.push(stmt);
            continue;
        }
        match stmt {
            Stmt::For(f) => {
                let f = fixed_results(&mut program, f, &dynamic, &mut global);
                let mut e = Expand::new(&mut program, &global);
                let f = e.for_(f);
                let made = e.made;
                program.setup.extend(made);
                if let Some(f) = f {
                    kept.push(Stmt::For(f));
                }
            }
            Stmt::Loop(l) => {
                let mut e = Expand::new(&mut program, &global);
                let l = e.loop_(l);
                let made = e.made;
                program.setup.extend(made);
                kept.push(Stmt::Loop(l));
            }
            other => kept.push(other),
        }
    }
    program.step = Block { stmts: kept, results: step.results };
    program
}

/// Costly values in a nest that do not depend on all of its indices are found once per value of those they depend on,
/// ahead of the nest.
pub fn outward(mut program: Program) -> Program {
    let step = std::mem::take(&mut program.step);
    let mut global: HashSet<Var> = program.inputs.iter().map(|i| i.var).collect();
    global.extend(program.setup.iter().flat_map(Stmt::results));
    let mut kept = Vec::new();
    for stmt in step.stmts {
        let results = stmt.results();
        match stmt {
            Stmt::For(f) => {
                let mut e = Expand { strict: true, ..Expand::new(&mut program, &global) };
                let f = e.for_(f);
                kept.append(&mut e.made);
                kept.extend(f.map(Stmt::For));
            }
            other => kept.push(other),
        }
        global.extend(results);
    }
    program.step = Block { stmts: kept, results: step.results };
    program
}

fn draws(stmt: &Stmt) -> bool {
    matches!(stmt, Stmt::Draw(_) | Stmt::Sample(_) | Stmt::Term(_) | Stmt::Array { prim: Prim::Subset { .. }, .. })
        || stmt.regions().iter().any(|b| b.stmts.iter().any(draws))
}

fn checks(stmt: &Stmt) -> bool {
    matches!(stmt, Stmt::Check { .. }) || stmt.regions().iter().any(|b| b.stmts.iter().any(checks))
}

/// Data-only results of a loop with others too: a loop of their own, in `setup`.
fn fixed_results(program: &mut Program, f: For, dynamic: &HashSet<Var>, global: &mut HashSet<Var>) -> For {
    let fixed: Vec<bool> = f.results.iter().map(|r| !dynamic.contains(r)).collect();
    if !fixed.iter().any(|&x| x) {
        return f;
    }
    let pick = |want: bool| (0..f.results.len()).filter(|&k| fixed[k] == want).collect::<Vec<usize>>();
    let (mine, others) = (pick(true), pick(false));
    // Only statements that the fixed results need; they are data-only.
    let mut live: HashSet<Var> = mine.iter().filter_map(|&k| f.body.results[k].var()).collect();
    for &k in &mine {
        if let Collector::SumAt { index, .. } = &f.collectors[k] {
            live.extend(index.iter().filter_map(|a| a.var()));
        }
    }
    let mut needed = Vec::new();
    for s in f.body.stmts.iter().rev() {
        if s.results().iter().any(|r| live.contains(r)) {
            live.extend(s.free_vars());
            needed.push(s.clone());
        }
    }
    needed.reverse();
    let mut inside: HashSet<Var> = f.indices.iter().map(|&(v, _)| v).collect();
    inside.extend(needed.iter().flat_map(Stmt::results));
    let known = live.iter().all(|v| inside.contains(v) || global.contains(v));
    let clean = needed
        .iter()
        .all(|s| s.free_vars().iter().all(|v| inside.contains(v) || global.contains(v)) && !draws(s) && !checks(s));
    if !clean || !known {
        return f;
    }
    let setup = For {
        results: mine.iter().map(|&k| f.results[k]).collect(),
        indices: f.indices.clone(),
        body: Block { stmts: needed, results: mine.iter().map(|&k| f.body.results[k]).collect() },
        collectors: mine.iter().map(|&k| f.collectors[k].clone()).collect(),
        strip: None,
    };
    let mut map = Substitution::default();
    let outer = setup.results.clone();
    let copy = crate::ir::walk::copy_stmt(program, &Stmt::For(setup), &mut map);
    if let Stmt::For(mut copy) = copy {
        copy.results = outer;
        global.extend(&copy.results);
        program.setup.push(Stmt::For(copy));
    }
    For {
        results: others.iter().map(|&k| f.results[k]).collect(),
        body: Block { stmts: f.body.stmts, results: others.iter().map(|&k| f.body.results[k]).collect() },
        collectors: others.iter().map(|&k| f.collectors[k].clone()).collect(),
        ..f
    }
}

/// One loop around the statement at hand.
struct Frame {
    indices: Vec<(Var, usize)>,
    /// Data-only statements seen so far in its body.
    fixed: Vec<Stmt>,
    known: HashSet<Var>,
}

struct Expand<'a> {
    program: &'a mut Program,
    /// Data, constants and what `setup` defines.
    global: &'a HashSet<Var>,
    frames: Vec<Frame>,
    made: Vec<Stmt>,
    /// Only values that do not depend on all indices of the nest.
    strict: bool,
    /// Indices that each value of the nest depends on.
    depends: HashMap<Var, BTreeSet<Var>>,
}

impl<'a> Expand<'a> {
    fn new(program: &'a mut Program, global: &'a HashSet<Var>) -> Expand<'a> {
        Expand { program, global, frames: Vec::new(), made: Vec::new(), strict: false, depends: HashMap::default() }
    }

    fn for_(&mut self, f: For) -> Option<For> {
        if f.results.is_empty() && !f.body.stmts.iter().any(checks) {
            return None;
        }
        self.frames.push(Frame { indices: f.indices.clone(), fixed: Vec::new(), known: HashSet::default() });
        let body = self.body(f.body, &f.collectors);
        self.frames.pop();
        Some(For { body, ..f })
    }

    fn loop_(&mut self, l: crate::ir::core::Loop) -> crate::ir::core::Loop {
        self.frames.push(Frame { indices: vec![(l.index, l.extent)], fixed: Vec::new(), known: HashSet::default() });
        // Carried values are not functions of the index: they count as unknown.
        let body = self.body(l.body, &l.collectors);
        self.frames.pop();
        crate::ir::core::Loop { body, ..l }
    }

    /// Operands that are data, constants, loop indices, or made of them in this nest.
    fn is_known(&self, a: Atom, local: &HashSet<Var>) -> bool {
        let Atom::Var(v) = a else { return true };
        if local.contains(&v) {
            return true;
        }
        let inside = self.frames.iter().any(|f| f.known.contains(&v) || f.indices.iter().any(|&(i, _)| i == v));
        inside || self.global.contains(&v)
    }

    fn body(&mut self, block: Block, collectors: &[Collector]) -> Block {
        let mut out: Vec<Stmt> = Vec::new();
        let mut fixed: HashSet<Var> = HashSet::default();
        for stmt in block.stmts {
            let scalar_op = matches!(&stmt, Stmt::Op { result, .. } if self.program.ty(*result).is_scalar());
            let none = HashSet::default();
            let mut known = scalar_op;
            stmt.each_atom(&mut |a| known &= self.is_known(a, &none));
            if known {
                let results = stmt.results();
                let depends = self.indices_of(&stmt);
                for &r in &results {
                    self.depends.insert(r, depends.clone());
                }
                fixed.extend(&results);
                if let Some(frame) = self.frames.last_mut() {
                    frame.known.extend(results);
                    frame.fixed.push(stmt.clone());
                }
                out.push(stmt);
                continue;
            }
            out.push(match stmt {
                Stmt::For(f) => match self.for_(f) {
                    Some(f) => Stmt::For(f),
                    None => continue,
                },
                Stmt::Loop(l) => Stmt::Loop(self.loop_(l)),
                other => other,
            });
        }
        // Data-only values that something else reads.
        let mut wanted: Vec<Var> = Vec::new();
        let note = |a: Atom, wanted: &mut Vec<Var>| {
            if let Atom::Var(v) = a
                && fixed.contains(&v)
                && !wanted.contains(&v)
            {
                wanted.push(v);
            }
        };
        for s in &out {
            let own = s.results().first().copied().filter(|r| fixed.contains(r));
            let depends = own.and_then(|r| self.depends.get(&r));
            s.each_atom(&mut |a| {
                let same = a.var().and_then(|v| self.depends.get(&v)) == depends;
                if own.is_none() || (self.strict && !same) {
                    note(a, &mut wanted);
                }
            });
        }
        block.results.iter().for_each(|&a| note(a, &mut wanted));
        for c in collectors {
            if let Collector::SumAt { index, .. } = c {
                index.iter().for_each(|&a| note(a, &mut wanted));
            }
        }
        let mut replaced: HashMap<Var, Stmt> = HashMap::default();
        for v in wanted {
            if let Some(read) = self.materialise(v) {
                replaced.insert(v, read);
            }
        }
        let stmts = out
            .into_iter()
            .map(|s| match s.results().first().and_then(|r| replaced.remove(r)) {
                Some(read) => read,
                None => s,
            })
            .collect();
        Block { stmts, results: block.results }
    }

    fn indices_of(&self, stmt: &Stmt) -> BTreeSet<Var> {
        let mut all = BTreeSet::new();
        stmt.each_atom(&mut |a| {
            let Atom::Var(v) = a else { return };
            if self.frames.iter().any(|f| f.indices.iter().any(|&(i, _)| i == v)) {
                all.insert(v);
            }
            all.extend(self.depends.get(&v).into_iter().flatten());
        });
        all
    }

    /// An array in `setup` of the values that `v` takes, and the statement that reads it in place of `v`'s own.
    fn materialise(&mut self, v: Var) -> Option<Stmt> {
        let mut live: HashSet<Var> = HashSet::from_iter([v]);
        let mut needed: Vec<Stmt> = Vec::new();
        let mut cost = 0;
        for frame in self.frames.iter().rev() {
            for s in frame.fixed.iter().rev() {
                if s.results().iter().any(|r| live.contains(r)) {
                    s.each_atom(&mut |a| live.extend(a.var()));
                    if let Stmt::Op { op, .. } = s {
                        cost += weight(*op);
                    }
                    needed.push(s.clone());
                }
            }
        }
        needed.reverse();
        if cost < COSTLY || self.program.ty(v).scalar != Scalar::Real {
            return None;
        }
        let indices: Vec<(Var, usize)> =
            self.frames.iter().flat_map(|f| f.indices.iter().copied()).filter(|(i, _)| live.contains(i)).collect();
        let size = indices.iter().try_fold(1usize, |n, &(_, m)| n.checked_mul(m))?;
        if indices.is_empty() || size > LARGEST || size == 0 {
            return None;
        }
        let all = self.frames.iter().flat_map(|f| &f.indices).try_fold(1usize, |n, &(_, m)| n.checked_mul(m))?;
        if self.strict && all < size.checked_mul(2)? {
            return None;
        }
        let mut map = Substitution::default();
        let mut fresh = Vec::new();
        for &(i, n) in &indices {
            let new = self.program.new_var(Type::INT, None);
            map.insert(i, new.into());
            fresh.push((new, n));
        }
        let stmts = copy_stmts(self.program, &needed, &mut map);
        let value = map.get(&v).copied()?;
        let mut b = Builder::new(self.program);
        let array = b.push_for(fresh, Block { stmts, results: vec![value] }, vec![Collector::Collect])[0];
        self.made.extend(b.stmts);
        let mut args = vec![array];
        args.extend(indices.iter().map(|&(i, _)| Atom::Var(i)));
        Some(Stmt::Op { result: v, op: Op::Read, args })
    }
}

/// Rough cost of an operation, in additions.
pub(super) fn weight(op: Op) -> usize {
    match op {
        Op::Div | Op::Sqrt => 4,
        Op::Exp
        | Op::Log
        | Op::Log1p
        | Op::Expm1
        | Op::Sin
        | Op::Cos
        | Op::Tan
        | Op::Atan
        | Op::Tanh
        | Op::Sigmoid
        | Op::Softplus
        | Op::Pow => 8,
        Op::Lgamma
        | Op::Digamma
        | Op::Trigamma
        | Op::NormalCdf
        | Op::NormalQuantile
        | Op::LogNormalCdf
        | Op::GammaP
        | Op::GammaPDa
        | Op::LogGammaDa
        | Op::GammaPInv
        | Op::BetaIncDa
        | Op::BetaIncInv
        | Op::VonMisesCdf
        | Op::VonMisesQuantile
        | Op::VonMisesDk
        | Op::LogBesselI0
        | Op::BesselRatio
        | Op::OwensT
        | Op::BetaInc => 30,
        Op::Read => 0,
        Op::IDiv | Op::IMod => 2,
        _ => 1,
    }
}

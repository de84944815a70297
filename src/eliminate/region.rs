//! Elimination in a region: its terms by place, the new statements in the place of what depended on the variables.

use super::engine::{Engine, Semiring};
use super::fresh::Fresh;
use super::pull::{Interrupt, Pulled, Task, apply_export, of_bearable_size, unsupported};
use super::variable::Variable;
use super::{terms, tree};
use crate::diagnostic::{Diagnostic, Label};
use crate::ir::core::{Atom, Program, Stmt, Var};
use std::collections::HashSet;

/// Terms replaced by their means, to be put in the place of what depended on the variables.
pub struct Means {
    /// The region as it was.
    pub stmts: Vec<Stmt>,
    tainted: HashSet<Var>,
    new: Vec<Stmt>,
    /// For each of [`Asked::variables`], by the loops around it and its position: the mean of the terms that depend on
    /// the element, given that it has the value there.
    pub results: Vec<Atom>,
}

/// Variables whose results are wanted beside the means, and the terms that count for them.
pub struct Asked<'a> {
    pub variables: &'a [usize],
    pub counts: &'a dyn Fn(Atom) -> bool,
}

impl Means {
    /// The region without what depended on the variables.
    pub fn in_place(self) -> Vec<Stmt> {
        let mut stmts = tree::prune(self.stmts, &self.tainted);
        stmts.extend(self.new);
        stmts
    }
}

/// The mean of every term over the variables, which are weighed by the coefficients of their calls.
pub fn expectation(
    program: &mut Program,
    stmts: Vec<Stmt>,
    variables: &[Variable],
    asked: &Asked<'_>,
) -> Result<Means, Box<Diagnostic>> {
    eliminate(program, stmts, variables, Semiring::Expectation, asked)
}

/// The statements without samples, and `log Σ exp` of the sum of their terms over all values of the variables. The
/// variables' own log probabilities are among the terms.
pub fn log_sum(
    program: &mut Program,
    stmts: Vec<Stmt>,
    variables: &[Variable],
) -> Result<(Vec<Stmt>, Atom), Box<Diagnostic>> {
    let nothing = Asked { variables: &[], counts: &|_| false };
    let done = eliminate(program, stmts, variables, Semiring::LogSum, &nothing)?;
    Ok(terms::total(program, done.in_place(), &|_| true))
}

fn eliminate(
    program: &mut Program,
    mut stmts: Vec<Stmt>,
    variables: &[Variable],
    semiring: Semiring,
    asked: &Asked<'_>,
) -> Result<Means, Box<Diagnostic>> {
    let seeds: HashSet<Var> = variables.iter().flat_map(|v| v.results.iter().copied()).collect();
    let tainted = tree::taint(&stmts, seeds);
    let tasks = tasks(&stmts, &tainted);
    let mut counted = tasks.clone();
    counted.iter_mut().for_each(|t| t.terms.retain(|&a| (asked.counts)(a)));
    counted.retain(|t| !t.terms.is_empty());
    let mut held = HashSet::new();
    let (done, exports) = loop {
        let before = held.len();
        let mut exports = Vec::new();
        let mut engine = |run: &mut dyn FnMut(&mut Engine<'_>) -> Pulled<Vec<Stmt>>| {
            let mut engine = Engine::new(program, &stmts, variables, tainted.clone(), semiring);
            engine.pull.fresh = Fresh::of(&stmts, variables, &held);
            let done = run(&mut engine);
            let pull = &engine.pull;
            let shared: Vec<Var> = pull.conflicts.iter().flat_map(|&v| pull.fresh.behind(v)).collect();
            exports.append(&mut engine.pull.exports);
            held.extend(shared);
            done
        };
        let mut results = Vec::new();
        let mut done = engine(&mut |e| e.run(tasks.clone()));
        for &variable in asked.variables {
            let Ok(new) = &mut done else { break };
            let more = engine(&mut |e| {
                let (more, result) = e.results_of(variable, counted.clone())?;
                results.push(result);
                Ok(more)
            });
            match more {
                Ok(more) => new.extend(more),
                Err(interrupt) => done = Err(interrupt),
            }
        }
        if done.is_err() || held.len() == before {
            break (done.and_then(of_bearable_size).map(|new| (new, results)), exports);
        }
    };
    let (new, results) = match done {
        Ok(done) => done,
        Err(Interrupt::Fail(mut d)) => {
            if d.primary.is_none() {
                name_all(&mut d, variables, semiring);
            }
            return Err(d);
        }
        Err(Interrupt::Split { .. } | Interrupt::Unroll | Interrupt::Cut { .. }) => {
            return Err(Box::new(unsupported("a term reads elements of a site in a way that cannot be followed")));
        }
    };
    for (var, array) in exports {
        apply_export(program, &mut stmts, var, array);
    }
    Ok(Means { stmts, tainted, new, results })
}

/// The places of all variables.
fn name_all(d: &mut Diagnostic, variables: &[Variable], semiring: Semiring) {
    let Some(first) = variables.first() else { return };
    let what = match semiring {
        Semiring::Expectation => "is estimated by a strategy that calls its continuation several times",
        Semiring::LogSum => "is summed out",
    };
    d.primary = Some(Label { span: first.span, text: format!("`{}` {what}", first.address) });
    for other in variables.iter().skip(1).take(4) {
        d.secondary.push(Label { span: other.span, text: format!("and `{}`", other.address) });
    }
}

/// Terms that depend on eliminated variables, by place.
fn tasks(stmts: &[Stmt], tainted: &HashSet<Var>) -> Vec<Task> {
    let mut out = Vec::new();
    let empty = Task { loops: Vec::new(), conditions: Vec::new(), terms: Vec::new() };
    tasks_in(stmts, tainted, &empty, &mut out);
    out
}

fn tasks_in(stmts: &[Stmt], tainted: &HashSet<Var>, place: &Task, out: &mut Vec<Task>) {
    let controlled = place.conditions.iter().any(|&(c, _)| tree::is_tainted(tainted, c));
    let terms: Vec<Atom> = stmts
        .iter()
        .filter_map(|s| match s {
            Stmt::Term(a) if controlled || tree::is_tainted(tainted, *a) => Some(*a),
            _ => None,
        })
        .collect();
    if !terms.is_empty() {
        out.push(Task { terms, ..place.clone() });
    }
    for stmt in stmts {
        match stmt {
            Stmt::For(f) => {
                let mut inner = place.clone();
                inner.loops.extend(f.indices.iter().map(|&(v, n)| (v, 0, n)));
                if f.indices.iter().all(|x| x.1 > 0) {
                    tasks_in(&f.body.stmts, tainted, &inner, out);
                }
            }
            Stmt::Loop(l) if l.extent > 0 => {
                let mut inner = place.clone();
                inner.loops.push((l.index, 0, l.extent));
                tasks_in(&l.body.stmts, tainted, &inner, out);
            }
            Stmt::If(i) => {
                for (block, wanted) in [(&i.then, true), (&i.otherwise, false)] {
                    let mut inner = place.clone();
                    inner.conditions.push((i.condition, wanted));
                    tasks_in(&block.stmts, tainted, &inner, out);
                }
            }
            _ => {}
        }
    }
}

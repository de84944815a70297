//! The order of work in a strip: each statement at the first level at which its operands are there.
//!
//! What a segment computes is there for the rest of the segment; what a kernel, a draw, a loop or a branch gives is there
//! at the next level.

use super::scalar::is_kernel;
use super::strip::Sink;
use crate::ir::core::{Atom, Program, Stmt, Var};
use crate::ir::op::Op;
use std::collections::{HashMap, HashSet};

/// Operations of one segment.
const LONGEST: usize = 120;

/// Levels of a strip's statements.
pub(super) struct Schedule {
    pub levels: usize,
    pub inline: Vec<Vec<usize>>,
    pub sinks: Vec<Vec<usize>>,
    pub kernels: Vec<Vec<(Op, Vec<usize>)>>,
    pub draws: Vec<Vec<usize>>,
    pub compounds: Vec<Vec<usize>>,
    /// Results of segments that are used after them.
    pub buffered: HashSet<Var>,
}

impl Schedule {
    pub(super) fn new(stmts: &[&Stmt], sinks: &[(Atom, Sink)], program: &Program) -> Schedule {
        let mut available: HashMap<Var, usize> = HashMap::new();
        let mut places = Vec::new();
        let mut sizes: HashMap<usize, usize> = HashMap::new();
        let mut levels = 1;
        for stmt in stmts {
            let mut level = stmt.free_vars().iter().filter_map(|v| available.get(v)).max().copied().unwrap_or(0);
            let inline = is_inline(stmt);
            if inline {
                // Register allocation is super-linear in live values: long segments are cut.
                while sizes.get(&level).is_some_and(|&n| n >= LONGEST) {
                    level += 1;
                }
                *sizes.entry(level).or_insert(0) += 1;
            }
            for result in stmt.results() {
                available.insert(result, if inline { level } else { level + 1 });
            }
            levels = levels.max(level + 1);
            places.push(level);
        }
        sink_late(stmts, sinks, &mut places, &mut available);
        let at = |atom: Atom| atom.var().and_then(|v| available.get(&v)).copied().unwrap_or(0);
        let sink_level = |(value, sink): &(Atom, Sink)| match sink {
            Sink::Scatter { index, .. } => index.iter().map(|&a| at(a)).max().unwrap_or(0).max(at(*value)),
            _ => at(*value),
        };
        for sink in sinks {
            levels = levels.max(sink_level(sink) + 1);
        }
        let mut schedule = Schedule {
            levels,
            inline: vec![Vec::new(); levels],
            sinks: vec![Vec::new(); levels],
            kernels: vec![Vec::new(); levels],
            draws: vec![Vec::new(); levels],
            compounds: vec![Vec::new(); levels],
            buffered: HashSet::new(),
        };
        for (i, (stmt, &level)) in stmts.iter().zip(&places).enumerate() {
            match stmt {
                _ if is_inline(stmt) => {
                    schedule.inline[level].push(i);
                    schedule
                        .buffered
                        .extend(stmt.free_vars().into_iter().filter(|v| available.get(v).is_some_and(|&a| a < level)));
                }
                Stmt::Op { op, args, .. } => {
                    schedule.keep_earlier(args.iter().copied(), &available, level);
                    match schedule.kernels[level].iter_mut().find(|(o, _)| o == op) {
                        Some((_, members)) => members.push(i),
                        None => schedule.kernels[level].push((*op, vec![i])),
                    }
                }
                Stmt::Draw(d) => {
                    let atoms = d.args.iter().copied().chain(d.index.iter().map(|&(a, _)| a));
                    schedule.keep_earlier(atoms, &available, level);
                    schedule.buffered.extend(d.mirror.and_then(Atom::var));
                    schedule.draws[level].push(i);
                }
                _ => {
                    schedule.buffered.extend(stmt.free_vars());
                    schedule.compounds[level].push(i);
                }
            }
        }
        for (i, (value, sink)) in sinks.iter().enumerate() {
            match sink {
                Sink::SumAt { index, .. } => {
                    schedule.buffered.extend(value.var());
                    schedule.buffered.extend(index.iter().filter_map(|a| a.var()));
                }
                Sink::Scatter { index, .. } => {
                    let level = sink_level(&(*value, sink.clone()));
                    schedule.keep_earlier(index.iter().copied().chain([*value]), &available, level);
                    if value.var().is_some_and(|v| !program.ty(v).is_scalar()) {
                        schedule.buffered.extend(index.iter().filter_map(|a| a.var()));
                    } else {
                        schedule.sinks[level].push(i);
                    }
                }
                _ if value.var().is_some_and(|v| !program.ty(v).is_scalar()) => {}
                _ => schedule.sinks[at(*value)].push(i),
            }
        }
        // What `stop` renames has to be kept under its first name.
        for stmt in stmts.iter().rev() {
            if let Stmt::Op { result, op: Op::Stop, args } = stmt
                && schedule.buffered.contains(result)
            {
                schedule.buffered.extend(args[0].var());
            }
        }
        schedule
    }

    fn keep_earlier(&mut self, atoms: impl Iterator<Item = Atom>, available: &HashMap<Var, usize>, level: usize) {
        self.buffered.extend(atoms.filter_map(Atom::var).filter(|v| available.get(v).is_some_and(|&a| a < level)));
    }
}

/// Moves arithmetic to the level of its first use where its operands are in memory anyway: then it needs no buffer.
fn sink_late(stmts: &[&Stmt], sinks: &[(Atom, Sink)], places: &mut [usize], available: &mut HashMap<Var, usize>) {
    let mut definition: HashMap<Var, usize> = HashMap::new();
    let mut users: HashMap<Var, Vec<usize>> = HashMap::new();
    for (i, stmt) in stmts.iter().enumerate() {
        definition.extend(stmt.results().into_iter().map(|v| (v, i)));
        for var in stmt.free_vars() {
            users.entry(var).or_default().push(i);
        }
    }
    let mut fixed: HashSet<Var> = HashSet::new();
    for (value, sink) in sinks {
        fixed.extend(value.var());
        if let Sink::Scatter { index, .. } | Sink::SumAt { index, .. } = sink {
            fixed.extend(index.iter().filter_map(|a| a.var()));
        }
    }
    for i in (0..stmts.len()).rev() {
        let Stmt::Op { result, op, .. } = stmts[i] else { continue };
        if !is_inline(stmts[i]) || *op == Op::Stop || fixed.contains(result) {
            continue;
        }
        let Some(first) = users.get(result).and_then(|u| u.iter().map(|&j| places[j]).min()) else { continue };
        let free = |v: &Var| match definition.get(v) {
            None => true,
            Some(&d) => !is_inline(stmts[d]) || matches!(stmts[d], Stmt::Op { op: Op::Read, .. }) || places[d] >= first,
        };
        let alone = |v: &Var| {
            let Some(&d) = definition.get(v) else { return false };
            let Stmt::Op { op, .. } = stmts[d] else { return false };
            *op != Op::Stop
                && !fixed.contains(v)
                && users.get(v).is_some_and(|u| u.len() == 1)
                && stmts[d].free_vars().iter().all(free)
        };
        if first > places[i] && stmts[i].free_vars().iter().all(|v| free(v) || alone(v)) {
            places[i] = first;
            available.insert(*result, first);
        }
    }
}

fn is_inline(stmt: &Stmt) -> bool {
    match stmt {
        Stmt::Op { op, args, .. } => !is_kernel(*op, args),
        Stmt::Check { .. } => true,
        _ => false,
    }
}

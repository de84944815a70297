//! Which site's noise the variance of a gradient comes from.
//!
//! For a site `s` it is `E[Var(g | all other noise)]`, summed over the gradient's elements: what would vanish if the site
//! had no noise of its own. Estimated by pairs of runs that differ in the draws of that site alone,
//! `mean |g - g'|² / 2`. The parts need not add up to the whole: noise that acts jointly counts for every site in it.

use super::Refusal;
use super::compile::{self, Backend};
use super::model::Memory;
use super::session::Session;
use crate::ir::core::{Atom, Input, Program, Role, Scalar, Stmt, Type, Var};
use crate::ir::op::Op;
use crate::runtime::executable::{Status, Stream};
use crate::specialize::programs::Sited;
use crate::specialize::sites::Sites;
use std::collections::BTreeMap;

/// Pairs of runs per site.
const PAIRS: usize = 256;
/// Sites beyond these are not told apart.
const MOST_SITES: usize = 64;
/// Draws of one site are numbered below this.
const DRAWS_PER_SITE: u32 = 1 << 10;

/// Addresses of a program's sites by the first number of their draws.
pub fn addresses(sited: &Sited<'_>) -> BTreeMap<u32, String> {
    let mut found = BTreeMap::new();
    samples(&sited.program.step.stmts, &mut |site, entry| {
        found.insert(site / DRAWS_PER_SITE, sited.table.describe(entry).address);
    });
    found
}

fn samples(stmts: &[Stmt], f: &mut impl FnMut(u32, u32)) {
    for stmt in stmts {
        if let Stmt::Sample(s) = stmt {
            f(s.site, s.entry);
        }
        for region in stmt.regions() {
            samples(&region.stmts, f);
        }
    }
}

fn drawn(stmts: &[Stmt], found: &mut Vec<u32>) {
    for stmt in stmts {
        if let Stmt::Draw(d) = stmt
            && !found.contains(&(d.site / DRAWS_PER_SITE))
        {
            found.push(d.site / DRAWS_PER_SITE);
        }
        for region in stmt.regions() {
            drawn(&region.stmts, found);
        }
    }
}

/// The draws of group `k` get a further index, 0 or 1.
fn redraw(stmts: &mut [Stmt], groups: &[u32], chosen: &[Var]) {
    for stmt in stmts {
        if let Stmt::Draw(d) = stmt
            && let Some(k) = groups.iter().position(|&g| g == d.site / DRAWS_PER_SITE)
        {
            d.index.push((chosen[k].into(), 2));
        }
        for region in stmt.regions_mut() {
            redraw(&mut region.stmts, groups, chosen);
        }
    }
}

/// The variance of the gradient due to each address, from a derived program.
pub fn by_site(
    session: &Session<'_>,
    derived: &Program,
    addresses: &BTreeMap<u32, String>,
    params: &[f64],
    memory: &Memory,
    seed: u64,
    backend: Backend,
) -> Result<Vec<(String, f64)>, Refusal> {
    let mut groups = Vec::new();
    drawn(&derived.step.stmts, &mut groups);
    groups.truncate(MOST_SITES);
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    let mut program = derived.clone();
    let flags = program.new_var(Type::array(Scalar::Real, [groups.len()]), Some("redraw"));
    program.inputs.push(Input { var: flags, role: Role::State, name: "redraw".to_owned() });
    let mut head = Vec::new();
    let mut chosen = Vec::new();
    for k in 0..groups.len() {
        let flag = program.new_var(Type::REAL, None);
        let at = Atom::Int(i64::try_from(k).unwrap_or(0));
        head.push(Stmt::Op { result: flag, op: Op::Read, args: vec![flags.into(), at] });
        let index = program.new_var(Type::INT, None);
        head.push(Stmt::Op { result: index, op: Op::ToInt, args: vec![flag.into()] });
        chosen.push(index);
    }
    redraw(&mut program.step.stmts, &groups, &chosen);
    head.append(&mut program.step.stmts);
    program.step.stmts = head;
    let program = compile::with_gradient(program).map_err(|d| session.refuse(d))?;
    let data = session.data_of(&program);
    let mut run = compile::executable(&program, &data, backend).map_err(|d| session.refuse(d))?;
    let n = params.len();
    let mut out = vec![0.0; run.output_len()];
    let mut state = memory.state.clone();
    let first = state.len();
    state.resize(first + groups.len(), 0.0);
    let mut totals = vec![0.0; groups.len()];
    let mut count = 0.0;
    let mut base = vec![0.0; n];
    for pair in 0..PAIRS {
        let stream = Stream { seed, step: u32::try_from(pair).unwrap_or(0) };
        let mut fine = run.step(params, &memory.tuned, &state, stream, &mut out) == Status::Fine;
        base.copy_from_slice(&out[1..=n]);
        let mut parts = vec![0.0; groups.len()];
        for (k, part) in parts.iter_mut().enumerate() {
            state[first + k] = 1.0;
            fine &= run.step(params, &memory.tuned, &state, stream, &mut out) == Status::Fine;
            state[first + k] = 0.0;
            *part = base.iter().zip(&out[1..=n]).map(|(a, b)| 0.5 * (a - b) * (a - b)).sum();
        }
        if fine && parts.iter().all(|p| p.is_finite()) {
            count += 1.0;
            totals.iter_mut().zip(&parts).for_each(|(t, p)| *t += p);
        }
    }
    let mut by_address: Vec<(String, f64)> = Vec::new();
    for (group, total) in groups.iter().zip(totals) {
        let name = addresses.get(group).cloned().unwrap_or_else(|| "(other draws)".to_owned());
        let part = if count > 0.0 { total / count } else { f64::NAN };
        match by_address.iter_mut().find(|(n, _)| *n == name) {
            Some((_, sum)) => *sum += part,
            None => by_address.push((name, part)),
        }
    }
    Ok(by_address)
}

//! Branches and loops that stop early: what holds inside them, and what becomes of the addresses that they sample. An
//! address of both branches is required, one of a single branch is optional, present where that branch is taken.

use super::condition::{Condition, ITERATION, place};
use super::context::{Checker, Site};
use super::poly::Poly;
use super::value::{Base, Env, Num, Optional, Record, Val};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::syntax::tree::{Block, Expr, ForClause, MatchPattern};
use std::rc::Rc;

/// Sites and bindings of one branch.
pub type Sampled = (Vec<Site>, Vec<Site>);

/// `while` of a loop: its condition, and the loop's variable.
pub struct Stop<'e> {
    pub condition: &'e Expr,
    pub index: String,
    pub from: Poly,
}

impl Checker {
    pub fn if_expr(
        &mut self,
        continuous: bool,
        condition: &Expr,
        then: &Block,
        otherwise: Option<&Block>,
        span: Span,
        env: &mut Env,
    ) -> Val {
        let want = self.want.take();
        self.joins += u32::from(continuous);
        let c = self.expr(condition, env);
        self.joins -= u32::from(continuous);
        self.want_bool(&c, condition.span);
        let test = self.value_condition(&c);
        let mut second = env.clone();
        let before = self.sampled();
        self.want = want.clone();
        let value = self.under(test.clone(), |c| c.block(then, env));
        let from_then = self.split_run(before);
        let other = match otherwise {
            Some(block) => {
                self.want = want;
                self.under(test.not(), |c| c.block(block, &mut second))
            }
            None => Val::Unit,
        };
        let from_else = self.split_run(before);
        self.join_env(env, &second, span);
        self.merge_branches(from_then, from_else);
        match otherwise {
            None => {
                if !matches!(value, Val::Unit | Val::Unknown) {
                    self.report(
                        Diagnostic::error("E0204", span, "an `if` without `else` has no value")
                            .label("this value is lost otherwise")
                            .fix("add an `else`"),
                    );
                }
                Val::Unit
            }
            Some(block) => {
                let place = block.value.as_ref().map_or(block.span, |v| v.span);
                if matches!(value, Val::Unit) || matches!(other, Val::Unit) {
                    return Val::Unit;
                }
                let memory = self.memory_part(&c.kind());
                let value = self.join(&value, &other, place);
                if memory.is_free() { value } else { super::address::add_kind(&value, &memory) }
            }
        }
    }

    /// Arms are tried in order; the last one is taken where no other fits.
    pub fn match_expr(&mut self, value: &Expr, arms: &[(MatchPattern, Block)], env: &mut Env) -> Val {
        let subject = self.expr(value, env);
        let subject = self.want_num(&subject, value.span, env);
        if let Some(n) = &subject {
            if n.base == Base::Real {
                self.report(
                    Diagnostic::error("E0204", value.span, "`match` is on ints and bools, not reals").label("a real"),
                );
            }
            self.note_values(n);
        }
        let mut joined: Option<(Val, Env, Sampled)> = None;
        let start = env.clone();
        let before = self.sampled();
        let mut earlier: Vec<Condition> = Vec::new();
        for (k, (pattern, block)) in arms.iter().enumerate() {
            let own = match (pattern, &subject) {
                (MatchPattern::Any, _) => Condition::TRUE,
                _ if k + 1 == arms.len() => Condition::TRUE,
                (MatchPattern::Int(i), Some(n)) => {
                    #[expect(clippy::cast_precision_loss, reason = "patterns are small")]
                    let i = *i as f64;
                    Condition::zero(&self.sym(n).plus(-i))
                }
                (MatchPattern::Bool(b), Some(n)) => {
                    let test = self.condition_of(n);
                    if *b { test } else { test.not() }
                }
                (_, None) => Condition::holds(&self.opaque()),
            };
            let test = Condition::all(earlier.iter().map(Condition::not).chain([own.clone()]));
            earlier.push(own);
            let mut arm_env = start.clone();
            let out = self.under(test, |c| c.block(block, &mut arm_env));
            let sampled = self.split_run(before);
            joined = Some(match joined {
                None => (out, arm_env, sampled),
                Some((v, mut e, s)) => {
                    let value = self.join(&v, &out, block.span);
                    self.join_env(&mut e, &arm_env, block.span);
                    self.merge_branches(s, sampled);
                    (value, e, self.split_run(before))
                }
            });
        }
        match joined {
            Some((value, joined, sampled)) => {
                *env = joined;
                if let Some(run) = self.runs.last_mut() {
                    run.sites.extend(sampled.0);
                    run.bindings.extend(sampled.1);
                }
                value
            }
            None => Val::Unit,
        }
    }

    /// One iteration, of a loop that may stop early.
    pub fn iteration(&mut self, stop: Option<&Stop<'_>>, body: &Block, env: &mut Env) -> Val {
        let Some(stop) = stop else { return self.block(body, env) };
        // What it says, before what it may read.
        let (value, _) = self.quietly(|c| c.expr(stop.condition, &mut env.clone()));
        let index = Poly::atom(&stop.index);
        let test = self.value_condition(&value).substitute(&stop.index, &Poly::atom(ITERATION));
        let first = Condition::zero(&index.sub(&stop.from));
        let before = Condition::reached(&test, &stop.from, &index.plus(-1.0));
        let value = self.under(Condition::any([first, before]), |c| c.expr(stop.condition, env));
        self.want_bool(&value, stop.condition.span);
        self.must_be_free(&value.kind(), stop.condition.span, "the end of a loop", "this condition");
        self.under(Condition::reached(&test, &stop.from, &index), |c| c.block(body, env))
    }

    /// A loop that may stop early has one variable and no value.
    pub fn whole_loop(&mut self, clauses: &[ForClause], stop: &Stop<'_>, body: &Block, value: &Val) {
        if clauses.len() > 1 {
            self.mark_unknown();
            self.report(
                Diagnostic::error("E0204", stop.condition.span, "`while` stops a loop over one variable")
                    .label(format!("this one has {}", clauses.len()))
                    .fix("write nested loops, each with its own `while`"),
            );
        }
        if !matches!(value, Val::Unit | Val::Unknown) {
            let place = body.value.as_ref().map_or(body.span, |v| v.span);
            self.report(
                Diagnostic::error("E0204", place, "a loop that may stop early has no value")
                    .label("this value exists only in the iterations that are reached")
                    .fix("assign it to a `var`"),
            );
        }
    }

    /// Runs something where `test` holds.
    pub fn under<T>(&mut self, test: Condition, f: impl FnOnce(&mut Checker) -> T) -> T {
        self.guards.push(test);
        let out = f(self);
        self.guards.pop();
        out
    }

    /// How much has been sampled, for [`Checker::split_run`].
    pub fn sampled(&self) -> (usize, usize) {
        self.runs.last().map_or((0, 0), |r| (r.sites.len(), r.bindings.len()))
    }

    /// Takes off what was sampled since the marks.
    pub fn split_run(&mut self, marks: (usize, usize)) -> Sampled {
        match self.runs.last_mut() {
            Some(run) => {
                let sites = run.sites.split_off(marks.0.min(run.sites.len()));
                let bindings = run.bindings.split_off(marks.1.min(run.bindings.len()));
                (sites, bindings)
            }
            None => (Vec::new(), Vec::new()),
        }
    }

    /// Puts what two branches sampled together.
    pub fn merge_branches(&mut self, then: Sampled, otherwise: Sampled) {
        let around = self.present_condition();
        for (which, (a, b)) in [(then.0, otherwise.0), (then.1, otherwise.1)].into_iter().enumerate() {
            let mut rest = b;
            let mut merged = Vec::new();
            for site in a {
                let twin = rest.iter().position(|o| {
                    o.path == site.path
                        && o.pieces.len() == site.pieces.len()
                        && o.pieces.iter().zip(&site.pieces).all(|(x, y)| x.from == y.from && x.to == y.to)
                });
                let Some(twin) = twin else {
                    merged.push(site);
                    continue;
                };
                let other = rest.remove(twin);
                let (joined, errors) = self.quietly(|c| c.join(&site.value, &other.value, other.span));
                let same = match (&site.value, &other.value) {
                    (Val::Num(x), Val::Num(y)) => x.base == y.base && errors == 0,
                    _ => errors == 0,
                };
                if !same && which == 0 {
                    self.types_differ(&site, &other);
                }
                let around = site.over_places(&around);
                let either = Condition::any([site.presence.clone(), other.presence.clone()]);
                let presence = if self.implied(std::slice::from_ref(&around), &either) { around } else { either };
                // Both stand for the same address of the trace, though their values have different names.
                let value = match (&joined, &site.value) {
                    (Val::Num(j), Val::Num(s)) => Val::Num(Num { sym: s.sym.clone(), ..j.clone() }),
                    _ => joined,
                };
                merged.push(Site { value, presence, ..site });
            }
            merged.extend(rest);
            if let Some(run) = self.runs.last_mut() {
                for site in &merged {
                    if let Some(t) = run.templates.get_mut(&site.path) {
                        t.presence = site.presence.clone();
                    }
                }
                if which == 0 {
                    run.sites.extend(merged);
                } else {
                    run.bindings.extend(merged);
                }
            }
        }
    }

    fn types_differ(&mut self, site: &Site, other: &Site) {
        let (x, y) = (self.describe(&site.value), self.describe(&other.value));
        self.report(
            Diagnostic::error("E0410", other.span, format!("`{}` has another type in this branch: {y}", site.path))
                .label(y)
                .also(site.span, x),
        );
    }
}

impl Site {
    /// A condition of the place where it is sampled, over the places of its indices.
    pub fn over_places(&self, condition: &Condition) -> Condition {
        self.pieces.iter().enumerate().fold(condition.clone(), |c, (k, piece)| match (&piece.atom, &piece.group) {
            (Some(atom), Some((group, end))) => {
                let here = Poly::atom(&place(k));
                c.substitute(group, &group_of(group, end, &here)).substitute(atom, &here)
            }
            (Some(atom), None) => c.substitute(atom, &Poly::atom(&place(k))),
            (None, _) => c,
        })
    }
}

/// The number of the ragged group that holds an index, by where groups end: the same for all loops over the same groups.
fn group_of(group: &str, end: &Poly, at: &Poly) -> Poly {
    Poly::atom(&format!("group({}, {})", end.substitute(group, &Poly::atom(GROUP)).print(), at.print()))
}

impl Checker {
    /// A condition with the numbers of groups by the variables of the loops around.
    pub fn by_groups(&self, condition: &Condition) -> Condition {
        let Some(run) = self.runs.last() else { return condition.clone() };
        run.loops.iter().fold(condition.clone(), |c, inner| {
            let outer = inner.groups.as_ref().and_then(|g| run.loops.iter().find(|l| l.name == *g));
            match outer {
                Some(outer) => {
                    let group = group_of(&outer.atom, &inner.to, &Poly::atom(&inner.atom));
                    match group.as_atom() {
                        Some(atom) => c.substitute(atom, &Poly::atom(&outer.atom)),
                        None => c,
                    }
                }
                None => c,
            }
        })
    }
}

/// The number of a group in where it ends.
const GROUP: &str = "g#0";

/// Parts of a value that are present under a condition, collected over loops with these variables.
pub fn under_loop(value: Val, dims: &[Poly], atoms: &[String]) -> Val {
    match value {
        Val::Optional(o) => {
            let mut presence = o.presence.under(dims.len(), o.arity);
            for (k, atom) in atoms.iter().enumerate() {
                presence = presence.substitute(atom, &Poly::atom(&place(k)));
            }
            Val::Optional(Rc::new(Optional { presence, arity: o.arity + dims.len(), ..(*o).clone() }))
        }
        Val::Record(r) => Val::Record(Record {
            fields: r.fields.into_iter().map(|(n, v)| (n, under_loop(v, dims, atoms))).collect(),
            sampled: r.sampled,
        }),
        Val::Tuple(parts) => Val::Tuple(parts.into_iter().map(|p| under_loop(p, dims, atoms)).collect()),
        other => other,
    }
}

//! Generative functions made of others, and traces made of others: `condition`, `predictive`, `marginal`, `normalize`,
//! `merge`, `restrict`, and the algorithms `importance` and `enumerate`. Here their arguments; what a run of them is, in
//! [`super::particles`].

use super::call::ArgVal;
use super::context::Checker;
use super::expression::address_path;
use super::poly::Poly;
use super::value::{Algorithm, Base, Callable, Env, GenForm, GenVal, Importance, Mode, Num, Record, Val};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::syntax::tree::{Arg, Expr, ExprKind};
use std::rc::Rc;

/// Their names.
pub const NAMES: [&str; 8] =
    ["condition", "predictive", "marginal", "normalize", "merge", "restrict", "importance", "enumerate"];

/// Names of the parameters of each, and how many must be given.
pub fn parameters(name: &str) -> (&'static [&'static str], usize) {
    match name {
        "condition" => (&["g", "fixed"], 2),
        "marginal" => (&["g", "keep", "by"], 3),
        "normalize" => (&["g", "by"], 2),
        "merge" => (&["first", "second"], 2),
        "restrict" => (&["trace", "addresses"], 2),
        "importance" => (&["proposal", "n", "index"], 2),
        "enumerate" => (&[], 0),
        _ => (&["g"], 1),
    }
}

impl Checker {
    /// Arguments by parameter; `None` after an error.
    fn combinator_args<'e>(&mut self, name: &str, args: &'e [Arg], span: Span) -> Option<Vec<Option<&'e Expr>>> {
        let (names, least) = parameters(name);
        let mut slots: Vec<Option<&Expr>> = vec![None; names.len()];
        let mut next = 0;
        for arg in args {
            let at = match &arg.name {
                None => {
                    next += 1;
                    Some(next - 1)
                }
                Some(n) => names.iter().position(|p| *p == n.text),
            };
            match at.and_then(|at| slots.get_mut(at)) {
                Some(slot @ None) => *slot = Some(&arg.value),
                _ => {
                    let what = arg.name.as_ref().map_or("this argument".to_owned(), |n| format!("`{}`", n.text));
                    self.report(
                        Diagnostic::error("E0203", arg.value.span, format!("`{name}` does not take {what}"))
                            .label("here")
                            .note(format!("its parameters are {}", names.join(", "))),
                    );
                    return None;
                }
            }
        }
        if let Some(missing) = slots.iter().take(least).position(Option::is_none) {
            self.report(
                Diagnostic::error("E0203", span, format!("`{name}` needs its argument `{}`", names[missing]))
                    .label("missing here")
                    .note(format!("its parameters are {}", names.join(", ")))
                    .fix(format!("`{name}(…, {}: …)`", names[missing])),
            );
            return None;
        }
        Some(slots)
    }

    pub fn combinator(&mut self, name: &str, callee: &Expr, args: &[Arg], span: Span, env: &mut Env) -> Val {
        let Some(slots) = self.combinator_args(name, args, span) else { return Val::Unknown };
        let arg = |at: usize| slots.get(at).copied().flatten();
        let made = |form: GenForm| Val::Gen(Rc::new(GenVal { form, frozen: false, span }));
        match (name, arg(0), arg(1)) {
            ("enumerate", ..) => Val::Algorithm(Rc::new(Algorithm::Enumerate { span })),
            ("importance", Some(proposal), Some(count)) => {
                self.importance(proposal, count, arg(2), callee, span, env).unwrap_or(Val::Unknown)
            }
            ("condition", Some(g), Some(fixed)) => {
                let of = self.generative_arg(g, name, env);
                let fixed = self.trace_arg(fixed, "the fixed addresses", env);
                match (of, fixed) {
                    (Some(of), Some(fixed)) => made(GenForm::Condition { of, fixed }),
                    _ => Val::Unknown,
                }
            }
            ("predictive", Some(g), _) => match self.generative_arg(g, name, env) {
                Some(of) => made(GenForm::Predictive { of }),
                None => Val::Unknown,
            },
            ("marginal", Some(g), Some(keep)) => {
                let of = self.generative_arg(g, name, env);
                let keep = self.addresses(keep);
                let by = arg(2).and_then(|by| self.algorithm_arg(by, env));
                match (of, keep, by) {
                    (Some(of), Some(keep), Some(by)) => made(GenForm::Marginal { of, keep, by }),
                    _ => Val::Unknown,
                }
            }
            ("normalize", Some(g), Some(by)) => {
                let of = self.generative_arg(g, name, env);
                match (of, self.algorithm_arg(by, env)) {
                    (Some(of), Some(by)) => made(GenForm::Normalize { of, by }),
                    _ => Val::Unknown,
                }
            }
            ("merge", Some(a), Some(b)) => {
                let (first, second) = (self.trace_arg(a, "a trace", env), self.trace_arg(b, "a trace", env));
                let (Some(first), Some(second)) = (first, second) else { return Val::Unknown };
                let both: Vec<String> = second.paths().into_iter().filter(|p| first.get_path(p).is_some()).collect();
                if !both.is_empty() {
                    self.report(
                        Diagnostic::error("E0402", b.span, format!("both traces have {}", quoted(&both)))
                            .label("has it too")
                            .also(a.span, "has it")
                            .note("`merge` joins traces with different addresses")
                            .fix("take it out of one of them by `restrict`"),
                    );
                }
                Val::Record(first.merged(&second))
            }
            ("restrict", Some(t), Some(names)) => {
                let (Some(trace), Some(names)) = (self.trace_arg(t, "a trace", env), self.addresses(names)) else {
                    return Val::Unknown;
                };
                if !self.all_there(&names, &trace.paths(), "the trace", span, &self.record_text(&trace)) {
                    return Val::Unknown;
                }
                Val::Record(trace.restricted(&|p| is_kept(&names, p)))
            }
            _ => Val::Unknown,
        }
    }

    /// Each name must be an address, or begin one.
    pub fn all_there(&mut self, names: &[String], paths: &[String], whose: &str, span: Span, shown: &str) -> bool {
        let absent: Vec<String> = names
            .iter()
            .filter(|n| !paths.iter().any(|p| is_kept(std::slice::from_ref(n), p)))
            .map(|n| format!("`{n}`"))
            .collect();
        if absent.is_empty() {
            return true;
        }
        let mut d = Diagnostic::error("E0401", span, format!("{whose} has no address {}", absent.join(", ")))
            .label("named here")
            .note(format!("{whose} has  {shown}"));
        let wrong = names.iter().find(|n| !paths.iter().any(|p| is_kept(std::slice::from_ref(n), p)));
        if let Some(wrong) = wrong
            && let Some(near) = crate::base::names::nearest(wrong, paths.iter().map(String::as_str))
        {
            d = d.fix(format!("did you mean `{near}`?"));
        } else {
            d = d.fix(format!("its addresses are {}", quoted(paths)));
        }
        self.report(d);
        false
    }

    fn generative_arg(&mut self, e: &Expr, name: &str, env: &mut Env) -> Option<Rc<GenVal>> {
        match self.expr(e, env) {
            Val::Gen(g) => Some(g),
            Val::Unknown => None,
            other => {
                let found = self.describe(&other);
                let mut d =
                    Diagnostic::error("E0204", e.span, format!("`{name}` is of a generative function, not of {found}"))
                        .label(format!("this is {found}"));
                if matches!(other, Val::Fn(_)) {
                    d = d.fix("give it its arguments");
                }
                self.report(d);
                None
            }
        }
    }

    fn trace_arg(&mut self, e: &Expr, what: &str, env: &mut Env) -> Option<Record> {
        match self.expr(e, env) {
            Val::Record(r) => Some(r),
            Val::Unknown => None,
            // `{}` is an empty block.
            Val::Unit if matches!(e.kind, ExprKind::Block(_)) => Some(Record::default()),
            other => {
                let found = self.describe(&other);
                self.report(
                    Diagnostic::error("E0204", e.span, format!("{what} must be a record, not {found}"))
                        .label(format!("this is {found}"))
                        .fix("write `{ x: 1, y: 2 }`"),
                );
                None
            }
        }
    }

    /// `[x, c.y]`: names of addresses, which have no value here.
    fn addresses(&mut self, e: &Expr) -> Option<Vec<String>> {
        if let ExprKind::Array(parts) = &e.kind
            && let Some(names) = parts.iter().map(address_path).collect()
        {
            return Some(names);
        }
        self.report(
            Diagnostic::error("E0205", e.span, "addresses are listed by name")
                .label("not a list of names")
                .fix("write `[x, y]`"),
        );
        None
    }

    fn algorithm_arg(&mut self, e: &Expr, env: &mut Env) -> Option<Rc<Algorithm>> {
        match self.expr(e, env) {
            Val::Algorithm(a) => Some(a),
            Val::Unknown => None,
            other => {
                let found = self.describe(&other);
                self.report(
                    Diagnostic::error("E0204", e.span, format!("`by:` takes an algorithm, not {found}"))
                        .label(format!("this is {found}"))
                        .fix("`by: importance(proposal, n: 5)` or `by: enumerate`"),
                );
                None
            }
        }
    }

    fn importance(
        &mut self,
        proposal: &Expr,
        count: &Expr,
        index: Option<&Expr>,
        callee: &Expr,
        span: Span,
        env: &mut Env,
    ) -> Option<Val> {
        let value = match self.expr(proposal, env) {
            g @ Val::Gen(_) => g,
            Val::Fn(f) => match &*f {
                // What it mentions of the function it stands in is read when it is applied, which is elsewhere.
                Callable::Lambda { params, body, env: captured } if captured.mode == Mode::Generative => {
                    let mut captured = (**captured).clone();
                    self.keep_addresses(&mut captured);
                    captured.mode = Mode::Pure;
                    Val::Fn(Rc::new(Callable::Lambda {
                        params: params.clone(),
                        body: body.clone(),
                        env: Rc::new(captured),
                    }))
                }
                _ => Val::Fn(f),
            },
            Val::Unknown => Val::Unknown,
            other => {
                let found = self.describe(&other);
                self.report(
                    Diagnostic::error(
                        "E0204",
                        proposal.span,
                        format!("a proposal is a generative function, or a function to one, not {found}"),
                    )
                    .label(format!("this is {found}"))
                    .fix("`importance(|t| back(t.x), n: 5)`"),
                );
                return None;
            }
        };
        let n = self.expr(count, env);
        let n = self.want_num(&n, count.span, env)?;
        if n.base != Base::Int || !n.dims.is_empty() {
            let found = self.describe_num(&n);
            self.report(
                Diagnostic::error("E0204", count.span, format!("the number of particles is an int, not {found}"))
                    .label(format!("this is {found}")),
            );
            return None;
        }
        let most = n.sym.clone().or_else(|| n.support.upper().map(|e| e.value));
        if most.is_some_and(|m| self.at_most(&Poly::constant(1.0), &m) == Some(false)) {
            self.report(
                Diagnostic::error("E0212", count.span, "importance sampling needs at least one particle")
                    .label("none")
                    .fix("`n: 1` or more"),
            );
            return None;
        }
        let index = index.map(|e| (e.clone(), env.clone()));
        let importance =
            Importance { proposal: value, proposal_span: proposal.span, count: n, index, id: callee.id, span };
        Some(Val::Algorithm(Rc::new(Algorithm::Importance(importance))))
    }

    /// Binds the addresses sampled so far, for a lambda that outlives their function's run.
    fn keep_addresses(&mut self, env: &mut Env) {
        let Some(run) = self.runs.last() else { return };
        let mut paths: Vec<String> = Vec::new();
        for b in &run.bindings {
            if !b.path.contains('.') && env.get(&b.path).is_none() && !paths.contains(&b.path) {
                paths.push(b.path.clone());
            }
        }
        for path in paths {
            let (value, errors) = self.quietly(|c| c.address(&path, &[], Span::default()));
            if let (Some(value), 0) = (value, errors) {
                env.bind(&path, value);
            }
        }
    }

    /// The generative function that proposes, for the trace `given`.
    pub fn proposal(&mut self, by: &Importance, given: Option<&Record>, frozen: bool) -> Option<GenVal> {
        let value = match (&by.proposal, given) {
            (Val::Fn(f), Some(given)) => {
                let mut env = Env::new(self.loaded.main, Mode::Pure);
                env.frozen = frozen;
                let arg = ArgVal { name: None, value: Val::Record(given.clone()), span: by.proposal_span };
                self.apply(&Val::Fn(f.clone()), vec![arg], by.proposal_span, &mut env)
            }
            (Val::Fn(_), None) => {
                self.report(
                    Diagnostic::error(
                        "E0204",
                        by.proposal_span,
                        "`normalize` proposes whole traces: there is nothing to propose from",
                    )
                    .label("a function of a trace")
                    .fix("give a generative function: `importance(q(), n: 5)`"),
                );
                return None;
            }
            (value, _) => value.clone(),
        };
        match value {
            Val::Gen(g) => Some(g.within(frozen)),
            Val::Unknown => None,
            other => {
                let found = self.describe(&other);
                self.report(
                    Diagnostic::error(
                        "E0204",
                        by.proposal_span,
                        format!("a proposal is a generative function, not {found}"),
                    )
                    .label(format!("gives {found}")),
                );
                None
            }
        }
    }

    /// Whether a count may be more than one.
    pub fn may_exceed_one(&self, count: &Num) -> bool {
        count.sym.as_ref().is_none_or(|s| self.at_most(s, &Poly::constant(1.0)) != Some(true))
    }
}

/// Whether an address is one of these, or stands under one.
pub fn is_kept(names: &[String], path: &str) -> bool {
    names.iter().any(|n| path == n || path.strip_prefix(n.as_str()).is_some_and(|rest| rest.starts_with('.')))
}

pub fn quoted(names: &[String]) -> String {
    names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
}

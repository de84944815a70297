//! Calls: arguments to parameters, sizes inferred, bodies evaluated on abstract arguments.

use super::annotation::Purpose;
use super::context::{Checker, Frame};
use super::estimates::Source;
use super::poly::Poly;
use super::program::ItemId;
use super::value::{BijectorVal, Callable, DistVal, Env, GenForm, GenVal, Mode, Num, Support, Val};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::syntax::tree::{Arg, Expr, ExprKind, FnItem, ItemKind, Member, Name, Param};
use std::rc::Rc;

/// Calls deeper than this are not followed; the language has no recursion, so only slips reach it.
const DEPTH: usize = 96;

#[derive(Clone, Debug)]
pub struct ArgVal {
    pub name: Option<String>,
    pub value: Val,
    pub span: Span,
}

impl Checker {
    /// Arguments of a function of the language: a sum over the rows of a plate is scaled to stand for all of them.
    fn native_args(&mut self, name: &str, args: &[Arg], env: &mut Env) -> Vec<ArgVal> {
        if let ("sum" | "mean", [arg]) = (name, args)
            && matches!(arg.value.kind, ExprKind::For { .. })
        {
            self.summed = true;
        }
        self.args(args, env)
    }

    pub fn args(&mut self, args: &[Arg], env: &mut Env) -> Vec<ArgVal> {
        args.iter()
            .map(|a| ArgVal {
                name: a.name.as_ref().map(|n| n.text.clone()),
                value: self.expr(&a.value, env),
                span: a.value.span,
            })
            .collect()
    }

    /// Whether the expression is a call whose sizes only its place can say.
    pub fn sized_by_place(&self, e: &Expr, env: &Env) -> bool {
        let ExprKind::Call { callee, .. } = &e.kind else { return false };
        let ExprKind::Name(name) = &callee.kind else { return false };
        env.get(name).is_none()
            && self
                .loaded
                .items
                .resolve(env.module, name)
                .is_some_and(|id| matches!(&self.loaded.items.item(id).kind, ItemKind::Fn(f) if f.sized_by_result()))
    }

    /// The arguments of an item; one whose sizes only its place can say gets those of its parameter.
    fn args_of(&mut self, id: ItemId, args: &[Arg], env: &mut Env) -> Vec<ArgVal> {
        let item = self.loaded.items.item(id).clone();
        let (sizes, params): (&[Name], &[Param]) = match &item.kind {
            ItemKind::Fn(f) => (&f.sizes, &f.params),
            ItemKind::Gen(g) => (&g.sizes, &g.params),
            ItemKind::Dist(d) => (&d.sizes, &d.params),
            ItemKind::Bijector(b) => (&b.sizes, &b.params),
            _ => return self.args(args, env),
        };
        if !args.iter().any(|a| self.sized_by_place(&a.value, env)) {
            return self.args(args, env);
        }
        // The callee's scope as far as the arguments before tell its sizes.
        let mut inner = Env::new(self.loaded.items.module_of(id), Mode::Pure);
        inner.open.extend(sizes.iter().map(|n| n.text.clone()));
        let mut out = Vec::new();
        for (k, a) in args.iter().enumerate() {
            let param = match &a.name {
                Some(name) => params.iter().find(|p| p.name.text == name.text),
                None => params.get(k),
            };
            let ty = param.and_then(|p| p.ty.as_ref());
            let want = ty.filter(|ty| !inner.open.iter().any(|s| ty.mentions_size(s))).cloned();
            let want = want.and_then(|ty| self.wanted(&ty, &mut inner));
            let value = self.expr_as(&a.value, want, env);
            if let Some(ty) = ty {
                let purpose = Purpose { what: "", span: a.value.span };
                self.quietly(|c| c.conform(ty, &value, &mut inner, purpose, Some(&mut Vec::new())));
            }
            out.push(ArgVal { name: a.name.as_ref().map(|n| n.text.clone()), value, span: a.value.span });
        }
        out
    }

    /// `want`: the type that the result is declared to have, where it is.
    pub fn call(&mut self, callee: &Expr, args: &[Arg], span: Span, env: &mut Env, want: Option<Val>) -> Val {
        if let ExprKind::Name(name) = &callee.kind {
            let local = env.get(name).is_some();
            // The distribution's own member, unless the number of arguments says otherwise.
            if !local
                && let Some(owner) = env.owner.clone()
                && self.member_arity(&owner, name) == Some(args.len())
            {
                let values = self.args(args, env);
                return self.own_member(&owner, name, values.into_iter().map(|a| a.value).collect(), span, env);
            }
            if !local && let Some(id) = self.loaded.items.resolve(env.module, name) {
                let values = self.args_of(id, args, env);
                self.want = want;
                return self.apply_item(id, values, span, env);
            }
            if !local && super::combinator::NAMES.contains(&name.as_str()) {
                // Arguments that are names of addresses have no value of their own.
                return self.combinator(name, callee, args, span, env);
            }
            if !local && super::native::is_native(name) {
                let values = self.native_args(name, args, env);
                return self.pure_native(name, values, span, env);
            }
            if !local && env.mode != Mode::Generative {
                let values = self.args(args, env);
                // A member of a distribution of the user's.
                if let Some(ArgVal { value: owner @ (Val::Dist(_) | Val::Bijector(_)), .. }) = values.first()
                    && self.has_member(owner, name)
                {
                    return self.member_call(name, &values, span, env);
                }
                if !self.loaded.missing.contains(name) {
                    self.unknown_name(name, callee.span, env);
                }
                return Val::Unknown;
            }
        }
        let function = self.expr(callee, env);
        let values = self.args(args, env);
        self.want = want;
        self.apply(&function, values, span, env)
    }

    pub fn apply(&mut self, function: &Val, args: Vec<ArgVal>, span: Span, env: &mut Env) -> Val {
        let want = self.want.take();
        match function {
            Val::Fn(f) => match &**f {
                Callable::Native(name) => self.pure_native(name, args, span, env),
                Callable::Item(id) => {
                    self.want = want;
                    self.apply_item(*id, args, span, env)
                }
                Callable::Member(name) => match env.owner.clone() {
                    Some(owner) => {
                        self.own_member(&owner, name, args.into_iter().map(|a| a.value).collect(), span, env)
                    }
                    None => Val::Unknown,
                },
                Callable::Lambda { params, body, env: captured } => {
                    if params.len() != args.len() {
                        self.report(
                            Diagnostic::error(
                                "E0203",
                                span,
                                format!("this function takes {} arguments, not {}", params.len(), args.len()),
                            )
                            .label("called here")
                            .also(body.span, "the function"),
                        );
                        return Val::Unknown;
                    }
                    if self.frames.len() > DEPTH {
                        return Val::Unknown;
                    }
                    let mut inner = (**captured).clone();
                    inner.frozen |= env.frozen;
                    for (p, a) in params.iter().zip(args) {
                        inner.bind(&p.text, a.value);
                    }
                    self.frames.push(Frame { span, name: "a function".to_owned(), item: None });
                    let out = self.expr_as(body, want, &mut inner);
                    self.frames.pop();
                    out
                }
                Callable::Declared { arity, result } => {
                    if *arity != args.len() {
                        self.report(
                            Diagnostic::error(
                                "E0203",
                                span,
                                format!("this function takes {arity} arguments, not {}", args.len()),
                            )
                            .label("called here"),
                        );
                    }
                    let mut kind = super::value::Kind::default();
                    for a in &args {
                        kind.join(&a.value.kind());
                    }
                    // A recipe runs anew at each call; where one is given, what it gives is checked.
                    result.map(&mut |n| {
                        let estimate =
                            n.estimate.as_ref().map(|s| if s.is_empty() { vec![self.fresh()] } else { s.clone() });
                        Num { kind: kind.clone(), estimate, ..n.clone() }
                    })
                }
                Callable::Continuation { event } => self.continuation(event, &args, span),
            },
            Val::Unknown => Val::Unknown,
            other => {
                let found = self.describe(other);
                let mut d = Diagnostic::error("E0205", span, format!("{found} cannot be called")).label("called here");
                if matches!(other, Val::Gen(_) | Val::Dist(_)) {
                    d = d.fix("it has no parameters: write it without `()`");
                }
                if matches!(other, Val::Gen(_) | Val::Dist(_)) && args.is_empty() {
                    return other.clone();
                }
                self.report(d);
                Val::Unknown
            }
        }
    }

    fn pure_native(&mut self, name: &str, args: Vec<ArgVal>, span: Span, env: &mut Env) -> Val {
        let values: Vec<Val> = args.iter().map(|a| a.value.clone()).collect();
        let out = self.native(name, args, span, env);
        self.called(name, &values, out)
    }

    /// The result of a function in a generative function, named by the call if it has no other name: the same call gives
    /// the same value, so that conditions on it can be compared.
    fn called(&self, name: &str, args: &[Val], out: Val) -> Val {
        let Val::Num(n) = &out else { return out };
        let opaque = n.test.as_ref().map_or(n.sym.is_none(), |t| t.is_opaque());
        if self.runs.is_empty() || !opaque || !n.dims.is_empty() || !n.kind.is_free() || n.estimate.is_some() {
            return out;
        }
        let names: Option<Vec<String>> = args
            .iter()
            .map(|a| match a {
                Val::Num(n) => n.sym.as_ref().filter(|s| s.printable()).map(Poly::print),
                _ => None,
            })
            .collect();
        match names {
            Some(names) if !names.is_empty() && names.iter().map(String::len).sum::<usize>() < 300 => {
                let sym = Some(Poly::atom(&format!("{name}({})", names.join(", "))));
                Val::Num(Num { sym, test: None, ..n.clone() })
            }
            _ => out,
        }
    }

    fn continuation(&mut self, event: &Val, args: &[ArgVal], span: Span) -> Val {
        self.impure(span, "is an estimate");
        let source = self.source(Source::Continuation(span));
        let [arg] = args else {
            self.report(
                Diagnostic::error("E0203", span, format!("the continuation takes one value, not {}", args.len()))
                    .label("here"),
            );
            return Val::Unknown;
        };
        match (event, &arg.value) {
            (Val::Num(e), Val::Num(v)) => {
                if v.estimate.is_some() {
                    self.nonlinear(&v.estimate, arg.span, "passed to the continuation");
                }
                let memory = self.memory_part(&v.kind);
                if !memory.is_free() {
                    self.memory_reaches(&memory, arg.span, "the value passed to the continuation");
                }
                let base_ok =
                    e.base == v.base || (e.base == super::value::Base::Real && v.base == super::value::Base::Int);
                if !base_ok || e.dims.len() != v.dims.len() {
                    let (wanted, found) = (self.describe_num(e), self.describe_num(v));
                    self.report(
                        Diagnostic::error("E0308", arg.span, format!("the continuation takes {wanted}, not {found}"))
                            .label(format!("this is {found}"))
                            .note("a strategy passes on values of its distribution"),
                    );
                } else {
                    for (a, b) in v.dims.iter().zip(&e.dims) {
                        self.same_size(a, b, arg.span, "the continuation takes a value of the distribution");
                    }
                    if self.disjoint(v, e) {
                        let (wanted, found) = (self.describe_num(e), self.describe_num(v));
                        self.report(
                            Diagnostic::error("E0308", arg.span, format!("{found} is outside the support {wanted}"))
                                .label("never in the support"),
                        );
                    }
                }
            }
            (Val::Unknown, _)
            | (_, Val::Unknown)
            | (Val::Record(_), Val::Record(_))
            | (Val::Tuple(_), Val::Tuple(_)) => {}
            (e, v) => {
                let (wanted, found) = (self.describe(e), self.describe(v));
                self.report(
                    Diagnostic::error("E0308", arg.span, format!("the continuation takes {wanted}, not {found}"))
                        .label(found.clone()),
                );
            }
        }
        let kind = self.without_memory(&arg.value.kind());
        Val::Num(Num { estimate: Some(vec![source]), kind, ..Num::real() })
    }

    /// Arguments are bound to parameters in `inner`, the callee's scope. False if the call makes no sense. What no argument
    /// settled is unknown, but the same everywhere.
    #[expect(clippy::too_many_arguments, reason = "the two sides of a call")]
    pub fn bind_params(
        &mut self,
        inner: &mut Env,
        sizes: &[Name],
        params: &[Param],
        args: Vec<ArgVal>,
        span: Span,
        what: &str,
        batch: Option<&mut Vec<Poly>>,
    ) -> bool {
        let fine = self.bind_arguments(inner, sizes, params, args, span, what, batch);
        self.close_sizes(inner);
        fine
    }

    fn close_sizes(&mut self, inner: &mut Env) {
        for name in std::mem::take(&mut inner.open) {
            let size = self.opaque();
            inner.bind(&name, Val::Num(Num { support: Support::interval(Some(0.0), None), ..Num::size(size) }));
        }
    }

    /// Sizes of a function that no argument settled, from the type that its result is declared to have.
    fn settle_by_result(&mut self, f: &FnItem, want: Option<Val>, known: bool, inner: &mut Env, span: Span) {
        if inner.open.is_empty() {
            return;
        }
        if let (Some(ty), Some(want)) = (&f.result, &want) {
            let purpose = Purpose { what: "the result", span };
            self.quietly(|c| c.conform(ty, want, inner, purpose, None));
        }
        let declared = f.sizes.iter().find(|s| inner.open.contains(&s.text));
        if let Some(size) = declared.filter(|_| known && !matches!(want, Some(Val::Unknown))) {
            let name = &f.name.text;
            self.report(
                Diagnostic::error("E0215", span, format!("the size `{}` of `{name}` is not known here", size.text))
                    .label("no argument and no declared type says it")
                    .also(size.span, "the size parameter")
                    .fix(format!("declare the type of the result: `let x: … = {name}(…)`, or of the parameter or field that it goes to")),
            );
        }
        self.close_sizes(inner);
    }

    /// As [`Checker::bind_params`]; sizes that no argument settled stay open.
    #[expect(clippy::too_many_arguments, reason = "the two sides of a call")]
    fn bind_arguments(
        &mut self,
        inner: &mut Env,
        sizes: &[Name],
        params: &[Param],
        args: Vec<ArgVal>,
        span: Span,
        what: &str,
        mut batch: Option<&mut Vec<Poly>>,
    ) -> bool {
        inner.open.extend(sizes.iter().map(|n| n.text.clone()));
        let mut slots: Vec<Option<ArgVal>> = params.iter().map(|_| None).collect();
        let mut next = 0;
        let mut fine = true;
        let total = args.len();
        let mut excess = false;
        for arg in args {
            match &arg.name {
                None => {
                    if next < slots.len() {
                        slots[next] = Some(arg);
                    } else {
                        excess = true;
                    }
                    next += 1;
                }
                Some(name) => match params.iter().position(|p| p.name.text == *name) {
                    Some(at) if slots[at].is_none() => slots[at] = Some(arg),
                    Some(_) => {
                        self.report(
                            Diagnostic::error("E0203", arg.span, format!("`{name}` of `{what}` is given twice"))
                                .label("again here"),
                        );
                        fine = false;
                    }
                    None => {
                        let mut d = Diagnostic::error("E0203", arg.span, format!("`{what}` has no parameter `{name}`"))
                            .label("here");
                        if let Some(near) = super::names::nearest(name, params.iter().map(|p| p.name.text.as_str())) {
                            d = d.fix(format!("did you mean `{near}`?"));
                        }
                        self.report(d);
                        fine = false;
                    }
                },
            }
        }
        let missing: Vec<String> = params
            .iter()
            .zip(&slots)
            .filter(|(p, s)| s.is_none() && p.default.is_none())
            .map(|(p, _)| format!("`{}`", p.name.text))
            .collect();
        if excess || !missing.is_empty() {
            let least = params.iter().filter(|p| p.default.is_none()).count();
            let wanted = if least == params.len() { least.to_string() } else { format!("{least} to {}", params.len()) };
            let mut d = Diagnostic::error(
                "E0203",
                span,
                format!("`{what}` takes {wanted} argument{}, not {total}", if params.len() == 1 { "" } else { "s" }),
            )
            .label(if missing.is_empty() {
                "too many".to_owned()
            } else {
                format!("{} missing", missing.join(", "))
            });
            if !params.is_empty() {
                let list: Vec<&str> = params.iter().map(|p| p.name.text.as_str()).collect();
                d = d.note(format!("its parameters are {}", list.join(", ")));
            }
            self.report(d);
            return false;
        }
        for (param, slot) in params.iter().zip(slots) {
            let (value, place) = match (slot, &param.default) {
                (Some(arg), _) => (arg.value, arg.span),
                (None, Some(default)) => {
                    let want = param.ty.as_ref().and_then(|ty| self.wanted(ty, inner));
                    (self.expr_as(default, want, inner), span)
                }
                (None, None) => (Val::Unknown, span),
            };
            let value = match &param.ty {
                Some(ty) => {
                    let text = format!("`{}` of `{what}`", param.name.text);
                    self.conform(ty, &value, inner, Purpose { what: &text, span: place }, batch.as_deref_mut())
                }
                None => value,
            };
            inner.bind(&param.name.text, value);
        }
        fine
    }

    pub fn apply_item(&mut self, id: ItemId, args: Vec<ArgVal>, span: Span, env: &Env) -> Val {
        let want = self.want.take();
        let item = self.loaded.items.item(id).clone();
        let module = self.loaded.items.module_of(id);
        if self.recursive.contains(&id) || self.frames.len() > DEPTH {
            return Val::Unknown;
        }
        match &item.kind {
            ItemKind::Fn(f) => {
                let mut inner = Env::new(module, Mode::Pure);
                inner.frozen = env.frozen;
                let values: Vec<Val> = args.iter().map(|a| a.value.clone()).collect();
                let known = args.iter().all(|a| !matches!(a.value, Val::Unknown));
                let fine = self.bind_arguments(&mut inner, &f.sizes, &f.params, args, span, &f.name.text, None);
                self.settle_by_result(f, want, fine && known, &mut inner, span);
                if !fine {
                    return f.result.as_ref().map_or(Val::Unknown, |ty| self.quietly(|c| c.resolve(ty, &mut inner)).0);
                }
                self.frames.push(Frame { span, name: f.name.text.clone(), item: Some(id) });
                self.want = f.result.as_ref().and_then(|ty| self.wanted(ty, &mut inner));
                let value = self.block(&f.body, &mut inner);
                let value = match &f.result {
                    Some(ty) => {
                        let text = format!("the result of `{}`", f.name.text);
                        let place = f.body.value.as_ref().map_or(f.body.span, |v| v.span);
                        self.conform(ty, &value, &mut inner, Purpose { what: &text, span: place }, None)
                    }
                    None => value,
                };
                self.frames.pop();
                self.called(&f.name.text, &values, value)
            }
            ItemKind::Gen(g) => {
                let mut inner = Env::new(module, Mode::Pure);
                inner.frozen = env.frozen;
                if !self.bind_params(&mut inner, &g.sizes, &g.params, args, span, &g.name.text, None) {
                    return Val::Unknown;
                }
                let (sizes, args) = split_bindings(&inner, &g.sizes, &g.params);
                Val::Gen(Rc::new(GenVal { form: GenForm::Item { id, args, sizes }, frozen: env.frozen, span }))
            }
            ItemKind::Dist(d) => {
                let mut inner = Env::new(module, Mode::Pure);
                inner.frozen = env.frozen;
                let mut batch = Vec::new();
                if !self.bind_params(&mut inner, &d.sizes, &d.params, args, span, &d.name.text, Some(&mut batch)) {
                    return Val::Unknown;
                }
                self.frames.push(Frame { span, name: d.name.text.clone(), item: None });
                let event = self.resolve(&d.support, &mut inner);
                self.frames.pop();
                let (sizes, args) = split_bindings(&inner, &d.sizes, &d.params);
                Val::Dist(Rc::new(DistVal {
                    item: Some(id),
                    whole: None,
                    name: d.name.text.clone(),
                    args,
                    sizes,
                    batch,
                    event,
                    span,
                }))
            }
            ItemKind::Bijector(b) => {
                let mut inner = Env::new(module, Mode::Pure);
                inner.frozen = env.frozen;
                if !self.bind_params(&mut inner, &b.sizes, &b.params, args, span, &b.name.text, None) {
                    return Val::Unknown;
                }
                let from = self.resolve(&b.from, &mut inner);
                let to = self.resolve(&b.to, &mut inner);
                let (sizes, args) = split_bindings(&inner, &b.sizes, &b.params);
                Val::Bijector(Rc::new(BijectorVal { item: Some(id), args, sizes, from, to }))
            }
            ItemKind::Objective(o) => {
                let mut inner = Env::new(module, Mode::Pure);
                inner.frozen = env.frozen;
                if !self.bind_params(&mut inner, &o.sizes, &o.params, args, span, &o.name.text, None) {
                    return Val::Num(Num { estimate: Some(vec![self.fresh()]), ..Num::real() });
                }
                self.frames.push(Frame { span, name: o.name.text.clone(), item: Some(id) });
                self.conditions(o, span, &mut inner);
                let value = self.expr(&o.body, &mut inner);
                self.frames.pop();
                match value {
                    Val::Num(n) if n.dims.is_empty() => Val::Num(n),
                    Val::Unknown => Val::Num(Num { estimate: Some(vec![self.fresh()]), ..Num::real() }),
                    other => {
                        let found = self.describe(&other);
                        self.report(
                            Diagnostic::error(
                                "E0204",
                                o.body.span,
                                format!("an objective is an estimate, not {found}"),
                            )
                            .label(found.clone()),
                        );
                        Val::Unknown
                    }
                }
            }
            ItemKind::Family { name, .. } => {
                self.report(
                    Diagnostic::error("E0205", span, format!("the family `{}` makes a guide, not a value", name.text))
                        .label("used as a function")
                        .fix(format!("`guide q = {}(model())`", name.text)),
                );
                Val::Unknown
            }
            ItemKind::Strategy(s) => {
                self.report(
                    Diagnostic::error("E0205", span, format!("the strategy `{}` is not a function", s.name.text))
                        .label("used as a function")
                        .fix(format!("`x ~ d by {}`", s.name.text)),
                );
                Val::Unknown
            }
            _ => {
                let value = self.item_value(id, span, env);
                let mut env = env.clone();
                self.apply(&value, args, span, &mut env)
            }
        }
    }

    /// The members of a distribution or bijector, and its scope.
    fn owner_scope(&self, owner: &Val, mode: Mode) -> Option<(ItemId, Env)> {
        let (id, args, sizes) = match owner {
            Val::Dist(d) => (d.item?, &d.args, &d.sizes),
            Val::Bijector(b) => (b.item?, &b.args, &b.sizes),
            _ => return None,
        };
        let mut env = Env::new(self.loaded.items.module_of(id), mode);
        for (name, size) in sizes {
            env.bind(name, Val::Num(Num { support: Support::interval(Some(0.0), None), ..Num::size(size.clone()) }));
        }
        for (name, value) in args {
            env.bind(name, value.clone());
        }
        env.owner = Some(owner.clone());
        Some((id, env))
    }

    /// Parameters and sizes of a distribution in scope, for its strategies.
    pub fn dist_scope(&self, d: &Rc<DistVal>) -> Option<(ItemId, Env)> {
        self.owner_scope(&Val::Dist(d.clone()), Mode::Strategy)
    }

    fn members<'a>(&self, item: &'a crate::syntax::tree::Item) -> &'a [Member] {
        match &item.kind {
            ItemKind::Dist(d) => &d.members,
            ItemKind::Bijector(b) => &b.members,
            _ => &[],
        }
    }

    pub fn member_arity(&self, owner: &Val, name: &str) -> Option<usize> {
        let id = match owner {
            Val::Dist(d) => d.item?,
            Val::Bijector(b) => b.item?,
            _ => return None,
        };
        let item = self.loaded.items.item(id);
        self.members(item).iter().find(|m| m.name.text == name).map(|m| m.params.len())
    }

    pub fn has_member(&self, owner: &Val, name: &str) -> bool {
        match owner {
            // Of a declared type only: it may have anything.
            Val::Dist(d) if d.whole.is_some() => match name {
                "log_prob" | "draw" => true,
                "path" => d.whole.as_ref().is_some_and(|w| w.pathless.is_none()),
                _ => false,
            },
            Val::Dist(d) if d.item.is_none() => true,
            Val::Bijector(b) if b.item.is_none() => true,
            _ => self.member_arity(owner, name).is_some(),
        }
    }

    /// Evaluates a member's body.
    pub fn own_member(&mut self, owner: &Val, name: &str, args: Vec<Val>, span: Span, env: &Env) -> Val {
        let mode = if name == "draw" || name == "path" { Mode::Sampler } else { Mode::Pure };
        let Some((id, mut inner)) = self.owner_scope(owner, mode) else { return Val::Unknown };
        inner.frozen = env.frozen;
        if self.frames.len() > DEPTH {
            return Val::Unknown;
        }
        let item = self.loaded.items.item(id).clone();
        let Some(member) = self.members(&item).iter().find(|m| m.name.text == name) else { return Val::Unknown };
        for (p, value) in member.params.iter().zip(args) {
            inner.bind(&p.text, value);
        }
        let whole = std::mem::take(&mut self.whole_division);
        self.frames.push(Frame { span, name: name.to_owned(), item: None });
        let value = self.block(&member.body, &mut inner);
        self.frames.pop();
        self.whole_division = whole;
        value
    }
}

/// Sizes and arguments by name.
pub type Bindings = (Vec<(String, Poly)>, Vec<(String, Val)>);

/// Sizes and arguments as they were bound.
pub fn split_bindings(env: &Env, sizes: &[Name], params: &[Param]) -> Bindings {
    let sizes = sizes
        .iter()
        .filter_map(|n| match env.get(&n.text).map(|b| &b.value) {
            Some(Val::Num(num)) => num.sym.clone().map(|s| (n.text.clone(), s)),
            _ => None,
        })
        .collect();
    let args = params
        .iter()
        .map(|p| (p.name.text.clone(), env.get(&p.name.text).map_or(Val::Unknown, |b| b.value.clone())))
        .collect();
    (sizes, args)
}

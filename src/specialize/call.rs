//! Application: of functions, lambdas, distributions, generative functions, bijectors, objectives; arguments by
//! position and by name, defaults, size parameters.

use super::machine::{Machine, R, refuse, unsupported};
use super::scan::{self, Mention};
use super::types::TypeValue;
use super::value::{Bijector, Binding, Dist, Env, Gen, GenForm, This, Value};
use crate::base::source::Span;
use crate::syntax::tree::{Arg, Expr, ExprKind, ItemKind, Name, Param, TypeExpr};
use crate::types::program::ItemId;
use std::collections::HashMap;
use std::rc::Rc;

/// An argument: its name if given by name, its value, its place.
pub(super) type Argument<'a> = (Option<&'a str>, Value<'a>, Span);

/// Values of parameters and sizes, by name.
pub(super) type BoundArgs<'a> = (Vec<(&'a str, Value<'a>)>, Vec<(&'a str, i64)>);

/// Calls nest no deeper than this (there is no recursion; generated programs may still be deep).
const MAX_CALL_DEPTH: usize = 256;

impl<'a> Machine<'a> {
    /// `want`: the type that the result is declared to have, where it is.
    pub(super) fn call(
        &mut self,
        callee: &'a Expr,
        args: &'a [Arg],
        env: &Env<'a>,
        span: Span,
        want: Option<TypeValue<'a>>,
    ) -> R<Value<'a>> {
        if let ExprKind::Name(n) = &callee.kind
            && env.local(n).is_none()
        {
            if let Some(member) = self.own_member(n, args.len(), env) {
                let values: R<Vec<Value<'a>>> = args.iter().map(|a| self.expr(&a.value, env)).collect();
                return self.call_member(member, values?, env);
            }
            if matches!(n.as_str(), "sum" | "mean")
                && self.checked.items.resolve(env.module, n).is_none()
                && let [Arg { value: Expr { kind: ExprKind::For { clauses, condition, body }, span, .. }, .. }] = args
            {
                let reduce = if n == "sum" { super::loops::Reduce::Sum } else { super::loops::Reduce::Mean };
                return self.for_expr(clauses, condition.as_deref(), body, env, reduce, *span);
            }
            if super::combinator::is_combinator(n) && self.checked.items.resolve(env.module, n).is_none() {
                // Names of addresses among the arguments have no value of their own.
                return self.combinator(n, callee.id, args, env, span);
            }
            if n == "support" && self.checked.items.resolve(env.module, n).is_none() {
                return unsupported(span, "`support` outside the range of a `for`");
            }
        }
        let function = match &callee.kind {
            // A member without parameters of the body's own distribution is a value, not what is called here.
            ExprKind::Name(n) if env.local(n).is_none() && self.own_member(n, 0, env).is_some() => {
                match self.checked.items.resolve(env.module, n) {
                    Some(id) => self.item_value(id, callee.span)?,
                    None if super::native::is_native(n) => Value::Native(n),
                    None => self.expr(callee, env)?,
                }
            }
            _ => self.expr(callee, env)?,
        };
        let args = self.args_of(&function, args, env)?;
        self.want = want;
        self.call_value(&function, args, env, span)
    }

    /// Whether the expression is a call whose sizes only its place can say.
    pub(super) fn sized_by_place(&self, e: &Expr, env: &Env<'a>) -> bool {
        let ExprKind::Call { callee, .. } = &e.kind else { return false };
        let ExprKind::Name(name) = &callee.kind else { return false };
        env.local(name).is_none()
            && self
                .checked
                .items
                .resolve(env.module, name)
                .is_some_and(|id| matches!(&self.checked.items.item(id).kind, ItemKind::Fn(f) if f.sized_by_result()))
    }

    /// The arguments of a call; one whose sizes only its place can say gets those of its parameter.
    fn args_of(&mut self, function: &Value<'a>, args: &'a [Arg], env: &Env<'a>) -> R<Vec<Argument<'a>>> {
        let checked = self.checked;
        let Value::Item(id) = function else { return self.args(args, env) };
        let (sizes, params): (&'a [Name], &'a [Param]) = match &checked.items.item(*id).kind {
            ItemKind::Fn(f) => (&f.sizes, &f.params),
            ItemKind::Gen(g) => (&g.sizes, &g.params),
            ItemKind::Dist(d) => (&d.sizes, &d.params),
            ItemKind::Bijector(b) => (&b.sizes, &b.params),
            _ => return self.args(args, env),
        };
        if !args.iter().any(|a| self.sized_by_place(&a.value, env)) {
            return self.args(args, env);
        }
        let module = checked.items.module_of(*id);
        let mut found: HashMap<&'a str, i64> = HashMap::new();
        let mut out = Vec::new();
        for (k, a) in args.iter().enumerate() {
            let param = match &a.name {
                Some(name) => params.iter().find(|p| p.name.text == name.text),
                None => params.get(k),
            };
            let ty = param.and_then(|p| p.ty.as_ref());
            let want = ty.and_then(|ty| {
                let known: Vec<(&'a str, i64)> = found.iter().map(|(n, i)| (*n, *i)).collect();
                self.wanted(ty, &env_of(module, &[], &known))
            });
            let value = self.expr_as(&a.value, want, env)?;
            if let Some(ty) = ty {
                self.infer_sizes(ty, &value, sizes, module, &mut found)?;
            }
            out.push((a.name.as_ref().map(|n| n.text.as_str()), value, a.value.span));
        }
        Ok(out)
    }

    /// Applies a value to positional arguments.
    pub(super) fn apply(&mut self, function: &Value<'a>, args: Vec<Value<'a>>, span: Span) -> R<Value<'a>> {
        let env = self.main_env();
        let args = args.into_iter().map(|v| (None, v, span)).collect();
        self.call_value(function, args, &env, span)
    }

    pub(super) fn call_value(
        &mut self,
        function: &Value<'a>,
        args: Vec<Argument<'a>>,
        env: &Env<'a>,
        span: Span,
    ) -> R<Value<'a>> {
        let want = self.want.take();
        self.depth_of_calls += 1;
        if self.depth_of_calls > MAX_CALL_DEPTH {
            self.depth_of_calls = 0;
            return refuse(span, "calls nest too deeply");
        }
        let result = match function {
            Value::Closure(c) => {
                if c.params.len() != args.len() {
                    return refuse(span, format!("{} arguments for {} parameters", args.len(), c.params.len()));
                }
                let mut env = c.env.clone();
                for (p, (_, v, _)) in c.params.iter().zip(args) {
                    env.bind(p, v);
                }
                self.expr_as(c.body, want, &env)
            }
            Value::Native(name) => self.native(name, args, env, span),
            Value::Item(id) => {
                self.want = want;
                self.call_item(*id, args, span)
            }
            Value::Continuation => self.call_continuation(args, span),
            // A derived guide or an alias is used without parentheses; with empty ones it is the same.
            Value::Gen(_) | Value::Dist(_) | Value::Bijector(_) if args.is_empty() => Ok(function.clone()),
            other => refuse(span, format!("{} can't be called", other.kind())),
        };
        self.depth_of_calls = self.depth_of_calls.saturating_sub(1);
        result
    }

    pub(super) fn call_item(&mut self, id: ItemId, args: Vec<Argument<'a>>, span: Span) -> R<Value<'a>> {
        let checked = self.checked;
        let module = checked.items.module_of(id);
        let want = self.want.take();
        match &checked.items.item(id).kind {
            ItemKind::Fn(f) => {
                let declared = match (&f.result, want) {
                    (Some(ty), Some(want)) if !f.sizes.is_empty() => Some((ty, self.template(&want))),
                    _ => None,
                };
                let env = module_env(module);
                let (bound, sizes) = self.bind_args_as(&f.sizes, &f.params, args, env, &f.name, span, declared)?;
                let env = env_of(module, &bound, &sizes);
                self.want = f.result.as_ref().and_then(|ty| self.wanted(ty, &env));
                let value = self.block(&f.body, &env)?;
                match &f.result {
                    Some(ty) => self.coerce(value, ty),
                    None => Ok(value),
                }
            }
            ItemKind::Family { name, sizes, params, body, .. } => {
                let (bound, sizes) = self.bind_args(sizes, params, args, module_env(module), name, span)?;
                let env = env_of(module, &bound, &sizes);
                self.expr(body, &env)
            }
            ItemKind::Objective(o) => {
                let (bound, sizes) = self.bind_args(&o.sizes, &o.params, args, module_env(module), &o.name, span)?;
                let env = env_of(module, &bound, &sizes);
                self.expr(&o.body, &env)
            }
            ItemKind::Gen(g) => {
                let (mut bound, sizes) =
                    self.bind_args(&g.sizes, &g.params, args, module_env(module), &g.name, span)?;
                bound.extend(sizes.into_iter().map(|(n, i)| (n, Value::int(i))));
                Ok(Value::Gen(Rc::new(Gen { form: GenForm::Item { item: id, args: bound }, frozen: false })))
            }
            ItemKind::Bijector(b) => {
                let (mut bound, sizes) =
                    self.bind_args(&b.sizes, &b.params, args, module_env(module), &b.name, span)?;
                bound.extend(sizes.into_iter().map(|(n, i)| (n, Value::int(i))));
                Ok(Value::Bijector(Rc::new(Bijector { item: id, args: bound })))
            }
            ItemKind::Dist(d) => {
                let (bound, sizes) = self.bind_args(&d.sizes, &d.params, args, module_env(module), &d.name, span)?;
                self.make_dist(id, &d.params, bound, sizes, span)
            }
            ItemKind::Strategy(s) => refuse(span, format!("`{}` is a strategy: it follows `by`", s.name.text)),
            ItemKind::GuideAlias { .. } | ItemKind::Plate { .. } if args.is_empty() => self.item_value(id, span),
            ItemKind::GuideAlias { .. }
            | ItemKind::Plate { .. }
            | ItemKind::Data { .. }
            | ItemKind::Const { .. }
            | ItemKind::Param { .. }
            | ItemKind::Type { .. }
            | ItemKind::Fit { .. }
            | ItemKind::Test { .. }
            | ItemKind::Use { .. }
            | ItemKind::Prefer { .. }
            | ItemKind::SupportBijector { .. } => refuse(span, "this can't be called"),
        }
    }

    /// Values of parameters in order, and of the size parameters that the arguments' shapes determine.
    pub(super) fn bind_args(
        &mut self,
        sizes: &'a [Name],
        params: &'a [Param],
        args: Vec<Argument<'a>>,
        env: Env<'a>,
        name: &Name,
        span: Span,
    ) -> R<BoundArgs<'a>> {
        self.bind_args_as(sizes, params, args, env, name, span, None)
    }

    /// As [`Machine::bind_args`]; sizes that no argument says come from the result's declared type, at a value of the
    /// type that is wanted.
    #[expect(clippy::too_many_arguments, reason = "the two sides of a call")]
    fn bind_args_as(
        &mut self,
        sizes: &'a [Name],
        params: &'a [Param],
        args: Vec<Argument<'a>>,
        mut env: Env<'a>,
        name: &Name,
        span: Span,
        result: Option<(&'a TypeExpr, Value<'a>)>,
    ) -> R<BoundArgs<'a>> {
        let module = env.module;
        let mut given: Vec<Option<Value<'a>>> = vec![None; params.len()];
        let mut position = 0;
        let mut places: HashMap<&str, Span> = HashMap::new();
        for (arg_name, value, at) in args {
            let slot = match arg_name {
                Some(n) => match params.iter().position(|p| p.name.text == n) {
                    Some(k) => k,
                    None => return refuse(at, format!("`{}` has no parameter `{n}`", name.text)),
                },
                None => {
                    position += 1;
                    position - 1
                }
            };
            match given.get_mut(slot) {
                Some(place @ None) => {
                    *place = Some(value);
                    places.insert(&params[slot].name.text, at);
                }
                _ => return refuse(at, format!("`{}` has {} parameters", name.text, params.len())),
            }
        }
        let mut found: HashMap<&'a str, i64> = HashMap::new();
        let mut bound: Vec<(&'a str, Value<'a>)> = Vec::with_capacity(params.len());
        for (param, value) in params.iter().zip(&mut given) {
            if let (Some(v), Some(ty)) = (value.as_ref(), &param.ty) {
                let v = v.clone();
                self.infer_sizes(ty, &v, sizes, module, &mut found)?;
            }
        }
        if let Some((ty, template)) = result {
            self.infer_sizes(ty, &template, sizes, module, &mut found)?;
        }
        for s in sizes {
            if let Some(&n) = found.get(s.text.as_str()) {
                env.bind(&s.text, Value::int(n));
            }
        }
        for (param, value) in params.iter().zip(given) {
            let value = match (value, &param.default) {
                (Some(v), _) => v,
                (None, Some(default)) => {
                    let want = param.ty.as_ref().and_then(|ty| self.wanted(ty, &env));
                    self.expr_as(default, want, &env)?
                }
                (None, None) => {
                    return refuse(span, format!("`{}` needs its argument `{}`", name.text, param.name.text));
                }
            };
            let value = match &param.ty {
                Some(ty) => {
                    let value = self.coerce(value, ty)?;
                    let place = places.get(param.name.text.as_str()).copied().unwrap_or(span);
                    self.argument_inside(&value, ty, &env, &param.name.text, &name.text, place)?;
                    value
                }
                None => value,
            };
            env.bind(&param.name.text, value.clone());
            bound.push((&param.name.text, value));
        }
        for (param, (_, value)) in params.iter().zip(&bound) {
            if let Some(ty) = &param.ty {
                self.infer_sizes(ty, value, sizes, module, &mut found)?;
            }
        }
        let sizes = sizes.iter().filter_map(|s| found.get(s.text.as_str()).map(|&n| (s.text.as_str(), n))).collect();
        Ok((bound, sizes))
    }

    pub(super) fn as_dist(&mut self, value: &Value<'a>, span: Span) -> R<Rc<Dist<'a>>> {
        match value {
            Value::Dist(d) => Ok(d.clone()),
            Value::Item(id) if matches!(self.checked.items.item(*id).kind, ItemKind::Dist(_)) => {
                match self.call_item(*id, Vec::new(), span)? {
                    Value::Dist(d) => Ok(d),
                    other => refuse(span, format!("a distribution is needed, this is {}", other.kind())),
                }
            }
            other => refuse(span, format!("a distribution is needed, this is {}", other.kind())),
        }
    }

    /// The generative function, if the value is one.
    pub(super) fn maybe_gen(&mut self, value: &Value<'a>, span: Span) -> R<Option<Rc<Gen<'a>>>> {
        match value {
            Value::Gen(g) => Ok(Some(g.clone())),
            Value::Item(id) => match &self.checked.items.item(*id).kind {
                ItemKind::Gen(_) => match self.call_item(*id, Vec::new(), span)? {
                    Value::Gen(g) => Ok(Some(g)),
                    _ => Ok(None),
                },
                _ => Ok(None),
            },
            _ => Ok(None),
        }
    }

    pub(super) fn as_gen(&mut self, value: &Value<'a>, span: Span) -> R<Rc<Gen<'a>>> {
        match self.maybe_gen(value, span)? {
            Some(g) => Ok(g),
            None => refuse(span, format!("a generative function is needed, this is {}", value.kind())),
        }
    }

    /// Whether any name that `e` mentions is bound locally to a cell.
    pub(super) fn assigned_cells(&self, body: &'a crate::syntax::tree::Block, env: &Env<'a>) -> Vec<usize> {
        let mut cells = Vec::new();
        scan::block(body, &mut |m| {
            if let Mention::Assigned(n) = m
                && let Some(Binding::Cell(c)) = env.local(n)
                && !cells.contains(c)
            {
                cells.push(*c);
            }
        });
        cells
    }
}

fn module_env<'a>(module: crate::types::program::ModuleId) -> Env<'a> {
    Env::new(module, 0)
}

/// The environment of an item's body.
pub(super) fn env_of<'a>(
    module: crate::types::program::ModuleId,
    args: &[(&'a str, Value<'a>)],
    sizes: &[(&'a str, i64)],
) -> Env<'a> {
    let mut env = Env::new(module, 0);
    for (n, i) in sizes {
        env.bind(n, Value::int(*i));
    }
    for (n, v) in args {
        env.bind(n, v.clone());
    }
    env
}

/// The environment of a member of a bijector.
pub(super) fn bijector_env<'a>(module: crate::types::program::ModuleId, b: &Rc<Bijector<'a>>) -> Env<'a> {
    let mut env = env_of(module, &b.args, &[]);
    env.this = Some(This::Bijector(b.clone()));
    env
}

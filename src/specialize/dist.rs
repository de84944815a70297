//! Distributions and bijectors as values: members, supports, broadcasting. A batched distribution is a product of
//! independent elements; every member is evaluated at one element.

use super::array::Index;
use super::call::{bijector_env, env_of};
use super::generative::Mode;
use super::machine::{Machine, R, refuse, unsupported};
use super::types::{Support, TypeValue, shape_of};
use super::value::{Bijector, Dist, Env, Gen, GenForm, This, Value};
use crate::base::source::Span;
use crate::ir::core::{Atom, Collector, Scalar};
use crate::ir::op::Op;
use crate::syntax::tree::{DistItem, ItemKind, Member, Param};
use crate::types::program::ItemId;
use std::rc::Rc;

/// A result of a bijector's `forward`, remembered so that its `inverse` is the operand.
pub(super) struct Forward<'a> {
    item: ItemId,
    args: Vec<Atom>,
    /// `None`: reads no parameters, so holds under `frozen` too.
    frozen: Option<bool>,
    x: Value<'a>,
    /// Leaves of the result; they are in scope wherever the result is.
    y: Vec<Atom>,
    result: Value<'a>,
}

/// The generative function that a distribution over traces is.
pub(super) fn as_whole<'a>(dist: &Dist<'a>) -> Option<Rc<Gen<'a>>> {
    match dist.args.as_slice() {
        [(_, Value::Gen(g))] if dist.whole => Some(g.clone()),
        _ => None,
    }
}

/// A generative function as a distribution over its traces.
pub(super) fn whole<'a>(g: &Rc<Gen<'a>>) -> Rc<Dist<'a>> {
    fn root(g: &Gen<'_>) -> ItemId {
        match &g.form {
            GenForm::Item { item, .. } => *item,
            GenForm::Condition { of, .. }
            | GenForm::Predictive { of }
            | GenForm::Marginal { of, .. }
            | GenForm::Normalize { of, .. } => root(of),
        }
    }
    Rc::new(Dist {
        item: root(g),
        args: vec![("of", Value::Gen(g.clone()))],
        batched: vec![false],
        sizes: Vec::new(),
        batch: Vec::new(),
        whole: true,
    })
}

impl<'a> Machine<'a> {
    /// Types of a trace, as a plain draw has them.
    fn trace_type(&mut self, dist: &Rc<Dist<'a>>) -> R<TypeValue<'a>> {
        let Some(g) = as_whole(dist) else { return refuse(Span::default(), "not a generative function") };
        let (sites, calls) = (self.next_site, self.drawing);
        self.enter();
        let run = self.run_gen(&g, Mode::Draw, Span::default());
        self.leave();
        (self.next_site, self.drawing) = (sites, calls);
        let trace = run?.trace;
        self.drawn_type(&trace)
    }

    fn drawn_type(&mut self, value: &Value<'a>) -> R<TypeValue<'a>> {
        match value {
            Value::Record(fields) => {
                let fields: R<Vec<(String, TypeValue<'a>)>> =
                    fields.iter().map(|(n, v)| Ok((n.clone(), self.drawn_type(v)?))).collect();
                Ok(TypeValue::Record(fields?))
            }
            Value::Tuple(items) => {
                let items: R<Vec<TypeValue<'a>>> = items.iter().map(|v| self.drawn_type(v)).collect();
                Ok(TypeValue::Tuple(items?))
            }
            other => {
                self.enter();
                let atom = self.force(other, Span::default());
                self.leave();
                let atom = atom?;
                let (fact, ty) = (self.fact(atom), self.program.atom_type(atom));
                let int = |x: f64| x.is_finite().then(|| Value::int(x as i64));
                let real = |x: f64| x.is_finite().then(|| Value::real(x));
                let support = match ty.scalar {
                    Scalar::Bool => Support::Bool,
                    Scalar::Int => Support::Int { lower: int(fact.lower), upper: int(fact.upper) },
                    Scalar::Real => Support::Real { lower: real(fact.lower), upper: real(fact.upper) },
                };
                Ok(TypeValue::Leaf(super::types::LeafType { scalar: ty.scalar, shape: ty.shape, support }))
            }
        }
    }

    pub(super) fn make_dist(
        &mut self,
        item: ItemId,
        params: &'a [Param],
        args: Vec<(&'a str, Value<'a>)>,
        sizes: Vec<(&'a str, i64)>,
        span: Span,
    ) -> R<Value<'a>> {
        let mut batch: Vec<usize> = Vec::new();
        let mut batched = Vec::with_capacity(params.len());
        for (param, (_, value)) in params.iter().zip(&args) {
            let rank = param.ty.as_ref().and_then(|t| self.declared_rank(t));
            let (Some(rank), Value::Array(_) | Value::Range(..)) = (rank, value) else {
                batched.push(false);
                continue;
            };
            let shape = shape_of(value);
            if shape.len() <= rank {
                batched.push(false);
                continue;
            }
            let leading = &shape[..shape.len() - rank];
            if batch.is_empty() {
                batch = leading.to_vec();
            } else if batch != leading {
                return refuse(span, format!("arguments broadcast to different shapes, {batch:?} and {leading:?}"));
            }
            batched.push(true);
        }
        let dist = Dist { item, args, batched, sizes, batch, whole: false };
        self.check_arguments(&dist, params, span)?;
        Ok(Value::Dist(Rc::new(dist)))
    }

    /// A run-time check of each argument's declared bounds that is not proved.
    fn check_arguments(&mut self, dist: &Dist<'a>, params: &'a [Param], span: Span) -> R<()> {
        for (param, (_, value)) in params.iter().zip(&dist.args) {
            let Some(ty) = &param.ty else { continue };
            let crate::syntax::tree::TypeKind::Named { bounds: Some(bounds), .. } = &ty.kind else { continue };
            let mut vars = Vec::new();
            value.vars(&mut vars);
            let mut lower = f64::INFINITY;
            let mut upper = f64::NEG_INFINITY;
            let mut random = false;
            if let Some(values) = Self::static_values(value) {
                for x in values {
                    lower = lower.min(x);
                    upper = upper.max(x);
                }
            } else if let Value::Scalar(a) = value {
                let f = self.fact(*a);
                (lower, upper, random) = (f.lower, f.upper, f.random);
            } else if let Value::Array(a) = value {
                let atoms = match &a.repr {
                    super::value::Repr::Core(x) | super::value::Repr::Fill(x) => vec![*x],
                    super::value::Repr::View { base, .. } | super::value::Repr::Rows { base, .. } => vec![*base],
                    _ => Vec::new(),
                };
                (lower, upper) = (f64::NEG_INFINITY, f64::INFINITY);
                if let [x] = atoms[..] {
                    let f = self.fact(x);
                    (lower, upper, random) = (f.lower, f.upper, f.random);
                }
            } else {
                continue;
            }
            random |= vars.iter().any(|&v| self.fact(v.into()).random);
            let env = env_of(self.checked.items.module_of(dist.item), &dist.args, &dist.sizes);
            for (bound, is_lower) in [(&bounds.lower, true), (&bounds.upper, false)] {
                let Some(bound) = bound else { continue };
                let Value::Scalar(b) = self.expr(bound, &env)? else { continue };
                let f = self.fact(b);
                let proved = if is_lower { lower >= f.upper } else { upper <= f.lower };
                if proved {
                    continue;
                }
                let outside = if is_lower { upper < f.lower } else { lower > f.upper };
                let side = if is_lower { "below its lower" } else { "above its upper" };
                let message = format!("argument `{}` is {side} bound", param.name.text);
                if outside {
                    return self.check(Atom::Bool(false), message, span);
                }
                // What a draw decides is tested by the density itself, which is not a number outside.
                if random || f.random {
                    continue;
                }
                if let Value::Scalar(x) = value {
                    let (x, b) = (*x, b);
                    let ints = self.scalar_of(x) == Scalar::Int && self.scalar_of(b) == Scalar::Int;
                    let (low, high) = if is_lower { (b, x) } else { (x, b) };
                    let ok = if ints { self.op(Op::ILe, &[low, high]) } else { self.real_op(Op::Le, &[low, high]) };
                    self.check(ok, message, span)?;
                } else if let Value::Array(array) = value {
                    let array = array.clone();
                    let results = self.for_(&array.shape.clone(), vec![Collector::All], |m, idx| {
                        let x = m.element(&array, idx)?;
                        let (low, high) = if is_lower { (b, x) } else { (x, b) };
                        Ok(vec![m.real_op(Op::Le, &[low, high])])
                    })?;
                    self.check(results[0], message, span)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn dist_item(&self, id: ItemId) -> Option<&'a DistItem> {
        match &self.checked.items.item(id).kind {
            ItemKind::Dist(d) => Some(d),
            _ => None,
        }
    }

    pub(super) fn dist_env(&self, dist: &Rc<Dist<'a>>) -> Env<'a> {
        let mut env = env_of(self.checked.items.module_of(dist.item), &dist.args, &dist.sizes);
        env.this = Some(This::Dist(dist.clone()));
        env
    }

    /// One element of a batched distribution.
    pub(super) fn dist_element(&mut self, dist: &Rc<Dist<'a>>, idx: &[Atom], span: Span) -> R<Rc<Dist<'a>>> {
        if dist.batch.is_empty() {
            return Ok(dist.clone());
        }
        let at: Vec<Index> = idx.iter().map(|&a| Index::At(a)).collect();
        let mut args = Vec::with_capacity(dist.args.len());
        for ((name, value), &batched) in dist.args.iter().zip(&dist.batched) {
            let value = if batched { self.index(value, &at, span)? } else { value.clone() };
            args.push((*name, value));
        }
        let batched = vec![false; args.len()];
        Ok(Rc::new(Dist { args, batched, batch: Vec::new(), ..(**dist).clone() }))
    }

    /// Type and support of one element.
    pub(super) fn event_type(&mut self, dist: &Rc<Dist<'a>>) -> R<TypeValue<'a>> {
        if dist.whole {
            return self.trace_type(dist);
        }
        let Some(item) = self.dist_item(dist.item) else {
            return refuse(Span::default(), "not a distribution");
        };
        let dist = if dist.batch.is_empty() {
            dist.clone()
        } else {
            let zeros = vec![Atom::Int(0); dist.batch.len()];
            self.enter();
            let element = self.dist_element(dist, &zeros, item.name.span);
            self.leave();
            element?
        };
        let env = self.dist_env(&dist);
        self.eval_type(&item.support, &env)
    }

    pub(super) fn member(&self, dist: &Dist<'a>, name: &str) -> Option<&'a Member> {
        self.dist_item(dist.item)?.members.iter().find(|m| m.name.text == name)
    }

    /// The member of the body's own distribution or bijector that a call with `n` arguments means.
    pub(super) fn own_member(&self, name: &str, n: usize, env: &Env<'a>) -> Option<&'a Member> {
        let members = match &env.this {
            Some(This::Dist(d)) => &self.dist_item(d.item)?.members,
            Some(This::Bijector(b)) => match &self.checked.items.item(b.item).kind {
                ItemKind::Bijector(item) => &item.members,
                _ => return None,
            },
            None => return None,
        };
        members.iter().find(|m| m.name.text == name && m.params.len() == n)
    }

    pub(super) fn own_member_value(&mut self, name: &str, env: &Env<'a>, _span: Span) -> R<Option<Value<'a>>> {
        match self.own_member(name, 0, env) {
            Some(member) => Ok(Some(self.call_member(member, Vec::new(), env)?)),
            None => Ok(None),
        }
    }

    /// Evaluates a member in the environment of its distribution or bijector.
    pub(super) fn call_member(&mut self, member: &'a Member, args: Vec<Value<'a>>, env: &Env<'a>) -> R<Value<'a>> {
        let mut inner = match &env.this {
            Some(This::Dist(d)) => self.dist_env(d),
            Some(This::Bijector(b)) => bijector_env(self.checked.items.module_of(b.item), b),
            None => env.clone(),
        };
        for (p, v) in member.params.iter().zip(args) {
            inner.bind(&p.text, v);
        }
        self.block(&member.body, &inner)
    }

    fn call_dist_member(&mut self, dist: &Rc<Dist<'a>>, member: &'a Member, args: Vec<Value<'a>>) -> R<Value<'a>> {
        let env = self.dist_env(dist);
        self.call_member(member, args, &env)
    }

    fn name_of(&self, dist: &Dist<'a>) -> &'a str {
        self.dist_item(dist.item).map_or("", |d| d.name.text.as_str())
    }

    /// The batch of a distribution at a value: its own, or the value's further leading axes.
    pub(super) fn batch_at(&mut self, dist: &Rc<Dist<'a>>, x: &Value<'a>, span: Span) -> R<Vec<usize>> {
        let event = self.event_type(dist)?;
        if !matches!(event, TypeValue::Leaf(_)) {
            return Ok(Vec::new());
        }
        let shape = shape_of(x);
        let rank = event.rank();
        if shape.len() < rank {
            return refuse(
                span,
                format!("`{}` is over values of {rank} axes, this has {}", self.name_of(dist), shape.len()),
            );
        }
        let leading = shape[..shape.len() - rank].to_vec();
        if let TypeValue::Leaf(leaf) = &event
            && shape[shape.len() - rank..] != leaf.shape[..]
        {
            return refuse(
                span,
                format!(
                    "`{}` is over values of shape {:?}, this has {:?}",
                    self.name_of(dist),
                    leaf.shape,
                    &shape[shape.len() - rank..]
                ),
            );
        }
        if dist.batch.is_empty() {
            return Ok(leading);
        }
        if leading.is_empty() || leading != dist.batch {
            return refuse(
                span,
                format!("a value of shape {shape:?} for a distribution over {:?} elements", dist.batch),
            );
        }
        Ok(leading)
    }

    /// Log density at `x`, summed over a batch. With `skip_missing`, elements that are missing score nothing.
    pub(super) fn log_prob(&mut self, dist: &Rc<Dist<'a>>, x: &Value<'a>, skip_missing: bool, span: Span) -> R<Atom> {
        if let Some(g) = as_whole(dist) {
            return Ok(self.run_gen(&g, Mode::Density(x.clone()), span)?.score);
        }
        let batch = self.batch_at(dist, x, span)?;
        if batch.is_empty() {
            return self.log_prob_element(dist, x, skip_missing, span);
        }
        let (dist, x) = (dist.clone(), x.clone());
        let results = self.for_(&batch, vec![Collector::Sum { keep: Vec::new() }], |m, idx| {
            let element = m.dist_element(&dist, idx, span)?;
            let at: Vec<Index> = idx.iter().map(|&a| Index::At(a)).collect();
            let x = m.index(&x, &at, span)?;
            Ok(vec![m.log_prob_element(&element, &x, skip_missing, span)?])
        })?;
        Ok(results[0])
    }

    fn log_prob_element(&mut self, dist: &Rc<Dist<'a>>, x: &Value<'a>, skip_missing: bool, span: Span) -> R<Atom> {
        let real = !matches!(x, Value::Scalar(a) if self.scalar_of(*a) != Scalar::Real);
        if skip_missing && real {
            let Value::Scalar(a) = x else {
                return unsupported(span, "missing elements of an array that is observed as one");
            };
            let missing = self.op(Op::IsNan, &[*a]);
            let value = self.branch(
                missing,
                span,
                |_| Ok(Value::ZERO),
                |m| Ok(Value::Scalar(m.log_prob_inside(dist, x, span)?)),
            )?;
            return self.force(&value, span);
        }
        self.log_prob_inside(dist, x, span)
    }

    /// -inf outside the support; no test where the value is known to lie inside.
    fn log_prob_inside(&mut self, dist: &Rc<Dist<'a>>, x: &Value<'a>, span: Span) -> R<Atom> {
        let Some(member) = self.member(dist, "log_prob") else {
            return refuse(span, format!("`{}` has no `log_prob`", self.name_of(dist)));
        };
        let event = self.event_type(dist)?;
        let mut x = x.clone();
        let mut inside = Atom::Bool(true);
        if let TypeValue::Leaf(leaf) = &event {
            x = self.with_scalar(&x, leaf.scalar)?;
            if leaf.shape.is_empty() {
                inside = self.inside(&leaf.support, &x)?;
            }
        }
        let value = self.branch(
            inside,
            span,
            |m| {
                let v = m.call_dist_member(dist, member, vec![x])?;
                let a = m.force(&v, span)?;
                Ok(Value::Scalar(m.real_of(a)))
            },
            |_| Ok(Value::real(f64::NEG_INFINITY)),
        )?;
        self.force(&value, span)
    }

    /// Whether a scalar lies in a support, as far as it is not known.
    fn inside(&mut self, support: &Support<'a>, x: &Value<'a>) -> R<Atom> {
        let (Support::Int { lower, upper } | Support::Real { lower, upper }, Value::Scalar(x)) = (support, x) else {
            return Ok(Atom::Bool(true));
        };
        let x = *x;
        let mut inside = Atom::Bool(true);
        for (bound, is_lower) in [(lower, true), (upper, false)] {
            let Some(Value::Scalar(b)) = bound else { continue };
            let (fx, fb) = (self.fact(x), self.fact(*b));
            if if is_lower { fx.lower >= fb.upper } else { fx.upper <= fb.lower } {
                continue;
            }
            let (low, high) = if is_lower { (*b, x) } else { (x, *b) };
            let ints = self.scalar_of(low) == Scalar::Int && self.scalar_of(high) == Scalar::Int;
            let ok = if ints { self.op(Op::ILe, &[low, high]) } else { self.real_op(Op::Le, &[low, high]) };
            inside = self.op(Op::And, &[inside, ok]);
        }
        Ok(inside)
    }

    /// `prob(d, x)`: the member, else exp of the log density.
    pub(super) fn prob(&mut self, dist: &Rc<Dist<'a>>, x: &Value<'a>, span: Span) -> R<Value<'a>> {
        let batch = self.batch_at(dist, x, span)?;
        match self.member(dist, "prob") {
            Some(member) if batch.is_empty() => {
                let v = self.call_dist_member(dist, member, vec![x.clone()])?;
                self.with_scalar(&v, Scalar::Real)
            }
            _ => {
                let lp = self.log_prob(dist, x, false, span)?;
                Ok(Value::Scalar(self.op(Op::Exp, &[lp])))
            }
        }
    }

    /// `cdf`, its logarithm, that of its complement, and the inverses, element by element. What a distribution does not
    /// define follows from `cdf` and `inv_cdf`.
    pub(super) fn dist_function(&mut self, dist: &Rc<Dist<'a>>, name: &str, x: &Value<'a>, span: Span) -> R<Value<'a>> {
        let general = if name == "inv_ccdf" { "inv_cdf" } else { "cdf" };
        let own = self.member(dist, name);
        let Some(member) = own.or_else(|| self.member(dist, general)) else {
            return refuse(span, format!("`{}` has no `{general}`", self.name_of(dist)));
        };
        let derived = if own.is_some() { "" } else { name };
        let batch = if dist.batch.is_empty() { shape_of(x) } else { dist.batch.clone() };
        let (dist, x) = (dist.clone(), x.clone());
        self.map(&batch, Scalar::Real, |m, idx| {
            let element = m.dist_element(&dist, idx, span)?;
            let at: Vec<Index> = idx.iter().map(|&a| Index::At(a)).collect();
            let x = if shape_of(&x).is_empty() { x } else { m.index(&x, &at, span)? };
            let mut x = m.with_scalar(&x, Scalar::Real)?;
            if derived == "inv_ccdf" {
                let u = m.force(&x, span)?;
                x = Value::Scalar(m.real_op(Op::Sub, &[Atom::Real(1.0), u]));
            }
            let v = m.call_dist_member(&element, member, vec![x])?;
            let a = m.force(&v, span)?;
            let a = m.real_of(a);
            Ok(match derived {
                "log_cdf" => m.real_op(Op::Log, &[a]),
                "log_ccdf" => {
                    let below = m.real_op(Op::Neg, &[a]);
                    m.real_op(Op::Log1p, &[below])
                }
                _ => a,
            })
        })
    }

    /// `mean(d)`, `variance(d)`.
    pub(super) fn dist_moment(&mut self, dist: &Rc<Dist<'a>>, name: &str, span: Span) -> R<Value<'a>> {
        let Some(member) = self.member(dist, name) else {
            return refuse(span, format!("`{}` has no `{name}`", self.name_of(dist)));
        };
        if dist.batch.is_empty() {
            return self.call_dist_member(dist, member, Vec::new());
        }
        self.over_batch(&dist.clone(), span, |m, element| m.call_dist_member(element, member, Vec::new()))
    }

    /// One value per element of the batch, collected.
    fn over_batch(
        &mut self,
        dist: &Rc<Dist<'a>>,
        span: Span,
        f: impl FnOnce(&mut Machine<'a>, &Rc<Dist<'a>>) -> R<Value<'a>>,
    ) -> R<Value<'a>> {
        if dist.batch.is_empty() {
            return f(self, dist);
        }
        let batch = dist.batch.clone();
        self.collected_over(&batch, span, |m, idx| {
            let element = m.dist_element(dist, idx, span)?;
            f(m, &element)
        })
    }

    /// A structured value per index, collected leaf by leaf.
    pub(super) fn collected_over(
        &mut self,
        extents: &[usize],
        span: Span,
        f: impl FnOnce(&mut Machine<'a>, &[Atom]) -> R<Value<'a>>,
    ) -> R<Value<'a>> {
        self.enter();
        let indices = self.open_loops(extents);
        let atoms: Vec<Atom> = indices.iter().map(|&(v, _)| v.into()).collect();
        let value = f(self, &atoms);
        let leaves = match &value {
            Ok(v) => self.leaves(v, span),
            Err(_) => Ok(Vec::new()),
        };
        self.loops.truncate(self.loops.len() - extents.len());
        let stmts = self.leave();
        let (value, results) = (value?, leaves?);
        let collectors = vec![Collector::Collect; results.len()];
        let results = self.push_for(indices, crate::ir::core::Block { stmts, results }, collectors);
        Ok(self.rebuild(&value, &mut results.into_iter()))
    }

    /// A plain draw: free, so without derivative even where it is made by a `path`.
    pub(super) fn draw(&mut self, dist: &Rc<Dist<'a>>, span: Span) -> R<Value<'a>> {
        if let Some(g) = as_whole(dist) {
            let trace = self.run_gen(&g, Mode::Draw, span)?.trace;
            return self.stop(&trace, span);
        }
        let name = if self.member(dist, "draw").is_some() { "draw" } else { "path" };
        let value = self.drawn(dist, name, span)?;
        self.stop(&value, span)
    }

    /// A draw that is a smooth function of the arguments.
    pub(super) fn path(&mut self, dist: &Rc<Dist<'a>>, span: Span) -> R<Value<'a>> {
        if let Some(g) = as_whole(dist) {
            return Ok(self.run_gen(&g, Mode::Path, span)?.trace);
        }
        self.drawn(dist, "path", span)
    }

    fn drawn(&mut self, dist: &Rc<Dist<'a>>, name: &str, span: Span) -> R<Value<'a>> {
        let Some(member) = self.member(dist, name) else {
            return refuse(span, format!("`{}` has no `{name}`", self.name_of(dist)));
        };
        let event = self.event_type(dist)?;
        self.with_drawing(|m| {
            m.over_batch(dist, span, |m, element| {
                let value = m.call_dist_member(element, member, Vec::new())?;
                m.as_event(value, &event, span)
            })
        })
    }

    /// A value as the event's type, with its support known.
    pub(super) fn as_event(&mut self, value: Value<'a>, event: &TypeValue<'a>, _span: Span) -> R<Value<'a>> {
        let TypeValue::Leaf(leaf) = event else { return Ok(value) };
        let value = self.with_scalar(&value, leaf.scalar)?;
        if let Value::Scalar(a) = value {
            self.learn_support(a, &leaf.support);
        }
        Ok(value)
    }

    /// Notes that an atom's elements lie in a support.
    pub(super) fn learn_support(&mut self, atom: Atom, support: &Support<'a>) {
        let (lower, upper) = match support {
            Support::Int { lower, upper } | Support::Real { lower, upper } => {
                let of = |m: &Machine<'a>, v: &Option<Value<'a>>| match v {
                    Some(Value::Scalar(b)) => Some(m.fact(*b)),
                    _ => None,
                };
                (
                    of(self, lower).map_or(f64::NEG_INFINITY, |f| f.lower),
                    of(self, upper).map_or(f64::INFINITY, |f| f.upper),
                )
            }
            Support::Named("simplex", _) => (0.0, 1.0),
            Support::Named("positive_ordered", _) => (0.0, f64::INFINITY),
            Support::Named("unit_vector" | "cholesky_corr" | "corr_matrix", _) => (-1.0, 1.0),
            Support::Named(..) | Support::Bool => return,
        };
        if let Atom::Var(v) = atom {
            let fact = self.facts.entry(v).or_insert(super::machine::UNKNOWN);
            fact.lower = fact.lower.max(lower);
            fact.upper = fact.upper.min(upper);
        }
    }

    fn as_bijector(&mut self, value: &Value<'a>, span: Span) -> R<Rc<Bijector<'a>>> {
        match value {
            Value::Bijector(b) => Ok(b.clone()),
            Value::Item(id) => match self.call_item(*id, Vec::new(), span)? {
                Value::Bijector(b) => Ok(b),
                other => refuse(span, format!("a bijector is needed, this is {}", other.kind())),
            },
            other => refuse(span, format!("a bijector is needed, this is {}", other.kind())),
        }
    }

    fn bijector_member(&self, b: &Bijector<'a>, name: &str, span: Span) -> R<&'a Member> {
        if let ItemKind::Bijector(item) = &self.checked.items.item(b.item).kind
            && let Some(member) = item.members.iter().find(|m| m.name.text == name)
        {
            return Ok(member);
        }
        refuse(span, format!("the bijector has no `{name}`"))
    }

    /// The type a bijector maps from, or to.
    pub(super) fn bijector_type(&mut self, value: &Value<'a>, to: bool, span: Span) -> R<TypeValue<'a>> {
        let b = self.as_bijector(value, span)?;
        let module = self.checked.items.module_of(b.item);
        let ItemKind::Bijector(item) = &self.checked.items.item(b.item).kind else {
            return refuse(span, "not a bijector");
        };
        let env = bijector_env(module, &b);
        self.eval_type(if to { &item.to } else { &item.from }, &env)
    }

    /// `(y, log_det)`.
    pub(super) fn forward(&mut self, b: &Value<'a>, x: &Value<'a>, span: Span) -> R<Value<'a>> {
        let b = self.as_bijector(b, span)?;
        let args = self.bijector_atoms(&b);
        let operand = self.leaves(x, span).unwrap_or_default();
        for f in &self.forwards {
            if f.item == b.item && f.args == args && f.frozen.is_none_or(|z| z == self.frozen) {
                let mut same = Vec::new();
                f.x.map_atoms(&mut |a| {
                    same.push(a);
                    a
                });
                let mut given = Vec::new();
                x.map_atoms(&mut |a| {
                    given.push(a);
                    a
                });
                if !given.is_empty() && same == given && self.in_scope(&f.y) {
                    return Ok(f.result.clone());
                }
            }
        }
        let _ = operand;
        let member = self.bijector_member(&b, "forward", span)?;
        let env = bijector_env(self.checked.items.module_of(b.item), &b);
        let reads = self.param_reads;
        let result = self.call_member(member, vec![x.clone()], &env)?;
        let Value::Tuple(parts) = &result else {
            return refuse(span, "`forward` gives a pair of the value and the log determinant");
        };
        let [y, log_det] = &parts[..] else {
            return refuse(span, "`forward` gives a pair of the value and the log determinant");
        };
        let log_det = self.force(log_det, span)?;
        let log_det = self.real_of(log_det);
        let to = self.bijector_type(&Value::Bijector(b.clone()), true, span)?;
        self.learn_type(y, &to);
        let y = y.clone();
        let mut atoms = Vec::new();
        y.map_atoms(&mut |a| {
            atoms.push(a);
            a
        });
        let result = Value::Tuple([y, Value::Scalar(log_det)].into());
        let frozen = if self.param_reads == reads { None } else { Some(self.frozen) };
        if atoms.iter().any(|a| a.var().is_some()) {
            let forward = Forward { item: b.item, args, frozen, x: x.clone(), y: atoms, result: result.clone() };
            self.forwards.push(forward);
        }
        Ok(result)
    }

    pub(super) fn learn_type(&mut self, value: &Value<'a>, ty: &TypeValue<'a>) {
        match (value, ty) {
            (Value::Scalar(a), TypeValue::Leaf(leaf)) => self.learn_support(*a, &leaf.support),
            (Value::Array(array), TypeValue::Leaf(leaf)) => {
                if let super::value::Repr::Core(a) = &array.repr {
                    self.learn_support(*a, &leaf.support);
                }
            }
            (Value::Record(fields), TypeValue::Record(types)) => {
                for (n, v) in fields.iter() {
                    if let Some((_, t)) = types.iter().find(|(m, _)| m == n) {
                        self.learn_type(v, t);
                    }
                }
            }
            _ => {}
        }
    }

    /// Whether every variable is defined in a region that encloses the present place. Regions are told apart by the
    /// variables that the enclosing ones define.
    fn in_scope(&self, atoms: &[Atom]) -> bool {
        atoms.iter().all(|a| match a {
            Atom::Var(v) => self.defined_here(*v),
            _ => true,
        })
    }

    pub(super) fn defined_here(&self, v: crate::ir::core::Var) -> bool {
        self.program.inputs.iter().any(|i| i.var == v)
            || std::iter::once(&self.stmts)
                .chain(self.outer.iter())
                .chain([&self.prologue, &self.program.setup])
                .any(|region| region.iter().any(|s| s.results().contains(&v)))
            || self.loops.iter().any(|&(a, _)| a == Atom::Var(v))
    }

    fn bijector_atoms(&self, b: &Bijector<'a>) -> Vec<Atom> {
        let mut atoms = Vec::new();
        for (_, v) in &b.args {
            v.map_atoms(&mut |a| {
                atoms.push(a);
                a
            });
        }
        atoms
    }

    /// The operand whose image is `y`: remembered, if `y` is the result of `forward` at hand, else computed.
    pub(super) fn inverse(&mut self, b: &Value<'a>, y: &Value<'a>, span: Span) -> R<Value<'a>> {
        let b = self.as_bijector(b, span)?;
        let args = self.bijector_atoms(&b);
        let mut atoms = Vec::new();
        y.map_atoms(&mut |a| {
            atoms.push(a);
            a
        });
        if let Some(f) = self
            .forwards
            .iter()
            .find(|f| f.item == b.item && f.args == args && f.y == atoms && f.frozen.is_none_or(|z| z == self.frozen))
        {
            return Ok(f.x.clone());
        }
        let member = self.bijector_member(&b, "inverse", span)?;
        let env = bijector_env(self.checked.items.module_of(b.item), &b);
        self.call_member(member, vec![y.clone()], &env)
    }
}

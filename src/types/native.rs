//! Functions of the language itself: shapes, bounds, smoothness and linearity of each.

use super::call::ArgVal;
use super::context::Checker;
use super::estimates::union;
use super::poly::Poly;
use super::value::{Base, Edge, Env, Kind, Num, Shape, Support, Val};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use std::rc::Rc;

/// Element-wise functions of one real that are continuous and differentiable almost everywhere.
const SMOOTH: [&str; 21] = [
    "exp",
    "log",
    "log1p",
    "expm1",
    "sqrt",
    "abs",
    "sin",
    "cos",
    "tan",
    "atan",
    "tanh",
    "sigmoid",
    "softplus",
    "lgamma",
    "digamma",
    "trigamma",
    "normal_cdf",
    "normal_quantile",
    "log_normal_cdf",
    "log_bessel_i0",
    "bessel_ratio",
];
/// Element-wise functions that jump.
const JUMPING: [&str; 4] = ["floor", "round", "sign", "to_int"];
const SEVERAL: [&str; 12] = [
    "gamma_p",
    "gamma_p_inv",
    "beta_inc",
    "beta_inc_inv",
    "von_mises_cdf",
    "von_mises_quantile",
    "owens_t",
    "xlogy",
    "xlog1py",
    "min",
    "max",
    "pivot",
];
const ARRAYS: [&str; 17] = [
    "sum",
    "mean",
    "dot",
    "zeros",
    "ones",
    "fill",
    "identity",
    "transpose",
    "cholesky",
    "solve_lower",
    "solve_lower_transposed",
    "diagonal",
    "cumsum",
    "sort",
    "concat",
    "repeat",
    "length",
];
const PROBABILITY: [&str; 31] = [
    "grad",
    "fold",
    "draw",
    "log_prob",
    "prob",
    "cdf",
    "inv_cdf",
    "log_cdf",
    "log_ccdf",
    "inv_ccdf",
    "path",
    "support",
    "variance",
    "std_normal",
    "std_uniform",
    "std_exponential",
    "std_gamma",
    "std_log_gamma",
    "std_poisson",
    "std_binomial",
    "stop",
    "frozen",
    "simulate",
    "log_density",
    "is_missing",
    "forward",
    "inverse",
    "inspect",
    "plug_in",
    "exact",
    "normalized",
];

pub fn names() -> impl Iterator<Item = &'static str> {
    SMOOTH
        .into_iter()
        .chain(JUMPING)
        .chain(SEVERAL)
        .chain(ARRAYS)
        .chain(PROBABILITY)
        .chain(super::combinator::NAMES)
        .chain(["pi", "infinity", "whole"])
}

pub fn is_native(name: &str) -> bool {
    names().any(|n| n == name)
}

fn at_least_zero() -> Support {
    Support::interval(Some(0.0), None)
}

impl Checker {
    pub fn native(&mut self, name: &str, args: Vec<ArgVal>, span: Span, env: &mut Env) -> Val {
        if let Some(named) = args.iter().find(|a| a.name.is_some()) {
            let at = named.span;
            self.report(Diagnostic::error("E0203", at, format!("`{name}` has no named arguments")).label("named"));
        }
        let count = |c: &mut Checker, want: &[usize]| -> bool {
            if want.contains(&args.len()) {
                return true;
            }
            let wanted: Vec<String> = want.iter().map(usize::to_string).collect();
            c.report(
                Diagnostic::error(
                    "E0203",
                    span,
                    format!("`{name}` takes {} argument{}, not {}", wanted.join(" or "), plural(want), args.len()),
                )
                .label("here"),
            );
            false
        };
        if SMOOTH.contains(&name) {
            if !count(self, &[1]) {
                return Val::Unknown;
            }
            return self.unary(name, &args[0], false, env);
        }
        if JUMPING.contains(&name) {
            if !count(self, &[1]) {
                return Val::Unknown;
            }
            return self.unary(name, &args[0], true, env);
        }
        match name {
            "gamma_p" | "gamma_p_inv" | "von_mises_cdf" | "von_mises_quantile" | "owens_t" | "xlogy" | "xlog1py" => {
                if !count(self, &[2]) {
                    return Val::Unknown;
                }
                let pi = std::f64::consts::PI;
                let support = match name {
                    "gamma_p_inv" => at_least_zero(),
                    "von_mises_quantile" => Support::interval(Some(-pi), Some(pi)),
                    "owens_t" => Support::interval(Some(-0.25), Some(0.25)),
                    "xlogy" | "xlog1py" => Support::all(),
                    _ => Support::interval(Some(0.0), Some(1.0)),
                };
                self.several(name, &args, support, span, env)
            }
            "beta_inc" | "beta_inc_inv" => {
                if !count(self, &[3]) {
                    return Val::Unknown;
                }
                self.several(name, &args, Support::interval(Some(0.0), Some(1.0)), span, env)
            }
            "min" | "max" => {
                if !count(self, &[1, 2]) {
                    return Val::Unknown;
                }
                for a in &args {
                    self.kink(&a.value.kind(), a.span, &format!("`{name}`"));
                }
                if args.len() == 2 {
                    let support = self.extreme(name, &args[0].value, &args[1].value);
                    return self.several(name, &args, support, span, env);
                }
                let Some(n) = self.real_array(name, &args[0], 1, env) else { return Val::Unknown };
                self.linear_only(&n, args[0].span, "the argument of a maximum or minimum");
                Val::Num(Num { dims: Vec::new(), sym: None, support: element_support(&n), ..n })
            }
            // The maximum as a number to work relative to: what is made with it does not depend on it.
            "pivot" => {
                if !count(self, &[1]) {
                    return Val::Unknown;
                }
                let Some(n) = self.real_array(name, &args[0], 1, env) else { return Val::Unknown };
                self.linear_only(&n, args[0].span, "the argument of a maximum or minimum");
                Val::Num(Num { base: Base::Real, dims: Vec::new(), sym: None, support: Support::all(), ..n })
            }
            "grad" => {
                if !count(self, &[2]) {
                    return Val::Unknown;
                }
                self.gradient(&args, span, env)
            }
            "fold" => {
                if !count(self, &[2]) {
                    return Val::Unknown;
                }
                self.fold(&args, span, env)
            }
            "sum" => {
                if !count(self, &[1]) {
                    return Val::Unknown;
                }
                let Some(n) = self.real_array(name, &args[0], 1, env) else { return Val::Unknown };
                let support = element_support(&n);
                let low = support.lower().filter(|e| self.range(&e.value).0 >= 0.0).map(|_| Edge::constant(0.0));
                let high = support.upper().filter(|e| self.range(&e.value).1 <= 0.0).map(|_| Edge::constant(0.0));
                let sym = n.sym.as_ref().and_then(Poly::as_atom).map(|a| Poly::atom(&format!("sum({a})")));
                Val::Num(Num { dims: Vec::new(), sym, support: Support::Interval { lower: low, upper: high }, ..n })
            }
            "mean" => {
                if !count(self, &[1]) {
                    return Val::Unknown;
                }
                if matches!(args[0].value, Val::Dist(_)) {
                    return self.member_call(name, &args, span, env);
                }
                let Some(n) = self.real_array(name, &args[0], 1, env) else { return Val::Unknown };
                Val::Num(Num { base: Base::Real, dims: Vec::new(), sym: None, support: element_support(&n), ..n })
            }
            "dot" => {
                if !count(self, &[2]) {
                    return Val::Unknown;
                }
                let (Some(a), Some(b)) =
                    (self.real_array(name, &args[0], 1, env), self.real_array(name, &args[1], 1, env))
                else {
                    return Val::Unknown;
                };
                match self.elementwise(crate::syntax::tree::BinaryOp::Mul, &a, &b, span) {
                    Val::Num(n) => Val::Num(Num { dims: Vec::new(), sym: None, support: Support::all(), ..n }),
                    other => other,
                }
            }
            "zeros" | "ones" => {
                let value = if name == "zeros" { 0.0 } else { 1.0 };
                let dims = args.iter().map(|a| self.size_arg(a)).collect();
                Val::Num(Num { support: Support::interval(Some(value), Some(value)), ..Num::new(Base::Real, dims) })
            }
            "fill" => {
                let Some((first, rest)) = args.split_first() else {
                    count(self, &[2]);
                    return Val::Unknown;
                };
                let Some(x) = self.want_num(&first.value, first.span, env) else { return Val::Unknown };
                let dims: Vec<Poly> = rest.iter().map(|a| self.size_arg(a)).collect();
                Val::Num(x.under(&dims))
            }
            "identity" => {
                if !count(self, &[1]) {
                    return Val::Unknown;
                }
                let n = self.size_arg(&args[0]);
                Val::Num(Num {
                    support: Support::Shape(Shape::CholeskyCorr),
                    ..Num::new(Base::Real, vec![n.clone(), n])
                })
            }
            "transpose" => {
                if !count(self, &[1]) {
                    return Val::Unknown;
                }
                let Some(n) = self.real_array(name, &args[0], 2, env) else { return Val::Unknown };
                let dims = vec![n.dims[1].clone(), n.dims[0].clone()];
                let support = match n.support {
                    Support::Shape(s @ (Shape::CovMatrix | Shape::CorrMatrix)) => Support::Shape(s),
                    Support::Shape(s) => s.hull(),
                    other => other,
                };
                Val::Num(Num { dims, sym: None, support, ..n })
            }
            "cholesky" => {
                if !count(self, &[1]) {
                    return Val::Unknown;
                }
                let Some(n) = self.real_array(name, &args[0], 2, env) else { return Val::Unknown };
                self.linear_only(&n, args[0].span, "factorised");
                self.same_size(&n.dims[0], &n.dims[1], args[0].span, "`cholesky` needs a square matrix");
                Val::Num(Num { sym: None, support: Support::Shape(Shape::CholeskyCov), ..n })
            }
            "solve_lower" | "solve_lower_transposed" => {
                if !count(self, &[2]) {
                    return Val::Unknown;
                }
                let (Some(l), Some(b)) =
                    (self.real_array(name, &args[0], 2, env), self.real_array(name, &args[1], 1, env))
                else {
                    return Val::Unknown;
                };
                self.linear_only(&l, args[0].span, "a matrix that is solved with");
                self.same_size(&l.dims[0], &l.dims[1], args[0].span, "a triangular matrix is square");
                if let Some(rows) = b.dims.first() {
                    self.same_size(rows, &l.dims[0], args[1].span, "sizes of matrix and right side must agree");
                }
                let mut kind = l.kind;
                kind.join(&b.kind);
                Val::Num(Num { kind, sym: None, support: Support::all(), ..b })
            }
            "diagonal" => {
                if !count(self, &[1]) {
                    return Val::Unknown;
                }
                let Some(n) = self.real_array(name, &args[0], 2, env) else { return Val::Unknown };
                let support = match &n.support {
                    Support::Shape(_) => at_least_zero(),
                    other => other.clone(),
                };
                Val::Num(Num { dims: vec![n.dims[0].clone()], sym: None, support, ..n })
            }
            "cumsum" => {
                if !count(self, &[1]) {
                    return Val::Unknown;
                }
                let Some(n) = self.real_array(name, &args[0], 1, env) else { return Val::Unknown };
                let low =
                    element_support(&n).lower().filter(|e| self.range(&e.value).0 >= 0.0).map(|_| Edge::constant(0.0));
                Val::Num(Num { sym: None, support: Support::Interval { lower: low, upper: None }, ..n })
            }
            "sort" => {
                if !count(self, &[1]) {
                    return Val::Unknown;
                }
                let Some(n) = self.real_array(name, &args[0], 1, env) else { return Val::Unknown };
                self.linear_only(&n, args[0].span, "sorted");
                self.kink(&n.kind, args[0].span, "`sort`");
                Val::Num(Num { sym: None, support: element_support(&n), ..n })
            }
            "concat" => self.concat(&args, span, env),
            "repeat" => {
                if !count(self, &[2]) {
                    return Val::Unknown;
                }
                if let Val::Range { .. } = &args[1].value {
                    let total = self.opaque();
                    return Val::Num(Num::new(Base::Int, vec![total]));
                }
                let Some(counts) = self.real_array(name, &args[1], 1, env) else { return Val::Unknown };
                let total = match counts.sym.as_ref().and_then(Poly::as_atom) {
                    Some(a) => Poly::atom(&format!("sum({a})")),
                    None => self.opaque(),
                };
                match &args[0].value {
                    Val::Range { from, to } => Val::Num(Num {
                        support: Support::Interval {
                            lower: Some(Edge { value: from.clone(), kind: Kind::default() }),
                            upper: Some(Edge { value: to.plus(-1.0), kind: Kind::default() }),
                        },
                        ..Num::new(Base::Int, vec![total])
                    }),
                    Val::Num(n) if n.dims.len() == 1 => {
                        Val::Num(Num { dims: vec![total], sym: None, support: element_support(n), ..n.clone() })
                    }
                    Val::Unknown => Val::Unknown,
                    other => {
                        let found = self.describe(other);
                        self.report(
                            Diagnostic::error(
                                "E0204",
                                args[0].span,
                                format!("`repeat` is of a range or an array, not {found}"),
                            )
                            .label("here"),
                        );
                        Val::Unknown
                    }
                }
            }
            "length" => {
                if !count(self, &[1]) {
                    return Val::Unknown;
                }
                match &args[0].value {
                    Val::Range { from, to } => Val::Num(Num::size(to.sub(from))),
                    Val::Plate(p) => Val::Num(Num::size(p.to.sub(&p.from))),
                    value => match super::annotation::leading_dim(value, 0) {
                        Some(n) => Val::Num(Num::size(n)),
                        None => {
                            self.real_array(name, &args[0], 1, env);
                            Val::Unknown
                        }
                    },
                }
            }
            "is_missing" => {
                if !count(self, &[1]) {
                    return Val::Unknown;
                }
                let Some(n) = self.want_num(&args[0].value, args[0].span, env) else { return Val::Unknown };
                Val::Num(Num::new(Base::Bool, n.dims))
            }
            "plug_in" => {
                if !count(self, &[1]) {
                    return Val::Unknown;
                }
                self.plug_in(&args[0], span, env)
            }
            "inspect" => {
                if !count(self, &[2]) {
                    return Val::Unknown;
                }
                if !matches!(args[1].value, Val::Text) {
                    let found = self.describe(&args[1].value);
                    self.report(
                        Diagnostic::error("E0204", args[1].span, format!("`inspect` takes a name, not {found}"))
                            .label(format!("this is {found}"))
                            .fix("`inspect(e, \"e\")`"),
                    );
                }
                args[0].value.clone()
            }
            "std_normal" | "std_uniform" | "std_exponential" => {
                if !count(self, &[0]) {
                    return Val::Unknown;
                }
                // Inside a sampler it is the draw or the site that is at fault.
                if !self.frames.iter().any(|f| f.name == "path" || f.name == "draw") {
                    self.impure(span, "draws");
                }
                let support = match name {
                    "std_normal" => Support::all(),
                    "std_uniform" => Support::interval(Some(0.0), Some(1.0)),
                    _ => at_least_zero(),
                };
                Val::Num(Num { support, ..Num::real() })
            }
            "std_gamma" | "std_log_gamma" => {
                if !count(self, &[1]) {
                    return Val::Unknown;
                }
                let Some(shape) = self.operand_of_draw(name, &args[0], env) else { return Val::Unknown };
                let support = if name == "std_gamma" { at_least_zero() } else { Support::all() };
                // Implicit reparameterisation: as smooth as the shape.
                Val::Num(Num { support, kind: shape.kind, ..Num::real() })
            }
            "std_poisson" | "std_binomial" => {
                if !count(self, if name == "std_poisson" { &[1] } else { &[2] }) {
                    return Val::Unknown;
                }
                for a in &args {
                    let Some(n) = self.operand_of_draw(name, a, env) else { return Val::Unknown };
                    self.must_be_free(&n.kind, a.span, &format!("`{name}`"), "this argument");
                }
                Val::Num(Num { support: at_least_zero(), ..Num::new(Base::Int, Vec::new()) })
            }
            "stop" => {
                if !count(self, &[1]) {
                    return Val::Unknown;
                }
                let kind = args[0].value.kind();
                if let Some((_, origin)) = self.gradients.last()
                    && kind.0.contains(origin)
                {
                    self.impure(span, "stops the derivative");
                }
                self.stop(&args[0].value)
            }
            "frozen" => {
                if !count(self, &[1]) {
                    return Val::Unknown;
                }
                match &args[0].value {
                    Val::Gen(g) => Val::Gen(Rc::new(g.within(true))),
                    other => other.clone(),
                }
            }
            "simulate" => {
                if !count(self, &[1]) {
                    return Val::Unknown;
                }
                self.impure(span, "samples");
                self.simulate(&args[0], span, env)
            }
            "log_density" => {
                if !count(self, &[2]) {
                    return Val::Unknown;
                }
                self.log_density(&args[0], &args[1], span, env)
            }
            "exact" | "whole" | "normalized" => Val::Num(Num::new(Base::Bool, Vec::new())),
            "draw" | "log_prob" | "prob" | "cdf" | "inv_cdf" | "log_cdf" | "log_ccdf" | "inv_ccdf" | "path"
            | "support" | "variance" | "forward" | "inverse" => {
                if name == "draw" || (name == "path" && self.in_strategy == 0) {
                    self.impure(span, "draws");
                }
                if args.is_empty() {
                    count(self, &[1]);
                    return Val::Unknown;
                }
                self.member_call(name, &args, span, env)
            }
            _ => Val::Unknown,
        }
    }

    fn size_arg(&mut self, a: &ArgVal) -> Poly {
        match &a.value {
            Val::Num(n) if n.dims.is_empty() && n.base != Base::Bool => {
                if n.base == Base::Real
                    && n.sym.as_ref().is_none_or(|s| s.as_constant().is_some_and(|c| c.fract() != 0.0))
                {
                    self.report(Diagnostic::error("E0204", a.span, "a size must be an int").label("a real"));
                }
                self.must_be_free(&n.kind, a.span, "a size", "this size");
                self.sym(n)
            }
            Val::Unknown => self.opaque(),
            other => {
                let found = self.describe(other);
                self.report(
                    Diagnostic::error("E0204", a.span, format!("a size must be an int, not {found}")).label("here"),
                );
                self.opaque()
            }
        }
    }

    /// An array (of at least this rank); rank 0 accepts scalars.
    fn real_array(&mut self, name: &str, a: &ArgVal, rank: usize, env: &Env) -> Option<Num> {
        let n = self.want_num(&a.value, a.span, env)?;
        if !self.arithmetic(&n, a.span) {
            return None;
        }
        if n.dims.len() < rank {
            let found = self.describe_num(&n);
            let wanted = if rank == 2 { "a matrix" } else { "an array" };
            self.report(
                Diagnostic::error("E0210", a.span, format!("`{name}` is of {wanted}, not of {found}"))
                    .label(format!("this is {found}")),
            );
            return None;
        }
        Some(n)
    }

    /// A scalar operand of a native random primitive.
    fn operand_of_draw(&mut self, name: &str, a: &ArgVal, env: &Env) -> Option<Num> {
        let n = self.want_num(&a.value, a.span, env)?;
        if !self.arithmetic(&n, a.span) {
            return None;
        }
        self.linear_only(&n, a.span, &format!("an argument of `{name}`"));
        if !n.dims.is_empty() {
            let found = self.describe_num(&n);
            self.report(
                Diagnostic::error("E0210", a.span, format!("`{name}` is of numbers, not of {found}"))
                    .label(format!("this is {found}"))
                    .fix("draw element by element, in a `for`"),
            );
            return None;
        }
        Some(n)
    }

    fn linear_only(&mut self, n: &Num, span: Span, verb: &str) {
        if n.estimate.is_some() {
            self.nonlinear(&n.estimate, span, verb);
        }
    }

    fn unary(&mut self, name: &str, a: &ArgVal, jumps: bool, env: &Env) -> Val {
        let Some(n) = self.want_num(&a.value, a.span, env) else { return Val::Unknown };
        if !self.arithmetic(&n, a.span) {
            return Val::Unknown;
        }
        self.linear_only(&n, a.span, &format!("the argument of `{name}`"));
        if name == "abs" {
            self.kink(&n.kind, a.span, "`abs`");
        }
        if jumps {
            self.must_be_free(&n.kind, a.span, &format!("`{name}`"), "this argument");
        }
        let nonneg = element_support(&n).lower().is_some_and(|e| self.range(&e.value).0 >= 0.0);
        let support = match name {
            "exp" | "abs" | "sqrt" | "softplus" | "log_bessel_i0" => at_least_zero(),
            "sigmoid" | "normal_cdf" => Support::interval(Some(0.0), Some(1.0)),
            "tanh" | "sin" | "cos" | "sign" | "bessel_ratio" => Support::interval(Some(-1.0), Some(1.0)),
            "log_normal_cdf" => Support::interval(None, Some(0.0)),
            "log1p" | "expm1" | "atan" | "floor" | "round" | "to_int" | "trigamma" if nonneg => at_least_zero(),
            _ => Support::all(),
        };
        let sym = if n.dims.is_empty() {
            n.sym.as_ref().map(|s| Poly::atom(&format!("{name}({})", s.print()))).filter(|p| p.print().len() < 400)
        } else {
            None
        };
        let base = if name == "to_int" || (name == "abs" && n.base == Base::Int) { Base::Int } else { Base::Real };
        Val::Num(Num { base, support, sym, ..n })
    }

    fn several(&mut self, name: &str, args: &[ArgVal], support: Support, span: Span, env: &Env) -> Val {
        let mut joined: Option<Num> = None;
        let mut kind = Kind::default();
        let mut base = Base::Int;
        for a in args {
            let Some(n) = self.want_num(&a.value, a.span, env) else { return Val::Unknown };
            if !self.arithmetic(&n, a.span) {
                return Val::Unknown;
            }
            self.linear_only(&n, a.span, &format!("an argument of `{name}`"));
            kind.join(&n.kind);
            base = base.max(n.base);
            joined = Some(match joined {
                None => n,
                Some(before) => match self.broadcast(&before, &n, span) {
                    Some(dims) => Num { dims, ..before },
                    None => return Val::Unknown,
                },
            });
        }
        let Some(n) = joined else { return Val::Unknown };
        let base = if name == "min" || name == "max" { base } else { Base::Real };
        Val::Num(Num { base, dims: n.dims, support, kind, ..Num::real() })
    }

    fn extreme(&self, name: &str, a: &Val, b: &Val) -> Support {
        let (Val::Num(a), Val::Num(b)) = (a, b) else { return Support::all() };
        let (a, b) = (element_support(a), element_support(b));
        // max(a, b) >= either bound; min(a, b) <= either.
        let constant = |e: Option<Edge>| e.and_then(|e| e.value.as_constant());
        let (la, lb, ua, ub) = (constant(a.lower()), constant(b.lower()), constant(a.upper()), constant(b.upper()));
        if name == "max" {
            let low = match (la, lb) {
                (Some(x), Some(y)) => Some(x.max(y)),
                (x, y) => x.or(y),
            };
            Support::interval(low, ua.zip(ub).map(|(x, y)| x.max(y)))
        } else {
            let high = match (ua, ub) {
                (Some(x), Some(y)) => Some(x.min(y)),
                (x, y) => x.or(y),
            };
            Support::interval(la.zip(lb).map(|(x, y)| x.min(y)), high)
        }
    }

    fn concat(&mut self, args: &[ArgVal], span: Span, env: &Env) -> Val {
        let mut total = Poly::default();
        let mut kind = Kind::default();
        let mut base = Base::Int;
        let mut estimate = None;
        let mut rest: Option<Vec<Poly>> = None;
        for a in args {
            if let Val::Range { from, to } = &a.value {
                total = total.add(&to.sub(from));
                rest = Some(Vec::new());
                continue;
            }
            let Some(n) = self.want_num(&a.value, a.span, env) else { return Val::Unknown };
            if !self.arithmetic(&n, a.span) {
                return Val::Unknown;
            }
            // Along the first axis; a scalar is one element.
            total = total.add(n.dims.first().unwrap_or(&Poly::constant(1.0)));
            let others = n.dims.get(1..).unwrap_or_default().to_vec();
            match &rest {
                None => rest = Some(others),
                Some(r) if r.len() == others.len() => {
                    for (x, y) in others.iter().zip(r) {
                        self.same_size(x, y, a.span, "`concat` joins along the first axis; the others agree");
                    }
                }
                Some(_) => {
                    let found = self.describe_num(&n);
                    self.report(
                        Diagnostic::error("E0210", a.span, "`concat` joins arrays of one rank")
                            .label(format!("this is {found}")),
                    );
                    return Val::Unknown;
                }
            }
            kind.join(&n.kind);
            base = base.max(n.base);
            if n.estimate.is_some() || estimate.is_some() {
                estimate = Some(union(&estimate, &n.estimate));
            }
        }
        if args.is_empty() {
            self.report(Diagnostic::error("E0203", span, "`concat` needs arguments").label("here"));
        }
        let dims = std::iter::once(total).chain(rest.unwrap_or_default()).collect();
        Val::Num(Num { kind, estimate, ..Num::new(base, dims) })
    }
}

/// The interval of elements.
pub fn element_support(n: &Num) -> Support {
    match &n.support {
        Support::Shape(shape) => shape.hull(),
        other => other.clone(),
    }
}

fn plural(want: &[usize]) -> &'static str {
    if want == [1] { "" } else { "s" }
}

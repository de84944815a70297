//! Functions that this folder knows: element-wise mathematics, arrays, and the operations on distributions, generative
//! functions and bijectors.

use super::array::Index;
use super::call::Argument;
use super::generative::Mode;
use super::machine::{Machine, R, refuse};
use super::value::{Array, Env, Known, Repr, Value};
use crate::base::source::Span;
use crate::ir::core::{Atom, Collector, Noise, Prim, Scalar, Type};
use crate::ir::op::Op;
use std::rc::Rc;

/// Element-wise functions of one real.
fn unary(name: &str) -> Option<Op> {
    Some(match name {
        "exp" => Op::Exp,
        "log" => Op::Log,
        "log1p" => Op::Log1p,
        "expm1" => Op::Expm1,
        "sqrt" => Op::Sqrt,
        "sin" => Op::Sin,
        "cos" => Op::Cos,
        "tan" => Op::Tan,
        "atan" => Op::Atan,
        "tanh" => Op::Tanh,
        "sigmoid" => Op::Sigmoid,
        "softplus" => Op::Softplus,
        "lgamma" => Op::Lgamma,
        "digamma" => Op::Digamma,
        "trigamma" => Op::Trigamma,
        "normal_cdf" => Op::NormalCdf,
        "normal_quantile" => Op::NormalQuantile,
        "log_normal_cdf" => Op::LogNormalCdf,
        "log_bessel_i0" => Op::LogBesselI0,
        "bessel_ratio" => Op::BesselRatio,
        "floor" => Op::Floor,
        "round" => Op::Round,
        "sign" => Op::Sign,
        "to_int" => Op::ToInt,
        _ => return None,
    })
}

/// Element-wise functions of several reals, with how many.
fn several(name: &str) -> Option<(Op, usize)> {
    Some(match name {
        "gamma_p" => (Op::GammaP, 2),
        "gamma_p_inv" => (Op::GammaPInv, 2),
        "beta_inc" => (Op::BetaInc, 3),
        "beta_inc_inv" => (Op::BetaIncInv, 3),
        "von_mises_cdf" => (Op::VonMisesCdf, 2),
        "von_mises_quantile" => (Op::VonMisesQuantile, 2),
        "owens_t" => (Op::OwensT, 2),
        _ => return None,
    })
}

const OTHERS: &[&str] = &[
    "abs",
    "xlogy",
    "xlog1py",
    "min",
    "max",
    "sum",
    "mean",
    "variance",
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
    "forward",
    "inverse",
    "is_missing",
    "plug_in",
    "pivot",
    "fold",
    "grad",
    "inspect",
];

pub(super) fn is_native(name: &str) -> bool {
    unary(name).is_some() || several(name).is_some() || OTHERS.contains(&name) || super::combinator::is_combinator(name)
}

impl<'a> Machine<'a> {
    pub(super) fn native(&mut self, name: &'a str, args: Vec<Argument<'a>>, env: &Env<'a>, span: Span) -> R<Value<'a>> {
        let values: Vec<Value<'a>> = args.into_iter().map(|(_, v, _)| v).collect();
        if let (Some(op), [x]) = (unary(name), values.as_slice()) {
            if let Value::Estimate(_) = x {
                return refuse(span, format!("`{name}` of an estimate is biased"));
            }
            return self.elementwise(std::slice::from_ref(x), span, &mut |m, x| {
                if op == Op::ToInt && m.scalar_of(x[0]) == Scalar::Int {
                    return Ok(x[0]);
                }
                Ok(m.real_op(op, x))
            });
        }
        if let Some((op, operands)) = several(name)
            && operands == values.len()
        {
            return self.elementwise(&values, span, &mut |m, x| Ok(m.real_op(op, x)));
        }
        match (name, values.as_slice()) {
            ("abs", [x]) => self.elementwise(std::slice::from_ref(x), span, &mut |m, x| {
                Ok(if m.scalar_of(x[0]) == Scalar::Int {
                    let n = m.op(Op::INeg, x);
                    m.op(Op::IMax, &[x[0], n])
                } else {
                    m.real_op(Op::Abs, x)
                })
            }),
            ("xlogy", [_, _]) => self.elementwise(&values, span, &mut |m, x| Ok(m.times_log(x[0], x[1], Op::Log))),
            ("xlog1py", [_, _]) => self.elementwise(&values, span, &mut |m, x| Ok(m.times_log(x[0], x[1], Op::Log1p))),
            ("min" | "max", [a, b]) => {
                let least = name == "min";
                self.elementwise(&[a.clone(), b.clone()], span, &mut |m, x| {
                    let ints = x.iter().all(|&a| m.scalar_of(a) == Scalar::Int);
                    Ok(match (ints, least) {
                        (true, true) => m.op(Op::IMin, x),
                        (true, false) => m.op(Op::IMax, x),
                        (false, true) => m.real_op(Op::Min, x),
                        (false, false) => m.real_op(Op::Max, x),
                    })
                })
            }
            ("min" | "max", [a]) => self.extreme(a, name == "min", span),
            ("pivot", [a]) => {
                let top = self.extreme(a, false, span)?;
                let top = self.force(&top, span)?;
                let top = self.real_op(Op::Max, &[top, Atom::Real(-1e300)]);
                let top = self.real_op(Op::Min, &[top, Atom::Real(1e300)]);
                Ok(Value::Scalar(self.stop_atom(top)))
            }
            ("fold", [f, Value::List(items)]) => self.folded(f, items, span),
            ("grad", [f, x]) => self.gradient(f, x, span),
            ("inspect", [x, Value::Text(name)]) => self.inspect(x, name, span),
            ("is_missing", [x]) => self.elementwise(std::slice::from_ref(x), span, &mut |m, x| {
                Ok(if m.scalar_of(x[0]) == Scalar::Real { m.op(Op::IsNan, x) } else { Atom::Bool(false) })
            }),
            ("plug_in", [x @ (Value::Scalar(_) | Value::Array(_))]) => Ok(x.clone()),
            ("sum", [Value::Estimates(e)]) => self.estimates_sum(e, span),
            ("mean", [Value::Estimates(e)]) => {
                let n: usize = e.extents.iter().product();
                let sum = self.estimates_sum(e, span)?;
                self.estimate_scale(&sum, Atom::Real(1.0 / n as f64), span)
            }
            ("sum", [x]) => Ok(Value::Scalar(self.sum(x, span)?)),
            ("mean" | "variance", [Value::Dist(_) | Value::Item(_)]) => {
                let d = self.as_dist(&values[0], span)?;
                self.dist_moment(&d, name, span)
            }
            ("mean", [x]) => {
                let n: usize = super::types::shape_of(x).iter().product();
                let s = self.sum(x, span)?;
                let r = self.real_op(Op::Div, &[s, Atom::Real(n as f64)]);
                Ok(Value::Scalar(r))
            }
            ("dot", [a, b]) => self.binary(crate::syntax::tree::BinaryOp::MatMul, a, b, span),
            ("zeros", _) => self.filled(Atom::Real(0.0), &values, span),
            ("ones", _) => self.filled(Atom::Real(1.0), &values, span),
            ("fill", [x, sizes @ ..]) => {
                let x = self.force(x, span)?;
                self.filled(x, sizes, span)
            }
            ("identity", [n]) => {
                let n = self.size_of(n, span)?;
                let mut data = vec![0.0; n * n];
                for i in 0..n {
                    data[i * n + i] = 1.0;
                }
                Ok(Value::known(Known { name: None, scalar: Scalar::Real, shape: vec![n, n], values: data }))
            }
            ("length", [x]) => match super::types::shape_of(x).first() {
                Some(&n) => Ok(Value::int(n as i64)),
                None => refuse(span, "a scalar has no length"),
            },
            ("transpose", [Value::Array(a)]) if a.shape.len() == 2 => {
                let a = a.clone();
                self.map(&[a.shape[1], a.shape[0]], a.scalar, |m, idx| m.element(&a, &[idx[1], idx[0]]))
            }
            ("diagonal", [Value::Array(a)]) if a.shape.len() == 2 => {
                let a = a.clone();
                self.map(&[a.shape[0].min(a.shape[1])], a.scalar, |m, idx| m.element(&a, &[idx[0], idx[0]]))
            }
            ("cholesky", [a]) => self.array_prim(Prim::Cholesky, std::slice::from_ref(a), 0, span),
            ("solve_lower", [_, _]) => self.array_prim(Prim::SolveLower { transposed: false }, &values, 1, span),
            ("solve_lower_transposed", [_, _]) => {
                self.array_prim(Prim::SolveLower { transposed: true }, &values, 1, span)
            }
            ("cumsum", [_]) => self.array_prim(Prim::CumSum { reverse: false }, &values, 0, span),
            ("sort", [_]) => self.array_prim(Prim::Sort, &values, 0, span),
            ("concat", _) => self.concat(values, span),
            ("repeat", [x, counts]) => self.repeat(x, counts, span),
            ("stop", [x]) => self.stop(x, span),
            ("frozen", [q]) => {
                // What it was applied to may depend on parameters as well: it is held too.
                let g = self.as_gen(q, span)?;
                let held = Value::Gen(g).map_atoms(&mut |a| self.stop_atom(a));
                let g = self.as_gen(&held, span)?;
                Ok(Value::Gen(g.within(true)))
            }
            ("simulate", [q]) => {
                let g = self.as_gen(q, span)?;
                let run = self.run_gen(&g, Mode::Simulate, span)?;
                Ok(Value::Tuple([run.trace, Value::Scalar(run.score)].into()))
            }
            ("log_density", [p, t]) => {
                let g = self.as_gen(p, span)?;
                let run = self.run_gen(&g, Mode::Density(t.clone()), span)?;
                Ok(Value::Scalar(run.score))
            }
            ("draw", [d]) => match self.maybe_gen(d, span)? {
                // A draw is free: it has no derivative, whatever its arguments.
                Some(g) => {
                    let trace = self.run_gen(&g, Mode::Draw, span)?.trace;
                    self.stop(&trace, span)
                }
                None => {
                    let d = self.as_dist(d, span)?;
                    let x = self.draw(&d, span)?;
                    self.stop(&x, span)
                }
            },
            ("path", [d]) => {
                let d = self.as_dist(d, span)?;
                self.path(&d, span)
            }
            ("log_prob", [d, x]) => {
                let d = self.as_dist(d, span)?;
                Ok(Value::Scalar(self.log_prob(&d, x, false, span)?))
            }
            ("prob", [d, x]) => {
                let d = self.as_dist(d, span)?;
                self.prob(&d, x, span)
            }
            ("cdf" | "inv_cdf" | "log_cdf" | "log_ccdf" | "inv_ccdf", [d, x]) => {
                let d = self.as_dist(d, span)?;
                self.dist_function(&d, name, x, span)
            }
            ("forward", [b, x]) => self.forward(b, x, span),
            ("inverse", [b, y]) => self.inverse(b, y, span),
            ("std_normal", []) => Ok(Value::Scalar(self.noise(Noise::Normal, Vec::new()))),
            ("std_uniform", []) => Ok(Value::Scalar(self.noise(Noise::Uniform, Vec::new()))),
            ("std_exponential", []) => Ok(Value::Scalar(self.noise(Noise::Exponential, Vec::new()))),
            ("std_log_gamma", [_]) => self.noise_of(Noise::LogGamma, &values, span).map(Value::Scalar),
            ("std_gamma", [_]) => {
                let l = self.noise_of(Noise::LogGamma, &values, span)?;
                Ok(Value::Scalar(self.op(Op::Exp, &[l])))
            }
            ("std_poisson", [_]) => {
                let x = self.noise_of(Noise::Poisson, &values, span)?;
                Ok(Value::Scalar(self.op(Op::ToInt, &[x])))
            }
            ("std_binomial", [_, _]) => {
                let x = self.noise_of(Noise::Binomial, &values, span)?;
                Ok(Value::Scalar(self.op(Op::ToInt, &[x])))
            }
            _ => {
                let _ = env;
                refuse(span, format!("`{name}` can't be applied to these {} arguments", values.len()))
            }
        }
    }

    /// `f(f(a, b), f(c, d))`: halves first, so that calls nest little.
    fn folded(&mut self, f: &Value<'a>, items: &[Value<'a>], span: Span) -> R<Value<'a>> {
        match items {
            [] => refuse(span, "`fold` of nothing"),
            [one] => Ok(one.clone()),
            _ => {
                let (left, right) = items.split_at(items.len() / 2);
                let (left, right) = (self.folded(f, left, span)?, self.folded(f, right, span)?);
                self.apply(f, vec![left, right], span)
            }
        }
    }

    pub(super) fn size_of(&mut self, v: &Value<'a>, span: Span) -> R<usize> {
        match v {
            Value::Scalar(Atom::Int(i)) if *i >= 0 => Ok(*i as usize),
            _ => refuse(span, "a size must be an int that is known when data are bound"),
        }
    }

    /// `a log(x)` (or `a log1p(x)`) that is 0 where `a` is 0, also where the logarithm is infinite. What stands there has
    /// derivative zero: no multiplication of zero by infinity remains in either direction.
    fn times_log(&mut self, a: Atom, x: Atom, log: Op) -> Atom {
        let end = if log == Op::Log { 0.0 } else { -1.0 };
        if self.fact(x).lower > end {
            let l = self.real_op(log, &[x]);
            return self.real_op(Op::Mul, &[a, l]);
        }
        let at_end = self.real_op(Op::Eq, &[x, Atom::Real(end)]);
        let x = self.real_of(x);
        let inside = self.op(Op::Select, &[at_end, Atom::Real(end + 1.0), x]);
        let l = self.real_op(log, &[inside]);
        let product = self.real_op(Op::Mul, &[a, l]);
        let none = self.real_op(Op::Eq, &[a, Atom::Real(0.0)]);
        let limit = self.real_op(Op::Mul, &[a, Atom::Real(f64::NEG_INFINITY)]);
        let limit = self.op(Op::Select, &[none, Atom::Real(0.0), limit]);
        let limit = self.op(Op::Select, &[at_end, limit, Atom::Real(0.0)]);
        let limit = self.stop_atom(limit);
        self.real_op(Op::Add, &[product, limit])
    }

    /// A native random number with operands.
    fn noise_of(&mut self, noise: Noise, operands: &[Value<'a>], span: Span) -> R<Atom> {
        let mut args = Vec::new();
        for x in operands {
            let x = self.force(x, span)?;
            args.push(self.real_of(x));
        }
        Ok(self.noise(noise, args))
    }

    fn filled(&mut self, x: Atom, sizes: &[Value<'a>], span: Span) -> R<Value<'a>> {
        let shape: R<Vec<usize>> = sizes.iter().map(|s| self.size_of(s, span)).collect();
        let scalar = self.scalar_of(x);
        Ok(Value::fill(x, scalar, shape?))
    }

    fn extreme(&mut self, v: &Value<'a>, least: bool, span: Span) -> R<Value<'a>> {
        let v = if let Value::Range(a, b) = v { super::array::range_array(*a, *b) } else { v.clone() };
        let Value::Array(array) = v else {
            return refuse(span, format!("an array is needed, this is {}", v.kind()));
        };
        if let Repr::Known(k) = &array.repr
            && k.scalar == Scalar::Int
            && !k.values.is_empty()
        {
            let fold = |a: f64, &b: &f64| if least { a.min(b) } else { a.max(b) };
            return Ok(Value::int(k.values.iter().fold(k.values[0], fold) as i64));
        }
        let collector = if least { Collector::Min } else { Collector::Max };
        let results = self.for_(&array.shape.clone(), vec![collector], |m, idx| Ok(vec![m.element(&array, idx)?]))?;
        Ok(Value::Scalar(results[0]))
    }

    /// A primitive whose result has the type of operand `like`.
    fn array_prim(&mut self, prim: Prim, args: &[Value<'a>], like: usize, span: Span) -> R<Value<'a>> {
        let mut atoms = Vec::new();
        for a in args {
            let a = self.with_scalar(a, Scalar::Real)?;
            atoms.push(self.force(&a, span)?);
        }
        let ty = self.program.atom_type(atoms[like]);
        if ty.shape.is_empty() {
            return refuse(span, "an array is needed, this is a scalar");
        }
        let square = |t: &Type| t.shape.len() == 2 && t.shape[0] == t.shape[1];
        match &prim {
            Prim::Cholesky | Prim::SolveLower { .. } if !square(&self.program.atom_type(atoms[0])) => {
                return refuse(span, "a square matrix is needed");
            }
            Prim::SolveLower { .. } if self.program.atom_type(atoms[0]).shape[0] != ty.shape[0] => {
                return refuse(span, "the matrix and the right-hand side differ in extent");
            }
            Prim::CumSum { .. } | Prim::Sort if ty.shape.len() != 1 => {
                return refuse(span, "an array of one axis is needed");
            }
            _ => {}
        }
        let atom = self.prim(prim, &atoms, ty.clone());
        Ok(Value::core(atom, ty.scalar, ty.shape))
    }

    /// Elements of an array of literals.
    pub(super) fn static_values(value: &Value<'a>) -> Option<Vec<f64>> {
        match value {
            Value::Range(a, b) => Some((*a..*b).map(|i| i as f64).collect()),
            Value::Scalar(Atom::Int(i)) => Some(vec![*i as f64]),
            Value::Scalar(Atom::Real(x)) => Some(vec![*x]),
            Value::Array(Array { repr: Repr::Known(k), .. }) => Some(k.values.clone()),
            Value::Array(Array { repr: Repr::Fill(Atom::Int(i)), shape, .. }) => {
                Some(vec![*i as f64; shape.iter().product()])
            }
            Value::Array(Array { repr: Repr::Fill(Atom::Real(x)), shape, .. }) => {
                Some(vec![*x; shape.iter().product()])
            }
            Value::Array(Array { repr: Repr::List(items), .. }) => {
                let mut out = Vec::new();
                for i in items.iter() {
                    out.extend(Self::static_values(i)?);
                }
                Some(out)
            }
            _ => None,
        }
    }

    fn repeat(&mut self, x: &Value<'a>, counts: &Value<'a>, span: Span) -> R<Value<'a>> {
        let Some(counts) = Self::static_values(counts) else {
            return refuse(span, "the counts of `repeat` must be known when data are bound");
        };
        let n = super::types::shape_of(x).first().copied().unwrap_or(0);
        if n != counts.len() {
            return refuse(span, format!("{} counts for {n} values", counts.len()));
        }
        let scalar = match x {
            Value::Array(a) => a.scalar,
            _ => Scalar::Int,
        };
        if let Some(values) = Self::static_values(x)
            && values.len() == n
        {
            let values: Vec<f64> =
                values.iter().zip(&counts).flat_map(|(&v, &c)| std::iter::repeat_n(v, c.max(0.0) as usize)).collect();
            return Ok(Value::known(Known { name: None, scalar, shape: vec![values.len()], values }));
        }
        let which: Vec<f64> =
            counts.iter().enumerate().flat_map(|(i, &c)| std::iter::repeat_n(i as f64, c.max(0.0) as usize)).collect();
        let len = which.len();
        let which = Rc::new(Known { name: None, scalar: Scalar::Int, shape: vec![len], values: which });
        let which = self.known_atom(&which);
        let x = x.clone();
        self.map(&[len], scalar, |m, idx| {
            let i = m.read(which, idx);
            match m.index(&x, &[Index::At(i)], span)? {
                Value::Scalar(a) => Ok(a),
                other => refuse(span, format!("`repeat` of {}", other.kind())),
            }
        })
    }

    /// The value with derivative zero.
    pub(super) fn stop(&mut self, value: &Value<'a>, span: Span) -> R<Value<'a>> {
        Ok(match value {
            Value::Scalar(a) => Value::Scalar(self.stop_atom(*a)),
            Value::Array(array) => match &array.repr {
                Repr::Known(_) => value.clone(),
                Repr::Fill(a) => {
                    let a = self.stop_atom(*a);
                    Value::fill(a, array.scalar, array.shape.clone())
                }
                Repr::List(items) => {
                    let items: R<Vec<_>> = items.iter().map(|i| self.stop(i, span)).collect();
                    let repr = Repr::List(items?.into());
                    Value::Array(Array { scalar: array.scalar, shape: array.shape.clone(), repr })
                }
                Repr::View { base, axes } => {
                    let repr = Repr::View { base: self.stop_atom(*base), axes: axes.clone() };
                    Value::Array(Array { scalar: array.scalar, shape: array.shape.clone(), repr })
                }
                Repr::Rows { base, axes } => {
                    let repr = Repr::Rows { base: self.stop_atom(*base), axes: axes.clone() };
                    Value::Array(Array { scalar: array.scalar, shape: array.shape.clone(), repr })
                }
                Repr::Core(a) => Value::core(self.stop_atom(*a), array.scalar, array.shape.clone()),
            },
            Value::Tuple(items) => {
                let items: R<Vec<_>> = items.iter().map(|i| self.stop(i, span)).collect();
                Value::Tuple(items?.into())
            }
            Value::Record(fields) => {
                let fields: R<Vec<_>> = fields.iter().map(|(n, v)| Ok((n.clone(), self.stop(v, span)?))).collect();
                Value::record(fields?)
            }
            Value::Estimate(_) | Value::Estimates(_) => self.estimate_stop(value),
            Value::Dist(d) => {
                let mut new = (**d).clone();
                for (_, v) in &mut new.args {
                    *v = self.stop(v, span)?;
                }
                Value::Dist(Rc::new(new))
            }
            Value::Unit | Value::Range(..) => value.clone(),
            other => return refuse(span, format!("`stop` of {}", other.kind())),
        })
    }

    pub(super) fn stop_atom(&mut self, a: Atom) -> Atom {
        if self.scalar_of(a) == Scalar::Real { self.op(Op::Stop, &[a]) } else { a }
    }
}

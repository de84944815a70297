//! The programs made of a checked file and its data: the objective with sites, the model's log joint density, draws with
//! weights, initial and constrained parameters, single expressions.

use super::bind::Bound;
use super::generative::Mode;
use super::machine::{Fact, Machine, R, SiteForm, Space, UNKNOWN, refuse};
use super::strategy::SiteTable;
use super::types::shape_of;
use super::value::{Env, Value};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::ir::core::{Atom, Block, Collector, Program, Role, Scalar, Type, Var};
use crate::ir::op::Op;
use crate::syntax::tree::{Expr, ItemKind};
use crate::types::program::{DerivedGuide, ItemId};

/// A program with sites and what `estimate` needs beside it.
pub struct Sited<'a> {
    pub program: Program,
    pub table: SiteTable<'a>,
}

/// How an objective is specialised.
#[derive(Clone, Debug)]
pub struct Options {
    pub space: Space,
    /// The objective is the mean of so many copies; 1: itself.
    pub particles: usize,
    /// Names of parameters that are inputs in this order whether or not they are read; others that are read follow.
    pub params: Vec<String>,
}

/// A program of draws: `results[0]` are the log weights `[batch]`, then one array `[batch, …]` per quantity.
pub struct Draws {
    pub program: Program,
    /// Name, shape of one draw, whether a latent.
    pub quantities: Vec<(String, Vec<usize>, bool)>,
}

/// Name of the state input of [`draws`]: number of the first draw, as a real.
pub const FIRST_DRAW: &str = "first_draw";

type Checked<T> = Result<T, Vec<Diagnostic>>;

impl<'a> Machine<'a> {
    /// Ends the program: prologue before the step, results, nothing dead.
    pub(super) fn finish(&mut self, results: Vec<Atom>) {
        let mut stmts = std::mem::take(&mut self.prologue);
        stmts.append(&mut self.stmts);
        self.program.step = Block { stmts, results };
        super::terms::remove_dead(&mut self.program);
    }

    /// Ints where they are absent as missing numbers, as reals are already; without what says whether they are present.
    fn without_absent(&mut self, named: Vec<(String, Value<'a>)>, span: Span) -> R<Vec<(String, Value<'a>)>> {
        let (flags, values): (Vec<_>, Vec<_>) = named.into_iter().partition(|(n, _)| n.ends_with('?'));
        let mut out = Vec::with_capacity(values.len());
        for (name, value) in values {
            let flag = flags.iter().find(|(n, _)| *n == super::address::present(&name));
            let value = match (flag.map(|f| &f.1), &value) {
                (Some(Value::Scalar(present)), Value::Scalar(x))
                    if *present != Atom::Bool(true) && self.scalar_of(*x) == Scalar::Int =>
                {
                    let real = self.real_of(*x);
                    Value::Scalar(self.op(Op::Select, &[*present, real, Atom::Real(f64::NAN)]))
                }
                (Some(present), Value::Array(array)) if array.scalar == Scalar::Int => {
                    let (present, array) = (present.clone(), array.clone());
                    self.map(&array.shape.clone(), Scalar::Real, |m, at| {
                        let here = match &present {
                            Value::Array(p) => m.element(p, &at[..p.shape.len().min(at.len())])?,
                            other => m.force(other, span)?,
                        };
                        let x = m.element(&array, at)?;
                        let real = m.real_of(x);
                        Ok(m.op(Op::Select, &[here, real, Atom::Real(f64::NAN)]))
                    })?
                }
                _ => value,
            };
            out.push((name, value));
        }
        Ok(out)
    }

    fn declare_params(&mut self, names: &[String]) -> R<()> {
        for name in names {
            let root = name.split('.').next().unwrap_or(name);
            for (k, entry) in self.checked.items.items.iter().enumerate() {
                if let ItemKind::Param { name: n, tuned: false, .. } = &entry.item.kind
                    && n.text == root
                {
                    self.param(ItemId(u32::try_from(k).unwrap_or(u32::MAX)))?;
                }
            }
        }
        Ok(())
    }
}

fn machine<'a>(bound: &Bound<'a>, space: Space, sites: SiteForm) -> Machine<'a> {
    Machine::new(bound.checked, bound.bindings.clone(), space, sites)
}

fn failed<T>(result: R<T>) -> Checked<T> {
    result.map_err(|e| vec![e.into_diagnostic()])
}

/// The objective `expr` of the main file as a program with sites: its value is the sum of its `Term`s, `results` are
/// empty.
pub fn objective<'a>(bound: &Bound<'a>, expr: &'a Expr, options: &Options) -> Checked<Sited<'a>> {
    let mut m = machine(bound, options.space, SiteForm::Keep);
    failed(build_objective(&mut m, expr, options))?;
    super::terms::split(&mut m.program);
    let program = std::mem::take(&mut m.program);
    Ok(Sited { program, table: SiteTable { machine: m } })
}

/// Value of an estimate as a program with sites before it is split: `results[0]` is the value.
fn build_objective<'a>(m: &mut Machine<'a>, expr: &'a Expr, options: &Options) -> R<()> {
    m.declare_params(&options.params)?;
    let env = m.main_env();
    let n = options.particles.max(1);
    let value = if n == 1 {
        m.scalar(expr, &env)?
    } else {
        m.copies = n as f64;
        let results = m.for_(&[n], vec![Collector::Sum { keep: Vec::new() }], |m, _| {
            let a = m.scalar(expr, &env)?;
            Ok(vec![m.real_of(a)])
        })?;
        m.real_op(Op::Div, &[results[0], Atom::Real(n as f64)])
    };
    let value = m.real_of(value);
    m.program.outputs = vec!["value".to_owned()];
    m.finish(vec![value]);
    Ok(())
}

/// What an objective `inspect`s: one result per place, `[…loops, …value]`, and their names; NaN where a place was not reached.
/// Samples are plain draws. `None`: it inspects nothing.
pub fn inspected<'a>(bound: &Bound<'a>, expr: &'a Expr, options: &Options) -> Checked<Option<Program>> {
    let mut m = machine(bound, options.space, SiteForm::Draw);
    m.inspected = Some(Vec::new());
    failed((|| {
        m.declare_params(&options.params)?;
        let env = m.main_env();
        let n = options.particles.max(1);
        m.for_(&[n], vec![Collector::Sum { keep: Vec::new() }], |m, _| {
            let a = m.scalar(expr, &env)?;
            Ok(vec![m.real_of(a)])
        })?;
        let (names, vars): (Vec<String>, Vec<Var>) = m.inspected.take().unwrap_or_default().into_iter().unzip();
        let mut stmts = std::mem::take(&mut m.stmts);
        let exposed = super::inspect::expose(&mut m.program, &mut stmts, &vars);
        m.stmts = stmts;
        let found = names.into_iter().zip(exposed).filter_map(|(n, v)| Some((n, v?)));
        let (names, results): (Vec<String>, Vec<Atom>) = found.map(|(n, v)| (n, Atom::Var(v))).unzip();
        m.program.outputs = names;
        m.finish(results);
        Ok(())
    })())?;
    Ok((!m.program.outputs.is_empty()).then_some(m.program))
}

/// log density of the guide's model at unconstrained latents, with the log Jacobian. One parameter, `latent[n]`.
pub fn log_joint<'a>(bound: &Bound<'a>, guide: &'a DerivedGuide) -> Checked<Program> {
    let mut m = machine(bound, Space::Constrained, SiteForm::Draw);
    m.whole_plates = true;
    failed((|| {
        let env = m.main_env();
        let span = guide.model.span;
        let n = m.static_size(&guide.latents, &env)?;
        let input = m.input(Role::Param, "latent", Type { scalar: Scalar::Real, shape: vec![n] });
        let z = Value::core(input, Scalar::Real, vec![n]);
        let unpack = m.name(&guide.unpack, &env, span)?;
        let Value::Tuple(parts) = m.forward(&unpack, &z, span)? else {
            return refuse(span, "`forward` gives a pair");
        };
        let model = m.expr(&guide.model, &env)?;
        let model = m.as_gen(&model, span)?;
        let run = m.run_gen(&model, Mode::Density(parts[0].clone()), span)?;
        let log_det = m.force(&parts[1], span)?;
        let value = m.real_op(Op::Add, &[run.score, log_det]);
        m.program.outputs = vec!["value".to_owned()];
        m.finish(vec![value]);
        Ok(())
    })())?;
    Ok(m.program)
}

/// Draws from `q` with what `p` returns and `log p - log q`, `batch` at a time, with all rows of plates; latents of the rows of
/// a subsampled plate are drawn and weighed, but not among the quantities. The number of the first draw is the
/// state input [`FIRST_DRAW`]; a draw depends on its number, not on the batch.
pub fn draws<'a>(bound: &Bound<'a>, p: &'a Expr, q: &'a Expr, batch: usize, options: &Options) -> Checked<Draws> {
    let mut m = machine(bound, options.space, SiteForm::Draw);
    m.whole_plates = true;
    m.absent_is_missing = true;
    let mut quantities = Vec::new();
    failed((|| {
        m.declare_params(&options.params)?;
        let env = m.main_env();
        let span = p.span;
        let first = m.input(Role::State, FIRST_DRAW, Type::REAL);
        let first = m.op(Op::ToInt, &[first]);
        let (pv, qv) = (m.expr(p, &env)?, m.expr(q, &env)?);
        let (pg, qg) = (m.as_gen(&pv, p.span)?, m.as_gen(&qv, q.span)?);
        m.enter();
        let indices = m.open_loops(&[batch]);
        let number = m.op(Op::IAdd, &[indices[0].0.into(), first]);
        if let Some(l) = m.loops.last_mut() {
            l.0 = number;
        }
        let inner = m.run_gen(&qg, Mode::Draw, q.span).and_then(|qr| {
            let pr = m.run_gen(&pg, Mode::Density(qr.trace.clone()), p.span)?;
            // A point mass has no density: its draws all weigh the same.
            let weight = if m.point { Atom::Real(0.0) } else { m.real_op(Op::Sub, &[pr.score, qr.score]) };
            let mut results = vec![weight];
            for (value, latent) in [(&qr.trace, true), (&pr.value, false)] {
                let mut named = Vec::new();
                name_leaves("", value, &mut named);
                // Latents of single rows are too many to be kept draw by draw.
                named.retain(|(n, _)| !latent || !is_local(n, &m.local_addresses));
                for (name, leaf) in m.without_absent(named, span)? {
                    let atom = m.force(&leaf, span)?;
                    quantities.push((name, m.program.atom_type(atom).shape, latent));
                    results.push(atom);
                }
            }
            Ok(results)
        });
        m.loops.pop();
        let stmts = m.leave();
        let results = inner?;
        let collectors = vec![Collector::Collect; results.len()];
        let atoms = m.push_for(indices, Block { stmts, results }, collectors);
        m.program.outputs =
            std::iter::once("log_weight".to_owned()).chain(quantities.iter().map(|(n, _, _)| n.clone())).collect();
        m.finish(atoms);
        Ok(())
    })())?;
    Ok(Draws { program: m.program, quantities })
}

fn is_local(name: &str, local: &[String]) -> bool {
    local.iter().any(|l| name.strip_prefix(l.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

fn name_leaves<'a>(prefix: &str, value: &Value<'a>, into: &mut Vec<(String, Value<'a>)>) {
    let join = |n: &str| if prefix.is_empty() { n.to_owned() } else { format!("{prefix}.{n}") };
    match value {
        Value::Unit => {}
        Value::Record(fields) => fields.iter().for_each(|(n, v)| name_leaves(&join(n), v, into)),
        Value::Tuple(items) => items.iter().enumerate().for_each(|(i, v)| name_leaves(&join(&i.to_string()), v, into)),
        Value::Scalar(_) | Value::Array(_) | Value::Range(..) => {
            let name = if prefix.is_empty() { "value".to_owned() } else { prefix.to_owned() };
            into.push((name, value.clone()));
        }
        _ => {}
    }
}

/// Initial values of the named parameters on the unconstrained space: one result each, no parameters. An `init` is
/// evaluated once, and may draw.
pub fn initial_params(bound: &Bound<'_>, names: &[String]) -> Checked<Program> {
    let mut m = machine(bound, Space::Constrained, SiteForm::Draw);
    m.initialising = Some(Vec::new());
    failed((|| {
        let checked = m.checked;
        let mut made: Vec<(&str, Value<'_>)> = Vec::new();
        let mut atoms = Vec::new();
        for name in names {
            let mut segments = name.split('.');
            let root = segments.next().unwrap_or(name);
            let found = checked
                .items
                .items
                .iter()
                .position(|entry| matches!(&entry.item.kind, ItemKind::Param { name: n, .. } if n.text == root));
            let Some(k) = found else {
                return refuse(Span::default(), format!("there is no parameter `{name}`"));
            };
            let id = ItemId(u32::try_from(k).unwrap_or(u32::MAX));
            let ItemKind::Param { name: declared, ty, .. } = &checked.items.item(id).kind else {
                return refuse(Span::default(), format!("there is no parameter `{name}`"));
            };
            let span = declared.span;
            let mut z = match made.iter().find(|(n, _)| *n == root) {
                Some((_, z)) => z.clone(),
                None => {
                    let value = m.initial_value(id)?;
                    let z = m.in_prologue(|m| {
                        let ty = m.eval_type(ty, &Env::new(checked.items.module_of(id), 0))?;
                        m.unconstrained(&value, &ty, span)
                    })?;
                    made.push((root, z.clone()));
                    z
                }
            };
            for s in segments {
                let part = match (&z, s.parse::<usize>()) {
                    (Value::Tuple(items), Ok(k)) => items.get(k).cloned(),
                    _ => z.field(s).cloned(),
                };
                z = match part {
                    Some(v) => v,
                    None => return refuse(span, format!("there is no parameter `{name}`")),
                };
            }
            let atom = m.force(&z, span)?;
            atoms.push(if m.program.atom_type(atom).is_scalar() { m.real_of(atom) } else { atom });
        }
        m.program.outputs = names.to_vec();
        m.finish(atoms);
        Ok(())
    })())?;
    Ok(m.program)
}

/// The declared values of the named parameters, from unconstrained inputs in that order.
pub fn constrained_params(bound: &Bound<'_>, names: &[String]) -> Checked<Program> {
    let mut m = machine(bound, Space::Unconstrained, SiteForm::Draw);
    failed((|| {
        m.declare_params(names)?;
        let mut atoms = Vec::new();
        let mut outputs = Vec::new();
        for (k, entry) in m.checked.items.items.iter().enumerate() {
            let ItemKind::Param { name, .. } = &entry.item.kind else { continue };
            if !names.iter().any(|n| n.split('.').next() == Some(name.text.as_str())) {
                continue;
            }
            let value = m.param(ItemId(u32::try_from(k).unwrap_or(u32::MAX)))?;
            let mut named = Vec::new();
            name_leaves(&name.text, &value, &mut named);
            for (n, v) in named {
                outputs.push(n);
                atoms.push(m.force(&v, name.span)?);
            }
        }
        // In the order asked for.
        let mut order: Vec<usize> = (0..outputs.len()).collect();
        order.sort_by_key(|&i| names.iter().position(|n| *n == outputs[i]).unwrap_or(usize::MAX));
        m.program.outputs = order.iter().map(|&i| outputs[i].clone()).collect();
        let atoms = order.iter().map(|&i| atoms[i]).collect();
        m.finish(atoms);
        Ok(())
    })())?;
    Ok(m.program)
}

/// An expression over the items of the main file: one result per leaf of its value. Samples are plain draws.
pub fn expression<'a>(bound: &Bound<'a>, expr: &'a Expr, options: &Options) -> Checked<Program> {
    let mut m = machine(bound, options.space, SiteForm::Draw);
    failed((|| {
        m.declare_params(&options.params)?;
        let env = m.main_env();
        let value = m.expr(expr, &env)?;
        let mut named = Vec::new();
        name_leaves("", &value, &mut named);
        if named.is_empty() {
            return refuse(expr.span, format!("this is {}, not a number", value.kind()));
        }
        let mut atoms = Vec::new();
        let mut outputs = Vec::new();
        for (n, v) in named {
            atoms.push(m.force(&v, expr.span)?);
            outputs.push(n);
        }
        m.program.outputs = outputs;
        m.finish(atoms);
        Ok(())
    })())?;
    Ok(m.program)
}

/// Evaluates `lambda(point…)` with the named numbers as parameters of Core: for tests of unbiasedness at a point.
/// `arguments` are the lambda's parameters in order with the shapes of their values.
pub fn objective_at<'a>(bound: &Bound<'a>, lambda: &'a Expr, arguments: &[(String, Vec<usize>)]) -> Checked<Sited<'a>> {
    let mut m = machine(bound, Space::Constrained, SiteForm::Keep);
    failed((|| {
        let env = m.main_env();
        let function = m.expr(lambda, &env)?;
        let args = arguments
            .iter()
            .map(|(name, shape)| {
                let atom = m.input(Role::Param, name, Type { scalar: Scalar::Real, shape: shape.clone() });
                m.set_fact(atom, Fact { ..UNKNOWN });
                Value::core(atom, Scalar::Real, shape.clone())
            })
            .collect();
        let value = m.apply(&function, args, lambda.span)?;
        let value = m.force(&value, lambda.span)?;
        let value = m.real_of(value);
        m.program.outputs = vec!["value".to_owned()];
        m.finish(vec![value]);
        Ok(())
    })())?;
    super::terms::split(&mut m.program);
    let program = std::mem::take(&mut m.program);
    Ok(Sited { program, table: SiteTable { machine: m } })
}

/// Types of the trace of a generative function applied as in `expr`: address, shape, for reports.
pub fn trace_shapes<'a>(bound: &Bound<'a>, expr: &'a Expr) -> Checked<Vec<(String, Vec<usize>)>> {
    let mut m = machine(bound, Space::Constrained, SiteForm::Draw);
    failed((|| {
        let env = m.main_env();
        let v = m.expr(expr, &env)?;
        let g = m.as_gen(&v, expr.span)?;
        let run = m.run_gen(&g, Mode::Draw, expr.span)?;
        let mut named = Vec::new();
        name_leaves("", &run.trace, &mut named);
        Ok(named.into_iter().map(|(n, v)| (n, shape_of(&v))).collect())
    })())
}

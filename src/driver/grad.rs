//! `provi grad`: value and gradient of an objective at given parameters, with standard errors, in the declared
//! (constrained) parameters.

use super::Refusal;
use super::compile::{self, Backend};
use super::fault::{self, Step};
use super::model::{initial, memory, objective};
use super::session::{Session, param_shapes, scalar_names};
use crate::diagnostic::Diagnostic;
use crate::inference::gradient::gradient_estimate;
use crate::inference::summary::Estimate;
use crate::runtime::executable::{Array, Status, Stream, Values};
use crate::specialize::machine::Space;
use crate::specialize::programs;
use crate::syntax::tree::Expr;
use std::collections::HashMap;

/// Values by declared name or scalar name (`m`, `l[0]`).
pub type Settings = HashMap<String, Array>;

#[derive(Clone, Debug)]
pub struct GradOptions {
    pub seed: u64,
    pub samples: usize,
    pub particles: usize,
    pub settings: Settings,
    pub backend: Backend,
}

#[derive(Clone, Debug)]
pub struct GradReport {
    pub value: Estimate,
    pub samples: usize,
    pub gradient: Vec<(String, Estimate)>,
    /// What the objective `inspect`s, by name in order of first occurrence.
    pub inspected: Vec<(String, Inspected)>,
    /// The objective draws no random number: its value and gradient are exact.
    pub exact: bool,
    /// The part of the gradient's variance that each address' own noise makes.
    pub variance_by_site: Vec<(String, f64)>,
}

/// Values of an inspected expression over samples, loops and elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Inspected {
    pub mean: f64,
    pub sd: f64,
    pub min: f64,
    pub max: f64,
    /// How often it was evaluated.
    pub count: usize,
}

impl Inspected {
    const NONE: Inspected = Inspected { mean: 0.0, sd: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY, count: 0 };

    /// Takes one value in; `sd` holds the sum of squared deviations until [`Inspected::finished`].
    fn add(&mut self, x: f64) {
        self.count += 1;
        let d = x - self.mean;
        self.mean += d / self.count as f64;
        self.sd += d * (x - self.mean);
        self.min = self.min.min(x);
        self.max = self.max.max(x);
    }

    fn finished(self) -> Inspected {
        let n = self.count as f64;
        Inspected { sd: if self.count > 1 { (self.sd / (n - 1.0)).sqrt() } else { 0.0 }, ..self }
    }
}

/// Runs the inspected places on the same samples. NaN stands where a place was not reached.
fn inspected<'a>(
    session: &Session<'a>,
    expr: &'a Expr,
    options: &GradOptions,
    samples: usize,
) -> Result<Vec<(String, Inspected)>, Refusal> {
    let spec = programs::Options { space: Space::Constrained, particles: options.particles, params: Vec::new() };
    let Some(program) = programs::inspected(&session.bound, expr, &spec).map_err(|d| session.refuse(d))? else {
        return Ok(Vec::new());
    };
    let program = compile::value_only(program);
    let params = declared_values(session, &param_shapes(&program), &options.settings)?;
    let data = session.data_of(&program);
    let mut run = compile::executable(&program, &data, options.backend).map_err(|d| session.refuse(d))?;
    let mut out = vec![0.0; run.output_len()];
    let mut found: Vec<(String, Inspected)> = Vec::new();
    let memory = memory(session, &program, Space::Constrained)?;
    for step in 0..samples {
        let stream = Stream { seed: options.seed, step: u32::try_from(step).unwrap_or(u32::MAX) };
        run.step(&params, &memory.tuned, &memory.state, stream, &mut out);
        let mut at = 0;
        for (name, &atom) in program.outputs.iter().zip(&program.step.results) {
            let len = program.atom_type(atom).size();
            let k = found.iter().position(|(n, _)| n == name).unwrap_or_else(|| {
                found.push((name.clone(), Inspected::NONE));
                found.len() - 1
            });
            out[at..at + len].iter().filter(|x| !x.is_nan()).for_each(|&x| found[k].1.add(x));
            at += len;
        }
    }
    Ok(found.into_iter().map(|(n, i)| (n, i.finished())).collect())
}

/// The gradient of `expr`. A deterministic objective is evaluated once, with errors of zero.
pub fn run<'a>(session: &Session<'a>, expr: &'a Expr, options: &GradOptions) -> Result<GradReport, Refusal> {
    let found = objective(session, expr, Space::Constrained, options.particles, &[])?;
    let data = session.data_of(&found.program);
    let mut run = compile::executable(&found.program, &data, options.backend).map_err(|d| session.refuse(d))?;
    let params = declared_values(session, &found.params, &options.settings)?;
    let exact = !compile::is_random(&found.program);
    let samples = if exact { 1 } else { options.samples };
    let mut out = vec![0.0; run.output_len()];
    let n = params.len();
    let memory = memory(session, &found.program, Space::Constrained)?;
    let estimate = gradient_estimate(n, samples, options.seed, |stream, gradient| {
        let status = run.step(&params, &memory.tuned, &memory.state, stream, &mut out);
        gradient.copy_from_slice(&out[1..=n]);
        (out[0], status)
    })
    .map_err(|bad| {
        let what = match bad.status {
            Status::Domain => "an operation left its domain",
            Status::Fine | Status::Check(_) => "the value or gradient is not a number",
        };
        let message = format!("{what} (value {})", bad.value);
        let (params, tuned, state) = (&params[..], &memory.tuned[..], &memory.state[..]);
        let step = Step { params, tuned, state, stream: bad.stream, status: bad.status, value: bad.value };
        let program = fault::replayed(found.derived.clone());
        session.refuse(vec![
            fault::explained(session, "E0603", &message, &program, &step)
                .note(format!("sample {} with seed {} replays it", bad.stream.step, bad.stream.seed)),
        ])
    })?;
    let variance_by_site = if exact || samples < 2 {
        Vec::new()
    } else {
        super::variance::by_site(
            session,
            &found.derived,
            &found.addresses,
            &params,
            &memory,
            options.seed,
            options.backend,
        )?
    };
    let fix = |e: Estimate| if exact { Estimate { mean: e.mean, mcse: 0.0 } } else { e };
    let names = found.params.iter().flat_map(|(name, shape)| scalar_names(name, shape));
    Ok(GradReport {
        value: fix(estimate.value),
        samples,
        gradient: names.zip(estimate.gradient.into_iter().map(fix)).collect(),
        inspected: inspected(session, expr, options, samples)?,
        exact,
        variance_by_site,
    })
}

/// Declared initial values on the constrained scale, with the settings applied.
pub fn declared_values(
    session: &Session<'_>,
    params: &[(String, Vec<usize>)],
    settings: &Settings,
) -> Result<Vec<f64>, Refusal> {
    let names: Vec<String> = params.iter().map(|p| p.0.clone()).collect();
    let mut values = if names.is_empty() {
        Vec::new()
    } else {
        let free = initial(session, &names)?;
        let program = programs::constrained_params(&session.bound, &names).map_err(|d| session.refuse(d))?;
        if param_shapes(&program).iter().map(|p| &p.0).ne(&names) {
            return Err(session.refuse_with("E0690", "parameters of the objective and of their constraints differ"));
        }
        session.run_once(&program, &free, Stream { seed: 0, step: 0 })?
    };
    let mut used = Vec::new();
    let mut offset = 0;
    for (name, shape) in params {
        let len: usize = shape.iter().product();
        if let Some(array) = settings.get(name) {
            used.push(name.clone());
            let numbers = numbers(array);
            if numbers.len() != len {
                return Err(
                    session.refuse_with("E0523", format!("`{name}` has {len} numbers, {} were given", numbers.len()))
                );
            }
            values[offset..offset + len].copy_from_slice(&numbers);
        }
        for (k, scalar) in scalar_names(name, shape).into_iter().enumerate() {
            if let Some(array) = settings.get(&scalar)
                && scalar != *name
            {
                let numbers = numbers(array);
                let [x] = numbers[..] else {
                    return Err(session.refuse_with("E0523", format!("`{scalar}` is a single number")));
                };
                values[offset + k] = x;
                used.push(scalar);
            }
        }
        offset += len;
    }
    let mut unknown: Vec<&String> = settings.keys().filter(|k| !used.contains(k)).collect();
    unknown.sort();
    // A parameter file may hold more than this objective reads; a name that no parameter has is an error.
    let declared = session.checked.items.items.iter().filter_map(|e| match &e.item.kind {
        crate::syntax::tree::ItemKind::Param { name, .. } => Some(name.text.clone()),
        _ => None,
    });
    let declared: Vec<String> = declared.collect();
    for name in unknown {
        let root = name.split(['[', '.']).next().unwrap_or(name);
        if !declared.iter().any(|d| d == root) {
            return Err(session.refuse(vec![
                Diagnostic::bare("E0523", format!("there is no parameter `{name}`"))
                    .note(format!("the file declares {}", declared.join(", "))),
            ]));
        }
    }
    Ok(values)
}

fn numbers(array: &Array) -> Vec<f64> {
    match &array.values {
        Values::Real(v) => v.clone(),
        Values::Int(v) => v.iter().map(|&i| i as f64).collect(),
        Values::Bool(v) => v.iter().map(|&b| f64::from(u8::from(b))).collect(),
    }
}

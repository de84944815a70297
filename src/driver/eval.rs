//! `provi eval`: the value of an expression over a file's items.

use super::Refusal;
use super::compile;
use super::fault::{self, Step};
use super::grad::{Settings, declared_values};
use super::session::{Session, param_shapes};
use crate::inference::summary::Estimate;
use crate::runtime::executable::{Status, Stream};
use crate::specialize::machine::Space;
use crate::specialize::programs::{self, Options};
use crate::syntax::tree::Expr;

#[derive(Clone, Debug)]
pub struct EvalOptions {
    pub seed: u64,
    pub samples: usize,
    pub settings: Settings,
    pub backend: compile::Backend,
}

/// One named leaf of the value.
#[derive(Clone, Debug)]
pub struct Leaf {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: Vec<Estimate>,
}

#[derive(Clone, Debug)]
pub struct EvalReport {
    pub leaves: Vec<Leaf>,
    pub samples: usize,
    /// No random number was drawn.
    pub exact: bool,
}

/// Evaluates `expr`; if it draws, the mean over `samples` runs with its error.
pub fn run<'a>(session: &Session<'a>, expr: &'a Expr, options: &EvalOptions) -> Result<EvalReport, Refusal> {
    let spec = Options { space: Space::Constrained, particles: 1, params: Vec::new() };
    let program = programs::expression(&session.bound, expr, &spec).map_err(|d| session.refuse(d))?;
    let replayed = program.clone();
    let program = compile::value_only(program);
    let params = declared_values(session, &param_shapes(&program), &options.settings)?;
    let data = session.data_of(&program);
    let mut run = compile::executable(&program, &data, options.backend).map_err(|d| session.refuse(d))?;
    let memory = super::model::memory(session, &program, Space::Constrained)?;
    let exact = !compile::is_random(&program);
    let samples = if exact { 1 } else { options.samples.max(1) };
    let n = run.output_len();
    let mut out = vec![0.0; n];
    let mut mean = vec![0.0; n];
    let mut squares = vec![0.0; n];
    for step in 0..samples {
        let stream = Stream { seed: options.seed, step: u32::try_from(step).unwrap_or(u32::MAX) };
        let status = run.step(&params, &memory.tuned, &memory.state, stream, &mut out);
        if status != Status::Fine {
            let (tuned, state) = (&memory.tuned[..], &memory.state[..]);
            let step = Step { params: &params, tuned, state, stream, status, value: f64::NAN };
            let message = "an operation left its domain";
            return Err(session.refuse(vec![fault::explained(session, "E0603", message, &replayed, &step)]));
        }
        for ((x, m), s) in out.iter().zip(&mut mean).zip(&mut squares) {
            let d = x - *m;
            *m += d / (step + 1) as f64;
            *s += d * (x - *m);
        }
    }
    let count = samples as f64;
    let mut estimates = mean
        .iter()
        .zip(&squares)
        .map(|(&mean, s)| Estimate { mean, mcse: if exact { 0.0 } else { (s / (count - 1.0) / count).sqrt() } });
    let leaves = program
        .outputs
        .iter()
        .zip(&program.step.results)
        .map(|(name, &atom)| {
            let shape = program.atom_type(atom).shape;
            let len: usize = shape.iter().product();
            Leaf { name: name.clone(), shape, values: estimates.by_ref().take(len).collect() }
        })
        .collect();
    Ok(EvalReport { leaves, samples, exact })
}

//! `provi bench`: the time of each stage, and of a step with its optimiser update.

use super::Refusal;
use super::compile::{self, Backend};
use super::fit::PARTICLES;
use super::model::initial;
use super::session::{Session, check_file, param_shapes};
use crate::inference::optimise::Rule;
use crate::runtime::executable::{Array, Stream};
use crate::specialize::machine::Space;
use crate::specialize::programs::{self, Options};
use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

#[derive(Clone, Debug)]
pub struct BenchOptions {
    pub particles: Option<usize>,
    pub seconds: f64,
    pub backend: Backend,
}

#[derive(Clone, Debug, Default)]
pub struct BenchReport {
    pub read_ms: f64,
    pub check_ms: f64,
    pub compile_ms: f64,
    /// From the start of the process.
    pub first_gradient_ms: f64,
    pub step_us_p10: f64,
    pub step_us_median: f64,
    pub steps: usize,
    pub particles: usize,
}

/// Reads, checks and compiles the file's line, then times steps of Adam at rate 0.01 in blocks of about 2 ms: the 10th
/// percentile and the median over blocks. `started` is when the process began.
pub fn run(
    path: &Path,
    load: impl FnOnce(&crate::types::program::Checked) -> Result<HashMap<String, Array>, Refusal>,
    options: &BenchOptions,
    started: Instant,
) -> Result<BenchReport, Refusal> {
    let mut report = BenchReport::default();
    let ms = |from: Instant| from.elapsed().as_secs_f64() * 1e3;
    let begin = Instant::now();
    let (checked, _) = check_file(path).require()?;
    report.check_ms = ms(begin);
    let begin = Instant::now();
    let data = load(&checked)?;
    let session = Session::new(&checked, &data, checked.sources.clone())?;
    report.read_ms = ms(begin);
    let begin = Instant::now();
    let line = session.fit_line()?;
    let particles = match options.particles {
        Some(n) => n,
        None => session.particles(line, PARTICLES)?,
    };
    report.particles = particles;
    let spec = Options { space: Space::Unconstrained, particles, params: Vec::new() };
    let expr = session.objective_of(line);
    let sited = programs::objective(&session.bound, expr, &spec).map_err(|d| session.refuse(d))?;
    let derived = compile::derived(sited).map_err(|d| session.refuse(d))?;
    let program = compile::with_gradient(derived).map_err(|d| session.refuse(d))?;
    let arrays = session.data_of(&program);
    let mut step = compile::executable(&program, &arrays, options.backend).map_err(|d| session.refuse(d))?;
    report.compile_ms = ms(begin);
    let names: Vec<String> = param_shapes(&program).into_iter().map(|p| p.0).collect();
    let mut params = initial(&session, &names)?;
    let mut out = vec![0.0; step.output_len()];
    let memory = super::model::memory(&session, &program, Space::Unconstrained)?;
    step.step(&params, &memory.tuned, &memory.state, Stream { seed: 0, step: 0 }, &mut out);
    report.first_gradient_ms = ms(started);
    let n = params.len();
    let sign = if line.minimize { -1.0 } else { 1.0 };
    let mut adam = Rule::ADAM.start(n);
    let mut at: u32 = 1;
    let mut block = |count: usize| {
        let begin = Instant::now();
        for _ in 0..count {
            step.step(&params, &memory.tuned, &memory.state, Stream { seed: 0, step: at }, &mut out);
            at = at.wrapping_add(1);
            let gradient = &mut out[1..=n];
            if sign < 0.0 {
                gradient.iter_mut().for_each(|g| *g = -*g);
            }
            if gradient.iter().all(|g| g.is_finite()) {
                adam.ascend(&mut params, gradient, 0.01);
            }
        }
        begin.elapsed().as_secs_f64() / count as f64
    };
    let one = block(3).max(1e-8);
    let per_block = ((0.002 / one) as usize).clamp(1, 200_000);
    let mut times = Vec::new();
    let begin = Instant::now();
    while times.len() < 5 || begin.elapsed().as_secs_f64() < options.seconds {
        times.push(block(per_block) * 1e6);
        report.steps += per_block;
    }
    times.sort_by(f64::total_cmp);
    report.step_us_p10 = times[times.len() / 10];
    report.step_us_median = times[times.len() / 2];
    Ok(report)
}

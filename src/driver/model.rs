//! A fit's programs behind the one face that inference sees ([`Bound`]): objective step, log joint density, draws,
//! constrained parameters.

use super::Refusal;
use super::compile::{self, Backend};
use super::placed::{self, Placed};
use super::session::{Pair, Session, param_shapes, scalar_names};
use crate::diagnostic::Diagnostic;
use crate::inference::bound::{Bound, ParamBlock, ParamRole, QuantityName};
use crate::ir::core::{Program, Role};
use crate::runtime::executable::{Array, Executable, Status, Stream, Values};
use crate::specialize::machine::Space;
use crate::specialize::programs::{self, Options};
use crate::syntax::tree::{Expr, FitLine, ItemKind, TypeKind};
use crate::types::program::DerivedGuide;

/// Draws are made so many at a time.
const BATCH: usize = 1000;

/// A `fit` line ready to be fitted.
pub struct Model {
    blocks: Vec<ParamBlock>,
    initial: Vec<f64>,
    memory: Memory,
    objective: Box<dyn Executable>,
    /// -1 to minimise.
    sign: f64,
    particles: usize,
    /// Of the objective's program and its data; 0 unless it was asked for.
    pub(super) fingerprint: u64,
    outputs: Vec<f64>,
    epoch: usize,
    at_mode: bool,
    log_joint: Option<(Box<dyn Executable>, Vec<f64>)>,
    draws: Option<Drawing>,
    /// The same draws by blocks, of a Gaussian guide over many latents.
    placed: Option<Placed>,
    quantities: Vec<QuantityName>,
    constrained: Box<dyn Executable>,
    constrained_names: Vec<String>,
}

/// A compiled program of draws.
pub(super) struct Drawing {
    run: Box<dyn Executable>,
    outputs: Vec<f64>,
    /// Draws of one step.
    pub(super) batch: usize,
    /// (offset of the quantity's array, scalars per draw), in order; scalars that are reported.
    arrays: Vec<(usize, usize)>,
}

impl Drawing {
    /// The program with its data, and names of what it reports.
    pub(super) fn new(
        session: &Session<'_>,
        made: programs::Draws,
        batch: usize,
        backend: Backend,
    ) -> Result<(Drawing, Vec<QuantityName>), Refusal> {
        let program = compile::value_only(made.program);
        let data = session.data_of(&program);
        let run = compile::executable(&program, &data, backend).map_err(|d| session.refuse(d))?;
        let (mut arrays, mut names) = (Vec::new(), Vec::<QuantityName>::new());
        let mut offset = batch;
        for (name, shape, latent) in &made.quantities {
            let size: usize = shape.iter().product();
            // What a model returns under a latent's own name is the latent.
            if !names.iter().any(|q| q.name == *name || q.name.starts_with(&format!("{name}["))) {
                names.extend(scalar_names(name, shape).into_iter().map(|name| QuantityName { name, latent: *latent }));
                arrays.push((offset, size));
            }
            offset += batch * size;
        }
        let outputs = vec![0.0; run.output_len()];
        Ok((Drawing { run, outputs, batch, arrays }, names))
    }

    /// One step, of whose draws the first `count` are kept: rows of quantities, and weights.
    pub(super) fn step(
        &mut self,
        params: &[f64],
        first: usize,
        stream: Stream,
        count: usize,
        values: &mut [f64],
        weights: &mut [f64],
    ) {
        let state = [first as f64];
        let state: &[f64] = if self.run.state_len() == 1 { &state } else { &[] };
        let status = self.run.step(params, &[], state, stream, &mut self.outputs);
        let width: usize = self.arrays.iter().map(|a| a.1).sum();
        for d in 0..count {
            // A fault says not in which draw it was.
            weights[d] = if status == Status::Fine { self.outputs[d] } else { f64::NAN };
            let row = &mut values[d * width..(d + 1) * width];
            let mut at = 0;
            for &(offset, size) in &self.arrays {
                row[at..at + size].copy_from_slice(&self.outputs[offset + d * size..offset + (d + 1) * size]);
                at += size;
            }
        }
    }
}

/// Tuned parameters and states at their first values.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    pub tuned: Vec<f64>,
    pub state: Vec<f64>,
}

/// First values of what a program remembers and tunes: declared by its strategies, or by items of the file.
pub fn memory(session: &Session<'_>, program: &Program, space: Space) -> Result<Memory, Refusal> {
    let mut memory = Memory::default();
    for input in &program.inputs {
        let into = match input.role {
            Role::Tuned => &mut memory.tuned,
            Role::State => &mut memory.state,
            Role::Param | Role::Data => continue,
        };
        if let Some((_, values)) = program.initial.iter().find(|(v, _)| *v == input.var) {
            into.extend(values);
            continue;
        }
        if input.role == Role::State {
            into.extend(vec![0.0; program.ty(input.var).size()]);
            continue;
        }
        let name = [input.name.clone()];
        into.extend(match space {
            Space::Unconstrained => initial(session, &name)?,
            Space::Constrained => {
                // The whole item; what was asked for comes first.
                let made = programs::constrained_params(&session.bound, &name).map_err(|d| session.refuse(d))?;
                let leaves = made.inputs.iter().filter(|i| matches!(i.role, Role::Param | Role::Tuned));
                let free = initial(session, &leaves.map(|i| i.name.clone()).collect::<Vec<String>>())?;
                let data = session.data_of(&made);
                let mut run = compile::executable(&made, &data, Backend::Interpreter).map_err(|d| session.refuse(d))?;
                let mut out = vec![0.0; run.output_len()];
                let params: &[f64] = if run.param_len() == 0 { &[] } else { &free };
                let tuned: &[f64] = if run.tuned_len() == 0 { &[] } else { &free };
                run.step(params, tuned, &[], Stream { seed: 0, step: 0 }, &mut out);
                out.truncate(program.ty(input.var).size());
                out
            }
        });
    }
    Ok(memory)
}

/// What a fit line becomes before it is compiled: kept for timing and printing.
pub struct Objective {
    pub program: Program,
    /// Before it is differentiated.
    pub derived: Program,
    /// Addresses of its sites by the number of their draws.
    pub addresses: std::collections::BTreeMap<u32, String>,
    pub params: Vec<(String, Vec<usize>)>,
}

/// Names of the parameters that a line's programs read.
pub fn names_of<'a>(session: &Session<'a>, line: &'a FitLine) -> Result<Vec<String>, Refusal> {
    let options = Options { space: Space::Unconstrained, particles: 1, params: Vec::new() };
    let sited = programs::objective(&session.bound, session.objective_of(line), &options);
    let sited = sited.map_err(|d| session.refuse(d))?;
    Ok(param_shapes(&sited.program).into_iter().map(|p| p.0).collect())
}

/// The objective's program with its gradient. The named parameters are inputs whether or not they are read.
pub fn objective<'a>(
    session: &Session<'a>,
    expr: &'a Expr,
    space: Space,
    particles: usize,
    names: &[String],
) -> Result<Objective, Refusal> {
    let options = Options { space, particles, params: names.to_vec() };
    let sited = programs::objective(&session.bound, expr, &options).map_err(|d| session.refuse(d))?;
    let addresses = super::variance::addresses(&sited);
    let derived = compile::derived(sited).map_err(|d| session.refuse(d))?;
    let program = compile::with_gradient(derived.clone()).map_err(|d| session.refuse(d))?;
    let params = param_shapes(&program);
    Ok(Objective { program, derived, addresses, params })
}

impl Model {
    pub fn new<'a>(
        session: &Session<'a>,
        line: &'a FitLine,
        particles: usize,
        backend: Backend,
        names: &[String],
        marked: bool,
    ) -> Result<Model, Refusal> {
        let expr = session.objective_of(line);
        let found = objective(session, expr, Space::Unconstrained, particles, names)?;
        if found.params.is_empty() {
            return Err(session.refuse(vec![
                Diagnostic::error("E0522", line.span, "the objective depends on no parameter")
                    .fix("a guide needs `param`s; `mean_field(model())` makes its own"),
            ]));
        }
        let data = session.data_of(&found.program);
        let fingerprint = if marked { fingerprint(&found.program, &data) } else { 0 };
        let objective = compile::executable(&found.program, &data, backend).map_err(|d| session.refuse(d))?;
        let names: Vec<String> = found.params.iter().map(|p| p.0.clone()).collect();
        let pair = session.pair_of(&line.objective);
        let guide = pair.and_then(|p| session.derived_guide(p.guide));
        let trained = session.checked.trained.get(&line.id).map(Vec::as_slice);
        let blocks = blocks(session, &found.params, guide, trained);
        if !blocks.iter().any(|b| b.trained) {
            return Err(session.refuse(vec![
                Diagnostic::error(
                    "E0522",
                    line.span,
                    "the objective depends on none of the parameters it is trained over",
                )
                .fix("name parameters that it reads in `over`"),
            ]));
        }
        let other = blocks.iter().find(|b| b.role == ParamRole::Free);
        if let (Some(guide), Some(other)) = (guide.filter(|g| g.at_mode), other) {
            let message = format!("`{}` is a parameter, and with a guide at the mode nothing is trained", other.name);
            return Err(session.refuse(vec![
                Diagnostic::error("E0522", line.span, message)
                    .label(format!("`{}` stands at the mode", guide.name))
                    .fix("make it a latent with a prior, or use a guide that is trained, such as `full_rank`"),
            ]));
        }
        let initial = initial(session, &names)?;
        let constrained_program =
            programs::constrained_params(&session.bound, &names).map_err(|d| session.refuse(d))?;
        let mut constrained_names = Vec::new();
        for (name, &atom) in constrained_program.outputs.iter().zip(&constrained_program.step.results) {
            constrained_names.extend(scalar_names(name, &constrained_program.atom_type(atom).shape));
        }
        let data = session.data_of(&constrained_program);
        let constrained =
            compile::executable(&constrained_program, &data, Backend::Interpreter).map_err(|d| session.refuse(d))?;
        let log_joint = match guide {
            // An estimated density changes from draw to draw: there is nothing to go along.
            Some(guide) if guide.exact => Some(log_joint(session, guide, backend)?),
            Some(_) | None => None,
        };
        let (mut quantities, mut draws, mut placed) = (Vec::new(), None, None);
        if let Some(pair) = pair {
            let wide = guide.filter(|g| g.exact).and_then(|g| Some((g, placed::gaussian(&blocks)?)));
            let batch = if wide.is_some() { placed::COMPARED } else { BATCH };
            let (own, reported) = drawing(session, pair, &names, backend, batch)?;
            if let Some((guide, gaussian)) = wide {
                placed = Some(Placed::new(session, pair.model, guide, gaussian, backend)?);
            }
            (quantities, draws) = (reported, Some(own));
        }
        let outputs = vec![0.0; objective.output_len()];
        let memory = memory(session, &found.program, Space::Unconstrained)?;
        Ok(Model {
            blocks,
            initial,
            memory,
            objective,
            sign: if line.minimize { -1.0 } else { 1.0 },
            particles,
            fingerprint,
            outputs,
            epoch: compile::epoch(&found.program),
            at_mode: guide.is_some_and(|g| g.at_mode),
            log_joint,
            draws,
            placed,
            quantities,
            constrained,
            constrained_names,
        })
    }

    /// Whether draws by blocks were found to be the guide's own; `None` before that was asked, or without blocks.
    #[cfg(test)]
    pub(super) fn placed_agreed(&self) -> Option<bool> {
        self.placed.as_ref().and_then(Placed::agreed)
    }

    /// Starts from these constrained values instead (by scalar name, as a fit's `parameters`): returns names that are
    /// not parameters.
    pub fn initial_mut(&mut self) -> &mut Vec<f64> {
        &mut self.initial
    }
}

/// Changes with the program or its data (FNV-1a).
fn fingerprint(program: &Program, data: &[Array]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut mix = |word: u64| {
        for byte in word.to_le_bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    crate::ir::print::print(program).bytes().for_each(|b| mix(u64::from(b)));
    for array in data {
        array.shape.iter().for_each(|n| mix(*n as u64));
        match &array.values {
            Values::Real(v) => v.iter().for_each(|x| mix(x.to_bits())),
            Values::Int(v) => v.iter().for_each(|x| mix(*x as u64)),
            Values::Bool(v) => v.iter().for_each(|x| mix(u64::from(*x))),
        }
    }
    hash
}

/// Roles of a derived guide's parameters, by their declared types. A family without a location and a scale of the latents has none.
fn blocks(
    session: &Session<'_>,
    params: &[(String, Vec<usize>)],
    guide: Option<&DerivedGuide>,
    trained: Option<&[String]>,
) -> Vec<ParamBlock> {
    let mut roles: Vec<ParamRole> =
        guide.map(|g| g.params.iter().map(|p| role(session, p)).collect()).unwrap_or_default();
    let count = |kinds: &[ParamRole]| roles.iter().filter(|r| kinds.contains(r)).count();
    if count(&[ParamRole::Location]) == 1 && count(&[ParamRole::LogScale, ParamRole::CholeskyScale]) == 1 {
        let others = roles.iter_mut().filter(|r| **r == ParamRole::Free);
        others.for_each(|r| *r = ParamRole::Shape);
    } else {
        roles.clear();
    }
    let latents = roles.iter().position(|r| *r == ParamRole::Location).and_then(|k| {
        let name = &guide?.params[k];
        params.iter().find(|p| p.0 == *name).map(|p| p.1.clone())
    });
    let mut offset = 0;
    let mut blocks = Vec::new();
    for (name, shape) in params {
        let len: usize = shape.iter().product();
        let place = guide.and_then(|g| g.params.iter().position(|p| p == name));
        let mut role = place.and_then(|k| roles.get(k).copied()).unwrap_or(ParamRole::Free);
        if role == ParamRole::Shape
            && shape.len() == 2
            && latents.as_deref() == Some(&shape[..1])
            && shape[1] <= shape[0]
        {
            role = ParamRole::Loadings;
        }
        let root = name.split('.').next().unwrap_or(name);
        let trained = trained.is_none_or(|list| list.iter().any(|t| t == root));
        blocks.push(ParamBlock { name: name.clone(), offset, len, role, explicit: role == ParamRole::Free, trained });
        offset += len;
    }
    blocks
}

pub(super) fn role(session: &Session<'_>, name: &str) -> ParamRole {
    for entry in &session.checked.items.items {
        if let ItemKind::Param { name: n, ty, .. } = &entry.item.kind
            && n.text == name
            && let TypeKind::Named { name: kind, bounds, sizes, .. } = &ty.kind
            && sizes.len() == 1
        {
            return match (kind.text.as_str(), bounds) {
                ("real", None) => ParamRole::Location,
                ("real", Some(b)) if b.lower.is_some() && b.upper.is_none() => ParamRole::LogScale,
                ("cholesky_cov", _) => ParamRole::CholeskyScale,
                _ => ParamRole::Free,
            };
        }
    }
    ParamRole::Free
}

/// Declared initial values, unconstrained, in order of the names.
pub fn initial(session: &Session<'_>, names: &[String]) -> Result<Vec<f64>, Refusal> {
    let program = programs::initial_params(&session.bound, names).map_err(|d| session.refuse(d))?;
    session.run_once(&program, &[], Stream { seed: session.seed, step: 0 })
}

fn log_joint<'a>(
    session: &Session<'a>,
    guide: &'a DerivedGuide,
    backend: Backend,
) -> Result<(Box<dyn Executable>, Vec<f64>), Refusal> {
    let program = programs::log_joint(&session.bound, guide).map_err(|d| session.refuse(d))?;
    let program = compile::with_gradient(program).map_err(|d| session.refuse(d))?;
    let data = session.data_of(&program);
    let run = compile::executable(&program, &data, backend).map_err(|d| session.refuse(d))?;
    let outputs = vec![0.0; run.output_len()];
    Ok((run, outputs))
}

fn drawing<'a>(
    session: &Session<'a>,
    pair: Pair<'a>,
    names: &[String],
    backend: Backend,
    batch: usize,
) -> Result<(Drawing, Vec<QuantityName>), Refusal> {
    let options = Options { space: Space::Unconstrained, particles: 1, params: names.to_vec() };
    let made =
        programs::draws(&session.bound, pair.model, pair.guide, batch, &options).map_err(|d| session.refuse(d))?;
    if param_shapes(&made.program).iter().map(|p| &p.0).ne(names) {
        return Err(session.refuse_with("E0690", "the guide's draws need parameters that the objective does not have"));
    }
    Drawing::new(session, made, batch, backend)
}

impl Bound for Model {
    fn params(&self) -> &[ParamBlock] {
        &self.blocks
    }
    fn particles(&self) -> usize {
        self.particles
    }
    fn param_len(&self) -> usize {
        self.initial.len()
    }
    fn tuned_len(&self) -> usize {
        self.objective.tuned_len()
    }
    fn state_len(&self) -> usize {
        self.objective.state_len()
    }
    fn initial_params(&self) -> &[f64] {
        &self.initial
    }
    fn initial_tuned(&self) -> &[f64] {
        &self.memory.tuned
    }
    fn initial_state(&self) -> &[f64] {
        &self.memory.state
    }

    fn step(
        &mut self,
        params: &[f64],
        tuned: &[f64],
        state: &[f64],
        stream: Stream,
        gradient: &mut [f64],
        tuned_gradient: &mut [f64],
        next_state: &mut [f64],
    ) -> (f64, Status) {
        let status = self.objective.step(params, tuned, state, stream, &mut self.outputs);
        let n = gradient.len();
        for (g, &x) in gradient.iter_mut().zip(&self.outputs[1..=n]) {
            *g = self.sign * x;
        }
        // Value and gradient, then what is learnt and its gradient, then next states.
        let learnt = if tuned_gradient.is_empty() { n + 1 } else { n + 2 };
        let remembered = learnt + tuned_gradient.len();
        tuned_gradient.copy_from_slice(&self.outputs[learnt..remembered]);
        next_state.copy_from_slice(&self.outputs[remembered..remembered + next_state.len()]);
        (self.sign * self.outputs[0], status)
    }

    fn epoch(&self) -> usize {
        self.epoch
    }

    fn at_mode(&self) -> bool {
        self.at_mode
    }

    fn latent_len(&self) -> usize {
        self.log_joint.as_ref().map_or(0, |(run, _)| run.param_len())
    }

    fn log_joint(&mut self, latent: &[f64], gradient: &mut [f64]) -> (f64, Status) {
        let Some((run, outputs)) = &mut self.log_joint else { return (f64::NAN, Status::Domain) };
        let status = run.step(latent, &[], &[], Stream { seed: 0, step: 0 }, outputs);
        gradient.copy_from_slice(&outputs[1..=latent.len()]);
        (outputs[0], status)
    }

    fn quantities(&self) -> &[QuantityName] {
        &self.quantities
    }

    fn draws(
        &mut self,
        params: &[f64],
        stream: Stream,
        first: usize,
        count: usize,
        values: &mut [f64],
        log_weights: &mut [f64],
    ) -> bool {
        let Some(drawing) = &mut self.draws else { return false };
        let width = self.quantities.len();
        if let Some(placed) = &mut self.placed
            && placed.agrees(drawing, params, stream, width)
        {
            placed.draws(params, stream, first, count, values, log_weights);
            return true;
        }
        let mut done = 0;
        while done < count {
            let n = (count - done).min(drawing.batch);
            let rows = &mut values[done * width..(done + n) * width];
            drawing.step(params, first + done, stream, n, rows, &mut log_weights[done..done + n]);
            done += n;
        }
        true
    }

    fn constrained(&mut self, params: &[f64]) -> Vec<(String, f64)> {
        let mut out = vec![0.0; self.constrained.output_len()];
        self.constrained.step(params, &[], &[], Stream { seed: 0, step: 0 }, &mut out);
        self.constrained_names.iter().cloned().zip(out).collect()
    }
}

//! A [`Bound`] over a Gaussian guide and a target given by its log density and gradient.

use super::targets::Target;
use crate::inference::bound::{Bound, ParamBlock, ParamRole, QuantityName};
use crate::inference::dense;
use crate::inference::noise::Noise;
use crate::inference::whiten;
use crate::runtime::executable::{Status, Stream};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Family {
    MeanField,
    FullRank,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Estimator {
    /// Total derivative of the ELBO's integrand.
    Pathwise,
    /// Path derivative: the guide's own density with parameters held.
    Sticking,
}

pub(super) struct Guide<T> {
    pub(super) target: T,
    family: Family,
    estimator: Estimator,
    particles: usize,
    blocks: Vec<ParamBlock>,
    initial: Vec<f64>,
    derived: bool,
    names: Vec<QuantityName>,
    pub(super) calls: usize,
}

impl<T: Target> Guide<T> {
    /// A derived guide: location 0, scale 1.
    pub(super) fn derived(target: T, family: Family, estimator: Estimator, particles: usize) -> Guide<T> {
        let n = target.dim();
        let mut guide = Guide::by_hand(target, family, estimator, particles, vec![0.0; n], vec![1.0; n]);
        guide.derived = true;
        guide.blocks[0].role = ParamRole::Location;
        guide.blocks[1].role = match family {
            Family::MeanField => ParamRole::LogScale,
            Family::FullRank => ParamRole::CholeskyScale,
        };
        guide
    }

    /// A guide by hand: parameters of no known role, with their own start.
    pub(super) fn by_hand(
        target: T,
        family: Family,
        estimator: Estimator,
        particles: usize,
        location: Vec<f64>,
        scale: Vec<f64>,
    ) -> Guide<T> {
        let n = target.dim();
        let mut initial = location;
        match family {
            Family::MeanField => initial.extend(scale.iter().map(|s| s.ln())),
            Family::FullRank => {
                for (i, s) in scale.iter().enumerate() {
                    initial.extend(std::iter::repeat_n(0.0, i));
                    initial.push(s.ln());
                }
            }
        }
        let block = |name: &str, offset, len| ParamBlock {
            name: name.to_string(),
            offset,
            len,
            role: ParamRole::Free,
            explicit: false,
            trained: true,
        };
        let names = target.names().into_iter().map(|name| QuantityName { name, latent: true }).collect();
        Guide {
            blocks: vec![block("location", 0, n), block("scale", n, initial.len() - n)],
            target,
            family,
            estimator,
            particles,
            initial,
            derived: false,
            names,
            calls: 0,
        }
    }

    fn factor(&self, params: &[f64]) -> Vec<f64> {
        let n = self.target.dim();
        match self.family {
            Family::FullRank => whiten::unpack_lower(&params[n..], n),
            Family::MeanField => {
                let mut l = vec![0.0; n * n];
                (0..n).for_each(|i| l[i * n + i] = params[n + i].exp());
                l
            }
        }
    }
}

fn stream_noise(stream: Stream, index: usize) -> Noise {
    Noise::new(stream.seed ^ (u64::from(stream.step) << 24), 77 + index as u64)
}

impl<T: Target> Bound for Guide<T> {
    fn params(&self) -> &[ParamBlock] {
        &self.blocks
    }
    fn param_len(&self) -> usize {
        self.initial.len()
    }
    fn tuned_len(&self) -> usize {
        0
    }
    fn state_len(&self) -> usize {
        0
    }
    fn initial_params(&self) -> &[f64] {
        &self.initial
    }
    fn initial_tuned(&self) -> &[f64] {
        &[]
    }
    fn initial_state(&self) -> &[f64] {
        &[]
    }

    fn step(
        &mut self,
        params: &[f64],
        _tuned: &[f64],
        _state: &[f64],
        stream: Stream,
        gradient: &mut [f64],
        _tuned_gradient: &mut [f64],
        _next_state: &mut [f64],
    ) -> (f64, Status) {
        self.calls += 1;
        let n = self.target.dim();
        let l = self.factor(params);
        let log_det: f64 = (0..n).map(|i| l[i * n + i].ln()).sum();
        gradient.fill(0.0);
        let mut noise = stream_noise(stream, 0);
        let (mut e, mut z, mut g, mut value) = (vec![0.0; n], vec![0.0; n], vec![0.0; n], 0.0);
        let weight = 1.0 / self.particles as f64;
        for _ in 0..self.particles {
            e.iter_mut().for_each(|v| *v = noise.normal());
            z.copy_from_slice(&params[..n]);
            dense::add_lower_product(&l, n, &e, &mut z);
            let log_joint = self.target.log_joint(&z, &mut g);
            let log_guide = -0.5 * dense::dot(&e, &e) - log_det - 0.5 * n as f64 * std::f64::consts::TAU.ln();
            value += weight * (log_joint - log_guide);
            let entropy = match self.estimator {
                Estimator::Pathwise => weight,
                Estimator::Sticking => {
                    let mut own = e.clone();
                    dense::solve_lower_transposed(&l, n, &mut own);
                    g.iter_mut().zip(&own).for_each(|(a, b)| *a += b);
                    0.0
                }
            };
            let mut next = n;
            for i in 0..n {
                gradient[i] += weight * g[i];
                let first = if self.family == Family::FullRank { 0 } else { i };
                for (j, e) in e.iter().enumerate().take(i + 1).skip(first) {
                    gradient[next] += weight * g[i] * e * if i == j { l[i * n + i] } else { 1.0 };
                    gradient[next] += if i == j { entropy } else { 0.0 };
                    next += 1;
                }
            }
        }
        (value, Status::Fine)
    }

    fn latent_len(&self) -> usize {
        if self.derived { self.target.dim() } else { 0 }
    }

    fn log_joint(&mut self, latent: &[f64], gradient: &mut [f64]) -> (f64, Status) {
        self.calls += 1;
        (self.target.log_joint(latent, gradient), Status::Fine)
    }

    fn quantities(&self) -> &[QuantityName] {
        &self.names
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
        let n = self.target.dim();
        let l = self.factor(params);
        let log_det: f64 = (0..n).map(|i| l[i * n + i].ln()).sum();
        let width = self.names.len();
        let (mut z, mut g) = (vec![0.0; n], vec![0.0; n]);
        for draw in 0..count {
            let mut noise = stream_noise(stream, first + draw);
            let e: Vec<f64> = (0..n).map(|_| noise.normal()).collect();
            z.copy_from_slice(&params[..n]);
            dense::add_lower_product(&l, n, &e, &mut z);
            let log_joint = self.target.log_joint(&z, &mut g);
            let log_guide = -0.5 * dense::dot(&e, &e) - log_det - 0.5 * n as f64 * std::f64::consts::TAU.ln();
            log_weights[draw] = log_joint - log_guide;
            self.target.report(&z, &mut values[draw * width..(draw + 1) * width]);
        }
        true
    }

    fn constrained(&mut self, params: &[f64]) -> Vec<(String, f64)> {
        params.iter().enumerate().map(|(i, v)| (format!("p[{i}]"), *v)).collect()
    }
}

//! Draws of a Gaussian guide over many latents, block by block: noise times the factor is one matrix product for a block of draws, and
//! no density needs a triangular solution. Its parameters say what the guide looks like, not that it is Gaussian, so the first draws are
//! compared with those of the guide's own program; where values or weights differ, that goes on alone.
//! Invariant: draws are those of the guide's own program, up to rounding.

use super::Refusal;
use super::compile::Backend;
use super::model::Drawing;
use super::session::Session;
use crate::inference::bound::{ParamBlock, ParamRole};
use crate::inference::whiten::{gaussian_blocks, unpack_lower};
use crate::runtime::executable::Stream;
use crate::runtime::gemm::{Strides, gemm};
use crate::runtime::random::normal_strip;
use crate::specialize::programs;
use crate::syntax::tree::Expr;
use crate::types::program::DerivedGuide;

/// Latents from which on blocks are worth a program of their own.
const MANY: usize = 64;
/// Draws that are compared; a step of the guide's own program then makes so many.
pub(super) const COMPARED: usize = 50;
/// Draws of a block.
const BLOCK: usize = 250;
/// Relative difference that rounding explains: of two ways to a density of many latents, one of them by a solution.
const ROUNDING: f64 = 1e-7;

/// Where a full Gaussian's location and factor stand among the parameters.
#[derive(Clone, Copy)]
pub(super) struct Gaussian {
    n: usize,
    location: usize,
    factor: usize,
}

/// Of parameters that look like a full Gaussian's over many latents, and of nothing else.
pub(super) fn gaussian(blocks: &[ParamBlock]) -> Option<Gaussian> {
    let (location, scale) = gaussian_blocks(blocks)?;
    let n = location.len;
    let fits = scale.role == ParamRole::CholeskyScale && n >= MANY && blocks.len() == 2;
    fits.then_some(Gaussian { n, location: location.offset, factor: scale.offset })
}

pub(super) struct Placed {
    at: Drawing,
    gaussian: Gaussian,
    /// Whether the guide's own draws were met, once that was asked.
    agreed: Option<bool>,
    /// The factor, row-major `[n, n]`, half its log determinant, and the parameters that it is of.
    factor: Vec<f64>,
    log_det: f64,
    params: Vec<f64>,
    noise: Vec<f64>,
    points: Vec<f64>,
}

impl Placed {
    pub(super) fn new<'a>(
        session: &Session<'a>,
        model: &'a Expr,
        guide: &'a DerivedGuide,
        gaussian: Gaussian,
        backend: Backend,
    ) -> Result<Placed, Refusal> {
        let made = programs::draws_at(&session.bound, model, guide, BLOCK).map_err(|d| session.refuse(d))?;
        let (at, _) = Drawing::new(session, made, BLOCK, backend)?;
        let room = vec![0.0; BLOCK * gaussian.n];
        let (factor, params) = (Vec::new(), Vec::new());
        Ok(Placed { at, gaussian, agreed: None, factor, log_det: 0.0, params, noise: room.clone(), points: room })
    }

    #[cfg(test)]
    pub(super) fn agreed(&self) -> Option<bool> {
        self.agreed
    }

    /// Whether these draws are those of the guide's own program, by its first ones at the first parameters.
    pub(super) fn agrees(&mut self, own: &mut Drawing, params: &[f64], stream: Stream, width: usize) -> bool {
        if let Some(agreed) = self.agreed {
            return agreed;
        }
        let room = || (vec![0.0; COMPARED * width], vec![0.0; COMPARED]);
        let ((mut theirs, mut their_weights), (mut ours, mut our_weights)) = (room(), room());
        own.step(params, 0, stream, COMPARED, &mut theirs, &mut their_weights);
        self.draws(params, stream, 0, COMPARED, &mut ours, &mut our_weights);
        let near = |a: &f64, b: &f64| {
            a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()) || (a - b).abs() <= ROUNDING * (1.0 + a.abs())
        };
        let agreed = theirs.iter().zip(&ours).all(|(a, b)| near(a, b))
            && their_weights.iter().zip(&our_weights).all(|(a, b)| near(a, b));
        self.agreed = Some(agreed);
        agreed
    }

    pub(super) fn draws(
        &mut self,
        params: &[f64],
        stream: Stream,
        first: usize,
        count: usize,
        values: &mut [f64],
        weights: &mut [f64],
    ) {
        let Gaussian { n, location, factor } = self.gaussian;
        if self.params != params {
            self.params = params.to_vec();
            let packed = &params[factor..factor + n * (n + 1) / 2];
            self.factor = unpack_lower(packed, n);
            self.log_det = (0..n).map(|i| self.factor[i * n + i].ln()).sum();
        }
        let constant = self.log_det + 0.5 * n as f64 * std::f64::consts::TAU.ln();
        let width = values.len() / count.max(1);
        let mut done = 0;
        while done < count {
            let made = (count - done).min(BLOCK);
            normal_strip(stream, 0, ((first + done) * n) as u64, &mut self.noise[..made * n]);
            self.points.chunks_exact_mut(n).for_each(|row| row.copy_from_slice(&params[location..location + n]));
            let rows = Strides::row_major(n);
            // All rows of a block, so that a draw does not depend on which others are made with it.
            gemm((BLOCK, n, n), &self.noise, rows, &self.factor, rows.transposed(), true, &mut self.points, rows);
            let out = &mut weights[done..done + made];
            let rows = &mut values[done * width..(done + made) * width];
            self.at.step(&self.points, 0, stream, made, rows, out);
            for (weight, e) in out.iter_mut().zip(self.noise.chunks_exact(n)) {
                *weight += 0.5 * e.iter().map(|e| e * e).sum::<f64>() + constant;
            }
            done += made;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::model::Model;
    use crate::driver::session::check_text;
    use crate::inference::bound::Bound;
    use std::collections::HashMap;

    const MODEL: &str = "\
model wide() {
  tau ~ lognormal(0, 1)
  for i in 0..70 { x[i] ~ normal(0, tau) }
  w ~ dirichlet(ones(4))
  { total: sum(x) }
}
guide q = FAMILY(wide())
fit elbo(wide(), q)
";
    const HEAVY: &str = "\
family heavy[n](location: real[n] = zeros(n), scale: cholesky_cov[n] = identity(n)) =
  multi_student_t(5, location, scale @ transpose(scale))
";

    /// Draws by blocks and one by one, and whether blocks were trusted.
    fn drawn(text: &str) -> (Vec<f64>, Vec<f64>, Option<bool>) {
        let (checked, _) = check_text("wide.ppl", text).require().map_err(|r| format!("{r:?}")).unwrap();
        let session = Session::new(&checked, &HashMap::new(), checked.sources.clone()).unwrap();
        let line = session.fit_line().unwrap();
        let mut model = Model::new(&session, line, 1, Backend::Machine { threads: 1 }, &[], false).unwrap();
        let start = model.initial_params().iter().enumerate();
        let params: Vec<f64> = start.map(|(i, x)| x + 0.1 * (7.0 * i as f64).sin()).collect();
        let width = model.quantities().len() + 1;
        let mut draw = |count: usize, first: usize| {
            let (mut values, mut weights) = (vec![0.0; count * (width - 1)], vec![0.0; count]);
            let stream = Stream { seed: 3, step: 7 };
            assert!(model.draws(&params, stream, first, count, &mut values, &mut weights));
            weights.extend(values);
            weights
        };
        let (many, one) = (draw(300, 0), draw(1, 299));
        // The last of many, weight first.
        let mut last = vec![many[299]];
        last.extend(&many[many.len() - (width - 1)..]);
        (last, one, model.placed_agreed())
    }

    #[test]
    fn blocks_are_the_guides_own_draws() {
        let (last, one, trusted) = drawn(&MODEL.replace("FAMILY", "full_rank"));
        assert_eq!(trusted, Some(true));
        assert_eq!(last, one);
    }

    #[test]
    fn another_distribution_of_the_same_parameters_is_noticed() {
        let (last, one, trusted) = drawn(&format!("{HEAVY}{}", MODEL.replace("FAMILY", "heavy")));
        assert_eq!(trusted, Some(false));
        assert_eq!(last, one);
    }
}

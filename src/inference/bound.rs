//! What inference sees of a program whose data are bound.

use crate::runtime::executable::{Status, Stream};

/// How a flat run of parameters is used; decides whitening.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParamRole {
    /// `location[n]` of a derived guide over the `n` unconstrained latents.
    Location,
    /// Log scales `[n]` of a derived mean-field guide (trained as logs).
    LogScale,
    /// Lower-triangular scale of a derived full-rank guide in its unconstrained form: row-major packed lower triangle,
    /// n(n+1)/2 numbers, the diagonal as logs.
    CholeskyScale,
    /// Of a derived guide that has a location and a scale beside it: `[n, k]`, what each of `k` common factors adds to a latent.
    Loadings,
    /// Any other of a derived guide that has a location and a scale beside it: what bends it.
    Shape,
    /// Any other.
    Free,
}

/// A named block of the flat vector of unconstrained parameters.
#[derive(Clone, Debug)]
pub struct ParamBlock {
    /// As declared, e.g. `q_location`.
    pub name: String,
    pub offset: usize,
    pub len: usize,
    pub role: ParamRole,
    /// The user wrote an `init`: a start of ours would override it, so none is made for this block.
    pub explicit: bool,
    /// This line trains it; else it keeps its value.
    pub trained: bool,
}

/// One reported scalar: a latent or a returned value on its constrained scale.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QuantityName {
    /// `mu`, `theta[0]`, `b[1,2]`.
    pub name: String,
    /// A latent of the model (else a returned value).
    pub latent: bool,
}

/// A program ready to be fitted: pure functions of their arguments. Implemented over `Executable`s by `driver/`.
pub trait Bound: Send {
    fn params(&self) -> &[ParamBlock];
    /// Draws of the objective in one step.
    fn particles(&self) -> usize {
        1
    }
    fn param_len(&self) -> usize;
    fn tuned_len(&self) -> usize;
    fn state_len(&self) -> usize;
    /// Declared initial values, unconstrained; `true` per block if the user wrote an explicit `init`.
    fn initial_params(&self) -> &[f64];
    fn initial_tuned(&self) -> &[f64];
    fn initial_state(&self) -> &[f64];

    /// The objective at `params` (to be maximised; a file's `minimize` is negated by the driver) and its gradient:
    /// an unbiased estimate with the file's (or default) number of particles. Pure in its arguments.
    #[expect(clippy::too_many_arguments, reason = "the pure step of the design: all it reads and all it writes")]
    fn step(
        &mut self,
        params: &[f64],
        tuned: &[f64],
        state: &[f64],
        stream: Stream,
        gradient: &mut [f64],
        tuned_gradient: &mut [f64],
        next_state: &mut [f64],
    ) -> (f64, Status);

    /// Steps after which each row of a subsampled plate was seen: the mean over so many steps, from a multiple of them on, is
    /// that of all rows. 1 without such plates.
    fn epoch(&self) -> usize {
        1
    }

    /// The guide stands at the posterior's mode, with the curvature there: nothing is trained.
    fn at_mode(&self) -> bool {
        false
    }

    /// Number of unconstrained latents of the model, when the guide is derived; 0 if there is no path start.
    fn latent_len(&self) -> usize;
    /// log joint density of the model at unconstrained latents (log Jacobian included) and its gradient.
    fn log_joint(&mut self, latent: &[f64], gradient: &mut [f64]) -> (f64, Status);

    /// What `draws` reports per draw.
    fn quantities(&self) -> &[QuantityName];
    /// Draws from the guide at `params`: for draw `d` of `count` (index `first + d` of the stream) writes its
    /// quantities to `values[d * quantities().len() ..]`, and log p(x, y) - log q(x) to `log_weights[d]`.
    /// Returns false if the objective has no model/guide pair (then there are no draws to report).
    fn draws(
        &mut self,
        params: &[f64],
        stream: Stream,
        first: usize,
        count: usize,
        values: &mut [f64],
        log_weights: &mut [f64],
    ) -> bool;
    /// Constrained values of the declared parameters, named as scalars (`m`, `l[0]`), for reports.
    fn constrained(&mut self, params: &[f64]) -> Vec<(String, f64)>;
}

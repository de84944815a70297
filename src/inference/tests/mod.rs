//! Fits of hand-written programs: what the compiler provides is replaced by a few lines of Rust per model.

mod going_on;
mod guides;
mod models;
mod posteriors;
mod robustness;
mod targets;

use super::bound::Bound;
use super::fit::{Config, Line, Observer, Outcome, Stopped};

/// One line with the default optimiser.
fn fit(bound: &mut dyn Bound, config: &Config, observer: &mut dyn Observer) -> Result<Outcome, Stopped> {
    super::fit::fit(vec![Line { bound, optimiser: None }], config, observer)
}

//! Inference: starts, optimisers, stopping, diagnostics, summaries. It sees a program only through [`bound::Bound`].
//! [`fit::fit`] is the whole; [`gradient::gradient_estimate`] serves single gradients.

pub mod bound;
pub mod fit;
pub mod gradient;
pub mod optimise;
pub mod psis;
pub mod saved;
pub mod summary;
pub mod verdict;

mod average;
mod dense;
mod fixed_point;
mod newton;
mod noise;
mod path;
mod quasi_newton;
mod stop;
mod structure;
mod train;
mod trainer;
pub(crate) mod whiten;

#[cfg(test)]
mod tests;

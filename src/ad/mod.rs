//! Differentiation of Core: reverse mode ([`reverse`]) and forward mode ([`forward`]), both from one table of partial
//! derivatives ([`rules`]).
//!
//! Invariants: input and output are valid Core without sites; draws, ints and bools are constants; `stop` cuts; only
//! what depends on a differentiated input gets an adjoint ([`activity`]); an operation without derivative that does
//! depend on one is an [`AdError`], never a number.

pub mod activity;
pub mod rules;

mod contribution;
mod linear;
pub mod reverse;

pub mod forward;

mod eager;
mod sequential;

pub use forward::forward;
pub use reverse::{Options, gradient, reverse, reverse_output, reverse_with};

/// Why a program cannot be differentiated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdError {
    pub message: String,
}

impl AdError {
    pub(crate) fn new(message: impl Into<String>) -> AdError {
        AdError { message: message.into() }
    }
}

impl std::fmt::Display for AdError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for AdError {}

#[cfg(test)]
pub(crate) mod tests;

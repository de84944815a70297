//! Variable elimination over regions of Core whose random variables have finite support: what a term reads of them, how
//! a definition is followed backwards under a choice of indices and values ([`pull`]), and the elimination of the
//! variables from a sum of terms ([`engine`]): to the mean of the sum, or to the log of the sum of its exponential.
//!
//! Invariants: counters of draws are copied, never changed; no term is evaluated at more than [`JOINT_LIMIT`] joint
//! assignments of what it reads, and no table has more than [`TABLE_LIMIT`] entries.

pub mod chain;
pub mod definitions;
pub mod elements;
pub mod engine;
pub mod factor;
pub mod fresh;
pub mod overrides;
pub mod plate;
pub mod pull;
pub mod region;
mod results;
pub mod step;
pub mod terms;
pub mod tree;
pub mod values;
pub mod variable;

#[cfg(test)]
mod tests;

/// The most assignments a single term may be evaluated at jointly.
pub const JOINT_LIMIT: usize = 4096;
/// The most entries of a table of one elimination step.
pub const TABLE_LIMIT: usize = 1 << 20;

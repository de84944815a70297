//! Provi: a probabilistic programming language with programmable variational inference.
//!
//! The rooms, in dependency order; a room uses only those before it.

pub mod base;
pub mod diagnostic;
pub mod estimate;
pub mod inference;
pub mod ir;
pub mod lower;
pub mod runtime;
pub mod specialize;
pub mod syntax;
pub mod types;
pub mod ad;
pub mod opt;

//! Provi: a probabilistic programming language with programmable variational inference.
//!
//! The rooms, in dependency order; a room uses only those before it.

pub mod base;
pub mod diagnostic;
pub mod runtime;
pub mod syntax;
pub mod types;
pub mod ir;
pub mod eliminate;
pub mod specialize;
pub mod estimate;
pub mod ad;
pub mod opt;
pub mod lower;
pub mod codegen;
pub mod inference;
pub mod data;
pub mod driver;
pub mod cli;

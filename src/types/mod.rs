//! Checking: from syntax trees to a program whose names, types, sizes, smoothness, supports and trace types are right,
//! with the decisions that later stages must not make again. Collects many errors; never stops at one.
//!
//! It is an abstract interpreter: every item is evaluated on [`value`]s that say what is known before data are bound, alone
//! and where a `fit` or `test` applies it.

pub mod address;
pub mod annotation;
pub mod block;
pub mod branch;
pub mod call;
pub mod check;
pub mod child;
pub mod combinator;
pub mod condition;
pub mod context;
pub mod derived;
pub mod estimates;
pub mod enumerated;
pub mod expression;
pub mod fitting;
pub mod foreign;
pub mod generative;
pub mod leaves;
pub mod gradient;
pub mod library;
pub mod load;
pub mod memory;
pub mod native;
pub mod operator;
pub mod optimiser;
pub mod particles;
pub mod plate;
pub mod poly;
pub mod print;
pub mod probability;
pub mod program;
pub mod property;
pub mod reads;
pub mod scoring;
pub mod strategy;
pub mod tiling;
pub mod value;

#[cfg(test)]
mod tests;

pub use check::{check, check_with_command, check_with_sources, print_types};
pub use load::{Alone, Command, World, load};

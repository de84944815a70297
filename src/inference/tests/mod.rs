//! Fits of hand-written programs: what the compiler provides is replaced by a few lines of Rust per model.

mod guides;
mod models;
mod posteriors;
mod robustness;
mod targets;

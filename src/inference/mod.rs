//! Inference: starts, optimisers, stopping, diagnostics, summaries. It sees a program only through [`bound::Bound`].

pub mod bound;

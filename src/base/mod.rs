//! What every room may use: spans in source files, and sets of numbers that have names.
//! Invariant: nothing here knows of syntax, types or Core.

pub mod constraint;
pub mod source;

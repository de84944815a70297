//! What every room may use: spans in source files, sets of numbers that have names, fast maps, nearest names.
//! Invariant: nothing here knows of syntax, types or Core.

pub mod constraint;
pub mod hash;
pub mod names;
pub mod source;

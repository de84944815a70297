//! What every room may use: spans in source files, and nearest names.
//! Invariant: nothing here knows of syntax, types or Core.

pub mod names;
pub mod source;

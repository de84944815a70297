//! What every room may use: spans in source files, typed indices and fast maps.
//! Invariant: nothing here knows of syntax, types or Core.

pub mod hash;
pub mod source;

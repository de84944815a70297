//! What every room may use: spans in source files and typed indices.
//! Invariant: nothing here knows of syntax, types or Core.

pub mod source;

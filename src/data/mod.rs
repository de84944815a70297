//! Data: files to the arrays that a program's `data` items declare.
//!
//! [`load`](load::load) reads files without knowing the program (JSON in Stan's layout, CSV, numbers from the command
//! line); [`bind`](bind::bind) matches them with declarations and checks types, shapes, bounds and missing values. Every
//! error names the variable, what was expected and what was found.

pub mod bind;
pub mod csv;
pub mod declare;
pub mod json;
pub mod load;
pub mod raw;

pub use bind::{Bound, Declaration, Scalar, Shape, bind};
pub use declare::bind_program;
pub use load::{default_path, load};
pub use raw::RawData;

#[cfg(test)]
mod tests;

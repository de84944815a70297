//! Reading: text to a syntax tree with spans. `grammar/provi.pest` is the grammar of record.
//! Invariant: no input panics; every item with a syntax error is reported and the others are still returned.

mod build;
pub mod explain;
pub mod layout;
pub mod lexer;
pub mod parser;
pub mod print;
pub mod tree;

#[cfg(test)]
mod tests;

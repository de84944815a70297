//! Core, the compiler's middle language: definition, printer, parser, validator and interpreter.
//! The interpreter is the semantics; machine code must agree with it bit for bit.

pub mod builder;
pub mod core;
pub mod generate;
pub mod interpret;
pub mod op;
pub mod kernel;
pub mod parse;
pub mod print;
pub mod validate;
pub mod walk;

//! A program that can be run, as the rooms above see it. The interpreter and the code generator both provide
//! [`Executable`]; they agree bit for bit.

/// Data bound to a program's input: row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub shape: Vec<usize>,
    pub values: Values,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    Real(Vec<f64>),
    Int(Vec<i64>),
    Bool(Vec<bool>),
}

impl Array {
    pub fn real(shape: impl Into<Vec<usize>>, values: Vec<f64>) -> Array {
        Array { shape: shape.into(), values: Values::Real(values) }
    }
    pub fn int(shape: impl Into<Vec<usize>>, values: Vec<i64>) -> Array {
        Array { shape: shape.into(), values: Values::Int(values) }
    }
}

/// Where a step's random numbers come from. A draw depends on these, its site and its index alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stream {
    pub seed: u64,
    pub step: u32,
}

/// How a step ended. The outputs are written in any case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    Fine,
    /// Check `n` of `Program::checks` failed (the first in program order).
    Check(u32),
    /// An index out of bounds, a division of ints by zero, a Cholesky pivot that is not positive.
    Domain,
}

/// A Core program with its data bound: `setup` has run.
pub trait Executable: Send {
    /// Length of the flat vector of parameters, tuned parameters, states: inputs of that role in order, concatenated.
    fn param_len(&self) -> usize;
    fn tuned_len(&self) -> usize;
    fn state_len(&self) -> usize;
    /// Length of the outputs: `step.results` in order, concatenated; ints and bools as reals.
    fn output_len(&self) -> usize;
    /// One step. Slices have the lengths above. Allocates nothing when compiled.
    fn step(&mut self, params: &[f64], tuned: &[f64], state: &[f64], stream: Stream, outputs: &mut [f64]) -> Status;
}

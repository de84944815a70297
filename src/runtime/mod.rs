//! What programs need when they run: random numbers, vector-math kernels, linear algebra, the thread pool; and the
//! traits by which `inference/` sees a program, whoever runs it (interpreter or machine code).
//!
//! Every numerical result here is a function of its operands alone: it depends neither on the position of an element
//! in an array, nor on the width of vectors, nor on threads. Only the presence of fused multiply-add, fixed for a
//! process, may change bits.

pub mod executable;
pub mod feistel;
pub mod gemm;
pub mod kernel;
pub mod level;
pub mod linear;
pub mod pool;
pub mod random;
pub mod rows;
pub mod update;

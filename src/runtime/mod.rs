//! What programs need when they run: random numbers, vector-math kernels, linear algebra, the thread pool; and the
//! traits by which `inference/` sees a program, whoever runs it (interpreter or machine code).

pub mod executable;

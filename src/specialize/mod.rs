//! Specialisation: a checked program, bound data and an objective to Core with sites, by partial evaluation in direct
//! style. Functions, distributions and generative functions are gone after it; sampling remains as a statement.

pub mod sites;

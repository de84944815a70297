//! Specialisation: a checked program, bound data and an objective to Core with sites, by partial evaluation in direct
//! style. Functions, distributions and generative functions are gone after it; sampling remains as a statement.
//!
//! Before: `for j in 0..J { theta[j] ~ normal(mu, tau) by reparam }`. After: `for j<8 { theta = sample#3 …; … } yield
//! collect theta, sum lp`, with the site's distribution and strategy in a table beside the program.

pub mod bind;
pub mod programs;
pub mod sites;

mod address;
mod array;
mod branch;
mod call;
mod clause;
mod combinator;
mod dist;
mod enumerated;
mod expr;
mod fold;
mod generative;
pub mod gradient;
mod inside;
mod inspect;
mod loops;
pub mod machine;
mod memory;
mod native;
mod param;
mod particles;
mod product;
mod scan;
mod shots;
mod site;
pub mod strategy;
mod structure;
mod terms;
mod types;
pub mod value;
mod while_loop;

#[cfg(test)]
mod tests;

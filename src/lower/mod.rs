//! From optimised Core to nests: `for i<n { … } yield sum v` becomes chunks, strips, segments, kernel calls and lane
//! accumulators, with every address explicit. All decisions about machine code are taken here; `codegen` translates.
//!
//! A `for` is vectorised along one index if all it does has a form over strips ([`vectorise`]); else it becomes scalar
//! loops. Both keep the order of sums that [`crate::ir::core::For::strip`] defines.

mod collectors;
mod convert;
mod cost;
mod lanes;
mod levels;
mod lowerer;
pub mod nest;
mod predraw;
mod primitive;
mod print;
mod rows;
mod scalar;
mod schedule;
mod strip;
mod vectorise;

use crate::ir::core::{Block, Program, Role, Scalar, Var};
use lowerer::{Lowerer, Value, View};
use nest::{Base, Nests, Place, Span};
pub(crate) use scalar::small_integer;
use std::collections::HashSet;

/// Why Core could not be lowered: it was not valid, or not optimised Core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LowerError {
    pub message: String,
}

impl std::fmt::Display for LowerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for LowerError {}

/// Lowers a valid program without sites.
pub fn lower(program: &Program) -> Result<Nests, LowerError> {
    let mut s = Lowerer::new(program);
    let mut homes: Vec<(Var, Place, Scalar)> = Vec::new();
    for input in &program.inputs {
        let ty = program.ty(input.var).clone();
        let place = if input.role == Role::Data {
            let index = s.nests.data.len();
            s.nests.data.push((input.name.clone(), ty.clone()));
            Place::new(Base::Data(index), 0)
        } else {
            let offset = s.nests.frame;
            let place = s.frame_slot(ty.size());
            let span = Span { offset, len: ty.size(), scalar: ty.scalar };
            match input.role {
                Role::Param => s.nests.params.push(span),
                Role::Tuned => s.nests.tuned.push(span),
                Role::State => s.nests.states.push(span),
                Role::Data => {}
            }
            place
        };
        if ty.is_scalar() {
            homes.push((input.var, place, ty.scalar));
        } else {
            s.values.insert(input.var, Value::Array(View { place, shape: ty.shape }));
        }
    }
    let setup = Block { stmts: program.setup.clone(), results: Vec::new() };
    load_used(&mut s, &homes, &setup);
    s.top_block(&program.setup);
    for stmt in &program.setup {
        for var in stmt.results() {
            if let Some(Value::Scalar(operand)) = s.values.get(&var).cloned() {
                let place = s.frame_slot(1);
                s.store(place.clone(), operand);
                homes.push((var, place, s.scalar_of(operand)));
            }
        }
    }
    s.nests.setup = s.take_routine();
    load_used(&mut s, &homes, &program.step);
    s.top_block(&program.step.stmts);
    for &result in &program.step.results {
        let ty = program.atom_type(result);
        let (len, scalar) = (ty.size(), ty.scalar);
        let home = if ty.is_scalar() {
            let (value, home) = (s.operand(result), s.frame_slot(1));
            s.store(home.clone(), value);
            home
        } else {
            let view = s.view(result);
            if view.place.base == Base::Frame && view.place.index.is_empty() {
                view.place
            } else {
                let home = s.frame_slot(len);
                s.move_words(&view.place, &home, len);
                home
            }
        };
        s.nests.outputs.push(Span { offset: usize::try_from(home.offset).unwrap_or(0), len, scalar });
    }
    s.nests.step = s.take_routine();
    lowerer::finish(s)
}

/// Loads the scalars at `homes` that `block` mentions into registers of the routine just begun.
fn load_used(s: &mut Lowerer, homes: &[(Var, Place, Scalar)], block: &Block) {
    let mut used = HashSet::new();
    block.each_atom(&mut |atom| used.extend(atom.var()));
    for (var, place, scalar) in homes {
        if used.contains(var) {
            let value = s.load(place.clone(), *scalar);
            s.values.insert(*var, Value::Scalar(value));
        }
    }
}

//! The interpreter of Core: its semantics. Machine code agrees with it bit for bit.
//!
//! Values live in flat tables by variable: a scalar is a 64-bit cell (ints and bools as their bits), an array a shared
//! vector of cells. Sums run in the order that [`super::core::For::strip`] defines; transcendental functions, draws,
//! row kernels and matrix products are the runtime's; `+ - * / sqrt abs fma` are IEEE operations with one rounding.
//!
//! A read out of bounds gives 0 (or false) and the status `Domain`; an addition out of bounds is dropped, with the
//! same status. A failed check is reported before `Domain`, and of several the one with the lowest number. A status
//! of `setup` is that of every step.

pub mod array;
pub mod kernels;
mod machine;
mod regions;
pub mod scalar;
pub mod witness;
#[cfg(test)]
mod tests;

use super::core::{Atom, Program, Role, Scalar, Type, Var};
use super::validate::{Form, validate};
use crate::runtime::executable::{Array, Executable, Status, Stream, Values};
use machine::{Held, Machine};
use std::sync::Arc;
use witness::Event;

/// A program with its data bound, ready to be stepped.
pub struct Interpreter {
    program: Arc<Program>,
    machine: Machine,
    setup_status: Faults,
    lengths: Lengths,
}

#[derive(Clone, Copy, Debug)]
struct Lengths {
    params: usize,
    tuned: usize,
    state: usize,
    outputs: usize,
}

/// What went wrong so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Faults {
    /// Lowest number of a check that failed.
    check: Option<u32>,
    domain: bool,
}

impl Faults {
    fn check(&mut self, n: u32) {
        self.check = Some(self.check.map_or(n, |m| m.min(n)));
    }

    fn status(self) -> Status {
        match (self.check, self.domain) {
            (Some(n), _) => Status::Check(n),
            (None, true) => Status::Domain,
            (None, false) => Status::Fine,
        }
    }
}

impl Interpreter {
    /// Binds `data` (one per input of role `Data`, in order) and runs `setup`. An error if the program is not valid
    /// Core without sites, or the data do not have the inputs' types.
    pub fn new(program: Arc<Program>, data: &[Array]) -> Result<Interpreter, String> {
        let errors = validate(&program, Form::Plain);
        if !errors.is_empty() {
            return Err(format!("the program is not valid: {}", errors.join("; ")));
        }
        let mut machine = Machine::new(program.vars.len());
        let count = program.inputs_of(Role::Data).count();
        if count != data.len() {
            return Err(format!("{count} data inputs, but {} arrays given", data.len()));
        }
        for (input, array) in program.inputs_of(Role::Data).zip(data) {
            let ty = program.ty(input.var);
            let cells = cells_of(array, ty).map_err(|e| format!("data input {}: {e}", input.name))?;
            machine.bind(input.var, ty, cells);
        }
        machine.stmts(&program, &program.setup);
        let setup_status = machine.faults;
        let size = |role: Role| program.inputs_of(role).map(|i| program.ty(i.var).size()).sum();
        let lengths = Lengths {
            params: size(Role::Param),
            tuned: size(Role::Tuned),
            state: size(Role::State),
            outputs: program.step.results.iter().map(|&a| program.atom_type(a).size()).sum(),
        };
        Ok(Interpreter { program, machine, setup_status, lengths })
    }

    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// From now on: the next step records the values that no derivative goes through (`stop`, gamma draws), and later steps
    /// take them as recorded, whatever their parameters. Finite differences of such steps are those of the surrogate
    /// that reverse mode differentiates, as long as the same branches are taken.
    pub fn hold(&mut self) {
        self.machine.held = Held::Record(Vec::new());
    }

    /// Runs a step and tells where its first fault came from, an index out of bounds or, if there is none, the first
    /// output that is not finite; and which output that is. `None` if all went well.
    pub fn blame(&mut self, params: &[f64], tuned: &[f64], state: &[f64], stream: Stream) -> Option<(Event, usize)> {
        self.machine.witness = Some(Box::default());
        let mut outputs = vec![0.0; self.lengths.outputs];
        self.step(params, tuned, state, stream, &mut outputs);
        let witness = self.machine.witness.take()?;
        let mut results = self.program.step.results.iter().enumerate();
        let blamed = results.find_map(|(k, &a)| Some((witness.origin(a)?.clone(), k)));
        witness.fault.map(|event| (event, 0)).or(blamed)
    }

    /// The outputs of the last step, with their types.
    pub fn outputs(&self) -> Vec<Array> {
        self.program.step.results.iter().map(|&a| self.array(a)).collect()
    }

    /// Value of a variable of the step's (or setup's) outermost region after the last step, e.g. to find where a NaN
    /// came from.
    pub fn value(&self, var: Var) -> Array {
        self.array(var.into())
    }

    fn array(&self, atom: Atom) -> Array {
        let ty = self.program.atom_type(atom);
        let cells = self.machine.cells(&self.program, atom);
        let values = match ty.scalar {
            Scalar::Real => Values::Real(cells.to_vec()),
            Scalar::Int => Values::Int(cells.iter().map(|&c| int(c)).collect()),
            Scalar::Bool => Values::Bool(cells.iter().map(|&c| c.to_bits() != 0).collect()),
        };
        Array { shape: ty.shape, values }
    }

    fn bind(&mut self, role: Role, flat: &[f64]) {
        let mut offset = 0;
        for input in self.program.inputs.iter().filter(|i| i.role == role) {
            let ty = self.program.ty(input.var);
            let size = ty.size();
            let cells = flat.get(offset..offset + size).map_or_else(|| vec![f64::NAN; size], <[f64]>::to_vec);
            self.machine.bind(input.var, ty, cells);
            offset += size;
        }
    }
}

impl Executable for Interpreter {
    fn param_len(&self) -> usize {
        self.lengths.params
    }

    fn tuned_len(&self) -> usize {
        self.lengths.tuned
    }

    fn state_len(&self) -> usize {
        self.lengths.state
    }

    fn output_len(&self) -> usize {
        self.lengths.outputs
    }

    fn step(&mut self, params: &[f64], tuned: &[f64], state: &[f64], stream: Stream, outputs: &mut [f64]) -> Status {
        self.bind(Role::Param, params);
        self.bind(Role::Tuned, tuned);
        self.bind(Role::State, state);
        self.machine.stream = stream;
        self.machine.faults = self.setup_status;
        let program = Arc::clone(&self.program);
        self.machine.held = match std::mem::take(&mut self.machine.held) {
            Held::Replay(all, _) => Held::Replay(all, 0),
            other => other,
        };
        self.machine.stmts(&program, &program.step.stmts);
        self.machine.held = match std::mem::take(&mut self.machine.held) {
            Held::Record(all) => Held::Replay(all, 0),
            other => other,
        };
        let mut slots = outputs.iter_mut();
        for &a in &program.step.results {
            let scalar = program.atom_type(a).scalar;
            let cells = self.machine.cells(&program, a);
            for (&c, slot) in cells.iter().zip(&mut slots) {
                *slot = match scalar {
                    Scalar::Real => c,
                    Scalar::Int | Scalar::Bool => int(c) as f64,
                };
            }
        }
        self.machine.faults.status()
    }
}

/// Runs a program without parameters once and returns its outputs with their types: the value of a closed expression.
/// Draws come from `stream`.
pub fn evaluate(program: &Arc<Program>, data: &[Array], stream: Stream) -> Result<(Vec<Array>, Status), String> {
    let mut interpreter = Interpreter::new(Arc::clone(program), data)?;
    if let Some(input) = program.inputs.iter().find(|i| i.role != Role::Data) {
        return Err(format!("the value depends on {}, which is not data", input.name));
    }
    let mut flat = vec![0.0; interpreter.output_len()];
    let status = interpreter.step(&[], &[], &[], stream, &mut flat);
    Ok((interpreter.outputs(), status))
}

/// The bits of a cell as an int.
fn int(cell: f64) -> i64 {
    cell.to_bits().cast_signed()
}

/// A cell that holds an int.
fn from_int(i: i64) -> f64 {
    f64::from_bits(i.cast_unsigned())
}

fn cells_of(array: &Array, ty: &Type) -> Result<Vec<f64>, String> {
    let (scalar, cells): (Scalar, Vec<f64>) = match &array.values {
        Values::Real(v) => (Scalar::Real, v.clone()),
        Values::Int(v) => (Scalar::Int, v.iter().map(|&i| from_int(i)).collect()),
        Values::Bool(v) => (Scalar::Bool, v.iter().map(|&b| from_int(i64::from(b))).collect()),
    };
    if array.shape != ty.shape || scalar != ty.scalar || cells.len() != ty.size() {
        let found = super::print::describe_type(&Type { scalar, shape: array.shape.clone() });
        return Err(format!("{} expected, {found} with {} values found", super::print::describe_type(ty), cells.len()));
    }
    Ok(cells)
}

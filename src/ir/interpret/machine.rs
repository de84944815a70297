//! Values by variable, and the statements without regions.

use super::super::core::{Atom, Draw, Program, Stmt, Type, Var};
use super::super::op::Op;
use super::witness::Witness;
use super::{Faults, array, from_int, int, kernels, scalar};
use crate::runtime::executable::Stream;
use std::sync::Arc;

/// Values that a comparison with finite differences holds at the base point: those of `stop`, and of draws with
/// operands, in the order in which a step meets them. A draw that is smooth in its operand follows its path instead.
#[derive(Clone, Debug, Default)]
pub(super) enum Held {
    #[default]
    Nothing,
    Record(Vec<Arc<Vec<f64>>>),
    /// And the position of the next one.
    Replay(Vec<Arc<Vec<f64>>>, usize),
}

/// The state of a run.
pub(super) struct Machine {
    pub(super) held: Held,
    scalars: Vec<f64>,
    arrays: Vec<Arc<Vec<f64>>>,
    empty: Arc<Vec<f64>>,
    pub(super) stream: Stream,
    pub(super) faults: Faults,
    /// While it watches.
    pub(super) witness: Option<Box<Witness>>,
}

impl Machine {
    pub(super) fn new(vars: usize) -> Machine {
        let empty = Arc::new(Vec::new());
        Machine {
            held: Held::Nothing,
            scalars: vec![0.0; vars],
            arrays: vec![Arc::clone(&empty); vars],
            empty,
            stream: Stream { seed: 0, step: 0 },
            faults: Faults::default(),
            witness: None,
        }
    }

    /// Gives a variable of the type its cells.
    pub(super) fn bind(&mut self, var: Var, ty: &Type, cells: Vec<f64>) {
        if ty.is_scalar() {
            self.set(var, cells.first().copied().unwrap_or(0.0));
        } else {
            self.arrays[var.0 as usize] = Arc::new(cells);
        }
    }

    pub(super) fn set(&mut self, var: Var, cell: f64) {
        self.scalars[var.0 as usize] = cell;
    }

    pub(super) fn set_array(&mut self, var: Var, cells: Arc<Vec<f64>>) {
        self.arrays[var.0 as usize] = cells;
    }

    /// The cell of a scalar operand.
    pub(super) fn cell(&self, atom: Atom) -> f64 {
        match atom {
            Atom::Var(v) => self.scalars[v.0 as usize],
            Atom::Real(x) => x,
            Atom::Int(i) => from_int(i),
            Atom::Bool(b) => from_int(i64::from(b)),
        }
    }

    pub(super) fn int(&self, atom: Atom) -> i64 {
        int(self.cell(atom))
    }

    pub(super) fn bool(&self, atom: Atom) -> bool {
        self.cell(atom).to_bits() != 0
    }

    /// The cells of an operand of any type.
    pub(super) fn cells(&self, program: &Program, atom: Atom) -> Arc<Vec<f64>> {
        match atom {
            Atom::Var(v) if !program.ty(v).is_scalar() => Arc::clone(&self.arrays[v.0 as usize]),
            _ => Arc::new(vec![self.cell(atom)]),
        }
    }

    pub(super) fn stmts(&mut self, program: &Program, stmts: &[Stmt]) {
        for s in stmts {
            self.stmt(program, s);
            if !matches!(s, Stmt::For(_) | Stmt::Loop(_) | Stmt::If(_)) {
                self.note(program, s);
            }
        }
    }

    fn stmt(&mut self, program: &Program, stmt: &Stmt) {
        match stmt {
            Stmt::Op { result, op, args } => self.op(program, *result, *op, args),
            Stmt::For(f) => self.for_(program, f),
            Stmt::Loop(l) => self.loop_(program, l),
            Stmt::If(i) => self.if_(program, i),
            Stmt::Contract(c) => {
                let (a, b) = (self.cells(program, c.a), self.cells(program, c.b));
                let shapes = (program.atom_type(c.a).shape, program.atom_type(c.b).shape);
                let out = array::contract(c, &a, &shapes.0, &b, &shapes.1);
                self.bind(c.result, program.ty(c.result), out);
            }
            Stmt::Array { results, prim, args } => {
                let operands: Vec<Arc<Vec<f64>>> = args.iter().map(|&a| self.cells(program, a)).collect();
                let shapes: Vec<Vec<usize>> = args.iter().map(|&a| program.atom_type(a).shape).collect();
                let (out, fine) = array::primitive(prim, &operands, &shapes, self.stream);
                self.faults.domain |= !fine;
                if let [result] = results.as_slice() {
                    self.set_array(*result, out);
                }
            }
            Stmt::Draw(d) => {
                let x = self.draw(d);
                let x = if d.args.is_empty() { x } else { self.hold_draw(d, x) };
                self.set(d.result, x);
            }
            Stmt::Check { ok, check } => {
                if !self.bool(*ok) {
                    self.faults.check(*check);
                }
            }
            // Refused by the validator before a run.
            Stmt::Sample(_) | Stmt::Term(_) => {}
        }
    }

    fn op(&mut self, program: &Program, result: Var, op: Op, args: &[Atom]) {
        let value = match (op, args) {
            (Op::Read, [Atom::Var(array), indices @ ..]) => self.read(program, result, *array, indices),
            (Op::Select, &[c, a, b]) => self.cell(if self.bool(c) { a } else { b }),
            (Op::Stop, &[Atom::Var(v)]) if !program.ty(v).is_scalar() => {
                let cells = Arc::clone(&self.arrays[v.0 as usize]);
                let cells = self.hold_cells(cells);
                return self.set_array(result, cells);
            }
            (Op::Stop, &[a]) => self.hold(self.cell(a)),
            (Op::Pow, &[a, Atom::Real(n)]) if scalar::is_small_integer(n) => scalar::integer_power(self.cell(a), n),
            (Op::IDiv | Op::IMod, &[a, b]) => {
                let (a, b) = (self.int(a), self.int(b));
                self.faults.domain |= b == 0;
                if b == 0 {
                    self.note_division(program.vars[result.0 as usize].span);
                }
                from_int(if op == Op::IDiv { scalar::floor_div(a, b) } else { scalar::floor_mod(a, b) })
            }
            (_, &[a]) => scalar::unary(op, self.cell(a)),
            (_, &[a, b]) => scalar::binary(op, self.cell(a), self.cell(b)),
            (_, &[a, b, c]) => scalar::ternary(op, self.cell(a), self.cell(b), self.cell(c)),
            _ => f64::NAN,
        };
        self.set(result, value);
    }

    /// What a value that no derivative goes through counts as.
    fn hold(&mut self, cell: f64) -> f64 {
        match &self.held {
            Held::Nothing => cell,
            _ => self.hold_cells(Arc::new(vec![cell])).first().copied().unwrap_or(cell),
        }
    }

    /// A draw that keeps its place in the distribution while its operand moves, else stays where it was.
    fn hold_draw(&mut self, d: &Draw, drawn: f64) -> f64 {
        let operand = d.args.first().map_or(1.0, |&a| self.cell(a));
        if matches!(self.held, Held::Nothing) {
            return drawn;
        }
        match self.hold_cells(Arc::new(vec![drawn, operand]))[..] {
            [at, from] if d.noise.is_smooth() => kernels::follow(at, from, operand),
            [at, ..] => at,
            [] => drawn,
        }
    }

    fn hold_cells(&mut self, cells: Arc<Vec<f64>>) -> Arc<Vec<f64>> {
        match &mut self.held {
            Held::Nothing => cells,
            Held::Record(all) => {
                all.push(Arc::clone(&cells));
                cells
            }
            Held::Replay(all, next) => {
                let held = all.get(*next).map_or(cells, Arc::clone);
                *next += 1;
                held
            }
        }
    }

    fn read(&mut self, program: &Program, result: Var, array: Var, indices: &[Atom]) -> f64 {
        match self.offset(&program.ty(array).shape, indices) {
            Some(offset) => self.arrays[array.0 as usize].get(offset).copied().unwrap_or(0.0),
            None => {
                self.faults.domain = true;
                self.note_index(program.vars[result.0 as usize].span, &program.ty(array).shape, indices);
                0.0
            }
        }
    }

    /// Row-major position of an element; `None` out of bounds.
    pub(super) fn offset(&self, shape: &[usize], indices: &[Atom]) -> Option<usize> {
        let mut offset = 0;
        for (&n, &i) in shape.iter().zip(indices) {
            let i = usize::try_from(self.int(i)).ok().filter(|&i| i < n)?;
            offset = offset * n + i;
        }
        Some(offset)
    }

    fn draw(&self, d: &Draw) -> f64 {
        let mut index: u64 = 0;
        for &(a, n) in &d.index {
            index = index.wrapping_mul(n as u64).wrapping_add(self.int(a).cast_unsigned());
        }
        let operand = |k: usize| d.args.get(k).map_or(1.0, |&a| self.cell(a));
        let mirror = d.mirror.is_some_and(|m| self.bool(m));
        kernels::draw(d.noise, (self.stream, d.site, index), [operand(0), operand(1)], mirror)
    }

    /// What a scalar variable has in the table of arrays.
    pub(super) fn no_array(&self) -> Arc<Vec<f64>> {
        Arc::clone(&self.empty)
    }
}

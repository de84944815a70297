//! Contractions with a tall matrix go into the strips of the loop between them.
//!
//! `eta = contract{ij,j->i}(X, b) rows; (…, r) = for i<n { … read(eta, i) … } yield …, collect r;
//! g = contract{ij,i->j}(X, r) rows` becomes one loop over strips of rows: `rows_dot` on the strip, the body,
//! `rows_axpy` on the strip. `X` is read once from memory. Both kernels take rows in order, so bits do not move; sums over rows are by chunks.

use super::collectors::Home;
use super::levels::{Mode, Plan};
use super::lowerer::{Lowerer, signed};
use super::nest::{Fold, Linear, Node, Operand, Place};
use super::vectorise;
use crate::ir::core::{Atom, Block, Collector, Contract, ContractKind, For, Scalar, Stmt, Var, chunk_size};
use crate::ir::op::Op;
use std::collections::{HashMap, HashSet};

/// Row kernels that run within the strips of a `for` over the same rows.
#[derive(Default)]
pub(super) struct Rows {
    dots: Vec<Dot>,
    axpys: Vec<Axpy>,
}

struct Dot {
    d: usize,
    x: Place,
    b: Place,
    result: Place,
}

struct Axpy {
    d: usize,
    x: Place,
    /// Which result of the `for` is the vector.
    r: usize,
    /// Where the sums of chunk `c` are: `d` words at `c * d`.
    area: Place,
}

impl Rows {
    /// Words of a matrix row that pass through the cache with each element.
    pub(super) fn streamed(&self) -> usize {
        self.dots.iter().map(|d| d.d).chain(self.axpys.iter().map(|a| a.d)).max().unwrap_or(0)
    }
}

/// Statements of a top-level block that belong to the `for` at a position.
#[derive(Default)]
struct Group {
    dots: Vec<usize>,
    axpys: Vec<usize>,
}

/// (matrix, vector) of a row contraction and whether it sums along a row.
fn row_contract(stmt: &Stmt) -> Option<(&Contract, Var, Var, bool)> {
    let Stmt::Contract(c) = stmt else { return None };
    let (Some(ContractKind::Rows), Atom::Var(x), Atom::Var(v)) = (c.kind, c.a, c.b) else { return None };
    let ([_, inner], [label]) = (&c.a_labels[..], &c.b_labels[..]) else { return None };
    Some((c, x, v, inner == label))
}

/// Whether `block` uses `array` only by reading it at `index`.
fn reads_only_at(block: &Block, array: Var, index: Var) -> bool {
    let is_array = |a: &Atom| *a == Atom::Var(array);
    !block.results.iter().any(is_array)
        && block.stmts.iter().all(|stmt| match stmt {
            Stmt::Op { op: Op::Read, args, .. } if is_array(&args[0]) => args[1..] == [Atom::Var(index)],
            Stmt::Op { args, .. } | Stmt::Array { args, .. } => !args.iter().any(is_array),
            Stmt::Contract(c) => !is_array(&c.a) && !is_array(&c.b),
            Stmt::Loop(l) => !l.carried.iter().any(|(_, a)| is_array(a)) && reads_only_at(&l.body, array, index),
            Stmt::For(_) | Stmt::If(_) => stmt.regions().iter().all(|b| reads_only_at(b, array, index)),
            Stmt::Draw(_) | Stmt::Check { .. } | Stmt::Sample(_) | Stmt::Term(_) => true,
        })
}

fn groups(s: &Lowerer, stmts: &[Stmt]) -> HashMap<usize, Group> {
    let mut defined: HashMap<Var, usize> = HashMap::new();
    for (i, stmt) in stmts.iter().enumerate() {
        defined.extend(stmt.results().into_iter().map(|v| (v, i)));
    }
    let mut groups: HashMap<usize, Group> = HashMap::new();
    for (i, stmt) in stmts.iter().enumerate() {
        let Some((c, x, v, dot)) = row_contract(stmt) else { continue };
        if dot {
            let Some(user) = (i + 1..stmts.len()).find(|&j| stmts[j].free_vars().contains(&c.result)) else { continue };
            if let Stmt::For(f) = &stmts[user] {
                let rows = s.program.ty(c.result).size();
                if f.indices[0].1 == rows && reads_only_at(&f.body, c.result, f.indices[0].0) {
                    groups.entry(user).or_default().dots.push(i);
                }
            }
        } else if let Some(&maker) = defined.get(&v) {
            let Stmt::For(f) = &stmts[maker] else { continue };
            let collected =
                f.results.iter().zip(&f.collectors).any(|(&r, c)| r == v && matches!(c, Collector::Collect));
            let matrix_first = defined.get(&x).is_none_or(|&at| at < maker);
            // The sums are by chunks of rows, whether the loop's are or not.
            let chunks = f.strip.is_some() || f.indices[0].1 <= chunk_size(f.indices[0].1);
            if collected && chunks && f.indices.len() == 1 && matrix_first && maker < i {
                groups.entry(maker).or_default().axpys.push(i);
            }
        }
    }
    groups
}

impl Lowerer {
    /// Statements of `setup` or `step`.
    pub(super) fn top_block(&mut self, stmts: &[Stmt]) {
        let mut groups = groups(self, stmts);
        groups.retain(|&i, _| match &stmts[i] {
            Stmt::For(f) => vectorise::choose(self, f, 0).is_some_and(|v| v.index == 0),
            _ => false,
        });
        let moved: HashSet<usize> = groups.values().flat_map(|g| g.dots.iter().chain(&g.axpys).copied()).collect();
        for (i, stmt) in stmts.iter().enumerate() {
            if moved.contains(&i) {
                continue;
            }
            self.scratch = 0;
            match (stmt, groups.get(&i)) {
                (Stmt::For(f), Some(group)) => self.for_with_rows(f, group, stmts),
                _ => self.stmt(stmt),
            }
        }
    }

    fn for_with_rows(&mut self, f: &For, group: &Group, stmts: &[Stmt]) {
        let mut rows = Rows::default();
        for &i in &group.dots {
            let Some((c, x, b, _)) = row_contract(&stmts[i]) else { continue };
            let result = self.frame_slot(self.ty(c.result).size());
            let (x, b) = (self.view(x.into()), self.view(b.into()));
            rows.dots.push(Dot { d: x.shape[1], x: x.place, b: b.place, result: result.clone() });
            self.set_array(c.result, result);
        }
        let extent = f.indices[0].1;
        let chunks = if f.strip.is_some() { extent.div_ceil(chunk_size(extent)).max(1) } else { 1 };
        let mut sums = Vec::new();
        for &i in &group.axpys {
            let Some((c, x, v, _)) = row_contract(&stmts[i]) else { continue };
            let d = self.ty(c.result).size();
            let result = self.frame_slot(d);
            let area = if chunks > 1 { self.frame_slot(d * chunks) } else { result.clone() };
            let x = self.view(x.into()).place;
            let r = f.results.iter().position(|&r| r == v).unwrap_or(0);
            rows.axpys.push(Axpy { d, x, r, area: area.clone() });
            sums.push((area, d, result.clone()));
            self.set_array(c.result, result);
        }
        if let Some(v) = vectorise::choose(self, f, rows.streamed()) {
            self.outer_for(&v.f, Mode::Vector(v.index), v.varying, v.pitch, rows);
        }
        if chunks > 1 {
            for (area, d, result) in sums {
                self.combine(&area, d, chunks, Fold::Sum, Scalar::Real, &Home::Memory(result));
            }
        }
    }

    /// Zeros where the sums over a chunk's rows go.
    pub(super) fn start_rows(&mut self, rows: &Rows, chunk: Operand) {
        for axpy in &rows.axpys {
            let to = axpy.area.at(chunk, signed(axpy.d));
            self.nodes.push(Node::Fill { to, scalar: Scalar::Real, value: Operand::Real(0.0), count: axpy.d });
        }
    }

    pub(super) fn strip_dots(&mut self, rows: &Rows, first: Operand, count: Operand) {
        for dot in &rows.dots {
            self.nodes.push(Node::Linear(Linear::RowsDot {
                rows: count,
                d: dot.d,
                x: dot.x.at(first, signed(dot.d)),
                b: dot.b.clone(),
                result: dot.result.at(first, 1),
            }));
        }
    }

    pub(super) fn strip_axpys(&mut self, plan: &Plan, chunk: Operand, first: Operand, count: Operand) {
        for axpy in &plan.rows.axpys {
            let Some(Some(r)) = plan.arrays.get(axpy.r) else { continue };
            self.nodes.push(Node::Linear(Linear::RowsAxpy {
                rows: count,
                d: axpy.d,
                x: axpy.x.at(first, signed(axpy.d)),
                r: r.at(first, 1),
                result: axpy.area.at(chunk, signed(axpy.d)),
            }));
        }
    }
}

//! Which statements, operations, collectors, primitives and attributes programs contain, by name.

use super::super::core::{Block, Collector, ContractKind, Prim, Program, Stmt};
use super::super::op::Op;
use std::collections::BTreeMap;

/// Occurrences by name.
pub type Coverage = BTreeMap<String, usize>;

/// Every name that [`coverage`] can count.
pub fn features() -> Vec<String> {
    let mut names: Vec<String> = Op::ALL.iter().map(|op| format!("op {}", op.name())).collect();
    let others = [
        "for",
        "loop",
        "loop reverse",
        "if",
        "contract",
        "array",
        "draw",
        "check",
        "sample",
        "term",
        "strip",
        "collect",
        "collect array",
        "sum",
        "sum keep",
        "sum array",
        "sum int",
        "max",
        "min",
        "all",
        "sum_at",
        "sum_at array",
        "contract none",
        "contract loops",
        "contract rows",
        "contract gemm",
        "cholesky",
        "solve_lower",
        "solve_lower_transposed",
        "cumsum",
        "cumsum_reverse",
        "concat",
        "stack",
        "reshape",
        "sort",
        "fill",
        "const",
        "subset",
        "normal",
        "uniform",
        "exponential",
        "log_gamma",
        "poisson",
        "binomial",
        "mirror",
        "setup",
    ];
    names.extend(others.iter().map(|s| (*s).to_owned()));
    names
}

/// Adds the occurrences in `program` to `counts`.
pub fn coverage(program: &Program, counts: &mut Coverage) {
    if !program.setup.is_empty() {
        count(counts, "setup");
    }
    program.setup.iter().for_each(|s| stmt(program, s, counts));
    block(program, &program.step, counts);
}

fn count(counts: &mut Coverage, name: &str) {
    *counts.entry(name.to_owned()).or_insert(0) += 1;
}

fn block(program: &Program, b: &Block, counts: &mut Coverage) {
    b.stmts.iter().for_each(|s| stmt(program, s, counts));
}

fn stmt(program: &Program, s: &Stmt, counts: &mut Coverage) {
    let mut hit = |name: &str| count(counts, name);
    match s {
        Stmt::Op { op, .. } => hit(&format!("op {}", op.name())),
        Stmt::For(f) => {
            hit("for");
            if f.strip.is_some() {
                hit("strip");
            }
            collectors(program, &f.collectors, &f.body.results, counts);
        }
        Stmt::Loop(l) => {
            hit(if l.reverse { "loop reverse" } else { "loop" });
            collectors(program, &l.collectors, &l.body.results[l.carried.len()..], counts);
        }
        Stmt::If(_) => hit("if"),
        Stmt::Contract(c) => {
            hit("contract");
            hit(match c.kind {
                None => "contract none",
                Some(ContractKind::Loops) => "contract loops",
                Some(ContractKind::Rows) => "contract rows",
                Some(ContractKind::Gemm) => "contract gemm",
            });
        }
        Stmt::Array { prim, .. } => {
            hit("array");
            hit(match prim {
                Prim::Cholesky => "cholesky",
                Prim::SolveLower { transposed: false } => "solve_lower",
                Prim::SolveLower { transposed: true } => "solve_lower_transposed",
                Prim::CumSum { reverse: false } => "cumsum",
                Prim::CumSum { reverse: true } => "cumsum_reverse",
                Prim::Concat { .. } => "concat",
                Prim::Stack => "stack",
                Prim::Reshape { .. } => "reshape",
                Prim::Sort => "sort",
                Prim::Fill { .. } => "fill",
                Prim::Const { .. } => "const",
                Prim::Subset { .. } => "subset",
            });
        }
        Stmt::Draw(d) => {
            hit("draw");
            if d.mirror.is_some() {
                hit("mirror");
            }
            hit(d.noise.name());
        }
        Stmt::Check { .. } => hit("check"),
        Stmt::Sample(_) => hit("sample"),
        Stmt::Term(_) => hit("term"),
    }
    for region in s.regions() {
        block(program, region, counts);
    }
}

fn collectors(program: &Program, list: &[Collector], values: &[super::Atom], counts: &mut Coverage) {
    for (c, &value) in list.iter().zip(values) {
        let ty = program.atom_type(value);
        let array = !ty.is_scalar();
        let mut hit = |name: &str| count(counts, name);
        match c {
            Collector::Collect => hit(if array { "collect array" } else { "collect" }),
            Collector::Sum { keep } => {
                hit("sum");
                if array {
                    hit("sum array");
                }
                if !keep.is_empty() {
                    hit("sum keep");
                }
                if ty.scalar == super::Scalar::Int {
                    hit("sum int");
                }
            }
            Collector::Max => hit("max"),
            Collector::Min => hit("min"),
            Collector::All => hit("all"),
            Collector::SumAt { .. } => hit(if array { "sum_at array" } else { "sum_at" }),
        }
    }
}

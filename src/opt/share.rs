//! `softplus` and `sigmoid` of one operand share one exponential: with u = exp(-|a|), softplus a = max(a, 0) + log1p u and
//! sigmoid a = (a >= 0 ? 1 : u) / (1 + u). Changes rounding. Where only one of them is wanted it stays one kernel.

use crate::base::hash::HashMap;
use crate::ir::builder::Builder;
use crate::ir::core::{Atom, Block, Program, Stmt};
use crate::ir::op::Op;

/// Rewrites pairs that stand in one region.
pub fn share(mut program: Program) -> Program {
    let setup = std::mem::take(&mut program.setup);
    program.setup = region(&mut program, setup);
    let step = std::mem::take(&mut program.step);
    let stmts = region(&mut program, step.stmts);
    program.step = Block { stmts, results: step.results };
    program
}

fn region(program: &mut Program, stmts: Vec<Stmt>) -> Vec<Stmt> {
    let mut seen: HashMap<Atom, [bool; 2]> = HashMap::default();
    for s in &stmts {
        if let Stmt::Op { op, args, .. } = s {
            match op {
                Op::Softplus => seen.entry(args[0]).or_default()[0] = true,
                Op::Sigmoid => seen.entry(args[0]).or_default()[1] = true,
                _ => {}
            }
        }
    }
    let mut shared: HashMap<Atom, Atom> = HashMap::default();
    let mut out = Vec::with_capacity(stmts.len());
    for mut s in stmts {
        for block in s.regions_mut() {
            let inner = std::mem::take(&mut block.stmts);
            block.stmts = region(program, inner);
        }
        let Stmt::Op { result, op: op @ (Op::Softplus | Op::Sigmoid), args } = &s else {
            out.push(s);
            continue;
        };
        let a = args[0];
        if seen.get(&a) != Some(&[true, true]) {
            out.push(s);
            continue;
        }
        let mut b = Builder::new(program);
        let u = match shared.get(&a) {
            Some(&u) => u,
            None => {
                let m = b.op(Op::Abs, &[a]);
                let m = b.op(Op::Neg, &[m]);
                let u = b.op(Op::Exp, &[m]);
                shared.insert(a, u);
                u
            }
        };
        let last = if *op == Op::Softplus {
            let l = b.op(Op::Log1p, &[u]);
            let m = b.op(Op::Max, &[a, Atom::Real(0.0)]);
            (Op::Add, vec![m, l])
        } else {
            let positive = b.op(Op::Le, &[Atom::Real(0.0), a]);
            let top = b.op(Op::Select, &[positive, Atom::Real(1.0), u]);
            let bottom = b.op(Op::Add, &[u, Atom::Real(1.0)]);
            (Op::Div, vec![top, bottom])
        };
        out.extend(b.stmts);
        out.push(Stmt::Op { result: *result, op: last.0, args: last.1 });
    }
    out
}

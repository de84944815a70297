//! `a * b + c` with one rounding, where the product is used nowhere else. Changes rounding.

use crate::base::hash::HashMap;
use crate::ir::core::{Atom, Block, Program, Stmt, Var};
use crate::ir::op::Op;

/// Contracts products into sums, in every region (product and sum in one region).
pub fn fma(mut program: Program) -> Program {
    let mut uses: HashMap<Var, usize> = HashMap::default();
    let mut count = |a: Atom| {
        if let Atom::Var(v) = a {
            *uses.entry(v).or_insert(0) += 1;
        }
    };
    program.setup.iter().for_each(|s| s.each_atom(&mut count));
    program.step.each_atom(&mut count);
    let setup = std::mem::take(&mut program.setup);
    program.setup = region(setup, &uses);
    let step = std::mem::take(&mut program.step);
    program.step = Block { stmts: region(step.stmts, &uses), results: step.results };
    program
}

fn region(stmts: Vec<Stmt>, uses: &HashMap<Var, usize>) -> Vec<Stmt> {
    let mut products: HashMap<Var, (Atom, Atom)> = HashMap::default();
    stmts
        .into_iter()
        .map(|mut s| {
            for block in s.regions_mut() {
                let inner = std::mem::take(&mut block.stmts);
                block.stmts = region(inner, uses);
            }
            if let Stmt::Op { result, op, args } = &mut s {
                match op {
                    Op::Mul if uses.get(result) == Some(&1) => {
                        products.insert(*result, (args[0], args[1]));
                    }
                    Op::Add => {
                        for (p, q) in [(args[0], args[1]), (args[1], args[0])] {
                            if let Some(&(x, y)) = p.var().and_then(|v| products.get(&v)) {
                                *op = Op::Fma;
                                *args = vec![x, y, q];
                                break;
                            }
                        }
                    }
                    _ => {}
                }
            }
            s
        })
        .collect()
}

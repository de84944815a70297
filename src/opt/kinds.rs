//! Chooses how each contract is run, by sizes alone.

use crate::base::hash::HashMap;
use crate::ir::core::{Block, Contract, ContractKind, Program, Stmt};

/// A summed extent up to this is written in place.
const INLINE: usize = 8;
/// A matrix of at least so many elements is streamed by rows.
const STREAMED: usize = 2048;
/// Multiply-adds from which a whole matrix product is worth its packing.
const PRODUCT: usize = 64 * 1024;
/// And its least extent.
const LEAST: usize = 8;

/// Sets `kind` of every contract.
pub fn kinds(mut program: Program) -> Program {
    let setup = std::mem::take(&mut program.setup);
    program.setup = region(&program, setup);
    let step = std::mem::take(&mut program.step);
    program.step = Block { stmts: region(&program, step.stmts), results: step.results };
    program
}

fn region(program: &Program, stmts: Vec<Stmt>) -> Vec<Stmt> {
    stmts
        .into_iter()
        .map(|mut s| {
            if let Stmt::Contract(c) = &mut s {
                // The matrix first, as the row kernels want it; a product of reals does not depend on the order.
                if c.a_labels.len() < c.b_labels.len() {
                    std::mem::swap(&mut c.a, &mut c.b);
                    std::mem::swap(&mut c.a_labels, &mut c.b_labels);
                }
                c.kind = Some(kind(program, c));
            }
            for block in s.regions_mut() {
                let inner = std::mem::take(&mut block.stmts);
                block.stmts = region(program, inner);
            }
            s
        })
        .collect()
}

/// The kind of one contract.
pub fn kind(program: &Program, c: &Contract) -> ContractKind {
    let mut extents: HashMap<u8, usize> = HashMap::default();
    for (atom, labels) in [(c.a, &c.a_labels), (c.b, &c.b_labels)] {
        for (&l, n) in labels.iter().zip(program.atom_type(atom).shape) {
            extents.insert(l, n);
        }
    }
    let summed: usize = extents.iter().filter(|(l, _)| !c.out.contains(l)).map(|(_, &n)| n).product();
    let all: usize = extents.values().product();
    let rows = |matrix: &[u8], vector: &[u8]| {
        matrix.len() == 2
            && vector.len() == 1
            && ((vector[0] == matrix[1] && c.out == [matrix[0]]) || (vector[0] == matrix[0] && c.out == [matrix[1]]))
    };
    if rows(&c.a_labels, &c.b_labels) {
        let columns = extents.get(&c.a_labels[1]).copied().unwrap_or(0);
        return if all >= STREAMED && columns >= INLINE { ContractKind::Rows } else { ContractKind::Loops };
    }
    if summed <= INLINE {
        return ContractKind::Loops;
    }
    let product = c.a_labels.len() == 2 && c.b_labels.len() == 2 && c.out.len() == 2 && extents.len() == 3;
    if product && extents.values().all(|&n| n >= LEAST) && all >= PRODUCT {
        return ContractKind::Gemm;
    }
    ContractKind::Loops
}

//! Branches as selects: `r = if c { a } else { b }` with arms of scalar operations becomes both arms and
//! `r = select(c, a, b)`.
//!
//! What an untaken arm must not do is set a status: its reads are at 0, its int divisions by 1, its checks true.

use crate::ir::core::{Atom, Block, If, Program, Stmt, Type, Var};
use crate::ir::op::Op;
use std::collections::HashSet;

/// Most operations in the arms of one branch.
const MOST: usize = 64;

/// The block without branches on what varies; `None` if one has arms that cannot be converted.
pub(super) fn selects(program: &mut Program, block: &Block, varying: &HashSet<Var>) -> Option<Block> {
    let mut stmts = Vec::new();
    for stmt in &block.stmts {
        match stmt {
            Stmt::If(i) if i.condition.var().is_some_and(|v| varying.contains(&v)) => {
                branch(program, i, None, &mut stmts)?
            }
            _ => {
                let mut stmt = stmt.clone();
                for region in stmt.regions_mut() {
                    *region = selects(program, region, varying)?;
                }
                stmts.push(stmt);
            }
        }
    }
    Some(Block { stmts, results: block.results.clone() })
}

fn op(program: &mut Program, out: &mut Vec<Stmt>, op: Op, ty: Type, args: Vec<Atom>) -> Atom {
    let result = program.new_var(ty, None);
    out.push(Stmt::Op { result, op, args });
    result.into()
}

/// Both arms under `outer`, the condition under which the branch itself is reached.
fn branch(program: &mut Program, i: &If, outer: Option<Atom>, out: &mut Vec<Stmt>) -> Option<()> {
    if i.then.stmts.len() + i.otherwise.stmts.len() > MOST {
        return None;
    }
    let negated = op(program, out, Op::Not, Type::BOOL, vec![i.condition]);
    let under = |program: &mut Program, out: &mut Vec<Stmt>, c: Atom| match outer {
        Some(outer) => op(program, out, Op::And, Type::BOOL, vec![outer, c]),
        None => c,
    };
    let then = under(program, out, i.condition);
    arm(program, &i.then, then, out)?;
    let otherwise = under(program, out, negated);
    arm(program, &i.otherwise, otherwise, out)?;
    for ((&result, &a), &b) in i.results.iter().zip(&i.then.results).zip(&i.otherwise.results) {
        if !program.ty(result).is_scalar() {
            return None;
        }
        out.push(Stmt::Op { result, op: Op::Select, args: vec![i.condition, a, b] });
    }
    Some(())
}

fn arm(program: &mut Program, block: &Block, reached: Atom, out: &mut Vec<Stmt>) -> Option<()> {
    for stmt in &block.stmts {
        match stmt {
            Stmt::Op { result, op: Op::Read, args } => {
                let mut args = args.clone();
                for index in &mut args[1..] {
                    *index = op(program, out, Op::Select, Type::INT, vec![reached, *index, Atom::Int(0)]);
                }
                if program.atom_type(args[0]).size() == 0 {
                    return None;
                }
                out.push(Stmt::Op { result: *result, op: Op::Read, args });
            }
            Stmt::Op { result, op: division @ (Op::IDiv | Op::IMod), args } => {
                let by = op(program, out, Op::Select, Type::INT, vec![reached, args[1], Atom::Int(1)]);
                out.push(Stmt::Op { result: *result, op: *division, args: vec![args[0], by] });
            }
            Stmt::Op { .. } | Stmt::Draw(_) => out.push(stmt.clone()),
            Stmt::Check { ok, check } => {
                let untaken = op(program, out, Op::Not, Type::BOOL, vec![reached]);
                let ok = op(program, out, Op::Or, Type::BOOL, vec![untaken, *ok]);
                out.push(Stmt::Check { ok, check: *check });
            }
            Stmt::If(i) => branch(program, i, Some(reached), out)?,
            _ => return None,
        }
    }
    Some(())
}

//! Forward mode: each active value gets a tangent, statement by statement. Serves the law "reverse = forward" and, over
//! a program made by [`super::reverse`], Hessian-vector products.

use super::AdError;
use super::activity::{passes, propagate};
use super::contribution::{sum_values, zeros};
use super::linear::{cholesky_tangent, contract, lower_triangle, rank, solve};
use super::reverse::{Options, Reverse, refused};
use super::rules::{self, Partial, add, neg};
use crate::ir::builder::Builder;
use crate::ir::core::{Atom, Block, Collector, Contract, For, If, Input, Loop, Prim, Program, Role, Scalar, Stmt, Var};
use crate::ir::op::Op;
use std::collections::{HashMap, HashSet};

/// The program with one further input `NAME.tangent` per real input of role `wrt` (same role and type, after all
/// inputs, in order), whose results are the original ones, then one tangent per real result in order (the directional
/// derivative along those inputs).
///
/// # Errors
/// An operation without derivative is reached; sites are left.
pub fn forward(program: &Program, wrt: Role) -> Result<Program, AdError> {
    let mut program = program.clone();
    let inputs: Vec<Input> =
        program.inputs_of(wrt).filter(|i| program.ty(i.var).scalar == Scalar::Real).cloned().collect();
    let mut tangents = HashMap::new();
    for input in &inputs {
        let ty = program.ty(input.var).clone();
        let name = format!("{}.tangent", input.name);
        let var = program.new_var(ty, Some(&name));
        program.inputs.push(Input { var, role: wrt, name });
        tangents.insert(input.var, Atom::Var(var));
    }
    let mut active: HashSet<Var> = inputs.iter().map(|i| i.var).collect();
    let step = std::mem::take(&mut program.step);
    propagate(&program, &step.stmts, &mut active);
    let mut forward = Forward { active, tangents };
    let mut b = Builder::new(&mut program);
    forward.block(&mut b, &step.stmts)?;
    let mut results = step.results.clone();
    let mut names: Vec<String> = b.program.outputs.clone();
    names.resize(results.len(), String::new());
    for (k, &r) in step.results.iter().enumerate() {
        let ty = b.program.atom_type(r);
        if ty.scalar == Scalar::Real {
            let t = forward.dense(&mut b, r);
            results.push(t);
            let name = format!("{}.tangent", names[k]);
            names.push(name);
        }
    }
    let stmts = b.stmts;
    program.step = Block { stmts, results };
    program.outputs = names;
    Ok(program)
}

struct Forward {
    active: HashSet<Var>,
    tangents: HashMap<Var, Atom>,
}

impl Forward {
    fn tangent(&self, atom: Atom) -> Option<Atom> {
        atom.var().and_then(|v| self.tangents.get(&v).copied())
    }

    /// The tangent as a value; zeros if there is none.
    fn dense(&self, b: &mut Builder<'_>, atom: Atom) -> Atom {
        match self.tangent(atom) {
            Some(t) => t,
            None => {
                let ty = b.program.atom_type(atom);
                zeros(b, &ty)
            }
        }
    }

    fn block(&mut self, b: &mut Builder<'_>, stmts: &[Stmt]) -> Result<(), AdError> {
        for stmt in stmts {
            self.stmt(b, stmt)?;
        }
        Ok(())
    }

    fn stmt(&mut self, b: &mut Builder<'_>, stmt: &Stmt) -> Result<(), AdError> {
        let active = stmt.results().iter().any(|v| self.active.contains(v));
        match stmt {
            Stmt::Sample(_) | Stmt::Term(_) => {
                return Err(AdError::new("a sample statement is left in the program to differentiate"));
            }
            Stmt::For(f) if active => return self.for_(b, f),
            Stmt::Loop(l) if active => return self.loop_(b, l),
            Stmt::If(i) if active => return self.if_(b, i),
            _ => b.stmts.push(stmt.clone()),
        }
        if !active {
            return Ok(());
        }
        match stmt {
            Stmt::Op { result, op, args } => self.op(b, *result, *op, args)?,
            Stmt::Contract(c) => {
                let mut terms = Vec::new();
                for (x, y) in [(self.tangent(c.a), Some(c.b)), (Some(c.a), self.tangent(c.b))] {
                    if let (Some(x), Some(y)) = (x, y) {
                        let ty = b.program.ty(c.result).clone();
                        let Contract { a_labels, b_labels, out, .. } = c.clone();
                        terms.push(contract(b, (x, a_labels), (y, b_labels), out, ty));
                    }
                }
                let t = sum_values(b, &terms);
                self.tangents.insert(c.result, t);
            }
            Stmt::Array { results, prim, args } => self.primitive(b, results[0], prim, args),
            Stmt::Draw(d) => {
                if let Some(t) = d.args.first().and_then(|&a| self.tangent(a)) {
                    let p = rules::draw_partial(b, &d.args, d.result.into());
                    if let Some(x) = p.apply(b, t) {
                        self.tangents.insert(d.result, x);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn op(&mut self, b: &mut Builder<'_>, result: Var, op: Op, args: &[Atom]) -> Result<(), AdError> {
        if op == Op::Read {
            if let Some(t) = self.tangent(args[0]) {
                let r_tan = b.read(t, &args[1..]);
                self.tangents.insert(result, r_tan);
            }
            return Ok(());
        }
        if !passes(op) {
            return Ok(());
        }
        let mut sum: Option<Atom> = None;
        for (k, &arg) in args.iter().enumerate() {
            let Some(t) = self.tangent(arg) else { continue };
            let p = rules::partial(b, op, args, result.into(), k);
            if p == Partial::Refused {
                return Err(refused(op, k));
            }
            if let Some(x) = p.apply(b, t) {
                sum = Some(match sum {
                    None => x,
                    Some(s) => add(b, s, x),
                });
            }
        }
        if let Some(t) = sum {
            self.tangents.insert(result, t);
        }
        Ok(())
    }

    fn primitive(&mut self, b: &mut Builder<'_>, result: Var, prim: &Prim, args: &[Atom]) {
        let ty = b.program.ty(result).clone();
        let t = match prim {
            Prim::Cholesky => {
                let a_tan = self.dense(b, args[0]);
                cholesky_tangent(b, result.into(), a_tan)
            }
            Prim::SolveLower { transposed } => {
                let mut terms = Vec::new();
                if let Some(t) = self.tangent(args[1]) {
                    terms.push(t);
                }
                if let Some(l_tan) = self.tangent(args[0]) {
                    let masked = lower_triangle(b, l_tan, neg, neg);
                    let labels = if *transposed { vec![b'k', b'i'] } else { vec![b'i', b'k'] };
                    let (x_labels, out) = if ty.shape.len() == 1 {
                        (vec![b'k'], vec![b'i'])
                    } else {
                        (vec![b'k', b'j'], vec![b'i', b'j'])
                    };
                    terms.push(contract(b, (masked, labels), (result.into(), x_labels), out, ty));
                }
                let rhs = sum_values(b, &terms);
                solve(b, args[0], rhs, *transposed)
            }
            Prim::Sort => {
                let n = ty.shape[0];
                let x = args[0];
                let t = self.dense(b, x);
                let mut inner_index = Vec::new();
                let values = b.region(|b| {
                    let i = b.program.new_var(crate::ir::core::Type::INT, None);
                    inner_index.push(i);
                    let at = rank(b, x, n, i.into());
                    let v = b.read(t, &[i.into()]);
                    vec![v, at]
                });
                let (value, at) = (values.results[0], values.results[1]);
                let body = Block { stmts: values.stmts, results: vec![value] };
                let indices = inner_index.into_iter().map(|v| (v, n)).collect();
                b.push_for(indices, body, vec![Collector::SumAt { index: vec![at], shape: vec![n] }])[0]
            }
            Prim::CumSum { .. } | Prim::Concat { .. } | Prim::Stack | Prim::Reshape { .. } | Prim::Fill { .. } => {
                let args: Vec<Atom> = args.iter().map(|&a| self.dense(b, a)).collect();
                b.array(prim.clone(), &args, ty)
            }
            Prim::Const { .. } | Prim::Subset { .. } => return,
        };
        self.tangents.insert(result, t);
    }

    fn for_(&mut self, b: &mut Builder<'_>, f: &For) -> Result<(), AdError> {
        let extreme = |c: &Collector| matches!(c, Collector::Max | Collector::Min);
        let wanted: Vec<usize> = (0..f.results.len()).filter(|&k| self.active.contains(&f.results[k])).collect();
        let mut inner = Builder::new(b.program);
        self.block(&mut inner, &f.body.stmts)?;
        let mut grown = f.clone();
        let extents: Vec<usize> = f.indices.iter().map(|&(_, n)| n).collect();
        let mut all_tangents: Vec<(usize, Var)> = Vec::new();
        for &k in &wanted {
            // Of a maximum: every tangent, of which the one at its place is read afterwards.
            let t = self.dense(&mut inner, f.body.results[k]);
            let collector = if extreme(&f.collectors[k]) { Collector::Collect } else { f.collectors[k].clone() };
            let ty = collector.result_type(&extents, &inner.program.atom_type(t));
            let var = inner.program.new_var(ty, None);
            grown.results.push(var);
            grown.collectors.push(collector);
            grown.body.results.push(t);
            all_tangents.push((k, var));
        }
        grown.body.stmts = inner.stmts;
        b.stmts.push(Stmt::For(grown));
        let seeds: Vec<Option<Atom>> =
            (0..f.results.len()).map(|k| wanted.contains(&k).then_some(f.results[k].into())).collect();
        let mut reverse = Reverse { active: HashSet::new(), options: Options::default() };
        let firsts = reverse.first_extremes(b, f, &seeds);
        for (k, var) in all_tangents {
            let t: Atom = match firsts[k] {
                None => var.into(),
                Some(first) => {
                    // Unravel the position; an empty or NaN loop has none, and tangent zero.
                    let size: usize = extents.iter().product();
                    let some = b.op(Op::ILt, &[first, int(size)]);
                    let mut rest = b.op(Op::Select, &[some, first, Atom::Int(0)]);
                    let mut index = Vec::new();
                    for &n in extents.iter().rev() {
                        index.push(b.op(Op::IMod, &[rest, int(n.max(1))]));
                        rest = b.op(Op::IDiv, &[rest, int(n.max(1))]);
                    }
                    index.reverse();
                    if size == 0 {
                        Atom::Real(0.0)
                    } else {
                        let x = b.read(var.into(), &index);
                        b.op(Op::Select, &[some, x, Atom::Real(0.0)])
                    }
                }
            };
            self.tangents.insert(f.results[k], t);
        }
        Ok(())
    }

    fn loop_(&mut self, b: &mut Builder<'_>, l: &Loop) -> Result<(), AdError> {
        let n = l.carried.len();
        let mut grown = l.clone();
        let carried: Vec<usize> = (0..n).filter(|&k| self.active.contains(&l.carried[k].0)).collect();
        let yielded: Vec<usize> = (n..l.results.len()).filter(|&k| self.active.contains(&l.results[k])).collect();
        for &k in &carried {
            let (v, init) = l.carried[k];
            let start = self.dense(b, init);
            let ty = b.program.ty(v).clone();
            let t = b.program.new_var(ty, None);
            self.tangents.insert(v, t.into());
            grown.carried.push((t, start));
        }
        let mut inner = Builder::new(b.program);
        self.block(&mut inner, &l.body.stmts)?;
        let nexts: Vec<Atom> = carried.iter().map(|&k| self.dense(&mut inner, l.body.results[k])).collect();
        let yields: Vec<Atom> = yielded.iter().map(|&k| self.dense(&mut inner, l.body.results[k])).collect();
        grown.body.stmts = inner.stmts;
        grown.body.results = l.body.results[..n].to_vec();
        grown.body.results.extend(nexts);
        grown.body.results.extend_from_slice(&l.body.results[n..]);
        grown.body.results.extend(yields);
        grown.results = l.results[..n].to_vec();
        for &k in &carried {
            let ty = b.program.ty(l.results[k]).clone();
            let t = b.program.new_var(ty, None);
            grown.results.push(t);
            self.tangents.insert(l.results[k], t.into());
        }
        grown.results.extend_from_slice(&l.results[n..]);
        for &k in &yielded {
            let ty = b.program.ty(l.results[k]).clone();
            let t = b.program.new_var(ty, None);
            grown.results.push(t);
            grown.collectors.push(l.collectors[k - n].clone());
            self.tangents.insert(l.results[k], t.into());
        }
        b.stmts.push(Stmt::Loop(grown));
        Ok(())
    }

    fn if_(&mut self, b: &mut Builder<'_>, i: &If) -> Result<(), AdError> {
        let wanted: Vec<usize> = (0..i.results.len()).filter(|&k| self.active.contains(&i.results[k])).collect();
        let mut grown = i.clone();
        for (side, block) in [&i.then, &i.otherwise].into_iter().enumerate() {
            let mut inner = Builder::new(b.program);
            self.block(&mut inner, &block.stmts)?;
            let tangents: Vec<Atom> = wanted.iter().map(|&k| self.dense(&mut inner, block.results[k])).collect();
            let stmts = inner.stmts;
            let target = if side == 0 { &mut grown.then } else { &mut grown.otherwise };
            target.stmts = stmts;
            target.results.extend(tangents);
        }
        for &k in &wanted {
            let ty = b.program.ty(i.results[k]).clone();
            let t = b.program.new_var(ty, None);
            grown.results.push(t);
            self.tangents.insert(i.results[k], t.into());
        }
        b.stmts.push(Stmt::If(grown));
        Ok(())
    }
}

fn int(n: usize) -> Atom {
    Atom::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

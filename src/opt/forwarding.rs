//! Reads of arrays whose definition is known: elements of stacks, concatenations, constants, fills, reshapes, and of a
//! `for` that only rearranges another array. Also what can be proved of an array's definition.

use super::algebra::Reduced;
use super::simplify::{Definition, Simplify};
use crate::base::hash::{HashMap, HashSet};
use crate::ir::core::{Atom, Block, Collector, For, If, Prim, Scalar, Stmt, Var};
use crate::ir::op::Op;

impl Simplify<'_> {
    /// `args` = array, indices.
    pub(super) fn forward_read(&mut self, out: &mut Vec<Stmt>, args: &[Atom]) -> Option<Reduced> {
        let index = &args[1..];
        let definition = self.definition(args[0])?.clone();
        match definition {
            Definition::Op(..) | Definition::Contract(_) => None,
            Definition::Array(prim, parts) => self.read_primitive(out, &prim, &parts, args[0], index),
            Definition::For(f, k) => self.read_for(out, &f, k, index),
        }
    }

    fn read_primitive(
        &mut self,
        out: &mut Vec<Stmt>,
        prim: &Prim,
        parts: &[Atom],
        array: Atom,
        index: &[Atom],
    ) -> Option<Reduced> {
        let shape = self.program.atom_type(array).shape;
        match prim {
            Prim::Fill { .. } => {
                let inside = index.iter().zip(&shape).all(|(&i, &n)| self.is_inside(i, n));
                inside.then_some(Reduced::Atom(parts[0]))
            }
            Prim::Const { data, ty } => {
                let mut flat = 0usize;
                for (&i, &n) in index.iter().zip(&shape) {
                    let Atom::Int(i) = i else { return None };
                    let i = usize::try_from(i).ok().filter(|&i| i < n)?;
                    flat = flat * n + i;
                }
                let x = *data.get(flat)?;
                Some(Reduced::Atom(match ty.scalar {
                    Scalar::Real => Atom::Real(x),
                    Scalar::Int => Atom::Int(x as i64),
                    Scalar::Bool => Atom::Bool(x != 0.0),
                }))
            }
            Prim::Stack => {
                let Atom::Int(i) = index[0] else { return None };
                let part = *parts.get(usize::try_from(i).ok()?)?;
                if index.len() == 1 {
                    return Some(Reduced::Atom(part));
                }
                let mut args = vec![part];
                args.extend_from_slice(&index[1..]);
                Some(Reduced::Op(Op::Read, args))
            }
            Prim::Concat { axis } => {
                let (low, high) = self.range(index[*axis]);
                let mut start = 0i64;
                for &part in parts {
                    let n = i64::try_from(self.program.atom_type(part).shape[*axis]).ok()?;
                    if low >= start && high < start + n {
                        let mut args = vec![part];
                        args.extend_from_slice(index);
                        args[axis + 1] = self.make(out, Op::IAdd, &[index[*axis], Atom::Int(-start)]);
                        return Some(Reduced::Op(Op::Read, args));
                    }
                    start += n;
                }
                None
            }
            Prim::Reshape { .. } => {
                let inside = index.iter().zip(&shape).all(|(&i, &n)| self.is_inside(i, n));
                let source = self.program.atom_type(parts[0]).shape;
                if !inside {
                    return None;
                }
                let literal: Option<Vec<i64>> =
                    index.iter().map(|&i| if let Atom::Int(i) = i { Some(i) } else { None }).collect();
                if source.len() == 1 {
                    let mut flat = Atom::Int(0);
                    for (&i, &n) in index.iter().zip(&shape) {
                        let n = i64::try_from(n).ok()?;
                        let f = self.make(out, Op::IMul, &[flat, Atom::Int(n)]);
                        flat = self.make(out, Op::IAdd, &[f, i]);
                    }
                    return Some(Reduced::Op(Op::Read, vec![parts[0], flat]));
                }
                let mut flat = 0i64;
                for (i, &n) in literal?.into_iter().zip(&shape) {
                    flat = flat.checked_mul(i64::try_from(n).ok()?)?.checked_add(i)?;
                }
                let mut args = vec![parts[0]];
                let mut places = Vec::new();
                for &n in source.iter().rev() {
                    let n = i64::try_from(n).ok()?.max(1);
                    places.push(Atom::Int(flat % n));
                    flat /= n;
                }
                args.extend(places.into_iter().rev());
                Some(Reduced::Op(Op::Read, args))
            }
            Prim::Cholesky | Prim::SolveLower { .. } | Prim::CumSum { .. } | Prim::Sort | Prim::Subset { .. } => None,
        }
    }

    fn is_inside(&self, index: Atom, extent: usize) -> bool {
        let (low, high) = self.range(index);
        low >= 0 && i64::try_from(extent).is_ok_and(|n| high < n)
    }

    /// An element of a `for` that collects what does not change in it, or elements of another array.
    fn read_for(&mut self, out: &mut Vec<Stmt>, f: &For, k: usize, index: &[Atom]) -> Option<Reduced> {
        if f.collectors[k] != Collector::Collect {
            return None;
        }
        let inside = index.iter().zip(&f.indices).all(|(&i, &(_, n))| self.is_inside(i, n));
        if !inside {
            return None;
        }
        let lead = f.indices.len();
        let mut map: HashMap<Var, Atom> = f.indices.iter().zip(index).map(|(&(v, _), &a)| (v, a)).collect();
        let value = f.body.results[k];
        let defined: HashMap<Var, &Stmt> =
            f.body.stmts.iter().flat_map(|s| s.results().into_iter().map(move |r| (r, s))).collect();
        // Statements that the value needs, last first.
        let mut needed: Vec<&Stmt> = Vec::new();
        let mut seen: HashSet<Var> = HashSet::default();
        let mut todo: Vec<Atom> = vec![value];
        while let Some(a) = todo.pop() {
            let Atom::Var(v) = a else { continue };
            let Some(&stmt) = defined.get(&v) else { continue };
            if !seen.insert(v) {
                continue;
            }
            let Stmt::Op { op, args, .. } = stmt else { return None };
            if !is_view(*op) || needed.len() >= 6 {
                return None;
            }
            needed.push(stmt);
            todo.extend(args);
        }
        let order: HashMap<Var, usize> =
            f.body.stmts.iter().enumerate().flat_map(|(n, s)| s.results().into_iter().map(move |r| (r, n))).collect();
        needed.sort_by_key(|s| s.results().first().and_then(|r| order.get(r).copied()));
        for stmt in needed {
            let Stmt::Op { result, op, args } = stmt else { return None };
            let args: Vec<Atom> =
                args.iter().map(|a| a.var().and_then(|v| map.get(&v).copied()).unwrap_or(*a)).collect();
            let new = self.make(out, *op, &args);
            map.insert(*result, new);
        }
        let value = value.var().and_then(|v| map.get(&v).copied()).unwrap_or(value);
        if index.len() == lead {
            return Some(Reduced::Atom(value));
        }
        let mut args = vec![value];
        args.extend_from_slice(&index[lead..]);
        Some(Reduced::Op(Op::Read, args))
    }

    /// The array that a `for` copies element by element, if it does only that.
    pub(super) fn copied_array(&self, f: &For, k: usize) -> Option<Atom> {
        if f.collectors[k] != Collector::Collect {
            return None;
        }
        let value = f.body.results[k].var()?;
        let read = f.body.stmts.iter().find(|s| s.results().first() == Some(&value))?;
        let Stmt::Op { op: Op::Read, args, .. } = read else { return None };
        let source = args[0];
        let inside: HashSet<Var> = f.body.stmts.iter().flat_map(Stmt::results).collect();
        if source.var().is_none_or(|v| inside.contains(&v)) {
            return None;
        }
        let same_index = args.len() == f.indices.len() + 1
            && args[1..].iter().zip(&f.indices).all(|(&a, &(v, n))| a == Atom::Var(v) || (n == 1 && a == Atom::Int(0)));
        let extents: Vec<usize> = f.indices.iter().map(|&(_, n)| n).collect();
        (same_index && self.program.atom_type(source).shape == extents).then_some(source)
    }

    /// True if all elements above the diagonal of a matrix are proved zero.
    pub(super) fn is_lower(&self, matrix: Atom) -> bool {
        match self.definition(matrix) {
            Some(Definition::Array(Prim::Cholesky, _)) => true,
            Some(Definition::For(f, k)) => {
                let [(i, _), (j, _)] = f.indices[..] else { return false };
                f.collectors[*k] == Collector::Collect && zero_above(&[&f.body], f.body.results[*k], i, j)
            }
            _ => false,
        }
    }
}

fn is_view(op: Op) -> bool {
    matches!(op, Op::Read | Op::IAdd | Op::ISub | Op::IMul | Op::IMin | Op::IMax)
}

fn find<'b>(blocks: &[&'b Block], atom: Atom) -> Option<&'b Stmt> {
    let v = atom.var()?;
    blocks.iter().rev().find_map(|b| b.stmts.iter().find(|s| s.results().contains(&v)))
}

/// The value is zero wherever `i < j`.
fn zero_above(blocks: &[&Block], atom: Atom, i: Var, j: Var) -> bool {
    if matches!(atom, Atom::Real(v) if v == 0.0) {
        return true;
    }
    match find(blocks, atom) {
        Some(Stmt::Op { op: Op::Select, args, .. }) => match truth_above(blocks, args[0], i, j) {
            Some(true) => zero_above(blocks, args[1], i, j),
            Some(false) => zero_above(blocks, args[2], i, j),
            None => zero_above(blocks, args[1], i, j) && zero_above(blocks, args[2], i, j),
        },
        Some(Stmt::If(If { results, condition, then, otherwise })) => {
            let Some(k) = atom.var().and_then(|v| results.iter().position(|&r| r == v)) else { return false };
            let side = |block: &Block| {
                let mut inner = blocks.to_vec();
                inner.push(block);
                zero_above(&inner, block.results[k], i, j)
            };
            match truth_above(blocks, *condition, i, j) {
                Some(true) => side(then),
                Some(false) => side(otherwise),
                None => side(then) && side(otherwise),
            }
        }
        _ => false,
    }
}

/// A condition's value wherever `i < j`, if it has one.
fn truth_above(blocks: &[&Block], condition: Atom, i: Var, j: Var) -> Option<bool> {
    if let Atom::Bool(c) = condition {
        return Some(c);
    }
    let Some(Stmt::Op { op, args, .. }) = find(blocks, condition) else { return None };
    let (vi, vj) = (Atom::Var(i), Atom::Var(j));
    let ordered = args.len() == 2 && args[0] == vi && args[1] == vj;
    let swapped = args.len() == 2 && args[0] == vj && args[1] == vi;
    match op {
        Op::ILt | Op::ILe if ordered => Some(true),
        Op::ILt | Op::ILe if swapped => Some(false),
        Op::IEq if ordered || swapped => Some(false),
        Op::Not => truth_above(blocks, args[0], i, j).map(|c| !c),
        Op::And => match (truth_above(blocks, args[0], i, j), truth_above(blocks, args[1], i, j)) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        },
        Op::Or => match (truth_above(blocks, args[0], i, j), truth_above(blocks, args[1], i, j)) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        },
        _ => None,
    }
}

//! Elements of arrays, evaluated anew: reads through collected loops, joined pieces, reshapes and contractions, and folds
//! over inner indices.

use super::pull::{Element, Env, Interrupt, Pull, Pulled, UNROLL_LIMIT, fail};
use super::tree;
use crate::ir::core::{Atom, Collector, Contract, For, If, Prim, Scalar, Stmt, Var};
use crate::ir::op::Op;
use std::collections::{HashMap, HashSet};

impl Pull<'_> {
    /// `array[indices]` under `env`, where `indices` are new atoms.
    pub(crate) fn read(&mut self, array: Atom, indices: &[Atom], env: &Env) -> Pulled<Atom> {
        if indices.is_empty() {
            return self.scalar_value(array, env);
        }
        let Atom::Var(var) = array else { return Ok(array) };
        let plain = |p: &mut Self, array: Atom| {
            let mut args = vec![array];
            args.extend_from_slice(indices);
            p.op(Op::Read, &args)
        };
        if self.is_direct(var) {
            return Ok(plain(self, array));
        }
        if let Some(&(compound, k)) = self.defs.carried.get(&var) {
            let index = super::definitions::compound_indices(&self.defs.compounds[compound])[0].0;
            let at = env.get(&index).copied().unwrap_or(index.into());
            return self.carried_at(compound, k, at, env, indices);
        }
        let Some((stmt, position)) = self.defs.stmts.get(&var).cloned() else { return Ok(plain(self, array)) };
        match &*stmt {
            Stmt::For(f) => match &f.collectors[position] {
                Collector::Collect => {
                    let n = f.indices.len();
                    let mut inner = env.clone();
                    for (&(v, _), &at) in f.indices.iter().zip(indices) {
                        inner.insert(v, at);
                    }
                    self.read(f.body.results[position], &indices[n..], &inner)
                }
                Collector::Sum { keep } => {
                    let n = keep.len();
                    if indices.len() == n && self.tainted.contains(&var) {
                        return self.fold(f, position, keep, indices, env);
                    }
                    let whole = self.value(array, env)?;
                    Ok(plain(self, whole))
                }
                Collector::SumAt { .. } | Collector::Max | Collector::Min | Collector::All => {
                    if self.tainted.contains(&var) {
                        return Err(fail("enumerated values are scattered into an array"));
                    }
                    let whole = self.value(array, env)?;
                    Ok(plain(self, whole))
                }
            },
            Stmt::Loop(l) => {
                let id = self.defs.results.get(&var).copied().unwrap_or(0);
                if position < l.carried.len() {
                    let last = Atom::Int(i64::try_from(l.extent).unwrap_or(0));
                    return self.carried_at(id, position, last, env, indices);
                }
                if matches!(l.collectors[position - l.carried.len()], Collector::Collect) {
                    if !self.tainted.contains(&var) {
                        return self.exported(var, indices, env);
                    }
                    let mut inner = env.clone();
                    inner.insert(l.index, indices[0]);
                    return self.read(l.body.results[position], &indices[1..], &inner);
                }
                Err(fail("enumerated values are folded by a sequential loop"))
            }
            Stmt::If(i) => self.branch(i, env, |p, env, block| p.read(block.results[position], indices, env)),
            Stmt::Array { prim, args, .. } => match prim {
                Prim::Concat { axis } => self.piece(args, *axis, indices, env),
                Prim::Stack => match indices[0] {
                    Atom::Int(i) => match usize::try_from(i).ok().and_then(|i| args.get(i)) {
                        Some(&a) => self.read(a, &indices[1..], env),
                        None => Ok(plain(self, array)),
                    },
                    at => {
                        if !self.tainted.contains(&var) {
                            let whole = self.value(array, env)?;
                            return Ok(plain(self, whole));
                        }
                        self.cut_for(at)?;
                        let mut chosen: Option<Atom> = None;
                        for (i, &a) in args.iter().enumerate().rev() {
                            let value = self.read(a, &indices[1..], env)?;
                            chosen = Some(match chosen {
                                None => value,
                                Some(rest) => {
                                    let here = self.op(Op::IEq, &[at, Atom::Int(i64::try_from(i).unwrap_or(0))]);
                                    self.op(Op::Select, &[here, value, rest])
                                }
                            });
                        }
                        Ok(chosen.unwrap_or(Atom::Real(0.0)))
                    }
                },
                Prim::Fill { .. } => self.atom(args[0], env),
                Prim::Reshape { shape } => {
                    let from = self.program.atom_type(args[0]).shape;
                    let at = self.reshaped(indices, shape, &from);
                    self.read(args[0], &at, env)
                }
                Prim::Cholesky
                | Prim::SolveLower { .. }
                | Prim::CumSum { .. }
                | Prim::Sort
                | Prim::Const { .. }
                | Prim::Subset { .. } => {
                    let whole = self.value(array, env)?;
                    Ok(plain(self, whole))
                }
            },
            Stmt::Op { op: Op::Stop, args, .. } => {
                let value = self.read(args[0], indices, env)?;
                Ok(self.op(Op::Stop, &[value]))
            }
            Stmt::Contract(c) if self.tainted.contains(&var) => {
                if self.sums_whole(c) {
                    let whole = self.outside(var, env)?;
                    return Ok(plain(self, whole));
                }
                self.contract_at(c, indices, env)
            }
            Stmt::Sample(s) if self.is_redrawn(var) => {
                let whole = self.redrawn(s, position, env)?;
                Ok(plain(self, whole))
            }
            Stmt::Sample(_) => {
                if let Some(&(site, k)) = self.site_of.get(&var) {
                    let whole = self.element(var, site, k, env)?;
                    return Ok(plain(self, whole));
                }
                self.exported(var, indices, env)
            }
            Stmt::Contract(_) | Stmt::Op { .. } | Stmt::Draw(_) | Stmt::Check { .. } | Stmt::Term(_) => {
                let whole = self.value(array, env)?;
                Ok(plain(self, whole))
            }
        }
    }

    /// What both branches of a condition read is evaluated before them, in the scope where it stands: an `if` after the
    /// other over a running value would else be followed once more in each branch, 2^n times in all.
    pub(super) fn read_by_branches(&mut self, i: &If, position: usize, env: &Env) -> Pulled<()> {
        let condition = self.atom(i.condition, env)?;
        if matches!(condition, Atom::Bool(_)) {
            return Ok(());
        }
        let mut known = HashMap::new();
        let mut needed = Vec::new();
        for block in [&i.then, &i.otherwise] {
            known.extend(block.stmts.iter().flat_map(|s| s.results().into_iter().map(move |r| (r, s))));
            needed.extend(block.results.get(position));
        }
        let mut seen = HashSet::new();
        while let Some(atom) = needed.pop() {
            let Atom::Var(v) = atom else { continue };
            if !seen.insert(v) {
                continue;
            }
            match known.get(&v) {
                // Only what is evaluated whichever way inner conditions fall.
                Some(Stmt::Op { op: Op::Read, args, .. }) => needed.extend(&args[1..]),
                Some(Stmt::Op { args, .. }) => needed.extend(args),
                Some(Stmt::If(inner)) => needed.push(inner.condition),
                Some(_) => {}
                None if self.tainted.contains(&v) && self.program.ty(v).is_scalar() => {
                    self.atom(atom, env)?;
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Least and largest value of an index, if it is a constant or a new loop index plus a constant.
    pub(crate) fn interval(&self, at: Atom) -> Option<(i64, i64)> {
        match self.affine(at) {
            (None, c) => matches!(at, Atom::Int(_)).then_some((c, c)),
            (Some(v), c) => {
                let n = i64::try_from(*self.ranges.get(&v)?).ok()?;
                Some((c, c + n - 1))
            }
        }
    }

    /// Whether two elements of one site are known to be different ones.
    pub(crate) fn differ(&self, a: &Element, b: &Element) -> bool {
        a.at.iter().zip(&b.at).any(|(&x, &y)| {
            let ((base_x, offset_x), (base_y, offset_y)) = (self.affine(x), self.affine(y));
            if base_x == base_y && offset_x != offset_y {
                return true;
            }
            match (self.interval(x), self.interval(y)) {
                (Some((low_x, high_x)), Some((low_y, high_y))) => high_x < low_y || high_y < low_x,
                _ => false,
            }
        })
    }

    /// A loop index, of the task or of a fold, that `at` is an arithmetic function of: with that loop cut into single
    /// iterations the index is a constant.
    pub(super) fn index_behind(&self, at: Atom) -> Option<Var> {
        let v = at.var()?;
        if self.task_indices.contains(&v) || self.inner.contains(&v) {
            return Some(v);
        }
        match self.operations.get(&v)? {
            (Op::IAdd | Op::ISub | Op::IMul | Op::IDiv | Op::IMod | Op::IMax | Op::IMin, args) => {
                args.iter().find_map(|&a| self.index_behind(a))
            }
            _ => None,
        }
    }

    /// Asks for the loop behind an index of written-out elements to be cut, so that the element is known.
    pub(super) fn cut_for(&self, at: Atom) -> Pulled<()> {
        match self.index_behind(at) {
            Some(index) if self.ranges.get(&index).is_some_and(|&n| (2..=UNROLL_LIMIT).contains(&n)) => {
                Err(Interrupt::Split { index, at: 1 })
            }
            _ => Ok(()),
        }
    }

    /// Whether each element of a product needs all of what is eliminated in its operands: one product serves them all.
    fn sums_whole(&self, c: &Contract) -> bool {
        let summed =
            |a: Atom, labels: &[u8]| !tree::is_tainted(&self.tainted, a) || labels.iter().all(|l| !c.out.contains(l));
        summed(c.a, &c.a_labels) && summed(c.b, &c.b_labels)
    }

    fn contract_at(&mut self, c: &Contract, indices: &[Atom], env: &Env) -> Pulled<Atom> {
        let mut extents: HashMap<u8, usize> = HashMap::new();
        for (atom, labels) in [(c.a, &c.a_labels), (c.b, &c.b_labels)] {
            let shape = self.program.atom_type(atom).shape;
            extents.extend(labels.iter().copied().zip(shape));
        }
        let mut summed: Vec<u8> =
            c.a_labels.iter().chain(&c.b_labels).copied().filter(|l| !c.out.contains(l)).collect();
        summed.dedup();
        let mut seen = HashSet::new();
        summed.retain(|l| seen.insert(*l));
        let sizes: Vec<usize> = summed.iter().map(|l| extents.get(l).copied().unwrap_or(1)).collect();
        let fixed: HashMap<u8, Atom> = c.out.iter().copied().zip(indices.iter().copied()).collect();
        let (a, b, a_labels, b_labels) = (c.a, c.b, c.a_labels.clone(), c.b_labels.clone());
        self.fold_over(&sizes, Op::Add, &Collector::Sum { keep: Vec::new() }, Atom::Real(0.0), |p, at| {
            let of = |l: &u8| {
                fixed
                    .get(l)
                    .copied()
                    .or_else(|| summed.iter().position(|s| s == l).map(|k| at[k]))
                    .unwrap_or(Atom::Int(0))
            };
            let ia: Vec<Atom> = a_labels.iter().map(of).collect();
            let ib: Vec<Atom> = b_labels.iter().map(of).collect();
            let x = p.read(a, &ia, env)?;
            let y = p.read(b, &ib, env)?;
            Ok(p.op(Op::Mul, &[x, y]))
        })
    }

    fn reshaped(&mut self, indices: &[Atom], shape: &[usize], from: &[usize]) -> Vec<Atom> {
        let mut linear = Atom::Int(0);
        for (&i, &n) in indices.iter().zip(shape) {
            let scaled = self.op(Op::IMul, &[linear, Atom::Int(i64::try_from(n).unwrap_or(1))]);
            linear = if scaled == Atom::Int(0) { i } else { self.op(Op::IAdd, &[scaled, i]) };
        }
        let mut at = vec![Atom::Int(0); from.len()];
        for (k, &n) in from.iter().enumerate().rev() {
            let n = Atom::Int(i64::try_from(n).unwrap_or(1));
            if k == 0 {
                at[0] = linear;
            } else {
                at[k] = self.op(Op::IMod, &[linear, n]);
                linear = self.op(Op::IDiv, &[linear, n]);
            }
        }
        at
    }

    /// The piece of a joined array that `indices` falls in.
    fn piece(&mut self, args: &[Atom], axis: usize, indices: &[Atom], env: &Env) -> Pulled<Atom> {
        let (base, offset) = self.affine(indices[axis]);
        let extent = base.map_or(1, |v| self.ranges.get(&v).copied().unwrap_or(usize::MAX));
        let last = i64::try_from(extent).unwrap_or(i64::MAX).saturating_add(offset).saturating_sub(1);
        let mut before = 0_i64;
        for &a in args {
            let n = self.program.atom_type(a).shape.get(axis).copied().unwrap_or(0);
            let end = before + i64::try_from(n).unwrap_or(0);
            if last < end && offset >= before {
                let mut at = indices.to_vec();
                at[axis] = self.op(Op::IAdd, &[at[axis], Atom::Int(-before)]);
                return self.read(a, &at, env);
            }
            if offset < end && offset >= before {
                // Starts in this piece and ends in another one.
                let cut = usize::try_from(end - offset).unwrap_or(0);
                return match base {
                    Some(index) if extent != usize::MAX => Err(Interrupt::Split { index, at: cut }),
                    _ => self.piece_by_cases(args, axis, indices, env),
                };
            }
            before = end;
        }
        self.piece_by_cases(args, axis, indices, env)
    }

    /// A joined array read at an index that only the run knows.
    fn piece_by_cases(&mut self, args: &[Atom], axis: usize, indices: &[Atom], env: &Env) -> Pulled<Atom> {
        if args.iter().any(|&a| tree::is_tainted(&self.tainted, a)) {
            self.cut_for(indices[axis])?;
        }
        let mut before = 0_i64;
        let mut cases = Vec::new();
        for &a in args {
            let n = i64::try_from(self.program.atom_type(a).shape.get(axis).copied().unwrap_or(0)).unwrap_or(0);
            let mut at = indices.to_vec();
            let moved = self.op(Op::IAdd, &[at[axis], Atom::Int(-before)]);
            let low = self.op(Op::IMax, &[moved, Atom::Int(0)]);
            at[axis] = self.op(Op::IMin, &[low, Atom::Int((n - 1).max(0))]);
            before += n;
            let here = self.op(Op::ILt, &[indices[axis], Atom::Int(before)]);
            let value = self.read(a, &at, env)?;
            cases.push((here, value));
        }
        let mut result = cases.last().map_or(Atom::Real(0.0), |c| c.1);
        for &(here, value) in cases.iter().rev().skip(1) {
            result = self.op(Op::Select, &[here, value, result]);
        }
        Ok(result)
    }

    /// A fold of a `for` with the kept indices given.
    pub(super) fn fold(&mut self, f: &For, position: usize, keep: &[usize], at: &[Atom], env: &Env) -> Pulled<Atom> {
        let mut inner = env.clone();
        for (&k, &a) in keep.iter().zip(at) {
            inner.insert(f.indices[k].0, a);
        }
        let free: Vec<(Var, usize)> =
            f.indices.iter().enumerate().filter(|(k, _)| !keep.contains(k)).map(|(_, &x)| x).collect();
        let extents: Vec<usize> = free.iter().map(|x| x.1).collect();
        let value = f.body.results[position];
        let ty = self.program.atom_type(value);
        if !ty.is_scalar() {
            return Err(fail("arrays of enumerated values are added up"));
        }
        let int = ty.scalar == Scalar::Int;
        let (op, collector, zero) = match &f.collectors[position] {
            Collector::Max if int => (Op::IMax, Collector::Max, Atom::Int(i64::MIN)),
            Collector::Max => (Op::Max, Collector::Max, Atom::Real(f64::NEG_INFINITY)),
            Collector::Min if int => (Op::IMin, Collector::Min, Atom::Int(i64::MAX)),
            Collector::Min => (Op::Min, Collector::Min, Atom::Real(f64::INFINITY)),
            Collector::All => (Op::And, Collector::All, Atom::Bool(true)),
            Collector::Sum { .. } | Collector::Collect | Collector::SumAt { .. } if int => {
                (Op::IAdd, Collector::Sum { keep: Vec::new() }, Atom::Int(0))
            }
            Collector::Sum { .. } | Collector::Collect | Collector::SumAt { .. } => {
                (Op::Add, Collector::Sum { keep: Vec::new() }, Atom::Real(0.0))
            }
        };
        self.fold_over(&extents, op, &collector, zero, |p, at| {
            let mut env = inner.clone();
            for (&(v, _), &a) in free.iter().zip(at) {
                env.insert(v, a);
            }
            p.atom(value, &env)
        })
    }

    pub(super) fn combine(&mut self, op: Op, parts: Vec<Atom>, zero: Atom) -> Atom {
        let mut total: Option<Atom> = None;
        for part in parts {
            total = Some(match total {
                None => part,
                Some(sum) => self.op(op, &[sum, part]),
            });
        }
        total.unwrap_or(zero)
    }
}

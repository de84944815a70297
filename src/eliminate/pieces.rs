//! Folds and arrays whose elements are not all alike are cut in pieces whose elements are: at the seams of joined arrays.
//! Only what cannot be had in pieces is written out, element by element.
//!
//! before: `sum over k<153 of w[k] · concat(x, last)[k]`
//! after:  `sum over k<144 of w[k] · x[k]  +  sum over k<9 of w[144 + k] · last[k]`

use super::pull::{Interrupt, Pull, Pulled, Scope, UNROLL_LIMIT, fail, too_many, unravel};
use crate::ir::core::{Atom, Block, Collector, For, Prim, Scalar, Stmt, Type, Var};
use crate::ir::op::Op;

/// First index and extent of each axis.
type Ranges = Vec<(usize, usize)>;

/// New indices, what was emitted under them, and the value.
type Looped = (Vec<(Var, usize)>, Scope, Atom);

fn whole(extents: &[usize]) -> Ranges {
    extents.iter().map(|&n| (0, n)).collect()
}

fn size(ranges: &[(usize, usize)]) -> usize {
    ranges.iter().fold(1, |size, &(_, n)| size.saturating_mul(n))
}

fn cut(ranges: &[(usize, usize)], axis: usize, at: usize) -> (Ranges, Ranges) {
    let (mut first, mut second) = (ranges.to_vec(), ranges.to_vec());
    let (low, n) = ranges[axis];
    first[axis] = (low, at);
    second[axis] = (low + at, n - at);
    (first, second)
}

fn int(i: usize) -> Atom {
    Atom::Int(i64::try_from(i).unwrap_or(i64::MAX))
}

/// The elements of a box in row-major order.
fn elements(ranges: &[(usize, usize)]) -> Vec<Vec<Atom>> {
    let extents: Vec<usize> = ranges.iter().map(|r| r.1).collect();
    let place = |linear: usize| {
        let at = unravel(linear, &extents).into_iter().zip(ranges);
        at.map(|(a, &(low, _))| if let Atom::Int(i) = a { int(low + usize::try_from(i).unwrap_or(0)) } else { a })
            .collect()
    };
    (0..size(ranges)).map(place).collect()
}

impl Pull<'_> {
    /// The array of `extents` whose elements `element` evaluates.
    pub(super) fn array_of(
        &mut self,
        scalar: Scalar,
        extents: &[usize],
        mut element: impl FnMut(&mut Self, &[Atom]) -> Pulled<Atom>,
    ) -> Pulled<Atom> {
        self.piece_of(scalar, &whole(extents), &mut element, &mut UNROLL_LIMIT.clone())
    }

    /// `left`: how many more pieces may be made.
    fn piece_of(
        &mut self,
        scalar: Scalar,
        ranges: &[(usize, usize)],
        element: &mut impl FnMut(&mut Self, &[Atom]) -> Pulled<Atom>,
        left: &mut usize,
    ) -> Pulled<Atom> {
        let extents: Vec<usize> = ranges.iter().map(|r| r.1).collect();
        let ty = Type { scalar, shape: extents.clone() };
        match self.in_loop(ranges, &mut *element) {
            Ok((indices, scope, value)) if indices.is_empty() => {
                self.extend(scope);
                return Ok(self.primitive(Prim::Fill { shape: extents }, vec![value], ty));
            }
            Ok((indices, scope, value)) => {
                let inner: Vec<usize> = indices.iter().map(|i| i.1).collect();
                let result = self.program.new_var(Type { scalar, shape: inner.clone() }, None);
                let body = Block { stmts: scope.stmts, results: vec![value] };
                let collectors = vec![Collector::Collect];
                self.push(Stmt::For(For { results: vec![result], indices, body, collectors, strip: None }));
                if inner == extents {
                    return Ok(result.into());
                }
                return Ok(self.primitive(Prim::Reshape { shape: extents }, vec![result.into()], ty));
            }
            Err(Interrupt::Cut { axis, at }) if *left > 0 => {
                *left -= 1;
                let (first, second) = cut(ranges, axis, at);
                let first = self.piece_of(scalar, &first, element, left)?;
                let second = self.piece_of(scalar, &second, element, left)?;
                return Ok(self.primitive(Prim::Concat { axis }, vec![first, second], ty));
            }
            Err(Interrupt::Unroll | Interrupt::Cut { .. }) => {}
            Err(other) => return Err(other),
        }
        if size(ranges) > UNROLL_LIMIT {
            return Err(fail("an array of enumerated values is used as a whole"));
        }
        let mut all = Vec::new();
        for at in elements(ranges) {
            all.push(element(self, &at)?);
        }
        let flat = self.primitive(Prim::Stack, all, Type::array(scalar, [size(ranges)]));
        if extents.len() == 1 {
            return Ok(flat);
        }
        Ok(self.primitive(Prim::Reshape { shape: extents }, vec![flat], ty))
    }

    fn primitive(&mut self, prim: Prim, args: Vec<Atom>, ty: Type) -> Atom {
        let result = self.program.new_var(ty, None);
        self.push(Stmt::Array { results: vec![result], prim, args });
        result.into()
    }

    fn extend(&mut self, scope: Scope) {
        for stmt in scope.stmts {
            self.push(stmt);
        }
    }

    /// A fold of what `element` evaluates.
    pub(super) fn fold_over(
        &mut self,
        extents: &[usize],
        op: Op,
        collector: &Collector,
        zero: Atom,
        mut element: impl FnMut(&mut Self, &[Atom]) -> Pulled<Atom>,
    ) -> Pulled<Atom> {
        if extents.is_empty() {
            return element(self, &[]);
        }
        let mut pieces = vec![whole(extents)];
        let mut parts = Vec::new();
        while let Some(ranges) = pieces.pop() {
            match self.in_loop(&ranges, &mut element) {
                Ok((indices, scope, value)) if indices.is_empty() => {
                    self.extend(scope);
                    parts.push(value);
                }
                Ok((indices, scope, value)) => {
                    let ty = self.program.atom_type(value);
                    let inner: Vec<usize> = indices.iter().map(|i| i.1).collect();
                    let result = self.program.new_var(collector.result_type(&inner, &ty), None);
                    let body = Block { stmts: scope.stmts, results: vec![value] };
                    let collectors = vec![collector.clone()];
                    self.push(Stmt::For(For { results: vec![result], indices, body, collectors, strip: None }));
                    parts.push(result.into());
                }
                Err(Interrupt::Cut { axis, at }) if parts.len() + pieces.len() < UNROLL_LIMIT => {
                    let (first, second) = cut(&ranges, axis, at);
                    pieces.extend([second, first]);
                }
                Err(Interrupt::Unroll | Interrupt::Cut { .. }) => {
                    if size(&ranges) > UNROLL_LIMIT {
                        return Err(too_many(size(&ranges)));
                    }
                    for at in elements(&ranges) {
                        parts.push(element(self, &at)?);
                    }
                }
                Err(other) => return Err(other),
            }
        }
        Ok(self.combine(op, parts, zero))
    }

    /// Evaluates in a new scope under fresh inner indices over `ranges`; an axis of one element has no index.
    fn in_loop(
        &mut self,
        ranges: &[(usize, usize)],
        eval: impl FnOnce(&mut Self, &[Atom]) -> Pulled<Atom>,
    ) -> Pulled<Looped> {
        let depth = self.scopes.len();
        self.scopes.push(Scope::default());
        let mut indices: Vec<(Var, usize)> = Vec::new();
        let mut axes = Vec::new();
        let mut atoms = Vec::new();
        for (axis, &(low, n)) in ranges.iter().enumerate() {
            if n == 1 {
                atoms.push(int(low));
                continue;
            }
            let index = self.program.new_var(Type::INT, None);
            self.ranges.insert(index, n);
            self.inner.insert(index);
            indices.push((index, n));
            axes.push(axis);
            let at = self.op(Op::IAdd, &[index.into(), int(low)]);
            atoms.push(at);
        }
        if let Some(scope) = self.scopes.last_mut() {
            scope.indices = indices.iter().map(|i| i.0).collect();
        }
        let value = eval(self, &atoms);
        for (v, _) in &indices {
            self.inner.remove(v);
        }
        match value {
            Ok(value) => {
                let scope = self.scopes.pop().unwrap_or_default();
                Ok((indices, scope, value))
            }
            Err(e) => {
                self.scopes.truncate(depth);
                let Interrupt::Split { index, at } = e else { return Err(e) };
                let Some(k) = indices.iter().position(|&(v, _)| v == index) else { return Err(e) };
                let (low, n) = ranges[axes[k]];
                // Elements that are cut off one by one are written out.
                let singly = at == 1 && low > 0 && size(ranges) <= UNROLL_LIMIT;
                Err(if singly || at == 0 || at >= n { Interrupt::Unroll } else { Interrupt::Cut { axis: axes[k], at } })
            }
        }
    }

    /// A whole array, made outside those loops at hand that it does not depend on.
    pub(super) fn outside(&mut self, array: Var, env: &super::pull::Env) -> Pulled<Atom> {
        let (_, at) = self.memo_key(array, env);
        let mut depth = self.scopes.len();
        while depth > 1 {
            let scope = &self.scopes[depth - 1];
            let own = scope.indices.iter().copied().chain(scope.stmts.iter().flat_map(Stmt::results)).collect();
            if scope.indices.is_empty() || at.iter().any(|&a| self.depends(a, &own)) {
                break;
            }
            depth -= 1;
        }
        let mut inner = self.scopes.split_off(depth);
        let value = self.value(array.into(), env);
        self.scopes.append(&mut inner);
        value
    }
}

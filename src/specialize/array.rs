//! Arrays of the partial evaluator: reading elements, views, forcing into Core, element-wise maps, sums, joining.

use super::machine::{Fail, Machine, R, UNKNOWN, refuse};
use super::value::{Array, Known, Repr, Value, ViewAxis};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::ir::core::{Atom, Collector, Prim, Scalar, Stmt, Type, Var};
use crate::ir::op::Op;
use crate::types::program::ItemId;

/// One index of an indexing expression.
#[derive(Clone, Copy, Debug)]
pub(super) enum Index {
    At(Atom),
    /// `from..from + len`
    Slice(Atom, usize),
    /// The whole axis.
    All,
}

fn literal(scalar: Scalar, x: f64) -> Atom {
    match scalar {
        Scalar::Real => Atom::Real(x),
        Scalar::Int => Atom::Int(x as i64),
        Scalar::Bool => Atom::Bool(x != 0.0),
    }
}

impl<'a> Machine<'a> {
    pub(super) fn out_of_bounds<T>(&self, span: Span, index: i64, extent: usize) -> R<T> {
        refuse(span, format!("index {index} is outside an axis of extent {extent}"))
    }

    /// The element at as many indices as there are axes.
    pub(super) fn element(&mut self, array: &Array<'a>, indices: &[Atom]) -> R<Atom> {
        for (&index, &extent) in indices.iter().zip(&array.shape) {
            if let Atom::Int(i) = index
                && (i < 0 || i as u64 >= extent as u64)
            {
                return self.out_of_bounds(Span::default(), i, extent);
            }
        }
        match &array.repr {
            Repr::Fill(a) => Ok(*a),
            Repr::Core(base) => Ok(self.read(*base, indices)),
            Repr::View { base, axes } => {
                let full = self.view_indices(axes, indices);
                Ok(self.read(*base, &full))
            }
            Repr::Rows { base, axes } => {
                let at = self.row_indices(axes, indices, Span::default())?;
                Ok(self.read(*base, &at))
            }
            Repr::Known(k) => {
                let mut flat = 0usize;
                for (&index, &extent) in indices.iter().zip(&array.shape) {
                    let Atom::Int(i) = index else {
                        let base = self.known_atom(k);
                        return Ok(self.read(base, indices));
                    };
                    flat = flat * extent + i as usize;
                }
                Ok(literal(k.scalar, k.values.get(flat).copied().unwrap_or(f64::NAN)))
            }
            Repr::List(items) => {
                if let Some(Atom::Int(i)) = indices.first().copied()
                    && let Some(item) = items.get(i as usize)
                {
                    return match item {
                        Value::Scalar(a) => Ok(self.convert(*a, array.scalar)),
                        Value::Array(inner) => {
                            let atom = self.element(inner, &indices[1..])?;
                            Ok(self.convert(atom, array.scalar))
                        }
                        other => refuse(Span::default(), format!("an element that is {}", other.kind())),
                    };
                }
                let base = self.force_array(array)?;
                Ok(self.read(base, indices))
            }
        }
    }

    fn view_indices(&mut self, axes: &[ViewAxis], indices: &[Atom]) -> Vec<Atom> {
        let mut rest = indices.iter();
        let mut full = Vec::with_capacity(axes.len());
        for axis in axes {
            match axis {
                ViewAxis::At(a) => full.push(*a),
                ViewAxis::From(offset) => {
                    let index = rest.next().copied().unwrap_or(Atom::Int(0));
                    full.push(self.op(Op::IAdd, &[index, *offset]));
                }
            }
        }
        full
    }

    /// An int as a real where reals are wanted.
    pub(super) fn convert(&mut self, atom: Atom, scalar: Scalar) -> Atom {
        if scalar == Scalar::Real { self.real_of(atom) } else { atom }
    }

    /// `value[indices]`; missing trailing indices keep their axes. Records and tuples are indexed leaf by leaf.
    pub(super) fn index(&mut self, value: &Value<'a>, indices: &[Index], span: Span) -> R<Value<'a>> {
        if indices.is_empty() {
            return Ok(value.clone());
        }
        match value {
            Value::Array(array) => self.index_array(array, indices, span),
            Value::Record(fields) => {
                let fields: R<Vec<_>> =
                    fields.iter().map(|(n, v)| Ok((n.clone(), self.index(v, indices, span)?))).collect();
                Ok(Value::record(fields?))
            }
            Value::Tuple(items) => {
                let items: R<Vec<_>> = items.iter().map(|v| self.index(v, indices, span)).collect();
                Ok(Value::Tuple(items?.into()))
            }
            Value::Range(from, to) => match indices {
                [Index::At(i)] => {
                    let atom = self.op(Op::IAdd, &[*i, Atom::Int(*from)]);
                    Ok(Value::Scalar(atom))
                }
                _ => self.index(&range_array(*from, *to), indices, span),
            },
            Value::List(items) => match indices {
                [Index::At(Atom::Int(i))] => match usize::try_from(*i).ok().and_then(|i| items.get(i)) {
                    Some(item) => Ok(item.clone()),
                    None => self.out_of_bounds(span, *i, items.len()),
                },
                [Index::At(Atom::Var(_))] if !self.open.is_empty() => {
                    let index = self.open.last().map_or(Var(0), |o| o.index);
                    let reason =
                        Diagnostic::error("E0390", span, "the index of a list must be known when data are bound");
                    Err(Fail::Unroll { index, reason: Box::new(reason) })
                }
                _ => refuse(span, "the index of a list must be known when data are bound"),
            },
            other => refuse(span, format!("{} can't be indexed", other.kind())),
        }
    }

    fn index_array(&mut self, array: &Array<'a>, indices: &[Index], span: Span) -> R<Value<'a>> {
        if indices.len() > array.shape.len() {
            return refuse(span, format!("{} indices for {} axes", indices.len(), array.shape.len()));
        }
        for (index, &extent) in indices.iter().zip(&array.shape) {
            match index {
                Index::At(Atom::Int(i)) if *i < 0 || *i as u64 >= extent as u64 => {
                    return self.out_of_bounds(span, *i, extent);
                }
                Index::Slice(Atom::Int(from), len) if *from < 0 || *from as usize + len > extent => {
                    return refuse(
                        span,
                        format!("slice {from}..{} of an axis of extent {extent}", *from + *len as i64),
                    );
                }
                _ => {}
            }
        }
        if indices.len() == array.shape.len()
            && let Some(atoms) =
                indices.iter().map(|i| if let Index::At(a) = i { Some(*a) } else { None }).collect::<Option<Vec<_>>>()
        {
            if let Repr::Rows { base, axes } = &array.repr {
                let at = self.row_indices(axes, &atoms, span)?;
                return Ok(Value::Scalar(self.read(*base, &at)));
            }
            return Ok(Value::Scalar(self.element(array, &atoms)?));
        }
        if let Repr::Rows { base, axes } = &array.repr {
            return self.index_rows(array.scalar, *base, axes, indices, span);
        }
        let mut shape = Vec::new();
        for (k, &extent) in array.shape.iter().enumerate() {
            match indices.get(k) {
                Some(Index::At(_)) => {}
                Some(Index::Slice(_, len)) => shape.push(*len),
                Some(Index::All) | None => shape.push(extent),
            }
        }
        match &array.repr {
            Repr::Fill(a) => return Ok(Value::fill(*a, array.scalar, shape)),
            Repr::List(items) => match indices[0] {
                Index::At(Atom::Int(i)) => {
                    let item = items[i as usize].clone();
                    return self.index(&item, &indices[1..], span);
                }
                Index::Slice(Atom::Int(from), len) if indices.len() == 1 => {
                    let part = items[from as usize..from as usize + len].to_vec();
                    return Ok(Value::Array(Array { scalar: array.scalar, shape, repr: Repr::List(part.into()) }));
                }
                Index::All if indices.len() == 1 => return Ok(Value::Array(array.clone())),
                _ => {}
            },
            Repr::Known(k) => {
                if let Some(part) = known_part(k, indices) {
                    return Ok(Value::known(Known { name: None, scalar: k.scalar, shape, values: part }));
                }
            }
            Repr::Core(_) | Repr::View { .. } | Repr::Rows { .. } => {}
        }
        let (base, old): (Atom, Vec<ViewAxis>) = match &array.repr {
            Repr::View { base, axes } => (*base, axes.to_vec()),
            _ => (self.force_array(array)?, vec![ViewAxis::From(Atom::Int(0)); array.shape.len()]),
        };
        let mut given = indices.iter();
        let mut axes = Vec::with_capacity(old.len());
        for axis in old {
            axes.push(match axis {
                ViewAxis::At(a) => ViewAxis::At(a),
                ViewAxis::From(offset) => match given.next() {
                    None | Some(Index::All) => ViewAxis::From(offset),
                    Some(Index::At(a)) => ViewAxis::At(self.op(Op::IAdd, &[*a, offset])),
                    Some(Index::Slice(from, _)) => ViewAxis::From(self.op(Op::IAdd, &[*from, offset])),
                },
            });
        }
        Ok(Value::Array(Array { scalar: array.scalar, shape, repr: Repr::View { base, axes: axes.into() } }))
    }

    /// Fewer indices than axes of an array by rows: what is left may still be by rows.
    fn index_rows(
        &mut self,
        scalar: Scalar,
        base: Atom,
        axes: &[Option<ItemId>],
        indices: &[Index],
        span: Span,
    ) -> R<Value<'a>> {
        let mut at = Vec::with_capacity(indices.len());
        let mut left: Vec<Option<ItemId>> = Vec::new();
        for (k, axis) in axes.iter().enumerate() {
            match (indices.get(k), axis) {
                (Some(Index::At(i)), Some(_)) => at.push(Index::At(self.row_indices(&[*axis], &[*i], span)?[0])),
                (Some(Index::Slice(..)), Some(plate)) => return self.not_this_step(*plate, span),
                (Some(i), _) => {
                    if !matches!(i, Index::At(_)) {
                        left.push(*axis);
                    }
                    at.push(*i);
                }
                (None, _) => left.push(*axis),
            }
        }
        let shape = self.program.atom_type(base).shape;
        let part = self.index(&Value::core(base, scalar, shape), &at, span)?;
        if left.iter().all(Option::is_none) {
            return Ok(part);
        }
        let atom = self.force(&part, span)?;
        let mut value = Value::core(atom, scalar, self.program.atom_type(atom).shape);
        for (axis, plate) in left.iter().enumerate() {
            if let Some(plate) = plate.and_then(|id| self.plates.get(&id).cloned()) {
                value = self.mark_rows(&value, axis, &plate);
            }
        }
        Ok(value)
    }

    /// One Core atom for a scalar or a whole array.
    pub(super) fn force(&mut self, value: &Value<'a>, span: Span) -> R<Atom> {
        match value {
            Value::Scalar(a) => Ok(*a),
            Value::Array(array) => self.force_array(array),
            Value::Range(from, to) => {
                let Value::Array(array) = range_array(*from, *to) else {
                    return refuse(span, "a range");
                };
                self.force_array(&array)
            }
            other => refuse(span, format!("a number or an array is needed, this is {}", other.kind())),
        }
    }

    pub(super) fn force_array(&mut self, array: &Array<'a>) -> R<Atom> {
        let ty = Type { scalar: array.scalar, shape: array.shape.clone() };
        match &array.repr {
            Repr::Core(a) => Ok(*a),
            Repr::Known(k) => Ok(self.known_atom(k)),
            Repr::Fill(a) => {
                let a = self.convert(*a, array.scalar);
                Ok(self.prim(Prim::Fill { shape: array.shape.clone() }, &[a], ty))
            }
            Repr::List(items) => {
                if let Some(values) = literals(items, array.scalar) {
                    let known = Known { name: None, scalar: array.scalar, shape: array.shape.clone(), values };
                    let data = known.values.into();
                    let var = self.new_var(ty.clone(), None);
                    let (mut lower, mut upper) = (f64::INFINITY, f64::NEG_INFINITY);
                    for item in items.iter() {
                        if let Value::Scalar(a) = item {
                            let f = self.fact(*a);
                            lower = lower.min(f.lower);
                            upper = upper.max(f.upper);
                        }
                    }
                    self.stmts.push(Stmt::Array {
                        results: vec![var],
                        prim: Prim::Const { data, ty },
                        args: Vec::new(),
                    });
                    self.set_fact(var.into(), super::machine::Fact { lower, upper, ..UNKNOWN });
                    return Ok(var.into());
                }
                let mut atoms = Vec::with_capacity(items.len());
                for item in items.iter() {
                    let item = self.with_scalar(item, array.scalar)?;
                    atoms.push(self.force(&item, Span::default())?);
                }
                Ok(self.prim(Prim::Stack, &atoms, ty))
            }
            Repr::Rows { axes, .. } => match axes.iter().flatten().next() {
                Some(plate) => self.not_this_step(*plate, Span::default()),
                None => refuse(Span::default(), "an array by rows without a plate"),
            },
            Repr::View { .. } => {
                let copy = array.clone();
                let results =
                    self.for_(&array.shape, vec![Collector::Collect], |m, idx| Ok(vec![m.element(&copy, idx)?]))?;
                Ok(results[0])
            }
        }
    }

    /// Ints to reals where reals are wanted, element by element.
    pub(super) fn with_scalar(&mut self, value: &Value<'a>, scalar: Scalar) -> R<Value<'a>> {
        if scalar != Scalar::Real {
            return Ok(value.clone());
        }
        match value {
            Value::Scalar(a) => Ok(Value::Scalar(self.real_of(*a))),
            Value::Range(from, to) => self.with_scalar(&range_array(*from, *to), scalar),
            Value::Array(array) if array.scalar != Scalar::Real => match &array.repr {
                Repr::Known(k) => {
                    Ok(Value::known(Known { name: None, scalar, shape: k.shape.clone(), values: k.values.clone() }))
                }
                Repr::List(items) => {
                    let items: R<Vec<_>> = items.iter().map(|v| self.with_scalar(v, scalar)).collect();
                    let shape = array.shape.clone();
                    Ok(Value::Array(Array { scalar, shape, repr: Repr::List(items?.into()) }))
                }
                Repr::Fill(a) => {
                    let a = self.real_of(*a);
                    Ok(Value::fill(a, scalar, array.shape.clone()))
                }
                Repr::Rows { base, axes } => {
                    let inner = Value::core(*base, array.scalar, self.program.atom_type(*base).shape);
                    let inner = self.with_scalar(&inner, scalar)?;
                    let repr = Repr::Rows { base: self.force(&inner, Span::default())?, axes: axes.clone() };
                    Ok(Value::Array(Array { scalar, shape: array.shape.clone(), repr }))
                }
                Repr::Core(_) | Repr::View { .. } => {
                    let array = array.clone();
                    self.map(&array.shape.clone(), scalar, |m, idx| {
                        let x = m.element(&array, idx)?;
                        Ok(m.real_of(x))
                    })
                }
            },
            other => Ok(other.clone()),
        }
    }

    /// An array by its elements.
    pub(super) fn map(
        &mut self,
        shape: &[usize],
        scalar: Scalar,
        f: impl FnOnce(&mut Machine<'a>, &[Atom]) -> R<Atom>,
    ) -> R<Value<'a>> {
        if shape.is_empty() {
            return Ok(Value::Scalar(f(self, &[])?));
        }
        let results = self.for_(shape, vec![Collector::Collect], |m, idx| Ok(vec![f(m, idx)?]))?;
        let scalar = results.first().map_or(scalar, |&a| self.scalar_of(a));
        Ok(Value::core(results[0], scalar, shape.to_vec()))
    }

    /// Applies a scalar function to numbers of one shape (or scalars), element by element.
    pub(super) fn elementwise(
        &mut self,
        args: &[Value<'a>],
        span: Span,
        f: &mut dyn FnMut(&mut Machine<'a>, &[Atom]) -> R<Atom>,
    ) -> R<Value<'a>> {
        let mut arrays: Vec<Value<'a>> = Vec::with_capacity(args.len());
        for arg in args {
            arrays.push(match arg {
                Value::Range(from, to) => range_array(*from, *to),
                Value::Scalar(_) | Value::Array(_) => arg.clone(),
                other => return refuse(span, format!("a number or an array is needed, this is {}", other.kind())),
            });
        }
        let mut shape: Option<Vec<usize>> = None;
        for v in &arrays {
            if let Value::Array(a) = v {
                match &shape {
                    Some(s) if *s != a.shape => {
                        return refuse(span, format!("shapes {:?} and {:?} differ", s, a.shape));
                    }
                    Some(_) => {}
                    None => shape = Some(a.shape.clone()),
                }
            }
        }
        let Some(shape) = shape else {
            let atoms: Vec<Atom> =
                arrays.iter().filter_map(|v| if let Value::Scalar(a) = v { Some(*a) } else { None }).collect();
            return Ok(Value::Scalar(f(self, &atoms)?));
        };
        let static_parts = arrays.iter().all(|v| match v {
            Value::Scalar(_) => true,
            Value::Array(a) => matches!(a.repr, Repr::Fill(_)),
            _ => false,
        });
        if static_parts {
            let atoms: Vec<Atom> = arrays
                .iter()
                .filter_map(|v| match v {
                    Value::Scalar(a) => Some(*a),
                    Value::Array(Array { repr: Repr::Fill(a), .. }) => Some(*a),
                    _ => None,
                })
                .collect();
            let atom = f(self, &atoms)?;
            let scalar = self.scalar_of(atom);
            return Ok(Value::fill(atom, scalar, shape));
        }
        let listed = arrays.iter().any(|v| matches!(v, Value::Array(Array { repr: Repr::List(_), .. })))
            && arrays.iter().all(|v| match v {
                Value::Scalar(_) => true,
                Value::Array(a) => match &a.repr {
                    Repr::List(_) | Repr::Fill(_) => true,
                    Repr::Known(k) => k.name.is_none(),
                    Repr::Core(_) | Repr::View { .. } => shape[0] <= 8,
                    Repr::Rows { .. } => false,
                },
                _ => false,
            });
        if listed {
            let mut items = Vec::with_capacity(shape[0]);
            for i in 0..shape[0] {
                let mut parts = Vec::with_capacity(arrays.len());
                for v in &arrays {
                    parts.push(match v {
                        Value::Array(_) => self.index(v, &[Index::At(Atom::Int(i as i64))], span)?,
                        other => other.clone(),
                    });
                }
                items.push(self.elementwise(&parts, span, f)?);
            }
            return self.stack(items, span);
        }
        self.map(&shape, Scalar::Real, |m, idx| {
            let mut atoms = Vec::with_capacity(arrays.len());
            for v in &arrays {
                atoms.push(match v {
                    Value::Array(a) => m.element(a, idx)?,
                    Value::Scalar(a) => *a,
                    _ => Atom::Real(f64::NAN),
                });
            }
            f(m, &atoms)
        })
    }

    /// Values of one form as an array with a new first axis; records and tuples leaf by leaf.
    pub(super) fn stack(&mut self, items: Vec<Value<'a>>, span: Span) -> R<Value<'a>> {
        if items.iter().any(|v| matches!(v, Value::Estimate(_))) {
            return self.estimates_stack(items, span);
        }
        match items.first() {
            None => Ok(Value::fill(Atom::Real(0.0), Scalar::Real, vec![0])),
            Some(Value::Unit) => Ok(Value::Unit),
            Some(Value::Bijector(_) | Value::Item(_)) => Ok(Value::List(items.into())),
            Some(Value::Record(first)) => {
                let names: Vec<String> = first.iter().map(|(n, _)| n.clone()).collect();
                let mut fields = Vec::new();
                for name in names {
                    let column: Option<Vec<Value<'a>>> = items.iter().map(|v| v.field(&name).cloned()).collect();
                    let Some(column) = column else {
                        return refuse(span, format!("field `{name}` is missing in an element"));
                    };
                    fields.push((name, self.stack(column, span)?));
                }
                Ok(Value::record(fields))
            }
            Some(Value::Tuple(first)) => {
                let mut parts = Vec::new();
                for k in 0..first.len() {
                    let column: Option<Vec<Value<'a>>> =
                        items.iter().map(|v| if let Value::Tuple(t) = v { t.get(k).cloned() } else { None }).collect();
                    let Some(column) = column else {
                        return refuse(span, "elements of different form");
                    };
                    parts.push(self.stack(column, span)?);
                }
                Ok(Value::Tuple(parts.into()))
            }
            Some(_) => {
                let mut scalar: Option<Scalar> = None;
                let mut inner: Option<Vec<usize>> = None;
                let mut elements = Vec::with_capacity(items.len());
                for item in items {
                    let item = if let Value::Range(a, b) = item { range_array(a, b) } else { item };
                    let (s, shape) = match &item {
                        Value::Scalar(a) => (self.scalar_of(*a), Vec::new()),
                        Value::Array(a) => (a.scalar, a.shape.clone()),
                        other => return refuse(span, format!("{} can't be an element of an array", other.kind())),
                    };
                    scalar = Some(match scalar {
                        None => s,
                        Some(t) if t == s => t,
                        Some(_) => Scalar::Real,
                    });
                    match &inner {
                        None => inner = Some(shape),
                        Some(i) if *i == shape => {}
                        Some(i) => return refuse(span, format!("elements of shapes {i:?} and {shape:?}")),
                    }
                    elements.push(item);
                }
                let scalar = scalar.unwrap_or(Scalar::Real);
                let mut elements_of_type = Vec::with_capacity(elements.len());
                for e in &elements {
                    elements_of_type.push(self.with_scalar(e, scalar)?);
                }
                let mut shape = vec![elements_of_type.len()];
                shape.extend(inner.unwrap_or_default());
                Ok(Value::Array(Array { scalar, shape, repr: Repr::List(elements_of_type.into()) }))
            }
        }
    }

    /// Sum of all elements.
    pub(super) fn sum(&mut self, value: &Value<'a>, span: Span) -> R<Atom> {
        match value {
            Value::Scalar(a) => Ok(*a),
            Value::Range(from, to) => Ok(Atom::Int((*from..*to).sum())),
            Value::Array(array) => match &array.repr {
                Repr::Known(k) if k.scalar == Scalar::Int => Ok(Atom::Int(k.values.iter().map(|&x| x as i64).sum())),
                Repr::List(items) => {
                    let mut total: Option<Atom> = None;
                    for item in items.iter() {
                        let part = self.sum(item, span)?;
                        total = Some(match total {
                            None => part,
                            Some(t) => self.add(t, part),
                        });
                    }
                    Ok(total.unwrap_or(literal(array.scalar, 0.0)))
                }
                Repr::Fill(a) => {
                    let n: usize = array.shape.iter().product();
                    Ok(match self.scalar_of(*a) {
                        Scalar::Int => self.op(Op::IMul, &[*a, Atom::Int(n as i64)]),
                        _ => self.op(Op::Mul, &[*a, Atom::Real(n as f64)]),
                    })
                }
                _ => {
                    let array = array.clone();
                    let results =
                        self.for_(&array.shape.clone(), vec![Collector::Sum { keep: vec![] }], |m, idx| {
                            let x = m.element(&array, idx)?;
                            Ok(vec![if m.scalar_of(x) == Scalar::Bool { m.real_of(x) } else { x }])
                        })?;
                    Ok(results[0])
                }
            },
            other => refuse(span, format!("`sum` needs an array, this is {}", other.kind())),
        }
    }

    pub(super) fn add(&mut self, a: Atom, b: Atom) -> Atom {
        match (self.scalar_of(a), self.scalar_of(b)) {
            (Scalar::Int, Scalar::Int) => self.op(Op::IAdd, &[a, b]),
            _ => self.real_op(Op::Add, &[a, b]),
        }
    }

    /// Runs `f` with statements going to the region at `depth` (0: the outermost), after those already there.
    pub(super) fn at_depth<T>(&mut self, depth: usize, f: impl FnOnce(&mut Machine<'a>) -> R<T>) -> R<T> {
        if depth >= self.outer.len() {
            return f(self);
        }
        let inner = self.outer.split_off(depth + 1);
        let target = self.outer.pop().unwrap_or_default();
        let present = std::mem::replace(&mut self.stmts, target);
        let result = f(self);
        let target = std::mem::replace(&mut self.stmts, present);
        self.outer.push(target);
        self.outer.extend(inner);
        result
    }

    /// Concatenation along the first axis; scalars count as arrays of length 1.
    pub(super) fn concat(&mut self, parts: Vec<Value<'a>>, span: Span) -> R<Value<'a>> {
        let mut scalar = None;
        let mut lists: Vec<Value<'a>> = Vec::new();
        let mut all_static = true;
        for part in parts {
            let part = match part {
                Value::Scalar(_) => self.stack(vec![part], span)?,
                Value::Range(a, b) => range_array(a, b),
                other => other,
            };
            let Value::Array(array) = &part else {
                return refuse(span, format!("{} can't be concatenated", part.kind()));
            };
            scalar = Some(match scalar {
                None => array.scalar,
                Some(s) if s == array.scalar => s,
                Some(_) => Scalar::Real,
            });
            all_static &= matches!(array.repr, Repr::List(_)) || array.shape[0] <= 1;
            lists.push(part);
        }
        let scalar = scalar.unwrap_or(Scalar::Real);
        if all_static {
            let mut items = Vec::new();
            for list in &lists {
                let Value::Array(a) = list else { continue };
                for i in 0..a.shape[0] {
                    items.push(self.index(list, &[Index::At(Atom::Int(i as i64))], span)?);
                }
            }
            return self.stack(items, span);
        }
        let mut atoms = Vec::new();
        let mut shape: Vec<usize> = Vec::new();
        for list in &lists {
            let list = self.with_scalar(list, scalar)?;
            let Value::Array(a) = &list else { continue };
            if a.shape[0] == 0 {
                continue;
            }
            if shape.is_empty() {
                shape = a.shape.clone();
            } else if shape[1..] != a.shape[1..] {
                return refuse(span, format!("shapes {:?} and {:?} can't be concatenated", shape, a.shape));
            } else {
                shape[0] += a.shape[0];
            }
            atoms.push(self.force_array(a)?);
        }
        if let [one] = atoms.as_slice() {
            return Ok(Value::core(*one, scalar, shape));
        }
        let atom = self.prim(Prim::Concat { axis: 0 }, &atoms, Type { scalar, shape: shape.clone() });
        Ok(Value::core(atom, scalar, shape))
    }
}

/// `from..to` as an array of ints.
pub(super) fn range_array<'a>(from: i64, to: i64) -> Value<'a> {
    let values: Vec<f64> = (from..to.max(from)).map(|i| i as f64).collect();
    Value::known(Known { name: None, scalar: Scalar::Int, shape: vec![values.len()], values })
}

fn literals(items: &[Value<'_>], scalar: Scalar) -> Option<Vec<f64>> {
    let mut values = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Value::Scalar(Atom::Real(x)) if scalar == Scalar::Real => values.push(*x),
            Value::Scalar(Atom::Int(i)) => values.push(*i as f64),
            Value::Scalar(Atom::Bool(b)) if scalar == Scalar::Bool => values.push(f64::from(u8::from(*b))),
            Value::Array(Array { repr: Repr::List(inner), .. }) => values.extend(literals(inner, scalar)?),
            _ => return None,
        }
    }
    Some(values)
}

/// Elements of a known array at static indices.
fn known_part(k: &Known, indices: &[Index]) -> Option<Vec<f64>> {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for (axis, &extent) in k.shape.iter().enumerate() {
        ranges.push(match indices.get(axis) {
            Some(Index::At(Atom::Int(i))) => (*i as usize, 1),
            Some(Index::At(_)) => return None,
            Some(Index::Slice(Atom::Int(from), len)) => (*from as usize, *len),
            Some(Index::Slice(..)) => return None,
            Some(Index::All) | None => (0, extent),
        });
    }
    let mut flats = vec![0usize];
    for (axis, &(from, len)) in ranges.iter().enumerate() {
        flats = flats.iter().flat_map(|&f| (from..from + len).map(move |i| f * k.shape[axis] + i)).collect();
    }
    Some(flats.iter().map(|&f| k.values[f]).collect())
}

impl From<std::num::TryFromIntError> for Fail {
    fn from(_: std::num::TryFromIntError) -> Fail {
        Fail::Error(Box::new(crate::diagnostic::Diagnostic::bare("E0390", "a size is too large")))
    }
}

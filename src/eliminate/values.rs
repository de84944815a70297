//! Values that other iterations or other places hold: carried variables, arrays made visible, whole copies of what does
//! not depend on sites, and the elements of sites.

use super::definitions::compound_indices;
use super::pull::{CARRY_LIMIT, Element, Env, Interrupt, Pull, Pulled, UNROLL_LIMIT, fail, without_terms};
use super::tree;
use crate::ir::core::{Atom, Sample, Stmt, Type, Var};
use crate::ir::op::Op;
use crate::ir::walk::{Substitution, copy_stmt};
use std::collections::HashSet;
use std::rc::Rc;

impl Pull<'_> {
    /// Carried variable `k` of a loop at the start of iteration `at` (its final value at the extent), read at `indices`.
    pub(super) fn carried_at(
        &mut self,
        compound: usize,
        k: usize,
        at: Atom,
        env: &Env,
        indices: &[Atom],
    ) -> Pulled<Atom> {
        let defs = self.defs.clone();
        let Stmt::Loop(l) = &*defs.compounds[compound] else { return Err(fail("a loop was expected")) };
        let (var, init) = l.carried[k];
        if !self.tainted.contains(&var) {
            let last = Atom::Int(i64::try_from(l.extent).unwrap_or(0));
            if at == last {
                // The final value is the loop's own result.
                return self.exported(l.results[k], indices, env);
            }
            let mut inner = env.clone();
            inner.insert(l.index, at);
            return self.exported(var, indices, &inner);
        }
        if l.reverse {
            return Err(fail("enumerated values are carried by a reversed loop"));
        }
        self.depth += 1;
        if self.depth > CARRY_LIMIT * 40 {
            self.depth = 0;
            return Err(fail("a carried value depends on all earlier enumerated values"));
        }
        let (base, offset) = self.affine(at);
        let result = match base {
            None if offset <= 0 => self.read(init, indices, env),
            Some(v) if offset <= 0 => {
                let extent = self.ranges.get(&v).copied().unwrap_or(0);
                let cut = usize::try_from(1 - offset).unwrap_or(0);
                if cut >= extent && extent != 0 {
                    // All of the loop lies before the first iteration: one by one.
                    Err(Interrupt::Split { index: v, at: 1 })
                } else {
                    Err(Interrupt::Split { index: v, at: cut })
                }
            }
            _ => {
                let before = self.op(Op::IAdd, &[at, Atom::Int(-1)]);
                let mut inner = env.clone();
                inner.insert(l.index, before);
                self.carry_steps += 1;
                if self.carry_steps > CARRY_LIMIT {
                    self.carry_steps = 0;
                    return Err(fail(
                        "a carried value is not one of the last sampled values, and depends on all of them",
                    ));
                }
                let value = self.read(l.body.results[k], indices, &inner);
                self.carry_steps = self.carry_steps.saturating_sub(1);
                value
            }
        };
        self.depth = self.depth.saturating_sub(1);
        result
    }

    /// A sample that depends on the value which is overridden: its draw of the base run was another one.
    pub(super) fn is_redrawn(&self, var: Var) -> bool {
        self.overrides.is_some() && self.tainted.contains(&var)
    }

    /// A plain draw of a sample's distribution under `env`, at the counters of the base run.
    pub(super) fn redrawn(&mut self, sample: &Sample, position: usize, env: &Env) -> Pulled<Atom> {
        let mut new = sample.clone();
        for a in &mut new.args {
            *a = self.value(*a, env)?;
        }
        for (a, _) in &mut new.index {
            *a = self.atom(*a, env)?;
        }
        let Some(redraw) = self.redraw.as_mut() else { return Err(fail("a sample is drawn again")) };
        let drawn = redraw(self.program, &new);
        let (stmts, values) = drawn.map_err(|d| Interrupt::Fail(Box::new(d)))?;
        for stmt in stmts {
            self.push(stmt);
        }
        Ok(values.get(position).copied().unwrap_or(Atom::Real(0.0)))
    }

    /// A value that cannot be computed anew here, read from an array made visible by its own loops.
    pub(super) fn exported(&mut self, var: Var, indices: &[Atom], env: &Env) -> Pulled<Atom> {
        if self.fresh.varies(var, &self.shots) {
            self.conflicts.insert(var);
        }
        let around = self.defs.indices(var);
        if around.is_empty() && indices.is_empty() {
            return Ok(var.into());
        }
        let array = match self.exports.iter().find(|e| e.0 == var) {
            Some(&(_, array)) => array,
            None if around.is_empty() => var,
            None => {
                let mut shape: Vec<usize> = self
                    .defs
                    .home(var)
                    .iter()
                    .flat_map(|&c| compound_indices(&self.defs.compounds[c]))
                    .map(|(_, n)| n)
                    .collect();
                let ty = self.program.ty(var).clone();
                shape.extend(&ty.shape);
                let array = self.program.new_var(Type { scalar: ty.scalar, shape }, None);
                self.exports.push((var, array));
                array
            }
        };
        let mut args: Vec<Atom> = vec![array.into()];
        args.extend(around.iter().map(|i| env.get(i).copied().unwrap_or((*i).into())));
        args.extend_from_slice(indices);
        if args.len() - 1 < self.program.ty(array).shape.len() {
            // A whole element of array type.
            let shape = self.program.ty(var).shape.clone();
            let prefix = args.clone();
            let scalar = self.program.ty(var).scalar;
            return self.array_of(scalar, &shape, |p, at| {
                let mut args = prefix.clone();
                args.extend_from_slice(at);
                Ok(p.op(Op::Read, &args))
            });
        }
        Ok(self.op(Op::Read, &args))
    }

    /// A copy of a whole statement that depends on no eliminated site, with its operands evaluated.
    pub(super) fn copy_whole(&mut self, stmt: &Rc<Stmt>, position: usize, env: &Env) -> Pulled<Atom> {
        if tree::has_sample(stmt) {
            let var = stmt.results()[position];
            return self.exported(var, &[], env);
        }
        let mut map = Substitution::default();
        let mut free: Vec<Var> = stmt.free_vars().into_iter().collect();
        free.sort();
        for v in free {
            let value = match env.get(&v) {
                Some(&value) => value,
                None => self.value(v.into(), env)?,
            };
            map.insert(v, value);
        }
        let redrawn = self.fresh.redrawn(stmt, &self.shots);
        let copy = copy_stmt(self.program, &redrawn, &mut map);
        let copy = without_terms(copy);
        let results = copy.results();
        self.push(copy);
        // The other results are known from here on, too.
        for (&old, &new) in stmt.results().iter().zip(&results) {
            let key = self.memo_key(old, env);
            if let Some(scope) = self.scopes.last_mut() {
                scope.memo.insert(key, new.into());
            }
        }
        Ok(results[position].into())
    }

    /// The value of a site's element.
    pub(super) fn element(&mut self, var: Var, site: usize, position: usize, env: &Env) -> Pulled<Atom> {
        let at: Vec<Atom> = self.defs.indices(var).iter().map(|i| env.get(i).copied().unwrap_or((*i).into())).collect();
        for &a in &at {
            if self.depends_on_inner(a) {
                return Err(Interrupt::Unroll);
            }
        }
        if let Some(axis) = at.iter().position(|&a| self.depends_on_values(a)) {
            return self.chosen(var, site, position, &at, axis, env);
        }
        let element = Element { site, at };
        if let Some((_, values)) = self.assigned.iter().rev().find(|(e, _)| *e == element) {
            return Ok(values[position]);
        }
        if !self.recording {
            return Err(fail("an enumerated value was met that the term's analysis did not list"));
        }
        let types = self.site_types[site].clone();
        let values: Vec<Atom> = types
            .into_iter()
            .map(|ty| {
                let v = self.program.new_var(ty, None);
                self.placeholders.insert(v);
                v.into()
            })
            .collect();
        let value = values[position];
        self.assigned.push((element, values));
        Ok(value)
    }

    /// An element whose index along `axis` depends on the values of others: one of all elements there.
    fn chosen(&mut self, var: Var, site: usize, position: usize, at: &[Atom], axis: usize, env: &Env) -> Pulled<Atom> {
        let home = self.defs.home(var).to_vec();
        let loops: Vec<(Var, usize)> = home.iter().flat_map(|&c| compound_indices(&self.defs.compounds[c])).collect();
        let (index, extent) = loops[axis];
        if extent > UNROLL_LIMIT {
            return Err(fail("an enumerated value is the index of one of many elements of another enumerated address"));
        }
        let mut chosen: Option<Atom> = None;
        for i in (0..extent).rev() {
            let i = Atom::Int(i64::try_from(i).unwrap_or(0));
            let mut inner = env.clone();
            for (&(v, _), &a) in loops.iter().zip(at) {
                inner.insert(v, a);
            }
            inner.insert(index, i);
            let value = self.element(var, site, position, &inner)?;
            chosen = Some(match chosen {
                None => value,
                Some(rest) => {
                    let here = self.op(Op::IEq, &[at[axis], i]);
                    self.op(Op::Select, &[here, value, rest])
                }
            });
        }
        Ok(chosen.unwrap_or(Atom::Int(0)))
    }

    fn depends_on_inner(&self, atom: Atom) -> bool {
        !self.inner.is_empty() && self.depends(atom, &self.inner)
    }

    /// Whether an index depends on the value of an element: one assigned, or one that stands for it.
    fn depends_on_values(&self, atom: Atom) -> bool {
        if matches!(atom, Atom::Int(_)) {
            return false;
        }
        let values: HashSet<Var> = self.value_vars.iter().chain(&self.placeholders).copied().collect();
        self.depends(atom, &values)
    }

    pub(super) fn depends(&self, atom: Atom, on: &HashSet<Var>) -> bool {
        let Atom::Var(v) = atom else { return false };
        on.contains(&v) || self.operations.get(&v).is_some_and(|(_, args)| args.iter().any(|&a| self.depends(a, on)))
    }
}

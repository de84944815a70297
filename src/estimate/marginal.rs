//! Tables of joint probabilities of enumerated elements.
//!
//! * Elements outside loops: `marginal(S) = Σ_{parents ∖ S} marginal((S ∖ z) ∪ parents(z)) · coefficient_z`, with `z` the
//!   last of `S`, each set made once: a straight-line chain of n sites costs n tables, a tree one per node.
//! * A chain (`x[t]` depends on `x[t-1] … x[t-w]`): a `loop` over tables
//!   `α_t[window]`, `β_t[window, x_t] = α_t · coefficient_t`, `α_{t+1} = Σ_dropped β_t`; all `β_t` are kept, conditional on
//!   the parents that all iterations share. One row of a plate of chains at a time.

use super::TABLE_LIMIT;
use super::distribute::Enumeration;
use super::pull::{Element, Interrupt, Pulled, Scope, unsupported};
use crate::ir::core::{Atom, Block, Collector, For, Loop, Scalar, Stmt, Type, Var};
use crate::ir::op::Op;

/// A parent of every iteration of a chain; indices are constants or the chain's plates.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    site: usize,
    at: Vec<SharedIndex>,
}

#[derive(Clone, Copy, Debug)]
enum SharedIndex {
    Constant(i64),
    Plate(usize),
}

impl Shared {
    pub(crate) fn at(&self, plates: &[Atom]) -> Element {
        let at = self
            .at
            .iter()
            .map(|i| match *i {
                SharedIndex::Constant(c) => Atom::Int(c),
                SharedIndex::Plate(p) => plates[p],
            })
            .collect();
        Element { site: self.site, at }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Chain {
    /// `[plates…, time - window, shared…, window…, latest…]`.
    pub table: Atom,
    pub window: usize,
    pub shared: Vec<Shared>,
}

fn fail<T>(message: &str) -> Pulled<T> {
    Err(Interrupt::Fail(Box::new(unsupported(message))))
}

/// State of the evaluator set aside while a table is made at the top.
struct Aside {
    scopes: Vec<Scope>,
    assigned: Vec<(Element, Vec<Atom>)>,
    placeholders: std::collections::HashSet<Var>,
    recording: bool,
}

impl Enumeration<'_, '_, '_> {
    /// A topological key of elements with constant indices.
    pub(crate) fn order(&self, element: &Element) -> (usize, i64, usize, Vec<i64>) {
        let number = |a: &Atom| match a {
            Atom::Int(i) => *i,
            _ => 0,
        };
        let at: Vec<i64> = element.at.iter().map(number).collect();
        match self.chain_of(element.site) {
            Some(compound) => {
                let first = (0..self.sites.len()).find(|&s| self.chain_of(s) == Some(compound)).unwrap_or(element.site);
                (first, at.last().copied().unwrap_or(0), element.site, at)
            }
            None => (element.site, 0, element.site, at),
        }
    }

    fn set_aside(&mut self) -> Aside {
        Aside {
            scopes: self.pull.scopes.split_off(1),
            assigned: std::mem::take(&mut self.pull.assigned),
            placeholders: std::mem::take(&mut self.pull.placeholders),
            recording: std::mem::replace(&mut self.pull.recording, false),
        }
    }

    fn resume(&mut self, aside: Aside) {
        self.pull.scopes.truncate(1);
        self.pull.scopes.extend(aside.scopes);
        self.pull.assigned = aside.assigned;
        self.pull.placeholders = aside.placeholders;
        self.pull.recording = aside.recording;
    }

    /// The joint table of elements outside loops, sorted by [`Enumeration::order`]; one axis per element.
    pub(crate) fn marginal(&mut self, set: &[Element]) -> Pulled<Atom> {
        if let Some(&table) = self.marginals.get(set) {
            return Ok(table);
        }
        let aside = self.set_aside();
        let made = self.make_marginal(set);
        self.resume(aside);
        let table = made?;
        self.marginals.insert(set.to_vec(), table);
        Ok(table)
    }

    fn make_marginal(&mut self, set: &[Element]) -> Pulled<Atom> {
        let Some((last, before)) = set.split_last() else { return fail("a table of nothing was asked for") };
        let parents = self.parents(last)?;
        for p in &parents {
            if !p.at.iter().all(|a| matches!(a, Atom::Int(_))) || !self.tabulable(p.site) {
                return fail("an enumerated site depends on another one in a way that cannot be tabulated");
            }
            if self.chain_of(p.site).is_some_and(|c| self.anchored(c, p)) {
                return fail("an enumerated site depends on a late element of a chain");
            }
        }
        let extra: Vec<Element> = parents.iter().filter(|p| !before.contains(p)).cloned().collect();
        let mut rest: Vec<Element> = before.iter().chain(&extra).cloned().collect();
        rest.sort_by_key(|e| self.order(e));
        let below = if rest.is_empty() { None } else { Some(self.marginal(&rest)?) };
        let dims: Vec<Element> = set.iter().chain(&extra).cloned().collect();
        let extents: Vec<usize> = dims.iter().map(|e| self.support(e.site)).collect();
        self.check_table(&extents)?;
        let indices: Vec<(Var, usize)> =
            extents.iter().map(|&n| (self.pull.d.program.new_var(Type::INT, None), n)).collect();
        for &(v, n) in &indices {
            self.pull.ranges.insert(v, n);
            self.pull.values.insert(v);
        }
        self.pull.scopes.push(Scope::default());
        for (element, &(l, _)) in dims.iter().zip(&indices) {
            if element != last {
                self.assign(element, &[l.into()])?;
            }
        }
        let own = before.len();
        let mut value = self.coefficient(last, indices[own].0.into())?;
        if let Some(table) = below {
            let mut args = vec![table];
            for element in &rest {
                let k = dims.iter().position(|d| d == element).unwrap_or(0);
                args.push(indices[k].0.into());
            }
            let w = self.pull.op(Op::Read, &args);
            value = self.pull.op(Op::Mul, &[w, value]);
        }
        let keep: Vec<usize> = (0..set.len()).collect();
        Ok(self.close_table(indices, value, keep))
    }

    fn close_table(&mut self, indices: Vec<(Var, usize)>, value: Atom, keep: Vec<usize>) -> Atom {
        let scope = self.pull.scopes.pop().unwrap_or_default();
        let collector = if keep.len() == indices.len() { Collector::Collect } else { Collector::Sum { keep } };
        let extents: Vec<usize> = indices.iter().map(|x| x.1).collect();
        let ty = collector.result_type(&extents, &Type::REAL);
        let result = self.pull.d.program.new_var(ty, None);
        self.pull.push(Stmt::For(For {
            results: vec![result],
            indices,
            body: Block { stmts: scope.stmts, results: vec![value] },
            collectors: vec![collector],
            strip: None,
        }));
        result.into()
    }

    fn check_table(&self, extents: &[usize]) -> Pulled<()> {
        let size = extents.iter().fold(1_usize, |a, &b| a.saturating_mul(b));
        if size > TABLE_LIMIT {
            return Err(Interrupt::Fail(Box::new(
                crate::diagnostic::Diagnostic::bare(
                    "E0310",
                    format!("a table of {size} joint probabilities would be needed"),
                )
                .note(format!("one elimination step may have at most {TABLE_LIMIT} entries"))
                .fix("use a one-shot strategy (`by reinforce`) for some of the sites"),
            )));
        }
        Ok(())
    }

    /// Coefficient of an element at position `l`, under the assigned parents.
    fn coefficient(&mut self, element: &Element, l: Atom) -> Pulled<Atom> {
        let env = self.element_env(element);
        let primal = self.sites[element.site].form.calls[0].primal.unwrap_or(Atom::Real(0.0));
        self.at_call(primal, &[l], &env)
    }

    /// Elements that an element's coefficients depend on.
    fn parents(&mut self, element: &Element) -> Pulled<Vec<Element>> {
        let assigned = std::mem::take(&mut self.pull.assigned);
        let recording = std::mem::replace(&mut self.pull.recording, true);
        self.pull.scopes.push(Scope::default());
        let l = self.pull.d.program.new_var(Type::INT, None);
        self.pull.ranges.insert(l, self.support(element.site));
        self.pull.values.insert(l);
        let result = self.coefficient(element, l.into());
        self.pull.scopes.truncate(self.pull.scopes.len().saturating_sub(1).max(1));
        let found = std::mem::replace(&mut self.pull.assigned, assigned);
        self.pull.recording = recording;
        self.pull.placeholders.clear();
        result?;
        Ok(found.into_iter().map(|(e, _)| e).collect())
    }

    fn anchored(&self, compound: usize, element: &Element) -> bool {
        let window = i64::try_from(self.window(compound)).unwrap_or(0);
        match element.at.last() {
            Some(Atom::Int(t)) => *t >= window,
            _ => true,
        }
    }

    /// The chain's table, made on first use.
    pub(crate) fn chain(&mut self, compound: usize) -> Pulled<()> {
        if self.chains.contains_key(&compound) {
            return Ok(());
        }
        let aside = self.set_aside();
        let made = self.make_chain(compound);
        self.resume(aside);
        self.chains.insert(compound, made?);
        Ok(())
    }

    fn make_chain(&mut self, compound: usize) -> Pulled<Chain> {
        let defs = self.pull.defs.clone();
        let Stmt::Loop(l) = &*defs.compounds[compound] else { return fail("a chain stands in a loop") };
        let sites: Vec<usize> = (0..self.sites.len()).filter(|&s| self.chain_of(s) == Some(compound)).collect();
        if sites.iter().any(|&s| !self.tabulable(s)) {
            return fail(
                "a strategy with several calls of its continuation, in a chain, must pass the values of a fixed support",
            );
        }
        let window = self.window(compound);
        let home = defs.home(l.index);
        let mut plates: Vec<(Var, usize)> = Vec::new();
        for &c in &home[..home.len() - 1] {
            match &*defs.compounds[c] {
                Stmt::For(f) => plates.extend(&f.indices),
                Stmt::Loop(_) => return fail("a chain of enumerated sites inside another sequential loop"),
                _ => {}
            }
        }
        for &s in &sites {
            let around = defs.indices(self.sites[s].sample.results[0]);
            if around.last() != Some(&l.index) {
                return fail("a plate of enumerated sites inside a sequential loop that carries them");
            }
        }
        let new_plates: Vec<(Var, usize)> =
            plates.iter().map(|&(_, n)| (self.pull.d.program.new_var(Type::INT, None), n)).collect();
        for &(v, n) in &new_plates {
            self.pull.ranges.insert(v, n);
        }
        let plate_atoms: Vec<Atom> = new_plates.iter().map(|&(v, _)| v.into()).collect();
        self.pull.scopes.push(Scope::default());
        let shared = self.shared_of(&sites, window, l.extent, &plate_atoms)?;
        let shared_now: Vec<Element> = shared.iter().map(|s| s.at(&plate_atoms)).collect();
        let alpha = self.first_table(&sites, window, &plate_atoms, &shared_now)?;
        let (beta_all, beta_shape) = self.forward(&sites, window, l.extent, &plate_atoms, &shared_now, alpha)?;
        let scope = self.pull.scopes.pop().unwrap_or_default();
        let table = if new_plates.is_empty() {
            for stmt in scope.stmts {
                self.pull.push(stmt);
            }
            beta_all
        } else {
            let mut shape: Vec<usize> = new_plates.iter().map(|x| x.1).collect();
            shape.push(l.extent - window);
            shape.extend(&beta_shape);
            self.check_table(&beta_shape)?;
            let result = self.pull.d.program.new_var(Type { scalar: Scalar::Real, shape }, None);
            self.pull.push(Stmt::For(For {
                results: vec![result],
                indices: new_plates,
                body: Block { stmts: scope.stmts, results: vec![beta_all] },
                collectors: vec![Collector::Collect],
                strip: None,
            }));
            result.into()
        };
        Ok(Chain { table, window, shared })
    }

    /// Parents of all iterations; also finds out how deep the window must be.
    fn shared_of(&mut self, sites: &[usize], window: usize, extent: usize, plates: &[Atom]) -> Pulled<Vec<Shared>> {
        let reach = i64::try_from(window).unwrap_or(0);
        self.pull.recording = true;
        self.pull.assigned.clear();
        self.pull.scopes.push(Scope::default());
        let time = self.pull.d.program.new_var(Type::INT, None);
        self.pull.ranges.insert(time, extent.saturating_sub(window));
        let now = self.pull.op(Op::IAdd, &[time.into(), Atom::Int(reach)]);
        for &site in sites {
            let mut at = plates.to_vec();
            at.push(now);
            let element = Element { site, at };
            let l = self.pull.d.program.new_var(Type::INT, None);
            self.pull.ranges.insert(l, self.support(site));
            self.pull.values.insert(l);
            match self.coefficient(&element, l.into()) {
                Ok(_) => {}
                // The first iterations do not fit in the window yet: it must be deeper.
                Err(Interrupt::Split { index, at }) if index == time => {
                    return Err(Interrupt::Deeper { site, depth: self.depths[site].max(window) + at.max(1) });
                }
                Err(other) => return Err(other),
            }
        }
        self.pull.scopes.pop();
        self.pull.recording = false;
        self.pull.placeholders.clear();
        let mut shared: Vec<Shared> = Vec::new();
        for (element, _) in std::mem::take(&mut self.pull.assigned) {
            if sites.contains(&element.site) {
                let last = element.at.len() - 1;
                let (base, offset) = self.pull.affine(element.at[last]);
                if element.at[..last] != *plates || base != Some(time) {
                    return fail("a chain reads elements of another row, or at a fixed time");
                }
                let depth = usize::try_from(reach - offset).unwrap_or(0);
                if depth > self.depths[element.site] {
                    return Err(Interrupt::Deeper { site: element.site, depth });
                }
                continue;
            }
            let mut at = Vec::new();
            for &a in &element.at {
                at.push(match a {
                    Atom::Int(i) => SharedIndex::Constant(i),
                    _ => match plates.iter().position(|&p| p == a) {
                        Some(p) => SharedIndex::Plate(p),
                        None => return fail("a chain depends on enumerated sites of another loop, element by element"),
                    },
                });
            }
            if !self.tabulable(element.site) {
                return fail("a chain depends on a site whose values cannot be tabulated");
            }
            shared.push(Shared { site: element.site, at });
        }
        Ok(shared)
    }

    fn past(&mut self, sites: &[usize], plates: &[Atom], now: Atom) -> Vec<Element> {
        let mut out = Vec::new();
        for &site in sites {
            for depth in 1..=self.depths[site] {
                let mut at = plates.to_vec();
                let back = i64::try_from(depth).unwrap_or(0);
                at.push(self.pull.op(Op::IAdd, &[now, Atom::Int(-back)]));
                out.push(Element { site, at });
            }
        }
        out
    }

    /// `α` before iteration `window`: `[shared…, window…]`.
    fn first_table(&mut self, sites: &[usize], window: usize, plates: &[Atom], shared: &[Element]) -> Pulled<Atom> {
        let first = Atom::Int(i64::try_from(window).unwrap_or(0));
        let past = self.past(sites, plates, first);
        let mut all = past.clone();
        let mut next = 0;
        while next < all.len() {
            let element = all[next].clone();
            next += 1;
            for p in self.parents(&element)? {
                if !shared.contains(&p) && !all.contains(&p) {
                    if !self.tabulable(p.site) {
                        return fail("the first sites of a chain depend on values that cannot be tabulated");
                    }
                    all.push(p);
                }
            }
        }
        let others: Vec<Element> = all.iter().filter(|e| !past.contains(e)).cloned().collect();
        let dims: Vec<Element> = shared.iter().chain(&past).chain(&others).cloned().collect();
        let indices = self.open_dims(&dims)?;
        let mut value = Atom::Real(1.0);
        for element in &all {
            let k = dims.iter().position(|d| d == element).unwrap_or(0);
            let c = self.coefficient(element, indices[k].0.into())?;
            value = if value == Atom::Real(1.0) { c } else { self.pull.op(Op::Mul, &[value, c]) };
        }
        self.pull.assigned.clear();
        let keep = (0..shared.len() + past.len()).collect();
        Ok(self.close_table(indices, value, keep))
    }

    fn open_dims(&mut self, dims: &[Element]) -> Pulled<Vec<(Var, usize)>> {
        let extents: Vec<usize> = dims.iter().map(|e| self.support(e.site)).collect();
        self.check_table(&extents)?;
        let indices: Vec<(Var, usize)> =
            extents.iter().map(|&n| (self.pull.d.program.new_var(Type::INT, None), n)).collect();
        for &(v, n) in &indices {
            self.pull.ranges.insert(v, n);
            self.pull.values.insert(v);
        }
        self.pull.scopes.push(Scope::default());
        self.pull.assigned.clear();
        for (element, &(l, _)) in dims.iter().zip(&indices) {
            self.assign(element, &[l.into()])?;
        }
        Ok(indices)
    }

    /// The loop over tables; returns all `β` and the shape of one.
    fn forward(
        &mut self,
        sites: &[usize],
        window: usize,
        extent: usize,
        plates: &[Atom],
        shared: &[Element],
        first: Atom,
    ) -> Pulled<(Atom, Vec<usize>)> {
        let time = self.pull.d.program.new_var(Type::INT, None);
        let steps = extent - window;
        self.pull.ranges.insert(time, steps);
        let alpha_type = self.pull.d.program.atom_type(first);
        let alpha = self.pull.d.program.new_var(alpha_type.clone(), None);
        self.pull.scopes.push(Scope::default());
        let now = self.pull.op(Op::IAdd, &[time.into(), Atom::Int(i64::try_from(window).unwrap_or(0))]);
        let past = self.past(sites, plates, now);
        let latest: Vec<Element> = sites
            .iter()
            .map(|&site| {
                let mut at = plates.to_vec();
                at.push(now);
                Element { site, at }
            })
            .collect();
        let dims: Vec<Element> = shared.iter().chain(&past).chain(&latest).cloned().collect();
        let indices = self.open_dims(&dims)?;
        let before = shared.len() + past.len();
        let mut args = vec![Atom::Var(alpha)];
        args.extend(indices[..before].iter().map(|&(v, _)| Atom::Var(v)));
        let mut value = self.pull.op(Op::Read, &args);
        for (k, element) in latest.iter().enumerate() {
            let c = self.coefficient(element, indices[before + k].0.into())?;
            value = self.pull.op(Op::Mul, &[value, c]);
        }
        self.pull.assigned.clear();
        let shape: Vec<usize> = indices.iter().map(|x| x.1).collect();
        let all = (0..indices.len()).collect();
        let beta = self.close_table(indices, value, all);
        // The next window: each site's latest value moves in, its oldest one is summed out.
        let mut kept: Vec<usize> = (0..shared.len()).collect();
        let mut position = shared.len();
        for (k, &site) in sites.iter().enumerate() {
            for depth in 1..=self.depths[site] {
                let from = if depth == 1 { before + k } else { position - 1 };
                kept.push(from);
                position += 1;
            }
        }
        let dropped: Vec<usize> = (0..shape.len()).filter(|d| !kept.contains(d)).collect();
        let order: Vec<usize> = kept.iter().chain(&dropped).copied().collect();
        let next_indices: Vec<(Var, usize)> =
            order.iter().map(|&d| (self.pull.d.program.new_var(Type::INT, None), shape[d])).collect();
        self.pull.scopes.push(Scope::default());
        let mut args = vec![beta; 1];
        for d in 0..shape.len() {
            let k = order.iter().position(|&o| o == d).unwrap_or(0);
            args.push(next_indices[k].0.into());
        }
        let value = self.pull.op(Op::Read, &args);
        let keep = (0..kept.len()).collect();
        let next = self.close_table(next_indices, value, keep);
        let scope = self.pull.scopes.pop().unwrap_or_default();
        let last = self.pull.d.program.new_var(alpha_type, None);
        let mut all_shape = vec![steps];
        all_shape.extend(&shape);
        let betas = self.pull.d.program.new_var(Type { scalar: Scalar::Real, shape: all_shape }, None);
        self.pull.push(Stmt::Loop(Loop {
            results: vec![last, betas],
            index: time,
            extent: steps,
            carried: vec![(alpha, first)],
            body: Block { stmts: scope.stmts, results: vec![next, beta] },
            collectors: vec![Collector::Collect],
            reverse: false,
        }));
        Ok((betas.into(), shape))
    }
}

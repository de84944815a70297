//! Strategies with several primal calls (enumeration and its like): each term that depends on such sites becomes its sum
//! over the values of the elements it reads, weighted by their coefficients:
//! `t(x[e]) → Σ_l (primal_e[l] · t(args_e[l]) + stopped_e[l] · stop(t(args_e[l])))`, which is exact by linearity.
//!
//! What a term reads is closed under parents. Elements of a chain are weighed by the chain's table, elements outside
//! loops by tables of marginals ([`super::marginal`]), all others by their own coefficients in place.
//! A plate of N sites costs N rows, a chain of T sites T tables.

use super::fresh::{self, Fresh, Shot};
use super::marginal::Chain;
use super::memory::Keeper;
use super::pull::{CHOICE, Element, Env, Interrupt, Pull, Pulled, Scope, Task, apply_export, unravel, unsupported};
use super::tasks::tasks;
use super::{Deriver, JOINT_LIMIT, Site, TABLE_LIMIT, oneshot, tree};
use crate::diagnostic::Diagnostic;
use crate::ir::core::{Atom, Block, Collector, For, Prim, Stmt, Type, Var};
use crate::ir::op::Op;
use std::collections::{BTreeSet, HashMap, HashSet};

impl Deriver<'_> {
    pub(crate) fn eliminate_several(
        &mut self,
        mut stmts: Vec<Stmt>,
        sites: Vec<Site>,
    ) -> Result<Vec<Stmt>, Diagnostic> {
        if sites.is_empty() {
            return Ok(stmts);
        }
        let mut constants = Vec::new();
        for site in &sites {
            let Some(path) = tree::find(&stmts, site.sample.results[0]) else { continue };
            // What a support holds does not depend on the conditions that the site stands under.
            let (fixed, mut new): (Vec<Stmt>, Vec<Stmt>) = site
                .form
                .stmts
                .iter()
                .cloned()
                .partition(|s| matches!(s, Stmt::Array { prim: Prim::Const { .. }, .. }));
            if site.form.constant != Atom::Real(0.0) {
                new.push(Stmt::Term(site.form.constant));
            }
            let at = path.last().map_or(0, |p| p.0);
            oneshot::region_at(&mut stmts, &path).splice(at..at, new);
            constants.extend(fixed);
        }
        stmts.splice(0..0, constants);
        let seeds: HashSet<Var> = sites.iter().flat_map(|s| s.sample.results.iter().copied()).collect();
        let tainted = tree::taint(&stmts, seeds);
        let tasks = tasks(&stmts, &tainted);
        let mut depths = vec![0; sites.len()];
        let tabulated = fresh::tabulated(&stmts, &sites, &tainted);
        let mut held = HashSet::new();
        let keepers: Vec<(usize, Keeper)> =
            sites.iter().enumerate().filter_map(|(k, s)| Some((k, Keeper::of(s)?))).collect();
        for (_, keeper) in &keepers {
            if keeper.reads().iter().any(|v| tainted.contains(v)) {
                let about = self.sites.describe(keeper.entry);
                return Err(Diagnostic::error(
                    "E0290",
                    about.span,
                    format!("`{}` keeps a memory and depends on sites whose strategies call the rest several times: this is not supported yet", about.address),
                )
                .fix("use a strategy without memory for it, or a one-shot strategy for those"));
            }
        }
        let (new, exports, results) = loop {
            let mut engine = Enumeration::new(self, &stmts, &sites, &tainted, depths.clone());
            engine.tabulated.clone_from(&tabulated);
            engine.pull.fresh = Fresh::of(&stmts, &sites, &tabulated, &held);
            let run = engine.run(tasks.clone());
            let run = run.and_then(|new| engine.results_of_calls(&tasks, &keepers).map(|r| (new, r)));
            match run {
                Ok(_) if !engine.pull.conflicts.is_empty() => {
                    let fresh = &engine.pull.fresh;
                    held.extend(engine.pull.conflicts.iter().flat_map(|&v| fresh.behind(v)));
                }
                Ok((new, (more, results))) => {
                    let new = new.into_iter().chain(more).collect::<Vec<Stmt>>();
                    break (new, engine.pull.exports, results);
                }
                Err(Interrupt::Deeper { site, depth }) => depths[site] = depth,
                Err(Interrupt::Fail(mut d)) => {
                    if d.primary.is_none() {
                        let about = self.sites.describe(sites[0].sample.entry);
                        d.primary = Some(crate::diagnostic::Label {
                            span: about.span,
                            text: format!("`{}` is estimated by `{}`", about.address, about.strategy),
                        });
                        for other in sites.iter().skip(1).take(4) {
                            let about = self.sites.describe(other.sample.entry);
                            *d = d.also(about.span, format!("and `{}` by `{}`", about.address, about.strategy));
                        }
                    }
                    return Err(*d);
                }
                Err(Interrupt::Choice) => return Err(unsupported(CHOICE)),
                Err(Interrupt::Split { .. } | Interrupt::Unroll) => {
                    return Err(unsupported("a term reads elements of a site in a way that cannot be followed"));
                }
            }
        };
        for (var, array) in exports {
            apply_export(&mut self.program, &mut stmts, var, array);
        }
        let mut end = Vec::new();
        for ((_, keeper), results) in keepers.iter().zip(&results) {
            let Some(path) = tree::find(&stmts, keeper.values[0]) else { continue };
            self.afterwards(&mut stmts, &mut end, keeper, &path, results)?;
        }
        let mut stmts = tree::prune(stmts, &tainted);
        stmts.extend(new);
        stmts.extend(end);
        Ok(stmts)
    }
}

/// How an element is weighed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    /// By its own coefficients, in place.
    Local,
    /// Outside loops: by a table of marginals.
    Global,
    /// One of a chain's window: by the chain's table (number in [`Analysed::anchors`]).
    Chain(usize),
}

/// Elements, and the terms that depend on all of them.
pub(crate) type Group = (BTreeSet<usize>, Vec<Atom>);

/// Elements of one chain at one place: the latest one's time.
#[derive(Clone, Debug)]
struct Anchor {
    compound: usize,
    plates: Vec<Atom>,
    time: Atom,
}

/// Elements (number, offset in time) of one chain whose times have one base.
struct Place {
    compound: usize,
    plates: Vec<Atom>,
    base: Option<Var>,
    members: Vec<(usize, i64)>,
}

/// What a task's terms read.
#[derive(Default)]
pub(crate) struct Analysed {
    pub elements: Vec<Element>,
    classes: Vec<Class>,
    pub parents: Vec<BTreeSet<usize>>,
    anchors: Vec<Anchor>,
}

pub(crate) struct Enumeration<'p, 'a, 'b> {
    pub pull: Pull<'a, 'b>,
    pub sites: &'p [Site],
    pub depths: Vec<usize>,
    pub chains: HashMap<usize, Chain>,
    pub marginals: HashMap<Vec<Element>, Atom>,
    /// Sites that are weighed by tables.
    pub tabulated: Vec<bool>,
}

impl<'p, 'a, 'b> Enumeration<'p, 'a, 'b> {
    fn new(
        d: &'a mut Deriver<'b>,
        stmts: &[Stmt],
        sites: &'p [Site],
        tainted: &HashSet<Var>,
        depths: Vec<usize>,
    ) -> Enumeration<'p, 'a, 'b> {
        let site_types =
            sites.iter().map(|s| s.sample.results.iter().map(|&r| d.program.ty(r).clone()).collect()).collect();
        let mut pull = Pull::new(d, stmts, tainted.clone());
        pull.site_types = site_types;
        for (k, site) in sites.iter().enumerate() {
            for (position, &r) in site.sample.results.iter().enumerate() {
                pull.site_of.insert(r, (k, position));
            }
        }
        let tabulated = vec![false; sites.len()];
        Enumeration { pull, sites, depths, chains: HashMap::new(), marginals: HashMap::new(), tabulated }
    }

    fn run(&mut self, mut tasks: Vec<Task>) -> Pulled<Vec<Stmt>> {
        tasks.reverse();
        while let Some(task) = tasks.pop() {
            match self.task(&task) {
                Ok(()) => {}
                Err(deeper @ Interrupt::Deeper { .. }) => return Err(deeper),
                Err(other) => {
                    self.pull.split_task(other, task, &mut tasks).map_err(|d| Interrupt::Fail(Box::new(d)))?;
                }
            }
        }
        Ok(std::mem::take(&mut self.pull.scopes[0].stmts))
    }

    fn task(&mut self, task: &Task) -> Pulled<()> {
        let (indices, env) = self.pull.open_task(task);
        let (analysed, groups) = self.groups(task, &env)?;
        for (set, terms) in groups {
            let total = self.expectation(&analysed, &set, &Task { terms, ..task.clone() }, &env)?;
            self.pull.push(Stmt::Term(total));
        }
        self.pull.close_task(indices);
        Ok(())
    }

    /// The terms of a task by the elements that they depend on, parents included.
    pub(crate) fn groups(&mut self, task: &Task, env: &Env) -> Pulled<(Analysed, Vec<Group>)> {
        let (analysed, reads) = self.analyse(task, env)?;
        let mut groups: Vec<Group> = Vec::new();
        for (&term, read) in task.terms.iter().zip(&reads) {
            let mut set = read.clone();
            let mut todo: Vec<usize> = set.iter().copied().collect();
            while let Some(e) = todo.pop() {
                for &p in &analysed.parents[e] {
                    if set.insert(p) {
                        todo.push(p);
                    }
                }
            }
            match groups.iter_mut().find(|g| g.0 == set) {
                Some(group) => group.1.push(term),
                None => groups.push((set, vec![term])),
            }
        }
        Ok((analysed, groups))
    }

    /// First pass: evaluates the terms with placeholders for elements, follows parents, classifies. Statements that do
    /// not depend on elements stay in the open scope; the others are dropped.
    fn analyse(&mut self, task: &Task, env: &Env) -> Pulled<(Analysed, Vec<BTreeSet<usize>>)> {
        self.pull.assigned.clear();
        self.pull.placeholders.clear();
        self.pull.recording = true;
        let mut values = Vec::new();
        for &term in &task.terms {
            let value = self.pull.guarded(task, env, |p, env| p.atom(term, env))?;
            values.push(value);
        }
        let mut analysed = Analysed::default();
        let mut forms: Vec<Vec<Atom>> = Vec::new();
        loop {
            let fresh = analysed.elements.len();
            for i in fresh..self.pull.assigned.len() {
                analysed.elements.push(self.pull.assigned[i].0.clone());
                analysed.classes.push(Class::Local);
                analysed.parents.push(BTreeSet::new());
                forms.push(Vec::new());
            }
            let changed = self.classify(&mut analysed)?;
            for (i, form) in forms.iter_mut().enumerate() {
                if analysed.classes[i] == Class::Local && form.is_empty() {
                    *form = self.form_atoms(&analysed.elements[i].clone())?;
                }
            }
            if !changed && self.pull.assigned.len() == analysed.elements.len() {
                break;
            }
        }
        let dependence = self.dependence();
        let of = |atoms: &[Atom]| -> BTreeSet<usize> {
            atoms.iter().filter_map(|a| a.var()).filter_map(|v| dependence.get(&v)).flatten().copied().collect()
        };
        for (i, atoms) in forms.iter().enumerate() {
            if analysed.classes[i] == Class::Local {
                analysed.parents[i] = of(atoms);
            }
        }
        for i in 0..analysed.elements.len() {
            if let Class::Chain(a) = analysed.classes[i] {
                // A chain's table is conditional on what all its elements share.
                let shared = self.shared_elements(&analysed.anchors[a]);
                let parents: BTreeSet<usize> =
                    shared.iter().filter_map(|s| analysed.elements.iter().position(|e| e == s)).collect();
                analysed.parents[i] = parents;
            }
        }
        let reads = values.iter().map(|&v| of(&[v])).collect();
        // Keep what does not depend on elements.
        if let Some(scope) = self.pull.scopes.last_mut() {
            scope.stmts.retain(|s| !s.results().iter().any(|r| dependence.contains_key(r)));
        }
        self.pull.remember();
        self.pull.assigned.clear();
        self.pull.placeholders.clear();
        self.pull.recording = false;
        Ok((analysed, reads))
    }

    /// Elements (by number) that each variable of the open scope depends on; loop placeholders count as none, but mark.
    fn dependence(&self) -> HashMap<Var, BTreeSet<usize>> {
        let mut map: HashMap<Var, BTreeSet<usize>> = HashMap::new();
        for &p in &self.pull.placeholders {
            map.insert(p, BTreeSet::new());
        }
        for (i, (_, values)) in self.pull.assigned.iter().enumerate() {
            for v in values.iter().filter_map(|a| a.var()) {
                map.insert(v, BTreeSet::from([i]));
            }
        }
        let Some(scope) = self.pull.scopes.last() else { return map };
        for stmt in &scope.stmts {
            let mut set: Option<BTreeSet<usize>> = None;
            for v in stmt.free_vars() {
                if let Some(on) = map.get(&v) {
                    set.get_or_insert_with(BTreeSet::new).extend(on);
                }
            }
            if let Some(set) = set {
                for r in stmt.results() {
                    map.insert(r, set.clone());
                }
            }
        }
        map
    }

    /// Decides how each element is weighed; true if something changed.
    fn classify(&mut self, analysed: &mut Analysed) -> Pulled<bool> {
        let before = (analysed.classes.clone(), self.pull.assigned.len());
        // Chains: elements of one loop at one place, by the latest.
        let mut groups: Vec<Place> = Vec::new();
        for (i, element) in analysed.elements.iter().enumerate() {
            let Some(compound) = self.chain_of(element.site) else { continue };
            let last = element.at.len() - 1;
            let (base, offset) = self.pull.affine(element.at[last]);
            let plates = element.at[..last].to_vec();
            match groups.iter_mut().find(|g| g.compound == compound && g.plates == plates && g.base == base) {
                Some(place) => place.members.push((i, offset)),
                None => groups.push(Place { compound, plates, base, members: vec![(i, offset)] }),
            }
        }
        analysed.anchors.clear();
        for Place { compound, plates, base, members } in groups {
            let window = self.window(compound);
            let latest = members.iter().map(|m| m.1).max().unwrap_or(0);
            let reach = i64::try_from(window).unwrap_or(0);
            if latest < reach {
                if let Some(index) = base {
                    let extent = self.pull.ranges.get(&index).copied().unwrap_or(0);
                    let cut = usize::try_from(reach - latest).unwrap_or(1);
                    return Err(Interrupt::Split { index, at: if cut < extent { cut } else { 1 } });
                }
                continue;
            }
            for &(i, offset) in &members {
                let depth = usize::try_from(latest - offset).unwrap_or(0);
                let site = analysed.elements[i].site;
                if depth > self.depths[site] {
                    return Err(Interrupt::Deeper { site, depth });
                }
            }
            let time = match base {
                None => Atom::Int(latest),
                Some(v) => self.pull.op(Op::IAdd, &[v.into(), Atom::Int(latest)]),
            };
            let anchor = Anchor { compound, plates, time };
            self.chain(compound)?;
            for shared in self.shared_elements(&anchor) {
                self.record(&shared);
            }
            for (i, _) in members {
                analysed.classes[i] = Class::Chain(analysed.anchors.len());
            }
            analysed.anchors.push(anchor);
        }
        for (i, element) in analysed.elements.iter().enumerate() {
            if !matches!(analysed.classes[i], Class::Chain(_))
                && element.at.iter().all(|a| matches!(a, Atom::Int(_)))
                && self.tabulable(element.site)
            {
                analysed.classes[i] = Class::Global;
            }
        }
        Ok(before != (analysed.classes.clone(), self.pull.assigned.len()))
    }

    /// Lists an element as read.
    pub(crate) fn record(&mut self, element: &Element) {
        if self.pull.assigned.iter().any(|(e, _)| e == element) {
            return;
        }
        let types = self.pull.site_types[element.site].clone();
        let values: Vec<Atom> = types
            .into_iter()
            .map(|ty| {
                let v = self.pull.d.program.new_var(ty, None);
                self.pull.placeholders.insert(v);
                v.into()
            })
            .collect();
        self.pull.assigned.push((element.clone(), values));
    }

    /// The site's distribution depends on earlier iterations of its own loop.
    pub(crate) fn chain_of(&self, site: usize) -> Option<usize> {
        if !self.tabulated[site] {
            return None;
        }
        let result = self.sites[site].sample.results[0];
        let compound = self.pull.defs.loop_around(result)?;
        let Stmt::Loop(l) = &*self.pull.defs.compounds[compound] else { return None };
        l.carried.iter().any(|c| self.pull.tainted.contains(&c.0)).then_some(compound)
    }

    pub(crate) fn window(&self, compound: usize) -> usize {
        (0..self.sites.len()).filter(|&s| self.chain_of(s) == Some(compound)).map(|s| self.depths[s]).max().unwrap_or(0)
    }

    /// The site is weighed by tables where its elements are known.
    pub(crate) fn tabulable(&self, site: usize) -> bool {
        self.tabulated[site]
    }

    /// The original indices around a site's sample, at an element.
    pub(crate) fn element_env(&self, element: &Element) -> Env {
        let result = self.sites[element.site].sample.results[0];
        self.pull.defs.indices(result).into_iter().zip(element.at.iter().copied()).collect()
    }

    /// The value of `atom` (leading axes of the call) at position `l` of a call.
    pub(crate) fn at_call(&mut self, atom: Atom, l: &[Atom], env: &Env) -> Pulled<Atom> {
        let ty = self.pull.d.program.atom_type(atom);
        if l.is_empty() {
            return self.pull.value(atom, env);
        }
        let own = &ty.shape[l.len().min(ty.shape.len())..];
        if own.is_empty() {
            return self.pull.read(atom, l, env);
        }
        // An element that is itself an array.
        let mut elements = Vec::new();
        let size: usize = own.iter().product();
        for linear in 0..size {
            let mut at = l.to_vec();
            at.extend(unravel(linear, own));
            elements.push(self.pull.read(atom, &at, env)?);
        }
        let flat = self.pull.d.program.new_var(Type::array(ty.scalar, [size]), None);
        self.pull.push(Stmt::Array { results: vec![flat], prim: crate::ir::core::Prim::Stack, args: elements });
        let result = self.pull.d.program.new_var(Type::array(ty.scalar, own.to_vec()), None);
        let prim = crate::ir::core::Prim::Reshape { shape: own.to_vec() };
        self.pull.push(Stmt::Array { results: vec![result], prim, args: vec![flat.into()] });
        Ok(result.into())
    }

    /// Everything an element's form mentions, evaluated at placeholders.
    fn form_atoms(&mut self, element: &Element) -> Pulled<Vec<Atom>> {
        let env = self.element_env(element);
        let calls = self.sites[element.site].form.calls.clone();
        let mut atoms = vec![Atom::Real(0.0)];
        for call in calls {
            let l: Vec<Atom> = call
                .extents
                .iter()
                .map(|&n| {
                    let v = self.pull.d.program.new_var(Type::INT, None);
                    self.pull.ranges.insert(v, n);
                    self.pull.values.insert(v);
                    self.pull.placeholders.insert(v);
                    v.into()
                })
                .collect();
            for a in call.args.iter().copied().chain(call.primal).chain(call.stopped) {
                let value = self.at_call(a, &l, &env)?;
                atoms.push(value);
            }
        }
        Ok(atoms)
    }

    /// Second pass: the sum over the values of `set` of the task's terms.
    pub(crate) fn expectation(
        &mut self,
        analysed: &Analysed,
        set: &BTreeSet<usize>,
        task: &Task,
        env: &Env,
    ) -> Pulled<Atom> {
        let mut globals: Vec<Element> = Vec::new();
        let mut anchors: Vec<usize> = Vec::new();
        let mut locals: Vec<usize> = Vec::new();
        for &i in set {
            match analysed.classes[i] {
                Class::Global => globals.push(analysed.elements[i].clone()),
                Class::Local => locals.push(i),
                Class::Chain(a) if !anchors.contains(&a) => anchors.push(a),
                Class::Chain(_) => {}
            }
        }
        for (k, &a) in anchors.iter().enumerate() {
            if anchors[..k].iter().any(|&b| analysed.anchors[a].compound == analysed.anchors[b].compound) {
                let message = "a term reads two places of one chain jointly";
                return Err(Interrupt::Fail(Box::new(unsupported(message))));
            }
        }
        // Elements are summed over one by one: they must be different ones.
        let own: Vec<&Element> = set
            .iter()
            .filter(|&&i| !matches!(analysed.classes[i], Class::Chain(_)))
            .map(|&i| &analysed.elements[i])
            .collect();
        for (k, a) in own.iter().enumerate() {
            for b in own[..k].iter().filter(|b| b.site == a.site) {
                self.pull.distinct(a, b)?;
            }
        }
        // Parents first, and calls whose fresh draws decide about others before those.
        let inside = |outer: usize, inner: usize| {
            let (outer, inner) = (analysed.elements[outer].site, analysed.elements[inner].site);
            self.pull.fresh.inside(outer, &self.sites[inner])
        };
        let mut ordered: Vec<usize> = Vec::new();
        while ordered.len() < locals.len() {
            let next = locals.iter().copied().find(|&i| {
                !ordered.contains(&i)
                    && analysed.parents[i].iter().all(|p| ordered.contains(p) || !locals.contains(p))
                    && locals.iter().all(|&o| o == i || ordered.contains(&o) || !inside(o, i))
            });
            match next {
                Some(i) => ordered.push(i),
                None => return Err(Interrupt::Fail(Box::new(unsupported("sites depend on each other in a circle")))),
            }
        }
        self.check_size(analysed, &globals, &anchors, &ordered)?;
        globals.sort_by_key(|e| self.order(e));
        let mut dims: Vec<(Element, usize)> = globals.iter().map(|e| (e.clone(), self.support(e.site))).collect();
        let mut chain_dims: Vec<Vec<usize>> = Vec::new();
        for &a in &anchors {
            let anchor = &analysed.anchors[a];
            let mut own = Vec::new();
            for element in self.window_elements(anchor) {
                own.push(dims.len());
                let m = self.support(element.site);
                dims.push((element, m));
            }
            chain_dims.push(own);
        }
        let mark = self.pull.assigned.len();
        if dims.is_empty() {
            let total = self.sum_locals(analysed, &ordered, task, env)?;
            self.pull.assigned.truncate(mark);
            return Ok(total);
        }
        let marginal = if globals.is_empty() { None } else { Some(self.marginal(&globals)?) };
        let indices: Vec<(Var, usize)> =
            dims.iter().map(|d| (self.pull.d.program.new_var(Type::INT, None), d.1)).collect();
        for &(v, n) in &indices {
            self.pull.ranges.insert(v, n);
            self.pull.values.insert(v);
        }
        self.pull.scopes.push(Scope::default());
        for ((element, _), &(l, _)) in dims.iter().zip(&indices) {
            self.assign(element, &[l.into()])?;
        }
        let mut weight: Option<Atom> = None;
        if let Some(table) = marginal {
            let mut args = vec![table];
            args.extend(indices[..globals.len()].iter().map(|&(v, _)| Atom::Var(v)));
            weight = Some(self.pull.op(Op::Read, &args));
        }
        for (k, &a) in anchors.iter().enumerate() {
            let anchor = analysed.anchors[a].clone();
            let chain = self.chains[&anchor.compound].clone();
            let mut args = vec![chain.table];
            args.extend(&anchor.plates);
            let back = Atom::Int(-i64::try_from(chain.window).unwrap_or(0));
            args.push(self.pull.op(Op::IAdd, &[anchor.time, back]));
            for shared in self.shared_elements(&anchor) {
                let Some(l) = self.position_of(&shared, &dims, &indices) else {
                    let message = "a chain shares a parent that varies with the plate in a way that is not supported";
                    return Err(Interrupt::Fail(Box::new(unsupported(message))));
                };
                args.push(l);
            }
            args.extend(chain_dims[k].iter().map(|&d| Atom::Var(indices[d].0)));
            let w = self.pull.op(Op::Read, &args);
            weight = Some(match weight {
                None => w,
                Some(so_far) => self.pull.op(Op::Mul, &[so_far, w]),
            });
        }
        let inner = self.sum_locals(analysed, &ordered, task, env)?;
        let value = self.weighted(weight.unwrap_or(Atom::Real(1.0)), inner);
        self.pull.assigned.truncate(mark);
        Ok(self.close_sum(indices, value))
    }

    fn position_of(&self, element: &Element, dims: &[(Element, usize)], indices: &[(Var, usize)]) -> Option<Atom> {
        dims.iter().position(|d| d.0 == *element).map(|k| indices[k].0.into())
    }

    /// Gives an element the value at position `l` of its only call.
    pub(crate) fn assign(&mut self, element: &Element, l: &[Atom]) -> Pulled<()> {
        let env = self.element_env(element);
        let args = self.sites[element.site].form.calls[0].args.clone();
        let mut values = Vec::new();
        for a in args {
            values.push(self.at_call(a, l, &env)?);
        }
        self.pull.values.extend(values.iter().filter_map(|v| v.var()));
        self.pull.assigned.push((element.clone(), values));
        Ok(())
    }

    /// Closes the open scope as a sum over `indices`.
    pub(crate) fn close_sum(&mut self, indices: Vec<(Var, usize)>, value: Atom) -> Atom {
        let scope = self.pull.scopes.pop().unwrap_or_default();
        let result = self.pull.d.program.new_var(Type::REAL, None);
        self.pull.push(Stmt::For(For {
            results: vec![result],
            indices,
            body: Block { stmts: scope.stmts, results: vec![value] },
            collectors: vec![Collector::Sum { keep: Vec::new() }],
            strip: None,
        }));
        result.into()
    }

    /// `weight · value`, zero where the weight is zero and the value is not finite.
    fn weighted(&mut self, weight: Atom, value: Atom) -> Atom {
        if weight == Atom::Real(1.0) {
            return value;
        }
        let magnitude = self.pull.op(Op::Abs, &[value]);
        let finite = self.pull.op(Op::Lt, &[magnitude, Atom::Real(f64::INFINITY)]);
        let wild = self.pull.op(Op::Not, &[finite]);
        let none = self.pull.op(Op::Eq, &[weight, Atom::Real(0.0)]);
        let void = self.pull.op(Op::And, &[wild, none]);
        let safe = self.pull.op(Op::Select, &[void, Atom::Real(0.0), value]);
        self.pull.op(Op::Mul, &[weight, safe])
    }

    /// Sums over local elements, the first outermost, of the terms.
    fn sum_locals(&mut self, analysed: &Analysed, locals: &[usize], task: &Task, env: &Env) -> Pulled<Atom> {
        let Some((&first, rest)) = locals.split_first() else {
            let mut total: Option<Atom> = None;
            for &term in &task.terms {
                let value = self.pull.guarded(task, env, |p, env| p.atom(term, env))?;
                total = Some(match total {
                    None => value,
                    Some(sum) => self.pull.op(Op::Add, &[sum, value]),
                });
            }
            return Ok(total.unwrap_or(Atom::Real(0.0)));
        };
        let element = analysed.elements[first].clone();
        let own = self.element_env(&element);
        let calls = self.sites[element.site].form.calls.clone();
        let mut total: Option<Atom> = None;
        for call in calls {
            if call.primal.is_none() && call.stopped.is_none() {
                continue;
            }
            let indices: Vec<(Var, usize)> =
                call.extents.iter().map(|&n| (self.pull.d.program.new_var(Type::INT, None), n)).collect();
            for &(v, n) in &indices {
                self.pull.ranges.insert(v, n);
                self.pull.values.insert(v);
            }
            let l: Vec<Atom> = indices.iter().map(|&(v, _)| v.into()).collect();
            self.pull.scopes.push(Scope::default());
            let mark = self.pull.assigned.len();
            let shots = self.pull.shots.len();
            if fresh::shoots(&self.sites[element.site].form, &call) {
                let at = indices.iter().map(|&(v, n)| (Atom::Var(v), n)).collect();
                self.pull.shots.push(Shot { site: element.site, at });
            }
            let mut values = Vec::new();
            for &a in &call.args {
                values.push(self.at_call(a, &l, &own)?);
            }
            self.pull.values.extend(values.iter().filter_map(|v| v.var()));
            self.pull.assigned.push((element.clone(), values));
            let inner = self.sum_locals(analysed, rest, task, env)?;
            let mut part: Option<Atom> = None;
            if let Some(c) = call.primal {
                let c = self.at_call(c, &l, &own)?;
                part = Some(self.weighted(c, inner));
            }
            if let Some(c) = call.stopped {
                let c = self.at_call(c, &l, &own)?;
                let held = self.pull.op(Op::Stop, &[inner]);
                let product = self.weighted(c, held);
                part = Some(match part {
                    None => product,
                    Some(sum) => self.pull.op(Op::Add, &[sum, product]),
                });
            }
            self.pull.assigned.truncate(mark);
            self.pull.shots.truncate(shots);
            let part = part.unwrap_or(Atom::Real(0.0));
            let part = if indices.is_empty() {
                let scope = self.pull.scopes.pop().unwrap_or_default();
                for stmt in scope.stmts {
                    self.pull.push(stmt);
                }
                part
            } else {
                self.close_sum(indices, part)
            };
            total = Some(match total {
                None => part,
                Some(sum) => self.pull.op(Op::Add, &[sum, part]),
            });
        }
        Ok(total.unwrap_or(Atom::Real(0.0)))
    }

    /// Number of values of a site, over its calls.
    pub(crate) fn support(&self, site: usize) -> usize {
        self.sites[site].form.calls.iter().map(|c| c.extents.iter().product::<usize>()).sum::<usize>().max(1)
    }

    fn check_size(
        &mut self,
        analysed: &Analysed,
        globals: &[Element],
        anchors: &[usize],
        locals: &[usize],
    ) -> Pulled<()> {
        let joint = globals
            .iter()
            .map(|e| e.site)
            .chain(locals.iter().map(|&i| analysed.elements[i].site))
            .fold(1_usize, |n, s| n.saturating_mul(self.support(s)));
        let mut table = joint;
        for &a in anchors {
            for element in self.window_elements(&analysed.anchors[a]) {
                table = table.saturating_mul(self.support(element.site));
            }
        }
        if joint <= JOINT_LIMIT && table <= TABLE_LIMIT {
            return Ok(());
        }
        let mut names: Vec<usize> = globals.iter().map(|e| e.site).collect();
        names.extend(locals.iter().map(|&i| analysed.elements[i].site));
        names.dedup();
        let mut d = Diagnostic::bare(
            "E0310",
            format!("one term would be evaluated at {} joint values of its enumerated sites", joint.max(table)),
        )
        .note(format!(
            "the term depends on all of these sites at once; at most {JOINT_LIMIT} assignments are evaluated"
        ))
        .fix("use a one-shot strategy (`by reinforce`) for some of them, or write the term as a sum of smaller ones");
        for (k, &s) in names.iter().take(6).enumerate() {
            let about = self.pull.d.sites.describe(self.sites[s].sample.entry);
            let text = format!("`{}` has {} values", about.address, self.support(s));
            if k == 0 {
                d.primary = Some(crate::diagnostic::Label { span: about.span, text });
            } else {
                d = d.also(about.span, text);
            }
        }
        Err(Interrupt::Fail(Box::new(d)))
    }

    /// The chain's elements that its table lists after the shared ones: the window, oldest depth last, then the latest.
    fn window_elements(&mut self, anchor: &Anchor) -> Vec<Element> {
        let mut out = Vec::new();
        let sites: Vec<usize> = (0..self.sites.len()).filter(|&s| self.chain_of(s) == Some(anchor.compound)).collect();
        for &site in &sites {
            for depth in 1..=self.depths[site] {
                out.push(self.at_time(anchor, site, depth));
            }
        }
        for &site in &sites {
            out.push(self.at_time(anchor, site, 0));
        }
        out
    }

    fn at_time(&mut self, anchor: &Anchor, site: usize, depth: usize) -> Element {
        let back = i64::try_from(depth).unwrap_or(0);
        let mut at = anchor.plates.clone();
        at.push(self.pull.op(Op::IAdd, &[anchor.time, Atom::Int(-back)]));
        Element { site, at }
    }

    fn shared_elements(&self, anchor: &Anchor) -> Vec<Element> {
        let Some(chain) = self.chains.get(&anchor.compound) else { return Vec::new() };
        chain.shared.iter().map(|s| s.at(&anchor.plates)).collect()
    }
}

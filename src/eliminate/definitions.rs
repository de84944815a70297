//! Where each variable of a region is defined: its statement, and the compound statements around it.

use crate::ir::core::{Stmt, Var};
use std::collections::HashMap;
use std::rc::Rc;

/// Where variables are defined.
pub(crate) struct Definitions {
    /// Compound statements around the definition, outermost first.
    pub(crate) homes: HashMap<Var, Vec<usize>>,
    pub(crate) stmts: HashMap<Var, (Rc<Stmt>, usize)>,
    pub compounds: Vec<Rc<Stmt>>,
    /// Compound around each compound.
    pub carried: HashMap<Var, (usize, usize)>,
    pub(crate) results: HashMap<Var, usize>,
}

impl Definitions {
    pub(crate) fn of(stmts: &[Stmt]) -> Definitions {
        let mut d = Definitions {
            homes: HashMap::new(),
            stmts: HashMap::new(),
            compounds: Vec::new(),
            carried: HashMap::new(),
            results: HashMap::new(),
        };
        d.add(stmts, &[]);
        d
    }

    fn add(&mut self, stmts: &[Stmt], home: &[usize]) {
        for stmt in stmts {
            let shared = Rc::new(stmt.clone());
            for (k, r) in stmt.results().into_iter().enumerate() {
                self.homes.insert(r, home.to_vec());
                self.stmts.insert(r, (shared.clone(), k));
            }
            if stmt.regions().is_empty() {
                continue;
            }
            let id = self.compounds.len();
            self.compounds.push(shared);
            for r in stmt.results() {
                self.results.insert(r, id);
            }
            let mut inner = home.to_vec();
            inner.push(id);
            match stmt {
                Stmt::For(f) => f.indices.iter().for_each(|&(v, _)| {
                    self.homes.insert(v, inner.clone());
                }),
                Stmt::Loop(l) => {
                    self.homes.insert(l.index, inner.clone());
                    for (k, &(v, _)) in l.carried.iter().enumerate() {
                        self.homes.insert(v, inner.clone());
                        self.carried.insert(v, (id, k));
                    }
                }
                _ => {}
            }
            for region in stmt.regions() {
                self.add(&region.stmts, &inner);
            }
        }
    }

    pub(crate) fn home(&self, var: Var) -> &[usize] {
        self.homes.get(&var).map_or(&[], Vec::as_slice)
    }

    /// Index variables of the loops around a definition.
    pub(crate) fn indices(&self, var: Var) -> Vec<Var> {
        self.home(var).iter().flat_map(|&c| compound_indices(&self.compounds[c])).map(|(v, _)| v).collect()
    }
}

pub(crate) fn compound_indices(stmt: &Stmt) -> Vec<(Var, usize)> {
    match stmt {
        Stmt::For(f) => f.indices.clone(),
        Stmt::Loop(l) => vec![(l.index, l.extent)],
        _ => Vec::new(),
    }
}

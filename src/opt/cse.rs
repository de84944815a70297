//! Common subexpressions: of two equal statements in one region, or one in a region around the other, the first stands
//! for both. Draws with equal counters are equal (they are pure). Whole loops are compared up to the names of what
//! they define.

use crate::base::hash::HashMap;
use crate::ir::core::{Atom, Block, Collector, For, Program, Stmt, Var};
use crate::ir::walk::{Substitution, subst};

/// Merges equal statements.
pub fn cse(mut program: Program) -> Program {
    let mut map = Substitution::default();
    let mut scopes: Vec<HashMap<String, Vec<Var>>> = vec![HashMap::default()];
    let setup = std::mem::take(&mut program.setup);
    program.setup = region(setup, &mut map, &mut scopes);
    let step = std::mem::take(&mut program.step);
    let stmts = region(step.stmts, &mut map, &mut scopes);
    program.step = Block { stmts, results: step.results.iter().map(|&a| subst(&map, a)).collect() };
    program
}

fn region(stmts: Vec<Stmt>, map: &mut Substitution, scopes: &mut Vec<HashMap<String, Vec<Var>>>) -> Vec<Stmt> {
    let mut out = Vec::with_capacity(stmts.len());
    for mut stmt in stmts {
        substitute(&mut stmt, map);
        scopes.push(HashMap::default());
        for block in stmt.regions_mut() {
            scopes.push(HashMap::default());
            let stmts = std::mem::take(&mut block.stmts);
            block.stmts = region(stmts, map, scopes);
            block.results.iter_mut().for_each(|a| *a = subst(map, *a));
            scopes.pop();
        }
        scopes.pop();
        substitute_collectors(&mut stmt, map);
        if let Stmt::For(f) = &mut stmt {
            merge_collectors(f, map);
        }
        let results = stmt.results();
        if results.is_empty() {
            out.push(stmt);
            continue;
        }
        let key = key(&stmt);
        let known = scopes.iter().rev().find_map(|s| s.get(&key));
        if let Some(first) = known {
            for (&r, &f) in results.iter().zip(first) {
                map.insert(r, f.into());
            }
            continue;
        }
        if let Some(scope) = scopes.last_mut() {
            scope.insert(key, results);
        }
        out.push(stmt);
    }
    out
}

/// Of two equal collectors of one value, the first serves for both.
fn merge_collectors(f: &mut For, map: &mut Substitution) {
    let mut kept: Vec<usize> = Vec::new();
    for k in 0..f.results.len() {
        let same = kept
            .iter()
            .copied()
            .find(|&j| f.collectors[j] == f.collectors[k] && f.body.results[j] == f.body.results[k]);
        match same {
            Some(j) => {
                map.insert(f.results[k], f.results[j].into());
            }
            None => kept.push(k),
        }
    }
    if kept.len() < f.results.len() {
        f.results = kept.iter().map(|&k| f.results[k]).collect();
        f.body.results = kept.iter().map(|&k| f.body.results[k]).collect();
        f.collectors = kept.iter().map(|&k| f.collectors[k].clone()).collect();
    }
}

/// Replaces operands of the statement itself.
pub(super) fn substitute(stmt: &mut Stmt, map: &Substitution) {
    let each = |atoms: &mut Vec<Atom>| atoms.iter_mut().for_each(|a| *a = subst(map, *a));
    match stmt {
        Stmt::Op { args, .. } | Stmt::Array { args, .. } => each(args),
        Stmt::Contract(c) => {
            c.a = subst(map, c.a);
            c.b = subst(map, c.b);
        }
        Stmt::Draw(d) => {
            each(&mut d.args);
            d.index.iter_mut().for_each(|(a, _)| *a = subst(map, *a));
            d.mirror = d.mirror.map(|a| subst(map, a));
        }
        Stmt::Sample(s) => {
            each(&mut s.args);
            s.index.iter_mut().for_each(|(a, _)| *a = subst(map, *a));
        }
        Stmt::Check { ok, .. } => *ok = subst(map, *ok),
        Stmt::Term(a) => *a = subst(map, *a),
        Stmt::Loop(l) => l.carried.iter_mut().for_each(|(_, a)| *a = subst(map, *a)),
        Stmt::If(i) => i.condition = subst(map, i.condition),
        Stmt::For(_) => {}
    }
}

/// Replaces index atoms of collectors, which are atoms of the body.
pub(super) fn substitute_collectors(stmt: &mut Stmt, map: &Substitution) {
    let collectors = match stmt {
        Stmt::For(f) => &mut f.collectors,
        Stmt::Loop(l) => &mut l.collectors,
        _ => return,
    };
    for c in collectors {
        if let Collector::SumAt { index, .. } = c {
            index.iter_mut().for_each(|a| *a = subst(map, *a));
        }
    }
}

/// Text that is equal for statements of equal meaning: results left out, inner definitions numbered in order.
pub(super) fn key(stmt: &Stmt) -> String {
    let mut k = Key { text: String::with_capacity(64), names: HashMap::default() };
    k.stmt(stmt);
    k.text
}

struct Key {
    text: String,
    names: HashMap<Var, usize>,
}

impl Key {
    fn add(&mut self, part: impl std::fmt::Debug) {
        use std::fmt::Write;
        // Writing to a string does not fail.
        let _ = write!(self.text, "{part:?},");
    }

    fn define(&mut self, v: Var) {
        let n = self.names.len();
        self.names.insert(v, n);
    }

    fn atom(&mut self, a: Atom) {
        use std::fmt::Write;
        let _ = match a {
            Atom::Var(v) => match self.names.get(&v) {
                Some(n) => write!(self.text, "#{n},"),
                None => write!(self.text, "%{},", v.0),
            },
            Atom::Real(x) => write!(self.text, "r{:x},", x.to_bits()),
            Atom::Int(x) => write!(self.text, "i{x},"),
            Atom::Bool(x) => write!(self.text, "{x},"),
        };
    }

    fn atoms(&mut self, atoms: &[Atom]) {
        self.text.push('(');
        atoms.iter().for_each(|&a| self.atom(a));
        self.text.push(')');
    }

    fn block(&mut self, b: &Block) {
        self.text.push('{');
        for s in &b.stmts {
            self.stmt(s);
            for r in s.results() {
                self.define(r);
            }
        }
        self.atoms(&b.results);
        self.text.push('}');
    }

    fn collectors(&mut self, collectors: &[Collector]) {
        for c in collectors {
            match c {
                Collector::SumAt { index, shape } => {
                    self.text.push_str("at");
                    self.atoms(index);
                    self.add(shape);
                }
                other => self.add(other),
            }
        }
    }

    fn stmt(&mut self, s: &Stmt) {
        match s {
            Stmt::Op { op, args, .. } => {
                self.text.push_str(op.name());
                self.atoms(args);
            }
            Stmt::Array { prim, args, .. } => {
                self.add(prim);
                self.atoms(args);
            }
            Stmt::Contract(c) => {
                self.add((&c.a_labels, &c.b_labels, &c.out, c.kind));
                self.atoms(&[c.a, c.b]);
            }
            Stmt::Draw(d) => {
                self.add((d.noise, d.site));
                self.atoms(&d.args);
                for &(a, n) in &d.index {
                    self.atom(a);
                    self.add(n);
                }
                if let Some(m) = d.mirror {
                    self.text.push('m');
                    self.atom(m);
                }
            }
            Stmt::Check { ok, check } => {
                self.add(check);
                self.atom(*ok);
            }
            Stmt::Sample(x) => {
                // Samples are told apart by their results: never equal.
                self.add(&x.results);
            }
            Stmt::Term(a) => {
                self.text.push_str("term");
                self.atom(*a);
            }
            Stmt::For(f) => {
                self.text.push_str("for");
                for &(v, n) in &f.indices {
                    self.define(v);
                    self.add(n);
                }
                self.block(&f.body);
                self.collectors(&f.collectors);
                self.add(f.strip);
            }
            Stmt::Loop(l) => {
                self.text.push_str("loop");
                self.add((l.extent, l.reverse));
                for &(_, a) in &l.carried {
                    self.atom(a);
                }
                self.define(l.index);
                for &(v, _) in &l.carried {
                    self.define(v);
                }
                self.block(&l.body);
                self.collectors(&l.collectors);
            }
            Stmt::If(i) => {
                self.text.push_str("if");
                self.atom(i.condition);
                self.block(&i.then);
                self.block(&i.otherwise);
            }
        }
    }
}

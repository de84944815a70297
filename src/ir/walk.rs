//! Going through Core: operands, definitions, free variables; and copying a region with fresh variables under a
//! substitution.

use super::core::{Atom, Block, Collector, Program, Stmt, Var};
use crate::base::hash::{HashMap, HashSet};

impl Stmt {
    /// Variables that the statement defines in its own region (not those inside its regions).
    pub fn results(&self) -> Vec<Var> {
        match self {
            Stmt::Op { result, .. } => vec![*result],
            Stmt::For(f) => f.results.clone(),
            Stmt::Loop(l) => l.results.clone(),
            Stmt::If(i) => i.results.clone(),
            Stmt::Contract(c) => vec![c.result],
            Stmt::Array { results, .. } => results.clone(),
            Stmt::Draw(d) => vec![d.result],
            Stmt::Sample(s) => s.results.clone(),
            Stmt::Check { .. } | Stmt::Term(_) => Vec::new(),
        }
    }

    /// Calls `f` on every operand read by the statement itself or anywhere inside its regions.
    pub fn each_atom(&self, f: &mut impl FnMut(Atom)) {
        match self {
            Stmt::Op { args, .. } | Stmt::Array { args, .. } => args.iter().for_each(|&a| f(a)),
            Stmt::For(x) => {
                x.body.each_atom(f);
                each_collector_atom(&x.collectors, f);
            }
            Stmt::Loop(x) => {
                x.carried.iter().for_each(|&(_, a)| f(a));
                x.body.each_atom(f);
                each_collector_atom(&x.collectors, f);
            }
            Stmt::If(x) => {
                f(x.condition);
                x.then.each_atom(f);
                x.otherwise.each_atom(f);
            }
            Stmt::Contract(x) => {
                f(x.a);
                f(x.b);
            }
            Stmt::Draw(x) => {
                x.args.iter().for_each(|&a| f(a));
                x.index.iter().for_each(|&(a, _)| f(a));
                x.mirror.iter().for_each(|&a| f(a));
            }
            Stmt::Sample(x) => {
                x.args.iter().for_each(|&a| f(a));
                x.index.iter().for_each(|&(a, _)| f(a));
            }
            Stmt::Check { ok, .. } => f(*ok),
            Stmt::Term(a) => f(*a),
        }
    }

    /// Variables read by the statement (anywhere inside) that are not defined inside it.
    pub fn free_vars(&self) -> HashSet<Var> {
        let mut free = HashSet::default();
        self.each_atom(&mut |a| {
            if let Atom::Var(v) = a {
                free.insert(v);
            }
        });
        let mut defined = HashSet::default();
        self.each_inner_definition(&mut |v| {
            defined.insert(v);
        });
        free.retain(|v| !defined.contains(v));
        free
    }

    /// Variables bound inside the statement's regions: indices, carried variables, definitions.
    pub fn each_inner_definition(&self, f: &mut impl FnMut(Var)) {
        let mut regions: Vec<&Block> = Vec::new();
        match self {
            Stmt::For(x) => {
                x.indices.iter().for_each(|&(v, _)| f(v));
                regions.push(&x.body);
            }
            Stmt::Loop(x) => {
                f(x.index);
                x.carried.iter().for_each(|&(v, _)| f(v));
                regions.push(&x.body);
            }
            Stmt::If(x) => regions.extend([&x.then, &x.otherwise]),
            Stmt::Op { .. }
            | Stmt::Contract(_)
            | Stmt::Array { .. }
            | Stmt::Draw(_)
            | Stmt::Sample(_)
            | Stmt::Check { .. }
            | Stmt::Term(_) => {}
        }
        for region in regions {
            for stmt in &region.stmts {
                stmt.results().into_iter().for_each(&mut *f);
                stmt.each_inner_definition(f);
            }
        }
    }

    /// Regions owned by the statement.
    pub fn regions(&self) -> Vec<&Block> {
        match self {
            Stmt::For(x) => vec![&x.body],
            Stmt::Loop(x) => vec![&x.body],
            Stmt::If(x) => vec![&x.then, &x.otherwise],
            _ => Vec::new(),
        }
    }

    pub fn regions_mut(&mut self) -> Vec<&mut Block> {
        match self {
            Stmt::For(x) => vec![&mut x.body],
            Stmt::Loop(x) => vec![&mut x.body],
            Stmt::If(x) => vec![&mut x.then, &mut x.otherwise],
            _ => Vec::new(),
        }
    }
}

fn each_collector_atom(collectors: &[Collector], f: &mut impl FnMut(Atom)) {
    for c in collectors {
        if let Collector::SumAt { index, .. } = c {
            index.iter().for_each(|&a| f(a));
        }
    }
}

impl Block {
    pub fn each_atom(&self, f: &mut impl FnMut(Atom)) {
        self.stmts.iter().for_each(|s| s.each_atom(f));
        self.results.iter().for_each(|&a| f(a));
    }
}

/// A substitution of variables by atoms, grown as copies are made.
pub type Substitution = HashMap<Var, Atom>;

/// The atom after substitution.
pub fn subst(map: &Substitution, atom: Atom) -> Atom {
    match atom {
        Atom::Var(v) => map.get(&v).copied().unwrap_or(atom),
        _ => atom,
    }
}

/// A copy of `stmts` in which every definition is fresh and operands are substituted; `map` gets old to new.
pub fn copy_stmts(program: &mut Program, stmts: &[Stmt], map: &mut Substitution) -> Vec<Stmt> {
    stmts.iter().map(|s| copy_stmt(program, s, map)).collect()
}

/// As [`copy_stmts`], with the block's results.
pub fn copy_block(program: &mut Program, block: &Block, map: &mut Substitution) -> Block {
    let stmts = copy_stmts(program, &block.stmts, map);
    Block { stmts, results: block.results.iter().map(|&a| subst(map, a)).collect() }
}

fn fresh(program: &mut Program, var: Var, map: &mut Substitution) -> Var {
    let info = program.vars[var.0 as usize].clone();
    let new = Var(u32::try_from(program.vars.len()).unwrap_or(u32::MAX));
    program.vars.push(info);
    map.insert(var, new.into());
    new
}

/// One statement of [`copy_stmts`].
pub fn copy_stmt(program: &mut Program, stmt: &Stmt, map: &mut Substitution) -> Stmt {
    let atoms = |map: &Substitution, atoms: &[Atom]| -> Vec<Atom> { atoms.iter().map(|&a| subst(map, a)).collect() };
    let pairs = |map: &Substitution, index: &[(Atom, usize)]| -> Vec<(Atom, usize)> {
        index.iter().map(|&(a, n)| (subst(map, a), n)).collect()
    };
    match stmt {
        Stmt::Op { result, op, args } => {
            let args = atoms(map, args);
            Stmt::Op { result: fresh(program, *result, map), op: *op, args }
        }
        Stmt::Array { results, prim, args } => {
            let args = atoms(map, args);
            let results = results.iter().map(|&v| fresh(program, v, map)).collect();
            Stmt::Array { results, prim: prim.clone(), args }
        }
        Stmt::Contract(c) => {
            let (a, b) = (subst(map, c.a), subst(map, c.b));
            let mut new = c.clone();
            new.result = fresh(program, c.result, map);
            new.a = a;
            new.b = b;
            Stmt::Contract(new)
        }
        Stmt::Draw(d) => {
            let mut new = d.clone();
            new.args = atoms(map, &d.args);
            new.index = pairs(map, &d.index);
            new.mirror = d.mirror.map(|a| subst(map, a));
            new.result = fresh(program, d.result, map);
            Stmt::Draw(new)
        }
        Stmt::Sample(s) => {
            let mut new = s.clone();
            new.args = atoms(map, &s.args);
            new.index = pairs(map, &s.index);
            new.results = s.results.iter().map(|&v| fresh(program, v, map)).collect();
            Stmt::Sample(new)
        }
        Stmt::Check { ok, check } => Stmt::Check { ok: subst(map, *ok), check: *check },
        Stmt::Term(a) => Stmt::Term(subst(map, *a)),
        Stmt::If(i) => {
            let mut new = i.clone();
            new.condition = subst(map, i.condition);
            new.then = copy_block(program, &i.then, map);
            new.otherwise = copy_block(program, &i.otherwise, map);
            new.results = i.results.iter().map(|&v| fresh(program, v, map)).collect();
            Stmt::If(new)
        }
        Stmt::For(f) => {
            let mut new = f.clone();
            new.indices = f.indices.iter().map(|&(v, n)| (fresh(program, v, map), n)).collect();
            new.body = copy_block(program, &f.body, map);
            new.collectors = copy_collectors(&f.collectors, map);
            new.results = f.results.iter().map(|&v| fresh(program, v, map)).collect();
            Stmt::For(new)
        }
        Stmt::Loop(l) => {
            let mut new = l.clone();
            let inits: Vec<Atom> = l.carried.iter().map(|&(_, a)| subst(map, a)).collect();
            new.index = fresh(program, l.index, map);
            new.carried = l.carried.iter().zip(inits).map(|(&(v, _), a)| (fresh(program, v, map), a)).collect();
            new.body = copy_block(program, &l.body, map);
            new.collectors = copy_collectors(&l.collectors, map);
            new.results = l.results.iter().map(|&v| fresh(program, v, map)).collect();
            Stmt::Loop(new)
        }
    }
}

fn copy_collectors(collectors: &[Collector], map: &Substitution) -> Vec<Collector> {
    collectors
        .iter()
        .map(|c| match c {
            Collector::SumAt { index, shape } => {
                Collector::SumAt { index: index.iter().map(|&a| subst(map, a)).collect(), shape: shape.clone() }
            }
            other => other.clone(),
        })
        .collect()
}

//! Making Core: a list of statements under construction, each with a fresh result variable of the right type. Folds
//! nothing but what is exact and free (`x * 1`, `x + 0` on literals are left to `opt/`).

use super::core::{Atom, Block, Collector, For, If, Loop, Prim, Program, Scalar, Stmt, Type, Var};
use super::op::Op;

/// Statements being added to a region of `program`.
pub struct Builder<'a> {
    pub program: &'a mut Program,
    pub stmts: Vec<Stmt>,
}

impl<'a> Builder<'a> {
    pub fn new(program: &'a mut Program) -> Builder<'a> {
        Builder { program, stmts: Vec::new() }
    }

    pub fn var(&mut self, ty: Type) -> Var {
        self.program.new_var(ty, None)
    }

    pub fn op(&mut self, op: Op, args: &[Atom]) -> Atom {
        let ty = match op.signature() {
            Some((_, result)) => Type { scalar: result, shape: Vec::new() },
            None => match op {
                Op::Read => Type { scalar: self.program.atom_type(args[0]).scalar, shape: Vec::new() },
                Op::Select => self.program.atom_type(args[1]),
                _ => self.program.atom_type(args[0]),
            },
        };
        let result = self.var(ty);
        self.stmts.push(Stmt::Op { result, op, args: args.to_vec() });
        result.into()
    }

    pub fn read(&mut self, array: Atom, indices: &[Atom]) -> Atom {
        let mut args = vec![array];
        args.extend_from_slice(indices);
        self.op(Op::Read, &args)
    }

    /// An array primitive with one result of type `ty`.
    pub fn array(&mut self, prim: Prim, args: &[Atom], ty: Type) -> Atom {
        let result = self.var(ty);
        self.stmts.push(Stmt::Array { results: vec![result], prim, args: args.to_vec() });
        result.into()
    }

    /// `for` over `extents`: `body` gets the index atoms and returns one yielded atom per collector.
    pub fn for_(
        &mut self,
        extents: &[usize],
        collectors: Vec<Collector>,
        body: impl FnOnce(&mut Builder<'_>, &[Atom]) -> Vec<Atom>,
    ) -> Vec<Atom> {
        let indices: Vec<(Var, usize)> = extents.iter().map(|&n| (self.var(Type::INT), n)).collect();
        let atoms: Vec<Atom> = indices.iter().map(|&(v, _)| v.into()).collect();
        let mut inner = Builder::new(self.program);
        let results = body(&mut inner, &atoms);
        let block = Block { stmts: inner.stmts, results };
        self.push_for(indices, block, collectors)
    }

    /// As [`Builder::for_`] with a finished body.
    pub fn push_for(&mut self, indices: Vec<(Var, usize)>, body: Block, collectors: Vec<Collector>) -> Vec<Atom> {
        let extents: Vec<usize> = indices.iter().map(|&(_, n)| n).collect();
        let results: Vec<Var> = collectors
            .iter()
            .zip(&body.results)
            .map(|(c, &value)| {
                let ty = c.result_type(&extents, &self.program.atom_type(value));
                self.program.new_var(ty, None)
            })
            .collect();
        let atoms = results.iter().map(|&v| v.into()).collect();
        self.stmts.push(Stmt::For(For { results, indices, body, collectors, strip: None }));
        atoms
    }

    /// `loop` with carried values: `body` gets the index and the carried variables, returns the next values then one
    /// atom per collector. Returns the final carried values then one per collector.
    pub fn loop_(
        &mut self,
        extent: usize,
        init: &[Atom],
        collectors: Vec<Collector>,
        reverse: bool,
        body: impl FnOnce(&mut Builder<'_>, Atom, &[Atom]) -> Vec<Atom>,
    ) -> Vec<Atom> {
        let index = self.var(Type::INT);
        let carried: Vec<(Var, Atom)> = init
            .iter()
            .map(|&a| {
                let ty = self.program.atom_type(a);
                (self.program.new_var(ty, None), a)
            })
            .collect();
        let vars: Vec<Atom> = carried.iter().map(|&(v, _)| v.into()).collect();
        let mut inner = Builder::new(self.program);
        let results = body(&mut inner, index.into(), &vars);
        let block = Block { stmts: inner.stmts, results };
        self.push_loop(index, extent, carried, block, collectors, reverse)
    }

    pub fn push_loop(
        &mut self,
        index: Var,
        extent: usize,
        carried: Vec<(Var, Atom)>,
        body: Block,
        collectors: Vec<Collector>,
        reverse: bool,
    ) -> Vec<Atom> {
        let mut results: Vec<Var> = Vec::new();
        for &(v, _) in &carried {
            let ty = self.program.ty(v).clone();
            results.push(self.program.new_var(ty, None));
        }
        for (c, &value) in collectors.iter().zip(&body.results[carried.len()..]) {
            let ty = c.result_type(&[extent], &self.program.atom_type(value));
            results.push(self.program.new_var(ty, None));
        }
        let atoms = results.iter().map(|&v| v.into()).collect();
        self.stmts.push(Stmt::Loop(Loop { results, index, extent, carried, body, collectors, reverse }));
        atoms
    }

    /// `if`: both sides return atoms of equal types.
    pub fn if_(
        &mut self,
        condition: Atom,
        then: impl FnOnce(&mut Builder<'_>) -> Vec<Atom>,
        otherwise: impl FnOnce(&mut Builder<'_>) -> Vec<Atom>,
    ) -> Vec<Atom> {
        let then = self.region(then);
        let otherwise = self.region(otherwise);
        let results: Vec<Var> = then
            .results
            .iter()
            .map(|&a| {
                let ty = self.program.atom_type(a);
                self.program.new_var(ty, None)
            })
            .collect();
        let atoms = results.iter().map(|&v| v.into()).collect();
        self.stmts.push(Stmt::If(If { results, condition, then, otherwise }));
        atoms
    }

    /// A region built apart.
    pub fn region(&mut self, build: impl FnOnce(&mut Builder<'_>) -> Vec<Atom>) -> Block {
        let mut inner = Builder::new(self.program);
        let results = build(&mut inner);
        Block { stmts: inner.stmts, results }
    }
}

impl Collector {
    /// Type of the result, given the loop's extents and the yielded value's type.
    pub fn result_type(&self, extents: &[usize], value: &Type) -> Type {
        let mut shape: Vec<usize> = match self {
            Collector::Collect => extents.to_vec(),
            Collector::Sum { keep } => keep.iter().map(|&k| extents[k]).collect(),
            Collector::Max | Collector::Min | Collector::All => Vec::new(),
            Collector::SumAt { shape, .. } => shape.clone(),
        };
        shape.extend_from_slice(&value.shape);
        let scalar = if matches!(self, Collector::All) { Scalar::Bool } else { value.scalar };
        Type { scalar, shape }
    }
}

//! The validator of Core: every invariant written in `core.rs`, checked on a whole program. It only reports; it never
//! panics, also on programs that break every rule (variables out of the table, missing results).

use super::core::{
    Atom, Block, Collector, Contract, ContractKind, Draw, For, If, Loop, Noise, Prim, Program, Role, Sample, Scalar,
    Stmt, Type, Var,
};
use super::op::Op;
use super::print::describe_type;
use std::collections::{HashMap, HashSet};

#[cfg(test)]
mod tests;

/// Which statements a program may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// After `specialize`: `sample` and `term` stand in the step.
    WithSites,
    /// Any later stage.
    Plain,
}

/// Everything that is wrong with the program, in program order; empty if it is valid.
pub fn validate(program: &Program, form: Form) -> Vec<String> {
    let mut v = Validator::new(program, form);
    for input in &program.inputs {
        if input.role != Role::Data
            && program.vars.get(input.var.0 as usize).is_some_and(|i| i.ty.scalar != Scalar::Real)
        {
            v.error(format!("input {} of role {:?} is not real", input.name, input.role));
        }
        v.define(input.var);
    }
    // Setup sees data only.
    let others: Vec<Var> = program.inputs.iter().filter(|i| i.role != Role::Data).map(|i| i.var).collect();
    others.iter().for_each(|&o| v.hide(o));
    v.in_setup = true;
    v.stmts(&program.setup, Place::Top);
    v.in_setup = false;
    others.iter().for_each(|&o| v.show(o));
    v.stmts(&program.step.stmts, Place::Top);
    for &a in &program.step.results {
        v.atom(a, "the step's result");
    }
    if program.outputs.len() != program.step.results.len() {
        v.error(format!("{} output names for {} results", program.outputs.len(), program.step.results.len()));
    }
    v.errors
}

/// Where a statement stands, for what only outermost statements may have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Top,
    /// Directly in the body of a `loop` at top level.
    TopLoop,
    Inner,
}

struct Validator<'a> {
    program: &'a Program,
    form: Form,
    in_scope: Vec<bool>,
    defined: HashSet<Var>,
    in_setup: bool,
    errors: Vec<String>,
}

impl<'a> Validator<'a> {
    fn new(program: &'a Program, form: Form) -> Validator<'a> {
        Validator {
            program,
            form,
            in_scope: vec![false; program.vars.len()],
            defined: HashSet::new(),
            in_setup: false,
            errors: Vec::new(),
        }
    }

    fn error(&mut self, message: String) {
        self.errors.push(message);
    }

    fn name(&self, var: Var) -> String {
        match self.program.vars.get(var.0 as usize).and_then(|i| i.name.as_deref()) {
            Some(name) => format!("{name}.{}", var.0),
            None => format!("%{}", var.0),
        }
    }

    fn define(&mut self, var: Var) {
        let n = var.0 as usize;
        if n >= self.in_scope.len() {
            self.error(format!("variable {} is not in the table", var.0));
            return;
        }
        if !self.defined.insert(var) {
            self.error(format!("{} is defined twice", self.name(var)));
        }
        self.in_scope[n] = true;
    }

    fn hide(&mut self, var: Var) {
        if let Some(s) = self.in_scope.get_mut(var.0 as usize) {
            *s = false;
        }
    }

    fn show(&mut self, var: Var) {
        if let Some(s) = self.in_scope.get_mut(var.0 as usize) {
            *s = true;
        }
    }

    /// Type of a defined variable; an int scalar for one that is not in the table (reported by `define`).
    fn var_type(&self, var: Var) -> Type {
        self.program.vars.get(var.0 as usize).map_or(Type::INT, |i| i.ty.clone())
    }

    /// Type of an operand; reports one that is not in scope.
    fn atom(&mut self, atom: Atom, place: &str) -> Type {
        match atom {
            Atom::Var(v) => {
                if !self.in_scope.get(v.0 as usize).copied().unwrap_or(false) {
                    self.error(format!("{} is not defined where {place} reads it", self.name(v)));
                }
                self.var_type(v)
            }
            Atom::Real(_) => Type::REAL,
            Atom::Int(_) => Type::INT,
            Atom::Bool(_) => Type::BOOL,
        }
    }

    fn atoms(&mut self, atoms: &[Atom], place: &str) -> Vec<Type> {
        atoms.iter().map(|&a| self.atom(a, place)).collect()
    }

    fn expect(&mut self, what: &str, found: &Type, wanted: &Type) {
        if found != wanted {
            self.error(format!("{what} is {}, not {}", describe_type(found), describe_type(wanted)));
        }
    }

    fn results(&mut self, what: &str, results: &[Var], types: &[Type]) {
        if results.len() != types.len() {
            self.error(format!("{what} has {} results, not {}", results.len(), types.len()));
        }
        for (&v, ty) in results.iter().zip(types) {
            let found = self.var_type(v);
            let name = self.name(v);
            self.expect(&format!("{what}: result {name}"), &found, ty);
        }
        for &v in results {
            self.define(v);
        }
    }

    fn stmts(&mut self, stmts: &[Stmt], place: Place) {
        for s in stmts {
            self.stmt(s, place);
        }
    }

    /// A region: what it defines is hidden again after it. Returns the types of its results.
    fn region(&mut self, block: &Block, place: Place, bound: &[Var]) -> Vec<Type> {
        bound.iter().for_each(|&v| self.define(v));
        self.stmts(&block.stmts, place);
        let types = self.atoms(&block.results, "a region's result");
        for s in &block.stmts {
            s.results().into_iter().for_each(|v| self.hide(v));
        }
        types
    }

    fn stmt(&mut self, stmt: &Stmt, place: Place) {
        match stmt {
            Stmt::Op { result, op, args } => {
                let types = self.atoms(args, op.name());
                if let Some(ty) = self.op_type(*op, &types) {
                    self.results(op.name(), &[*result], &[ty]);
                } else {
                    self.define(*result);
                }
            }
            Stmt::For(f) => self.for_(f, place),
            Stmt::Loop(l) => self.loop_(l, place),
            Stmt::If(i) => self.if_(i),
            Stmt::Contract(c) => self.contract(c),
            Stmt::Array { results, prim, args } => {
                let types = self.atoms(args, prim_name(prim));
                match self.prim_type(prim, &types) {
                    Some(ty) => self.results(prim_name(prim), results, &[ty]),
                    None => results.iter().for_each(|&v| self.define(v)),
                }
            }
            Stmt::Draw(d) => self.draw(d),
            Stmt::Check { ok, check } => {
                let ty = self.atom(*ok, "check");
                self.expect("the operand of check", &ty, &Type::BOOL);
                if *check as usize >= self.program.checks.len() {
                    self.error(format!("check {check} is not in the table"));
                }
            }
            Stmt::Sample(s) => self.sample(s),
            Stmt::Term(a) => {
                self.sites_only("term");
                let ty = self.atom(*a, "term");
                self.expect("the operand of term", &ty, &Type::REAL);
            }
        }
    }

    fn sites_only(&mut self, what: &str) {
        if self.form == Form::Plain {
            self.error(format!("{what} stands in Core without sites"));
        }
        if self.in_setup {
            self.error(format!("{what} stands in setup"));
        }
    }

    fn op_type(&mut self, op: Op, types: &[Type]) -> Option<Type> {
        let name = op.name();
        if let Some((wanted, result)) = op.signature() {
            if types.len() != wanted.len() {
                self.error(format!("{name} has {} operands, not {}", types.len(), wanted.len()));
                return None;
            }
            for (n, (ty, &scalar)) in types.iter().zip(wanted).enumerate() {
                self.expect(&format!("operand {n} of {name}"), ty, &Type { scalar, shape: vec![] });
            }
            return Some(Type { scalar: result, shape: vec![] });
        }
        match op {
            Op::Read => {
                let Some((array, indices)) = types.split_first() else {
                    self.error("read has no operand".to_owned());
                    return None;
                };
                if array.is_scalar() || indices.len() != array.shape.len() {
                    let shape = describe_type(array);
                    self.error(format!("read of {shape} with {} indices", indices.len()));
                    return None;
                }
                for ty in indices {
                    self.expect("an index of read", ty, &Type::INT);
                }
                Some(Type { scalar: array.scalar, shape: vec![] })
            }
            Op::Select => {
                let [c, a, b] = types else {
                    self.error("select takes three operands".to_owned());
                    return None;
                };
                self.expect("the condition of select", c, &Type::BOOL);
                self.expect("the second arm of select", b, a);
                if !a.is_scalar() {
                    self.error("select of arrays".to_owned());
                }
                Some(a.clone())
            }
            _ => match types {
                [ty] => Some(ty.clone()),
                _ => {
                    self.error(format!("{name} takes one operand"));
                    None
                }
            },
        }
    }

    fn for_(&mut self, f: &For, place: Place) {
        if f.indices.is_empty() {
            self.error("for without an index".to_owned());
        }
        for &(v, _) in &f.indices {
            let ty = self.var_type(v);
            self.expect("the index of for", &ty, &Type::INT);
        }
        let bound: Vec<Var> = f.indices.iter().map(|&(v, _)| v).collect();
        let extents: Vec<usize> = f.indices.iter().map(|&(_, n)| n).collect();
        bound.iter().for_each(|&v| self.define(v));
        let values = self.region(&f.body, Place::Inner, &[]);
        // Index atoms of `sum_at` belong to the body, whose definitions have just been hidden.
        let inner: Vec<Var> = f.body.stmts.iter().flat_map(Stmt::results).collect();
        inner.iter().for_each(|&v| self.show(v));
        let types = self.collectors("for", &f.collectors, &values, &extents);
        inner.iter().for_each(|&v| self.hide(v));
        bound.iter().for_each(|&v| self.hide(v));
        if let Some(k) = f.strip {
            if place == Place::Inner {
                self.error("a strip index on an inner for".to_owned());
            }
            if k >= f.indices.len() {
                self.error(format!("strip index {k} of {} indices", f.indices.len()));
            }
        }
        self.results("for", &f.results, &types);
    }

    fn collectors(&mut self, what: &str, list: &[Collector], values: &[Type], extents: &[usize]) -> Vec<Type> {
        if list.len() != values.len() {
            self.error(format!("{what} has {} collectors and yields {} values", list.len(), values.len()));
        }
        let mut types = Vec::new();
        for (c, value) in list.iter().zip(values) {
            match c {
                Collector::Collect => {}
                Collector::Sum { keep } => {
                    if value.scalar == Scalar::Bool {
                        self.error(format!("{what}: sum of bools"));
                    }
                    if what == "loop" && !keep.is_empty() {
                        self.error("loop: sum keeps an index".to_owned());
                    }
                    if !keep.is_sorted_by(|a, b| a < b) || keep.iter().any(|&k| k >= extents.len()) {
                        self.error(format!("{what}: sum keeps {keep:?} of {} indices", extents.len()));
                        continue;
                    }
                }
                Collector::Max | Collector::Min => {
                    if what == "loop" {
                        self.error("loop: max and min are not collectors of a loop".to_owned());
                    }
                    if !value.is_scalar() || value.scalar == Scalar::Bool {
                        self.error(format!("{what}: max or min of {}", describe_type(value)));
                    }
                }
                Collector::All => {
                    if what == "loop" {
                        self.error("loop: all is not a collector of a loop".to_owned());
                    }
                    self.expect("the value of all", value, &Type::BOOL);
                }
                Collector::SumAt { index, shape } => {
                    if value.scalar == Scalar::Bool {
                        self.error(format!("{what}: sum_at of bools"));
                    }
                    if index.len() != shape.len() || index.is_empty() {
                        self.error(format!("{what}: sum_at with {} indices for {} axes", index.len(), shape.len()));
                    }
                    for ty in self.atoms(index, "sum_at") {
                        self.expect("an index of sum_at", &ty, &Type::INT);
                    }
                }
            }
            types.push(c.result_type(extents, value));
        }
        types
    }

    fn loop_(&mut self, l: &Loop, place: Place) {
        for &(v, init) in &l.carried {
            let ty = self.atom(init, "loop");
            let wanted = self.var_type(v);
            let name = self.name(v);
            self.expect(&format!("the first value of {name}"), &ty, &wanted);
        }
        let index_type = self.var_type(l.index);
        self.expect("the index of loop", &index_type, &Type::INT);
        let mut bound = vec![l.index];
        bound.extend(l.carried.iter().map(|&(v, _)| v));
        bound.iter().for_each(|&v| self.define(v));
        let inside = if place == Place::Top { Place::TopLoop } else { Place::Inner };
        let values = self.region(&l.body, inside, &[]);
        let inner: Vec<Var> = l.body.stmts.iter().flat_map(Stmt::results).collect();
        inner.iter().for_each(|&v| self.show(v));
        let carried: Vec<Type> = l.carried.iter().map(|&(v, _)| self.var_type(v)).collect();
        if values.len() < carried.len() {
            self.error("loop yields fewer values than it carries".to_owned());
        }
        for (ty, wanted) in values.iter().zip(&carried) {
            self.expect("the next value of loop", ty, wanted);
        }
        let collected = values.get(carried.len()..).unwrap_or_default();
        let mut types = carried;
        types.extend(self.collectors("loop", &l.collectors, collected, &[l.extent]));
        inner.iter().for_each(|&v| self.hide(v));
        bound.iter().for_each(|&v| self.hide(v));
        self.results("loop", &l.results, &types);
    }

    fn if_(&mut self, i: &If) {
        let ty = self.atom(i.condition, "if");
        self.expect("the condition of if", &ty, &Type::BOOL);
        let then = self.region(&i.then, Place::Inner, &[]);
        let otherwise = self.region(&i.otherwise, Place::Inner, &[]);
        if then.len() != otherwise.len() {
            self.error(format!("the sides of if yield {} and {} values", then.len(), otherwise.len()));
        }
        for (b, a) in otherwise.iter().zip(&then) {
            self.expect("the other side's value of if", b, a);
        }
        self.results("if", &i.results, &then);
    }

    fn contract(&mut self, c: &Contract) {
        let mut extents: HashMap<u8, usize> = HashMap::new();
        for (atom, labels) in [(c.a, &c.a_labels), (c.b, &c.b_labels)] {
            let ty = self.atom(atom, "contract");
            if ty.scalar != Scalar::Real || ty.shape.len() != labels.len() {
                self.error(format!("contract of {} with {} labels", describe_type(&ty), labels.len()));
            }
            if has_duplicate(labels) {
                self.error("a label occurs twice in an operand of contract".to_owned());
            }
            for (&l, &n) in labels.iter().zip(&ty.shape) {
                if *extents.entry(l).or_insert(n) != n {
                    self.error(format!("contract: two extents for label {}", l as char));
                }
            }
        }
        if has_duplicate(&c.out) {
            self.error("a label occurs twice in the result of contract".to_owned());
        }
        if c.a_labels.iter().chain(&c.b_labels).any(|l| !l.is_ascii_alphabetic()) {
            self.error("labels of contract are ASCII letters".to_owned());
        }
        match c.out.iter().map(|l| extents.get(l).copied()).collect::<Option<Vec<usize>>>() {
            None => {
                self.error("a label of contract's result is in no operand".to_owned());
                self.define(c.result);
            }
            Some(shape) => self.results("contract", &[c.result], &[Type { scalar: Scalar::Real, shape }]),
        }
        match c.kind {
            Some(ContractKind::Rows) if rows_kernel(c).is_none() => {
                self.error("contract of kind rows is neither ij,j->i nor ij,i->j".to_owned());
            }
            Some(ContractKind::Gemm) if !is_matrix_product(c) => {
                self.error("contract of kind gemm is not a product of two matrices".to_owned());
            }
            _ => {}
        }
    }

    fn prim_type(&mut self, prim: &Prim, types: &[Type]) -> Option<Type> {
        let name = prim_name(prim);
        let wrong = |v: &mut Self| {
            let list: Vec<String> = types.iter().map(describe_type).collect();
            v.error(format!("{name} of ({})", list.join(", ")));
            None
        };
        let square = |ty: &Type| ty.scalar == Scalar::Real && ty.shape.len() == 2 && ty.shape[0] == ty.shape[1];
        match (prim, types) {
            (Prim::Cholesky, [a]) if square(a) => Some(a.clone()),
            (Prim::SolveLower { .. }, [l, b])
                if square(l)
                    && b.scalar == Scalar::Real
                    && matches!(b.shape.len(), 1 | 2)
                    && b.shape.first() == l.shape.first() =>
            {
                Some(b.clone())
            }
            (Prim::CumSum { .. } | Prim::Sort, [a]) if a.scalar == Scalar::Real && a.shape.len() == 1 => {
                Some(a.clone())
            }
            (Prim::Concat { axis }, [first, rest @ ..]) if *axis < first.shape.len() => {
                let mut ty = first.clone();
                for t in rest {
                    let same = t.scalar == first.scalar
                        && t.shape.len() == first.shape.len()
                        && (0..t.shape.len()).all(|d| d == *axis || t.shape[d] == first.shape[d]);
                    if !same {
                        return wrong(self);
                    }
                    ty.shape[*axis] += t.shape[*axis];
                }
                Some(ty)
            }
            (Prim::Stack, [first, rest @ ..]) if rest.iter().all(|t| t == first) => {
                let mut shape = vec![types.len()];
                shape.extend_from_slice(&first.shape);
                Some(Type { scalar: first.scalar, shape })
            }
            (Prim::Reshape { shape }, [a]) if !a.is_scalar() && a.size() == shape.iter().product::<usize>() => {
                if shape.is_empty() {
                    return wrong(self);
                }
                Some(Type { scalar: a.scalar, shape: shape.clone() })
            }
            (Prim::Fill { shape }, [x]) if x.is_scalar() && !shape.is_empty() => {
                Some(Type { scalar: x.scalar, shape: shape.clone() })
            }
            (Prim::Const { data, ty }, []) if data.len() == ty.size() && !ty.is_scalar() => {
                let whole = |x: f64| x.fract() == 0.0 && x.abs() <= 9_007_199_254_740_992.0;
                let fits = match ty.scalar {
                    Scalar::Real => true,
                    Scalar::Int => data.iter().all(|&x| whole(x)),
                    Scalar::Bool => data.iter().all(|&x| x == 0.0 || x == 1.0),
                };
                if !fits {
                    return wrong(self);
                }
                Some(ty.clone())
            }
            (&Prim::Subset { of, take, .. }, []) if take <= of => {
                if self.in_setup {
                    self.error("subset stands in setup".to_owned());
                }
                Some(Type { scalar: Scalar::Int, shape: vec![take] })
            }
            _ => wrong(self),
        }
    }

    fn draw(&mut self, d: &Draw) {
        if self.in_setup {
            self.error("draw stands in setup".to_owned());
        }
        let types = self.atoms(&d.args, "draw");
        let count = d.noise.operands();
        if types.len() != count {
            self.error(format!("draw has {} operands, not {count}", types.len()));
        }
        for ty in &types {
            self.expect("the operand of draw", ty, &Type::REAL);
        }
        self.index(&d.index, "draw");
        if let Some(m) = d.mirror {
            let ty = self.atom(m, "draw");
            self.expect("the mirror of draw", &ty, &Type::BOOL);
            if !matches!(d.noise, Noise::Normal | Noise::Uniform) {
                self.error("only normal and uniform draws are mirrored".to_owned());
            }
        }
        self.results("draw", &[d.result], &[Type::REAL]);
    }

    fn index(&mut self, index: &[(Atom, usize)], place: &str) {
        for &(a, _) in index {
            let ty = self.atom(a, place);
            self.expect("an index of a site", &ty, &Type::INT);
        }
    }

    fn sample(&mut self, s: &Sample) {
        self.sites_only("sample");
        self.atoms(&s.args, "sample");
        self.index(&s.index, "sample");
        for &v in &s.results {
            self.define(v);
        }
    }
}

fn has_duplicate(labels: &[u8]) -> bool {
    labels.iter().enumerate().any(|(n, l)| labels[..n].contains(l))
}

/// The row kernel that a contract of kind `Rows` means, if it has that form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RowsKernel {
    /// `ij,j->i`.
    Dot,
    /// `ij,i->j`.
    Axpy,
}

/// The form `ij,j->i` or `ij,i->j`, or either with the vector first (then the second value is true).
pub fn rows_kernel(c: &Contract) -> Option<(RowsKernel, bool)> {
    let of = |matrix: &[u8], vector: &[u8]| match (matrix, vector, c.out.as_slice()) {
        ([i, j], [k], [o]) if i != j && k == j && o == i => Some(RowsKernel::Dot),
        ([i, j], [k], [o]) if i != j && k == i && o == j => Some(RowsKernel::Axpy),
        _ => None,
    };
    of(&c.a_labels, &c.b_labels).map(|k| (k, false)).or_else(|| of(&c.b_labels, &c.a_labels).map(|k| (k, true)))
}

/// Two matrices with one summed label, one free label each, in any order of axes.
pub fn is_matrix_product(c: &Contract) -> bool {
    let (a, b, out) = (&c.a_labels, &c.b_labels, &c.out);
    a.len() == 2
        && b.len() == 2
        && out.len() == 2
        && a.iter().filter(|l| b.contains(l)).count() == 1
        && a.iter().chain(b).all(|l| out.contains(l) != (a.contains(l) && b.contains(l)))
}

/// The name of a primitive in Core's text form.
pub fn prim_name(prim: &Prim) -> &'static str {
    match prim {
        Prim::Cholesky => "cholesky",
        Prim::SolveLower { transposed: false } => "solve_lower",
        Prim::SolveLower { transposed: true } => "solve_lower_transposed",
        Prim::CumSum { reverse: false } => "cumsum",
        Prim::CumSum { reverse: true } => "cumsum_reverse",
        Prim::Concat { .. } => "concat",
        Prim::Stack => "stack",
        Prim::Reshape { .. } => "reshape",
        Prim::Sort => "sort",
        Prim::Fill { .. } => "fill",
        Prim::Const { .. } => "const",
        Prim::Subset { .. } => "subset",
    }
}

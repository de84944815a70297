//! Blocks, statements, `if` and `for`.

use super::annotation::{Purpose, leading_dim, named};
use super::branch::{Stop, under_loop};
use super::context::{Checker, LoopFrame};
use super::estimates::union;
use super::plate::PlateVal;
use super::poly::Poly;
use super::value::{Base, Edge, Env, Kind, Mode, Num, Record, Support, Val};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::syntax::tree::{Block, Expr, ExprKind, ForClause, ForRange, Name, Pattern, Stmt, StmtKind};
use std::rc::Rc;

/// What a `for` goes through: from, to, the element for anything but a range of indices, the plate if it is subsampled.
struct Went {
    from: Poly,
    to: Poly,
    element: Option<Val>,
    plate: Option<Rc<PlateVal>>,
}

impl Checker {
    /// The value of a block; names bound inside do not leave it.
    pub fn block(&mut self, block: &Block, env: &mut Env) -> Val {
        let want = self.want.take();
        let depth = env.vars.len();
        for stmt in &block.stmts {
            self.stmt(stmt, env);
        }
        let value = match &block.value {
            Some(value) => self.expr_as(value, want, env),
            None => Val::Unit,
        };
        env.vars.truncate(depth);
        value
    }

    /// Statements of a block whose names stay in scope (the top of a generative function).
    pub fn stmt(&mut self, stmt: &Stmt, env: &mut Env) {
        match &stmt.kind {
            StmtKind::Let { pattern, ty, value } => {
                let place = value.span;
                let want = ty.as_ref().and_then(|ty| self.wanted(ty, env));
                let mut value = self.expr_as(value, want, env);
                if let Some(ty) = ty {
                    value = self.conform(ty, &value, env, Purpose { what: "the value", span: place }, None);
                }
                if matches!(value, Val::Unit) {
                    self.report(
                        Diagnostic::error("E0204", place, "this has no value to bind").label("ends without a value"),
                    );
                    value = Val::Unknown;
                }
                self.pattern(pattern, &value, place, env);
            }
            StmtKind::Var { name, ty, value } => {
                let place = value.span;
                let want = ty.as_ref().and_then(|ty| self.wanted(ty, env));
                let mut value = self.expr_as(value, want, env);
                if let Some(ty) = ty {
                    value =
                        self.conform(ty, &value, env, Purpose { what: &format!("`{}`", name.text), span: place }, None);
                } else if let Val::Num(n) = &value
                    && n.base == Base::Int
                    && n.sym.as_ref().and_then(Poly::as_constant).is_some()
                {
                    // `var x = 0` takes reals later.
                    value = Val::Num(Num { base: Base::Int, ..n.clone() });
                }
                env.bind(&name.text, value);
                if let Some(b) = env.vars.last_mut() {
                    b.mutable = true;
                }
            }
            StmtKind::Assign { name, fields, indices, value } => self.assign(name, fields, indices, value, env),
            StmtKind::Sample { address, ty, value, by } => {
                self.sample(stmt, address, ty.as_ref(), value, by.as_ref(), env);
            }
            StmtKind::Observe { value, dist } => self.observe(stmt, value, dist, env),
            StmtKind::Factor(value) => self.factor(stmt, value, env),
            StmtKind::State { name, ty, init } => self.state(name, ty.as_ref(), init, stmt.span, env),
            StmtKind::Tune { name, ty, init } => self.tune(name, ty.as_ref(), init, stmt.span, env),
            StmtKind::Next { name, value } => self.next(name, value, stmt.span, env),
            StmtKind::Learn(value) => self.learn(value, stmt.span, env),
            StmtKind::Assert { check, block } => self.assertion(check, block.as_ref(), env),
            StmtKind::Expr(e) => {
                let value = self.expr(e, env);
                let effect = matches!(
                    e.kind,
                    ExprKind::For { .. } | ExprKind::If { .. } | ExprKind::Block(_) | ExprKind::Match { .. }
                );
                if !effect && !matches!(value, Val::Unknown | Val::Unit) {
                    self.report(
                        Diagnostic::error("E0209", e.span, "this value is not used")
                            .label("has no effect")
                            .fix("bind it with `let`, or make it the last expression of the block"),
                    );
                }
            }
        }
    }

    pub fn pattern(&mut self, pattern: &Pattern, value: &Val, span: Span, env: &mut Env) {
        match pattern {
            Pattern::Ignore(_) => {}
            Pattern::Name(name) => env.bind(&name.text, value.clone()),
            Pattern::Tuple(parts) => match value {
                Val::Tuple(values) if values.len() == parts.len() => {
                    for (p, v) in parts.iter().zip(values) {
                        self.pattern(p, v, span, env);
                    }
                }
                Val::Unknown => {
                    for p in parts {
                        self.pattern(p, &Val::Unknown, span, env);
                    }
                }
                other => {
                    let found = self.describe(other);
                    self.report(
                        Diagnostic::error(
                            "E0204",
                            span,
                            format!("{} values are taken apart here, but this is {found}", parts.len()),
                        )
                        .label(found.clone()),
                    );
                    for p in parts {
                        self.pattern(p, &Val::Unknown, span, env);
                    }
                }
            },
        }
    }

    fn assign(&mut self, name: &Name, fields: &[Name], indices: &[Expr], value: &Expr, env: &mut Env) {
        let new = self.expr(value, env);
        let Some(binding) = env.get(&name.text) else {
            self.unknown_name(&name.text, name.span, env);
            return;
        };
        let whole = binding.value.clone();
        if !binding.mutable {
            self.report(
                Diagnostic::error("E0209", name.span, format!("`{}` is not a `var`", name.text))
                    .label("assigned here")
                    .fix(format!("declare it with `var {} = …`", name.text)),
            );
            return;
        }
        let mut old = whole.clone();
        for field in fields {
            old = self.field(&old, &field.text, field.span);
        }
        let updated = if indices.is_empty() {
            match (&old, &new) {
                // A later value need not be like the first but in type.
                (Val::Num(o), Val::Num(n)) => {
                    let same = o.dims.len() == n.dims.len()
                        && (o.base == n.base || (o.base.max(n.base) == Base::Real && o.base.min(n.base) != Base::Bool));
                    if same {
                        for (a, b) in n.dims.iter().zip(&o.dims) {
                            self.same_size(a, b, value.span, &format!("`{}` keeps its size", name.text));
                        }
                        Val::Num(Num { base: o.base.max(n.base), ..n.clone() })
                    } else {
                        self.join(&old, &new, value.span)
                    }
                }
                _ => {
                    self.join(&old, &new, value.span);
                    new
                }
            }
        } else {
            let mut at_kind = Kind::default();
            for (axis, e) in indices.iter().enumerate() {
                let size = leading_dim(&old, axis);
                let n = self.index_value(e, size.as_ref(), env);
                at_kind.join(&n.kind);
            }
            let element = super::annotation::strip(&old, indices.len());
            let joined = self.join(&element, &new, value.span);
            match (&old, joined) {
                (Val::Num(o), Val::Num(j)) => Val::Num(Num { dims: o.dims.clone(), sym: None, ..j }),
                (_, _) => old.clone(),
            }
        };
        let path: Vec<&str> = fields.iter().map(|f| f.text.as_str()).collect();
        let updated = match whole {
            Val::Record(mut record) if !fields.is_empty() => {
                record.set_path(&path.join("."), updated);
                Val::Record(record)
            }
            _ => updated,
        };
        if let Some(b) = env.get_mut(&name.text) {
            b.value = updated;
        }
    }

    pub fn join_env(&mut self, into: &mut Env, other: &Env, span: Span) {
        for i in 0..into.vars.len().min(other.vars.len()) {
            if into.vars[i].mutable {
                let (a, b) = (into.vars[i].value.clone(), other.vars[i].value.clone());
                into.vars[i].value = self.join(&a, &b, span);
            }
        }
    }

    pub fn for_expr(
        &mut self,
        clauses: &[ForClause],
        condition: Option<&Expr>,
        body: &Block,
        span: Span,
        env: &mut Env,
    ) -> Val {
        let mut stop: Option<Stop> = None;
        let summed = std::mem::take(&mut self.summed);
        let want = self.want.take().map(|w| super::annotation::strip(&w, clauses.len()));
        let depth = env.vars.len();
        let mut dims = Vec::new();
        let mut atoms = Vec::new();
        let mut plates = Vec::new();
        let loops = self.runs.last().map_or(0, |r| r.loops.len());
        for clause in clauses {
            let Went { from, to, element, plate } = self.for_range(&clause.over, env);
            if self.range(&to.sub(&from)).1 < 0.0 {
                self.report(
                    Diagnostic::error(
                        "E0212",
                        clause.name.span,
                        format!("the range {}..{} runs backwards", from.source(), to.source()),
                    )
                    .label("here"),
                );
            }
            let mark = self.fresh();
            let atom = format!("{}#{mark}", clause.name.text);
            let index = atom.clone();
            let groups = self.ragged(&clause.over, env);
            let value = match element {
                Some(element) => named(&element, &atom),
                None => Val::Num(Num {
                    support: Support::Interval {
                        lower: Some(Edge { value: from.clone(), kind: Kind::default() }),
                        upper: Some(Edge { value: to.plus(-1.0), kind: Kind::default() }),
                    },
                    sym: Some(Poly::atom(&atom)),
                    ..Num::new(Base::Int, Vec::new())
                }),
            };
            self.ranges.insert(atom.clone(), (self.range(&from).0, self.range(&to.plus(-1.0)).1));
            let rows = plate.as_ref().map(|p| Poly::atom(&p.name));
            if let Some(plate) = plate {
                self.row_atoms.insert(atom.clone(), plate.id);
                self.carried_rows(&plate, body, env, clause.name.span);
                plates.push(plate);
            }
            stop = condition.map(|condition| Stop { condition, index: atom.clone(), from: from.clone() });
            env.bind(&clause.name.text, value);
            if let Some(b) = env.vars.last_mut() {
                b.range = Some((from.clone(), to.clone()));
            }
            if env.mode == Mode::Generative
                && let Some(run) = self.runs.last_mut()
            {
                run.loops.push(LoopFrame {
                    atom,
                    name: clause.name.text.clone(),
                    from: from.clone(),
                    to: to.clone(),
                    groups,
                    rows,
                    span: clause.name.span,
                });
            }
            dims.push(to.sub(&from));
            atoms.push(index);
        }
        // Values that are carried from one iteration to the next settle first, without reports.
        if effects(body) {
            self.settle_loop(stop.as_ref(), body, env, span);
        }
        self.want = want;
        let mut value = self.iteration(stop.as_ref(), body, env);
        if let Some(stop) = &stop {
            self.whole_loop(clauses, stop, body, &value);
        }
        env.vars.truncate(depth);
        if let Some(run) = self.runs.last_mut() {
            run.loops.truncate(loops);
        }
        let mut sources = Vec::new();
        for plate in &plates {
            sources.push(self.plate_source(plate));
        }
        if env.mode == Mode::Generative
            && scores(body)
            && let Some(run) = self.runs.last_mut()
        {
            run.sources = union(&Some(std::mem::take(&mut run.sources)), &Some(sources.clone()));
        }
        if let Some(plate) = plates.first()
            && !summed
            && !matches!(value, Val::Unit | Val::Unknown)
        {
            self.unsummed(plate, span);
            return Val::Unknown;
        }
        if !plates.is_empty() {
            value = value.map(&mut |n| Num { estimate: Some(union(&n.estimate, &Some(sources.clone()))), ..n.clone() });
        }
        let value = under_loop(value, &dims, &atoms);
        match value {
            Val::Unit => Val::Unit,
            Val::Bijector(b) => Val::Bijectors([b.clone(), b].into()),
            Val::Unknown
            | Val::Fn(_)
            | Val::Dist(_)
            | Val::Gen(_)
            | Val::Algorithm(_)
            | Val::Bijectors(_)
            | Val::Text => Val::Unknown,
            value => value.map(&mut |n| n.clone().under(&dims)),
        }
    }

    fn settle_loop(&mut self, stop: Option<&Stop<'_>>, body: &Block, env: &mut Env, span: Span) {
        // After an iteration a variable has no longer its first value.
        for b in &mut env.vars {
            if b.mutable && assigns(body, &b.name) {
                b.value = b.value.map(&mut |n| Num { sym: None, test: None, ..n.clone() });
            }
        }
        for round in 0..6 {
            let mut next = env.clone();
            let marks = self.runs.last().map_or((0, 0), |r| (r.sites.len(), r.bindings.len()));
            let kinds = self.runs.last().map(|r| (r.kinds.clone(), r.density.clone()));
            self.quietly(|c| c.iteration(stop, body, &mut next));
            self.split_run(marks);
            let mut changed = self.runs.last().map(|r| (r.kinds.clone(), r.density.clone())) != kinds;
            for i in 0..env.vars.len() {
                if !env.vars[i].mutable {
                    continue;
                }
                let (old, new) = (env.vars[i].value.clone(), next.vars[i].value.clone());
                env.vars[i].value = self.carried(&old, &new, round, span, &mut changed);
            }
            // A condition is known once the addresses that it reads are.
            if !changed && (stop.is_none() || round > 1) {
                break;
            }
        }
    }

    /// What a `var` may hold at the start of an iteration: one of two values, with supports that do not grow for ever.
    fn carried(&mut self, old: &Val, new: &Val, round: u32, span: Span, changed: &mut bool) -> Val {
        match (old, new) {
            (Val::Num(a), Val::Num(b)) => {
                let (joined, _) = self.quietly(|c| c.join(old, new, span));
                let Val::Num(mut j) = joined else { return old.clone() };
                if j.support != a.support && (round > 1 || self.contained(b, a) != Some(true)) {
                    j.support = Support::all();
                }
                if self.contained(b, a) == Some(true) {
                    j.support = a.support.clone();
                }
                *changed |= j.kind != a.kind || j.support != a.support || j.base != a.base || j.sym != a.sym;
                Val::Num(j)
            }
            (Val::Record(x), Val::Record(y)) if x.fields.iter().all(|(n, _)| y.get(n).is_some()) => {
                let mut fields = Vec::new();
                for (n, a) in &x.fields {
                    let b = y.get(n).cloned().unwrap_or(Val::Unknown);
                    fields.push((n.clone(), self.carried(a, &b, round, span, changed)));
                }
                Val::Record(Record { fields, sampled: x.sampled })
            }
            (Val::Tuple(x), Val::Tuple(y)) if x.len() == y.len() => {
                Val::Tuple(x.iter().zip(y).map(|(a, b)| self.carried(a, b, round, span, changed)).collect())
            }
            _ => {
                let (joined, _) = self.quietly(|c| c.join(old, new, span));
                if matches!(joined, Val::Unknown) {
                    return old.clone();
                }
                *changed |= joined.kind() != old.kind();
                joined
            }
        }
    }

    fn for_range(&mut self, over: &ForRange, env: &mut Env) -> Went {
        let went = |from: Poly, to: Poly, element: Option<Val>| Went { from, to, element, plate: None };
        match over {
            ForRange::Range { from, to } => {
                self.whole_division += 1;
                let out = went(self.size(from, env), self.size(to, env), None);
                self.whole_division -= 1;
                out
            }
            ForRange::In(e) => match self.expr(e, env) {
                Val::Range { from, to } => went(from, to, None),
                Val::Plate(plate) => {
                    Went { plate: Some(plate.clone()), ..went(plate.from.clone(), plate.to.clone(), None) }
                }
                Val::Values(d) => {
                    let size = match &d.event {
                        Val::Num(n) => match (n.support.lower(), n.support.upper()) {
                            (Some(l), Some(u)) => u.value.sub(&l.value).plus(1.0),
                            _ => Poly::constant(2.0),
                        },
                        _ => self.opaque(),
                    };
                    went(Poly::default(), size, Some(self.freed(&d.event)))
                }
                Val::Num(n) if n.dims.len() == 1 => {
                    let size = n.dims[0].clone();
                    let element = super::annotation::strip(&Val::Num(n), 1);
                    went(Poly::default(), size, Some(element))
                }
                Val::Unknown => {
                    let to = self.opaque();
                    went(Poly::default(), to, Some(Val::Unknown))
                }
                other => {
                    let found = self.describe(&other);
                    self.report(
                        Diagnostic::error(
                            "E0204",
                            e.span,
                            format!(
                                "a `for` runs over a range, a plate, an array of ints or `support(d)`, not {found}"
                            ),
                        )
                        .label(found.clone()),
                    );
                    let to = self.opaque();
                    went(Poly::default(), to, Some(Val::Unknown))
                }
            },
        }
    }

    /// For `start[g]..start[g + 1]` the name of `g`: one group ends where the next begins.
    fn ragged(&mut self, over: &ForRange, env: &mut Env) -> Option<String> {
        let ForRange::Range { from, to } = over else { return None };
        let run = self.runs.last()?;
        let outer: Vec<(String, String)> = run.loops.iter().map(|l| (l.name.clone(), l.atom.clone())).collect();
        for (name, atom) in outer.into_iter().rev() {
            let (text, _) = self.quietly(|c| {
                let end = c.size(to, env);
                if !end.mentions(&atom) {
                    return None;
                }
                let depth = env.vars.len();
                env.bind(
                    &name,
                    Val::Num(Num { sym: Some(Poly::atom(&atom).plus(1.0)), ..Num::new(Base::Int, Vec::new()) }),
                );
                let next = c.size(from, env);
                env.vars.truncate(depth);
                (next == end).then_some(name.clone())
            });
            if text.is_some() {
                return text;
            }
        }
        None
    }

    fn assertion(&mut self, check: &Expr, block: Option<&crate::syntax::tree::RefusedProgram>, env: &mut Env) {
        // `refuses` holds a program of its own, which the test runs.
        if block.is_some() {
            return;
        }
        let ExprKind::Call { callee, args } = &check.kind else {
            let value = self.expr(check, env);
            self.want_bool(&value, check.span);
            return;
        };
        let name = match &callee.kind {
            ExprKind::Name(name) => name.as_str(),
            _ => "",
        };
        match name {
            "near" => {
                if args.len() != 3 {
                    self.report(
                        Diagnostic::error("E0203", check.span, format!("`near` takes 3 arguments, not {}", args.len()))
                            .label("`near(value, expected, tolerance)`"),
                    );
                }
                for a in args {
                    self.expr(&a.value, env);
                }
            }
            "normalized" => {
                for a in args {
                    let value = self.expr(&a.value, env);
                    if !matches!(value, Val::Dist(_) | Val::Unknown) {
                        let found = self.describe(&value);
                        self.report(
                            Diagnostic::error(
                                "E0204",
                                a.value.span,
                                format!("`normalized` is of a distribution, not of {found}"),
                            )
                            .label("here"),
                        );
                    }
                }
            }
            "unbiased" => self.unbiased(check.span, args, env),
            _ => {
                let value = self.expr(check, env);
                self.want_bool(&value, check.span);
            }
        }
    }

    fn unbiased(&mut self, span: Span, args: &[crate::syntax::tree::Arg], env: &mut Env) {
        let mut at: Vec<Val> = Vec::new();
        for a in args {
            if a.name.as_ref().is_some_and(|n| n.text == "at") {
                at = match self.expr(&a.value, env) {
                    Val::Tuple(parts) => parts,
                    other => vec![other],
                };
            }
        }
        let origin = self.origin(super::context::OriginKind::Argument, "the point", span);
        let kind = Kind::of(origin);
        for a in args.iter().filter(|a| a.name.is_none()) {
            let function = self.expr(&a.value, env);
            let values = at
                .iter()
                .map(|v| super::call::ArgVal {
                    name: None,
                    value: v.map(&mut |n| Num {
                        kind: kind.clone(),
                        base: if n.base == Base::Int { Base::Real } else { n.base },
                        ..n.clone()
                    }),
                    span: a.value.span,
                })
                .collect();
            self.apply(&function, values, a.value.span, env);
        }
    }
}

/// True if a block samples or assigns anywhere inside.
pub fn effects(block: &Block) -> bool {
    any_stmt(block, &mut |s| matches!(s.kind, StmtKind::Sample { .. } | StmtKind::Assign { .. }))
}

/// True if a block adds to a log density.
fn scores(block: &Block) -> bool {
    any_stmt(block, &mut |s| matches!(s.kind, StmtKind::Sample { .. } | StmtKind::Observe { .. } | StmtKind::Factor(_)))
}

fn assigns(block: &Block, name: &str) -> bool {
    any_stmt(block, &mut |s| matches!(&s.kind, StmtKind::Assign { name: n, .. } if n.text == name))
}

/// True if some statement of the block, or of a block that stands as an expression in it, is as asked.
pub fn any_stmt(block: &Block, ask: &mut dyn FnMut(&Stmt) -> bool) -> bool {
    block.stmts.iter().any(|s| {
        if ask(s) {
            return true;
        }
        match &s.kind {
            StmtKind::Let { value, .. }
            | StmtKind::Var { value, .. }
            | StmtKind::Assign { value, .. }
            | StmtKind::Expr(value) => any_in_expr(value, ask),
            _ => false,
        }
    }) || block.value.as_ref().is_some_and(|v| any_in_expr(v, ask))
}

fn any_in_expr(e: &Expr, ask: &mut dyn FnMut(&Stmt) -> bool) -> bool {
    match &e.kind {
        ExprKind::Block(b) | ExprKind::For { body: b, .. } => any_stmt(b, ask),
        ExprKind::If { then, otherwise, .. } => {
            any_stmt(then, ask) || otherwise.as_ref().is_some_and(|o| any_stmt(o, ask))
        }
        ExprKind::Match { arms, .. } => arms.iter().any(|(_, b)| any_stmt(b, ask)),
        ExprKind::Tuple(parts) | ExprKind::Array(parts) => parts.iter().any(|p| any_in_expr(p, ask)),
        ExprKind::Binary { left, right, .. } => any_in_expr(left, ask) || any_in_expr(right, ask),
        ExprKind::Neg(inner) | ExprKind::Not(inner) => any_in_expr(inner, ask),
        ExprKind::Call { args, .. } => args.iter().any(|a| any_in_expr(&a.value, ask)),
        ExprKind::Record(fields) => fields.iter().any(|(_, v)| any_in_expr(v, ask)),
        ExprKind::Field { value, .. } => any_in_expr(value, ask),
        ExprKind::Index { array, .. } => any_in_expr(array, ask),
        _ => false,
    }
}

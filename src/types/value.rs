//! Abstract values: what is known of a value before data are bound. A value is its type (scalar or array with symbolic
//! sizes, tuple, record, something callable), its support, whether it is smooth and because of what, and the estimates it
//! is made of.

use super::condition::Condition;
use super::plate::PlateVal;
use super::poly::Poly;
use super::program::{ItemId, ModuleId};
use crate::base::source::Span;
use crate::syntax::tree::{Expr, Name, NodeId};
use std::rc::Rc;

/// Index of an origin of smoothness: a parameter or a site.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct OriginId(pub u32);

/// Why a value is smooth: sorted; empty means free.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Kind(pub Vec<OriginId>);

impl Kind {
    pub fn of(origin: OriginId) -> Kind {
        Kind(vec![origin])
    }
    pub fn is_free(&self) -> bool {
        self.0.is_empty()
    }
    pub fn join(&mut self, other: &Kind) {
        for origin in &other.0 {
            if let Err(at) = self.0.binary_search(origin) {
                self.0.insert(at, *origin);
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum Base {
    Bool,
    Int,
    Real,
}

impl Base {
    pub fn name(self) -> &'static str {
        match self {
            Base::Bool => "bool",
            Base::Int => "int",
            Base::Real => "real",
        }
    }
}

/// One edge of an interval, and what it moves with.
#[derive(Clone, PartialEq, Debug)]
pub struct Edge {
    pub value: Poly,
    pub kind: Kind,
}

impl Edge {
    pub fn constant(value: f64) -> Edge {
        Edge { value: Poly::constant(value), kind: Kind::default() }
    }
}

/// Supports of the last axes as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    Simplex,
    Ordered,
    PositiveOrdered,
    UnitVector,
    CholeskyCorr,
    CorrMatrix,
    CovMatrix,
    CholeskyCov,
}

impl Shape {
    pub const ALL: [Shape; 8] = [
        Shape::Simplex,
        Shape::Ordered,
        Shape::PositiveOrdered,
        Shape::UnitVector,
        Shape::CholeskyCorr,
        Shape::CorrMatrix,
        Shape::CovMatrix,
        Shape::CholeskyCov,
    ];
    pub fn name(self) -> &'static str {
        match self {
            Shape::Simplex => "simplex",
            Shape::Ordered => "ordered",
            Shape::PositiveOrdered => "positive_ordered",
            Shape::UnitVector => "unit_vector",
            Shape::CholeskyCorr => "cholesky_corr",
            Shape::CorrMatrix => "corr_matrix",
            Shape::CovMatrix => "cov_matrix",
            Shape::CholeskyCov => "cholesky_cov",
        }
    }
    pub fn of(name: &str) -> Option<Shape> {
        Shape::ALL.into_iter().find(|s| s.name() == name)
    }
    /// Number of axes it takes up.
    pub fn rank(self) -> usize {
        match self {
            Shape::Simplex | Shape::Ordered | Shape::PositiveOrdered | Shape::UnitVector => 1,
            Shape::CholeskyCorr | Shape::CorrMatrix | Shape::CovMatrix | Shape::CholeskyCov => 2,
        }
    }
    /// Every member of `self` is one of `other`.
    pub fn within(self, other: Shape) -> bool {
        self == other
            || matches!(
                (self, other),
                (Shape::PositiveOrdered, Shape::Ordered)
                    | (Shape::CholeskyCorr, Shape::CholeskyCov)
                    | (Shape::CorrMatrix, Shape::CovMatrix)
            )
    }
    /// An interval that holds every element.
    pub fn hull(self) -> Support {
        match self {
            Shape::Simplex => Support::interval(Some(0.0), Some(1.0)),
            Shape::PositiveOrdered => Support::interval(Some(0.0), None),
            Shape::UnitVector | Shape::CholeskyCorr | Shape::CorrMatrix => Support::interval(Some(-1.0), Some(1.0)),
            Shape::Ordered | Shape::CovMatrix | Shape::CholeskyCov => Support::all(),
        }
    }
}

/// Where every element lies, or the last axes as a whole.
#[derive(Clone, PartialEq, Debug)]
pub enum Support {
    Interval { lower: Option<Edge>, upper: Option<Edge> },
    Shape(Shape),
}

impl Support {
    pub fn all() -> Support {
        Support::Interval { lower: None, upper: None }
    }
    pub fn interval(lower: Option<f64>, upper: Option<f64>) -> Support {
        Support::Interval { lower: lower.map(Edge::constant), upper: upper.map(Edge::constant) }
    }
    pub fn lower(&self) -> Option<Edge> {
        match self {
            Support::Interval { lower, .. } => lower.clone(),
            Support::Shape(shape) => shape.hull().lower(),
        }
    }
    pub fn upper(&self) -> Option<Edge> {
        match self {
            Support::Interval { upper, .. } => upper.clone(),
            Support::Shape(shape) => shape.hull().upper(),
        }
    }
}

/// An estimate's sources, by the number of their evaluation.
pub type Sources = Vec<u32>;

/// A scalar or array of numbers or bools.
#[derive(Clone, Debug)]
pub struct Num {
    pub base: Base,
    pub dims: Vec<Poly>,
    pub support: Support,
    pub kind: Kind,
    /// What it is equal to, where that has an expression; of an array, an atom that names it.
    pub sym: Option<Poly>,
    /// `real?`: may be missing.
    pub optional: bool,
    /// `Some`: an estimate.
    pub estimate: Option<Sources>,
    /// Of a bool: when it is true, where that is known.
    pub test: Option<Rc<Condition>>,
}

impl Num {
    pub fn new(base: Base, dims: Vec<Poly>) -> Num {
        Num {
            base,
            dims,
            support: Support::all(),
            kind: Kind::default(),
            sym: None,
            optional: false,
            estimate: None,
            test: None,
        }
    }
    pub fn real() -> Num {
        Num::new(Base::Real, Vec::new())
    }
    pub fn literal(base: Base, value: f64) -> Num {
        Num {
            sym: Some(Poly::constant(value)),
            support: Support::interval(Some(value), Some(value)),
            ..Num::new(base, Vec::new())
        }
    }
    /// An integer quantity with this expression.
    pub fn size(value: Poly) -> Num {
        let edge = Edge { value: value.clone(), kind: Kind::default() };
        Num {
            support: Support::Interval { lower: Some(edge.clone()), upper: Some(edge) },
            sym: Some(value),
            ..Num::new(Base::Int, Vec::new())
        }
    }
    #[must_use]
    pub fn with_kind(mut self, kind: &Kind) -> Num {
        self.kind = kind.clone();
        self
    }
    /// A bool that is true where `test` holds.
    pub fn condition(test: Condition) -> Num {
        Num { test: Some(Rc::new(test)), ..Num::new(Base::Bool, Vec::new()) }
    }
    /// Leading axes in front.
    #[must_use]
    pub fn under(mut self, dims: &[Poly]) -> Num {
        if !dims.is_empty() {
            self.dims = dims.iter().cloned().chain(self.dims).collect();
            self.sym = None;
            self.test = None;
        }
        self
    }
}

#[derive(Clone, Debug, Default)]
pub struct Record {
    pub fields: Vec<(String, Val)>,
    /// Set for the trace of a `simulate` at this place.
    pub sampled: Option<Span>,
}

impl Record {
    pub fn get(&self, name: &str) -> Option<&Val> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }
    /// Sets `a.b` as the field `b` of the record `a`.
    pub fn set_path(&mut self, path: &str, value: Val) {
        let (head, rest) = path.split_once('.').map_or((path, None), |(h, r)| (h, Some(r)));
        let at = self.fields.iter().position(|(n, _)| n == head);
        match (rest, at) {
            (None, Some(at)) => self.fields[at].1 = value,
            (None, None) => self.fields.push((head.to_owned(), value)),
            (Some(rest), at) => {
                let at = at.unwrap_or_else(|| {
                    self.fields.push((head.to_owned(), Val::Record(Record::default())));
                    self.fields.len() - 1
                });
                if let Val::Record(inner) = &mut self.fields[at].1 {
                    inner.set_path(rest, value);
                }
            }
        }
    }
    pub fn get_path(&self, path: &str) -> Option<&Val> {
        match path.split_once('.') {
            None => self.get(path),
            Some((head, rest)) => match self.get(head)? {
                Val::Record(inner) => inner.get_path(rest),
                _ => None,
            },
        }
    }
    /// The fields of both; those of `over` where both have one.
    #[must_use]
    pub fn merged(&self, over: &Record) -> Record {
        let mut out = self.clone();
        for (name, value) in &over.fields {
            match (out.fields.iter_mut().find(|(n, _)| n == name), value) {
                (Some((_, Val::Record(own))), Val::Record(theirs)) => *own = own.merged(theirs),
                (Some((_, own)), value) => *own = value.clone(),
                (None, value) => out.fields.push((name.clone(), value.clone())),
            }
        }
        out.sampled = self.sampled.or(over.sampled);
        out
    }
    /// The fields that `keep` accepts, by path.
    #[must_use]
    pub fn restricted(&self, keep: &dyn Fn(&str) -> bool) -> Record {
        let mut out = Record { fields: Vec::new(), sampled: self.sampled };
        for path in self.paths().iter().filter(|p| keep(p)) {
            if let Some(value) = self.get_path(path) {
                out.set_path(path, value.clone());
            }
        }
        out
    }
    /// Paths of the leaves, in order.
    pub fn paths(&self) -> Vec<String> {
        let mut out = Vec::new();
        for (name, value) in &self.fields {
            match value {
                Val::Record(inner) => out.extend(inner.paths().into_iter().map(|p| format!("{name}.{p}"))),
                _ => out.push(name.clone()),
            }
        }
        out
    }
}

#[derive(Clone, Debug)]
pub enum Callable {
    Native(String),
    /// `fn`, `objective`, `model`, `guide`, `dist`, `bijector`, `strategy`, `family`
    Item(ItemId),
    Lambda {
        params: Vec<Name>,
        body: Rc<Expr>,
        env: Rc<Env>,
    },
    /// Of a declared type only.
    Declared {
        arity: usize,
        result: Val,
    },
    /// The continuation of a strategy; `event` is what it takes.
    Continuation {
        event: Val,
    },
    /// A member of the distribution or bijector whose body is being checked.
    Member(String),
}

#[derive(Clone, Debug)]
pub struct DistVal {
    /// `None`: a distribution of a declared type only, of which everything is assumed.
    pub item: Option<ItemId>,
    /// A generative function as a distribution over its traces; then `item` is `None`.
    pub whole: Option<Whole>,
    pub name: String,
    /// Parameters by name, of one element of the batch.
    pub args: Vec<(String, Val)>,
    /// Sizes that were inferred.
    pub sizes: Vec<(String, Poly)>,
    /// Leading axes of independent copies.
    pub batch: Vec<Poly>,
    /// Type and support of one element; `Unknown`: whatever the site says.
    pub event: Val,
    pub span: Span,
}

/// What a generative function offers as a distribution over its traces.
#[derive(Clone, Debug)]
pub struct Whole {
    /// The first site whose distribution has no `path`.
    pub pathless: Option<(Span, String)>,
}

#[derive(Clone, Debug)]
pub struct GenVal {
    pub form: GenForm,
    pub frozen: bool,
    pub span: Span,
}

/// What a generative function is made of.
#[derive(Clone, Debug)]
pub enum GenForm {
    /// Of a declared type only: nothing is known of it.
    Declared,
    /// A `model` or `guide`, applied.
    Item { id: ItemId, args: Vec<(String, Val)>, sizes: Vec<(String, Poly)> },
    /// `condition(g, {x: v})`: some addresses have these values.
    Condition { of: Rc<GenVal>, fixed: Record },
    /// `predictive(g)`: what is observed is sampled too.
    Predictive { of: Rc<GenVal> },
    /// `marginal(g, keep: [x, y], by: a)`
    Marginal { of: Rc<GenVal>, keep: Vec<String>, by: Rc<Algorithm> },
    /// `normalize(g, by: a)`
    Normalize { of: Rc<GenVal>, by: Rc<Algorithm> },
}

/// How what is marginalised, or the normaliser, is dealt with.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "one for each marginal of a program, behind an `Rc`")]
pub enum Algorithm {
    /// Exact sums.
    Enumerate {
        span: Span,
    },
    Importance(Importance),
}

/// `importance(proposal, n: count, index: strategy)`
#[derive(Clone, Debug)]
pub struct Importance {
    /// A generative function, or a function to one from the trace that it is to explain.
    pub proposal: Val,
    pub proposal_span: Span,
    pub count: Num,
    /// The strategy of the particle's index, with the names in scope where it is written.
    pub index: Option<(Expr, Env)>,
    /// Of the index' sample statement.
    pub id: NodeId,
    pub span: Span,
}

impl GenVal {
    /// Frozen if `outer` is.
    #[must_use]
    pub fn within(&self, outer: bool) -> GenVal {
        GenVal { frozen: self.frozen || outer, ..self.clone() }
    }
    fn each(&self, f: &mut dyn FnMut(&Num)) {
        match &self.form {
            GenForm::Declared => {}
            GenForm::Item { args, .. } => args.iter().for_each(|(_, v)| v.each(f)),
            GenForm::Condition { of, fixed } => {
                of.each(f);
                fixed.fields.iter().for_each(|(_, v)| v.each(f));
            }
            GenForm::Predictive { of } => of.each(f),
            GenForm::Marginal { of, by, .. } | GenForm::Normalize { of, by } => {
                of.each(f);
                if let Algorithm::Importance(i) = &**by {
                    i.proposal.each(f);
                }
            }
        }
    }
}

#[derive(Clone, Debug)]
pub struct BijectorVal {
    pub item: Option<ItemId>,
    pub args: Vec<(String, Val)>,
    pub sizes: Vec<(String, Poly)>,
    pub from: Val,
    pub to: Val,
}

/// A value that is there only under a condition; elements of an array each under their own.
#[derive(Clone, Debug)]
pub struct Optional {
    pub name: String,
    pub value: Val,
    /// Over the places of the first `arity` indices.
    pub presence: Condition,
    pub arity: usize,
}

#[derive(Clone, Debug)]
pub enum Val {
    /// Something is wrong with it or nothing is known; never reported again.
    Unknown,
    Unit,
    Num(Num),
    Tuple(Vec<Val>),
    Record(Record),
    Text,
    Fn(Rc<Callable>),
    Dist(Rc<DistVal>),
    Gen(Rc<GenVal>),
    Bijector(Rc<BijectorVal>),
    /// `importance(…)`, `enumerate`
    Algorithm(Rc<Algorithm>),
    /// An array of bijectors, in order; of those that a loop makes, one stands twice.
    Bijectors(Rc<[Rc<BijectorVal>]>),
    /// `a..b`, a plate without `by`
    Range {
        from: Poly,
        to: Poly,
    },
    /// A subsampled plate.
    Plate(Rc<PlateVal>),
    /// `support(d)`
    Values(Rc<DistVal>),
    /// Part of a trace that is present under a condition.
    Optional(Rc<Optional>),
    /// A log density that does not exist, because of what is sampled here.
    Absent {
        name: String,
        span: Span,
    },
}

impl Val {
    pub fn num(self) -> Option<Num> {
        match self {
            Val::Num(n) => Some(n),
            _ => None,
        }
    }
    /// Applies `f` to every number inside.
    #[must_use]
    pub fn map(&self, f: &mut dyn FnMut(&Num) -> Num) -> Val {
        match self {
            Val::Num(n) => Val::Num(f(n)),
            Val::Tuple(parts) => Val::Tuple(parts.iter().map(|p| p.map(f)).collect()),
            Val::Record(r) => Val::Record(Record {
                fields: r.fields.iter().map(|(n, v)| (n.clone(), v.map(f))).collect(),
                sampled: r.sampled,
            }),
            Val::Optional(o) => Val::Optional(Rc::new(Optional { value: o.value.map(f), ..(**o).clone() })),
            other => other.clone(),
        }
    }
    /// The value, present or not.
    pub fn bare(&self) -> &Val {
        match self {
            Val::Optional(o) => &o.value,
            other => other,
        }
    }
    /// Why any number inside is smooth.
    pub fn kind(&self) -> Kind {
        let mut kind = Kind::default();
        self.each(&mut |n| kind.join(&n.kind));
        kind
    }
    pub fn each(&self, f: &mut dyn FnMut(&Num)) {
        match self {
            Val::Num(n) => f(n),
            Val::Tuple(parts) => parts.iter().for_each(|p| p.each(f)),
            Val::Record(r) => r.fields.iter().for_each(|(_, v)| v.each(f)),
            Val::Optional(o) => o.value.each(f),
            Val::Dist(d) => d.args.iter().for_each(|(_, v)| v.each(f)),
            Val::Gen(g) => g.each(f),
            Val::Bijector(b) => b.args.iter().for_each(|(_, v)| v.each(f)),
            Val::Bijectors(list) => list.iter().flat_map(|b| &b.args).for_each(|(_, v)| v.each(f)),
            Val::Fn(c) => {
                if let Callable::Lambda { env, .. } = &**c {
                    env.vars.iter().for_each(|b| {
                        if !matches!(b.value, Val::Fn(_)) {
                            b.value.each(f);
                        }
                    });
                }
            }
            Val::Unknown
            | Val::Unit
            | Val::Text
            | Val::Algorithm(_)
            | Val::Range { .. }
            | Val::Plate(_)
            | Val::Values(_)
            | Val::Absent { .. } => {}
        }
    }
}

/// What statements and calls may do where they stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Neither sites nor draws.
    Pure,
    /// Body of a `model` or `guide`.
    Generative,
    /// Body of an `expect`.
    Expect,
    /// Body of a strategy.
    Strategy,
    /// `draw`, `path`, initial values: native draws are fine.
    Sampler,
}

#[derive(Clone, Debug)]
pub struct Binding {
    pub name: String,
    pub value: Val,
    /// `var`
    pub mutable: bool,
    /// `Some`: a loop variable, with its range.
    pub range: Option<(Poly, Poly)>,
}

/// Names in scope.
#[derive(Clone, Debug)]
pub struct Env {
    pub vars: Vec<Binding>,
    /// Size parameters that no argument has settled yet.
    pub open: Vec<String>,
    pub module: ModuleId,
    pub mode: Mode,
    /// Parameters read here count as free.
    pub frozen: bool,
    /// The distribution or bijector whose member is being checked.
    pub owner: Option<Val>,
}

impl Env {
    pub fn new(module: ModuleId, mode: Mode) -> Env {
        Env { vars: Vec::new(), open: Vec::new(), module, mode, frozen: false, owner: None }
    }
    pub fn bind(&mut self, name: &str, value: Val) {
        self.vars.push(Binding { name: name.to_owned(), value, mutable: false, range: None });
    }
    pub fn get(&self, name: &str) -> Option<&Binding> {
        self.vars.iter().rev().find(|b| b.name == name)
    }
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Binding> {
        self.vars.iter_mut().rev().find(|b| b.name == name)
    }
}

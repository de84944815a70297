//! The syntax tree. Every expression, statement and site has a [`NodeId`] that is unique in the run (across files), by
//! which later stages keep their tables, and a span.
//!
//! Newlines, `;` and parentheses leave no trace but spans. Sugar that the parser removes: none; the tree says what was
//! written.

use crate::base::source::Span;

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct NodeId(pub u32);

/// Hands out the [`NodeId`]s of a run, in order.
#[derive(Clone, Debug, Default)]
pub struct NodeIds {
    next: u32,
}

impl NodeIds {
    /// Ids from `first` on.
    pub fn starting_at(first: u32) -> NodeIds {
        NodeIds { next: first }
    }

    pub fn fresh(&mut self) -> NodeId {
        let id = NodeId(self.next);
        self.next += 1;
        id
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    pub text: String,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct File {
    pub items: Vec<Item>,
    /// Names of the items that have a syntax error, as far as they can be read.
    pub broken: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Item {
    pub id: NodeId,
    /// `///` lines before it, joined by newlines.
    pub doc: String,
    pub span: Span,
    pub kind: ItemKind,
}

#[derive(Clone, Debug)]
pub enum ItemKind {
    /// `data name: type [= default]`
    Data {
        name: Name,
        ty: TypeExpr,
        default: Option<Expr>,
    },
    /// `const name [: type] = expr`
    Const {
        name: Name,
        ty: Option<TypeExpr>,
        value: Expr,
    },
    /// `param name: type = init`, `tune name: type = init`
    Param {
        name: Name,
        ty: TypeExpr,
        init: Expr,
        tuned: bool,
    },
    /// `plate rows = 0..N [by 256]`
    Plate {
        name: Name,
        from: Expr,
        to: Expr,
        by: Option<Expr>,
    },
    /// `type Name[n, …] = { field: type, … }`
    Type {
        name: Name,
        sizes: Vec<Name>,
        fields: Vec<(Name, TypeExpr)>,
    },
    Fn(FnItem),
    /// `model m(args) { … }`, `guide q(args) { … }`
    Gen(GenItem),
    /// `guide q = expr`
    GuideAlias {
        name: Name,
        value: Expr,
    },
    Dist(DistItem),
    Bijector(BijectorItem),
    /// `family f[n](location: real[n] = …, …) = dist`: a parameterised distribution over `real[n]`, from which
    /// derived guides are made (`guide q = f(model())`): its parameters become `param`s.
    Family {
        name: Name,
        sizes: Vec<Name>,
        params: Vec<Param>,
        /// `at mode`: its guides stand at the posterior's mode, with the curvature there, and are not trained.
        at_mode: bool,
        body: Expr,
    },
    Strategy(StrategyItem),
    Objective(ObjectiveItem),
    Fit {
        lines: Vec<FitLine>,
    },
    Test {
        name: String,
        body: Block,
    },
    /// `use path::{names}`; path segments, e.g. `std`, `nn`.
    Use {
        path: Vec<Name>,
        names: Vec<Name>,
    },
    /// Library declarations (the prelude): `prefer reparam, enum, mvd, reinforce` (order of strategies without `by`),
    /// `bijector for real<lower=a> is lower_bounded(a)` stands as [`ItemKind::SupportBijector`].
    Prefer {
        strategies: Vec<Name>,
    },
    /// `support simplex[n] by stick_breaking(n)`: the bijector from `real[m]` onto a support; see stdlib/bijectors.
    SupportBijector {
        support: TypeExpr,
        bijector: Expr,
    },
}

/// A parameter of anything that is called: `x: real[n] = default`; the type may be missing (strategies' `d`,
/// lambdas).
#[derive(Clone, Debug)]
pub struct Param {
    pub name: Name,
    pub ty: Option<TypeExpr>,
    pub default: Option<Expr>,
}

/// `fn f[n](x: real[n]) -> real = …` (an expression body is a block with only a value).
#[derive(Clone, Debug)]
pub struct FnItem {
    pub name: Name,
    pub sizes: Vec<Name>,
    pub params: Vec<Param>,
    pub result: Option<TypeExpr>,
    pub body: Block,
}

impl FnItem {
    /// True if a size stands in no parameter's type: only where the result goes can say it.
    pub fn sized_by_result(&self) -> bool {
        self.sizes.iter().any(|s| !self.params.iter().any(|p| p.ty.as_ref().is_some_and(|t| t.mentions_size(&s.text))))
    }
}

impl TypeExpr {
    /// True if the name alone is a size somewhere in the type.
    pub fn mentions_size(&self, name: &str) -> bool {
        let sized = |sizes: &[Expr]| sizes.iter().any(|e| matches!(&e.kind, ExprKind::Name(n) if n == name));
        match &self.kind {
            TypeKind::Named { name: own, sizes, args, .. } => {
                own.text == name || sized(sizes) || args.iter().any(|a| a.mentions_size(name))
            }
            TypeKind::Array { element, sizes } => sized(sizes) || element.mentions_size(name),
            TypeKind::Tuple(parts) => parts.iter().any(|p| p.mentions_size(name)),
            TypeKind::Record(fields) => fields.iter().any(|(_, t)| t.mentions_size(name)),
            TypeKind::Fn { params, result } => {
                params.iter().any(|p| p.mentions_size(name)) || result.mentions_size(name)
            }
        }
    }
}

#[derive(Clone, Debug)]
pub struct GenItem {
    pub name: Name,
    pub is_model: bool,
    pub sizes: Vec<Name>,
    pub params: Vec<Param>,
    pub body: Block,
}

/// `dist name[n](args) on support { members }`
#[derive(Clone, Debug)]
pub struct DistItem {
    pub name: Name,
    pub sizes: Vec<Name>,
    pub params: Vec<Param>,
    pub support: TypeExpr,
    pub members: Vec<Member>,
    pub strategies: Vec<StrategyItem>,
}

/// `log_prob(x) = …`, `path() = …`, `mean = …` (no parameters): a member of a `dist` or `bijector`.
#[derive(Clone, Debug)]
pub struct Member {
    pub name: Name,
    pub params: Vec<Name>,
    pub body: Block,
    /// `on T` after the parameters: `log_prob(x) on real<lower=0, upper=1> = …`, a density also valid on the hull of a
    /// discrete support (for `k: relaxed`).
    pub hull: Option<TypeExpr>,
}

/// `bijector b[n](args): A -> B { forward(x) = …  inverse(y) = … }`
#[derive(Clone, Debug)]
pub struct BijectorItem {
    pub name: Name,
    pub sizes: Vec<Name>,
    pub params: Vec<Param>,
    pub from: TypeExpr,
    pub to: TypeExpr,
    pub members: Vec<Member>,
}

/// `[biased] strategy s(d, …)(k: kind) …`; inside a `dist`, `strategy s(k: kind) …` and the distribution's own
/// parameters are in scope. A first parameter may be a pattern `bernoulli_logit(l)`, which restricts it.
#[derive(Clone, Debug)]
pub struct StrategyItem {
    pub name: Name,
    pub span: Span,
    pub biased: bool,
    /// `None` inside a `dist`.
    pub dist: Option<DistPattern>,
    pub params: Vec<Param>,
    pub k: Name,
    pub kind: ContinuationKind,
    pub body: Block,
}

#[derive(Clone, Debug)]
pub enum DistPattern {
    Any(Name),
    /// `bernoulli_logit(l)`
    Of {
        dist: Name,
        args: Vec<Name>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum ContinuationKind {
    Smooth,
    Free,
    Relaxed,
}

/// `objective o[T](p: gen<T>, …) [estimates e] [where …] = …`
#[derive(Clone, Debug)]
pub struct ObjectiveItem {
    pub name: Name,
    pub sizes: Vec<Name>,
    pub params: Vec<Param>,
    pub estimates: Option<Expr>,
    /// Conditions such as `exact(q) = …`; `exact(q)`, `normalized(p)`, `whole(p)`.
    pub conditions: Vec<Expr>,
    pub body: Expr,
}

/// `[maximize|minimize] e [over params(g), …] [with optimiser] [particles: n]`
#[derive(Clone, Debug)]
pub struct FitLine {
    pub id: NodeId,
    pub span: Span,
    pub minimize: bool,
    pub objective: Expr,
    pub over: Vec<Expr>,
    pub optimiser: Option<Expr>,
    pub particles: Option<Expr>,
}

#[derive(Clone, Debug)]
pub struct TypeExpr {
    pub span: Span,
    pub kind: TypeKind,
}

#[derive(Clone, Debug)]
pub enum TypeKind {
    /// `real`, `int`, `bool`, `estimate`, `trace`, `simplex[K]`, `Dense[a, b]`, a type variable: a name, bounds and sizes.
    /// `real?[T]` has `optional`.
    Named {
        name: Name,
        bounds: Option<Bounds>,
        optional: bool,
        sizes: Vec<Expr>,
        args: Vec<TypeExpr>,
    },
    Tuple(Vec<TypeExpr>),
    Record(Vec<(Name, TypeExpr)>),
    /// `fn(int) -> dist<real>`
    Fn {
        params: Vec<TypeExpr>,
        result: Box<TypeExpr>,
    },
    /// `Dense[1, 2][4]`: array of a named or compound type.
    Array {
        element: Box<TypeExpr>,
        sizes: Vec<Expr>,
    },
}

/// `<lower=a, upper=b>`, or `<a..=b>` of ints.
#[derive(Clone, Debug)]
pub struct Bounds {
    pub lower: Option<Box<Expr>>,
    pub upper: Option<Box<Expr>>,
}

#[derive(Clone, Debug, Default)]
pub struct Block {
    pub stmts: Vec<Stmt>,
    /// The last expression; `None`: unit.
    pub value: Option<Box<Expr>>,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct Stmt {
    pub id: NodeId,
    pub span: Span,
    pub kind: StmtKind,
}

#[derive(Clone, Debug)]
pub enum StmtKind {
    /// `let pattern [: type] = e`
    Let {
        pattern: Pattern,
        ty: Option<TypeExpr>,
        value: Expr,
    },
    /// `var x [: type] = e`
    Var {
        name: Name,
        ty: Option<TypeExpr>,
        value: Expr,
    },
    /// `x = e`, `x[i] = e`, `x.a = e`, `x.a[i] = e`
    Assign {
        name: Name,
        fields: Vec<Name>,
        indices: Vec<Expr>,
        value: Expr,
    },
    /// `addr [: T] ~ e [by s]`
    Sample {
        address: Address,
        ty: Option<TypeExpr>,
        value: Expr,
        by: Option<Expr>,
    },
    /// `observe e ~ d`
    Observe {
        value: Expr,
        dist: Expr,
    },
    Factor(Expr),
    /// `state b: real = 0` in a strategy
    State {
        name: Name,
        ty: Option<TypeExpr>,
        init: Expr,
    },
    /// `next b = e`
    Next {
        name: Name,
        value: Expr,
    },
    /// `tune c: real = 1` in a strategy
    Tune {
        name: Name,
        ty: Option<TypeExpr>,
        init: Expr,
    },
    Learn(Expr),
    /// `assert near(a, b, tol)`; `assert refuses("E0301") { … }` has a block.
    Assert {
        check: Expr,
        block: Option<RefusedProgram>,
    },
    /// An expression for its effect: a `for`, `if` or block with samples or assignments inside; or a value that is unused
    /// (an error of the checker).
    Expr(Expr),
}

/// The items between the braces of `assert refuses("E0301") { … }`.
#[derive(Clone, Debug)]
pub struct RefusedProgram {
    pub items: Vec<Item>,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub enum Address {
    /// `_`
    Splice(Span),
    /// `theta`, `theta[j]`, `x[1..T]` is not an address of a sample; indices are expressions.
    Named { name: Name, indices: Vec<Expr> },
}

#[derive(Clone, Debug)]
pub enum Pattern {
    Name(Name),
    /// `_`
    Ignore(Span),
    Tuple(Vec<Pattern>),
}

#[derive(Clone, Debug)]
pub struct Expr {
    pub id: NodeId,
    pub span: Span,
    pub kind: ExprKind,
}

#[derive(Clone, Debug)]
pub enum ExprKind {
    /// Written without `.` or exponent.
    Int(i64),
    Real(f64),
    Bool(bool),
    Str(String),
    Name(String),
    /// `a + b` …
    Binary {
        op: BinaryOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    Neg(Box<Expr>),
    Not(Box<Expr>),
    /// `f(a, b, name: c)`. Methods do not exist; `a.f` is a field.
    Call {
        callee: Box<Expr>,
        args: Vec<Arg>,
    },
    /// `a[i, j]`, `a[1..n]`
    Index {
        array: Box<Expr>,
        indices: Vec<IndexExpr>,
    },
    /// `t.mu`, `pair.0` is not written; tuples are taken apart by `let`.
    Field {
        value: Box<Expr>,
        field: Name,
    },
    /// `[a, b, c]`
    Array(Vec<Expr>),
    /// `(a, b)`
    Tuple(Vec<Expr>),
    /// `{ name: e, … }` (a record or trace literal; at least one field)
    Record(Vec<(Name, Expr)>),
    Block(Block),
    If {
        continuous: bool,
        condition: Box<Expr>,
        then: Block,
        otherwise: Option<Block>,
    },
    /// `for i in a, j in 0..n [while c] { … }`
    For {
        clauses: Vec<ForClause>,
        condition: Option<Box<Expr>>,
        body: Block,
    },
    /// `|x, y| e`
    Lambda {
        params: Vec<Name>,
        body: Box<Expr>,
    },
    /// `expect { … }`
    Expect(Block),
    /// `y[t] ?? v`
    Default {
        value: Box<Expr>,
        default: Box<Expr>,
    },
    /// `match e { pattern => … }` on ints and bools; `_` last.
    Match {
        value: Box<Expr>,
        arms: Vec<(MatchPattern, Block)>,
    },
    /// `ignore` as a strategy, `std::nn::mlp` as a path: segments.
    Path(Vec<Name>),
    /// `a..b` as an expression of its own: `repeat(0..R, count)`.
    Range {
        from: Box<Expr>,
        to: Box<Expr>,
    },
}

#[derive(Clone, Debug)]
pub enum MatchPattern {
    Int(i64),
    Bool(bool),
    Any,
}

#[derive(Clone, Debug)]
pub struct ForClause {
    /// `_` has the text "_".
    pub name: Name,
    pub over: ForRange,
}

#[derive(Clone, Debug)]
pub enum ForRange {
    Range {
        from: Expr,
        to: Expr,
    },
    /// A plate, an int array, or `support(d)`.
    In(Expr),
}

#[derive(Clone, Debug)]
pub struct Arg {
    pub name: Option<Name>,
    pub value: Expr,
}

#[derive(Clone, Debug)]
pub enum IndexExpr {
    At(Expr),
    /// `a..b`, `a..`, `..b`, `..`
    Slice {
        from: Option<Expr>,
        to: Option<Expr>,
        span: Span,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    /// `%` of ints
    Rem,
    Pow,
    /// `@`
    MatMul,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    And,
    Or,
}

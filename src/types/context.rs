//! The state of checking: items, origins of smoothness, runs of generative functions, calls under way, and what was found.

use super::condition::Condition;
use super::estimates::Source;
use super::load::Loaded;
use super::poly::Poly;
use super::program::{BoundTest, ItemId, ModuleId, Obligation};
use super::value::{Base, Kind, Num, OriginId, Record, Support, Val};
use crate::base::source::Span;
use crate::diagnostic::{Diagnostic, Severity};
use crate::syntax::tree::{ItemKind, NodeId};
use std::collections::{BTreeMap, HashMap, HashSet};

/// A reason for a value to be smooth.
#[derive(Clone, Debug)]
pub struct Origin {
    pub what: OriginKind,
    pub name: String,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum OriginKind {
    Param,
    /// A site, and the strategy that keeps it smooth.
    Site {
        id: NodeId,
        strategy: String,
        chosen: bool,
        /// It passes on values of the support's hull.
        relaxed: bool,
    },
    /// A smooth argument of an item that is checked alone.
    Argument,
    /// A state of a strategy: not smooth, but it may only reach what is stopped.
    Memory,
    /// What a `grad` differentiates in.
    Differentiated,
}

/// A call under way.
#[derive(Clone, Debug)]
pub struct Frame {
    pub span: Span,
    pub name: String,
    pub item: Option<ItemId>,
}

/// How a generative function is run.
#[derive(Clone, Debug)]
pub enum How {
    /// For its trace type: sites are free.
    Type,
    /// `simulate`: each site by its strategy.
    Simulate,
    /// `log_density` at these values.
    Density(Record),
    /// `draw`
    Draw,
}

/// An interval of indices of one axis of an address; `name` is the loop variable, `atom` with its mark.
#[derive(Clone, Debug)]
pub struct Piece {
    pub from: Poly,
    pub to: Poly,
    pub name: Option<String>,
    pub atom: Option<String>,
    /// Of ragged groups: the variable of the loop over groups, and where its group ends.
    pub group: Option<(String, Poly)>,
}

/// A sample statement as it was met.
#[derive(Clone, Debug)]
pub struct Site {
    pub path: String,
    pub pieces: Vec<Piece>,
    /// One element: batch and event axes.
    pub value: Val,
    pub span: Span,
    pub id: Option<NodeId>,
    /// When it is sampled, over the places of its indices.
    pub presence: Condition,
}

#[derive(Clone, Debug)]
pub struct LoopFrame {
    /// Marked name of the variable (`j#3`).
    pub atom: String,
    pub name: String,
    pub from: Poly,
    pub to: Poly,
    /// Name of an outer loop variable whose groups this loop tiles, when its range is ragged.
    pub groups: Option<String>,
    /// The size that an address gets from it, where that is not `to`: a subsampled plate's name.
    pub rows: Option<Poly>,
    pub span: Span,
}

/// One element of an address, its number of indices, and when it is present.
#[derive(Clone, Debug)]
pub struct Template {
    pub arity: usize,
    pub value: Val,
    pub presence: Condition,
}

/// A generative function under way.
#[derive(Clone, Debug)]
pub struct Run {
    pub how: How,
    pub name: String,
    pub is_guide: bool,
    pub sites: Vec<Site>,
    /// What reading a path gives: pieces and value of one element.
    pub bindings: Vec<Site>,
    pub loops: Vec<LoopFrame>,
    /// Everything the log density depends on.
    pub density: Kind,
    /// What makes the log density an estimate: subsampled plates, and estimates that are `factor`s.
    pub sources: Vec<u32>,
    /// Why it is not normalized: where and what.
    pub unnormalized: Option<(Span, String)>,
    /// The first site whose distribution has no density.
    pub point: Option<(Span, String)>,
    /// The first site whose distribution has no `path`.
    pub pathless: Option<(Span, String)>,
    /// What is observed: address and place.
    pub observed: Vec<(String, Span)>,
    /// Why its log density is only estimated: where and what.
    pub inexact: Option<(Span, String)>,
    /// Values of addresses that are not sampled.
    pub fixed: Record,
    /// Observations are samples.
    pub predictive: bool,
    /// Kinds of addresses as far as known, for reads before the last piece.
    pub kinds: BTreeMap<String, Kind>,
    /// Marks addresses of this run.
    pub token: u32,
    /// Each path as last sampled: for reads in a loop before the statement.
    pub templates: BTreeMap<String, Template>,
    /// Plates that the indices of an address go through, if any is subsampled.
    pub by_rows: BTreeMap<String, Vec<Option<ItemId>>>,
    /// How many of the checker's guards stood when it began.
    pub guards: usize,
    /// Names of the addresses of the whole body; `?` if some are not known.
    pub later: Vec<(String, Span)>,
}

/// A diagnostic with the origins that caused it.
#[derive(Clone, Debug)]
pub struct Finding {
    pub diagnostic: Diagnostic,
    pub blames: Vec<OriginId>,
}

pub struct Checker {
    pub loaded: Loaded,
    pub origins: Vec<Origin>,
    pub origin_index: HashMap<(Span, String), OriginId>,
    pub frames: Vec<Frame>,
    pub runs: Vec<Run>,
    pub findings: Vec<Finding>,
    pub found: HashSet<(&'static str, Span)>,
    /// Greater than 0: findings are counted, not kept.
    pub mute: u32,
    pub muted: u32,
    pub fresh: u32,
    pub obligations: BTreeMap<String, Obligation>,
    pub bound_tests: Vec<BoundTest>,
    /// Known ranges of atoms.
    pub ranges: HashMap<String, (f64, f64)>,
    pub globals: HashMap<ItemId, Val>,
    /// Strategy of each sample statement without `by`.
    pub strategies: HashMap<NodeId, String>,
    /// What would serve such a statement if the chosen strategy takes too much.
    pub alternatives: HashMap<NodeId, String>,
    /// Why each preferred strategy before the chosen one was not possible, by statement: (strategy, reason).
    pub reasons: HashMap<NodeId, Vec<(String, String)>>,
    /// The first error of what was tried quietly.
    pub muted_first: Option<String>,
    /// How many of the preferred strategies a statement has tried in vain.
    pub rejected: HashMap<NodeId, usize>,
    pub biased: BTreeMap<String, ()>,
    /// Trace types of generated items and so on are checked as the user's.
    pub depth: u32,
    /// Aliases of guides that could not be derived.
    pub poisoned: HashSet<ItemId>,
    /// Items of derived guides.
    pub generated: Vec<ItemId>,
    /// Calls of `grad` under way: their place, and the origin of what is differentiated in.
    pub gradients: Vec<(Span, OriginId)>,
    /// The type that the expression about to be evaluated is declared to have: sizes of a call that no argument settles
    /// come from it. Taken by the first expression that is evaluated.
    pub want: Option<Val>,
    /// Sites for which no other strategy is left.
    pub stuck: HashSet<NodeId>,
    pub output: Vec<Diagnostic>,
    /// Items that call themselves, which are never entered.
    pub recursive: HashSet<ItemId>,
    /// Greater than 0 in an index: `/` of ints is whole division.
    pub whole_division: u32,
    /// Greater than 0 in the body of a strategy: results of `k` are what is linear.
    pub in_strategy: u32,
    /// Greater than 0 in the condition of `continuous if`.
    pub joins: u32,
    /// Greater than 0 under `next` and `learn`: results of the continuation are numbers there.
    pub learning: u32,
    /// Where estimates come from, by number.
    pub sources: HashMap<u32, Source>,
    pub plate_sources: HashMap<ItemId, u32>,
    /// Subsampled plates by name, which is the size of what is sampled row by row.
    pub subsampled: HashMap<String, ItemId>,
    /// Loop variables over subsampled plates.
    pub row_atoms: HashMap<String, ItemId>,
    /// The next `for` is summed at once.
    pub summed: bool,
    /// What holds where the checker stands: conditions of branches and loops around.
    pub guards: Vec<Condition>,
}

impl Checker {
    pub fn new(loaded: Loaded) -> Checker {
        Checker {
            loaded,
            origins: Vec::new(),
            origin_index: HashMap::new(),
            frames: Vec::new(),
            runs: Vec::new(),
            findings: Vec::new(),
            found: HashSet::new(),
            mute: 0,
            muted: 0,
            fresh: 0,
            obligations: BTreeMap::new(),
            bound_tests: Vec::new(),
            ranges: HashMap::new(),
            globals: HashMap::new(),
            strategies: HashMap::new(),
            alternatives: HashMap::new(),
            reasons: HashMap::new(),
            muted_first: None,
            rejected: HashMap::new(),
            biased: BTreeMap::new(),
            depth: 0,
            poisoned: HashSet::new(),
            generated: Vec::new(),
            gradients: Vec::new(),
            want: None,
            stuck: HashSet::new(),
            output: Vec::new(),
            recursive: HashSet::new(),
            whole_division: 0,
            in_strategy: 0,
            joins: 0,
            learning: 0,
            sources: HashMap::new(),
            plate_sources: HashMap::new(),
            subsampled: HashMap::new(),
            row_atoms: HashMap::new(),
            summed: false,
            guards: Vec::new(),
        }
    }

    pub fn fresh(&mut self) -> u32 {
        self.fresh += 1;
        self.fresh
    }

    /// A quantity that has no expression.
    pub fn opaque(&mut self) -> Poly {
        let n = self.fresh();
        Poly::atom(&format!("?{n}"))
    }

    pub fn sym(&mut self, num: &Num) -> Poly {
        match &num.sym {
            Some(sym) => sym.clone(),
            None => self.opaque(),
        }
    }

    pub fn origin(&mut self, what: OriginKind, name: &str, span: Span) -> OriginId {
        let key = (span, name.to_owned());
        let id = match self.origin_index.get(&key) {
            Some(id) => {
                self.origins[id.0 as usize].what = what;
                return *id;
            }
            None => OriginId(u32::try_from(self.origins.len()).unwrap_or(u32::MAX)),
        };
        self.origin_index.insert(key, id);
        self.origins.push(Origin { what, name: name.to_owned(), span });
        id
    }

    pub fn is_library(&self, span: Span) -> bool {
        self.loaded.sources.file(span.file).library
    }

    /// The innermost place in a file of the user's: the span itself or the call that led to it.
    pub fn user_span(&self, span: Span) -> Span {
        if !self.is_library(span) {
            return span;
        }
        self.frames.iter().rev().map(|f| f.span).find(|s| !self.is_library(*s)).unwrap_or(span)
    }

    pub fn report(&mut self, diagnostic: Diagnostic) {
        self.blame(diagnostic, &Kind::default());
    }

    /// Reports, with the origins that are at fault. A main span in the library is moved to the user's call that led there.
    pub fn blame(&mut self, mut diagnostic: Diagnostic, kind: &Kind) {
        if self.mute > 0 {
            if diagnostic.severity == Severity::Error {
                self.muted += 1;
                self.muted_first.get_or_insert_with(|| diagnostic.message.clone());
            }
            return;
        }
        if let Some(primary) = diagnostic.primary.clone() {
            let place = self.user_span(primary.span);
            if place != primary.span {
                let name = self.frames.last().map(|f| f.name.clone()).unwrap_or_default();
                let text = if primary.text.is_empty() { format!("in `{name}`") } else { primary.text.clone() };
                if let Some(p) = &mut diagnostic.primary {
                    p.span = place;
                    p.text = "reached from here".to_owned();
                }
                diagnostic.secondary.insert(0, crate::diagnostic::Label { span: primary.span, text });
            }
            let span = diagnostic.primary.as_ref().map_or(primary.span, |p| p.span);
            if !self.found.insert((diagnostic.code, span)) {
                return;
            }
        }
        self.findings.push(Finding { diagnostic, blames: kind.0.clone() });
    }

    pub fn unsupported(&mut self, span: Span, what: &str) -> Val {
        self.report(
            Diagnostic::error("E0290", span, format!("{what} is not supported yet"))
                .label("this is part of the language, but this compiler cannot do it yet"),
        );
        Val::Unknown
    }

    /// Runs something without keeping what it finds; returns the number of errors too.
    pub fn quietly<T>(&mut self, f: impl FnOnce(&mut Checker) -> T) -> (T, u32) {
        let before = self.muted;
        self.mute += 1;
        let out = f(self);
        self.mute -= 1;
        let errors = self.muted - before;
        if self.mute == 0 {
            self.muted = 0;
        }
        (out, errors)
    }

    /// Smallest and largest value of an expression from what is known of its atoms.
    pub fn range(&self, poly: &Poly) -> (f64, f64) {
        let mut low = 0.0;
        let mut high = 0.0;
        for (monomial, coefficient) in poly.terms() {
            let mut range = (1.0, 1.0);
            let mut previous: Option<&str> = None;
            let mut even = false;
            for atom in monomial {
                let (a, b) = self.ranges.get(&**atom).copied().unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
                even = !even && previous == Some(&**atom);
                previous = Some(atom);
                let products = [range.0 * a, range.0 * b, range.1 * a, range.1 * b];
                let clean = |x: f64| if x.is_nan() { 0.0 } else { x };
                let lowest = products.iter().copied().map(clean).fold(f64::INFINITY, f64::min);
                let highest = products.iter().copied().map(clean).fold(f64::NEG_INFINITY, f64::max);
                range = (lowest, highest);
            }
            if even && monomial.len() == 2 {
                range.0 = range.0.max(0.0);
            }
            let (a, b) = if coefficient > 0.0 { range } else { (range.1, range.0) };
            low += coefficient * a;
            high += coefficient * b;
        }
        (if low.is_nan() { f64::NEG_INFINITY } else { low }, if high.is_nan() { f64::INFINITY } else { high })
    }

    /// `Some(true)`: a <= b always; `Some(false)`: never; `None`: unknown.
    pub fn at_most(&self, a: &Poly, b: &Poly) -> Option<bool> {
        let (low, high) = self.range(&b.sub(a));
        if low >= 0.0 {
            Some(true)
        } else if high < 0.0 {
            Some(false)
        } else {
            None
        }
    }

    /// Two sizes must agree: equal, an error, or an obligation for binding. True unless it is an error.
    pub fn same_size(&mut self, a: &Poly, b: &Poly, span: Span, what: &str) -> bool {
        let difference = a.sub(b);
        if difference.is_zero() {
            return true;
        }
        if self.plate_mismatch(a, b, span, what) {
            return false;
        }
        let (low, high) = self.range(&difference);
        if low > 0.0 || high < 0.0 {
            self.report(
                Diagnostic::error("E0211", span, format!("sizes differ: {} and {}", a.source(), b.source()))
                    .label(what.to_owned())
                    .fix("give both the same size: only a scalar is repeated to fit; `x[0..n]` takes a part, `concat` joins"),
            );
            return false;
        }
        if self.mute == 0 && difference.printable() && difference.atoms().all(|x| self.is_global(x)) {
            let place = self.user_span(span);
            let key = format!("{} = {}", a.source(), b.source());
            self.obligations.entry(key).or_insert(Obligation { span: place, left: a.source(), right: b.source() });
        }
        true
    }

    /// A scalar `data` or `const` of the main file.
    fn is_global(&self, atom: &str) -> bool {
        let Some(id) = self.loaded.items.resolve(self.loaded.main, atom) else { return false };
        matches!(self.loaded.items.item(id).kind, ItemKind::Data { .. } | ItemKind::Const { .. })
    }

    /// True if `inner` lies in `outer` for sure (`Some(true)`), surely not wholly (`Some(false)`), or it isn't known.
    pub fn contained(&self, inner: &Num, outer: &Num) -> Option<bool> {
        match (&inner.support, &outer.support) {
            (Support::Shape(a), Support::Shape(b)) => Some(a.within(*b)),
            (Support::Interval { .. }, Support::Shape(_)) => None,
            (_, Support::Interval { lower, upper }) => {
                let low = match (lower, inner.support.lower()) {
                    (None, _) => Some(true),
                    (Some(_), None) => Some(false),
                    (Some(bound), Some(own)) => self.at_most(&bound.value, &own.value).filter(|b| *b),
                };
                let high = match (upper, inner.support.upper()) {
                    (None, _) => Some(true),
                    (Some(_), None) => Some(false),
                    (Some(bound), Some(own)) => self.at_most(&own.value, &bound.value).filter(|b| *b),
                };
                match (low, high) {
                    (Some(true), Some(true)) => Some(true),
                    (Some(false), _) | (_, Some(false)) => Some(false),
                    _ => None,
                }
            }
        }
    }

    /// No value of `a` can lie in `b`.
    pub fn disjoint(&self, a: &Num, b: &Num) -> bool {
        let above = |x: &Option<super::value::Edge>, y: &Option<super::value::Edge>| match (x, y) {
            (Some(x), Some(y)) => self.at_most(&x.value, &y.value) == Some(false),
            _ => false,
        };
        // b.lower > a.upper, or a.lower > b.upper
        above(&b.support.lower(), &a.support.upper()) || above(&a.support.lower(), &b.support.upper())
    }

    /// Names of the library's preferred strategies, in order.
    pub fn preferred(&self) -> Vec<String> {
        let mut out = Vec::new();
        for entry in &self.loaded.items.items {
            if let ItemKind::Prefer { strategies } = &entry.item.kind {
                for name in strategies {
                    let found = self.loaded.items.resolve(entry.module, &name.text);
                    let objective =
                        found.is_some_and(|id| matches!(self.loaded.items.item(id).kind, ItemKind::Objective(_)));
                    if !objective && !out.contains(&name.text) {
                        out.push(name.text.clone());
                    }
                }
            }
        }
        out
    }

    /// The strategy of last resort.
    pub fn fallback(&self) -> Option<String> {
        self.preferred().pop()
    }

    pub fn run(&mut self) -> Option<&mut Run> {
        self.runs.last_mut()
    }

    /// The type of a value as users write it.
    pub fn describe(&self, value: &Val) -> String {
        match value {
            Val::Unknown => "?".to_owned(),
            Val::Unit => "nothing".to_owned(),
            Val::Num(n) => self.describe_num(n),
            Val::Tuple(parts) => format!("({})", parts.iter().map(|p| self.describe(p)).collect::<Vec<_>>().join(", ")),
            Val::Record(r) => {
                let fields: Vec<String> = r.fields.iter().map(|(n, v)| format!("{n}: {}", self.describe(v))).collect();
                format!("{{ {} }}", fields.join(", "))
            }
            Val::Text => "a text".to_owned(),
            Val::Fn(_) => "a function".to_owned(),
            Val::Dist(d) => match &d.event {
                Val::Unknown => "a distribution".to_owned(),
                event => format!("dist<{}>", self.describe(&with_batch(event, &d.batch))),
            },
            Val::Gen(_) => "a generative function".to_owned(),
            Val::Bijector(_) => "a bijector".to_owned(),
            Val::Algorithm(_) => "an algorithm".to_owned(),
            Val::Bijectors(_) => "an array of bijectors".to_owned(),
            Val::Range { from, to } => format!("{}..{}", from.source(), to.source()),
            Val::Plate(p) => format!("the plate {}", p.name),
            Val::Values(_) => "a support".to_owned(),
            Val::Absent { .. } => "a density that does not exist".to_owned(),
            Val::Optional(o) => format!("{} {}", self.describe(&o.value), o.presence.clause()),
        }
    }

    pub fn describe_num(&self, n: &Num) -> String {
        if n.estimate.is_some() {
            return "an estimate".to_owned();
        }
        let mut out = String::new();
        let mut dims = n.dims.clone();
        match &n.support {
            Support::Shape(shape) => {
                out.push_str(shape.name());
                if let Some(last) = dims.pop() {
                    if shape.rank() == 2 {
                        dims.pop();
                    }
                    out.push_str(&format!("[{}]", last.source()));
                }
            }
            Support::Interval { lower, upper } => {
                out.push_str(n.base.name());
                if n.optional {
                    out.push('?');
                }
                if n.dims.is_empty()
                    && let (Some(l), Some(u)) = (lower, upper)
                    && l.value == u.value
                    && let Some(c) = l.value.as_constant()
                {
                    return super::poly::number(c);
                }
                let show = |e: &super::value::Edge| e.value.printable();
                let lower = lower.as_ref().filter(|e| show(e)).map(|e| e.value.source());
                let upper = upper.as_ref().filter(|e| show(e)).map(|e| e.value.source());
                match (n.base, lower, upper) {
                    (Base::Bool, _, _) | (_, None, None) => {}
                    (Base::Int, Some(l), Some(u)) => out.push_str(&format!("<{l}..={u}>")),
                    (_, Some(l), None) => out.push_str(&format!("<lower={l}>")),
                    (_, None, Some(u)) => out.push_str(&format!("<upper={u}>")),
                    (Base::Real, Some(l), Some(u)) => out.push_str(&format!("<lower={l}, upper={u}>")),
                }
            }
        }
        if !dims.is_empty() {
            let sizes: Vec<String> =
                dims.iter().map(|d| if d.printable() { d.source() } else { "_".to_owned() }).collect();
            out.push_str(&format!("[{}]", sizes.join(", ")));
        }
        out
    }

    pub fn module_library(&self, module: ModuleId) -> bool {
        self.loaded.items.modules[module.0 as usize].library
    }

    /// Reports a smooth value where a free one is needed.
    pub fn must_be_free(&mut self, kind: &Kind, span: Span, what: &str, verb: &str) {
        let kind = &self.without_memory(kind);
        if kind.is_free() {
            return;
        }
        if self.joins > 0 {
            self.kink(kind, span, what);
            return;
        }
        if let Some(origin) = self.relaxed_origin(kind) {
            self.relaxed_reaches(&origin, kind, span, what, verb);
            return;
        }
        let site = kind.0.iter().find(|o| matches!(self.origins[o.0 as usize].what, OriginKind::Site { .. }));
        let origin = site.or(kind.0.first()).copied().unwrap_or(OriginId(0));
        let origin = self.origins[origin.0 as usize].clone();
        let diagnostic = match &origin.what {
            OriginKind::Site { strategy, .. } => Diagnostic::error(
                "E0301",
                span,
                format!("{strategy} reaches {what}: `{}` is smooth, and the gradient would miss the jump", origin.name),
            )
            .label(format!("{verb} depends on `{}`", origin.name))
            .also(origin.span, format!("`{}` is sampled here by {strategy}", origin.name))
            .note("a value that jumps has derivative zero almost everywhere, so the gradient along the sample is biased; `stop` removes derivatives but keeps a value smooth")
            .fix(format!(
                "sample `{}` by a strategy that does not follow the sample{}; or declare that the branches join with `continuous if`",
                origin.name,
                self.fallback().map_or(String::new(), |s| format!(", e.g. `by {s}`"))
            )),
            OriginKind::Differentiated => Diagnostic::error(
                "E0217",
                span,
                format!("{what} inside `grad`: the gradient in `{}` would miss the jump", origin.name),
            )
            .label(format!("{verb} depends on `{}`", origin.name))
            .also(origin.span, format!("`{}` is differentiated here", origin.name))
            .note("the derivative of a value that jumps is zero almost everywhere and says nothing about the jump")
            .fix("use a continuous function (`sigmoid`, `max`, `softplus`)"),
            OriginKind::Param | OriginKind::Argument | OriginKind::Memory => Diagnostic::error(
                "E0302",
                span,
                format!("{what} on the parameter `{}`: the gradient would miss the jump", origin.name),
            )
            .label(format!("{verb} depends on `{}`", origin.name))
            .also(origin.span, format!("`{}` is trained", origin.name))
            .note("parameters are smooth: the derivative of a value that jumps is zero almost everywhere and says nothing about the jump")
            .fix("use a continuous function (`sigmoid`, `max`, `softplus`), or declare that the branches join with `continuous if`"),
        };
        self.blame(diagnostic, kind);
    }
}

/// A value with leading axes.
pub fn with_batch(value: &Val, batch: &[Poly]) -> Val {
    if batch.is_empty() { value.clone() } else { value.map(&mut |n| n.clone().under(batch)) }
}

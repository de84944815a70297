//! Values of the partial evaluator. What is known when data are bound stays static (literals, known arrays, functions,
//! distributions); the rest are atoms of the Core under construction. An array of records is a record of arrays.

use super::clause::PlateSet;
use crate::base::source::Span;
use crate::ir::core::{Atom, Scalar, Var};
use crate::syntax::tree::{Expr, StrategyItem};
use crate::types::program::{ItemId, ModuleId};
use std::rc::Rc;

/// An array whose elements are known: data, constants, literals. Ints and bools are held as their value.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// Name of the data input it becomes when Core needs it; `None`: a constant of the program.
    pub name: Option<String>,
    pub scalar: Scalar,
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

impl Known {
    pub(super) fn has_missing(&self) -> bool {
        self.values.iter().any(|x| x.is_nan())
    }
}

/// How one axis of a viewed array is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ViewAxis {
    /// Fixed at an index.
    At(Atom),
    /// Kept, from an offset on.
    From(Atom),
}

#[derive(Clone)]
pub(super) enum Repr<'a> {
    Core(Atom),
    /// Part of a Core array: some axes fixed, others shifted. Nothing is copied until it is needed whole.
    View {
        base: Atom,
        axes: Rc<[ViewAxis]>,
    },
    /// Values at this step's rows: axes that are given belong to a subsampled plate; they have the extent of all rows, of
    /// which only this step's are stored.
    Rows {
        base: Atom,
        axes: Rc<[Option<ItemId>]>,
    },
    Known(Rc<Known>),
    /// All elements equal.
    Fill(Atom),
    /// Elements along the first axis.
    List(Rc<[Value<'a>]>),
}

#[derive(Clone)]
pub(super) struct Array<'a> {
    pub scalar: Scalar,
    pub shape: Vec<usize>,
    pub repr: Repr<'a>,
}

#[derive(Clone)]
pub(super) enum Value<'a> {
    Unit,
    Scalar(Atom),
    Array(Array<'a>),
    /// `from..to`
    Range(i64, i64),
    /// A subsampled plate.
    Plate(Rc<PlateSet>),
    Tuple(Rc<[Value<'a>]>),
    /// Records and traces.
    Record(Rc<[(String, Value<'a>)]>),
    Closure(Rc<Closure<'a>>),
    /// A function, or anything else that is applied, not yet applied.
    Item(ItemId),
    /// A function that is known to this folder.
    Native(&'a str),
    Dist(Rc<Dist<'a>>),
    Gen(Rc<Gen<'a>>),
    Algorithm(Rc<Algorithm<'a>>),
    Bijector(Rc<Bijector<'a>>),
    /// `k` of a strategy.
    Continuation,
    Estimate(Rc<Estimate>),
    /// One estimate per index of the loops that made it: `extents` lead every atom's axes.
    Estimates(Rc<Estimates>),
    Text(&'a str),
    /// Several of what has no elements in Core: bijectors, in order.
    List(Rc<[Value<'a>]>),
}

pub(super) struct Closure<'a> {
    pub params: Vec<&'a str>,
    pub body: &'a Expr,
    /// Holds only what the body mentions.
    pub env: Env<'a>,
}

/// A distribution applied to arguments. Arguments may have more leading axes than declared: `batch` is their extents,
/// and the whole is a product of independent elements.
#[derive(Clone)]
pub(super) struct Dist<'a> {
    pub item: ItemId,
    /// Arguments in order of the parameters.
    pub args: Vec<(&'a str, Value<'a>)>,
    /// Whether the argument carries the batch axes.
    pub batched: Vec<bool>,
    pub sizes: Vec<(&'a str, i64)>,
    pub batch: Vec<usize>,
    /// A generative function, the only argument, as a distribution over its traces.
    pub whole: bool,
}

#[derive(Clone)]
pub(super) struct Gen<'a> {
    pub form: GenForm<'a>,
    pub frozen: bool,
}

/// What a generative function is made of.
#[derive(Clone)]
pub(super) enum GenForm<'a> {
    /// A `model` or `guide`, applied.
    Item {
        item: ItemId,
        args: Vec<(&'a str, Value<'a>)>,
    },
    /// Some addresses have the values of this record.
    Condition {
        of: Rc<Gen<'a>>,
        fixed: Value<'a>,
    },
    /// What is observed is sampled too.
    Predictive {
        of: Rc<Gen<'a>>,
    },
    /// Only the addresses `keep` (and those under them) are left.
    Marginal {
        of: Rc<Gen<'a>>,
        keep: Rc<[String]>,
        by: Rc<Algorithm<'a>>,
    },
    Normalize {
        of: Rc<Gen<'a>>,
        by: Rc<Algorithm<'a>>,
    },
}

/// How what is marginalised, or the normaliser, is dealt with.
#[derive(Clone)]
pub(super) enum Algorithm<'a> {
    Enumerate,
    Importance(Importance<'a>),
}

#[derive(Clone)]
pub(super) struct Importance<'a> {
    /// A generative function, or a function to one from the trace that it is to explain.
    pub proposal: Value<'a>,
    pub count: usize,
    /// The strategy of the index of the chosen particle.
    pub index: Option<super::generative::StrategyCall<'a>>,
    pub span: Span,
}

#[derive(Clone)]
pub(super) struct Bijector<'a> {
    pub item: ItemId,
    pub args: Vec<(&'a str, Value<'a>)>,
}

/// A strategy as chosen at a site.
#[derive(Clone)]
pub(super) struct Strategy<'a> {
    pub item: &'a StrategyItem,
    pub module: ModuleId,
    pub args: Vec<(&'a str, Value<'a>)>,
}

/// `constant + Σ (primal · k_c + stopped · stop(k_c))`; each coefficient has the leading axes of its call.
#[derive(Clone, Debug)]
pub(super) struct Estimate {
    pub constant: Atom,
    pub terms: Vec<EstimateTerm>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct EstimateTerm {
    pub call: usize,
    pub primal: Option<Atom>,
    pub stopped: Option<Atom>,
}

#[derive(Clone, Debug)]
pub(super) struct Estimates {
    /// Calls from this number on were made inside the loops: their extents begin with `extents`.
    pub inner: usize,
    pub extents: Vec<usize>,
    /// Array over `extents`.
    pub constant: Atom,
    /// Coefficients have the axes `extents` first, then (of calls from outside) those of the call.
    pub terms: Vec<EstimateTerm>,
}

/// What a body's own members refer to.
#[derive(Clone)]
pub(super) enum This<'a> {
    Dist(Rc<Dist<'a>>),
    Bijector(Rc<Bijector<'a>>),
}

#[derive(Clone)]
pub(super) enum Binding<'a> {
    Value(Value<'a>),
    /// A `var`: index into the machine's cells.
    Cell(usize),
}

pub(super) struct Node<'a> {
    pub name: &'a str,
    pub binding: Binding<'a>,
    pub parent: Option<Rc<Node<'a>>>,
}

/// Lexical scope: local names, then addresses of the frame it belongs to, own members, items, natives.
#[derive(Clone)]
pub(super) struct Env<'a> {
    pub module: ModuleId,
    pub locals: Option<Rc<Node<'a>>>,
    pub this: Option<This<'a>>,
    pub frame: u32,
}

impl<'a> Env<'a> {
    pub(super) fn new(module: ModuleId, frame: u32) -> Env<'a> {
        Env { module, locals: None, this: None, frame }
    }

    pub(super) fn bind(&mut self, name: &'a str, value: Value<'a>) {
        self.push(name, Binding::Value(value));
    }

    pub(super) fn push(&mut self, name: &'a str, binding: Binding<'a>) {
        self.locals = Some(Rc::new(Node { name, binding, parent: self.locals.take() }));
    }

    pub(super) fn local(&self, name: &str) -> Option<&Binding<'a>> {
        let mut node = self.locals.as_deref();
        while let Some(n) = node {
            if n.name == name {
                return Some(&n.binding);
            }
            node = n.parent.as_deref();
        }
        None
    }
}

impl<'a> Value<'a> {
    pub(super) const ZERO: Value<'a> = Value::Scalar(Atom::Real(0.0));

    pub(super) fn int(i: i64) -> Value<'a> {
        Value::Scalar(Atom::Int(i))
    }

    pub(super) fn real(x: f64) -> Value<'a> {
        Value::Scalar(Atom::Real(x))
    }

    pub(super) fn record(fields: Vec<(String, Value<'a>)>) -> Value<'a> {
        Value::Record(fields.into())
    }

    pub(super) fn field(&self, name: &str) -> Option<&Value<'a>> {
        match self {
            Value::Record(fields) => fields.iter().find(|(f, _)| f == name).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The record with the part at this path replaced.
    pub(super) fn with_part<'n>(&self, mut path: impl Iterator<Item = &'n str>, part: Value<'a>) -> Value<'a> {
        let Some(name) = path.next() else { return part };
        match self {
            Value::Record(fields) => {
                let mut fields = fields.to_vec();
                if let Some((_, v)) = fields.iter_mut().find(|(n, _)| n == name) {
                    *v = v.with_part(path.collect::<Vec<_>>().into_iter(), part);
                }
                Value::record(fields)
            }
            other => other.clone(),
        }
    }

    pub(super) fn core(atom: Atom, scalar: Scalar, shape: Vec<usize>) -> Value<'a> {
        if shape.is_empty() {
            Value::Scalar(atom)
        } else {
            Value::Array(Array { scalar, shape, repr: Repr::Core(atom) })
        }
    }

    pub(super) fn known(known: Known) -> Value<'a> {
        Value::Array(Array { scalar: known.scalar, shape: known.shape.clone(), repr: Repr::Known(Rc::new(known)) })
    }

    pub(super) fn fill(atom: Atom, scalar: Scalar, shape: Vec<usize>) -> Value<'a> {
        if shape.is_empty() {
            Value::Scalar(atom)
        } else {
            Value::Array(Array { scalar, shape, repr: Repr::Fill(atom) })
        }
    }

    /// In words, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Unit => "nothing",
            Value::Scalar(_) => "a scalar",
            Value::Array(_) => "an array",
            Value::Range(..) => "a range",
            Value::Plate(_) => "a plate",
            Value::Tuple(_) => "a tuple",
            Value::Record(_) => "a record",
            Value::Closure(_) | Value::Native(_) => "a function",
            Value::Item(_) => "an item",
            Value::Dist(_) => "a distribution",
            Value::Gen(_) => "a generative function",
            Value::Algorithm(_) => "an algorithm",
            Value::Bijector(_) => "a bijector",
            Value::Continuation => "a continuation",
            Value::Estimate(_) | Value::Estimates(_) => "an estimate",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
        }
    }

    /// The value with every atom replaced. Forms that hold code hold their atoms in environments, which are copied.
    pub(super) fn map_atoms(&self, f: &mut dyn FnMut(Atom) -> Atom) -> Value<'a> {
        let pairs = |args: &[(&'a str, Value<'a>)], f: &mut dyn FnMut(Atom) -> Atom| -> Vec<(&'a str, Value<'a>)> {
            args.iter().map(|(n, v)| (*n, v.map_atoms(f))).collect()
        };
        match self {
            Value::Unit
            | Value::Range(..)
            | Value::Plate(_)
            | Value::Item(_)
            | Value::Native(_)
            | Value::Continuation
            | Value::Text(_) => self.clone(),
            Value::List(items) => Value::List(items.iter().map(|v| v.map_atoms(f)).collect()),
            Value::Scalar(a) => Value::Scalar(f(*a)),
            Value::Array(array) => {
                let repr = match &array.repr {
                    Repr::Core(a) => Repr::Core(f(*a)),
                    Repr::View { base, axes } => {
                        let base = f(*base);
                        let axes = axes
                            .iter()
                            .map(|x| match x {
                                ViewAxis::At(a) => ViewAxis::At(f(*a)),
                                ViewAxis::From(a) => ViewAxis::From(f(*a)),
                            })
                            .collect();
                        Repr::View { base, axes }
                    }
                    Repr::Rows { base, axes } => Repr::Rows { base: f(*base), axes: axes.clone() },
                    Repr::Known(k) => Repr::Known(k.clone()),
                    Repr::Fill(a) => Repr::Fill(f(*a)),
                    Repr::List(items) => Repr::List(items.iter().map(|v| v.map_atoms(f)).collect()),
                };
                Value::Array(Array { scalar: array.scalar, shape: array.shape.clone(), repr })
            }
            Value::Tuple(items) => Value::Tuple(items.iter().map(|v| v.map_atoms(f)).collect()),
            Value::Record(fields) => Value::Record(fields.iter().map(|(n, v)| (n.clone(), v.map_atoms(f))).collect()),
            Value::Closure(c) => {
                let mut env = Env { locals: None, ..c.env.clone() };
                env.this = c.env.this.as_ref().map(|t| t.map_atoms(f));
                let mut bindings = Vec::new();
                let mut node = c.env.locals.as_deref();
                while let Some(n) = node {
                    if let Binding::Value(v) = &n.binding {
                        bindings.push((n.name, v.map_atoms(f)));
                    }
                    node = n.parent.as_deref();
                }
                for (name, value) in bindings.into_iter().rev() {
                    env.bind(name, value);
                }
                Value::Closure(Rc::new(Closure { params: c.params.clone(), body: c.body, env }))
            }
            Value::Dist(d) => Value::Dist(Rc::new(d.map_atoms(f))),
            Value::Gen(g) => Value::Gen(g.map_atoms(f)),
            Value::Algorithm(a) => Value::Algorithm(a.map_atoms(f)),
            Value::Bijector(b) => Value::Bijector(Rc::new(Bijector { item: b.item, args: pairs(&b.args, f) })),
            Value::Estimate(e) => Value::Estimate(Rc::new(Estimate {
                constant: f(e.constant),
                terms: e.terms.iter().map(|t| t.map_atoms(f)).collect(),
            })),
            Value::Estimates(e) => Value::Estimates(Rc::new(Estimates {
                inner: e.inner,
                extents: e.extents.clone(),
                constant: f(e.constant),
                terms: e.terms.iter().map(|t| t.map_atoms(f)).collect(),
            })),
        }
    }

    /// Variables that the value mentions, each once, in order of occurrence.
    pub(super) fn vars(&self, into: &mut Vec<Var>) {
        self.map_atoms(&mut |a| {
            if let Atom::Var(v) = a
                && !into.contains(&v)
            {
                into.push(v);
            }
            a
        });
    }
}

impl EstimateTerm {
    fn map_atoms(&self, f: &mut dyn FnMut(Atom) -> Atom) -> EstimateTerm {
        EstimateTerm { call: self.call, primal: self.primal.map(&mut *f), stopped: self.stopped.map(&mut *f) }
    }
}

impl<'a> Gen<'a> {
    /// Frozen if `outer` is.
    pub(super) fn within(self: &Rc<Gen<'a>>, outer: bool) -> Rc<Gen<'a>> {
        if outer && !self.frozen { Rc::new(Gen { frozen: true, ..(**self).clone() }) } else { self.clone() }
    }

    /// A marginal that is exact.
    pub(super) fn enumerates(&self) -> bool {
        matches!(&self.form, GenForm::Marginal { by, .. } if matches!(**by, Algorithm::Enumerate))
    }

    fn map_atoms(&self, f: &mut dyn FnMut(Atom) -> Atom) -> Rc<Gen<'a>> {
        let form = match &self.form {
            GenForm::Item { item, args } => {
                GenForm::Item { item: *item, args: args.iter().map(|(n, v)| (*n, v.map_atoms(f))).collect() }
            }
            GenForm::Condition { of, fixed } => GenForm::Condition { of: of.map_atoms(f), fixed: fixed.map_atoms(f) },
            GenForm::Predictive { of } => GenForm::Predictive { of: of.map_atoms(f) },
            GenForm::Marginal { of, keep, by } => {
                GenForm::Marginal { of: of.map_atoms(f), keep: keep.clone(), by: by.map_atoms(f) }
            }
            GenForm::Normalize { of, by } => GenForm::Normalize { of: of.map_atoms(f), by: by.map_atoms(f) },
        };
        Rc::new(Gen { form, frozen: self.frozen })
    }
}

impl<'a> Algorithm<'a> {
    fn map_atoms(&self, f: &mut dyn FnMut(Atom) -> Atom) -> Rc<Algorithm<'a>> {
        Rc::new(match self {
            Algorithm::Enumerate => Algorithm::Enumerate,
            Algorithm::Importance(i) => Algorithm::Importance(Importance {
                proposal: i.proposal.map_atoms(f),
                index: i.index.as_ref().map(|c| c.map_atoms(f)),
                ..i.clone()
            }),
        })
    }
}

impl<'a> Dist<'a> {
    pub(super) fn map_atoms(&self, f: &mut dyn FnMut(Atom) -> Atom) -> Dist<'a> {
        Dist { args: self.args.iter().map(|(n, v)| (*n, v.map_atoms(f))).collect(), ..self.clone() }
    }
}

impl<'a> This<'a> {
    fn map_atoms(&self, f: &mut dyn FnMut(Atom) -> Atom) -> This<'a> {
        match self {
            This::Dist(d) => This::Dist(Rc::new(d.map_atoms(f))),
            This::Bijector(b) => This::Bijector(Rc::new(Bijector {
                item: b.item,
                args: b.args.iter().map(|(n, v)| (*n, v.map_atoms(f))).collect(),
            })),
        }
    }
}

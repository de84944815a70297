//! Addresses: what reading one gives, and where it may be read.

use super::annotation::{leading_dim, named};
use super::condition::Condition;
use super::context::{Checker, Piece, Site, Template, with_batch};
use super::poly::{Poly, indexed, stem};
use super::value::{Env, Kind, Num, Optional, Record, Support, Val};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::syntax::tree::IndexExpr;
use std::rc::Rc;

impl Checker {
    /// How many indices an address takes; `None`: it is not one (yet).
    pub fn address_arity(&self, path: &str) -> Option<usize> {
        let run = self.runs.last()?;
        run.bindings
            .iter()
            .find(|b| b.path == path)
            .map(|b| b.pieces.len())
            .or_else(|| run.templates.get(path).map(|t| t.arity))
    }

    /// The value of an address, at indices or as a whole. `None`: there is no such address.
    pub fn address(&mut self, path: &str, at: &[Num], span: Span) -> Option<Val> {
        if !self.read_by_rows(path, at, span) {
            return Some(Val::Unknown);
        }
        let run = self.runs.last()?;
        let sites: Vec<Site> = run.bindings.iter().filter(|b| b.path == path).cloned().collect();
        let token = run.token;
        let kind = run.kinds.get(path).cloned().unwrap_or_default();
        if sites.is_empty() {
            if let (Some(template), false) = (run.templates.get(path).cloned(), at.is_empty())
                && template.arity == at.len()
            {
                // Sampled further down in this loop: an earlier iteration's value.
                let current = run
                    .loops
                    .iter()
                    .any(|l| at.iter().any(|n| n.sym.as_ref().and_then(Poly::as_atom) == Some(&l.atom)));
                let every = at.iter().all(|n| {
                    n.sym.as_ref().and_then(Poly::as_atom).is_some_and(|a| run.loops.iter().any(|l| l.atom == a))
                });
                if !(current && every) {
                    let at: Vec<Poly> = at.iter().map(|n| self.sym(n)).collect();
                    self.must_be_present(path, &template.presence.at(&at, template.arity), span, None);
                    return Some(add_kind(&template.element(&at, path, token), &kind));
                }
            }
            let (_, later) = run.later.iter().find(|(n, _)| n == path).cloned()?;
            if later.start <= span.start && later.file == span.file && run.templates.contains_key(path) {
                return Some(Val::Unknown);
            }
            if at.is_empty() && self.loaded.items.resolve(self.loaded.main, path).is_some() {
                return None;
            }
            if self.mute > 0 && run.templates.is_empty() && !at.is_empty() {
                return Some(Val::Unknown);
            }
            self.report(
                Diagnostic::error("E0409", span, format!("`{path}` is read before it is sampled"))
                    .label("read here")
                    .also(later, "sampled here")
                    .fix("move the sample statement up"),
            );
            return Some(Val::Unknown);
        }
        let arity = sites[0].pieces.len();
        let places: Vec<Poly> = at.iter().map(|n| self.sym(n)).collect();
        let mut element = sites[0].element(&places);
        for other in &sites[1..] {
            let (joined, _) = self.quietly(|c| c.join(&element, &other.element(&places), span));
            element = joined;
        }
        element = add_kind(&element, &kind);
        let base = match &sites[0].value {
            Val::Num(n) => match n.sym.as_ref().and_then(Poly::as_atom) {
                Some(a) => stem(a, arity),
                None => format!("{path}@{token}"),
            },
            _ => format!("{path}@{token}"),
        };
        let template = run_template(self, path).filter(|t| !sites.iter().any(|s| s.presence == t.presence));
        if arity == 0 {
            self.must_be_present(path, &present_at(&sites, template.as_ref(), &[]), span, Some(sites[0].span));
            return Some(element);
        }
        if at.len() >= arity {
            let present = present_at(&sites, template.as_ref(), &places);
            self.must_be_present(path, &present, span, Some(sites[0].span));
            return Some(renamed(&element, &indexed(&base, &places)));
        }
        self.must_be_present(path, &present_at(&sites, None, &[]), span, Some(sites[0].span));
        let refs: Vec<&Site> = sites.iter().collect();
        match self.tile(&refs) {
            Ok(axes) => Some(renamed(&with_batch(&element, &axes), &base)),
            Err(_) => {
                self.report(
                    Diagnostic::error(
                        "E0409",
                        span,
                        format!("`{path}` is read as a whole before all of it is sampled"),
                    )
                    .label("read here")
                    .also(sites[0].span, "a piece is sampled here"),
                );
                Some(Val::Unknown)
            }
        }
    }

    /// Reports a read of an address where it may be absent.
    fn must_be_present(&mut self, path: &str, presence: &Condition, span: Span, place: Option<Span>) {
        if self.guaranteed(presence) {
            return;
        }
        let text = presence.source();
        let mut d = Diagnostic::error("E0413", span, format!("`{path}` is read where it may be absent"))
            .label("read here without its condition");
        let only = format!("`{path}` is present only {}", presence.clause());
        d = match place {
            Some(place) => d.also(place, only),
            None => d.note(only),
        };
        d = d.note("an optional address has a value only under the condition that it is sampled under");
        self.report(if presence.is_opaque() {
            d.fix("read it in the branch that samples it")
        } else if text.starts_with("as long as") {
            d.fix("read it inside the loop that samples it, or keep what is needed of it in a `var`")
        } else {
            d.fix(format!("read it inside `if {text} {{ … }}`"))
        });
    }

    /// The value of an optional part of a trace at these leading indices, where it must be present.
    pub fn read_optional(&mut self, o: &Optional, at: &[Poly], span: Span) -> Val {
        self.must_be_present(&o.name, &o.presence.at(at, o.arity), span, None);
        element_at(&o.value, at)
    }

    /// `t.x[i, …]` where the elements of `t.x` are present each under its condition.
    pub fn index_optional(&mut self, o: &Optional, indices: &[IndexExpr], span: Span, env: &mut Env) -> Val {
        let mut at = Vec::new();
        for (axis, index) in indices.iter().take(o.arity).enumerate() {
            let IndexExpr::At(e) = index else { break };
            let size = leading_dim(&o.value, axis);
            let n = self.index_value(e, size.as_ref(), env);
            at.push(self.sym(&n));
        }
        self.must_be_present(&o.name, &o.presence.at(&at, o.arity), span, None);
        self.index_into(&o.value, indices, span, env)
    }
}

fn run_template(c: &Checker, path: &str) -> Option<Template> {
    c.runs.last().and_then(|r| r.templates.get(path).cloned())
}

impl Template {
    /// The element at these indices.
    fn element(&self, at: &[Poly], path: &str, token: u32) -> Val {
        let head = match &self.value {
            Val::Num(n) => n.sym.as_ref().and_then(Poly::as_atom).map(|a| stem(a, at.len())),
            _ => None,
        };
        let head = head.unwrap_or_else(|| format!("{path}@{token}"));
        renamed(&self.value, &indexed(&head, at))
    }
}

impl Site {
    /// What it samples at these indices; a record's parts are named by the loop variables of its place.
    fn element(&self, at: &[Poly]) -> Val {
        if matches!(self.value, Val::Num(_)) || at.is_empty() {
            return self.value.clone();
        }
        let change = |p: &Poly| {
            self.pieces.iter().zip(at).fold(p.clone(), |p, (piece, i)| match &piece.atom {
                Some(atom) => super::poly::normal(&p.substitute(atom, i)),
                None => p,
            })
        };
        rewritten(&self.value, &change)
    }
}

impl Piece {
    fn holds(&self, at: &Poly) -> Condition {
        if self.to == self.from.plus(1.0) {
            return Condition::zero(&at.sub(&self.from));
        }
        Condition::all([
            Condition::negative(&at.sub(&self.to), true),
            Condition::negative(&at.sub(&self.from), true).not(),
        ])
    }
}

/// When the address that these sites sample together is present at these indices; the places behind stay open. What no
/// site covers is an element of `later`, sampled further down.
pub fn present_at(sites: &[Site], later: Option<&Template>, at: &[Poly]) -> Condition {
    let Some(first) = sites.first() else { return Condition::TRUE };
    let arity = first.pieces.len();
    if later.is_none() && sites.iter().all(|s| s.presence == first.presence) {
        return first.presence.at(at, arity);
    }
    let whole: Vec<Poly> = (0..arity)
        .map(|k| at.get(k).cloned().unwrap_or_else(|| Poly::atom(&super::condition::place(k.saturating_sub(at.len())))))
        .collect();
    let inside = |s: &Site| Condition::all(s.pieces.iter().zip(&whole).map(|(p, i)| p.holds(i)));
    let mut parts: Vec<Condition> =
        sites.iter().map(|s| Condition::any([inside(s).not(), s.presence.at(at, arity)])).collect();
    if let Some(later) = later {
        let covered = Condition::any(sites.iter().map(inside));
        parts.push(Condition::any([covered, later.presence.at(at, later.arity)]));
    }
    Condition::all(parts)
}

pub fn value_rank(value: &Val) -> usize {
    match value.bare() {
        Val::Num(n) => n.dims.len(),
        _ => 0,
    }
}

/// The value at these leading indices.
pub fn element_at(value: &Val, at: &[Poly]) -> Val {
    if at.is_empty() {
        return value.clone();
    }
    let value = filled(value, at);
    value.map(&mut |n| Num {
        dims: n.dims.get(at.len()..).unwrap_or_default().to_vec(),
        sym: n.sym.as_ref().and_then(Poly::as_atom).map(|a| Poly::atom(&indexed(a, at))),
        ..n.clone()
    })
}

/// With the first places of what is present under a condition filled.
fn filled(value: &Val, at: &[Poly]) -> Val {
    match value {
        Val::Optional(o) => {
            let (presence, arity) = (o.presence.at(at, o.arity), o.arity.saturating_sub(at.len()));
            Val::Optional(Rc::new(Optional { presence, arity, ..(**o).clone() }))
        }
        Val::Record(r) => Val::Record(Record {
            fields: r.fields.iter().map(|(n, v)| (n.clone(), filled(v, at))).collect(),
            sampled: r.sampled,
        }),
        Val::Tuple(parts) => Val::Tuple(parts.iter().map(|p| filled(p, at)).collect()),
        other => other.clone(),
    }
}

pub fn add_kind(value: &Val, kind: &Kind) -> Val {
    if kind.is_free() {
        return value.clone();
    }
    value.map(&mut |n| {
        let mut joined = n.kind.clone();
        joined.join(kind);
        Num { kind: joined, ..n.clone() }
    })
}

pub fn renamed(value: &Val, atom: &str) -> Val {
    match value {
        Val::Num(_) => named(value, atom),
        other => other.clone(),
    }
}

/// Every polynomial of a value replaced.
pub fn rewritten(value: &Val, change: &dyn Fn(&Poly) -> Poly) -> Val {
    value.map(&mut |n| {
        let test = n.test.as_ref().map(|t| Rc::new(t.map(change)));
        let support = match &n.support {
            Support::Interval { lower, upper } => {
                let edge = |e: &Option<super::value::Edge>| {
                    e.as_ref().map(|e| super::value::Edge { value: change(&e.value), kind: e.kind.clone() })
                };
                Support::Interval { lower: edge(lower), upper: edge(upper) }
            }
            Support::Shape(s) => Support::Shape(*s),
        };
        Num { sym: n.sym.as_ref().map(change), support, test, ..n.clone() }
    })
}

/// A run of a child: its mark and its parent's, and the address that it has there.
pub struct Nesting<'p> {
    pub child: u32,
    pub parent: u32,
    pub name: &'p str,
    pub at: &'p [Poly],
}

impl Nesting<'_> {
    /// Addresses of the child by the parent's names: `x@3[j]` is `c.x@2[i, j]` for `c[i]`.
    pub fn apply(&self, p: &Poly) -> Poly {
        let old = format!("@{}", self.child);
        if !p.mentions(&old) {
            return p.clone();
        }
        let mut out = Poly::default();
        for (monomial, coefficient) in p.terms() {
            let product = monomial
                .iter()
                .fold(Poly::constant(coefficient), |product, atom| product.mul(&Poly::atom(&self.text(atom, &old))));
            out = out.add(&product);
        }
        out
    }

    fn text(&self, text: &str, old: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(old) {
            let end = at + old.len();
            out.push_str(&rest[..at]);
            if rest[end..].starts_with(|c: char| c.is_ascii_digit()) {
                out.push_str(old);
                rest = &rest[end..];
                continue;
            }
            if !self.name.is_empty() {
                let word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
                let start =
                    out.rfind(|c: char| !word(c)).map_or(0, |i| i + out[i..].chars().next().map_or(1, char::len_utf8));
                out.insert_str(start, &format!("{}.", self.name));
            }
            out.push_str(&format!("@{}", self.parent));
            rest = &rest[end..];
            let at: Vec<String> = self.at.iter().map(Poly::print).collect();
            if !at.is_empty() {
                match rest.strip_prefix('[') {
                    Some(inner) => {
                        out.push_str(&format!("[{}, ", at.join(", ")));
                        rest = inner;
                    }
                    None => out.push_str(&format!("[{}]", at.join(", "))),
                }
            }
        }
        out.push_str(rest);
        out
    }
}

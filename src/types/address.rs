//! Addresses: what reading one gives, and how those of two branches become one.

use super::annotation::named;
use super::context::{Checker, Site, with_batch};
use super::poly::Poly;
use super::value::{Kind, Num, Support, Val};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::syntax::tree::Expr;

impl Checker {
    /// How many indices an address takes; `None`: it is not one (yet).
    pub fn address_arity(&self, path: &str) -> Option<usize> {
        let run = self.runs.last()?;
        run.bindings
            .iter()
            .find(|b| b.path == path)
            .map(|b| b.pieces.len())
            .or_else(|| run.templates.get(path).map(|(n, _)| *n))
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
            if let (Some((arity, template)), false) = (run.templates.get(path).cloned(), at.is_empty())
                && arity == at.len()
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
                    return Some(add_kind(&template, &kind));
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
        let mut element = sites[0].value.clone();
        for other in &sites[1..] {
            let (joined, _) = self.quietly(|c| c.join(&element, &other.value, span));
            element = joined;
        }
        element = add_kind(&element, &kind);
        let base = match &sites[0].value {
            Val::Num(n) => match n.sym.as_ref().and_then(Poly::as_atom) {
                Some(a) => a.split('[').next().unwrap_or(a).to_owned(),
                None => format!("{path}@{token}"),
            },
            _ => format!("{path}@{token}"),
        };
        if arity == 0 {
            return Some(element);
        }
        if at.len() >= arity {
            let mut inner = Vec::new();
            for n in at {
                inner.push(self.sym(n).print());
            }
            return Some(renamed(&element, &format!("{base}[{}]", inner.join(", "))));
        }
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

    /// Takes off what was sampled since the marks.
    pub fn split_run(&mut self, marks: (usize, usize)) -> (Vec<Site>, Vec<Site>) {
        match self.runs.last_mut() {
            Some(run) => {
                let sites = run.sites.split_off(marks.0.min(run.sites.len()));
                let bindings = run.bindings.split_off(marks.1.min(run.bindings.len()));
                (sites, bindings)
            }
            None => (Vec::new(), Vec::new()),
        }
    }

    /// Puts what two branches sampled together: an address must be in both.
    pub fn merge_branches(
        &mut self,
        then: (Vec<Site>, Vec<Site>),
        otherwise: (Vec<Site>, Vec<Site>),
        condition: &Expr,
    ) {
        for (which, (a, b)) in [(then.0, otherwise.0), (then.1, otherwise.1)].into_iter().enumerate() {
            let mut rest = b;
            for site in a {
                let twin = rest.iter().position(|o| {
                    o.path == site.path
                        && o.pieces.len() == site.pieces.len()
                        && o.pieces.iter().zip(&site.pieces).all(|(x, y)| x.from == y.from && x.to == y.to)
                });
                let Some(twin) = twin else {
                    if which == 0 {
                        self.optional_address(&site, condition);
                    } else if let Some(run) = self.runs.last_mut() {
                        run.bindings.push(Site { value: Val::Unknown, ..site });
                    }
                    continue;
                };
                let other = rest.remove(twin);
                let (joined, errors) = self.quietly(|c| c.join(&site.value, &other.value, other.span));
                let same = match (&site.value, &other.value) {
                    (Val::Num(x), Val::Num(y)) => x.base == y.base && errors == 0,
                    _ => errors == 0,
                };
                if !same && which == 0 {
                    let (x, y) = (self.describe(&site.value), self.describe(&other.value));
                    self.report(
                        Diagnostic::error(
                            "E0410",
                            other.span,
                            format!("`{}` has another type in this branch: {y}", site.path),
                        )
                        .label(y)
                        .also(site.span, x),
                    );
                }
                if let Some(run) = self.runs.last_mut() {
                    let merged = Site { value: joined, ..site };
                    if which == 0 {
                        run.sites.push(merged);
                    } else {
                        run.bindings.push(merged);
                    }
                }
            }
            for site in rest {
                if which == 0 {
                    self.optional_address(&site, condition);
                } else if let Some(run) = self.runs.last_mut() {
                    run.bindings.push(Site { value: Val::Unknown, ..site });
                }
            }
        }
    }

    fn optional_address(&mut self, site: &Site, condition: &Expr) {
        self.mark_unknown();
        self.report(
            Diagnostic::error(
                "E0290",
                site.span,
                format!("the address `{}` in one branch only is not supported yet", site.path),
            )
            .label("sampled only here")
            .also(condition.span, "under this condition")
            .fix("sample it in both branches"),
        );
    }
}

pub fn value_rank(value: &Val) -> usize {
    match value {
        Val::Num(n) => n.dims.len(),
        _ => 0,
    }
}

/// The value at these leading indices.
pub fn element_at(value: &Val, at: &[Poly]) -> Val {
    if at.is_empty() {
        return value.clone();
    }
    let inner: Vec<String> = at.iter().map(Poly::print).collect();
    let inner = inner.join(", ");
    value.map(&mut |n| Num {
        dims: n.dims.get(at.len()..).unwrap_or_default().to_vec(),
        sym: n.sym.as_ref().and_then(Poly::as_atom).map(|a| Poly::atom(&format!("{a}[{inner}]"))),
        ..n.clone()
    })
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

/// Addresses of one run get the mark of another.
pub fn rename_token(value: &Val, from: u32, to: u32) -> Val {
    let old = format!("@{from}");
    let new = format!("@{to}");
    let change = |p: &Poly| {
        if !p.mentions(&old) {
            return p.clone();
        }
        let atoms: Vec<String> = p.atoms().filter(|a| a.contains(&old)).map(str::to_owned).collect();
        let mut out = p.clone();
        for a in atoms {
            let changed = retoken(&a, &old, &new);
            out = out.substitute(&a, &Poly::atom(&changed));
        }
        out
    };
    value.map(&mut |n| {
        let support = match &n.support {
            Support::Interval { lower, upper } => {
                let edge = |e: &Option<super::value::Edge>| {
                    e.as_ref().map(|e| super::value::Edge { value: change(&e.value), kind: e.kind.clone() })
                };
                Support::Interval { lower: edge(lower), upper: edge(upper) }
            }
            Support::Shape(s) => Support::Shape(*s),
        };
        Num { sym: n.sym.as_ref().map(&change), support, ..n.clone() }
    })
}

fn retoken(text: &str, old: &str, new: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(old) {
        let end = at + old.len();
        let longer = rest[end..].starts_with(|c: char| c.is_ascii_digit());
        out.push_str(&rest[..at]);
        out.push_str(if longer { old } else { new });
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

//! Derived guides: `guide q = family(model())` becomes ordinary source, made of the model's trace type.
//!
//! Before: `guide q = mean_field(schools())`. After: parameters of the family over the unconstrained latents, a bijector
//! from them to the record of latents (each by the bijector that the library declares for its support, in sampling
//! order), and a guide that samples the transformed distribution.

use super::context::{Checker, How};
use super::generative::Entry;
use super::load::item_name;
use super::poly::Poly;
use super::program::{DerivedGuide, ItemId, ModuleId};
use super::value::{Base, Env, Mode, Num, Shape, Support, Val};
use crate::base::source::Span;
use crate::diagnostic::{Diagnostic, has_errors};
use crate::syntax::parser::{parse_expr, parse_file};
use crate::syntax::tree::{Arg, Expr, ExprKind, ItemKind, Name, Param, TypeExpr, TypeKind};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

/// The combinator of a distribution and a bijector.
const COMBINATOR: &str = "transformed";

struct Family {
    name: String,
    sizes: Vec<Name>,
    params: Vec<Param>,
    at_mode: bool,
    body: Expr,
}

/// How one latent is made of its unconstrained numbers.
struct Part {
    /// `theta`, `c.x`
    path: String,
    /// Name of the local variable.
    local: String,
    /// Axes over which the bijector is repeated, with their loop variables.
    outer: Vec<(String, Poly)>,
    /// `None`: the identity.
    bijector: Option<String>,
    /// Unconstrained numbers of one repetition; `None`: one scalar.
    inner: Option<Poly>,
    offset: Poly,
    ty: String,
}

impl Checker {
    /// Replaces every `guide q = family(model)` by generated items.
    pub fn derive_guides(&mut self) -> Vec<DerivedGuide> {
        let mut derived = Vec::new();
        for at in 0..self.loaded.items.items.len() {
            let entry = self.loaded.items.items[at].clone();
            let ItemKind::GuideAlias { name, value } = &entry.item.kind else { continue };
            let ExprKind::Call { callee, args } = &value.kind else { continue };
            let ExprKind::Name(family) = &callee.kind else { continue };
            let Some(family_id) = self.loaded.items.family(entry.module, family) else { continue };
            let item = self.loaded.items.item(family_id).clone();
            let ItemKind::Family { name: family_name, sizes, params, at_mode, body } = &item.kind else { continue };
            let alias = ItemId(u32::try_from(at).unwrap_or(u32::MAX));
            let family = Family {
                name: family_name.text.clone(),
                sizes: sizes.clone(),
                params: params.clone(),
                at_mode: *at_mode,
                body: body.clone(),
            };
            let Some((model, settings)) = self.settings(name, &family, args, value.span) else {
                self.poisoned.insert(alias);
                continue;
            };
            derived.extend(self.derive_guide(name, &family, &settings, &model, entry.module));
            // The alias itself is done with: its name now means the guide, or nothing.
            self.poisoned.insert(alias);
        }
        derived
    }

    /// The model, and the settings of the family as source: its `int` parameters, given after the model or by default.
    fn settings(
        &mut self,
        name: &Name,
        family: &Family,
        args: &[Arg],
        span: Span,
    ) -> Option<(Expr, Vec<(String, String)>)> {
        let usage = format!("`guide {} = {}(model())`", name.text, family.name);
        let model = match args.first() {
            Some(Arg { name: None, value, .. }) => value.clone(),
            _ => {
                self.report(
                    Diagnostic::error("E0203", span, format!("`{}` is derived from one model", family.name))
                        .label("here")
                        .fix(usage),
                );
                return None;
            }
        };
        let mut words: Vec<(String, String)> = Vec::new();
        let mut given: Vec<&Arg> = args[1..].iter().collect();
        for p in family.params.iter().filter(|p| is_setting(p)) {
            let place = given.iter().position(|a| a.name.as_ref().is_none_or(|n| n.text == p.name.text));
            let expr = match place {
                Some(k) => &given.remove(k).value,
                None => match &p.default {
                    Some(default) => default,
                    None => {
                        let message = format!("`{}` needs its `{}`", family.name, p.name.text);
                        self.report(
                            Diagnostic::error("E0203", span, message)
                                .label("missing")
                                .fix(format!("`guide {} = {}(model(), {}: 2)`", name.text, family.name, p.name.text)),
                        );
                        return None;
                    }
                },
            };
            let text = self.loaded.sources.text(expr.span).to_owned();
            let simple = matches!(expr.kind, ExprKind::Int(_) | ExprKind::Name(_));
            words.push((p.name.text.clone(), if simple { text } else { format!("({text})") }));
        }
        if let Some(extra) = given.first() {
            let names: Vec<String> =
                family.params.iter().filter(|p| is_setting(p)).map(|p| format!("`{}`", p.name.text)).collect();
            let d = Diagnostic::error(
                "E0203",
                extra.value.span,
                if names.is_empty() {
                    format!("`{}` is derived from one model", family.name)
                } else {
                    format!("`{}` has no such setting", family.name)
                },
            )
            .label("not wanted");
            self.report(if names.is_empty() { d.fix(usage) } else { d.fix(format!("it has {}", names.join(", "))) });
            return None;
        }
        Some((model, words))
    }

    fn derive_guide(
        &mut self,
        name: &Name,
        family: &Family,
        settings: &[(String, String)],
        model: &Expr,
        module: ModuleId,
    ) -> Option<DerivedGuide> {
        let mut env = Env::new(module, Mode::Pure);
        let (value, errors) = self.quietly(|c| c.expr(model, &mut env));
        let g = match value {
            Val::Gen(g) => g,
            _ if errors > 0 => {
                // Once more, for its errors.
                self.expr(model, &mut env);
                return None;
            }
            Val::Unknown => return None,
            other => {
                let found = self.describe(&other);
                self.report(
                    Diagnostic::error(
                        "E0204",
                        model.span,
                        format!("`{}` is derived from a generative function, not from {found}", family.name),
                    )
                    .label(format!("this is {found}")),
                );
                return None;
            }
        };
        let (outcome, errors) = self.quietly(|c| c.run_gen(&g, How::Type));
        let outcome = outcome?;
        if errors > 0 || outcome.run.later.iter().any(|(n, _)| n == "?") {
            // The model's own errors are reported with it.
            return None;
        }
        if outcome.entries.is_empty() {
            self.report(
                Diagnostic::error(
                    "E0411",
                    model.span,
                    format!("`{}` has no latents to derive a guide for", outcome.run.name),
                )
                .label("samples nothing"),
            );
            return None;
        }
        let mut offset = Poly::default();
        let mut parts = Vec::new();
        for entry in &outcome.entries {
            let part = self.part(entry, &offset, name.span)?;
            let mut size = part.inner.clone().unwrap_or_else(|| Poly::constant(1.0));
            for (_, extent) in &part.outer {
                size = size.mul(extent);
            }
            offset = offset.add(&size);
            parts.push(part);
        }
        let text = self.guide_text(&name.text, family, settings, &parts, &offset);
        let guide = self.parse_guide(name, family, model, module, text, &offset)?;
        let exact = outcome.run.inexact.is_none();
        if family.at_mode && !exact {
            self.report(
                Diagnostic::error(
                    "E0412",
                    model.span,
                    format!("`{}` needs the density of `{}`, which is only estimated", family.name, outcome.run.name),
                )
                .label("has no exact density")
                .fix("use a family that is trained, such as `full_rank`"),
            );
            return None;
        }
        Some(DerivedGuide { exact, ..guide })
    }

    fn parse_guide(
        &mut self,
        name: &Name,
        family: &Family,
        model: &Expr,
        module: ModuleId,
        text: String,
        total: &Poly,
    ) -> Option<DerivedGuide> {
        let title = format!("guide {} (derived)", name.text);
        let file = self.loaded.sources.add(title.clone(), text.clone(), true);
        let (parsed, diagnostics) = parse_file(&self.loaded.sources, file, &mut self.loaded.ids);
        let size_file = self.loaded.sources.add(title, total.source(), true);
        let latents = parse_expr(&self.loaded.sources, size_file, &mut self.loaded.ids).ok();
        let (false, Some(latents)) = (has_errors(&diagnostics), latents) else {
            let why: Vec<String> = diagnostics.iter().map(|d| d.message.clone()).collect();
            self.report(
                Diagnostic::error("E0412", name.span, format!("the guide `{}` cannot be derived", name.text))
                    .label("here")
                    .note(format!("its source would be\n{text}"))
                    .note(why.join("; ")),
            );
            return None;
        };
        self.loaded.mention(&text, &HashSet::new());
        self.loaded.settle();
        let items: Vec<_> = parsed.items.into_iter().map(Arc::new).collect();
        self.loaded.items.modules[module.0 as usize].scope.remove(&name.text);
        let clash: Vec<Name> = items.iter().filter_map(|i| item_name(i).cloned()).collect();
        for made in &clash {
            if let Some(id) = self.loaded.items.modules[module.0 as usize].scope.get(&made.text).copied() {
                let theirs = item_name(self.loaded.items.item(id)).map_or(name.span, |n| n.span);
                self.report(
                    Diagnostic::error(
                        "E0202",
                        theirs,
                        format!("the guide `{}` derives an item `{}` of its own", name.text, made.text),
                    )
                    .label("has the same name")
                    .also(name.span, "derived here")
                    .fix("give one of them another name"),
                );
                return None;
            }
        }
        let made = self.loaded.define(module, &items);
        self.generated.extend(made);
        Some(DerivedGuide {
            name: name.text.clone(),
            family: family.name.clone(),
            model: model.clone(),
            source: text,
            params: family
                .params
                .iter()
                .filter(|p| !is_setting(p))
                .map(|p| format!("{}_{}", name.text, p.name.text))
                .collect(),
            unpack: format!("{}_unpack", name.text),
            latents,
            exact: true,
            at_mode: family.at_mode,
        })
    }

    fn part(&mut self, entry: &Entry, offset: &Poly, span: Span) -> Option<Part> {
        let Val::Num(element) = &entry.element else { return None };
        let refuse = |c: &mut Checker, why: String| {
            c.report(
                Diagnostic::error("E0412", span, format!("no guide can be derived for `{}`: {why}", entry.path))
                    .label("derived here")
                    .also(entry.span, format!("`{}` is sampled here", entry.path))
                    .fix("write the guide by hand"),
            );
        };
        if !entry.presence.is_true() {
            let reason =
                format!("it is present only {}, and derived guides are over all latents", entry.presence.clause());
            refuse(self, reason);
            return None;
        }
        if element.base != Base::Real {
            refuse(self, format!("it is {}, and derived guides are over reals", self.describe_num(element)));
            return None;
        }
        let dims: Vec<Poly> = entry.axes.iter().chain(&element.dims).cloned().collect();
        let rank = match &element.support {
            Support::Shape(shape) => shape.rank(),
            Support::Interval { .. } => 0,
        };
        let outer_dims = &dims[..dims.len() - rank.min(dims.len())];
        if let Some(rows) = dims.iter().find(|d| self.plate_of_size(d).is_some()) {
            refuse(self, format!("it is sampled row by row of the subsampled plate `{}`", rows.source()));
            return None;
        }
        if let Some(size) = dims.iter().find(|d| !d.printable()) {
            refuse(self, format!("its size {} has no expression over data", size.print()));
            return None;
        }
        let outer: Vec<(String, Poly)> = outer_dims
            .iter()
            .enumerate()
            .map(|(k, d)| {
                let name = entry.names.get(k).cloned().flatten().filter(|n| n != "_");
                (name.unwrap_or_else(|| format!("i{k}")), d.clone())
            })
            .collect();
        let local = entry.path.replace('.', "_");
        let ty = self.source_type(element, &dims);
        let mut part = Part {
            path: entry.path.clone(),
            local,
            outer,
            bijector: None,
            inner: None,
            offset: offset.clone(),
            ty: String::new(),
        };
        let Some(ty) = ty else {
            refuse(
                self,
                "its bounds have no expression over data and earlier addresses, the same for all its elements"
                    .to_owned(),
            );
            return None;
        };
        part.ty = ty;
        if let Support::Interval { lower: None, upper: None } = &element.support {
            return Some(part);
        }
        match self.support_bijector(element, &dims) {
            Some((text, inner)) => {
                part.bijector = Some(text);
                part.inner = inner;
                Some(part)
            }
            None => {
                let wanted = self.describe_num(element);
                refuse(self, format!("the library has no `support … by …` for {wanted}"));
                None
            }
        }
    }

    /// The bijector that the library declares for a support, as source, and the unconstrained size (`None`: a scalar).
    fn support_bijector(&mut self, element: &Num, dims: &[Poly]) -> Option<(String, Option<Poly>)> {
        for at in 0..self.loaded.items.items.len() {
            let entry = self.loaded.items.items[at].clone();
            let ItemKind::SupportBijector { support, bijector } = &entry.item.kind else { continue };
            let Some(bound) = matches(support, element, dims) else { continue };
            let mut env = Env::new(entry.module, Mode::Pure);
            let mut words: Vec<(String, String)> = Vec::new();
            for (name, value) in bound {
                env.bind(&name, Val::Num(Num { sym: Some(value.clone()), ..Num::size(value.clone()) }));
                let text = value.source();
                let text = if value.len() > 1 { format!("({text})") } else { text };
                words.push((name, text));
            }
            let (value, _) = self.quietly(|c| c.expr(bijector, &mut env));
            let Val::Bijector(b) = value else { continue };
            let inner = match &b.from {
                Val::Num(n) if n.dims.is_empty() => None,
                Val::Num(n) => Some(n.dims.iter().fold(Poly::constant(1.0), |p, d| p.mul(d))),
                _ => continue,
            };
            let text = replace_words(self.loaded.sources.text(bijector.span), &words);
            return Some((text, inner));
        }
        None
    }

    /// A type as source; `None` if its bounds cannot be written.
    fn source_type(&self, element: &Num, dims: &[Poly]) -> Option<String> {
        let sizes = |dims: &[Poly]| {
            if dims.is_empty() {
                String::new()
            } else {
                format!("[{}]", dims.iter().map(Poly::source).collect::<Vec<_>>().join(", "))
            }
        };
        match &element.support {
            Support::Interval { lower, upper } => {
                let mut bounds = Vec::new();
                for (word, edge) in [("lower", lower), ("upper", upper)] {
                    if let Some(edge) = edge {
                        if !edge.value.printable() || edge.value.mentions("#") {
                            return None;
                        }
                        bounds.push(format!("{word}={}", edge.value.source()));
                    }
                }
                let bounds = if bounds.is_empty() { String::new() } else { format!("<{}>", bounds.join(", ")) };
                Some(format!("real{bounds}{}", sizes(dims)))
            }
            Support::Shape(shape) => {
                // The last size stands for both axes of a matrix.
                let keep = dims.len() + 1 - shape.rank();
                Some(format!("{}{}", shape.name(), sizes(&dims[..keep])))
            }
        }
    }

    fn guide_text(
        &self,
        name: &str,
        family: &Family,
        settings: &[(String, String)],
        parts: &[Part],
        total: &Poly,
    ) -> String {
        let n = total.source();
        let n_text = if total.len() > 1 { format!("({n})") } else { n.clone() };
        let mut out = String::new();
        let mut words: Vec<(String, String)> = settings.to_vec();
        if let Some(size) = family.sizes.first() {
            words.push((size.text.clone(), n_text));
        }
        for p in family.params.iter().filter(|p| !is_setting(p)) {
            let ty = p.ty.as_ref().map_or("real", |t| self.loaded.sources.text(t.span));
            let default = p.default.as_ref().map_or("0", |d| self.loaded.sources.text(d.span));
            let _ = writeln!(
                out,
                "param {name}_{}: {} = {}",
                p.name.text,
                replace_words(ty, &words),
                replace_words(default, &words)
            );
        }
        for p in family.params.iter().filter(|p| !is_setting(p)) {
            words.push((p.name.text.clone(), format!("{name}_{}", p.name.text)));
        }
        let _ = writeln!(out, "bijector {name}_unpack(): real[{n}] -> {} {{", record_type(parts));
        let free = |candidates: &[&'static str]| {
            let taken = |n: &str| {
                parts.iter().any(|p| p.local == n) || self.loaded.items.resolve(self.loaded.main, n).is_some()
            };
            candidates.iter().copied().find(|n| !taken(n)).unwrap_or("unconstrained_values")
        };
        let (z, v) = (free(&["z", "u", "z_all", "free_z"]), free(&["v", "x", "v_all", "free_v"]));
        let _ = writeln!(out, "  forward({z}) {{");
        let mut dets = Vec::new();
        for part in parts {
            out.push_str(&forward_text(part, z, &mut dets));
        }
        let dets = if dets.is_empty() { "0".to_owned() } else { dets.join(" + ") };
        let _ = writeln!(out, "    ({}, {dets})\n  }}", record_value(parts));
        let _ = writeln!(out, "  inverse({v}) {{");
        for part in parts {
            let _ = writeln!(out, "    let {} = {v}.{}", part.local, part.path);
        }
        let pieces: Vec<String> = parts.iter().map(|p| inverse_text(p, &mut out)).collect();
        let _ = writeln!(out, "    concat({})\n  }}\n}}", pieces.join(", "));
        let body = replace_words(self.loaded.sources.text(family.body.span), &words);
        let _ = writeln!(out, "guide {name}() {{ _ ~ {COMBINATOR}({body}, {name}_unpack()) }}");
        out
    }
}

/// A family's `int` is chosen where the guide is derived, not trained.
fn is_setting(p: &Param) -> bool {
    p.ty.as_ref().is_some_and(|t| matches!(&t.kind, TypeKind::Named { name, .. } if name.text == "int"))
}

/// Whether a family's parameters are the location and the Cholesky factor of a Gaussian.
pub(super) fn gaussian(params: &[Param]) -> bool {
    let kind = |p: &Param| match p.ty.as_ref().map(|t| &t.kind) {
        Some(TypeKind::Named { name, bounds: None, sizes, .. }) if sizes.len() == 1 => Some(name.text.clone()),
        _ => None,
    };
    let kinds: Vec<_> = params.iter().map(kind).collect();
    kinds == [Some("real".to_owned()), Some("cholesky_cov".to_owned())]
}

/// Names in a support declaration and what they stand for, if it is of this support.
fn matches(support: &TypeExpr, element: &Num, dims: &[Poly]) -> Option<Vec<(String, Poly)>> {
    let TypeKind::Named { name, bounds, sizes, .. } = &support.kind else { return None };
    let mut bound = Vec::new();
    match &element.support {
        Support::Interval { lower, upper } => {
            if name.text != "real" || !sizes.is_empty() {
                return None;
            }
            let bounds = bounds.as_ref()?;
            for (declared, own) in [(&bounds.lower, lower), (&bounds.upper, upper)] {
                match (declared, own) {
                    (None, None) => {}
                    (Some(e), Some(edge)) => match &e.kind {
                        ExprKind::Name(n) => bound.push((n.clone(), edge.value.clone())),
                        #[expect(clippy::cast_precision_loss, reason = "a bound is far below 2^53")]
                        ExprKind::Int(i) if edge.value.as_constant() == Some(*i as f64) => {}
                        ExprKind::Real(x) if edge.value.as_constant() == Some(*x) => {}
                        _ => return None,
                    },
                    _ => return None,
                }
            }
        }
        Support::Shape(shape) => {
            if Shape::of(&name.text) != Some(*shape) {
                return None;
            }
            let size = dims.last()?;
            for e in sizes {
                if let ExprKind::Name(n) = &e.kind {
                    bound.push((n.clone(), size.clone()));
                }
            }
        }
    }
    Some(bound)
}

/// Index of the repetition in row-major order, as source.
fn position(part: &Part) -> Poly {
    let mut at = Poly::default();
    for (name, extent) in &part.outer {
        at = at.mul(extent).add(&Poly::atom(name));
    }
    at
}

/// `z[…]` for one repetition.
fn slot(part: &Part, z: &str) -> String {
    match &part.inner {
        None => format!("{z}[{}]", part.offset.add(&position(part)).source()),
        Some(inner) => {
            let start = part.offset.add(&position(part).mul(inner));
            if part.outer.is_empty() {
                return format!("{z}[{}..{}]", start.source(), start.add(inner).source());
            }
            // Both ends are the same number plus constants once sizes are known.
            format!("{z}[{}..{} + ({})]", start.source(), start.source(), inner.source())
        }
    }
}

fn clauses(part: &Part) -> String {
    part.outer.iter().map(|(n, e)| format!("{n} in 0..{}", e.source())).collect::<Vec<_>>().join(", ")
}

fn forward_text(part: &Part, z: &str, dets: &mut Vec<String>) -> String {
    let local = &part.local;
    match (&part.bijector, part.outer.as_slice()) {
        (None, []) => format!("    let {local} = {}\n", slot(part, z)),
        (None, [(_, extent)]) => {
            format!("    let {local} = {z}[{}..{}]\n", part.offset.source(), part.offset.add(extent).source())
        }
        (None, _) => format!("    let {local} = for {} {{ {} }}\n", clauses(part), slot(part, z)),
        (Some(b), []) => {
            dets.push(format!("{local}_log_det"));
            format!("    let ({local}, {local}_log_det) = forward({b}, {})\n", slot(part, z))
        }
        (Some(b), _) => {
            dets.push(format!("sum({local}_parts.log_det)"));
            format!(
                "    let {local}_parts = for {} {{\n      let (value, log_det) = forward({b}, {})\n      {{ value: value, log_det: log_det }}\n    }}\n    let {local} = {local}_parts.value\n",
                clauses(part),
                slot(part, z)
            )
        }
    }
}

/// The unconstrained numbers of a latent as a scalar or a vector; what must be bound before is put into `out`.
fn inverse_text(part: &Part, out: &mut String) -> String {
    let local = &part.local;
    let at = format!("{local}_at");
    // All axes of what is flattened: those repeated over, then the bijector's own.
    let mut axes: Vec<&Poly> = part.outer.iter().map(|(_, e)| e).collect();
    match (&part.bijector, &part.inner) {
        (None, _) if axes.len() <= 1 => local.clone(),
        (None, _) => format!("for {at} in 0..{} {{ {local}[{}] }}", product(&axes).source(), digits(&at, &axes)),
        (Some(b), _) if axes.is_empty() => format!("inverse({b}, {local})"),
        (Some(b), None) => {
            let index = digits(&at, &axes);
            format!("for {at} in 0..{} {{ inverse({b}, {local}[{index}]) }}", product(&axes).source())
        }
        (Some(b), Some(inner)) => {
            let names: Vec<&str> = part.outer.iter().map(|(n, _)| n.as_str()).collect();
            let _ = writeln!(
                out,
                "    let {local}_parts = for {} {{ inverse({b}, {local}[{}]) }}",
                clauses(part),
                names.join(", ")
            );
            axes.push(inner);
            format!("for {at} in 0..{} {{ {local}_parts[{}] }}", product(&axes).source(), digits(&at, &axes))
        }
    }
}

fn product(axes: &[&Poly]) -> Poly {
    axes.iter().fold(Poly::constant(1.0), |p, a| p.mul(a))
}

/// Indices of the element that stands at a place in row-major order.
fn digits(at: &str, axes: &[&Poly]) -> String {
    let text = |p: &Poly| {
        if p.as_atom().is_some() || p.as_constant().is_some() { p.source() } else { format!("({})", p.source()) }
    };
    let indices: Vec<String> = axes
        .iter()
        .enumerate()
        .map(|(k, axis)| {
            let below = product(&axes[k + 1..]);
            match (k, k + 1 == axes.len()) {
                (0, true) => at.to_owned(),
                (0, false) => format!("{at} / {}", text(&below)),
                (_, true) => format!("{at} % {}", text(axis)),
                (_, false) => format!("({at} / {}) % {}", text(&below), text(axis)),
            }
        })
        .collect();
    indices.join(", ")
}

/// Fields of records by the heads of paths, nested for `c.x`.
fn nested(parts: &[(String, String)]) -> String {
    let mut out: Vec<String> = Vec::new();
    let mut done: Vec<&str> = Vec::new();
    for (path, text) in parts {
        match path.split_once('.') {
            None => out.push(format!("{path}: {text}")),
            Some((head, _)) => {
                if done.contains(&head) {
                    continue;
                }
                done.push(head);
                let inner: Vec<(String, String)> = parts
                    .iter()
                    .filter_map(|(p, t)| {
                        p.split_once('.').filter(|(h, _)| *h == head).map(|(_, r)| (r.to_owned(), t.clone()))
                    })
                    .collect();
                out.push(format!("{head}: {}", nested(&inner)));
            }
        }
    }
    format!("{{ {} }}", out.join(", "))
}

fn record_type(parts: &[Part]) -> String {
    nested(&parts.iter().map(|p| (p.path.clone(), p.ty.clone())).collect::<Vec<_>>())
}

fn record_value(parts: &[Part]) -> String {
    nested(&parts.iter().map(|p| (p.path.clone(), p.local.clone())).collect::<Vec<_>>())
}

/// Replaces whole identifiers; names of arguments and fields stay.
pub fn replace_words(text: &str, by: &[(String, String)]) -> String {
    let mut out = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((start, c)) = chars.next() {
        if !(c.is_alphabetic() || c == '_') {
            out.push(c);
            continue;
        }
        let mut end = start + c.len_utf8();
        while let Some((at, c)) = chars.peek().copied() {
            if !(c.is_alphanumeric() || c == '_') {
                break;
            }
            end = at + c.len_utf8();
            chars.next();
        }
        let word = &text[start..end];
        let rest = text[end..].trim_start();
        let named = rest.starts_with(':') && !rest.starts_with("::");
        let field = out.ends_with('.') && !out.ends_with("..");
        match by.iter().find(|(w, _)| w == word) {
            Some((_, new)) if !named && !field => {
                // Brackets and commas around it make parentheses needless.
                let open = out.trim_end().ends_with(['[', '(', ',']);
                let close = rest.starts_with([']', ')', ',']);
                let bare = new.strip_prefix('(').and_then(|n| n.strip_suffix(')')).filter(|n| !n.contains(['(', ')']));
                out.push_str(bare.filter(|_| open && close).unwrap_or(new));
            }
            _ => out.push_str(word),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_words_only() {
        let by = [("n".to_owned(), "(J + 2)".to_owned()), ("scale".to_owned(), "q_scale".to_owned())];
        assert_eq!(
            replace_words("f(ones(n), scale: scale, a.n, ann)", &by),
            "f(ones(J + 2), scale: q_scale, a.n, ann)"
        );
    }
}

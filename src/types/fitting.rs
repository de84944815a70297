//! `fit` lines: which parameters each trains, its optimiser, its particles. Invariant of what passes: each parameter belongs
//! to one line.

use super::context::Checker;
use super::optimiser::{self, COMMON, Range};
use super::program::ItemId;
use super::reads::params_read;
use super::value::{Base, Env, Val};
use crate::base::names::nearest;
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::syntax::tree::{Expr, ExprKind, FitLine, ItemKind, NodeId};
use std::collections::{BTreeSet, HashMap};

impl Checker {
    /// The optimiser and the particles of a line.
    pub fn check_settings(&mut self, line: &FitLine, env: &mut Env) {
        if let Some(optimiser) = &line.optimiser {
            self.check_optimiser(optimiser, env);
        }
        if let Some(particles) = &line.particles {
            let value = self.expr(particles, env);
            let fine = match &value {
                Val::Num(n) => n.base == Base::Int && n.dims.is_empty(),
                Val::Unknown => true,
                _ => false,
            };
            if !fine {
                let found = self.describe(&value);
                self.report(
                    Diagnostic::error("E0204", particles.span, format!("`particles` is an int, not {found}"))
                        .label("here"),
                );
            }
        }
    }

    fn check_optimiser(&mut self, written: &Expr, env: &mut Env) {
        let (name, span, args) = match &written.kind {
            ExprKind::Name(name) => (name, written.span, &[][..]),
            ExprKind::Call { callee, args } => match &callee.kind {
                ExprKind::Name(name) => (name, callee.span, &args[..]),
                _ => return self.no_optimiser(written.span),
            },
            _ => return self.no_optimiser(written.span),
        };
        let Some(known) = optimiser::signature(name) else {
            let mut error =
                Diagnostic::error("E0521", span, format!("there is no optimiser `{name}`")).label("not an optimiser");
            error = match nearest(name, optimiser::SIGNATURES.iter().map(|s| s.name)) {
                Some(near) => error.fix(format!("did you mean `{near}`?")),
                None => error.fix(format!("there are {}", optimiser::names())),
            };
            return self.report(error);
        };
        for (place, arg) in args.iter().enumerate() {
            let setting = match &arg.name {
                Some(written) => known.setting(&written.text),
                None => known.settings.get(place),
            };
            let Some(setting) = setting else {
                let what = match &arg.name {
                    Some(written) => format!("`{name}` has no setting `{}`", written.text),
                    None => format!("`{name}` takes at most {} number(s) without a name", known.settings.len()),
                };
                self.report(
                    Diagnostic::error("E0521", arg.name.as_ref().map_or(arg.value.span, |n| n.span), what)
                        .label("not a setting")
                        .fix(format!("it has {}", known.setting_names())),
                );
                continue;
            };
            let value = self.expr(&arg.value, env);
            if setting.range == Range::Flag {
                if !matches!(&value, Val::Num(n) if n.base == Base::Bool && n.dims.is_empty())
                    && !matches!(value, Val::Unknown)
                {
                    let found = self.describe(&value);
                    self.report(
                        Diagnostic::error(
                            "E0521",
                            arg.value.span,
                            format!("`{}` is `true` or `false`, not {found}", setting.name),
                        )
                        .label("here"),
                    );
                }
            } else {
                self.want_num(&value, arg.value.span, env);
            }
        }
    }

    fn no_optimiser(&mut self, span: Span) {
        self.report(
            Diagnostic::error("E0521", span, "`with` takes an optimiser, such as `adam(0.01)`")
                .label("not an optimiser")
                .note(format!("every optimiser also takes {}", COMMON.map(|s| s.name).join(", "))),
        );
    }

    /// Names of the parameters of each line that says what it is `over`, and of each of several.
    pub fn trained(&mut self) -> HashMap<NodeId, Vec<String>> {
        let mut out = HashMap::new();
        let mut owners: HashMap<ItemId, (Span, bool)> = HashMap::new();
        let main = self.loaded.main;
        let lines: Vec<FitLine> = self
            .loaded
            .items
            .items
            .iter()
            .filter(|e| e.module == main)
            .filter_map(|e| match &e.item.kind {
                ItemKind::Fit { lines } => Some(lines.clone()),
                _ => None,
            })
            .flatten()
            .collect();
        for line in &lines {
            if line.over.is_empty() && lines.len() == 1 {
                continue;
            }
            let found = if line.over.is_empty() {
                params_read(&self.loaded.items, main, &line.objective)
            } else {
                self.over(&line.over)
            };
            let mut names = Vec::new();
            for id in found {
                let ItemKind::Param { name, .. } = &self.loaded.items.item(id).kind else { continue };
                names.push(name.text.clone());
                if let Some((other, said)) = owners.insert(id, (line.span, !line.over.is_empty())) {
                    let mut error =
                        Diagnostic::error("E0524", line.span, format!("`{}` is trained by two lines", name.text))
                            .label("here")
                            .also(other, "and here");
                    if line.over.is_empty() || !said {
                        error = error.note("a line without `over` trains every parameter that its objective reads");
                    }
                    self.report(error.fix("say which line it belongs to: `over params(g)`, `over name, …`"));
                }
            }
            out.insert(line.id, names);
        }
        out
    }

    fn over(&mut self, groups: &[Expr]) -> BTreeSet<ItemId> {
        let main = self.loaded.main;
        let mut found = BTreeSet::new();
        for group in groups {
            match &group.kind {
                ExprKind::Name(name) => match self.loaded.items.resolve(main, name) {
                    Some(id) if matches!(self.loaded.items.item(id).kind, ItemKind::Param { tuned: false, .. }) => {
                        found.insert(id);
                    }
                    Some(_) => self.report(
                        Diagnostic::error("E0205", group.span, format!("`{name}` is no parameter"))
                            .label("`over` takes parameters and `params(g)`")
                            .fix(format!("`over params({name})` for all that `{name}` reads")),
                    ),
                    None => self.report(
                        Diagnostic::error("E0201", group.span, format!("`{name}` is not defined")).label("not found"),
                    ),
                },
                ExprKind::Call { callee, args }
                    if matches!(&callee.kind, ExprKind::Name(n) if n == "params") && !args.is_empty() =>
                {
                    for arg in args {
                        let read = params_read(&self.loaded.items, main, &arg.value);
                        if read.is_empty() {
                            let text = self.loaded.sources.text(arg.value.span).to_owned();
                            let unknown = match &arg.value.kind {
                                ExprKind::Name(n) => self.loaded.items.resolve(main, n).is_none(),
                                _ => false,
                            };
                            self.report(if unknown {
                                Diagnostic::error("E0201", arg.value.span, format!("`{text}` is not defined"))
                                    .label("not found")
                            } else {
                                Diagnostic::error("E0522", arg.value.span, format!("`{text}` reads no parameter"))
                                    .label("nothing to train here")
                            });
                        }
                        found.extend(read);
                    }
                }
                _ => self.report(
                    Diagnostic::error("E0205", group.span, "`over` takes parameters and `params(g)`").label("here"),
                ),
            }
        }
        found
    }
}

//! `provi explain FILE`: which strategy each site without `by` got, derived guides as source, what is claimed.

use crate::syntax::print;
use crate::syntax::tree::{Address, Block, Expr, ExprKind, ItemKind, Stmt, StmtKind, StrategyItem};
use crate::types::program::Checked;
use serde_json::{Value, json};

/// One sample statement of the user's files.
#[derive(Clone, Debug)]
pub struct Site {
    pub item: String,
    pub address: String,
    pub line: usize,
    pub strategy: String,
    pub why: String,
    /// How often the strategy runs the rest of the program.
    pub runs: String,
    pub biased: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Explanation {
    pub sites: Vec<Site>,
    /// Source of derived guides.
    pub guides: Vec<String>,
    /// What is differentiated in place of the objective written.
    pub substitutes: Vec<String>,
    pub biased: Vec<String>,
    /// What is taken on trust, and tested by `grad --test` and `test`.
    pub claims: Vec<String>,
}

/// Walks the user's generative functions.
pub fn explain(checked: &Checked) -> Explanation {
    let mut found = Explanation {
        guides: checked.derived_guides.iter().map(|g| g.source.clone()).collect(),
        substitutes: checked.substitutes.values().map(print::expr).collect(),
        biased: checked.biased.clone(),
        ..Explanation::default()
    };
    found.substitutes.sort();
    for entry in &checked.items.items {
        if checked.items.modules[entry.module.0 as usize].library {
            continue;
        }
        match &entry.item.kind {
            ItemKind::Gen(g) => block(&g.body, &mut Walk { checked, item: &g.name.text, found: &mut found }),
            ItemKind::Objective(o) => {
                if let Some(of) = &o.estimates {
                    let name = &o.name.text;
                    found.claims.push(format!("objective `{name}` estimates `{}`", print::expr(of)));
                }
                expr(&o.body, &mut Walk { checked, item: &o.name.text, found: &mut found });
            }
            ItemKind::Strategy(s) => found.claims.push(claim(s, "")),
            ItemKind::Dist(d) => {
                found.claims.extend(d.strategies.iter().map(|s| claim(s, &format!(" of `{}`", d.name.text))));
            }
            ItemKind::Fn(f) if print::item(&entry.item).contains("continuous if") => {
                found.claims.push(format!("`continuous if` of `{}` joins its branches", f.name.text));
            }
            _ => {}
        }
    }
    found
}

fn claim(s: &StrategyItem, of: &str) -> String {
    let how = if s.biased { "is declared biased" } else { "is unbiased" };
    format!("strategy `{}`{of} {how}", s.name.text)
}

/// The strategy that a name means at a site: a distribution's own, or an item.
fn strategy_of<'a>(checked: &'a Checked, dist: &Expr, name: &str) -> Option<&'a StrategyItem> {
    if let ExprKind::Call { callee, .. } = &dist.kind
        && let ExprKind::Name(d) = &callee.kind
        && let Some(id) = checked.items.resolve(checked.main, d)
        && let ItemKind::Dist(d) = &checked.items.item(id).kind
        && let Some(own) = d.strategies.iter().find(|s| s.name.text == name)
    {
        return Some(own);
    }
    let id = checked.items.resolve(checked.main, name)?;
    match &checked.items.item(id).kind {
        ItemKind::Strategy(s) => Some(s),
        _ => None,
    }
}

/// How often a strategy runs the rest: calls of its continuation as written, with the ranges of its loops.
fn runs(s: &StrategyItem) -> String {
    let stmts = s.body.stmts.iter().map(print::stmt);
    let text = stmts.chain(s.body.value.as_deref().map(print::expr)).collect::<Vec<_>>().join("\n");
    let (mut once, mut looped) = (0, Vec::new());
    calls(&text, &s.k.text, &mut once, &mut looped);
    let mut parts = Vec::new();
    if once > 0 {
        parts.push(once.to_string());
    }
    parts.extend(looped);
    if parts.is_empty() { "0".to_owned() } else { parts.join(" + ") }
}

/// Calls outside and inside loops of a printed body.
fn calls(text: &str, k: &str, once: &mut usize, looped: &mut Vec<String>) {
    let call = format!("{k}(");
    let mut ranges: Vec<(usize, String)> = Vec::new();
    let mut depth = 0;
    let mut pending: Option<String> = None;
    for (at, c) in text.char_indices() {
        let rest = &text[at..];
        let starts = !text[..at].ends_with(|p: char| p.is_alphanumeric() || p == '_');
        if starts && rest.starts_with("for ") {
            let head = rest.split('{').next().unwrap_or("");
            let range = head.split(" in ").skip(1).map(|r| r.split(',').next().unwrap_or("").trim().to_owned());
            pending = Some(range.collect::<Vec<_>>().join(" × "));
        }
        if starts && rest.starts_with(&call) {
            match ranges.last() {
                Some((_, range)) => looped.push(format!("one for each of {range}")),
                None => *once += 1,
            }
        }
        match c {
            '{' => {
                depth += 1;
                if let Some(range) = pending.take() {
                    ranges.push((depth, range));
                }
            }
            '}' => {
                ranges.retain(|r| r.0 < depth);
                depth = depth.saturating_sub(1);
            }
            _ => {}
        }
    }
}

struct Walk<'a> {
    checked: &'a Checked,
    item: &'a str,
    found: &'a mut Explanation,
}

fn block(b: &Block, walk: &mut Walk<'_>) {
    for s in &b.stmts {
        stmt(s, walk);
    }
    if let Some(value) = &b.value {
        expr(value, walk);
    }
}

fn stmt(s: &Stmt, walk: &mut Walk<'_>) {
    match &s.kind {
        StmtKind::Sample { address, by, value, .. } => {
            let (strategy, why) = match (by, walk.checked.strategies.get(&s.id)) {
                (Some(by), _) => (print::expr(by), "as written".to_owned()),
                (None, Some(chosen)) => {
                    let reasons = walk.checked.reasons.get(&s.id);
                    let before: Vec<String> = reasons
                        .into_iter()
                        .flatten()
                        .take_while(|(s, _)| s != chosen)
                        .map(|(s, why)| format!("{s}: {why}"))
                        .collect();
                    let why = if before.is_empty() {
                        "the first choice, which its distribution and its uses allow".to_owned()
                    } else {
                        format!("not {}", before.join("; not "))
                    };
                    let why = match walk.checked.alternatives.get(&s.id) {
                        Some(other) => format!("{why}; {other} where its joint values are too many"),
                        None => why,
                    };
                    (chosen.clone(), why)
                }
                (None, None) => return,
            };
            let name = strategy.split('(').next().unwrap_or("").rsplit("::").next().unwrap_or("").to_owned();
            let item = strategy_of(walk.checked, value, &name);
            let (biased, runs) = item.map_or((false, String::new()), |s| (s.biased, runs(s)));
            let address = match address {
                Address::Splice(_) => "_".to_string(),
                Address::Named { name, indices } if indices.is_empty() => name.text.clone(),
                Address::Named { name, indices } => {
                    format!("{}[{}]", name.text, indices.iter().map(print::expr).collect::<Vec<_>>().join(", "))
                }
            };
            let line = walk.checked.sources.line_column(s.span).0;
            walk.found.sites.push(Site { item: walk.item.to_string(), address, line, strategy, why, runs, biased });
        }
        StmtKind::Let { value, .. } | StmtKind::Var { value, .. } | StmtKind::Assign { value, .. } => expr(value, walk),
        StmtKind::Expr(e) | StmtKind::Factor(e) => expr(e, walk),
        StmtKind::Observe { .. }
        | StmtKind::State { .. }
        | StmtKind::Next { .. }
        | StmtKind::Tune { .. }
        | StmtKind::Learn(_)
        | StmtKind::Assert { .. } => {}
    }
}

/// Statements inside an expression: those of its blocks.
fn expr(e: &Expr, walk: &mut Walk<'_>) {
    match &e.kind {
        ExprKind::Block(b) | ExprKind::Expect(b) | ExprKind::For { body: b, .. } => block(b, walk),
        ExprKind::If { then, otherwise, .. } => {
            block(then, walk);
            if let Some(otherwise) = otherwise {
                block(otherwise, walk);
            }
        }
        ExprKind::Match { arms, .. } => arms.iter().for_each(|(_, body)| block(body, walk)),
        ExprKind::Binary { left, right, .. } => {
            expr(left, walk);
            expr(right, walk);
        }
        ExprKind::Neg(inner) | ExprKind::Not(inner) => expr(inner, walk),
        ExprKind::Call { args, .. } => args.iter().for_each(|a| expr(&a.value, walk)),
        _ => {}
    }
}

impl Explanation {
    pub fn text(&self) -> String {
        let mut text = String::new();
        if self.sites.is_empty() {
            text.push_str("no site is simulated but those of derived guides\n");
        } else {
            let rows: Vec<Vec<String>> = self
                .sites
                .iter()
                .map(|s| {
                    let mark = if s.biased { " (biased)" } else { "" };
                    vec![
                        format!("{}.{}", s.item, s.address),
                        s.line.to_string(),
                        format!("{}{mark}", s.strategy),
                        s.runs.clone(),
                        s.why.clone(),
                    ]
                })
                .collect();
            text.push_str(&super::report::table(&["site", "line", "strategy", "runs of the rest", "why"], &rows));
        }
        for guide in &self.guides {
            text.push_str(&format!("\n// derived\n{guide}"));
        }
        for substitute in &self.substitutes {
            text.push_str(&format!(
                "\n{substitute} estimates the objective with less variance near its optimum: `fit` differentiates it if the \
                 guide is derived and has a full scale matrix\n"
            ));
        }
        if !self.claims.is_empty() {
            text.push_str("\nclaims, tested by `provi grad --test` and `provi test`:\n");
            self.claims.iter().for_each(|c| text.push_str(&format!("  {c}\n")));
        }
        for biased in &self.biased {
            text.push_str(&format!("\n`{biased}` is declared biased\n"));
        }
        text
    }

    pub fn json(&self) -> Value {
        let sites: Vec<Value> = self
            .sites
            .iter()
            .map(|s| {
                json!({
                    "item": s.item, "address": s.address, "line": s.line, "strategy": s.strategy, "why": s.why,
                    "runs": s.runs, "biased": s.biased,
                })
            })
            .collect();
        json!({ "sites": sites, "guides": self.guides, "substitutes": self.substitutes, "biased": self.biased,
            "claims": self.claims })
    }
}

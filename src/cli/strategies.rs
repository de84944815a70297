//! `provi explain FILE`: which strategy each site without `by` got, derived guides as source, what is claimed.

use crate::syntax::print;
use crate::syntax::tree::{Address, Block, Expr, ExprKind, ItemKind, Stmt, StmtKind};
use crate::types::program::Checked;
use serde_json::{Value, json};

/// One sample statement of the user's files.
#[derive(Clone, Debug)]
pub struct Site {
    pub item: String,
    pub address: String,
    pub line: usize,
    pub strategy: String,
    pub why: &'static str,
}

#[derive(Clone, Debug, Default)]
pub struct Explanation {
    pub sites: Vec<Site>,
    /// Source of derived guides.
    pub guides: Vec<String>,
    /// What is differentiated in place of the objective written.
    pub substitutes: Vec<String>,
    pub biased: Vec<String>,
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
            ItemKind::Objective(o) => expr(&o.body, &mut Walk { checked, item: &o.name.text, found: &mut found }),
            _ => {}
        }
    }
    found
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
        StmtKind::Sample { address, by, .. } => {
            let (strategy, why) = match (by, walk.checked.strategies.get(&s.id)) {
                (Some(by), _) => (print::expr(by), "as written"),
                (None, Some(chosen)) => {
                    (chosen.clone(), "the first of `prefer` that its distribution and its uses allow")
                }
                (None, None) => return,
            };
            let address = match address {
                Address::Splice(_) => "_".to_string(),
                Address::Named { name, indices } if indices.is_empty() => name.text.clone(),
                Address::Named { name, indices } => {
                    format!("{}[{}]", name.text, indices.iter().map(print::expr).collect::<Vec<_>>().join(", "))
                }
            };
            let line = walk.checked.sources.line_column(s.span).0;
            walk.found.sites.push(Site { item: walk.item.to_string(), address, line, strategy, why });
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
                    vec![format!("{}.{}", s.item, s.address), s.line.to_string(), s.strategy.clone(), s.why.to_string()]
                })
                .collect();
            text.push_str(&super::report::table(&["site", "line", "strategy", "why"], &rows));
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
        for biased in &self.biased {
            text.push_str(&format!("\n`{biased}` is declared biased\n"));
        }
        text
    }

    pub fn json(&self) -> Value {
        let sites: Vec<Value> = self
            .sites
            .iter()
            .map(|s| json!({ "item": s.item, "address": s.address, "line": s.line, "strategy": s.strategy, "why": s.why }))
            .collect();
        json!({ "sites": sites, "guides": self.guides, "substitutes": self.substitutes, "biased": self.biased })
    }
}

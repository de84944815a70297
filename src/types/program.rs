//! What checking hands on: the items of all files with their scopes, and the decisions that later stages must not make
//! again (strategies of sites without `by`, derived guides, which objective estimates which).

use crate::base::source::{Sources, Span};
use crate::syntax::tree::{Expr, Item, NodeId};
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ItemId(pub u32);

/// A file: the user's, one it uses, or one of the library.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct ModuleId(pub u32);

/// All items of a run. Names are lexical: a module sees its own items, what it `use`s, then the prelude.
#[derive(Clone, Debug, Default)]
pub struct Items {
    pub items: Vec<ItemEntry>,
    pub modules: Vec<Module>,
    /// Library items that every module sees.
    pub prelude: HashMap<String, ItemId>,
    /// Families of the library.
    pub families: HashMap<String, ItemId>,
}

#[derive(Clone, Debug)]
pub struct ItemEntry {
    pub module: ModuleId,
    pub item: Arc<Item>,
}

#[derive(Clone, Debug, Default)]
pub struct Module {
    pub name: String,
    pub library: bool,
    /// Own items and used ones.
    pub scope: HashMap<String, ItemId>,
    /// Families, which are no values and share no names with them.
    pub families: HashMap<String, ItemId>,
}

impl Items {
    pub fn resolve(&self, module: ModuleId, name: &str) -> Option<ItemId> {
        self.modules[module.0 as usize].scope.get(name).or_else(|| self.prelude.get(name)).copied()
    }
    pub fn family(&self, module: ModuleId, name: &str) -> Option<ItemId> {
        self.modules[module.0 as usize].families.get(name).or_else(|| self.families.get(name)).copied()
    }
    pub fn item(&self, id: ItemId) -> &Arc<Item> {
        &self.items[id.0 as usize].item
    }
    pub fn module_of(&self, id: ItemId) -> ModuleId {
        self.items[id.0 as usize].module
    }
}

/// A guide that was derived from a model's trace type (`guide q = mean_field(schools())`). Its source was generated,
/// parsed and checked like any other; `Checked::items` holds the resulting items under the names below, in the module of
/// the alias, and the alias' own name resolves to the generated `guide` item (without parameters).
#[derive(Clone, Debug)]
pub struct DerivedGuide {
    /// `q`
    pub name: String,
    /// `mean_field`: the family it is made of.
    pub family: String,
    /// `schools()`: the call whose trace type it covers.
    pub model: Expr,
    /// The generated source, as printed by `provi explain`; it re-parses to the same Core.
    pub source: String,
    /// Its parameters in the family's order, as generated: `q_location`, `q_scale`.
    pub params: Vec<String>,
    /// The bijector from `real[n]` to the record of latents: `q_unpack`.
    pub unpack: String,
    /// The number of unconstrained latents, an expression over data sizes.
    pub latents: Expr,
    /// The model's log density is a number, not an estimate of one.
    pub exact: bool,
    /// Stands at the posterior's mode, with the curvature there, and is not trained.
    pub at_mode: bool,
}

/// Two sizes that must be equal once data are bound, as expressions over data.
#[derive(Clone, Debug, PartialEq)]
pub struct Obligation {
    pub span: Span,
    pub left: String,
    pub right: String,
}

/// A value that goes where a bound is declared and is not proved to lie inside: tested when it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct BoundTest {
    pub span: Span,
    /// `` `scale` of `normal` ``
    pub what: String,
    /// `real<lower=0>`
    pub bound: String,
}

/// A program without errors.
#[derive(Clone, Debug)]
pub struct Checked {
    pub sources: Arc<Sources>,
    pub items: Items,
    /// The user's file.
    pub main: ModuleId,
    /// Strategy (by name, as seen from the site's module or its distribution) of each sample statement without `by`,
    /// by the statement's id. A statement that is missing here is never simulated.
    pub strategies: HashMap<NodeId, String>,
    /// The strategy that takes its place where it would take too many joint values.
    pub alternatives: HashMap<NodeId, String>,
    /// Why each preferred strategy before the chosen one was not possible at such a statement: (strategy, reason).
    pub reasons: HashMap<NodeId, Vec<(String, String)>>,
    pub derived_guides: Vec<DerivedGuide>,
    /// For a `fit` line (by id): the objective call to be differentiated in place of the one written, because it
    /// `estimates` the same with less variance and its conditions hold (stl for elbo); as an expression in the main
    /// module.
    pub substitutes: HashMap<NodeId, Expr>,
    /// Names of the parameters that a `fit` line (by id) trains, where it says so or is not alone; else all that it reads.
    pub trained: HashMap<NodeId, Vec<String>>,
    /// Library or user strategies and objectives declared biased that are used: for every report.
    pub biased: Vec<String>,
    pub obligations: Vec<Obligation>,
    pub bound_tests: Vec<BoundTest>,
    /// Trace types, kinds and decisions as text (`--stage types`).
    pub types: String,
    /// The expression that was checked with the file ([`super::check_with_command`]).
    pub command: Option<Arc<Expr>>,
}

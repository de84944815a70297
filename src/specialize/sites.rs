//! What `estimate/` needs of a program with sites beside its Core: for each site, its distribution and its strategy,
//! which are specialised on demand.

use crate::diagnostic::Diagnostic;
pub use crate::eliminate::variable::Call;
use crate::ir::core::{Atom, Program, Sample, Stmt, Type, Var};

/// A strategy's program evaluated at one site, in affine normal form:
/// `constant + Σ_calls Σ_l (primal[l] · k(args[l]) + stopped[l] · stop(k(args[l])))`, `l` over the call's extents.
#[derive(Clone, Debug)]
pub struct StrategyForm {
    /// What defines the atoms below, to stand where the sample stood.
    pub stmts: Vec<Stmt>,
    /// Real scalar; `Atom::Real(0.0)` if there is none.
    pub constant: Atom,
    pub calls: Vec<Call>,
    /// What is remembered and learnt once results of the continuation are known.
    pub after: Vec<After>,
    /// Variables that stand for the results of calls (by position in `calls`) in `after`, with the call's axes.
    pub results: Vec<(usize, Var)>,
    /// Loops around the sample (positions in its `index`) that tell the site's memories apart.
    pub kept: Vec<usize>,
}

/// A value that depends on results of the continuation.
#[derive(Clone, Debug)]
pub struct After {
    /// Statements that mention what the strategy's own define.
    pub stmts: Vec<Stmt>,
    pub atom: Atom,
    pub target: Target,
}

/// What becomes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// The next value of a state, by its input.
    Next(Var),
    /// Minimised in tuned parameters.
    Learn,
}

/// Sites of one program, by [`Sample::entry`].
pub trait Sites {
    /// Applies the strategy of `sample` (whose `args`, `site` and `index` may have been substituted by `estimate`).
    /// New variables are made in `program`. A strategy that is not affine in `k`, or a distribution without what the
    /// strategy asks (support, path, …), is a diagnostic with the site's span.
    fn strategy(&mut self, program: &mut Program, sample: &Sample) -> Result<StrategyForm, Diagnostic>;
    /// A plain draw of the site's distribution: statements and one atom per result. Same counters as `strategy` uses
    /// for its own draw of the distribution, so that value-only branches couple with the base run.
    fn plain_draw(&mut self, program: &mut Program, sample: &Sample) -> Result<(Vec<Stmt>, Vec<Atom>), Diagnostic>;
    /// Where another strategy serves the site as well, it takes the place of the present one. False if there is none.
    fn instead(&mut self, entry: u32) -> bool;
    /// Types of the sample's results.
    fn result_types(&self, entry: u32) -> Vec<Type>;
    /// For messages: the address as written (`z[i]`), the strategy's name, the span of the sample statement.
    fn describe(&self, entry: u32) -> SiteDescription;
}

#[derive(Clone, Debug)]
pub struct SiteDescription {
    pub address: String,
    pub strategy: String,
    pub span: crate::base::source::Span,
}

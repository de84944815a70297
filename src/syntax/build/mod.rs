//! Pest's pairs to the tree: one function per rule of the grammar.
//!
//! A pair that does not have the children its rule promises gives a diagnostic, never a panic.

mod expression;
mod item;
mod statement;
mod types;

use super::layout::span;
use super::parser::Rule;
use super::tree::{Name, NodeId, NodeIds};
use crate::base::source::{FileId, Span};
use crate::diagnostic::Diagnostic;
use pest::iterators::Pair;

pub(super) type Result<T> = std::result::Result<T, Box<Diagnostic>>;
pub(super) type P<'i> = Pair<'i, Rule>;

/// Builds the tree of one item: its file, where its text begins in the file, and the ids to hand out.
pub(super) struct Builder<'a> {
    file: FileId,
    base: usize,
    ids: &'a mut NodeIds,
    /// Height of the tree above the node being built; operators count.
    height: usize,
}

impl<'a> Builder<'a> {
    pub(super) fn new(file: FileId, base: usize, ids: &'a mut NodeIds) -> Builder<'a> {
        Builder { file, base, ids, height: 0 }
    }

    fn id(&mut self) -> NodeId {
        self.ids.fresh()
    }

    /// The span of a pair, without the blanks that pest leaves at its end.
    fn span(&self, pair: &P<'_>) -> Span {
        let at = pair.as_span().start();
        let text = pair.as_str().trim_end_matches([' ', '\t', '\r', '\n']);
        span(self.file, self.base + at, self.base + at + text.len())
    }

    fn name(&self, pair: &P<'_>) -> Name {
        Name { text: pair.as_str().trim_end().to_string(), span: self.span(pair) }
    }

    fn names(&self, pair: P<'_>) -> Vec<Name> {
        pair.into_inner().filter(|p| is_name(p.as_rule())).map(|p| self.name(&p)).collect()
    }

    /// The children of a pair, without words of the language.
    fn children<'i>(&self, pair: P<'i>) -> Children<'i> {
        let span = self.span(&pair);
        let list: Vec<P<'i>> = pair.into_inner().filter(|p| !is_word(p.as_rule())).collect();
        Children { list: list.into_iter(), span }
    }
}

/// The children of a pair, taken in order.
pub(super) struct Children<'i> {
    list: std::vec::IntoIter<P<'i>>,
    span: Span,
}

impl<'i> Children<'i> {
    /// The next child, which the grammar promises.
    fn need(&mut self) -> Result<P<'i>> {
        self.list.next().ok_or_else(|| malformed(self.span))
    }

    fn peek(&self) -> Option<Rule> {
        self.list.as_slice().first().map(Pair::as_rule)
    }

    /// The next child if it is of this rule.
    fn take_if(&mut self, rule: Rule) -> Option<P<'i>> {
        if self.peek() == Some(rule) { self.list.next() } else { None }
    }
}

impl<'i> Iterator for Children<'i> {
    type Item = P<'i>;
    fn next(&mut self) -> Option<P<'i>> {
        self.list.next()
    }
}

fn malformed(span: Span) -> Box<Diagnostic> {
    Box::new(Diagnostic::error("E0101", span, "this could not be read"))
}

fn is_name(rule: Rule) -> bool {
    matches!(rule, Rule::name | Rule::field_name | Rule::hole)
}

/// Words that say nothing once their rule has matched.
fn is_word(rule: Rule) -> bool {
    matches!(
        rule,
        Rule::kw_let
            | Rule::kw_var
            | Rule::kw_if
            | Rule::kw_else
            | Rule::kw_for
            | Rule::kw_in
            | Rule::kw_while
            | Rule::kw_match
            | Rule::kw_expect
            | Rule::kw_observe
            | Rule::kw_factor
            | Rule::kw_learn
            | Rule::kw_assert
            | Rule::w_data
            | Rule::w_const
            | Rule::w_param
            | Rule::w_plate
            | Rule::w_type
            | Rule::w_fn
            | Rule::w_model
            | Rule::w_guide
            | Rule::w_dist
            | Rule::w_bijector
            | Rule::w_family
            | Rule::w_strategy
            | Rule::w_objective
            | Rule::w_fit
            | Rule::w_test
            | Rule::w_use
            | Rule::w_prefer
            | Rule::w_support
            | Rule::w_by
            | Rule::w_on
            | Rule::w_over
            | Rule::w_with
            | Rule::w_where
            | Rule::w_estimates
            | Rule::w_state
            | Rule::w_next
            | Rule::w_particles
            | Rule::w_maximize
    )
}

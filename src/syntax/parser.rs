//! The parser: text → layout → pest → tree. Items are parsed one by one, so that an item with a syntax error costs
//! nothing but itself.
//!
//! Spans are those of the source: layout keeps lengths. Nesting is limited ([`layout::MAX_DEPTH`]), and so is the work
//! per item, so that no input overflows the stack or hangs.

use super::build::Builder;
use super::explain::{explain, not_an_item};
use super::layout::{self, Piece, layout, span};
use super::lexer::{ITEM_WORDS, tokens};
use super::tree::{Expr, File, Item, Stmt};
use crate::base::source::{FileId, Sources};
use crate::diagnostic::Diagnostic;
use pest::Parser as _;
use pest::iterators::Pair;
use std::num::NonZeroUsize;

pub use super::tree::NodeIds;

/// The grammar's parser.
#[derive(pest_derive::Parser)]
#[grammar = "../grammar/provi.pest"]
pub(super) struct Grammar;

/// Calls of grammar rules per item; a thousand lines take about two million.
const WORK_LIMIT: usize = 50_000_000;

/// Nesting from which an item is parsed on a thread with a stack of its own.
const DEEP: usize = 24;
const DEEP_STACK: usize = 256 << 20;

/// Parses a file. The tree holds every item without a syntax error; the others are in the diagnostics.
pub fn parse_file(sources: &Sources, file: FileId, ids: &mut NodeIds) -> (File, Vec<Diagnostic>) {
    let source = &sources.file(file).text;
    let laid = layout(source, file, &tokens(source));
    let mut items = Vec::new();
    let mut diagnostics = Vec::new();
    let mut broken = Vec::new();
    let mut lost = false;
    for piece in laid.pieces {
        if let Some(error) = piece.error {
            diagnostics.push(error);
            broken.extend(laid.text.get(piece.start..piece.end).and_then(named));
            continue;
        }
        let text = &laid.text[piece.start..piece.end];
        if !ITEM_WORDS.iter().any(|word| is_first_word(text, word)) {
            // Lines that follow one that is no item are most likely parts of it.
            if !lost {
                diagnostics.push(not_an_item(file, piece.start, text));
            }
            lost = true;
            continue;
        }
        lost = false;
        match on_stack(piece.depth, || item(text, file, &piece, ids)) {
            Ok(item) => items.push(item),
            Err(error) => {
                diagnostics.push(*error);
                broken.extend(named(text));
            }
        }
    }
    (File { items, broken }, diagnostics)
}

/// The name that a broken item would define: the first word that is no item word.
fn named(text: &str) -> Option<String> {
    let words = text.split(|c: char| !(c == '_' || c.is_alphanumeric())).filter(|w| !w.is_empty());
    words.take(3).find(|w| *w != "biased" && !ITEM_WORDS.contains(w)).map(str::to_owned)
}

/// Parses a text that is one expression, as typed on the command line.
pub fn parse_expr(sources: &Sources, file: FileId, ids: &mut NodeIds) -> Result<Expr, Vec<Diagnostic>> {
    single(sources, file, Rule::only_expr, |pair| Builder::new(file, 0, ids).expr(pair))
}

/// Parses a text that is one statement.
pub fn parse_statement(sources: &Sources, file: FileId, ids: &mut NodeIds) -> Result<Stmt, Vec<Diagnostic>> {
    single(sources, file, Rule::only_stmt, |pair| Builder::new(file, 0, ids).stmt(pair))
}

fn single<T: Send>(
    sources: &Sources,
    file: FileId,
    rule: Rule,
    build: impl FnOnce(Pair<'_, Rule>) -> Result<T, Box<Diagnostic>> + Send,
) -> Result<T, Vec<Diagnostic>> {
    let source = &sources.file(file).text;
    let (text, depth) = layout::single(source, file, &tokens(source)).map_err(|e| vec![*e])?;
    on_stack(depth, || build(parse(rule, &text, file, 0)?)).map_err(|e| vec![*e])
}

fn item(text: &str, file: FileId, piece: &Piece, ids: &mut NodeIds) -> Result<Item, Box<Diagnostic>> {
    let pair = parse(Rule::only_item, text, file, piece.start)?;
    let mut builder = Builder::new(file, piece.start, ids);
    let mut item = builder.item(pair)?;
    item.doc.clone_from(&piece.doc);
    Ok(item)
}

/// The pair of the one rule inside an entry rule.
fn parse(rule: Rule, text: &str, file: FileId, base: usize) -> Result<Pair<'_, Rule>, Box<Diagnostic>> {
    pest::set_call_limit(NonZeroUsize::new(WORK_LIMIT));
    match Grammar::parse(rule, text) {
        Ok(pairs) => pairs.flat_map(Pair::into_inner).find(|pair| pair.as_rule() != Rule::EOI).ok_or_else(|| {
            Box::new(Diagnostic::error("E0101", span(file, base, base + text.len()), "nothing is here"))
        }),
        Err(error) => Err(Box::new(explain(rule, text, file, base, &error))),
    }
}

fn is_first_word(text: &str, word: &str) -> bool {
    text.strip_prefix(word).is_some_and(|rest| !rest.chars().next().is_some_and(|c| c == '_' || c.is_alphanumeric()))
}

/// Runs `work`, on a thread with a large stack if its input nests deeply.
fn on_stack<T: Send>(depth: usize, work: impl FnOnce() -> T + Send) -> T {
    if depth < DEEP {
        return work();
    }
    let slot = std::sync::Mutex::new(Some(work));
    let run = || slot.lock().ok().and_then(|mut held| held.take()).map(|work| work());
    let result = std::thread::scope(|scope| {
        let built = std::thread::Builder::new().stack_size(DEEP_STACK).spawn_scoped(scope, run);
        match built.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            // The thread could not be made: pest guards the stack by itself.
            Err(_) => run(),
        }
    });
    match result {
        Some(result) => result,
        None => unreachable!("the work is taken once, by the thread or else here"),
    }
}

//! Programs through the partial evaluator: values against closed forms, the form of what comes out.

mod examples;
mod objectives;
mod values;
mod width;

use super::bind::{Bound, bind};
use super::machine::Space;
use super::programs::Options;
use crate::diagnostic::Diagnostic;
use crate::ir::core::{Program, Role};
use crate::ir::interpret::Interpreter;
use crate::ir::validate::{Form, validate};
use crate::runtime::executable::{Array, Executable, Status, Stream};
use crate::syntax::parser::parse_expr;
use crate::syntax::tree::{Expr, NodeIds};
use crate::types::program::Checked;
use crate::types::{Alone, check_with_sources};
use std::collections::HashMap;
use std::sync::Arc;

pub(super) struct Loaded {
    pub(super) checked: Checked,
    ids: NodeIds,
}

/// Checks `text`.
pub(super) fn load(text: &str) -> Loaded {
    let (checked, diagnostics, _) = check_with_sources("main.ppl", text, &Alone);
    match checked {
        Some(checked) => Loaded { checked, ids: NodeIds::default() },
        None => panic!("{diagnostics:#?}"),
    }
}

impl Loaded {
    pub(super) fn expr(&mut self, text: &str) -> Expr {
        let mut sources = (*self.checked.sources).clone();
        let file = sources.add("<expression>", text, false);
        let e = parse_expr(&sources, file, &mut self.ids).unwrap();
        self.checked.sources = Arc::new(sources);
        e
    }
}

pub(super) fn options() -> Options {
    Options { space: Space::Constrained, particles: 1, params: Vec::new() }
}

pub(super) fn data(list: &[(&str, Array)]) -> HashMap<String, Array> {
    list.iter().map(|(n, a)| ((*n).to_owned(), a.clone())).collect()
}

/// Value of `text` over the items of `program`, at the parameters given by name.
pub(super) fn value(program: &str, text: &str, given: &[(&str, Array)], params: &[(&str, &[f64])]) -> Vec<f64> {
    match try_value(program, text, given, params) {
        Ok(v) => v,
        Err(e) => panic!("{text}: {e:?}"),
    }
}

pub(super) fn try_value(
    program: &str,
    text: &str,
    given: &[(&str, Array)],
    params: &[(&str, &[f64])],
) -> Result<Vec<f64>, Vec<Diagnostic>> {
    // The loader finds library items by the words of the file.
    let mut loaded = load(&format!("{program}\ntest \"{text}\" {{ assert near(1, 1, 1) }}\n"));
    let e = loaded.expr(text);
    let bound = bind(&loaded.checked, &data(given))?;
    let core = super::programs::expression(&bound, &e, &options())?;
    Ok(run(&bound, core, params, 1).0)
}

/// Outputs and status of one step.
pub(super) fn run(bound: &Bound<'_>, core: Program, params: &[(&str, &[f64])], seed: u64) -> (Vec<f64>, Status) {
    let errors = validate(&core, Form::Plain);
    assert!(errors.is_empty(), "{errors:?}\n{}", crate::ir::print::print(&core));
    let mut flat = Vec::new();
    for input in core.inputs_of(Role::Param) {
        let (_, v) = params.iter().find(|(n, _)| *n == input.name).unwrap_or_else(|| panic!("param {}", input.name));
        flat.extend_from_slice(v);
    }
    let inputs = bound.input_data(&core);
    let mut interpreter = Interpreter::new(Arc::new(core), &inputs).unwrap();
    let mut out = vec![0.0; interpreter.output_len()];
    let state = vec![0.0; interpreter.state_len()];
    let status = interpreter.step(&flat, &[], &state, Stream { seed, step: 0 }, &mut out);
    (out, status)
}

pub(super) fn close(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-10 * (1.0 + b.abs()), "{a} is not {b}");
}

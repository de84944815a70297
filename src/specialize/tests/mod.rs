//! Programs through the partial evaluator: values against closed forms, the form of what comes out.

mod objectives;
mod values;

use super::bind::{Bound, bind};
use super::machine::Space;
use super::programs::Options;
use crate::base::source::Sources;
use crate::diagnostic::Diagnostic;
use crate::ir::core::{Program, Role};
use crate::ir::interpret::Interpreter;
use crate::ir::validate::{Form, validate};
use crate::runtime::executable::{Array, Executable, Status, Stream};
use crate::syntax::parser::{parse_expr, parse_file};
use crate::syntax::tree::{Expr, Item, ItemKind, NodeIds};
use crate::types::program::{Checked, ItemEntry, ItemId, Items, Module, ModuleId};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

fn item_name(item: &Item) -> Option<String> {
    Some(match &item.kind {
        ItemKind::Data { name, .. }
        | ItemKind::Const { name, .. }
        | ItemKind::Param { name, .. }
        | ItemKind::Plate { name, .. }
        | ItemKind::Type { name, .. }
        | ItemKind::GuideAlias { name, .. }
        | ItemKind::Family { name, .. } => name.text.clone(),
        ItemKind::Fn(f) => f.name.text.clone(),
        ItemKind::Gen(g) => g.name.text.clone(),
        ItemKind::Dist(d) => d.name.text.clone(),
        ItemKind::Bijector(b) => b.name.text.clone(),
        ItemKind::Strategy(s) => s.name.text.clone(),
        ItemKind::Objective(o) => o.name.text.clone(),
        ItemKind::Fit { .. }
        | ItemKind::Test { .. }
        | ItemKind::Use { .. }
        | ItemKind::Prefer { .. }
        | ItemKind::SupportBijector { .. } => return None,
    })
}

fn library(folder: &Path, files: &mut Vec<(String, String)>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().flatten().map(|e| e.path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            library(&path, files);
        } else if path.extension().is_some_and(|e| e == "ppl") {
            files.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
        }
    }
}

pub(super) struct Loaded {
    pub(super) checked: Checked,
    ids: NodeIds,
}

/// Parses `text` with the whole library as its prelude, unchecked.
pub(super) fn load(text: &str) -> Loaded {
    let mut files = Vec::new();
    library(&Path::new(env!("CARGO_MANIFEST_DIR")).join("stdlib"), &mut files);
    files.push(("main.ppl".to_owned(), text.to_owned()));
    let mut sources = Sources::default();
    let mut ids = NodeIds::default();
    let mut items = Items::default();
    items.modules = vec![
        Module { name: "library".to_owned(), library: true, scope: HashMap::new() },
        Module { name: "main".to_owned(), library: false, scope: HashMap::new() },
    ];
    let last = files.len() - 1;
    for (k, (name, text)) in files.into_iter().enumerate() {
        let main = k == last;
        let file = sources.add(name.clone(), text, !main);
        let (parsed, diagnostics) = parse_file(&sources, file, &mut ids);
        assert!(diagnostics.is_empty(), "{name}: {diagnostics:?}");
        for item in parsed.items {
            let id = ItemId(u32::try_from(items.items.len()).unwrap());
            let module = ModuleId(u32::from(main));
            if let Some(n) = item_name(&item) {
                if main {
                    items.modules[1].scope.insert(n, id);
                } else {
                    items.prelude.insert(n, id);
                }
            }
            items.items.push(ItemEntry { module, item: Arc::new(item) });
        }
    }
    let checked = Checked {
        sources: Arc::new(sources),
        items,
        main: ModuleId(1),
        strategies: HashMap::new(),
        derived_guides: Vec::new(),
        substitutes: HashMap::new(),
        biased: Vec::new(),
    };
    Loaded { checked, ids }
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
    let mut loaded = load(program);
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

//! Every example becomes all the programs that a fit needs, and its log joint density is a number.

use super::{data, run};
use crate::ir::print::print;
use crate::ir::validate::{Form, validate};
use crate::runtime::executable::{Array, Status, Values};
use crate::specialize::bind::bind;
use crate::specialize::machine::Space;
use crate::specialize::programs::{self, Options};
use crate::syntax::tree::{ExprKind, ItemKind};
use crate::types::{Alone, check_with_sources};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn array(v: &Value) -> Array {
    fn go(v: &Value, depth: usize, shape: &mut Vec<usize>, flat: &mut Vec<f64>, int: &mut bool) {
        match v {
            Value::Array(items) => {
                if shape.len() <= depth {
                    shape.push(items.len());
                }
                items.iter().for_each(|i| go(i, depth + 1, shape, flat, int));
            }
            Value::Number(n) => {
                *int &= n.is_i64();
                flat.push(n.as_f64().unwrap());
            }
            _ => {
                *int = false;
                flat.push(f64::NAN);
            }
        }
    }
    let (mut shape, mut flat, mut int) = (Vec::new(), Vec::new(), true);
    go(v, 0, &mut shape, &mut flat, &mut int);
    let values = if int { Values::Int(flat.iter().map(|&x| x as i64).collect()) } else { Values::Real(flat) };
    Array { shape, values }
}

fn examples(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            examples(&path, into);
        } else if path.extension().is_some_and(|e| e == "ppl") && path.with_extension("json").exists() {
            into.push(path);
        }
    }
    into.sort();
}

#[test]
fn every_example_becomes_its_programs() {
    let mut paths = Vec::new();
    examples(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples"), &mut paths);
    assert!(!paths.is_empty());
    let mut failures = Vec::new();
    for path in paths {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if let Err(e) = example(&path) {
            failures.push(format!("{name}: {e}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

fn example(path: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(path).unwrap();
    let json: Value = serde_json::from_str(&std::fs::read_to_string(path.with_extension("json")).unwrap()).unwrap();
    let (checked, diagnostics, _) = check_with_sources("example.ppl", &text, &Alone);
    let Some(checked) = checked else {
        return Err(format!("does not check: {:?}", diagnostics.iter().map(|d| &d.message).collect::<Vec<_>>()));
    };
    let given: Vec<(String, Array)> = json.as_object().unwrap().iter().map(|(k, v)| (k.clone(), array(v))).collect();
    let given: Vec<(&str, Array)> = given.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
    let start = std::time::Instant::now();
    let bound = bind(&checked, &data(&given)).map_err(|d| format!("bind: {d:?}"))?;
    let line = checked
        .items
        .items
        .iter()
        .filter(|e| e.module == checked.main)
        .find_map(|e| if let ItemKind::Fit { lines } = &e.item.kind { Some(&lines[0]) } else { None })
        .ok_or("no fit")?;
    let options = Options { space: Space::Unconstrained, particles: 1, params: Vec::new() };
    let sited = programs::objective(&bound, &line.objective, &options).map_err(|d| format!("objective: {d:?}"))?;
    let errors = validate(&sited.program, Form::WithSites);
    if !errors.is_empty() {
        return Err(format!("{errors:?}\n{}", print(&sited.program)));
    }
    let names: Vec<String> = sited.program.inputs_of(crate::ir::core::Role::Param).map(|i| i.name.clone()).collect();
    // A sum over rows has no guide to draw from.
    let ExprKind::Call { args, .. } = &line.objective.kind else { return Ok(()) };
    if args.len() < 2 {
        return Ok(());
    }
    let options = Options { params: names.clone(), ..options };
    let draws =
        programs::draws(&bound, &args[0].value, &args[1].value, 3, &options).map_err(|d| format!("draws: {d:?}"))?;
    let initial = programs::initial_params(&bound, &names).map_err(|d| format!("initial: {d:?}"))?;
    let (z, status) = run(&bound, initial, &[], 1);
    if status != Status::Fine || z.iter().any(|x| !x.is_finite()) {
        return Err(format!("initial values {z:?}, {status:?}"));
    }
    let mut at = 0;
    let mut params: Vec<(&str, Vec<f64>)> = Vec::new();
    for i in draws.program.inputs_of(crate::ir::core::Role::Param) {
        let n = draws.program.ty(i.var).size();
        let k = names.iter().position(|m| *m == i.name).unwrap();
        params.push((
            &names[k],
            z[at..at + n].iter().map(|x| x - 2.0 * f64::from(u8::from(i.name.ends_with("scale")))).collect(),
        ));
        at += n;
    }
    let params: Vec<(&str, &[f64])> = params.iter().map(|(n, v)| (*n, v.as_slice())).collect();
    let (out, _) = run(&bound, draws.program, &params, 1);
    if out[..3].iter().any(|w| w.is_nan()) {
        return Err(format!("weights {:?}", &out[..3]));
    }
    programs::constrained_params(&bound, &names).map_err(|d| format!("constrained: {d:?}"))?;
    for guide in &checked.derived_guides {
        let joint = programs::log_joint(&bound, guide).map_err(|d| format!("log joint: {d:?}"))?;
        let n: usize = joint.inputs_of(crate::ir::core::Role::Param).map(|i| joint.ty(i.var).size()).sum();
        let latent = vec![0.1; n];
        let (v, status) = run(&bound, joint, &[("latent", &latent)], 1);
        if !v[0].is_finite() || status != Status::Fine {
            return Err(format!("log joint {v:?}, {status:?}"));
        }
    }
    let elapsed = start.elapsed();
    if elapsed.as_millis() > 2000 {
        return Err(format!("took {elapsed:?}"));
    }
    Ok(())
}

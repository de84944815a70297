//! The house in order: what files open with and how long they are, which room uses which, codes with pages and cases,
//! operations with derivatives, examples that run, nothing of the library named in the compiler.

use crate::pages::shown_codes;
use crate::programs::{examples, files, read, root};
use libtest_mimic::Trial;
use provi::ad;
use provi::diagnostic::codes::page;
use provi::ir::core::{Atom, Block, Input, Program, Role, Scalar, Stmt, Type, Var};
use provi::ir::op::Op;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Rooms in dependency order: a room uses only those before it.
const ROOMS: [&str; 21] = [
    "base",
    "diagnostic",
    "runtime",
    "syntax",
    "types",
    "ir",
    "eliminate",
    "specialize",
    "estimate",
    "ad",
    "opt",
    "lower",
    "codegen",
    "inference",
    "data",
    "driver",
    "api",
    "lsp",
    "repl",
    "cli",
    "main",
];

/// Codes that no program or data file can show, each with the reason.
const WITHOUT_CASE: [(&str, &str); 4] = [
    ("E0391", "the checker refuses such sites before, by E0201 and E0309"),
    ("E0299", "a defect of the checker"),
    ("E0690", "a defect of a later stage"),
    ("E0999", "stands in unit tests of diagnostics only"),
];

/// Names of the library that `src/` may hold as text: the native random primitives' own, and the combinator by which the
/// source of derived guides is written.
const NATIVE: [&str; 6] = ["normal", "uniform", "exponential", "poisson", "binomial", "transformed"];

pub(crate) fn trials() -> Vec<Trial> {
    let checks: [(&str, fn() -> Result<(), String>); 12] = [
        ("files_open_with_a_comment", opening),
        ("files_are_short", length),
        ("rooms_use_only_those_before_them", order),
        ("rooms_stand_in_order_in_lib", lib_order),
        ("codes_have_pages", pages),
        ("codes_have_cases", cases),
        ("operations_have_derivatives_or_refusals", derivatives),
        ("no_test_is_ignored_and_nothing_is_left_to_do", left_undone),
        ("examples_have_data_and_objectives", runnable),
        ("the_compiler_names_nothing_of_the_library", names),
        ("the_page_of_distributions_lists_all", distributions),
        ("names_of_the_library_are_defined_once", once),
    ];
    checks.into_iter().map(|(name, check)| Trial::test(format!("tidy::{name}"), move || Ok(check()?))).collect()
}

fn verdict(faults: &[String]) -> Result<(), String> {
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
}

/// Path below the crate and text of every Rust file.
fn rust(folders: &[&str]) -> Vec<(String, String)> {
    let paths: Vec<PathBuf> = folders.iter().flat_map(|f| files(&root().join(f), "rs")).collect();
    let named = |p: &Path| p.strip_prefix(root()).unwrap_or(p).display().to_string();
    paths.iter().filter_map(|p| Some((named(p), read(p).ok()?))).collect()
}

/// Test code stands in files of this kind, or below this line.
fn is_test_file(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs")
}

/// Without its unit tests at the end.
fn program_text(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text)
}

fn opening() -> Result<(), String> {
    let all = rust(&["src", "tests", "benches"]);
    verdict(
        &all.iter().filter(|(_, t)| !t.starts_with("//!")).map(|(p, _)| format!("{p}: no `//!`")).collect::<Vec<_>>(),
    )
}

fn length() -> Result<(), String> {
    let all = rust(&["src", "tests", "benches"]);
    let long = |(p, t): &(String, String)| {
        let lines = program_text(t).lines().count();
        (lines > 800 && !is_test_file(p)).then(|| format!("{p}: {lines} lines"))
    };
    verdict(&all.iter().filter_map(long).collect::<Vec<_>>())
}

fn rank(room: &str) -> Option<usize> {
    ROOMS.iter().position(|r| *r == room)
}

fn order() -> Result<(), String> {
    let mut faults = Vec::new();
    for (path, text) in rust(&["src"]) {
        let room = path.trim_start_matches("src/").split(['/', '.']).next().unwrap_or_default().to_owned();
        if room == "lib" || is_test_file(&path) {
            continue;
        }
        let Some(own) = rank(&room) else {
            faults.push(format!("{path}: `{room}` is not in the table of rooms"));
            continue;
        };
        for used in program_text(&text).split("crate::").skip(1) {
            let used: Vec<String> = match used.strip_prefix('{') {
                Some(list) => list.split('}').next().unwrap_or_default().split(',').map(first_word).collect(),
                None => vec![first_word(used)],
            };
            for used in used {
                if rank(&used).is_some_and(|r| r > own) {
                    faults.push(format!("{path}: uses `{used}`, which comes after `{room}`"));
                }
            }
        }
    }
    faults.sort();
    faults.dedup();
    verdict(&faults)
}

fn first_word(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn lib_order() -> Result<(), String> {
    let text = read(&root().join("src/lib.rs"))?;
    let rooms: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let ranks: Vec<Option<usize>> = rooms.iter().map(|r| rank(r)).collect();
    if ranks.iter().all(Option::is_some) && ranks.windows(2).all(|w| w[0] < w[1]) {
        Ok(())
    } else {
        Err(format!("{rooms:?} is not in dependency order"))
    }
}

/// Error and warning codes in a text.
pub(crate) fn codes_in(text: &str) -> BTreeSet<String> {
    let bytes = text.as_bytes();
    let is_code = |w: &[u8]| matches!(w[0], b'E' | b'W') && w[1..].iter().all(u8::is_ascii_digit);
    let mut codes = BTreeSet::new();
    for (i, w) in bytes.windows(5).enumerate() {
        let apart = |b: Option<&u8>| b.is_none_or(|b| !b.is_ascii_alphanumeric() && *b != b'_');
        if is_code(w) && apart(i.checked_sub(1).and_then(|i| bytes.get(i))) && apart(bytes.get(i + 5)) {
            codes.insert(String::from_utf8_lossy(w).into_owned());
        }
    }
    codes
}

/// Codes in string literals of the compiler.
fn used_codes() -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    for (path, text) in rust(&["src"]) {
        if is_test_file(&path) || path.ends_with("diagnostic/codes.rs") {
            continue;
        }
        for line in program_text(&text).lines().filter(|l| !l.trim_start().starts_with("//")) {
            let found = codes_in(line).into_iter().filter(|c| line.contains(&format!("\"{c}\"")));
            codes.extend(found);
        }
    }
    codes
}

fn pages() -> Result<(), String> {
    let known = |c: &String| page(c).is_none() && c != "E0999";
    let mut faults: Vec<String> = used_codes().iter().filter(|c| known(c)).map(|c| format!("{c}: no page")).collect();
    for path in files(&root().join("src/diagnostic/pages"), "md") {
        let code = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if page(&code).is_none() {
            faults.push(format!("{code}: the page is not in the table of codes"));
        }
    }
    verdict(&faults)
}

fn cases() -> Result<(), String> {
    let mut shown: BTreeSet<String> = shown_codes().into_iter().collect();
    // Unit tests count: codes of data files and command lines are shown where these are read.
    for (path, text) in rust(&["src", "tests"]) {
        if path.starts_with("tests/") || is_test_file(&path) {
            shown.extend(codes_in(&text));
        } else if let Some((_, tests)) = text.split_once("#[cfg(test)]\nmod tests {") {
            shown.extend(codes_in(tests));
        }
    }
    let excused = |c: &String| WITHOUT_CASE.iter().any(|(code, _)| code == c);
    let missing = used_codes().into_iter().filter(|c| !shown.contains(c) && !excused(c));
    verdict(&missing.map(|c| format!("{c}: no case shows it")).collect::<Vec<_>>())
}

/// A program of one operation on real parameters.
fn program_of(op: Op) -> Option<Program> {
    let (args, result) = op.signature()?;
    let mut program = Program::default();
    let real = |program: &mut Program, scalar: Scalar| {
        let var = Var(u32::try_from(program.vars.len()).unwrap_or(u32::MAX));
        program.vars.push(provi::ir::core::VarInfo { ty: Type { scalar, shape: vec![] }, name: None });
        var
    };
    if result != Scalar::Real || !args.iter().all(|a| *a == Scalar::Real) {
        return None;
    }
    let mut operands: Vec<Atom> = Vec::new();
    for (k, &scalar) in args.iter().enumerate() {
        let var = real(&mut program, scalar);
        program.inputs.push(Input { var, role: Role::Param, name: format!("a{k}") });
        operands.push(var.into());
    }
    let result = real(&mut program, result);
    program.step = Block { stmts: vec![Stmt::Op { result, op, args: operands }], results: vec![result.into()] };
    program.outputs = vec!["value".to_owned()];
    Some(program)
}

/// Every operation from reals to a real is differentiated in every operand or refused by name; `floor` and its like have
/// derivative zero. A rule that is missing would be neither.
fn derivatives() -> Result<(), String> {
    let mut faults = Vec::new();
    let mut ruled = 0;
    for &op in Op::ALL {
        let Some(program) = program_of(op) else { continue };
        match ad::reverse(&program, Role::Param) {
            Ok(reverse) => {
                ruled += 1;
                if reverse.step.results.len() != 1 + program.inputs.len() {
                    faults.push(format!("{}: not every operand has a derivative", op.name()));
                }
            }
            Err(refusal) if refusal.to_string().contains(op.name()) => {}
            Err(refusal) => faults.push(format!("{}: refused without its name: {refusal}", op.name())),
        }
    }
    if ruled < 20 {
        faults.push(format!("only {ruled} operations have a derivative"));
    }
    verdict(&faults)
}

fn left_undone() -> Result<(), String> {
    // Written in two parts, so that this file does not show them.
    let marks =
        [["#[ig", "nore"], ["to", "do!("], ["unimple", "mented!("], ["TO", "DO"], ["FIX", "ME"], ["#[al", "low("]];
    let mut faults = Vec::new();
    for (path, text) in rust(&["src", "tests", "benches"]) {
        for mark in marks.map(|m| m.concat()) {
            if text.contains(&mark) {
                faults.push(format!("{path}: {mark}"));
            }
        }
    }
    verdict(&faults)
}

/// Every example is fitted by a trial of `replay`; it needs data beside it and an objective.
fn runnable() -> Result<(), String> {
    let mut faults = Vec::new();
    for example in examples() {
        if !example.text.lines().any(|l| l.starts_with("fit ")) {
            faults.push(format!("{}: no `fit` line, so nothing runs it", example.name));
        }
        if example.text.lines().any(|l| l.starts_with("data ")) && example.data.is_none() {
            faults.push(format!("{}: no data beside it", example.name));
        }
    }
    verdict(&faults)
}

/// Items of the library's distributions, strategies, objectives and guides.
fn library_names() -> BTreeSet<String> {
    let folders = ["distributions", "strategies", "objectives", "guides"];
    let kinds = ["dist ", "strategy ", "biased strategy ", "objective ", "family "];
    let mut found = BTreeSet::new();
    for path in folders.iter().flat_map(|f| files(&root().join("stdlib").join(f), "ppl")) {
        let text = read(&path).unwrap_or_default();
        let items = text.lines().filter_map(|l| kinds.iter().find_map(|k| l.strip_prefix(k)));
        found.extend(items.map(first_word));
    }
    found
}

/// No two files of the prelude define the same name, or one that the language has already.
fn once() -> Result<(), String> {
    let kinds =
        ["fn ", "dist ", "strategy ", "biased strategy ", "objective ", "bijector ", "model ", "guide ", "type "];
    let mut defined: BTreeMap<String, String> = BTreeMap::new();
    let mut faults = Vec::new();
    for path in files(&root().join("stdlib"), "ppl") {
        let file = path.display().to_string();
        if file.contains("stdlib/nn/") {
            continue;
        }
        for line in read(&path)?.lines() {
            let Some(name) = kinds.iter().find_map(|k| line.strip_prefix(k)).map(first_word) else { continue };
            if provi::types::native::is_native(&name) {
                faults.push(format!("{file}: `{name}` is a function of the language"));
            }
            if let Some(other) = defined.insert(name.clone(), file.clone()) {
                faults.push(format!("{file}: `{name}` is defined in {other} too"));
            }
        }
    }
    if defined.len() < 150 {
        faults.push(format!("only {} names were found", defined.len()));
    }
    verdict(&faults)
}

/// `docs/distributions.md` has a row for every distribution.
fn distributions() -> Result<(), String> {
    let page = read(&root().join("docs/distributions.md"))?;
    let mut faults = Vec::new();
    for path in files(&root().join("stdlib/distributions"), "ppl") {
        let text = read(&path)?;
        for name in text.lines().filter_map(|l| l.strip_prefix("dist ")).map(first_word) {
            if !page.contains(&format!("| `{name}(")) {
                faults.push(format!("{name}: no row in docs/distributions.md"));
            }
        }
    }
    verdict(&faults)
}

fn names() -> Result<(), String> {
    let library = library_names();
    if library.len() < 20 {
        return Err("hardly a name was found in the library".to_owned());
    }
    let mut faults = Vec::new();
    for (path, text) in rust(&["src"]) {
        if is_test_file(&path) || path.contains("ir/generate") {
            continue;
        }
        for line in program_text(&text).lines().filter(|l| !l.trim_start().starts_with("//")) {
            // Every second piece stands between quotes.
            for literal in line.split('"').skip(1).step_by(2) {
                if library.contains(literal) && !NATIVE.contains(&literal) {
                    faults.push(format!("{path}: \"{literal}\" is an item of the library"));
                }
            }
        }
    }
    verdict(&faults)
}

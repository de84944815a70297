//! What is refused is refused well: every error of `tests/cases/refused` has its main place in the user's file and says
//! what to write instead; and no text, however broken, makes the checker panic.

use crate::case::{block, read};
use crate::programs::{examples, files, open, root, said};
use libtest_mimic::Trial;
use provi::diagnostic::Severity;
use provi::driver::session::check_text;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Mutated texts.
const MUTANTS: u64 = 2000;
/// Of them in one trial.
const CHUNK: u64 = 250;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![Trial::test("refused::place_and_fix", || Ok(place_and_fix()?))];
    for chunk in 0..MUTANTS / CHUNK {
        trials.push(Trial::test(format!("refused::mutants::{chunk}"), move || Ok(mutants(chunk)?)));
    }
    trials
}

fn cases(folder: &str) -> Result<Vec<(String, String, Option<String>)>, String> {
    let mut found = Vec::new();
    for path in files(&root().join(folder), "md") {
        let text = std::fs::read_to_string(&path).map_err(|e| e.to_string())?;
        let pieces = read(&text)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(program) = block(&pieces, "ppl") {
            found.push((name, program.to_owned(), block(&pieces, "data").map(str::to_owned)));
        }
    }
    Ok(found)
}

fn place_and_fix() -> Result<(), String> {
    let mut complaints = String::new();
    let all = cases("tests/cases/refused")?;
    if all.len() < 60 {
        return Err(format!("only {} cases", all.len()));
    }
    for (name, program, data) in all {
        let checking = check_text(&name, &program);
        let refused = checking.diagnostics.iter().any(|d| d.severity == Severity::Error);
        let refusal = if refused || data.is_some() {
            match open(&name, &program, data.as_deref()) {
                Ok(opened) => opened.session().err(),
                Err(refusal) => Some(refusal),
            }
        } else {
            None
        };
        let Some(refusal) = refusal else {
            complaints.push_str(&format!("{name}: is accepted\n"));
            continue;
        };
        for d in refusal.diagnostics.iter().filter(|d| d.severity == Severity::Error) {
            let placed = d.primary.as_ref().is_some_and(|p| !refusal.sources.file(p.span.file).library);
            // A broken data file has no place in a program; its message names line and column.
            if !placed && d.code != "E0502" {
                complaints.push_str(&format!("{name}: {} has no place in the user's file\n", d.code));
            }
            // What is wrong with the syntax is what to write.
            if d.fix.is_none() && !d.code.starts_with("E01") {
                complaints.push_str(&format!("{name}: {} has no fix\n{}\n", d.code, said(&refusal)));
            }
        }
    }
    if complaints.is_empty() { Ok(()) } else { Err(complaints) }
}

/// Steele, Lea and Flood's SplitMix64.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n.max(1) as u64).unwrap_or(0)
    }
}

/// Words, and every other character by itself.
fn pieces(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut in_word = false;
    for c in text.chars() {
        let word = c.is_alphanumeric() || c == '_';
        match out.last_mut() {
            Some(last) if word && in_word => last.push(c),
            _ => out.push(c.to_string()),
        }
        in_word = word;
    }
    out
}

fn mutants(chunk: u64) -> Result<(), String> {
    let mut texts: Vec<String> = examples().into_iter().map(|s| s.text).collect();
    for folder in ["tests/cases/programs", "tests/cases/refused", "tests/cases/accepted"] {
        texts.extend(cases(folder)?.into_iter().map(|c| c.1));
    }
    let texts: Vec<Vec<String>> = texts.iter().map(|t| pieces(t)).collect();
    let mut random = SplitMix(chunk);
    for number in 0..CHUNK {
        let mut mutant = texts[random.below(texts.len())].clone();
        for _ in 0..=random.below(4) {
            let at = random.below(mutant.len());
            let donor = &texts[random.below(texts.len())];
            let other = donor[random.below(donor.len())].clone();
            match random.below(4) {
                0 => drop(mutant.remove(at)),
                1 => mutant.insert(at, other),
                2 => mutant[at] = other,
                _ => {
                    let with = random.below(mutant.len());
                    mutant.swap(at, with);
                }
            }
            if mutant.is_empty() {
                break;
            }
        }
        let text = mutant.concat();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let checking = check_text("mutant.ppl", &text);
            provi::diagnostic::render::report(&checking.diagnostics, &checking.sources, false).len()
        }));
        if outcome.is_err() {
            return Err(format!("mutant {number} of chunk {chunk} panics:\n{text}"));
        }
    }
    Ok(())
}

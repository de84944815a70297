//! The one test binary: every case is a file in `tests/cases/**/*.md` and a named test.
//!
//! A case file has a heading, a program in a fenced block (`core` or `ppl`), inputs (`data`, `params`, `tuned`, `state`,
//! `stream`; JSON), for `ppl` an `objective` in place of the `fit` line's, and one fenced block for each stage wanted. Only
//! the blocks that are there are compared; `PROVI_UPDATE=1 cargo test` rewrites them. The stages stand in [`stages::STAGES`].

#[path = "suite/case.rs"]
mod case;
#[path = "suite/dual.rs"]
mod dual;
#[path = "suite/documents.rs"]
mod documents;
#[path = "suite/gradients.rs"]
mod gradients;
#[path = "suite/inputs.rs"]
mod inputs;
#[path = "suite/commands.rs"]
mod commands;
#[path = "suite/derivatives.rs"]
mod derivatives;
#[path = "suite/known.rs"]
mod known;
#[path = "suite/library.rs"]
mod library;
#[path = "suite/large_references.rs"]
mod large_references;
#[path = "suite/laws.rs"]
mod laws;
#[path = "suite/ppl_stages.rs"]
mod ppl_stages;
#[path = "suite/pages.rs"]
mod pages;
#[path = "suite/plates.rs"]
mod plates;
#[path = "suite/presence_references.rs"]
mod presence_references;
#[path = "suite/programs.rs"]
mod programs;
#[path = "suite/redefined.rs"]
mod redefined;
#[path = "suite/references.rs"]
mod references;
#[path = "suite/refused.rs"]
mod refused;
#[path = "suite/replay.rs"]
mod replay;
#[path = "suite/stages.rs"]
mod stages;
#[path = "suite/strategies.rs"]
mod strategies;
#[path = "suite/tidiness.rs"]
mod tidiness;

use libtest_mimic::{Arguments, Trial};
use std::path::{Path, PathBuf};

fn main() {
    let arguments = Arguments::from_args();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let mut trials: Vec<Trial> = files
        .into_iter()
        .map(|file| {
            let name = file.strip_prefix(&root).unwrap_or(&file).with_extension("").to_string_lossy().into_owned();
            Trial::test(format!("case::{name}"), move || Ok(stages::run(&file)?))
        })
        .collect();
    trials.extend(known::trials());
    trials.extend(library::trials());
    trials.extend(gradients::trials());
    trials.extend(laws::trials());
    trials.extend(derivatives::trials());
    trials.extend(commands::trials());
    trials.extend(documents::trials());
    trials.extend(pages::trials());
    trials.extend(plates::trials());
    trials.extend(redefined::trials());
    trials.extend(refused::trials());
    trials.extend(replay::trials());
    trials.extend(strategies::trials());
    trials.extend(tidiness::trials());
    libtest_mimic::run(&arguments, trials).exit();
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.filter_map(|e| e.ok().map(|e| e.path())) {
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "md") {
            files.push(path);
        }
    }
}

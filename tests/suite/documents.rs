//! Pages for readers (`docs/*.md`): every program on them is a file, every session is run and must print what it shows.
//!
//! A fence ```` ```ppl NAME.ppl ```` (or `json NAME.json`) is written to a folder of the page's own, in order; a fence
//! ```` ```console ```` holds lines `$ provi …` and beneath each what it prints: standard output, then diagnostics.
//! `PROVI_UPDATE=1` rewrites the sessions.

use crate::case::{self, Piece};
use crate::programs::root;
use libtest_mimic::Trial;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) fn trials() -> Vec<Trial> {
    let mut pages: Vec<PathBuf> = std::fs::read_dir(root().join("docs"))
        .map(|entries| entries.filter_map(|e| e.ok().map(|e| e.path())).collect())
        .unwrap_or_default();
    pages.retain(|p| p.extension().is_some_and(|e| e == "md"));
    pages.sort();
    pages
        .into_iter()
        .map(|page| {
            let name = page.file_stem().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            Trial::test(format!("document::{name}"), move || Ok(shown(&page)?))
        })
        .collect()
}

fn shown(page: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(page).map_err(|e| e.to_string())?;
    let mut pieces = case::read(&text)?;
    let name = page.file_stem().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("documents").join(name);
    std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    let mut wrong = Vec::new();
    for piece in &mut pieces {
        let Piece::Fence(fence) = piece else { continue };
        if let Some(file) = fence.kind.strip_prefix("ppl ").or_else(|| fence.kind.strip_prefix("json ")) {
            std::fs::write(folder.join(file.trim()), &fence.body).map_err(|e| e.to_string())?;
        } else if fence.kind == "console" {
            let printed = session(&fence.body, &folder)?;
            if printed != fence.body {
                wrong.push(format!("--- the page\n{}--- the run\n{printed}", fence.body));
                fence.body = printed;
            }
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    if std::env::var_os("PROVI_UPDATE").is_some() {
        return std::fs::write(page, case::write(&pieces)).map_err(|e| e.to_string());
    }
    Err(wrong.join("\n"))
}

/// The session with what its commands print now.
fn session(shown: &str, folder: &Path) -> Result<String, String> {
    let mut out = String::new();
    for line in shown.lines().filter(|l| l.starts_with("$ ")) {
        let Some(arguments) = line.strip_prefix("$ provi ") else {
            return Err(format!("not a command of Provi: {line}"));
        };
        let output = Command::new(env!("CARGO_BIN_EXE_provi"))
            .current_dir(folder)
            .args(words(arguments))
            .output()
            .map_err(|e| e.to_string())?;
        out.push_str(line);
        out.push('\n');
        for stream in [&output.stdout, &output.stderr] {
            let text = String::from_utf8_lossy(stream);
            let text = text.trim_end();
            if !text.is_empty() {
                out.push_str(text);
                out.push('\n');
            }
        }
    }
    Ok(out)
}

/// Words as a shell would cut them; single quotes hold one together.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (i, part) in line.split('\'').enumerate() {
        if i % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

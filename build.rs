//! Embeds `stdlib/` in the binary: the text of every `.ppl` file, and an index from the names of its items to files, so
//! that only the files a program mentions are parsed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    println!("cargo:rerun-if-changed={}", folder.display());
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "ppl") {
            println!("cargo:rerun-if-changed={}", path.display());
            found.push(path);
        }
    }
}

/// The word that a file is looked up by, for each line that starts an item at the left margin.
fn indexed(line: &str) -> Option<String> {
    const WORDS: [&str; 13] = [
        "fn",
        "dist",
        "strategy",
        "objective",
        "family",
        "bijector",
        "model",
        "guide",
        "const",
        "type",
        "support",
        "prefer",
        "plate",
    ];
    let line = line.strip_prefix("biased ").unwrap_or(line);
    let (word, rest) = line.split_once([' ', '\t'])?;
    if !WORDS.contains(&word) {
        return None;
    }
    if word == "prefer" {
        return Some("prefer".to_owned());
    }
    let rest = rest.trim_start();
    // `support real<lower=a>[n] by …` is found by the name of its type; `support {…}` does not exist.
    Some(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
}

fn main() {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("set by cargo"));
    let library = root.join("stdlib");
    let mut found = Vec::new();
    files(&library, &mut found);
    found.sort();
    let mut out = String::from("pub(super) static FILES: &[(&str, &str)] = &[\n");
    let mut index: Vec<(String, usize)> = Vec::new();
    for (number, path) in found.iter().enumerate() {
        let name = path.strip_prefix(&library).unwrap_or(path).to_string_lossy().replace('\\', "/");
        let text = fs::read_to_string(path).expect("the library's files are readable");
        let _ = writeln!(out, "    ({name:?}, {text:?}),");
        for line in text.lines() {
            if let Some(item) = indexed(line).filter(|i| !i.is_empty()) {
                index.push((item, number));
            }
        }
    }
    index.sort();
    index.dedup();
    out.push_str("];\n/// Sorted by name.\npub(super) static INDEX: &[(&str, u32)] = &[\n");
    for (item, number) in index {
        let _ = writeln!(out, "    ({item:?}, {number}),");
    }
    out.push_str("];\n");
    let target = PathBuf::from(env::var("OUT_DIR").expect("set by cargo")).join("library.rs");
    fs::write(target, out).expect("OUT_DIR is writable");
}

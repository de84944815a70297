//! Files that commands read and write beside the program: parameters, draws, the record of a run.

use crate::data::json::{flatten, read_object};
use crate::data::raw::Cell;
use crate::diagnostic::Diagnostic;
use crate::driver::grad::Settings;
use crate::inference::fit::Outcome;
use crate::inference::saved::Saved;
use crate::inference::summary::Draws;
use crate::runtime::executable::Array;
use serde_json::Value;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use super::arguments::Values;

/// Parameters of `--param-file` and `--set`, the latter last.
pub fn settings(values: &Values) -> Result<Settings, Diagnostic> {
    let mut settings = Settings::new();
    for path in &values.param_file {
        let name = path.display().to_string();
        let text =
            std::fs::read_to_string(path).map_err(|e| Diagnostic::bare("E0501", format!("cannot read {name}: {e}")))?;
        let mut members = read_object(&name, &text)?;
        // A record of a run holds its parameters under a name.
        if let Some(Value::Object(inner)) = members.get("parameters") {
            members = inner.clone();
        }
        for (key, value) in members {
            settings.insert(key.clone(), array(&key, &value)?);
        }
    }
    for given in &values.set {
        let Some((name, text)) = given.split_once('=') else {
            return Err(Diagnostic::bare("E0523", format!("`--set {given}`: expected NAME=VALUE")));
        };
        let value: Value = serde_json::from_str(text.trim()).map_err(|_| {
            Diagnostic::bare("E0523", format!("`--set {given}`: `{text}` is no number and no array of numbers"))
        })?;
        settings.insert(name.trim().to_string(), array(name, &value)?);
    }
    Ok(settings)
}

fn array(name: &str, value: &Value) -> Result<Array, Diagnostic> {
    let refuse = |why: &str| Diagnostic::bare("E0523", format!("parameter `{name}`: {why}"));
    let (shape, cells) = flatten(value).map_err(|why| refuse(&why))?;
    let mut numbers = Vec::with_capacity(cells.len());
    for cell in cells {
        numbers.push(match cell {
            #[expect(clippy::cast_precision_loss, reason = "an int of a file is a real of the program")]
            Cell::Int(n) => n as f64,
            Cell::Real(x) => x,
            Cell::Bool(_) | Cell::Missing | Cell::Text(_) => return Err(refuse("expected numbers")),
        });
    }
    Ok(Array::real(shape, numbers))
}

/// Draws written to a file: more add size, not knowledge.
const MAX_DRAWS: usize = 10_000;

/// What `--resume` reads.
const RESUME: &str = "resume.bin";

/// Writes `draws.csv`, `parameters.json`, `run.json` and `resume.bin` into a folder, which is made if need be. Returns their
/// paths.
pub fn write_fit(folder: &Path, outcome: &Outcome, parameters: &Value, record: &Value) -> io::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder)?;
    let mut written = Vec::new();
    let draws = &outcome.draws;
    let mut write = |name: &str, bytes: Vec<u8>| {
        let path = folder.join(name);
        std::fs::write(&path, bytes)?;
        written.push(path);
        io::Result::Ok(())
    };
    if draws.count() > 0 {
        write("draws.csv", draws_csv(draws).into_bytes())?;
    }
    let pretty = |value: &Value| serde_json::to_string_pretty(value).map(|t| t + "\n").map_err(io::Error::other);
    write("parameters.json", pretty(parameters)?.into_bytes())?;
    write("run.json", pretty(record)?.into_bytes())?;
    if let Some(saved) = &outcome.saved {
        write(RESUME, saved.to_bytes())?;
    }
    Ok(written)
}

/// Seed and state of the run in a folder.
pub fn read_run(folder: &Path) -> Result<(u64, Saved), Diagnostic> {
    let refuse = |why: String| {
        Diagnostic::bare("E0525", format!("`{}` is no run that can go on: {why}", folder.display()))
            .fix("name the folder of an earlier `provi fit … --out FOLDER`")
    };
    let read = |name: &str| std::fs::read(folder.join(name)).map_err(|e| refuse(format!("{name}: {e}")));
    let record: Value = serde_json::from_slice(&read("run.json")?).map_err(|e| refuse(format!("run.json: {e}")))?;
    let seed = record.get("seed").and_then(Value::as_u64).ok_or_else(|| refuse("run.json has no seed".to_string()))?;
    let saved = Saved::from_bytes(&read(RESUME)?).ok_or_else(|| refuse(format!("{RESUME} is damaged")))?;
    Ok((seed, saved))
}

/// CSV in the layout of CmdStan: `lp__` and `log_weight__`, then scalars as `theta.1` (that layout counts from 1).
fn draws_csv(draws: &Draws) -> String {
    let mut text = String::from("# model = provi\n# method = variational\n");
    text.push_str("lp__,log_weight__");
    for name in &draws.names {
        text.push(',');
        text.push_str(&cmdstan_name(&name.name));
    }
    text.push('\n');
    let width = draws.names.len();
    for (row, weight) in draws.log_weights.iter().take(MAX_DRAWS).enumerate() {
        let _ = write!(text, "0,{weight}");
        for x in draws.values.iter().skip(row * width).take(width) {
            let _ = write!(text, ",{x}");
        }
        text.push('\n');
    }
    text
}

/// `b[1,2]` → `b.2.3`
fn cmdstan_name(name: &str) -> String {
    let Some((stem, indices)) = name.strip_suffix(']').and_then(|n| n.split_once('[')) else { return name.to_string() };
    let mut out = stem.to_string();
    for index in indices.split(',') {
        match index.trim().parse::<usize>() {
            Ok(i) => {
                let _ = write!(out, ".{}", i + 1);
            }
            Err(_) => return name.to_string(),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_cmdstan() {
        assert_eq!(cmdstan_name("b[1,2]"), "b.2.3");
        assert_eq!(cmdstan_name("mu"), "mu");
        assert_eq!(cmdstan_name("x[a]"), "x[a]");
    }

    #[test]
    fn settings_are_numbers_and_arrays() {
        let set = |text: &str| settings(&Values { set: vec![text.to_string()], param_file: Vec::new() });
        assert_eq!(set("m=0.5").expect("set")["m"], Array::real([], vec![0.5]));
        assert_eq!(set("l=[[1,2],[3,4]]").expect("set")["l"], Array::real([2, 2], vec![1.0, 2.0, 3.0, 4.0]));
        assert_eq!(set("l[0]=-1").expect("set")["l[0]"], Array::real([], vec![-1.0]));
        for bad in ["m", "m=", "m=x", "m=[1,[2]]", "m=null"] {
            assert_eq!(set(bad).expect_err("refused").code, "E0523", "{bad}");
        }
    }
}

//! What the blocks of a case are compared with: one row per kind of block. A new stage is a new row.

use crate::case::{Fence, Piece, block, read, write};
use crate::inputs;
use crate::ppl_stages as ppl;
use provi::ir::core::{Program, Role};
use provi::ir::interpret::Interpreter;
use provi::ir::parse::parse;
use provi::ir::print::print;
use provi::ir::validate::{Form, validate};
use provi::runtime::executable::{Executable, Status, Values};
use std::path::Path;
use std::sync::Arc;

/// The blocks of one case.
pub(crate) struct Case {
    pieces: Vec<Piece>,
}

impl Case {
    pub(crate) fn block(&self, kind: &str) -> Option<&str> {
        block(&self.pieces, kind)
    }

    /// The program of a `core` block.
    fn core(&self) -> Result<Program, String> {
        let text = self.block("core").ok_or("the case has no `core` block")?;
        parse(text).map_err(|e| format!("core:{e}"))
    }
}

/// A kind of block: its name and how what it should hold is made.
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    pub(crate) make: fn(&Case) -> Result<String, String>,
    /// Compared number by number, to 1e-12 (fused multiply-add, where the processor has it, changes last digits).
    pub(crate) numeric: bool,
}

/// Every kind of block that is compared.
pub(crate) const STAGES: &[Stage] = &[
    Stage { name: "printed", make: printed, numeric: false },
    Stage { name: "error", make: error, numeric: false },
    Stage { name: "value", make: value, numeric: true },
    Stage { name: "run", make: run_program, numeric: true },
    Stage { name: "syntax", make: ppl::syntax, numeric: false },
    Stage { name: "types", make: ppl::types, numeric: false },
    Stage { name: "guide", make: ppl::guide, numeric: false },
    Stage { name: "sites", make: ppl::sites, numeric: false },
    Stage { name: "derived", make: ppl::derived, numeric: false },
    Stage { name: "optimised", make: ppl::optimised, numeric: false },
    Stage { name: "loops", make: ppl::loops, numeric: false },
    Stage { name: "grad", make: ppl::grad, numeric: true },
    Stage { name: "fit-summary", make: ppl::fit_summary, numeric: false },
    Stage { name: "tests", make: ppl::tests, numeric: false },
];

/// Blocks that are read only.
const SOURCES: [&str; 8] = ["core", "ppl", "objective", "data", "params", "tuned", "state", "stream"];

/// Compares every block of the file, or rewrites them if `PROVI_UPDATE` is set.
pub(crate) fn run(file: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(file).map_err(|e| e.to_string())?;
    let case = Case { pieces: read(&text)? };
    let update = std::env::var_os("PROVI_UPDATE").is_some();
    let mut pieces = case.pieces.clone();
    let mut failures = String::new();
    let mut compared = 0;
    for piece in &mut pieces {
        let Piece::Fence(Fence { kind, body }) = piece else { continue };
        if SOURCES.contains(&kind.as_str()) {
            continue;
        }
        let Some(stage) = STAGES.iter().find(|s| s.name == kind.as_str()) else {
            return Err(format!("no stage is called `{kind}`"));
        };
        let mut made = (stage.make)(&case).map_err(|e| format!("{kind}: {e}"))?;
        if !made.ends_with('\n') && !made.is_empty() {
            made.push('\n');
        }
        compared += 1;
        let same = made == *body || (stage.numeric && agree(&made, body));
        if !same {
            if !update {
                failures.push_str(&format!("block `{kind}`\n--- expected\n{body}--- made\n{made}"));
            }
            *body = made;
        }
    }
    if compared == 0 {
        return Err("the case compares nothing".to_owned());
    }
    if update {
        let new = write(&pieces);
        if new != text {
            std::fs::write(file, new).map_err(|e| e.to_string())?;
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(failures) }
}

/// Word by word: equal, or numbers that agree to 1e-12 of the larger one or of 1.
fn agree(a: &str, b: &str) -> bool {
    let same = |x: &str, y: &str| {
        x == y
            || match (x.parse::<f64>(), y.parse::<f64>()) {
                (Ok(x), Ok(y)) => (x - y).abs() <= 1e-12 * x.abs().max(y.abs()).max(1.0),
                _ => false,
            }
    };
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<String>>();
    let (a, b) = (words(a), words(b));
    a.len() == b.len() && a.iter().zip(&b).all(|(x, y)| same(x, y))
}

/// The program in its printed form (numbered names).
fn printed(case: &Case) -> Result<String, String> {
    Ok(print(&case.core()?))
}

/// What the parser or the validator says; for a `ppl` block, what any stage says.
fn error(case: &Case) -> Result<String, String> {
    if case.block("ppl").is_some() {
        return ppl::error(case);
    }
    match case.core() {
        Err(e) => Ok(e),
        Ok(program) => Ok(validate(&program, Form::Plain).join("\n")),
    }
}

/// The first output.
fn value(case: &Case) -> Result<String, String> {
    let all = outputs(case)?;
    all.lines().next().map(str::to_owned).ok_or_else(|| "the program has no output".to_owned())
}

/// The status unless it is fine, then every output: `name = numbers`.
fn run_program(case: &Case) -> Result<String, String> {
    outputs(case)
}

fn outputs(case: &Case) -> Result<String, String> {
    let program = Arc::new(case.core()?);
    let data = inputs::data(&program, case.block("data"))?;
    let params = inputs::flat(&program, Role::Param, case.block("params"), "params")?;
    let tuned = inputs::flat(&program, Role::Tuned, case.block("tuned"), "tuned")?;
    let state = inputs::flat(&program, Role::State, case.block("state"), "state")?;
    let stream = inputs::stream(case.block("stream"))?;
    let mut interpreter = Interpreter::new(Arc::clone(&program), &data)?;
    let mut flat = vec![0.0; interpreter.output_len()];
    let status = interpreter.step(&params, &tuned, &state, stream, &mut flat);
    let mut out = String::new();
    match status {
        Status::Fine => {}
        Status::Domain => out.push_str("status: domain\n"),
        Status::Check(n) => {
            let message = program.checks.get(n as usize).map_or("", |c| c.message.as_str());
            out.push_str(&format!("status: check {n}: {message}\n"));
        }
    }
    for (name, array) in program.outputs.iter().zip(interpreter.outputs()) {
        let numbers: Vec<String> = match &array.values {
            Values::Real(v) => v.iter().map(|x| format!("{x:?}")).collect(),
            Values::Int(v) => v.iter().map(i64::to_string).collect(),
            Values::Bool(v) => v.iter().map(bool::to_string).collect(),
        };
        let shape = if array.shape.is_empty() { String::new() } else { format!(" {:?}", array.shape) };
        out.push_str(&format!("{name}{shape} = {}\n", numbers.join(" ")));
    }
    Ok(out)
}

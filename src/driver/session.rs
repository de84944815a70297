//! A program that has been read, checked and bound to its data.

use super::Refusal;
use super::compile::{self, Backend};
use super::fault::{self, Step};
use crate::base::source::{FileId, Sources};
use crate::diagnostic::{Diagnostic, has_errors};
use crate::ir::core::{Input, Program, Role};
use crate::runtime::executable::{Array, Status, Stream};
use crate::specialize::bind::{self, Bound};
use crate::specialize::machine::Space;
use crate::specialize::programs::{self, Options};
use crate::syntax::parser::{NodeIds, parse_expr};
use crate::syntax::tree::{Expr, ExprKind, FitLine, ItemKind, Name};
use crate::types::program::{Checked, DerivedGuide};
use crate::types::{Command, World, check_with_command, check_with_sources};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files on disk, relative to the main file's folder.
pub struct Folder(pub PathBuf);

impl World for Folder {
    fn read(&self, path: &str) -> Result<String, String> {
        let full = self.0.join(path);
        std::fs::read_to_string(&full).map_err(|e| format!("`{}` cannot be read: {e}", full.display()))
    }
}

/// What checking said of a file, whether or not there are errors.
pub struct Checking {
    pub checked: Option<Checked>,
    pub diagnostics: Vec<Diagnostic>,
    pub sources: Arc<Sources>,
}

/// Reads and checks a file.
pub fn check_file(path: &Path) -> Checking {
    check_file_with(path, None)
}

/// Reads and checks a file, and the command line's expression with it.
pub fn check_file_with(path: &Path, command: Option<Command<'_>>) -> Checking {
    match read_text(path) {
        Ok(text) => check_source_with(path, &text, command),
        Err(d) => Checking { checked: None, diagnostics: vec![d], sources: Arc::default() },
    }
}

/// Checks a text that stands for a file's.
pub fn check_source(path: &Path, text: &str) -> Checking {
    check_source_with(path, text, None)
}

/// The same, with a command's expression.
pub fn check_source_with(path: &Path, text: &str, command: Option<Command<'_>>) -> Checking {
    let folder = Folder(path.parent().map(Path::to_path_buf).unwrap_or_default());
    let (checked, diagnostics, sources) = check_with_command(&path.display().to_string(), text, &folder, command);
    Checking { checked, diagnostics, sources }
}

/// Checks a text that is in no file; `use` of files is refused.
pub fn check_text(name: &str, text: &str) -> Checking {
    let (checked, diagnostics, sources) = check_with_sources(name, text, &crate::types::Alone);
    Checking { checked, diagnostics, sources }
}

pub(crate) fn read_text(path: &Path) -> Result<String, Diagnostic> {
    let bytes = std::fs::read(path).map_err(|e| {
        Diagnostic::bare("E0501", format!("`{}` cannot be read: {e}", path.display()))
            .fix("check the path and its permissions")
    })?;
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        Diagnostic::bare("E0501", format!("`{}` is not UTF-8 text (byte {at})", path.display()))
    })
}

impl Checking {
    /// The program, or the refusal.
    pub fn require(self) -> Result<(Checked, Vec<Diagnostic>), Refusal> {
        match self.checked {
            Some(checked) if !has_errors(&self.diagnostics) => Ok((checked, self.diagnostics)),
            _ => Err(Refusal { diagnostics: self.diagnostics, sources: self.sources }),
        }
    }
}

/// A checked program with data.
pub struct Session<'a> {
    pub checked: &'a Checked,
    pub bound: Bound<'a>,
    pub sources: Arc<Sources>,
    /// Of the run: initial values of parameters may draw.
    pub seed: u64,
}

/// The model and the guide of an objective such as `elbo(p, q)`.
#[derive(Clone, Copy)]
pub struct Pair<'a> {
    pub model: &'a Expr,
    pub guide: &'a Expr,
}

impl<'a> Session<'a> {
    /// Binds data by name.
    pub fn new(
        checked: &'a Checked,
        data: &HashMap<String, Array>,
        sources: Arc<Sources>,
    ) -> Result<Session<'a>, Refusal> {
        match bind::bind_with(checked, data, Some(compile::region_gradient)) {
            Ok(bound) => Ok(Session { checked, bound, sources, seed: 0 }),
            Err(diagnostics) => Err(Refusal { diagnostics, sources }),
        }
    }

    /// The same under a seed.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Session<'a> {
        Session { seed, ..self }
    }

    pub fn refuse(&self, diagnostics: Vec<Diagnostic>) -> Refusal {
        Refusal { diagnostics, sources: self.sources.clone() }
    }

    pub fn refuse_with(&self, code: &'static str, message: impl Into<String>) -> Refusal {
        self.refuse(vec![Diagnostic::bare(code, message)])
    }

    /// Lines of the file's `fit` item.
    pub fn fit_lines(&self) -> Vec<&'a FitLine> {
        fit_lines(self.checked)
    }

    /// The only `fit` line.
    pub fn fit_line(&self) -> Result<&'a FitLine, Refusal> {
        match self.fit_lines()[..] {
            [line] => Ok(line),
            [] => Err(self.refuse(vec![
                Diagnostic::bare("E0520", "the file has no `fit` line")
                    .fix("add one, such as `fit elbo(model(), q)`, or name the objective on the command line"),
            ])),
            [_, second, ..] => Err(self.refuse(vec![
                Diagnostic::error(
                    "E0520",
                    second.span,
                    "the file has several `fit` lines, and this command needs one objective",
                )
                .fix("name the objective on the command line"),
            ])),
        }
    }

    /// What is differentiated for a line: the objective written, or one that estimates the same, if the guide is derived
    /// and has a full scale matrix. (A path-derivative gradient has variance zero at the optimum, and a large one far from
    /// it, or where the family cannot come near: only such a guide starts near enough and fits well enough.)
    pub fn objective_of(&self, line: &'a FitLine) -> &'a Expr {
        let full = self.pair_of(&line.objective).and_then(|p| self.derived_guide(p.guide)).is_some_and(|g| {
            g.params.iter().any(|p| super::model::role(self, p) == crate::inference::bound::ParamRole::CholeskyScale)
        });
        if full { self.checked.substitutes.get(&line.id).unwrap_or(&line.objective) } else { &line.objective }
    }

    /// Arguments that an objective's declaration calls generative functions: the first two.
    pub fn pair_of(&self, objective: &'a Expr) -> Option<Pair<'a>> {
        let ExprKind::Call { callee, args } = &objective.kind else { return None };
        let ExprKind::Name(name) = &callee.kind else { return None };
        let id = self.checked.items.resolve(self.checked.main, name)?;
        let ItemKind::Objective(o) = &self.checked.items.item(id).kind else { return None };
        let mut found = o
            .params
            .iter()
            .enumerate()
            .filter(|(_, p)| {
                p.ty.as_ref().is_some_and(
                    |t| matches!(&t.kind, crate::syntax::tree::TypeKind::Named { name, .. } if name.text == "gen"),
                )
            })
            .filter_map(|(k, p)| {
                args.iter()
                    .find(|a| a.name.as_ref().is_some_and(|n: &Name| n.text == p.name.text))
                    .or_else(|| args.get(k).filter(|a| a.name.is_none()))
                    .map(|a| &a.value)
            });
        Some(Pair { model: found.next()?, guide: found.next()? })
    }

    /// The derived guide that an expression names.
    pub fn derived_guide(&self, guide: &Expr) -> Option<&'a DerivedGuide> {
        let ExprKind::Name(name) = &guide.kind else { return None };
        self.checked.derived_guides.iter().find(|g| g.name == *name)
    }

    /// Particles of a line: its own, or the default.
    pub fn particles(&self, line: &FitLine, default: usize) -> Result<usize, Refusal> {
        let Some(expr) = &line.particles else { return Ok(default) };
        let value = self.number(expr)?;
        if value >= 1.0 && value.fract() == 0.0 && value < 1e6 {
            return Ok(value as usize);
        }
        Err(self.refuse(vec![Diagnostic::error(
            "E0521",
            expr.span,
            format!("`particles` must be a whole number of at least 1, found {value}"),
        )]))
    }

    /// The value of a scalar expression without parameters.
    pub fn number(&self, expr: &Expr) -> Result<f64, Refusal> {
        let options = Options { space: Space::Constrained, particles: 1, params: Vec::new() };
        let program = programs::expression(&self.bound, expr, &options).map_err(|d| self.refuse(d))?;
        let size = |input: &Input| program.ty(input.var).size();
        let params = vec![0.0; program.inputs_of(Role::Param).map(size).sum()];
        match self.run_once(&program, &params, Stream { seed: 0, step: 0 })?[..] {
            [x] => Ok(x),
            _ => Err(self.refuse(vec![Diagnostic::error("E0521", expr.span, "a single number is needed here")])),
        }
    }

    /// Data arrays of a program's inputs, in order.
    pub fn data_of(&self, program: &Program) -> Vec<Array> {
        self.bound.input_data(program)
    }

    /// Runs a program without parameters once by the interpreter: its outputs, concatenated.
    pub fn run_once(&self, program: &Program, params: &[f64], stream: Stream) -> Result<Vec<f64>, Refusal> {
        let data = self.data_of(program);
        let mut run = compile::executable(program, &data, Backend::Interpreter).map_err(|d| self.refuse(d))?;
        let mut out = vec![0.0; run.output_len()];
        let status = run.step(params, &[], &[], stream, &mut out);
        if status != Status::Fine {
            let step = Step { params, tuned: &[], state: &[], stream, status, value: f64::NAN };
            let message = "an operation left its domain";
            return Err(self.refuse(vec![fault::explained(self, "E0603", message, program, &step)]));
        }
        Ok(out)
    }
}

pub(crate) fn fit_lines(checked: &Checked) -> Vec<&FitLine> {
    checked
        .items
        .items
        .iter()
        .filter(|e| e.module == checked.main)
        .filter_map(|e| match &e.item.kind {
            ItemKind::Fit { lines } => Some(lines.iter()),
            _ => None,
        })
        .flatten()
        .collect()
}

/// Names of a program's parameters with their shapes, in input order.
pub fn param_shapes(program: &Program) -> Vec<(String, Vec<usize>)> {
    program.inputs_of(Role::Param).map(|i| (i.name.clone(), program.ty(i.var).shape.clone())).collect()
}

/// Names of the scalars of a named array: `theta[0]`, `b[1,2]`.
pub fn scalar_names(name: &str, shape: &[usize]) -> Vec<String> {
    if shape.is_empty() {
        return vec![name.to_owned()];
    }
    let total: usize = shape.iter().product();
    (0..total)
        .map(|linear| {
            let mut rest = linear;
            let mut at = vec![0; shape.len()];
            for (k, &n) in shape.iter().enumerate().rev() {
                at[k] = rest % n;
                rest /= n;
            }
            let at: Vec<String> = at.iter().map(ToString::to_string).collect();
            format!("{name}[{}]", at.join(","))
        })
        .collect()
}

/// An expression that is read in the main module but not checked, for one whose names the file mentions; with the sources
/// that its spans are in. What a user writes on the command line goes through [`check_file_with`].
pub fn command_expr(checked: &Checked, text: &str) -> Result<(Expr, Arc<Sources>), Refusal> {
    let mut sources = (*checked.sources).clone();
    let file: FileId = sources.add("the command line", text, false);
    // Ids from the far end, so that they meet no file's.
    let mut ids = NodeIds::starting_at(1 << 31);
    let parsed = parse_expr(&sources, file, &mut ids);
    let sources = Arc::new(sources);
    match parsed {
        Ok(expr) => Ok((expr, sources)),
        Err(diagnostics) => Err(Refusal { diagnostics, sources }),
    }
}

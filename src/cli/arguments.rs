//! Arguments.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// A probabilistic programming language with programmable variational inference.
#[derive(Parser, Debug)]
#[command(name = "provi", version, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
    /// How results are printed on standard output.
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Format {
    Text,
    /// One JSON object.
    Json,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// All diagnostics of a file.
    Check(Check),
    /// Fit a guide to a posterior.
    Fit(Fit),
    /// Value and gradient of an objective, with standard errors.
    Grad(Grad),
    /// The value of an expression over a file's items.
    Eval(Eval),
    /// Time of each stage, and of a step.
    Bench(Bench),
    /// The strategies chosen in a file and why, or the page of an error code.
    Explain(Explain),
    /// What a stage of the compiler made.
    Ir(Ir),
    /// Run the `test` items of a file, or of all files in a folder.
    Test(Test),
}

/// What programs run on.
#[derive(Args, Clone, Debug)]
pub struct Run {
    /// Data: FILE.json, FILE.csv, X,y=FILE.csv:1-50,51 or N=442; may be repeated. Without it, NAME.json beside NAME.ppl.
    #[arg(long, value_name = "DATA")]
    pub data: Vec<String>,
    /// Seed of all random numbers.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Threads; results do not depend on it. By default as many as the machine has.
    #[arg(long)]
    pub threads: Option<usize>,
    /// Precision of reals.
    #[arg(long, value_enum, default_value_t = Precision::F64)]
    pub precision: Precision,
    /// Interpret instead of compiling to machine code; the numbers are the same.
    #[arg(long)]
    pub interpret: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Precision {
    F64,
    F32,
}

/// Values of parameters.
#[derive(Args, Clone, Debug)]
pub struct Values {
    /// Set a parameter, or one scalar of it: `--set m=0.5`, `--set "l=[1,2]"`, `--set "l[0]=1"`; may be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// Set parameters from a JSON file, such as the `parameters.json` of a fit.
    #[arg(long, value_name = "FILE")]
    pub param_file: Vec<PathBuf>,
}

#[derive(Args, Debug)]
pub struct Check {
    pub file: PathBuf,
    /// Binds these data as well, and makes the objectives of the file's `fit` lines: FILE.json, FILE.csv, X,y=FILE.csv:1-50,51 or
    /// N=442; may be repeated.
    #[arg(long)]
    pub data: Vec<String>,
}

#[derive(Args, Debug)]
pub struct Fit {
    pub file: PathBuf,
    #[command(flatten)]
    pub run: Run,
    /// Most steps of training.
    #[arg(long)]
    pub steps: Option<usize>,
    /// Particles of a step.
    #[arg(long)]
    pub particles: Option<usize>,
    /// Optimiser, as in `with adam(0.01)`.
    #[arg(long)]
    pub optimiser: Option<String>,
    /// Family of the derived guide, such as `full_rank`, in place of the file's.
    #[arg(long)]
    pub guide: Option<String>,
    /// Draws from the fitted guide on which the figures of the table stand; by default 100,000, fewer of very many quantities.
    #[arg(long)]
    pub draws: Option<usize>,
    /// Write draws, parameters and a record of the run into this folder.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Go on from the run in this folder, written by `--out`: the same bits as one run that was not interrupted.
    #[arg(long, value_name = "DIR")]
    pub resume: Option<PathBuf>,
    /// Further data after `--data`: `--data a.json b.json`.
    #[arg(hide = true, value_name = "DATA")]
    pub more_data: Vec<String>,
}

#[derive(Args, Debug)]
pub struct Grad {
    pub file: PathBuf,
    /// The objective; by default that of the file's `fit` line.
    pub objective: Option<String>,
    #[command(flatten)]
    pub run: Run,
    #[command(flatten)]
    pub values: Values,
    /// Samples of value and gradient.
    #[arg(long, default_value_t = 10_000)]
    pub samples: usize,
    /// Particles of a sample; by default 1.
    #[arg(long, default_value_t = 1)]
    pub particles: usize,
    /// Test that the gradient is unbiased, against differences of plain runs.
    #[arg(long)]
    pub test: bool,
}

#[derive(Args, Debug)]
pub struct Eval {
    pub file: PathBuf,
    /// An expression over the file's items.
    #[arg(allow_hyphen_values = true)]
    pub expression: String,
    #[command(flatten)]
    pub run: Run,
    #[command(flatten)]
    pub values: Values,
    /// Samples of an expression that is random.
    #[arg(long, default_value_t = 10_000)]
    pub samples: usize,
}

#[derive(Args, Debug)]
pub struct Bench {
    pub file: PathBuf,
    #[command(flatten)]
    pub run: Run,
    #[arg(long)]
    pub particles: Option<usize>,
    /// How long steps are timed, in seconds.
    #[arg(long, default_value_t = 1.0)]
    pub seconds: f64,
}

#[derive(Args, Debug)]
pub struct Explain {
    /// A file, or a code such as E0301.
    pub what: String,
}

#[derive(Args, Debug)]
pub struct Ir {
    pub file: PathBuf,
    /// The objective; by default that of the file's `fit` line.
    pub objective: Option<String>,
    #[arg(long, value_parser = ["syntax", "types", "sites", "derived", "gradient", "core", "loops", "code"])]
    pub stage: String,
    #[command(flatten)]
    pub run: Run,
    #[arg(long)]
    pub particles: Option<usize>,
}

#[derive(Args, Debug)]
pub struct Test {
    /// A file or a folder.
    pub path: PathBuf,
    #[command(flatten)]
    pub run: Run,
}

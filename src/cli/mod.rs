//! The command line: arguments in, text or JSON out, exit status.
//!
//! Standard output carries the result alone; diagnostics and progress go to standard error. Exit status: 0 fine, 1 the
//! program or its data are wrong, 2 bad usage, 3 a fit that should not be trusted, 130 interrupted.

pub mod arguments;
pub mod commands;
pub mod files;
pub mod fitting;
pub mod output;
pub mod progress;
pub mod report;
pub mod strategies;

use crate::diagnostic::Diagnostic;
use crate::driver::Refusal;
use arguments::{Arguments, Command};
use clap::Parser as _;
use output::Output;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    Fine,
    Wrong,
    Usage,
    Untrustworthy,
    Interrupted,
}

impl Exit {
    pub fn status(self) -> u8 {
        match self {
            Exit::Fine => 0,
            Exit::Wrong => 1,
            Exit::Usage => 2,
            Exit::Untrustworthy => 3,
            Exit::Interrupted => 130,
        }
    }
}

/// Reads the process' arguments and runs the command.
pub fn main() -> ExitCode {
    let started = Instant::now();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let status = if error.use_stderr() { Exit::Usage } else { Exit::Fine };
            // Nothing is left to do if the terminal is gone.
            let _ = error.print();
            return ExitCode::from(status.status());
        }
    };
    let output = Output::new(arguments.format);
    let run = || command(&arguments, &output, started);
    let exit = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_or_else(|_| {
        let defect = Diagnostic::bare("E0690", "Provi failed: this is a defect of the compiler, not of the program")
            .note("the panic's message stands above");
        output.refusal(&Refusal { diagnostics: vec![defect], sources: Arc::default() })
    });
    ExitCode::from(exit.status())
}

fn command(arguments: &Arguments, output: &Output, started: Instant) -> Exit {
    match &arguments.command {
        Command::Check(c) => commands::check(c, output),
        Command::Fit(c) => fitting::fit(c, output, started),
        Command::Grad(c) => commands::grad(c, output),
        Command::Eval(c) => commands::eval(c, output),
        Command::Bench(c) => commands::bench(c, output, started),
        Command::Explain(c) => commands::explain(c, output),
        Command::Ir(c) => commands::ir(c, output),
        Command::Test(c) => commands::test(c, output),
    }
}

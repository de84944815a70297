//! The command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    provi::cli::main()
}

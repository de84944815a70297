//! The command line. A panic is a defect of the compiler: it ends with status 1 and says so.

use std::process::ExitCode;

fn main() -> ExitCode {
    std::panic::catch_unwind(provi::cli::main).unwrap_or_else(|_| {
        eprintln!("error[E0690]: Provi failed: this is a defect of the compiler, not of the program");
        ExitCode::from(1)
    })
}

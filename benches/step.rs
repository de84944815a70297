//! Time of one step of compiled Core programs, against the interpreter on the same program, and the time to compile.
//! `cargo bench --bench step`.

use provi::codegen::compile;
use provi::ir::{interpret::Interpreter, parse::parse};
use provi::lower::lower;
use provi::runtime::executable::{Array, Executable, Stream};
use provi::runtime::pool::Pool;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

/// The least time of a step in nanoseconds over rounds of about 20 ms.
fn time(executable: &mut dyn Executable, params: &[f64], rounds: usize) -> f64 {
    let mut outputs = vec![0.0; executable.output_len()];
    let mut steps = 1;
    let mut best = f64::INFINITY;
    let mut done = 0;
    while done < rounds {
        let start = Instant::now();
        for step in 0..steps {
            executable.step(params, &[], &[], Stream { seed: 1, step }, &mut outputs);
        }
        let elapsed = start.elapsed().as_nanos() as f64;
        if elapsed < 2e7 && steps < 1 << 20 {
            steps *= 2;
        } else {
            best = best.min(elapsed / f64::from(steps));
            done += 1;
        }
    }
    best
}

fn pseudo(n: usize) -> Vec<f64> {
    (0..n).map(|i| ((i * 7919 + 13) % 1009) as f64 / 504.5 - 1.0).collect()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let schools = || {
        let y = vec![28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0];
        let sigma = vec![15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0];
        vec![Array::real([8], y), Array::real([8], sigma)]
    };
    let regression = || {
        let y = pseudo(10_000).iter().map(|x| f64::from(*x > 0.0)).collect();
        vec![Array::real([10_000, 50], pseudo(500_000)), Array::real([10_000], y)]
    };
    let cases = [
        ("eight schools", include_str!("core/eight_schools.core"), schools()),
        ("eight schools, 100 particles", include_str!("core/eight_schools_100.core"), schools()),
        ("logistic regression", include_str!("core/logistic_regression.core"), regression()),
    ];
    let threads = std::env::args().filter_map(|a| a.strip_prefix("--threads=")?.parse().ok()).next().unwrap_or(1);
    let pool = Arc::new(Pool::new(threads));
    let mut out = std::io::stdout().lock();
    for (name, text, data) in cases {
        let program = parse(text)?;
        let start = Instant::now();
        let nests = lower(&program)?;
        let lowered = start.elapsed();
        if std::env::args().any(|a| a == "--loops") {
            writeln!(out, "{nests}")?;
        }
        let mut compiled = compile(nests, &data, &pool)?;
        let compile_time = start.elapsed();
        let mut interpreter = Interpreter::new(Arc::new(program), &data)?;
        let params: Vec<f64> = pseudo(compiled.param_len()).iter().map(|x| x * 0.3).collect();
        let (fast, slow) = (time(&mut compiled, &params, 20), time(&mut interpreter, &params, 1));
        let mut a = vec![0.0; compiled.output_len()];
        let mut b = a.clone();
        compiled.step(&params, &[], &[], Stream { seed: 1, step: 0 }, &mut a);
        interpreter.step(&params, &[], &[], Stream { seed: 1, step: 0 }, &mut b);
        let equal = a.iter().zip(&b).all(|(x, y)| x.to_bits() == y.to_bits());
        writeln!(
            out,
            "{name}: {fast:.0} ns a step, interpreter {slow:.0} ns (ratio {:.0}); lowered {:.2} ms, compiled {:.2} ms, {} bytes; bits {}",
            slow / fast,
            lowered.as_secs_f64() * 1e3,
            compile_time.as_secs_f64() * 1e3,
            compiled.code_size(),
            if equal { "equal" } else { "DIFFER" },
        )?;
    }
    Ok(())
}

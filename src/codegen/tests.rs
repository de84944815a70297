//! Machine code against the interpreter, bit for bit, on generated programs and on hand-built ones.

use super::compile;
use crate::ir::core::Program;
use crate::ir::{generate, interpret::Interpreter};
use crate::lower::lower;
use crate::runtime::executable::{Array, Executable, Stream};
use std::sync::Arc;

/// Runs both on the same steps; `Err` says how they differ.
fn compare(program: &Program, data: &[Array], params: &[f64]) -> Result<(), String> {
    let nests = lower(program).map_err(|e| format!("lowering: {e}"))?;
    let mut compiled = compile(nests, data).map_err(|e| format!("code generation: {e}"))?;
    let mut interpreter = Interpreter::new(Arc::new(program.clone()), data)?;
    assert_eq!(compiled.output_len(), interpreter.output_len());
    let mut fast = vec![0.0; compiled.output_len()];
    let mut slow = fast.clone();
    let tuned = vec![0.25; compiled.tuned_len()];
    let state = vec![0.5; compiled.state_len()];
    for step in [3, 4] {
        let stream = Stream { seed: 0x1234_5678_9abc, step };
        let a = compiled.step(params, &tuned, &state, stream, &mut fast);
        let b = interpreter.step(params, &tuned, &state, stream, &mut slow);
        for (i, (x, y)) in fast.iter().zip(&slow).enumerate() {
            if x.to_bits() != y.to_bits() && !(x.is_nan() && y.is_nan()) {
                return Err(format!("step {step}, output {i}: compiled {x:?}, interpreted {y:?}"));
            }
        }
        if a != b {
            return Err(format!("step {step}: compiled {a:?}, interpreted {b:?}"));
        }
    }
    Ok(())
}

#[test]
fn generated_programs_agree_bit_for_bit() {
    let mut failures = Vec::new();
    let seeds = std::env::var("PROVI_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(300);
    let first = std::env::var("PROVI_FIRST").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    for seed in first..first + seeds {
        let (program, data, params) = generate::program(seed);
        if let Err(difference) = compare(&program, &data, &params) {
            failures.push(format!("seed {seed}: {difference}"));
        }
    }
    assert!(failures.is_empty(), "{} differ: {:#?}", failures.len(), &failures[..failures.len().min(20)]);
}

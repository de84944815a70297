//! Machine code against the interpreter, bit for bit, on generated programs and on hand-built ones.

use super::compile;
use crate::ir::core::{Program, Role};
use crate::ir::parse::parse;
use crate::ir::validate::{Form, validate};
use crate::ir::{generate, interpret::Interpreter};
use crate::lower::lower;
use crate::runtime::executable::{Array, Executable, Stream};
use crate::runtime::pool::Pool;
use std::sync::{Arc, LazyLock};

fn pool() -> Arc<Pool> {
    static POOL: LazyLock<Arc<Pool>> = LazyLock::new(|| Arc::new(Pool::new(2)));
    POOL.clone()
}

/// Runs both on the same steps; `Err` says how they differ.
fn compare(program: &Program, data: &[Array], params: &[f64]) -> Result<(), String> {
    let nests = lower(program).map_err(|e| format!("lowering: {e}"))?;
    let mut compiled = compile(nests, data, &pool()).map_err(|e| format!("code generation: {e}"))?;
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
    let seeds = std::env::var("PROVI_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(100);
    let first = std::env::var("PROVI_FIRST").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    for seed in first..first + seeds {
        let (program, data, params) = generate::program(seed);
        if let Err(difference) = compare(&program, &data, &params) {
            failures.push(format!("seed {seed}: {difference}"));
        }
    }
    assert!(failures.is_empty(), "{} differ: {:#?}", failures.len(), &failures[..failures.len().min(20)]);
}

#[test]
fn all_roles_of_inputs() {
    for seed in 0..30 {
        let options = generate::Options { all_roles: true, ..Default::default() };
        let case = generate::case(seed, options);
        compare(&case.program, &case.data, &case.params).unwrap();
    }
}

#[test]
fn data_that_do_not_fit_are_refused() {
    let program = parse("data x: real[3]\nstep {\na: real = read(x, 0)\n} yield a = a").unwrap();
    let bind = |data: &[Array]| compile(lower(&program).unwrap(), data, &pool()).map(|_| ()).unwrap_err().message;
    assert_eq!(bind(&[]), "1 data inputs, but 0 arrays given");
    assert_eq!(bind(&[Array::real([2], vec![1.0; 2])]), "data input x has shape [2], not [3]");
    assert_eq!(bind(&[Array::int([3], vec![1; 3])]), "data input x has elements of another type");
}

fn pseudo(n: usize) -> Vec<f64> {
    (0..n).map(|i| ((i * 7919 + 13) % 1009) as f64 / 504.5 - 1.0).collect()
}

/// Parses, and compares on parameters that are neither equal nor integers.
fn check(text: &str, data: &[Array]) -> crate::lower::nest::Nests {
    let program = parse(text).unwrap();
    assert_eq!(validate(&program, Form::Plain), Vec::<String>::new());
    let params: usize = program.inputs_of(Role::Param).map(|i| program.ty(i.var).size()).sum();
    let params: Vec<f64> = pseudo(params).iter().map(|x| 0.4 * x + 0.1).collect();
    compare(&program, data, &params).unwrap();
    lower(&program).unwrap()
}

fn schools() -> Vec<Array> {
    let y = vec![28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0];
    let sigma = vec![15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0];
    vec![Array::real([8], y), Array::real([8], sigma)]
}

#[test]
fn eight_schools() {
    check(include_str!("../../benches/core/eight_schools.core"), &schools());
    check(include_str!("../../benches/core/eight_schools_100.core"), &schools());
}

#[test]
fn row_contracts_share_the_strips_of_the_loop_between_them() {
    let y = pseudo(10_000).iter().map(|x| f64::from(*x > 0.0)).collect();
    let data = [Array::real([10_000, 50], pseudo(500_000)), Array::real([10_000], y)];
    let nests = check(include_str!("../../benches/core/logistic_regression.core"), &data);
    assert_eq!(nests.tasks.len(), 1);
    let text = nests.to_string();
    let task = text.split("setup:").next().unwrap();
    assert!(task.contains("RowsDot") && task.contains("RowsAxpy"), "{task}");
}

#[test]
fn chunks_on_threads() {
    let text = "
        data x: real[40001]
        data g: int[40001]
        param a: real[3]
        step {
          (s: real, at: real[5], top: real, c: real[40001], ok: bool) = for i<40001 strip 0 {
            xi: real = read(x, i)
            a0: real = read(a, 0)
            gi: int = read(g, i)
            u: real = mul(xi, a0)
            e: real = exp(u)
            f: real = log1p(e)
            v: real = mul(f, xi)
            fine: bool = lt(v, 100.0)
          } yield sum v, sum_at[gi; 5] f, max v, collect e, all fine
        } yield s = s, at = at, top = top, c = c, ok = ok";
    let groups = (0..40_001).map(|i| (i * 7 + i / 3) % 5).collect();
    let nests = check(text, &[Array::real([40_001], pseudo(40_001)), Array::int([40_001], groups)]);
    assert_eq!(nests.tasks.len(), 1);
    // An index that is out of bounds sets the status on the threads too.
    let groups = (0..40_001).map(|i| if i == 39_000 { 5 } else { i % 5 }).collect();
    check(text, &[Array::real([40_001], pseudo(40_001)), Array::int([40_001], groups)]);
}

#[test]
fn loops_and_branches_inside_strips() {
    let text = "
        data x: real[37]
        param a: real[4]
        step {
          (total: real, each: real[37,2], best: real, path: real[37,6], table: real[6]) = for i<37 strip 0 {
            xi: real = read(x, i)
            a0: real = read(a, 0)
            zero: bool = lt(xi, 0.0)
            (b: real) = if zero {
              n: real = neg(xi)
              r: real = log(n)
            } yield r else {
              r: real = sqrt(xi)
            } yield r
            (last: real, seen: real[6], sum: real) = loop t<6 (s: real = b) {
              w: real = mul(s, a0)
              z: real = add(w, xi)
              e: real = tanh(z)
            } next e yield collect z, sum e
            (p: real[2]) = for k<2 {
              kr: real = to_real(k)
              q: real = add(kr, last)
              h: real = exp(q)
            } yield collect h
            p0: real = read(p, 0)
            t: real = add(p0, sum)
          } yield sum t, collect p, max last, collect seen, sum seen
        } yield total = total, each = each, best = best, path = path, table = table";
    check(text, &[Array::real([37], pseudo(37))]);
}

#[test]
fn long_segments_are_cut() {
    let mut text =
        "data x: real[300]\nstep {\n(s: real, c: real[300]) = for i<300 strip 0 {\nv0: real = read(x, i)\n".to_owned();
    for i in 1..400 {
        text.push_str(&format!("v{i}: real = fma(v{}, 0.25, v{})\n", i - 1, i / 2));
    }
    text.push_str("e: real = exp(v7)\nt: real = add(e, v399)\n} yield sum t, collect v200\n} yield s = s, c = c");
    let nests = check(&text, &[Array::real([300], pseudo(300))]);
    assert!(nests.to_string().matches("segment").count() >= 4);
}

#[test]
fn optimised_programs_agree_bit_for_bit() {
    let mut failures = Vec::new();
    for seed in 0..60 {
        let (program, data, params) = generate::program(seed);
        if let Err(difference) = compare(&crate::opt::after_ad(program), &data, &params) {
            failures.push(format!("seed {seed}: {difference}"));
        }
    }
    assert!(failures.is_empty(), "{} differ: {:#?}", failures.len(), &failures[..failures.len().min(20)]);
}

//! Kernels against reference values (50 digits, `tests/data/kernels/make.py`), at edges, and bit for bit over widths.

use super::*;
use crate::runtime::level::Level;

const REFERENCE: &str = include_str!("../../../tests/data/kernels/reference.txt");

/// Distance in units in the last place of the reference.
fn ulps(value: f64, reference: f64) -> f64 {
    if value == reference || (value.is_nan() && reference.is_nan()) {
        return 0.0;
    }
    let next = f64::from_bits(reference.abs().to_bits() + 1);
    (value - reference).abs() / (next - reference.abs())
}

/// Differences of terms that nearly cancel, or ends of the circle where rounding of π counts.
fn is_ill_conditioned(kernel: Kernel) -> bool {
    matches!(kernel, Kernel::LogGammaDa | Kernel::BetaIncDa | Kernel::VonMisesCdf | Kernel::VonMisesDk)
}

/// With density prefactors, or a cost that grows with operands.
fn is_tail(kernel: Kernel) -> bool {
    use Kernel::*;
    matches!(
        kernel,
        GammaP | GammaPDa | LogGammaDa | GammaPInv | BetaInc | BetaIncDa | BetaIncInv | VonMisesCdf | OwensT
    )
}

#[test]
fn values_agree_with_the_reference() {
    let mut worst: Vec<(Kernel, f64, usize, String)> =
        Kernel::ALL.iter().map(|&k| (k, 0.0, 0, String::new())).collect();
    for line in REFERENCE.lines() {
        let mut fields = line.split(' ');
        let name = fields.next().unwrap();
        let numbers: Vec<f64> = fields.map(|f| f64::from_bits(u64::from_str_radix(f, 16).unwrap())).collect();
        let (operands, reference) = (&numbers[..numbers.len() - 1], numbers[numbers.len() - 1]);
        let row = worst.iter_mut().find(|r| r.0.name() == name).unwrap();
        let value = row.0.apply(operands);
        let error = ulps(value, reference);
        row.2 += 1;
        // A density prefactor exp(-e) is as accurate as its exponent: 2e-16 relative of e.
        let error = match row.0 {
            k if is_tail(k) => error / (1.0 + reference.abs().ln().abs() / 200.0),
            _ => error,
        };
        if error > row.1 || error.is_nan() {
            (row.1, row.3) = (error, format!("{operands:?}: {value:e}, not {reference:e}"));
        }
    }
    // In units in the last place of 2^-53..2^-52 relative: 450 is 1e-13 or less.
    let bound = |k: Kernel| match k {
        Kernel::Exp | Kernel::Log | Kernel::Log1p | Kernel::Expm1 | Kernel::Sin | Kernel::Cos | Kernel::Tanh => 2.0,
        Kernel::Sigmoid | Kernel::Softplus | Kernel::NegAbsExp | Kernel::Atan => 2.0,
        Kernel::Tan => 3.0,
        k if is_ill_conditioned(k) => 45_000.0,
        _ => 450.0,
    };
    let mut bad = String::new();
    for (kernel, error, count, at) in &worst {
        if *kernel != Kernel::Pow {
            assert!(*count >= 90, "{kernel:?} has {count} reference values");
        }
        if *error > bound(*kernel) {
            bad += &format!("{kernel:?}: {error} ulp at {at}\n");
        }
    }
    assert!(bad.is_empty(), "{bad}");
}

#[test]
fn edges() {
    use Kernel::*;
    let inf = f64::INFINITY;
    let cases: &[(Kernel, f64, f64)] = &[
        (Exp, 0.0, 1.0),
        (Exp, -0.0, 1.0),
        (Exp, inf, inf),
        (Exp, -inf, 0.0),
        (Exp, 709.782712893384, 1.797693134862273e308),
        (Exp, 709.8, inf),
        (Exp, -746.0, 0.0),
        (Exp, -745.0, 5e-324),
        (Expm1, -0.0, -0.0),
        (Expm1, inf, inf),
        (Expm1, -inf, -1.0),
        (Expm1, 5e-324, 5e-324),
        (Expm1, 709.8, inf),
        (Log, 0.0, -inf),
        (Log, -0.0, -inf),
        (Log, -1.0, f64::NAN),
        (Log, -inf, f64::NAN),
        (Log, inf, inf),
        (Log, 1.0, 0.0),
        (Log, 5e-324, -744.4400719213812),
        (Log1p, -1.0, -inf),
        (Log1p, -1.5, f64::NAN),
        (Log1p, -inf, f64::NAN),
        (Log1p, inf, inf),
        (Log1p, -0.0, -0.0),
        (Log1p, 5e-324, 5e-324),
        (Log1p, f64::MAX, 709.782712893384),
        (Sin, -0.0, -0.0),
        (Sin, inf, f64::NAN),
        (Cos, 0.0, 1.0),
        (Cos, -inf, f64::NAN),
        (Tan, -0.0, -0.0),
        (Tan, inf, f64::NAN),
        (Atan, -0.0, -0.0),
        (Atan, inf, std::f64::consts::FRAC_PI_2),
        (Atan, -inf, -std::f64::consts::FRAC_PI_2),
        (Tanh, -0.0, -0.0),
        (Tanh, inf, 1.0),
        (Tanh, -inf, -1.0),
        (Tanh, 5e-324, 5e-324),
        (Sigmoid, inf, 1.0),
        (Sigmoid, -inf, 0.0),
        (Sigmoid, 0.0, 0.5),
        (Softplus, inf, inf),
        (Softplus, -inf, 0.0),
        (NegAbsExp, -inf, 0.0),
        (NegAbsExp, -0.0, 1.0),
        (Lgamma, 1.0, 0.0),
        (Lgamma, 2.0, 0.0),
        (Lgamma, 0.0, inf),
        (Lgamma, -3.0, inf),
        (Lgamma, inf, inf),
        (Digamma, 0.0, f64::NAN),
        (Digamma, -2.0, f64::NAN),
        (Digamma, inf, inf),
        (Trigamma, 0.0, inf),
        (Trigamma, inf, 0.0),
        (NormalCdf, inf, 1.0),
        (NormalCdf, -inf, 0.0),
        (NormalCdf, 0.0, 0.5),
        (LogNormalCdf, inf, -0.0),
        (LogNormalCdf, -inf, -inf),
        (NormalQuantile, 0.0, -inf),
        (NormalQuantile, 1.0, inf),
        (NormalQuantile, 0.5, 0.0),
        (NormalQuantile, 1.1, f64::NAN),
    ];
    for &(kernel, x, expected) in cases {
        let value = kernel.apply1(x);
        let same = (value.is_nan() && expected.is_nan())
            || value.to_bits() == expected.to_bits()
            || (expected.is_finite() && expected != 0.0 && ulps(value, expected) <= 2.0);
        assert!(same, "{kernel:?}({x:e}) = {value:e}, expected {expected:e}");
    }
    for kernel in Kernel::ALL {
        if kernel.arity() == 1 {
            assert!(kernel.apply1(f64::NAN).is_nan(), "{kernel:?}");
        }
    }
    assert_eq!(Pow.apply2(0.0, 0.0), 1.0);
    assert_eq!(GammaP.apply2(2.0, 0.0), 0.0);
    assert_eq!(GammaP.apply2(2.0, inf), 1.0);
    assert!(GammaP.apply2(-1.0, 1.0).is_nan() && GammaPDa.apply2(1.0, f64::NAN).is_nan());
    assert_eq!((BetaInc.apply3(2.0, 3.0, 0.0), BetaInc.apply3(2.0, 3.0, 1.0)), (0.0, 1.0));
    assert!(BetaInc.apply3(2.0, 3.0, 1.5).is_nan() && BetaInc.apply3(0.0, 3.0, 0.5).is_nan());
}

/// A spread of operands: moderate, huge, tiny, special.
fn operands(n: usize) -> Vec<f64> {
    let special = [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 5e-324, -5e-324, f64::MAX, 1e5, -1e300];
    (0..n)
        .map(|i| {
            let mut h = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            h ^= h >> 31;
            h = h.wrapping_mul(0xbf58_476d_1ce4_e5b9);
            h ^= h >> 29;
            let unit = (h >> 11) as f64 / 9007199254740992.0;
            match h % 8 {
                0 => special[(h >> 8) as usize % special.len()],
                1 => f64::from_bits(h.rotate_left(17)),
                2 | 3 => unit,
                _ => 40.0 * unit - 20.0,
            }
        })
        .collect()
}

fn strip(entry: Entry, operands: &[Vec<f64>], from: usize, n: usize) -> Vec<u64> {
    let mut out = vec![0.0; n];
    let x = |i: usize| operands[i][from..from + n].as_ptr();
    // SAFETY: each operand has n elements from `from` on.
    unsafe {
        match entry {
            Entry::One(f) => f(x(0), out.as_mut_ptr(), n),
            Entry::Two(f) => f(x(0), x(1), out.as_mut_ptr(), n),
            Entry::Three(f) => f(x(0), x(1), x(2), out.as_mut_ptr(), n),
        }
    }
    out.iter().map(|v| if v.is_nan() { f64::NAN.to_bits() } else { v.to_bits() }).collect()
}

#[test]
fn bits_do_not_depend_on_width_position_or_length() {
    const N: usize = 400;
    let operands: Vec<Vec<f64>> = (0..3).map(|k| operands(N + 7 * k)[7 * k..].to_vec()).collect();
    for kernel in Kernel::ALL {
        let operands: Vec<Vec<f64>> = match kernel {
            // Large shapes cost many terms.
            k if is_tail(k) => {
                operands.iter().map(|o| o.iter().map(|x| if x.abs() > 1e3 { 0.7 } else { x.abs() }).collect()).collect()
            }
            _ => operands.clone(),
        };
        let scalar: Vec<u64> = (0..N)
            .map(|i| {
                let args: Vec<f64> = operands.iter().take(kernel.arity()).map(|o| o[i]).collect();
                let v = kernel.apply(&args);
                if v.is_nan() { f64::NAN.to_bits() } else { v.to_bits() }
            })
            .collect();
        for level in [Level::Avx2, Level::Avx512] {
            if !level.supported() {
                continue;
            }
            let entry = kernel.entry_at(level);
            for (from, n) in [(0, N), (0, 8), (3, 16), (5, 1), (1, 37), (40, 200), (9, 0)] {
                assert_eq!(strip(entry, &operands, from, n), scalar[from..from + n], "{kernel:?} {level:?} {from} {n}");
            }
        }
        // In place.
        if let Entry::One(f) = kernel.entry() {
            let mut buffer = operands[0].clone();
            // SAFETY: one buffer of N elements.
            unsafe { f(buffer.as_ptr(), buffer.as_mut_ptr(), N) };
            let got: Vec<u64> =
                buffer.iter().map(|v| if v.is_nan() { f64::NAN.to_bits() } else { v.to_bits() }).collect();
            assert_eq!(got, scalar, "{kernel:?} in place");
        }
    }
}

#[test]
fn the_level_without_fused_operations_is_accurate_too() {
    for line in REFERENCE.lines() {
        let mut fields = line.split(' ');
        let name = fields.next().unwrap();
        let numbers: Vec<Vec<f64>> =
            fields.map(|f| vec![f64::from_bits(u64::from_str_radix(f, 16).unwrap())]).collect();
        let (reference, operands) = numbers.split_last().unwrap();
        let kernel = *Kernel::ALL.iter().find(|k| k.name() == name).unwrap();
        let value = f64::from_bits(strip(kernel.entry_at(Level::Base), operands, 0, 1)[0]);
        let error = (value - reference[0]).abs() / reference[0].abs();
        let far = 1.0 + reference[0].abs().ln().abs() / 200.0;
        let bound = if is_ill_conditioned(kernel) { 1e-11 } else { 1e-13 };
        assert!(error < bound * far, "{kernel:?} {operands:?} {value:e} {:e}", reference[0]);
    }
}

//! Row kernels against the order that their definition writes, and against exact sums.

use super::*;
use crate::runtime::level::{Level, level};

fn value(i: usize) -> f64 {
    ((i * 7919 % 10007) as f64 / 10007.0 - 0.5) * if i.is_multiple_of(5) { 1e3 } else { 1.0 }
}

fn step(a: f64, b: f64, c: f64) -> f64 {
    if level() == Level::Base { a * b + c } else { a.mul_add(b, c) }
}

#[test]
fn order_is_as_defined() {
    for d in [1, 2, 3, 7, 8, 9, 15, 16, 17, 26, 31, 32, 50, 64, 65, 100, 131] {
        for rows in [0, 1, 2, 3, 4, 5, 7, 8, 33] {
            let x: Vec<f64> = (0..rows * d).map(value).collect();
            let b: Vec<f64> = (0..d).map(|j| value(j + 3)).collect();
            let r: Vec<f64> = (0..rows).map(|j| value(j + 11)).collect();
            let mut out = vec![0.0; rows];
            rows_dot(&x, &b, &mut out);
            for i in 0..rows {
                let mut lanes = [0.0; 8];
                for j in 0..d {
                    let l = if d < 8 { 0 } else { j % 8 };
                    lanes[l] = step(x[i * d + j], b[j], lanes[l]);
                }
                let expected = if d < 8 {
                    lanes[0]
                } else {
                    ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))
                };
                assert_eq!(out[i].to_bits(), expected.to_bits(), "dot {rows} {d} row {i}");
            }
            let mut acc: Vec<f64> = (0..d).map(value).collect();
            let mut expected = acc.clone();
            rows_axpy(&x, &r, &mut acc);
            for i in 0..rows {
                for j in 0..d {
                    expected[j] = step(x[i * d + j], r[i], expected[j]);
                }
            }
            assert_eq!(acc, expected, "axpy {rows} {d}");
        }
    }
    rows_dot(&[], &[], &mut [1.0; 3]);
    rows_axpy(&[], &[1.0; 3], &mut []);
}

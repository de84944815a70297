//! Enumerations of many sites in `tests/cases/gradients`: plates, chains, trees and gathers, each with a closed form or a
//! forward algorithm.

use crate::dual::{Dual, bernoulli, categorical, chain, enumerate, flip, int, normal, real};
use crate::gradients::{Case, Reference, matrix, scalar, values, vector, zero};

const TOLERANCE: f64 = 1e-9;

fn cosines(n: usize) -> Vec<f64> {
    values(|i| (1.3 * i).cos(), n)
}

/// The observations of the chains and trees.
fn y(t: usize) -> f64 {
    0.5 + (0.7 * t as f64).sin()
}

fn seen(t: usize, x: usize) -> Dual {
    normal(y(t), int(x) * 1.2, 0.9)
}

/// The prior that flips keep their parent's side.
fn sticky(x: usize, parent: usize) -> Dual {
    bernoulli(x, if parent == 1 { 0.8 } else { 0.3 })
}

pub(crate) fn cases() -> Vec<Case> {
    let case = |file, objective, at, reference: Reference| Case {
        file,
        objective,
        at,
        reference,
        exact: &["q"],
        tolerance: TOLERANCE,
        unbiased: &[],
        mutants: &[],
    };
    let sines = |t: f64| 0.5 + (0.4 * t).sin();
    let b = || scalar("b", 0.8);
    let c = || scalar("c", -0.6);
    let tree = || vec![vector("a", cosines(31)), b()];
    vec![
        case("plate_1000", "elbo(two(), GUIDE())", vec![scalar("mu", 1.5), vector("a", cosines(1000))], plate),
        case(
            "chain_200",
            "elbo(chain(), GUIDE())",
            vec![vector("a", cosines(200)), vector("b", values(sines, 200))],
            |p| {
                chain(
                    200,
                    2,
                    |v| (flip(v, p[0][0]), bernoulli(v, 0.5) + seen(0, v)),
                    |t, u, v| Some((flip(v, p[0][t] + p[1][t] * int(u)), sticky(v, u) + seen(t, v))),
                )
            },
        ),
        case("second_order", "elbo(chain(), GUIDE())", vec![vector("a", cosines(60)), b(), c()], second_order),
        case(
            "chains_in_plate",
            "elbo(chains(), GUIDE())",
            vec![vector("a", cosines(20)), vector("b", values(|i| 0.3 * i - 1.0, 8))],
            |p| {
                let seen = |i: usize, t: usize, x| normal(0.5 + (0.7 * t as f64 + i as f64).sin(), int(x) * 1.2, 0.9);
                (0..8).fold(zero(), |sum, i| {
                    sum + chain(
                        20,
                        2,
                        |v| (flip(v, p[0][0]), bernoulli(v, 0.5) + seen(i, 0, v)),
                        |t, u, v| Some((flip(v, p[0][t] + p[1][i] * int(u)), sticky(v, u) + seen(i, t, v))),
                    )
                })
            },
        ),
        case(
            "shared_parent",
            "elbo(chain(), GUIDE())",
            vec![scalar("l", 0.3), vector("a", cosines(40)), b(), c()],
            shared_parent,
        ),
        case("tree_written", "elbo(tree(), GUIDE())", tree(), tree_of_flips),
        case("tree_loop", "elbo(tree(), GUIDE())", tree(), tree_of_flips),
        case(
            "gather_plate",
            "elbo(groups(), GUIDE())",
            vec![
                matrix("l", 50, 3, |i, k| (1.3 * i as f64 + 2.2 * k as f64).cos()),
                vector("mu", vec![-1.0, 0.5, 2.0]),
            ],
            gather,
        ),
        case(
            "three_states",
            "elbo(hmm(), GUIDE())",
            vec![
                vector("first", vec![0.2, -0.1, 0.4]),
                matrix("l", 3, 3, |i, k| (1.3 * i as f64 + 2.2 * k as f64).cos()),
                matrix("e", 100, 3, |t, k| (0.3 * t as f64 + 2.2 * k as f64).sin()),
                vector("mu", vec![-1.0, 0.5, 2.0]),
            ],
            three_states,
        ),
    ]
}

fn plate(p: &[Vec<Dual>]) -> Dual {
    (0..1000).fold(zero(), |sum, i| {
        let y = 1.0 + 2.0 * (0.7 * i as f64).sin();
        sum + enumerate(&[2], |z| (flip(z[0], p[1][i]), bernoulli(z[0], 0.3) + normal(y, p[0][0] * int(z[0]), 1.2)))
    })
}

/// States are pairs `2 x[t-1] + x[t]`.
fn second_order(p: &[Vec<Dual>]) -> Dual {
    let (a, b, c) = (&p[0], p[1][0], p[2][0]);
    chain(
        59,
        4,
        |v| {
            let (x, next) = (v / 2, v % 2);
            let q = flip(x, a[0]) + flip(next, a[1] + b * int(x));
            (q, bernoulli(x, 0.5) + bernoulli(next, 0.4) + seen(0, x) + seen(1, next))
        },
        |step, u, v| {
            let t = step + 1;
            let (before, last, now) = (int(u / 2), int(u % 2), v % 2);
            (u % 2 == v / 2).then(|| {
                let q = flip(now, a[t] + b * last + c * before);
                (q, flip(now, last * 0.9 - before * 0.7) + seen(t, now))
            })
        },
    )
}

fn shared_parent(p: &[Vec<Dual>]) -> Dual {
    let (a, b, c) = (&p[1], p[2][0], p[3][0]);
    (0..2).fold(zero(), |sum, g| {
        let q = flip(g, p[0][0]);
        let rest = chain(
            40,
            2,
            |v| (flip(v, a[0] + c * int(g)), flip(v, real(0.4) - int(g)) + seen(0, v)),
            |t, u, v| {
                let q = flip(v, a[t] + b * int(u) + c * int(g));
                Some((q, flip(v, int(u) * 0.9 - int(g) * 0.7) + seen(t, v)))
            },
        );
        sum + q.exp() * (bernoulli(g, 0.35) - q + rest)
    })
}

fn tree_of_flips(p: &[Vec<Dual>]) -> Dual {
    let mut total = zero();
    let mut marginals: Vec<[Dual; 2]> = Vec::new();
    for i in 0..31 {
        let mut own = [zero(); 2];
        for (v, sum) in own.iter_mut().enumerate() {
            if i == 0 {
                let q = flip(v, p[0][0]);
                total = total + q.exp() * (bernoulli(v, 0.5) + seen(0, v) - q);
                *sum = q.exp();
                continue;
            }
            for (u, &above) in marginals[(i - 1) / 2].iter().enumerate() {
                let q = flip(v, p[0][i] + p[1][0] * int(u));
                let joint = above * q.exp();
                total = total + joint * (sticky(v, u) + seen(i, v) - q);
                *sum = *sum + joint;
            }
        }
        marginals.push(own);
    }
    total
}

fn gather(p: &[Vec<Dual>]) -> Dual {
    let rows: Vec<(usize, f64)> = (0..400)
        .map(|j| {
            let group = (25.0 + 25.0 * (2.1 * j as f64).sin()).floor() as usize;
            (group.min(49), 0.5 + 2.0 * (0.7 * j as f64).sin())
        })
        .collect();
    (0..50).fold(zero(), |sum, i| {
        sum + enumerate(&[3], |z| {
            let q = categorical(z[0], &p[0][3 * i..3 * i + 3]);
            let prior = real([0.2, 0.5, 0.3][z[0]]).ln();
            (q, rows.iter().filter(|r| r.0 == i).fold(prior, |sum, r| sum + normal(r.1, p[1][z[0]], 1.1)))
        })
    })
}

fn three_states(p: &[Vec<Dual>]) -> Dual {
    const A: [[f64; 3]; 3] = [[0.8, 0.1, 0.1], [0.2, 0.6, 0.2], [0.3, 0.3, 0.4]];
    let seen = |t: usize, s: usize| normal(0.5 + 2.0 * (0.7 * t as f64).sin(), p[3][s], 1.1);
    chain(
        100,
        3,
        |s| (categorical(s, &p[0]), real([0.2, 0.5, 0.3][s]).ln() + seen(0, s)),
        |t, u, s| {
            let logits: Vec<Dual> = (0..3).map(|k| p[1][3 * u + k] + p[2][3 * t + k]).collect();
            Some((categorical(s, &logits), real(A[u][s]).ln() + seen(t, s)))
        },
    )
}

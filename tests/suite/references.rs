//! The programs in `tests/cases/gradients` that have a finite sum or an integral, each with its reference.

use crate::dual::{Dual, bernoulli, categorical, enumerate, flip, int, integrate, normal, poisson, real};
use crate::gradients::{Case, scalar, vector, zero};

const Y6: [f64; 6] = [0.3, 1.2, 0.8, -0.5, 1.9, 0.4];
/// Counts beyond this have a probability that rounds to nothing at the rates used.
const COUNTS: usize = 60;

pub(crate) fn cases() -> Vec<Case> {
    let mut all = small();
    all.extend(crate::large_references::cases());
    all.extend(crate::presence_references::cases());
    all
}

fn small() -> Vec<Case> {
    vec![
        Case {
            file: "branch_bernoulli",
            objective: "elbo(branches(), GUIDE())",
            at: vec![scalar("l", 0.3)],
            reference: |p| {
                enumerate(&[2], |z| {
                    let seen = if z[0] == 1 { normal(1.2, 2.0, 0.7) } else { normal(1.2, -1.0, 1.5) };
                    (flip(z[0], p[0][0]), bernoulli(z[0], 0.4) + seen)
                })
            },
            exact: &["by_enum"],
            tolerance: 1e-10,
            unbiased: &[("by_reinforce", 0.03), ("by_mvd", 0.03)],
            mutants: &["by_scoreless", "by_sample_baseline", "by_skewed_enum", "by_half_mvd"],
        },
        Case {
            file: "branch_factors",
            objective: "elbo(branches(), GUIDE())",
            at: vec![vector("l", vec![0.3, -0.5, 1.1]), scalar("w", -0.8)],
            reference: |p| {
                enumerate(&[2, 2, 2], |z| {
                    let w = p[1][0];
                    let first = if z[0] == 1 { w * 2.0 - 0.3 } else { real(-0.6) };
                    let start = (flip(z[0], p[0][0]), bernoulli(z[0], 0.4) + first);
                    (1..3).fold(start, |(q, prior), i| {
                        let added = if z[i] == 1 { w - 0.3 } else { w * 2.0 + 0.9 };
                        (q + flip(z[i], p[0][i] - int(z[0])), prior + bernoulli(z[i], 0.6) + added)
                    })
                })
            },
            exact: &["by_enum"],
            tolerance: 1e-10,
            unbiased: &[("by_reinforce", 0.05), ("by_mvd", 0.05)],
            mutants: &["by_scoreless", "by_half_mvd"],
        },
        Case {
            file: "branch_normal",
            objective: "elbo(branches(), GUIDE())",
            at: vec![scalar("m", 0.5), scalar("s", 1.0)],
            reference: |p| {
                integrate(&[-12.0, 0.0, 12.0], |z| {
                    let q = normal(z, p[0][0], p[1][0]);
                    let seen = bernoulli(1, if z > 0.0 { 0.1 } else { 0.9 });
                    q.exp() * (normal(z, 0.0, 1.0) + seen - q)
                })
            },
            exact: &[],
            tolerance: 1e-10,
            unbiased: &[("by_reinforce", 0.15), ("by_mvd", 0.1)],
            mutants: &["by_scoreless", "by_sample_baseline", "by_location_only"],
        },
        Case {
            file: "smooth_normal",
            objective: "elbo(smooth(), GUIDE())",
            at: vec![scalar("m", 0.4), scalar("s", 0.8)],
            reference: |p| {
                integrate(&[-12.0, 12.0], |z| {
                    let q = normal(z, p[0][0], p[1][0]);
                    q.exp() * (normal(z, 0.0, 1.0) + normal(1.3, (real(z) * 2.0).sin() + z, 0.9) - q)
                })
            },
            exact: &[],
            tolerance: 1e-10,
            unbiased: &[("by_reparam", 0.1), ("by_reinforce", 0.3), ("by_mvd", 0.15)],
            mutants: &["by_stopped_path", "by_scoreless", "by_sample_baseline", "by_location_only"],
        },
        Case {
            file: "three_chain",
            objective: "elbo(chain(), GUIDE())",
            at: vec![vector("l", vec![0.3, -0.4, 0.8]), scalar("c", 0.9)],
            reference: |p| {
                enumerate(&[2, 2, 2], |z| {
                    let (l, c) = (&p[0], p[1][0]);
                    let (x, y) = (int(z[0]), int(z[1]));
                    let q = flip(z[0], l[0]) + flip(z[1], l[1] + c * x) + flip(z[2], l[2] - c * y);
                    let prior = bernoulli(z[0], 0.4)
                        + bernoulli(z[1], if z[0] == 1 { 0.7 } else { 0.2 })
                        + bernoulli(z[2], if z[1] == 1 { 0.6 } else { 0.1 });
                    (q, prior + normal(1.5, x + y * 2.0 - int(z[2]) * 1.5, 1.0))
                })
            },
            exact: &["by_enum"],
            tolerance: 1e-10,
            unbiased: &[
                ("by_reinforce", 0.05),
                ("by_mvd", 0.05),
                ("enum_reinforce_mvd", 0.05),
                ("reinforce_enum_reinforce", 0.05),
                ("mvd_reinforce_enum", 0.05),
            ],
            mutants: &["by_scoreless", "by_sample_baseline", "by_skewed_enum", "by_half_mvd"],
        },
        Case {
            file: "plate_shared",
            objective: "elbo(mixture_of_two(), GUIDE())",
            at: vec![scalar("a", 0.2), scalar("b", -0.5), scalar("mu", 1.3)],
            reference: |p| {
                const X: [f64; 5] = [-1.0, -0.3, 0.2, 0.9, 1.4];
                const Y: [f64; 5] = [0.1, 1.8, -0.4, 2.2, 1.1];
                (0..5).fold(zero(), |sum, i| {
                    sum + enumerate(&[2], |z| {
                        let seen = normal(Y[i], p[2][0] * int(z[0]), 0.8);
                        (flip(z[0], p[0][0] + p[1][0] * X[i]), bernoulli(z[0], 0.3) + seen)
                    })
                })
            },
            exact: &["by_enum"],
            tolerance: 1e-10,
            unbiased: &[("by_reinforce", 0.1), ("by_mvd", 0.1)],
            mutants: &["by_scoreless", "by_sample_baseline", "by_skewed_enum", "by_half_mvd"],
        },
        Case {
            file: "categorical_index",
            objective: "elbo(three(), GUIDE())",
            at: vec![vector("l", vec![0.3, -0.2, 0.5]), vector("mu", vec![-1.0, 0.5, 2.0])],
            reference: |p| {
                enumerate(&[3], |z| {
                    let k = z[0];
                    (categorical(k, &p[0]), real([0.2, 0.5, 0.3][k]).ln() + normal(1.1, p[1][k], 0.7))
                })
            },
            exact: &["by_enum", "by_logits"],
            tolerance: 1e-10,
            unbiased: &[("by_reinforce", 0.05)],
            mutants: &["by_scoreless", "by_sample_baseline", "by_skewed_enum"],
        },
        Case {
            file: "count",
            objective: "elbo(counts(), GUIDE())",
            at: vec![scalar("rate", 2.5)],
            reference: |p| {
                enumerate(&[COUNTS], |z| {
                    let n = int(z[0]);
                    (poisson(z[0], p[0][0]), poisson(z[0], 1.5) + normal(4.2, n + n * n * 0.1, 1.4))
                })
            },
            exact: &[],
            tolerance: 1e-10,
            unbiased: &[("by_reinforce", 0.2), ("by_mvd", 0.1)],
            mutants: &["by_scoreless", "by_sample_baseline", "by_from_zero"],
        },
        Case {
            file: "three_particles",
            objective: "iwelbo(two(), GUIDE(), 3)",
            at: vec![scalar("l", 0.3), scalar("mu", 1.4)],
            reference: |p| {
                let mut total = zero();
                for k in 0..8_usize {
                    let mut log_q = zero();
                    let mut weights = zero();
                    for z in [k & 1, (k >> 1) & 1, k >> 2] {
                        let q = flip(z, p[0][0]);
                        let w = bernoulli(z, 0.35) + normal(1.2, p[1][0] * int(z), 0.7) - q;
                        log_q = log_q + q;
                        weights = weights + w.exp();
                    }
                    total = total + log_q.exp() * (weights / 3.0).ln();
                }
                total
            },
            exact: &["by_enum"],
            tolerance: 1e-10,
            unbiased: &[("by_reinforce", 0.03), ("by_mvd", 0.03)],
            mutants: &["by_scoreless", "by_sample_baseline", "by_skewed_enum", "by_half_mvd"],
        },
        Case {
            file: "reparam_parent",
            objective: "elbo(slope(), GUIDE())",
            at: vec![scalar("m", 0.3), scalar("s", 0.9), scalar("a", -0.2), scalar("b", 1.1)],
            reference: |p| {
                integrate(&[-12.0, 12.0], |x| {
                    let above = normal(x, p[0][0], p[1][0]);
                    let below = enumerate(&[2], |z| {
                        let seen = normal(1.4, int(z[0]) * 1.5 + x, 0.8);
                        (flip(z[0], p[2][0] + p[3][0] * x), flip(z[0], x) + seen)
                    });
                    above.exp() * (normal(x, 0.0, 1.0) - above + below)
                })
            },
            exact: &[],
            tolerance: 1e-10,
            unbiased: &[
                ("by_enum", 0.1),
                ("by_reinforce", 0.1),
                ("by_mvd", 0.1),
                ("reinforce_enum", 0.2),
                ("mvd_enum", 0.1),
                ("mvd_reinforce", 0.1),
            ],
            mutants: &[
                "by_stopped_path",
                "by_scoreless",
                "by_sample_baseline",
                "by_skewed_enum",
                "by_half_mvd",
                "parent_scoreless",
            ],
        },
        Case {
            file: "flip_and_count",
            objective: "elbo(counts(), GUIDE())",
            at: vec![scalar("l", 0.4), vector("r", vec![1.2, 2.8])],
            reference: |p| {
                enumerate(&[2, COUNTS], |z| {
                    let q = flip(z[0], p[0][0]) + poisson(z[1], p[1][z[0]]);
                    let prior = bernoulli(z[0], 0.5) + poisson(z[1], if z[0] == 1 { 3.0 } else { 1.0 });
                    (q, prior + normal(2.6, int(z[1]), 1.1))
                })
            },
            exact: &[],
            tolerance: 1e-10,
            unbiased: &[("enum_reinforce", 0.1), ("enum_mvd", 0.1), ("reinforce_mvd", 0.1), ("mvd_reinforce", 0.1)],
            mutants: &["enum_scoreless", "enum_from_zero", "sample_baseline_mvd", "half_mvd_reinforce"],
        },
        Case {
            file: "count_and_flip",
            objective: "elbo(counts(), GUIDE())",
            at: vec![scalar("rate", 1.7), scalar("a", 2.0)],
            reference: |p| {
                enumerate(&[COUNTS, 2], |z| {
                    let n = int(z[0]);
                    let q = poisson(z[0], p[0][0]) + flip(z[1], p[1][0] + n * 0.3);
                    let prior = poisson(z[0], 2.0) + flip(z[1], n * 0.5 - 1.0);
                    (q, prior + normal(2.1, n + int(z[1]) * 0.7, 1.3))
                })
            },
            exact: &[],
            tolerance: 1e-10,
            unbiased: &[("reinforce_enum", 0.05), ("mvd_enum", 0.05), ("mvd_mvd", 0.05)],
            mutants: &["scoreless_enum", "from_zero_enum", "mvd_half_mvd"],
        },
        Case {
            file: "loop_chain",
            objective: "elbo(chain(), GUIDE())",
            at: vec![vector("a", vec![0.2, -0.3, 0.5, 0.1, -0.6, 0.4]), scalar("b", 0.7)],
            reference: |p| {
                enumerate(&[2; 6], |x| {
                    let seen = |t: usize| normal(Y6[t], int(x[t]) * 1.2, 0.9);
                    let first = (flip(x[0], p[0][0]), bernoulli(x[0], 0.5) + seen(0));
                    (1..6).fold(first, |(q, prior), t| {
                        let next = bernoulli(x[t], if x[t - 1] == 1 { 0.8 } else { 0.3 });
                        (q + flip(x[t], p[0][t] + p[1][0] * int(x[t - 1])), prior + next + seen(t))
                    })
                })
            },
            exact: &["by_enum"],
            tolerance: 1e-10,
            unbiased: &[("by_reinforce", 0.1), ("by_mvd", 0.1)],
            mutants: &["by_scoreless", "by_sample_baseline", "by_skewed_enum", "by_half_mvd"],
        },
        Case {
            file: "plate_gather",
            objective: "elbo(groups(), GUIDE())",
            at: vec![vector("a", vec![0.2, -0.3, 0.5]), vector("mu", vec![-0.2, 1.3])],
            reference: |p| {
                const G: [usize; 7] = [0, 2, 1, 0, 1, 1, 2];
                const Y: [f64; 7] = [0.3, 1.2, 0.8, -0.5, 1.9, 0.4, 1.1];
                enumerate(&[2; 3], |z| {
                    let both = (0..3).fold((zero(), zero()), |(q, prior), i| {
                        (q + flip(z[i], p[0][i]), prior + bernoulli(z[i], 0.4))
                    });
                    let seen = (0..7).fold(zero(), |sum: Dual, j| sum + normal(Y[j], p[1][z[G[j]]], 0.9));
                    (both.0, both.1 + seen)
                })
            },
            exact: &["by_enum"],
            tolerance: 1e-10,
            unbiased: &[("by_reinforce", 0.1), ("by_mvd", 0.1)],
            mutants: &["by_scoreless", "by_sample_baseline", "by_skewed_enum", "by_half_mvd"],
        },
        Case {
            file: "joined_plate",
            objective: "elbo(joined(), GUIDE())",
            at: vec![vector("a", vec![0.2, -0.3, 0.5, -0.1])],
            reference: |p| {
                const W: [f64; 4] = [0.5, -0.8, 1.1, 1.7];
                enumerate(&[2; 4], |z| {
                    let start = (zero(), zero(), zero());
                    let (q, prior, mean) = (0..4).fold(start, |(q, prior, mean), i| {
                        (q + flip(z[i], p[0][i]), prior + bernoulli(z[i], 0.4), mean + int(z[i]) * W[i])
                    });
                    (q, prior + normal(1.5, mean, 0.9))
                })
            },
            exact: &["by_enum"],
            tolerance: 1e-10,
            unbiased: &[("by_reinforce", 0.1), ("by_mvd", 0.1)],
            mutants: &["by_scoreless", "by_sample_baseline", "by_skewed_enum", "by_half_mvd"],
        },
        Case {
            file: "whole_vector",
            objective: "elbo(vector(), GUIDE())",
            at: vec![vector("a", vec![0.2, -0.3, 0.5])],
            reference: |p| {
                enumerate(&[2; 3], |z| {
                    let q = (0..3).fold(zero(), |q, i| q + flip(z[i], p[0][i]));
                    let prior = (0..3).fold(zero(), |sum, i| sum + bernoulli(z[i], [0.4, 0.5, 0.6][i]));
                    (q, prior + normal(1.5, int(z[0]) * 0.5 - int(z[1]) * 0.8 + int(z[2]) * 1.1, 0.9))
                })
            },
            exact: &["by_enum"],
            tolerance: 1e-10,
            unbiased: &[("by_reinforce", 0.05), ("by_mvd", 0.05)],
            mutants: &["by_scoreless", "by_sample_baseline", "by_skewed_enum"],
        },
        Case {
            file: "plate_children",
            objective: "elbo(two(), GUIDE())",
            at: vec![vector("l", vec![0.4, -0.3]), vector("m", vec![-0.7, 0.9]), scalar("s", 0.8)],
            reference: |p| {
                let one = |i: usize, z: usize| {
                    let q = flip(z, p[0][i]);
                    let below = integrate(&[-12.0, 12.0], |x| {
                        let own = normal(x, p[1][z], p[2][0]);
                        let seen = normal([0.7, -0.4][i], x, 0.6);
                        own.exp() * (normal(x, 2.0 * z as f64 - 1.0, 1.0) + seen - own)
                    });
                    q.exp() * (bernoulli(z, 0.5) - q + below)
                };
                one(0, 0) + one(0, 1) + one(1, 0) + one(1, 1)
            },
            exact: &[],
            tolerance: 1e-10,
            unbiased: &[
                ("enum_reparam", 0.2),
                ("reinforce_reparam", 0.2),
                ("mvd_reparam", 0.2),
                ("enum_reinforce", 0.4),
                ("enum_mvd", 0.1),
                ("reinforce_mvd", 0.15),
            ],
            mutants: &["enum_scoreless", "enum_stopped_path", "skewed_reparam", "half_mvd_reparam"],
        },
    ]
}

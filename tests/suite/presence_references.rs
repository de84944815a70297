//! Programs whose addresses are present under conditions, each with a finite sum over the paths that it may take; sums
//! over normal latents in closed form, one integral by quadrature.

use crate::dual::{Dual, bernoulli, categorical, enumerate, flip, int, integrate, normal, real};
use crate::gradients::{Case, matrix, scalar, vector, zero};
use std::f64::consts::{E, PI};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case {
            file: "optional",
            objective: "elbo(p(), GUIDE())",
            at: vec![scalar("l", 0.3), vector("w", vec![0.2, -0.4]), scalar("e", 0.7)],
            reference: optional,
            exact: &["by_enum"],
            tolerance: 1e-10,
            unbiased: &[
                ("by_mvd", 0.03),
                ("by_reinforce", 0.06),
                ("enum_mvd_reinforce", 0.03),
                ("mvd_reinforce_enum", 0.03),
                ("reinforce_enum_mvd", 0.06),
            ],
            mutants: &["by_scoreless", "by_half_mvd"],
        },
        Case {
            file: "optional_match",
            objective: "elbo(p(), GUIDE())",
            at: vec![vector("l", vec![0.3, -0.2, 0.5]), scalar("w", 0.4)],
            reference: optional_match,
            exact: &["by_enum"],
            tolerance: 1e-10,
            unbiased: &[("by_reinforce", 0.08), ("enum_mvd", 0.03), ("reinforce_enum", 0.08), ("mixed", 0.08)],
            mutants: &[],
        },
        Case {
            file: "optional_array",
            objective: "elbo(p(), GUIDE())",
            at: vec![vector("l", vec![0.3, -0.2, 0.6, 0.1, -1.0]), scalar("m", 0.5)],
            reference: optional_array,
            exact: &["by_enum"],
            tolerance: 1e-10,
            unbiased: &[("by_mvd", 0.15), ("by_reinforce", 0.2), ("mvd_enum", 0.15), ("enum_reinforce", 0.2)],
            mutants: &[],
        },
        Case {
            file: "plate_parent",
            objective: "elbo(p(), GUIDE())",
            at: vec![vector("l", vec![0.3, -0.2])],
            reference: |p| {
                const Y: [f64; 2] = [0.4, 1.3];
                (0..2).fold(zero(), |sum, i| {
                    sum + enumerate(&[2, 2], |z| {
                        let q = flip(z[0], p[0][i]) + flip(z[1], p[0][i] * 0.2 + int(z[0]) * 2.0 - 1.0);
                        let prior = bernoulli(z[0], 0.4) + bernoulli(z[1], 0.3);
                        (q, prior + normal(Y[i], int(z[0]) + int(z[1]), 0.6))
                    })
                })
            },
            exact: &["by_enum"],
            tolerance: 1e-10,
            unbiased: &[("mvd_enum", 0.05), ("mvd_reinforce", 0.08)],
            mutants: &[],
        },
        Case {
            file: "records",
            objective: "elbo(p(), GUIDE())",
            at: vec![
                matrix("net.w", 2, 2, |k, i| [[0.3, -0.2], [1.3, 0.6]][k][i]),
                vector("net.b", vec![0.1, -0.4]),
                scalar("top.a", 0.4),
                vector("top.b", vec![1.0, -0.5]),
            ],
            reference: |p| {
                const OBS: [(f64, usize); 3] = [(0.5, 1), (-1.2, 0), (2.0, 1)];
                let (mut sum, mut last, mut total) = (zero(), zero(), zero());
                for (x, y) in OBS {
                    let h = |k: usize| p[0][2 * k] * x + p[0][2 * k + 1] * p[2][0] + p[1][k];
                    sum = sum + p[3][0] * h(0) + p[3][1] * h(1);
                    let logit = sum * 0.5 - last;
                    last = h(0);
                    for z in 0..2 {
                        total = total + weighed(flip(z, logit), bernoulli(z, 0.4) + flip(y, z as f64 + x));
                    }
                }
                total
            },
            exact: &["q"],
            tolerance: 1e-10,
            unbiased: &[],
            mutants: &[],
        },
        Case {
            file: "early_stop",
            objective: "elbo(scene(), GUIDE())",
            at: vec![vector("c", vec![0.4, -0.3, 0.8]), scalar("b", 0.2)],
            reference: |p| scene(p, 0, 0, zero(), zero(), zero()),
            exact: &["by_enum"],
            tolerance: 1e-10,
            unbiased: &[("by_mvd", 0.1), ("by_reinforce", 0.15), ("enum_reinforce", 0.1), ("mvd_enum", 0.1)],
            mutants: &["by_scoreless", "by_half_mvd"],
        },
        Case {
            file: "air",
            objective: "sum(for i in 0..2 { elbo(air(images[i]), GUIDE(images[i])) }) / 2",
            at: vec![
                matrix("w", 2, 3, |i, j| [[0.4, -0.3, 0.8], [-0.6, 0.5, 0.2]][i][j]),
                matrix("head", 2, 2, |i, j| [[1.1, -0.7], [0.4, 0.9]][i][j]),
            ],
            reference: |p| (air(p, [1.2, 0.4]) + air(p, [0.3, 0.9])) * 0.5,
            exact: &["by_enum"],
            tolerance: 1e-9,
            unbiased: &[("by_mvd", 0.1), ("by_reinforce", 0.2), ("enum_mvd", 0.1), ("reinforce_enum", 0.2)],
            mutants: &[],
        },
        Case {
            file: "early_stop_normal",
            objective: "elbo(scene(), GUIDE())",
            at: vec![vector("c", vec![0.4, -0.3, 0.8]), scalar("m", 0.7)],
            reference: scene_of_normals,
            exact: &[],
            tolerance: 1e-10,
            unbiased: &[("by_enum", 0.08), ("by_mvd", 0.1), ("by_reinforce", 0.1), ("score", 0.25)],
            mutants: &[],
        },
        Case {
            file: "early_stop_12",
            objective: "elbo(run(), GUIDE())",
            at: vec![scalar("c", 0.6), scalar("d", -0.05)],
            reference: run_length,
            exact: &["by_enum"],
            tolerance: 1e-10,
            unbiased: &[("by_mvd", 0.5), ("by_reinforce", 1.0)],
            mutants: &[],
        },
        Case {
            file: "torture",
            objective: "elbo(torture(), GUIDE())",
            at: vec![
                vector("l", vec![0.2, -0.3]),
                scalar("c", -0.4),
                matrix("bm", 2, 2, |g, j| 0.4 * g as f64 - 0.3 * j as f64 + 0.1),
                scalar("am", 0.6),
            ],
            reference: torture,
            exact: &[],
            tolerance: 1e-10,
            unbiased: &[("q", 0.15), ("by_enum", 0.15), ("by_reinforce", 0.5)],
            mutants: &[],
        },
    ]
}

/// `q (log p - log q)`.
fn weighed(q: Dual, p: Dual) -> Dual {
    q.exp() * (p - q)
}

fn optional(p: &[Vec<Dual>]) -> Dual {
    let mut total = zero();
    for k in 0..2 {
        for a in 0..2 {
            let q = flip(k, p[0][0]) + flip(a, p[1][k]);
            let prior = bernoulli(k, 0.4) + bernoulli(a, if k == 1 { 0.8 } else { 0.3 });
            if k == 0 {
                total = total + weighed(q, prior + normal(0.7, int(a), 0.8));
                continue;
            }
            for extra in 0..2 {
                let q = q + flip(extra, p[2][0] + int(a));
                let seen = normal(0.7, int(extra) * 1.5 - int(a) * 0.5, 0.8);
                total = total + weighed(q, prior + bernoulli(extra, 0.25) + seen);
            }
        }
    }
    total
}

fn optional_match(p: &[Vec<Dual>]) -> Dual {
    let (l, w) = (&p[0], p[1][0]);
    let mut total = weighed(categorical(2, l), real(0.3).ln() + normal(0.4, -1.0, 0.7));
    for k in 0..2 {
        for a in 0..2 {
            let q = categorical(k, l) + flip(a, w - int(k));
            let prior = real([0.2, 0.5][k]).ln() + bernoulli(a, [0.3, 0.6][k]);
            if k == 0 || a == 0 {
                total = total + weighed(q, prior + normal(0.4, int(a), 0.7));
                continue;
            }
            for b in 0..2 {
                let seen = normal(0.4, int(b) * 0.5 + 1.0, 0.7);
                total = total + weighed(q + flip(b, w), prior + bernoulli(b, 0.9) + seen);
            }
        }
    }
    total
}

fn optional_array(p: &[Vec<Dual>]) -> Dual {
    const Y: [f64; 5] = [0.4, 1.3, -0.6, 2.0, 0.1];
    let mut total = zero();
    for i in 0..5 {
        let l = p[0][i];
        total = total + weighed(flip(0, l), bernoulli(0, 0.4) + normal(Y[i], 0.0, 0.6));
        for u in 0..2 {
            let q = flip(1, l) + flip(u, p[1][0] + l * 0.2);
            let prior = bernoulli(1, 0.4) + bernoulli(u, 0.3);
            total = total + weighed(q, prior + normal(Y[i], int(u) + 1.0, 0.6));
        }
    }
    total
}

/// All continuations of a scene of `t` objects.
fn scene(p: &[Vec<Dual>], t: usize, last: usize, canvas: Dual, q: Dual, prior: Dual) -> Dual {
    let seen = normal(1.7, canvas, 0.5);
    if t == 3 {
        return weighed(q, prior + seen);
    }
    let logit = p[0][t] - int(last) * 0.3;
    let mut total = weighed(q + flip(0, logit), prior + bernoulli(0, 0.4) + seen);
    for what in 0..2 {
        let q = q + flip(1, logit) + flip(what, p[1][0] + p[0][t]);
        let prior = prior + bernoulli(1, 0.4) + bernoulli(what, 0.6);
        total = total + scene(p, t + 1, what, canvas + int(what) + 0.5, q, prior);
    }
    total
}

/// What has been drawn, and what the guide remembers of it.
#[derive(Clone, Copy)]
struct Scene {
    canvas: [f64; 2],
    h: [Dual; 2],
    last: usize,
    q: Dual,
    prior: Dual,
}

fn air(p: &[Vec<Dual>], x: [f64; 2]) -> Dual {
    air_after(p, x, 0, Scene { canvas: [0.0; 2], h: [zero(); 2], last: 0, q: zero(), prior: zero() })
}

fn air_after(p: &[Vec<Dual>], x: [f64; 2], t: usize, scene: Scene) -> Dual {
    let (w, head) = (&p[0], &p[1]);
    let seen = normal(x[0], scene.canvas[0], 0.5) + normal(x[1], scene.canvas[1], 0.5);
    if t == 3 {
        return weighed(scene.q, scene.prior + seen);
    }
    let row = |i: usize| w[3 * i] * x[0] + w[3 * i + 1] * x[1] + w[3 * i + 2] * int(scene.last) + scene.h[i] * 0.5;
    let h = [row(0).sigmoid(), row(1).sigmoid()];
    let out = |i: usize| head[2 * i] * h[0] + head[2 * i + 1] * h[1];
    let logit = out(0) - 0.1 * (t as f64 + 1.0);
    let mut total = weighed(scene.q + flip(0, logit), scene.prior + bernoulli(0, 0.4) + seen);
    for what in 0..2 {
        let drawn = if what == 1 { [1.0, 0.2] } else { [0.1, 0.5] };
        let next = Scene {
            canvas: [scene.canvas[0] + drawn[0], scene.canvas[1] + drawn[1]],
            h,
            last: what,
            q: scene.q + flip(1, logit) + flip(what, out(1)),
            prior: scene.prior + bernoulli(1, 0.4) + bernoulli(what, 0.6),
        };
        total = total + air_after(p, x, t + 1, next);
    }
    total
}

/// Given the number of objects the rest is normal.
fn scene_of_normals(p: &[Vec<Dual>]) -> Dual {
    let (c, m) = (&p[0], p[1][0]);
    let mut total = zero();
    for n in 0..4 {
        let (mut q, mut prior, mut inner) = (zero(), zero(), zero());
        let (mut mean, mut variance) = (zero(), 0.0);
        #[expect(clippy::needless_range_loop, reason = "`t` is a time, not a place in one array")]
        for t in 0..n {
            q = q + flip(1, c[t]);
            prior = prior + bernoulli(1, 0.4);
            let own = m + 0.1 * t as f64;
            mean = mean + own;
            variance += 0.36;
            // E log N(x; 0, 1) and the entropy of N(own, 0.6)
            inner = inner - (own.square() + 0.36) * 0.5 - 0.5 * (2.0 * PI).ln();
            inner = inner + 0.5 * (2.0 * PI * E * 0.36).ln();
        }
        if n < 3 {
            q = q + flip(0, c[n]);
            prior = prior + bernoulli(0, 0.4);
        }
        let seen = normal(1.7, mean, 0.9) - 0.5 * variance / 0.81;
        total = total + q.exp() * (prior - q + inner + seen);
    }
    total
}

fn run_length(p: &[Vec<Dual>]) -> Dual {
    let logit = |t: usize| p[0][0] + p[1][0] * t as f64;
    let mut total = zero();
    let (mut q, mut prior) = (zero(), zero());
    for n in 0..12 {
        let seen = normal(3.2, n as f64, 1.5);
        total = total + weighed(q + flip(0, logit(n)), prior + bernoulli(0, 0.7) + seen);
        q = q + flip(1, logit(n));
        prior = prior + bernoulli(1, 0.7);
    }
    total + weighed(q, prior + normal(3.2, 12.0, 1.5))
}

fn torture(p: &[Vec<Dual>]) -> Dual {
    const Y: [(usize, f64); 5] = [(0, 0.5), (0, -0.3), (1, 1.2), (1, 0.7), (1, 2.1)];
    let (l, c, bm, am) = (&p[0], p[1][0], &p[2], p[3][0]);
    let half_log = 0.5 * (2.0 * PI).ln();
    let mut total = zero();
    for k in 0..2 {
        let q = categorical(k, l);
        let mut inner = real(0.5).ln() - q;
        let mean = if k == 0 { 0.0 } else { 2.0 };
        // E log N(a; mean, 1) and the entropy of N(am, 1)
        inner = inner - ((am - mean).square() + 1.0) * 0.5 - half_log + 0.5 * (2.0 * PI * E).ln();
        for &(g, y) in &Y {
            let square = (bm[2 * g + k] - y).square() + 0.09;
            inner = inner
                + if k == 0 {
                    square * -0.5 - half_log
                } else {
                    // x = exp(u / 2), u standard normal
                    integrate(&[-9.0, 9.0], |u| {
                        let sd = 0.1 + (0.5 * u).exp();
                        normal(u, 0.0, 1.0).exp() * (square * (-0.5 / (sd * sd)) - half_log - sd.ln())
                    })
                };
        }
        if k == 1 {
            // E log gamma(x; 2, 1) = E log x - E x, and the entropy of the log-normal
            inner = inner - (0.125_f64).exp() + 0.5 * (2.0 * PI * E * 0.25).ln();
        }
        total = total + q.exp() * inner;
    }
    for b in bm {
        total = total - ((*b - am).square() + 1.09) * 0.5 - half_log + 0.5 * (2.0 * PI * E * 0.09).ln();
    }
    let mut reached = real(1.0);
    for _ in 0..4 {
        let more = flip(1, c);
        total = total + reached * (weighed(more, bernoulli(1, 0.3)) + weighed(flip(0, c), bernoulli(0, 0.3)));
        reached = reached * more.exp();
    }
    total
}

//! Forward-mode dual numbers, and the log densities and sums that reference gradients are made of: written from the
//! definitions, without anything of Provi's.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// A value and its derivative in one direction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dual {
    pub(crate) value: f64,
    pub(crate) slope: f64,
}

impl From<f64> for Dual {
    fn from(value: f64) -> Dual {
        Dual { value, slope: 0.0 }
    }
}

/// A constant.
pub(crate) fn real(x: f64) -> Dual {
    x.into()
}

/// A constant from a count or an index.
pub(crate) fn int(x: usize) -> Dual {
    real(x as f64)
}

impl Dual {
    fn chain(self, value: f64, derivative: f64) -> Dual {
        Dual { value, slope: derivative * self.slope }
    }
    pub(crate) fn exp(self) -> Dual {
        self.chain(self.value.exp(), self.value.exp())
    }
    pub(crate) fn ln(self) -> Dual {
        self.chain(self.value.ln(), 1.0 / self.value)
    }
    pub(crate) fn sin(self) -> Dual {
        self.chain(self.value.sin(), self.value.cos())
    }
    pub(crate) fn square(self) -> Dual {
        self * self
    }
    pub(crate) fn sigmoid(self) -> Dual {
        real(1.0) / (real(1.0) + (-self).exp())
    }
}

impl<T: Into<Dual>> Add<T> for Dual {
    type Output = Dual;
    fn add(self, other: T) -> Dual {
        let other = other.into();
        Dual { value: self.value + other.value, slope: self.slope + other.slope }
    }
}

impl<T: Into<Dual>> Sub<T> for Dual {
    type Output = Dual;
    fn sub(self, other: T) -> Dual {
        let other = other.into();
        Dual { value: self.value - other.value, slope: self.slope - other.slope }
    }
}

impl<T: Into<Dual>> Mul<T> for Dual {
    type Output = Dual;
    fn mul(self, other: T) -> Dual {
        let other = other.into();
        Dual { value: self.value * other.value, slope: self.slope * other.value + self.value * other.slope }
    }
}

impl<T: Into<Dual>> Div<T> for Dual {
    type Output = Dual;
    fn div(self, other: T) -> Dual {
        let other = other.into();
        let value = self.value / other.value;
        Dual { value, slope: (self.slope - value * other.slope) / other.value }
    }
}

impl Neg for Dual {
    type Output = Dual;
    fn neg(self) -> Dual {
        Dual { value: -self.value, slope: -self.slope }
    }
}

/// log of the normal density.
pub(crate) fn normal(x: impl Into<Dual>, mean: impl Into<Dual>, sd: impl Into<Dual>) -> Dual {
    let sd = sd.into();
    let z = (x.into() - mean) / sd;
    z.square() * -0.5 - sd.ln() - 0.5 * (2.0 * std::f64::consts::PI).ln()
}

/// log of a Bernoulli probability.
pub(crate) fn bernoulli(x: usize, p: impl Into<Dual>) -> Dual {
    let p = p.into();
    if x == 1 { p.ln() } else { (real(1.0) - p).ln() }
}

/// The same, from a logit.
pub(crate) fn flip(x: usize, logit: impl Into<Dual>) -> Dual {
    bernoulli(x, logit.into().sigmoid())
}

/// log of a Poisson probability.
pub(crate) fn poisson(n: usize, rate: impl Into<Dual>) -> Dual {
    let rate = rate.into();
    let factorial: f64 = (1..=n).map(|k| (k as f64).ln()).sum();
    rate.ln() * n as f64 - rate - factorial
}

/// log of a categorical probability, from logits.
pub(crate) fn categorical(k: usize, logits: &[Dual]) -> Dual {
    let total = logits.iter().fold(real(0.0), |sum, l| sum + l.exp());
    logits[k] - total.ln()
}

/// `Σ_z q(z) (log p(z) - log q(z))` over all assignments; `logs` gives `(log q, log p)`.
pub(crate) fn enumerate(supports: &[usize], logs: impl Fn(&[usize]) -> (Dual, Dual)) -> Dual {
    let size: usize = supports.iter().product();
    let mut z = vec![0; supports.len()];
    let mut total = real(0.0);
    for k in 0..size {
        let mut rest = k;
        for (x, &n) in z.iter_mut().zip(supports) {
            *x = rest % n;
            rest /= n;
        }
        let (q, p) = logs(&z);
        total = total + q.exp() * (p - q);
    }
    total
}

/// The evidence lower bound of a chain of `length` states out of `states`, by the forward algorithm. `first(v)` and
/// `next(t, u, v)` give `(log q, log p)` of a state after nothing and after `u`; `None` where it cannot follow.
pub(crate) fn chain(
    length: usize,
    states: usize,
    first: impl Fn(usize) -> (Dual, Dual),
    next: impl Fn(usize, usize, usize) -> Option<(Dual, Dual)>,
) -> Dual {
    let mut total = real(0.0);
    let mut now = Vec::new();
    for v in 0..states {
        let (q, p) = first(v);
        total = total + q.exp() * (p - q);
        now.push(q.exp());
    }
    for t in 1..length {
        let mut after = vec![real(0.0); states];
        for (u, &weight) in now.iter().enumerate() {
            for (v, sum) in after.iter_mut().enumerate() {
                let Some((q, p)) = next(t, u, v) else { continue };
                let joint = weight * q.exp();
                total = total + joint * (p - q);
                *sum = *sum + joint;
            }
        }
        now = after;
    }
    total
}

/// Simpson's rule over pieces of fixed ends, so that the derivative may pass under the integral.
pub(crate) fn integrate(ends: &[f64], f: impl Fn(f64) -> Dual) -> Dual {
    const STEPS: usize = 2000;
    let mut total = real(0.0);
    for piece in ends.windows(2) {
        let h = (piece[1] - piece[0]) / STEPS as f64;
        for k in 0..=STEPS {
            let weight = if k == 0 || k == STEPS { 1.0 } else { 2.0 + 2.0 * (k % 2) as f64 };
            // At a jump each piece takes its own side.
            let nudge = if k == 0 {
                1e-12
            } else if k == STEPS {
                -1e-12
            } else {
                0.0
            };
            total = total + f(piece[0] + h * k as f64 + nudge) * (weight * h / 3.0);
        }
    }
    total
}

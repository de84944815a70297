//! Log densities on unconstrained latents, with gradients by hand.

/// What a guide is fitted to.
pub(super) trait Target: Send {
    fn dim(&self) -> usize;
    /// log density (log Jacobians included); writes the gradient.
    fn log_joint(&mut self, x: &[f64], gradient: &mut [f64]) -> f64;
    fn names(&self) -> Vec<String>;
    /// Constrained quantities at `x`.
    fn report(&self, x: &[f64], out: &mut [f64]);
}

impl Target for Box<dyn Target> {
    fn dim(&self) -> usize {
        (**self).dim()
    }
    fn log_joint(&mut self, x: &[f64], gradient: &mut [f64]) -> f64 {
        (**self).log_joint(x, gradient)
    }
    fn names(&self) -> Vec<String> {
        (**self).names()
    }
    fn report(&self, x: &[f64], out: &mut [f64]) {
        (**self).report(x, out);
    }
}

pub(super) const LOG_TAU: f64 = 1.837_877_066_409_345_5;

pub(super) fn normal(x: f64, sd: f64) -> f64 {
    -0.5 * LOG_TAU - sd.ln() - 0.5 * (x / sd) * (x / sd)
}

/// Prior of a scale.
#[derive(Clone, Copy)]
pub(super) enum ScalePrior {
    HalfCauchy(f64),
    HalfNormal(f64),
    Flat,
}

impl ScalePrior {
    /// Density of log scale `t` and its derivative.
    pub(super) fn on_log(self, t: f64) -> (f64, f64) {
        let s = t.exp();
        match self {
            ScalePrior::HalfCauchy(c) => {
                let r = (s / c) * (s / c);
                ((2.0 / (std::f64::consts::PI * c)).ln() - r.ln_1p() + t, 1.0 - 2.0 * r / (1.0 + r))
            }
            ScalePrior::HalfNormal(c) => {
                let r = (s / c) * (s / c);
                (2.0f64.ln() + normal(s, c) + t, 1.0 - r)
            }
            ScalePrior::Flat => (t, 1.0),
        }
    }
}

/// Linear regression: coefficients, then log sigma.
pub(super) struct Regression {
    pub(super) rows: Vec<Vec<f64>>,
    pub(super) y: Vec<f64>,
    /// Normal sd, or `None` for flat.
    pub(super) prior: Option<f64>,
    pub(super) scale: ScalePrior,
    pub(super) names: Vec<String>,
}

impl Target for Regression {
    fn dim(&self) -> usize {
        self.rows[0].len() + 1
    }
    fn log_joint(&mut self, x: &[f64], gradient: &mut [f64]) -> f64 {
        let d = self.rows[0].len();
        let t = x[d];
        let inverse = (-2.0 * t).exp();
        let (mut value, slope) = self.scale.on_log(t);
        gradient.fill(0.0);
        gradient[d] = slope;
        if let Some(sd) = self.prior {
            for j in 0..d {
                value += normal(x[j], sd);
                gradient[j] -= x[j] / (sd * sd);
            }
        }
        let mut squares = 0.0;
        for (row, y) in self.rows.iter().zip(&self.y) {
            let r = y - row.iter().zip(x).map(|(a, b)| a * b).sum::<f64>();
            squares += r * r;
            for j in 0..d {
                gradient[j] += inverse * r * row[j];
            }
        }
        let n = self.y.len() as f64;
        gradient[d] += inverse * squares - n;
        value - n * (0.5 * LOG_TAU + t) - 0.5 * inverse * squares
    }
    fn names(&self) -> Vec<String> {
        self.names.clone()
    }
    fn report(&self, x: &[f64], out: &mut [f64]) {
        out.copy_from_slice(x);
        let d = x.len() - 1;
        out[d] = x[d].exp();
    }
}

/// Eight schools: mu, log tau, then z (non-centred) or theta (centred).
pub(super) struct Schools {
    pub(super) y: Vec<f64>,
    pub(super) sigma: Vec<f64>,
    pub(super) centred: bool,
}

impl Target for Schools {
    fn dim(&self) -> usize {
        10
    }
    fn log_joint(&mut self, x: &[f64], gradient: &mut [f64]) -> f64 {
        let (mu, tau) = (x[0], x[1].exp());
        let (prior, slope) = ScalePrior::HalfCauchy(5.0).on_log(x[1]);
        let mut value = normal(mu, 5.0) + prior;
        gradient[0] = -mu / 25.0;
        gradient[1] = slope;
        for j in 0..8 {
            let s = self.sigma[j];
            if self.centred {
                let (d, r) = ((x[2 + j] - mu) / tau, (self.y[j] - x[2 + j]) / s);
                value += normal(d, 1.0) - x[1] + normal(r * s, s);
                gradient[0] += d / tau;
                gradient[1] += d * d - 1.0;
                gradient[2 + j] = -d / tau + r / s;
            } else {
                let z = x[2 + j];
                let r = (self.y[j] - mu - tau * z) / (s * s);
                value += normal(z, 1.0) + normal(r * s * s, s);
                gradient[0] += r;
                gradient[1] += r * tau * z;
                gradient[2 + j] = r * tau - z;
            }
        }
        value
    }
    fn names(&self) -> Vec<String> {
        let theta = (1..=8).map(|j| format!("theta[{j}]"));
        ["mu".to_string(), "tau".to_string()].into_iter().chain(theta).collect()
    }
    fn report(&self, x: &[f64], out: &mut [f64]) {
        out[0] = x[0];
        out[1] = x[1].exp();
        for j in 2..10 {
            out[j] = if self.centred { x[j] } else { x[0] + out[1] * x[j] };
        }
    }
}

/// Logistic regression with standard normal coefficients.
pub(super) struct Logistic {
    pub(super) rows: Vec<Vec<f64>>,
    pub(super) y: Vec<f64>,
}

fn log1p_exp(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

impl Target for Logistic {
    fn dim(&self) -> usize {
        self.rows[0].len()
    }
    fn log_joint(&mut self, x: &[f64], gradient: &mut [f64]) -> f64 {
        let mut value = 0.0;
        for (g, w) in gradient.iter_mut().zip(x) {
            value += normal(*w, 1.0);
            *g = -w;
        }
        for (row, y) in self.rows.iter().zip(&self.y) {
            let eta: f64 = row.iter().zip(x).map(|(a, b)| a * b).sum();
            value += y * eta - log1p_exp(eta);
            let r = y - sigmoid(eta);
            gradient.iter_mut().zip(row).for_each(|(g, a)| *g += r * a);
        }
        value
    }
    fn names(&self) -> Vec<String> {
        (1..=self.dim()).map(|j| format!("w[{j}]")).collect()
    }
    fn report(&self, x: &[f64], out: &mut [f64]) {
        out.copy_from_slice(x);
    }
}

/// Random-effects logistic: alpha0, alpha1, alpha2, alpha12, log sigma, b.
pub(super) struct Seeds {
    pub(super) r: Vec<f64>,
    pub(super) n: Vec<f64>,
    pub(super) x1: Vec<f64>,
    pub(super) x2: Vec<f64>,
    pub(super) constant: f64,
}

impl Target for Seeds {
    fn dim(&self) -> usize {
        5 + self.r.len()
    }
    fn log_joint(&mut self, x: &[f64], gradient: &mut [f64]) -> f64 {
        let sigma = x[4].exp();
        let mut value = self.constant - sigma + x[4];
        gradient[4] = 1.0 - sigma;
        for j in 0..4 {
            value += normal(x[j], 1000.0);
            gradient[j] = -x[j] / 1e6;
        }
        for i in 0..self.r.len() {
            let design = [1.0, self.x1[i], self.x2[i], self.x1[i] * self.x2[i]];
            let b = x[5 + i];
            let eta = sigma * b + design.iter().zip(x).map(|(a, b)| a * b).sum::<f64>();
            value += normal(b, 1.0) + self.r[i] * eta - self.n[i] * log1p_exp(eta);
            let g = self.r[i] - self.n[i] * sigmoid(eta);
            for j in 0..4 {
                gradient[j] += g * design[j];
            }
            gradient[4] += g * sigma * b;
            gradient[5 + i] = g * sigma - b;
        }
        value
    }
    fn names(&self) -> Vec<String> {
        ["alpha0", "alpha1", "alpha2", "alpha12", "sigma"].map(String::from).to_vec()
    }
    fn report(&self, x: &[f64], out: &mut [f64]) {
        out.copy_from_slice(&x[..5]);
        out[4] = x[4].exp();
    }
}

/// Two normals: mu1, log(mu2 - mu1), log sigmas, logit theta.
pub(super) struct Mixture {
    pub(super) y: Vec<f64>,
}

impl Target for Mixture {
    fn dim(&self) -> usize {
        5
    }
    fn log_joint(&mut self, x: &[f64], gradient: &mut [f64]) -> f64 {
        let gap = x[1].exp();
        let mu = [x[0], x[0] + gap];
        let sd = [x[2].exp(), x[3].exp()];
        let theta = sigmoid(x[4]);
        let mut value = x[1];
        gradient.fill(0.0);
        gradient[1] = 1.0;
        let mut mu_gradient = [0.0; 2];
        for k in 0..2 {
            value += normal(mu[k], 2.0);
            mu_gradient[k] -= mu[k] / 4.0;
            let (prior, slope) = ScalePrior::HalfNormal(2.0).on_log(x[2 + k]);
            value += prior;
            gradient[2 + k] += slope;
        }
        // Beta(5, 5): log B = ln(1/630); with the Jacobian theta (1 - theta).
        let (log_theta, log_rest) = (-log1p_exp(-x[4]), -log1p_exp(x[4]));
        value += 630.0f64.ln() + 5.0 * (log_theta + log_rest);
        gradient[4] += 5.0 * (1.0 - 2.0 * theta);
        for y in &self.y {
            let lower = log_theta + normal(y - mu[0], sd[0]);
            let upper = log_rest + normal(y - mu[1], sd[1]);
            let top = lower.max(upper);
            let total = top + ((lower - top).exp() + (upper - top).exp()).ln();
            value += total;
            let share = [(lower - total).exp(), (upper - total).exp()];
            for k in 0..2 {
                let r = (y - mu[k]) / sd[k];
                mu_gradient[k] += share[k] * r / sd[k];
                gradient[2 + k] += share[k] * (r * r - 1.0);
            }
            gradient[4] += share[0] * (1.0 - theta) - share[1] * theta;
        }
        gradient[0] += mu_gradient[0] + mu_gradient[1];
        gradient[1] += mu_gradient[1] * gap;
        value
    }
    fn names(&self) -> Vec<String> {
        ["mu[1]", "mu[2]", "sigma[1]", "sigma[2]", "theta"].map(String::from).to_vec()
    }
    fn report(&self, x: &[f64], out: &mut [f64]) {
        out.copy_from_slice(&[x[0], x[0] + x[1].exp(), x[2].exp(), x[3].exp(), sigmoid(x[4])]);
    }
}

/// Gaussian-process regression: log rho, log alpha, log sigma.
pub(super) struct Process {
    pub(super) x: Vec<f64>,
    pub(super) y: Vec<f64>,
}

impl Target for Process {
    fn dim(&self) -> usize {
        3
    }
    fn log_joint(&mut self, t: &[f64], gradient: &mut [f64]) -> f64 {
        use crate::inference::dense;
        let n = self.x.len();
        let (rho, alpha, sigma) = (t[0].exp(), t[1].exp(), t[2].exp());
        let (mut k, mut by_rho, mut by_alpha) = (vec![0.0; n * n], vec![0.0; n * n], vec![0.0; n * n]);
        for i in 0..n {
            for j in 0..n {
                let d = (self.x[i] - self.x[j]) / rho;
                let c = alpha * alpha * (-0.5 * d * d).exp();
                k[i * n + j] = c + if i == j { sigma } else { 0.0 };
                by_rho[i * n + j] = c * d * d;
                by_alpha[i * n + j] = 2.0 * c;
            }
        }
        // Gamma(25, 4): log 4^25 / 24!.
        let log_factorial: f64 = (1..=24).map(|i| f64::from(i).ln()).sum();
        let (alpha_prior, alpha_slope) = ScalePrior::HalfNormal(2.0).on_log(t[1]);
        let (sigma_prior, sigma_slope) = ScalePrior::HalfNormal(1.0).on_log(t[2]);
        gradient.copy_from_slice(&[25.0 - 4.0 * rho, alpha_slope, sigma_slope]);
        let Some(l) = dense::cholesky(&k, n) else { return f64::NAN };
        let mut a = self.y.clone();
        dense::solve_lower(&l, n, &mut a);
        let quadratic = dense::dot(&a, &a);
        dense::solve_lower_transposed(&l, n, &mut a);
        let inverse = dense::inverse_from_cholesky(&l, n);
        for i in 0..n {
            for j in 0..n {
                let w = 0.5 * (a[i] * a[j] - inverse[i * n + j]);
                gradient[0] += w * by_rho[i * n + j];
                gradient[1] += w * by_alpha[i * n + j];
                gradient[2] += w * if i == j { sigma } else { 0.0 };
            }
        }
        let log_det: f64 = (0..n).map(|i| l[i * n + i].ln()).sum();
        25.0 * 4.0f64.ln() - log_factorial + 25.0 * t[0] - 4.0 * rho + alpha_prior + sigma_prior
            - 0.5 * quadratic
            - log_det
            - 0.5 * n as f64 * LOG_TAU
    }
    fn names(&self) -> Vec<String> {
        ["rho", "alpha", "sigma"].map(String::from).to_vec()
    }
    fn report(&self, x: &[f64], out: &mut [f64]) {
        out.iter_mut().zip(x).for_each(|(o, v)| *o = v.exp());
    }
}

/// A Gaussian with the given location and lower factor of the covariance; its evidence is 1.
pub(super) struct Gaussian {
    pub(super) location: Vec<f64>,
    pub(super) factor: Vec<f64>,
}

impl Target for Gaussian {
    fn dim(&self) -> usize {
        self.location.len()
    }
    fn log_joint(&mut self, x: &[f64], gradient: &mut [f64]) -> f64 {
        use crate::inference::dense;
        let n = x.len();
        let mut e: Vec<f64> = x.iter().zip(&self.location).map(|(a, b)| a - b).collect();
        dense::solve_lower(&self.factor, n, &mut e);
        let log_det: f64 = (0..n).map(|i| self.factor[i * n + i].ln()).sum();
        let value = -0.5 * dense::dot(&e, &e) - log_det - 0.5 * n as f64 * LOG_TAU;
        dense::solve_lower_transposed(&self.factor, n, &mut e);
        gradient.iter_mut().zip(&e).for_each(|(g, v)| *g = -v);
        value
    }
    fn names(&self) -> Vec<String> {
        (0..self.dim()).map(|j| format!("x[{j}]")).collect()
    }
    fn report(&self, x: &[f64], out: &mut [f64]) {
        out.copy_from_slice(x);
    }
}

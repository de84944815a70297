//! Quasi-Newton ascent of a deterministic function: the inverse Hessian from changes of the gradient, and a line search that
//! bears functions that are not finite everywhere.

use super::dense;

/// Above this many variables the inverse Hessian is kept as the memory of L-BFGS.
pub(crate) const DENSE: usize = 300;

/// Share of the gain that the slope promises which a step must give. Not the usual 1e-4: where the gradient is only in the mean
/// that of the value, a step that gives next to nothing of it must not be doubled for ever.
const SUFFICIENT: f64 = 0.1;

/// What is climbed.
pub(crate) trait Hill {
    /// Value and gradient; `-inf` where one is not finite.
    fn at(&mut self, x: &[f64], gradient: &mut [f64]) -> f64;
    /// The search should end.
    fn cancelled(&self) -> bool;
}

/// A place reached.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) x: Vec<f64>,
    pub(crate) value: f64,
    pub(crate) gradient: Vec<f64>,
}

/// One step: a place that climbs along the quasi-Newton direction, the curvature updated; `None` where none climbs or the
/// expected gain is below `least`.
pub(crate) fn ascend(hill: &mut dyn Hill, point: &Point, curvature: &mut Curvature, least: f64) -> Option<Point> {
    let mut direction = curvature.ascent(&point.gradient);
    let mut decrement = dense::dot(&direction, &point.gradient);
    if decrement.is_nan() || decrement <= 0.0 {
        *curvature = Curvature::new(point.x.len());
        direction.copy_from_slice(&point.gradient);
        decrement = dense::dot(&direction, &point.gradient);
    }
    if decrement <= least {
        return None;
    }
    let first = if curvature.informed() { 1.0 } else { 1.0 / dense::norm(&point.gradient).max(1.0) };
    let next = climb(hill, point, &direction, first)?;
    let step: Vec<f64> = next.x.iter().zip(&point.x).map(|(a, b)| a - b).collect();
    let change: Vec<f64> = point.gradient.iter().zip(&next.gradient).map(|(a, b)| a - b).collect();
    curvature.update(&step, &change);
    Some(next)
}

/// A step along `direction` that meets the weak Wolfe conditions, by bisection and doubling (Lewis and Overton,
/// Math. Program. 2013, algorithm 2.6); a point that only climbs if none is found; `None` if none climbs.
fn climb(hill: &mut dyn Hill, from: &Point, direction: &[f64], first: f64) -> Option<Point> {
    let slope = dense::dot(&from.gradient, direction);
    let (mut low, mut high) = (0.0, f64::INFINITY);
    let mut t = first;
    let mut climbed: Option<Point> = None;
    // Rounding of a sum of this size hides smaller gains.
    let rounding = 1e-13 * from.value.abs();
    for _ in 0..60 {
        let x: Vec<f64> = from.x.iter().zip(direction).map(|(a, d)| a + t * d).collect();
        let mut gradient = vec![0.0; x.len()];
        let value = hill.at(&x, &mut gradient);
        if value.is_nan() || value < from.value + SUFFICIENT * t * slope - rounding {
            high = t;
        } else if dense::dot(&gradient, direction) > 0.9 * slope {
            low = t;
            climbed = Some(Point { x, value, gradient });
        } else {
            return Some(Point { x, value, gradient });
        }
        t = if high.is_finite() { 0.5 * (low + high) } else { 2.0 * low };
        if high - low < 1e-14 * high || t > 1e12 || hill.cancelled() {
            break;
        }
    }
    climbed
}

/// Quasi-Newton inverse Hessian of the negated function: dense BFGS, or the scaled memory of L-BFGS.
#[derive(Clone, Debug)]
pub(crate) struct Curvature {
    n: usize,
    pairs: usize,
    given: bool,
    /// `[n, n]` if dense, else empty.
    inverse: Vec<f64>,
    memory: Vec<(Vec<f64>, Vec<f64>)>,
    scale: f64,
}

impl Curvature {
    pub(crate) fn new(n: usize) -> Curvature {
        let mut inverse = Vec::new();
        if n <= DENSE {
            inverse = vec![0.0; n * n];
            (0..n).for_each(|i| inverse[i * n + i] = 1.0);
        }
        Curvature { n, pairs: 0, given: false, inverse, memory: Vec::new(), scale: 1.0 }
    }

    /// From a lower factor of a known inverse Hessian, `[n, n]`.
    pub(crate) fn from_factor(factor: &[f64], n: usize) -> Curvature {
        let mut inverse = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..n {
                inverse[i * n + j] = (0..=i.min(j)).map(|k| factor[i * n + k] * factor[j * n + k]).sum();
            }
        }
        Curvature { n, pairs: 0, given: true, inverse, memory: Vec::new(), scale: 1.0 }
    }

    /// Something is known of the function's scale.
    pub(crate) fn informed(&self) -> bool {
        self.given || self.pairs > 0
    }

    pub(crate) fn ascent(&self, gradient: &[f64]) -> Vec<f64> {
        if !self.inverse.is_empty() {
            return dense::product(&self.inverse, self.n, gradient);
        }
        let mut q = gradient.to_vec();
        let mut weights = Vec::with_capacity(self.memory.len());
        for (s, y) in self.memory.iter().rev() {
            let a = dense::dot(s, &q) / dense::dot(s, y);
            q.iter_mut().zip(y).for_each(|(q, y)| *q -= a * y);
            weights.push(a);
        }
        q.iter_mut().for_each(|q| *q *= self.scale);
        for ((s, y), a) in self.memory.iter().zip(weights.into_iter().rev()) {
            let b = dense::dot(y, &q) / dense::dot(s, y);
            q.iter_mut().zip(s).for_each(|(q, s)| *q += (a - b) * s);
        }
        q
    }

    /// `step` moved, `change` = decrease of the gradient.
    fn update(&mut self, step: &[f64], change: &[f64]) {
        let n = self.n;
        let sy = dense::dot(step, change);
        let yy = dense::dot(change, change);
        if !sy.is_finite() || yy == 0.0 || sy <= 1e-12 * dense::norm(step) * yy.sqrt() {
            return;
        }
        self.pairs += 1;
        if self.inverse.is_empty() {
            self.scale = sy / yy;
            if self.memory.len() == 20 {
                self.memory.remove(0);
            }
            self.memory.push((step.to_vec(), change.to_vec()));
            return;
        }
        if self.pairs == 1 && !self.given {
            self.inverse.fill(0.0);
            (0..n).for_each(|i| self.inverse[i * n + i] = sy / yy);
        }
        let hy = dense::product(&self.inverse, n, change);
        let yhy = dense::dot(change, &hy);
        let c = (1.0 + yhy / sy) / sy;
        for i in 0..n {
            for j in 0..n {
                self.inverse[i * n + j] += c * step[i] * step[j] - (hy[i] * step[j] + step[i] * hy[j]) / sy;
            }
        }
        dense::symmetrise(&mut self.inverse, n);
    }

    /// Lower factor of the inverse Hessian; of its scale alone, where only a memory is kept.
    pub(crate) fn factor(&self) -> Option<Vec<f64>> {
        let n = self.n;
        if !self.inverse.is_empty() {
            return dense::cholesky(&self.inverse, n);
        }
        let mut factor = vec![0.0; n * n];
        for i in 0..n {
            factor[i * n + i] = self.scale.sqrt();
        }
        Some(factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Rosenbrock {
        calls: usize,
    }

    impl Hill for Rosenbrock {
        fn at(&mut self, x: &[f64], gradient: &mut [f64]) -> f64 {
            self.calls += 1;
            let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
            gradient[0] = 2.0 * a + 400.0 * x[0] * b;
            gradient[1] = -200.0 * b;
            if x[0].abs() > 3.0 { f64::NEG_INFINITY } else { -(a * a + 100.0 * b * b) }
        }
        fn cancelled(&self) -> bool {
            false
        }
    }

    #[test]
    fn climbs_a_curved_ridge() {
        let mut hill = Rosenbrock { calls: 0 };
        let mut gradient = vec![0.0; 2];
        let value = hill.at(&[-1.2, 1.0], &mut gradient);
        let mut point = Point { x: vec![-1.2, 1.0], value, gradient };
        let mut curvature = Curvature::new(2);
        while let Some(next) = ascend(&mut hill, &point, &mut curvature, 1e-18) {
            point = next;
        }
        assert!((point.x[0] - 1.0).abs() < 1e-6 && (point.x[1] - 1.0).abs() < 1e-6, "{point:?}");
        assert!(hill.calls < 150, "{}", hill.calls);
    }
}

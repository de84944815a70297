//! Value and gradient of an objective at given parameters, with standard errors: what `provi grad` prints.

use super::summary::Estimate;
use crate::runtime::executable::{Status, Stream};

/// Means over samples.
#[derive(Clone, Debug, PartialEq)]
pub struct GradientEstimate {
    pub value: Estimate,
    pub gradient: Vec<Estimate>,
    pub samples: usize,
}

/// A sample that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BadSample {
    pub stream: Stream,
    pub status: Status,
    pub value: f64,
}

/// Runs `step` on streams `0..samples` of `seed` (it writes `len` gradient elements and returns the value). Means and
/// variances are accumulated by Welford's recurrence; one sample gives errors of NaN.
pub fn gradient_estimate(
    len: usize,
    samples: usize,
    seed: u64,
    mut step: impl FnMut(Stream, &mut [f64]) -> (f64, Status),
) -> Result<GradientEstimate, BadSample> {
    let mut row = vec![0.0; len + 1];
    let mut mean = vec![0.0; len + 1];
    let mut squares = vec![0.0; len + 1];
    for index in 0..samples {
        let stream = Stream { seed, step: index as u32 };
        let (value, status) = step(stream, &mut row[1..]);
        row[0] = value;
        if status != Status::Fine || row.iter().any(|x| x.is_nan()) {
            return Err(BadSample { stream, status, value });
        }
        let count = (index + 1) as f64;
        for ((x, m), s) in row.iter().zip(&mut mean).zip(&mut squares) {
            let difference = x - *m;
            *m += difference / count;
            *s += difference * (x - *m);
        }
    }
    let n = samples as f64;
    let mut estimates = mean
        .iter()
        .zip(&squares)
        .map(|(&mean, s)| Estimate { mean, mcse: if samples > 1 { (s / (n - 1.0) / n).sqrt() } else { f64::NAN } });
    let value = estimates.next().unwrap_or(Estimate { mean: f64::NAN, mcse: f64::NAN });
    Ok(GradientEstimate { value, gradient: estimates.collect(), samples })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_and_errors() {
        let found = gradient_estimate(1, 4, 9, |stream, gradient| {
            assert_eq!(stream.seed, 9);
            gradient[0] = 1.0;
            (f64::from(stream.step), Status::Fine)
        })
        .unwrap();
        assert_eq!(found.value.mean, 1.5);
        assert!((found.value.mcse - (5.0f64 / 3.0 / 4.0).sqrt()).abs() < 1e-15);
        assert_eq!(found.gradient, [Estimate { mean: 1.0, mcse: 0.0 }]);
        let bad = gradient_estimate(1, 4, 9, |stream, _| (if stream.step == 2 { f64::NAN } else { 0.0 }, Status::Fine));
        assert_eq!(bad.unwrap_err().stream.step, 2);
    }
}

//! The stopping rule. Training runs in epochs of doubling length, each ending in an average of iterates; the rule looks at
//! how far the average has moved since the last one against the Monte Carlo error of both, at fixed step numbers, never
//! at a clock. In whitened coordinates half a squared distance is a loss of the objective, so that all figures here are
//! in nats.

use super::summary::Estimate;

/// Steps of the first epoch; epoch `k` has this times `2^k`.
pub(crate) const FIRST_EPOCH: usize = 250;
/// Epochs before the rule may hold.
const LEAST_EPOCHS: usize = 4;

/// What is known at the end of an epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EpochReport {
    pub(crate) epoch: usize,
    /// Half the squared distance between this epoch's average and the last one's; `None` without whitened coordinates.
    pub(crate) drift: Option<f64>,
    /// Expected loss by the Monte Carlo error of this average, by batch means; likewise of the last (infinite: there is none in
    /// these coordinates).
    pub(crate) noise: f64,
    pub(crate) noise_before: f64,
    /// Objective at this average minus at the last, on the same random numbers.
    pub(crate) gain: Estimate,
}

/// Loss that is left alone: 0.01 nats, more where very many parameters are fitted.
pub(crate) fn tolerance(params: usize) -> f64 {
    (2e-5 * params as f64).max(0.01)
}

pub(crate) fn settled(report: &EpochReport, tolerance: f64) -> bool {
    if report.epoch + 1 < LEAST_EPOCHS || !report.gain.mean.is_finite() {
        return false;
    }
    let resolved = report.gain.mean < tolerance.max(2.0 * report.gain.mcse);
    match report.drift {
        Some(drift) => {
            let systematic = drift - report.noise - report.noise_before;
            resolved && report.noise_before.is_finite() && systematic < tolerance && report.noise < tolerance
        }
        None => resolved,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_is_weighed_against_noise() {
        let report = EpochReport {
            epoch: 4,
            drift: Some(0.012),
            noise: 0.004,
            noise_before: 0.008,
            gain: Estimate { mean: 0.001, mcse: 0.002 },
        };
        assert!(settled(&report, 0.01));
        assert!(!settled(&EpochReport { drift: Some(0.03), ..report }, 0.01));
        assert!(!settled(&EpochReport { noise: 0.02, ..report }, 0.01));
        assert!(!settled(&EpochReport { gain: Estimate { mean: 0.02, mcse: 0.001 }, ..report }, 0.01));
        assert!(!settled(&EpochReport { epoch: 1, ..report }, 0.01));
        assert!(!settled(&EpochReport { noise_before: f64::INFINITY, ..report }, 0.01));
        assert!(!settled(&EpochReport { gain: Estimate { mean: f64::NAN, mcse: 0.0 }, ..report }, 0.01));
    }
}

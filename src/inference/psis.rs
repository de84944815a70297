//! Pareto smoothed importance sampling's diagnostic: the shape k̂ of a generalised Pareto fitted to the largest weights
//! (Vehtari, Simpson, Gelman, Yao, Gabry, JMLR 2024, section 3; fit by Zhang and Stephens, Technometrics 2009, with
//! the weak prior of the JMLR paper's appendix C).

/// Draws in one batch of the reported k̂: the largest observable k̂ grows with the number of draws, so that figures
/// compare only at one batch size.
pub const BATCH: usize = 4000;

/// k̂ of the ratios whose logs are given. `-inf` where the largest ratios do not differ, `inf` where a ratio is infinite or
/// not a number, or too few are left to fit.
pub fn khat(log_ratios: &[f64]) -> f64 {
    if log_ratios.iter().any(|r| r.is_nan() || *r == f64::INFINITY) {
        return f64::INFINITY;
    }
    let count = log_ratios.len();
    let tail_len = (0.2 * count as f64).min(3.0 * (count as f64).sqrt()).ceil() as usize;
    if tail_len < 5 || count <= tail_len {
        return f64::INFINITY;
    }
    let mut values = log_ratios.to_vec();
    let split = count - tail_len - 1;
    values.select_nth_unstable_by(split, f64::total_cmp);
    let cutoff = values[split];
    let tail = &mut values[split + 1..];
    tail.sort_unstable_by(f64::total_cmp);
    let largest = tail[tail_len - 1];
    if largest == f64::NEG_INFINITY {
        return f64::INFINITY;
    }
    if largest - cutoff < 1e-12 * (1.0 + largest.abs()) {
        return f64::NEG_INFINITY;
    }
    let base = (cutoff - largest).exp();
    let excess: Vec<f64> = tail.iter().map(|r| (r - largest).exp() - base).filter(|e| *e > 0.0).collect();
    if excess.len() < 5 {
        return f64::INFINITY;
    }
    pareto_shape(&excess)
}

/// Shape of a generalised Pareto with location 0 fitted to ascending positive numbers: the posterior mean over Zhang
/// and Stephens' grid, then `(n k + 5) / (n + 10)`.
fn pareto_shape(excess: &[f64]) -> f64 {
    let n = excess.len();
    let size = n as f64;
    let grid = 30 + size.sqrt() as usize;
    let quartile = excess[((size / 4.0 + 0.5).floor() as usize).clamp(1, n) - 1];
    let largest = excess[n - 1];
    let theta: Vec<f64> = (1..=grid)
        .map(|j| 1.0 / largest + (1.0 - (grid as f64 / (j as f64 - 0.5)).sqrt()) / (3.0 * quartile))
        .collect();
    let shape = |t: f64| excess.iter().map(|x| (-t * x).ln_1p()).sum::<f64>() / size;
    let log_likelihood: Vec<f64> = theta
        .iter()
        .map(|&t| {
            let k = shape(t);
            size * ((-t / k).ln() - k - 1.0)
        })
        .collect();
    let top = log_likelihood.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (mut total, mut mean) = (0.0, 0.0);
    for (t, l) in theta.iter().zip(&log_likelihood) {
        let weight = (l - top).exp();
        if weight.is_finite() {
            total += weight;
            mean += weight * t;
        }
    }
    let k = shape(mean / total);
    (size * k + 5.0) / (size + 10.0)
}

/// The median of k̂ over batches of [`BATCH`] draws (all draws, if they are fewer than one batch).
pub fn median_khat(log_ratios: &[f64], most_batches: usize) -> f64 {
    let mut figures: Vec<f64> = log_ratios.chunks_exact(BATCH).take(most_batches).map(khat).collect();
    if figures.is_empty() {
        return khat(log_ratios);
    }
    figures.sort_unstable_by(f64::total_cmp);
    let middle = figures.len() / 2;
    if figures.len() % 2 == 1 { figures[middle] } else { 0.5 * (figures[middle - 1] + figures[middle]) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::noise::Noise;

    /// Ratios u^-k are Pareto with shape k.
    #[test]
    fn recovers_the_shape_of_a_pareto() {
        let mut noise = Noise::new(1, 1);
        for k in [0.2, 0.5, 0.9] {
            let ratios: Vec<f64> = (0..100_000).map(|_| -k * noise.uniform().ln()).collect();
            let found = median_khat(&ratios, 25);
            assert!((found - k).abs() < 0.06, "{k}: {found}");
            assert!((khat(&ratios) - k).abs() < 0.1);
        }
    }

    /// A guide of half the standard deviation has ratios with tail index 1 - s²: k = 0.75.
    #[test]
    fn a_narrow_guide_is_found_out() {
        let mut noise = Noise::new(2, 1);
        let ratios: Vec<f64> = (0..100_000)
            .map(|_| {
                let e = noise.normal();
                0.5 * e * e - 0.5 * (0.5 * e) * (0.5 * e)
            })
            .collect();
        let found = median_khat(&ratios, 25);
        assert!(found > 0.6 && found < 0.9, "{found}");
    }

    #[test]
    fn degenerate_ratios() {
        assert_eq!(khat(&[0.0; 4000]), f64::NEG_INFINITY);
        let mut bad = vec![0.0; 4000];
        bad[7] = f64::NAN;
        assert_eq!(khat(&bad), f64::INFINITY);
    }
}

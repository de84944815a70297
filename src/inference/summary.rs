//! What a fit reports of its draws: moments, quantiles and k̂ of each quantity, the mean of the objective.

use super::bound::QuantityName;
use super::psis;

/// A mean and the standard error of its Monte Carlo estimate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    pub mean: f64,
    pub mcse: f64,
}

impl Estimate {
    /// Of independent values.
    pub fn of(values: &[f64]) -> Estimate {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1.0).max(1.0);
        Estimate { mean, mcse: if values.len() > 1 { (variance / n).sqrt() } else { f64::NAN } }
    }
}

/// One row of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantitySummary {
    pub name: String,
    /// A latent of the model (else a returned value).
    pub latent: bool,
    pub mean: f64,
    pub sd: f64,
    pub q05: f64,
    pub q50: f64,
    pub q95: f64,
    /// k̂ of the importance-weighted mean of this quantity, at least the weights' own.
    pub khat: f64,
    pub mcse_mean: f64,
}

/// Draws from the fitted guide.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draws {
    pub names: Vec<QuantityName>,
    /// `[kept, names]`, row-major: all draws, or the first ones where all would take too much memory.
    pub values: Vec<f64>,
    /// log p(x, y) - log q(x) of each draw.
    pub log_weights: Vec<f64>,
    /// Sums and sums of squares of the quantities over all draws, about their values in the first.
    pub sums: Vec<[f64; 2]>,
}

/// Numbers of draws that are kept.
const MOST_VALUES: usize = 25_000_000;

impl Draws {
    pub fn count(&self) -> usize {
        self.log_weights.len()
    }

    /// Draws whose values are kept, of so many.
    pub fn kept(width: usize, draws: usize) -> usize {
        draws.min((MOST_VALUES / width.max(1)).max(10_000))
    }

    /// Adds rows to the sums.
    pub fn add(&mut self, rows: &[f64]) {
        let width = self.names.len();
        if width == 0 {
            return;
        }
        self.sums.resize(width, [0.0; 2]);
        for row in rows.chunks_exact(width) {
            for ((sum, x), origin) in self.sums.iter_mut().zip(row).zip(&self.values) {
                let d = x - origin;
                sum[0] += d;
                sum[1] += d * d;
            }
        }
    }

    pub fn column(&self, index: usize) -> impl Iterator<Item = f64> + '_ {
        self.values.iter().skip(index).step_by(self.names.len().max(1)).copied()
    }

    /// The table's rows.
    pub fn summarise(&self) -> Vec<QuantitySummary> {
        let batches = 5;
        let overall = psis::median_khat(&self.log_weights, batches);
        let mut column = Vec::with_capacity(self.count());
        let mut ratios = Vec::with_capacity(self.count());
        self.names
            .iter()
            .enumerate()
            .map(|(index, name)| {
                column.clear();
                column.extend(self.column(index));
                let count = self.count() as f64;
                let Estimate { mean, mcse } = match self.sums.get(index) {
                    Some([sum, squares]) if column.len() < self.count() => {
                        let variance = (squares - sum * sum / count) / (count - 1.0).max(1.0);
                        Estimate { mean: column[0] + sum / count, mcse: (variance / count).max(0.0).sqrt() }
                    }
                    _ => Estimate::of(&column),
                };
                let sd = mcse * count.sqrt();
                ratios.clear();
                let used = self.log_weights.iter().zip(&column).take(batches * psis::BATCH);
                ratios.extend(used.map(|(w, x)| w + ((x - mean) / sd).abs().max(1e-300).ln()));
                let khat = if sd > 0.0 { overall.max(psis::median_khat(&ratios, batches)) } else { overall };
                let q05 = quantile(&mut column, 0.05);
                let q50 = quantile(&mut column, 0.5);
                let q95 = quantile(&mut column, 0.95);
                QuantitySummary {
                    name: name.name.clone(),
                    latent: name.latent,
                    mean,
                    sd,
                    q05,
                    q50,
                    q95,
                    khat,
                    mcse_mean: mcse,
                }
            })
            .collect()
    }
}

/// The `p` quantile, interpolated between order statistics (R's type 7). NaN if a value is NaN or there is none.
pub fn quantile(values: &mut [f64], p: f64) -> f64 {
    if values.is_empty() || values.iter().any(|v| v.is_nan()) {
        return f64::NAN;
    }
    let position = p * (values.len() - 1) as f64;
    let below = position.floor() as usize;
    let (_, &mut low, above) = values.select_nth_unstable_by(below, f64::total_cmp);
    let high = above.iter().copied().min_by(f64::total_cmp).unwrap_or(low);
    low + (position - below as f64) * (high - low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::noise::Noise;

    #[test]
    fn quantiles_interpolate() {
        let mut values = [4.0, 1.0, 3.0, 2.0];
        assert!((quantile(&mut values, 0.5) - 2.5).abs() < 1e-15);
        assert!((quantile(&mut values, 0.05) - 1.15).abs() < 1e-12);
        assert_eq!(quantile(&mut values, 1.0), 4.0);
        assert!(quantile(&mut [1.0, f64::NAN], 0.5).is_nan());
    }

    #[test]
    fn rows_of_a_normal() {
        let mut noise = Noise::new(5, 0);
        let names = ["a", "b"].map(|n| QuantityName { name: n.into(), latent: n == "a" }).to_vec();
        let count = 100_000;
        let values: Vec<f64> = (0..count).flat_map(|_| [1.0 + 2.0 * noise.normal(), 7.0]).collect();
        let rows = Draws { names, values, log_weights: vec![0.0; count], sums: Vec::new() }.summarise();
        let a = &rows[0];
        assert!((a.mean - 1.0).abs() < 0.03 && (a.sd - 2.0).abs() < 0.03 && a.latent);
        assert!((a.q05 - (1.0 - 2.0 * 1.644_854)).abs() < 0.06 && (a.q95 - (1.0 + 2.0 * 1.644_854)).abs() < 0.06);
        assert!((a.mcse_mean - a.sd / (count as f64).sqrt()).abs() < 1e-12);
        assert_eq!((rows[1].mean, rows[1].sd, rows[1].q50), (7.0, 0.0, 7.0));
    }
}

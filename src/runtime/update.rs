//! One step of an optimiser over a vector of parameters, with the widest instructions of the process; the same bits at
//! every width.

use super::level::leveled;

/// Elements handled together.
const WIDTH: usize = 8;

/// The numbers of a step of Adam that all coordinates share.
#[derive(Clone, Copy, Debug)]
pub struct AdamStep {
    /// How much of the old first and second moment is forgotten: 1 - beta.
    pub forget: [f64; 2],
    /// Factors that correct the moments for their start at zero: 1 / (1 - beta^t).
    pub correct: [f64; 2],
    pub epsilon: f64,
    pub rate: f64,
    /// Decoupled weight decay per unit of rate.
    pub decay: f64,
}

#[inline(always)]
fn element(s: &AdamStep, x: &mut f64, g: f64, m: &mut f64, v: &mut f64) {
    *m += s.forget[0] * (g - *m);
    *v += s.forget[1] * (g * g - *v);
    *x += s.rate * (*m * s.correct[0] / ((*v * s.correct[1]).sqrt() + s.epsilon) - s.decay * *x);
}

/// One loop over slices of one length.
#[inline(always)]
fn whole(s: &AdamStep, params: &mut [f64], gradient: &[f64], first: &mut [f64], second: &mut [f64]) {
    for (((x, g), m), v) in params.iter_mut().zip(gradient).zip(first).zip(second) {
        element(s, x, *g, m, v);
    }
}

leveled! {
    /// Ascends along `gradient` (Kingma and Ba, ICLR 2015, algorithm 1; Loshchilov and Hutter, ICLR 2019, for the decay).
    /// All slices have one length; what is beyond the shortest is left alone.
    pub fn adam(s: &AdamStep, params: &mut [f64], gradient: &[f64], first: &mut [f64], second: &mut [f64]) {
        // Without a fused operation: the same bits at each level.
        let _ = FUSED;
        let n = params.len().min(gradient.len()).min(first.len()).min(second.len());
        let at = n & !(WIDTH - 1);
        whole(s, &mut params[..at], &gradient[..at], &mut first[..at], &mut second[..at]);
        let rest = n - at;
        if rest > 0 {
            // Padded to a group; its length is hidden, for a loop that is written out does not become a vector.
            let (mut x, mut g, mut m, mut v) = ([0.0; WIDTH], [0.0; WIDTH], [0.0; WIDTH], [0.0; WIDTH]);
            x[..rest].copy_from_slice(&params[at..n]);
            g[..rest].copy_from_slice(&gradient[at..n]);
            m[..rest].copy_from_slice(&first[at..n]);
            v[..rest].copy_from_slice(&second[at..n]);
            let len = (std::hint::black_box(WIDTH) & !(WIDTH - 1)).min(WIDTH);
            whole(s, &mut x[..len], &g[..len], &mut m[..len], &mut v[..len]);
            params[at..n].copy_from_slice(&x[..rest]);
            first[at..n].copy_from_slice(&m[..rest]);
            second[at..n].copy_from_slice(&v[..rest]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every length, whole groups and rests, gives the bits of the formula element by element.
    #[test]
    fn groups_are_the_formula() {
        let s = AdamStep {
            forget: [0.1, 0.001],
            correct: [1.0 / (1.0 - 0.81), 1.0 / (1.0 - 0.998)],
            epsilon: 1e-10,
            rate: 0.05,
            decay: 0.01,
        };
        for n in 0..40_usize {
            let number = |k: usize, by: f64| (k as f64 * by + 0.3).sin();
            let gradient: Vec<f64> = (0..n).map(|k| number(k, 1.7)).collect();
            let mut found: [Vec<f64>; 3] = [1.1, 2.3, 0.7].map(|by| (0..n).map(|k| number(k, by).abs()).collect());
            let mut expected = found.clone();
            for k in 0..n {
                let [x, m, v] = &mut expected;
                element(&s, &mut x[k], gradient[k], &mut m[k], &mut v[k]);
            }
            let [x, m, v] = &mut found;
            adam(&s, x, &gradient, m, v);
            assert_eq!(found, expected, "{n}");
        }
    }
}

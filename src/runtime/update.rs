//! One step of an optimiser over a vector of parameters, with the widest instructions of the process; the same bits at
//! every width.

use super::level::{Level, level, leveled};
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __mmask8, _mm512_add_pd, _mm512_div_pd, _mm512_mask_storeu_pd, _mm512_maskz_loadu_pd, _mm512_mul_pd,
    _mm512_set1_pd, _mm512_sqrt_pd, _mm512_sub_pd,
};

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

/// Ascends along `gradient` (Kingma and Ba, ICLR 2015, algorithm 1; Loshchilov and Hutter, ICLR 2019, for the decay).
/// All slices have one length; what is beyond the shortest is left alone.
pub fn adam(s: &AdamStep, params: &mut [f64], gradient: &[f64], first: &mut [f64], second: &mut [f64]) {
    let n = params.len().min(gradient.len()).min(first.len()).min(second.len());
    let (params, gradient) = (&mut params[..n], &gradient[..n]);
    let (first, second) = (&mut first[..n], &mut second[..n]);
    #[cfg(target_arch = "x86_64")]
    if level() == Level::Avx512 {
        // SAFETY: the processor has AVX-512; the slices have one length.
        unsafe { wide(s, params, gradient, first, second) };
        return;
    }
    narrow(s, params, gradient, first, second);
}

leveled! {
    fn narrow(s: &AdamStep, params: &mut [f64], gradient: &[f64], first: &mut [f64], second: &mut [f64]) {
        // Without a fused operation: the same bits at each level.
        let _ = FUSED;
        for (((x, g), m), v) in params.iter_mut().zip(gradient).zip(first).zip(second) {
            element(s, x, *g, m, v);
        }
    }
}

/// The formula of `element` on vectors of 8, the last one masked.
///
/// # Safety
/// The slices have one length.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
unsafe fn wide(s: &AdamStep, params: &mut [f64], gradient: &[f64], first: &mut [f64], second: &mut [f64]) {
    let forget = s.forget.map(|x| _mm512_set1_pd(x));
    let correct = s.correct.map(|x| _mm512_set1_pd(x));
    let (epsilon, rate, decay) = (_mm512_set1_pd(s.epsilon), _mm512_set1_pd(s.rate), _mm512_set1_pd(s.decay));
    let n = params.len();
    let mut i = 0;
    while i < n {
        let mask: __mmask8 = if n - i >= 8 { 0xFF } else { (1 << (n - i)) - 1 };
        // SAFETY: masked elements are not touched; the others are within the slices.
        unsafe {
            let (px, pm, pv) = (params.as_mut_ptr().add(i), first.as_mut_ptr().add(i), second.as_mut_ptr().add(i));
            let g = _mm512_maskz_loadu_pd(mask, gradient.as_ptr().add(i));
            let (x, m) = (_mm512_maskz_loadu_pd(mask, px), _mm512_maskz_loadu_pd(mask, pm));
            let v = _mm512_maskz_loadu_pd(mask, pv);
            let m = _mm512_add_pd(m, _mm512_mul_pd(forget[0], _mm512_sub_pd(g, m)));
            let v = _mm512_add_pd(v, _mm512_mul_pd(forget[1], _mm512_sub_pd(_mm512_mul_pd(g, g), v)));
            let size = _mm512_add_pd(_mm512_sqrt_pd(_mm512_mul_pd(v, correct[1])), epsilon);
            let step = _mm512_div_pd(_mm512_mul_pd(m, correct[0]), size);
            let step = _mm512_mul_pd(rate, _mm512_sub_pd(step, _mm512_mul_pd(decay, x)));
            _mm512_mask_storeu_pd(px, mask, _mm512_add_pd(x, step));
            _mm512_mask_storeu_pd(pm, mask, m);
            _mm512_mask_storeu_pd(pv, mask, v);
        }
        i += 8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every length, whole vectors and rests, gives the bits of the formula element by element.
    #[test]
    fn vectors_are_the_formula() {
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
            let mut plain = found.clone();
            let [x, m, v] = &mut found;
            adam(&s, x, &gradient, m, v);
            assert_eq!(found, expected, "{n}");
            let [x, m, v] = &mut plain;
            narrow(&s, x, &gradient, m, v);
            assert_eq!(plain, expected, "{n}");
        }
    }
}

//! AdaBelief (Zhuang et al., NeurIPS 2020, algorithm 2): Adam whose second moment is that of the gradient about its
//! running mean.

use super::Optimiser;
use super::adam::Moments;
use crate::inference::saved::{Reader, Saved};

pub struct Adabelief {
    mean: Vec<f64>,
    spread: Vec<f64>,
    power1: f64,
    power2: f64,
    moments: Moments,
}

impl Adabelief {
    pub fn new(len: usize, moments: Moments) -> Adabelief {
        Adabelief { mean: vec![0.0; len], spread: vec![0.0; len], power1: 1.0, power2: 1.0, moments }
    }
}

impl Optimiser for Adabelief {
    fn ascend(&mut self, params: &mut [f64], gradient: &[f64], rate: f64) {
        let Moments { beta1, beta2, epsilon } = self.moments;
        self.power1 *= beta1;
        self.power2 *= beta2;
        let (correct1, correct2) = (1.0 / (1.0 - self.power1), 1.0 / (1.0 - self.power2));
        for (((x, g), m), s) in params.iter_mut().zip(gradient).zip(&mut self.mean).zip(&mut self.spread) {
            *m += (1.0 - beta1) * (g - *m);
            *s += (1.0 - beta2) * ((g - *m) * (g - *m) - *s) + epsilon * epsilon;
            *x += rate * *m * correct1 / ((*s * correct2).sqrt() + epsilon);
        }
    }

    fn reset(&mut self) {
        *self = Adabelief::new(self.mean.len(), self.moments);
    }

    fn save(&self, into: &mut Saved) {
        into.reals(&self.mean);
        into.reals(&self.spread);
        into.reals(&[self.power1, self.power2]);
    }

    fn restore(&mut self, from: &mut Reader<'_>) -> Option<()> {
        from.reals_into(&mut self.mean)?;
        from.reals_into(&mut self.spread)?;
        let powers = from.reals()?;
        (self.power1, self.power2) = (*powers.first()?, *powers.get(1)?);
        Some(())
    }
}

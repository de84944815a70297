//! Adam (Kingma and Ba, ICLR 2015, algorithm 1); with decoupled weight decay AdamW (Loshchilov and Hutter, ICLR 2019).

use super::Optimiser;
use crate::inference::saved::{Reader, Saved};
use crate::runtime::update::{self, AdamStep};

/// How fast the moments forget.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Moments {
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
}

impl Moments {
    pub const USUAL: Moments = Moments { beta1: 0.9, beta2: 0.999, epsilon: 1e-10 };
}

pub struct Adam {
    first: Vec<f64>,
    second: Vec<f64>,
    power1: f64,
    power2: f64,
    moments: Moments,
    decay: f64,
}

impl Adam {
    pub fn new(len: usize, moments: Moments, decay: f64) -> Adam {
        Adam { first: vec![0.0; len], second: vec![0.0; len], power1: 1.0, power2: 1.0, moments, decay }
    }
}

impl Optimiser for Adam {
    fn ascend(&mut self, params: &mut [f64], gradient: &[f64], rate: f64) {
        let Moments { beta1, beta2, epsilon } = self.moments;
        self.power1 *= beta1;
        self.power2 *= beta2;
        let step = AdamStep {
            forget: [1.0 - beta1, 1.0 - beta2],
            correct: [1.0 / (1.0 - self.power1), 1.0 / (1.0 - self.power2)],
            epsilon,
            rate,
            decay: self.decay,
        };
        update::adam(&step, params, gradient, &mut self.first, &mut self.second);
    }

    fn reset(&mut self) {
        *self = Adam::new(self.first.len(), self.moments, self.decay);
    }

    fn save(&self, into: &mut Saved) {
        into.reals(&self.first);
        into.reals(&self.second);
        into.reals(&[self.power1, self.power2]);
    }

    fn restore(&mut self, from: &mut Reader<'_>) -> Option<()> {
        from.reals_into(&mut self.first)?;
        from.reals_into(&mut self.second)?;
        let powers = from.reals()?;
        (self.power1, self.power2) = (*powers.first()?, *powers.get(1)?);
        Some(())
    }
}

//! Lion (Chen et al., NeurIPS 2023, algorithm 2): steps of one size along the sign of a momentum.

use super::Optimiser;
use crate::inference::saved::{Reader, Saved};

pub struct Lion {
    momentum: Vec<f64>,
    beta1: f64,
    beta2: f64,
    decay: f64,
}

impl Lion {
    pub fn new(len: usize, beta1: f64, beta2: f64, decay: f64) -> Lion {
        Lion { momentum: vec![0.0; len], beta1, beta2, decay }
    }
}

impl Optimiser for Lion {
    fn ascend(&mut self, params: &mut [f64], gradient: &[f64], rate: f64) {
        for ((x, g), m) in params.iter_mut().zip(gradient).zip(&mut self.momentum) {
            let along = self.beta1 * *m + (1.0 - self.beta1) * g;
            let sign = if along == 0.0 { 0.0 } else { along.signum() };
            *x += rate * (sign - self.decay * *x);
            *m = self.beta2 * *m + (1.0 - self.beta2) * g;
        }
    }

    fn reset(&mut self) {
        self.momentum.fill(0.0);
    }

    fn save(&self, into: &mut Saved) {
        into.reals(&self.momentum);
    }

    fn restore(&mut self, from: &mut Reader<'_>) -> Option<()> {
        from.reals_into(&mut self.momentum)
    }
}

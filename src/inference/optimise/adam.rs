//! Adam (Kingma and Ba, ICLR 2015, algorithm 1); with decoupled weight decay AdamW (Loshchilov and Hutter, ICLR 2019).

use super::Optimiser;
use crate::runtime::update::{self, AdamStep};

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-10;

pub struct Adam {
    first: Vec<f64>,
    second: Vec<f64>,
    power1: f64,
    power2: f64,
    decay: f64,
}

impl Adam {
    pub fn new(len: usize, decay: f64) -> Adam {
        Adam { first: vec![0.0; len], second: vec![0.0; len], power1: 1.0, power2: 1.0, decay }
    }
}

impl Optimiser for Adam {
    fn ascend(&mut self, params: &mut [f64], gradient: &[f64], rate: f64) {
        self.power1 *= BETA1;
        self.power2 *= BETA2;
        let step = AdamStep {
            forget: [1.0 - BETA1, 1.0 - BETA2],
            correct: [1.0 / (1.0 - self.power1), 1.0 / (1.0 - self.power2)],
            epsilon: EPSILON,
            rate,
            decay: self.decay,
        };
        update::adam(&step, params, gradient, &mut self.first, &mut self.second);
    }

    fn reset(&mut self) {
        *self = Adam::new(self.first.len(), self.decay);
    }
}

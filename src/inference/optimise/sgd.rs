//! Stochastic gradient ascent with heavy-ball momentum (Polyak 1964).

use super::Optimiser;
use crate::inference::saved::{Reader, Saved};

pub struct Sgd {
    velocity: Vec<f64>,
    momentum: f64,
}

impl Sgd {
    pub fn new(len: usize, momentum: f64) -> Sgd {
        Sgd { velocity: vec![0.0; len], momentum }
    }
}

impl Optimiser for Sgd {
    fn ascend(&mut self, params: &mut [f64], gradient: &[f64], rate: f64) {
        for ((x, g), v) in params.iter_mut().zip(gradient).zip(&mut self.velocity) {
            *v = self.momentum * *v + g;
            *x += rate * *v;
        }
    }

    fn reset(&mut self) {
        self.velocity.fill(0.0);
    }

    fn save(&self, into: &mut Saved) {
        into.reals(&self.velocity);
    }

    fn restore(&mut self, from: &mut Reader<'_>) -> Option<()> {
        from.reals_into(&mut self.velocity)
    }
}

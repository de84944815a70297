//! Adagrad (Duchi, Hazan, Singer, JMLR 2011), diagonal.

use super::Optimiser;
use crate::inference::saved::{Reader, Saved};

pub struct Adagrad {
    total: Vec<f64>,
    epsilon: f64,
}

impl Adagrad {
    pub fn new(len: usize, epsilon: f64) -> Adagrad {
        Adagrad { total: vec![0.0; len], epsilon }
    }
}

impl Optimiser for Adagrad {
    fn ascend(&mut self, params: &mut [f64], gradient: &[f64], rate: f64) {
        for ((x, g), total) in params.iter_mut().zip(gradient).zip(&mut self.total) {
            *total += g * g;
            if *total > 0.0 {
                *x += rate * g / (total.sqrt() + self.epsilon);
            }
        }
    }

    fn reset(&mut self) {
        self.total.fill(0.0);
    }

    fn save(&self, into: &mut Saved) {
        into.reals(&self.total);
    }

    fn restore(&mut self, from: &mut Reader<'_>) -> Option<()> {
        from.reals_into(&mut self.total)
    }
}

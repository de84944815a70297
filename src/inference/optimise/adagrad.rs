//! Adagrad (Duchi, Hazan, Singer, JMLR 2011), diagonal.

use super::Optimiser;

pub struct Adagrad {
    total: Vec<f64>,
}

impl Adagrad {
    pub fn new(len: usize) -> Adagrad {
        Adagrad { total: vec![0.0; len] }
    }
}

impl Optimiser for Adagrad {
    fn ascend(&mut self, params: &mut [f64], gradient: &[f64], rate: f64) {
        for ((x, g), total) in params.iter_mut().zip(gradient).zip(&mut self.total) {
            *total += g * g;
            *x += rate * g / (total.sqrt() + 1e-10);
        }
    }

    fn reset(&mut self) {
        self.total.fill(0.0);
    }
}

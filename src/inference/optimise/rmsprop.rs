//! RMSProp (Tieleman and Hinton 2012, lecture 6.5), with the bias of the running mean corrected.

use super::Optimiser;

const KEEP: f64 = 0.99;

pub struct Rmsprop {
    second: Vec<f64>,
    power: f64,
}

impl Rmsprop {
    pub fn new(len: usize) -> Rmsprop {
        Rmsprop { second: vec![0.0; len], power: 1.0 }
    }
}

impl Optimiser for Rmsprop {
    fn ascend(&mut self, params: &mut [f64], gradient: &[f64], rate: f64) {
        self.power *= KEEP;
        let correct = 1.0 / (1.0 - self.power);
        for ((x, g), v) in params.iter_mut().zip(gradient).zip(&mut self.second) {
            *v += (1.0 - KEEP) * (g * g - *v);
            *x += rate * g / ((*v * correct).sqrt() + 1e-10);
        }
    }

    fn reset(&mut self) {
        *self = Rmsprop::new(self.second.len());
    }
}

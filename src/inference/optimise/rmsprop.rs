//! RMSProp (Tieleman and Hinton 2012, lecture 6.5), with the bias of the running mean corrected.

use super::Optimiser;
use crate::inference::saved::{Reader, Saved};

pub struct Rmsprop {
    second: Vec<f64>,
    power: f64,
    keep: f64,
    epsilon: f64,
}

impl Rmsprop {
    pub fn new(len: usize, keep: f64, epsilon: f64) -> Rmsprop {
        Rmsprop { second: vec![0.0; len], power: 1.0, keep, epsilon }
    }
}

impl Optimiser for Rmsprop {
    fn ascend(&mut self, params: &mut [f64], gradient: &[f64], rate: f64) {
        self.power *= self.keep;
        let correct = 1.0 / (1.0 - self.power);
        for ((x, g), v) in params.iter_mut().zip(gradient).zip(&mut self.second) {
            *v += (1.0 - self.keep) * (g * g - *v);
            if *v > 0.0 {
                *x += rate * g / ((*v * correct).sqrt() + self.epsilon);
            }
        }
    }

    fn reset(&mut self) {
        *self = Rmsprop::new(self.second.len(), self.keep, self.epsilon);
    }

    fn save(&self, into: &mut Saved) {
        into.reals(&self.second);
        into.reals(&[self.power]);
    }

    fn restore(&mut self, from: &mut Reader<'_>) -> Option<()> {
        from.reals_into(&mut self.second)?;
        self.power = *from.reals()?.first()?;
        Some(())
    }
}

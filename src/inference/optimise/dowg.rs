//! DoWG (Khaled, Mishchenko, Jin, NeurIPS 2023, algorithm 1): the step size is the distance moved so far over the root of the
//! gradients' sizes, weighted by the distances; no rate to choose. The rate multiplies it.

use super::Optimiser;
use crate::inference::saved::{Reader, Saved};

/// Distance before anything has moved, relative to the start's size.
const FIRST: f64 = 1e-3;

pub struct Dowg {
    start: Vec<f64>,
    distance: f64,
    weighted: f64,
}

impl Dowg {
    pub fn new(len: usize) -> Dowg {
        Dowg { start: vec![0.0; len], distance: 0.0, weighted: 0.0 }
    }
}

impl Optimiser for Dowg {
    fn ascend(&mut self, params: &mut [f64], gradient: &[f64], rate: f64) {
        if self.distance == 0.0 {
            self.start.copy_from_slice(params);
            let size = params.iter().map(|x| x * x).sum::<f64>().sqrt();
            self.distance = FIRST * (1.0 + size);
        }
        let moved = params.iter().zip(&self.start).map(|(x, s)| (x - s) * (x - s)).sum::<f64>().sqrt();
        self.distance = self.distance.max(moved);
        let square = self.distance * self.distance;
        self.weighted += square * gradient.iter().map(|g| g * g).sum::<f64>();
        if self.weighted > 0.0 {
            let size = rate * square / self.weighted.sqrt();
            params.iter_mut().zip(gradient).for_each(|(x, g)| *x += size * g);
        }
    }

    fn reset(&mut self) {
        *self = Dowg::new(self.start.len());
    }

    fn save(&self, into: &mut Saved) {
        into.reals(&self.start);
        into.reals(&[self.distance, self.weighted]);
    }

    fn restore(&mut self, from: &mut Reader<'_>) -> Option<()> {
        from.reals_into(&mut self.start)?;
        let pair = from.reals()?;
        (self.distance, self.weighted) = (*pair.first()?, *pair.get(1)?);
        Some(())
    }
}

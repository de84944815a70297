//! COCOB-Backprop (Orabona and Tommasi, NIPS 2017, algorithm 2): each coordinate bets its winnings on the gradient's sign; no
//! rate to choose. The rate multiplies the bets.

use super::Optimiser;
use crate::inference::saved::{Reader, Saved};

/// Keeps the first bets small: alpha of the paper.
const CAUTION: f64 = 100.0;

pub struct Cocob {
    started: bool,
    start: Vec<f64>,
    largest: Vec<f64>,
    total: Vec<f64>,
    reward: Vec<f64>,
    sum: Vec<f64>,
}

impl Cocob {
    pub fn new(len: usize) -> Cocob {
        let zeros = || vec![0.0; len];
        Cocob { started: false, start: zeros(), largest: zeros(), total: zeros(), reward: zeros(), sum: zeros() }
    }
}

impl Optimiser for Cocob {
    fn ascend(&mut self, params: &mut [f64], gradient: &[f64], rate: f64) {
        if !self.started {
            self.start.copy_from_slice(params);
            self.started = true;
        }
        for (i, (x, g)) in params.iter_mut().zip(gradient).enumerate() {
            let l = self.largest[i].max(g.abs());
            self.largest[i] = l;
            if l == 0.0 {
                continue;
            }
            self.total[i] += g.abs();
            self.reward[i] = (self.reward[i] + (*x - self.start[i]) * g).max(0.0);
            self.sum[i] += g;
            let bet = self.sum[i] / (l * (self.total[i] + l).max(CAUTION * l));
            *x = self.start[i] + rate * bet * (l + self.reward[i]);
        }
    }

    fn reset(&mut self) {
        *self = Cocob::new(self.start.len());
    }

    fn save(&self, into: &mut Saved) {
        into.count(usize::from(self.started));
        for run in [&self.start, &self.largest, &self.total, &self.reward, &self.sum] {
            into.reals(run);
        }
    }

    fn restore(&mut self, from: &mut Reader<'_>) -> Option<()> {
        self.started = from.count()? == 1;
        for run in [&mut self.start, &mut self.largest, &mut self.total, &mut self.reward, &mut self.sum] {
            from.reals_into(run)?;
        }
        Some(())
    }
}

//! Which optimiser a file or a flag asks for: `adam(0.01)`, `sgd(0.1, momentum: 0.9)`, `sgd(1e-3, constant: true)`,
//! `adam(0.01, warmup: 100, cosine: 5000)`.

use super::Optimiser;
use super::adabelief::Adabelief;
use super::adagrad::Adagrad;
use super::adam::{Adam, Moments};
use super::cocob::Cocob;
use super::dowg::Dowg;
use super::lion::Lion;
use super::rmsprop::Rmsprop;
use super::sgd::Sgd;
use crate::types::optimiser::{COMMON, names, signature};

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Rule {
    /// Decoupled weight decay per unit of rate makes it AdamW.
    Adam {
        moments: Moments,
        decay: f64,
    },
    Sgd {
        momentum: f64,
    },
    Adagrad {
        epsilon: f64,
    },
    Rmsprop {
        keep: f64,
        epsilon: f64,
    },
    Adabelief {
        moments: Moments,
    },
    Lion {
        beta1: f64,
        beta2: f64,
        decay: f64,
    },
    /// Step sizes from the distance moved; no rate to choose.
    Dowg,
    /// Bets on coordinates; no rate to choose.
    Cocob,
}

impl Rule {
    /// Adam with the paper's settings.
    pub const ADAM: Rule = Rule::Adam { moments: Moments::USUAL, decay: 0.0 };

    /// A fresh optimiser over `len` numbers.
    pub fn start(self, len: usize) -> Box<dyn Optimiser> {
        match self {
            Rule::Adam { moments, decay } => Box::new(Adam::new(len, moments, decay)),
            Rule::Sgd { momentum } => Box::new(Sgd::new(len, momentum)),
            Rule::Adagrad { epsilon } => Box::new(Adagrad::new(len, epsilon)),
            Rule::Rmsprop { keep, epsilon } => Box::new(Rmsprop::new(len, keep, epsilon)),
            Rule::Adabelief { moments } => Box::new(Adabelief::new(len, moments)),
            Rule::Lion { beta1, beta2, decay } => Box::new(Lion::new(len, beta1, beta2, decay)),
            Rule::Dowg => Box::new(Dowg::new(len)),
            Rule::Cocob => Box::new(Cocob::new(len)),
        }
    }

    /// For reports.
    pub fn name(self) -> &'static str {
        match self {
            Rule::Adam { decay: 0.0, .. } => "adam",
            Rule::Adam { .. } => "adamw",
            Rule::Sgd { .. } => "sgd",
            Rule::Adagrad { .. } => "adagrad",
            Rule::Rmsprop { .. } => "rmsprop",
            Rule::Adabelief { .. } => "adabelief",
            Rule::Lion { .. } => "lion",
            Rule::Dowg => "dowg",
            Rule::Cocob => "cocob",
        }
    }
}

/// The step size over the steps of a run, as a factor of the first; the file's, in place of our own decay.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Schedule {
    /// Steps over which it rises linearly from 0.
    pub warmup: f64,
    /// Steps in which it halves; infinite: never.
    pub half_life: f64,
    /// Steps after which a cosine has brought it to 0; infinite: never.
    pub cosine: f64,
}

impl Schedule {
    pub fn factor(&self, step: usize) -> f64 {
        let t = step as f64;
        let rise = if t < self.warmup { (t + 1.0) / self.warmup } else { 1.0 };
        let fall = 0.5f64.powf(t / self.half_life);
        let wave = 0.5 * (1.0 + (std::f64::consts::PI * (t / self.cosine).min(1.0)).cos());
        rise * fall * wave
    }
}

/// A rule, its first step size, and what becomes of that size.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Choice {
    pub rule: Rule,
    /// In the coordinates of training: where they are whitened, posterior standard deviations.
    pub rate: f64,
    /// Plain ascent of the declared parameters: no search for a start, no whitening, no decay of the step size, no averaging.
    pub constant: bool,
    /// Longest gradient, in the coordinates of training.
    pub clip: Option<f64>,
    pub schedule: Option<Schedule>,
}

impl Default for Choice {
    fn default() -> Choice {
        Choice::of(Rule::ADAM, 0.05)
    }
}

impl Choice {
    pub fn of(rule: Rule, rate: f64) -> Choice {
        Choice { rule, rate, constant: false, clip: None, schedule: None }
    }

    /// By its name and settings, those without a name in the table's order. Missing ones take defaults. `constant(rate)` is
    /// `adam(rate, constant: true)`.
    pub fn by_name(name: &str, arguments: &[(Option<&str>, f64)]) -> Result<Choice, String> {
        let Some(known) = signature(name) else {
            return Err(format!("there is no optimiser `{name}`; there are {}", names()));
        };
        let mut values: Vec<(&str, f64)> = Vec::new();
        for (place, (written, value)) in arguments.iter().enumerate() {
            let setting = match written {
                Some(written) => known
                    .setting(written)
                    .ok_or_else(|| format!("`{name}` has no setting `{written}`; it has {}", known.setting_names()))?,
                None => known.settings.get(place).ok_or_else(|| {
                    format!("`{name}` takes at most {} number(s) without a name", known.settings.len())
                })?,
            };
            if values.iter().any(|v| v.0 == setting.name) {
                return Err(format!("`{}` of `{name}` is given twice", setting.name));
            }
            if !setting.range.holds(*value) {
                let what = if setting.name == "rate" { "step size" } else { setting.name };
                return Err(format!("the {what} of `{name}` must be {}, found {value}", setting.range.words()));
            }
            values.push((setting.name, *value));
        }
        let of = |wanted: &str| {
            let default =
                known.settings.iter().chain(&COMMON).find(|s| s.name == wanted).map_or(f64::NAN, |s| s.default);
            values.iter().find(|v| v.0 == wanted).map_or(default, |v| v.1)
        };
        let moments = Moments { beta1: of("beta1"), beta2: of("beta2"), epsilon: of("epsilon") };
        let rule = match name {
            "adamw" => Rule::Adam { moments, decay: of("decay") },
            "sgd" => Rule::Sgd { momentum: of("momentum") },
            "adagrad" => Rule::Adagrad { epsilon: of("epsilon") },
            "rmsprop" => Rule::Rmsprop { keep: of("keep"), epsilon: of("epsilon") },
            "adabelief" => Rule::Adabelief { moments },
            "lion" => Rule::Lion { beta1: of("beta1"), beta2: of("beta2"), decay: of("decay") },
            "dowg" => Rule::Dowg,
            "cocob" => Rule::Cocob,
            _ => Rule::Adam { moments, decay: 0.0 },
        };
        let given = |wanted: &str| Some(of(wanted)).filter(|v| !v.is_nan());
        let (warmup, half_life, cosine) = (given("warmup"), given("half_life"), given("cosine"));
        let schedule = (warmup.is_some() || half_life.is_some() || cosine.is_some()).then(|| Schedule {
            warmup: warmup.unwrap_or(0.0),
            half_life: half_life.unwrap_or(f64::INFINITY),
            cosine: cosine.unwrap_or(f64::INFINITY),
        });
        let constant = name == "constant" || of("constant") == 1.0;
        Ok(Choice { rule, rate: of("rate"), constant, clip: given("clip"), schedule })
    }
}

//! Which optimiser a file or a flag asks for: `adam(0.01)`, `sgd(0.1, momentum: 0.9)`, `constant(0.01)`.

use super::Optimiser;
use super::adagrad::Adagrad;
use super::adam::Adam;
use super::rmsprop::Rmsprop;
use super::sgd::Sgd;

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Rule {
    Adam,
    /// Adam with decoupled weight decay.
    AdamW {
        decay: f64,
    },
    Sgd {
        momentum: f64,
    },
    Adagrad,
    Rmsprop,
}

impl Rule {
    /// A fresh optimiser over `len` numbers.
    pub fn start(self, len: usize) -> Box<dyn Optimiser> {
        match self {
            Rule::Adam => Box::new(Adam::new(len, 0.0)),
            Rule::AdamW { decay } => Box::new(Adam::new(len, decay)),
            Rule::Sgd { momentum } => Box::new(Sgd::new(len, momentum)),
            Rule::Adagrad => Box::new(Adagrad::new(len)),
            Rule::Rmsprop => Box::new(Rmsprop::new(len)),
        }
    }
}

/// A rule, its first step size, and whether that size stays.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Choice {
    pub rule: Rule,
    /// In the coordinates of training: where they are whitened, posterior standard deviations.
    pub rate: f64,
    /// No decay of the step size, no averaging of iterates.
    pub constant: bool,
}

impl Default for Choice {
    fn default() -> Choice {
        Choice { rule: Rule::Adam, rate: 0.05, constant: false }
    }
}

/// The names a file can use, for messages and completion.
pub const NAMES: [&str; 6] = ["adam", "adamw", "sgd", "adagrad", "rmsprop", "constant"];

impl Choice {
    /// By its name and arguments: the rate, then momentum (sgd) or weight decay (adamw). Missing ones take defaults.
    /// `constant(rate)` is Adam without decay and averaging.
    pub fn by_name(name: &str, arguments: &[f64]) -> Result<Choice, String> {
        let (rule, rate, most) = match name {
            "adam" => (Rule::Adam, 0.05, 1),
            "constant" => (Rule::Adam, 0.01, 1),
            "adamw" => (Rule::AdamW { decay: arguments.get(1).copied().unwrap_or(0.01) }, 0.05, 2),
            "sgd" => (Rule::Sgd { momentum: arguments.get(1).copied().unwrap_or(0.0) }, 0.01, 2),
            "adagrad" => (Rule::Adagrad, 0.1, 1),
            "rmsprop" => (Rule::Rmsprop, 0.01, 1),
            _ => return Err(format!("there is no optimiser `{name}`; there are {}", NAMES.join(", "))),
        };
        if arguments.len() > most {
            return Err(format!("`{name}` takes at most {most} number(s), found {}", arguments.len()));
        }
        let rate = arguments.first().copied().unwrap_or(rate);
        if !(rate > 0.0 && rate.is_finite()) {
            return Err(format!("the step size of `{name}` must be positive, found {rate}"));
        }
        if let Some(second) = arguments.get(1)
            && !(0.0..1.0).contains(second)
        {
            return Err(format!("the second number of `{name}` must be at least 0 and below 1, found {second}"));
        }
        Ok(Choice { rule, rate, constant: name == "constant" })
    }
}

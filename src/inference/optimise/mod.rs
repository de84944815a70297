//! Optimisers: flat kernels that turn a gradient into a step of ascent. Each rule is a file; none knows what it
//! optimises. A kernel never sees a value that is not finite: the training loop leaves such steps out.

pub mod adagrad;
pub mod adam;
pub mod choice;
pub mod rmsprop;
pub mod sgd;

pub use choice::{Choice, Rule};

/// Adds one step of ascent to `params`.
pub trait Optimiser: Send {
    fn ascend(&mut self, params: &mut [f64], gradient: &[f64], rate: f64);
    /// Forgets moments: the coordinates have changed.
    fn reset(&mut self);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every rule climbs an ill-scaled quadratic; the first step of Adam is `rate` in each coordinate, exactly known.
    #[test]
    fn rules_climb() {
        for (name, rate) in [("adam", 0.05), ("adamw", 0.05), ("sgd", 0.05), ("adagrad", 0.5), ("rmsprop", 0.02)] {
            let choice = Choice::by_name(name, &[rate]).unwrap();
            let mut optimiser = choice.rule.start(2);
            let mut x = [3.0, -2.0];
            for step in 0..4000 {
                let gradient = [-(x[0] - 1.0), -4.0 * (x[1] - 0.5)];
                optimiser.ascend(&mut x, &gradient, rate / (1.0 + f64::from(step) / 200.0));
            }
            let slack = if name == "adamw" { 0.1 } else { 0.01 };
            assert!((x[0] - 1.0).abs() < slack && (x[1] - 0.5).abs() < slack, "{name}: {x:?}");
        }
        let mut x = [0.0, 0.0];
        Rule::Adam.start(2).ascend(&mut x, &[1e-3, -1e3], 0.1);
        assert!((x[0] - 0.1).abs() < 1e-5 && (x[1] + 0.1).abs() < 1e-9);
    }

    #[test]
    fn unknown_names_are_refused() {
        assert!(Choice::by_name("adm", &[0.1]).unwrap_err().contains("adam"));
        assert!(Choice::by_name("adam", &[-0.1]).is_err());
        assert!(Choice::by_name("adam", &[f64::NAN]).is_err());
        assert!(Choice::by_name("constant", &[0.1]).unwrap().constant);
    }
}

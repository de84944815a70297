//! Optimisers: flat kernels that turn a gradient into a step of ascent. Each rule is a file; none knows what it
//! optimises. A kernel never sees a value that is not finite: the training loop leaves such steps out.

pub mod adabelief;
pub mod adagrad;
pub mod adam;
pub mod choice;
pub mod cocob;
pub mod dowg;
pub mod lion;
pub mod rmsprop;
pub mod sgd;

pub use choice::{Choice, Rule, Schedule};

use super::saved::{Reader, Saved};

/// Adds one step of ascent to `params`.
pub trait Optimiser: Send {
    fn ascend(&mut self, params: &mut [f64], gradient: &[f64], rate: f64);
    /// Forgets moments: the coordinates have changed.
    fn reset(&mut self);
    fn save(&self, into: &mut Saved);
    /// `None` if what was saved is another rule's or length's.
    fn restore(&mut self, from: &mut Reader<'_>) -> Option<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: [(&str, f64); 9] = [
        ("adam", 0.05),
        ("adamw", 0.05),
        ("sgd", 0.05),
        ("adagrad", 0.5),
        ("rmsprop", 0.02),
        ("adabelief", 0.05),
        ("lion", 0.02),
        ("dowg", 1.0),
        ("cocob", 1.0),
    ];

    fn gradient(x: &[f64]) -> [f64; 2] {
        [-(x[0] - 1.0), -4.0 * (x[1] - 0.5)]
    }

    /// Every rule climbs an ill-scaled quadratic; the first step of Adam is `rate` in each coordinate, exactly known.
    #[test]
    fn rules_climb() {
        for (name, rate) in RULES {
            let choice = Choice::by_name(name, &[(None, rate)]).unwrap();
            let mut optimiser = choice.rule.start(2);
            let mut x = [3.0, -2.0];
            for step in 0..4000 {
                let decay = if rate < 1.0 { rate / (1.0 + f64::from(step) / 200.0) } else { rate };
                let slope = gradient(&x);
                optimiser.ascend(&mut x, &slope, decay);
            }
            let slack = if name == "adamw" { 0.1 } else { 0.02 };
            assert!((x[0] - 1.0).abs() < slack && (x[1] - 0.5).abs() < slack, "{name}: {x:?}");
        }
        let mut x = [0.0, 0.0];
        Rule::ADAM.start(2).ascend(&mut x, &[1e-3, -1e3], 0.1);
        assert!((x[0] - 0.1).abs() < 1e-5 && (x[1] + 0.1).abs() < 1e-9);
    }

    /// A rule that is saved and restored half-way takes the same steps, bit for bit.
    #[test]
    fn rules_go_on() {
        for (name, rate) in RULES {
            let rule = Choice::by_name(name, &[(None, rate)]).unwrap().rule;
            let mut whole = rule.start(2);
            let mut x = [3.0, -2.0];
            for _ in 0..7 {
                let slope = gradient(&x);
                whole.ascend(&mut x, &slope, rate);
            }
            let mut saved = Saved::default();
            whole.save(&mut saved);
            let mut again = rule.start(2);
            let mut y = x;
            again.restore(&mut saved.reader()).unwrap();
            for _ in 0..7 {
                let (at_x, at_y) = (gradient(&x), gradient(&y));
                whole.ascend(&mut x, &at_x, rate);
                again.ascend(&mut y, &at_y, rate);
            }
            assert_eq!(x.map(f64::to_bits), y.map(f64::to_bits), "{name}");
            assert!(rule.start(3).restore(&mut saved.reader()).is_none(), "{name}");
        }
    }

    #[test]
    fn settings_are_read() {
        let sgd = Choice::by_name("sgd", &[(None, 1e-3), (Some("constant"), 1.0)]).unwrap();
        assert_eq!((sgd.rule, sgd.rate, sgd.constant), (Rule::Sgd { momentum: 0.0 }, 1e-3, true));
        assert_eq!(
            Choice::by_name("sgd", &[(None, 0.1), (Some("momentum"), 0.9)]).unwrap().rule,
            Rule::Sgd { momentum: 0.9 }
        );
        assert_eq!(Choice::by_name("adam", &[]).unwrap(), Choice::default());
        let shaped = Choice::by_name("adam", &[(Some("warmup"), 10.0), (Some("cosine"), 100.0), (Some("clip"), 5.0)]);
        let shaped = shaped.unwrap();
        assert_eq!(shaped.clip, Some(5.0));
        let schedule = shaped.schedule.unwrap();
        assert!((schedule.factor(4) - 0.5 * (0.5 + 0.5 * (0.04 * std::f64::consts::PI).cos())).abs() < 1e-12);
        assert!((schedule.factor(50) - 0.5).abs() < 1e-12 && schedule.factor(200) == 0.0);
        let halving = Choice::by_name("sgd", &[(Some("half_life"), 10.0)]).unwrap().schedule.unwrap();
        assert!((halving.factor(20) - 0.25).abs() < 1e-15);
    }

    #[test]
    fn unknown_names_are_refused() {
        let refused = |name: &str, arguments: &[(Option<&str>, f64)]| Choice::by_name(name, arguments).unwrap_err();
        assert!(refused("adm", &[(None, 0.1)]).contains("adam"));
        assert!(refused("adam", &[(None, -0.1)]).contains("positive"));
        assert!(refused("adam", &[(None, f64::NAN)]).contains("positive"));
        assert!(refused("sgd", &[(Some("momentun"), 0.9)]).contains("momentum"));
        assert!(refused("sgd", &[(None, 0.1), (Some("rate"), 0.1)]).contains("twice"));
        assert!(refused("sgd", &[(Some("momentum"), 1.0)]).contains("below 1"));
        assert!(refused("dowg", &[(None, 1.0), (None, 2.0)]).contains("at most 1"));
        assert!(Choice::by_name("constant", &[(None, 0.1)]).unwrap().constant);
    }
}

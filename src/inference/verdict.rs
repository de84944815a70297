//! The verdict: whether a fit's answer should be trusted, and why not in words.

use super::psis;
use super::summary::QuantitySummary;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FitStatus {
    Converged,
    /// The limit of steps came before the stopping rule.
    StepLimit,
    /// Training ended by its rule, but the draws' weights say that the guide is far from the posterior.
    Untrustworthy,
    /// Stopped from outside; what was reached is reported.
    Interrupted,
}

impl FitStatus {
    /// As written in JSON.
    pub fn name(self) -> &'static str {
        match self {
            FitStatus::Converged => "converged",
            FitStatus::StepLimit => "step_limit",
            FitStatus::Untrustworthy => "untrustworthy",
            FitStatus::Interrupted => "interrupted",
        }
    }

    /// The process's exit status.
    pub fn exit_code(self) -> u8 {
        match self {
            FitStatus::Converged => 0,
            FitStatus::StepLimit | FitStatus::Untrustworthy => 3,
            FitStatus::Interrupted => 130,
        }
    }
}

/// k̂ above which importance sampling cannot repair the guide (Vehtari et al., JMLR 2024, section 3.2.4).
pub const KHAT_LIMIT: f64 = 0.7;

/// How training ended, before the draws are looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    Settled,
    StepLimit,
    Cancelled,
}

/// What is told beside the status.
#[derive(Clone, PartialEq, Debug)]
pub struct Verdict {
    pub status: FitStatus,
    /// Why it is not `converged`, one sentence each.
    pub reasons: Vec<String>,
    /// What could be done, one sentence each.
    pub advice: Vec<String>,
    /// What a user should know of a fit that can be trusted all the same.
    pub warnings: Vec<String>,
}

/// What a verdict is read off.
#[derive(Clone, Copy, Debug)]
pub struct Figures<'a> {
    pub ending: Ending,
    pub steps: usize,
    /// Plain ascent with a constant step size was asked for.
    pub plain: bool,
    /// Of the final draws, `None` if there are none.
    pub khat: Option<f64>,
    /// Of the final draws.
    pub closeness: Closeness,
    pub rows: &'a [QuantitySummary],
    /// The guide has no correlations between latents.
    pub factorised: bool,
    /// Of a factorised guide, where it could be measured: each latent's standard deviation over the posterior's near the guide.
    pub narrow: &'a [(String, f64)],
}

/// How near the guide is to the posterior, by the weights of all final draws.
#[derive(Clone, Copy, Debug)]
pub struct Closeness {
    /// `log mean w - mean log w`, the divergence KL(guide || posterior) in nats, with the evidence by importance sampling.
    pub divergence: f64,
    /// k̂ of all draws together: it looks further into the tail than a batch does.
    pub khat: f64,
}

impl Closeness {
    /// Of log weights.
    pub fn of(log_weights: &[f64]) -> Self {
        let count = log_weights.len() as f64;
        let top = log_weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mean = log_weights.iter().map(|w| w - top).sum::<f64>() / count;
        let evidence = (log_weights.iter().map(|w| (w - top).exp()).sum::<f64>() / count).ln();
        Closeness { divergence: evidence - mean, khat: psis::khat(log_weights) }
    }

    /// Nearly equal weights have a shape of their own where they bunch, and a batch's k̂, which looks at one twentieth of it,
    /// fits that; what such a guide can get wrong is bounded by the divergence.
    fn settles(self) -> bool {
        self.divergence < NEAR && self.khat <= KHAT_LIMIT
    }
}

/// Nats below which a guide is near whatever a batch's k̂ says: no probability is off by more than `sqrt(NEAR / 2)`, a tenth
/// (Pinsker's inequality).
const NEAR: f64 = 0.02;

pub fn verdict(figures: &Figures<'_>) -> Verdict {
    let Figures { ending, steps, plain, khat, closeness, rows, factorised, narrow } = *figures;
    let mut status = match ending {
        Ending::Settled => FitStatus::Converged,
        Ending::StepLimit => FitStatus::StepLimit,
        Ending::Cancelled => FitStatus::Interrupted,
    };
    let (mut reasons, mut advice, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    match ending {
        Ending::Settled => {}
        Ending::StepLimit if plain => {
            reasons.push(format!("the {steps} steps of a constant size were made; nothing says whether they suffice"));
        }
        Ending::StepLimit => {
            reasons.push(format!("the objective was still moving after {steps} steps"));
            advice.push("allow more steps with --steps".to_string());
        }
        Ending::Cancelled => reasons.push(format!("interrupted after {steps} steps")),
    }
    if let Some(khat) = khat
        && khat > KHAT_LIMIT
        && closeness.settles()
    {
        warnings.push(format!(
            "Pareto k-hat is {khat:.2} by batches, {:.2} of all draws: the weights are nearly equal (the guide is {:.3} nats from \
             the posterior), so it is no sign of a bad guide",
            closeness.khat, closeness.divergence
        ));
    } else if let Some(khat) = khat
        && (khat.is_nan() || khat > KHAT_LIMIT)
    {
        if status == FitStatus::Converged {
            status = FitStatus::Untrustworthy;
        }
        reasons.push(if khat.is_finite() {
            format!(
                "Pareto k-hat is {khat:.2}, above {KHAT_LIMIT}: the guide misses parts of the posterior, and importance weights \
                 cannot tell how much"
            )
        } else {
            "the densities of model and guide are not finite at some of the final draws".to_string()
        });
        if factorised {
            advice.push(CORRELATIONS.to_string());
        }
        // A positive latent that reaches down to a small part of itself.
        if let Some(scale) = rows.iter().find(|row| row.latent && row.q05 > 0.0 && row.q05 < 0.2 * row.q95) {
            advice.push(format!(
                "if `{}` is the scale of other latents, write them as location + scale * standard normal (non-centred)",
                scale.name
            ));
        }
        let mut worst: Vec<&QuantitySummary> = rows.iter().filter(|row| row.khat.is_finite()).collect();
        worst.sort_by(|a, b| b.khat.total_cmp(&a.khat));
        if let Some(row) = worst.first()
            && row.khat > khat
        {
            reasons.push(format!("`{}` is the quantity it touches most (k-hat {:.2})", row.name, row.khat));
        }
    }
    let narrowest = narrow.iter().min_by(|a, b| a.1.total_cmp(&b.1));
    if let Some((name, ratio)) = narrowest.filter(|n| n.1 < NARROW) {
        let count = narrow.iter().filter(|n| n.1 < NARROW).count();
        let all = narrow.len();
        let said = format!(
            "standard deviations are too small: that of `{name}` is {ratio:.2} of what the posterior's curvature under the guide \
             says, and {count} of {all} are below {NARROW} of it"
        );
        if *ratio < FAR_TOO_NARROW && status == FitStatus::Converged {
            status = FitStatus::Untrustworthy;
        }
        if status == FitStatus::Converged {
            warnings.push(said);
        } else {
            reasons.push(said);
        }
        if !advice.iter().any(|a| a == CORRELATIONS) {
            advice.push(CORRELATIONS.to_string());
        }
    }
    Verdict { status, reasons, advice, warnings }
}

/// Shares of a standard deviation below which it is called too small, and below which a fit is not trusted.
const NARROW: f64 = 0.85;
const FAR_TOO_NARROW: f64 = 0.5;

const CORRELATIONS: &str = "the guide is factorised: standard deviations are too small where latents are correlated; full_rank(…) \
                            in place of mean_field(…) represents correlations";

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: Closeness = Closeness { divergence: 1.0, khat: 0.5 };

    #[test]
    fn statuses() {
        let of = |ending, khat| {
            let (rows, narrow) = (&[], &[]);
            verdict(&Figures { ending, steps: 10, plain: false, khat, closeness: FAR, rows, factorised: true, narrow })
        };
        assert_eq!(of(Ending::Settled, Some(0.5)).status, FitStatus::Converged);
        assert!(of(Ending::Settled, Some(0.5)).reasons.is_empty());
        let bad = of(Ending::Settled, Some(0.8));
        assert_eq!((bad.status, bad.status.exit_code()), (FitStatus::Untrustworthy, 3));
        assert!(bad.reasons[0].contains("0.80") && bad.advice[0].contains("full_rank"));
        assert_eq!(of(Ending::Settled, Some(f64::INFINITY)).status, FitStatus::Untrustworthy);
        assert_eq!(of(Ending::StepLimit, Some(0.9)).status, FitStatus::StepLimit);
        assert_eq!(of(Ending::Cancelled, None).status.exit_code(), 130);
    }

    #[test]
    fn narrow_guides_are_told_of() {
        let of = |worst: f64, khat| {
            let narrow = [("a".to_string(), 0.97), ("b".to_string(), worst)];
            let ending = Ending::Settled;
            let (khat, rows, narrow) = (Some(khat), &[], &narrow);
            verdict(&Figures { ending, steps: 10, plain: false, khat, closeness: FAR, rows, factorised: true, narrow })
        };
        let fine = of(0.9, 0.4);
        assert!(fine.status == FitStatus::Converged && fine.warnings.is_empty() && fine.advice.is_empty());
        let told = of(0.7, 0.4);
        assert_eq!(told.status, FitStatus::Converged);
        assert!(told.warnings[0].contains("`b` is 0.70") && told.warnings[0].contains("1 of 2"), "{told:?}");
        let bad = of(0.2, 0.4);
        assert!(bad.status == FitStatus::Untrustworthy && bad.reasons.len() == 1 && bad.advice.len() == 1);
        assert_eq!(of(0.2, 0.9).reasons.len(), 2);
    }

    /// Of e^(cubes of a normal), far enough from 1, the weights are bad; nearly equal ones are not, whatever a batch says.
    #[test]
    fn nearly_equal_weights_are_trusted() {
        let of = |size: f64| {
            let mut noise = crate::inference::noise::Noise::new(3, 1);
            let weights: Vec<f64> = (0..100_000).map(|_| size * noise.normal().powi(3)).collect();
            let closeness = Closeness::of(&weights);
            let khat = Some(0.9);
            let figures = Figures {
                ending: Ending::Settled,
                steps: 10,
                plain: false,
                khat,
                closeness,
                rows: &[],
                factorised: false,
                narrow: &[],
            };
            (closeness, verdict(&figures))
        };
        let (close, said) = of(0.02);
        assert!((close.divergence - 0.5 * 15.0 * 0.02 * 0.02).abs() < 0.001, "{close:?}");
        assert!(said.status == FitStatus::Converged && said.warnings.len() == 1 && said.reasons.is_empty(), "{said:?}");
        let (far, said) = of(0.1);
        assert!(far.divergence > NEAR && said.status == FitStatus::Untrustworthy, "{far:?}");
    }
}

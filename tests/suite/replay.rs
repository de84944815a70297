//! Fits of the examples, as the command line makes them: the nine posteriors end by their own stopping rule at the figures
//! of the reference draws and at the optimum known for a full-rank Gaussian; every other example fits and reports.

use crate::programs::{Subject, examples, open, read, root, said};
use libtest_mimic::Trial;
use provi::driver::compile::Backend;
use provi::driver::fit::{FitOptions, run};
use provi::inference::fit::{Outcome, Silent};
use provi::inference::verdict::FitStatus;
use serde_json::Value;
use std::collections::HashMap;

/// The optimum over full-rank Gaussians on the unconstrained space.
struct Row {
    name: &'static str,
    elbo: f64,
    /// Smallest and largest ratio of a standard deviation to the reference's.
    ratios: (f64, f64),
    /// Most that a mean may be off, in reference standard deviations.
    off: f64,
}

const fn row(name: &'static str, elbo: f64, smallest: f64, largest: f64) -> Row {
    Row { name, elbo, ratios: (smallest, largest), off: 0.1 }
}

const ROWS: [Row; 9] = [
    Row { off: 0.25, ..row("eight_schools-eight_schools_noncentered", -31.53, 0.816, 1.04) },
    row("kidiq-kidscore_interaction", -1872.82, 0.993, 1.01),
    row("german_credit-logistic_regression", -529.20, 0.976, 1.01),
    row("seeds-random_effects_logistic", -89.80, 0.540, 0.97),
    row("sblri-blr", -184.80, 0.962, 1.00),
    row("arK-arK", 58.57, 0.981, 1.00),
    row("low_dim_gauss_mix-low_dim_gauss_mix", -2115.69, 0.990, 1.00),
    row("gp_pois_regr-gp_regr", -27.56, 1.005, 1.02),
    row("mesquite-logmesquite_logvash", -20.53, 0.908, 0.99),
];

/// Bounds that fits of examples must end at, within 0.02: by quadrature, or (the last but one) by simulation; the last is
/// the evidence, which the guide comes near but for the thousandth part that its proposal gives away.
const BOUNDS: [(&str, f64); 6] = [
    ("cone_elbo", -8.0745),
    ("cone_iwelbo", -7.5341),
    ("cone_hvi", -9.7481),
    ("cone_iwhvi", -8.1795),
    ("cone_diwhvi", -7.3073),
    ("cone_learnt_reverse", -5.3232),
];

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials: Vec<Trial> =
        ROWS.iter().map(|row| Trial::test(format!("fit::posterior::{}", row.name), || Ok(posterior(row)?))).collect();
    for subject in examples() {
        if !ROWS.iter().any(|row| subject.name.ends_with(&format!("{}.ppl", row.name))) {
            trials.push(Trial::test(format!("fit::{}", subject.name), move || Ok(example(&subject)?)));
        }
    }
    trials
}

fn fitted(name: &str, text: &str, data: Option<&str>) -> Result<Outcome, String> {
    let opened = open(name, text, data).map_err(|r| said(&r))?;
    let session = opened.session().map_err(|r| said(&r))?;
    let options = FitOptions::new(1, Backend::Machine { threads: 1 });
    Ok(run(&session, &options, &mut Silent).map_err(|r| said(&r))?.outcome)
}

/// References count from 1: `theta[1]` is `theta[0]` here.
fn from_zero(name: &str) -> String {
    let Some((root, indices)) = name.strip_suffix(']').and_then(|n| n.split_once('[')) else { return name.to_owned() };
    let down = |i: &str| i.trim().parse::<usize>().map_or_else(|_| i.to_owned(), |i| i.saturating_sub(1).to_string());
    format!("{root}[{}]", indices.split(',').map(down).collect::<Vec<_>>().join(","))
}

fn reference(name: &str) -> Result<HashMap<String, (f64, f64)>, String> {
    let text = read(&root().join("tests/posteriors").join(name).join("reference.json"))?;
    let object: serde_json::Map<String, Value> = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let figure = |v: &Value, key: &str| v.get(key).and_then(Value::as_f64);
    Ok(object.iter().filter_map(|(name, v)| Some((from_zero(name), (figure(v, "mean")?, figure(v, "sd")?)))).collect())
}

fn posterior(row: &Row) -> Result<(), String> {
    let program = read(&root().join("examples/posteriors").join(format!("{}.ppl", row.name)))?;
    let data = read(&root().join("tests/posteriors").join(row.name).join("data.json"))?;
    let outcome = fitted(&format!("examples/posteriors/{}.ppl", row.name), &program, Some(&data))?;
    let reference = reference(row.name)?;
    let mut faults = Vec::new();
    let (mut low, mut high) = (f64::INFINITY, 0.0f64);
    let mut compared = 0;
    for (name, (mean, sd)) in &reference {
        let Some(quantity) = outcome.quantities.iter().find(|q| q.name == *name) else {
            faults.push(format!("`{name}` is not reported"));
            continue;
        };
        compared += 1;
        let off = (quantity.mean - mean).abs() / sd;
        // Not `>`: a NaN is a fault.
        if !matches!(off.partial_cmp(&row.off), Some(std::cmp::Ordering::Less | std::cmp::Ordering::Equal)) {
            faults.push(format!("{name}: the mean {} is {off:.3} sd off {mean}", quantity.mean));
        }
        low = low.min(quantity.sd / sd);
        high = high.max(quantity.sd / sd);
    }
    if outcome.objective.mean.is_nan() || outcome.objective.mean < row.elbo - 0.1 {
        faults.push(format!("objective {}, where {} can be reached", outcome.objective.mean, row.elbo));
    }
    if compared == 0 || (low - row.ratios.0).abs() > 0.05 || (high - row.ratios.1).abs() > 0.05 {
        faults.push(format!("ratios of sds from {low:.3} to {high:.3}, the optimum's are {:?}", row.ratios));
    }
    if matches!(outcome.status, FitStatus::StepLimit | FitStatus::Interrupted) {
        faults.push(format!("ended by {:?}: {:?}", outcome.status, outcome.reasons));
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
}

fn example(subject: &Subject) -> Result<(), String> {
    let outcome = fitted(&subject.name, &subject.text, subject.data.as_deref())?;
    let finite = outcome.objective.mean.is_finite()
        && outcome.quantities.iter().all(|q| q.mean.is_finite() && q.sd.is_finite())
        && outcome.parameters.iter().all(|p| p.1.is_finite());
    if !finite {
        return Err("a reported figure is not finite".to_owned());
    }
    let bound = BOUNDS.iter().find(|(name, _)| subject.name.ends_with(&format!("{name}.ppl")));
    if let Some((_, value)) = bound
        && (outcome.objective.mean - value).abs() > 0.02
    {
        return Err(format!("ends at {}, the best is {value}", outcome.objective.mean));
    }
    // A fit whose draws cannot be trusted says so.
    let bad = outcome.khat.is_some_and(|k| k > 0.7);
    if bad && outcome.status == FitStatus::Converged {
        return Err(format!("k-hat {:?} is called converged", outcome.khat));
    }
    Ok(())
}

//! Results as text and as JSON, from plain values.

use crate::driver::claims::TestReport;
use crate::driver::fit::FitReport;
use crate::inference::summary::{Estimate, QuantitySummary};
use crate::inference::verdict::FitStatus;
use serde_json::{Map, Value, json};

/// A table: the first column to the left, the others to the right.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count());
        cells.chain([header[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (i, cell) in cells.enumerate() {
            if i == 0 {
                text.push_str(&format!("{cell:<w$}", w = widths[i]));
            } else {
                text.push_str(&format!("  {cell:>w$}", w = widths[i]));
            }
        }
        text.trim_end().to_string() + "\n"
    };
    let mut out = line(&mut header.iter().copied());
    for row in rows {
        out.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    out
}

/// Four significant digits.
pub fn short(x: f64) -> String {
    if x == 0.0 {
        return "0".to_string();
    }
    if !x.is_finite() {
        return if x.is_nan() { "-".to_string() } else { x.to_string() };
    }
    #[expect(clippy::cast_possible_truncation, reason = "the exponent of a finite float")]
    let exponent = x.abs().log10().floor() as i32;
    if (-4..6).contains(&exponent) {
        let decimals = usize::try_from((3 - exponent).clamp(0, 8)).unwrap_or(0);
        format!("{x:.decimals$}")
    } else {
        format!("{x:.3e}")
    }
}

/// A value with its Monte Carlo error, to the digits that the error leaves.
pub fn with_error(e: Estimate) -> String {
    if e.mcse == 0.0 || !e.mcse.is_finite() || !e.mean.is_finite() {
        return short(e.mean);
    }
    #[expect(clippy::cast_possible_truncation, reason = "the exponent of a finite float")]
    let exponent = e.mcse.log10().floor() as i32;
    let decimals = usize::try_from((1 - exponent).clamp(0, 12)).unwrap_or(0);
    if e.mean.abs() >= 1e9 {
        return format!("{:.6e} ± {:.1e}", e.mean, e.mcse);
    }
    format!("{:.decimals$} ± {:.decimals$}", e.mean, e.mcse)
}

pub fn estimate_json(e: Estimate) -> Value {
    json!({ "mean": e.mean, "mcse": e.mcse })
}

/// Rows of the table shown on a terminal; the rest is counted.
const MAX_ROWS: usize = 60;

/// Means, sds, quantiles, k̂ and Monte Carlo errors, one row for each scalar.
pub fn quantities(list: &[QuantitySummary]) -> String {
    let rows: Vec<Vec<String>> = list
        .iter()
        .take(MAX_ROWS)
        .map(|q| {
            vec![
                q.name.clone(),
                short(q.mean),
                short(q.sd),
                short(q.q05),
                short(q.q50),
                short(q.q95),
                format!("{:.2}", q.khat),
                short(q.mcse_mean),
            ]
        })
        .collect();
    let mut text = table(&["", "mean", "sd", "5%", "50%", "95%", "k̂", "mcse"], &rows);
    if list.len() > MAX_ROWS {
        text.push_str(&format!("… and {} more (`--format json` or `--out DIR` has all)\n", list.len() - MAX_ROWS));
    }
    text
}

pub fn quantities_json(list: &[QuantitySummary]) -> Value {
    let mut map = Map::new();
    for q in list {
        map.insert(
            q.name.clone(),
            json!({
                "mean": q.mean, "sd": q.sd, "q05": q.q05, "q50": q.q50, "q95": q.q95, "khat": q.khat,
                "mcse_mean": q.mcse_mean,
            }),
        );
    }
    Value::Object(map)
}

pub fn parameters_json(list: &[(String, f64)]) -> Value {
    Value::Object(list.iter().map(|(name, x)| (name.clone(), json!(x))).collect())
}

/// What a finished fit prints: figures, table, verdict.
pub fn fit_text(found: &FitReport, seconds: f64) -> String {
    let outcome = &found.outcome;
    let mut text = String::new();
    if !outcome.quantities.is_empty() {
        text.push_str(&quantities(&outcome.quantities));
        text.push('\n');
    }
    if outcome.quantities.is_empty() && !outcome.parameters.is_empty() {
        let rows: Vec<Vec<String>> =
            outcome.parameters.iter().take(MAX_ROWS).map(|(n, x)| vec![n.clone(), short(*x)]).collect();
        text.push_str(&table(&["parameter", "value"], &rows));
        text.push('\n');
    }
    for ((line, objective), substitute) in outcome.lines.iter().zip(&found.objectives).zip(&found.substitutes) {
        if outcome.lines.len() > 1 {
            text.push_str(&format!("line       {objective}\n"));
            text.push_str(&format!("over       {} with {}\n", line.trained.join(", "), line.optimiser));
        }
        text.push_str(&format!("objective  {}\n", with_error(line.objective)));
        if let Some(khat) = line.khat {
            text.push_str(&format!("k̂          {khat:.2}\n"));
        }
        if let Some(substitute) = substitute {
            text.push_str(&format!("gradient   of {substitute}, which estimates the objective with less variance\n"));
        }
    }
    text.push_str(&format!("steps      {} in {seconds:.2} s\n", outcome.steps));
    for warning in &found.warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    text.push('\n');
    text.push_str(match outcome.status {
        FitStatus::Converged => "Converged: the fit can be trusted.\n",
        FitStatus::StepLimit => "Not converged: the limit of steps came first.\n",
        FitStatus::Untrustworthy => "Not to be trusted.\n",
        FitStatus::Interrupted => "Interrupted: this is what was reached.\n",
    });
    for reason in &outcome.reasons {
        text.push_str(&format!("  - {reason}\n"));
    }
    for advice in &outcome.advice {
        text.push_str(&format!("  try: {advice}\n"));
    }
    text
}

/// The object of `provi fit`. Figures at its top are the first line's; `lines` has those of each.
pub fn fit_json(found: &FitReport, seconds: f64) -> Value {
    let outcome = &found.outcome;
    let lines: Vec<Value> = outcome
        .lines
        .iter()
        .zip(&found.objectives)
        .zip(found.substitutes.iter().zip(&found.particles))
        .map(|((line, written), (substitute, particles))| {
            json!({
                "line": written,
                "objective": estimate_json(line.objective),
                "khat": line.khat,
                "over": line.trained,
                "optimiser": line.optimiser,
                "particles": particles,
                "substitute": substitute,
            })
        })
        .collect();
    json!({
        "status": outcome.status.name(),
        "steps": outcome.steps,
        "seconds": seconds,
        "objective": estimate_json(outcome.objective),
        "khat": outcome.khat,
        "quantities": quantities_json(&outcome.quantities),
        "parameters": parameters_json(&outcome.parameters),
        "lines": lines,
        "warnings": found.warnings,
        "reasons": outcome.reasons,
        "advice": outcome.advice,
        "method": outcome.method,
        "substitute": found.substitutes.first(),
    })
}

/// Leaves `[x]` of a nested array, row-major, by `leaf`.
pub fn nested(shape: &[usize], leaf: &mut dyn FnMut() -> Value) -> Value {
    match shape.split_first() {
        None => leaf(),
        Some((&n, rest)) => Value::Array((0..n).map(|_| nested(rest, leaf)).collect()),
    }
}

/// Results of a test of unbiasedness.
pub fn claims(tested: &TestReport) -> String {
    let rows: Vec<Vec<String>> = tested
        .rows
        .iter()
        .map(|r| {
            vec![
                r.name.clone(),
                format!("{:.5}", r.found),
                format!("{:.5}", r.expected),
                format!("{:.3}", r.p),
                format!("{:.2e}", r.detectable),
                if r.rejected { "biased".to_owned() } else { "fine".to_owned() },
            ]
        })
        .collect();
    let head = ["unconstrained", "by strategies", "by differences", "p", "detectable bias", ""];
    format!("\nagainst differences of plain runs, {} samples\n\n{}", tested.samples, table(&head, &rows))
}

/// The same for programs.
pub fn claims_json(tested: &TestReport) -> Value {
    let rows: Vec<Value> = tested
        .rows
        .iter()
        .map(|r| {
            json!({
                "name": r.name, "found": r.found, "expected": r.expected, "p": r.p,
                "detectable_bias": r.detectable, "rejected": r.rejected,
            })
        })
        .collect();
    json!({ "samples": tested.samples, "passed": tested.passed(), "rows": rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits() {
        let shown: Vec<String> =
            [0.0, 1.0, 4.56789, -0.012345, 123456.7, 1e9, 1e-9, f64::NAN].into_iter().map(short).collect();
        assert_eq!(shown, ["0", "1.000", "4.568", "-0.01235", "123457", "1.000e9", "1.000e-9", "-"]);
        assert_eq!(with_error(Estimate { mean: -31.4159, mcse: 0.0123 }), "-31.416 ± 0.012");
        assert_eq!(with_error(Estimate { mean: 2.0, mcse: 0.0 }), "2.000");
    }

    #[test]
    fn tables_are_aligned() {
        let rows = vec![vec!["θ[0]".to_string(), "1".to_string()], vec!["b".to_string(), "-10".to_string()]];
        assert_eq!(table(&["", "mean"], &rows), "      mean\nθ[0]     1\nb      -10\n");
    }

    #[test]
    fn nested_arrays_are_row_major() {
        let mut next = 0;
        let mut leaf = || {
            next += 1;
            json!(next)
        };
        assert_eq!(nested(&[2, 2], &mut leaf), json!([[1, 2], [3, 4]]));
    }
}

//! The command line as its users meet it: exit statuses, one JSON object, the same bits for any number of threads, refusals
//! that never panic.

use crate::programs::root;
use libtest_mimic::Trial;
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output};

pub(crate) fn trials() -> Vec<Trial> {
    let checks: [(&str, fn() -> Result<(), String>); 12] = [
        ("what_is_inspected_is_reported_and_changes_nothing", inspected),
        ("a_fit_is_the_same_for_any_number_of_threads", threads),
        ("exit_statuses", statuses),
        ("every_refusal_has_a_code_and_a_place", refusals),
        ("results_that_cannot_be_written_are_E0513", unwritable),
        ("a_value_that_is_no_number_is_E0603", no_number),
        ("a_training_that_fails_names_its_place", failing),
        ("expressions_of_the_command_line_are_checked", expressions),
        ("every_stage_prints", stages),
        ("a_run_that_is_cut_goes_on_or_is_E0525", resuming),
        ("check_binds_data_and_grad_has_warnings", bound),
        ("plain_ascent_takes_the_steps_asked_for", plain),
    ];
    checks.into_iter().map(|(name, check)| Trial::test(format!("command::{name}"), move || Ok(check()?))).collect()
}

fn provi(arguments: &[&str]) -> Result<Output, String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_provi"));
    command.current_dir(root()).args(arguments).output().map_err(|e| e.to_string())
}

fn status(arguments: &[&str]) -> Result<i32, String> {
    provi(arguments)?.status.code().ok_or_else(|| format!("{arguments:?}: ended by a signal"))
}

/// Standard output of a run in JSON, but for what tells the time.
fn json(arguments: &[&str]) -> Result<Value, String> {
    let output = provi(&[arguments, &["--format", "json"]].concat())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut value: Value = serde_json::from_str(&text)
        .map_err(|e| format!("{arguments:?}: {e}\n{text}\n{}", String::from_utf8_lossy(&output.stderr)))?;
    if let Some(object) = value.as_object_mut() {
        object.remove("seconds");
    }
    Ok(value)
}

/// A file of this test run.
fn written(name: &str, text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).map_err(|e| e.to_string())?;
    Ok(path)
}

fn inspected() -> Result<(), String> {
    let text = |inspected: bool| {
        let of = |e: &str, name: &str| if inspected { format!("inspect({e}, \"{name}\")") } else { e.to_owned() };
        [
            "param m: real = 0.3\nmodel p() {\n  mu ~ normal(0, 1)\n  for i in 0..3 { observe ",
            &of("1.0 * i", "data"),
            " ~ normal(mu, 1) }\n}\nguide q() { mu ~ normal(m, 1) }\nfit expect {\n  let (t, lq) = simulate(q())\n  if ",
            &of("1", "one"),
            " == 1 { ",
            &of("t.mu", "mean"),
            " + log_density(p(), t) - lq } else { ",
            &of("2", "never"),
            " }\n}\n",
        ]
        .concat()
    };
    let run = |inspected: bool| {
        let path = written("inspected.ppl", &text(inspected))?;
        json(&["grad", &path.display().to_string(), "--samples", "200", "--seed", "3"])
    };
    let (with, without) = (run(true)?, run(false)?);
    if with["value"] != without["value"] || with["gradient"] != without["gradient"] {
        return Err("inspection changes a number".to_owned());
    }
    let found = &with["inspected"];
    let near = |x: &Value, to: f64, by: f64| x.as_f64().is_some_and(|x| (x - to).abs() < by);
    let fine = found["mean"]["count"] == 200
        && near(&found["mean"]["sd"], 1.0, 0.25)
        && near(&found["mean"]["mean"], 0.3, 0.36)
        && found["data"]["count"] == 600
        && found["data"]["max"] == 2.0
        && found["one"]["max"] == 1.0
        && found["never"].is_null();
    if fine { Ok(()) } else { Err(format!("inspected: {found}")) }
}

fn threads() -> Result<(), String> {
    for example in ["examples/eight_schools.ppl", "examples/posteriors/seeds-random_effects_logistic.ppl"] {
        let fit =
            |threads| json(&["fit", example, "--seed", "7", "--steps", "600", "--draws", "8000", "--threads", threads]);
        let one = fit("1")?;
        if one.get("quantities").and_then(Value::as_object).is_none_or(|q| q.len() < 3) {
            return Err(format!("{example}: hardly a quantity is reported"));
        }
        if one != fit("1")? || one != fit("2")? {
            return Err(format!("{example}: the report changes"));
        }
    }
    Ok(())
}

fn statuses() -> Result<(), String> {
    let wrong = written("wrong.ppl", "model p() { x ~ nromal(0, 1) }\n")?;
    let wrong = wrong.display().to_string();
    let example = "examples/eight_schools.ppl";
    let wanted: [(&[&str], i32); 6] = [
        (&["check", example], 0),
        (&["grad", example, "--samples", "2"], 0),
        (&["check", &wrong], 1),
        (&["check", "no/such/file.ppl"], 1),
        (&["fit", example, "--no-such-flag"], 2),
        (&["fit", example, "--steps", "20", "--draws", "1000"], 3),
    ];
    for (arguments, code) in wanted {
        let found = status(arguments)?;
        if found != code {
            return Err(format!("{arguments:?} ends with {found}, not {code}"));
        }
    }
    Ok(())
}

/// Broken in many ways at once; and cut off at every tenth character.
fn refusals() -> Result<(), String> {
    let program = "param m: real = 0\nmodel p() { z ~ normal(0, 1)\n observe 1 ~ normal(if z > 0 { 3 } else { 0 }, 1) }\n\
        guide q() { z ~ normal(m, 1) by reparam }\nfit log(elbo(p(), q()))\nmodel r( { }\nmodel s() { y ~ nromal(0, 1) }\n";
    let path = written("several.ppl", program)?.display().to_string();
    let report = json(&["check", &path])?;
    let diagnostics = report.get("diagnostics").and_then(Value::as_array).cloned().unwrap_or_default();
    let codes: Vec<&str> = diagnostics.iter().filter_map(|d| d.get("code")?.as_str()).collect();
    if !codes.iter().any(|c| c.starts_with("E01"))
        || !codes.contains(&"E0201")
        || !codes.iter().any(|c| c.starts_with("E03"))
    {
        return Err(format!("of a syntax error, a name and a biased gradient, these were told: {codes:?}"));
    }
    if let Some(d) = diagnostics.iter().find(|d| d.get("line").and_then(Value::as_u64).is_none()) {
        return Err(format!("no place: {d}"));
    }
    for cut in (0..program.len()).step_by(10) {
        let path = written("cut.ppl", &program[..cut])?.display().to_string();
        let output = provi(&["check", &path])?;
        let told = String::from_utf8_lossy(&output.stderr);
        if !matches!(output.status.code(), Some(0 | 1)) || told.contains("panicked") || told.contains("E0690") {
            return Err(format!("cut at {cut}: {told}"));
        }
    }
    Ok(())
}

fn refused(arguments: &[&str], code: &str) -> Result<(), String> {
    let output = provi(arguments)?;
    let told = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(1) && told.contains(code) {
        Ok(())
    } else {
        Err(format!("{:?}: {told}", output.status))
    }
}

fn unwritable() -> Result<(), String> {
    let file = written("a_file", "not a folder")?.join("results").display().to_string();
    refused(&["fit", "examples/eight_schools.ppl", "--steps", "20", "--draws", "1000", "--out", &file], "E0513")
}

/// What the file does not mention of the library is found; what would be biased in the file is refused here too.
fn expressions() -> Result<(), String> {
    let example = "examples/eight_schools.ppl";
    let found = json(&["grad", example, "iwelbo(schools(), q, 3)", "--samples", "2"])?;
    if found.get("gradient").and_then(Value::as_object).is_none_or(|g| g.len() < 10) {
        return Err(format!("no gradient: {found}"));
    }
    let found = json(&["eval", example, "log_sum_exp([0, 0])"])?;
    if found.get("value").and_then(Value::as_f64).is_none_or(|x| (x - 2f64.ln()).abs() > 1e-12) {
        return Err(format!("not log 2: {found}"));
    }
    refused(&["grad", example, "log(elbo(schools(), q))"], "E0305")?;
    refused(&["eval", example, "nromal_cdf(1)"], "E0201")?;
    refused(&["eval", example, "1 + + 2"], "E01")
}

fn no_number() -> Result<(), String> {
    let text = "param m: real = -1\nobjective o() = expect { x ~ normal(0, 1) by reparam; x + log(m) }\nfit o()\n";
    let path = written("no_number.ppl", text)?.display().to_string();
    refused(&["grad", &path, "--samples", "2"], "E0603")?;
    // A probability of 3/2 would be a number without a meaning.
    let text = "param p: real = 1.5\nfit maximize expect { k ~ bernoulli(p) by enum; 2.0 * k }\n";
    let path = written("outside.ppl", text)?.display().to_string();
    refused(&["grad", &path, "--samples", "2"], "E0602")
}

fn failing() -> Result<(), String> {
    let text = "param m: real = -1\nmodel p() {\n  x ~ normal(0, 1)\n  factor log(m)\n}\n\
        guide q() { x ~ normal(m, 1) by reparam }\nfit elbo(p(), q())\n";
    let path = written("failing.ppl", text)?.display().to_string();
    refused(&["fit", &path], "failing.ppl:4:10")?;
    refused(&["fit", &path], "log(-1) is NaN")?;
    refused(&["fit", &path], "E0601")
}

fn stages() -> Result<(), String> {
    for stage in provi::driver::Stage::ALL {
        let output = provi(&["ir", "examples/eight_schools.ppl", "--stage", stage.name()])?;
        if output.status.code() != Some(0) || output.stdout.len() < 50 {
            return Err(format!("{}: {}", stage.name(), String::from_utf8_lossy(&output.stderr)));
        }
    }
    Ok(())
}

/// Cut at two places and resumed, a fit is the one that was not cut.
fn resuming() -> Result<(), String> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cut_run");
    let folder = folder.display().to_string();
    let file = "examples/eight_schools.ppl";
    let common = ["fit", file, "--draws", "4000"];
    let whole = json(&[&common[..], &["--seed", "5", "--steps", "1500"]].concat())?;
    json(&[&common[..], &["--seed", "5", "--steps", "333", "--out", &folder]].concat())?;
    json(&[&common[..], &["--steps", "900", "--resume", &folder, "--out", &folder]].concat())?;
    let resumed = json(&[&common[..], &["--steps", "1500", "--resume", &folder]].concat())?;
    if whole != resumed {
        return Err(format!("a run that was cut differs:\n{whole}\n{resumed}"));
    }
    let other = "examples/posteriors/seeds-random_effects_logistic.ppl";
    for arguments in [["fit", other, "--resume", &folder], ["fit", file, "--resume", "no_such_folder"]] {
        let output = provi(&arguments)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() != Some(1) || !said.contains("E0525") {
            return Err(format!("{arguments:?}: {:?}\n{said}", output.status));
        }
    }
    Ok(())
}

/// `m` after n steps of size r on -(m - 1)^2 is 1 + (1 - 2 r)^n (m0 - 1), whatever a search or an average would do.
fn plain() -> Result<(), String> {
    let text = "param m: real = 5\nobjective o() = expect { -(m - 1)^2 }\nfit o() with sgd(1e-3, constant: true)\n";
    let file = written("plain.ppl", text)?.display().to_string();
    let found = json(&["fit", &file, "--steps", "777"])?;
    let m = found["parameters"]["m"].as_f64().ok_or("no `m`")?;
    let exact = 1.0 + 0.998f64.powi(777) * 4.0;
    if (m - exact).abs() > 1e-12 || found["steps"] != 777 || found["status"] != "step_limit" {
        return Err(format!("{exact} expected\n{found}"));
    }
    Ok(())
}

/// `check` with `--data` finds what only data tell; `grad` has its warnings in JSON.
fn bound() -> Result<(), String> {
    let program = "examples/eight_schools.ppl";
    if status(&["check", program, "--data", "examples/eight_schools.json"])? != 0 {
        return Err("the example with its data is refused".to_owned());
    }
    let found = json(&["check", program, "--data", "J=3"])?;
    let codes: Vec<&str> =
        found["diagnostics"].as_array().into_iter().flatten().filter_map(|d| d["code"].as_str()).collect();
    if !codes.iter().any(|c| c.starts_with("E05")) || status(&["check", program, "--data", "J=3"])? != 1 {
        return Err(format!("without data: {found}"));
    }
    let text = "param m: real = 0\nmodel p() { b ~ bernoulli_logit(-1) }\n\
                guide q() { b ~ bernoulli_logit(m) by straight_through }\nfit elbo(p(), q())\n";
    let path = written("biased.ppl", text)?.display().to_string();
    let found = json(&["grad", &path, "--samples", "2"])?;
    let warnings = found["warnings"].as_array().ok_or(format!("no warnings: {found}"))?;
    if warnings.iter().any(|w| w.as_str().is_some_and(|w| w.contains("straight_through"))) {
        Ok(())
    } else {
        Err(format!("the bias is not told: {found}"))
    }
}

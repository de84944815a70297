//! The nine posteriors with their data and references, read from the repository.

use super::targets::{Logistic, Mixture, Process, Regression, ScalePrior, Schools, Seeds, Target};
use serde_json::Value;

fn read(name: &str, file: &str) -> Value {
    let path = format!("{}/tests/posteriors/{name}/{file}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn vector(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn matrix(value: &Value) -> Vec<Vec<f64>> {
    value.as_array().unwrap().iter().map(vector).collect()
}

/// Reference mean and sd of a quantity.
pub(super) struct Reference {
    json: Value,
}

impl Reference {
    pub(super) fn of(name: &str) -> Reference {
        Reference { json: read(name, "reference") }
    }
    pub(super) fn get(&self, quantity: &str) -> Option<(f64, f64)> {
        let row = self.json.get(quantity)?;
        Some((row["mean"].as_f64()?, row["sd"].as_f64()?))
    }
}

fn regression(rows: Vec<Vec<f64>>, y: Vec<f64>, prior: Option<f64>, scale: ScalePrior) -> Regression {
    let mut names: Vec<String> = (1..=rows[0].len()).map(|j| format!("beta[{j}]")).collect();
    names.push("sigma".to_string());
    Regression { rows, y, prior, scale, names }
}

pub(super) const KIDIQ: &str = "kidiq-kidscore_interaction";
pub(super) const SCHOOLS: &str = "eight_schools-eight_schools_noncentered";
pub(super) const SBLRI: &str = "sblri-blr";

/// kidiq with mom_iq replaced by `times * mom_iq + plus`.
pub(super) fn kidiq(times: f64, plus: f64) -> Regression {
    let data = read(KIDIQ, "data");
    let iq: Vec<f64> = vector(&data["mom_iq"]).into_iter().map(|v| times * v + plus).collect();
    let rows = vector(&data["mom_hs"]).iter().zip(&iq).map(|(h, q)| vec![1.0, *h, *q, h * q]).collect();
    regression(rows, vector(&data["kid_score"]), None, ScalePrior::HalfCauchy(2.5))
}

pub(super) fn schools(centred: bool) -> Schools {
    let data = read(SCHOOLS, "data");
    Schools { y: vector(&data["y"]), sigma: vector(&data["sigma"]), centred }
}

pub(super) fn sblri() -> Regression {
    let data = read(SBLRI, "data");
    regression(matrix(&data["X"]), vector(&data["y"]), Some(10.0), ScalePrior::HalfNormal(10.0))
}

/// A posterior by its name.
pub(super) fn posterior(name: &str) -> Box<dyn Target> {
    let data = read(name, "data");
    match name {
        SCHOOLS => Box::new(schools(false)),
        KIDIQ => Box::new(kidiq(1.0, 0.0)),
        SBLRI => Box::new(sblri()),
        "arK-arK" => {
            let y = vector(&data["y"]);
            let rows = (5..y.len()).map(|t| [1.0].into_iter().chain((1..=5).map(|k| y[t - k])).collect()).collect();
            let mut model = regression(rows, y[5..].to_vec(), Some(10.0), ScalePrior::HalfCauchy(2.5));
            model.names = ["alpha".to_string()].into_iter().chain((1..=5).map(|k| format!("beta[{k}]"))).collect();
            model.names.push("sigma".to_string());
            Box::new(model)
        }
        "mesquite-logmesquite_logvash" => {
            let column = |key: &str| vector(&data[key]);
            let (d1, d2, ch) = (column("diam1"), column("diam2"), column("canopy_height"));
            let (th, group) = (column("total_height"), column("group"));
            let row = |i: usize| {
                let (a, b) = (d1[i] * d2[i], d1[i] / d2[i]);
                vec![1.0, (a * ch[i]).ln(), a.ln(), b.ln(), th[i].ln(), group[i]]
            };
            let y = column("weight").iter().map(|w| w.ln()).collect();
            Box::new(regression((0..d1.len()).map(row).collect(), y, None, ScalePrior::Flat))
        }
        "german_credit-logistic_regression" => {
            let mut rows = matrix(&data["X"]);
            rows.iter_mut().for_each(|row| row.push(1.0));
            Box::new(Logistic { rows, y: vector(&data["y"]) })
        }
        "seeds-random_effects_logistic" => {
            let (r, n) = (vector(&data["r"]), vector(&data["n"]));
            let factorial = |k: f64| (1..=k as u32).map(|i| f64::from(i).ln()).sum::<f64>();
            let constant = r.iter().zip(&n).map(|(r, n)| factorial(*n) - factorial(*r) - factorial(n - r)).sum();
            Box::new(Seeds { r, n, x1: vector(&data["x1"]), x2: vector(&data["x2"]), constant })
        }
        "low_dim_gauss_mix-low_dim_gauss_mix" => Box::new(Mixture { y: vector(&data["y"]) }),
        "gp_pois_regr-gp_regr" => Box::new(Process { x: vector(&data["x"]), y: vector(&data["y"]) }),
        _ => panic!("no posterior {name}"),
    }
}

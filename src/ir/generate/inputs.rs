//! Inputs of a generated program and values for them. Data are exposed to `setup`; the others to `step` only.

use super::super::core::{Input, Role, Scalar, Type};
use super::Generator;
use crate::runtime::executable::{Array, Values};

pub(super) type Bound = (Vec<Array>, Vec<f64>, Vec<f64>, Vec<f64>);

/// Declares the inputs; data come with their values, the others as flat vectors.
pub(super) fn inputs(g: &mut Generator) -> Bound {
    let mut data = Vec::new();
    let mut shapes: Vec<(Scalar, Vec<usize>)> = vec![(Scalar::Real, vec![]), (Scalar::Int, vec![])];
    let n = g.small_extent();
    let m = g.small_extent();
    shapes.push((Scalar::Real, vec![n]));
    shapes.push((Scalar::Real, vec![n, m]));
    shapes.push((Scalar::Int, vec![n]));
    if g.random.chance(0.5) {
        shapes.push((Scalar::Real, vec![1030]));
        shapes.push((Scalar::Int, vec![1030]));
    }
    if g.random.chance(0.3) {
        shapes.push((Scalar::Bool, vec![m]));
    }
    if g.random.chance(0.15) {
        shapes.push((Scalar::Real, vec![1030, 3]));
    }
    for (n, (scalar, shape)) in shapes.into_iter().enumerate() {
        let ty = Type { scalar, shape };
        let size = ty.size();
        let values = match scalar {
            Scalar::Real => Values::Real((0..size).map(|_| g.random.range(-3.0, 3.0)).collect()),
            Scalar::Int => Values::Int((0..size).map(|_| g.random.below(8) as i64).collect()),
            Scalar::Bool => Values::Bool((0..size).map(|_| g.random.chance(0.5)).collect()),
        };
        data.push(Array { shape: ty.shape.clone(), values });
        let name = format!("d{n}");
        let var = g.var(ty, Some(&name));
        g.program.inputs.push(Input { var, role: Role::Data, name });
        g.expose(var.into());
    }
    let params = flat(g, Role::Param, "p");
    let (tuned, state) =
        if g.options.all_roles { (flat(g, Role::Tuned, "t"), flat(g, Role::State, "s")) } else { (vec![], vec![]) };
    (data, params, tuned, state)
}

fn flat(g: &mut Generator, role: Role, letter: &str) -> Vec<f64> {
    let mut values = Vec::new();
    let n = *g.random.pick(&[2, 3, 5, 8]);
    let shapes = match role {
        Role::Param => vec![vec![], vec![], vec![n], vec![3, n]],
        Role::Data | Role::Tuned | Role::State => vec![vec![], vec![n]],
    };
    for (k, shape) in shapes.into_iter().enumerate() {
        let ty = Type { scalar: Scalar::Real, shape };
        values.extend((0..ty.size()).map(|_| g.random.range(-1.5, 1.5)));
        let name = format!("{letter}{k}");
        let var = g.var(ty, Some(&name));
        g.depends[var.0 as usize] = role == Role::Param;
        g.program.inputs.push(Input { var, role, name });
    }
    values
}

/// Lets the step's statements use parameters, tuned parameters and states.
pub(super) fn expose_step_inputs(g: &mut Generator) {
    let vars: Vec<_> = g.program.inputs.iter().filter(|i| i.role != Role::Data).map(|i| i.var).collect();
    for var in vars {
        g.expose(var.into());
    }
}

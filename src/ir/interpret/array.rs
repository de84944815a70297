//! Contracts and array primitives on whole arrays of cells.

use super::super::core::{Contract, ContractKind, Prim, Scalar, chunk_size};
use super::super::validate::{RowsKernel, rows_kernel};
use super::from_int;
use crate::runtime::executable::Stream;
use crate::runtime::gemm::{Strides, gemm};
use crate::runtime::{feistel, linear, rows};
use std::collections::HashMap;
use std::sync::Arc;

/// The result's cells, row-major.
pub(super) fn contract(c: &Contract, a: &[f64], a_shape: &[usize], b: &[f64], b_shape: &[usize]) -> Vec<f64> {
    match c.kind {
        None | Some(ContractKind::Loops) => contract_loops(c, a, a_shape, b, b_shape),
        Some(ContractKind::Rows) => {
            // Refused by the validator otherwise.
            let Some((kernel, swapped)) = rows_kernel(c) else { return contract_loops(c, a, a_shape, b, b_shape) };
            let (matrix, vector, shape) = if swapped { (b, a, b_shape) } else { (a, b, a_shape) };
            match kernel {
                RowsKernel::Dot => {
                    let mut out = vec![0.0; shape[0]];
                    rows::rows_dot(matrix, vector, &mut out);
                    out
                }
                RowsKernel::Axpy => {
                    let d = shape[1];
                    let mut out = vec![0.0; d];
                    let chunk = chunk_size(shape[0]);
                    if shape[0] <= chunk {
                        rows::rows_axpy(matrix, vector, &mut out);
                        return out;
                    }
                    for (n, weights) in vector.chunks(chunk).enumerate() {
                        let mut total = vec![0.0; d];
                        rows::rows_axpy(&matrix[n * chunk * d..], weights, &mut total);
                        out.iter_mut().zip(&total).for_each(|(o, t)| *o += t);
                    }
                    out
                }
            }
        }
        Some(ContractKind::Gemm) => matrix_product(c, a, a_shape, b, b_shape),
    }
}

/// Row-major strides.
fn strides(shape: &[usize]) -> Vec<usize> {
    let mut out = vec![1; shape.len()];
    for d in (1..shape.len()).rev() {
        out[d - 1] = out[d] * shape[d];
    }
    out
}

fn contract_loops(c: &Contract, a: &[f64], a_shape: &[usize], b: &[f64], b_shape: &[usize]) -> Vec<f64> {
    // By label: extent, stride in a, stride in b.
    let mut labels: HashMap<u8, (usize, usize, usize)> = HashMap::new();
    let mut summed: Vec<u8> = Vec::new();
    for (l, (&n, s)) in c.a_labels.iter().zip(a_shape.iter().zip(strides(a_shape))) {
        labels.entry(*l).or_insert((n, 0, 0)).1 = s;
    }
    for (l, (&n, s)) in c.b_labels.iter().zip(b_shape.iter().zip(strides(b_shape))) {
        labels.entry(*l).or_insert((n, 0, 0)).2 = s;
    }
    for l in c.a_labels.iter().chain(&c.b_labels) {
        if !c.out.contains(l) && !summed.contains(l) {
            summed.push(*l);
        }
    }
    let axes = |list: &[u8]| -> Vec<(usize, usize, usize)> {
        list.iter().map(|l| labels.get(l).copied().unwrap_or((0, 0, 0))).collect()
    };
    let (free, summed) = (axes(&c.out), axes(&summed));
    let mut out = Vec::with_capacity(free.iter().map(|x| x.0).product());
    odometer(&free, 0, 0, &mut |pa, pb| {
        let mut total = 0.0;
        odometer(&summed, pa, pb, &mut |qa, qb| total += a[qa] * b[qb]);
        out.push(total);
    });
    out
}

/// Calls `f` with the positions in both operands for every value of the indices, the last one fastest.
fn odometer(axes: &[(usize, usize, usize)], pa: usize, pb: usize, f: &mut dyn FnMut(usize, usize)) {
    match axes.split_first() {
        None => f(pa, pb),
        Some((&(n, sa, sb), rest)) => {
            for i in 0..n {
                odometer(rest, pa + i * sa, pb + i * sb, f);
            }
        }
    }
}

/// `c[m, n] = Σ_k a · b` with the axes of each in any order.
fn matrix_product(c: &Contract, a: &[f64], a_shape: &[usize], b: &[f64], b_shape: &[usize]) -> Vec<f64> {
    let a_transposed = c.b_labels.contains(&c.a_labels[0]);
    let b_transposed = c.a_labels.contains(&c.b_labels[1]);
    let (m, k) = if a_transposed { (a_shape[1], a_shape[0]) } else { (a_shape[0], a_shape[1]) };
    let n = if b_transposed { b_shape[0] } else { b_shape[1] };
    let out_transposed = c.b_labels.contains(&c.out[0]);
    let strides = |columns: usize, transposed: bool| {
        let plain = Strides::row_major(columns);
        if transposed { plain.transposed() } else { plain }
    };
    let mut out = vec![0.0; m * n];
    let out_strides = strides(if out_transposed { m } else { n }, out_transposed);
    let (a_strides, b_strides) = (strides(a_shape[1], a_transposed), strides(b_shape[1], b_transposed));
    gemm((m, k, n), a, a_strides, b, b_strides, false, &mut out, out_strides);
    out
}

/// The result's cells, and whether all was in the domain.
pub(super) fn primitive(
    prim: &Prim,
    args: &[Arc<Vec<f64>>],
    shapes: &[Vec<usize>],
    stream: Stream,
) -> (Arc<Vec<f64>>, bool) {
    let mut fine = true;
    let out = match prim {
        Prim::Cholesky => {
            let mut l = args[0].to_vec();
            fine = linear::cholesky_in_place(&mut l, shapes[0][0]);
            l
        }
        Prim::SolveLower { transposed } => {
            let n = shapes[0][0];
            let columns = shapes[1].get(1).copied().unwrap_or(1);
            let mut x = args[1].to_vec();
            linear::solve_lower(&args[0], n, columns, *transposed, &mut x);
            x
        }
        Prim::CumSum { reverse } => cumulative_sum(&args[0], *reverse),
        Prim::Concat { axis } => concat(args, shapes, *axis),
        Prim::Stack => args.iter().flat_map(|a| a.iter().copied()).collect(),
        Prim::Reshape { .. } => return (Arc::clone(&args[0]), true),
        Prim::Sort => {
            let mut x = args[0].to_vec();
            sort(&mut x);
            x
        }
        Prim::Fill { shape } => vec![args[0][0]; shape.iter().product()],
        &Prim::Subset { of, take, plate } => {
            let mut members = vec![0; take];
            feistel::subset(stream, plate, of as u64, &mut members);
            members.into_iter().map(from_int).collect()
        }
        Prim::Const { data, ty } => match ty.scalar {
            Scalar::Real => data.to_vec(),
            Scalar::Int | Scalar::Bool => data.iter().map(|&x| from_int(x as i64)).collect(),
        },
    };
    (Arc::new(out), fine)
}

/// Each sum starts from 0.0 at the first (or last) element.
fn cumulative_sum(x: &[f64], reverse: bool) -> Vec<f64> {
    let mut out = vec![0.0; x.len()];
    let mut total = 0.0;
    for step in 0..x.len() {
        let i = if reverse { x.len() - 1 - step } else { step };
        total += x[i];
        out[i] = total;
    }
    out
}

fn concat(args: &[Arc<Vec<f64>>], shapes: &[Vec<usize>], axis: usize) -> Vec<f64> {
    let outer: usize = shapes[0][..axis].iter().product();
    let blocks: Vec<usize> = shapes.iter().map(|s| s[axis..].iter().product()).collect();
    let mut out = Vec::with_capacity(args.iter().map(|a| a.len()).sum());
    for o in 0..outer {
        for (a, &block) in args.iter().zip(&blocks) {
            out.extend_from_slice(&a[o * block..(o + 1) * block]);
        }
    }
    out
}

/// Ascending; -0.0 before 0.0; NaN last.
pub fn sort(x: &mut [f64]) {
    x.sort_by(|a, b| a.is_nan().cmp(&b.is_nan()).then(a.total_cmp(b)));
}

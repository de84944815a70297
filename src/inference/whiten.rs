//! Training coordinates: `u`, laid out as the parameters are, in which the objective's curvature is about minus the
//! identity. A Gaussian guide's location and Cholesky factor are taken relative to a reference Gaussian (`m = m₀ + L₀ a`,
//! `L = L₀ B`); free parameters, relative to a centre and a factor of the inverse of their curvature, where one is known.
//! Coordinates change the path of training, never its optimum. Invariant: `u = 0` is the centre, unless the coordinates are the
//! parameters themselves.

use super::bound::{ParamBlock, ParamRole};
use super::dense;
use super::newton::Found;
use super::saved::{Reader, Saved};

/// How one run of parameters depends on its coordinates.
#[derive(Clone, Debug)]
enum Part {
    /// `m = m₀ + L₀ a`, `L₀` lower-triangular `[n, n]`.
    Location { offset: usize, n: usize },
    /// `log s = log s₀ + b / √2`: a log scale's curvature is -2 at a Gaussian optimum.
    LogScale { offset: usize, n: usize },
    /// Packed `L = L₀ B`, `B` packed with log diagonal (divided by √2).
    CholeskyScale { offset: usize, n: usize },
    /// `x = x₀ + C u` over the listed parameters, `C` lower-triangular.
    Linear { members: Vec<usize>, factor: Vec<f64> },
    /// `x = x₀ + c u` element by element.
    Diagonal { offset: usize, scale: Vec<f64> },
}

#[derive(Clone, Debug)]
pub(crate) struct Coordinates {
    parts: Vec<Part>,
    centre: Vec<f64>,
    /// `L₀` of the Location and CholeskyScale parts, row-major `[n, n]`.
    reference: Vec<f64>,
    /// Every part has a curvature of about -1, so that lengths in `u` measure loss.
    pub(crate) whitened: bool,
    /// The coordinates are the parameters themselves; the centre is where `u` equals it.
    declared: bool,
    scratch: Vec<f64>,
    other: Vec<f64>,
}

/// Row-major lower triangle `[n, n]` of a packed one whose diagonal is logs.
pub(crate) fn unpack_lower(packed: &[f64], n: usize) -> Vec<f64> {
    let mut full = vec![0.0; n * n];
    let mut next = 0;
    for i in 0..n {
        for j in 0..=i {
            full[i * n + j] = if i == j { packed[next].exp() } else { packed[next] };
            next += 1;
        }
    }
    full
}

pub(crate) fn pack_lower(full: &[f64], n: usize, packed: &mut [f64]) {
    let mut next = 0;
    for i in 0..n {
        for j in 0..=i {
            packed[next] = if i == j { full[i * n + j].ln() } else { full[i * n + j] };
            next += 1;
        }
    }
}

impl Coordinates {
    /// Coordinates at `centre`. `reference` is `L₀` for the derived guide's blocks (`None`: taken from the scale blocks);
    /// `free` a factor over the parameters that were searched (`None`: as declared, not whitened).
    pub(crate) fn new(
        blocks: &[ParamBlock],
        centre: &[f64],
        reference: Option<&[f64]>,
        free: Option<(&[usize], Found)>,
    ) -> Coordinates {
        let mut parts = Vec::new();
        let mut whitened = true;
        let gaussian = gaussian_blocks(blocks);
        for block in blocks.iter().filter(|b| b.trained) {
            match (block.role, &gaussian) {
                (ParamRole::Location, Some(_)) => parts.push(Part::Location { offset: block.offset, n: block.len }),
                (ParamRole::LogScale, Some(_)) => parts.push(Part::LogScale { offset: block.offset, n: block.len }),
                (ParamRole::CholeskyScale, Some((location, _))) => {
                    parts.push(Part::CholeskyScale { offset: block.offset, n: location.len });
                }
                (ParamRole::Loadings, Some((location, scale))) if block.len > 0 => {
                    // In units of the latents they are added to.
                    let sds = sds_of(centre, location.len, scale);
                    let columns = block.len / sds.len();
                    let scale = sds.iter().flat_map(|s| std::iter::repeat_n(*s, columns)).collect();
                    whitened = false;
                    parts.push(Part::Diagonal { offset: block.offset, scale });
                }
                (ParamRole::Location | ParamRole::LogScale | ParamRole::CholeskyScale, None)
                | (ParamRole::Free | ParamRole::Loadings | ParamRole::Shape, _) => {
                    if block.len > 0 {
                        whitened = false;
                        parts.push(Part::Diagonal { offset: block.offset, scale: vec![1.0; block.len] });
                    }
                }
            }
        }
        let reference = match (reference, gaussian) {
            (Some(given), _) => given.to_vec(),
            (None, Some((location, scale))) => reference_of(centre, location.len, scale),
            (None, None) => Vec::new(),
        };
        let n = centre.len();
        let mut coordinates = Coordinates {
            parts,
            centre: centre.to_vec(),
            scratch: vec![0.0; reference.len().max(n)],
            other: vec![0.0; reference.len().max(n)],
            reference,
            whitened,
            declared: false,
        };
        if let Some((members, found)) = free {
            coordinates.set_linear(members, found);
        }
        coordinates
    }

    /// The parameters themselves.
    pub(crate) fn declared(centre: &[f64]) -> Coordinates {
        Coordinates {
            parts: Vec::new(),
            centre: centre.to_vec(),
            reference: Vec::new(),
            whitened: false,
            declared: true,
            scratch: Vec::new(),
            other: Vec::new(),
        }
    }

    /// The coordinates of the centre.
    pub(crate) fn origin(&self) -> Vec<f64> {
        if self.declared { self.centre.clone() } else { vec![0.0; self.centre.len()] }
    }

    pub(crate) fn save(&self, into: &mut Saved) {
        into.reals(&self.centre);
        into.reals(&self.reference);
        into.count(usize::from(self.whitened));
        for part in &self.parts {
            if let Part::Linear { members, factor } = part {
                into.count(1);
                into.count(members.len());
                members.iter().for_each(|m| into.count(*m));
                into.reals(factor);
            }
        }
        into.count(0);
    }

    /// Into coordinates over the same blocks.
    pub(crate) fn restore(&mut self, from: &mut Reader<'_>) -> Option<()> {
        from.reals_into(&mut self.centre)?;
        self.reference = from.reals()?;
        let whitened = from.count()? == 1;
        while from.count()? == 1 {
            let members = (0..from.count()?).map(|_| from.count()).collect::<Option<Vec<usize>>>()?;
            let found = Found { factor: from.reals()?, rough: !whitened, description: String::new() };
            if members.iter().any(|m| *m >= self.centre.len()) || found.factor.len() != members.len() * members.len() {
                return None;
            }
            self.set_linear(&members, found);
        }
        self.whitened = whitened;
        let n = self.reference.len().max(self.centre.len());
        (self.scratch, self.other) = (vec![0.0; n], vec![0.0; n]);
        Some(())
    }

    /// Gives the listed parameters (whole blocks) the factor `[n, n]`.
    pub(crate) fn set_linear(&mut self, members: &[usize], found: Found) {
        self.parts.retain(|part| match part {
            Part::Linear { .. } => false,
            Part::Diagonal { offset, .. } => !members.contains(offset),
            Part::Location { offset, .. } | Part::LogScale { offset, .. } | Part::CholeskyScale { offset, .. } => {
                !members.contains(offset)
            }
        });
        self.whitened = !found.rough && !self.parts.iter().any(|part| matches!(part, Part::Diagonal { .. }));
        self.parts.push(Part::Linear { members: members.to_vec(), factor: found.factor });
    }

    /// Moves the centre to `params`; a full-rank reference follows.
    pub(crate) fn recentre(&mut self, params: &[f64]) {
        self.centre.copy_from_slice(params);
        for part in &self.parts {
            if let Part::CholeskyScale { offset, n } = part {
                self.reference = unpack_lower(&params[*offset..offset + n * (n + 1) / 2], *n);
            }
        }
    }

    /// The parameters at coordinates `u`.
    pub(crate) fn params(&mut self, u: &[f64], params: &mut [f64]) {
        if self.declared {
            params.copy_from_slice(u);
            return;
        }
        params.copy_from_slice(&self.centre);
        for part in &self.parts {
            match part {
                Part::Location { offset, n } => {
                    let run = *offset..offset + n;
                    dense::add_lower_product(&self.reference, *n, &u[run.clone()], &mut params[run]);
                }
                Part::LogScale { offset, n } => {
                    for i in *offset..offset + n {
                        params[i] += u[i] * std::f64::consts::FRAC_1_SQRT_2;
                    }
                }
                Part::CholeskyScale { offset, n } => {
                    let (n, len) = (*n, n * (n + 1) / 2);
                    unpack_whitened(&u[*offset..offset + len], n, &mut self.scratch);
                    let out = &mut params[*offset..offset + len];
                    let mut next = 0;
                    for i in 0..n {
                        // A row of the product, from rows of `B`.
                        let row = &mut out[next..next + i + 1];
                        row.fill(0.0);
                        for k in 0..=i {
                            let weight = self.reference[i * n + k];
                            let right = &self.scratch[k * n..k * n + k + 1];
                            row[..=k].iter_mut().zip(right).for_each(|(r, b)| *r += weight * b);
                        }
                        row[i] = row[i].ln();
                        next += i + 1;
                    }
                }
                Part::Linear { members, factor } => {
                    let n = members.len();
                    for (i, &member) in members.iter().enumerate() {
                        let step: f64 = (0..=i).map(|k| factor[i * n + k] * u[members[k]]).sum();
                        params[member] += step;
                    }
                }
                Part::Diagonal { offset, scale } => {
                    for (k, c) in scale.iter().enumerate() {
                        params[offset + k] += c * u[offset + k];
                    }
                }
            }
        }
    }

    /// The gradient in `u` from the gradient in the parameters, both at `u` (whose parameters are `params`).
    pub(crate) fn pull(&mut self, u: &[f64], params: &[f64], gradient: &[f64], out: &mut [f64]) {
        if self.declared {
            out.copy_from_slice(gradient);
            return;
        }
        for part in &self.parts {
            match part {
                Part::Location { offset, n } => {
                    let run = *offset..offset + n;
                    dense::lower_transposed_product(&self.reference, *n, &gradient[run.clone()], &mut out[run]);
                }
                Part::LogScale { offset, n } => {
                    for i in *offset..offset + n {
                        out[i] = gradient[i] * std::f64::consts::FRAC_1_SQRT_2;
                    }
                }
                Part::CholeskyScale { offset, n } => {
                    let (n, len) = (*n, n * (n + 1) / 2);
                    let packed = &gradient[*offset..offset + len];
                    let values = &params[*offset..offset + len];
                    let mut next = 0;
                    for i in 0..n {
                        for j in 0..=i {
                            let adjoint = if i == j { packed[next] * (-values[next]).exp() } else { packed[next] };
                            self.other[i * n + j] = adjoint;
                            next += 1;
                        }
                    }
                    let out = &mut out[*offset..offset + len];
                    out.fill(0.0);
                    for i in 0..n {
                        let mut next = 0;
                        for k in 0..=i {
                            let weight = self.reference[i * n + k];
                            let row = &self.other[i * n..i * n + k + 1];
                            out[next..next + k + 1].iter_mut().zip(row).for_each(|(o, a)| *o += weight * a);
                            next += k + 1;
                        }
                    }
                    next = 0;
                    for k in 0..n {
                        next += k;
                        let diagonal = (u[offset + next] * std::f64::consts::FRAC_1_SQRT_2).exp();
                        out[next] *= diagonal * std::f64::consts::FRAC_1_SQRT_2;
                        next += 1;
                    }
                }
                Part::Linear { members, factor } => {
                    let n = members.len();
                    for (k, &member) in members.iter().enumerate() {
                        out[member] = (k..n).map(|i| factor[i * n + k] * gradient[members[i]]).sum();
                    }
                }
                Part::Diagonal { offset, scale } => {
                    for (k, c) in scale.iter().enumerate() {
                        out[offset + k] = c * gradient[offset + k];
                    }
                }
            }
        }
    }
}

/// `B` from its packed coordinates (diagonal: exp(u/√2)).
fn unpack_whitened(u: &[f64], n: usize, full: &mut [f64]) {
    let mut next = 0;
    for i in 0..n {
        for j in 0..=i {
            full[i * n + j] = if i == j { (u[next] * std::f64::consts::FRAC_1_SQRT_2).exp() } else { u[next] };
            next += 1;
        }
    }
}

/// Standard deviations, from a scale block.
fn sds_of(centre: &[f64], n: usize, scale: &ParamBlock) -> Vec<f64> {
    let l = reference_of(centre, n, scale);
    (0..n).map(|i| dense::norm(&l[i * n..i * n + i + 1])).collect()
}

/// Whether the trained parameters are the location and the scales of a factorised Gaussian, besides a model's own.
pub(crate) fn factorised(blocks: &[ParamBlock]) -> bool {
    let bent = blocks.iter().any(|b| matches!(b.role, ParamRole::Loadings | ParamRole::Shape));
    !bent && gaussian_blocks(blocks).is_some_and(|(_, scale)| scale.role == ParamRole::LogScale)
}

fn reference_of(centre: &[f64], n: usize, scale: &ParamBlock) -> Vec<f64> {
    let values = &centre[scale.offset..scale.offset + scale.len];
    if scale.role == ParamRole::CholeskyScale {
        return unpack_lower(values, n);
    }
    let mut reference = vec![0.0; n * n];
    for (i, value) in values.iter().enumerate() {
        reference[i * n + i] = value.exp();
    }
    reference
}

/// The location and the scale block of a derived Gaussian guide; `None` unless there is one of each and they fit.
pub(crate) fn gaussian_blocks(blocks: &[ParamBlock]) -> Option<(&ParamBlock, &ParamBlock)> {
    let mut locations = blocks.iter().filter(|b| b.trained && b.role == ParamRole::Location);
    let mut scales =
        blocks.iter().filter(|b| b.trained && matches!(b.role, ParamRole::LogScale | ParamRole::CholeskyScale));
    let (location, scale) = (locations.next()?, scales.next()?);
    let n = location.len;
    let fits = match scale.role {
        ParamRole::LogScale => scale.len == n,
        ParamRole::CholeskyScale => scale.len == n * (n + 1) / 2,
        ParamRole::Location | ParamRole::Loadings | ParamRole::Shape | ParamRole::Free => false,
    };
    (n > 0 && fits && locations.next().is_none() && scales.next().is_none()).then_some((location, scale))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::noise::Noise;

    fn block(offset: usize, len: usize, role: ParamRole) -> ParamBlock {
        ParamBlock { name: format!("p{offset}"), offset, len, role, explicit: false, trained: true }
    }

    /// The pulled gradient of a smooth function of the parameters agrees with central differences in `u`, for each part.
    #[test]
    fn gradients_are_pulled_back() {
        let blocks = [
            block(0, 3, ParamRole::Location),
            block(3, 6, ParamRole::CholeskyScale),
            block(9, 2, ParamRole::Free),
            block(11, 1, ParamRole::Free),
        ];
        let mut noise = Noise::new(3, 0);
        let centre: Vec<f64> = (0..12).map(|_| 0.5 * noise.normal()).collect();
        let found = Found { factor: vec![2.0, 0.0, 0.3, 0.1], rough: false, description: String::new() };
        let mut coordinates = Coordinates::new(&blocks, &centre, None, Some((&[9, 10], found)));
        assert!(!coordinates.whitened);
        let u: Vec<f64> = (0..12).map(|_| 0.3 * noise.normal()).collect();
        let slope: Vec<f64> = (0..12).map(|_| noise.normal()).collect();
        let value = |p: &[f64]| p.iter().zip(&slope).map(|(x, s)| (s * x).sin()).sum::<f64>();
        let mut params = vec![0.0; 12];
        coordinates.params(&u, &mut params);
        let gradient: Vec<f64> = params.iter().zip(&slope).map(|(x, s)| s * (s * x).cos()).collect();
        let mut pulled = vec![0.0; 12];
        coordinates.pull(&u, &params, &gradient, &mut pulled);
        for i in 0..12 {
            let mut moved = u.clone();
            moved[i] += 1e-5;
            coordinates.params(&moved, &mut params);
            let above = value(&params);
            moved[i] -= 2e-5;
            coordinates.params(&moved, &mut params);
            let difference = (above - value(&params)) / 2e-5;
            assert!((difference - pulled[i]).abs() < 1e-8, "{i}: {difference} {}", pulled[i]);
        }
        coordinates.params(&[0.0; 12], &mut params);
        assert!(params.iter().zip(&centre).all(|(a, b)| (a - b).abs() < 1e-15));
    }
}

//! The Hessian's structure: which second derivatives are structurally zero, groups of variables whose columns one difference of
//! gradients measures at once, and factors of matrices of that structure. A hierarchical model's Hessian is an arrow (groups
//! given the globals), a chain's a band; both cost a few gradients, whatever the number of latents.
//! Invariant: an entry that was ever seen to be nonzero is in the structure; [`Structure::misses`] tests it as a whole.

use super::quasi_newton::Hill;

/// The lower half of a symmetric pattern, rows and columns in elimination order.
#[derive(Clone, Debug)]
pub(crate) struct Structure {
    pub(crate) n: usize,
    /// Variables in elimination order: those that touch few others first.
    pub(crate) order: Vec<usize>,
    /// Column of each row's first entry, in elimination order; a row is stored from there to its diagonal.
    first: Vec<usize>,
    /// Where each row starts in the values.
    start: Vec<usize>,
    /// Entries of the pattern: (row, column, in elimination order; group that measures it; row that is read).
    entries: Vec<Entry>,
    /// Variables that are moved together.
    pub(crate) groups: Vec<Vec<usize>>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Place in the values.
    at: usize,
    group: usize,
    /// Element of the gradient's difference, and the variable that moved it.
    read: usize,
    moved: usize,
}

/// A symmetric matrix, or a lower factor, of the structure: the rows' runs, end to end.
pub(crate) type Matrix = Vec<f64>;

impl Structure {
    /// Found by moving each variable by its width at two places, and looking which elements of the gradient change a bit. `None`
    /// where the density is not finite there.
    pub(crate) fn find(hill: &mut dyn Hill, places: &[Vec<f64>], widths: &[f64]) -> Option<Structure> {
        let n = widths.len();
        let mut touches: Vec<Vec<bool>> = vec![vec![false; n]; n];
        let (mut base, mut moved) = (vec![0.0; n], vec![0.0; n]);
        for place in places {
            if hill.at(place, &mut base) == f64::NEG_INFINITY {
                return None;
            }
            let mut x = place.clone();
            for j in 0..n {
                x[j] = place[j] + 0.5 * widths[j];
                let mut value = hill.at(&x, &mut moved);
                if value == f64::NEG_INFINITY {
                    x[j] = place[j] + 1e-3 * widths[j];
                    value = hill.at(&x, &mut moved);
                }
                x[j] = place[j];
                if value == f64::NEG_INFINITY || hill.cancelled() {
                    return None;
                }
                for i in 0..n {
                    if moved[i].to_bits() != base[i].to_bits() {
                        touches[i][j] = true;
                        touches[j][i] = true;
                    }
                }
            }
        }
        (0..n).for_each(|i| touches[i][i] = true);
        Some(Structure::of(&touches))
    }

    fn of(touches: &[Vec<bool>]) -> Structure {
        let n = touches.len();
        let degree: Vec<usize> = touches.iter().map(|row| row.iter().filter(|t| **t).count()).collect();
        let mut by_degree: Vec<usize> = (0..n).collect();
        by_degree.sort_by(|a, b| degree[*b].cmp(&degree[*a]).then(a.cmp(b)));
        // The variables that touch most are measured alone; how many of them makes the fewest groups.
        let mut best: Option<(usize, Vec<Vec<usize>>)> = None;
        let mut alone = 0;
        while alone <= n {
            let groups = grouped(touches, &by_degree, alone);
            if best.as_ref().is_none_or(|b| groups.len() < b.1.len()) {
                best = Some((alone, groups));
            }
            if best.as_ref().is_some_and(|b| b.1.len() <= alone) {
                break;
            }
            alone += 1 + alone / 8;
        }
        let (alone, groups) = best.unwrap_or_default();
        let hub: Vec<bool> = {
            let mut hub = vec![false; n];
            by_degree[..alone].iter().for_each(|i| hub[*i] = true);
            hub
        };
        let mut order: Vec<usize> = (0..n).filter(|i| !hub[*i]).collect();
        order.extend((0..n).filter(|i| hub[*i]));
        let mut group_of = vec![0; n];
        groups.iter().enumerate().for_each(|(g, members)| members.iter().for_each(|m| group_of[*m] = g));
        let (mut first, mut start, mut entries) = (vec![0; n], vec![0; n + 1], Vec::new());
        for i in 0..n {
            first[i] = (0..=i).find(|j| touches[order[i]][order[*j]]).unwrap_or(i);
            start[i + 1] = start[i] + i - first[i] + 1;
            for j in first[i]..=i {
                let (row, column) = (order[i], order[j]);
                if touches[row][column] {
                    // Where either is a hub, the hub's own column has it.
                    let (read, moved) = if hub[row] { (column, row) } else { (row, column) };
                    entries.push(Entry { at: start[i] + j - first[i], group: group_of[moved], read, moved });
                }
            }
        }
        Structure { n, order, first, start, entries, groups }
    }

    pub(crate) fn len(&self) -> usize {
        self.start[self.n]
    }

    /// Minus the Hessian at `x`, added to `sum`; the gradient is added to `slope`. `steps` are widths of the differences. False
    /// where the density is not finite.
    pub(crate) fn add_curvature(
        &self,
        hill: &mut dyn Hill,
        x: &[f64],
        steps: &[f64],
        sum: &mut [f64],
        slope: &mut [f64],
    ) -> bool {
        let n = self.n;
        let mut differences = vec![vec![0.0; n]; self.groups.len()];
        let (mut above, mut below, mut moved) = (vec![0.0; n], vec![0.0; n], x.to_vec());
        for (index, (group, difference)) in self.groups.iter().zip(&mut differences).enumerate() {
            group.iter().for_each(|j| moved[*j] = x[*j] + steps[*j]);
            let high = hill.at(&moved, &mut above);
            group.iter().for_each(|j| moved[*j] = x[*j] - steps[*j]);
            let low = hill.at(&moved, &mut below);
            group.iter().for_each(|j| moved[*j] = x[*j]);
            if high == f64::NEG_INFINITY || low == f64::NEG_INFINITY {
                return false;
            }
            for i in 0..n {
                difference[i] = below[i] - above[i];
                if index == 0 {
                    slope[i] += 0.5 * (below[i] + above[i]);
                }
            }
        }
        for e in &self.entries {
            sum[e.at] += differences[e.group][e.read] / (2.0 * steps[e.moved]);
        }
        true
    }

    /// `A v` in the variables' own order.
    pub(crate) fn product(&self, a: &[f64], v: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.n];
        for i in 0..self.n {
            for j in self.first[i]..=i {
                let value = a[self.start[i] + j - self.first[i]];
                let (row, column) = (self.order[i], self.order[j]);
                out[row] += value * v[column];
                if i != j {
                    out[column] += value * v[row];
                }
            }
        }
        out
    }

    /// Diagonal in the variables' own order.
    pub(crate) fn diagonal(&self, a: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.n];
        (0..self.n).for_each(|i| out[self.order[i]] = a[self.start[i + 1] - 1]);
        out
    }

    /// Multiplies the diagonal.
    pub(crate) fn scale_diagonal(&self, a: &mut [f64], factor: f64) {
        (0..self.n).for_each(|i| a[self.start[i + 1] - 1] *= factor);
    }

    /// Lower factor `G` with `A = G Gᵀ` in elimination order; `None` if a pivot is not positive and finite. Fill stays within
    /// the rows' runs.
    pub(crate) fn cholesky(&self, a: &[f64]) -> Option<Matrix> {
        let mut g = a.to_vec();
        for i in 0..self.n {
            let (row, first) = (self.start[i], self.first[i]);
            for j in first..=i {
                let (other, other_first) = (self.start[j], self.first[j]);
                let from = first.max(other_first);
                let mut sum = g[row + j - first];
                if from < j {
                    let mine = &g[row + from - first..row + j - first];
                    let theirs = &g[other + from - other_first..other + j - other_first];
                    sum -= mine.iter().zip(theirs).map(|(x, y)| x * y).sum::<f64>();
                }
                g[row + j - first] = if i == j {
                    if !(sum > 0.0 && sum.is_finite()) {
                        return None;
                    }
                    sum.sqrt()
                } else {
                    sum / g[other + j - other_first]
                };
            }
        }
        Some(g)
    }

    /// `G⁻ᵀ e`: a draw of covariance `A⁻¹`; `e` in elimination order, the result in the variables' own.
    pub(crate) fn spread(&self, g: &[f64], e: &[f64]) -> Vec<f64> {
        let mut y = e.to_vec();
        for i in (0..self.n).rev() {
            let row = &g[self.start[i]..self.start[i + 1]];
            let value = y[i] / row[row.len() - 1];
            y[i] = value;
            y[self.first[i]..i].iter_mut().zip(row).for_each(|(y, a)| *y -= a * value);
        }
        let mut out = vec![0.0; self.n];
        (0..self.n).for_each(|i| out[self.order[i]] = y[i]);
        out
    }

    /// `A⁻¹ v` in the variables' own order.
    pub(crate) fn solve(&self, g: &[f64], v: &[f64]) -> Vec<f64> {
        let mut y: Vec<f64> = self.order.iter().map(|i| v[*i]).collect();
        for i in 0..self.n {
            let row = &g[self.start[i]..self.start[i + 1]];
            let before: f64 = row.iter().zip(&y[self.first[i]..i]).map(|(a, y)| a * y).sum();
            y[i] = (y[i] - before) / row[row.len() - 1];
        }
        self.spread(g, &y)
    }

    /// Log determinant of `A` from its factor.
    pub(crate) fn log_det(&self, g: &[f64]) -> f64 {
        (0..self.n).map(|i| 2.0 * g[self.start[i + 1] - 1].ln()).sum()
    }

    /// Variances: the diagonal of `A⁻¹`, in the variables' own order.
    pub(crate) fn variances(&self, g: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.n];
        let mut unit = vec![0.0; self.n];
        for i in 0..self.n {
            unit[i] = 1.0;
            out[i] = self.solve(g, &unit)[i];
            unit[i] = 0.0;
        }
        out
    }

    /// Lower factor of `A⁻¹`, dense `[n, n]`, in the variables' own order; `None` if `A` is not positive definite. With the order
    /// turned round, `A = U Uᵀ` of an upper triangular `U`, and the factor is `U⁻ᵀ`.
    pub(crate) fn dense_factor(&self, a: &[f64]) -> Option<Vec<f64>> {
        let n = self.n;
        let mut turned = vec![0.0; n * n];
        for i in 0..n {
            for j in self.first[i]..=i {
                let value = a[self.start[i] + j - self.first[i]];
                let (row, column) = (n - 1 - self.order[i], n - 1 - self.order[j]);
                turned[row * n + column] = value;
                turned[column * n + row] = value;
            }
        }
        let g = super::dense::cholesky(&turned, n)?;
        // Rows of the inverse, each a combination of the rows before.
        let mut inverse = vec![0.0; n * n];
        for i in 0..n {
            let (done, rest) = inverse.split_at_mut(i * n);
            let row = &mut rest[..n];
            for k in 0..i {
                let weight = g[i * n + k];
                if weight != 0.0 {
                    row[..=k].iter_mut().zip(&done[k * n..k * n + k + 1]).for_each(|(r, d)| *r -= weight * d);
                }
            }
            let pivot = g[i * n + i];
            row[..i].iter_mut().for_each(|r| *r /= pivot);
            row[i] = 1.0 / pivot;
        }
        let mut factor = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..=i {
                factor[(n - 1 - j) * n + n - 1 - i] = inverse[i * n + j];
            }
        }
        Some(factor)
    }

    /// Takes the entries of a dense symmetric matrix that are in the pattern.
    pub(crate) fn restrict(&self, dense: &[f64]) -> Matrix {
        let mut out = vec![0.0; self.len()];
        for e in &self.entries {
            out[e.at] = dense[e.read * self.n + e.moved];
        }
        out
    }

    /// Whether minus the Hessian times a direction is not what the gradient's difference along it says.
    pub(crate) fn misses(&self, hill: &mut dyn Hill, x: &[f64], a: &[f64], direction: &[f64]) -> bool {
        const H: f64 = 1e-3;
        let n = self.n;
        let shifted = |h: f64| -> Vec<f64> { x.iter().zip(direction).map(|(x, d)| x + h * d).collect() };
        let (mut above, mut below) = (vec![0.0; n], vec![0.0; n]);
        if hill.at(&shifted(H), &mut above) == f64::NEG_INFINITY
            || hill.at(&shifted(-H), &mut below) == f64::NEG_INFINITY
        {
            return true;
        }
        let told = self.product(a, direction);
        let (mut wrong, mut size) = (0.0, 0.0);
        for i in 0..n {
            let found = (below[i] - above[i]) / (2.0 * H);
            wrong += direction[i] * direction[i] * (found - told[i]) * (found - told[i]);
            size += direction[i] * direction[i] * (found * found + told[i] * told[i]);
        }
        // Not a number counts as wrong.
        !wrong.is_finite() || wrong > 1e-4 * size
    }
}

/// Groups of variables of which no two touch one variable besides the first `alone`, which stand alone.
fn grouped(touches: &[Vec<bool>], by_degree: &[usize], alone: usize) -> Vec<Vec<usize>> {
    let n = touches.len();
    let mut groups: Vec<Vec<usize>> = by_degree[..alone].iter().map(|i| vec![*i]).collect();
    let mut hub = vec![false; n];
    by_degree[..alone].iter().for_each(|i| hub[*i] = true);
    let near: Vec<Vec<usize>> = (0..n).map(|i| (0..n).filter(|j| touches[i][*j] && !hub[*j]).collect()).collect();
    // Per group beyond the hubs: variables that it touches.
    let mut taken: Vec<Vec<bool>> = Vec::new();
    for j in (0..n).filter(|j| !hub[*j]) {
        let free = taken.iter().position(|t| near[j].iter().all(|i| !t[*i]));
        let at = free.unwrap_or_else(|| {
            taken.push(vec![false; n]);
            groups.push(Vec::new());
            taken.len() - 1
        });
        near[j].iter().for_each(|i| taken[at][*i] = true);
        groups[alone + at].push(j);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::dense;
    use crate::inference::noise::Noise;

    /// `-½ xᵀ A x` with a sparse `A`.
    struct Quadratic {
        a: Vec<f64>,
        n: usize,
        calls: usize,
    }

    impl Hill for Quadratic {
        fn at(&mut self, x: &[f64], gradient: &mut [f64]) -> f64 {
            self.calls += 1;
            for (row, g) in self.a.chunks_exact(self.n).zip(gradient.iter_mut()) {
                *g = -row.iter().zip(x).filter(|(a, _)| **a != 0.0).map(|(a, x)| a * x).sum::<f64>();
            }
            0.5 * dense::dot(x, gradient)
        }
        fn cancelled(&self) -> bool {
            false
        }
    }

    /// Two globals, first, that touch all; the others a chain, or free of each other.
    fn example(n: usize, chain: bool) -> Quadratic {
        let mut noise = Noise::new(9, 0);
        let mut a = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..i {
                if j < 2 || (chain && i - j == 1) {
                    let value = 0.3 * noise.normal();
                    a[i * n + j] = value;
                    a[j * n + i] = value;
                }
            }
            a[i * n + i] = if i < 2 { n as f64 } else { 3.0 };
        }
        Quadratic { a, n, calls: 0 }
    }

    #[test]
    fn arrows_and_bands_cost_few_gradients() {
        for (chain, groups) in [(false, 3), (true, 5)] {
            let n = 40;
            let mut hill = example(n, chain);
            let mut noise = Noise::new(4, 0);
            let places: Vec<Vec<f64>> = (0..2).map(|_| (0..n).map(|_| noise.normal()).collect()).collect();
            let structure = Structure::find(&mut hill, &places, &vec![1.0; n]).unwrap();
            assert_eq!(structure.groups.len(), groups);
            let (mut a, mut slope) = (vec![0.0; structure.len()], vec![0.0; n]);
            hill.calls = 0;
            assert!(structure.add_curvature(&mut hill, &places[0], &vec![1e-3; n], &mut a, &mut slope));
            assert_eq!(hill.calls, 2 * groups);
            let v: Vec<f64> = (0..n).map(|_| noise.normal()).collect();
            let mut exact = dense::product(&hill.a, n, &v);
            for (x, y) in structure.product(&a, &v).iter().zip(&exact) {
                assert!((x - y).abs() < 1e-8);
            }
            assert!(!structure.misses(&mut hill, &places[1], &a, &v));
            // Factor, solution, determinant, dense factor of the inverse.
            let g = structure.cholesky(&a).unwrap();
            let solved = structure.solve(&g, &exact);
            assert!(solved.iter().zip(&v).all(|(x, y)| (x - y).abs() < 1e-8));
            let l = dense::cholesky(&hill.a, n).unwrap();
            let log_det: f64 = (0..n).map(|i| 2.0 * l[i * n + i].ln()).sum();
            assert!((structure.log_det(&g) - log_det).abs() < 1e-7);
            let inverse = dense::inverse_from_cholesky(&l, n);
            let factor = structure.dense_factor(&a).unwrap();
            for i in 0..n {
                for j in 0..n {
                    let found = dense::dot(&factor[i * n..(i + 1) * n], &factor[j * n..(j + 1) * n]);
                    assert!((found - inverse[i * n + j]).abs() < 1e-8);
                    assert!(j <= i || factor[i * n + j] == 0.0);
                }
                assert!((structure.variances(&g)[i] - inverse[i * n + i]).abs() < 1e-8);
            }
            // An entry that is left out is noticed.
            exact[0] = 0.0;
            let mut without = a.clone();
            without[0] *= 2.0;
            assert!(structure.misses(&mut hill, &places[1], &without, &v));
        }
    }
}

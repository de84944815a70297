//! Matrix products through `matrixmultiply`, sequential. The order of the sum over the inner index is the library's,
//! the same for an element whatever rows of the output are asked for together with it.

/// A matrix by strides (in elements): a transpose is an exchange of strides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strides {
    pub row: usize,
    pub column: usize,
}

impl Strides {
    /// Row-major with `columns` columns.
    pub fn row_major(columns: usize) -> Strides {
        Strides { row: columns, column: 1 }
    }
    pub fn transposed(self) -> Strides {
        Strides { row: self.column, column: self.row }
    }
    /// Elements that an `[m, n]` matrix spans.
    fn span(self, m: usize, n: usize) -> usize {
        if m == 0 || n == 0 { 0 } else { (m - 1) * self.row + (n - 1) * self.column + 1 }
    }
}

/// `c[m, n] = a[m, k] b[k, n] (+ c if accumulate)`. Panics if a slice is shorter than its strides say.
#[expect(clippy::too_many_arguments, reason = "three matrices and their extents")]
pub fn gemm(
    (m, k, n): (usize, usize, usize),
    a: &[f64],
    a_strides: Strides,
    b: &[f64],
    b_strides: Strides,
    accumulate: bool,
    c: &mut [f64],
    c_strides: Strides,
) {
    assert!(a.len() >= a_strides.span(m, k) && b.len() >= b_strides.span(k, n) && c.len() >= c_strides.span(m, n));
    // SAFETY: the strides stay within the slices, by the assertion.
    unsafe {
        matrixmultiply::dgemm(
            m,
            k,
            n,
            1.0,
            a.as_ptr(),
            a_strides.row as isize,
            a_strides.column as isize,
            b.as_ptr(),
            b_strides.row as isize,
            b_strides.column as isize,
            if accumulate { 1.0 } else { 0.0 },
            c.as_mut_ptr(),
            c_strides.row as isize,
            c_strides.column as isize,
        );
    }
}

/// The function for machine code: `c[m, n] = a[m, k] b[k, n] + beta c`, strides as (row, column) of a, b, c.
///
/// # Safety
/// The matrices lie at their pointers with their strides; `c` overlaps neither operand.
pub unsafe extern "C" fn gemm_entry(
    m: usize,
    k: usize,
    n: usize,
    a: *const f64,
    a_row: isize,
    a_column: isize,
    b: *const f64,
    b_row: isize,
    b_column: isize,
    beta: f64,
    c: *mut f64,
    c_row: isize,
    c_column: isize,
) {
    // SAFETY: given.
    unsafe {
        matrixmultiply::dgemm(m, k, n, 1.0, a, a_row, a_column, b, b_row, b_column, beta, c, c_row, c_column);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_and_transposes() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let b = [7.0, 8.0, 9.0, 10.0, 11.0, 12.0];
        let mut c = [0.0; 4];
        gemm((2, 3, 2), &a, Strides::row_major(3), &b, Strides::row_major(2), false, &mut c, Strides::row_major(2));
        assert_eq!(c, [58.0, 64.0, 139.0, 154.0]);
        let at = Strides::row_major(3).transposed();
        let mut d = [1.0; 9];
        gemm((3, 2, 3), &a, at, &a, Strides::row_major(3), true, &mut d, Strides::row_major(3));
        assert_eq!(d, [18.0, 23.0, 28.0, 23.0, 30.0, 37.0, 28.0, 37.0, 46.0]);
    }

    #[test]
    fn rows_of_the_output_do_not_depend_on_each_other() {
        let (m, k, n) = (37, 53, 11);
        let value = |i: usize| ((i * 7919 % 1009) as f64 / 1009.0) - 0.4;
        let a: Vec<f64> = (0..m * k).map(value).collect();
        let b: Vec<f64> = (0..k * n).map(|i| value(i + 5)).collect();
        let mut whole = vec![0.0; m * n];
        gemm((m, k, n), &a, Strides::row_major(k), &b, Strides::row_major(n), false, &mut whole, Strides::row_major(n));
        for (from, to) in [(0, 8), (8, 29), (29, 37)] {
            let mut part = vec![0.0; (to - from) * n];
            let rows = &a[from * k..to * k];
            let (sa, sb) = (Strides::row_major(k), Strides::row_major(n));
            gemm((to - from, k, n), rows, sa, &b, sb, false, &mut part, sb);
            assert_eq!(part, whole[from * n..to * n]);
        }
    }
}

//! From an element function to a row of the table: the element at each level, and loops over strips.
//!
//! Loops run in place over the output, after a copy of the operand into it: one pointer, so that the compiler
//! vectorises without tests for overlap.

use super::super::level::{Level, level};
use super::{Strip1, Strip2, Strip3};

/// Element function without and with fused multiply-add; strips by [`Level`].
pub(in crate::runtime) struct Unary {
    pub(super) elements: [unsafe fn(f64) -> f64; 2],
    pub(super) strips: [Strip1; 3],
}
pub(in crate::runtime) struct Binary {
    pub(super) elements: [unsafe fn(f64, f64) -> f64; 2],
    pub(super) strips: [Strip2; 3],
}
pub(in crate::runtime) struct Ternary {
    pub(super) elements: [unsafe fn(f64, f64, f64) -> f64; 2],
    pub(super) strips: [Strip3; 3],
}

fn fused() -> usize {
    usize::from(level() != Level::Base)
}

impl Unary {
    pub(super) fn apply(&self, x: f64) -> f64 {
        // SAFETY: the fused variant is taken only where the processor has fused multiply-add.
        unsafe { self.elements[fused()](x) }
    }
}
impl Binary {
    pub(super) fn apply(&self, x: f64, y: f64) -> f64 {
        // SAFETY: as above.
        unsafe { self.elements[fused()](x, y) }
    }
}
impl Ternary {
    pub(super) fn apply(&self, x: f64, y: f64, z: f64) -> f64 {
        // SAFETY: as above.
        unsafe { self.elements[fused()](x, y, z) }
    }
}

/// In-place loop over a copy of the operand.
///
/// # Safety
/// `x` and `out` have `n` elements each; they are equal or do not overlap.
#[inline(always)]
pub(super) unsafe fn map1(x: *const f64, out: *mut f64, n: usize, f: impl Fn(f64) -> f64) {
    if !std::ptr::eq(x, out) {
        // SAFETY: given.
        unsafe { std::ptr::copy_nonoverlapping(x, out, n) };
    }
    // SAFETY: given.
    for v in unsafe { std::slice::from_raw_parts_mut(out, n) } {
        *v = f(*v);
    }
}

/// As [`map1`], where `near` holds only for magnitudes below `bound`, and `far` for the rest.
///
/// # Safety
/// As for [`map1`].
#[inline(always)]
pub(super) unsafe fn map1_patched(
    x: *const f64,
    out: *mut f64,
    n: usize,
    near: impl Fn(f64) -> f64,
    far: impl Fn(f64) -> f64,
    bound: f64,
) {
    const BLOCK: usize = 64;
    let mut from = 0;
    while from < n {
        let len = BLOCK.min(n - from);
        let mut saved = [0.0; BLOCK];
        // SAFETY: from + len <= n.
        let block = unsafe {
            std::ptr::copy_nonoverlapping(x.add(from), saved.as_mut_ptr(), len);
            std::slice::from_raw_parts_mut(out.add(from), len)
        };
        let mut all_near = true;
        for (v, &x) in block.iter_mut().zip(&saved[..len]) {
            *v = near(x);
        }
        for &x in &saved[..len] {
            all_near &= x.abs() < bound;
        }
        if !all_near {
            for (v, &x) in block.iter_mut().zip(&saved[..len]) {
                let within = x.abs() < bound;
                if !within {
                    *v = far(x);
                }
            }
        }
        from += len;
    }
}

/// Defines a static row from a path to a function generic over `const F: bool`.
macro_rules! row {
    (one $name:ident = $($f:ident)::+) => {
        row!(@one $name,
            |x| $($f)::+::<false>(x), |x| $($f)::+::<true>(x),
            (x, out, n) => strip::map1(x, out, n, |x| $($f)::+::<false>(x)),
            (x, out, n) => strip::map1(x, out, n, |x| $($f)::+::<true>(x)));
    };
    (one $name:ident = $($f:ident)::+, beyond $($far:ident)::+) => {
        row!(@one $name,
            |x| if x.abs() < trigonometric::NEAR { $($f)::+::<false>(x) } else { $($far)::+(x) },
            |x| if x.abs() < trigonometric::NEAR { $($f)::+::<true>(x) } else { $($far)::+(x) },
            (x, out, n) => strip::map1_patched(x, out, n,
                |x| $($f)::+::<false>(x), |x| $($far)::+(x), trigonometric::NEAR),
            (x, out, n) => strip::map1_patched(x, out, n,
                |x| $($f)::+::<true>(x), |x| $($far)::+(x), trigonometric::NEAR));
    };
    (@one $name:ident, |$x:ident| $base:expr, |$y:ident| $fused:expr,
     ($bx:ident, $bo:ident, $bn:ident) => $base_strip:expr, ($fx:ident, $fo:ident, $fn:ident) => $fused_strip:expr) => {
        static $name: Row = {
            fn element_base($x: f64) -> f64 { $base }
            #[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma"))]
            fn element_fused($y: f64) -> f64 { $fused }
            unsafe extern "C" fn base($bx: *const f64, $bo: *mut f64, $bn: usize) {
                // SAFETY: the contract of a strip function.
                unsafe { $base_strip }
            }
            #[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma"))]
            unsafe extern "C" fn avx2($fx: *const f64, $fo: *mut f64, $fn: usize) {
                // SAFETY: the contract of a strip function.
                unsafe { $fused_strip }
            }
            #[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma"))]
            unsafe extern "C" fn avx512($fx: *const f64, $fo: *mut f64, $fn: usize) {
                // SAFETY: the contract of a strip function.
                unsafe { $fused_strip }
            }
            Row::One(Unary { elements: [element_base, element_fused], strips: [base, avx2, avx512] })
        };
    };
    (two $name:ident = $($f:ident)::+) => {
        row!(@scalar $name, Two, Binary, [$($f)::+], a b);
    };
    (three $name:ident = $($f:ident)::+) => {
        row!(@scalar $name, Three, Ternary, [$($f)::+], a b c);
    };
    (@scalar $name:ident, $kind:ident, $row:ident, [$($f:ident)::+], $($x:ident)+) => {
        static $name: Row = {
            fn element_base($($x: f64),+) -> f64 { $($f)::+::<false>($($x),+) }
            #[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma"))]
            fn element_fused($($x: f64),+) -> f64 { $($f)::+::<true>($($x),+) }
            unsafe extern "C" fn base($($x: *const f64,)+ out: *mut f64, n: usize) {
                for i in 0..n {
                    // SAFETY: i < n; the contract of a strip function.
                    unsafe { *out.add(i) = element_base($(*$x.add(i)),+) };
                }
            }
            #[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma"))]
            unsafe extern "C" fn fused($($x: *const f64,)+ out: *mut f64, n: usize) {
                for i in 0..n {
                    // SAFETY: i < n; the contract of a strip function.
                    unsafe { *out.add(i) = element_fused($(*$x.add(i)),+) };
                }
            }
            Row::$kind($row { elements: [element_base, element_fused], strips: [base, fused, fused] })
        };
    };
}
pub(super) use row;

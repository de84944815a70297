//! The runtime's functions that machine code calls: kernels, draws, linear algebra, by address.

use crate::ir::core::Noise;
pub(super) use crate::ir::kernel::kernel;
use crate::runtime::executable::Stream;
use crate::runtime::kernel::Kernel;
use crate::runtime::{feistel, gemm, linear, random, rows};

/// The strip function of a kernel: operand pointers, output, number of elements.
pub(super) fn strip(kernel: Kernel) -> usize {
    kernel.entry().address() as usize
}

macro_rules! scalars {
    ($($kernel:ident ($($x:ident),+) $apply:ident;)*) => {
        /// The function on one element.
        pub(super) fn scalar(kernel: Kernel) -> usize {
            match kernel {
                $(Kernel::$kernel => {
                    extern "C" fn call($($x: f64),+) -> f64 {
                        Kernel::$kernel.$apply($($x),+)
                    }
                    call as *const () as usize
                })*
            }
        }
    };
}

scalars! {
    Exp(x) apply1;
    Log(x) apply1;
    Log1p(x) apply1;
    Expm1(x) apply1;
    Sin(x) apply1;
    Cos(x) apply1;
    Tan(x) apply1;
    Atan(x) apply1;
    Tanh(x) apply1;
    Sigmoid(x) apply1;
    Softplus(x) apply1;
    Pow(x, y) apply2;
    Lgamma(x) apply1;
    Digamma(x) apply1;
    Trigamma(x) apply1;
    NormalCdf(x) apply1;
    NormalQuantile(x) apply1;
    LogNormalCdf(x) apply1;
    GammaP(x, y) apply2;
    GammaPDa(x, y) apply2;
    LogGammaDa(x, y) apply2;
    GammaPInv(x, y) apply2;
    BetaInc(x, y, z) apply3;
    BetaIncDa(x, y, z) apply3;
    BetaIncInv(x, y, z) apply3;
    VonMisesCdf(x, y) apply2;
    VonMisesQuantile(x, y) apply2;
    VonMisesDk(x, y) apply2;
    LogBesselI0(x) apply1;
    BesselRatio(x) apply1;
    OwensT(x, y) apply2;
    NegAbsExp(x) apply1;
}

extern "C" fn normal(seed: u64, step: u32, site: u32, index: u64) -> f64 {
    random::normal(Stream { seed, step }, site, index)
}

extern "C" fn uniform(seed: u64, step: u32, site: u32, index: u64) -> f64 {
    random::uniform(Stream { seed, step }, site, index)
}

extern "C" fn exponential(seed: u64, step: u32, site: u32, index: u64) -> f64 {
    random::exponential(Stream { seed, step }, site, index)
}

/// Draws with operands: one, a strip from a first index in steps, a strip at given indices.
macro_rules! with_operands {
    ($($one:ident $strided:ident $gather:ident: $($x:ident)+;)*) => {
        $(
            extern "C" fn $one(seed: u64, step: u32, site: u32, index: u64, $($x: f64),+) -> f64 {
                random::$one(Stream { seed, step }, site, index, $($x),+)
            }

            unsafe extern "C" fn $strided(
                seed: u64,
                step: u32,
                site: u32,
                first: u64,
                stride: u64,
                $($x: *const f64,)+
                out: *mut f64,
                n: usize,
            ) {
                for k in 0..n {
                    let index = first.wrapping_add(stride.wrapping_mul(k as u64));
                    // SAFETY: the lowering gives buffers of a strip, with at least n elements each.
                    unsafe { *out.add(k) = random::$one(Stream { seed, step }, site, index, $(*$x.add(k)),+) };
                }
            }

            unsafe extern "C" fn $gather(
                seed: u64,
                step: u32,
                site: u32,
                at: *const u64,
                $($x: *const f64,)+
                out: *mut f64,
                n: usize,
            ) {
                for k in 0..n {
                    // SAFETY: as above.
                    unsafe { *out.add(k) = random::$one(Stream { seed, step }, site, *at.add(k), $(*$x.add(k)),+) };
                }
            }
        )*
    };
}

with_operands! {
    log_gamma log_gamma_strided log_gamma_gather: a;
    poisson poisson_strided poisson_gather: a;
    binomial binomial_strided binomial_gather: a b;
}

/// One draw: (seed, step, site, index, operands…).
pub(super) fn draw(noise: Noise) -> usize {
    match noise {
        Noise::Normal => normal as *const () as usize,
        Noise::Uniform => uniform as *const () as usize,
        Noise::Exponential => exponential as *const () as usize,
        Noise::LogGamma => log_gamma as *const () as usize,
        Noise::Poisson => poisson as *const () as usize,
        Noise::Binomial => binomial as *const () as usize,
    }
}

/// A strip of draws: (seed, step, site, first index, stride, [operands,] out, n).
pub(super) fn draw_strip(noise: Noise) -> usize {
    match noise {
        Noise::Normal => random::entry::normal as *const () as usize,
        Noise::Uniform => random::entry::uniform as *const () as usize,
        Noise::Exponential => random::entry::exponential as *const () as usize,
        Noise::LogGamma => log_gamma_strided as *const () as usize,
        Noise::Poisson => poisson_strided as *const () as usize,
        Noise::Binomial => binomial_strided as *const () as usize,
    }
}

macro_rules! gathers {
    ($($name:ident $function:ident;)*) => {
        $(unsafe extern "C" fn $name(seed: u64, step: u32, site: u32, at: *const u64, out: *mut f64, n: usize) {
            // SAFETY: the lowering gives two buffers of a strip, with at least n elements each.
            let (at, out) = unsafe { (std::slice::from_raw_parts(at, n), std::slice::from_raw_parts_mut(out, n)) };
            random::$function(Stream { seed, step }, site, at, out);
        })*
    };
}

gathers! {
    normal_gather normal_gather;
    uniform_gather uniform_gather;
    exponential_gather exponential_gather;
}

/// A strip of draws at given indices: (seed, step, site, indices, [operands,] out, n).
pub(super) fn draw_gather(noise: Noise) -> usize {
    match noise {
        Noise::Normal => normal_gather as *const () as usize,
        Noise::Uniform => uniform_gather as *const () as usize,
        Noise::Exponential => exponential_gather as *const () as usize,
        Noise::LogGamma => log_gamma_gather as *const () as usize,
        Noise::Poisson => poisson_gather as *const () as usize,
        Noise::Binomial => binomial_gather as *const () as usize,
    }
}

/// (a, out, n) -> whether all pivots were positive.
pub(super) fn cholesky() -> usize {
    linear::entry::cholesky as *const () as usize
}

/// (l, b, out, n, m, transposed).
pub(super) fn solve_lower() -> usize {
    linear::entry::solve_lower as *const () as usize
}

/// (x, b, out, rows, d).
pub(super) fn rows_dot() -> usize {
    rows::entry::rows_dot as *const () as usize
}

/// (x, r, acc, rows, d).
pub(super) fn rows_axpy() -> usize {
    rows::entry::rows_axpy as *const () as usize
}

unsafe extern "C" fn product(matrices: *const Product) {
    // SAFETY: generated code points to a complete description, whose matrices lie in slots of their size.
    unsafe {
        let p = &*matrices;
        gemm::gemm_entry(
            p.m, p.k, p.n, p.a, p.a_row, p.a_column, p.b, p.b_row, p.b_column, 0.0, p.c, p.c_row, p.c_column,
        );
    }
}

/// Operands of a matrix product, as generated code writes them.
#[repr(C)]
struct Product {
    m: usize,
    k: usize,
    n: usize,
    a: *const f64,
    a_row: isize,
    a_column: isize,
    b: *const f64,
    b_row: isize,
    b_column: isize,
    c: *mut f64,
    c_row: isize,
    c_column: isize,
}

/// (pointer to 12 words: m, k, n, a and its strides, b and its strides, c and its strides).
pub(super) fn gemm() -> usize {
    product as *const () as usize
}

unsafe extern "C" fn sort_reals(a: *const f64, out: *mut f64, n: usize) {
    // SAFETY: two arrays of n elements each, that do not overlap.
    let out = unsafe {
        std::ptr::copy_nonoverlapping(a, out, n);
        std::slice::from_raw_parts_mut(out, n)
    };
    out.sort_unstable_by(|a, b| a.is_nan().cmp(&b.is_nan()).then(a.total_cmp(b)));
}

unsafe extern "C" fn sort_ints(a: *const i64, out: *mut i64, n: usize) {
    // SAFETY: two arrays of n elements each, that do not overlap.
    let out = unsafe {
        std::ptr::copy_nonoverlapping(a, out, n);
        std::slice::from_raw_parts_mut(out, n)
    };
    out.sort_unstable();
}

/// (a, out, n).
pub(super) fn sort(reals: bool) -> usize {
    if reals { sort_reals as *const () as usize } else { sort_ints as *const () as usize }
}

unsafe extern "C" fn subset_of(seed: u64, step: u32, plate: u32, of: u64, take: usize, out: *mut i64) {
    // SAFETY: an array of `take` ints.
    let out = unsafe { std::slice::from_raw_parts_mut(out, take) };
    feistel::subset(Stream { seed, step }, plate, of, out);
}

/// (seed, step, plate, of, take, out).
pub(super) fn subset() -> usize {
    subset_of as *const () as usize
}

unsafe extern "C" fn copy_words(from: *const u64, to: *mut u64, n: usize) {
    // SAFETY: both places have n words.
    unsafe { std::ptr::copy(from, to, n) }
}

/// (from, to, words).
pub(super) fn copy() -> usize {
    copy_words as *const () as usize
}

extern "C" fn fused(a: f64, b: f64, c: f64) -> f64 {
    a.mul_add(b, c)
}

/// `a * b + c`, where the processor has no such instruction.
pub(super) fn fma() -> usize {
    fused as *const () as usize
}

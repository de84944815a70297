//! Vector-math kernels: one row each of a table that the interpreter and machine code share.
//!
//! Every kernel is a pure function of its element: bits depend neither on the position in the strip, nor on its
//! length, nor on the width of vectors. There is one source per function, an element function free of branches (or,
//! for the special functions, a scalar one), which the compiler instantiates at each [`Level`]. Only the presence of
//! fused multiply-add, fixed for a process, changes bits.

mod circular;
pub(crate) mod elementary;
pub(crate) mod gamma;
pub(in crate::runtime) mod incomplete;
mod incomplete_beta;
mod legendre;
pub(crate) mod normal;
mod owen;
mod strip;
mod trigonometric;

use super::level::{Level, level};
use strip::{Binary, Ternary, Unary, row};

/// A kernel. Operands are reals, in the order of Core's operation of the same name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Kernel {
    Exp,
    Log,
    Log1p,
    Expm1,
    Sin,
    Cos,
    Tan,
    Atan,
    Tanh,
    Sigmoid,
    Softplus,
    Pow,
    Lgamma,
    Digamma,
    Trigamma,
    NormalCdf,
    NormalQuantile,
    LogNormalCdf,
    GammaP,
    GammaPDa,
    LogGammaDa,
    GammaPInv,
    BetaInc,
    BetaIncDa,
    BetaIncInv,
    VonMisesCdf,
    VonMisesQuantile,
    VonMisesDk,
    LogBesselI0,
    BesselRatio,
    OwensT,
    /// `exp(-|x|)`.
    NegAbsExp,
}

/// A strip function: `n` elements from each operand to the last pointer. The output may be an operand, else they do
/// not overlap. Any `n`.
pub type Strip1 = unsafe extern "C" fn(*const f64, *mut f64, usize);
pub type Strip2 = unsafe extern "C" fn(*const f64, *const f64, *mut f64, usize);
pub type Strip3 = unsafe extern "C" fn(*const f64, *const f64, *const f64, *mut f64, usize);

/// A strip function's address, for machine code.
#[derive(Clone, Copy, Debug)]
pub enum Entry {
    One(Strip1),
    Two(Strip2),
    Three(Strip3),
}

impl Entry {
    pub fn address(self) -> *const u8 {
        match self {
            Entry::One(f) => f as *const u8,
            Entry::Two(f) => f as *const u8,
            Entry::Three(f) => f as *const u8,
        }
    }
}

pub(super) enum Row {
    One(Unary),
    Two(Binary),
    Three(Ternary),
}

row!(one EXP = elementary::exp);
row!(one LOG = elementary::log);
row!(one LOG1P = elementary::log1p);
row!(one EXPM1 = elementary::expm1);
row!(one SIN = trigonometric::sin_near, beyond trigonometric::sin_far);
row!(one COS = trigonometric::cos_near, beyond trigonometric::cos_far);
row!(one TAN = trigonometric::tan_near, beyond trigonometric::tan_far);
row!(one ATAN = trigonometric::atan);
row!(one TANH = elementary::tanh);
row!(one SIGMOID = elementary::sigmoid);
row!(one SOFTPLUS = elementary::softplus);
row!(two POW = power);
row!(one LGAMMA = gamma::lgamma);
row!(one DIGAMMA = gamma::digamma);
row!(one TRIGAMMA = gamma::trigamma);
row!(one NORMAL_CDF = normal::normal_cdf);
row!(one NORMAL_QUANTILE = normal::normal_quantile);
row!(one LOG_NORMAL_CDF = normal::log_normal_cdf);
row!(two GAMMA_P = incomplete::gamma_p);
row!(two GAMMA_P_DA = incomplete::gamma_p_da);
row!(two LOG_GAMMA_DA = incomplete::log_gamma_da);
row!(two GAMMA_P_INV = incomplete::gamma_p_inv);
row!(three BETA_INC = incomplete_beta::beta_inc);
row!(three BETA_INC_DA = incomplete_beta::beta_inc_da);
row!(three BETA_INC_INV = incomplete_beta::beta_inc_inv);
row!(two VON_MISES_CDF = circular::von_mises_cdf);
row!(two VON_MISES_QUANTILE = circular::von_mises_quantile);
row!(two VON_MISES_DK = circular::von_mises_dk);
row!(one LOG_BESSEL_I0 = circular::log_bessel_i0);
row!(one BESSEL_RATIO = circular::bessel_ratio);
row!(two OWENS_T = owen::owens_t);
row!(one NEG_ABS_EXP = elementary::neg_abs_exp);

/// `a ^ b` of the platform (below one unit in the last place; `0 ^ 0 = 1`).
#[inline(always)]
fn power<const F: bool>(a: f64, b: f64) -> f64 {
    a.powf(b)
}

impl Kernel {
    /// Every kernel.
    pub const ALL: [Kernel; 32] = [
        Kernel::Exp,
        Kernel::Log,
        Kernel::Log1p,
        Kernel::Expm1,
        Kernel::Sin,
        Kernel::Cos,
        Kernel::Tan,
        Kernel::Atan,
        Kernel::Tanh,
        Kernel::Sigmoid,
        Kernel::Softplus,
        Kernel::Pow,
        Kernel::Lgamma,
        Kernel::Digamma,
        Kernel::Trigamma,
        Kernel::NormalCdf,
        Kernel::NormalQuantile,
        Kernel::LogNormalCdf,
        Kernel::GammaP,
        Kernel::GammaPDa,
        Kernel::LogGammaDa,
        Kernel::GammaPInv,
        Kernel::BetaInc,
        Kernel::BetaIncDa,
        Kernel::BetaIncInv,
        Kernel::VonMisesCdf,
        Kernel::VonMisesQuantile,
        Kernel::VonMisesDk,
        Kernel::LogBesselI0,
        Kernel::BesselRatio,
        Kernel::OwensT,
        Kernel::NegAbsExp,
    ];

    fn row(self) -> &'static Row {
        match self {
            Kernel::Exp => &EXP,
            Kernel::Log => &LOG,
            Kernel::Log1p => &LOG1P,
            Kernel::Expm1 => &EXPM1,
            Kernel::Sin => &SIN,
            Kernel::Cos => &COS,
            Kernel::Tan => &TAN,
            Kernel::Atan => &ATAN,
            Kernel::Tanh => &TANH,
            Kernel::Sigmoid => &SIGMOID,
            Kernel::Softplus => &SOFTPLUS,
            Kernel::Pow => &POW,
            Kernel::Lgamma => &LGAMMA,
            Kernel::Digamma => &DIGAMMA,
            Kernel::Trigamma => &TRIGAMMA,
            Kernel::NormalCdf => &NORMAL_CDF,
            Kernel::NormalQuantile => &NORMAL_QUANTILE,
            Kernel::LogNormalCdf => &LOG_NORMAL_CDF,
            Kernel::GammaP => &GAMMA_P,
            Kernel::GammaPDa => &GAMMA_P_DA,
            Kernel::LogGammaDa => &LOG_GAMMA_DA,
            Kernel::GammaPInv => &GAMMA_P_INV,
            Kernel::BetaInc => &BETA_INC,
            Kernel::BetaIncDa => &BETA_INC_DA,
            Kernel::BetaIncInv => &BETA_INC_INV,
            Kernel::VonMisesCdf => &VON_MISES_CDF,
            Kernel::VonMisesQuantile => &VON_MISES_QUANTILE,
            Kernel::VonMisesDk => &VON_MISES_DK,
            Kernel::LogBesselI0 => &LOG_BESSEL_I0,
            Kernel::BesselRatio => &BESSEL_RATIO,
            Kernel::OwensT => &OWENS_T,
            Kernel::NegAbsExp => &NEG_ABS_EXP,
        }
    }

    /// The name of Core's operation (`neg_abs_exp` is `exp(-|x|)`).
    pub fn name(self) -> &'static str {
        match self {
            Kernel::Exp => "exp",
            Kernel::Log => "log",
            Kernel::Log1p => "log1p",
            Kernel::Expm1 => "expm1",
            Kernel::Sin => "sin",
            Kernel::Cos => "cos",
            Kernel::Tan => "tan",
            Kernel::Atan => "atan",
            Kernel::Tanh => "tanh",
            Kernel::Sigmoid => "sigmoid",
            Kernel::Softplus => "softplus",
            Kernel::Pow => "pow",
            Kernel::Lgamma => "lgamma",
            Kernel::Digamma => "digamma",
            Kernel::Trigamma => "trigamma",
            Kernel::NormalCdf => "normal_cdf",
            Kernel::NormalQuantile => "normal_quantile",
            Kernel::LogNormalCdf => "log_normal_cdf",
            Kernel::GammaP => "gamma_p",
            Kernel::GammaPDa => "gamma_p_da",
            Kernel::LogGammaDa => "log_gamma_da",
            Kernel::GammaPInv => "gamma_p_inv",
            Kernel::BetaInc => "beta_inc",
            Kernel::BetaIncDa => "beta_inc_da",
            Kernel::BetaIncInv => "beta_inc_inv",
            Kernel::VonMisesCdf => "von_mises_cdf",
            Kernel::VonMisesQuantile => "von_mises_quantile",
            Kernel::VonMisesDk => "von_mises_dk",
            Kernel::LogBesselI0 => "log_bessel_i0",
            Kernel::BesselRatio => "bessel_ratio",
            Kernel::OwensT => "owens_t",
            Kernel::NegAbsExp => "neg_abs_exp",
        }
    }

    pub fn arity(self) -> usize {
        match self.row() {
            Row::One(_) => 1,
            Row::Two(_) => 2,
            Row::Three(_) => 3,
        }
    }

    /// Value at one element; NaN if the kernel has another arity.
    pub fn apply1(self, x: f64) -> f64 {
        match self.row() {
            Row::One(row) => row.apply(x),
            Row::Two(_) | Row::Three(_) => f64::NAN,
        }
    }

    /// Value at one pair; NaN if the kernel has another arity.
    pub fn apply2(self, x: f64, y: f64) -> f64 {
        match self.row() {
            Row::Two(row) => row.apply(x, y),
            Row::One(_) | Row::Three(_) => f64::NAN,
        }
    }

    /// Value at one triple; NaN if the kernel has another arity.
    pub fn apply3(self, x: f64, y: f64, z: f64) -> f64 {
        match self.row() {
            Row::Three(row) => row.apply(x, y, z),
            Row::One(_) | Row::Two(_) => f64::NAN,
        }
    }

    /// Values at as many operands as the kernel has; NaN for another number of them.
    pub fn apply(self, operands: &[f64]) -> f64 {
        match *operands {
            [x] => self.apply1(x),
            [x, y] => self.apply2(x, y),
            [x, y, z] => self.apply3(x, y, z),
            _ => f64::NAN,
        }
    }

    /// Values on a strip, as many as the shorter slice has; NaN if the kernel has another arity.
    pub fn strip1(self, x: &[f64], out: &mut [f64]) {
        let n = x.len().min(out.len());
        match self.entry() {
            // SAFETY: both slices have n elements and do not overlap.
            Entry::One(f) => unsafe { f(x.as_ptr(), out.as_mut_ptr(), n) },
            Entry::Two(_) | Entry::Three(_) => out.fill(f64::NAN),
        }
    }

    /// The strip function for machine code, at the process's level.
    pub fn entry(self) -> Entry {
        self.entry_at(level())
    }

    /// The strip function at a level, which the processor must support.
    pub fn entry_at(self, level: Level) -> Entry {
        match self.row() {
            Row::One(row) => Entry::One(row.strips[level as usize]),
            Row::Two(row) => Entry::Two(row.strips[level as usize]),
            Row::Three(row) => Entry::Three(row.strips[level as usize]),
        }
    }
}

#[cfg(test)]
mod tests;

//! Scalar operations of Core: one row each. Signatures are total: an operation has exactly one operand and result
//! type, but for [`Op::Read`] and [`Op::Select`], [`Op::Stop`], which take any scalar.

use super::core::Scalar::{self, Bool, Int, Real};

macro_rules! ops {
    ($($(#[$doc:meta])* $name:ident $text:literal ($($arg:ident),*) -> $result:ident;)*) => {
        /// A scalar operation.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
        pub enum Op {
            $($(#[$doc])* $name,)*
            /// `read(a, i, j)`: element of an array at as many integer indices as it has axes. Out of bounds is a
            /// run-time status (never undefined behaviour).
            Read,
            /// `select(c, a, b)`: `a` if `c` else `b`; both are evaluated; `a`, `b` of one scalar type.
            Select,
            /// `stop(a)`: the value of `a`, derivative zero. Any scalar, or a whole array.
            Stop,
        }

        impl Op {
            /// Every operation.
            pub const ALL: &'static [Op] = &[$(Op::$name,)* Op::Read, Op::Select, Op::Stop];

            /// The name in Core's text form.
            pub fn name(self) -> &'static str {
                match self {
                    $(Op::$name => $text,)*
                    Op::Read => "read",
                    Op::Select => "select",
                    Op::Stop => "stop",
                }
            }

            /// Operand types and result type; `None` for the three polymorphic operations.
            pub fn signature(self) -> Option<(&'static [Scalar], Scalar)> {
                match self {
                    $(Op::$name => Some((&[$($arg),*], $result)),)*
                    Op::Read | Op::Select | Op::Stop => None,
                }
            }
        }
    };
}

ops! {
    Neg "neg" (Real) -> Real;
    Add "add" (Real, Real) -> Real;
    Sub "sub" (Real, Real) -> Real;
    Mul "mul" (Real, Real) -> Real;
    Div "div" (Real, Real) -> Real;
    /// `a * b + c` with one rounding; introduced by `opt/` only.
    Fma "fma" (Real, Real, Real) -> Real;
    /// `a ^ b`; `0 ^ 0 = 1`. A literal integer exponent with |b| <= 64 is repeated multiplication, in the order of
    /// [`super::interpret::scalar::integer_power`].
    Pow "pow" (Real, Real) -> Real;
    /// Propagates NaN; -0.0 is less than 0.0.
    Min "min" (Real, Real) -> Real;
    /// Propagates NaN; 0.0 is greater than -0.0.
    Max "max" (Real, Real) -> Real;
    Abs "abs" (Real) -> Real;
    /// -1, 0 or 1; derivative zero; needs a free operand in programs.
    Sign "sign" (Real) -> Real;
    Sqrt "sqrt" (Real) -> Real;
    Exp "exp" (Real) -> Real;
    Log "log" (Real) -> Real;
    Log1p "log1p" (Real) -> Real;
    Expm1 "expm1" (Real) -> Real;
    Sin "sin" (Real) -> Real;
    Cos "cos" (Real) -> Real;
    Tan "tan" (Real) -> Real;
    Atan "atan" (Real) -> Real;
    Tanh "tanh" (Real) -> Real;
    /// `1 / (1 + exp(-a))`, without overflow.
    Sigmoid "sigmoid" (Real) -> Real;
    /// `log(1 + exp(a))`, without overflow.
    Softplus "softplus" (Real) -> Real;
    /// log |Γ(a)|.
    Lgamma "lgamma" (Real) -> Real;
    Digamma "digamma" (Real) -> Real;
    Trigamma "trigamma" (Real) -> Real;
    /// Standard normal distribution function.
    NormalCdf "normal_cdf" (Real) -> Real;
    /// Its inverse; -inf at 0, inf at 1, NaN outside.
    NormalQuantile "normal_quantile" (Real) -> Real;
    /// Log of the standard normal distribution function, accurate in the far left tail.
    LogNormalCdf "log_normal_cdf" (Real) -> Real;
    /// Regularised lower incomplete gamma function P(a, x).
    GammaP "gamma_p" (Real, Real) -> Real;
    /// d P(a, x) / d a.
    GammaPDa "gamma_p_da" (Real, Real) -> Real;
    /// Derivative in the shape of a draw's logarithm: operands (shape, log of the draw).
    LogGammaDa "log_gamma_da" (Real, Real) -> Real;
    /// Inverse of P(a, x) in x: operands (a, p).
    GammaPInv "gamma_p_inv" (Real, Real) -> Real;
    /// Regularised incomplete beta function I_x(a, b): operands (a, b, x).
    BetaInc "beta_inc" (Real, Real, Real) -> Real;
    /// d I_x(a, b) / d a.
    BetaIncDa "beta_inc_da" (Real, Real, Real) -> Real;
    /// Inverse of I_x(a, b) in x: operands (a, b, p).
    BetaIncInv "beta_inc_inv" (Real, Real, Real) -> Real;
    /// Distribution function of von Mises' distribution around 0: operands (concentration, x).
    VonMisesCdf "von_mises_cdf" (Real, Real) -> Real;
    /// Its inverse on [-π, π]: operands (concentration, u).
    VonMisesQuantile "von_mises_quantile" (Real, Real) -> Real;
    /// Derivative of that in the concentration: operands (concentration, x).
    VonMisesDk "von_mises_dk" (Real, Real) -> Real;
    /// log I0(a), modified Bessel function.
    LogBesselI0 "log_bessel_i0" (Real) -> Real;
    /// I1(a) / I0(a).
    BesselRatio "bessel_ratio" (Real) -> Real;
    /// Owen's T(h, a).
    OwensT "owens_t" (Real, Real) -> Real;
    Floor "floor" (Real) -> Real;
    /// Halves to the even number.
    Round "round" (Real) -> Real;
    Eq "eq" (Real, Real) -> Bool;
    Lt "lt" (Real, Real) -> Bool;
    Le "le" (Real, Real) -> Bool;
    IsNan "is_nan" (Real) -> Bool;
    INeg "ineg" (Int) -> Int;
    /// Wrapping.
    IAdd "iadd" (Int, Int) -> Int;
    ISub "isub" (Int, Int) -> Int;
    IMul "imul" (Int, Int) -> Int;
    /// Floor division; by zero gives 0 and a run-time status; the least int by -1 wraps.
    IDiv "idiv" (Int, Int) -> Int;
    /// Remainder of floor division (sign of the divisor); by zero gives 0 and a run-time status.
    IMod "imod" (Int, Int) -> Int;
    IMin "imin" (Int, Int) -> Int;
    IMax "imax" (Int, Int) -> Int;
    IEq "ieq" (Int, Int) -> Bool;
    ILt "ilt" (Int, Int) -> Bool;
    ILe "ile" (Int, Int) -> Bool;
    And "and" (Bool, Bool) -> Bool;
    Or "or" (Bool, Bool) -> Bool;
    Not "not" (Bool) -> Bool;
    ToReal "to_real" (Int) -> Real;
    /// Truncates towards zero, saturating; NaN is 0.
    ToInt "to_int" (Real) -> Int;
    BoolToInt "bool_to_int" (Bool) -> Int;
}

//! Which operations are the runtime's kernels: the one table that interpreter, lowering and code generation share.

use super::op::Op;
use crate::runtime::kernel::Kernel;

/// The runtime's kernel for an operation; `None` for those that are plain arithmetic.
pub fn kernel(op: Op) -> Option<Kernel> {
    match op {
        Op::Exp => Some(Kernel::Exp),
        Op::Log => Some(Kernel::Log),
        Op::Log1p => Some(Kernel::Log1p),
        Op::Expm1 => Some(Kernel::Expm1),
        Op::Sin => Some(Kernel::Sin),
        Op::Cos => Some(Kernel::Cos),
        Op::Tan => Some(Kernel::Tan),
        Op::Atan => Some(Kernel::Atan),
        Op::Tanh => Some(Kernel::Tanh),
        Op::Sigmoid => Some(Kernel::Sigmoid),
        Op::Softplus => Some(Kernel::Softplus),
        Op::Pow => Some(Kernel::Pow),
        Op::Lgamma => Some(Kernel::Lgamma),
        Op::Digamma => Some(Kernel::Digamma),
        Op::Trigamma => Some(Kernel::Trigamma),
        Op::NormalCdf => Some(Kernel::NormalCdf),
        Op::NormalQuantile => Some(Kernel::NormalQuantile),
        Op::LogNormalCdf => Some(Kernel::LogNormalCdf),
        Op::GammaP => Some(Kernel::GammaP),
        Op::GammaPDa => Some(Kernel::GammaPDa),
        Op::LogGammaDa => Some(Kernel::LogGammaDa),
        Op::GammaPInv => Some(Kernel::GammaPInv),
        Op::BetaInc => Some(Kernel::BetaInc),
        Op::BetaIncDa => Some(Kernel::BetaIncDa),
        Op::BetaIncInv => Some(Kernel::BetaIncInv),
        Op::VonMisesCdf => Some(Kernel::VonMisesCdf),
        Op::VonMisesQuantile => Some(Kernel::VonMisesQuantile),
        Op::VonMisesDk => Some(Kernel::VonMisesDk),
        Op::LogBesselI0 => Some(Kernel::LogBesselI0),
        Op::BesselRatio => Some(Kernel::BesselRatio),
        Op::OwensT => Some(Kernel::OwensT),
        Op::Neg
        | Op::Add
        | Op::Sub
        | Op::Mul
        | Op::Div
        | Op::Fma
        | Op::Min
        | Op::Max
        | Op::Abs
        | Op::Sign
        | Op::Sqrt
        | Op::Floor
        | Op::Round
        | Op::Eq
        | Op::Lt
        | Op::Le
        | Op::IsNan
        | Op::INeg
        | Op::IAdd
        | Op::ISub
        | Op::IMul
        | Op::IDiv
        | Op::IMod
        | Op::IMin
        | Op::IMax
        | Op::IEq
        | Op::ILt
        | Op::ILe
        | Op::And
        | Op::Or
        | Op::Not
        | Op::ToReal
        | Op::ToInt
        | Op::BoolToInt
        | Op::Read
        | Op::Select
        | Op::Stop => None,
    }
}

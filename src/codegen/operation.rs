//! Scalar operations as instructions: reals F64, ints I64, bools I8 (0 or 1).

use super::emit::Emit;
use crate::ir::core::Scalar;
use crate::ir::op::Op;
use crate::lower::nest::{Fold, Operand};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, Value, types};

impl Emit<'_> {
    /// `args` are the values; `operands` what they came from (for a constant exponent).
    pub(super) fn operation(&mut self, op: Op, args: &[Value], operands: &[Operand]) -> Value {
        let a = args[0];
        let b = args.get(1).copied().unwrap_or(a);
        let c = args.get(2).copied().unwrap_or(a);
        match op {
            Op::Neg => self.b.ins().fneg(a),
            Op::Add => self.b.ins().fadd(a, b),
            Op::Sub => self.b.ins().fsub(a, b),
            Op::Mul => self.b.ins().fmul(a, b),
            Op::Div => self.b.ins().fdiv(a, b),
            Op::Fma if self.has_fma => self.b.ins().fma(a, b, c),
            Op::Fma => self.call_value(super::entry::fma(), &[a, b, c], types::F64),
            Op::Min => self.b.ins().fmin(a, b),
            Op::Max => self.b.ins().fmax(a, b),
            Op::Abs => self.b.ins().fabs(a),
            Op::Sign => self.sign(a),
            Op::Sqrt => self.b.ins().sqrt(a),
            Op::Floor => self.b.ins().floor(a),
            Op::Round => self.b.ins().nearest(a),
            Op::Eq => self.b.ins().fcmp(FloatCC::Equal, a, b),
            Op::Lt => self.b.ins().fcmp(FloatCC::LessThan, a, b),
            Op::Le => self.b.ins().fcmp(FloatCC::LessThanOrEqual, a, b),
            Op::IsNan => self.b.ins().fcmp(FloatCC::Unordered, a, a),
            Op::INeg => self.b.ins().ineg(a),
            Op::IAdd => self.b.ins().iadd(a, b),
            Op::ISub => self.b.ins().isub(a, b),
            Op::IMul => self.b.ins().imul(a, b),
            Op::IDiv => self.floor_division(a, b).0,
            Op::IMod => self.floor_division(a, b).1,
            Op::IMin => self.b.ins().smin(a, b),
            Op::IMax => self.b.ins().smax(a, b),
            Op::IEq => self.b.ins().icmp(IntCC::Equal, a, b),
            Op::ILt => self.b.ins().icmp(IntCC::SignedLessThan, a, b),
            Op::ILe => self.b.ins().icmp(IntCC::SignedLessThanOrEqual, a, b),
            Op::And => self.b.ins().band(a, b),
            Op::Or => self.b.ins().bor(a, b),
            Op::Not => self.b.ins().bxor_imm_u(a, 1),
            Op::ToReal => self.b.ins().fcvt_from_sint(types::F64, a),
            Op::ToInt => self.b.ins().fcvt_to_sint_sat(types::I64, a),
            Op::BoolToInt => self.b.ins().uextend(types::I64, a),
            Op::Select => self.b.ins().select(a, b, c),
            Op::Stop | Op::Read => a,
            Op::Pow => match operands.get(1) {
                Some(Operand::Real(n)) if crate::lower::small_integer(*n) => self.integer_power(a, *n),
                _ => self.kernel_call(op, args),
            },
            Op::Exp
            | Op::Log
            | Op::Log1p
            | Op::Expm1
            | Op::Sin
            | Op::Cos
            | Op::Tan
            | Op::Atan
            | Op::Tanh
            | Op::Sigmoid
            | Op::Softplus
            | Op::Lgamma
            | Op::Digamma
            | Op::Trigamma
            | Op::NormalCdf
            | Op::NormalQuantile
            | Op::LogNormalCdf
            | Op::GammaP
            | Op::GammaPDa
            | Op::LogGammaDa
            | Op::GammaPInv
            | Op::BetaIncDa
            | Op::BetaIncInv
            | Op::VonMisesCdf
            | Op::VonMisesQuantile
            | Op::VonMisesDk
            | Op::LogBesselI0
            | Op::BesselRatio
            | Op::OwensT
            | Op::BetaInc => self.kernel_call(op, args),
        }
    }

    /// A kernel on one element.
    pub(super) fn kernel_call(&mut self, op: Op, args: &[Value]) -> Value {
        match super::entry::kernel(op) {
            Some(kernel) => self.call_value(super::entry::scalar(kernel), args, types::F64),
            None => self.b.ins().f64const(f64::NAN),
        }
    }

    pub(super) fn fold(&mut self, fold: Fold, scalar: Scalar, acc: Value, value: Value) -> Value {
        self.operation(fold_operation(fold, scalar), &[acc, value], &[])
    }

    /// 1, -1, or the operand itself (zeros and NaN).
    fn sign(&mut self, x: Value) -> Value {
        let zero = self.b.ins().f64const(0.0);
        let one = self.b.ins().f64const(1.0);
        let minus = self.b.ins().f64const(-1.0);
        let negative = self.b.ins().fcmp(FloatCC::LessThan, x, zero);
        let positive = self.b.ins().fcmp(FloatCC::GreaterThan, x, zero);
        let inner = self.b.ins().select(negative, minus, x);
        self.b.ins().select(positive, one, inner)
    }

    /// Quotient and remainder of floor division; zeros for division by 0; never a trap.
    fn floor_division(&mut self, a: Value, b: Value) -> (Value, Value) {
        let zero = self.b.ins().iconst(types::I64, 0);
        let one = self.b.ins().iconst(types::I64, 1);
        let by_zero = self.b.ins().icmp_imm_s(IntCC::Equal, b, 0);
        let by_minus_one = self.b.ins().icmp_imm_s(IntCC::Equal, b, -1);
        let special = self.b.ins().bor(by_zero, by_minus_one);
        let divisor = self.b.ins().select(special, one, b);
        let quotient = self.b.ins().sdiv(a, divisor);
        let product = self.b.ins().imul(quotient, divisor);
        let rest = self.b.ins().isub(a, product);
        let uneven = self.b.ins().icmp_imm_s(IntCC::NotEqual, rest, 0);
        let mixed = self.b.ins().bxor(rest, divisor);
        let opposite = self.b.ins().icmp_imm_s(IntCC::SignedLessThan, mixed, 0);
        let adjust = self.b.ins().band(uneven, opposite);
        let lower = self.b.ins().iadd_imm_s(quotient, -1);
        let quotient = self.b.ins().select(adjust, lower, quotient);
        let raised = self.b.ins().iadd(rest, divisor);
        let rest = self.b.ins().select(adjust, raised, rest);
        let negated = self.b.ins().ineg(a);
        let quotient = self.b.ins().select(by_minus_one, negated, quotient);
        let quotient = self.b.ins().select(by_zero, zero, quotient);
        let rest = self.b.ins().select(special, zero, rest);
        (quotient, rest)
    }

    /// Repeated squaring, as the interpreter does it; of scalars or vectors.
    pub(super) fn integer_power(&mut self, x: Value, n: f64) -> Value {
        let ty = self.b.func.dfg.value_type(x);
        let one = self.b.ins().f64const(1.0);
        let one = if ty.is_vector() { self.b.ins().splat(ty, one) } else { one };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 64")]
        let mut bits = n.abs() as u32;
        if bits == 0 {
            return one;
        }
        let mut square = x;
        let mut product: Option<Value> = None;
        loop {
            if bits & 1 == 1 {
                product = Some(match product {
                    Some(p) => self.b.ins().fmul(p, square),
                    None => square,
                });
            }
            bits >>= 1;
            if bits == 0 {
                break;
            }
            square = self.b.ins().fmul(square, square);
        }
        let product = product.unwrap_or(one);
        if n < 0.0 { self.b.ins().fdiv(one, product) } else { product }
    }
}

/// The operation that a fold is.
pub(super) fn fold_operation(fold: Fold, scalar: Scalar) -> Op {
    match (fold, scalar) {
        (Fold::Sum, Scalar::Real) => Op::Add,
        (Fold::Max, Scalar::Real) => Op::Max,
        (Fold::Min, Scalar::Real) => Op::Min,
        (Fold::Sum, Scalar::Int) => Op::IAdd,
        (Fold::Max, Scalar::Int) => Op::IMax,
        (Fold::Min, Scalar::Int) => Op::IMin,
        (Fold::All, _) | (_, Scalar::Bool) => Op::And,
    }
}

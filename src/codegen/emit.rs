//! Nodes as instructions: one `match`, nothing decided.
//!
//! A routine is `extern "C" fn(context, chunk)`. Registers are Cranelift variables, so loops and branches need no block
//! parameters of their own.

use crate::ir::core::Scalar;
use crate::lower::nest::{Base, Linear, Node, Operand, Place, Reg, RegInfo, Routine};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{AbiParam, FuncRef, InstBuilder, MemFlagsData, Signature, Type, Value, types};
use cranelift_codegen::isa::CallConv;
use cranelift_frontend::{FunctionBuilder, Variable};

/// Byte offsets in [`super::Context`].
pub(super) const FRAME: i32 = 0;
pub(super) const SCRATCH: i32 = 8;
pub(super) const SEED: i32 = 16;
pub(super) const STEP: i32 = 24;
pub(super) const CHECK: i32 = 32;
pub(super) const DOMAIN: i32 = 40;

/// Words of one `Move` or `Fill` that are written out.
const UNROLLED: usize = 16;

/// Memory that is in bounds; 8-byte alignment only.
pub(super) fn flags() -> MemFlagsData {
    MemFlagsData::new().with_notrap()
}

/// Lane values: one (element by element) or one pair of 2-lane vectors.
pub(super) type Lanes = [Value; 2];

pub(super) struct Emit<'a> {
    pub b: FunctionBuilder<'a>,
    pub regs: Vec<RegInfo>,
    pub vars: Vec<Option<Variable>>,
    pub lanes: Vec<Option<Lanes>>,
    pub context: Value,
    pub frame: Value,
    pub scratch: Value,
    pub data: &'a [usize],
    pub tasks: Vec<FuncRef>,
    pub convention: CallConv,
    pub has_fma: bool,
    /// In a segment: four elements at once.
    pub wide: bool,
    /// In a segment: the element, or the first of four.
    pub position: Option<Value>,
}

pub(super) fn type_of(scalar: Scalar) -> Type {
    match scalar {
        Scalar::Real => types::F64,
        Scalar::Int => types::I64,
        Scalar::Bool => types::I8,
    }
}

impl<'a> Emit<'a> {
    /// Emits a whole routine and finishes the function.
    pub(super) fn routine(
        mut b: FunctionBuilder<'a>,
        routine: &Routine,
        data: &'a [usize],
        tasks: Vec<FuncRef>,
        convention: CallConv,
        has_fma: bool,
    ) -> FunctionBuilder<'a> {
        let block = b.create_block();
        b.append_block_params_for_function_params(block);
        b.switch_to_block(block);
        b.seal_block(block);
        let context = b.block_params(block)[0];
        let chunk = b.block_params(block)[1];
        let frame = b.ins().load(types::I64, flags().with_readonly(), context, FRAME);
        let scratch = b.ins().load(types::I64, flags().with_readonly(), context, SCRATCH);
        let mut emit = Emit {
            b,
            regs: routine.regs.clone(),
            vars: vec![None; routine.regs.len()],
            lanes: vec![None; routine.regs.len()],
            context,
            frame,
            scratch,
            data,
            tasks,
            convention,
            has_fma,
            wide: false,
            position: None,
        };
        if let Some(reg) = routine.chunk {
            emit.set(reg, chunk);
        }
        emit.nodes(&routine.body);
        emit.b.ins().return_(&[]);
        emit.b
    }

    pub(super) fn set(&mut self, reg: Reg, value: Value) {
        let index = reg.0 as usize;
        let variable = match self.vars[index] {
            Some(v) => v,
            None => {
                let v = self.b.declare_var(type_of(self.regs[index].scalar));
                self.vars[index] = Some(v);
                v
            }
        };
        self.b.def_var(variable, value);
    }

    pub(super) fn scalar_of(&self, operand: Operand) -> Scalar {
        match operand {
            Operand::Reg(r) => self.regs[r.0 as usize].scalar,
            Operand::Real(_) => Scalar::Real,
            Operand::Int(_) => Scalar::Int,
            Operand::Bool(_) => Scalar::Bool,
        }
    }

    /// A scalar operand.
    pub(super) fn value(&mut self, operand: Operand) -> Value {
        match operand {
            Operand::Real(x) => self.b.ins().f64const(x),
            Operand::Int(i) => self.b.ins().iconst(types::I64, i),
            Operand::Bool(b) => self.b.ins().iconst(types::I8, i64::from(b)),
            Operand::Reg(r) => {
                let index = r.0 as usize;
                match self.vars[index] {
                    Some(v) => self.b.use_var(v),
                    // A register that no path has assigned; its value is never used.
                    None => match self.regs[index].scalar {
                        Scalar::Real => self.b.ins().f64const(0.0),
                        scalar => self.b.ins().iconst(type_of(scalar), 0),
                    },
                }
            }
        }
    }

    /// Base pointer and byte offset of a place.
    pub(super) fn address(&mut self, place: &Place) -> (Value, i32) {
        let mut base = match place.base {
            Base::Frame => self.frame,
            Base::Scratch => self.scratch,
            Base::Data(i) => {
                let address = self.data.get(i).copied().unwrap_or(0);
                self.constant(address)
            }
        };
        for &(operand, stride) in &place.index {
            let index = self.value(operand);
            base = self.advance(base, index, stride);
        }
        let bytes = place.offset.wrapping_mul(8);
        match i32::try_from(bytes) {
            Ok(offset) => (base, offset),
            Err(_) => (self.b.ins().iadd_imm_s(base, bytes), 0),
        }
    }

    /// `base + index * stride` words.
    pub(super) fn advance(&mut self, base: Value, index: Value, stride: i64) -> Value {
        let bytes = stride.wrapping_mul(8);
        let offset = if bytes > 0 && bytes.count_ones() == 1 {
            self.b.ins().ishl_imm_u(index, i64::from(bytes.trailing_zeros()))
        } else {
            self.b.ins().imul_imm_s(index, bytes)
        };
        self.b.ins().iadd(base, offset)
    }

    pub(super) fn pointer(&mut self, place: &Place) -> Value {
        let (base, offset) = self.address(place);
        if offset == 0 { base } else { self.b.ins().iadd_imm_s(base, i64::from(offset)) }
    }

    pub(super) fn constant(&mut self, word: usize) -> Value {
        self.b.ins().iconst(types::I64, (word as u64).cast_signed())
    }

    fn call_raw(&mut self, function: usize, args: &[Value], result: Option<Type>) -> Option<Value> {
        let mut signature = Signature::new(self.convention);
        for &arg in args {
            signature.params.push(AbiParam::new(self.b.func.dfg.value_type(arg)));
        }
        signature.returns.extend(result.map(AbiParam::new));
        let signature = self.b.import_signature(signature);
        let address = self.constant(function);
        let call = self.b.ins().call_indirect(signature, address, args);
        self.b.inst_results(call).first().copied()
    }

    pub(super) fn call(&mut self, function: usize, args: &[Value]) {
        self.call_raw(function, args, None);
    }

    pub(super) fn call_value(&mut self, function: usize, args: &[Value], result: Type) -> Value {
        match self.call_raw(function, args, Some(result)) {
            Some(value) => value,
            None => self.b.ins().f64const(f64::NAN),
        }
    }

    pub(super) fn load_scalar(&mut self, scalar: Scalar, base: Value, offset: i32) -> Value {
        match scalar {
            Scalar::Real => self.b.ins().load(types::F64, flags(), base, offset),
            Scalar::Int => self.b.ins().load(types::I64, flags(), base, offset),
            Scalar::Bool => self.b.ins().load(types::I8, flags(), base, offset),
        }
    }

    pub(super) fn store_scalar(&mut self, scalar: Scalar, value: Value, base: Value, offset: i32) {
        let word = if scalar == Scalar::Bool { self.b.ins().uextend(types::I64, value) } else { value };
        self.b.ins().store(flags(), word, base, offset);
    }

    fn nodes(&mut self, nodes: &[Node]) {
        for node in nodes {
            self.node(node);
        }
    }

    fn node(&mut self, node: &Node) {
        match node {
            Node::Op { result, op, args } => {
                let values: Vec<Value> = args.iter().map(|&a| self.value(a)).collect();
                let value = self.operation(*op, &values, args);
                self.set(*result, value);
            }
            Node::Copy { result, value } => {
                let value = self.value(*value);
                self.set(*result, value);
            }
            Node::Fold { result, fold, scalar, acc, value } => {
                let (acc, value) = (self.value(*acc), self.value(*value));
                let value = self.fold(*fold, *scalar, acc, value);
                self.set(*result, value);
            }
            Node::InBounds { result, index, extent } => {
                let index = self.value(*index);
                let extent = self.constant(*extent);
                let ok = self.b.ins().icmp(IntCC::UnsignedLessThan, index, extent);
                self.set(*result, ok);
            }
            Node::Lane { result, index } => {
                let index = self.value(*index);
                let lane = self.b.ins().band_imm_u(index, 3);
                self.set(*result, lane);
            }
            Node::Load { result, place } => {
                let (base, offset) = self.address(place);
                let value = self.load_scalar(self.regs[result.0 as usize].scalar, base, offset);
                self.set(*result, value);
            }
            Node::Store { place, scalar, value } => {
                let value = self.value(*value);
                let (base, offset) = self.address(place);
                self.store_scalar(*scalar, value, base, offset);
            }
            Node::Loop { index, count, reverse, body } => self.repeat(*index, *count, *reverse, body),
            Node::If { condition, then, otherwise } => self.branch(*condition, then, otherwise),
            Node::Segment(segment) => self.segment(segment),
            Node::Kernel { op, inputs, output, count } => {
                let mut args: Vec<Value> = inputs.iter().map(|p| self.pointer(p)).collect();
                args.push(self.pointer(output));
                let count = self.value(*count);
                let rounded = self.b.ins().iadd_imm_s(count, 7);
                args.push(self.b.ins().band_imm_s(rounded, -8));
                if let Some(kernel) = super::entry::kernel(*op) {
                    self.call(super::entry::strip(kernel), &args);
                }
            }
            Node::Call { result, op, args } => {
                let args: Vec<Value> = args.iter().map(|&a| self.value(a)).collect();
                let value = self.kernel_call(*op, &args);
                self.set(*result, value);
            }
            Node::Draw { result, noise, site, args, index } => {
                let mut values = self.stream(*site);
                values.push(self.value(*index));
                for &arg in args {
                    values.push(self.value(arg));
                }
                let value = self.call_value(super::entry::draw(*noise), &values, types::F64);
                self.set(*result, value);
            }
            Node::DrawStrip { noise, site, args, index, stride, at, output, count } => {
                let mut values = self.stream(*site);
                let function = match at {
                    Some(at) => {
                        values.push(self.pointer(at));
                        super::entry::draw_gather(*noise)
                    }
                    None => {
                        values.push(self.value(*index));
                        values.push(self.b.ins().iconst(types::I64, *stride));
                        super::entry::draw_strip(*noise)
                    }
                };
                for place in args {
                    values.push(self.pointer(place));
                }
                values.push(self.pointer(output));
                values.push(self.value(*count));
                self.call(function, &values);
            }
            Node::Move { from, to, count } => self.copy(from, to, *count),
            Node::Fill { to, scalar, value, count } => self.fill(to, *scalar, *value, *count),
            Node::Linear(call) => self.linear(call),
            Node::Check { ok, check } => {
                let ok = self.value(*ok);
                self.check(ok, *check);
            }
            Node::Domain { ok } => {
                let ok = self.value(*ok);
                self.domain(ok);
            }
            Node::Parallel { task, count } => {
                if let Some(&function) = self.tasks.get(*task) {
                    let function = self.b.ins().func_addr(types::I64, function);
                    let (context, count) = (self.context, self.constant(*count));
                    self.call(super::threads::entry(), &[context, function, count]);
                }
            }
        }
    }

    /// Seed, step and site of a draw.
    fn stream(&mut self, site: u32) -> Vec<Value> {
        let seed = self.b.ins().load(types::I64, flags().with_readonly(), self.context, SEED);
        let step = self.b.ins().load(types::I32, flags().with_readonly(), self.context, STEP);
        let site = self.b.ins().iconst(types::I32, i64::from(site));
        vec![seed, step, site]
    }

    fn repeat(&mut self, index: Reg, count: Operand, reverse: bool, body: &[Node]) {
        let header = self.b.create_block();
        let inside = self.b.create_block();
        let after = self.b.create_block();
        let count = self.value(count);
        let counter = self.b.declare_var(types::I64);
        let zero = self.b.ins().iconst(types::I64, 0);
        self.b.def_var(counter, zero);
        let never = self.b.ins().icmp_imm_s(IntCC::SignedLessThanOrEqual, count, 0);
        self.b.ins().brif(never, after, &[], header, &[]);
        self.b.switch_to_block(header);
        self.b.ins().jump(inside, &[]);
        self.b.seal_block(inside);
        self.b.switch_to_block(inside);
        let i = self.b.use_var(counter);
        let value = if reverse {
            let left = self.b.ins().isub(count, i);
            self.b.ins().iadd_imm_s(left, -1)
        } else {
            i
        };
        self.set(index, value);
        self.nodes(body);
        let i = self.b.use_var(counter);
        let next = self.b.ins().iadd_imm_s(i, 1);
        self.b.def_var(counter, next);
        let more = self.b.ins().icmp(IntCC::SignedLessThan, next, count);
        self.b.ins().brif(more, header, &[], after, &[]);
        self.b.seal_block(header);
        self.b.seal_block(after);
        self.b.switch_to_block(after);
    }

    fn branch(&mut self, condition: Operand, then: &[Node], otherwise: &[Node]) {
        let condition = self.value(condition);
        let (yes, no, after) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        self.b.ins().brif(condition, yes, &[], no, &[]);
        for (block, nodes) in [(yes, then), (no, otherwise)] {
            self.b.seal_block(block);
            self.b.switch_to_block(block);
            self.nodes(nodes);
            self.b.ins().jump(after, &[]);
        }
        self.b.seal_block(after);
        self.b.switch_to_block(after);
    }

    /// `update` where `ok` is 0, out of the way.
    fn unless(&mut self, ok: Value, update: impl FnOnce(&mut Self)) {
        let (bad, after) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(bad);
        self.b.ins().brif(ok, after, &[], bad, &[]);
        self.b.seal_block(bad);
        self.b.switch_to_block(bad);
        update(self);
        self.b.ins().jump(after, &[]);
        self.b.seal_block(after);
        self.b.switch_to_block(after);
    }

    pub(super) fn check(&mut self, ok: Value, check: u32) {
        self.unless(ok, |s| {
            let before = s.b.ins().load(types::I64, flags(), s.context, CHECK);
            let number = s.b.ins().iconst(types::I64, i64::from(check));
            let least = s.b.ins().umin(before, number);
            s.b.ins().store(flags(), least, s.context, CHECK);
        });
    }

    pub(super) fn domain(&mut self, ok: Value) {
        self.unless(ok, |s| {
            let one = s.b.ins().iconst(types::I64, 1);
            s.b.ins().store(flags(), one, s.context, DOMAIN);
        });
    }

    fn copy(&mut self, from: &Place, to: &Place, count: usize) {
        if count > UNROLLED {
            let args = [self.pointer(from), self.pointer(to), self.constant(count)];
            return self.call(super::entry::copy(), &args);
        }
        let (source, s) = self.address(from);
        let (target, t) = self.address(to);
        let mut moved = Vec::new();
        let mut done = 0;
        while done < count {
            let ty = if count - done >= 2 { types::I64X2 } else { types::I64 };
            let offset = i32::try_from(done * 8).unwrap_or(0);
            moved.push((offset, self.b.ins().load(ty, flags(), source, s + offset)));
            done += if ty == types::I64X2 { 2 } else { 1 };
        }
        for (offset, value) in moved {
            self.b.ins().store(flags(), value, target, t + offset);
        }
    }

    fn fill(&mut self, to: &Place, scalar: Scalar, value: Operand, count: usize) {
        if count == 0 {
            return;
        }
        let value = self.value(value);
        let value = if scalar == Scalar::Bool { self.b.ins().uextend(types::I64, value) } else { value };
        let pair = if scalar == Scalar::Real { types::F64X2 } else { types::I64X2 };
        if count <= UNROLLED {
            let (base, offset) = self.address(to);
            let mut done = 0;
            let two = if count > 1 { Some(self.b.ins().splat(pair, value)) } else { None };
            while done < count {
                let at = offset + i32::try_from(done * 8).unwrap_or(0);
                match two {
                    Some(two) if count - done >= 2 => {
                        self.b.ins().store(flags(), two, base, at);
                        done += 2;
                    }
                    _ => {
                        self.b.ins().store(flags(), value, base, at);
                        done += 1;
                    }
                }
            }
            return;
        }
        let base = self.pointer(to);
        let two = self.b.ins().splat(pair, value);
        let pairs = self.constant(count / 2);
        self.counted(pairs, 1, |s, i| {
            let address = s.advance(base, i, 2);
            s.b.ins().store(flags(), two, address, 0);
        });
        if !count.is_multiple_of(2) {
            let last = self.b.ins().iadd_imm_s(base, i64::try_from((count - 1) * 8).unwrap_or(0));
            self.b.ins().store(flags(), value, last, 0);
        }
    }

    /// `for i in (0..count).step_by(step)`, at least once.
    pub(super) fn counted(&mut self, count: Value, step: i64, body: impl FnOnce(&mut Self, Value)) {
        let zero = self.b.ins().iconst(types::I64, 0);
        self.counted_from(zero, count, step, body);
    }

    /// As [`Emit::counted`] from `start`, which is below `count`.
    pub(super) fn counted_from(&mut self, start: Value, count: Value, step: i64, body: impl FnOnce(&mut Self, Value)) {
        let (inside, after) = (self.b.create_block(), self.b.create_block());
        let counter = self.b.declare_var(types::I64);
        self.b.def_var(counter, start);
        self.b.ins().jump(inside, &[]);
        self.b.switch_to_block(inside);
        let i = self.b.use_var(counter);
        body(self, i);
        let next = self.b.ins().iadd_imm_s(i, step);
        self.b.def_var(counter, next);
        let more = self.b.ins().icmp(IntCC::SignedLessThan, next, count);
        self.b.ins().brif(more, inside, &[], after, &[]);
        self.b.seal_block(inside);
        self.b.seal_block(after);
        self.b.switch_to_block(after);
    }

    fn linear(&mut self, call: &Linear) {
        match call {
            Linear::Cholesky { n, a, result } => {
                let args = [self.pointer(a), self.pointer(result), self.constant(*n)];
                let fine = self.call_value(super::entry::cholesky(), &args, types::I32);
                let ok = self.b.ins().icmp_imm_s(IntCC::NotEqual, fine, 0);
                self.domain(ok);
            }
            Linear::SolveLower { n, m, transposed, l, b, result } => {
                let mut args = vec![self.pointer(l), self.pointer(b), self.pointer(result)];
                args.push(self.constant(*n));
                args.push(self.constant(*m));
                args.push(self.b.ins().iconst(types::I32, i64::from(*transposed)));
                self.call(super::entry::solve_lower(), &args);
            }
            Linear::Sort { n, scalar, a, result } => {
                let args = [self.pointer(a), self.pointer(result), self.constant(*n)];
                self.call(super::entry::sort(*scalar == Scalar::Real), &args);
            }
            &Linear::Subset { of, take, plate, ref result } => {
                let mut args = self.stream(plate);
                args.push(self.constant(of));
                args.push(self.constant(take));
                args.push(self.pointer(result));
                self.call(super::entry::subset(), &args);
            }
            Linear::RowsDot { rows, d, x, b, result } => {
                let args =
                    [self.pointer(x), self.pointer(b), self.pointer(result), self.value(*rows), self.constant(*d)];
                self.call(super::entry::rows_dot(), &args);
            }
            Linear::RowsAxpy { rows, d, x, r, result } => {
                let args =
                    [self.pointer(x), self.pointer(r), self.pointer(result), self.value(*rows), self.constant(*d)];
                self.call(super::entry::rows_axpy(), &args);
            }
            Linear::Gemm { m, k, n, a, a_strides, b, b_strides, result, result_strides } => {
                let slot = self.b.create_sized_stack_slot(cranelift_codegen::ir::StackSlotData::new(
                    cranelift_codegen::ir::StackSlotKind::ExplicitSlot,
                    12 * 8,
                    3,
                ));
                let base = self.b.ins().stack_addr(types::I64, slot, 0);
                let mut words = vec![self.constant(*m), self.constant(*k), self.constant(*n)];
                for (place, strides) in [(a, a_strides), (b, b_strides), (result, result_strides)] {
                    words.push(self.pointer(place));
                    words.push(self.b.ins().iconst(types::I64, strides.0));
                    words.push(self.b.ins().iconst(types::I64, strides.1));
                }
                for (i, word) in words.into_iter().enumerate() {
                    self.b.ins().store(flags(), word, base, i32::try_from(i * 8).unwrap_or(0));
                }
                self.call(super::entry::gemm(), &[base]);
            }
        }
    }
}

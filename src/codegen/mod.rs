//! Nests to machine code by Cranelift, in memory; and the machine code as an [`Executable`].
//!
//! Everything a step touches is one frame and one scratch area per thread, allocated when compiled; a step allocates
//! nothing. Data stand at fixed addresses that are constants of the code.

mod emit;
mod entry;
mod operation;
mod segment;
#[cfg(test)]
mod tests;
mod threads;

use crate::ir::core::Scalar;
use crate::lower::nest::{Nests, Routine, Span};
use crate::runtime::executable::{Array, Executable, Status, Stream, Values};
use crate::runtime::pool::Pool;
use cranelift_codegen::ir::{AbiParam, UserFuncName, types};
use cranelift_codegen::settings::{self, Configurable};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{FuncId, Module};
use emit::Emit;
use std::sync::Arc;
use threads::Threads;

/// Why nests could not be compiled: the data do not fit, or this machine is not supported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodegenError {
    pub message: String,
}

impl std::fmt::Display for CodegenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CodegenError {}

fn error(message: impl std::fmt::Display) -> CodegenError {
    CodegenError { message: message.to_string() }
}

/// What generated code gets: see the offsets in `emit`.
#[repr(C)]
struct Context {
    frame: *mut u64,
    scratch: *mut u64,
    seed: u64,
    step: u64,
    /// Lowest number of a failed check; `u64::MAX` is none.
    check: u64,
    domain: u64,
    threads: *const Threads,
}

type Function = unsafe extern "C" fn(*mut Context, i64);

/// Words at an address that is a multiple of 64, with a whole group of words behind the last.
struct Words {
    words: Vec<u64>,
    start: usize,
}

impl Words {
    fn new(len: usize) -> Words {
        let words = vec![0_u64; len + 16];
        let misaligned = (words.as_ptr() as usize / 8) % 8;
        Words { words, start: (8 - misaligned) % 8 }
    }

    fn pointer(&mut self) -> *mut u64 {
        self.words[self.start..].as_mut_ptr()
    }

    fn slice(&mut self, offset: usize, len: usize) -> &mut [u64] {
        &mut self.words[self.start + offset..self.start + offset + len]
    }
}

/// A compiled program with its data bound; `setup` has run.
pub struct Compiled {
    module: Option<JITModule>,
    step: Function,
    frame: Words,
    scratch: Words,
    /// At a fixed address while a step runs.
    threads: Box<Threads>,
    /// Kept for its addresses.
    data: Vec<Words>,
    nests: Nests,
    setup_check: u64,
    setup_domain: u64,
    /// Bytes of machine code.
    code_size: usize,
}

// SAFETY: the machine code and the memory it refers to are owned, and used through `&mut self` only.
unsafe impl Send for Compiled {}

/// Compiles `nests` with `data` bound (one array per data input, in order) and runs `setup`. Chunks of large nests run
/// on `pool`; bits do not depend on its threads.
pub fn compile(nests: Nests, data: &[Array], pool: &Arc<Pool>) -> Result<Compiled, CodegenError> {
    if data.len() != nests.data.len() {
        return Err(error(format!("{} data inputs, but {} arrays given", nests.data.len(), data.len())));
    }
    let mut bound = Vec::new();
    for (array, (name, ty)) in data.iter().zip(&nests.data) {
        let words: Vec<u64> = match (&array.values, ty.scalar) {
            (Values::Real(v), Scalar::Real) => v.iter().map(|x| x.to_bits()).collect(),
            (Values::Int(v), Scalar::Int) => v.iter().map(|i| i.cast_unsigned()).collect(),
            (Values::Bool(v), Scalar::Bool) => v.iter().map(|&b| u64::from(b)).collect(),
            _ => return Err(error(format!("data input {name} has elements of another type"))),
        };
        if array.shape != ty.shape || words.len() != ty.size() {
            return Err(error(format!("data input {name} has shape {:?}, not {:?}", array.shape, ty.shape)));
        }
        let mut home = Words::new(words.len());
        home.slice(0, words.len()).copy_from_slice(&words);
        bound.push(home);
    }
    let addresses: Vec<usize> = bound.iter_mut().map(|w| w.pointer() as usize).collect();
    let mut frame = Words::new(nests.frame);
    for (offset, words) in &nests.constants {
        frame.slice(*offset, words.len()).copy_from_slice(words);
    }
    let scratch = Words::new(nests.scratch);
    let mut module = new_module()?;
    let mut functions = FunctionBuilderContext::new();
    let mut code_size = 0;
    let mut tasks = Vec::new();
    for routine in &nests.tasks {
        tasks.push(define(&mut module, &mut functions, routine, &addresses, &[], &mut code_size)?);
    }
    let setup = define(&mut module, &mut functions, &nests.setup, &addresses, &tasks, &mut code_size)?;
    let step = define(&mut module, &mut functions, &nests.step, &addresses, &tasks, &mut code_size)?;
    module.finalize_definitions().map_err(error)?;
    let function = |id: FuncId| -> Function {
        let address = module.get_finalized_function(id);
        // SAFETY: the function was defined with this signature.
        unsafe { std::mem::transmute::<*const u8, Function>(address) }
    };
    let (setup, step) = (function(setup), function(step));
    let mut compiled = Compiled {
        module: Some(module),
        step,
        frame,
        threads: Box::new(Threads::new(pool.clone(), nests.scratch)),
        scratch,
        data: bound,
        nests,
        setup_check: u64::MAX,
        setup_domain: 0,
        code_size,
    };
    let context = compiled.run(setup, Stream { seed: 0, step: 0 });
    compiled.setup_check = context.check;
    compiled.setup_domain = context.domain;
    Ok(compiled)
}

fn new_module() -> Result<JITModule, CodegenError> {
    let mut flags = settings::builder();
    let verify = if cfg!(debug_assertions) { "true" } else { "false" };
    for (name, value) in [
        ("opt_level", "speed"),
        ("enable_verifier", verify),
        ("use_colocated_libcalls", "false"),
        ("is_pic", "false"),
        ("enable_probestack", "false"),
        ("enable_alias_analysis", "true"),
        ("unwind_info", "false"),
    ] {
        flags.set(name, value).map_err(error)?;
    }
    let isa = cranelift_native::builder().map_err(error)?.finish(settings::Flags::new(flags)).map_err(error)?;
    Ok(JITModule::new(JITBuilder::with_isa(isa, cranelift_module::default_libcall_names())))
}

fn define(
    module: &mut JITModule,
    functions: &mut FunctionBuilderContext,
    routine: &Routine,
    data: &[usize],
    tasks: &[FuncId],
    code_size: &mut usize,
) -> Result<FuncId, CodegenError> {
    let mut context = module.make_context();
    context.func.signature.params.extend([AbiParam::new(types::I64), AbiParam::new(types::I64)]);
    let id = module.declare_anonymous_function(&context.func.signature).map_err(error)?;
    context.func.name = UserFuncName::user(0, id.as_u32());
    let convention = module.isa().default_call_conv();
    let config = module.isa().frontend_config();
    let has_fma = has_fma();
    let tasks = tasks.iter().map(|&id| module.declare_func_in_func(id, &mut context.func)).collect();
    let builder = FunctionBuilder::new(&mut context.func, functions);
    let builder = Emit::routine(builder, routine, data, tasks, convention, has_fma);
    builder.finalize(config);
    module.define_function(id, &mut context).map_err(|e| error(format!("{e:?}")))?;
    *code_size += context.compiled_code().map_or(0, |code| code.code_info().total_size as usize);
    Ok(id)
}

/// Whether the processor multiplies and adds with one rounding.
fn has_fma() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        std::arch::is_x86_feature_detected!("fma")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        cfg!(target_arch = "aarch64")
    }
}

impl Compiled {
    /// Bytes of machine code.
    pub fn code_size(&self) -> usize {
        self.code_size
    }

    fn run(&mut self, function: Function, stream: Stream) -> Context {
        let mut context = Context {
            frame: self.frame.pointer(),
            scratch: self.scratch.pointer(),
            seed: stream.seed,
            step: u64::from(stream.step),
            check: self.setup_check,
            domain: self.setup_domain,
            threads: &raw const *self.threads,
        };
        // SAFETY: the code writes within frame and scratch, whose sizes the lowering planned, and reads data, which
        // `self.data` keeps at its addresses.
        unsafe { function(&raw mut context, 0) };
        context
    }

    fn put(&mut self, role: Role, values: &[f64]) {
        let spans = match role {
            Role::Params => &self.nests.params,
            Role::Tuned => &self.nests.tuned,
            Role::States => &self.nests.states,
        };
        let mut rest = values;
        for span in spans {
            let (now, later) = rest.split_at_checked(span.len).unwrap_or((rest, &[]));
            rest = later;
            let words = self.frame.slice(span.offset, now.len());
            match span.scalar {
                Scalar::Real => words.iter_mut().zip(now).for_each(|(w, x)| *w = x.to_bits()),
                #[expect(clippy::cast_possible_truncation, reason = "an int input holds an int")]
                Scalar::Int => words.iter_mut().zip(now).for_each(|(w, x)| *w = (*x as i64).cast_unsigned()),
                Scalar::Bool => words.iter_mut().zip(now).for_each(|(w, x)| *w = u64::from(*x != 0.0)),
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Role {
    Params,
    Tuned,
    States,
}

fn total(spans: &[Span]) -> usize {
    spans.iter().map(|s| s.len).sum()
}

impl Executable for Compiled {
    fn param_len(&self) -> usize {
        total(&self.nests.params)
    }

    fn tuned_len(&self) -> usize {
        total(&self.nests.tuned)
    }

    fn state_len(&self) -> usize {
        total(&self.nests.states)
    }

    fn output_len(&self) -> usize {
        total(&self.nests.outputs)
    }

    fn step(&mut self, params: &[f64], tuned: &[f64], state: &[f64], stream: Stream, outputs: &mut [f64]) -> Status {
        self.put(Role::Params, params);
        self.put(Role::Tuned, tuned);
        self.put(Role::States, state);
        let context = self.run(self.step, stream);
        let mut rest = outputs;
        for span in &self.nests.outputs {
            let Some((now, later)) = rest.split_at_mut_checked(span.len) else { break };
            rest = later;
            let words = self.frame.slice(span.offset, span.len);
            match span.scalar {
                Scalar::Real => now.iter_mut().zip(words).for_each(|(x, w)| *x = f64::from_bits(*w)),
                Scalar::Int | Scalar::Bool => {
                    now.iter_mut().zip(words).for_each(|(x, w)| *x = w.cast_signed() as f64);
                }
            }
        }
        match u32::try_from(context.check) {
            Ok(check) => Status::Check(check),
            Err(_) if context.domain != 0 => Status::Domain,
            Err(_) => Status::Fine,
        }
    }
}

impl Drop for Compiled {
    fn drop(&mut self) {
        self.data.clear();
        if let Some(module) = self.module.take() {
            // SAFETY: no code of the module runs or is reachable any more.
            unsafe { module.free_memory() };
        }
    }
}

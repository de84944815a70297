//! A step that went wrong, told in terms of the file: it is replayed by the interpreter, on the program before it was
//! optimised, which remembers for what each statement was made.

use super::compile;
use super::session::Session;
use crate::diagnostic::{Diagnostic, Label};
use crate::ir::core::{Program, Role};
use crate::ir::interpret::Interpreter;
use crate::ir::interpret::witness::{Cause, Event};
use crate::ir::op::Op;
use crate::runtime::executable::{Status, Stream};
use std::sync::Arc;

/// What a step began with, and how it ended.
pub struct Step<'s> {
    pub params: &'s [f64],
    pub tuned: &'s [f64],
    pub state: &'s [f64],
    pub stream: Stream,
    pub status: Status,
    pub value: f64,
}

/// The error of a failed step: a check of the file by its own message, else `message` with the expression that made the
/// first value that is not finite. `program` is that of the objective and its gradient, or of values alone.
pub fn explained(
    session: &Session<'_>,
    code: &'static str,
    message: &str,
    program: &Program,
    step: &Step<'_>,
) -> Diagnostic {
    if let Status::Check(k) = step.status {
        let Some(check) = program.checks.get(k as usize) else { return Diagnostic::bare("E0602", "a check failed") };
        let primary = check.span.map(|span| Label { span, text: "fails when it runs".to_owned() });
        return Diagnostic { primary, ..Diagnostic::bare("E0602", check.message.clone()) };
    }
    let data = session.data_of(program);
    let event = Interpreter::new(Arc::new(program.clone()), &data)
        .ok()
        .and_then(|mut run| run.blame(step.params, step.tuned, step.state, step.stream));
    let Some((event, output)) = event else { return Diagnostic::bare(code, message) };
    let derivative = step.status == Status::Fine && step.value.is_finite();
    let said = match (&event.cause, derivative) {
        (Cause::Other, _) => "not finite".to_owned(),
        (cause, false) => in_words(cause),
        (cause, true) => format!("its derivative is not finite: {}", in_words(cause)),
    };
    let mut found = match event.span {
        Some(span) => Diagnostic::error(code, span, message).label(said),
        None => Diagnostic::bare(code, message).note(said),
    };
    if derivative && let Some(input) = output.checked_sub(1).and_then(|k| program.inputs_of(Role::Param).nth(k)) {
        found = found.note(format!("it is the derivative in `{}` that fails", input.name));
    }
    found.fix = fix(&event);
    found
}

/// With the gradient and before optimisation, for [`explained`]; the value alone where there is none.
pub fn replayed(derived: Program) -> Program {
    compile::gradient(derived.clone()).unwrap_or(derived)
}

fn number(x: f64) -> String {
    if x.is_nan() {
        "NaN".to_owned()
    } else if x.is_infinite() {
        if x > 0.0 { "infinite".to_owned() } else { "-infinite".to_owned() }
    } else if x == 0.0 || (1e-3..1e6).contains(&x.abs()) {
        let text = format!("{x:.4}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        format!("{x:.3e}")
    }
}

fn in_words(cause: &Cause) -> String {
    match cause {
        Cause::Operation { op, operands, result } => {
            let shown: Vec<String> = operands.iter().map(|&x| number(x)).collect();
            let sign = match op {
                Op::Add => Some("+"),
                Op::Sub => Some("-"),
                Op::Mul => Some("*"),
                Op::Div => Some("/"),
                Op::Pow => Some("^"),
                _ => None,
            };
            let what = match (sign, &shown[..]) {
                (Some(sign), [a, b]) => format!("{a} {sign} {b}"),
                _ => format!("{}({})", op.name(), shown.join(", ")),
            };
            format!("{what} is {}", number(*result))
        }
        Cause::Index { index, shape } => {
            let shown: Vec<String> = index.iter().map(ToString::to_string).collect();
            let sizes: Vec<String> = shape.iter().map(ToString::to_string).collect();
            match (&shown[..], &sizes[..]) {
                ([i], [n]) => format!("index {i} is not in 0..{n}"),
                _ => format!("index [{}] is outside an array of {}", shown.join(", "), sizes.join(" x ")),
            }
        }
        Cause::DivisionByZero => "a whole number is divided by 0".to_owned(),
        Cause::Other => "not finite".to_owned(),
    }
}

fn fix(event: &Event) -> Option<String> {
    match &event.cause {
        Cause::Index { .. } => Some("indices start at 0 and end before the size".to_owned()),
        Cause::Operation { op: Op::Log | Op::Sqrt | Op::Log1p, operands, .. } if operands[0] < 0.0 => Some(
            "give what must be positive a type that says so (`param s: real<lower=0> = …`, `s ~ lognormal(…)`), or another start"
                .to_owned(),
        ),
        Cause::Operation { op: Op::Exp, .. } => {
            Some("compute on the log scale (`log_sum_exp`, distributions with `_logit` or `_log`), or start nearer".to_owned())
        }
        Cause::Operation { .. } => Some("give parameters other initial values, or keep the operands away from there".to_owned()),
        Cause::DivisionByZero | Cause::Other => None,
    }
}

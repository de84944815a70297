//! Printing and parsing are inverse; errors name the place.

use super::parse;
use crate::base::source::{FileId, Span};
use crate::ir::core::{Atom, CheckInfo, Program, Type, Var, VarInfo};
use crate::ir::generate::{Options, case};
use crate::ir::print::print;
use crate::ir::walk::{Substitution, copy_block, copy_stmts};

/// The program with its variables renamed to fresh ones in the order of their definitions.
fn canonical(program: &Program) -> Program {
    let mut out = program.clone();
    let mut map = Substitution::default();
    for n in 0..out.inputs.len() {
        let old = out.inputs[n].var;
        let info = out.vars[old.0 as usize].clone();
        let var = out.new_var(info.ty, info.name.as_deref());
        map.insert(old, Atom::Var(var));
        out.inputs[n].var = var;
    }
    out.setup = copy_stmts(&mut out, &program.setup, &mut map);
    out.step = copy_block(&mut out, &program.step, &mut map);
    for info in &mut out.vars[..program.vars.len()] {
        *info = VarInfo { ty: Type::INT, name: None, span: None };
    }
    out
}

#[test]
fn parse_after_print_is_the_identity() {
    for seed in 0..500 {
        let options = Options { with_sites: seed % 2 == 0, all_roles: true, ..Options::default() };
        let mut program = case(seed, options).program;
        program.checks.push(CheckInfo {
            message: "said \"so\"\n".to_owned(),
            span: Some(Span { file: FileId(1), start: 4, end: 9 }),
        });
        let text = print(&program);
        let parsed = match parse(&text) {
            Ok(parsed) => parsed,
            Err(e) => panic!("seed {seed}: {e}\n{text}"),
        };
        assert_eq!(print(&parsed), text, "seed {seed}");
        assert_eq!(parsed.vars.len(), program.vars.len(), "seed {seed}");
        assert!(canonical(&parsed) == canonical(&program), "seed {seed}:\n{text}");
    }
}

#[test]
fn constants_read_back_to_the_same_bits() {
    for x in [0.1, -0.0, 1e-310, 1e300, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1.0 / 3.0, 5e-324] {
        let mut program = Program::default();
        program.step.results = vec![Atom::Real(x), Atom::Int(i64::MIN), Atom::Bool(true)];
        program.outputs = vec!["x".to_owned(), "a name".to_owned(), "c".to_owned()];
        assert_eq!(parse(&print(&program)), Ok(program));
    }
}

#[test]
fn names_may_be_written_plainly() {
    let program = parse(
        "data y: real[3]  // observed\n\
         param m: real\n\
         step {\n\
           (v: real) = for i<3 { r: real = read(y, i)\n d: real = sub(r, m)\n q: real = mul(d, d) } yield sum q\n\
         } yield value = v\n",
    )
    .expect("it parses");
    assert_eq!(program.inputs[0].name, "y");
    assert!(crate::ir::validate::validate(&program, crate::ir::validate::Form::Plain).is_empty());
    assert_eq!(program.step.results, [Atom::Var(Var(6))]);
}

#[test]
fn errors_name_line_and_column() {
    let cases = [
        ("step {\n  x: real = add(1.0, y)\n}", (2, 22), "`y` is not defined here"),
        ("step {\n  x: real = frobnicate(1.0)\n}", (2, 13), "`frobnicate` is not an operation"),
        ("step {\n  x: complex = add(1.0, 2.0)\n}", (2, 6), "a type (`real`, `int`, `bool`) expected, `complex` found"),
        ("step {", (1, 7), "a statement or `}` expected, the end of the text found"),
        ("step { x: real = add(1.0, 2.0 }", (1, 31), "`,` or `)` expected, `}` found"),
        ("step { } yield v = 3 4", (1, 22), "the end of the program expected, `4` found"),
        ("data y: real[-1]", (1, 14), "-1 is out of range for an extent"),
        ("step { x: real = add(1.2.3, 1) }", (1, 22), "`1.2.3` is not a number"),
        ("step { \u{e9} }", (1, 8), "unexpected character 'é'"),
        ("check 1 \"a\"", (1, 9), "check 1 stands where check 0 belongs"),
        ("check 0 \"a", (1, 9), "a string is not closed"),
        ("step { (a: real) = for i<2 { } yield mean 1.0 }", (1, 38), "a collector"),
        ("step { (a: real) = loop t<2 (s: real = 0.0) { } }", (1, 49), "loop carries 1 values but has 0 next ones"),
    ];
    for (text, (line, column), message) in cases {
        let Err(e) = parse(text) else { panic!("{text} parses") };
        assert!(e.message.starts_with(message), "{text}: {e}");
        assert_eq!((e.line, e.column), (line, column), "{text}: {e}");
    }
}

#[test]
fn names_end_with_their_region() {
    let inner = "step { (a: real[2]) = for i<2 { b: real = to_real(i) } yield collect b\n c: real = neg(b) }";
    assert_eq!(parse(inner).map_err(|e| e.message), Err("`b` is not defined here".to_owned()));
    let own = "step { a: real = neg(a) }";
    assert!(parse(own).is_err());
}

#[test]
fn no_text_makes_the_parser_panic() {
    let text = print(&case(4, Options { with_sites: true, all_roles: true, ..Options::default() }).program);
    // Cut, and with a piece left out, at many places.
    for at in (0..text.len()).step_by(61).filter(|&at| text.is_char_boundary(at)) {
        let _ = parse(&text[..at]);
        let end = (at + 11).min(text.len());
        let _ = parse(&format!("{}{}", &text[..at], &text[end..]));
    }
    let deep = format!("step {{ {}", "for i<1 { ".repeat(100_000));
    assert_eq!(parse(&deep).map_err(|e| e.message), Err("regions are nested too deeply".to_owned()));
}

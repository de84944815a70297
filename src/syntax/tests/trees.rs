//! Trees of small texts.

use super::{expression, read, shape};
use crate::syntax::print;

fn printed(text: &str) -> String {
    match expression(text) {
        Ok(e) => print::expr(&e),
        Err(d) => format!("{}: {}", d[0].code, d[0].message),
    }
}

#[test]
fn precedence() {
    let same = |a: &str, b: &str| {
        let (a, b) = (expression(a).map(|e| shape(&e)), expression(b).map(|e| shape(&e)));
        assert_eq!(a.expect("reads"), b.expect("reads"));
    };
    same("-x^2", "-(x^2)");
    same("2^-x * y", "(2^(-x)) * y");
    same("a^b^c", "a^(b^c)");
    same("a - b - c", "(a - b) - c");
    same("a * b @ c", "(a * b) @ c");
    same("-a * b", "(-a) * b");
    same("a + b < c * d && !e || f == g", "(((a + b) < (c * d)) && (!e)) || (f == g)");
    same("y ?? v + 1", "y ?? (v + 1)");
    same("a + 1..b - 1", "(a + 1)..(b - 1)");
    same("|x| x + 1", "|x| (x + 1)");
    same("a..=b", "a..b + 1");
    same("if a { 1 } else { 2 } + 3", "(if a { 1 } else { 2 }) + 3");
}

#[test]
fn printed_parentheses_are_the_needed_ones() {
    for text in [
        "(a + b) * c",
        "a - (b - c)",
        "(-a)^2",
        "a^(-b)",
        "(a^b)^c",
        "(|x| x)(1)",
        "f(|x| x, by: || 3)",
        "a[1..n, .., ..k, i + 1..]",
        "{ a: 1, by: { 2 } }",
        "(a..b)[0]",
        "(a < b) == c",
        "for i in 0..n, j in rows while i < 3 { i * j }",
        "std::nn::mlp(x).w.b",
        "continuous if a { 1 } else if b { 2 } else { 3 }",
        "1e-7 * 2.5",
    ] {
        assert_eq!(printed(text), text);
    }
}

#[test]
fn newlines() {
    let count = |text: &str| {
        let (file, diagnostics, _) = read(text);
        assert!(diagnostics.is_empty(), "{diagnostics:#?}");
        file.items.len()
    };
    assert_eq!(count("const a = 1 +\n  2\nconst b = 3; const c = 4"), 3);
    assert_eq!(count("data s: real<lower=0>\ndata k: int<0..=9>\ndata g: real?[3]\n"), 3);
    assert_eq!(count("const a = b >\n 3"), 1);
    assert_eq!(count("fit e\n  over params(q)\n  with adam(0.1)\n  particles: 3"), 1);
    assert_eq!(count("objective o(p: gen)\n  estimates e(p)\n  where exact(p) = 1"), 1);
    assert_eq!(count("model m() {\n x ~ normal(0, 1)\n   by reparam\n let y = if x { 1 }\n else { 2 }\n}"), 1);
}

#[test]
fn words_are_names_where_the_grammar_does_not_ask_for_them() {
    let text =
        "model model(data: real, by: real) {\n  state = 3\n  next ~ normal(by, data)\n  let where = t.in\n  type\n}";
    let (file, diagnostics, _) = read(text);
    assert!(diagnostics.is_empty(), "{diagnostics:#?}");
    assert_eq!(file.items.len(), 1);
}

#[test]
fn documentation_belongs_to_the_item_below() {
    let (file, _, _) = read("// a comment\n/// One.\n///   Two.\nconst θ = 1 // π\n\nconst b = 2");
    assert_eq!(file.items[0].doc, "One.\n  Two.");
    assert_eq!(file.items[1].doc, "");
}

#[test]
fn spans_are_those_of_the_source() {
    let text = "// é\nconst θ_1 = {\n  let α = 2 // x\n  f(α +\n    1)\n}";
    let (file, _, sources) = read(text);
    let crate::syntax::tree::ItemKind::Const { name, value, .. } = &file.items[0].kind else { panic!("a const") };
    assert_eq!(sources.text(name.span), "θ_1");
    let crate::syntax::tree::ExprKind::Block(block) = &value.kind else { panic!("a block") };
    assert_eq!(block.value.as_ref().map(|v| sources.text(v.span)), Some("f(α +\n    1)"));
    assert_eq!(sources.text(block.stmts[0].span), "let α = 2");
}

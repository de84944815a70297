//! Syntax errors: their code, what they say and where.

use super::{expression, read};

/// Code, message and text at the main span of each diagnostic; and how many items were read.
fn errors(text: &str) -> (Vec<(String, String, String)>, usize) {
    let (file, diagnostics, sources) = read(text);
    let list = diagnostics
        .into_iter()
        .map(|d| {
            let at = d.primary.map(|l| sources.text(l.span).to_string()).unwrap_or_default();
            (d.code.to_string(), d.message, at)
        })
        .collect();
    (list, file.items.len())
}

fn one(text: &str) -> (String, String, String) {
    let (mut list, _) = errors(text);
    assert_eq!(list.len(), 1, "{list:#?}");
    list.remove(0)
}

fn triple(a: &str, b: &str, c: &str) -> (String, String, String) {
    (a.to_string(), b.to_string(), c.to_string())
}

#[test]
fn an_error_costs_one_item() {
    let (list, items) =
        errors("const a = 1\nconst b = \nmodel m() {\n  x ~ ~ normal(0, 1)\n}\nconst c = 3\nfit )e\ndata d: int");
    assert_eq!(list.len(), 3, "{list:#?}");
    assert_eq!(items, 3);
}

#[test]
fn an_unclosed_brace_costs_one_item() {
    let (list, items) =
        errors("model m() {\n  x ~ normal(0, 1)\n\nguide q() {\n  x ~ normal(0, 1)\n}\nfit elbo(m(), q())");
    assert_eq!(list, [triple("E0102", "this `{` is never closed", "{")]);
    assert_eq!(items, 2);
}

#[test]
fn messages() {
    assert_eq!(one("data x real"), triple("E0101", "expected `:`, found `real`", "real"));
    assert_eq!(one("const x = 1 + * 2"), triple("E0101", "expected an expression, found `*`", "*"));
    assert_eq!(one("data let: real"), triple("E0106", "`let` is a word of the language, not a name", "let"));
    assert_eq!(one("data x: 3"), triple("E0101", "expected a type, found `3`", "3"));
    assert_eq!(one("modle m() { }"), triple("E0103", "expected an item, found `modle`", "modle"));
    assert_eq!(one("const x = (1]"), triple("E0102", "`]` does not close `(`", "]"));
    assert_eq!(one("const x = \"abc"), triple("E0107", "this text has no closing `\"`", "\"abc"));
    assert_eq!(one("const x = a < b < c"), triple("E0108", "comparisons do not chain", "<"));
    assert_eq!(
        one("const x = 99999999999999999999"),
        triple("E0104", "this number is too large for an int", "99999999999999999999")
    );
    assert_eq!(one("const x = { a: 1, a: 2 }"), triple("E0109", "field `a` is given twice", "a"));
    assert_eq!(one("model m() { f(x) ~ normal(0, 1) }").0, "E0110");
    assert_eq!(one("const x = £"), triple("E0107", "`£` is no character of the language", "£"));
}

#[test]
fn lines_that_follow_a_broken_line_are_not_reported_again() {
    let (list, items) = errors("x = 1\ny = 2\nz = 3\nconst a = 1");
    assert_eq!((list.len(), items), (1, 1));
}

#[test]
fn nesting_is_limited_and_does_not_overflow_the_stack() {
    let deep = |n: usize, open: &str, close: &str| format!("const x = {}1{}", open.repeat(n), close.repeat(n));
    for (open, close) in [
        ("(", ")"),
        ("[", "]"),
        ("{ ", " }"),
        ("f(", ")"),
        ("|x| ", ""),
        ("if a { 1 } else ", " "),
        ("a[", "]"),
        ("{a: ", "}"),
    ] {
        let close_tail = if close == " " { " " } else { close };
        let (list, _) = errors(&deep(100_000, open, close_tail));
        assert!(list.iter().any(|(code, ..)| code == "E0105"), "{open}: {list:?}");
    }
    assert_eq!(errors(&deep(190, "(", ")")), (vec![], 1));
    assert_eq!(errors(&deep(90, "f(1 + ", ")")), (vec![], 1));
    assert_eq!(one(&format!("const x = {}1", "-".repeat(100_000))).0, "E0105");
    assert_eq!(one(&format!("const x = 1{}", " + 1".repeat(100_000))).0, "E0105");
    assert_eq!(one(&format!("data x: real{}", "[1]".repeat(10_000))).0, "E0105");
    assert_eq!(one(&format!("data x: {}real{}", "gen<".repeat(10_000), ">".repeat(10_000))).0, "E0105");
}

#[test]
fn broken_expressions() {
    for text in ["", "1 +", "f(", "a b", "1 2", "x ~ y", ")", "\"", "{ a: }", "..", "let"] {
        assert!(expression(text).is_err(), "{text}");
    }
}

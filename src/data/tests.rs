//! Binding: what is accepted, and what each refusal says.

use super::bind::{Bound, Declaration, Scalar, Shape, bind};
use super::csv::{Columns, read_columns, read_with_header};
use super::raw::RawData;
use super::{json, load};
use crate::base::constraint::Constraint;
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::runtime::executable::{Array, Values};
use std::collections::HashMap;

fn declare(name: &str, scalar: Scalar) -> Declaration {
    Declaration {
        name: name.to_string(),
        span: Span::default(),
        ty: "T".to_string(),
        scalar,
        optional: false,
        has_default: false,
        constraint: Constraint::None,
    }
}

fn from_json(text: &str) -> Result<RawData, Diagnostic> {
    let mut raw = RawData::default();
    json::read("d.json", text, &mut raw).map(|()| raw)
}

fn bind_one(text: &str, declaration: Declaration, shape: Shape) -> Result<Array, Diagnostic> {
    let raw = from_json(text)?;
    let name = declaration.name.clone();
    match bind(&raw, &[declaration], |_, _| Ok(Some(shape.clone()))) {
        Ok(mut all) => Ok(all.remove(&name).expect("bound")),
        Err(mut errors) => Err(errors.remove(0)),
    }
}

fn sizes(sizes: &[usize]) -> Shape {
    Shape { sizes: sizes.to_vec(), ..Shape::default() }
}

fn refused(text: &str, declaration: Declaration, shape: Shape) -> (&'static str, String) {
    let error = bind_one(text, declaration, shape).expect_err("refused");
    (error.code, error.message)
}

#[test]
fn reals_ints_and_bools() {
    let x = bind_one(r#"{"x": [[1, 2.5], [3, "-Inf"]]}"#, declare("x", Scalar::Real), sizes(&[2, 2]));
    assert_eq!(x, Ok(Array::real([2, 2], vec![1.0, 2.5, 3.0, f64::NEG_INFINITY])));
    assert_eq!(bind_one(r#"{"n": 3.0}"#, declare("n", Scalar::Int), sizes(&[])), Ok(Array::int([], vec![3])));
    let b = bind_one(r#"{"b": [true, 0]}"#, declare("b", Scalar::Bool), sizes(&[2]));
    assert_eq!(b.map(|a| a.values), Ok(Values::Bool(vec![true, false])));
    assert_eq!(bind_one(r#"{"x": []}"#, declare("x", Scalar::Real), sizes(&[0, 3])), Ok(Array::real([0, 3], vec![])));
}

#[test]
fn missing_values_need_an_optional_type() {
    let mut optional = declare("y", Scalar::Real);
    optional.optional = true;
    for text in [r#"{"y": [1, null, "NaN"]}"#, r#"{"y": [1, NaN, null]}"#] {
        let Values::Real(list) = bind_one(text, optional.clone(), sizes(&[3])).expect("bound").values else {
            panic!("reals")
        };
        assert!(list[0] == 1.0 && list[1].is_nan() && list[2].is_nan());
        let (code, message) = refused(text, declare("y", Scalar::Real), sizes(&[3]));
        assert_eq!((code, message.as_str()), ("E0507", "`y[1]` is missing (null or NaN)"));
    }
}

#[test]
fn refusals_name_the_variable_and_what_was_found() {
    let real = || declare("x", Scalar::Real);
    let int = || declare("x", Scalar::Int);
    let shape_of = |text, wanted: &[usize]| refused(text, real(), sizes(wanted));
    assert_eq!(shape_of(r#"{"x": [1, 2]}"#, &[3]).1, "data `x` has the wrong shape: expected [3], found [2]");
    assert_eq!(shape_of(r#"{"x": 1}"#, &[3]).1, "data `x` has the wrong shape: expected [3], found a scalar");
    assert_eq!(shape_of(r#"{"x": [[1], [2]]}"#, &[2]).0, "E0504");
    assert_eq!(
        shape_of(r#"{"x": [[1, 2], [3]]}"#, &[2, 2]),
        ("E0508", "data `x` is ragged: row [1] has 1 elements, the rows before it have 2".to_string())
    );
    assert_eq!(shape_of(r#"{"x": [1, [2]]}"#, &[2]).0, "E0508");
    assert_eq!(
        refused(r#"{"x": [1, "a"]}"#, real(), sizes(&[2])),
        ("E0505", "`x[1]` is \"a\", expected a real".to_string())
    );
    assert_eq!(refused(r#"{"x": 1.5}"#, int(), sizes(&[])), ("E0505", "`x` is 1.5, expected an int".to_string()));
    assert_eq!(refused(r#"{"X": 1}"#, real(), sizes(&[])), ("E0503", "data `x` is missing".to_string()));
    let bounded = Shape { sizes: vec![2, 2], lower: Some(Bound::One(0.0)), upper: Some(Bound::One(9.0)) };
    let (code, message) = refused(r#"{"x": [[0, 9], [-1, 3]]}"#, int(), bounded.clone());
    assert_eq!((code, message.as_str()), ("E0506", "`x[1,0]` is -1, expected at least 0"));
    assert_eq!(refused(r#"{"x": [[0, 9.5], [1, 3]]}"#, real(), bounded).1, "`x[0,1]` is 9.5, expected at most 9");
}

#[test]
fn broken_json_gives_line_and_column() {
    let error = from_json("{\n  \"x\": [1, 2,]\n}").expect_err("broken");
    assert_eq!(error.code, "E0502");
    assert!(error.message.starts_with("d.json is not JSON: line 2, column 14"), "{}", error.message);
    assert_eq!(from_json("[1]").expect_err("no object").code, "E0502");
    assert_eq!(from_json("").expect_err("empty").code, "E0502");
}

#[test]
fn sizes_are_evaluated_in_order_and_all_errors_are_reported() {
    let raw = from_json(r#"{"N": 2, "y": [1, 2, 3], "z": [1, 2]}"#).expect("json");
    let list =
        [declare("N", Scalar::Int), declare("y", Scalar::Real), declare("z", Scalar::Real), declare("w", Scalar::Real)];
    let errors = bind(&raw, &list, |d, bound: &HashMap<String, Array>| {
        if d.name == "N" {
            return Ok(Some(Shape::default()));
        }
        let Some(Values::Int(n)) = bound.get("N").map(|a| &a.values) else { return Ok(None) };
        Ok(Some(sizes(&[usize::try_from(n[0]).expect("a size")])))
    })
    .expect_err("two errors");
    assert_eq!(errors.iter().map(|e| e.code).collect::<Vec<_>>(), ["E0504", "E0503"]);
}

#[test]
fn constraints() {
    let check = |constraint, text: &str, wanted: &[usize]| {
        let mut declaration = declare("x", Scalar::Real);
        declaration.constraint = constraint;
        bind_one(text, declaration, sizes(wanted)).map_err(|e| e.message)
    };
    assert!(check(Constraint::Simplex, r#"{"x": [[0.5, 0.5], [0.1, 0.9]]}"#, &[2, 2]).is_ok());
    assert!(check(Constraint::Simplex, r#"{"x": [[0.5, 0.5], [0.1, 0.8]]}"#, &[2, 2]).is_err());
    assert!(check(Constraint::Ordered, r#"{"x": [-1, 2]}"#, &[2]).is_ok());
    assert!(check(Constraint::PositiveOrdered, r#"{"x": [-1, 2]}"#, &[2]).is_err());
    assert!(check(Constraint::CovMatrix, r#"{"x": [[2, 1], [1, 2]]}"#, &[2, 2]).is_ok());
    assert!(check(Constraint::CovMatrix, r#"{"x": [[1, 2], [2, 1]]}"#, &[2, 2]).is_err());
    assert!(check(Constraint::CorrMatrix, r#"{"x": [[1, 0.5], [0.5, 1]]}"#, &[2, 2]).is_ok());
    assert!(check(Constraint::CholeskyCorr, r#"{"x": [[1, 0], [0.6, 0.8]]}"#, &[2, 2]).is_ok());
    assert!(check(Constraint::CholeskyCorr, r#"{"x": [[1, 0], [0.6, 0.9]]}"#, &[2, 2]).is_err());
    assert!(check(Constraint::UnitVector, r#"{"x": [0.6, 0.8]}"#, &[2]).is_ok());
}

#[test]
fn csv_with_a_header() {
    let mut raw = RawData::default();
    read_with_header("d.csv", "x[0], x[1], y\n1, 2, 3\n4, 5, NA\n", &mut raw).expect("reads");
    assert_eq!(raw.names(), ["x", "y"]);
    let mut y = declare("y", Scalar::Real);
    y.optional = true;
    let all =
        bind(&raw, &[declare("x", Scalar::Int), y], |d, _| Ok(Some(sizes(if d.name == "x" { &[2, 2] } else { &[2] }))))
            .expect("binds");
    assert_eq!(all["x"], Array::int([2, 2], vec![1, 2, 4, 5]));
    let broken = |text: &str| read_with_header("d.csv", text, &mut RawData::default()).expect_err("broken");
    assert!(broken("x,y\n1,2\n3\n").message.contains("line 3"), "{}", broken("x,y\n1,2\n3\n").message);
    assert_eq!(broken("1,2\n3,4\n").code, "E0509");
    assert_eq!(broken("x,x\n3,4\n").code, "E0509");
    assert_eq!(broken("").code, "E0509");
}

#[test]
fn csv_by_columns() {
    let columns = |name: &str, range| Columns { name: name.to_string(), range: Some(range) };
    let mut raw = RawData::default();
    read_columns("d.csv", "1,2,3\n4,5,6\n", &[columns("X", (1, 2)), columns("y", (3, 3))], &mut raw).expect("reads");
    let all = bind(&raw, &[declare("X", Scalar::Real), declare("y", Scalar::Real)], |d, _| {
        Ok(Some(sizes(if d.name == "X" { &[2, 2] } else { &[2, 1] })))
    })
    .expect("binds");
    assert_eq!(all["X"], Array::real([2, 2], vec![1.0, 2.0, 4.0, 5.0]));
    assert_eq!(all["y"], Array::real([2, 1], vec![3.0, 6.0]));
    let error = read_columns("d.csv", "1,2\n", &[columns("X", (1, 3))], &mut RawData::default()).expect_err("too far");
    assert_eq!(error.code, "E0510");
}

#[test]
fn what_the_command_line_names() {
    let raw = load(&["N=442".to_string(), "rate=1e-3".to_string()]).expect("numbers");
    assert_eq!(raw.names(), ["N", "rate"]);
    let codes = |given: &[&str]| {
        let given: Vec<String> = given.iter().map(|s| (*s).to_string()).collect();
        load(&given).expect_err("refused").iter().map(|e| e.code).collect::<Vec<_>>()
    };
    assert_eq!(
        codes(&["none.json", "N=1", "N=2", "X,y=none.csv:1", "X=none.csv:1-"]),
        ["E0501", "E0511", "E0510", "E0510"]
    );
}

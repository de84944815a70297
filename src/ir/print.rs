//! Core's text form, printed. Variables are numbered in order of definition and carry their hint (`eta.12`, or `%12`
//! without one), so the text does not depend on how the table of variables came to be; [`super::parse`] reads it back
//! to the same program up to that numbering.
//!
//! One statement a line; regions are indented; every definition shows its type:
//! `(v.3: real) = for i.4<8 strip 0 { … } yield sum %9`.

use super::core::{
    Atom, Block, Collector, Contract, ContractKind, Draw, For, If, Loop, Prim, Program, Role, Sample, Scalar, Stmt,
    Type, Var,
};
use super::validate::prim_name;
use std::fmt::Write as _;

/// The program as text.
pub fn print(program: &Program) -> String {
    let mut p = Printer { program, numbers: vec![None; program.vars.len()], next: 0, out: String::new(), indent: 0 };
    p.program();
    p.out
}

/// `real`, `int[3,4]`.
pub fn describe_type(ty: &Type) -> String {
    let scalar = match ty.scalar {
        Scalar::Real => "real",
        Scalar::Int => "int",
        Scalar::Bool => "bool",
    };
    if ty.shape.is_empty() { scalar.to_owned() } else { format!("{scalar}{}", extents(&ty.shape)) }
}

fn extents(shape: &[usize]) -> String {
    let list: Vec<String> = shape.iter().map(usize::to_string).collect();
    format!("[{}]", list.join(","))
}

/// Shortest text that reads back to the same number; `inf`, `-inf`, `nan`.
pub(super) fn real(x: f64) -> String {
    if x.is_nan() { "nan".to_owned() } else { format!("{x:?}") }
}

/// A hint as it may stand in a name.
fn hint(name: &str) -> String {
    let mut out: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if !out.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        out.insert(0, '_');
    }
    out
}

/// A string literal.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// An output's name: bare if it is an identifier.
fn output_name(name: &str) -> String {
    let bare = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if bare { name.to_owned() } else { quoted(name) }
}

struct Printer<'a> {
    program: &'a Program,
    numbers: Vec<Option<u32>>,
    next: u32,
    out: String,
    indent: usize,
}

impl Printer<'_> {
    fn line(&mut self, text: &str) {
        for _ in 0..self.indent {
            self.out.push_str("  ");
        }
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn program(&mut self) {
        for input in &self.program.inputs {
            let role = match input.role {
                Role::Data => "data",
                Role::Param => "param",
                Role::Tuned => "tuned",
                Role::State => "state",
            };
            let same =
                self.program.vars.get(input.var.0 as usize).and_then(|i| i.name.as_deref()) == Some(&*input.name);
            let definition = self.definition(input.var);
            let name = if same && hint(&input.name) == input.name {
                String::new()
            } else {
                format!(" as {}", quoted(&input.name))
            };
            self.line(&format!("{role} {definition}{name}"));
        }
        for (n, check) in self.program.checks.iter().enumerate() {
            let span = check.span.map_or(String::new(), |s| format!(" at {}:{}:{}", s.file.0, s.start, s.end));
            self.line(&format!("check {n} {}{span}", quoted(&check.message)));
        }
        if !self.program.setup.is_empty() {
            self.line("setup {");
            self.stmts(&self.program.setup);
            self.line("}");
        }
        self.line("step {");
        self.stmts(&self.program.step.stmts);
        let results = self.program.step.results.iter().enumerate().map(|(n, &a)| {
            let name = self.program.outputs.get(n).map_or("_", |s| s.as_str());
            format!("{} = {}", output_name(name), self.atom(a))
        });
        let results: Vec<String> = results.collect();
        let yields = if results.is_empty() { String::new() } else { format!(" yield {}", results.join(", ")) };
        self.line(&format!("}}{yields}"));
    }

    fn stmts(&mut self, stmts: &[Stmt]) {
        self.indent += 1;
        for s in stmts {
            self.stmt(s);
        }
        self.indent -= 1;
    }

    /// Numbers the variable if it is new; its name.
    fn define(&mut self, var: Var) -> String {
        if let Some(slot) = self.numbers.get_mut(var.0 as usize)
            && slot.is_none()
        {
            *slot = Some(self.next);
            self.next += 1;
        }
        self.name(var)
    }

    fn name(&self, var: Var) -> String {
        let number = match self.numbers.get(var.0 as usize) {
            Some(Some(n)) => n.to_string(),
            // Only in programs that are not valid.
            _ => return format!("%undefined_{}", var.0),
        };
        match self.program.vars.get(var.0 as usize).and_then(|i| i.name.as_deref()) {
            Some(name) => format!("{}.{number}", hint(name)),
            None => format!("%{number}"),
        }
    }

    fn definition(&mut self, var: Var) -> String {
        let name = self.define(var);
        let ty = self.program.vars.get(var.0 as usize).map_or_else(|| "unknown".to_owned(), |i| describe_type(&i.ty));
        format!("{name}: {ty}")
    }

    fn atom(&self, atom: Atom) -> String {
        match atom {
            Atom::Var(v) => self.name(v),
            Atom::Real(x) => real(x),
            Atom::Int(i) => i.to_string(),
            Atom::Bool(b) => b.to_string(),
        }
    }

    fn atoms(&self, atoms: &[Atom]) -> String {
        let list: Vec<String> = atoms.iter().map(|&a| self.atom(a)).collect();
        list.join(", ")
    }

    /// `(a: real, b: int) = `, or nothing. Numbers the results, so operands and regions must have been printed before.
    fn results(&mut self, results: &[Var]) -> String {
        if results.is_empty() {
            return String::new();
        }
        let list: Vec<String> = results.iter().map(|&v| self.definition(v)).collect();
        format!("({}) = ", list.join(", "))
    }

    fn stmt(&mut self, stmt: &Stmt) {
        let text = match stmt {
            Stmt::Op { result, op, args } => {
                let args = self.atoms(args);
                let result = self.definition(*result);
                format!("{result} = {}({args})", op.name())
            }
            Stmt::For(f) => return self.for_(f),
            Stmt::Loop(l) => return self.loop_(l),
            Stmt::If(i) => return self.if_(i),
            Stmt::Contract(c) => self.contract(c),
            Stmt::Array { results, prim, args } => {
                let args = self.atoms(args);
                let attributes = prim_attributes(prim);
                let definitions = match results.as_slice() {
                    [one] => format!("{} = ", self.definition(*one)),
                    many => self.results(many),
                };
                format!("{definitions}{}{attributes}({args})", prim_name(prim))
            }
            Stmt::Draw(d) => self.draw(d),
            Stmt::Check { ok, check } => format!("check {check} {}", self.atom(*ok)),
            Stmt::Sample(s) => self.sample(s),
            Stmt::Term(a) => format!("term {}", self.atom(*a)),
        };
        self.line(&text);
    }

    fn for_(&mut self, f: &For) {
        let results = self.results(&f.results);
        let indices: Vec<String> = f.indices.iter().map(|&(v, n)| format!("{}<{n}", self.define(v))).collect();
        let strip = f.strip.map_or(String::new(), |k| format!(" strip {k}"));
        self.line(&format!("{results}for {}{strip} {{", indices.join(", ")));
        self.stmts(&f.body.stmts);
        let yields = self.yields(&f.collectors, &f.body.results);
        self.line(&format!("}}{yields}"));
    }

    fn yields(&self, collectors: &[Collector], values: &[Atom]) -> String {
        let mut out = String::new();
        for (n, (c, &value)) in collectors.iter().zip(values).enumerate() {
            out.push_str(if n == 0 { " yield " } else { ", " });
            match c {
                Collector::Collect => out.push_str("collect"),
                Collector::Sum { keep } if keep.is_empty() => out.push_str("sum"),
                Collector::Sum { keep } => {
                    let _ = write!(out, "sum{}", extents(keep));
                }
                Collector::Max => out.push_str("max"),
                Collector::Min => out.push_str("min"),
                Collector::All => out.push_str("all"),
                Collector::SumAt { index, shape } => {
                    let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
                    let _ = write!(out, "sum_at[{}; {}]", self.atoms(index), shape.join(","));
                }
            }
            let _ = write!(out, " {}", self.atom(value));
        }
        out
    }

    fn loop_(&mut self, l: &Loop) {
        let inits: Vec<String> = l.carried.iter().map(|&(_, a)| self.atom(a)).collect();
        let results = self.results(&l.results);
        let index = self.define(l.index);
        let carried: Vec<String> =
            l.carried.iter().zip(inits).map(|(&(v, _), a)| format!("{} = {a}", self.definition(v))).collect();
        let reverse = if l.reverse { " reverse" } else { "" };
        self.line(&format!("{results}loop {index}<{}{reverse} ({}) {{", l.extent, carried.join(", ")));
        self.stmts(&l.body.stmts);
        let split = l.carried.len().min(l.body.results.len());
        let (next, values) = l.body.results.split_at(split);
        let next = if next.is_empty() { String::new() } else { format!(" next {}", self.atoms(next)) };
        let yields = self.yields(&l.collectors, values);
        self.line(&format!("}}{next}{yields}"));
    }

    fn if_(&mut self, i: &If) {
        let results = self.results(&i.results);
        self.line(&format!("{results}if {} {{", self.atom(i.condition)));
        self.stmts(&i.then.stmts);
        let then = self.side(&i.then);
        self.line(&format!("}}{then} else {{"));
        self.stmts(&i.otherwise.stmts);
        let otherwise = self.side(&i.otherwise);
        self.line(&format!("}}{otherwise}"));
    }

    fn side(&self, block: &Block) -> String {
        if block.results.is_empty() { String::new() } else { format!(" yield {}", self.atoms(&block.results)) }
    }

    fn contract(&mut self, c: &Contract) -> String {
        let spec = format!("{},{}->{}", labels(&c.a_labels), labels(&c.b_labels), labels(&c.out));
        let (a, b) = (self.atom(c.a), self.atom(c.b));
        let kind = match c.kind {
            None => "",
            Some(ContractKind::Loops) => " loops",
            Some(ContractKind::Rows) => " rows",
            Some(ContractKind::Gemm) => " gemm",
        };
        format!("{} = contract{{{spec}}}({a}, {b}){kind}", self.definition(c.result))
    }

    fn index(&self, index: &[(Atom, usize)]) -> String {
        if index.is_empty() {
            return String::new();
        }
        let list: Vec<String> = index.iter().map(|&(a, n)| format!("{} of {n}", self.atom(a))).collect();
        format!(" index ({})", list.join(", "))
    }

    fn draw(&mut self, d: &Draw) -> String {
        let noise = d.noise.name();
        let args = self.atoms(&d.args);
        let index = self.index(&d.index);
        let mirror = d.mirror.map_or(String::new(), |m| format!(" mirror {}", self.atom(m)));
        format!("{} = draw {noise}({args}) site {}{index}{mirror}", self.definition(d.result), d.site)
    }

    fn sample(&mut self, s: &Sample) -> String {
        let args = self.atoms(&s.args);
        let index = self.index(&s.index);
        format!("{}sample {} entry {} ({args}){index}", self.results(&s.results), s.site, s.entry)
    }
}

fn labels(labels: &[u8]) -> String {
    labels.iter().map(|&l| if l.is_ascii_alphabetic() { (l as char).to_string() } else { format!("<{l}>") }).collect()
}

fn prim_attributes(prim: &Prim) -> String {
    match prim {
        Prim::Cholesky | Prim::SolveLower { .. } | Prim::CumSum { .. } | Prim::Stack | Prim::Sort => String::new(),
        Prim::Concat { axis } => format!("[{axis}]"),
        Prim::Reshape { shape } | Prim::Fill { shape } => extents(shape),
        Prim::Subset { of, take, plate } => format!("[{of}, {take}, {plate}]"),
        Prim::Const { data, ty } => {
            let list: Vec<String> = data
                .iter()
                .map(|&x| match ty.scalar {
                    Scalar::Int if x.fract() == 0.0 && x.abs() < 1e18 => (x as i64).to_string(),
                    Scalar::Bool if x == 0.0 => "false".to_owned(),
                    Scalar::Bool if x == 1.0 => "true".to_owned(),
                    Scalar::Real | Scalar::Int | Scalar::Bool => real(x),
                })
                .collect();
            format!("[{}]", list.join(", "))
        }
    }
}

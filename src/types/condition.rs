//! Conditions under which addresses are present: formulas over comparisons of addresses, arguments, data and indices, in a
//! normal form; whether some imply another ([`Checker::implied`]).
//!
//! A presence is written over places of its address' indices: [`place`]`(0)` is the first index. The decision is sound and
//! incomplete: ints with few values are tried exhaustively, other comparisons are taken for independent.

use super::context::Checker;
use super::poly::{Poly, normal};
use super::value::{Base, Num, Val};
use std::collections::BTreeSet;
use std::rc::Rc;

#[derive(Clone, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum Condition {
    Constant(bool),
    Test(Rc<Test>),
    Not(Rc<Condition>),
    All(Vec<Condition>),
    Any(Vec<Condition>),
}

/// What is not taken apart. The first coefficient of each polynomial is positive.
#[derive(Clone, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum Test {
    Zero(Expression),
    Negative(Expression),
    NotPositive(Expression),
    /// A bool.
    Holds(Expression),
    /// A loop `while c` reaches its iteration `at`: `c`, over [`ITERATION`], held from `from` on.
    Reached {
        condition: Condition,
        from: Expression,
        at: Expression,
    },
}

/// A polynomial with an order, by its text.
#[derive(Clone, Debug)]
pub struct Expression(pub Poly);

impl PartialEq for Expression {
    fn eq(&self, other: &Expression) -> bool {
        self.0 == other.0
    }
}
impl Eq for Expression {}
impl PartialOrd for Expression {
    fn partial_cmp(&self, other: &Expression) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Expression {
    fn cmp(&self, other: &Expression) -> std::cmp::Ordering {
        self.0.print().cmp(&other.0.print())
    }
}

/// The index of a `while` loop in its own condition.
pub const ITERATION: &str = "t#0";

/// The index of an address at a position.
pub fn place(k: usize) -> String {
    match ["i", "j", "k", "l", "m", "n"].get(k) {
        Some(name) => format!("{name}#0"),
        None => format!("i{k}#0"),
    }
}

/// Assignments that are tried at most.
const TRIED: usize = 1 << 14;
/// Iterations of loops that are followed back.
const FOLLOWED: usize = 12;
/// Ints with more values are not tried one by one.
const VALUES: f64 = 32.0;

impl Condition {
    pub const TRUE: Condition = Condition::Constant(true);
    pub const FALSE: Condition = Condition::Constant(false);

    pub fn is_true(&self) -> bool {
        *self == Condition::TRUE
    }

    #[must_use]
    pub fn not(&self) -> Condition {
        match self {
            Condition::Constant(c) => Condition::Constant(!c),
            Condition::Not(inner) => (**inner).clone(),
            other => Condition::Not(Rc::new(other.clone())),
        }
    }

    pub fn all(parts: impl IntoIterator<Item = Condition>) -> Condition {
        let mut out = Vec::new();
        for part in parts {
            match part {
                Condition::Constant(true) => {}
                Condition::Constant(false) => return Condition::FALSE,
                Condition::All(inner) => out.extend(inner),
                other => out.push(other),
            }
        }
        out.sort();
        out.dedup();
        match out.len() {
            0 => Condition::TRUE,
            1 => out.remove(0),
            _ => Condition::All(out),
        }
    }

    pub fn any(parts: impl IntoIterator<Item = Condition>) -> Condition {
        let mut out = Vec::new();
        for part in parts {
            match part {
                Condition::Constant(false) => {}
                Condition::Constant(true) => return Condition::TRUE,
                Condition::Any(inner) => out.extend(inner),
                other => out.push(other),
            }
        }
        out.sort();
        out.dedup();
        match out.len() {
            0 => Condition::FALSE,
            1 => out.remove(0),
            _ => Condition::Any(out),
        }
    }

    /// `poly == 0`
    pub fn zero(poly: &Poly) -> Condition {
        match poly.as_constant() {
            Some(c) => Condition::Constant(c == 0.0),
            None => {
                let poly = if leads_negative(poly) { poly.scale(-1.0) } else { poly.clone() };
                Condition::Test(Rc::new(Test::Zero(Expression(poly))))
            }
        }
    }

    /// `poly < 0`; `whole`: of ints.
    pub fn negative(poly: &Poly, whole: bool) -> Condition {
        match (poly.as_constant(), leads_negative(poly)) {
            (Some(c), _) => Condition::Constant(c < 0.0),
            (None, false) => Condition::Test(Rc::new(Test::Negative(Expression(poly.clone())))),
            // -q < 0 is not q <= 0, and for ints not q < 1.
            (None, true) => {
                let q = poly.scale(-1.0);
                let test =
                    if whole { Test::Negative(Expression(q.plus(-1.0))) } else { Test::NotPositive(Expression(q)) };
                Condition::Test(Rc::new(test)).not()
            }
        }
    }

    /// `poly <= 0`
    pub fn not_positive(poly: &Poly, whole: bool) -> Condition {
        Condition::negative(&poly.scale(-1.0), whole).not()
    }

    pub fn holds(poly: &Poly) -> Condition {
        Condition::Test(Rc::new(Test::Holds(Expression(poly.clone()))))
    }

    pub fn reached(condition: &Condition, from: &Poly, at: &Poly) -> Condition {
        if condition.is_true() {
            return Condition::TRUE;
        }
        Condition::Test(Rc::new(Test::Reached {
            condition: condition.clone(),
            from: Expression(from.clone()),
            at: Expression(at.clone()),
        }))
    }

    /// True if it mentions what has no expression.
    pub fn is_opaque(&self) -> bool {
        mentioned(self).iter().any(|a| a.contains('?'))
    }

    /// Every polynomial replaced.
    #[must_use]
    pub fn map(&self, f: &dyn Fn(&Poly) -> Poly) -> Condition {
        match self {
            Condition::Constant(c) => Condition::Constant(*c),
            Condition::Not(inner) => inner.map(f).not(),
            Condition::All(parts) => Condition::all(parts.iter().map(|p| p.map(f))),
            Condition::Any(parts) => Condition::any(parts.iter().map(|p| p.map(f))),
            Condition::Test(test) => match &**test {
                Test::Zero(e) => Condition::zero(&f(&e.0)),
                Test::Negative(e) => Condition::negative(&f(&e.0), true),
                Test::NotPositive(e) => Condition::not_positive(&f(&e.0), false),
                Test::Holds(e) => Condition::holds(&f(&e.0)),
                Test::Reached { condition, from, at } => Condition::reached(&condition.map(f), &f(&from.0), &f(&at.0)),
            },
        }
    }

    /// With an atom replaced, also inside the texts of others.
    #[must_use]
    pub fn substitute(&self, atom: &str, by: &Poly) -> Condition {
        self.map(&|p| normal(&p.substitute(atom, by)))
    }

    /// Its places filled with these indices; the places behind move up.
    #[must_use]
    pub fn at(&self, indices: &[Poly], arity: usize) -> Condition {
        if *self == Condition::TRUE {
            return Condition::TRUE;
        }
        // In two steps, as the indices may hold places themselves.
        let hidden = |k: usize| format!("h{k}#0");
        let mut out = self.clone();
        for k in 0..arity {
            out = out.substitute(&place(k), &Poly::atom(&hidden(k)));
        }
        for k in 0..arity {
            let by = indices.get(k).cloned().unwrap_or_else(|| Poly::atom(&place(k - indices.len())));
            out = out.substitute(&hidden(k), &by);
        }
        out
    }

    /// Its places moved down, under `by` new leading indices.
    #[must_use]
    pub fn under(&self, by: usize, arity: usize) -> Condition {
        let moved: Vec<Poly> = (0..arity).map(|k| Poly::atom(&place(k + by))).collect();
        self.at(&moved, arity)
    }

    fn tests<'c>(&'c self, into: &mut Vec<&'c Rc<Test>>) {
        match self {
            Condition::Constant(_) => {}
            Condition::Test(t) => {
                if !into.contains(&t) {
                    into.push(t);
                }
            }
            Condition::Not(inner) => inner.tests(into),
            Condition::All(parts) | Condition::Any(parts) => parts.iter().for_each(|p| p.tests(into)),
        }
    }

    fn value(&self, truth: &dyn Fn(&Rc<Test>) -> bool) -> bool {
        match self {
            Condition::Constant(c) => *c,
            Condition::Test(t) => truth(t),
            Condition::Not(inner) => !inner.value(truth),
            Condition::All(parts) => parts.iter().all(|p| p.value(truth)),
            Condition::Any(parts) => parts.iter().any(|p| p.value(truth)),
        }
    }

    /// With its word: `if k == 1`, `always`.
    pub fn clause(&self) -> String {
        let text = self.source();
        match self {
            Condition::Constant(_) => text,
            _ if self.is_opaque() => {
                "under a condition that is no comparison of addresses, arguments and data".to_owned()
            }
            _ if text.starts_with("as long as") => text,
            _ => format!("if {text}"),
        }
    }

    /// As source text.
    pub fn source(&self) -> String {
        match self {
            Condition::Constant(true) => "always".to_owned(),
            Condition::Constant(false) => "never".to_owned(),
            Condition::Test(t) => t.source(false),
            Condition::Not(inner) => match &**inner {
                Condition::Test(t) => t.source(true),
                Condition::All(parts) => parts.iter().map(|p| p.not().within()).collect::<Vec<_>>().join(" || "),
                Condition::Any(parts) => parts.iter().map(|p| p.not().within()).collect::<Vec<_>>().join(" && "),
                other => format!("!({})", other.source()),
            },
            Condition::All(parts) => parts.iter().map(Condition::within).collect::<Vec<_>>().join(" && "),
            Condition::Any(parts) => parts.iter().map(Condition::within).collect::<Vec<_>>().join(" || "),
        }
    }

    fn within(&self) -> String {
        let text = self.source();
        if text.contains(" && ") || text.contains(" || ") { format!("({text})") } else { text }
    }
}

impl Test {
    fn polys(&self) -> Vec<&Poly> {
        match self {
            Test::Zero(e) | Test::Negative(e) | Test::NotPositive(e) => vec![&e.0],
            Test::Holds(_) | Test::Reached { .. } => Vec::new(),
        }
    }

    fn source(&self, negated: bool) -> String {
        // Positive terms stand left of the comparison, the others right.
        let compare = |e: &Expression, op: &str| {
            let (mut left, mut right, mut constant) = (Poly::default(), Poly::default(), 0.0);
            for (monomial, c) in e.0.terms() {
                if monomial.is_empty() {
                    constant = c;
                    continue;
                }
                let part = monomial.iter().fold(Poly::constant(c.abs()), |p, atom| p.mul(&Poly::atom(atom)));
                let side = if c > 0.0 { &mut left } else { &mut right };
                *side = side.add(&part);
            }
            if constant > 0.0 && !right.is_zero() {
                left = left.plus(constant);
            } else {
                right = right.plus(-constant);
            }
            format!("{} {op} {}", left.source(), right.source())
        };
        match self {
            Test::Zero(e) => compare(e, if negated { "!=" } else { "==" }),
            Test::Negative(e) => compare(e, if negated { ">=" } else { "<" }),
            Test::NotPositive(e) => compare(e, if negated { ">" } else { "<=" }),
            Test::Holds(e) => format!("{}{}", if negated { "!" } else { "" }, e.0.source()),
            Test::Reached { condition, at, .. } => {
                let text = condition.source();
                let text = if negated { format!("not as long as {text}") } else { format!("as long as {text}") };
                if at.0.as_atom().is_some() { text } else { format!("{text}, up to {}", at.0.source()) }
            }
        }
    }
}

fn leads_negative(poly: &Poly) -> bool {
    poly.terms().find(|(m, _)| !m.is_empty()).is_some_and(|(_, c)| c < 0.0)
}

/// A variable of the search.
struct Variable<'c> {
    from: i64,
    count: usize,
    of: Subject<'c>,
}

enum Subject<'c> {
    Atom(String),
    Test(&'c Rc<Test>),
}

impl Checker {
    /// What is known where the checker stands, of the present generative function alone or of all.
    pub fn present_condition(&self) -> Condition {
        let base = self.runs.last().map_or(0, |r| r.guards);
        Condition::all(self.guards.get(base..).unwrap_or_default().iter().cloned())
    }

    /// When a bool is true.
    pub fn condition_of(&mut self, n: &Num) -> Condition {
        match &n.test {
            Some(test) => (**test).clone(),
            None => Condition::holds(&self.sym(n)),
        }
    }

    pub fn value_condition(&mut self, value: &Val) -> Condition {
        match value {
            Val::Num(n) => self.condition_of(n),
            _ => Condition::holds(&self.opaque()),
        }
    }

    /// Keeps what is known of the values of an int that conditions mention.
    pub fn note_values(&mut self, n: &Num) {
        let (Some(atom), Base::Int) = (n.sym.as_ref().and_then(Poly::as_atom), n.base) else { return };
        let edge = |e: Option<super::value::Edge>| e.and_then(|e| e.value.as_constant());
        let (Some(low), Some(high)) = (edge(n.support.lower()), edge(n.support.upper())) else { return };
        let every = any_element(atom);
        self.ranges.entry(atom.to_owned()).or_insert((low, high));
        if let Some(every) = every {
            let range = self.ranges.entry(every).or_insert((low, high));
            *range = (range.0.min(low), range.1.max(high));
        }
    }

    /// True if `wanted` is proved to hold where the checker stands.
    pub fn guaranteed(&self, wanted: &Condition) -> bool {
        self.implied(&self.guards, wanted)
    }

    pub fn equivalent(&self, a: &Condition, b: &Condition) -> bool {
        a == b || (self.implied(&with(&self.guards, a), b) && self.implied(&with(&self.guards, b), a))
    }

    /// True if the conditions `known` are proved to imply `wanted`.
    pub fn implied(&self, known: &[Condition], wanted: &Condition) -> bool {
        if wanted.is_true() || known.iter().any(|k| k == wanted || *k == Condition::FALSE) {
            return true;
        }
        if let Condition::All(parts) = wanted {
            return parts.iter().all(|p| self.implied(known, p));
        }
        let mut facts: Vec<Condition> = Vec::new();
        for fact in known {
            match fact {
                Condition::All(parts) => facts.extend(parts.iter().cloned()),
                other => facts.push(other.clone()),
            }
        }
        if facts.contains(wanted) {
            return true;
        }
        let mut done = Vec::new();
        loop {
            if self.follows(&facts, wanted) {
                return true;
            }
            if done.len() > FOLLOWED || !reaching(&mut facts, wanted, &mut done) {
                return false;
            }
        }
    }

    fn follows(&self, facts: &[Condition], wanted: &Condition) -> bool {
        // Only what bears upon the question.
        let mut names = mentioned(wanted);
        let mut used = vec![false; facts.len()];
        loop {
            let mut changed = false;
            for (k, fact) in facts.iter().enumerate() {
                let own = mentioned(fact);
                if !used[k] && !own.is_disjoint(&names) {
                    used[k] = true;
                    changed = true;
                    names.extend(own);
                }
            }
            if !changed {
                break;
            }
        }
        let facts: Vec<&Condition> = facts.iter().zip(&used).filter(|(_, u)| **u).map(|(f, _)| f).collect();
        let mut tests: Vec<&Rc<Test>> = Vec::new();
        wanted.tests(&mut tests);
        facts.iter().for_each(|f| f.tests(&mut tests));
        let variables = self.variables(&tests);
        let total = variables.iter().fold(1_usize, |n, v| n.saturating_mul(v.count));
        if total > TRIED {
            return false;
        }
        (0..total).all(|number| {
            let mut rest = number;
            let mut values: Vec<i64> = Vec::with_capacity(variables.len());
            for v in &variables {
                values.push(v.from + i64::try_from(rest % v.count).unwrap_or(0));
                rest /= v.count;
            }
            let truth = |t: &Rc<Test>| truth(t, &variables, &values);
            !facts.iter().all(|f| f.value(&truth)) || wanted.value(&truth)
        })
    }

    /// Ints with few values, and the tests that are not about those alone.
    fn variables<'c>(&self, tests: &[&'c Rc<Test>]) -> Vec<Variable<'c>> {
        let mut out: Vec<Variable<'c>> = Vec::new();
        for &test in tests {
            let polys = test.polys();
            let atoms: BTreeSet<&str> = polys.iter().flat_map(|p| p.atoms()).collect();
            let ranges: Option<Vec<(i64, usize)>> = atoms.iter().map(|a| self.few_values(a)).collect();
            let decided = !polys.is_empty();
            match ranges.filter(|_| decided) {
                Some(ranges) => {
                    for (atom, (from, count)) in atoms.into_iter().zip(ranges) {
                        if !out.iter().any(|v| matches!(&v.of, Subject::Atom(a) if a == atom)) {
                            out.push(Variable { from, count, of: Subject::Atom(atom.to_owned()) });
                        }
                    }
                }
                None => out.push(Variable { from: 0, count: 2, of: Subject::Test(test) }),
            }
        }
        out
    }

    fn few_values(&self, atom: &str) -> Option<(i64, usize)> {
        let (low, high) = match self.ranges.get(atom) {
            Some(range) => *range,
            None => *self.ranges.get(&any_element(atom)?)?,
        };
        let count = high - low + 1.0;
        if !(low.is_finite() && low.fract() == 0.0 && (1.0..=VALUES).contains(&count)) {
            return None;
        }
        Some((low as i64, count as usize))
    }
}

/// The name under which the range of all elements of an array is known: `x[*]` for `x[i, j]`.
pub fn any_element(atom: &str) -> Option<String> {
    atom.split_once('[').map(|(head, _)| format!("{head}[*]"))
}

fn with(guards: &[Condition], more: &Condition) -> Vec<Condition> {
    guards.iter().chain([more]).cloned().collect()
}

fn truth(test: &Rc<Test>, variables: &[Variable<'_>], values: &[i64]) -> bool {
    let own = variables.iter().zip(values).find(|(v, _)| matches!(&v.of, Subject::Test(t) if *t == test));
    if let Some((_, value)) = own {
        return *value == 1;
    }
    let evaluate = |p: &Poly| {
        p.terms().fold(0.0, |sum, (monomial, c)| {
            sum + monomial.iter().fold(c, |product, atom| {
                let value = variables
                    .iter()
                    .zip(values)
                    .find(|(v, _)| matches!(&v.of, Subject::Atom(a) if **a == **atom))
                    .map_or(0, |(_, x)| *x);
                let value = value as f64;
                product * value
            })
        })
    };
    match &**test {
        Test::Zero(e) => evaluate(&e.0) == 0.0,
        Test::Negative(e) => evaluate(&e.0) < 0.0,
        Test::NotPositive(e) => evaluate(&e.0) <= 0.0,
        Test::Holds(_) | Test::Reached { .. } => false,
    }
}

/// Adds what follows from how loops stop: an iteration is reached if the one before was and the condition holds.
/// False if there is nothing new.
fn reaching(facts: &mut Vec<Condition>, wanted: &Condition, done: &mut Vec<Rc<Test>>) -> bool {
    let mut tests = Vec::new();
    wanted.tests(&mut tests);
    facts.iter().for_each(|f| f.tests(&mut tests));
    let fresh: Vec<Rc<Test>> =
        tests.into_iter().filter(|t| matches!(***t, Test::Reached { .. }) && !done.contains(t)).cloned().collect();
    if fresh.is_empty() {
        return false;
    }
    for test in fresh {
        if let Test::Reached { condition, from, at } = &*test {
            let here = condition.substitute(ITERATION, &at.0);
            let first = Condition::zero(&at.0.sub(&from.0));
            let before = Condition::reached(condition, &from.0, &at.0.plus(-1.0));
            let reached = Condition::all([here, Condition::any([first, before])]);
            let own = Condition::Test(test.clone());
            facts.push(Condition::any([own.not(), reached.clone()]));
            facts.push(Condition::any([own, reached.not()]));
        }
        done.push(test);
    }
    true
}

/// Texts of the atoms and tests of a condition.
fn mentioned(condition: &Condition) -> BTreeSet<String> {
    let mut tests = Vec::new();
    condition.tests(&mut tests);
    let mut out = BTreeSet::new();
    for test in tests {
        match &**test {
            Test::Zero(e) | Test::Negative(e) | Test::NotPositive(e) => {
                out.extend(e.0.atoms().map(str::to_owned));
            }
            Test::Holds(e) => {
                out.insert(e.0.print());
            }
            Test::Reached { .. } => {
                out.insert(format!("{test:?}"));
            }
        }
    }
    out
}

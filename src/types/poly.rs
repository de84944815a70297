//! Polynomials in named quantities: the normal form of sizes, bounds and integer expressions.
//!
//! An atom is the text of what it stands for (`J`, `start[g#3]`, `exp(m)`). Marks in it are private to checking: `#n` a loop
//! variable, `@n` an address of one run, `@r` a field of a record type, `?n` a quantity without an expression, `[*]` any
//! element. [`Poly::source`] removes the first three.

use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, PartialEq, Debug, Default)]
pub struct Poly {
    /// Monomial (sorted atoms; empty: the constant) to coefficient; no zero coefficients.
    terms: BTreeMap<Vec<Arc<str>>, f64>,
}

impl Poly {
    pub fn constant(value: f64) -> Poly {
        let mut terms = BTreeMap::new();
        if value != 0.0 {
            terms.insert(Vec::new(), value);
        }
        Poly { terms }
    }

    pub fn atom(name: &str) -> Poly {
        Poly { terms: BTreeMap::from([(vec![Arc::from(name)], 1.0)]) }
    }

    pub fn as_constant(&self) -> Option<f64> {
        match self.terms.len() {
            0 => Some(0.0),
            1 => self.terms.get(&Vec::new()).copied(),
            _ => None,
        }
    }

    /// The name, if the polynomial is one atom.
    pub fn as_atom(&self) -> Option<&str> {
        let (monomial, coefficient) = self.terms.iter().next()?;
        (self.terms.len() == 1 && monomial.len() == 1 && *coefficient == 1.0).then(|| &*monomial[0])
    }

    pub fn is_zero(&self) -> bool {
        self.terms.is_empty()
    }

    pub fn len(&self) -> usize {
        self.terms.len()
    }

    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    pub fn terms(&self) -> impl Iterator<Item = (&[Arc<str>], f64)> {
        self.terms.iter().map(|(m, c)| (m.as_slice(), *c))
    }

    pub fn atoms(&self) -> impl Iterator<Item = &str> {
        self.terms.keys().flatten().map(|a| &**a)
    }

    /// True if some atom has this text in it.
    pub fn mentions(&self, text: &str) -> bool {
        self.atoms().any(|a| a.contains(text))
    }

    pub fn add(&self, other: &Poly) -> Poly {
        let mut out = self.clone();
        for (monomial, coefficient) in &other.terms {
            out.add_term(monomial.clone(), *coefficient);
        }
        out
    }

    pub fn sub(&self, other: &Poly) -> Poly {
        self.add(&other.scale(-1.0))
    }

    pub fn scale(&self, by: f64) -> Poly {
        if by == 0.0 {
            return Poly::default();
        }
        Poly { terms: self.terms.iter().map(|(m, c)| (m.clone(), c * by)).collect() }
    }

    pub fn mul(&self, other: &Poly) -> Poly {
        let mut out = Poly::default();
        for (a, x) in &self.terms {
            for (b, y) in &other.terms {
                let mut monomial = a.clone();
                monomial.extend(b.iter().cloned());
                monomial.sort();
                out.add_term(monomial, x * y);
            }
        }
        out
    }

    /// True if every value at whole arguments is a multiple of `by`.
    pub fn divisible(&self, by: f64) -> bool {
        if by.fract() != 0.0 || !(1.0..=12.0).contains(&by) || self.terms.values().any(|c| c.fract() != 0.0) {
            return false;
        }
        let mut atoms: Vec<&Arc<str>> = self.terms.keys().flatten().collect();
        atoms.sort();
        atoms.dedup();
        // Values modulo `by` depend on residues of the arguments alone.
        if atoms.len() > 4 {
            return self.terms.values().all(|c| c % by == 0.0);
        }
        let mut residues = vec![0.0; atoms.len()];
        loop {
            let value: f64 = self
                .terms
                .iter()
                .map(|(m, c)| m.iter().fold(*c, |p, a| p * atoms.binary_search(&a).map_or(0.0, |i| residues[i])))
                .sum();
            if value % by != 0.0 {
                return false;
            }
            let Some(next) = residues.iter().position(|r| *r + 1.0 < by) else { return true };
            residues[next] += 1.0;
            residues[..next].fill(0.0);
        }
    }

    pub fn plus(&self, by: f64) -> Poly {
        self.add(&Poly::constant(by))
    }

    fn add_term(&mut self, monomial: Vec<Arc<str>>, coefficient: f64) {
        let entry = self.terms.entry(monomial).or_insert(0.0);
        *entry += coefficient;
        if *entry == 0.0 {
            self.terms.retain(|_, c| *c != 0.0);
        }
    }

    /// Replaces an atom, also where it stands inside the text of another.
    #[must_use]
    pub fn substitute(&self, atom: &str, by: &Poly) -> Poly {
        if !self.mentions(atom) {
            return self.clone();
        }
        let text = by.print();
        let text = if by.len() > 1 { format!("({text})") } else { text };
        let mut out = Poly::default();
        for (monomial, coefficient) in &self.terms {
            let mut product = Poly::constant(*coefficient);
            for factor in monomial {
                let factor = if &**factor == atom {
                    by.clone()
                } else if factor.contains(atom) {
                    Poly::atom(&replace_token(factor, atom, &text))
                } else {
                    Poly::atom(factor)
                };
                product = product.mul(&factor);
            }
            out = out.add(&product);
        }
        out
    }

    /// The text of the normal form, with marks.
    pub fn print(&self) -> String {
        if self.terms.values().any(|c| c.fract() != 0.0)
            && self.terms.values().all(|c| (c * 2.0).fract() == 0.0)
            && self.len() > 1
        {
            return format!("({}) / 2", self.scale(2.0).print());
        }
        let mut positive: Vec<(&Vec<Arc<str>>, f64)> =
            self.terms.iter().map(|(m, c)| (m, *c)).filter(|(_, c)| *c > 0.0).collect();
        positive.sort_by_key(|(m, _)| m.is_empty());
        let negative = self.terms.iter().map(|(m, c)| (m, *c)).filter(|(_, c)| *c < 0.0);
        let mut out = String::new();
        for (monomial, coefficient) in positive {
            if !out.is_empty() {
                out.push_str(" + ");
            }
            out.push_str(&term(monomial, coefficient));
        }
        for (monomial, coefficient) in negative {
            out.push_str(if out.is_empty() { "-" } else { " - " });
            out.push_str(&term(monomial, -coefficient));
        }
        if out.is_empty() { "0".to_owned() } else { out }
    }

    /// As source text; the marks of loop variables, addresses and fields are removed.
    pub fn source(&self) -> String {
        plain(&self.print())
    }

    /// True if [`Poly::source`] is an expression that a program may contain.
    pub fn printable(&self) -> bool {
        self.atoms().all(|a| !a.contains('?') && !a.contains("[*]"))
    }
}

fn term(monomial: &[Arc<str>], coefficient: f64) -> String {
    let mut factors: Vec<String> = Vec::new();
    if coefficient != 1.0 || monomial.is_empty() {
        factors.push(number(coefficient));
    }
    factors.extend(monomial.iter().map(|a| a.to_string()));
    factors.join(" * ")
}

/// A number as source text.
pub fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 { format!("{value:.0}") } else { format!("{value:?}") }
}

/// Removes `#n`, `@n` and `@r`.
pub fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '#' || c == '@' {
            while chars.peek().is_some_and(|d| d.is_ascii_digit() || *d == 'r') {
                chars.next();
            }
        } else {
            out.push(c);
        }
    }
    out
}

fn replace_token(text: &str, token: &str, by: &str) -> String {
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == '#' || c == '@';
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(token) {
        let before = rest[..at].chars().next_back().or(out.chars().next_back()).is_some_and(word);
        let after = rest[at + token.len()..].chars().next().is_some_and(word);
        out.push_str(&rest[..at]);
        out.push_str(if before || after { token } else { by });
        rest = &rest[at + token.len()..];
    }
    out.push_str(rest);
    out
}

/// With the indices inside the texts of atoms in normal form again, after a substitution.
pub fn normal(poly: &Poly) -> Poly {
    if !poly.mentions("[") {
        return poly.clone();
    }
    let mut out = Poly::default();
    for (monomial, coefficient) in poly.terms() {
        let product =
            monomial.iter().fold(Poly::constant(coefficient), |p, atom| p.mul(&Poly::atom(&normal_text(atom))));
        out = out.add(&product);
    }
    out
}

fn normal_text(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(open) = rest.find('[') {
        let Some(close) = matching(&rest[open..]) else { break };
        out.push_str(&rest[..=open]);
        let inner = &rest[open + 1..open + close];
        let indices: Vec<String> = split_top(inner, ", ")
            .into_iter()
            .map(|i| parse_sum(i).map_or_else(|| normal_text(i), |p| p.print()))
            .collect();
        out.push_str(&indices.join(", "));
        rest = &rest[open + close..];
    }
    out.push_str(rest);
    out
}

/// `x[i, j]` for `x[i]` at `j`.
pub fn indexed(atom: &str, at: &[Poly]) -> String {
    let inner: Vec<String> = at.iter().map(Poly::print).collect();
    let inner = inner.join(", ");
    match (atom.strip_suffix(']'), at) {
        (_, []) => atom.to_owned(),
        (Some(open), _) => format!("{open}, {inner}]"),
        (None, _) => format!("{atom}[{inner}]"),
    }
}

/// `x[i]` for `x[i, j]`: an element's name without its last `count` indices.
pub fn stem(atom: &str, count: usize) -> String {
    let open = atom.char_indices().find(|&(at, c)| c == '[' && matching(&atom[at..]) == Some(atom.len() - at - 1));
    let Some((open, _)) = open else { return atom.to_owned() };
    let indices = split_top(&atom[open + 1..atom.len() - 1], ", ");
    let kept = &indices[..indices.len().saturating_sub(count)];
    if kept.is_empty() { atom[..open].to_owned() } else { format!("{}[{}]", &atom[..open], kept.join(", ")) }
}

/// Where the bracket that `text` begins with closes.
fn matching(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// Parts of `text` between separators that stand outside brackets.
fn split_top<'t>(text: &'t str, separator: &str) -> Vec<&'t str> {
    let (mut depth, mut start, mut out) = (0, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            _ => {}
        }
        if depth == 0 && at >= start && text[at..].starts_with(separator) {
            out.push(&text[start..at]);
            start = at + separator.len();
        }
    }
    out.push(&text[start..]);
    out
}

/// A printed polynomial; `None` if it is made of anything but sums and products.
fn parse_sum(text: &str) -> Option<Poly> {
    let mut out = Poly::default();
    for (k, positive) in split_top(text, " + ").into_iter().enumerate() {
        for (j, part) in split_top(positive, " - ").into_iter().enumerate() {
            let (mut sign, mut part) = (if j == 0 { 1.0 } else { -1.0 }, part);
            if j == 0 && k == 0 && part.starts_with('-') {
                sign = -1.0;
                part = &part[1..];
            }
            let mut product = Poly::constant(sign);
            for factor in split_top(part, " * ") {
                let value = if let Ok(number) = factor.parse::<f64>() {
                    Poly::constant(number)
                } else if factor.starts_with('(') && matching(factor) == Some(factor.len() - 1) {
                    parse_sum(&factor[1..factor.len() - 1])?
                } else if factor.is_empty() || split_top(factor, " ").len() > 1 {
                    return None;
                } else {
                    Poly::atom(&normal_text(factor))
                };
                product = product.mul(&value);
            }
            out = out.add(&product);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_form() {
        let n = Poly::atom("n");
        let square = n.plus(1.0).mul(&n.plus(-1.0));
        assert_eq!(square, n.mul(&n).plus(-1.0));
        assert_eq!(Poly::constant(1.0).sub(&Poly::atom("alpha1@3")).source(), "1 - alpha1");
        assert_eq!(n.mul(&n).add(&n).scale(0.5).source(), "(n + n * n) / 2");
        assert_eq!(n.plus(2.0).source(), "n + 2");
        assert!(n.sub(&n).is_zero());
        assert!(n.mul(&n).add(&n).divisible(2.0));
        assert!(!n.plus(-1.0).divisible(2.0));
    }

    #[test]
    fn indices_are_normal_again() {
        let p = Poly::atom("x@3[t#2 - 1]").substitute("t#2", &Poly::atom("u#5").plus(1.0));
        assert_eq!(normal(&p).print(), "x@3[u#5]");
        let q = Poly::atom("x@3[y@1[2 * i#1 + 1], k#2]").substitute("i#1", &Poly::constant(2.0));
        assert_eq!(normal(&q).print(), "x@3[y@1[5], k#2]");
        let r = Poly::atom("x@3[((i#1) / (2))]").substitute("i#1", &Poly::atom("j#4"));
        assert_eq!(normal(&r).print(), "x@3[((j#4) / (2))]");
    }

    #[test]
    fn elements_and_their_arrays() {
        let at = [Poly::atom("t#2").plus(-1.0)];
        assert_eq!(indexed("c.x@3[i#1]", &at), "c.x@3[i#1, t#2 - 1]");
        assert_eq!(indexed("x@3", &at), "x@3[t#2 - 1]");
        assert_eq!(indexed("x@3", &[]), "x@3");
        assert_eq!(stem("x@3[y@1[j#4, k#2], t#2 - 1]", 1), "x@3[y@1[j#4, k#2]]");
        assert_eq!(stem("x@3[t#2]", 1), "x@3");
        assert_eq!(stem("f(x@3[t#2])", 1), "f(x@3[t#2])");
    }

    #[test]
    fn substitution_reaches_into_atoms() {
        let p = Poly::atom("exp(a@r)").add(&Poly::atom("a@r"));
        assert_eq!(p.substitute("a@r", &Poly::atom("a@7")).print(), "a@7 + exp(a@7)");
        let q = Poly::atom("a@r2");
        assert_eq!(q.substitute("a@r", &Poly::constant(1.0)), q);
    }
}

//! Results of the calls of a variable, for what its strategy remembers: for each element and each position, the sum of the
//! terms that depend on the element, in the mean over all other variables. All of these are eliminated, and of what is
//! left, each factor counts for the elements that it reads. The variable itself depends on no other.

use super::engine::Engine;
use super::factor::Factor;
use super::plate::Place;
use super::pull::{Element, Pulled, Task, fail};
use super::step::{Body, Local};
use crate::ir::builder::Builder;
use crate::ir::core::{Atom, Collector, Stmt};
use crate::ir::op::Op;
use std::rc::Rc;

impl Engine<'_> {
    /// Statements, and the results: an array over the loops around the variable and its positions.
    pub(crate) fn results_of(&mut self, variable: usize, tasks: Vec<Task>) -> Pulled<(Vec<Stmt>, Atom)> {
        self.kept = Some(variable);
        self.eliminate_all(tasks)?;
        let mut parts = Vec::new();
        for factor in std::mem::take(&mut self.factors) {
            for read in 0..factor.reads.len() {
                parts.extend(self.result(&factor, read)?);
            }
        }
        let mut shape = self.shapes[variable].clone();
        shape.push(self.variables[variable].support());
        let mut b = Builder::new(self.pull.program);
        let total = b.for_(&shape, vec![Collector::Collect], |b, at| {
            let mut total = Atom::Real(0.0);
            for &part in &parts {
                let x = b.read(part, at);
                total = b.op(Op::Add, &[total, x]);
            }
            vec![total]
        })[0];
        let stmts = std::mem::take(&mut b.stmts);
        stmts.into_iter().for_each(|s| self.pull.push(s));
        Ok((std::mem::take(&mut self.pull.scopes[0].stmts), total))
    }

    /// What a factor counts for the elements at one of its reads; `None` if an earlier read is of the same ones.
    fn result(&mut self, factor: &Rc<Factor>, read: usize) -> Pulled<Option<Atom>> {
        let mut place = Place::of(self, factor);
        let at = place.at.clone();
        let reads = self.place(factor, &at)?;
        let element = reads[read].clone();
        if reads[..read].contains(&element) {
            self.pull.scopes.pop();
            return Ok(None);
        }
        let earlier = self.coincidences(&element, &reads[..read])?;
        let mut others: Vec<Element> = Vec::new();
        for e in &reads {
            if *e != element && !others.contains(e) {
                others.push(e.clone());
            }
        }
        let mut local = Local { reads, body: Body::Factor { factor: factor.clone(), at } };
        while let Some(x) = others.pop() {
            let left: Vec<Element> = others.iter().chain([&element]).cloned().collect();
            local = self.without(&x, local, &left)?;
        }
        let table = self.tabulate(&[local], std::slice::from_ref(&element))?;
        let (Body::Table { table, .. }, n) = (table.body, self.variables[element.site].support()) else {
            return Err(fail("a table was expected"));
        };
        let mut b = Builder::new(self.pull.program);
        let value = match earlier.iter().map(|e| e.1).reduce(|a, c| b.op(Op::Or, &[a, c])) {
            None => table,
            Some(same) => b.for_(&[n], vec![Collector::Collect], |b, l| {
                let x = b.read(table, l);
                vec![b.op(Op::Select, &[same, Atom::Real(0.0), x])]
            })[0],
        };
        let stmts = std::mem::take(&mut b.stmts);
        stmts.into_iter().for_each(|s| self.pull.push(s));
        let shape = self.shapes[element.site].clone();
        let indices = std::mem::take(&mut place.indices);
        if indices.is_empty() {
            let value = self.close(indices, value, Collector::Collect);
            return Ok(Some(self.placed(value, n, &element.at, &shape)));
        }
        let collector = if shape.is_empty() {
            Collector::Sum { keep: Vec::new() }
        } else {
            Collector::SumAt { index: element.at, shape }
        };
        Ok(Some(self.close(indices, value, collector)))
    }

    /// An array over positions at one place of an array over loops, zero elsewhere.
    fn placed(&mut self, value: Atom, n: usize, place: &[Atom], shape: &[usize]) -> Atom {
        if shape.is_empty() {
            return value;
        }
        let mut all = shape.to_vec();
        all.push(n);
        let mut b = Builder::new(self.pull.program);
        let result = b.for_(&all, vec![Collector::Collect], |b, at| {
            let mut here = Atom::Bool(true);
            for (&i, &p) in at.iter().zip(place) {
                let same = b.op(Op::IEq, &[i, p]);
                here = b.op(Op::And, &[here, same]);
            }
            let x = b.read(value, &at[shape.len()..]);
            vec![b.op(Op::Select, &[here, x, Atom::Real(0.0)])]
        })[0];
        let stmts = std::mem::take(&mut b.stmts);
        stmts.into_iter().for_each(|s| self.pull.push(s));
        result
    }
}

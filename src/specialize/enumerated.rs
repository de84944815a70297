//! `marginal(…, by: enumerate)`: the function is run with the kept addresses fixed; every other sample is a variable that
//! takes all values of its support. What the run scores, split into terms, is then summed out at once, so that nothing of
//! it is left in the program but statements of Core.

use super::generative::{Given, Mode, Run, Site};
use super::machine::{Fact, Machine, R, UNKNOWN, refuse, unsupported};
use super::sites::SiteDescription;
use super::types::TypeValue;
use super::value::{Dist, Gen, Value};
use crate::base::source::Span;
use crate::eliminate::region::log_sum;
use crate::eliminate::tree::each_sample;
use crate::eliminate::variable::{Call, Variable};
use crate::ir::core::{Atom, Collector, Sample, Scalar, Stmt, Type};
use crate::ir::op::Op;
use crate::types::combinator::is_kept;
use std::rc::Rc;

impl<'a> Machine<'a> {
    pub(super) fn marginal_by_enumeration(
        &mut self,
        of: &Rc<Gen<'a>>,
        keep: &[String],
        mode: Mode<'a>,
        span: Span,
    ) -> R<Run<'a>> {
        let nothing = Value::record(Vec::new());
        match mode {
            Mode::Density(trace) => {
                let kept = trace.restricted(&|p| is_kept(keep, p));
                let score = self.summed_out(of, &kept, span)?;
                Ok(Run { trace: nothing, given: Vec::new(), score, value: kept })
            }
            Mode::Simulate | Mode::Draw => {
                let own = self.run_gen(of, mode, span)?;
                let kept = own.trace.restricted(&|p| is_kept(keep, p));
                let score = self.summed_out(of, &kept, span)?;
                Ok(Run { trace: kept.clone(), given: Vec::new(), score, value: kept })
            }
            Mode::Path => unsupported(span, "a path through a function made of others"),
        }
    }

    /// The density over the sum of all densities.
    pub(super) fn normalized_by_enumeration(&mut self, of: &Rc<Gen<'a>>, mode: Mode<'a>, span: Span) -> R<Run<'a>> {
        let Mode::Density(trace) = mode else {
            return unsupported(span, "a sample of what is normalised by `enumerate`");
        };
        let nothing = Value::record(Vec::new());
        let own = self.run_gen(of, Mode::Density(trace.clone()), span)?;
        let all = self.summed_out(of, &nothing, span)?;
        let score = self.real_op(Op::Sub, &[own.score, all]);
        Ok(Run { trace: nothing, given: Vec::new(), score, value: trace })
    }

    /// A marginal inside a function that is summed out, some of whose addresses are fixed: all of them must be.
    pub(super) fn fixed_marginal(
        &mut self,
        of: &Rc<Gen<'a>>,
        keep: &[String],
        fixed: &Value<'a>,
        span: Span,
    ) -> R<Run<'a>> {
        let Value::Record(fields) = fixed else { return refuse(span, "fixed addresses are a record") };
        let root = |k: &String| k.split('.').next().unwrap_or(k).to_owned();
        if !keep.iter().all(|k| fields.iter().any(|(n, _)| *n == root(k))) {
            return unsupported(span, "a marginal some of whose addresses are summed out and others not");
        }
        let score = self.summed_out(of, fixed, span)?;
        let nothing = Value::record(Vec::new());
        Ok(Run { trace: nothing, given: fields.to_vec(), score, value: fixed.clone() })
    }

    /// Log density of `kept`: all other samples of `of` are summed over.
    fn summed_out(&mut self, of: &Rc<Gen<'a>>, kept: &Value<'a>, span: Span) -> R<Atom> {
        self.enter();
        let before = std::mem::replace(&mut self.enumerating, true);
        let given = Given { fixed: Some(kept.clone()), predictive: false };
        let run = self.run_given(of, Mode::Simulate, given, span);
        self.enumerating = before;
        let mut stmts = self.leave();
        let score = self.real_of(run?.score);
        super::terms::split_value(&mut self.program, &mut stmts, score);
        let mut variables = Vec::new();
        let mut foreign = None;
        each_sample(&stmts, &mut |s: &Sample| match self.summed.get(&s.site) {
            Some(about) => variables.push(Variable {
                results: s.results.clone(),
                types: s.results.iter().map(|&r| self.program.ty(r).clone()).collect(),
                calls: vec![Call {
                    extents: self.program.atom_type(s.args[0]).shape[..1].to_vec(),
                    args: s.args.clone(),
                    static_args: true,
                    primal: None,
                    stopped: None,
                }],
                shoots: false,
                address: about.address.clone(),
                span: about.span,
            }),
            None => foreign = Some(s.site),
        });
        if foreign.is_some() {
            return unsupported(span, "a sample with a strategy inside `marginal` by `enumerate`");
        }
        let (stmts, total) = log_sum(&mut self.program, stmts, &variables).map_err(|d| *d)?;
        self.stmts.extend(stmts);
        self.set_fact(total, Fact { random: true, ..UNKNOWN });
        Ok(total)
    }

    /// A sample whose operands are the values of its support.
    pub(super) fn emit_summed(&mut self, dist: &Rc<Dist<'a>>, site: &Site<'a>, number: u32) -> R<Value<'a>> {
        let clause = self.support_clause("x", dist, Rc::from([]), site.span)?;
        let TypeValue::Leaf(leaf) = self.event_type(dist)? else {
            return refuse(site.span, "the support is not a finite set of scalars");
        };
        let (from, scalar) = (clause.from, leaf.scalar);
        let values = self.for_(&[clause.extent], vec![Collector::Collect], |m, at| {
            let x = m.op(Op::IAdd, &[at[0], Atom::Int(from)]);
            Ok(vec![if scalar == Scalar::Bool { m.op(Op::IEq, &[x, Atom::Int(1)]) } else { x }])
        })?;
        let name = site.address.split('[').next().unwrap_or("").to_owned();
        let var = self.new_var(Type { scalar, shape: Vec::new() }, Some(&name));
        self.set_fact(var.into(), Fact { random: true, ..UNKNOWN });
        self.summed.insert(
            number,
            SiteDescription { address: site.address.clone(), strategy: String::new(), span: site.span },
        );
        let index = self.loops.clone();
        let sample = Sample { results: vec![var], site: number, entry: u32::MAX, args: values, index };
        self.stmts.push(Stmt::Sample(sample));
        self.learn_support(var.into(), &leaf.support);
        Ok(Value::Scalar(var.into()))
    }
}

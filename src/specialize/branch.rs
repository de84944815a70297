//! Branches: `if`, `match`, and the `and`, `or` that must not look at their right side. What both branches give becomes
//! results of one Core `if`: the value, assigned `var`s, the score, and the addresses.
//!
//! An address that one branch alone samples is optional. In the other branch it has a value inside its support, which is
//! never looked at: the checker has proved that every read, and every density, stands under the address' condition.

use super::address::PieceKey;
use super::machine::{Fact, Machine, R, UNKNOWN, refuse};
use super::scan::{self, Mention};
use super::shots::Branch;
use super::strategy::CallRecord;
use super::structure::has_estimates;
use super::value::{Binding, Env, Value};
use crate::base::source::Span;
use crate::ir::core::{Atom, Block as CoreBlock, If, Prim, Scalar, Stmt, Type, Var};
use crate::ir::op::Op;
use crate::syntax::tree::{BinaryOp, Block, Expr, MatchPattern};

/// Goes through what a piece of source mentions.
type Mentions<'b, 'a> = &'b mut dyn FnMut(&mut dyn FnMut(Mention<'a>));

/// Evaluates one branch.
type Run<'b, 'a> = &'b mut dyn FnMut(&mut Machine<'a>) -> R<Value<'a>>;

/// What a branch gave: statements, its parts (value, `var`s, score) and addresses, with their atoms.
struct Side<'a> {
    stmts: Vec<Stmt>,
    parts: Value<'a>,
    /// `None`: the parts hold results of the continuation, which are no values.
    atoms: Option<Vec<Atom>>,
    calls: Vec<CallRecord>,
    scored: bool,
    pieces: Pieces<'a>,
}

/// Addresses with their values and the atoms of these.
type Pieces<'a> = Vec<(PieceKey, Value<'a>, Vec<Atom>)>;

impl<'a> Machine<'a> {
    /// `if` with assignments, addresses and scores in its branches handed out of it.
    pub(super) fn if_expr(
        &mut self,
        condition: Atom,
        then: &'a Block,
        otherwise: Option<&'a Block>,
        env: &Env<'a>,
        span: Span,
    ) -> R<Value<'a>> {
        let want = self.want.take();
        self.choose(
            condition,
            env,
            span,
            &mut |f| {
                scan::block(then, f);
                if let Some(b) = otherwise {
                    scan::block(b, f);
                }
            },
            &mut |m| {
                m.want = want.clone();
                m.block(then, env)
            },
            &mut |m| match otherwise {
                Some(b) => {
                    m.want = want.clone();
                    m.block(b, env)
                }
                None => Ok(Value::Unit),
            },
        )
    }

    pub(super) fn match_expr(
        &mut self,
        v: Atom,
        arms: &'a [(MatchPattern, Block)],
        env: &Env<'a>,
        span: Span,
    ) -> R<Value<'a>> {
        let Some(((pattern, block), rest)) = arms.split_first() else {
            return refuse(span, "no arm of this `match` fits");
        };
        let condition = match pattern {
            MatchPattern::Any => return self.block(block, env),
            _ if rest.is_empty() => return self.block(block, env),
            MatchPattern::Int(i) => self.op(Op::IEq, &[v, Atom::Int(*i)]),
            MatchPattern::Bool(true) => v,
            MatchPattern::Bool(false) => self.op(Op::Not, &[v]),
        };
        self.choose(
            condition,
            env,
            span,
            &mut |f| arms.iter().for_each(|(_, b)| scan::block(b, f)),
            &mut |m| m.block(block, env),
            &mut |m| m.match_expr(v, rest, env, span),
        )
    }

    /// `left and right`, `left or right` where `left` is not known: `right` may rely on it, so what could fail in it is
    /// evaluated only where `left` leaves the question open.
    pub(super) fn short_circuit(
        &mut self,
        op: BinaryOp,
        left: Atom,
        right: &'a Expr,
        env: &Env<'a>,
        span: Span,
    ) -> R<Value<'a>> {
        self.enter();
        let value = self.expr(right, env);
        let stmts = self.leave();
        let value = value?;
        let Value::Scalar(value) = value else {
            return refuse(span, "`and`, `or` are of bools");
        };
        let total = |s: &Stmt| matches!(s, Stmt::Op { op, .. } if !matches!(op, Op::Read | Op::IDiv | Op::IMod));
        if stmts.iter().all(total) {
            self.stmts.extend(stmts);
            return self.binary(op, &Value::Scalar(left), &Value::Scalar(value), span);
        }
        let random = self.fact(left).random || self.fact(value).random;
        let result = self.new_var(Type { scalar: Scalar::Bool, shape: Vec::new() }, None);
        self.set_fact(result.into(), Fact { random, ..UNKNOWN });
        let asked = CoreBlock { stmts, results: vec![value] };
        let known = |b: bool| CoreBlock { stmts: Vec::new(), results: vec![Atom::Bool(b)] };
        let (then, otherwise) = if op == BinaryOp::And { (asked, known(false)) } else { (known(true), asked) };
        self.stmts.push(Stmt::If(If { results: vec![result], condition: left, then, otherwise }));
        Ok(Value::Scalar(result.into()))
    }

    /// One of two values. Both branches are evaluated in regions of their own; `mentions` goes through their source.
    pub(super) fn choose(
        &mut self,
        condition: Atom,
        env: &Env<'a>,
        span: Span,
        mentions: Mentions<'_, 'a>,
        then: Run<'_, 'a>,
        otherwise: Run<'_, 'a>,
    ) -> R<Value<'a>> {
        let mut cells: Vec<usize> = Vec::new();
        mentions(&mut |m| {
            if let Mention::Assigned(n) = m
                && let Some(Binding::Cell(c)) = env.local(n)
                && !cells.contains(c)
            {
                cells.push(*c);
            }
        });
        self.choose_cells(condition, &cells, span, then, otherwise)
    }

    /// As [`Machine::choose`], with the cells that the branches assign.
    pub(super) fn choose_cells(
        &mut self,
        condition: Atom,
        cells: &[usize],
        span: Span,
        then: Run<'_, 'a>,
        otherwise: Run<'_, 'a>,
    ) -> R<Value<'a>> {
        if let Atom::Bool(c) = condition {
            return if c { then(self) } else { otherwise(self) };
        }
        let calls = self.calls.len();
        let before: Vec<Value<'a>> = cells.iter().map(|&c| self.cells[c].clone()).collect();
        let mut left = self.side(cells, span, then)?;
        for (&c, v) in cells.iter().zip(&before) {
            self.cells[c] = v.clone();
        }
        let mut right = self.side(cells, span, otherwise)?;
        let scored = left.scored || right.scored;
        let (Some(mut left_atoms), Some(mut right_atoms)) = (left.atoms.take(), right.atoms.take()) else {
            let then = Branch { stmts: left.stmts, value: left.parts, calls: left.calls };
            let otherwise = Branch { stmts: right.stmts, value: right.parts, calls: right.calls };
            let parts = self.branch_estimates(condition, then, otherwise, calls, span)?;
            return self.resume(parts, cells, scored, span);
        };
        if left_atoms.len() != right_atoms.len() {
            return refuse(span, "the branches give values of different form");
        }
        let pieces = self.pair_addresses(left.pieces, right.pieces, &mut left_atoms, &mut right_atoms, span)?;
        let mut then = CoreBlock { stmts: left.stmts, results: left_atoms };
        let mut otherwise = CoreBlock { stmts: right.stmts, results: right_atoms };
        let mut results: Vec<Var> = Vec::new();
        for k in 0..then.results.len() {
            let var = self.joined_result(k, condition, &mut then, &mut otherwise, span)?;
            results.push(var);
        }
        let mut atoms = results.clone().into_iter().map(Atom::Var);
        self.stmts.push(Stmt::If(If { results, condition, then, otherwise }));
        let parts = self.rebuild(&left.parts, &mut atoms);
        let (keys, templates): (Vec<PieceKey>, Vec<Value<'a>>) = pieces.into_iter().unzip();
        let values = templates.iter().map(|t| self.rebuild(t, &mut atoms)).collect();
        self.put_pieces(keys, values);
        self.resume(parts, cells, scored, span)
    }

    /// Goes on with what branches gave: their value; `var`s and the score are put in place.
    fn resume(&mut self, parts: Value<'a>, cells: &[usize], scored: bool, span: Span) -> R<Value<'a>> {
        let Value::Tuple(parts) = parts else {
            return refuse(span, "branches without a value");
        };
        for (k, &c) in cells.iter().enumerate() {
            self.cells[c] = parts[1 + k].clone();
        }
        // A branch of a plain function adds nothing, and may stand in a loop that takes no score.
        if let Value::Scalar(score) = parts[1 + cells.len()]
            && scored
        {
            self.score(score);
        }
        Ok(parts[0].clone())
    }

    /// `if` with one value per branch.
    pub(super) fn branch(
        &mut self,
        condition: Atom,
        span: Span,
        then: impl FnOnce(&mut Machine<'a>) -> R<Value<'a>>,
        otherwise: impl FnOnce(&mut Machine<'a>) -> R<Value<'a>>,
    ) -> R<Value<'a>> {
        let (mut then, mut otherwise) = (Some(then), Some(otherwise));
        let twice = || refuse(span, "a branch is evaluated twice");
        self.choose_cells(condition, &[], span, &mut |m| then.take().map_or_else(twice, |f| f(m)), &mut |m| {
            otherwise.take().map_or_else(twice, |f| f(m))
        })
    }

    fn side(&mut self, cells: &[usize], span: Span, run: Run<'_, 'a>) -> R<Side<'a>> {
        let mark = self.mark();
        let before = self.calls.len();
        let score = self.take_score();
        self.enter();
        let value = run(self);
        let calls = self.calls.split_off(before.min(self.calls.len()));
        let own = self.restore_score(score);
        let done = value.and_then(|value| {
            let mut parts = vec![value];
            parts.extend(cells.iter().map(|&c| self.cells[c].clone()));
            parts.push(Value::Scalar(own));
            let parts = Value::Tuple(parts.into());
            let estimates = !calls.is_empty() || has_estimates(&parts);
            let atoms = if estimates { None } else { Some(self.leaves(&parts, span)?) };
            let (keys, values) = self.take_pieces(&mark);
            let mut pieces = Vec::with_capacity(keys.len());
            for (key, value) in keys.into_iter().zip(values) {
                let leaves = self.leaves(&value, span)?;
                pieces.push((key, value, leaves));
            }
            Ok((parts, atoms, pieces))
        });
        let stmts = self.leave();
        let (parts, atoms, pieces) = done?;
        Ok(Side { stmts, parts, atoms, calls, scored: own != Atom::Real(0.0), pieces })
    }

    /// Appends the addresses of both sides to their atoms, in one order; where one lacks an address, it gets a value.
    fn pair_addresses(
        &mut self,
        left: Pieces<'a>,
        right: Pieces<'a>,
        left_atoms: &mut Vec<Atom>,
        right_atoms: &mut Vec<Atom>,
        span: Span,
    ) -> R<Vec<(PieceKey, Value<'a>)>> {
        let mut out = Vec::new();
        let mut rest = right;
        for (key, value, atoms) in left {
            let twin = rest.iter().position(|(k, _, _)| *k == key);
            let other = match twin {
                Some(at) => rest.remove(at).2,
                None => atoms.iter().map(|&a| self.absent(a)).collect(),
            };
            if other.len() != atoms.len() {
                return refuse(span, format!("the branches give `{}` values of different form", key.name));
            }
            left_atoms.extend(atoms);
            right_atoms.extend(other);
            out.push((key, value));
        }
        for (key, value, atoms) in rest {
            for &a in &atoms {
                let stand_in = self.absent(a);
                left_atoms.push(stand_in);
            }
            right_atoms.extend(atoms);
            out.push((key, value));
        }
        Ok(out)
    }

    /// What stands where an optional address is absent: a value like `present`, inside what is known of its range.
    pub(super) fn absent(&mut self, present: Atom) -> Atom {
        let ty = self.program.atom_type(present);
        let fact = self.fact(present);
        let value = match ty.scalar {
            Scalar::Bool => Atom::Bool(false),
            Scalar::Int => {
                let x = 0.0_f64.max(fact.lower).min(fact.upper);
                Atom::Int(if x.is_finite() { x as i64 } else { 0 })
            }
            Scalar::Real if self.absent_is_missing => Atom::Real(f64::NAN),
            Scalar::Real => Atom::Real(match (fact.lower.is_finite(), fact.upper.is_finite()) {
                (true, true) => 0.5 * (fact.lower + fact.upper),
                (true, false) => fact.lower + 1.0,
                (false, true) => fact.upper - 1.0,
                (false, false) => 0.0,
            }),
        };
        if ty.is_scalar() {
            return value;
        }
        let result = self.prim(Prim::Fill { shape: ty.shape.clone() }, &[value], ty);
        self.set_fact(result, Fact { affine: None, random: false, ..fact });
        result
    }

    /// Result `k` of both branches as one variable.
    fn joined_result(
        &mut self,
        k: usize,
        condition: Atom,
        then: &mut CoreBlock,
        otherwise: &mut CoreBlock,
        span: Span,
    ) -> R<Var> {
        let (a, b) = (then.results[k], otherwise.results[k]);
        if self.scalar_of(a) != self.scalar_of(b) {
            then.results[k] = self.convert_in(&mut then.stmts, a);
            otherwise.results[k] = self.convert_in(&mut otherwise.stmts, b);
        }
        let (a, b) = (then.results[k], otherwise.results[k]);
        let (ta, tb) = (self.program.atom_type(a), self.program.atom_type(b));
        if ta != tb {
            return refuse(span, format!("the branches give arrays of shapes {:?} and {:?}", ta.shape, tb.shape));
        }
        let (fa, fb) = (self.fact(a), self.fact(b));
        let random = fa.random || fb.random || self.fact(condition).random;
        let var = self.new_var(ta, None);
        let fact = Fact { lower: fa.lower.min(fb.lower), upper: fa.upper.max(fb.upper), random, ..UNKNOWN };
        self.set_fact(var.into(), fact);
        Ok(var)
    }

    fn convert_in(&mut self, stmts: &mut Vec<Stmt>, atom: Atom) -> Atom {
        let present = std::mem::replace(&mut self.stmts, std::mem::take(stmts));
        let ty = self.program.atom_type(atom);
        let value = Value::core(atom, ty.scalar, ty.shape);
        let converted = self.with_scalar(&value, Scalar::Real).and_then(|v| self.force(&v, Span::default()));
        *stmts = std::mem::replace(&mut self.stmts, present);
        converted.unwrap_or(atom)
    }
}

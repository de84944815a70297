//! The text form of nests: one node a line, nested code indented.

use super::nest::{Base, LaneNode, Nests, Node, Operand, Place, Routine, Tail};
use std::fmt::{self, Display, Formatter, Write};

impl Display for Operand {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Operand::Reg(r) => write!(f, "%{}", r.0),
            Operand::Real(x) => write!(f, "{x:?}"),
            Operand::Int(i) => write!(f, "{i}"),
            Operand::Bool(b) => write!(f, "{b}"),
        }
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.base {
            Base::Frame => f.write_str("frame[")?,
            Base::Scratch => f.write_str("scratch[")?,
            Base::Data(i) => write!(f, "data{i}[")?,
        }
        write!(f, "{}", self.offset)?;
        for (operand, stride) in &self.index {
            write!(f, " + {stride}*{operand}")?;
        }
        f.write_char(']')
    }
}

struct List<'a, T>(&'a [T]);

impl<T: Display> Display for List<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (i, item) in self.0.iter().enumerate() {
            write!(f, "{}{item}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl Display for Nests {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "frame {} words, scratch {} words", self.frame, self.scratch)?;
        for (number, task) in self.tasks.iter().enumerate() {
            routine(f, &format!("task {number}"), task)?;
        }
        routine(f, "setup", &self.setup)?;
        routine(f, "step", &self.step)
    }
}

fn routine(f: &mut Formatter<'_>, name: &str, routine: &Routine) -> fmt::Result {
    writeln!(f, "{name}:")?;
    nodes(f, &routine.body, 1)
}

fn nodes(f: &mut Formatter<'_>, body: &[Node], depth: usize) -> fmt::Result {
    for node in body {
        write!(f, "{:1$}", "", depth * 2)?;
        match node {
            Node::Op { result, op, args } => writeln!(f, "%{} = {}({})", result.0, op.name(), List(args))?,
            Node::Copy { result, value } => writeln!(f, "%{} = {value}", result.0)?,
            Node::Fold { result, fold, acc, value, .. } => writeln!(f, "%{} = {fold:?}({acc}, {value})", result.0)?,
            Node::InBounds { result, index, extent } => writeln!(f, "%{} = {index} in 0..{extent}", result.0)?,
            Node::Lane { result, index } => writeln!(f, "%{} = {index} mod 4", result.0)?,
            Node::Load { result, place } => writeln!(f, "%{} = {place}", result.0)?,
            Node::Store { place, value, .. } => writeln!(f, "{place} = {value}")?,
            Node::Loop { index, count, reverse, body } => {
                let order = if *reverse { " reversed" } else { "" };
                writeln!(f, "for %{} in 0..{count}{order}", index.0)?;
                nodes(f, body, depth + 1)?;
            }
            Node::If { condition, then, otherwise } => {
                writeln!(f, "if {condition}")?;
                nodes(f, then, depth + 1)?;
                if !otherwise.is_empty() {
                    writeln!(f, "{:1$}else", "", depth * 2)?;
                    nodes(f, otherwise, depth + 1)?;
                }
            }
            Node::Segment(segment) => {
                let tail = match segment.tail {
                    Tail::None => "",
                    Tail::Elements => ", rest one by one",
                    Tail::Padded => ", padded",
                };
                writeln!(f, "segment e in 0..{}{tail}", segment.count)?;
                for node in &segment.body {
                    write!(f, "{:1$}", "", depth * 2 + 2)?;
                    lane(f, node)?;
                }
            }
            Node::Kernel { op, inputs, output, count } => {
                writeln!(f, "kernel {}({} -> {output}, {count})", op.name(), List(inputs))?;
            }
            Node::Call { result, op, args } => writeln!(f, "%{} = call {}({})", result.0, op.name(), List(args))?,
            Node::Draw { result, noise, site, args, index } => {
                writeln!(f, "%{} = draw {noise:?} #{site} [{index}] ({})", result.0, List(args))?;
            }
            Node::DrawStrip { noise, site, args, index, stride, at, output, count } => {
                write!(f, "draw {noise:?} #{site} ")?;
                match at {
                    Some(place) => write!(f, "[{place}]")?,
                    None => write!(f, "[{index} + {stride}*e]")?,
                }
                writeln!(f, " ({}) -> {output}, {count}", List(args))?;
            }
            Node::Move { from, to, count } => writeln!(f, "{to} = {from}, {count} words")?,
            Node::Fill { to, value, count, .. } => writeln!(f, "{to} = {value}, {count} times")?,
            Node::Linear(call) => writeln!(f, "{call:?}")?,
            Node::Check { ok, check } => writeln!(f, "check {check} {ok}")?,
            Node::Domain { ok } => writeln!(f, "domain {ok}")?,
            Node::Parallel { task, count } => writeln!(f, "parallel task {task}, {count} chunks")?,
        }
    }
    Ok(())
}

fn lane(f: &mut Formatter<'_>, node: &LaneNode) -> fmt::Result {
    let at = |index: &[super::nest::LaneIndex]| {
        let mut text = String::new();
        for i in index {
            let test = i.extent.map_or(String::new(), |n| format!(" (< {n})"));
            text.push_str(&format!(" + {}*{}{test}", i.stride, i.index));
        }
        text
    };
    match node {
        LaneNode::Op { result, op, args } => writeln!(f, "%{} = {}({})", result.0, op.name(), List(args)),
        LaneNode::Position { result, base, coefficient } => writeln!(f, "%{} = {base} + {coefficient}*e", result.0),
        LaneNode::Load { result, place, stride } => writeln!(f, "%{} = {place}, {stride}*e", result.0),
        LaneNode::Store { place, stride, value, .. } => writeln!(f, "{place}, {stride}*e = {value}"),
        LaneNode::Gather { result, place, stride, index } => {
            writeln!(f, "%{} = {place}, {stride}*e{}", result.0, at(index))
        }
        LaneNode::Scatter { place, stride, index, value, .. } => {
            writeln!(f, "{place}, {stride}*e{} += {value}", at(index))
        }
        LaneNode::Accumulate { place, fold, value, .. } => writeln!(f, "acc {place} {fold:?} {value}"),
        LaneNode::Check { ok, check } => writeln!(f, "check {check} {ok}"),
        LaneNode::Domain { ok } => writeln!(f, "domain {ok}"),
    }
}

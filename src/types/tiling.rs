//! Joins the pieces of an address (`x[0]`, `x[1..T]`) to an array: they must be disjoint and cover `0..n`.

use super::context::{Checker, Piece, Site};
use super::poly::Poly;
use crate::base::source::Span;

/// Why pieces are not an array.
#[derive(Clone, Debug)]
pub enum Fault {
    /// From here to there nothing is sampled; the piece after the gap, and the one before.
    Gap {
        from: Poly,
        to: Option<Poly>,
        before: Option<Span>,
        after: Span,
    },
    Overlap {
        first: Span,
        second: Span,
    },
    Axes {
        first: Span,
        second: Span,
    },
}

impl Checker {
    /// Sizes of the axes that the pieces cover together.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn tile(&self, sites: &[&Site]) -> Result<Vec<Poly>, Fault> {
        let Some(first) = sites.first() else { return Ok(Vec::new()) };
        let rank = first.pieces.len();
        if let Some(other) = sites.iter().find(|s| s.pieces.len() != rank) {
            return Err(Fault::Axes { first: first.span, second: other.span });
        }
        let rows: Vec<(&[Piece], Span)> = sites.iter().map(|s| (s.pieces.as_slice(), s.span)).collect();
        self.tile_axes(&rows)
    }

    fn tile_axes(&self, rows: &[(&[Piece], Span)]) -> Result<Vec<Poly>, Fault> {
        let Some((first, first_span)) = rows.first() else { return Ok(Vec::new()) };
        if first.is_empty() {
            return match rows.get(1) {
                Some((_, second)) => Err(Fault::Overlap { first: *first_span, second: *second }),
                None => Ok(Vec::new()),
            };
        }
        // One interval of the first axis after the other, each with its own tiling of the rest.
        let mut left: Vec<(&[Piece], Span)> = rows.to_vec();
        let mut at = Poly::default();
        let mut rest: Option<Vec<Poly>> = None;
        let mut before: Option<Span> = None;
        while !left.is_empty() {
            let Some(start) = left.iter().position(|(p, _)| p.first().is_some_and(|p| p.from == at)) else {
                let nearest = &left[0];
                let from = &nearest.0[0].from;
                // What starts before the end reached overlaps; what starts after it leaves a gap.
                if let Some(before) = before
                    && self.at_most(&at, from) == Some(false)
                {
                    return Err(Fault::Overlap { first: before, second: nearest.1 });
                }
                return Err(Fault::Gap { from: at, to: Some(from.clone()), before, after: nearest.1 });
            };
            let to = left[start].0[0].to.clone();
            let (group, others): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|(p, _)| p[0].from == at && p[0].to == to);
            if let Some(other) = others.iter().find(|(p, _)| p[0].from == at) {
                return Err(Fault::Overlap { first: group[0].1, second: other.1 });
            }
            let inner: Vec<(&[Piece], Span)> = group.iter().map(|(p, s)| (&p[1..], *s)).collect();
            let sizes = self.tile_axes(&inner)?;
            match &rest {
                None => rest = Some(sizes),
                Some(r) if *r == sizes => {}
                Some(_) => return Err(Fault::Axes { first: *first_span, second: group[0].1 }),
            }
            before = Some(group[group.len() - 1].1);
            at = to;
            left = others;
        }
        let mut out = vec![at];
        out.extend(rest.unwrap_or_default());
        Ok(out)
    }
}

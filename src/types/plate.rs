//! Subsampled plates on abstract values: which sizes and loop variables belong to one, what may be read of an address by
//! rows, and why a sum over one is an estimate.
//!
//! The axis of an address that is sampled row by row has the plate's own name as its size (`z: real[rows]`): it agrees
//! with nothing but itself, and is indexed by a loop variable of the plate alone.

use super::context::{Checker, Frame, Piece, Run};
use super::estimates::Source;
use super::poly::Poly;
use super::program::ItemId;
use super::value::{Env, Mode, Num, Val};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::syntax::tree::{Block, ItemKind, StmtKind};

/// A plate that is subsampled.
#[derive(Clone, Debug)]
pub struct PlateVal {
    pub id: ItemId,
    pub name: String,
    pub from: Poly,
    pub to: Poly,
    /// Its name in the declaration.
    pub span: Span,
}

impl Checker {
    /// The source that all loops over a plate share: one index set serves a whole step.
    pub fn plate_source(&mut self, plate: &PlateVal) -> u32 {
        if let Some(&number) = self.plate_sources.get(&plate.id) {
            return number;
        }
        let number = self.source(Source::Plate(plate.name.clone(), plate.span));
        self.plate_sources.insert(plate.id, number);
        number
    }

    /// A plate that makes a run's log density an estimate: its name, and where it is declared.
    pub fn subsampled_by(&self, run: &Run) -> Option<(String, Span)> {
        run.sources.iter().find_map(|s| match self.sources.get(s) {
            Some(Source::Plate(name, place)) => Some((name.clone(), *place)),
            _ => None,
        })
    }

    /// The value of a plate's name.
    pub fn plate(&mut self, id: ItemId) -> Val {
        let item = self.loaded.items.item(id).clone();
        let ItemKind::Plate { name, from, to, by } = &item.kind else { return Val::Unknown };
        if self.frames.iter().any(|f| f.item == Some(id)) {
            self.report(
                Diagnostic::error("E0206", name.span, format!("the plate `{}` mentions itself", name.text))
                    .label("its own rows are not known here")
                    .fix("write its bounds by data and constants"),
            );
            return Val::Unknown;
        }
        self.frames.push(Frame { span: name.span, name: name.text.clone(), item: Some(id) });
        let mut inner = Env::new(self.loaded.items.module_of(id), Mode::Pure);
        let from = self.size(from, &mut inner);
        let to = self.size(to, &mut inner);
        let take = by.as_ref().map(|by| (self.size(by, &mut inner), by.span));
        self.frames.pop();
        let Some((take, by)) = take else { return Val::Range { from, to } };
        if self.range(&take).1 < 1.0 {
            self.report(
                Diagnostic::error("E0422", by, format!("the plate `{}` takes no rows", name.text))
                    .label("rows of one step: at least 1")
                    .fix("take at least one row, or leave `by` out"),
            );
        }
        self.subsampled.insert(name.text.clone(), id);
        Val::Plate(std::rc::Rc::new(PlateVal { id, name: name.text.clone(), from, to, span: name.span }))
    }

    /// The plate that a size stands for.
    pub fn plate_of_size(&self, size: &Poly) -> Option<ItemId> {
        size.as_atom().and_then(|a| self.subsampled.get(a)).copied()
    }

    /// The plate whose rows an index goes through.
    pub fn plate_of_index(&self, index: &Poly) -> Option<ItemId> {
        index.as_atom().and_then(|a| self.row_atoms.get(a)).copied()
    }

    fn plate_name(&self, id: ItemId) -> String {
        match &self.loaded.items.item(id).kind {
            ItemKind::Plate { name, .. } => name.text.clone(),
            _ => String::new(),
        }
    }

    /// An index of an axis by rows must be the plate's loop variable itself. False if it is not, which is reported.
    pub fn index_rows(&mut self, size: &Poly, index: Option<&Poly>, span: Span) -> bool {
        let Some(plate) = self.plate_of_size(size) else { return true };
        if index.and_then(|i| self.plate_of_index(i)) == Some(plate) {
            return true;
        }
        let name = self.plate_name(plate);
        let inside = index.is_some_and(|i| i.atoms().any(|a| self.row_atoms.get(a) == Some(&plate)));
        let report = if inside {
            let shown = index.map(Poly::source).unwrap_or_default();
            Diagnostic::error(
                "E0420",
                span,
                format!("only this step's rows of `{name}` exist: there is no row `{shown}`"),
            )
            .label("another row than this one")
            .note(format!("`{name}` is subsampled: a step goes through some of its rows, in no order"))
            .fix(format!("read it at the loop's own index, or leave `by` out of `plate {name}`"))
        } else {
            Diagnostic::error("E0420", span, format!("only this step's rows of `{name}` exist"))
                .label("read outside the plate")
                .note(format!("`{name}` is subsampled: what is sampled in it has a value at this step's rows alone"))
                .fix(format!("read it inside `for i in {name}`, at `i`"))
        };
        self.report(report);
        false
    }

    /// Remembers which indices of an address go through subsampled plates.
    pub fn note_rows(&mut self, path: &str, pieces: &[Piece]) {
        let plates: Vec<Option<ItemId>> = pieces.iter().map(|p| self.plate_of_size(&p.to)).collect();
        if plates.iter().any(Option::is_some)
            && let Some(run) = self.runs.last_mut()
        {
            run.by_rows.insert(path.to_owned(), plates);
        }
    }

    /// An address by rows is read at the rows' own indices. False if it is not, which is reported.
    pub fn read_by_rows(&mut self, path: &str, at: &[Num], span: Span) -> bool {
        let Some(plates) = self.runs.last().and_then(|r| r.by_rows.get(path)).cloned() else { return true };
        plates.iter().zip(at).all(|(plate, index)| {
            let Some(plate) = plate else { return true };
            let size = Poly::atom(&self.plate_name(*plate));
            self.index_rows(&size, index.sym.as_ref(), span)
        })
    }

    /// Refuses a whole array by rows where a number or array is computed with.
    pub fn refuse_rows(&mut self, n: &Num, span: Span) -> bool {
        let Some(plate) = n.dims.iter().find_map(|d| self.plate_of_size(d)) else { return false };
        let name = self.plate_name(plate);
        self.report(
            Diagnostic::error("E0420", span, format!("only this step's rows of `{name}` exist"))
                .label("the whole of what is sampled row by row")
                .note(format!("`{name}` is subsampled: a sum over the rows at hand would not be the sum over all"))
                .fix(format!("go through the rows: `sum(for i in {name} {{ … }})` is scaled to stand for all of them")),
        );
        true
    }

    /// Two sizes of which one belongs to a plate.
    pub fn plate_mismatch(&mut self, a: &Poly, b: &Poly, span: Span, what: &str) -> bool {
        let Some(plate) = a.atoms().chain(b.atoms()).find_map(|x| self.subsampled.get(x)).copied() else {
            return false;
        };
        let name = self.plate_name(plate);
        self.report(
            Diagnostic::error(
                "E0420",
                span,
                format!("only this step's rows of `{name}` exist: {} and {} do not agree", a.source(), b.source()),
            )
            .label(what.to_owned())
            .note(format!("`{name}` is subsampled: what is sampled row by row in one function is so in every other"))
            .fix(format!("go through `{name}` in both")),
        );
        true
    }

    /// The value of a `for` over a subsampled plate must be summed.
    pub fn unsummed(&mut self, plate: &PlateVal, span: Span) {
        self.report(
            Diagnostic::error("E0421", span, format!("the values of the rows of `{}` can only be summed", plate.name))
                .label("one value for each row of this step")
                .note("only this step's rows exist, so there is no array over all of them; `sum` scales to stand for all rows, and `mean` divides that by their number")
                .fix("`sum(for … { … })`, or read the values in the loop that makes them"),
        );
    }

    /// `var`s from outside that a loop over a subsampled plate assigns.
    pub fn carried_rows(&mut self, plate: &PlateVal, body: &Block, env: &Env, span: Span) {
        let mut carried: Option<(String, Span)> = None;
        super::block::any_stmt(body, &mut |s| {
            if let StmtKind::Assign { name, .. } = &s.kind
                && env.get(&name.text).is_some_and(|b| b.mutable)
            {
                carried = Some((name.text.clone(), s.span));
            }
            carried.is_some()
        });
        if let Some((name, at)) = carried {
            self.report(
                Diagnostic::error("E0421", at, format!("`{name}` is carried from row to row of `{}`", plate.name))
                    .label("assigned for each row")
                    .also(span, "in this loop")
                    .note("the plate is subsampled: its rows have no order, and a sum of those at hand is not the sum of all")
                    .fix("sum the rows by `sum(for … { … })`, which is scaled to stand for all of them"),
            );
        }
    }
}

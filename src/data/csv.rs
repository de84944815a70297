//! CSV. With a header each column is a variable, and `x[0], x[1], …` or `x.1, x.2, …` are the columns of one matrix `x`.
//! Without a header, names come from the command line with their columns, counted from 1: `X,y=FILE:1-50,51`.

use super::raw::{Cell, RawData, RawValue, cell};
use crate::diagnostic::Diagnostic;

/// Names and the columns of each, from 1, both ends included; `None`: all columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Columns {
    pub name: String,
    pub range: Option<(usize, usize)>,
}

struct Table {
    header: Option<Vec<String>>,
    width: usize,
    rows: Vec<Vec<Cell>>,
}

/// Adds the columns of a CSV text with a header.
pub fn read_with_header(origin: &str, text: &str, into: &mut RawData) -> Result<(), Diagnostic> {
    let table = table(origin, text)?;
    let Some(header) = &table.header else {
        return Err(Diagnostic::bare("E0509", format!("{origin} has no header: its first row holds numbers")).fix(
            format!(
                "say which columns are which variables: `--data X,y={origin}:1-{},{}`",
                table.width - 1,
                table.width
            ),
        ));
    };
    // Columns of one variable must stand side by side.
    let mut groups: Vec<(String, Vec<usize>)> = Vec::new();
    for (column, title) in header.iter().enumerate() {
        let name = base_name(title);
        match groups.last_mut() {
            Some((last, columns)) if *last == name && name != *title => columns.push(column),
            _ => groups.push((name, vec![column])),
        }
    }
    for (name, columns) in groups {
        let matrix = columns.first().is_some_and(|&c| header[c] != name);
        into.insert(&name, origin, select(&table, &columns, matrix))?;
    }
    Ok(())
}

/// Adds columns under given names. A header, if there is one, is skipped.
pub fn read_columns(origin: &str, text: &str, wanted: &[Columns], into: &mut RawData) -> Result<(), Diagnostic> {
    let table = table(origin, text)?;
    for Columns { name, range } in wanted {
        let (first, last) = range.unwrap_or((1, table.width));
        if first < 1 || last < first || last > table.width {
            return Err(Diagnostic::bare(
                "E0510",
                format!("columns {first}-{last} for `{name}`: {origin} has columns 1-{}", table.width),
            ));
        }
        let columns: Vec<usize> = (first - 1..last).collect();
        into.insert(name, origin, select(&table, &columns, first != last))?;
    }
    Ok(())
}

fn select(table: &Table, columns: &[usize], matrix: bool) -> RawValue {
    let cells = table.rows.iter().flat_map(|row| columns.iter().map(|&c| row[c].clone())).collect();
    let shape = if matrix { vec![table.rows.len(), columns.len()] } else { vec![table.rows.len()] };
    RawValue::Table { shape, cells }
}

fn table(origin: &str, text: &str) -> Result<Table, Diagnostic> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).trim(csv::Trim::All).from_reader(text.as_bytes());
    let mut header = None;
    let mut width = 0;
    let mut rows = Vec::new();
    for (number, record) in reader.records().enumerate() {
        let record = record.map_err(|e| Diagnostic::bare("E0509", format!("{origin}: {e}")))?;
        let line = record.position().map_or(number as u64 + 1, csv::Position::line);
        if number == 0 {
            width = record.len();
            if record.iter().any(|c| matches!(cell(c), Cell::Text(_))) {
                let titles: Vec<String> = record.iter().map(|t| t.trim_start_matches('\u{feff}').to_string()).collect();
                if let Some(twice) = titles.iter().enumerate().find(|(i, t)| titles[..*i].contains(t)) {
                    return Err(Diagnostic::bare("E0509", format!("{origin}: two columns are called `{}`", twice.1)));
                }
                header = Some(titles);
                continue;
            }
        }
        if record.len() != width {
            return Err(Diagnostic::bare(
                "E0509",
                format!("{origin}, line {line}: {} columns, where the first row has {width}", record.len()),
            )
            .fix("give every row the same number of columns; leave a missing value empty"));
        }
        rows.push(record.iter().map(cell).collect());
    }
    if width == 0 {
        return Err(Diagnostic::bare("E0509", format!("{origin} is empty")));
    }
    Ok(Table { header, width, rows })
}

/// `x[3]` and `x.3` are columns of `x`.
fn base_name(title: &str) -> String {
    let stem = title
        .strip_suffix(']')
        .and_then(|t| t.rsplit_once('['))
        .or_else(|| title.rsplit_once('.'))
        .filter(|(stem, index)| !stem.is_empty() && index.parse::<usize>().is_ok());
    stem.map_or(title, |(stem, _)| stem).to_string()
}

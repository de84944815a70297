//! A case file: text with fenced blocks. Everything outside the blocks is kept as it is when a block is rewritten.

/// One fenced block.
#[derive(Clone, Debug)]
pub(crate) struct Fence {
    /// The word after the back-ticks.
    pub(crate) kind: String,
    /// Without the fences; ends with a newline unless empty.
    pub(crate) body: String,
}

/// Text and fences in order.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Text(String),
    Fence(Fence),
}

/// Cuts a file into pieces; an error if a fence is not closed or has no kind.
pub(crate) fn read(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut prose = String::new();
    let mut lines = text.lines().enumerate();
    while let Some((n, line)) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else {
            prose.push_str(line);
            prose.push('\n');
            continue;
        };
        if kind.trim().is_empty() {
            return Err(format!("line {}: a fence without a kind", n + 1));
        }
        pieces.push(Piece::Text(std::mem::take(&mut prose)));
        let mut body = String::new();
        loop {
            match lines.next() {
                None => return Err(format!("line {}: the fence is not closed", n + 1)),
                Some((_, "```")) => break,
                Some((_, line)) => {
                    body.push_str(line);
                    body.push('\n');
                }
            }
        }
        pieces.push(Piece::Fence(Fence { kind: kind.trim().to_owned(), body }));
    }
    pieces.push(Piece::Text(prose));
    Ok(pieces)
}

/// The inverse of [`read`].
pub(crate) fn write(pieces: &[Piece]) -> String {
    let mut out = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Fence(fence) => {
                let end = if fence.body.is_empty() || fence.body.ends_with('\n') { "" } else { "\n" };
                out.push_str(&format!("```{}\n{}{end}```\n", fence.kind, fence.body));
            }
        }
    }
    out
}

/// The body of the first block of a kind.
pub(crate) fn block<'a>(pieces: &'a [Piece], kind: &str) -> Option<&'a str> {
    pieces.iter().find_map(|p| match p {
        Piece::Fence(f) if f.kind == kind => Some(f.body.as_str()),
        _ => None,
    })
}

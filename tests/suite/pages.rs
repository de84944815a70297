//! The page of every error code: the program that it shows is refused with that code.

use crate::programs::{open, root};
use crate::{case, programs};
use libtest_mimic::Trial;
use provi::diagnostic::codes::PAGES;
use provi::driver::Refusal;
use provi::driver::compile::Backend;
use provi::driver::fit::{FitOptions, run};
use provi::driver::grad::{self, GradOptions, Settings};
use provi::driver::session::{Session, check_source};
use provi::inference::fit::Silent;

pub(crate) fn trials() -> Vec<Trial> {
    PAGES
        .iter()
        .filter(|(_, page)| shows_program(page))
        .map(|&(code, page)| Trial::test(format!("page::{code}"), move || Ok(shown(code, page)?)))
        .collect()
}

/// A fence of a program stands on the page, not one that says that none is known.
pub(crate) fn shows_program(page: &str) -> bool {
    page.contains("```ppl\n") && !page.contains("```ppl\n// none known")
}

/// Checks the program, binds the page's data (if it has a `json` fence), asks for a gradient and fits a few steps.
fn shown(code: &str, page: &str) -> Result<(), String> {
    let pieces = case::read(page)?;
    let text = case::block(&pieces, "ppl").unwrap_or_default();
    let checking = check_source(&root().join("page.ppl"), text);
    let mut found: Vec<&str> = checking.diagnostics.iter().map(|d| d.code).collect();
    if checking.checked.is_some() && !provi::diagnostic::has_errors(&checking.diagnostics) {
        let refused = match open("page.ppl", text, case::block(&pieces, "json")) {
            Err(refusal) => vec![refusal],
            Ok(opened) => match opened.session() {
                Err(refusal) => vec![refusal],
                Ok(session) => [gradient(&session), fit(&session)].into_iter().filter_map(Result::err).collect(),
            },
        };
        found.extend(refused.iter().flat_map(|r| r.diagnostics.iter().map(|d| d.code)));
    }
    if found.contains(&code) { Ok(()) } else { Err(format!("the page's program gives {found:?}\n{text}")) }
}

fn gradient(session: &Session<'_>) -> Result<(), Refusal> {
    let options =
        GradOptions { seed: 1, samples: 2, particles: 1, settings: Settings::new(), backend: Backend::Interpreter };
    let line = session.fit_line()?;
    grad::run(session, &line.objective, &options).map(|_| ())
}

fn fit(session: &Session<'_>) -> Result<(), Refusal> {
    let options = FitOptions {
        max_steps: Some(3000),
        particles: Some(1),
        draws: Some(100),
        ..FitOptions::new(1, Backend::Interpreter)
    };
    run(session, &options, &mut Silent).map(|_| ())
}

/// Every code that occurs in a case file, or has a page whose program is run.
pub(crate) fn shown_codes() -> Vec<String> {
    let mut codes: Vec<String> = PAGES.iter().filter(|(_, p)| shows_program(p)).map(|(c, _)| (*c).to_owned()).collect();
    for path in programs::files(&root().join("tests/cases"), "md") {
        let text = programs::read(&path).unwrap_or_default();
        codes.extend(crate::tidiness::codes_in(&text));
    }
    codes
}

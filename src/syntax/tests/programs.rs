//! Whole programs: all are read without a diagnostic, and printing is the inverse of reading.

use super::{read, shape};
use crate::syntax::print;

const PROGRAMS: &[(&str, &str)] = &[
    ("p01.ppl", include_str!("programs/p01.ppl")),
    ("p02.ppl", include_str!("programs/p02.ppl")),
    ("p03.ppl", include_str!("programs/p03.ppl")),
    ("p04.ppl", include_str!("programs/p04.ppl")),
    ("p06.ppl", include_str!("programs/p06.ppl")),
    ("p07.ppl", include_str!("programs/p07.ppl")),
    ("p08.ppl", include_str!("programs/p08.ppl")),
    ("p09.ppl", include_str!("programs/p09.ppl")),
    ("p10.ppl", include_str!("programs/p10.ppl")),
    ("p12.ppl", include_str!("programs/p12.ppl")),
    ("p13.ppl", include_str!("programs/p13.ppl")),
    ("p14.ppl", include_str!("programs/p14.ppl")),
    ("p15.ppl", include_str!("programs/p15.ppl")),
    ("p16.ppl", include_str!("programs/p16.ppl")),
    ("p17.ppl", include_str!("programs/p17.ppl")),
    ("p18.ppl", include_str!("programs/p18.ppl")),
    ("p19.ppl", include_str!("programs/p19.ppl")),
    ("p20.ppl", include_str!("programs/p20.ppl")),
    ("p21.ppl", include_str!("programs/p21.ppl")),
    ("p22.ppl", include_str!("programs/p22.ppl")),
    ("p23.ppl", include_str!("programs/p23.ppl")),
    ("p24.ppl", include_str!("programs/p24.ppl")),
    ("p25.ppl", include_str!("programs/p25.ppl")),
    ("p27.ppl", include_str!("programs/p27.ppl")),
    ("p29.ppl", include_str!("programs/p29.ppl")),
    ("p30.ppl", include_str!("programs/p30.ppl")),
    ("p31.ppl", include_str!("programs/p31.ppl")),
];

#[test]
fn every_program_is_read() {
    for (name, text) in PROGRAMS {
        let (file, diagnostics, _) = read(text);
        assert!(diagnostics.is_empty(), "{name}: {diagnostics:#?}");
        assert!(!file.items.is_empty(), "{name}");
    }
}

#[test]
fn printing_is_the_inverse_of_reading() {
    for (name, text) in PROGRAMS {
        let (first, _, _) = read(text);
        let printed = print::file(&first);
        let (second, diagnostics, _) = read(&printed);
        assert!(diagnostics.is_empty(), "{name}: {diagnostics:#?}\n{printed}");
        assert_eq!(shape(&first), shape(&second), "{name}\n{printed}");
        assert_eq!(printed, print::file(&second), "{name}");
    }
}

#[test]
fn windows_line_ends_change_nothing() {
    for (name, text) in PROGRAMS {
        let (unix, _, _) = read(text);
        let (windows, diagnostics, _) = read(&text.replace('\n', "\r\n"));
        assert!(diagnostics.is_empty(), "{name}: {diagnostics:#?}");
        assert_eq!(shape(&unix), shape(&windows), "{name}");
    }
}

/// Every prefix of a program, and every program with one byte changed, is read without a panic.
#[test]
fn broken_programs_do_not_panic() {
    for (_, text) in PROGRAMS {
        let cuts: Vec<usize> = text.char_indices().map(|(i, _)| i).filter(|i| i % 23 == 0).collect();
        for cut in cuts {
            let (_, diagnostics, sources) = read(&text[..cut]);
            for d in diagnostics {
                let span = d.primary.map(|l| l.span);
                assert!(span.is_some_and(|s| s.end as usize <= cut && sources.text(s).len() <= cut));
            }
            let mut changed = text.to_string();
            let symbol = ["(", ")", "{", "}", "~", "\"", ":", "<", "é", "..", "\n"][cut % 11];
            changed.insert_str(cut, symbol);
            read(&changed);
        }
    }
}

//! The table of all codes, each with its page: what it means, an example that shows it, the fix.
//! Syntax `E01xx`; names, types and shapes `E02xx`; estimators, smoothness, supports, enumeration `E03xx`; traces and
//! addresses `E04xx`; data and files `E05xx`; run time `E06xx`; warnings `W`.

macro_rules! pages {
    ($($code:literal),* $(,)?) => {
        /// Code and page (markdown), ordered by code.
        pub const PAGES: &[(&str, &str)] = &[$(($code, include_str!(concat!("pages/", $code, ".md")))),*];
    };
}

pages! {
    "E0101", "E0102", "E0103", "E0104", "E0105", "E0106", "E0107", "E0108", "E0109", "E0110", "E0201", "E0202",
    "E0203", "E0204", "E0205", "E0206", "E0207", "E0208", "E0209", "E0210", "E0211", "E0212", "E0213", "E0214",
    "E0215", "E0216", "E0217",
    "E0290", "E0299", "E0301", "E0302", "E0303", "E0304", "E0305", "E0306", "E0307", "E0308", "E0309", "E0310",
    "E0311", "E0312", "E0313", "E0314", "E0315", "E0316", "E0320", "E0390", "E0391", "E0401", "E0402", "E0403", "E0404", "E0405", "E0406", "E0407",
    "E0408", "E0409", "E0410", "E0411", "E0412", "E0413", "E0414", "E0420", "E0421", "E0422", "E0501", "E0502",
    "E0503", "E0504", "E0505", "E0506", "E0507", "E0508", "E0509", "E0510", "E0511", "E0512", "E0513", "E0520",
    "E0521", "E0522", "E0523", "E0524", "E0525", "E0601", "E0602", "E0603", "E0604", "E0690", "W0301", "W0302",
}

/// The page of a code, in any case.
pub fn page(code: &str) -> Option<&'static str> {
    PAGES.iter().find(|(c, _)| c.eq_ignore_ascii_case(code)).map(|(_, page)| *page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};

    #[test]
    fn pages_are_ordered_and_have_their_parts() {
        assert!(PAGES.windows(2).all(|w| w[0].0 < w[1].0));
        for (code, page) in PAGES {
            assert!(page.starts_with(&format!("# {code}: ")), "{code}");
            assert!(page.contains("```"), "{code}");
        }
    }

    /// All files under a folder with this ending.
    fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder of the repository").flatten() {
            let path = entry.path();
            if path.is_dir() {
                files(&path, ending, found);
            } else if path.extension().is_some_and(|e| e == ending) {
                found.push(path);
            }
        }
    }

    #[test]
    fn every_code_in_the_source_has_a_page_and_every_page_is_listed() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut sources = Vec::new();
        files(&root, "rs", &mut sources);
        for path in sources {
            let text = std::fs::read_to_string(&path).expect("source");
            for (at, _) in text.match_indices('"') {
                let Some(code) = text.get(at + 1..at + 6).filter(|_| text.get(at + 6..).unwrap_or("").starts_with('"'))
                else {
                    continue;
                };
                let digits = code.bytes().skip(1).all(|b| b.is_ascii_digit());
                if digits && code.starts_with(['E', 'W']) {
                    assert!(page(code).is_some(), "{code} of {} has no page", path.display());
                }
            }
        }
        let mut pages = Vec::new();
        files(&root.join("diagnostic/pages"), "md", &mut pages);
        for path in pages {
            let name = path.file_stem().and_then(|s| s.to_str()).unwrap_or("");
            assert!(page(name).is_some(), "the page {name} is not in the table");
        }
    }
}

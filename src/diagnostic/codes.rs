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
    "E0101", "E0102", "E0103", "E0104", "E0105", "E0106", "E0107", "E0108", "E0109", "E0110",
    "E0501", "E0502", "E0503", "E0504", "E0505", "E0506", "E0507", "E0508", "E0509", "E0510", "E0511", "E0512",
}

/// The page of a code, in any case.
pub fn page(code: &str) -> Option<&'static str> {
    PAGES.iter().find(|(c, _)| c.eq_ignore_ascii_case(code)).map(|(_, page)| *page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_ordered_and_have_their_parts() {
        assert!(PAGES.windows(2).all(|w| w[0].0 < w[1].0));
        for (code, page) in PAGES {
            assert!(page.starts_with(&format!("# {code}: ")), "{code}");
            assert!(page.contains("```") && page.contains("Fix"), "{code}");
        }
    }
}

//! Names of other systems (Stan, Pyro, NumPy, R), and what they are called here: the table is the library's.

/// One name a line: `there = here`, or `there: how it is written`.
const TABLE: &str = include_str!("../../stdlib/elsewhere.txt");

/// What to write for a name that other systems know, whatever its case.
pub fn meant(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    TABLE.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        if let Some(here) = line.strip_prefix(&*name).and_then(|rest| rest.strip_prefix(" = ")) {
            return Some(format!("it is called `{here}` here"));
        }
        line.strip_prefix(&*name)?.strip_prefix(": ").map(str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_exists() {
        let known = |name: &str| super::super::native::names().chain(super::super::library::names()).any(|n| n == name);
        let pairs: Vec<(&str, &str)> = TABLE.lines().filter_map(|line| line.split_once(" = ")).collect();
        assert!(pairs.len() > 20);
        for (there, here) in pairs {
            assert!(known(here), "{there} is said to be {here}");
            assert!(!known(there), "{there} has a meaning of its own");
        }
        assert!(meant("HalfNormal").is_some_and(|fix| fix.contains("half_")) && meant("mu").is_none());
    }
}

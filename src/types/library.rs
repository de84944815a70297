//! The embedded library: its files, and the index from names of items (or of types, for `support … by …`) to files.

include!(concat!(env!("OUT_DIR"), "/library.rs"));

/// Name as shown to users (`std/distributions/normal.ppl`) and text of a library file.
pub fn file(number: u32) -> (String, &'static str) {
    let (name, text) = FILES[number as usize];
    (format!("std/{name}"), text)
}

/// All names that the index knows, with repeats.
pub fn names() -> impl Iterator<Item = &'static str> + use<> {
    INDEX.iter().map(|(name, _)| *name)
}

/// Files that define an item of this name (or a bijector for a type of this name).
pub fn files_of(name: &str) -> impl Iterator<Item = u32> + use<> {
    let start = INDEX.partition_point(|(n, _)| *n < name);
    let end = INDEX.partition_point(|(n, _)| *n <= name);
    INDEX[start..end].iter().map(|(_, file)| *file)
}

/// Numbers of the files of a folder of the library, or of the file of that name (`use std::nn::{…}`).
pub fn files_under(folder: &str) -> impl Iterator<Item = u32> {
    let inside = move |name: &str| {
        name.strip_prefix(folder).is_some_and(|rest| rest.starts_with(['/', '.']) || folder.is_empty())
    };
    (0u32..).zip(FILES).filter(move |(_, (name, _))| inside(name)).map(|(number, _)| number)
}

/// Folders whose items are not in the prelude: a program names them in a `use`.
const BY_USE: [&str; 1] = ["nn"];

/// For a name that a program would have to `use`: from where.
pub fn used_from(name: &str) -> Option<String> {
    let number = files_of(name).find(|n| by_use(*n))?;
    let folder = FILES[number as usize].0.split('/').next()?;
    Some(format!("std::{folder}"))
}

/// Whether the items of a file are seen only where they are `use`d.
pub fn by_use(number: u32) -> bool {
    let (name, _) = FILES[number as usize];
    BY_USE.iter().any(|folder| name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')))
}

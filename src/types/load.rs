//! Reads a program: the user's file, the files it `use`s, and of the library the files that define what is mentioned,
//! transitively. Everything else of the library is never parsed.

use super::library;
use super::program::{ItemEntry, ItemId, Items, Module, ModuleId};
use crate::base::source::{FileId, Sources, Span};
use crate::diagnostic::Diagnostic;
use crate::syntax::parser::{NodeIds, parse_expr, parse_file};
use crate::syntax::tree::{Expr, Item, ItemKind, Name};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Where files come from.
pub trait World {
    /// The text of a file; `path` is relative to the folder of the main file.
    ///
    /// # Errors
    /// Why it could not be read.
    fn read(&self, path: &str) -> Result<String, String>;
}

/// No files beside the main one.
pub struct Alone;

impl World for Alone {
    fn read(&self, path: &str) -> Result<String, String> {
        Err(format!("there is no file `{path}`"))
    }
}

/// All that was read.
#[derive(Default)]
pub struct Loaded {
    pub sources: Sources,
    pub items: Items,
    pub main: ModuleId,
    pub ids: NodeIds,
    pub diagnostics: Vec<Diagnostic>,
    /// Imported names of library folders that do not exist yet.
    pub missing: HashSet<String>,
    files: HashMap<String, ModuleId>,
    library: HashSet<u32>,
    wanted: Vec<String>,
    seen: HashSet<String>,
    /// The command's expression, and whether it is an objective.
    pub command: Option<(Arc<Expr>, bool)>,
}

/// An expression beside the file, read as if it stood in it: one of the command line.
#[derive(Clone, Copy, Debug)]
pub enum Command<'a> {
    /// To be differentiated or printed, as what a `fit` line names.
    Objective(&'a str),
    /// To be evaluated.
    Value(&'a str),
}

/// Reads the program whose main file has this text, and the command.
pub fn load(name: &str, text: &str, world: &dyn World, command: Option<Command<'_>>) -> Loaded {
    let mut loaded = Loaded::default();
    loaded.main = loaded.user_file(name, text, world);
    if let Some(command) = command {
        loaded.command(command);
    }
    loaded.wanted.push("prefer".to_owned());
    loaded.wanted.push("real".to_owned());
    loaded.settle();
    loaded
}

impl Loaded {
    fn command(&mut self, command: Command<'_>) {
        let (text, objective) = match command {
            Command::Objective(text) => (text, true),
            Command::Value(text) => (text, false),
        };
        let file = self.sources.add("the command line", text, false);
        match parse_expr(&self.sources, file, &mut self.ids) {
            Ok(expr) => {
                let own = self.items.modules[self.main.0 as usize].scope.keys().cloned().collect();
                self.mention(text, &own);
                self.command = Some((Arc::new(expr), objective));
            }
            Err(diagnostics) => self.diagnostics.extend(diagnostics),
        }
    }

    fn user_file(&mut self, name: &str, text: &str, world: &dyn World) -> ModuleId {
        let file = self.sources.add(name, text, false);
        let (module, parsed) = self.module(file, name, false);
        self.files.insert(name.to_owned(), module);
        let own: HashSet<String> = self.items.modules[module.0 as usize].scope.keys().cloned().collect();
        self.mention(text, &own);
        for item in parsed {
            if let ItemKind::Use { path, names } = &item.kind {
                self.import(module, path, names, item.span, world);
            }
        }
        module
    }

    fn import(&mut self, into: ModuleId, path: &[Name], names: &[Name], span: Span, world: &dyn World) {
        let segments: Vec<&str> = path.iter().map(|n| n.text.as_str()).collect();
        let from: Vec<ModuleId> = if segments.first() == Some(&"std") {
            let folder = segments[1..].join("/");
            if library::files_under(&folder).next().is_none() && folder != "prelude" {
                self.diagnostics.push(
                    Diagnostic::error("E0290", span, format!("the library `{}` is not there yet", segments.join("::")))
                        .label("used here"),
                );
                self.missing.extend(names.iter().map(|n| n.text.clone()));
                return;
            }
            for name in names {
                self.wanted.push(name.text.clone());
            }
            self.settle();
            (0..self.items.modules.len()).filter(|m| self.items.modules[*m].library).map(index).collect()
        } else {
            let file = format!("{}.ppl", segments.join("/"));
            match self.files.get(&file) {
                Some(module) => vec![*module],
                None => match world.read(&file) {
                    Ok(text) => vec![self.user_file(&file, &text, world)],
                    Err(why) => {
                        self.diagnostics.push(
                            Diagnostic::error("E0208", span, format!("cannot read `{file}`"))
                                .label("used here")
                                .note(why)
                                .fix("a `use` names a file beside this one, or a folder of `std`"),
                        );
                        return;
                    }
                },
            }
        };
        for name in names {
            let found = from.iter().find_map(|m| self.items.modules[m.0 as usize].scope.get(&name.text).copied());
            match found {
                Some(item) => {
                    self.items.modules[into.0 as usize].scope.insert(name.text.clone(), item);
                }
                None => self.diagnostics.push(
                    Diagnostic::error(
                        "E0208",
                        name.span,
                        format!("`{}` has no item `{}`", segments.join("::"), name.text),
                    )
                    .label("not found"),
                ),
            }
        }
    }

    /// Parses a file as a new module; what it defines comes into its scope.
    fn module(&mut self, file: FileId, name: &str, library: bool) -> (ModuleId, Vec<Arc<Item>>) {
        let (parsed, diagnostics) = parse_file(&self.sources, file, &mut self.ids);
        self.diagnostics.extend(diagnostics);
        self.missing.extend(parsed.broken);
        let module = index(self.items.modules.len());
        self.items.modules.push(Module { name: name.to_owned(), library, scope: HashMap::new() });
        let items: Vec<Arc<Item>> = parsed.items.into_iter().map(Arc::new).collect();
        self.define(module, &items);
        (module, items)
    }

    /// Puts items into a module; of a repeated name the first stays.
    pub fn define(&mut self, module: ModuleId, items: &[Arc<Item>]) -> Vec<ItemId> {
        let library = self.items.modules[module.0 as usize].library;
        let mut made = Vec::new();
        for item in items {
            let id = ItemId(u32::try_from(self.items.items.len()).unwrap_or(u32::MAX));
            self.items.items.push(ItemEntry { module, item: item.clone() });
            made.push(id);
            let Some(name) = item_name(item) else { continue };
            let scope = &mut self.items.modules[module.0 as usize].scope;
            match scope.get(&name.text).copied() {
                None => {
                    scope.insert(name.text.clone(), id);
                    if library {
                        self.items.prelude.entry(name.text.clone()).or_insert(id);
                    }
                }
                Some(first) => {
                    let first = item_name(&self.items.items[first.0 as usize].item).map_or(item.span, |n| n.span);
                    self.diagnostics.push(
                        Diagnostic::error("E0202", name.span, format!("`{}` is defined twice", name.text))
                            .label("defined again here")
                            .also(first, "first defined here")
                            .fix("give one of them another name"),
                    );
                }
            }
        }
        made
    }

    /// Notes the identifiers of a text that the library may define.
    pub fn mention(&mut self, text: &str, own: &HashSet<String>) {
        for word in words(text) {
            if !own.contains(word) && !self.seen.contains(word) {
                self.wanted.push(word.to_owned());
            }
        }
    }

    /// Loads library files until everything mentioned is there.
    pub fn settle(&mut self) {
        while let Some(word) = self.wanted.pop() {
            if !self.seen.insert(word.clone()) {
                continue;
            }
            if word == "importance" {
                self.wanted.extend([super::particles::INDEX, super::particles::MEAN].map(str::to_owned));
            }
            for number in library::files_of(&word) {
                self.library_file(number);
            }
        }
    }

    fn library_file(&mut self, number: u32) {
        if !self.library.insert(number) {
            return;
        }
        let (name, text) = library::file(number);
        let file = self.sources.add(name.clone(), text, true);
        self.module(file, &name, true);
        self.mention(text, &HashSet::new());
    }

    /// Loads all files of a folder of the library: for suggestions.
    pub fn whole_folder(&mut self, folder: &str) {
        for number in library::files_under(folder).collect::<Vec<_>>() {
            self.library_file(number);
        }
        self.settle();
    }
}

fn index(at: usize) -> ModuleId {
    ModuleId(u32::try_from(at).unwrap_or(u32::MAX))
}

/// The name an item defines.
pub fn item_name(item: &Item) -> Option<&Name> {
    match &item.kind {
        ItemKind::Data { name, .. }
        | ItemKind::Const { name, .. }
        | ItemKind::Param { name, .. }
        | ItemKind::Plate { name, .. }
        | ItemKind::Type { name, .. }
        | ItemKind::GuideAlias { name, .. }
        | ItemKind::Family { name, .. } => Some(name),
        ItemKind::Fn(f) => Some(&f.name),
        ItemKind::Gen(g) => Some(&g.name),
        ItemKind::Dist(d) => Some(&d.name),
        ItemKind::Bijector(b) => Some(&b.name),
        ItemKind::Strategy(s) => Some(&s.name),
        ItemKind::Objective(o) => Some(&o.name),
        ItemKind::Fit { .. }
        | ItemKind::Test { .. }
        | ItemKind::Use { .. }
        | ItemKind::Prefer { .. }
        | ItemKind::SupportBijector { .. } => None,
    }
}

/// Identifiers of a text outside comments and strings.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| {
        let code = line.split("//").next().unwrap_or("");
        code.split(|c: char| !(c.is_alphanumeric() || c == '_'))
            .filter(|w| !w.is_empty() && !w.starts_with(|c: char| c.is_ascii_digit()))
    })
}

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
    /// Names whose definition is missing or broken, which is reported there.
    pub missing: HashSet<String>,
    files: HashMap<String, ModuleId>,
    /// The user's files under way, each used by the one before.
    open: Vec<String>,
    library: HashMap<u32, ModuleId>,
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
        self.open.push(name.to_owned());
        for item in parsed {
            if let ItemKind::Use { path, names } = &item.kind {
                self.import(module, path, names, item.span, world);
            }
        }
        self.open.pop();
        module
    }

    /// `use path::{names}` of a module: of the library, or of a file beside the one it stands in.
    fn import(&mut self, into: ModuleId, path: &[Name], names: &[Name], span: Span, world: &dyn World) {
        let segments: Vec<&str> = path.iter().map(|n| n.text.as_str()).collect();
        if segments.first() == Some(&"std") {
            self.import_library(into, &segments, names, span);
            return;
        }
        let folder = self.open.last().and_then(|f| f.rsplit_once('/')).map_or("", |(folder, _)| folder);
        // The main file's own folder is the one that paths are relative to.
        let folder = if self.open.len() > 1 { folder } else { "" };
        let slash = if folder.is_empty() { "" } else { "/" };
        let file = format!("{folder}{slash}{}.ppl", segments.join("/"));
        let main = self.open.first().map(|f| f.rsplit('/').next().unwrap_or(f).to_owned());
        let cycle = if main.as_deref() == Some(&file) { Some(0) } else { self.open.iter().position(|o| *o == file) };
        if let Some(start) = cycle {
            let mut round: Vec<String> = self.open[start..].iter().map(|f| format!("`{f}`")).collect();
            round.push(format!("`{file}`"));
            self.diagnostics.push(
                Diagnostic::error("E0216", span, format!("files use each other: {}", round.join(" uses ")))
                    .label("closes the circle")
                    .fix("move what both need into a third file"),
            );
            self.missing.extend(names.iter().map(|n| n.text.clone()));
            return;
        }
        let from = match self.files.get(&file) {
            Some(module) => *module,
            None => match world.read(&file) {
                Ok(text) => self.user_file(&file, &text, world),
                Err(why) => {
                    self.diagnostics.push(
                        Diagnostic::error("E0208", span, format!("cannot read `{file}`"))
                            .label("used here")
                            .note(why)
                            .fix("a `use` names a file beside this one, or a folder of `std`"),
                    );
                    self.missing.extend(names.iter().map(|n| n.text.clone()));
                    return;
                }
            },
        };
        self.bring(into, &[from], &segments, names);
    }

    fn import_library(&mut self, into: ModuleId, segments: &[&str], names: &[Name], span: Span) {
        let folder = segments[1..].join("/");
        let prelude = folder == "prelude";
        let files: Vec<u32> = library::files_under(if prelude { "" } else { &folder }).collect();
        if files.is_empty() {
            self.diagnostics.push(
                Diagnostic::error("E0208", span, format!("the library has no `{}`", segments.join("::")))
                    .label("not found")
                    .fix("the folders of the library are `std::nn`, `std::nn::spatial`, and those of the prelude, which need no `use`"),
            );
            self.missing.extend(names.iter().map(|n| n.text.clone()));
            return;
        }
        let mut from = Vec::new();
        for name in names {
            for number in library::files_of(&name.text).filter(|n| files.contains(n)) {
                from.extend(self.library_file(number));
            }
        }
        self.settle();
        self.bring(into, &from, segments, names);
    }

    /// Names of other modules come into the scope of one.
    fn bring(&mut self, into: ModuleId, from: &[ModuleId], segments: &[&str], names: &[Name]) {
        for name in names {
            let found = from.iter().find_map(|m| {
                let item = self.items.modules[m.0 as usize].scope.get(&name.text).copied()?;
                (self.items.module_of(item) == *m).then_some(item)
            });
            let family = from.iter().find_map(|m| self.items.modules[m.0 as usize].families.get(&name.text).copied());
            if let (None, Some(family)) = (found, family) {
                self.items.modules[into.0 as usize].families.insert(name.text.clone(), family);
                continue;
            }
            let Some(item) = found else {
                // Its definition is broken, which is reported there.
                if self.missing.contains(&name.text) {
                    continue;
                }
                let own = |m: &ModuleId| self.items.modules[m.0 as usize].scope.keys().map(String::as_str);
                let library = segments.first() == Some(&"std");
                let there: Vec<&str> =
                    if library { library::names().collect() } else { from.iter().flat_map(own).collect() };
                let mut d = Diagnostic::error(
                    "E0208",
                    name.span,
                    format!("`{}` has no item `{}`", segments.join("::"), name.text),
                )
                .label("not found");
                if let Some(near) =
                    crate::base::names::nearest(&name.text, there.into_iter().filter(|n| *n != name.text))
                {
                    d = d.fix(format!("did you mean `{near}`?"));
                }
                self.diagnostics.push(d);
                self.missing.insert(name.text.clone());
                continue;
            };
            let before = self.items.modules[into.0 as usize].scope.insert(name.text.clone(), item);
            if let Some(other) = before.filter(|other| *other != item) {
                let place = item_name(&self.items.items[other.0 as usize].item).map_or(name.span, |n| n.span);
                self.diagnostics.push(
                    Diagnostic::error(
                        "E0202",
                        name.span,
                        format!("`{}` is used here and has another meaning in this file", name.text),
                    )
                    .label("brought into the file here")
                    .also(place, "the other")
                    .fix("leave it out of the `use`, or give the item of this file another name"),
                );
            }
        }
    }

    /// Parses a file as a new module; what it defines comes into its scope.
    fn module(&mut self, file: FileId, name: &str, library: bool) -> (ModuleId, Vec<Arc<Item>>) {
        let (parsed, diagnostics) = parse_file(&self.sources, file, &mut self.ids);
        self.diagnostics.extend(diagnostics);
        self.missing.extend(parsed.broken);
        let module = index(self.items.modules.len());
        self.items.modules.push(Module { name: name.to_owned(), library, ..Module::default() });
        let items: Vec<Arc<Item>> = parsed.items.into_iter().map(Arc::new).collect();
        self.define(module, &items);
        (module, items)
    }

    /// Puts items into a module; of a repeated name the first stays.
    pub fn define(&mut self, module: ModuleId, items: &[Arc<Item>]) -> Vec<ItemId> {
        let mut made = Vec::new();
        for item in items {
            let id = ItemId(u32::try_from(self.items.items.len()).unwrap_or(u32::MAX));
            self.items.items.push(ItemEntry { module, item: item.clone() });
            made.push(id);
            let Some(name) = item_name(item) else { continue };
            let found = &mut self.items.modules[module.0 as usize];
            let family = matches!(item.kind, ItemKind::Family { .. });
            let scope = if family { &mut found.families } else { &mut found.scope };
            match scope.get(&name.text).copied() {
                None => {
                    scope.insert(name.text.clone(), id);
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
            for number in library::files_of(&word).filter(|n| !library::by_use(*n)) {
                self.library_file(number);
            }
        }
    }

    /// Reads a file of the library, once.
    fn library_file(&mut self, number: u32) -> Option<ModuleId> {
        if let Some(module) = self.library.get(&number) {
            return Some(*module);
        }
        let (name, text) = library::file(number);
        let file = self.sources.add(name.clone(), text, true);
        let (module, parsed) = self.module(file, &name, true);
        self.library.insert(number, module);
        if !library::by_use(number) {
            self.publish(module);
        }
        let own: HashSet<String> = self.items.modules[module.0 as usize].scope.keys().cloned().collect();
        self.mention(text, &own);
        for item in parsed {
            if let ItemKind::Use { path, names } = &item.kind {
                let segments: Vec<&str> = path.iter().map(|n| n.text.as_str()).collect();
                self.import_library(module, &segments, names, item.span);
            }
        }
        Some(module)
    }

    /// Every module sees the items of this one.
    fn publish(&mut self, module: ModuleId) {
        let own: Vec<(String, ItemId)> =
            self.items.modules[module.0 as usize].scope.iter().map(|(n, id)| (n.clone(), *id)).collect();
        for (name, id) in own {
            self.items.prelude.entry(name).or_insert(id);
        }
        for (name, id) in self.items.modules[module.0 as usize].families.clone() {
            self.items.families.entry(name).or_insert(id);
        }
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

//! The public items of one crate, counted.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use rustdoc_types::{Crate, Function, Id, Impl, Item, ItemEnum, ItemKind, StructKind, VariantKind, Visibility};
use serde::Serialize;
use serde_json::Value;

/// Crates whose types impose no version on users.
const STANDARD: [&str; 4] = ["alloc", "core", "proc_macro", "std"];

#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Structures, enumerations, unions, traits and type aliases of the crate's own.
    pub(super) types: usize,
    /// Names that another crate defines.
    pub(super) reexports: usize,
    /// Other crates of which every name is made public.
    pub(super) globs: BTreeSet<String>,
    /// Public methods, functions, and the methods of public traits.
    pub(super) functions: usize,
    /// Lines of documentation of those that are not empty.
    pub(super) doc_lines: usize,
    /// Functions that return a `Result`, in a future too.
    pub(super) results: usize,
    /// Those of them whose documentation has no `# Errors`.
    pub(super) without_errors: Vec<String>,
    /// Types of other projects in signatures and fields, by crate.
    pub(super) foreign: BTreeMap<String, BTreeSet<String>>,
}

impl Counts {
    pub(super) fn doc_lines_per_function(&self) -> f64 {
        self.doc_lines as f64 / self.functions.max(1) as f64
    }
}

pub(super) fn of(described: &Crate) -> Counts {
    let mut walk = Walk { described, seen: HashSet::new(), counts: Counts::default() };
    walk.item(described.root);
    walk.counts.without_errors.sort();
    walk.counts
}

struct Walk<'c> {
    described: &'c Crate,
    seen: HashSet<Id>,
    counts: Counts,
}

impl<'c> Walk<'c> {
    /// Counts what can be reached from an item that is public.
    fn item(&mut self, id: Id) {
        let Some(item) = self.described.index.get(&id) else { return };
        if !matches!(item.visibility, Visibility::Public | Visibility::Default) || !self.seen.insert(id) {
            return;
        }
        match &item.inner {
            ItemEnum::Module(module) => module.items.iter().for_each(|id| self.item(*id)),
            ItemEnum::Use(used) => self.reexport(used.id, used.is_glob),
            ItemEnum::Struct(structure) => {
                self.counts.types += 1;
                self.mention(&structure.generics);
                match &structure.kind {
                    StructKind::Unit => {}
                    StructKind::Tuple(fields) => fields.iter().flatten().for_each(|id| self.item(*id)),
                    StructKind::Plain { fields, .. } => fields.iter().for_each(|id| self.item(*id)),
                }
                self.impls(item, &structure.impls);
            }
            ItemEnum::Union(union) => {
                self.counts.types += 1;
                self.mention(&union.generics);
                self.impls(item, &union.impls);
            }
            ItemEnum::Enum(enumeration) => {
                self.counts.types += 1;
                self.mention(&enumeration.generics);
                enumeration.variants.iter().for_each(|id| self.item(*id));
                self.impls(item, &enumeration.impls);
            }
            ItemEnum::Variant(variant) => match &variant.kind {
                VariantKind::Plain => {}
                VariantKind::Tuple(fields) => fields.iter().flatten().for_each(|id| self.item(*id)),
                VariantKind::Struct { fields, .. } => fields.iter().for_each(|id| self.item(*id)),
            },
            ItemEnum::Trait(definition) => {
                self.counts.types += 1;
                self.mention(&definition.bounds);
                self.members(item, &definition.items);
            }
            ItemEnum::TypeAlias(alias) => {
                self.counts.types += 1;
                self.mention(alias);
            }
            ItemEnum::StructField(field) => self.mention(field),
            ItemEnum::Constant { type_, .. } => self.mention(type_),
            ItemEnum::Function(function) => self.function(None, item, function),
            _ => {}
        }
    }

    fn reexport(&mut self, target: Option<Id>, is_glob: bool) {
        let Some(target) = target else { return };
        match self.described.index.get(&target).map(|item| &item.inner) {
            // The variants or items behind the star are public too.
            Some(ItemEnum::Module(module)) if is_glob => module.items.iter().for_each(|id| self.item(*id)),
            Some(_) => self.item(target),
            None if is_glob => {
                let path = self.described.paths.get(&target).map(|summary| summary.path.join("::"));
                self.counts.globs.insert(path.unwrap_or_default());
            }
            None => {
                self.counts.reexports += 1;
                self.mention_id(target);
            }
        }
    }

    fn impls(&mut self, of: &'c Item, impls: &[Id]) {
        for id in impls {
            let Some(ItemEnum::Impl(block)) = self.described.index.get(id).map(|item| &item.inner) else { continue };
            if let Impl { trait_: None, is_synthetic: false, .. } = block {
                self.members(of, &block.items);
            } else if let Impl { trait_: Some(implemented), is_synthetic: false, blanket_impl: None, .. } = block {
                // `From<Foreign>` binds as much as a signature; which traits there are does not.
                self.mention(&implemented.args);
            }
        }
    }

    /// The functions of a trait or an `impl`.
    fn members(&mut self, of: &'c Item, items: &[Id]) {
        for id in items {
            let Some(item) = self.described.index.get(id) else { continue };
            let is_public = matches!(item.visibility, Visibility::Public | Visibility::Default);
            if let ItemEnum::Function(function) = &item.inner
                && is_public
                && self.seen.insert(*id)
            {
                self.function(of.name.as_deref(), item, function);
            }
        }
    }

    fn function(&mut self, of: Option<&str>, item: &Item, function: &Function) {
        self.mention(&function.sig);
        self.mention(&function.generics);
        let docs = item.docs.as_deref().unwrap_or_default();
        self.counts.functions += 1;
        self.counts.doc_lines += docs.lines().filter(|line| !line.trim().is_empty()).count();
        if !function.sig.output.as_ref().is_some_and(|output| self.is_result(&as_value(output))) {
            return;
        }
        self.counts.results += 1;
        if !docs.lines().any(|line| line.trim() == "# Errors") {
            let name = item.name.as_deref().unwrap_or_default();
            self.counts.without_errors.push(of.map_or_else(|| name.to_owned(), |of| format!("{of}::{name}")));
        }
    }

    /// Whether a type is a `Result`, or a future of one; aliases are followed.
    fn is_result(&self, output: &Value) -> bool {
        let path = &output["resolved_path"];
        if path["path"].as_str().is_some_and(|path| path.rsplit("::").next() == Some("Result")) {
            return true;
        }
        let named = id_in(path).and_then(|id| self.described.index.get(&id));
        match named.map(|item| &item.inner) {
            Some(ItemEnum::TypeAlias(alias)) => self.is_result(&as_value(&alias.type_)),
            _ => output_of_future(output).is_some_and(|output| self.is_result(output)),
        }
    }

    /// Notes the types of other projects in a part of a signature.
    fn mention(&mut self, part: &impl Serialize) {
        let mut found = Vec::new();
        paths_in(&as_value(part), &mut found);
        found.into_iter().for_each(|id| self.mention_id(id));
    }

    fn mention_id(&mut self, id: Id) {
        let Some(summary) = self.described.paths.get(&id) else { return };
        let Some(from) = self.described.external_crates.get(&summary.crate_id) else { return };
        let ours = from.name.starts_with("highwater") || STANDARD.contains(&from.name.as_str());
        if !ours {
            let kind = if summary.kind == ItemKind::Module { " (re-exported)" } else { "" };
            let name = format!("{}{kind}", summary.path.join("::"));
            self.counts.foreign.entry(from.name.clone()).or_default().insert(name);
        }
    }
}

fn as_value(part: &impl Serialize) -> Value {
    serde_json::to_value(part).unwrap_or_default()
}

/// Every path of a type or trait in a piece of rustdoc's JSON: an object with a `path` and an `id`.
fn paths_in(value: &Value, found: &mut Vec<Id>) {
    match value {
        Value::Object(members) => {
            if members.get("path").is_some_and(Value::is_string) {
                found.extend(id_in(value));
            }
            members.values().for_each(|value| paths_in(value, found));
        }
        Value::Array(elements) => elements.iter().for_each(|value| paths_in(value, found)),
        _ => {}
    }
}

fn id_in(path: &Value) -> Option<Id> {
    path.get("id").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok()).map(Id)
}

/// The type in a `Future<Output = ..>` somewhere in another type.
fn output_of_future(value: &Value) -> Option<&Value> {
    match value {
        Value::Object(members) if value["name"] == "Output" && value["binding"]["equality"].is_object() => {
            members["binding"]["equality"].get("type")
        }
        Value::Object(members) => members.values().find_map(output_of_future),
        Value::Array(elements) => elements.iter().find_map(output_of_future),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What rustdoc says of a small library.
    fn described(source: &str) -> Crate {
        let folder = std::env::temp_dir().join(format!("highwater-public-api-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("small.rs"), source).unwrap();
        let mut rustdoc = std::process::Command::new("rustdoc");
        rustdoc.current_dir(&folder).env("RUSTC_BOOTSTRAP", "1");
        rustdoc.args(["--edition", "2024", "--crate-type", "lib", "-Z", "unstable-options", "--output-format", "json"]);
        assert!(rustdoc.arg("small.rs").status().unwrap().success());
        let text = std::fs::read_to_string(folder.join("doc/small.json")).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        serde_json::from_str(&text).expect("rustdoc-types reads what this toolchain's rustdoc writes")
    }

    #[test]
    fn public_items_are_counted_and_others_are_not() {
        let counts = of(&described(
            "mod inner { pub struct Shown; pub struct Unreachable; }
            pub use inner::Shown;
            pub use std::collections::BTreeMap;
            #[doc(hidden)] pub struct Hidden;
            pub type Answer<T> = std::result::Result<T, ()>;
            pub type Later<'a> = std::pin::Pin<Box<dyn Future<Output = Answer<u8>> + 'a>>;
            pub trait Source { fn next(&self) -> Later<'_>; }
            impl Source for Shown { fn next(&self) -> Later<'_> { unimplemented!() } }
            impl Shown {
                /// Reads.
                ///
                /// # Errors
                /// Always.
                pub async fn read(&self) -> Answer<()> { Err(()) }
                pub fn count(&self) -> usize { 0 }
                fn private(&self) {}
            }
            pub fn free<F: Future>(f: F) -> F::Output { unimplemented!() }",
        ));
        assert_eq!((counts.types, counts.reexports, counts.functions), (4, 1, 4));
        assert_eq!((counts.doc_lines, counts.results), (3, 2));
        assert_eq!(counts.without_errors, ["Source::next"]);
        assert!(counts.foreign.is_empty() && counts.globs.is_empty());
    }
}

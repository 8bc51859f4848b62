//! Reads tables of a TOML document key by key: every problem is noted with its line, every key that nobody asked for too.

use std::{cell::RefCell, fmt, path::PathBuf};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    fingerprint::FilesRead,
    problems::{Gathered, did_you_mean},
    sources::Sources,
};

/// What all tables of a document share.
pub(super) struct Document<'d> {
    pub(super) text: &'d str,
    pub(super) problems: &'d Gathered,
    pub(super) sources: &'d Sources<'d>,
    pub(super) read: &'d FilesRead,
}

impl Document<'_> {
    fn line(&self, at: usize) -> usize {
        let before = self.text.as_bytes().get(..at).unwrap_or_default();
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }
}

/// One table and what was asked of it.
pub(super) struct Table<'d> {
    document: &'d Document<'d>,
    /// `None`: it is not there; its keys have their defaults.
    table: Option<&'d DeTable<'d>>,
    path: String,
    line: usize,
    asked: RefCell<Vec<String>>,
}

/// A value with its place.
#[derive(Debug, Clone)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) line: usize,
}

impl<'d> Table<'d> {
    pub(super) fn root(document: &'d Document<'d>, table: &'d DeTable<'d>) -> Self {
        Self { document, table: Some(table), path: String::new(), line: 0, asked: RefCell::default() }
    }

    pub(super) fn is_there(&self) -> bool {
        self.table.is_some()
    }

    pub(super) fn line(&self) -> usize {
        self.line
    }

    /// The dotted key of one of its keys.
    pub(super) fn key(&self, name: &str) -> String {
        match (self.path.is_empty(), name.is_empty()) {
            (true, _) => name.to_owned(),
            (false, true) => self.path.clone(),
            (false, false) => format!("{}.{name}", self.path),
        }
    }

    pub(super) fn problem(&self, line: usize, name: &str, what: impl Into<String>) {
        self.document.problems.add(line, self.key(name), what);
    }

    fn get(&self, name: &str) -> Option<(&'d Spanned<DeValue<'d>>, usize)> {
        self.asked.borrow_mut().push(name.to_owned());
        let value = self.table?.get(name)?;
        Some((value, self.document.line(value.span().start)))
    }

    fn wrong_type(&self, line: usize, name: &str, wanted: &str, found: &DeValue<'_>) {
        self.problem(line, name, format!("must be {wanted}, not {}", found.type_str()));
    }

    /// A table within; one that is not there has no keys.
    pub(super) fn table(&self, name: &str) -> Table<'d> {
        let found = self.get(name);
        let table = found.and_then(|(value, line)| {
            let table = value.get_ref().as_table();
            if table.is_none() {
                self.wrong_type(line, name, &format!("a table, [{}]", self.key(name)), value.get_ref());
            }
            table
        });
        let line = found.map_or(self.line, |(_, line)| line);
        Table { document: self.document, table, path: self.key(name), line, asked: RefCell::default() }
    }

    /// The tables of an array; each is called by its `name` key, or by its number.
    pub(super) fn tables(&self, name: &str) -> Vec<Table<'d>> {
        let Some((value, line)) = self.get(name) else { return Vec::new() };
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(line, name, &format!("tables, [[{}]]", self.key(name)), value.get_ref());
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (index, entry) in array.iter().enumerate() {
            let line = self.document.line(entry.span().start);
            let Some(table) = entry.get_ref().as_table() else {
                self.wrong_type(line, name, &format!("tables, [[{}]]", self.key(name)), entry.get_ref());
                continue;
            };
            let called = table.get("name").and_then(|value| value.get_ref().as_str());
            let called = called.map_or_else(|| (index + 1).to_string(), str::to_owned);
            let path = format!("{}.{called}", self.key(name));
            tables.push(Table {
                document: self.document,
                table: Some(table),
                path,
                line,
                asked: RefCell::default(),
            });
        }
        tables
    }

    pub(super) fn string(&self, name: &str) -> Option<Placed<String>> {
        let (value, line) = self.get(name)?;
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_type(line, name, "a string", value.get_ref());
            return None;
        };
        Some(Placed { value: text.to_owned(), line })
    }

    pub(super) fn required(&self, name: &str) -> Option<Placed<String>> {
        if self.table.is_some_and(|table| table.contains_key(name)) {
            return self.string(name);
        }
        self.get(name);
        self.problem(self.line, name, "is missing");
        None
    }

    /// A string that means something: `None` when it is absent or was found wrong.
    pub(super) fn parsed<T, E: fmt::Display>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let Placed { value, line } = self.string(name)?;
        self.parse(&value, line, name, parse)
    }

    pub(super) fn required_parsed<T, E: fmt::Display>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let Placed { value, line } = self.required(name)?;
        self.parse(&value, line, name, parse)
    }

    fn parse<T, E: fmt::Display>(
        &self,
        value: &str,
        line: usize,
        name: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        match parse(value) {
            Ok(parsed) => Some(parsed),
            Err(what) => {
                self.problem(line, name, what.to_string());
                None
            }
        }
    }

    pub(super) fn boolean(&self, name: &str, default: bool) -> bool {
        let Some((value, line)) = self.get(name) else { return default };
        value.get_ref().as_bool().unwrap_or_else(|| {
            self.wrong_type(line, name, "true or false", value.get_ref());
            default
        })
    }

    pub(super) fn count(&self, name: &str, default: usize) -> usize {
        let Some((value, line)) = self.get(name) else { return default };
        let number =
            value.get_ref().as_integer().map(|number| usize::from_str_radix(number.as_str(), number.radix()));
        match number {
            Some(Ok(number)) => number,
            _ => {
                self.wrong_type(line, name, "a whole number, 0 or more", value.get_ref());
                default
            }
        }
    }

    pub(super) fn strings(&self, name: &str) -> Vec<Placed<String>> {
        let Some((value, line)) = self.get(name) else { return Vec::new() };
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(line, name, "a list of strings", value.get_ref());
            return Vec::new();
        };
        let mut strings = Vec::new();
        for entry in array {
            let line = self.document.line(entry.span().start);
            match entry.get_ref().as_str() {
                Some(text) => strings.push(Placed { value: text.to_owned(), line }),
                None => self.wrong_type(line, name, "a list of strings", entry.get_ref()),
            }
        }
        strings
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(name))
    }

    /// Every key with what it may be: a string, a truth value, a whole number, or a list of them, as texts.
    pub(super) fn choices(&self) -> Vec<(String, Vec<String>, usize)> {
        let mut choices = Vec::new();
        for (name, value) in self.table.into_iter().flatten() {
            let line = self.document.line(value.span().start);
            self.asked.borrow_mut().push(name.get_ref().to_string());
            let list = value.get_ref().as_array().map_or_else(|| vec![value], |array| array.iter().collect());
            let mut texts = Vec::new();
            for entry in list {
                match text_of(entry.get_ref()) {
                    Some(text) => texts.push(text),
                    None => {
                        let wanted = "a string, a truth value, a whole number or a list of them";
                        self.wrong_type(line, name.get_ref(), wanted, entry.get_ref());
                    }
                }
            }
            choices.push((name.get_ref().to_string(), texts, line));
        }
        choices
    }

    /// A secret that may be absent.
    pub(super) fn optional_secret(&self, name: &str) -> Option<Placed<String>> {
        let names = [name.to_owned(), format!("{name}_file"), format!("{name}_env")];
        if names.iter().any(|name| self.has(name)) {
            return self.secret(name);
        }
        self.asked.borrow_mut().extend(names);
        None
    }

    /// A secret by value, file or environment variable, exactly one of them.
    pub(super) fn secret(&self, name: &str) -> Option<Placed<String>> {
        let names = [name.to_owned(), format!("{name}_file"), format!("{name}_env")];
        let given: Vec<&String> = names
            .iter()
            .filter(|name| self.table.is_some_and(|table| table.contains_key(name.as_str())))
            .collect();
        self.asked.borrow_mut().extend(names.iter().cloned());
        let [one] = given.as_slice() else {
            let what = if given.is_empty() { "is missing" } else { "is given more than once" };
            self.problem(self.line, name, format!("{what}: give exactly one of {}", names.join(", ")));
            return None;
        };
        let Placed { value, line } = self.string(one)?;
        let sources = self.document.sources;
        let secret = match one.strip_prefix(name) {
            Some("_file") => {
                sources.secret_file(&value).inspect(|secret| self.note(&value, secret.as_bytes()))
            }
            Some("_env") => sources.variable(&value),
            _ => Ok(value),
        };
        match secret {
            Ok(secret) if secret.is_empty() => {
                self.problem(line, one, "is empty");
                None
            }
            Ok(value) => Some(Placed { value, line }),
            Err(what) => {
                self.problem(line, one, what);
                None
            }
        }
    }

    /// The bytes of a file that is named; `secret`: nobody else may read it.
    pub(super) fn file(&self, name: &str, secret: bool) -> Option<Placed<Vec<u8>>> {
        let Placed { value, line } = self.string(name)?;
        match self.document.sources.file(&value, secret) {
            Ok(bytes) => {
                self.note(&value, &bytes);
                Some(Placed { value: bytes, line })
            }
            Err(what) => {
                self.problem(line, name, what);
                None
            }
        }
    }

    fn note(&self, file: &str, bytes: &[u8]) {
        self.document.read.note(&self.path, self.path_of(file), bytes);
    }

    pub(super) fn path_of(&self, file: &str) -> PathBuf {
        self.document.sources.path(file)
    }

    /// Notes the keys that nobody asked for.
    pub(super) fn finish(self) {
        let asked = self.asked.borrow();
        for (name, _) in self.table.into_iter().flatten() {
            if !asked.iter().any(|known| known == name.get_ref()) {
                let hint = did_you_mean(name.get_ref(), asked.iter().map(String::as_str));
                self.problem(
                    self.document.line(name.span().start),
                    name.get_ref(),
                    format!("is not a known key{hint}"),
                );
            }
        }
    }
}

fn text_of(value: &DeValue<'_>) -> Option<String> {
    if let Some(integer) = value.as_integer() {
        return i64::from_str_radix(integer.as_str(), integer.radix()).ok().map(|number| number.to_string());
    }
    value.as_str().map(str::to_owned).or_else(|| value.as_bool().map(|value| value.to_string()))
}

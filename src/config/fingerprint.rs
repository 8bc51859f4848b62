//! What a configuration is made of, piece by piece, so that two can be compared without anything of them being shown.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use toml::de::{DeTable, DeValue};

use crate::digest::sha256;

/// A hash for each section, named entry and file: `policy.read-logs`, `listen`, `file tls/server.pem of listen`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fingerprint {
    pieces: BTreeMap<String, [u8; 32]>,
    /// Every file that was read, the configuration first.
    files: Vec<PathBuf>,
}

/// What is different, in the order of the names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Added(String),
    Changed(String),
    Removed(String),
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Added(name) => write!(f, "{name} added"),
            Self::Changed(name) => write!(f, "{name} changed"),
            Self::Removed(name) => write!(f, "{name} removed"),
        }
    }
}

impl Change {
    fn name(&self) -> &str {
        match self {
            Self::Added(name) | Self::Changed(name) | Self::Removed(name) => name,
        }
    }

    /// Whether it is in this section of the file, or in a file that the section names.
    pub fn is_in(&self, section: &str) -> bool {
        let name = self.name().rsplit_once(" of ").map_or(self.name(), |(_, section)| section);
        name == section || name.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'))
    }
}

impl Fingerprint {
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// What `newer` has different.
    pub fn changes(&self, newer: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        for (name, hash) in &newer.pieces {
            match self.pieces.get(name) {
                None => changes.push(Change::Added(name.clone())),
                Some(known) if known != hash => changes.push(Change::Changed(name.clone())),
                Some(_) => {}
            }
        }
        let gone = self.pieces.keys().filter(|name| !newer.pieces.contains_key(*name));
        changes.extend(gone.map(|name| Change::Removed(name.clone())));
        changes
    }

    pub(super) fn of(path: &Path, table: &DeTable<'_>, read: FilesRead) -> Self {
        let mut fingerprint = Self { files: vec![path.to_owned()], ..Self::default() };
        for (key, value) in table {
            match value.get_ref() {
                DeValue::Array(entries) => {
                    for (index, entry) in entries.iter().enumerate() {
                        let name = entry.get_ref().as_table().and_then(|table| table.get("name"));
                        let name = name.and_then(|name| name.get_ref().as_str());
                        let name = name.map_or_else(|| (index + 1).to_string(), str::to_owned);
                        fingerprint
                            .add(format!("{}.{name}", key.get_ref()), written(entry.get_ref()).as_bytes());
                    }
                }
                other => fingerprint.add(key.get_ref().to_string(), written(other).as_bytes()),
            }
        }
        for FileRead { section, path, hash } in read.0.into_inner() {
            fingerprint.pieces.insert(format!("file {} of {section}", path.display()), hash);
            if !fingerprint.files.contains(&path) {
                fingerprint.files.push(path);
            }
        }
        fingerprint
    }

    fn add(&mut self, name: String, bytes: &[u8]) {
        self.pieces.insert(name, sha256(bytes));
    }
}

/// The files that were read, while they are read.
#[derive(Debug, Default)]
pub(super) struct FilesRead(RefCell<Vec<FileRead>>);

#[derive(Debug)]
struct FileRead {
    /// The table that names it.
    section: String,
    path: PathBuf,
    hash: [u8; 32],
}

impl FilesRead {
    pub(super) fn note(&self, section: &str, path: PathBuf, bytes: &[u8]) {
        self.0.borrow_mut().push(FileRead { section: section.to_owned(), path, hash: sha256(bytes) });
    }
}

/// A value in one form, wherever it stands in the file.
fn written(value: &DeValue<'_>) -> String {
    let mut text = String::new();
    write_value(&mut text, value);
    text
}

fn write_value(text: &mut String, value: &DeValue<'_>) {
    match value {
        DeValue::Table(table) => {
            let mut members: Vec<_> = table.iter().collect();
            members.sort_by(|(a, _), (b, _)| a.get_ref().cmp(b.get_ref()));
            for (key, value) in members {
                // Writing to a string does not fail.
                let _ = write!(text, "{{{:?}:", key.get_ref());
                write_value(text, value.get_ref());
                text.push('}');
            }
        }
        DeValue::Array(list) => {
            for value in list {
                text.push('[');
                write_value(text, value.get_ref());
                text.push(']');
            }
        }
        DeValue::String(string) => {
            let _ = write!(text, "{string:?}");
        }
        DeValue::Integer(number) => text.push_str(number.as_str()),
        DeValue::Float(number) => text.push_str(number.as_str()),
        DeValue::Boolean(value) => text.push_str(if *value { "true" } else { "false" }),
        DeValue::Datetime(at) => {
            let _ = write!(text, "{at}");
        }
    }
}

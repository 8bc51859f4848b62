//! What a configuration refers to: files beside it and the environment.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

/// The largest file that is read.
const MAX_FILE: u64 = 1024 * 1024;

/// Where values that are not in the file itself come from.
pub(super) struct Sources<'s> {
    pub(super) folder: &'s Path,
    pub(super) environment: &'s dyn Fn(&str) -> Option<String>,
}

impl Sources<'_> {
    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// The bytes of a file. A secret one must be closed to everybody but its owner and group.
    pub(super) fn file(&self, name: &str, secret: bool) -> Result<Vec<u8>, String> {
        let path = self.path(name);
        let shown = path.display();
        let file = fs::File::open(&path).map_err(|cause| format!("{shown} cannot be read: {cause}"))?;
        let metadata = file.metadata().map_err(|cause| format!("{shown} cannot be read: {cause}"))?;
        if !metadata.is_file() {
            return Err(format!("{shown} is not a file"));
        }
        if secret && is_open_to_others(&metadata) {
            return Err(format!(
                "{shown} is open to every user of this machine; close it: chmod o-rwx {shown}"
            ));
        }
        let mut bytes = Vec::new();
        file.take(MAX_FILE + 1)
            .read_to_end(&mut bytes)
            .map_err(|cause| format!("{shown} cannot be read: {cause}"))?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(format!("{shown} is larger than 1 MiB, which no file named here needs to be"));
        }
        Ok(bytes)
    }

    /// A secret's text, without the line break at its end.
    pub(super) fn secret_file(&self, name: &str) -> Result<String, String> {
        let text = String::from_utf8(self.file(name, true)?)
            .map_err(|_| format!("{} is not text", self.path(name).display()))?;
        let line = text.strip_suffix('\n').unwrap_or(&text);
        Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
    }

    pub(super) fn variable(&self, name: &str) -> Result<String, String> {
        (self.environment)(name).ok_or_else(|| format!("the environment variable {name} is not set"))
    }
}

#[cfg(unix)]
fn is_open_to_others(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o007 != 0
}

#[cfg(not(unix))]
fn is_open_to_others(_: &fs::Metadata) -> bool {
    false
}

//! The files that are examined. A test puts them below a directory of its own.

use std::fs;
use std::path::{Path, PathBuf};

/// The root directory, or a directory in its place.
#[derive(Debug, Clone)]
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new(root: &Path) -> Self {
        Self(root.to_owned())
    }

    /// Whether the files are this machine's.
    pub(crate) fn is_this_machine(&self) -> bool {
        self.0 == Path::new("/")
    }

    /// Whether the configuration and the kernel's reports are in files here.
    pub(crate) fn has_system_files(&self) -> bool {
        cfg!(unix) || !self.is_this_machine()
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    /// The text of a file, if it can be read. At most a megabyte of it: a file that is larger is no
    /// configuration.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        read(&self.path(path))
    }

    /// The files of a directory with their texts, by name.
    pub(crate) fn texts(&self, directory: &str) -> Vec<(String, String)> {
        let entries = fs::read_dir(self.path(directory)).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort_unstable();
        let read = |name| {
            let path = format!("{directory}/{name}");
            self.text(&path).map(|text| (path, text))
        };
        names.into_iter().filter_map(read).collect()
    }
}

/// Only regular files: a FIFO would block.
fn read(path: &Path) -> Option<String> {
    use std::io::Read as _;

    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

const MAX_BYTES: u64 = 1 << 20;

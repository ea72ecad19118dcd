//! The files that the daemon writes: where they are, and what their names must be.

use std::path::{Path, PathBuf};

/// The usual place of the status file. Other systems than Linux have no `/run`.
pub(crate) const DEFAULT_STATUS_FILE: &str = if cfg!(target_os = "linux") {
    "/run/httptime/status.json"
} else if cfg!(windows) {
    "C:\\ProgramData\\httptime\\status.json"
} else {
    "/var/run/httptime/status.json"
};

/// Where the statistics are written, and how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogSettings {
    pub(crate) directory: PathBuf,
    /// A file is rotated before it becomes larger, in bytes.
    pub(crate) size: u64,
    /// How many files of each kind there are at most, with the current one.
    pub(crate) files: u32,
}

/// Whether `node_exporter` reads a file with this name.
pub(crate) fn check_textfile_name(path: &Path) -> Result<(), &'static str> {
    match path.extension().is_some_and(|extension| extension == "prom") {
        true => Ok(()),
        false => Err("allowed: a name that ends in .prom, because node_exporter reads no other"),
    }
}

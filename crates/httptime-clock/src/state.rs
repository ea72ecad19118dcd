//! The state that survives a restart: the frequency, its standard deviation and its time, and the
//! time of saving.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use httptime::{IoError, Timestamp};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::frequency::Frequency;

/// The state that survives a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "callers create it from stored values")]
pub struct SavedState {
    /// The frequency correction: how much faster than its oscillator the clock ran.
    pub frequency: Frequency,
    /// The standard deviation of that, at [`measured_at`](Self::measured_at).
    pub stddev: Frequency,
    /// The clock at the latest measurement. The frequency ages from here: saving the state again
    /// without a new measurement does not change this.
    pub measured_at: Timestamp,
    /// The clock when the state was saved. It never shows an earlier time again, unless someone
    /// sets it back.
    pub saved_at: Timestamp,
}

/// The reason why a state could not be read or written.
#[non_exhaustive]
#[derive(Debug, Error)]
pub enum StateError {
    /// The file cannot be read.
    #[error("cannot read the state file {}: {}", .path.display(), IoError::from(.source))]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write the state file {}: {}", .path.display(), IoError::from(.source))]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file is not a saved state.
    #[error("the state file {} is malformed: {reason}; delete it", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// As it stands in the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    frequency_ppm: f64,
    stddev_ppm: f64,
    /// [default: the time of saving]
    measured_at_unix_ns: Option<i64>,
    saved_at_unix_ns: i64,
}

impl SavedState {
    /// Reads a state that [`save`](Self::save) wrote; `None` if there is no such file.
    ///
    /// # Errors
    /// [`StateError::Read`], [`StateError::Malformed`].
    pub fn load(path: &Path) -> Result<Option<Self>, StateError> {
        let malformed = |reason: String| StateError::Malformed { path: path.into(), reason };
        // A read of a FIFO would wait for a writer, and one of a device might never end.
        let is_other = |found: &fs::Metadata| !found.is_file() && !found.is_dir();
        if fs::metadata(path).is_ok_and(|found| is_other(&found)) {
            return Err(malformed("it is not a regular file".into()));
        }
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StateError::Read { path: path.into(), source }),
        };
        let record: Record = toml::from_str(&text).map_err(|error| {
            // The whole message has several lines.
            let before = error.span().map_or("", |span| text.get(..span.start).unwrap_or(""));
            let line = before.matches('\n').count() + 1;
            malformed(format!("line {line}: {}", error.message().replace('\n', ", ")))
        })?;
        if !(record.frequency_ppm.is_finite() && record.stddev_ppm >= 0.0) {
            return Err(malformed(
                "a frequency is not a number, or its deviation is negative".into(),
            ));
        }
        Ok(Some(Self {
            frequency: Frequency::from_ppm(record.frequency_ppm).clamped(),
            stddev: Frequency::from_ppm(record.stddev_ppm),
            measured_at: Timestamp::from_unix_nanos(
                record.measured_at_unix_ns.unwrap_or(record.saved_at_unix_ns),
            ),
            saved_at: Timestamp::from_unix_nanos(record.saved_at_unix_ns),
        }))
    }

    /// Writes the state. There is always a complete file, the old one or the new one, whenever the
    /// machine stops.
    ///
    /// # Errors
    /// [`StateError::Write`]
    pub fn save(&self, path: &Path) -> Result<(), StateError> {
        let failed = |source| StateError::Write { path: path.into(), source };
        let record = Record {
            frequency_ppm: self.frequency.as_ppm(),
            stddev_ppm: self.stddev.as_ppm(),
            measured_at_unix_ns: Some(self.measured_at.as_unix_nanos()),
            saved_at_unix_ns: self.saved_at.as_unix_nanos(),
        };
        let text = toml::to_string(&record).map_err(|error| failed(io::Error::other(error)))?;
        replace_file(path, text.as_bytes()).map_err(failed)
    }
}

/// Replaces a file atomically: writes a new file beside the old one, flushes it to the disk, and
/// renames it over the old one.
///
/// The temporary name is always `.NAME.new`, so that a killed process leaves at most one such file.
/// An existing file of that name is removed and never written to: in a directory where others may
/// write, it can be a link to any file. After a failure the temporary file is removed, so that it
/// does not use space on a full disk.
///
/// # Errors
/// The system's error; the old file is then still there.
pub fn replace_file(path: &Path, contents: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let beside = folder.join(format!(".{}.new", name.to_string_lossy()));
    if let Err(error) = write_new_file(&beside, contents).and_then(|()| fs::rename(&beside, path)) {
        let _ = fs::remove_file(&beside);
        return Err(error);
    }
    // The rename is on the disk once the directory is. Some file systems do not support that.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

fn write_new_file(path: &Path, contents: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // O_EXCL: a link that was created there in the meantime is an error.
    let mut file = File::create_new(path)?;
    file.write_all(contents)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: SavedState = SavedState {
        frequency: Frequency::from_scaled_ppm(-12_345_678),
        stddev: Frequency::from_scaled_ppm(4321),
        measured_at: Timestamp::from_unix_nanos(1_795_391_000_123_456_789),
        saved_at: Timestamp::from_unix_nanos(1_795_392_000_123_456_789),
    };

    fn folder(name: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("httptime-state-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).expect("created");
        folder
    }

    #[test]
    fn a_state_is_read_as_it_was_saved_and_saved_over() {
        let folder = folder("saved");
        let path = folder.join("state.toml");
        assert_eq!(SavedState::load(&path).expect("nothing there"), None);
        STATE.save(&path).expect("saved");
        assert_eq!(SavedState::load(&path).expect("read"), Some(STATE));
        let later = SavedState { frequency: Frequency::ZERO, ..STATE };
        later.save(&path).expect("saved again");
        assert_eq!(SavedState::load(&path).expect("read"), Some(later));
        assert_eq!(fs::read_dir(&folder).expect("listed").count(), 1, "nothing left beside it");
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn half_a_file_beside_it_does_no_harm() {
        let folder = folder("half");
        let path = folder.join("state.toml");
        STATE.save(&path).expect("saved");
        fs::write(folder.join(".state.toml.new"), "frequency_pp").expect("written");
        assert_eq!(SavedState::load(&path).expect("read"), Some(STATE));
        STATE.save(&path).expect("saved");
        assert_eq!(fs::read_dir(&folder).expect("listed").count(), 1);
        fs::remove_dir_all(folder).expect("removed");
    }

    #[cfg(unix)]
    #[test]
    fn a_fifo_in_its_place_is_an_error_and_a_save_replaces_it() {
        let folder = folder("fifo");
        let path = folder.join("state.toml");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.expect("mkfifo runs").success());
        let (done, read) = std::sync::mpsc::channel();
        let fifo = path.clone();
        // If it waits for a writer, this thread never ends.
        std::thread::spawn(move || done.send(SavedState::load(&fifo)));
        let read = read.recv_timeout(std::time::Duration::from_secs(20)).expect("it does not wait");
        let error = read.expect_err("a FIFO").to_string();
        assert!(error.ends_with("state.toml is malformed: it is not a regular file; delete it"));
        STATE.save(&path).expect("saved");
        assert_eq!(SavedState::load(&path).expect("read"), Some(STATE));
        fs::remove_dir_all(folder).expect("removed");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_laid_beside_it_is_not_written_through() {
        let folder = folder("link");
        let (path, link_target) = (folder.join("state.toml"), folder.join("elsewhere"));
        fs::write(&link_target, "precious").expect("written");
        std::os::unix::fs::symlink(&link_target, folder.join(".state.toml.new")).expect("linked");
        STATE.save(&path).expect("saved");
        assert_eq!(fs::read_to_string(&link_target).expect("still there"), "precious");
        assert!(fs::symlink_metadata(&path).expect("there").is_file(), "no link itself");
        assert_eq!(SavedState::load(&path).expect("read"), Some(STATE));
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn what_cannot_take_the_file_s_place_is_not_left_beside_it() {
        let folder = folder("taken");
        let path = folder.join("state.toml");
        fs::create_dir(&path).expect("created");
        STATE.save(&path).expect_err("a folder is there");
        assert_eq!(fs::read_dir(&folder).expect("listed").count(), 1);
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn what_is_no_state_is_an_error_that_names_the_file() {
        let folder = folder("broken");
        let path = folder.join("state.toml");
        for text in [
            "",
            "frequency_ppm = 1.0",
            "frequency_ppm = nan\nstddev_ppm = 1.0\nsaved_at_unix_ns = 0",
            "frequency_ppm = 1.0\nstddev_ppm = -1.0\nsaved_at_unix_ns = 0",
            "frequency_ppm = 1.0\nstddev_ppm = 1.0\nsaved_at_unix_ns = 0\nmore = 1",
        ] {
            fs::write(&path, text).expect("written");
            let error = SavedState::load(&path).expect_err(text).to_string();
            assert!(error.contains("state.toml is malformed: "), "{text:?}: {error}");
        }
        let unwritable = folder.join("missing").join("state.toml");
        let error = STATE.save(&unwritable).expect_err("no folder").to_string();
        assert!(error.starts_with("cannot write "), "{error}");
        fs::remove_dir_all(folder).expect("removed");
    }
}

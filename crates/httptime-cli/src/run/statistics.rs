//! The statistics in `log_dir`, as chrony's `measurements.log` and `tracking.log`: a line for each
//! server and a line for each correction, in files that are rotated by size.
//!
//! A file is opened for each line. So it can be moved away at any time, and no signal is needed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use httptime::IoError;

use super::failure_log::FailureLog;
use super::outputs::LogSettings;
use crate::status::document::{Document, Outcome, Server, ServerStatus};

#[derive(Debug, Default)]
pub(crate) struct Statistics {
    failures: FailureLog,
}

impl Statistics {
    /// Adds the result of the last measurement, whether it succeeded or not.
    pub(crate) fn add(&mut self, settings: &LogSettings, document: &Document) {
        let measured = document.servers.iter().map(|server| measurement(server, document));
        let mut written = settings.append("measurements.log", MEASUREMENTS, measured.collect());
        if let (Ok(()), Some(line)) = (&written, tracking(document)) {
            written = settings.append("tracking.log", TRACKING, line);
        }
        self.failures.report(written.map_err(|(path, error)| {
            let remedy = match error.kind() {
                ErrorKind::NotFound => "; create its directory",
                ErrorKind::InvalidInput => "; it is not a regular file: remove it",
                _ => "",
            };
            format!("cannot write {}: {}{remedy}", path.display(), IoError::from(&error))
        }));
    }
}

impl LogSettings {
    fn append(&self, name: &str, header: &str, lines: String) -> Result<(), (PathBuf, io::Error)> {
        let path = self.directory.join(name);
        self.append_to(&path, header, &lines).map_err(|error| (path, error))
    }

    fn append_to(&self, path: &Path, header: &str, lines: &str) -> io::Result<()> {
        let mut length = length(path)?;
        if length > 0 && length + lines.len() as u64 > self.size {
            self.rotate(path)?;
            length = 0;
        }
        let header = if length == 0 { header } else { "" };
        open(path)?.write_all(format!("{header}{lines}").as_bytes())
    }

    /// Renames `NAME` to `NAME.1`, that to `NAME.2` and so on. The oldest one is replaced.
    fn rotate(&self, path: &Path) -> io::Result<()> {
        let numbered = |number: u32| match number {
            0 => path.to_owned(),
            _ => PathBuf::from(format!("{}.{number}", path.display())),
        };
        if self.files == 1 {
            return fs::remove_file(path);
        }
        for number in (0..self.files - 1).rev() {
            match fs::rename(numbered(number), numbered(number + 1)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The length of a file; 0 if there is none. A link could lead anywhere, and a FIFO blocks.
fn length(path: &Path) -> io::Result<u64> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => Ok(found.len()),
        Ok(_) => Err(ErrorKind::InvalidInput.into()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// The line of a server. A value that does not exist is `-`.
fn measurement(server: &Server, document: &Document) -> String {
    let status = match server.status {
        ServerStatus::Selected => '*',
        ServerStatus::Falseticker => 'x',
        ServerStatus::Failed => '?',
    };
    let Some(sample) = server.sample.as_ref().filter(|_| server.error.is_none()) else {
        let kind = server.error.as_ref().map_or("-", |error| error.kind.as_str());
        let time = utc(document.written.unix_seconds);
        return format!(
            "{time} {status} {:>3o} - - - - - - - {kind} {}\n",
            server.reach, server.url
        );
    };
    let [lower, upper] = sample.bounds_seconds;
    let http = sample.http_status.map_or("-".to_owned(), |status| status.to_string());
    format!(
        "{} {status} {:>3o} {:+.9} {:.9} {lower:+.9} {upper:+.9} {:.9} {} {http} - {}\n",
        utc(sample.at.unix_seconds),
        server.reach,
        sample.offset_seconds,
        sample.stddev_seconds,
        sample.rtt_min_seconds,
        sample.requests,
        server.url
    )
}

/// The line of a measurement that was used or refused; none after a failure.
fn tracking(document: &Document) -> Option<String> {
    let last = document.last_measurement.as_ref().filter(|_| document.failure.is_none())?;
    let [lower, upper] = last.bounds_seconds;
    let frequency = document.frequency.map_or("- -".to_owned(), |frequency| {
        format!("{:+.4} {:.4}", frequency.correction_ppm, frequency.stddev_ppm)
    });
    let outcome = match last.outcome {
        Outcome::Leave => "leave",
        Outcome::Slew => "slew",
        Outcome::Step => "step",
        Outcome::Refuse => "refuse",
        Outcome::Sent => "sent",
    };
    let (agreeing, servers) =
        document.quorum.map_or((0, 0), |quorum| (quorum.agreeing, quorum.servers));
    Some(format!(
        "{} {:+.9} {:.9} {lower:+.9} {upper:+.9} {frequency} {outcome} {:+.9} {:.9} {agreeing} \
         {servers}\n",
        utc(last.at.unix_seconds),
        last.offset_seconds,
        last.stddev_seconds,
        last.correction_seconds,
        last.maximum_error_seconds
    ))
}

/// Date and time, as two columns.
fn utc(unix_seconds: f64) -> String {
    let since = Duration::try_from_secs_f64(unix_seconds).unwrap_or_default();
    let text = humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string();
    text.replace('T', " ").trim_end_matches('Z').to_owned()
}

const MEASUREMENTS: &str = "# date time(UTC) status reach offset_s stddev_s lower_s upper_s \
    rtt_min_s requests http_status error url\n";
const TRACKING: &str = "# date time(UTC) offset_s stddev_s lower_s upper_s frequency_ppm \
    skew_ppm action correction_s maximum_error_s agreeing servers\n";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::document::tests::example;

    /// A directory that is removed in the end.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let name = format!("httptime-statistics-{name}-{}", std::process::id());
            let place = std::env::temp_dir().join(name);
            let _ = fs::remove_dir_all(&place);
            fs::create_dir(&place).expect("a directory");
            Self(place)
        }

        fn settings(&self, size: u64, files: u32) -> LogSettings {
            LogSettings { directory: self.0.clone(), size, files }
        }

        fn read(&self, name: &str) -> String {
            fs::read_to_string(self.0.join(name)).expect("a file")
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).expect("a directory");
            let mut names: Vec<String> = entries
                .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
                .collect();
            names.sort();
            names
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn each_server_and_each_correction_is_a_line_below_the_names_of_its_columns() {
        let place = Place::new("lines");
        let mut statistics = Statistics::default();
        statistics.add(&place.settings(10_000, 2), &example());
        statistics.add(&place.settings(10_000, 2), &example());
        assert_eq!(statistics.failures.last_logged(), None);
        for (name, lines) in [("measurements.log", 6), ("tracking.log", 2)] {
            let text = place.read(name);
            let (header, rest) = text.split_once('\n').expect("a header");
            // The first word of the header is `#`.
            let columns = header.split_whitespace().count() - 1;
            for line in rest.lines() {
                assert_eq!(line.split_whitespace().count(), columns, "{header}\n{line}");
            }
            assert_eq!(rest.lines().count(), lines, "{text}");
        }
        assert!(place.read("measurements.log").contains(
            "\n2026-11-18 11:06:38 * 377 +0.000213000 0.000110000 -0.000287500 +0.001413500 \
             0.000400000 24 204 - http://192.0.2.1/\n"
        ));
        assert!(place.read("measurements.log").contains(
            "\n2026-11-18 11:06:40 ?   0 - - - - - - - connection_refused http://192.0.2.3/\n"
        ));
        assert!(place.read("tracking.log").ends_with(
            "\n2026-11-18 11:06:38 +0.000213000 0.000110000 -0.000250000 +0.001402000 -12.3450 \
             0.2100 slew +0.000213000 0.001402000 1 3\n"
        ));
    }

    #[test]
    fn files_are_bounded_in_size_and_number_and_the_newest_lines_are_kept() {
        let place = Place::new("rotated");
        let settings = place.settings(200, 3);
        for number in 0..100 {
            let line = format!("{number:>49}\n");
            settings.append("x.log", "# header\n", line).expect("written");
            for name in place.names() {
                assert!(
                    place.read(&name).len() <= 200 && place.read(&name).starts_with("# header\n")
                );
            }
        }
        assert_eq!(place.names(), ["x.log", "x.log.1", "x.log.2"]);
        assert!(place.read("x.log").ends_with(" 99\n"));
        // Three lines in each file.
        assert!(place.read("x.log.1").ends_with(" 98\n"), "{}", place.read("x.log.1"));
        settings_of_one(&place);
    }

    fn settings_of_one(place: &Place) {
        let settings = place.settings(60, 1);
        for number in 0..3 {
            settings.append("y.log", "", format!("{number:>49}\n")).expect("written");
        }
        assert_eq!(place.read("y.log").trim(), "2");
        assert!(!place.names().contains(&"y.log.1".to_owned()));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_not_followed_and_a_failure_is_reported() {
        let place = Place::new("link");
        fs::write(place.0.join("target"), "kept").expect("a file");
        std::os::unix::fs::symlink(place.0.join("target"), place.0.join("measurements.log"))
            .expect("a link");
        let mut statistics = Statistics::default();
        statistics.add(&place.settings(10_000, 2), &example());
        let said = statistics.failures.last_logged().expect("a failure");
        assert!(said.ends_with("it is not a regular file: remove it"), "{said}");
        assert_eq!(place.read("target"), "kept");
    }
}

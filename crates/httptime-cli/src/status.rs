//! `httptime status`: what the daemon and the kernel report about the clock. Changes nothing.

use std::fs;
use std::io::{self, ErrorKind, IsTerminal};
use std::path::Path;
use std::thread;
use std::time::Duration;

use httptime::IoError;
use httptime_clock::{Clock, SystemClock};
use serde_json::{Value, json};

use self::document::{Document, Moment, SCHEMA};
use self::verdict::{KernelStatus, Observation, ProcessState, ServiceEnd, Verdict, judge};
use crate::args::Status;
use crate::report;

pub(crate) mod document;
pub(crate) mod moment;
mod table;
pub(crate) mod verdict;

pub(crate) fn run(status: &Status) -> u8 {
    let Some(pause) = status.watch else {
        let (text, verdict) = shown(status);
        report::print_text(&text);
        return verdict.exit_status();
    };
    // A terminal is cleared, so that the table stays in its place. Elsewhere an empty line follows.
    let is_terminal = io::stdout().is_terminal();
    loop {
        let (text, verdict) = shown(status);
        let text = match (status.json, is_terminal) {
            (true, _) => text,
            (false, true) => format!("\x1b[H\x1b[2J{text}"),
            (false, false) => format!("{text}\n"),
        };
        if !report::print_text(&text) {
            return verdict.exit_status();
        }
        thread::sleep(pause.0.max(SHORTEST_PAUSE));
    }
}

/// The output, and the verdict in it.
fn shown(status: &Status) -> (String, Verdict) {
    let observation = observe(&status.file);
    let verdict = judge(&observation);
    let text = match status.json {
        true => json(&observation, &verdict).to_string(),
        false => table::text(&observation, &verdict, remaining_slew()),
    };
    (text, verdict)
}

/// Reads the kernel's status, for a daemon with this report.
pub(crate) fn observe_own(document: &Document) -> Observation {
    Observation {
        document: Ok(Some(document.clone())),
        end: None,
        process: ProcessState::Exists,
        boot_id: moment::boot_id(),
        now: Moment::now(),
        kernel: kernel_status(),
    }
}

/// Reads the file, the kernel's status and the state of the daemon's process.
pub(crate) fn observe(file: &Path) -> Observation {
    let document = read(file);
    let process = match &document {
        Ok(Some(document)) => {
            moment::process_state(document.process.pid, document.process.start_ticks)
        }
        _ => ProcessState::Hidden,
    };
    let end = match document {
        Ok(None) => read_end(file),
        _ => None,
    };
    // The time is read after the file: the file is never newer.
    Observation {
        document,
        end,
        process,
        boot_id: moment::boot_id(),
        now: Moment::now(),
        kernel: kernel_status(),
    }
}

/// `None` on a system whose kernel does not report it.
pub(crate) fn kernel_status() -> Option<KernelStatus> {
    let kernel = SystemClock::new().status().ok()?;
    Some(KernelStatus {
        is_synchronised: kernel.is_synchronised(),
        maximum_error_seconds: kernel.maximum_error().as_secs_f64(),
    })
}

fn read(file: &Path) -> Result<Option<Document>, String> {
    let failed = |error: String| format!("cannot read the status file {}: {error}", file.display());
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(IoError::from(&error).to_string())),
    };
    parse(&text).map(Some).map_err(failed)
}

/// What the unit wrote when the service ended, beside the directory that was removed then:
/// `httptime.service success`.
fn read_end(file: &Path) -> Option<ServiceEnd> {
    let directory = file.parent()?.as_os_str();
    let mut record = directory.to_owned();
    record.push(".ended");
    parse_end(&fs::read_to_string(record).ok()?)
}

fn parse_end(text: &str) -> Option<ServiceEnd> {
    let (unit, result) = text.trim_end().split_once(' ')?;
    let unit = unit.strip_suffix(".service")?.to_owned();
    Some(ServiceEnd { unit, result: result.to_owned() })
}

fn parse(text: &str) -> Result<Document, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let schema = &value["schema"];
    if *schema != json!(SCHEMA) {
        return Err(format!("its schema is {schema}, and this program reads schema {SCHEMA}"));
    }
    serde_json::from_value(value).map_err(|error| error.to_string())
}

/// The part of a slew that is still to come, in seconds; positive: the clock is slow.
fn remaining_slew() -> Option<f64> {
    Some(SystemClock::new().remaining_slew().ok()?.as_seconds())
}

fn json(observation: &Observation, verdict: &Verdict) -> Value {
    json!({
        "schema": SCHEMA,
        "synchronised": verdict.is_synchronised(),
        "condition": verdict.condition.name(),
        "maximum_error_seconds": verdict.maximum_error_seconds,
        "why": verdict.why,
        "remedy": verdict.remedy,
        "daemon": verdict.daemon.name(),
        "kernel": observation.kernel.map(|kernel| json!({
            "synchronised": kernel.is_synchronised,
            "maximum_error_seconds": kernel.maximum_error_seconds,
            "remaining_slew_seconds": remaining_slew(),
        })),
        "read": observation.now,
        "status_file": observation.document.as_ref().ok(),
    })
}

/// The shortest time between two outputs.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::document::tests::example;
    use super::*;

    #[test]
    fn a_file_of_another_schema_or_half_a_file_is_an_error() {
        let text = serde_json::to_string(&example()).expect("JSON");
        assert_eq!(parse(&text), Ok(example()));
        let later = text.replace("\"schema\":1", "\"schema\":2");
        assert_eq!(
            parse(&later),
            Err("its schema is 2, and this program reads schema 1".to_owned())
        );
        assert!(parse(&text[..text.len() / 2]).is_err());
    }

    #[test]
    fn the_record_of_an_end_is_a_unit_and_its_result() {
        let end =
            |unit: &str, result: &str| ServiceEnd { unit: unit.into(), result: result.into() };
        assert_eq!(parse_end("httptime.service success\n"), Some(end("httptime", "success")));
        assert_eq!(
            parse_end("httptime-chrony.service exit-code"),
            Some(end("httptime-chrony", "exit-code"))
        );
        for other in ["", "httptime.service", "httptime success\n"] {
            assert_eq!(parse_end(other), None, "{other:?}");
        }
    }
}

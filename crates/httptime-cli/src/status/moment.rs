//! Reads what only the system knows: the clocks, a process, the boot.

use std::fs;
use std::io::ErrorKind;

use httptime::Offset;

use super::document::Moment;
use super::verdict::ProcessState;

impl Moment {
    /// Reads both clocks.
    pub(crate) fn now() -> Self {
        let now = httptime::net::cross_timestamp();
        Self {
            unix_seconds: Offset::from_nanos(now.wall().as_unix_nanos()).as_seconds(),
            monotonic_seconds: Offset::from_nanos(now.instant().as_nanos()).as_seconds(),
        }
    }
}

/// The time at which this process started, in the kernel's ticks since it was booted.
pub(crate) fn own_start_ticks() -> Option<u64> {
    start_ticks(&fs::read_to_string("/proc/self/stat").ok()?)
}

/// The kernel's name for this boot.
pub(crate) fn boot_id() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}

/// Whether the process with this number, which started then, still exists.
pub(crate) fn process_state(pid: u32, started: Option<u64>) -> ProcessState {
    let Some(started) = started else { return ProcessState::Hidden };
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) if start_ticks(&stat) == Some(started) => ProcessState::Exists,
        Ok(_) => ProcessState::Gone,
        // With the mount option hidepid, and in a unit with ProtectProc=, no process of another
        // user is shown. The first process always exists.
        Err(error) if error.kind() == ErrorKind::NotFound && is_visible(1) => ProcessState::Gone,
        Err(_) => ProcessState::Hidden,
    }
}

fn is_visible(pid: u32) -> bool {
    fs::exists(format!("/proc/{pid}/stat")).unwrap_or(false)
}

/// Field 22 of `/proc/PID/stat`. The second field is the name of the program in parentheses, which
/// can contain any character.
fn start_ticks(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_read_after_a_name_with_spaces_and_parentheses() {
        let after: Vec<String> = (3..=52).map(|field| field.to_string()).collect();
        let stat = format!("4711 (a) 1 (b c) {}", after.join(" "));
        assert_eq!(start_ticks(&stat), Some(22));
        assert_eq!(start_ticks("4711 (a) 1"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_exists_and_one_that_started_at_another_time_does_not() {
        let (own, started) = (std::process::id(), own_start_ticks());
        assert!(started.is_some());
        assert_eq!(process_state(own, started), ProcessState::Exists);
        assert_eq!(process_state(own, started.map(|ticks| ticks + 1)), ProcessState::Gone);
        assert_eq!(process_state(own, None), ProcessState::Hidden);
    }
}

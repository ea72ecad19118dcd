use std::io::{self, IsTerminal, Write};
use std::process;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::SyncSender;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::flag::register_conditional_shutdown;
use signal_hook::iterator::Signals;

use super::{Signal, exit_status};
use crate::worker;

/// Makes Ctrl-C and SIGTERM end the program at once, with a shell's exit status (130, 143). A
/// measurement needs no clean-up: it changes nothing.
pub(crate) fn end_at_once() {
    if io::stderr().is_terminal() && end_on_a_fresh_line().is_ok() {
        return;
    }
    let always = Arc::new(AtomicBool::new(true));
    for signal in [SIGINT, SIGTERM] {
        // If it cannot be registered, the system's default action ends the program.
        let _ = register_conditional_shutdown(signal, exit_status(signal), Arc::clone(&always));
    }
}

/// The shell's prompt would come behind the progress line and the terminal's `^C`.
fn end_on_a_fresh_line() -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let end = move || {
        if let Some(signal) = signals.forever().next() {
            // Locked: no progress may follow.
            let mut stderr = io::stderr().lock();
            let _ = stderr.write_all(b"\n");
            process::exit(exit_status(signal));
        }
    };
    thread::Builder::new().name("signals".into()).spawn(end).map(drop)
}

/// Set when Ctrl-C was pressed and work must be undone before the program ends. Never here: the
/// kernel completes what the program has begun, so the program ends at once.
pub(crate) fn interruption() -> Arc<AtomicBool> {
    Arc::default()
}

/// Receives signals as events in a separate thread. `lost` makes an event from the message of a
/// panic in it.
///
/// # Errors
/// The system's error if the signals cannot be received.
pub(crate) fn listen<E: Send + 'static>(
    events: SyncSender<E>,
    received: fn(Signal) -> E,
    lost: fn(String) -> E,
) -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM, SIGUSR1])?;
    worker::start("signals", events, lost, move |events| {
        for signal in signals.forever() {
            let signal = match signal {
                SIGHUP => Signal::Reload,
                SIGUSR1 => Signal::MeasureNow,
                _ => Signal::End,
            };
            if events.send(received(signal)).is_err() {
                return;
            }
        }
    })
}

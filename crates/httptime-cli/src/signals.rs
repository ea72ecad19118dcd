use std::io::{self, IsTerminal, Write};
use std::process;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::register_conditional_shutdown;
use signal_hook::iterator::Signals;

/// Makes Ctrl-C and SIGTERM end the program at once, with a shell's exit status (130, 143). A
/// measurement needs no clean-up: it changes nothing.
pub(crate) fn end_at_once() {
    if io::stderr().is_terminal() && end_on_a_fresh_line().is_ok() {
        return;
    }
    let always = Arc::new(AtomicBool::new(true));
    for signal in [SIGINT, SIGTERM] {
        // If it cannot be registered, the system's default action ends the program.
        let _ = register_conditional_shutdown(signal, status(signal), Arc::clone(&always));
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
            process::exit(status(signal));
        }
    };
    thread::Builder::new().name("signals".into()).spawn(end).map(drop)
}

const fn status(signal: i32) -> i32 {
    128 + signal
}

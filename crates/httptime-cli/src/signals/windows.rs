use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, LazyLock};

use signal_hook::consts::SIGINT;
use signal_hook::flag::{register, register_conditional_shutdown};

use super::{Signal, exit_status};

/// Whether Ctrl-C ends the program at once.
static ENDS_AT_ONCE: LazyLock<Arc<AtomicBool>> = LazyLock::new(|| Arc::new(AtomicBool::new(true)));

/// Makes Ctrl-C end the program at once, with a shell's exit status (130). A measurement needs no
/// clean-up: it changes nothing.
pub(crate) fn end_at_once() {
    // If it cannot be registered, the system's default action ends the program.
    let at_once = Arc::clone(&ENDS_AT_ONCE);
    let _ = register_conditional_shutdown(SIGINT, exit_status(SIGINT), at_once);
}

/// Set when Ctrl-C was pressed and work must be undone before the program ends. From the call on,
/// Ctrl-C does nothing else.
pub(crate) fn interruption() -> Arc<AtomicBool> {
    let interrupted = Arc::default();
    if register(SIGINT, Arc::clone(&interrupted)).is_ok() {
        ENDS_AT_ONCE.store(false, Ordering::SeqCst);
    }
    interrupted
}

/// The daemon is not supported.
///
/// # Errors
/// Always.
pub(crate) fn listen<E>(
    _: SyncSender<E>,
    _: fn(Signal) -> E,
    _: fn(String) -> E,
) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

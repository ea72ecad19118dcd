use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::register_conditional_shutdown;

/// Makes Ctrl-C and SIGTERM end the program at once, with a shell's exit status (130, 143). A
/// measurement needs no clean-up: it changes nothing.
pub(crate) fn end_at_once() {
    let always = Arc::new(AtomicBool::new(true));
    for (signal, status) in [(SIGINT, 130), (SIGTERM, 143)] {
        // If it cannot be registered, the system's default action ends the program.
        let _ = register_conditional_shutdown(signal, status, Arc::clone(&always));
    }
}

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::register_conditional_shutdown;

/// Makes Ctrl-C and SIGTERM end the program at once, with the status a shell gives them (130, 143). A measurement has
/// nothing to tidy up: it changes nothing.
pub(crate) fn end_at_once() {
    let always = Arc::new(AtomicBool::new(true));
    for (signal, status) in [(SIGINT, 130), (SIGTERM, 143)] {
        // Where it cannot be registered, the system's own way to end stays in place.
        let _ = register_conditional_shutdown(signal, status, Arc::clone(&always));
    }
}

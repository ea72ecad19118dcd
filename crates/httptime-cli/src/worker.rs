//! Threads whose panic is reported as an event. Otherwise the receiver would wait for a dead thread
//! without end.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::SyncSender;
use std::thread;

/// Starts a thread that runs `work`. If it panics, `lost` makes an event from the panic's message.
///
/// # Errors
/// The system's error if no thread can be started. Then no event is sent.
pub(crate) fn start<E: Send + 'static>(
    name: &str,
    events: SyncSender<E>,
    lost: impl FnOnce(String) -> E + Send + 'static,
    work: impl FnOnce(&SyncSender<E>) + Send + 'static,
) -> io::Result<()> {
    let watched = move || {
        // After a panic only the sender is used, which is never in an inconsistent state.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(&events))) {
            // Without a receiver the program is ending.
            let _ = events.send(lost(message(&*panic)));
        }
    };
    thread::Builder::new().name(name.into()).spawn(watched).map(drop)
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_panic_is_an_event_and_an_ordinary_end_is_none() {
        let (events, arriving) = mpsc::sync_channel(1);
        start(
            "done",
            events.clone(),
            |_| "lost".to_owned(),
            |events| {
                events.send("done".to_owned()).expect("received");
            },
        )
        .expect("started");
        start("lost", events, |message| message, |_| panic!("{} of {}", 7, 8)).expect("started");
        let mut all: Vec<String> =
            (0..2).map(|_| arriving.recv_timeout(LIMIT).expect("an event")).collect();
        all.sort_unstable();
        assert_eq!(all, ["7 of 8", "done"]);
        arriving.recv_timeout(LIMIT).expect_err("both threads have ended");
    }

    const LIMIT: Duration = Duration::from_secs(20);
}

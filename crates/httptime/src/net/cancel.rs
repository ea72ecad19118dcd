use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::system::{BorrowedFd, WakeReceiver, WakeSender, wake_pair};

/// Stops a running measurement from another thread or from a signal handler. Clones act on the same
/// measurements.
///
/// ```no_run
/// use httptime::Client;
/// use httptime::net::Canceller;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let canceller = Canceller::new()?;
/// let other = canceller.clone();
/// std::thread::spawn(move || {
///     std::thread::sleep(std::time::Duration::from_secs(3));
///     other.cancel();
/// });
/// let client = Client::builder("http://192.0.2.1/").build()?;
/// let survey = client.survey_until(&canceller, |_| {});
/// println!("{:?}", survey.combined());
/// # Ok(())
/// # }
/// ```
///
/// A canceller stays cancelled: a measurement that is started with it afterwards ends at once.
#[derive(Debug, Clone)]
pub struct Canceller(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    requested: AtomicU8,
    /// Wakes all threads that poll the other end, whose readiness is never consumed.
    sender: WakeSender,
    receiver: WakeReceiver,
}

/// How a measurement ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopRequest {
    /// Without a result.
    Cancel,
    /// With the evidence so far.
    Finish,
}

impl Canceller {
    /// A new canceller. It has two file descriptors.
    ///
    /// # Errors
    /// When the system has no free descriptors.
    pub fn new() -> io::Result<Self> {
        let (sender, receiver) = wake_pair()?;
        Ok(Self(Arc::new(Shared { requested: AtomicU8::new(NONE), sender, receiver })))
    }

    /// Stops the measurement, which fails with [`Error::Cancelled`](crate::Error::Cancelled). The
    /// call takes no lock and allocates nothing: it does one store and one `write`, so a signal
    /// handler may call it.
    pub fn cancel(&self) {
        self.request_stop(CANCEL);
    }

    /// Stops the measurement, which returns the result of the evidence so far. It is as safe as
    /// [`cancel`](Self::cancel), which has precedence.
    pub fn finish(&self) {
        self.request_stop(FINISH);
    }

    /// A guard that cancels when it is dropped, unless it is [disarmed](DropGuard::disarm).
    pub fn drop_guard(&self) -> DropGuard {
        DropGuard(Some(self.clone()))
    }

    fn request_stop(&self, requested: u8) {
        if self.0.requested.fetch_max(requested, Ordering::SeqCst) == NONE {
            self.0.sender.wake();
        }
    }

    /// Whether [`cancel`](Self::cancel) has been called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.stop_request() == Some(StopRequest::Cancel)
    }

    pub(super) fn stop_request(&self) -> Option<StopRequest> {
        match self.0.requested.load(Ordering::SeqCst) {
            NONE => None,
            FINISH => Some(StopRequest::Finish),
            _ => Some(StopRequest::Cancel),
        }
    }

    /// Readable once the canceller was used, and from then on.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.receiver.as_fd()
    }
}

/// Cancels when it is dropped: see [`Canceller::drop_guard`].
#[derive(Debug)]
#[must_use = "dropped at once, it cancels at once"]
pub struct DropGuard(Option<Canceller>);

impl DropGuard {
    /// Drops the guard without cancelling.
    pub fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for DropGuard {
    fn drop(&mut self) {
        if let Some(canceller) = &self.0 {
            canceller.cancel();
        }
    }
}

const NONE: u8 = 0;
const FINISH: u8 = 1;
const CANCEL: u8 = 2;

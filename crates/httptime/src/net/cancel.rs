use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Ends a measurement under way from another thread, or from a signal handler. Clones are one and the same.
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
/// Once cancelled, it stays so: whatever is begun with it ends at once.
#[derive(Debug, Clone)]
pub struct Canceller(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    cancelled: AtomicBool,
    /// One byte in it, never read, wakes everyone who polls the other end.
    sender: UnixStream,
    receiver: UnixStream,
}

impl Canceller {
    /// A canceller that has not been used. It holds two file descriptors.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn new() -> io::Result<Self> {
        let (sender, receiver) = UnixStream::pair()?;
        sender.set_nonblocking(true)?;
        Ok(Self(Arc::new(Shared { cancelled: AtomicBool::new(false), sender, receiver })))
    }

    /// Cancels. Neither locks nor allocates: one store and one `write`, so it may be called in a signal handler.
    pub fn cancel(&self) {
        if !self.0.cancelled.swap(true, Ordering::SeqCst) {
            // It can only fail with the buffer full, which wakes as well.
            let _ = rustix::io::write(&self.0.sender, &[1]);
        }
    }

    /// Whether [`cancel`](Self::cancel) has been called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::SeqCst)
    }

    /// Can be read from once it is cancelled, and stays so.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.receiver.as_fd()
    }
}

use httptime::net::Canceller;

use crate::boundary::{free_handle, guard, hand_over, target};
use crate::failure::Failure;
use crate::status::{HTTPTIME_ERROR_SYSTEM, httptime_status};

/// Stops a running measurement from another thread or from a signal handler. It is set in
/// httptime_options. It can be used once: a measurement that starts with a used one ends at once.
#[derive(Debug)]
pub struct httptime_canceller(pub(crate) Canceller);

/// Creates a canceller. It has two file descriptors.
///
/// canceller: set to the new handle, which you must free with httptime_canceller_free. Fails with
/// HTTPTIME_ERROR_SYSTEM if there are no free descriptors. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_canceller_new(
    canceller: *mut *mut httptime_canceller,
) -> httptime_status {
    guard(|| {
        let canceller = target(canceller, "canceller")?;
        let new = Canceller::new()
            .map_err(|error| Failure::new(HTTPTIME_ERROR_SYSTEM, error.to_string()))?;
        hand_over(httptime_canceller(new), canceller);
        Ok(())
    })
}

/// Cancels: every call with this canceller returns at once with HTTPTIME_ERROR_CANCELLED, or its
/// survey has that status. A second call changes nothing.
///
/// canceller: NULL does nothing. Any number of threads; also a signal handler: the call takes no
/// lock, allocates nothing, and does not change errno (on Linux).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_canceller_cancel(canceller: *const httptime_canceller) {
    // No guard: its work is not allowed in a signal handler, and nothing here can panic. SAFETY:
    // the header requires NULL or a handle that is not freed meanwhile.
    if let Some(httptime_canceller(canceller)) = unsafe { canceller.as_ref() } {
        canceller.cancel();
    }
}

/// Frees a canceller. No call with it may still be running.
///
/// canceller: NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_canceller_free(canceller: *mut httptime_canceller) {
    // SAFETY: the header requires NULL, or a handle of httptime_canceller_new that is not used any
    // more.
    unsafe { free_handle(canceller) }
}

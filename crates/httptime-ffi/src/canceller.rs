use httptime::net::Canceller;

use crate::boundary::{free_handle, guard, hand_over, target};
use crate::failure::Failure;
use crate::status::{HTTPTIME_ERROR_SYSTEM, httptime_status};

/// Ends a measurement under way, from another thread or from a signal handler. Named in httptime_options. It serves once:
/// what is begun with a used one ends at once.
#[derive(Debug)]
pub struct httptime_canceller(pub(crate) Canceller);

/// Makes a canceller. It holds two file descriptors.
///
/// canceller: set to the new handle, which is yours: httptime_canceller_free. Fails with HTTPTIME_ERROR_SYSTEM when there
/// are no descriptors left. Any thread.
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

/// Cancels: every call that was given this canceller returns at once with HTTPTIME_ERROR_CANCELLED, or its surveys say so. A
/// second time changes nothing.
///
/// canceller: NULL does nothing. Any thread, any number of them; also from a signal handler: it neither locks nor allocates
/// and leaves errno as it is (on Linux).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_canceller_cancel(canceller: *const httptime_canceller) {
    // No guard: what that does is not for a signal handler, and nothing here can panic.
    // SAFETY: the header says: NULL, or a handle that is not freed meanwhile.
    if let Some(httptime_canceller(canceller)) = unsafe { canceller.as_ref() } {
        canceller.cancel();
    }
}

/// Frees a canceller. No call that was given it may still be running.
///
/// canceller: NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_canceller_free(canceller: *mut httptime_canceller) {
    // SAFETY: the header says: NULL, or a handle of httptime_canceller_new that nobody uses any more.
    unsafe { free_handle(canceller) }
}

use std::ffi::c_char;

use crate::boundary::{guard_or, truncated};
use crate::failure::last_message;

/// Copies the message of the last function that failed on this thread, with the observed values
/// ("cannot connect to 192.0.2.1:80: connection refused"), in UTF-8, ended by a NUL and truncated
/// to fit. Returns the length of the complete message without the NUL, as snprintf does: if it is
/// at least size, the message was truncated. 0 if nothing has failed.
///
/// buffer: size bytes; may be NULL if size is 0, to get the length. Any thread; each has its own
/// message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_error_message(buffer: *mut c_char, size: usize) -> usize {
    guard_or(0, || {
        let message = last_message();
        if !buffer.is_null() && size > 0 {
            let kept = truncated(&message, size - 1);
            // SAFETY: the caller guarantees that `size` bytes are there; `kept` and the NUL are no
            // more.
            unsafe {
                buffer.copy_from_nonoverlapping(kept.as_ptr().cast(), kept.len());
                buffer.add(kept.len()).write(0);
            }
        }
        message.len()
    })
}

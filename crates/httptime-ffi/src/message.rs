use std::ffi::c_char;

use crate::boundary::{guard_or, truncated};
use crate::failure::last_message;

/// Copies what the last function that failed on this thread had to say, with the values it saw ("cannot connect to
/// 192.0.2.1:80: connection refused"), in UTF-8 and ended by a NUL, cut off to fit. Returns the length of the whole message
/// without the NUL, as snprintf does: if that is not less than size, something is missing. 0 when nothing has failed.
///
/// buffer: size bytes; may be NULL if size is 0, to ask for the length. Any thread; each has its own message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_error_message(buffer: *mut c_char, size: usize) -> usize {
    guard_or(0, || {
        let message = last_message();
        if !buffer.is_null() && size > 0 {
            let kept = truncated(&message, size - 1);
            // SAFETY: the caller says that `size` bytes are there; `kept` and the NUL are no more.
            unsafe {
                buffer.copy_from_nonoverlapping(kept.as_ptr().cast(), kept.len());
                buffer.add(kept.len()).write(0);
            }
        }
        message.len()
    })
}

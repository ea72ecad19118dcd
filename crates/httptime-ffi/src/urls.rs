use std::ffi::c_char;

use crate::boundary::{slice, text};
use crate::failure::Failure;
use crate::options::HTTPTIME_MAX_SERVERS;

/// # Safety
/// `urls` must be NULL, or `count` texts must be there for `'a`.
pub(crate) unsafe fn urls<'a>(
    urls: *const *const c_char,
    count: usize,
) -> Result<Vec<&'a str>, Failure> {
    if !(1..=HTTPTIME_MAX_SERVERS).contains(&count) {
        let reason = format!("{count} URLs; allowed: 1 to {HTTPTIME_MAX_SERVERS}");
        return Err(Failure::argument(reason));
    }
    // SAFETY: as the caller guarantees.
    let urls = unsafe { slice(urls, count, "urls") }?;
    urls.iter()
        .enumerate()
        // SAFETY: as the caller guarantees.
        .map(|(index, url)| unsafe { text(*url, format_args!("urls[{index}]")) })
        .collect()
}

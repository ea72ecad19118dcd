use std::ffi::{CString, c_char, c_void};
use std::sync::{Once, PoisonError, RwLock};

use log::{LevelFilter, Log, Metadata, Record};

use crate::boundary::guard;
use crate::failure::Failure;
use crate::status::httptime_status;

/// Log nothing.
pub const HTTPTIME_LOG_OFF: i32 = 0;
/// Only errors inside the library.
pub const HTTPTIME_LOG_ERROR: i32 = 1;
/// ... and unusual events.
pub const HTTPTIME_LOG_WARN: i32 = 2;
/// ... and normal events.
pub const HTTPTIME_LOG_INFO: i32 = 3;
/// ... and connections that fail or close.
pub const HTTPTIME_LOG_DEBUG: i32 = 4;
/// ... and every observation.
pub const HTTPTIME_LOG_TRACE: i32 = 5;

/// Receives a line of the log. Called on any thread, on several at once, with no lock held: it may
/// call this library, including httptime_set_log. It must return (no longjmp, no C++ exception).
///
/// level: HTTPTIME_LOG_ERROR to HTTPTIME_LOG_TRACE. target, message: UTF-8 without a line end,
/// valid during the call. user_data: as passed to httptime_set_log.
pub type httptime_log_callback = Option<
    unsafe extern "C" fn(
        level: i32,
        target: *const c_char,
        message: *const c_char,
        user_data: *mut c_void,
    ),
>;

/// Sends the library's log to callback, for the whole process. By default there is no log: the
/// library never prints.
///
/// callback: NULL for none, whatever the level. user_data: passed to callback; must be usable from
/// every thread that calls this library. level: the most detailed level, HTTPTIME_LOG_OFF to
/// HTTPTIME_LOG_TRACE. Any thread. A line that another thread is writing may still reach the
/// previous callback shortly after this function has returned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_set_log(
    callback: httptime_log_callback,
    user_data: *mut c_void,
    level: i32,
) -> httptime_status {
    guard(|| {
        let filter = match level {
            HTTPTIME_LOG_OFF => LevelFilter::Off,
            HTTPTIME_LOG_ERROR => LevelFilter::Error,
            HTTPTIME_LOG_WARN => LevelFilter::Warn,
            HTTPTIME_LOG_INFO => LevelFilter::Info,
            HTTPTIME_LOG_DEBUG => LevelFilter::Debug,
            HTTPTIME_LOG_TRACE => LevelFilter::Trace,
            _ => {
                return Err(Failure::argument(format!(
                    "level is {level}, which is no HTTPTIME_LOG_* number"
                )));
            }
        };
        static ONCE: Once = Once::new();
        // It can only fail in a Rust program that links this crate and has set a logger. Then that
        // logger stays.
        ONCE.call_once(|| drop(log::set_logger(&LOGGER)));
        let sink = callback.map(|callback| Sink { callback, user_data });
        log::set_max_level(if sink.is_some() { filter } else { LevelFilter::Off });
        *LOGGER.0.write().unwrap_or_else(PoisonError::into_inner) = sink;
        Ok(())
    })
}

#[derive(Clone, Copy)]
struct Sink {
    callback: unsafe extern "C" fn(i32, *const c_char, *const c_char, *mut c_void),
    user_data: *mut c_void,
}

// SAFETY: the header requires that `user_data` can be used from every thread; it is only passed on
// here.
unsafe impl Send for Sink {}
// SAFETY: as above.
unsafe impl Sync for Sink {}

struct Logger(RwLock<Option<Sink>>);

static LOGGER: Logger = Logger(RwLock::new(None));

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        // Copied, so that the lock is free while the callback runs.
        let Some(sink) = *self.0.read().unwrap_or_else(PoisonError::into_inner) else { return };
        let c_text =
            |text: String| CString::new(text.replace(['\0', '\n'], " ")).unwrap_or_default();
        let target = c_text(record.target().to_owned());
        let message = c_text(record.args().to_string());
        let level = match record.level() {
            log::Level::Error => HTTPTIME_LOG_ERROR,
            log::Level::Warn => HTTPTIME_LOG_WARN,
            log::Level::Info => HTTPTIME_LOG_INFO,
            log::Level::Debug => HTTPTIME_LOG_DEBUG,
            log::Level::Trace => HTTPTIME_LOG_TRACE,
        };
        // SAFETY: the caller of `httptime_set_log` guarantees that it can be called like this from
        // any thread.
        unsafe { (sink.callback)(level, target.as_ptr(), message.as_ptr(), sink.user_data) }
    }

    fn flush(&self) {}
}

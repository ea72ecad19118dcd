//! Messages on stderr.

use std::env;
use std::io::Write;

use env_logger::{Builder, Env};
use log::Level;

/// Starts it: warnings and worse for one that is run by hand, more for one that stays. `HTTPTIME_LOG` says otherwise.
pub(crate) fn start(is_daemon: bool) {
    let usual = if is_daemon { "info" } else { "off" };
    let mut builder = Builder::from_env(Env::new().filter_or("HTTPTIME_LOG", usual));
    if env::var_os("JOURNAL_STREAM").is_some() {
        // The journal takes time and program from elsewhere, and the level from this prefix (sd-daemon(3)).
        builder.format(|line, record| {
            let level = match record.level() {
                Level::Error => 3,
                Level::Warn => 4,
                Level::Info => 6,
                Level::Debug | Level::Trace => 7,
            };
            writeln!(line, "<{level}>{}", record.args())
        });
    }
    builder.init();
}

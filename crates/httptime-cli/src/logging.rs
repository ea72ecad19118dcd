//! Messages on stderr.

use std::env;
use std::io::Write;

use env_logger::{Builder, Env};
use httptime::{Update, Url};
use log::{Level, debug};

/// Starts the log: warnings and errors for a command that is run by hand, more for a daemon
/// (`stays`). `HTTPTIME_LOG` overrides it.
pub(crate) fn start(is_daemon: bool) {
    let usual = if is_daemon { "info" } else { "off" };
    let mut builder = Builder::from_env(Env::new().filter_or("HTTPTIME_LOG", usual));
    if env::var_os("JOURNAL_STREAM").is_some() {
        // The journal adds time and program itself, and reads the level from this prefix
        // (sd-daemon(3)).
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

/// Logs each request, each response and each failure, if the log is that detailed. `urls`: the
/// servers, in the order of the client.
pub(crate) fn update(urls: &[Url], update: &Update<'_>) {
    if let Some(url) = urls.get(update.server()) {
        debug!("{url}: {}", update.event());
    }
}

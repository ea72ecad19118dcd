//! `httptime survey` on systems without the driver for many servers.

use crate::args::Survey;
use crate::{USAGE, report};

pub(crate) fn run(_: &Survey) -> u8 {
    report::print_error("not supported on Windows: the command survey; let another machine run it");
    USAGE
}

//! Records of a process that measures for an hour while its server is reloaded and restarted:
//! `--bin endure`.

mod footprint;
mod nginx;
mod record;
mod verdict;

pub use self::footprint::Footprint;
pub use self::nginx::Nginx;
pub use self::record::{Outage, Outcome, Record};
pub use self::verdict::{GRACE, MAX_RISE_KIB, Run, Sizes};

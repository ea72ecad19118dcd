//! Records of a process that measures for an hour while its server is reloaded and restarted:
//! `--bin endure`.

mod nginx;
mod record;
mod resource_usage;
mod verdict;

pub use self::nginx::Nginx;
pub use self::record::{Outage, Outcome, Record};
pub use self::resource_usage::ResourceUsage;
pub use self::verdict::{GRACE, MAX_RISE_KIB, Run, Sizes};

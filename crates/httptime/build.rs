//! Records the day of the build. No correction sets a clock to an earlier day, and no certificate
//! that expired before it is accepted.

use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

const DAY: u64 = 86_400;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let given = env::var("SOURCE_DATE_EPOCH").ok().and_then(|seconds| seconds.parse().ok());
    let seconds = given.unwrap_or_else(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    });
    println!("cargo:rustc-env=HTTPTIME_BUILD_DAY={}", seconds / DAY * DAY);
}

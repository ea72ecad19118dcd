//! The plots are written.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fs;
use std::path::Path;

use httptime_benches::plots;

#[test]
fn the_same_seed_gives_the_same_plots() -> Result<(), Box<dyn Error>> {
    let [one, other] =
        ["one", "other"].map(|name| Path::new(env!("CARGO_TARGET_TMPDIR")).join(name));
    for dir in [&one, &other] {
        fs::create_dir_all(dir)?;
        plots::write(dir, 3, 7)?;
    }
    for name in ["error-requests.svg", "error-seconds.svg", "narrowing.svg"] {
        let plot = fs::read_to_string(one.join(name))?;
        assert!(plot.contains("</svg>"), "{name}");
        assert!(plot == fs::read_to_string(other.join(name))?, "{name}");
    }
    Ok(())
}

use std::fs;
use std::path::Path;

use cbindgen::{Builder, Config};

/// `UPDATE=1 cargo test -p httptime-ffi --test c header` writes the header again.
#[test]
fn the_header_is_what_the_source_says() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = Config::from_file(package.join("cbindgen.toml")).expect("cbindgen.toml");
    let bindings = Builder::new().with_crate(package).with_config(config).generate();
    let mut header = Vec::new();
    bindings.expect("a header").write(&mut header);
    let path = package.join("include/httptime.h");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &header).expect("the header can be written");
    }
    let checked_in = fs::read(&path).unwrap_or_default();
    assert!(header == checked_in, "{} is old: run with UPDATE=1", path.display());
}

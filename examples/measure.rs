//! Measures one server: `cargo run -p httptime-examples --example measure -- http://192.0.2.1/`
#![forbid(unsafe_code)]

use httptime::Client;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("usage: measure http://host[:port][/path]")?;
    let measurement = Client::builder(url).build()?.measure()?;
    println!("server - local: {:.6} s", measurement.offset());
    println!("bounds: {:.6}", measurement.bounds());
    Ok(())
}

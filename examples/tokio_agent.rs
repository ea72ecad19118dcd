//! An agent on tokio that monitors its clock: several servers, a deadline, events, and a clean stop
//! at Ctrl-C or when it is dropped.
//!
//! `cargo run -p httptime-examples --example tokio_agent -- http://192.0.2.1/ http://192.0.2.2/ http://192.0.2.3/`
#![forbid(unsafe_code)]

use std::time::Duration;

use httptime::session::Event;
use httptime::{Error, Measurement};
use httptime_tokio::Client;
use tokio::time::{sleep, timeout};

const DEADLINE: Duration = Duration::from_secs(15);
const INTERVAL: Duration = Duration::from_secs(600);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::builder().servers(std::env::args().skip(1)).build()?;
    // The agent's other work runs at the same time, on the same thread.
    tokio::select! {
        () = watch(&client) => {}
        // `watch` is dropped: its sockets are closed and no task remains.
        result = tokio::signal::ctrl_c() => result?,
    }
    Ok(())
}

/// Measures at intervals, without end.
async fn watch(client: &Client) {
    loop {
        match measure(client).await {
            Ok(it) => println!("server - local: {:.6} s, within {:.6}", it.offset(), it.bounds()),
            Err(error) => eprintln!("not measured: {error}"),
        }
        sleep(INTERVAL).await;
    }
}

/// Measures once. A result that exists at the deadline is used.
async fn measure(client: &Client) -> Result<Measurement, Error> {
    let mut running = client.start();
    let all = async {
        while let Some(update) = running.next().await {
            let url = running.sessions().sessions()[update.server].target().url();
            match update.event {
                Event::Answered { observation } => println!("{url}: {}", observation.bounds()),
                Event::Lost { error, .. } => println!("{url}: {error}; trying again"),
                Event::Ended { error: Some(error) } => println!("{url}: {error}"),
                _ => {}
            }
        }
    };
    let is_late = timeout(DEADLINE, all).await.is_err();
    if is_late {
        println!("not all servers are done after {DEADLINE:?}");
    }
    running.finish().into_combined()
}

//! An agent on tokio that watches its clock: several servers, a deadline, events, and an end at Ctrl-C or by dropping it.
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
    // The agent's other work goes on at the same time, on the same thread.
    tokio::select! {
        () = watch(&client) => {}
        // `watch` is dropped: its sockets are closed, and nothing of it is left running.
        result = tokio::signal::ctrl_c() => result?,
    }
    Ok(())
}

/// Measures now and then, for ever.
async fn watch(client: &Client) {
    loop {
        match measure(client).await {
            Ok(it) => println!("server - local: {:.6} s, within {:.6}", it.offset(), it.bounds()),
            Err(error) => eprintln!("not measured: {error}"),
        }
        sleep(INTERVAL).await;
    }
}

/// Measures once. What is known when the time is over counts.
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

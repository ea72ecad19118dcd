//! What a measurement costs the process: memory and file descriptors. One test, so that nothing else runs beside it.

use httptime::config::Config;
use httptime::schedule::{Plan, Schedule, View};
use httptime::{Client, Error};
use httptime_testserver::{Behaviour, LoopbackServer, Misbehave as _, RefusedPort};

/// As fast as the answers come.
#[derive(Debug)]
struct Rapid;

impl Schedule for Rapid {
    fn name(&self) -> &'static str {
        "rapid"
    }

    fn plan(&mut self, view: &View<'_>) -> Plan {
        if view.progress().outstanding() > 0 {
            return Plan::AwaitReply;
        }
        Plan::SendAt(view.earliest())
    }
}

fn measure(url: &str, requests: u32) -> Result<u32, Error> {
    let config = Config::builder().requests(requests).schedule_with(|| Box::new(Rapid)).build()?;
    Ok(Client::builder(url).config(config).build()?.measure()?.observations())
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

#[test]
fn requests_allocate_nothing_and_failures_leak_no_descriptor() -> Result<(), Error> {
    let server = LoopbackServer::builder().start().expect("a loopback port");
    let url = server.url();
    // Counted on this thread alone: the server's own do not count.
    let allocations = |requests| {
        let mut observations = 0;
        let counted = allocation_counter::measure(|| {
            observations = measure(&url, requests).expect("measured");
        });
        assert_eq!(observations, requests);
        counted.count_total
    };
    allocations(1);
    let (few, many) = (allocations(5), allocations(500));
    println!("allocations: {few} with 5 requests, {many} with 500");
    assert_eq!(few, many, "495 requests allocated {} times", many - few);

    let bad =
        [Behaviour::NoDate, Behaviour::EmptyReply, Behaviour::TlsAlert, Behaviour::CloseMidHead];
    let servers: Vec<_> = bad
        .into_iter()
        .map(|behaviour| LoopbackServer::builder().behaviour(behaviour).start().expect("a port"))
        .collect();
    let refused = RefusedPort::reserve().expect("a port");
    let mut urls: Vec<String> = servers.iter().map(LoopbackServer::url).collect();
    urls.push(format!("http://{}/", refused.address()));
    // The servers take and close their ends a moment after the client has closed its own.
    let settles_at = |wanted: Option<usize>| {
        let open = || servers.iter().map(LoopbackServer::open_connections).sum::<usize>();
        for _ in 0..1000 {
            let quiet = open() + server.open_connections() == 0;
            if quiet && wanted.is_none_or(|wanted| open_descriptors() <= wanted) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        open_descriptors()
    };
    let before = settles_at(None);
    for url in urls.iter().cycle().take(100) {
        measure(url, 3).expect_err("a bad server");
    }
    // A server's end may have been there before, and not be after; a leak would show a hundredfold.
    let after = settles_at(Some(before));
    assert!(after <= before, "{after} descriptors after 100 failures, {before} before");
    Ok(())
}

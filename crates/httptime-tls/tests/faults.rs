//! Measurements over TLS through a relay that injects network faults: each ends in time, with
//! bounds that contain the truth or with a named error, and leaves no descriptor open. A process of
//! its own, because its descriptors are counted. `HTTPTIME_FAULTS` is the number of measurements.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use httptime::{Client, Config, Error, Offset};
use httptime_testserver::tls::{Authority, TlsFront, Version, server_config};
use httptime_testserver::{
    Fault, Faults, LoopbackProxy, LoopbackRelay, LoopbackServer, ProxyOptions,
};
use httptime_tls::TlsConfig;

const MS: Duration = Duration::from_millis(1);
const CONCURRENT: usize = 16;
/// The time that the scheduler may add to a measurement's own deadline, with this many threads.
const GRACE: Duration = Duration::from_millis(500);
const FEW: u64 = 150;

/// A server behind TLS, and a proxy that leads to it, also behind TLS.
struct Origin {
    server: LoopbackServer,
    front: TlsFront,
    _proxy: LoopbackProxy,
    proxy_front: TlsFront,
}

impl Origin {
    fn start(root: &Authority, version: Version, skew_ms: i64) -> Self {
        let server = LoopbackServer::builder().skew(Offset::from_nanos(skew_ms * 1_000_000));
        let server = server.requests_per_connection(5).start().expect("a server");
        let config = server_config(&root.issue(&["127.0.0.1"]), version, None);
        let front = TlsFront::start(server.address(), Arc::clone(&config)).expect("a front");
        let proxy = LoopbackProxy::start(ProxyOptions::default()).expect("a proxy");
        let proxy_front = TlsFront::start(proxy.address(), config).expect("a front");
        Self { server, front, _proxy: proxy, proxy_front }
    }
}

/// Most kinds of faults do not occur, some occur rarely.
fn faults(random: &mut Rng) -> Faults {
    let mut faults = Faults::default().seed(random.u64(..));
    for fault in Fault::ALL.iter().filter(|fault| !fault.is_lie() && **fault != Fault::Delay) {
        let chance = [0.0, 0.0, 0.02, 0.1][random.usize(0..4)];
        faults = faults.chance(*fault, chance);
    }
    faults
        .longest(Fault::Jitter, 20 * MS)
        .longest(Fault::Stall, 700 * MS)
        .longest(Fault::Reorder, 300 * MS)
}

/// The name of the outcome, and what is wrong with it.
fn measure(
    origins: &[Origin],
    root: &Authority,
    seed: u64,
) -> (&'static str, Option<String>, usize) {
    let mut random = Rng::with_seed(seed);
    let origin = &origins[random.usize(0..origins.len())];
    let faults = faults(&mut random);
    let is_proxied = random.bool();
    let upstream = if is_proxied { &origin.proxy_front } else { &origin.front };
    let relay = LoopbackRelay::start(upstream.address(), faults).expect("a port");
    let relay_url = format!("https://{}/", relay.address());
    let tls = TlsConfig::builder().cacert_pem(root.pem()).proxy_cacert_pem(root.pem());
    let builder = match is_proxied {
        true => Client::builder(origin.front.url()).proxy(relay_url),
        false => Client::builder(relay_url),
    };
    let config = Config::builder()
        .requests(random.u32(2..12))
        .duration(Duration::from_millis(random.u64(500..2000)))
        .timeout(Duration::from_millis(random.u64(150..500)))
        .lag(MS)
        .build()
        .expect("in range");
    let allowed = config.limits().duration() + config.limits().timeout() + GRACE;
    let client = builder.tls(tls.build().expect("settings")).config(config);
    let client = client.build().expect("settings");
    let begun = Instant::now();
    let result = client.measure();
    let took = begun.elapsed();
    let injected = Fault::ALL.iter().map(|fault| relay.injected(*fault)).sum();
    if took > allowed {
        return ("late", Some(format!("seed {seed}: {took:?}, allowed {allowed:?}")), injected);
    }
    let wrong = |what: String| Some(format!("seed {seed}: {what}"));
    match result {
        Ok(measurement) => {
            let truth = origin.server.offset_at(measurement.local_time());
            let is_right = measurement.bounds().contains(truth);
            (
                "measured",
                (!is_right).then(|| wrong(format!("{truth}, {measurement}"))).flatten(),
                injected,
            )
        }
        // The server is right and its certificate is too: what remains is the path.
        Err(
            error @ (Error::Inconsistent { .. }
            | Error::DateWentBack { .. }
            | Error::DateFrozen { .. }
            | Error::Cached { .. }),
        ) => (error.kind(), wrong(error.to_string()), injected),
        Err(error) => (error.kind(), None, injected),
    }
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

#[test]
fn faults_under_tls_end_in_true_bounds_or_a_named_error_in_time_and_leave_nothing_open() {
    let count = std::env::var("HTTPTIME_FAULTS").ok().and_then(|count| count.parse().ok());
    let count: u64 = count.unwrap_or(FEW);
    let root = Arc::new(Authority::root("Test Root"));
    let origins: Arc<Vec<Origin>> = Arc::new(vec![
        Origin::start(&root, Version::Tls13, 38_116),
        Origin::start(&root, Version::Tls12, -750),
    ]);
    let before = descriptors();
    let next = Arc::new(AtomicU64::new(0));
    let outcomes = Arc::new(Mutex::new((BTreeMap::new(), Vec::new(), 0)));
    let threads: Vec<_> = (0..CONCURRENT)
        .map(|_| {
            let (origins, root) = (Arc::clone(&origins), Arc::clone(&root));
            let (next, outcomes) = (Arc::clone(&next), Arc::clone(&outcomes));
            thread::spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= count {
                        return;
                    }
                    let (name, wrong, injected) = measure(&origins, &root, seed);
                    let mut outcomes = outcomes.lock().expect("no panic");
                    *outcomes.0.entry(name).or_insert(0_u64) += 1;
                    outcomes.1.extend(wrong);
                    outcomes.2 += injected;
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    let outcomes = outcomes.lock().expect("no panic");
    let (counts, wrong, injected) = &*outcomes;
    println!("{count} measurements, {injected} faults: {counts:#?}");
    assert!(wrong.is_empty(), "{} of them, such as {:#?}", wrong.len(), wrong.first());
    assert!(counts.get("measured").copied().unwrap_or(0) > count / 4, "{counts:?}");
    // The servers close their ends a moment later.
    let deadline = Instant::now() + Duration::from_secs(10);
    while descriptors() > before && Instant::now() < deadline {
        thread::sleep(20 * MS);
    }
    assert!(descriptors() <= before, "{} descriptors, {before} before", descriptors());
}

//! Benchmarks of speed: `cargo bench -p httptime-benches`. Ids are `group/case/implementation`.
#![forbid(unsafe_code)]
#![expect(missing_docs, reason = "criterion_group! makes a public function")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use httptime::Next;
use httptime::Observation;
use httptime::estimate::EstimatorKind;
use httptime::http::ResponseReader;
use httptime::schedule::{Profile, ScheduleKind};
use httptime::server::Lag;
use httptime::{Config, CrossTimestamp, Exchange, LocalInstant, Measure, Timestamp};
use httptime_sim::{SimConnections, worlds};

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse/nginx_head");
    let mut reader = ResponseReader::new();
    group.bench_function("httptime", |b| {
        b.iter(|| {
            reader.feed(black_box(NGINX_HEAD));
            let head = reader.head().expect("well-formed").expect("whole");
            assert_eq!(head.date(), Ok(date()));
            assert_eq!(head.server(), Some("nginx/1.22.1"));
        });
    });
    group.bench_function("httparse", |b| {
        b.iter(|| {
            let mut headers = [httparse::EMPTY_HEADER; 100];
            let mut response = httparse::Response::new(&mut headers);
            let status = response.parse(black_box(NGINX_HEAD)).expect("well-formed");
            assert_eq!(status, httparse::Status::Complete(NGINX_HEAD.len()));
            assert_eq!((response.headers[0].name, response.headers[1].name), ("Server", "Date"));
        });
    });
    group.finish();
}

fn absorb(c: &mut Criterion) {
    let mut group = c.benchmark_group("absorb/the_32nd_observation");
    let last = bisected(31);
    for kind in EstimatorKind::ALL {
        let observed = || {
            let mut estimator = kind.build();
            (0..31).for_each(|number| estimator.absorb(&bisected(number)));
            estimator
        };
        group.bench_function(kind.name(), |b| {
            b.iter_batched_ref(
                observed,
                |estimator| {
                    estimator.absorb(black_box(&last));
                    assert!(estimator.aim().is_some());
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn estimate(c: &mut Criterion) {
    let mut group = c.benchmark_group("estimate/32_observations");
    for kind in [EstimatorKind::Intersection, EstimatorKind::Posterior] {
        let mut estimator = kind.build();
        (0..32).for_each(|number| estimator.absorb(&bisected(number)));
        group.bench_function(kind.name(), |b| {
            b.iter(|| {
                let estimate = black_box(&estimator).estimate().expect("there are observations");
                assert!(estimate.offset().abs() < Duration::from_millis(5));
            });
        });
    }
    group.finish();
}

fn plan(c: &mut Criterion) {
    let mut group = c.benchmark_group("plan/next_request");
    for kind in [ScheduleKind::Bisect, ScheduleKind::Adaptive] {
        let config = Config::builder().schedule(kind).build().expect("in range");
        let mut measure = Measure::new(&config, cross_timestamp());
        let exchange = exchange(0, 0);
        measure.sent(exchange.sent());
        measure.absorb(&exchange).expect("a good exchange");
        let now = exchange.received();
        group.bench_function(kind.name(), |b| {
            b.iter(|| {
                let Next::SendAt(at) = measure.next(black_box(now)) else {
                    panic!("one exchange is not enough");
                };
                assert!(at >= now && at.saturating_since(now) < Duration::from_secs(2));
            });
        });
    }
    group.finish();
}

/// A whole measurement in virtual time: all computation between the sockets.
fn measure(c: &mut Criterion) {
    let mut group = c.benchmark_group("measure/metro_24_requests");
    let world = worlds::named("metro").expect("listed").world(1);
    for kind in [EstimatorKind::Intersection, EstimatorKind::Posterior] {
        let config = Config::builder().lag(Duration::ZERO).estimator(kind).build();
        let config = config.expect("in range");
        group.bench_function(kind.name(), |b| {
            b.iter(|| {
                let outcome = black_box(&world).measure(&config, 1);
                let measurement = outcome.result.expect("measured");
                assert!(measurement.bounds().contains(outcome.truth));
            });
        });
    }
    group.finish();
}

/// A whole session in virtual time, with its connections. The time includes the simulator's own.
fn session(c: &mut Criterion) {
    let mut group = c.benchmark_group("session");
    let kept = SimConnections::new().handshake();
    let cases = [
        ("balanced/24", Profile::Balanced, kept.clone()),
        ("balanced_closing/24", Profile::Balanced, kept.clone().closing_after(1)),
        ("fast/64", Profile::Fast, kept),
    ];
    for (id, profile, connections) in cases {
        let world = worlds::named("metro").expect("listed").world(1).with_connections(connections);
        let config = Config::builder().lag(Duration::ZERO).profile(profile).build();
        let config = config.expect("in range");
        group.bench_function(id, |b| {
            b.iter(|| {
                let outcome = black_box(&world).measure(&config, 1);
                let measurement = outcome.result.expect("measured");
                assert!(measurement.bounds().contains(outcome.truth));
            });
        });
    }
    group.finish();
}

/// Observation `number` of a server whose clock agrees with the local one. The first request is
/// stamped half a second before a flip. Each later one is stamped on the other side of a flip and
/// nearer to it, down to a millisecond.
fn bisected(number: u32) -> Observation {
    let distance_us = 1_000 + 500_000 / 2_u64.pow(number.min(9));
    let second = u64::from(number) + 1;
    let (sent_us, date) = if number % 2 == 0 {
        (second * 1_000_000 - distance_us, second - 1)
    } else {
        (second * 1_000_000 + distance_us, second)
    };
    let sent = LocalInstant::from_nanos(0).saturating_add(Duration::from_micros(sent_us));
    let received = sent.saturating_add(Duration::from_micros(200 + u64::from(number % 5) * 7));
    let date = Timestamp::from_unix_seconds(DATE + i64::try_from(date).expect("small"));
    let exchange = Exchange::from_parts_unchecked(sent, received, date.expect("within the range"));
    Observation::new(cross_timestamp(), &exchange, Lag::stated(Duration::ZERO))
        .expect("sent before received")
}

fn exchange(sent_ms: u64, date_after_s: i64) -> Exchange<'static> {
    let sent = LocalInstant::from_nanos(0).saturating_add(Duration::from_millis(sent_ms));
    let received = sent.saturating_add(Duration::from_micros(200));
    let date = Timestamp::from_unix_seconds(DATE + date_after_s).expect("within the range");
    Exchange::from_parts_unchecked(sent, received, date).with_server("nginx/1.22.1")
}

fn cross_timestamp() -> CrossTimestamp {
    CrossTimestamp::new(LocalInstant::from_nanos(0), date(), Duration::ZERO)
}

fn date() -> Timestamp {
    Timestamp::from_unix_seconds(DATE).expect("within the range")
}

criterion_group!(benches, parse, absorb, estimate, plan, measure, session);
criterion_main!(benches);

/// Mon, 23 Nov 2026 09:37:12 GMT.
const DATE: i64 = 1_795_426_632;
const NGINX_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Server: nginx/1.22.1\r\n\
    Date: Mon, 23 Nov 2026 09:37:12 GMT\r\n\
    Content-Type: text/html\r\n\
    Content-Length: 615\r\n\
    Last-Modified: Mon, 16 Nov 2026 18:03:21 GMT\r\n\
    Connection: keep-alive\r\n\
    ETag: \"6919f3a9-267\"\r\n\
    Accept-Ranges: bytes\r\n\r\n";

//! How fast: `cargo bench -p httptime-benches`. Ids are `group/case/implementation`.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use httptime::estimate::EstimatorKind;
use httptime::http::ResponseReader;
use httptime::measure::Next;
use httptime::observation::Observation;
use httptime::server::Lag;
use httptime::{ClockTie, Config, Exchange, LocalInstant, Measure, Timestamp};

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
    let mut group = c.benchmark_group("absorb/observation");
    let observations = [observation(0, 0), observation(500, 0), observation(1_100, 1)];
    group.bench_function("intersection", |b| {
        b.iter(|| {
            let mut estimator = EstimatorKind::Intersection.build();
            for observation in black_box(&observations) {
                estimator.absorb(observation);
            }
            let estimate = estimator.estimate().expect("there are observations");
            assert!(estimate.offset().as_seconds().abs() < 1.0);
        });
    });
    group.finish();
}

fn plan(c: &mut Criterion) {
    let mut group = c.benchmark_group("plan/next_request");
    let mut measure = Measure::new(&Config::default(), tie());
    let exchange = exchange(0, 0);
    measure.sent(exchange.sent());
    measure.absorb(&exchange).expect("a good exchange");
    let now = exchange.received();
    group.bench_function("bisect", |b| {
        b.iter(|| {
            let Next::SendAt(at) = measure.next(black_box(now)) else {
                panic!("one exchange is not enough");
            };
            assert!(at >= now && at.saturating_since(now) < Duration::from_secs(1));
        });
    });
    group.finish();
}

/// An observation of a server whose clock agrees with the local one.
fn observation(sent_ms: u64, date_after_s: i64) -> Observation {
    Observation::new(tie(), &exchange(sent_ms, date_after_s), Lag::stated(Duration::ZERO))
        .expect("sent before received")
}

fn exchange(sent_ms: u64, date_after_s: i64) -> Exchange<'static> {
    let sent = LocalInstant::from_nanos(0).saturating_add(Duration::from_millis(sent_ms));
    let received = sent.saturating_add(Duration::from_micros(200));
    let date = Timestamp::from_unix_seconds(DATE + date_after_s).expect("within the range");
    Exchange::new(sent, received, date).with_server("nginx/1.22.1")
}

fn tie() -> ClockTie {
    ClockTie::new(LocalInstant::from_nanos(0), date(), Duration::ZERO)
}

fn date() -> Timestamp {
    Timestamp::from_unix_seconds(DATE).expect("within the range")
}

criterion_group!(benches, parse, absorb, plan);
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

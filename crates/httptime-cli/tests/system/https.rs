//! `httptime sync` over HTTPS on a machine whose clock no certificate fits.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use httptime_testserver::LoopbackServer;
use httptime_testserver::tls::{Authority, TlsFront, Version, date_time_ymd, server_config};
use serde_json::Value;

use crate::SKEW;
use crate::machine::{Finished, Machine};

const LIMIT: Duration = Duration::from_secs(60);
const URL: &str = "https://10.0.2.100:80/";
const DAY: f64 = 86_400.0;
const YEAR: f64 = 365.2425 * DAY;

fn json(done: &Finished) -> Value {
    println!("{}: {}{}", done.status, done.stdout, done.stderr);
    serde_json::from_str(&done.stdout).expect("JSON")
}

#[test]
fn a_clock_that_no_certificate_fits_is_right_after_sync_over_https() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
    #[expect(clippy::cast_possible_truncation, reason = "a year")]
    let year = 1970 + (now / YEAR) as i32;
    let root = Authority::root("Test Root");
    let credentials = root.issue_with(&["10.0.2.100"], |params| {
        params.not_before = date_time_ymd(year - 1, 1, 1);
        params.not_after = date_time_ymd(year + 2, 1, 1);
    });
    let server = LoopbackServer::builder().server_header(Some("nginx".into())).start();
    let server = server.expect("a loopback port");
    let config = server_config(&credentials, Version::Tls13, None);
    let front = TlsFront::start(server.address(), config).expect("a loopback port");
    let machine = Machine::boot(&[front.address()]);
    let other = Authority::root("Other Root");
    for (name, ca) in [("ca", &root), ("other", &other)] {
        let written = machine.run(&format!("cat >/tmp/{name}.pem <<'E'\n{}E", ca.pem()), LIMIT);
        assert_eq!(written.status, 0, "{written:?}");
    }

    for (clock, behind) in
        [("of January 1970", now - DAY), ("38 s behind", SKEW), ("10 years ahead", -10.0 * YEAR)]
    {
        machine.set_clock_behind(behind);
        assert!(!machine.kernel_clock().synchronised, "a clock {clock}");
        let sync =
            |options: &str| machine.run(&format!("httptime sync --json {options} {URL}"), LIMIT);
        // With another CA nothing is changed.
        let refused = json(&sync("--trust-single --cacert /tmp/other.pem"));
        assert_eq!(refused["before"]["error"]["kind"], "tls_not_trusted", "{refused}");
        let before = machine.offset();
        assert!((before.offset - behind).abs() < 1.0, "a clock {clock}: {before:?}");

        let report = json(&sync("--trust-single --cacert /tmp/ca.pem"));
        let checked_by = |when: &str| {
            report[when]["assumptions"]["certificates"]["checked_by"].as_str().map(str::to_owned)
        };
        assert_eq!(report["decision"]["action"], "step", "a clock {clock}: {report}");
        assert_eq!(checked_by("before").as_deref(), Some("server_time"), "{report}");
        // After the step the certificate is verified again, by the corrected clock.
        assert_eq!(checked_by("after").as_deref(), Some("local_clock"), "{report}");
        let after = machine.offset();
        println!("a clock {clock}: {:+.6} s ± {:.3} ms after", after.offset, after.bound * 1e3);
        assert!(after.offset.abs() < 5e-3, "a clock {clock}: {after:?}");
        assert!(machine.kernel_clock().synchronised, "a clock {clock}");
    }

    // Linux shows no time before 1970. The tests of httptime-tls do, by times that they are given.
    #[expect(clippy::cast_possible_truncation, reason = "decades, in nanoseconds")]
    let before_1970 = ((now + DAY) * -1e9) as i64;
    let set = format!("httptime-test-guest set-clock-forward {before_1970}");
    assert_ne!(machine.run(&set, LIMIT).status, 0);

    // `run` corrects by the first measurement, and marks the clock by a second one.
    machine.set_clock_behind(SKEW);
    assert!(!machine.kernel_clock().synchronised);
    let config = format!(
        "servers = ['{URL}']\nstate_file = '/tmp/state.toml'\n[https]\ncacert = '/tmp/ca.pem'\n"
    );
    let started = machine.run(
        &format!(
            "cat >/tmp/httptime.toml <<'E'\n{config}E\n\
             httptime run --config /tmp/httptime.toml >/tmp/log 2>&1 & echo $! >/tmp/pid"
        ),
        LIMIT,
    );
    assert_eq!(started.status, 0, "{started:?}");
    let deadline = Instant::now() + LIMIT;
    while !machine.kernel_clock().synchronised && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(200));
    }
    let log = machine.run("kill $(cat /tmp/pid); cat /tmp/log", LIMIT).stdout;
    println!("{log}");
    assert!(machine.kernel_clock().synchronised);
    let place = |text: &str| log.find(text).unwrap_or_else(|| panic!("no {text:?}"));
    assert!(place("certificate time taken from the server") < place("step by"));
    assert!(place("step by") < place("certificate valid by the local clock"));

    // Where the kernel reports the clock as synchronised, it judges alone.
    let expired = root.issue_with(&["10.0.2.100"], |params| {
        params.not_before = date_time_ymd(year + 3, 1, 1);
        params.not_after = date_time_ymd(year + 4, 1, 1);
    });
    drop(front);
    let config = server_config(&expired, Version::Tls13, None);
    let front = TlsFront::start(server.address(), config).expect("a loopback port");
    let machine = Machine::boot(&[front.address()]);
    let written = machine.run(&format!("cat >/tmp/ca.pem <<'E'\n{}E", root.pem()), LIMIT);
    assert_eq!(written.status, 0, "{written:?}");
    let query =
        || json(&machine.run(&format!("httptime query --json --cacert /tmp/ca.pem {URL}"), LIMIT));
    assert_eq!(query()["error"]["kind"], "tls_date_outside");
    let marked = machine.run(&format!("httptime sync --pin {} {URL}", expired.pin()), LIMIT);
    assert_eq!(marked.status, 0, "{marked:?}");
    assert_eq!(query()["error"]["kind"], "tls_local_time_outside");
}

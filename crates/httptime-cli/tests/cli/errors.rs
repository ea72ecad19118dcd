//! `docs/errors.md`: every kind of error is in it and no other, with the message that the program
//! prints.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use httptime::{Agreement, Error, Interval, Offset, Peer, Phase, StampFault, Timestamp, TlsFault};
use httptime_chrony::ChronyError;
use httptime_clock::{ClockError, Direction, Frequency, Missing, Operation, Refusal};

/// One value of each kind: its kind and its message.
fn examples() -> BTreeMap<&'static str, String> {
    let mut all = BTreeMap::new();
    all.extend(measuring().iter().map(|error| (error.kind(), error.to_string())));
    all.extend(changing().iter().map(|error| (error.kind(), error.to_string())));
    all.extend(feeding().iter().map(|error| (error.kind(), error.to_string())));
    let tls = |fault| Error::Tls { peer: Peer::Server, fault };
    all.extend(faults().into_iter().map(|fault| (fault.kind(), tls(fault).to_string())));
    all.extend(refusals().iter().map(|error| (error.kind(), error.to_string())));
    all
}

fn measuring() -> Vec<Error> {
    let seconds = Duration::from_secs;
    let at = |text: &str| httptime::http::parse_date(text.as_bytes()).expect("a date");
    let date = "Mon, 23 Nov 2026 09:37:12 GMT";
    let interval = |lower: i64, upper: i64| {
        Interval::between(Offset::from_nanos(lower), Offset::from_nanos(upper))
    };
    let timeout = |phase| Error::Timeout { phase, after: seconds(5) };
    let address = ([192, 0, 2, 1], 80).into();
    let system = |number| io::Error::from_raw_os_error(number).into();
    let reason = || "no address associated with hostname";
    vec![
        Error::InvalidUrl {
            url: "ftp://a.example/".into(),
            reason: "only http:// and https:// are supported, for a proxy also socks5h://; write \
                     http://host",
        },
        Error::InvalidConfig { reason: "requests is 0; allowed: 1 to 1000".into() },
        Error::Resolve { host: "a.example".into(), source: io::Error::other(reason()).into() },
        Error::Connect { address, source: system(101) },
        Error::Connect { address, source: system(111) },
        timeout(Phase::Resolve),
        timeout(Phase::Connect),
        timeout(Phase::Tunnel),
        timeout(Phase::Handshake),
        timeout(Phase::Send),
        timeout(Phase::Response),
        Error::Closed { received: 0 },
        Error::Closed { received: 17 },
        Error::Io { phase: Phase::Response, source: system(104) },
        Error::NotHttp { looks_like: "looks like SSH" },
        Error::MalformedHead { reason: "invalid field name" },
        Error::HeadTooLarge { limit: 100, what: "header fields" },
        Error::EndlessInterim { limit: 16 },
        Error::NoDate { status: 200 },
        Error::ConflictingDates {
            first: date.into(),
            second: "Mon, 23 Nov 2026 10:37:12 GMT".into(),
        },
        Error::MalformedDate { value: "2026-11-23".into() },
        Error::DateOutOfRange { value: "Fri, 31 Dec 9999 23:59:59 GMT".into() },
        Error::DateBeforeFloor {
            date: at("Thu, 01 Jan 1970 00:00:10 GMT"),
            floor: at("Wed, 01 Jan 2025 00:00:00 GMT"),
        },
        Error::Cached { age: Some(seconds(30)) },
        Error::DateFrozen { date: at(date), elapsed: Duration::from_millis(2340) },
        Error::DateWentBack { from: at(date), to: at("Mon, 23 Nov 2026 09:35:32 GMT") },
        Error::StampRejected { fault: StampFault::Frozen { elapsed: Duration::from_millis(23) } },
        Error::Inconsistent { gap: Duration::from_micros(12_345) },
        Error::ClockStepped { by: Offset::from_nanos(-3_000_123_456) },
        Error::ClockMismatch { what: "the wall clocks of two measurements differ", by: seconds(3) },
        Error::NoHttps { url: "https://a.example/".into() },
        Error::ProxyRefused { status: 503 },
        Error::ProxyCredentials,
        Error::ProxyScheme { scheme: "NTLM" },
        Error::Socks {
            reason: "wants a user name and password; give them in its URL: \
                     socks5h://user:password@host:port",
        },
        Error::MethodRefused { status: 405 },
        Error::UnexpectedStatus { status: 302, expected: 204 },
        Error::NoMajority { configured: 3, answered: 2, agreeing: 1, min_servers: 2 },
        Error::AmbiguousMajority {
            first: interval(-1_000_000, 1_000_000),
            second: interval(3_600_000_000_000, 3_600_002_000_000),
        },
        Error::AllFailed { servers: 2, last: Box::new(Error::NoDate { status: 200 }) },
        Error::ReceivedBeforeSent { by: Duration::from_micros(40) },
        Error::Cancelled,
        Error::NoKernelTimestamps,
        Error::NothingMeasured,
    ]
}

fn faults() -> Vec<TlsFault> {
    let at = |text: &str| httptime::http::parse_date(text.as_bytes()).expect("a date");
    let valid_from = at("Mon, 23 Nov 2026 00:00:00 GMT");
    let valid_to = at("Thu, 31 Dec 2026 00:00:00 GMT");
    let later = at("Fri, 01 Jan 2027 00:00:00 GMT");
    let host = || "jump".to_owned();
    vec![
        TlsFault::NotTrusted { issuer: "CN=Example CA".into() },
        TlsFault::WrongName {
            host: host(),
            names: vec!["jump.example".into(), "192.0.2.1".into()],
        },
        TlsFault::NoName { host: host() },
        TlsFault::CaCertificate,
        TlsFault::Expired { valid_to: valid_from, floor: later },
        TlsFault::NeverValid { valid_from: later, valid_to: valid_from },
        TlsFault::DateOutside { valid_from, valid_to, date: later },
        TlsFault::LocalTimeOutside { valid_from, valid_to, local: later },
        TlsFault::WrongPin { pin: "sha256//iKrmRRgh0mGgYwOwcnYC/EQTLR+60g4KlVWonyvVI40=".into() },
        TlsFault::BadCertificate {
            reason: "it is an X.509 certificate of version 1, not 3".into(),
        },
        TlsFault::NoCommonProtocol { reason: "protocol version".into() },
        TlsFault::ClientCertificateRequired,
        TlsFault::ClientCertificateRefused { reason: "unknown ca".into() },
        TlsFault::Alert { alert: "unrecognised name".into() },
        TlsFault::PlainHttp,
        TlsFault::NotTls,
        TlsFault::Violation { reason: "a record was changed on the way".into() },
        TlsFault::CutOff,
        TlsFault::Closed,
    ]
}

fn changing() -> Vec<ClockError> {
    let operation = Operation::Step(Offset::from_nanos(38_116_000_000));
    let frequency = Operation::SetFrequency(Frequency::from_ppm(12.5));
    vec![
        ClockError::NoPrivilege { operation },
        ClockError::ReadOnly { operation, errno: 30 },
        ClockError::OutOfRange { operation },
        ClockError::Unsupported { operation: frequency },
        ClockError::Other { operation: frequency, call: "clock_adjtime", errno: 14 },
    ]
}

fn feeding() -> Vec<ChronyError> {
    let path = || PathBuf::from("/run/chrony/httptime.sock");
    let offset = Offset::from_nanos(5_000_000_000_000_000_000);
    vec![
        ChronyError::InvalidPath {
            path: "httptime.sock".into(),
            reason: "it is not absolute; begin it with a slash",
        },
        ChronyError::InvalidPoll { poll: 25 },
        ChronyError::InvalidLeap { value: 3 },
        ChronyError::OffsetTooLarge { offset },
        ChronyError::TimeOutOfRange { taken_at: Timestamp::from_unix_nanos(0), offset },
        ChronyError::TooOld { age: Duration::from_secs(12), limit: Duration::from_secs(10) },
        ChronyError::FromTheFuture { by: Duration::from_millis(1500) },
        ChronyError::SocketMissing { path: path() },
        ChronyError::Refused { path: path() },
        ChronyError::NoPermission { path: path() },
        ChronyError::Full { path: path() },
        ChronyError::Unsupported { path: path() },
        ChronyError::Io { path: path(), errno: 5 },
    ]
}

fn refusals() -> Vec<Refusal> {
    let by = Offset::from_nanos(-7_199_969_354_000);
    let floor = Timestamp::from_unix_nanos(1_795_392_000_000_000_000);
    vec![
        Refusal::DateNotAdvanced,
        Refusal::BoundsTooWide {
            width: Duration::from_nanos(1_020_471_976),
            error: Duration::from_nanos(300_067_197),
        },
        Refusal::BeforeFloor { server: Timestamp::from_unix_nanos(10_000_000_000), floor },
        Refusal::TooFar {
            by,
            limit: Duration::from_secs(1800),
            direction: Direction::StartupBackward,
            missing: Missing::Servers { agreement: Agreement::SINGLE, needed: None },
        },
        Refusal::Accumulated {
            by: Offset::from_nanos(5_000_000_000),
            stepped: Duration::from_secs(6),
            limit: Duration::from_secs(10),
        },
    ]
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The cells of each row of a table of kinds.
fn rows() -> Vec<[String; 5]> {
    let text = fs::read_to_string(repository().join("docs/errors.md")).expect("docs/errors.md");
    let cells = |row: &str| {
        let cells: Vec<_> = row.split(" | ").map(|cell| cell.trim().to_owned()).collect();
        cells.try_into().ok()
    };
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"));
    rows.filter_map(cells).collect()
}

fn code(cell: &str) -> &str {
    cell.trim_matches('`').trim()
}

#[test]
fn the_table_of_errors_has_the_message_and_the_c_status_of_each_kind() {
    let header = fs::read_to_string(repository().join("crates/httptime-ffi/include/httptime.h"));
    let header = header.expect("the C header");
    let mut missing = examples();
    for row in rows() {
        let [kind, status, message, meaning, remedy] = &row;
        let kind = code(kind);
        let expected = missing.remove(kind).unwrap_or_else(|| panic!("{kind}: no such kind"));
        assert_eq!(code(message), expected, "{kind}");
        // The texts of a C structure have 192 bytes, and "failed: " may come before.
        assert!(expected.len() < 184, "{kind}: {} bytes", expected.len());
        let name = format!("HTTPTIME_ERROR_{}", kind.to_ascii_uppercase());
        let listed =
            if header.contains(&format!("#define {name} ")) { name.as_str() } else { "–" };
        assert_eq!(code(status), listed, "{kind}");
        assert!(!meaning.is_empty() && !remedy.is_empty(), "{kind}");
    }
    assert!(missing.is_empty(), "not in docs/errors.md: {missing:#?}");
}

/// The names as they stand in the sources: a kind that is added there and not here would be in no
/// table.
#[test]
fn there_is_an_example_of_each_kind_of_the_libraries() {
    let examples = examples();
    let mut seen = 0;
    for file in [
        "httptime/src/error.rs",
        "httptime/src/tls.rs",
        "httptime-clock/src/error.rs",
        "httptime-clock/src/policy.rs",
        "httptime-chrony/src/error.rs",
    ] {
        let source = fs::read_to_string(repository().join("crates").join(file)).expect("a source");
        let (_, function) = source.split_once("fn kind(&self)").expect("a function");
        let (function, _) = function.split_once("\n    }\n").expect("its end");
        for line in function.lines() {
            let Some((_, value)) = line.split_once("=> \"") else { continue };
            let kind = value.trim_end_matches("\",");
            assert!(examples.contains_key(kind), "{file}: {kind}");
            seen += 1;
        }
    }
    assert_eq!(seen, examples.len());
}

//! The layer against rustls's server, in memory: no sockets, and every time is given.

use httptime::session::{Layer, PeerSecurity, Security as _};
use httptime::{CertificateCheck, Error, Peer, Timestamp, TlsFault, build_day};
use httptime_testserver::tls::{
    Authority, CertificateParams, Credentials, PemFile, Version, date_time_ymd, make_ca,
    server_config,
};
use httptime_tls::{TlsConfig, TlsConfigBuilder};
use proptest::prelude::*;
use rustls::ServerConnection;

const NAME: &str = "a.example";
const VERSIONS: [Version; 2] = [Version::Tls12, Version::Tls13];

fn utc(date: &str) -> Timestamp {
    httptime::http::parse_date(date.as_bytes()).expect("a date")
}

/// Within the validity of most certificates here.
fn now() -> Timestamp {
    build_day()
}

/// A time at which no clock is right.
fn epoch() -> Timestamp {
    Timestamp::from_unix_nanos(0)
}

/// The connection of a client to a server.
struct Connection {
    security: Box<dyn PeerSecurity>,
    layer: Box<dyn Layer>,
    server: ServerConnection,
    /// Bytes on their way to the server.
    wire: Vec<u8>,
    /// What the client has received.
    received: Vec<u8>,
    /// How many bytes the client reads at once.
    chunk: usize,
}

impl Connection {
    fn new(builder: TlsConfigBuilder, host: &str, server: ServerConnection) -> Self {
        Self::at(builder, host, server, epoch())
    }

    fn at(
        builder: TlsConfigBuilder,
        host: &str,
        server: ServerConnection,
        local: Timestamp,
    ) -> Self {
        let config = builder.build().expect("settings");
        let mut security = config.peer(Peer::Server, host).expect("a name");
        let layer = security.layer(local).expect("a layer");
        Self { security, layer, server, wire: Vec::new(), received: Vec::new(), chunk: usize::MAX }
    }

    /// Starts, and moves bytes until none are left.
    fn open(&mut self) -> Result<(), Error> {
        self.layer.start(&mut self.wire)?;
        self.settle()
    }

    fn settle(&mut self) -> Result<(), Error> {
        loop {
            let mut unread = &std::mem::take(&mut self.wire)[..];
            while !unread.is_empty() {
                self.server.read_tls(&mut unread).expect("memory");
                // After an error the server sends an alert.
                let _ = self.server.process_new_packets();
            }
            let mut from_server = Vec::new();
            while self.server.wants_write() {
                self.server.write_tls(&mut from_server).expect("memory");
            }
            if from_server.is_empty() {
                return Ok(());
            }
            for chunk in from_server.chunks(self.chunk) {
                self.layer.receive(chunk, &mut self.received, &mut self.wire)?;
            }
        }
    }

    /// Sends a request, and receives the response.
    fn exchange(&mut self) -> Result<(), Error> {
        use std::io::{Read as _, Write as _};
        assert!(self.layer.is_open());
        self.layer.send(b"HEAD / HTTP/1.1\r\n\r\n", &mut self.wire)?;
        self.settle()?;
        let mut request = [0; 64];
        let count = self.server.reader().read(&mut request).expect("a request");
        assert_eq!(&request[..count], b"HEAD / HTTP/1.1\r\n\r\n");
        self.server.writer().write_all(b"HTTP/1.1 204 No Content\r\n\r\n").expect("memory");
        self.received.clear();
        self.settle()?;
        assert_eq!(self.received, b"HTTP/1.1 204 No Content\r\n\r\n");
        Ok(())
    }
}

fn serve(credentials: &Credentials, version: Version) -> ServerConnection {
    ServerConnection::new(server_config(credentials, version, None)).expect("a server")
}

fn trusting(authority: &Authority) -> TlsConfigBuilder {
    TlsConfig::builder().cacert_pem(authority.pem())
}

/// The fault of a handshake with this certificate, and what the client had sent until then.
fn refused(builder: &TlsConfigBuilder, credentials: &Credentials, version: Version) -> TlsFault {
    let mut connection = Connection::new(builder.clone(), NAME, serve(credentials, version));
    let fault = fault(connection.open());
    assert!(!connection.layer.is_open());
    assert!(connection.server.is_handshaking(), "nothing was sent that completes the handshake");
    fault
}

fn fault(result: Result<(), Error>) -> TlsFault {
    match result {
        Err(Error::Tls { peer: Peer::Server, fault }) => fault,
        other => panic!("{other:?}"),
    }
}

fn valid(params: &mut CertificateParams, from: (i32, u8, u8), to: (i32, u8, u8)) {
    params.not_before = date_time_ymd(from.0, from.1, from.2);
    params.not_after = date_time_ymd(to.0, to.1, to.2);
}

#[test]
fn a_certificate_of_a_trusted_ca_is_accepted_at_a_clock_of_1970() {
    let root = Authority::root("Test Root");
    let issuing = root.intermediate("Test Issuing", |params| {
        valid(params, (2020, 1, 1), (2090, 1, 1));
    });
    let credentials = issuing.issue_with(&[NAME, "b.example"], |params| {
        valid(params, (2024, 5, 6), (2100, 2, 3));
    });
    for version in VERSIONS {
        let mut connection = Connection::new(trusting(&root), NAME, serve(&credentials, version));
        connection.open().expect("accepted");
        for _ in 0..3 {
            connection.exchange().expect("an answer");
        }
        assert_eq!(connection.server.server_name(), Some(NAME));
        assert_eq!(connection.server.alpn_protocol(), Some(&b"http/1.1"[..]));
        let judged = connection.security.judge(now(), now());
        let expected = CertificateCheck::ServerTime {
            valid_from: utc("Mon, 06 May 2024 00:00:00 GMT"),
            valid_to: utc("Sun, 01 Jan 2090 00:00:00 GMT"),
        };
        assert_eq!(judged, Ok(expected), "{version:?}");
    }
}

#[test]
fn a_time_outside_the_window_is_refused_after_the_measurement() {
    let root = Authority::root("Test Root");
    let credentials = root.issue_with(&[NAME], |params| {
        valid(params, (2024, 5, 6), (2090, 1, 1));
    });
    let mut connection =
        Connection::new(trusting(&root), NAME, serve(&credentials, Version::Tls13));
    connection.open().expect("accepted");
    let (from, to) = (utc("Mon, 06 May 2024 00:00:00 GMT"), utc("Sun, 01 Jan 2090 00:00:00 GMT"));
    let near = |time: Timestamp, nanos: i64| {
        Timestamp::from_unix_nanos(time.as_unix_nanos().saturating_add(nanos))
    };
    let judge = |earliest, latest| connection.security.judge(earliest, latest);
    assert!(judge(from, near(to, 999_999_999)).is_ok(), "both ends are inclusive");
    for (earliest, latest, date) in [
        (near(from, -1), now(), near(from, -1)),
        (now(), near(to, 1_000_000_000), near(to, 1_000_000_000)),
        (epoch(), now(), epoch()),
        (Timestamp::from_unix_nanos(-1), now(), Timestamp::from_unix_nanos(-1)),
        (Timestamp::from_unix_nanos(i64::MIN), now(), Timestamp::from_unix_nanos(i64::MIN)),
        (now(), Timestamp::from_unix_nanos(i64::MAX), Timestamp::from_unix_nanos(i64::MAX)),
    ] {
        let fault = TlsFault::DateOutside { valid_from: from, valid_to: to, date };
        assert_eq!(judge(earliest, latest), Err(Error::Tls { peer: Peer::Server, fault }));
    }
}

#[test]
fn each_certificate_that_cannot_be_verified_is_refused_by_name_before_anything_is_sent() {
    let root = Authority::root("Test Root");
    let other = Authority::root("Other Root");
    let namesake = Authority::root("Test Root");
    let ended = root.intermediate("Ended", |params| valid(params, (2020, 1, 1), (2080, 1, 1)));
    let builder = trusting(&root);
    for version in VERSIONS {
        let refused = |credentials: &Credentials| refused(&builder, credentials, version);

        let not_trusted = |issuer: &str| TlsFault::NotTrusted { issuer: issuer.to_owned() };
        assert_eq!(refused(&other.issue(&[NAME])), not_trusted("CN=Other Root"));
        let another_key = TlsFault::WrongIssuerKey { issuer: "CN=Test Root".to_owned() };
        assert_eq!(refused(&namesake.issue(&[NAME])), another_key);
        assert_eq!(refused(&Credentials::self_signed(&[NAME], |_| {})).kind(), "tls_not_trusted");

        let wrong = refused(&root.issue(&["b.example", "*.c.example", "192.0.2.7"]));
        let names = ["b.example", "*.c.example", "192.0.2.7"].map(ToOwned::to_owned).into();
        assert_eq!(wrong, TlsFault::WrongName { host: NAME.to_owned(), names });
        assert_eq!(refused(&root.issue(&[])), TlsFault::NoName { host: NAME.to_owned() });
        assert_eq!(refused(&root.issue_with(&[NAME], make_ca)), TlsFault::CaCertificate);
        assert_eq!(refused(&Credentials::self_signed(&[NAME], make_ca)), TlsFault::CaCertificate);

        let expired = root.issue_with(&[NAME], |params| valid(params, (2020, 1, 1), (2026, 2, 1)));
        let valid_to = utc("Sun, 01 Feb 2026 00:00:00 GMT");
        assert_eq!(refused(&expired), TlsFault::Expired { valid_to, floor: build_day() });

        let disjoint =
            ended.issue_with(&[NAME], |params| valid(params, (2081, 1, 1), (2090, 1, 1)));
        let (valid_from, valid_to) =
            (utc("Wed, 01 Jan 2081 00:00:00 GMT"), utc("Mon, 01 Jan 2080 00:00:00 GMT"));
        assert_eq!(refused(&disjoint), TlsFault::NeverValid { valid_from, valid_to });

        let client_only = root.issue_with(&[NAME], |params| {
            params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        });
        assert_eq!(refused(&client_only).kind(), "tls_bad_certificate");
    }
}

#[test]
fn an_address_as_a_dns_name_is_named_and_only_hosts_are_offered_for_the_url() {
    let root = Authority::root("Test Root");
    let text = |text: &str| text.try_into().expect("ASCII");
    let [name, email, uri] = [
        rcgen::SanType::DnsName(text("192.0.2.1")),
        rcgen::SanType::Rfc822Name(text("admin@a.example")),
        rcgen::SanType::URI(text("https://a.example/")),
    ];
    for (host, entries, expected) in [
        ("192.0.2.1", vec![name.clone()], TlsFault::AddressAsName { host: "192.0.2.1".to_owned() }),
        (
            "192.0.2.2",
            vec![email.clone(), name, uri.clone()],
            TlsFault::WrongName {
                host: "192.0.2.2".to_owned(),
                names: vec!["192.0.2.1".to_owned()],
            },
        ),
        ("a.example", vec![email, uri], TlsFault::NoName { host: "a.example".to_owned() }),
    ] {
        let credentials = root.issue_with(&[], |params| params.subject_alt_names = entries);
        let server = serve(&credentials, Version::Tls13);
        let mut connection = Connection::new(trusting(&root), host, server);
        assert_eq!(fault(connection.open()), expected);
    }
}

#[test]
fn an_issuer_without_a_common_name_is_shown_by_what_it_has() {
    let builder = trusting(&Authority::root("Test Root"));
    let component: &[u64] = &[0, 9, 2342, 19_200_300, 100, 1, 25];
    for (oid, shown) in [(component, "DC=corp"), (&[1, 3, 6, 1, 4, 1, 99_999, 7], "corp")] {
        let other = Authority::root_with("", |params| {
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(rcgen::DnType::from_oid(oid), "corp");
        });
        let fault = refused(&builder, &other.issue(&[NAME]), Version::Tls13);
        assert_eq!(fault, TlsFault::NotTrusted { issuer: shown.to_owned() });
    }
}

#[test]
fn a_chain_that_is_too_long_and_dates_in_the_wrong_order_are_named() {
    let root = Authority::root("Test Root");
    let builder = trusting(&root);
    let mut last = root.intermediate("0", |_| {});
    for number in 1..8 {
        last = last.intermediate(&number.to_string(), |_| {});
    }
    let reversed = root.issue_with(&[NAME], |it| valid(it, (2080, 1, 1), (2070, 1, 1)));
    for (credentials, part) in [
        (last.issue(&[NAME]), "too many intermediate certificates; allowed: 6"),
        (reversed, "is before the beginning"),
    ] {
        let fault = refused(&builder, &credentials, Version::Tls13);
        let TlsFault::BadCertificate { reason } = fault else { panic!("{fault:?}") };
        assert!(reason.contains(part), "{reason}");
    }
}

#[test]
fn a_name_with_too_many_different_certificates_is_not_called_a_violation() {
    let root = Authority::root("Test Root");
    let next = || serve(&root.issue(&[NAME]), Version::Tls13);
    let mut connection = Connection::new(trusting(&root), NAME, next());
    for _ in 0..16 {
        connection.open().expect("accepted");
        connection.layer = connection.security.layer(epoch()).expect("a layer");
        connection.server = next();
    }
    let error = connection.open().expect_err("one too many");
    assert_eq!(error.kind(), "tls_violation");
    let message = error.to_string();
    assert!(message.contains("more than 16 different certificates; use"), "{message}");
}

#[test]
fn names_in_messages_control_no_terminal_and_are_short() {
    let (long, escape) = ("x".repeat(3000), "a\u{1b}[31m.example");
    let name = |text: &str| rcgen::SanType::DnsName(text.try_into().expect("ASCII"));
    let issuer = format!("CA\u{1b}[2J\n\u{202e}{long}");
    let root = Authority::root(&issuer);
    let credentials = root.issue_with(&[], |params| {
        params.subject_alt_names = vec![name(escape), name(&long)];
    });
    let other = Authority::root("Test Root");
    for builder in [trusting(&root), trusting(&other)] {
        let fault = refused(&builder, &credentials, Version::Tls13);
        let message = Error::Tls { peer: Peer::Server, fault }.to_string();
        assert!(message.len() < 400 && !message.chars().any(char::is_control), "{message:?}");
        assert!(!message.contains('\u{202e}'), "{message:?}");
    }
}

#[test]
fn the_floor_is_the_latest_of_the_day_of_the_build_and_the_given_one() {
    let root = Authority::root("Test Root");
    let credentials = root.issue_with(&[NAME], |params| {
        valid(params, (2020, 1, 1), (2080, 1, 1));
    });
    let with = |floor| {
        let builder = trusting(&root).floor(floor);
        let mut connection = Connection::new(builder, NAME, serve(&credentials, Version::Tls13));
        connection.open()
    };
    for floor in [epoch(), Timestamp::from_unix_nanos(i64::MIN), now()] {
        assert_eq!(with(floor), Ok(()));
    }
    let (valid_to, floor) =
        (utc("Mon, 01 Jan 2080 00:00:00 GMT"), utc("Mon, 01 Jan 2080 00:00:01 GMT"));
    assert_eq!(with(valid_to), Ok(()));
    assert_eq!(fault(with(floor)), TlsFault::Expired { valid_to, floor });
}

/// The weakness of a clock that must be set by what it cannot judge, and what limits it.
#[test]
fn a_leaked_key_with_a_fitting_date_is_accepted_unless_the_floor_the_clock_or_a_pin_forbids_it() {
    let root = Authority::root("Test Root");
    let leaked = root.issue_with(&[NAME], |params| {
        valid(params, (2040, 1, 1), (2040, 3, 31));
    });
    let then = utc("Wed, 15 Feb 2040 00:00:00 GMT");
    let with = |builder: TlsConfigBuilder, local| {
        let server = serve(&leaked, Version::Tls13);
        let mut connection = Connection::at(builder, NAME, server, local);
        connection.open()?;
        connection.security.judge(then, then)
    };
    let accepted = with(trusting(&root), epoch());
    assert!(matches!(accepted, Ok(CertificateCheck::ServerTime { .. })), "{accepted:?}");
    let later = utc("Thu, 01 Jan 2043 00:00:00 GMT");
    let kind = |result: Result<_, Error>| result.expect_err("refused").kind();
    assert_eq!(kind(with(trusting(&root).floor(later), epoch())), "tls_expired");
    let synchronised = trusting(&root).clock_is_synchronised(|| true);
    assert_eq!(kind(with(synchronised, later)), "tls_local_time_outside");
    let other = Credentials::self_signed(&[NAME], |_| {}).pin();
    assert_eq!(kind(with(TlsConfig::builder().pin(other), epoch())), "tls_wrong_pin");
}

#[test]
fn a_synchronised_clock_judges_alone() {
    let root = Authority::root("Test Root");
    let credentials = root.issue_with(&[NAME], |params| {
        valid(params, (2024, 5, 6), (2090, 1, 1));
    });
    let with = |local| {
        let builder = trusting(&root).clock_is_synchronised(|| true);
        let server = serve(&credentials, Version::Tls13);
        let mut connection = Connection::at(builder, NAME, server, local);
        connection.open()?;
        Ok([now(), epoch()].map(|date| connection.security.judge(date, date)))
    };
    let (valid_from, valid_to) =
        (utc("Mon, 06 May 2024 00:00:00 GMT"), utc("Sun, 01 Jan 2090 00:00:00 GMT"));
    // A server that contradicts its own certificate is wrong by any clock.
    let fault = TlsFault::DateOutside { valid_from, valid_to, date: epoch() };
    let outside = Error::Tls { peer: Peer::Server, fault };
    assert_eq!(with(now()), Ok([Ok(CertificateCheck::LocalClock), Err(outside)]));
    for local in [epoch(), Timestamp::from_unix_nanos(-1), Timestamp::from_unix_nanos(i64::MAX)] {
        let fault = TlsFault::LocalTimeOutside { valid_from, valid_to, local };
        assert_eq!(with(local), Err(Error::Tls { peer: Peer::Server, fault }));
    }
}

/// An issuer that has an old and a new certificate, between which there is a gap.
#[test]
fn the_window_is_that_of_the_certificates_that_verify_the_measured_time() {
    let root = Authority::root("Test Root");
    let years = [(2024, 2030), (2035, 2045)];
    for [first, second] in [[years[0], years[1]], [years[1], years[0]]] {
        let in_years = |(from, to)| move |it: &mut _| valid(it, (from, 1, 1), (to, 1, 1));
        let issuing = root.intermediate("Issuing", in_years(first));
        let issuing = issuing.renewed(&root, in_years(second));
        let credentials = issuing.issue_with(&[NAME], in_years((2023, 2050)));
        let server = serve(&credentials, Version::Tls13);
        let mut connection = Connection::new(trusting(&root), NAME, server);
        assert_eq!(connection.open(), Ok(()));
        let year = |year: i32| utc(&format!("Mon, 01 Jan {year} 00:00:00 GMT"));
        let judge = |from, to| connection.security.judge(year(from), year(to));
        let window = |from, to| {
            Ok(CertificateCheck::ServerTime { valid_from: year(from), valid_to: year(to) })
        };
        assert_eq!(judge(2027, 2028), window(2024, 2030));
        assert_eq!(judge(2036, 2037), window(2035, 2045));
        assert_eq!(judge(2028, 2036), window(2024, 2045));
        let refused = judge(2031, 2032).map(|_| ());
        assert!(matches!(fault(refused), TlsFault::DateOutside { .. }));
    }
}

#[test]
fn a_pin_stands_for_chain_name_and_dates_at_any_clock() {
    let expired = Credentials::self_signed(&["b.example"], |params| {
        make_ca(params);
        valid(params, (1980, 1, 1), (1981, 1, 1));
    });
    let another = Credentials::self_signed(&[NAME], make_ca);
    for version in VERSIONS {
        for local in [epoch(), Timestamp::from_unix_nanos(i64::MIN), now()] {
            let open = |pin: &str| {
                let builder = TlsConfig::builder().pin(pin).insecure(true);
                let server = serve(&expired, version);
                let mut connection = Connection::at(builder, NAME, server, local);
                connection.open()?;
                connection.exchange()?;
                connection.security.judge(local, local)
            };
            assert_eq!(open(&expired.pin()), Ok(CertificateCheck::Pin));
            let both = format!("{};{}", another.pin(), expired.pin());
            assert_eq!(open(&both), Ok(CertificateCheck::Pin));
            let wrong = open(&another.pin()).map(|_| ());
            assert_eq!(fault(wrong), TlsFault::WrongPin { pin: expired.pin() });
        }
    }
}

#[test]
fn insecure_accepts_everything_and_is_reported() {
    let credentials = Credentials::self_signed(&["b.example"], make_ca);
    for version in VERSIONS {
        let builder = TlsConfig::builder().insecure(true);
        let mut connection = Connection::new(builder, NAME, serve(&credentials, version));
        connection.open().expect("accepted");
        connection.exchange().expect("an answer");
        assert_eq!(connection.security.judge(epoch(), epoch()), Ok(CertificateCheck::Unchecked));
    }
}

#[test]
fn an_address_needs_its_own_entry_and_is_not_sent_as_a_name() {
    let root = Authority::root("Test Root");
    let credentials = root.issue(&["192.0.2.1", "fe80::1", "a.example"]);
    let open = |host| {
        let server = serve(&credentials, Version::Tls13);
        let mut connection = Connection::new(trusting(&root), host, server);
        connection.open().map(|()| connection.server.server_name().map(ToOwned::to_owned))
    };
    for host in ["192.0.2.1", "fe80::1", "fe80::1%eth0"] {
        assert_eq!(open(host), Ok(None), "{host}");
    }
    assert_eq!(open("a.example"), Ok(Some("a.example".to_owned())));
    assert_eq!(fault(open("192.0.2.2").map(|_| ())).kind(), "tls_wrong_name");
}

#[test]
fn a_client_certificate_is_sent_if_the_server_asks_for_one() {
    let root = Authority::root("Test Root");
    let (server, client) = (root.issue(&[NAME]), root.issue(&["client.example"]));
    let stranger = Authority::root("Other Root").issue(&["client.example"]);
    for version in VERSIONS {
        let with = |client: Option<&Credentials>| {
            let file = client.map(|it| PemFile::new(&it.pem()));
            let mut builder = trusting(&root);
            if let Some(file) = &file {
                builder = builder.certificate(file.path());
            }
            let config = server_config(&server, version, Some(&root));
            let server = ServerConnection::new(config).expect("a server");
            let mut connection = Connection::new(builder, NAME, server);
            connection.open()?;
            connection.exchange()
        };
        assert_eq!(with(Some(&client)), Ok(()), "{version:?}");
        assert_eq!(fault(with(None)), TlsFault::ClientCertificateRequired, "{version:?}");
        let refused = fault(with(Some(&stranger)));
        assert_eq!(refused.kind(), "tls_client_certificate_refused", "{version:?}");
    }
}

fn layer() -> Box<dyn Layer> {
    let config = TlsConfig::builder().insecure(true).build().expect("settings");
    let mut security = config.peer(Peer::Server, NAME).expect("a name");
    let mut layer = security.layer(epoch()).expect("a layer");
    layer.start(&mut Vec::new()).expect("a first flight");
    layer
}

#[test]
fn what_is_not_tls_is_named_as_soon_as_it_is_certain() {
    for (bytes, kind) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "tls_plain_http"),
        (b"HELO", "tls_not_tls"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "tls_not_tls"),
        (b"<html>", "tls_not_tls"),
        // Alerts: protocol_version, handshake_failure, unrecognized_name.
        (&[21, 3, 3, 0, 2, 2, 70], "tls_no_common_protocol"),
        (&[21, 3, 1, 0, 2, 2, 40], "tls_no_common_protocol"),
        (&[21, 3, 3, 0, 2, 2, 112], "tls_alert"),
        // A ServerHello of TLS 1.0, and garbage in a record.
        (&[22, 3, 3, 0, 4, 2, 0, 0, 0], "tls_violation"),
        (&[23, 3, 3, 0, 1, 0], "tls_violation"),
    ] {
        let receive = |chunk| {
            let mut layer = layer();
            let mut result = Ok(());
            for part in bytes.chunks(chunk) {
                result = layer.receive(part, &mut Vec::new(), &mut Vec::new());
                if result.is_err() {
                    break;
                }
            }
            result
        };
        for chunk in [1, bytes.len()] {
            assert_eq!(fault(receive(chunk)).kind(), kind, "{bytes:?}");
        }
    }
}

#[test]
fn a_connection_that_ends_in_the_handshake_or_within_a_record_is_named() {
    let kind = |layer: &dyn Layer| layer.cut_off().map(|error| error.kind());
    let mut unopened = layer();
    assert_eq!(kind(&*unopened), Some("tls_closed"));
    unopened.receive(&[22, 3, 3], &mut Vec::new(), &mut Vec::new()).expect("a beginning");
    assert_eq!(kind(&*unopened), Some("tls_cut_off"));

    let credentials = Credentials::self_signed(&[NAME], |_| {});
    for version in VERSIONS {
        let builder = TlsConfig::builder().insecure(true);
        let mut connection = Connection::new(builder, NAME, serve(&credentials, version));
        connection.open().expect("accepted");
        connection.exchange().expect("an answer");
        assert_eq!(kind(&*connection.layer), None, "between two records");
        let mut record = Vec::new();
        connection.server.send_close_notify();
        connection.server.write_tls(&mut record).expect("memory");
        let (begin, end) = record.split_at(record.len() - 1);
        let mut none = Vec::new();
        connection.layer.receive(begin, &mut none, &mut Vec::new()).expect("a part of a record");
        assert_eq!(kind(&*connection.layer), Some("tls_cut_off"));
        assert!(!connection.layer.has_ended());
        connection.layer.receive(end, &mut none, &mut Vec::new()).expect("the rest");
        assert!(connection.layer.has_ended() && none.is_empty());
        assert_eq!(kind(&*connection.layer), None);
    }
}

#[test]
fn tickets_are_no_plaintext() {
    let credentials = Credentials::self_signed(&[NAME], |_| {});
    let builder = TlsConfig::builder().insecure(true);
    let mut connection = Connection::new(builder, NAME, serve(&credentials, Version::Tls13));
    connection.layer.start(&mut connection.wire).expect("a first flight");
    connection.settle().expect("accepted");
    assert_eq!(connection.received, b"");
    connection.exchange().expect("an answer");
}

#[test]
fn records_that_arrive_in_pieces_are_put_together() {
    let root = Authority::root("Test Root");
    let credentials = root.issue(&[NAME]);
    let builder = trusting(&root);
    for version in VERSIONS {
        for chunk in 1..70 {
            let mut connection =
                Connection::new(builder.clone(), NAME, serve(&credentials, version));
            connection.chunk = chunk;
            connection.open().expect("accepted");
            connection.exchange().expect("an answer");
            connection.exchange().expect("an answer");
        }
    }
}

#[test]
fn settings_that_cannot_be_used_are_refused_by_name() {
    let root = Authority::root("Test Root");
    let (one, two) = (root.issue(&[NAME]), root.issue(&[NAME]));
    let [one, two, ca] = [one.pem(), two.pem(), root.pem()].map(|pem| PemFile::new(&pem));
    let [unended, garbage, pkcs8, traditional, unknown] = [
        "-----BEGIN CERTIFICATE-----\nAAAA\n",
        "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n\
         AAAA\n-----END RSA PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    ]
    .map(PemFile::new);
    let with_key = |key: &PemFile| TlsConfig::builder().certificate(one.path()).key(key.path());
    let broken = |setting: &str, file: &PemFile, why: &str| {
        format!("{setting} {} cannot be used: {why}", file.path().display())
    };
    let encrypted = "it has no unencrypted private key; decrypt it with openssl pkey";
    for (builder, begin) in [
        (
            TlsConfig::builder().cacert("/nowhere.pem"),
            "cacert /nowhere.pem cannot be used: no such file or directory",
        ),
        (
            TlsConfig::builder().cacert(unended.path()),
            &broken(
                "cacert",
                &unended,
                "its PEM is malformed: the line -----END CERTIFICATE----- is missing",
            ),
        ),
        (
            TlsConfig::builder().certificate(garbage.path()),
            &broken("cert", &garbage, "its PEM is malformed: it is not base64"),
        ),
        (with_key(&pkcs8), &broken("key", &pkcs8, encrypted)),
        (with_key(&traditional), &broken("key", &traditional, encrypted)),
        (
            with_key(&unknown),
            &broken("key", &unknown, "its kind is not supported; use RSA from 2048 bits, P-256, "),
        ),
        (TlsConfig::builder().cacert("/etc/hostname"), "cacert /etc/hostname has no certificate"),
        (TlsConfig::builder().cacert_pem("x"), "cacert_pem has no certificate"),
        (TlsConfig::builder().capath("/nowhere"), "capath /nowhere cannot be used: "),
        (TlsConfig::builder().proxy_cacert("/nowhere"), "proxy_cacert /nowhere cannot be used: "),
        (TlsConfig::builder().pin("sha256//AAAA"), "pin \"sha256//AAAA\" is not "),
        (TlsConfig::builder().proxy_pin("x"), "proxy_pin \"x\" does not begin "),
        (
            TlsConfig::builder().key(one.path()),
            "key is given without the certificate that it belongs to; set cert",
        ),
        (TlsConfig::builder().certificate("/nowhere"), "cert /nowhere cannot be used: "),
        (
            TlsConfig::builder().certificate(ca.path()),
            &format!("cert {} has no private key, and none is given; set key", ca.path().display()),
        ),
        (
            TlsConfig::builder().certificate(one.path()).key(two.path()),
            &format!("key {} cannot be used: it is not the key", two.path().display()),
        ),
    ] {
        match builder.build() {
            Err(Error::InvalidConfig { reason }) => assert!(reason.starts_with(begin), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn debug_output_shows_no_key() {
    let credentials = Authority::root("Test Root").issue(&[NAME]);
    let file = PemFile::new(&credentials.pem());
    let config = TlsConfig::builder().certificate(file.path()).build().expect("settings");
    let shown = format!("{config:?}");
    assert!(shown.len() < 300, "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// A changed byte is an error by name, or has no effect; nothing panics.
    #[test]
    fn changed_bytes_never_panic(at in 0_usize..3000, mask in 1_u8..=255, chunk in 1_usize..2000) {
        let credentials = Credentials::self_signed(&[NAME], |_| {});
        let builder = TlsConfig::builder().insecure(true);
        let mut connection =
            Connection::new(builder, NAME, serve(&credentials, Version::Tls13));
        connection.layer.start(&mut connection.wire).expect("a first flight");
        let mut unread = &connection.wire[..];
        connection.server.read_tls(&mut unread).expect("memory");
        connection.server.process_new_packets().expect("a hello");
        let mut flight = Vec::new();
        while connection.server.wants_write() {
            connection.server.write_tls(&mut flight).expect("memory");
        }
        let at = at % flight.len();
        flight[at] ^= mask;
        let mut plaintext = Vec::new();
        for part in flight.chunks(chunk) {
            if connection.layer.receive(part, &mut plaintext, &mut Vec::new()).is_err() {
                break;
            }
        }
        prop_assert!(plaintext.is_empty());
    }

    #[test]
    fn random_bytes_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        kind in 20_u8..=24,
        chunk in 1_usize..400,
    ) {
        let length = u16::try_from(bytes.len()).expect("short").to_be_bytes();
        let record = [&[kind, 3, 3, length[0], length[1]][..], &bytes].concat();
        let mut layer = layer();
        for part in record.chunks(chunk) {
            if layer.receive(part, &mut Vec::new(), &mut Vec::new()).is_err() {
                return Ok(());
            }
        }
    }

    /// The window is the intersection of those of all certificates, wherever they lie.
    #[test]
    fn the_window_is_that_in_which_every_certificate_is_valid(
        root_from in 1975_i32..2200,
        from in proptest::array::uniform2(1975_i32..2100),
        length in proptest::array::uniform2(0_i32..150),
    ) {
        let root = Authority::root_with("Root", |it| valid(it, (root_from, 1, 1), (2201, 1, 1)));
        let ends = [0, 1].map(|index| from[index] + length[index]);
        let issuing =
            root.intermediate("Issuing", |it| valid(it, (from[0], 1, 1), (ends[0], 12, 31)));
        let credentials =
            issuing.issue_with(&[NAME], |it| valid(it, (from[1], 1, 1), (ends[1], 12, 31)));
        let mut connection =
            Connection::new(trusting(&root), NAME, serve(&credentials, Version::Tls13));
        let (begin, end) = (from[0].max(from[1]), ends[0].min(ends[1]));
        // The day of the build is in this year or later.
        let opened = connection.open();
        if end < 2026 || begin > end {
            prop_assert!(opened.is_err());
        } else if end > 2090 {
            prop_assert_eq!(opened, Ok(()));
            let year = |year: i32| utc(&format!("Mon, 01 Jul {year} 00:00:00 GMT"));
            let judged = connection.security.judge(year(begin), year(end));
            let Ok(CertificateCheck::ServerTime { valid_from, valid_to }) = judged else {
                return Err(TestCaseError::fail(format!("{judged:?}")));
            };
            prop_assert_eq!(valid_from, utc(&format!("Mon, 01 Jan {begin} 00:00:00 GMT")));
            prop_assert_eq!(valid_to, utc(&format!("Mon, 31 Dec {end} 00:00:00 GMT")));
        }
    }
}

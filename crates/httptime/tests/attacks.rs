//! What an attacker on the path, a server or a proxy can and cannot do to a measurement:
//! `docs/threat-model.md`, one test per attack. Attacks that plain HTTP cannot prevent are shown
//! too, so that they are not taken for prevented.

use std::time::Duration;

use httptime::EndReason;
use httptime::server::UNKNOWN_LAG;
use httptime::{Client, Error, Measurement, Offset};
use httptime::{Config, ConfigBuilder};
use httptime_testserver::{
    Behaviour, LoopbackProxy, LoopbackServer, LoopbackServerBuilder, Misbehave as _, ProxyOptions,
};

const SKEW: Offset = Offset::from_nanos(38_116_000_000);
const SECRET: &str = "hunter2";

fn quick() -> ConfigBuilder {
    Config::builder()
        .requests(7)
        .duration(Duration::from_secs(4))
        .timeout(Duration::from_millis(900))
        .lag(Duration::from_millis(1))
}

fn server() -> LoopbackServerBuilder {
    LoopbackServer::builder().skew(SKEW)
}

fn start(server: LoopbackServerBuilder) -> LoopbackServer {
    server.start().expect("a loopback port")
}

fn measure(server: &LoopbackServer, config: ConfigBuilder) -> Result<Measurement, Error> {
    Client::builder(server.url()).config(config.build()?).build()?.measure()
}

#[test]
fn a_made_up_date_is_measured_as_any_other() -> Result<(), Error> {
    for years in [-1, 10] {
        let by = Offset::from_nanos(years * 365 * 86_400 * 1_000_000_000);
        let liar = start(LoopbackServer::builder().skew(by));
        let measurement = measure(&liar, quick())?;
        assert!(measurement.bounds().contains(by), "{measurement:?}");
    }
    Ok(())
}

/// An attacker who records a server's responses and returns each of them five seconds later looks
/// like a server with a lag of five seconds: more than the stated one.
#[test]
fn answers_replayed_late_look_like_a_clock_slow_by_as_much() -> Result<(), Error> {
    let late = Duration::from_secs(5);
    let measurement = measure(&start(server().lag(late)), quick())?;
    assert!(!measurement.bounds().contains(SKEW), "{measurement:?}");
    assert!(measurement.bounds().contains(SKEW.saturating_sub(late.into())), "{measurement:?}");
    Ok(())
}

#[test]
fn a_false_server_field_narrows_the_bounds_unless_the_lag_is_stated() -> Result<(), Error> {
    let late = Duration::from_millis(500);
    let said = Some("nginx/1.22.1".to_owned());
    let disguised = start(server().lag(late).server_header(said));
    let unstated = Config::builder().requests(7).duration(Duration::from_secs(4));
    let believing = measure(&disguised, unstated)?;
    assert!(!believing.bounds().contains(SKEW), "{believing:?}");
    let knowing = measure(&disguised, quick().lag(UNKNOWN_LAG))?;
    assert!(knowing.bounds().contains(SKEW), "{knowing:?}");
    Ok(())
}

#[test]
fn two_liars_of_three_are_believed_and_the_honest_one_is_the_falseticker() -> Result<(), Error> {
    let lie = SKEW.saturating_add(Offset::from_nanos(3_600_000_000_000));
    let liars = [(); 2].map(|()| start(LoopbackServer::builder().skew(lie)));
    let honest = start(server());
    let client = Client::builder(honest.url()).server(liars[0].url()).server(liars[1].url());
    let survey = client.config(quick().build()?).build()?.survey(|_| {});
    let selected: Vec<bool> = survey.servers().iter().map(|server| server.is_selected()).collect();
    assert_eq!(selected, [false, true, true]);
    assert!(survey.combined().is_ok_and(|combined| combined.bounds().contains(lie)));
    Ok(())
}

#[test]
fn a_server_named_twice_gets_no_two_votes() {
    for twice in ["http://a.example", "http://A.EXAMPLE:80/", "http://a.example/other?path"] {
        let client = Client::builder("http://a.example/").server("http://b.example/");
        let error = client.server(twice).build().expect_err(twice);
        assert_eq!(error.kind(), "invalid_config", "{error}");
        assert!(error.to_string().contains("servers names a.example:80 twice"), "{error}");
    }
    let others = Client::builder("http://a.example/").server("http://a.example:8080/");
    assert!(others.server("http://b.example/").build().is_ok());
}

/// The response was stamped before the request arrived, so its date proves nothing about the time
/// after that.
#[test]
fn a_408_answers_no_request_and_another_is_sent() -> Result<(), Error> {
    let mut script = vec![Behaviour::Normal; 6];
    script.insert(3, Behaviour::Status(408));
    let server = start(server().script(script));
    let measurement = measure(&server, quick())?;
    assert_eq!(measurement.observations(), measurement.requests() - 1, "{measurement:?}");
    assert!(
        matches!(measurement.end_reason(), EndReason::Requests | EndReason::Duration),
        "{measurement:?}"
    );
    assert_eq!(server.connections(), 2, "what crossed the request is read on no further");
    assert!(measurement.bounds().contains(SKEW), "{measurement:?}");
    let always = start(LoopbackServer::builder().behaviour(Behaviour::Status(408)));
    let error = measure(&always, quick()).expect_err("never an answer");
    assert_eq!(error.kind(), "malformed_head");
    Ok(())
}

/// A response directly after the proxy's own response to `CONNECT`, in the same segment.
#[test]
fn a_tunnel_in_which_an_answer_is_waiting_is_given_up() -> Result<(), Error> {
    let proxy = start(server().behaviour(Behaviour::BodyAfterHead));
    let client = Client::builder("http://a.example/").proxy(proxy.url()).tunnel(true);
    let error = client.config(quick().build()?).build()?.measure().expect_err("it was unasked");
    assert_eq!(error, Error::MalformedHead { reason: "it began before the request was sent" });
    assert_eq!(proxy.requests(), 1, "nothing but CONNECT");
    Ok(())
}

#[test]
fn a_redirect_is_measured_and_never_followed() -> Result<(), Error> {
    let server = start(server().behaviour(Behaviour::Status(302)));
    let measurement = measure(&server, quick())?;
    assert!(measurement.bounds().contains(SKEW), "{measurement:?}");
    assert_eq!((server.connections(), server.requests()), (1, measurement.requests() as usize));
    let asked = server.last_request().expect("it was asked");
    assert!(asked.starts_with("HEAD / HTTP/1.1\r\n"), "{asked}");
    Ok(())
}

#[test]
fn server_and_proxy_are_told_the_user_agent_that_was_given() -> Result<(), Error> {
    let server = start(server());
    let proxy = LoopbackProxy::start(ProxyOptions::default()).expect("a port");
    let field = |request: Option<String>| {
        let request = request.expect("it was asked");
        let field = request.lines().find_map(|line| line.strip_prefix("User-Agent: "));
        field.map(str::to_owned)
    };
    for tunnel in [false, true] {
        for (given, sent) in [("curl/8.5.0", Some("curl/8.5.0")), ("", None)] {
            let client = Client::builder(server.url()).proxy(proxy.url()).tunnel(tunnel);
            client.user_agent(given).config(quick().requests(1).build()?).build()?.measure()?;
            assert_eq!(field(server.last_request()).as_deref(), sent, "tunnel {tunnel}");
            assert_eq!(field(proxy.last_request()).as_deref(), sent, "tunnel {tunnel}");
        }
    }
    let injected = Client::builder(server.url()).user_agent("a\r\nX: b").build();
    assert_eq!(injected.expect_err("a line end").kind(), "invalid_config");
    Ok(())
}

#[test]
fn the_proxys_password_reaches_no_server_no_error_and_no_debug_output() -> Result<(), Error> {
    let server = start(server());
    let start = |options| LoopbackProxy::start(options).expect("a port");
    let open = start(ProxyOptions::default().credentials("user", SECRET));
    let closed = start(ProxyOptions::default().credentials("user", "another"));
    let encoded = "dXNlcjpodW50ZXIy";
    let hides = |text: &str| !text.contains(SECRET) && !text.contains(encoded);
    for tunnel in [false, true] {
        let through = |proxy: &LoopbackProxy| {
            let url = proxy.url().replace("http://", &format!("http://user:{SECRET}@"));
            Client::builder(server.url()).proxy(url).tunnel(tunnel).config(quick().build()?).build()
        };
        let client = through(&open)?;
        client.measure()?;
        let proxied = open.last_request().expect("it was asked");
        assert!(proxied.contains(encoded), "tunnel {tunnel}: {proxied}");
        if tunnel {
            let asked = server.last_request().expect("it was asked");
            assert!(hides(&asked), "{asked}");
        }
        assert!(hides(&format!("{client:?}")), "tunnel {tunnel}");
        let survey = through(&closed)?.survey(|_| {});
        let error = survey.combined().expect_err("another password");
        assert_eq!(error.kind(), "proxy_credentials");
        assert!(hides(&format!("{error} {survey:?}")), "tunnel {tunnel}: {survey:?}");
    }
    let builder = Client::builder(format!("http://user:{SECRET}@a.example/"))
        .proxy(format!("http://user:{SECRET}/x@proxy"));
    assert!(hides(&format!("{builder:?}")), "{builder:?}");
    let error = Client::builder(format!("http://user:{SECRET}@a.example/")).build();
    let error = error.expect_err("a server needs no password");
    assert!(hides(&format!("{error} {error:?}")), "{error:?}");
    Ok(())
}

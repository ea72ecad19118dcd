//! A site of three nodes. Each measures its HTTP server and feeds its chronyd, the three chronyds
//! compare each other by NTP, and the other machines use all three. No clock is controlled (`-x`).

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use httptime::Offset;
use httptime_sim::{SimStamp, StampDigits};
use httptime_testserver::LoopbackServer;

use crate::chrony::{Running, chronyc, chronyd_with, feed};
use crate::daemon::fresh_directory;

const CLOSE: f64 = 2e-3;
/// A lie.
const LIE: f64 = 5.0;

/// A chronyd, what feeds it, and their directory.
struct Node {
    chronyd: Running,
    feed: Option<Running>,
    directory: PathBuf,
}

/// A source as `chronyc sources` reports it.
#[derive(Debug)]
struct Source {
    state: String,
    name: String,
}

impl Node {
    /// A node at this address. `peers`: the others.
    fn start(address: Ipv4Addr, port: u16, peers: &[Ipv4Addr], url: &str) -> Self {
        let directory = fresh_directory("site");
        let place = directory.display();
        let config = format!(
            "refclock SOCK {place}/httptime.sock refid HTTP poll 2 filter 1 delay 0.05 precision 0.001\n\
             port {port}\nbindaddress {address}\nallow 127.0.0.0/8\n{}",
            servers(peers, port)
        );
        let chronyd = chronyd_with(&directory, &config);
        let feed = Some(feed(&directory, url, 2, "duration = 3"));
        Self { chronyd, feed, directory }
    }

    /// A machine that only uses the nodes.
    fn client(nodes: &[Ipv4Addr], port: u16) -> Self {
        let directory = fresh_directory("site-client");
        let config = format!("port 0\nminsources 2\n{}", servers(nodes, port));
        Self { chronyd: chronyd_with(&directory, &config), feed: None, directory }
    }

    fn sources(&self) -> Vec<Source> {
        let said = chronyc(&self.directory, "sources");
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        let fields = |line: &str| -> Option<Source> {
            let mut fields = line.split(',').map(str::to_owned).skip(1);
            Some(Source { state: fields.next()?, name: fields.next()? })
        };
        text.lines().filter_map(fields).collect()
    }

    /// How far this chronyd holds the machine's clock to be off; `None` while it follows nobody.
    fn error(&self) -> Option<f64> {
        let said = chronyc(&self.directory, "tracking");
        let line = String::from_utf8_lossy(&said.stdout).trim().to_owned();
        let fields: Vec<&str> = line.split(',').collect();
        (*fields.first()? != "00000000").then(|| fields[4].parse().expect("seconds"))
    }

    /// The states of these sources: `*` followed, `+` agrees, `x` falseticker, `?` unreachable.
    fn states(&self, names: &[&str]) -> String {
        let sources = self.sources();
        let state = |name: &&str| {
            let found = sources.iter().find(|it| it.name == *name);
            found.map_or("-", |it| it.state.as_str()).to_owned()
        };
        names.iter().map(state).collect()
    }

    fn said(&self) -> String {
        let feed = self.feed.as_ref().map(Running::said).unwrap_or_default();
        format!("{}\n{feed}", self.chronyd.said())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn servers(addresses: &[Ipv4Addr], port: u16) -> String {
    let line = |it: &Ipv4Addr| format!("server {it} port {port} iburst minpoll 0 maxpoll 1\n");
    addresses.iter().map(line).collect()
}

/// Waits until the sources of this chronyd have these states, each one of the allowed characters.
fn wait_for(what: &str, node: &Node, names: &[&str], allowed: &[&str]) {
    let begun = Instant::now();
    loop {
        let states = node.states(names);
        let fits = states.chars().zip(allowed).all(|(state, allowed)| allowed.contains(state));
        if fits && states.len() == allowed.len() {
            let seconds = begun.elapsed().as_secs_f64();
            println!(
                "{what}: {names:?} {states}, error {:?} s, after {seconds:.1} s",
                node.error()
            );
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}: {states}\n{}", node.said());
        thread::sleep(Duration::from_millis(200));
    }
}

fn assert_right(what: &str, node: &Node) {
    let error = node.error().unwrap_or_else(|| panic!("{what} follows nobody: {}", node.said()));
    assert!(error.abs() < CLOSE, "{what}: {error} s");
}

#[test]
fn nobody_follows_the_one_of_three_nodes_that_lies_or_dies() {
    let http = |skew: f64| {
        #[expect(clippy::cast_possible_truncation, reason = "a few seconds in nanoseconds")]
        let skew = Offset::from_nanos((skew * 1e9) as i64);
        // With stamps a measurement takes less than a second.
        let stamp = SimStamp::seconds(StampDigits::Micros);
        let builder = LoopbackServer::builder().skew(skew).stamp(stamp);
        builder.server_header(Some("nginx".into())).start().expect("a loopback port")
    };
    let (right, wrong) = (http(0.0), http(LIE));
    let [one, two, three] = [1, 2, 3].map(|number| Ipv4Addr::new(127, 0, 77, number));
    let names = [one, two, three].map(|address| address.to_string());
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port");
    let port = socket.local_addr().expect("its address").port();
    drop(socket);

    // The HTTP server of node 3 lies: its chronyd sees that the other two disagree.
    let first = Node::start(one, port, &[two, three], &right.url());
    let second = Node::start(two, port, &[one, three], &right.url());
    let third = Node::start(three, port, &[one, two], &wrong.url());
    let client = Node::client(&[one, two, three], port);
    let from_node_3 = ["HTTP", names[0], names[1]];
    wait_for("node 3", &third, &from_node_3, &["x", "*+", "*+"]);
    wait_for("others", &client, &names[..2], &["*+", "*+"]);
    for (what, node) in [("node 1", &first), ("node 2", &second), ("node 3", &third)] {
        assert_right(what, node);
    }
    assert_right("a machine", &client);

    // Node 3 itself lies by NTP.
    drop(third);
    let liar = Node::start(three, port, &[], &wrong.url());
    wait_for("a machine, node 3 lies", &client, &names, &["*+", "*+", "x"]);
    wait_for("node 1, node 3 lies", &first, &["HTTP", names[1], names[2]], &["*+", "*+-", "x"]);
    assert_right("a machine", &client);
    let lie = liar.error().expect("it follows its server");
    assert!((lie.abs() - LIE).abs() < CLOSE, "the liar does lie: {lie}");

    // Node 3 is gone.
    drop(liar);
    wait_for("a machine, node 3 is gone", &client, &names, &["*+", "*+", "?x"]);
    for (what, node) in [("node 1", &first), ("node 2", &second), ("a machine", &client)] {
        assert_right(what, node);
    }
}

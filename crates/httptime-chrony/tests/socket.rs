//! Samples through a real socket, with this test in the place of chronyd.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use httptime::{Offset, Timestamp};
use httptime_chrony::{ChronyError, Feed, Leap, Poll, Sample};

/// 2026-11-23T09:37:12Z.
const NOW: Timestamp = Timestamp::from_unix_nanos(1_795_426_632_000_000_000);

/// A directory that is removed when the test ends.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("httptime-chrony-{}-{name}", std::process::id()));
        fs::create_dir(&path).expect("a new directory");
        Self(path)
    }

    fn feed(&self) -> Feed {
        Feed::new(self.0.join("sock"), Poll::default()).expect("a usable path")
    }

    fn listen(&self) -> UnixDatagram {
        let path = self.0.join("sock");
        let _ = fs::remove_file(&path);
        let socket = UnixDatagram::bind(path).expect("a socket");
        socket.set_nonblocking(true).expect("a socket that does not block");
        socket
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn sample() -> Sample {
    Sample::new(NOW, Offset::from_nanos(38_116_000_000), Leap::None).expect("in range")
}

fn received(socket: &UnixDatagram) -> Vec<u8> {
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer).expect("a datagram");
    buffer[..length].to_vec()
}

#[test]
fn a_sample_arrives_as_one_datagram() -> Result<(), ChronyError> {
    let directory = Directory::new("arrives");
    let chronyd = directory.listen();
    directory.feed().send(&sample(), NOW)?;
    assert_eq!(received(&chronyd), sample().encode());
    assert!(chronyd.recv(&mut [0; 64]).is_err(), "a second datagram");
    Ok(())
}

#[test]
fn a_feed_finds_the_socket_of_a_chronyd_that_was_restarted() -> Result<(), ChronyError> {
    let directory = Directory::new("restarted");
    let (feed, path) = (directory.feed(), directory.0.join("sock"));
    assert_eq!(feed.send(&sample(), NOW), Err(ChronyError::SocketMissing { path: path.clone() }));
    let first = directory.listen();
    feed.send(&sample(), NOW)?;
    drop(first);
    assert_eq!(feed.send(&sample(), NOW), Err(ChronyError::Refused { path }));
    let second = directory.listen();
    feed.send(&sample(), NOW)?;
    assert_eq!(received(&second), sample().encode());
    Ok(())
}

#[test]
fn a_chronyd_that_does_not_read_is_told_of_and_not_waited_for() {
    let directory = Directory::new("full");
    let _chronyd = directory.listen();
    let feed = directory.feed();
    let began = Instant::now();
    let full = (0..100_000).find_map(|_| feed.send(&sample(), NOW).err());
    assert_eq!(full, Some(ChronyError::Full { path: directory.0.join("sock") }));
    assert!(began.elapsed() < Duration::from_secs(2), "it waited");
}

#[test]
fn nothing_is_sent_of_a_sample_that_chronyd_would_drop() {
    let directory = Directory::new("dropped");
    let chronyd = directory.listen();
    for (later_ns, kind) in [(32_000_000_001, "sample_too_old"), (-1, "sample_from_the_future")] {
        let now = NOW.saturating_add(Offset::from_nanos(later_ns));
        let refused = directory.feed().send(&sample(), now).map_err(|error| error.kind());
        assert_eq!(refused, Err(kind));
    }
    assert!(chronyd.recv(&mut [0; 64]).is_err(), "a datagram");
}

#[test]
fn a_missing_socket_says_what_chronyd_needs() {
    let feed = Feed::new("/nonexistent/httptime.sock", Poll::default()).expect("a usable path");
    let error = feed.send(&sample(), NOW).expect_err("there is no socket");
    assert_eq!(
        error.to_string(),
        "there is no socket /nonexistent/httptime.sock: write \"refclock SOCK \
         /nonexistent/httptime.sock\" into chrony.conf and restart chronyd"
    );
}

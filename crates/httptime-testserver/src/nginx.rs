//! A real nginx with a wrong clock.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use httptime::Offset;

/// How far its clock is ahead.
pub const SKEW: Offset = Offset::from_nanos(38_116_000_000);

/// nginx with a clock that is ahead by [`SKEW`], on several loopback ports. Dropping the value
/// stops it. nginx and libfaketime must be installed.
#[derive(Debug)]
pub struct Nginx {
    process: Child,
    addresses: Vec<SocketAddr>,
    directory: PathBuf,
}

impl Nginx {
    /// With a port for each of `settings`, which are lines of a `server` block. With an
    /// `ssl_certificate` among them the port speaks HTTPS.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(settings: &[&str]) -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("httptime-nginx-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).expect("a directory");
        let listeners: Vec<TcpListener> = settings
            .iter()
            .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port"))
            .collect();
        let addresses: Vec<SocketAddr> =
            listeners.iter().map(|it| it.local_addr().expect("its address")).collect();
        drop(listeners);
        let server = |(settings, address): (&&str, &SocketAddr)| {
            let ssl = if settings.contains("ssl_certificate") { " ssl" } else { "" };
            format!(
                "server {{ listen {address}{ssl}; {settings} location / {{ return 200 'ok'; }} }}\n"
            )
        };
        let servers: String = settings.iter().zip(&addresses).map(server).collect();
        let place = directory.display();
        let config = format!(
            "env LD_PRELOAD; env FAKETIME; env FAKETIME_DONT_FAKE_MONOTONIC; env DONT_FAKE_MONOTONIC;\n\
             daemon off; pid {place}/pid; error_log {place}/error.log; worker_processes 1;\n\
             events {{}}\n\
             http {{\n\
               access_log off;\n\
               client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;\n\
               fastcgi_temp_path {place}/fastcgi; uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;\n\
               {servers}\
             }}\n"
        );
        let file = directory.join("nginx.conf");
        fs::write(&file, config).expect("a file");
        let process = Command::new("nginx")
            .arg("-p")
            .arg(&directory)
            .arg("-c")
            .arg(file)
            .env("LD_PRELOAD", "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
            .env("FAKETIME", "+38.116s")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("nginx must be installed: {error}"));
        let mut nginx = Self { process, addresses, directory };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(nginx.addresses[0]).is_err() {
            let ended = nginx.process.try_wait().expect("a child");
            assert!(ended.is_none() && Instant::now() < deadline, "nginx does not listen");
            thread::sleep(Duration::from_millis(20));
        }
        nginx
    }

    /// The address of the port with these settings.
    #[must_use]
    pub fn address(&self, index: usize) -> SocketAddr {
        self.addresses[index]
    }

    /// `http://ADDRESS/`.
    #[must_use]
    pub fn url(&self, index: usize) -> String {
        format!("http://{}/", self.addresses[index])
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM: the master process stops its worker.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let deadline = Instant::now() + Duration::from_secs(5);
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

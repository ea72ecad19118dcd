use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// nginx on a loopback port with a known skew. It can be stopped and started any number of times.
/// Dropping the value stops it.
#[derive(Debug)]
pub struct Nginx {
    skew: String,
    address: SocketAddr,
    directory: PathBuf,
    process: Option<Child>,
}

impl Nginx {
    /// Starts nginx with a clock that differs by `skew`, in libfaketime's syntax (`+38.116s`), on a
    /// port chosen by `random`.
    ///
    /// # Errors
    /// When a file cannot be written, when no port is free, or when nginx does not start.
    pub fn start(skew: &str, random: &mut fastrand::Rng) -> io::Result<Self> {
        let address = free_address(random)?;
        let directory =
            std::env::temp_dir().join(format!("httptime-endure-{}", std::process::id()));
        fs::create_dir_all(&directory)?;
        let mut nginx = Self { skew: skew.into(), address, directory, process: None };
        fs::write(nginx.directory.join("nginx.conf"), nginx.configuration())?;
        nginx.start_again()?;
        Ok(nginx)
    }

    /// nginx passes only the variables named by `env` to its workers.
    fn configuration(&self) -> String {
        let (place, address) = (self.directory.display(), self.address);
        format!(
            "env LD_PRELOAD; env FAKETIME; env FAKETIME_DONT_FAKE_MONOTONIC; env DONT_FAKE_MONOTONIC;\n\
             daemon off; pid {place}/pid; error_log {place}/error.log; worker_processes 1;\n\
             events {{ worker_connections 1024; }}\n\
             http {{\n\
               access_log off;\n\
               client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;\n\
               fastcgi_temp_path {place}/fastcgi; uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;\n\
               server {{ listen {address}; location / {{ return 200 'ok'; }} }}\n\
             }}\n"
        )
    }

    fn command(&self) -> Command {
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&self.directory).arg("-c").arg(self.directory.join("nginx.conf"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Starts nginx after [`stop`](Self::stop), and returns when it accepts connections.
    ///
    /// # Errors
    /// When nginx exits, or does not accept a connection within ten seconds.
    pub fn start_again(&mut self) -> io::Result<()> {
        let process = self
            .command()
            .env("LD_PRELOAD", "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
            .env("FAKETIME", &self.skew)
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1")
            .spawn()
            .map_err(|error| {
                io::Error::new(error.kind(), format!("nginx (nginx-light): {error}"))
            })?;
        let process = self.process.insert(process);
        let deadline = Instant::now() + START_TIMEOUT;
        while TcpStream::connect(self.address).is_err() {
            if process.try_wait()?.is_some() || Instant::now() > deadline {
                let said = fs::read_to_string(self.directory.join("error.log")).unwrap_or_default();
                return Err(io::Error::other(format!("nginx does not come up: {said}")));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// `nginx -s reload`: starts new workers. The old ones exit as soon as their connections are
    /// idle.
    ///
    /// # Errors
    /// When the command cannot be run.
    pub fn reload(&self) -> io::Result<()> {
        self.signal("reload")
    }

    /// `nginx -s stop`: closes all connections at once. Returns when nginx has exited.
    ///
    /// # Errors
    /// When the command cannot be run.
    pub fn stop(&mut self) -> io::Result<()> {
        let signalled = self.signal("stop");
        let Some(mut process) = self.process.take() else { return signalled };
        let deadline = Instant::now() + START_TIMEOUT;
        while process.try_wait()?.is_none() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        process.kill()?;
        process.wait()?;
        signalled
    }

    fn signal(&self, what: &str) -> io::Result<()> {
        let status = self.command().args(["-s", what]).status()?;
        if status.success() {
            return Ok(());
        }
        Err(io::Error::other(format!("nginx -s {what}: {status}")))
    }

    /// The address on which nginx listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if self.process.is_some() {
            let _ = self.stop();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A port below the range from which Linux assigns ports by itself. A port in that range could be
/// assigned to another process while the server is away. It could also be assigned to a client that
/// connects to this same port: TCP would then connect the client to itself.
fn free_address(random: &mut fastrand::Rng) -> io::Result<SocketAddr> {
    let mut result = Err(io::Error::other("no port"));
    for _ in 0..100 {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, random.u16(20_000..30_000)));
        result = TcpListener::bind(address).map(|_| address);
        if result.is_ok() {
            break;
        }
    }
    result
}

const START_TIMEOUT: Duration = Duration::from_secs(10);

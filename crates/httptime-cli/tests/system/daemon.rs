use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A server or proxy from Debian on a loopback port, in the foreground, with its own directory.
/// Dropping the value stops it.
#[derive(Debug)]
pub(crate) struct Daemon {
    name: &'static str,
    process: Child,
    address: SocketAddr,
    directory: PathBuf,
}

impl Daemon {
    /// nginx with a clock that differs by `skew`, in libfaketime's syntax. `/stored` may be cached.
    pub(crate) fn nginx(skew: &str) -> Self {
        let (directory, address) = fresh("nginx");
        let place = directory.display();
        let config = format!(
            "env LD_PRELOAD; env FAKETIME; env FAKETIME_DONT_FAKE_MONOTONIC; env DONT_FAKE_MONOTONIC;\n\
             daemon off; pid {place}/pid; error_log {place}/error.log; worker_processes 1;\n\
             events {{}}\n\
             http {{\n\
               access_log off;\n\
               client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;\n\
               fastcgi_temp_path {place}/fastcgi; uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;\n\
               server {{ listen {address};\n\
                 location / {{ return 200 'ok'; }}\n\
                 location /stored {{ add_header Cache-Control 'public, max-age=600'; return 200 'ok'; }}\n\
               }}\n\
             }}\n"
        );
        let file = write(&directory, "nginx.conf", &config);
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&directory).arg("-c").arg(file);
        Self::start("nginx", skewed(&mut command, "libfaketime.so.1", skew), address, directory)
    }

    /// nginx on every address of this machine, with a correct clock, or one that differs by `skew`.
    pub(crate) fn nginx_on_all_addresses(skew: Option<&str>) -> Self {
        let (directory, address) = fresh("nginx-all");
        let (place, port) = (directory.display(), address.port());
        let config = format!(
            "env LD_PRELOAD; env FAKETIME; env FAKETIME_DONT_FAKE_MONOTONIC; env DONT_FAKE_MONOTONIC;\n\
             daemon off; pid {place}/pid; error_log {place}/error.log; worker_processes 1;\n\
             worker_rlimit_nofile 8192; events {{ worker_connections 4096; }}\n\
             http {{\n\
               access_log off;\n\
               client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;\n\
               fastcgi_temp_path {place}/fastcgi; uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;\n\
               server {{ listen {port} backlog=4096; location / {{ return 200 'ok'; }} }}\n\
             }}\n"
        );
        let file = write(&directory, "nginx.conf", &config);
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&directory).arg("-c").arg(file);
        let command = match skew {
            Some(skew) => skewed(&mut command, "libfaketime.so.1", skew),
            None => &mut command,
        };
        Self::start("nginx", command, address, directory)
    }

    /// Apache with a clock that differs by `skew`.
    pub(crate) fn apache(skew: &str) -> Self {
        let (directory, address) = fresh("apache");
        let place = directory.display();
        let modules = "/usr/lib/apache2/modules";
        let config = format!(
            "ServerRoot {place}\nPidFile {place}/pid\nErrorLog {place}/error.log\nServerName localhost\n\
             LoadModule mpm_event_module {modules}/mod_mpm_event.so\n\
             LoadModule authz_core_module {modules}/mod_authz_core.so\n\
             Listen {address}\nDocumentRoot {place}\nStartServers 1\nUser www-data\nGroup www-data\n\
             Mutex file:{place}\nDefaultRuntimeDir {place}\n"
        );
        let file = write(&directory, "apache.conf", &config);
        let mut command = Command::new("apache2");
        command.arg("-f").arg(file).arg("-DFOREGROUND");
        Self::start("Apache", skewed(&mut command, "libfaketimeMT.so.1", skew), address, directory)
    }

    /// Apache over HTTPS, with a clock that differs by `skew`. `pem`: certificate and key.
    pub(crate) fn apache_tls(skew: &str, pem: &Path) -> Self {
        let (directory, address) = fresh("apache-tls");
        let (place, pem) = (directory.display(), pem.display());
        let modules = "/usr/lib/apache2/modules";
        let config = format!(
            "ServerRoot {place}\nPidFile {place}/pid\nErrorLog {place}/error.log\nServerName localhost\n\
             LoadModule mpm_event_module {modules}/mod_mpm_event.so\n\
             LoadModule authz_core_module {modules}/mod_authz_core.so\n\
             LoadModule ssl_module {modules}/mod_ssl.so\n\
             Listen {address}\nDocumentRoot {place}\nStartServers 1\nUser www-data\nGroup www-data\n\
             Mutex file:{place}\nDefaultRuntimeDir {place}\n\
             SSLEngine on\nSSLSessionCache none\n\
             SSLCertificateFile {pem}\nSSLCertificateKeyFile {pem}\n"
        );
        let file = write(&directory, "apache.conf", &config);
        let mut command = Command::new("apache2");
        command.arg("-f").arg(file).arg("-DFOREGROUND");
        Self::start("Apache", skewed(&mut command, "libfaketimeMT.so.1", skew), address, directory)
    }

    /// `HAProxy` over HTTPS, which answers by itself.
    pub(crate) fn haproxy_tls(pem: &Path) -> Self {
        let (directory, address) = fresh("haproxy-tls");
        let config = format!(
            "defaults\n mode http\n timeout client 60s\n timeout server 60s\n timeout connect 5s\n\
             frontend f\n bind {address} ssl crt {} alpn http/1.1\n\
             http-request return status 204 hdr Date \"%[date,http_date]\"\n",
            pem.display()
        );
        let file = write(&directory, "haproxy.cfg", &config);
        let mut command = Command::new("haproxy");
        command.arg("-f").arg(file);
        Self::start("HAProxy", &mut command, address, directory)
    }

    /// lighttpd over HTTPS.
    pub(crate) fn lighttpd_tls(pem: &Path) -> Self {
        let (directory, address) = fresh("lighttpd-tls");
        let config = format!(
            "server.modules = ( \"mod_openssl\" )\nserver.document-root = \"{}\"\n\
             server.bind = \"{}\"\nserver.port = {}\nssl.engine = \"enable\"\nssl.pemfile = \"{}\"\n",
            directory.display(),
            address.ip(),
            address.port(),
            pem.display()
        );
        let file = write(&directory, "lighttpd.conf", &config);
        let mut command = Command::new("lighttpd");
        command.arg("-D").arg("-f").arg(file);
        Self::start("lighttpd", &mut command, address, directory)
    }

    /// squid behind TLS, with the user `user` and the password `hunter2`.
    pub(crate) fn squid_tls(pem: &Path) -> Self {
        let (directory, address) = fresh("squid-tls");
        let (place, pem) = (directory.display(), pem.display());
        let hashed = Command::new("openssl").args(["passwd", "-apr1", "hunter2"]).output();
        let hashed = String::from_utf8(hashed.expect("openssl").stdout).expect("UTF-8");
        let users = write(&directory, "users", &format!("user:{hashed}"));
        let config = format!(
            "https_port {address} tls-cert={pem} tls-key={pem}\n\
             auth_param basic program /usr/lib/squid/basic_ncsa_auth {}\n\
             acl known proxy_auth REQUIRED\nhttp_access allow known\nhttp_access deny all\n\
             pid_filename {place}/pid\ncache_log {place}/cache.log\naccess_log stdio:{place}/access.log\n\
             cache_mem 8 MB\nshutdown_lifetime 0 seconds\nvisible_hostname squid.test\n\
             coredump_dir {place}\npinger_enable off\nnetdb_filename none\n",
            users.display()
        );
        let file = write(&directory, "squid.conf", &config);
        // The worker changes its user to proxy.
        let _ = Command::new("chmod").arg("-R").arg("a+rwX").arg(&directory).status();
        Self::start("squid", &mut squid(&file, address), address, directory)
    }

    /// Python's `http.server`: HTTP/1.0, a connection for each request.
    pub(crate) fn python() -> Self {
        let (directory, address) = fresh("python");
        let mut command = Command::new("python3");
        command.args(["-m", "http.server", "--bind", "127.0.0.1", "--directory"]);
        command.arg(&directory).arg(address.port().to_string());
        Self::start("http.server", &mut command, address, directory)
    }

    /// tinyproxy without authentication.
    pub(crate) fn tinyproxy() -> Self {
        Self::tinyproxy_with("")
    }

    /// tinyproxy with authentication.
    pub(crate) fn tinyproxy_with_credentials(user: &str, password: &str) -> Self {
        Self::tinyproxy_with(&format!("BasicAuth {user} {password}\n"))
    }

    fn tinyproxy_with(more: &str) -> Self {
        let (directory, address) = fresh("tinyproxy");
        let config = format!(
            "Port {}\nListen 127.0.0.1\nTimeout 60\nMaxClients 20\nAllow 127.0.0.1\nLogFile \"{}/log\"\n{more}",
            address.port(),
            directory.display()
        );
        let file = write(&directory, "tinyproxy.conf", &config);
        let mut command = Command::new("tinyproxy");
        command.arg("-d").arg("-c").arg(file);
        Self::start("tinyproxy", &mut command, address, directory)
    }

    /// squid. With `stale` it responds from its cache even to requests that forbid it.
    pub(crate) fn squid(stale: bool) -> Self {
        let (directory, address) = fresh("squid");
        let place = directory.display();
        let ignore = if stale { "refresh_pattern . 10 100% 600 ignore-reload\n" } else { "" };
        let config = format!(
            "http_port {address}\nhttp_access allow all\nacl all_ports port 1-65535\n\
             pid_filename {place}/pid\ncache_log {place}/cache.log\naccess_log none\n\
             cache_mem 8 MB\nshutdown_lifetime 0 seconds\nvisible_hostname squid.test\n\
             coredump_dir {place}\npinger_enable off\nnetdb_filename none\n{ignore}"
        );
        let file = write(&directory, "squid.conf", &config);
        // The worker changes its user to proxy.
        let _ = Command::new("chmod").arg("777").arg(&directory).status();
        Self::start("squid", &mut squid(&file, address), address, directory)
    }

    fn start(
        name: &'static str,
        command: &mut Command,
        address: SocketAddr,
        directory: PathBuf,
    ) -> Self {
        let process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(directory.join("stderr")).expect("a file"))
            .spawn()
            .unwrap_or_else(|error| panic!("{name} must be installed: {error}"));
        let mut daemon = Self { name, process, address, directory };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(address).is_err() {
            let ended = daemon.process.try_wait().expect("a child");
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "{name}: {}",
                daemon.complaints()
            );
            thread::sleep(Duration::from_millis(20));
        }
        daemon
    }

    fn complaints(&self) -> String {
        let read = |file: &str| fs::read_to_string(self.directory.join(file)).unwrap_or_default();
        ["stderr", "error.log", "cache.log", "log"].map(read).concat()
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A file in its directory.
    pub(crate) fn file(&self, name: &str) -> String {
        fs::read_to_string(self.directory.join(name)).unwrap_or_default()
    }

    /// The URL on which it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        stop(&mut self.process);
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Stops a process, and waits until it has exited.
pub(crate) fn stop(process: &mut Child) {
    // SIGTERM lets a parent stop its workers; SIGKILL is for a process that ignores it.
    let _ = Command::new("kill").arg(process.id().to_string()).status();
    let deadline = Instant::now() + Duration::from_secs(5);
    while matches!(process.try_wait(), Ok(None)) && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
    }
    let _ = process.kill();
    let _ = process.wait();
}

/// Requests a URL through a proxy, so that the proxy can store it.
pub(crate) fn fetch_via_proxy(proxy: &Daemon, url: &str) {
    let mut stream = TcpStream::connect(proxy.address).expect("the proxy listens");
    let host = url.split('/').nth(2).expect("a host");
    write!(stream, "GET {url} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
        .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.contains("200 OK"), "{answer}");
}

fn skewed<'a>(command: &'a mut Command, library: &str, skew: &str) -> &'a mut Command {
    command
        .env("LD_PRELOAD", format!("/usr/lib/x86_64-linux-gnu/faketime/{library}"))
        .env("FAKETIME", skew)
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1")
}

/// A directory that no other test uses.
pub(crate) fn fresh_directory(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let directory =
        std::env::temp_dir().join(format!("httptime-{name}-{}-{number}", std::process::id()));
    fs::create_dir_all(&directory).expect("a directory");
    directory
}

/// A directory and a loopback port that no other test uses.
fn fresh(name: &str) -> (PathBuf, SocketAddr) {
    let directory = fresh_directory(name);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    (directory, listener.local_addr().expect("its address"))
}

fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, text).expect("a file");
    path
}

/// squid with a name of its own, so that another squid does not use the same shared memory.
fn squid(config: &Path, address: SocketAddr) -> Command {
    let mut command = Command::new("squid");
    command.arg("-N").arg("-n").arg(format!("httptime{}", address.port())).arg("-f").arg(config);
    command
}

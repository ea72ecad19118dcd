//! The files of a machine below a directory, and a namespace for faults of the network.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A directory with the files that `doctor` reads. Removed when it is dropped.
pub(super) struct Stage(PathBuf);

/// A process that is stopped when it is dropped.
pub(super) struct Running(Child);

impl Stage {
    /// A synchronised clock that one chronyd steers, a hardware clock, a default route.
    pub(super) fn healthy() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("httptime-doctor-{}-{number}", std::process::id());
        let stage = Self(std::env::temp_dir().join(name));
        stage.kernel(true, 0.02);
        stage.put("proc/70/comm", "chronyd\n");
        stage.put("proc/70/cmdline", "/usr/sbin/chronyd\0-F\x001\0");
        let route = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n\
                     eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\n";
        stage.put("proc/net/route", route);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        stage.put("sys/class/rtc/rtc0/since_epoch", &format!("{now}\n"));
        stage
    }

    pub(super) fn root(&self) -> &Path {
        &self.0
    }

    pub(super) fn put(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(path, text).expect("a file");
    }

    pub(super) fn unsynchronised(&self) {
        self.kernel(false, 16.0);
    }

    fn kernel(&self, synchronised: bool, maximum_error: f64) {
        let text = format!(
            "{{\"synchronised\": {synchronised}, \"maximum_error_seconds\": {maximum_error}}}"
        );
        self.put("kernel-clock.json", &text);
    }

    /// The processes of this machine in place of the staged ones.
    pub(super) fn show_real_processes(&self) {
        fs::remove_dir_all(self.0.join("proc")).expect("the staged processes");
        symlink("/proc", self.0.join("proc")).expect("a link");
    }

    /// A process with this name. It only sleeps.
    pub(super) fn process(&self, name: &str) -> Running {
        let program = self.0.join(name);
        fs::copy("/bin/sleep", &program).expect("a copy of sleep");
        let child = Command::new(program).arg("60").stdin(Stdio::null()).spawn();
        Running(child.expect("a process"))
    }

    /// The resolver of this namespace asks this nameserver only.
    pub(super) fn resolve_with(&self, nameserver: &str) {
        self.put("etc/resolv.conf", &format!("nameserver {nameserver}\n"));
        let file = self.0.join("etc/resolv.conf");
        run(Command::new("mount").arg("--bind").arg(file).arg("/etc/resolv.conf"));
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("/etc/resolv.conf").stderr(Stdio::null()).status();
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether this process is in a namespace of its own. If not, runs the test of this name in one,
/// and prints the reason if the system does not permit that.
pub(super) fn inside(test: &str) -> bool {
    const MARK: &str = "HTTPTIME_TEST_NAMESPACE";
    if std::env::var_os(MARK).is_some() {
        run(Command::new("ip").args(["link", "set", "lo", "up"]));
        return true;
    }
    let unshare = ["--net", "--mount", "--map-root-user"];
    let permitted = Command::new("unshare").args(unshare).arg("true").output();
    if !permitted.as_ref().is_ok_and(|output| output.status.success()) {
        println!("NOT RUN: this system permits no network namespace: {permitted:?}");
        return false;
    }
    let this = std::env::current_exe().expect("the test's own program");
    let mut command = Command::new("unshare");
    command.args(unshare).arg(this).args(["--exact", test, "--nocapture", "--test-threads=1"]);
    let output = command.env(MARK, "1").output().expect("unshare");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "the test in the namespace");
    false
}

/// A firewall that drops what comes to UDP port 123, as one on the path does.
pub(super) fn drop_udp_123() {
    for rule in [
        "add table inet stage",
        "add chain inet stage input { type filter hook input priority 0; }",
        "add rule inet stage input udp dport 123 drop",
    ] {
        run(Command::new("nft").arg(rule));
    }
}

fn run(command: &mut Command) {
    let output = command.output().expect("the program is installed");
    assert!(output.status.success(), "{command:?}: {output:?}");
}

//! A machine with a wrong clock that may be set: Debian's kernel under QEMU, without acceleration
//! and therefore the same everywhere. It can reach nothing but one TCP port per server on the
//! host's loopback interface.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::daemon::fresh_directory;
use crate::root::{self, GUEST, KERNEL};

/// Booting takes three seconds on an idle host.
const BOOT: Duration = Duration::from_secs(60);
/// The socket of QEMU's monitor.
const MONITOR: &str = "monitor";
/// A comparison of clocks with this bound, in seconds, is good enough. Otherwise it is repeated for
/// a while.
const GOOD_BOUND: f64 = 0.0005;

/// A running machine. Dropping the value powers it off. It powers itself off if the test's process
/// dies.
#[derive(Debug)]
pub(crate) struct Machine {
    process: Child,
    control: Mutex<BufReader<UnixStream>>,
    directory: PathBuf,
}

/// Properties of a machine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hardware {
    /// The frequency error of its oscillator in ppm. Positive: too fast. No system call in the
    /// machine changes or shows it.
    pub(crate) fast_ppm: f64,
    /// Whether its state can be saved: the monitor's `savevm` and `loadvm`.
    pub(crate) has_checkpoints: bool,
}

/// A command in the machine, which may still be running.
#[derive(Debug)]
pub(crate) struct Job<'machine> {
    machine: &'machine Machine,
    number: Value,
}

/// The end of a command in the machine.
#[derive(Debug)]
pub(crate) struct Finished {
    /// The exit status; 128 plus the signal's number if a signal ended it, as in a shell.
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The host's clock − the machine's clock, in seconds: the offset of a perfect server on the host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Comparison {
    pub(crate) offset: f64,
    /// The largest possible error of the offset.
    pub(crate) bound: f64,
}

/// The state of the clock in the machine's kernel: `adjtimex(2)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KernelClock {
    pub(crate) synchronised: bool,
    pub(crate) frequency_ppm: f64,
    pub(crate) tick_us: i64,
    pub(crate) maxerror_us: i64,
    pub(crate) esterror_us: i64,
}

impl Machine {
    /// Boots a machine that reaches these servers on port 80: the first at 10.0.2.100, the next at
    /// 10.0.2.101 and so on. Its clock is correct to about a second.
    pub(crate) fn boot(servers: &[SocketAddr]) -> Self {
        Self::boot_with(servers, &Hardware::default())
    }

    pub(crate) fn boot_with(servers: &[SocketAddr], hardware: &Hardware) -> Self {
        Self::boot_into(root::with_busybox, servers, hardware)
    }

    /// Boots a machine under systemd with our units installed: `httptime sync` and `run` use the
    /// first server.
    pub(crate) fn boot_systemd(servers: &[SocketAddr]) -> Self {
        Self::boot_into(root::with_systemd, servers, &Hardware::default())
    }

    fn boot_into(files: fn(&Path) -> PathBuf, servers: &[SocketAddr], hardware: &Hardware) -> Self {
        let directory = fresh_directory("machine");
        let initrd = files(&directory);
        let socket = directory.join("control");
        let mut network = "user,id=network,restrict=on".to_owned();
        for (server, host) in servers.iter().zip(100..) {
            assert!(server.ip().is_loopback(), "{server}");
            // One process for each connection. Its environment has no libfaketime, which changes
            // the speed of the machine's own clock.
            network.push_str(&format!(
                ",guestfwd=tcp:10.0.2.{host}:80-cmd:/usr/bin/env -u LD_PRELOAD -u FAKETIME {GUEST} relay {server}"
            ));
        }
        let mut command = Command::new("qemu-system-x86_64");
        command
            .args(["-M", "q35", "-accel", "tcg", "-cpu", "max", "-m", "256", "-nodefaults"])
            .args(["-display", "none", "-no-reboot", "-serial"])
            .arg(format!("file:{}", directory.join("console").display()))
            .arg("-kernel")
            .arg(Path::new(KERNEL).join("vmlinuz"))
            .arg("-initrd")
            .arg(initrd)
            // The TSC would be the host's, and the booting kernel would only estimate its
            // frequency.
            .args([
                "-append",
                "console=ttyS0 quiet panic=-1 clocksource=hpet httptime-test-machine",
            ])
            .args(["-netdev", &network, "-device", "virtio-net-pci,netdev=network,romfile="])
            .args(["-device", "virtio-serial-pci", "-chardev"])
            .arg(format!("socket,id=control,path={},server=on,wait=off", socket.display()))
            .args(["-device", "virtserialport,chardev=control,name=control", "-qmp"])
            .arg(format!("unix:{},server=on,wait=off", directory.join(MONITOR).display()));
        if hardware.has_checkpoints {
            let disk = directory.join("checkpoints");
            fs::write(&disk, empty_qcow2()).expect("a file");
            let drive = format!("if=none,id=checkpoints,format=qcow2,file={}", disk.display());
            command.args(["-drive", &drive]);
        }
        if hardware.fast_ppm != 0.0 {
            command
                .env("LD_PRELOAD", "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
                .env("FAKETIME", format!("+0 x{:.9}", 1.0 + hardware.fast_ppm / 1e6));
        }
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(directory.join("stderr")).expect("a file"))
            .spawn()
            .unwrap_or_else(|error| panic!("qemu-system-x86 must be installed: {error}"));
        let booted = connect(&socket, &mut process, Instant::now() + BOOT);
        // From here on `Drop` cleans up.
        match booted {
            Ok(control) => Self { process, control: Mutex::new(control), directory },
            Err(why) => {
                let said = complaints(&directory);
                let _ = process.kill();
                let _ = process.wait();
                let _ = fs::remove_dir_all(&directory);
                panic!("the machine did not boot, {why}: {said}");
            }
        }
    }

    /// Runs a shell command in the machine until it exits. Panics if that takes longer than
    /// `limit`.
    pub(crate) fn run(&self, command: &str, limit: Duration) -> Finished {
        let job = self.start(command);
        job.wait(limit).unwrap_or_else(|so_far| {
            job.signal(9);
            panic!("{command}: still running after {limit:?}: {so_far}");
        })
    }

    /// Starts a shell command in the background. The command must begin with `exec` if it is to
    /// receive signals itself.
    pub(crate) fn start(&self, command: &str) -> Job<'_> {
        let number = self.order(&json!({ "start": command }), Duration::ZERO)["job"].clone();
        Job { machine: self, number }
    }

    fn order(&self, order: &Value, limit: Duration) -> Value {
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        control
            .get_ref()
            .set_read_timeout(Some(limit + Duration::from_secs(20)))
            .and_then(|()| control.get_mut().write_all(format!("{order}\n").as_bytes()))
            .and_then(|()| answer(&mut control))
            .unwrap_or_else(|error| {
                panic!("the machine does not answer, {error}: {}", complaints(&self.directory))
            })
    }

    /// Sets the system clock and the hardware clock this many seconds behind the host's: to a
    /// millisecond and to a second. On a busy host the machine may lose time meanwhile: then it
    /// sets the clock again.
    pub(crate) fn set_clock_behind(&self, seconds: f64) {
        for _ in 0..5 {
            let now = self.offset();
            let forward = now.offset - seconds;
            if forward.abs() < now.bound {
                break;
            }
            #[expect(clippy::cast_possible_truncation, reason = "decades, in nanoseconds")]
            let nanos = (forward * 1e9).round() as i64;
            self.hand(&format!("set-clock-forward {nanos}"));
        }
        let hardware = self.run("hwclock -w -u", Duration::from_secs(20));
        assert_eq!(hardware.status, 0, "{hardware:?}");
    }

    /// Compares the machine's clock with the host's over the port of the first server.
    pub(crate) fn offset(&self) -> Comparison {
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut best = Comparison { offset: 0.0, bound: f64::INFINITY };
        while best.bound > GOOD_BOUND && Instant::now() < deadline {
            let Some(exchanges) = self.compare_clocks() else { continue };
            for exchange in exchanges.as_array().expect("exchanges") {
                let seconds = |name: &str| exchange[name].as_f64().expect("nanoseconds") / 1e9;
                // The host read its clock between the machine's two readings.
                let bound = seconds("delay_ns") / 2.0;
                if bound < best.bound {
                    best = Comparison { offset: seconds("offset_ns"), bound };
                }
            }
        }
        best
    }

    /// How far the hardware clock is ahead of the system clock, in seconds, to some milliseconds.
    pub(crate) fn hardware_clock_ahead(&self) -> f64 {
        self.hand("rtc")["rtc_minus_system_ns"].as_f64().expect("nanoseconds") / 1e9
    }

    pub(crate) fn kernel_clock(&self) -> KernelClock {
        let said = self.run("adjtimex", Duration::from_secs(10)).stdout;
        let number = |name: &str| -> i64 {
            said.lines()
                .find_map(|line| line.split_once(name)?.1.split_whitespace().next()?.parse().ok())
                .unwrap_or_else(|| panic!("no {name} in {said}"))
        };
        const STA_UNSYNC: i64 = 0x40;
        #[expect(clippy::cast_precision_loss, reason = "at most 500 ppm, in 2^-16 ppm")]
        let frequency_ppm = number("freq.adjust:") as f64 / 65536.0;
        KernelClock {
            synchronised: number("status:") & STA_UNSYNC == 0,
            frequency_ppm,
            tick_us: number("tick:"),
            maxerror_us: number("maxerror:"),
            esterror_us: number("esterror:"),
        }
    }

    /// Sends a command to QEMU's monitor (`stop`, `cont`, `system_wakeup`), and returns the reply.
    pub(crate) fn monitor(&self, command: &str) -> Value {
        self.order_monitor(&json!({ "execute": command }))
    }

    /// Sends a command of the monitor for people that prints nothing if it succeeds (`savevm`,
    /// `loadvm`).
    pub(crate) fn monitor_line(&self, line: &str) {
        let arguments = json!({ "command-line": line });
        let said = self
            .order_monitor(&json!({ "execute": "human-monitor-command", "arguments": arguments }));
        assert_eq!(said, "", "{line}");
    }

    fn order_monitor(&self, order: &Value) -> Value {
        let place = self.directory.join(MONITOR);
        let mut monitor = BufReader::new(UnixStream::connect(place).expect("a monitor"));
        monitor.get_ref().set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        let mut answered = Value::Null;
        for order in [&json!({ "execute": "qmp_capabilities" }), order] {
            writeln!(monitor.get_mut(), "{order}").expect("it listens");
            answered = loop {
                // The monitor also sends a greeting and events.
                let said = answer(&mut monitor).expect("an answer");
                assert!(said.get("error").is_none(), "{order}: {said}");
                if let Some(answer) = said.get("return") {
                    break answer.clone();
                }
            };
        }
        answered
    }

    /// Thirty exchanges with the first server. `None`: one had no answer in time, on a busy host.
    fn compare_clocks(&self) -> Option<Value> {
        let command = "httptime-test-guest compare-clocks 10.0.2.100:80 30";
        let done = self.run(command, Duration::from_secs(20));
        (done.status == 0).then(|| serde_json::from_str(&done.stdout).expect("JSON"))
    }

    /// The process id of QEMU.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    fn hand(&self, what: &str) -> Value {
        let done = self.run(&format!("httptime-test-guest {what}"), Duration::from_secs(20));
        assert_eq!(done.status, 0, "{what}: {done:?}");
        if done.stdout.is_empty() {
            return Value::Null;
        }
        serde_json::from_str(&done.stdout).expect("JSON")
    }
}

impl Job<'_> {
    /// Waits for its end, at most for `limit`. If it has not ended, the error is its output so far.
    pub(crate) fn wait(&self, limit: Duration) -> Result<Finished, String> {
        let millis = u64::try_from(limit.as_millis()).expect("a short time");
        let order = json!({ "job": self.number, "wait_ms": millis });
        let answer = self.machine.order(&order, limit);
        let text = |name: &str| answer[name].as_str().expect("text").to_owned();
        let (stdout, stderr) = (text("stdout"), text("stderr"));
        match answer["status"].as_i64() {
            Some(status) => {
                let status = i32::try_from(status).expect("a status");
                Ok(Finished { status, stdout, stderr })
            }
            None => Err(stdout + &stderr),
        }
    }

    /// Sends a signal to it and to all processes that it started.
    pub(crate) fn signal(&self, number: i32) {
        self.machine.order(&json!({ "job": self.number, "signal": number }), Duration::ZERO);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It has no data to save.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A disk in QEMU's format without any data, 64 KiB in size: header, table of reference counts, one
/// block of them, and an empty table of the data, each in a cluster of 64 KiB.
fn empty_qcow2() -> Vec<u8> {
    const CLUSTER: usize = 1 << 16;
    let mut disk = vec![0; 4 * CLUSTER];
    let mut put = |at: usize, bytes: &[u8]| disk[at..][..bytes.len()].copy_from_slice(bytes);
    let long = |number: usize| (number as u64).to_be_bytes();
    put(0, b"QFI\xfb");
    for (at, number) in [(4, 2_u32), (20, 16), (36, 1), (56, 1)] {
        // The version, the bits of a cluster, the sizes of the two tables.
        put(at, &number.to_be_bytes());
    }
    for (at, number) in [(24, CLUSTER), (40, 3 * CLUSTER), (48, CLUSTER), (CLUSTER, 2 * CLUSTER)] {
        // The size of the disk, the places of the tables and of the block.
        put(at, &long(number));
    }
    for used in 0..4 {
        put(2 * CLUSTER + 2 * used, &1_u16.to_be_bytes());
    }
    disk
}

/// Waits until the agent in the machine reports that it is ready.
fn connect(
    socket: &Path,
    process: &mut Child,
    deadline: Instant,
) -> Result<BufReader<UnixStream>, String> {
    let stream = loop {
        match UnixStream::connect(socket) {
            Ok(stream) => break stream,
            Err(error) => {
                if let Ok(Some(status)) = process.try_wait() {
                    return Err(format!("QEMU ended with {status}"));
                }
                if Instant::now() >= deadline {
                    return Err(format!("no control socket: {error}"));
                }
                thread::sleep(Duration::from_millis(5));
            }
        }
    };
    let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    stream.set_read_timeout(Some(left)).map_err(|error| error.to_string())?;
    let mut control = BufReader::new(stream);
    match answer(&mut control) {
        Ok(ready) if ready["ready"] == true => Ok(control),
        other => Err(format!("no sign of life within {BOOT:?}: {other:?}")),
    }
}

fn answer(control: &mut BufReader<UnixStream>) -> std::io::Result<Value> {
    let mut line = String::new();
    if control.read_line(&mut line)? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_str(&line)?)
}

fn complaints(directory: &Path) -> String {
    ["stderr", "console"]
        .map(|file| fs::read(directory.join(file)).unwrap_or_default())
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .concat()
}

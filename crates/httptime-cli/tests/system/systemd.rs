//! The units under a real systemd, on a machine whose clock is wrong.

mod boot_order;

use std::thread;
use std::time::{Duration, Instant};

use httptime_testserver::LoopbackServer;

use crate::SKEW;
use crate::machine::Machine;

const LIMIT: Duration = Duration::from_secs(60);
/// `CAP_SYS_TIME` alone, in the format of `/proc`.
const CAP_SYS_TIME: &str = "0000000002000000";

/// A server, and a machine under systemd that is this many seconds behind.
fn machine_behind(seconds: f64) -> (LoopbackServer, Machine) {
    let server = LoopbackServer::builder()
        .server_header(Some("nginx".into()))
        .start()
        .expect("a loopback port");
    let began = Instant::now();
    let machine = Machine::boot_systemd(&[server.address()]);
    println!("booted in {:.1?}", began.elapsed());
    let state = output(&machine, "systemctl is-system-running --wait");
    assert_eq!(state, "running", "{}", output(&machine, "systemctl --failed"));
    machine.set_clock_behind(seconds);
    (server, machine)
}

/// The output of a command that must succeed.
fn output(machine: &Machine, command: &str) -> String {
    let done = machine.run(command, LIMIT);
    assert_eq!(done.status, 0, "{command}: {done:?}\n{}", journal(machine));
    done.stdout.trim().to_owned()
}

/// The journal's entries of our programs, and those of systemd about them.
fn journal(machine: &Machine) -> String {
    machine.run("journalctl --no-pager --output=short-monotonic -u 'httptime*'", LIMIT).stdout
}

fn property(machine: &Machine, unit: &str, name: &str) -> String {
    output(machine, &format!("systemctl show --value --property={name} {unit}"))
}

/// Waits until the value from `read` is as `wanted`, and returns it.
fn until<T: std::fmt::Debug>(
    machine: &Machine,
    what: &str,
    read: impl Fn() -> T,
    wanted: impl Fn(&T) -> bool,
) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        let now = read();
        if wanted(&now) {
            return now;
        }
        assert!(Instant::now() < deadline, "{what}: still {now:?}\n{}", journal(machine));
        // Each call uses time of the only processor, on which the program measures.
        thread::sleep(Duration::from_millis(500));
    }
}

/// Checks that the unit's process is our program, that its user has no privileges, and which
/// capabilities it has.
fn assert_confined(machine: &Machine, unit: &str) {
    let status = until(
        machine,
        "its process",
        || {
            // Between fork and exec the process is still systemd's.
            let pid = property(machine, unit, "MainPID");
            machine.run(&format!("cat /proc/{pid}/status"), LIMIT).stdout
        },
        |status| status.starts_with("Name:\thttptime\n"),
    );
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
        line.unwrap_or_else(|| panic!("no {name}: {status}"))
    };
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(field(set), CAP_SYS_TIME, "{set}");
    }
    assert_eq!((field("NoNewPrivs"), field("Seccomp")), ("1", "2"), "{status}");
    // The range of systemd's DynamicUser: 61184 to 65519.
    for user in field("Uid").split('\t').chain(field("Gid").split('\t')) {
        let user: u32 = user.parse().expect("a number");
        assert!((61_184..=65_519).contains(&user), "{status}");
    }
}

fn assert_right(machine: &Machine, within: f64) {
    let now = machine.offset();
    println!("now {:+.6} s ± {:.3} ms", now.offset, now.bound * 1e3);
    assert!(now.offset.abs() < within, "{now:?}\n{}", journal(machine));
}

/// "System clock synchronized" of `timedatectl`.
fn timedatectl(machine: &Machine) -> String {
    output(
        machine,
        "mkdir -p /run/dbus
         pidof dbus-daemon >/dev/null || dbus-daemon --system
         pidof systemd-timedated >/dev/null || /lib/systemd/systemd-timedated >/dev/null 2>&1 &
         for try in 1 2 3 4 5 6 7 8 9; do
             timedatectl status 2>/tmp/timedatectl | sed -n 's/^ *System clock synchronized: //p' >/tmp/said
             test -s /tmp/said && break
             sleep 1
         done
         cat /tmp/said /tmp/timedatectl",
    )
}

#[test]
fn the_service_that_syncs_once_sets_the_clock_with_the_one_privilege_it_has() {
    let (_server, machine) = machine_behind(SKEW);
    assert_eq!(timedatectl(&machine), "no");
    let began = Instant::now();
    let start = machine.start("systemctl start httptime-sync.service");
    assert_confined(&machine, "httptime-sync.service");
    let done = start.wait(LIMIT).expect("it ends");
    println!("took {:.1?}\n{}", began.elapsed(), journal(&machine));
    assert_eq!(done.status, 0, "{done:?}");
    assert_right(&machine, 5e-3);
    assert!(machine.kernel_clock().synchronised);
    assert_eq!(timedatectl(&machine), "yes");
}

#[test]
fn the_timer_starts_that_service() {
    let (_server, machine) = machine_behind(SKEW);
    // The timer's delay is shortened for the test.
    output(
        &machine,
        "mkdir -p /etc/systemd/system/httptime-sync.timer.d
         cat >/etc/systemd/system/httptime-sync.timer.d/soon.conf <<END
[Timer]
OnActiveSec=1s
RandomizedDelaySec=0
AccuracySec=1ms
END
         echo 'HTTPTIME_SYNC=\"--profile fast http://10.0.2.100/\"' >/etc/default/httptime
         systemctl daemon-reload",
    );
    let state = || property(&machine, "httptime-sync.service", "ActiveState");
    assert_eq!(state(), "inactive");
    let began = Instant::now();
    output(&machine, "systemctl start httptime-sync.timer");
    until(&machine, "the service", state, |state| state == "activating");
    let after = began.elapsed();
    until(&machine, "the service", state, |state| state != "activating");
    println!("began after {after:.1?}, ended after {:.1?}", began.elapsed());
    println!("{}", journal(&machine));
    assert_eq!(state(), "inactive", "{}", journal(&machine));
    assert_right(&machine, 5e-3);
    // And again an hour later: the machine has been up for less than a minute.
    let timers = property(&machine, "httptime-sync.timer", "TimersMonotonic");
    assert!(timers.contains("OnUnitActiveUSec=1h ; next_elapse=1h "), "{timers}");
}

#[test]
fn the_service_that_stays_is_ready_fed_reloaded_stopped_and_alone() {
    const UNIT: &str = "httptime.service";
    let (_server, machine) = machine_behind(SKEW);
    let get = |name: &str| property(&machine, UNIT, name);
    output(
        &machine,
        "mkdir -p /etc/systemd/system/httptime.service.d
         cat >/etc/systemd/system/httptime.service.d/short.conf <<END
[Service]
WatchdogSec=3
END
         cat >/etc/systemd/system/systemd-timesyncd.service <<END
[Service]
ExecStart=/bin/sleep 600
END
         cat >/etc/httptime/httptime.toml <<END
servers = ['http://10.0.2.100/']
[measure]
duration = 3
[poll]
shortest = 4
longest = 4
END
         systemctl daemon-reload
         systemctl start systemd-timesyncd.service
         systemctl is-active systemd-timesyncd.service",
    );

    let began = Instant::now();
    output(&machine, "systemctl start httptime.service");
    println!("ready after {:.1?}", began.elapsed());
    assert_eq!(get("ActiveState"), "active");
    assert_eq!(property(&machine, "systemd-timesyncd.service", "ActiveState"), "inactive");
    assert_confined(&machine, UNIT);

    let status = || get("StatusText");
    let said = until(&machine, "its status", status, |said| said.starts_with("offset "));
    println!("after {:.1?}: {said}", began.elapsed());
    assert_right(&machine, 10e-3);
    let saved = until(
        &machine,
        "its state",
        || machine.run("cat /var/lib/private/httptime/state.toml", LIMIT).stdout,
        |saved| !saved.is_empty(),
    );
    assert_eq!(saved, output(&machine, "cat /var/lib/httptime/state.toml") + "\n");

    let process = get("MainPID");
    output(&machine, "systemctl reload httptime.service");
    until(&machine, "reloaded", || journal(&machine), |said| said.contains("reloaded /etc"));
    until(&machine, "reloaded", || get("SubState"), |state| state == "running");

    // Without the watchdog's notifications the service would have been killed by now and restarted
    // only after RestartSec.
    let fed = || get("WatchdogTimestampMonotonic").parse::<u64>().expect("microseconds");
    let first = fed();
    until(&machine, "the watchdog", fed, |now| *now >= first + 6_000_000);
    assert_eq!((get("ActiveState"), get("MainPID")), ("active".to_owned(), process));
    assert_eq!(get("NRestarts"), "0");

    let began = Instant::now();
    output(&machine, "systemctl stop httptime.service");
    println!("stopped in {:.1?}\n{}", began.elapsed(), journal(&machine));
    assert_eq!((get("ActiveState"), get("Result")), ("inactive".to_owned(), "success".to_owned()));
    assert_right(&machine, 10e-3);

    output(&machine, "echo 'nonsense = 1' >>/etc/httptime/httptime.toml");
    let refused = machine.run("systemctl start httptime.service", LIMIT);
    assert_ne!(refused.status, 0, "{refused:?}");
    // A service that waits for a restart would be "activating".
    assert_eq!(
        ["ActiveState", "ExecMainStatus", "Result", "NRestarts"].map(get),
        ["failed", "2", "exit-code", "0"],
        "{}",
        journal(&machine)
    );
    assert!(journal(&machine).contains("nonsense"), "{}", journal(&machine));
}

//! What needs the right time starts after it is right, and is not held when it cannot be. And what
//! `httptime status` shows meanwhile.

use serde_json::Value;

use super::{LIMIT, machine_behind, output, property, until};
use crate::SKEW;
use crate::machine::Machine;

/// Needs the right time: records the wall clock and the time since the boot, in seconds.
const CONSUMER: &str = "\
[Unit]
After=time-sync.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'echo $$(date +%%s) $$(cut -d. -f1 /proc/uptime) >/run/consumer'
[Install]
WantedBy=multi-user.target
";

/// Farther than a start of the daemon corrects backward.
const AHEAD: f64 = 7200.0;

/// Enables these units and starts what a boot starts: everything that the target wants.
fn boot(machine: &Machine, units: &str) {
    output(
        machine,
        &format!(
            "rm -f /run/consumer
             systemctl enable consumer.service {units}
             systemctl start --no-block multi-user.target"
        ),
    );
}

/// Stops and disables them.
fn end(machine: &Machine, units: &str) {
    output(
        machine,
        &format!(
            "systemctl disable --now {units} consumer.service; systemctl stop time-sync.target"
        ),
    );
}

/// How far behind the host's clock the machine's clock was when the consumer started, in seconds.
/// It must have started.
fn behind_at_start(machine: &Machine) -> f64 {
    let state = || property(machine, "consumer.service", "ActiveState");
    until(machine, "the consumer", state, |state| state == "active");
    let numbers = |text: String| -> Vec<f64> {
        text.split_whitespace().map(|word| word.parse().expect("a number")).collect()
    };
    let started = numbers(output(machine, "cat /run/consumer"));
    let now = numbers(output(machine, "echo $(date +%s) $(cut -d. -f1 /proc/uptime)"));
    // The consumer's reading, continued to now, beside the host's clock now.
    let since = now[1] - started[1];
    now[0] - (started[0] + since) + machine.offset().offset
}

/// Sets the clock. The hardware clock and the first milliseconds do not matter here.
fn set_forward(machine: &Machine, seconds: f64) {
    let nanos = format!("{:.0}", seconds * 1e9);
    output(machine, &format!("httptime-test-guest set-clock-forward {nanos}"));
}

/// `httptime status --json` as a user without privileges, and its exit status.
fn status(machine: &Machine) -> (Value, i32) {
    let done = machine.run("httptime-test-guest as-nobody httptime status --json", LIMIT);
    (serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{done:?}")), done.status)
}

/// Waits until the status has this exit status and a file like this.
fn status_is(machine: &Machine, what: &str, code: i32, is: fn(&Value) -> bool) {
    let (object, _) =
        until(machine, what, || status(machine), |(object, now)| *now == code && is(object));
    let shown = machine.run("httptime-test-guest as-nobody httptime status", LIMIT);
    println!("== {what}, exit status {code}\n{}", shown.stdout);
    assert!(!object["daemon"].is_null(), "{object}");
}

#[test]
fn a_unit_after_time_sync_target_starts_with_the_right_clock_and_is_not_held_without_a_server() {
    let (server, machine) = machine_behind(SKEW);
    output(
        &machine,
        &format!(
            "cat >/etc/systemd/system/consumer.service <<'END'
{CONSUMER}END
             cat >/etc/httptime/httptime.toml <<END
servers = ['http://10.0.2.100/']
[measure]
duration = 3
timeout = 2
END
             echo 'HTTPTIME_SYNC=\"--duration 3 http://10.0.2.100/\"' >/etc/default/httptime
             systemctl daemon-reload"
        ),
    );
    assert_eq!(status(&machine).1, 5, "no daemon, not synchronised");

    // The daemon.
    boot(&machine, "httptime.service httptime-wait.service");
    status_is(&machine, "measuring", 1, |it| it["status_file"]["state"] == "measuring");
    let behind = behind_at_start(&machine);
    println!("daemon: the clock was {behind:+.1} s behind when the consumer started");
    assert!(behind.abs() < 2.5, "{behind}");
    assert_eq!(property(&machine, "httptime-wait.service", "Result"), "success");
    status_is(&machine, "synchronised", 0, |it| it["synchronised"] == true);

    // Two hours ahead is refused, whatever the kernel reports.
    set_forward(&machine, AHEAD);
    output(&machine, "systemctl kill -s USR1 httptime.service");
    status_is(&machine, "refused", 3, |it| it["condition"] == "refused");
    end(&machine, "httptime.service httptime-wait.service");
    set_forward(&machine, -AHEAD - SKEW);
    status_is(&machine, "stopped", 5, |it| it["daemon"] == "stopped");

    // The service of the timer. The network comes up after its first attempts.
    output(&machine, "ip link set eth0 down");
    boot(&machine, "httptime-sync.service");
    let repeated = |said: &String| said.matches("; trying again in").count() >= 2;
    until(&machine, "repeated", || super::journal(&machine), repeated);
    output(&machine, "test ! -e /run/consumer");
    output(&machine, "ip link set eth0 up; ip route add default via 10.0.2.2 || true");
    let behind = behind_at_start(&machine);
    println!("sync: the clock was {behind:+.1} s behind when the consumer started");
    assert!(behind.abs() < 2.5, "{behind}");
    end(&machine, "httptime-sync.service");

    // No server answers.
    set_forward(&machine, -SKEW);
    drop(server);
    output(
        &machine,
        "rm -f /var/lib/private/httptime/state.toml
         mkdir -p /run/systemd/system/httptime-wait.service.d
         printf '[Service]\\nTimeoutStartSec=8\\n' >/run/systemd/system/httptime-wait.service.d/short.conf
         systemctl daemon-reload",
    );
    boot(&machine, "httptime.service httptime-wait.service");
    status_is(&machine, "failing", 1, |it| it["condition"] == "failing");
    let state = || property(&machine, "consumer.service", "ActiveState");
    until(&machine, "the consumer", state, |state| state == "active");
    assert_eq!(property(&machine, "httptime-wait.service", "Result"), "timeout");
    println!("{}", super::journal(&machine));
}

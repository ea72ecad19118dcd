//! Tests that judge microseconds. `.ci/run` runs them one after the other, and nothing beside them.

use std::thread;

use crate::daemon::Daemon;
use crate::program::{Answer, Timestamps, refused_tampered};
use crate::{SKEW, check, runs};

/// All at once. Their clocks are apart, so their requests are aimed at different instants.
#[test]
fn nginx_is_measured_to_a_tenth_of_a_millisecond_at_every_skew() {
    let skews = [
        ("+38.116s", SKEW),
        ("-38.116s", -SKEW),
        ("+0.5s", 0.5),
        ("-0.3s", -0.3),
        ("+86400.25s", 86_400.25),
    ];
    thread::scope(|scope| {
        for (fake, truth) in skews {
            scope.spawn(move || {
                let nginx = Daemon::nginx(fake);
                let name = format!("nginx {fake}");
                check(&name, &runs(20, &nginx.url(), &[]), truth, 1e-3, Some(1e-4));
            });
        }
    });
}

#[test]
fn timestamps_are_the_kernels_where_it_gives_them_and_the_processs_where_not() {
    let nginx = Daemon::nginx("+38.116s");
    let url = nginx.url();
    let asked = |arguments: &[&str]| {
        let answer = Answer::query(&url, &[&["-n", "16"], arguments].concat());
        check(&format!("{arguments:?}"), &[answer], SKEW, 1e-3, None);
        Answer::query(&url, &[&["-n", "8", "-d", "4"], arguments].concat()).timestamps
    };
    let all = |responses| Timestamps {
        responses,
        sent_by_kernel: responses,
        received_by_kernel: responses,
    };
    let none = |responses| Timestamps { responses, sent_by_kernel: 0, received_by_kernel: 0 };
    let user = asked(&["--timestamps", "user"]);
    assert_eq!(user, none(user.responses));
    let kernel = asked(&["--timestamps", "kernel"]);
    assert_eq!(kernel, all(kernel.responses));
    // The kernel starts to take timestamps a moment after the first connection asked for them.
    let auto = asked(&[]);
    let unstamped = auto.responses - auto.sent_by_kernel.min(auto.received_by_kernel);
    assert!(auto.responses > 2 && unstamped <= 2, "{auto:?}");

    // Refused; and accepted without effect.
    for injection in ["error=EPERM", "error=ENOPROTOOPT", "retval=0"] {
        let tampered = |more: &[&str]| {
            Answer::query_tampered(injection, &url, &[&["-n", "16"], more].concat())
        };
        let answer = tampered(&[]);
        assert_eq!(answer.timestamps, none(answer.timestamps.responses), "{injection}");
        check(injection, &[answer], SKEW, 2e-3, None);
        let kernel = ["-n", "16", "--timestamps", "kernel"];
        assert_eq!(
            refused_tampered(injection, &url, &kernel),
            "no_kernel_timestamps",
            "{injection}"
        );
    }
}

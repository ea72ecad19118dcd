//! The parser of the configuration file does not panic on any text, and neither does what is built
//! from an accepted configuration.
#![no_main]

#[path = "../../crates/httptime-cli/src/run/settings.rs"]
#[expect(dead_code, reason = "a file of the program, of which only a part is used here")]
mod settings;

#[path = "../../crates/httptime-cli/src/run/outputs.rs"]
mod outputs;

#[path = "../../crates/httptime-cli/src/measure_options.rs"]
#[expect(dead_code, reason = "the program's own file, of which this uses a part")]
mod measure_options;

#[path = "../../crates/httptime-cli/src/server_arg.rs"]
mod server_arg;

#[path = "../../crates/httptime-cli/src/environment.rs"]
mod environment;

#[path = "../../crates/httptime-cli/src/no_proxy.rs"]
mod no_proxy;

#[path = "../../crates/httptime-cli/src/https.rs"]
mod https;

#[path = "../../crates/httptime-cli/src/words.rs"]
mod words;

use std::path::Path;
use std::time::Duration;

use httptime::{Agreement, Interval, LocalInstant, Offset, Timestamp};
use httptime_clock::History;
use httptime_clock::Reading;
use libfuzzer_sys::fuzz_target;
use settings::Settings;

fuzz_target!(|text: &str| {
    let settings = match Settings::parse(Path::new("httptime.toml"), text) {
        Ok((settings, ..)) => settings,
        Err(error) => {
            assert!(error.to_string().starts_with("httptime.toml: "), "{error}");
            return;
        }
    };
    let offset = Offset::from_nanos(38_116_000_000);
    let reading = Reading {
        offset,
        stddev: Duration::from_micros(100),
        bounds: Interval::between(offset, offset).widened(Duration::from_millis(1)),
        lag: Duration::ZERO,
        date_advanced: true,
        at: LocalInstant::from_nanos(0),
        local_time: Timestamp::from_unix_nanos(1_795_392_000_000_000_000),
        is_unconfirmed: false,
        agreement: Agreement::SINGLE,
    };
    let mut discipline = settings.poll.discipline();
    for seconds in [0, 64, 3600] {
        let at = LocalInstant::from_nanos(seconds * 1_000_000_000);
        discipline.absorb(&Reading { at, ..reading });
        let horizon = Some(discipline.interval());
        assert!(horizon >= Some(settings.poll.shortest()));
        assert!(horizon <= Some(settings.poll.longest()));
        let history = History { horizon, ..History::default() };
        let _ = settings.policy().decide(&reading, &history);
    }
    settings.feed().expect("it was checked");
});

//! `SavedState::load` does not panic on any file. A state that is saved is read unchanged, and a
//! controller can continue from it.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;
use std::{env, fs, process};

use httptime::{Offset, Timestamp};
use httptime_clock::controller::Controller;
use httptime_clock::discipline::Discipline;
use httptime_clock::state::SavedState;
use httptime_clock::{Clock, Frequency, Policy, SimulatedClock};
use libfuzzer_sys::fuzz_target;

static PATH: LazyLock<PathBuf> =
    LazyLock::new(|| env::temp_dir().join(format!("httptime-fuzz-{}.toml", process::id())));

fuzz_target!(|data: &[u8]| {
    fs::write(&*PATH, data).expect("written");
    let Ok(state) = SavedState::load(&PATH) else { return };
    let state = state.expect("just written");
    assert_eq!(state.frequency, state.frequency.clamped());
    assert!(state.stddev >= Frequency::ZERO);
    state.save(&PATH).expect("saved");
    assert_eq!(SavedState::load(&PATH).expect("read"), Some(state));

    let start = Timestamp::from_unix_nanos(1_795_392_000_000_000_000);
    let clock = SimulatedClock::new(start, Offset::ZERO, Frequency::ZERO);
    let mut controller = Controller::new(clock, Policy::default(), Discipline::default());
    if controller.resume(&state).is_ok() {
        assert!(controller.clock().now().expect("it shows") >= start.max(state.saved_at));
        assert_eq!(controller.clock().frequency().expect("it tells"), state.frequency);
    }
});

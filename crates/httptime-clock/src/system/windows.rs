//! The clock of Windows: `SetSystemTime` and `SetSystemTimeAdjustmentPrecise`.
//!
//! Windows has no call that slews a clock by an amount: a program sets a rate, and the rate stays
//! until a program sets another one. So a slew is a rate, and a thread that restores the earlier
//! one.

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Instant, SystemTime};

use httptime::{Offset, Timestamp};
use windows_sys::Win32::Foundation::{
    CloseHandle, ERROR_CALL_NOT_IMPLEMENTED, ERROR_NOT_ALL_ASSIGNED, FILETIME, GetLastError,
    HANDLE, SYSTEMTIME,
};
use windows_sys::Win32::Security::{
    AdjustTokenPrivileges, LUID_AND_ATTRIBUTES, LookupPrivilegeValueW, SE_PRIVILEGE_ENABLED,
    SE_SYSTEMTIME_NAME, TOKEN_ADJUST_PRIVILEGES, TOKEN_PRIVILEGES, TOKEN_QUERY,
};
use windows_sys::Win32::System::SystemInformation::{
    GetSystemTimeAdjustmentPrecise, SetSystemTime, SetSystemTimeAdjustmentPrecise,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};
use windows_sys::Win32::System::Time::FileTimeToSystemTime;

use super::field::codes::code;
use super::field::{Refusal, target};
use super::rate::{Slew, adjusted, filetime, frequency_of, whole_millisecond};
use crate::frequency::Frequency;
use crate::status::SyncStatus;

/// The slew that is running, if one is.
static RUNNING: Mutex<Option<Running>> = Mutex::new(None);

#[derive(Clone, Copy)]
struct Running {
    slew: Slew,
    /// Whether no program had set a rate before it.
    was_automatic: bool,
}

/// `SetSystemTime` takes whole milliseconds. So it is called at the instant at which the new time
/// is one: what remains is the duration of the call.
pub(super) fn step(by: Offset) -> Result<(), Refusal> {
    enable_privilege()?;
    let (read, now) = (Instant::now(), SystemTime::now());
    let now = Timestamp::from_system_time(now).ok_or(Refusal::OutOfRange)?;
    let (to, wait) = whole_millisecond(target(now, by)?).ok_or(Refusal::OutOfRange)?;
    let to = system_time(to)?;
    while read.elapsed() < wait {
        std::hint::spin_loop();
    }
    // SAFETY: the pointer is to a `SYSTEMTIME`, which the call only reads.
    succeeded("SetSystemTime", unsafe { SetSystemTime(&raw const to) })
}

pub(super) fn slew(by: Offset) -> Result<(), Refusal> {
    enable_privilege()?;
    let mut running = running();
    let earlier = running.take();
    if let Some(earlier) = earlier {
        restore(earlier)?;
    }
    if by == Offset::ZERO {
        return Ok(());
    }
    let rate = read_rate()?;
    let number = earlier.map_or(0, |earlier| earlier.slew.number.wrapping_add(1));
    let slew = Slew::new(by, rate.adjusted, rate.nominal, Instant::now(), number);
    let slew = slew.ok_or(Refusal::OutOfRange)?;
    let begun = Running { slew, was_automatic: rate.is_automatic };
    set_rate(slew.rate)?;
    let end = move || end_slew(slew);
    if let Err(error) = thread::Builder::new().name("slew".into()).spawn(end) {
        // Nothing would end it.
        restore(begun)?;
        let errno = error.raw_os_error().unwrap_or(0);
        return Err(Refusal::Errno { call: "CreateThread", errno });
    }
    *running = Some(begun);
    Ok(())
}

/// Ends this slew when it is due, unless another one has replaced it.
fn end_slew(slew: Slew) {
    thread::sleep(slew.duration);
    let mut running = running();
    if let Some(due) = running.take_if(|running| running.slew.number == slew.number) {
        // Who could begin the slew can end it.
        let _ = restore(due);
    }
}

/// The rate before the slew.
fn restore(ended: Running) -> Result<(), Refusal> {
    match ended.was_automatic {
        true => set_adjustment(0, true),
        false => set_rate(ended.slew.base),
    }
}

pub(super) fn remaining_slew() -> Result<Offset, Refusal> {
    Ok(running().map_or(Offset::ZERO, |running| running.slew.remaining(Instant::now())))
}

pub(super) fn frequency() -> Result<Frequency, Refusal> {
    let running = running();
    let rate = read_rate()?;
    let adjusted = running.map_or(rate.adjusted, |running| running.slew.base);
    frequency_of(adjusted, rate.nominal)
}

pub(super) fn set_frequency(frequency: Frequency) -> Result<(), Refusal> {
    enable_privilege()?;
    let mut running = running();
    let base = adjusted(read_rate()?.nominal, frequency)?;
    match &mut *running {
        Some(running) => {
            let slew = running.slew.on_base(base);
            set_rate(slew.rate)?;
            *running = Running { slew, was_automatic: false };
            Ok(())
        }
        None => set_rate(base),
    }
}

/// Windows keeps no such status.
pub(super) fn status() -> Result<SyncStatus, Refusal> {
    Err(NOT_IMPLEMENTED)
}

pub(super) fn set_status(_: SyncStatus) -> Result<(), Refusal> {
    Err(NOT_IMPLEMENTED)
}

/// How fast the clock runs, and how fast it runs without an adjustment, in the same unit.
struct Rate {
    adjusted: u64,
    nominal: u64,
    /// Whether no program sets it.
    is_automatic: bool,
}

fn read_rate() -> Result<Rate, Refusal> {
    let (mut adjusted, mut nominal, mut is_disabled) = (0, 0, 0);
    // SAFETY: the pointers are to variables of the types that the call writes.
    let done = unsafe {
        GetSystemTimeAdjustmentPrecise(&raw mut adjusted, &raw mut nominal, &raw mut is_disabled)
    };
    succeeded("GetSystemTimeAdjustmentPrecise", done)?;
    let is_automatic = is_disabled != 0;
    Ok(Rate { adjusted: if is_automatic { nominal } else { adjusted }, nominal, is_automatic })
}

fn set_rate(rate: u64) -> Result<(), Refusal> {
    set_adjustment(rate, false)
}

fn set_adjustment(rate: u64, is_automatic: bool) -> Result<(), Refusal> {
    // SAFETY: the call takes numbers only.
    let done = unsafe { SetSystemTimeAdjustmentPrecise(rate, i32::from(is_automatic)) };
    succeeded("SetSystemTimeAdjustmentPrecise", done)
}

/// The date and time of day.
fn system_time(at: Timestamp) -> Result<SYSTEMTIME, Refusal> {
    let (low, high) = filetime(at);
    let filetime = FILETIME { dwLowDateTime: low, dwHighDateTime: high };
    // SAFETY: `SYSTEMTIME` is a structure of integers, for which all bits zero is a value.
    let mut time: SYSTEMTIME = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: the pointers are to variables of the types that the call reads and writes.
    let done = unsafe { FileTimeToSystemTime(&raw const filetime, &raw mut time) };
    succeeded("FileTimeToSystemTime", done)?;
    Ok(time)
}

/// Enables the right to set the clock, which administrators have and which is disabled in a new
/// process.
fn enable_privilege() -> Result<(), Refusal> {
    let mut token: HANDLE = ptr::null_mut();
    let wanted = TOKEN_ADJUST_PRIVILEGES | TOKEN_QUERY;
    // SAFETY: the pseudo handle of this process is always valid, and the pointer is to a handle.
    let opened = unsafe { OpenProcessToken(GetCurrentProcess(), wanted, &raw mut token) };
    succeeded("OpenProcessToken", opened)?;
    let enabled = enable_privilege_of(token);
    // SAFETY: the handle was opened above and is not used any more.
    unsafe { CloseHandle(token) };
    enabled
}

fn enable_privilege_of(token: HANDLE) -> Result<(), Refusal> {
    let mut privileges = TOKEN_PRIVILEGES {
        PrivilegeCount: 1,
        Privileges: [LUID_AND_ATTRIBUTES {
            Attributes: SE_PRIVILEGE_ENABLED,
            ..LUID_AND_ATTRIBUTES::default()
        }],
    };
    let identifier = &raw mut privileges.Privileges[0].Luid;
    // SAFETY: the name is a constant text that ends with NUL, and the pointer is to a `LUID`.
    let found = unsafe { LookupPrivilegeValueW(ptr::null(), SE_SYSTEMTIME_NAME, identifier) };
    succeeded("LookupPrivilegeValueW", found)?;
    // SAFETY: the structure has `PrivilegeCount` privileges; the previous state is not wanted.
    let done = unsafe {
        let privileges = &raw const privileges;
        AdjustTokenPrivileges(token, 0, privileges, 0, ptr::null_mut(), ptr::null_mut())
    };
    succeeded("AdjustTokenPrivileges", done)?;
    // The call also succeeds for a user who does not have the privilege.
    // SAFETY: the call has no preconditions.
    match unsafe { GetLastError() } {
        ERROR_NOT_ALL_ASSIGNED => {
            Err(Refusal::Errno { call: "AdjustTokenPrivileges", errno: NOT_ALL_ASSIGNED })
        }
        _ => Ok(()),
    }
}

fn succeeded(call: &'static str, outcome: i32) -> Result<(), Refusal> {
    if outcome == 0 { Err(Refusal::last_os_error(call)) } else { Ok(()) }
}

/// A panic elsewhere leaves it whole.
fn running() -> MutexGuard<'static, Option<Running>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

const NOT_ALL_ASSIGNED: i32 = code(ERROR_NOT_ALL_ASSIGNED);
const NOT_IMPLEMENTED: Refusal =
    Refusal::Errno { call: "clock status", errno: code(ERROR_CALL_NOT_IMPLEMENTED) };

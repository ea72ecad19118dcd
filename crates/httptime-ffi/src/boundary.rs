//! Shared code of every function: converts arguments and results, and catches panics.

use std::ffi::{CStr, c_char};
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::time::Duration;

use httptime::Offset;

use crate::failure::{Failure, remember};
use crate::status::{
    HTTPTIME_ERROR_INVALID_CONFIG, HTTPTIME_ERROR_PANIC, HTTPTIME_OK, httptime_status,
};

/// Runs the body of a function of the C interface. Failures and panics become a status and a
/// message.
pub(crate) fn guard(body: impl FnOnce() -> Result<(), Failure>) -> httptime_status {
    hook::install();
    // A panic can leave data in an inconsistent state. It is reachable only through handles that,
    // according to the header, must not be used any more.
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => HTTPTIME_OK,
        Ok(Err(failure)) => remember(failure),
        Err(payload) => {
            let text = payload
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
                .unwrap_or("no message");
            remember(Failure::new(
                HTTPTIME_ERROR_PANIC,
                format!("a bug in the library, please report it: {text}"),
            ))
        }
    }
}

/// As [`guard`], for functions with another return type. Returns `fallback` after a panic.
pub(crate) fn guard_or<T>(fallback: T, body: impl FnOnce() -> T) -> T {
    hook::install();
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(fallback)
}

/// Reports a panic to the log and not to the program's stderr. The hook belongs to this library's
/// own copy of the standard library.
mod hook {
    #[cfg(not(test))]
    pub(super) fn install() {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| std::panic::set_hook(Box::new(|panic| log::error!("{panic}"))));
    }

    /// Panics of the tests must be visible.
    #[cfg(test)]
    pub(super) const fn install() {}
}

/// A structure of the header that begins with its size.
///
/// # Safety
/// The type must be `repr(C)`, must begin with a `u32` and have no padding, and any bytes must be a
/// valid value.
pub(crate) unsafe trait Versioned: Copy {
    /// The smallest size that a header ever had.
    const MIN_SIZE: usize;

    /// The values of fields that an older header does not have.
    fn initial() -> Self;
}

/// Reads a structure of any version of the header.
///
/// # Safety
/// `from` must be NULL or point to a structure of the size in its first field.
pub(crate) unsafe fn read<T: Versioned>(from: *const T, name: &str) -> Result<T, Failure> {
    // SAFETY: as the caller guarantees.
    let (from, size) = unsafe { sized(from.cast_mut(), name) }?;
    let mut value = T::initial();
    let known = size.min(size_of::<T>());
    // SAFETY: `size` bytes can be read, `size_of::<T>()` written, `known` is no more than either;
    // any bytes make a `T`.
    unsafe {
        from.cast::<u8>().as_ptr().copy_to_nonoverlapping((&raw mut value).cast::<u8>(), known);
    }
    for position in known..size {
        // SAFETY: `position` is within the caller's structure.
        if unsafe { from.cast::<u8>().add(position).read() } != 0 {
            return Err(Failure::argument(format!(
                "{name} has a field that this version of the library does not know, at byte {position}"
            )));
        }
    }
    Ok(value)
}

/// The place for a structure of any version of the header. It is checked before the work is done.
#[derive(Debug)]
pub(crate) struct Output<T> {
    to: NonNull<T>,
    size: usize,
    _type: PhantomData<T>,
}

impl<T: Versioned> Output<T> {
    /// # Safety
    /// `to` must be NULL, or point to a structure of the size in its first field for as long as the
    /// output exists.
    pub(crate) unsafe fn new(to: *mut T, name: &str) -> Result<Self, Failure> {
        // SAFETY: as the caller guarantees.
        let (to, size) = unsafe { sized(to, name) }?;
        Ok(Self { to, size, _type: PhantomData })
    }

    /// Writes as much of `value` as the caller's structure can hold. Does not change its size. The
    /// rest of the caller's structure becomes zero.
    pub(crate) fn write(&self, value: &T) {
        let header = size_of::<u32>();
        let known = self.size.min(size_of::<T>());
        let from = (&raw const *value).cast::<u8>();
        let to = self.to.cast::<u8>().as_ptr();
        // SAFETY: `known` bytes can be read from `value`, which has no padding; `self.size` can be
        // written, and are no less than `known`.
        unsafe {
            to.add(header).copy_from_nonoverlapping(from.add(header), known - header);
            to.add(known).write_bytes(0, self.size - known);
        }
    }
}

/// # Safety
/// As [`read`].
unsafe fn sized<T: Versioned>(pointer: *mut T, name: &str) -> Result<(NonNull<T>, usize), Failure> {
    let pointer = target(pointer, name)?;
    // SAFETY: it is not NULL, so it begins with its size.
    let given = unsafe { pointer.cast::<u32>().read() };
    Ok((pointer, checked_size::<T>(given, name)?))
}

/// The size of a structure, if it is valid.
pub(crate) fn checked_size<T: Versioned>(given: u32, name: &str) -> Result<usize, Failure> {
    let size = usize::try_from(given).unwrap_or(usize::MAX);
    if (T::MIN_SIZE..=MAX_SIZE).contains(&size) && size % ALIGNMENT == 0 {
        return Ok(size);
    }
    Err(Failure::argument(format!(
        "{name}.struct_size is {given}; set it to the sizeof of the structure"
    )))
}

/// No field crosses a multiple of this, so that a structure of any such size ends with a complete
/// field.
const ALIGNMENT: usize = 8;
/// Larger than any structure: a larger size was never initialised.
const MAX_SIZE: usize = 4096;

/// The size of a structure, for its first field.
pub(crate) const fn size<T>() -> u32 {
    const { assert!(size_of::<T>() <= MAX_SIZE && size_of::<T>() % ALIGNMENT == 0) };
    #[expect(clippy::cast_possible_truncation, reason = "compared above")]
    {
        size_of::<T>() as u32
    }
}

/// A handle or another pointer that must not be NULL.
///
/// # Safety
/// `pointer` must be NULL, or valid and not written to for `'a`.
pub(crate) unsafe fn reference<'a, T>(pointer: *const T, name: &str) -> Result<&'a T, Failure> {
    let pointer = target(pointer.cast_mut(), name)?;
    // SAFETY: not NULL and aligned; the rest as the caller guarantees.
    Ok(unsafe { pointer.as_ref() })
}

/// A handle that is changed.
///
/// # Safety
/// `pointer` must be NULL, or valid and not used by anyone else for `'a`.
pub(crate) unsafe fn exclusive<'a, T>(pointer: *mut T, name: &str) -> Result<&'a mut T, Failure> {
    let mut pointer = target(pointer, name)?;
    // SAFETY: not NULL and aligned; the rest as the caller guarantees.
    Ok(unsafe { pointer.as_mut() })
}

/// A place for input or output, which need not be initialised: not NULL, and aligned.
pub(crate) fn target<T>(pointer: *mut T, name: &str) -> Result<NonNull<T>, Failure> {
    let pointer = NonNull::new(pointer).ok_or_else(|| Failure::null(name))?;
    if !pointer.is_aligned() {
        return Err(Failure::argument(format!("{name} is not aligned")));
    }
    Ok(pointer)
}

/// # Safety
/// `pointer` must be NULL, or `count` elements must be readable there for `'a`.
pub(crate) unsafe fn slice<'a, T>(
    pointer: *const T,
    count: usize,
    name: &str,
) -> Result<&'a [T], Failure> {
    let pointer = target(pointer.cast_mut(), name)?;
    if count.checked_mul(size_of::<T>()).is_none_or(|bytes| isize::try_from(bytes).is_err()) {
        return Err(Failure::argument(format!(
            "{name} has {count} elements, which is more than memory holds"
        )));
    }
    // SAFETY: not NULL, aligned, not larger than memory, and `count` elements long as the caller
    // guarantees.
    Ok(unsafe { std::slice::from_raw_parts(pointer.as_ptr(), count) })
}

/// Bytes for output. They are set to zero first, so that they need not be initialised.
///
/// # Safety
/// `pointer` must be NULL, or `count` bytes must be writable there and not used by anyone else for
/// `'a`.
pub(crate) unsafe fn slice_mut<'a>(
    pointer: *mut u8,
    count: usize,
    name: &str,
) -> Result<&'a mut [u8], Failure> {
    let pointer = target(pointer, name)?;
    if count == 0 {
        return Err(Failure::argument(format!("{name} has 0 bytes; give it at least 1")));
    }
    if isize::try_from(count).is_err() {
        return Err(Failure::argument(format!(
            "{name} has {count} bytes, which is more than memory holds"
        )));
    }
    // SAFETY: not NULL, not larger than memory, initialised here, and `count` bytes long as the
    // caller guarantees.
    Ok(unsafe {
        pointer.as_ptr().write_bytes(0, count);
        std::slice::from_raw_parts_mut(pointer.as_ptr(), count)
    })
}

/// # Safety
/// `pointer` must be NULL, or point to a text with a NUL at its end that is valid for `'a`.
pub(crate) unsafe fn text<'a>(
    pointer: *const c_char,
    name: impl fmt::Display,
) -> Result<&'a str, Failure> {
    if pointer.is_null() {
        return Err(Failure::argument(format!("{name} is NULL")));
    }
    // SAFETY: as the caller guarantees.
    unsafe { CStr::from_ptr(pointer) }
        .to_str()
        .map_err(|_| Failure::argument(format!("{name} is not UTF-8")))
}

/// Returns a handle to the caller, who must free it.
pub(crate) fn hand_over<T>(value: T, to: NonNull<*mut T>) {
    // SAFETY: the caller of the interface guarantees that a pointer can be written there.
    unsafe { to.write(Box::into_raw(Box::new(value))) }
}

/// Takes a handle back and drops it; NULL does nothing.
///
/// # Safety
/// `handle` must be NULL, or from [`hand_over`] and not used any more.
pub(crate) unsafe fn free_handle<T>(handle: *mut T) {
    if !handle.is_null() {
        // SAFETY: as the caller guarantees.
        let owned = unsafe { Box::from_raw(handle) };
        guard_or((), || drop(owned));
    }
}

/// A duration in nanoseconds; saturates at 292 years.
pub(crate) fn nanos(duration: Duration) -> i64 {
    Offset::from(duration).as_nanos()
}

/// Nanoseconds, which must not be negative.
pub(crate) fn duration(nanos: i64, name: &str) -> Result<Duration, Failure> {
    u64::try_from(nanos).map(Duration::from_nanos).map_err(|_| {
        Failure::new(
            HTTPTIME_ERROR_INVALID_CONFIG,
            format!("{name} is {nanos}; allowed: 0 or more"),
        )
    })
}

/// The longest prefix of `text` of at most `most` bytes that ends with a complete character.
pub(crate) fn truncated(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A text in a fixed array: truncated to fit, followed by zeros.
pub(crate) fn array<const N: usize>(text: &str) -> [c_char; N] {
    let mut array = [0; N];
    let kept = truncated(text, N - 1);
    for (to, byte) in array.iter_mut().zip(kept.bytes().filter(|byte| *byte != 0)) {
        *to = c_char::from_ne_bytes([byte]);
    }
    array
}

#[cfg(test)]
mod tests {
    use crate::status::HTTPTIME_ERROR_INVALID_ARGUMENT;

    use super::*;

    #[repr(C)]
    #[derive(Debug, Clone, Copy, PartialEq)]
    struct Newer {
        struct_size: u32,
        first: i32,
        second: i64,
        third: i64,
    }

    // SAFETY: integers, without padding.
    unsafe impl Versioned for Newer {
        const MIN_SIZE: usize = 8;

        fn initial() -> Self {
            Self { struct_size: 0, first: -1, second: -2, third: -3 }
        }
    }

    fn newer(struct_size: u32) -> Newer {
        Newer { struct_size, first: 1, second: 2, third: 3 }
    }

    fn taken(value: &[Newer]) -> Result<Newer, Failure> {
        // SAFETY: it points to an initialised structure.
        unsafe { read(value.as_ptr(), "value") }
    }

    #[test]
    fn of_an_older_structure_only_its_own_bytes_are_read() {
        assert_eq!(taken(&[newer(24)]).unwrap(), newer(24));
        assert_eq!(taken(&[newer(16)]).unwrap(), Newer { third: -3, ..newer(16) });
        assert_eq!(taken(&[newer(8)]).unwrap(), Newer { second: -2, third: -3, ..newer(8) });
    }

    #[test]
    fn of_a_newer_structure_the_unknown_fields_must_be_zero() {
        let zero = Newer { struct_size: 0, first: 0, second: 0, third: 0 };
        assert!(taken(&[newer(48), zero]).is_ok());
        let failure = taken(&[newer(48), Newer { third: 1, ..zero }]).unwrap_err();
        assert!(failure.message.unwrap().contains("at byte 40"));
    }

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        for size in [0, 4, 7, 9, 12, 23, 4104, u32::MAX] {
            let failure = taken(&[newer(size)]).unwrap_err();
            assert_eq!(failure.status, HTTPTIME_ERROR_INVALID_ARGUMENT, "{size}");
        }
    }

    #[test]
    fn what_is_not_aligned_is_refused_and_not_read() {
        let numbers = [0_i64; 3];
        let skewed = numbers.as_ptr().wrapping_byte_add(4);
        // SAFETY: unaligned pointers are not used, as this shows.
        let failures = unsafe {
            [
                slice(skewed, 2, "numbers").unwrap_err(),
                reference(skewed, "number").unwrap_err(),
                exclusive(skewed.cast_mut(), "number").unwrap_err(),
                read(skewed.cast::<Newer>(), "value").unwrap_err(),
                Output::new(skewed.cast::<Newer>().cast_mut(), "value").unwrap_err(),
            ]
        };
        for failure in failures {
            assert_eq!(failure.status, HTTPTIME_ERROR_INVALID_ARGUMENT);
            assert!(failure.message.unwrap().ends_with("is not aligned"));
        }
    }

    #[test]
    fn no_more_is_written_than_the_caller_has_room_for() {
        let written = |size: u32| {
            let mut place = [newer(size), newer(0)];
            // SAFETY: two structures are there; 48 bytes at most are written.
            let output = unsafe { Output::new(place.as_mut_ptr(), "place") }.unwrap();
            output.write(&Newer { struct_size: 24, first: 11, second: 12, third: 13 });
            place
        };
        assert_eq!(written(16)[0], Newer { struct_size: 16, first: 11, second: 12, third: 3 });
        assert_eq!(written(24)[0], Newer { struct_size: 24, first: 11, second: 12, third: 13 });
        assert_eq!(written(24)[1], newer(0));
        assert_eq!(written(32)[1], Newer { struct_size: 0, first: 0, ..newer(0) });
        assert_eq!(written(48)[1], Newer { struct_size: 0, first: 0, second: 0, third: 0 });
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(truncated("naïve", 3), "na");
        assert_eq!(truncated("naïve", 4), "naï");
        assert_eq!(truncated("na", 40), "na");
        assert_eq!(truncated("ï", 0), "");
    }

    #[test]
    fn a_panic_is_a_status_with_its_message() {
        let status = guard(|| panic!("on {}", "purpose"));
        assert_eq!(status, HTTPTIME_ERROR_PANIC);
        let mut buffer = [0; 64];
        // SAFETY: the buffer has that size.
        let length = unsafe { crate::httptime_error_message(buffer.as_mut_ptr(), buffer.len()) };
        // SAFETY: it was ended by a NUL.
        let message = unsafe { CStr::from_ptr(buffer.as_ptr()) }.to_str().unwrap();
        assert_eq!(message, "a bug in the library, please report it: on purpose");
        assert_eq!(length, message.len());
    }
}

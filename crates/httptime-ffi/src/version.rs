use std::ffi::c_char;

/// The version of this header as a number for comparison: major * 65536 + minor * 256 + patch.
pub const HTTPTIME_VERSION_NUMBER: u32 = 0x0000_0100;

/// The version of the running library, in the format of HTTPTIME_VERSION_NUMBER. A library that is
/// older than the header may lack parts of it; a newer one has everything.
///
/// Any thread, at any time.
#[unsafe(no_mangle)]
pub extern "C" fn httptime_version_number() -> u32 {
    HTTPTIME_VERSION_NUMBER
}

/// The version of the running library as text ("0.1.0"). Static: do not free it.
///
/// Any thread, at any time.
#[unsafe(no_mangle)]
pub extern "C" fn httptime_version() -> *const c_char {
    const TEXT: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    TEXT.as_ptr().cast()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_in_the_header_are_those_of_the_package() {
        let text = format!("#define HTTPTIME_VERSION \"{}\"\n", env!("CARGO_PKG_VERSION"));
        assert!(include_str!("../include/httptime.h").contains(&text), "{text}");
        let number = |part: &str| part.parse::<u32>().expect("a number");
        let whole = number(env!("CARGO_PKG_VERSION_MAJOR")) << 16
            | number(env!("CARGO_PKG_VERSION_MINOR")) << 8
            | number(env!("CARGO_PKG_VERSION_PATCH"));
        assert_eq!(HTTPTIME_VERSION_NUMBER, whole);
    }
}

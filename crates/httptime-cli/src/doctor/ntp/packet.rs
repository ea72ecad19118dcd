//! The NTP packet (RFC 5905, section 7.3): a client's request, and the check of its reply.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A time in 2⁻³² s since 1900, modulo 2³² s: only differences up to 68 years have a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NtpTime(u64);

/// A reply to this client's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) stratum: u8,
    /// Whether the server has a time itself.
    pub(super) is_synchronised: bool,
    /// The code of a server that refuses to serve.
    pub(super) kiss: Option<String>,
    pub(super) received: NtpTime,
    pub(super) transmitted: NtpTime,
}

impl NtpTime {
    pub(super) fn of(time: SystemTime) -> Self {
        let since_1970 = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let seconds = since_1970.as_secs().wrapping_add(SECONDS_1900_TO_1970);
        let fraction = (u64::from(since_1970.subsec_nanos()) << 32) / 1_000_000_000;
        Self((seconds << 32) | fraction)
    }

    /// The seconds from this time to a later one; negative for an earlier one.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_wrap,
        reason = "the difference has a sign; 2⁻³² s of years is far below a microsecond"
    )]
    pub(super) fn seconds_to(self, later: Self) -> f64 {
        later.0.wrapping_sub(self.0) as i64 as f64 / 4_294_967_296.0
    }
}

/// A request of version 4 from a client. Only `cookie` is set, in the transmit timestamp.
pub(super) fn request(cookie: u64) -> [u8; SIZE] {
    let mut packet = [0; SIZE];
    packet[0] = (4 << 3) | MODE_CLIENT;
    packet[TRANSMIT..].copy_from_slice(&cookie.to_be_bytes());
    packet
}

/// The reply to the request with this cookie. `None` for anything else.
pub(super) fn reply(bytes: &[u8], cookie: u64) -> Option<Reply> {
    let packet = bytes.get(..SIZE)?;
    let at = |begin: usize| {
        let field: [u8; 8] = packet[begin..begin + 8].try_into().expect("8 bytes");
        u64::from_be_bytes(field)
    };
    let (leap, version, mode) = (packet[0] >> 6, (packet[0] >> 3) & 7, packet[0] & 7);
    if mode != MODE_SERVER || !(3..=4).contains(&version) || at(ORIGIN) != cookie {
        return None;
    }
    let stratum = packet[1];
    let code = || packet[12..16].iter().map(|byte| char::from(*byte)).collect::<String>();
    let is_code = |code: &String| code.chars().all(|c| c.is_ascii_uppercase());
    Some(Reply {
        stratum,
        is_synchronised: leap != LEAP_UNKNOWN && (1..16).contains(&stratum) && at(TRANSMIT) != 0,
        kiss: (stratum == 0).then(code).filter(is_code),
        received: NtpTime(at(RECEIVE)),
        transmitted: NtpTime(at(TRANSMIT)),
    })
}

const SIZE: usize = 48;
const ORIGIN: usize = 24;
const RECEIVE: usize = 32;
const TRANSMIT: usize = 40;
const MODE_CLIENT: u8 = 3;
const MODE_SERVER: u8 = 4;
/// The leap indicator of a server whose clock is not synchronised.
const LEAP_UNKNOWN: u8 = 3;
const SECONDS_1900_TO_1970: u64 = 2_208_988_800;

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(first: u8, stratum: u8, origin: u64) -> Vec<u8> {
        let mut packet = vec![0; SIZE];
        packet[0] = first;
        packet[1] = stratum;
        packet[12..16].copy_from_slice(b"RATE");
        packet[ORIGIN..RECEIVE].copy_from_slice(&origin.to_be_bytes());
        packet[RECEIVE..TRANSMIT].copy_from_slice(&(100_u64 << 32).to_be_bytes());
        packet[TRANSMIT..].copy_from_slice(&(101_u64 << 32).to_be_bytes());
        packet
    }

    #[test]
    fn only_a_server_that_repeats_the_cookie_has_answered() {
        let cookie = 0x1234_5678_9abc_def0;
        assert_eq!(request(cookie)[0], 0x23);
        let good = reply(&answered(0x24, 2, cookie), cookie).expect("a reply");
        assert!(good.is_synchronised && good.kiss.is_none() && good.stratum == 2);
        assert!((good.received.seconds_to(good.transmitted) - 1.0).abs() < 1e-9);
        for (first, origin) in [(0x24, cookie + 1), (0x23, cookie), (0x04, cookie)] {
            assert_eq!(reply(&answered(first, 2, origin), cookie), None);
        }
        assert_eq!(reply(&answered(0x24, 2, cookie)[..47], cookie), None);
    }

    #[test]
    fn a_server_without_a_time_and_one_that_refuses_are_told_apart() {
        let of = |first, stratum| reply(&answered(first, stratum, 1), 1).expect("a reply");
        assert_eq!(of(0x24, 0).kiss.as_deref(), Some("RATE"));
        assert!(!of(0x24, 16).is_synchronised && of(0x24, 16).kiss.is_none());
        assert!(!of(0xe4, 2).is_synchronised, "the leap indicator is 3");
    }

    #[test]
    fn times_are_compared_across_the_end_of_an_era() {
        let at = |seconds: u64| NtpTime::of(UNIX_EPOCH + Duration::from_secs(seconds));
        let end = (1 << 32) - SECONDS_1900_TO_1970;
        assert!((at(end - 1).seconds_to(at(end + 1)) - 2.0).abs() < 1e-9);
        assert!((at(end + 1).seconds_to(at(end - 1)) + 2.0).abs() < 1e-9);
    }
}

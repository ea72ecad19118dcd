//! The only definition of the documented JSON (docs/json.md), as [`Serialize`]: seconds are
//! numbers, errors have kind and message. Values of a named choice are written and read by name.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::agreement::Agreement;
use crate::error::Error;
use crate::estimate::Estimate;
use crate::measurement::{Assumptions, Measurement};
use crate::method::Method;
use crate::server::LagSource;
use crate::stamp::{StampFault, StampUse};
use crate::time::{Interval, NANOS_PER_SECOND, Offset, Timestamp};
use crate::tls::CertificateCheck;
use crate::url::Url;

/// In seconds, with its sign.
impl Serialize for Offset {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.as_seconds())
    }
}

/// `[lower, upper]`, in seconds.
impl Serialize for Interval {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        [self.lower(), self.upper()].serialize(serializer)
    }
}

/// `offset_seconds` and `stddev_seconds`.
impl Serialize for Estimate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields {
            offset_seconds: Offset,
            stddev_seconds: Seconds,
        }
        let fields =
            Fields { offset_seconds: self.offset(), stddev_seconds: Seconds(self.stddev()) };
        fields.serialize(serializer)
    }
}

/// `agreeing`, `independent` and `configured`.
impl Serialize for Agreement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields {
            agreeing: usize,
            independent: usize,
            configured: usize,
        }
        let Self { agreeing, independent, configured } = *self;
        Fields { agreeing, independent, configured }.serialize(serializer)
    }
}

/// `kind` for machines, `message` for people.
impl Serialize for Error {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        KindAndMessage { kind: self.kind(), message: self.to_string() }.serialize(serializer)
    }
}

#[derive(Serialize)]
struct KindAndMessage {
    kind: &'static str,
    message: String,
}

/// Without credentials.
impl Serialize for Url {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for LagSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// `checked_by`, `valid_from_unix_seconds` and `valid_to_unix_seconds`.
impl Serialize for CertificateCheck {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields {
            checked_by: &'static str,
            valid_from_unix_seconds: Option<i64>,
            valid_to_unix_seconds: Option<i64>,
        }
        let seconds = |time: Timestamp| time.as_unix_nanos().div_euclid(NANOS_PER_SECOND);
        let window = match *self {
            Self::ServerTime { valid_from, valid_to } => Some([valid_from, valid_to].map(seconds)),
            _ => None,
        };
        let fields = Fields {
            checked_by: self.kind(),
            valid_from_unix_seconds: window.map(|[from, _]| from),
            valid_to_unix_seconds: window.map(|[_, to]| to),
        };
        fields.serialize(serializer)
    }
}

/// `lag_seconds`, `lag_source`, `caches`, `drift_ppm`, `min_servers`, `certificates` and
/// `proxy_certificates`.
impl Serialize for Assumptions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields {
            lag_seconds: Seconds,
            lag_source: LagSource,
            caches: u8,
            drift_ppm: u32,
            min_servers: usize,
            certificates: Option<CertificateCheck>,
            proxy_certificates: Option<CertificateCheck>,
        }
        let fields = Fields {
            lag_seconds: Seconds(self.lag()),
            lag_source: self.lag_source(),
            caches: self.caches(),
            drift_ppm: self.drift_ppm(),
            min_servers: self.min_servers(),
            certificates: self.certificates(),
            proxy_certificates: self.proxy_certificates(),
        };
        fields.serialize(serializer)
    }
}

/// `kind` for machines, `message` for people.
impl Serialize for StampFault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        KindAndMessage { kind: self.kind(), message: self.to_string() }.serialize(serializer)
    }
}

/// `header`, `quantum_seconds` and `rejected`.
impl Serialize for StampUse {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'a> {
            header: &'a str,
            quantum_seconds: Option<Seconds>,
            rejected: Option<StampFault>,
        }
        let fields = Fields {
            header: self.header(),
            quantum_seconds: self.quantum().map(Seconds),
            rejected: self.rejected(),
        };
        fields.serialize(serializer)
    }
}

/// The fields of docs/json.md from `offset_seconds` to `assumptions`.
impl Serialize for Measurement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'a> {
            #[serde(flatten)]
            estimate: Estimate,
            bounds_seconds: Interval,
            requests: u32,
            checks: u32,
            date_advanced: bool,
            stamp: Option<&'a StampUse>,
            method: Option<Method>,
            http_status: Option<u16>,
            elapsed_seconds: Seconds,
            rtt_min_seconds: Seconds,
            busy: bool,
            retry_after_seconds: Option<Seconds>,
            timestamps: Timestamps,
            assumptions: Assumptions,
        }
        #[derive(Serialize)]
        struct Timestamps {
            responses: u32,
            sent_by_kernel: u32,
            received_by_kernel: u32,
        }
        let fields = Fields {
            estimate: self.estimate(),
            bounds_seconds: self.bounds(),
            requests: self.requests(),
            checks: self.checks(),
            date_advanced: self.has_date_advanced(),
            stamp: self.stamp(),
            method: self.method(),
            http_status: self.http_status(),
            elapsed_seconds: Seconds(self.elapsed()),
            rtt_min_seconds: Seconds(self.round_trip_min()),
            busy: self.is_busy(),
            retry_after_seconds: self.retry_after().map(Seconds),
            timestamps: Timestamps {
                responses: self.observations(),
                sent_by_kernel: self.sent_by_kernel(),
                received_by_kernel: self.received_by_kernel(),
            },
            assumptions: self.assumptions(),
        };
        fields.serialize(serializer)
    }
}

/// A duration in seconds.
struct Seconds(Duration);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0.as_secs_f64())
    }
}

#[cfg(feature = "net")]
mod surveys {
    use serde::{Serialize, Serializer};

    use crate::agreement::Agreement;
    use crate::error::Error;
    use crate::measurement::{EndReason, Measurement};
    use crate::method::Method;
    use crate::stamp::StampUse;
    use crate::survey::{ServerReport, Survey};
    use crate::time::{Interval, Offset};
    use crate::url::Url;

    /// One of the `servers` of docs/json.md.
    impl Serialize for ServerReport {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            #[derive(Serialize)]
            struct Fields<'a> {
                url: &'a Url,
                status: &'static str,
                offset_seconds: Option<Offset>,
                bounds_seconds: Option<Interval>,
                requests: Option<u32>,
                method: Option<Method>,
                http_status: Option<u16>,
                suspicion: Option<&'static str>,
                stamp: Option<&'a StampUse>,
                server: Option<&'a str>,
                error: Option<&'a Error>,
            }
            let measured = self.result().ok();
            let fields = Fields {
                url: self.url(),
                status: match measured {
                    None => "failed",
                    Some(_) if self.is_selected() => "selected",
                    Some(_) => "falseticker",
                },
                offset_seconds: measured.map(Measurement::offset),
                bounds_seconds: measured.map(Measurement::bounds),
                requests: measured.map(Measurement::requests),
                method: measured.and_then(Measurement::method),
                http_status: measured.and_then(Measurement::http_status),
                suspicion: self.suspicion().map(|suspicion| suspicion.kind()),
                stamp: measured.and_then(Measurement::stamp),
                server: measured.and_then(Measurement::server),
                error: match self.result().map(Measurement::end_reason) {
                    Err(error) | Ok(EndReason::Lost(error)) => Some(error),
                    Ok(_) => None,
                },
            };
            fields.serialize(serializer)
        }
    }

    /// The object of docs/json.md: the result's fields or `error`, then `servers`. The program adds
    /// `schema`.
    impl Serialize for Survey {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            #[derive(Serialize)]
            struct Fields<'a, T> {
                #[serde(flatten)]
                result: T,
                agreement: Agreement,
                servers: &'a [ServerReport],
            }
            #[derive(Serialize)]
            struct Failed<'a> {
                error: &'a Error,
                assumptions: Assumed,
            }
            #[derive(Serialize)]
            struct Assumed {
                drift_ppm: u32,
            }
            let (agreement, servers) = (self.agreement(), self.servers());
            match self.combined() {
                Ok(result) => Fields { result, agreement, servers }.serialize(serializer),
                Err(error) => {
                    let assumptions = Assumed { drift_ppm: self.drift_ppm() };
                    let result = Failed { error, assumptions };
                    Fields { result, agreement, servers }.serialize(serializer)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_str, json, to_string};

    use super::*;
    use crate::estimate::EstimatorKind;
    use crate::measurement::EndReason;
    use crate::schedule::{Profile, ScheduleKind};
    use crate::server::Lag;
    use crate::time::{CrossTimestamp, LocalInstant};
    use crate::{Family, Timestamping};

    fn measurement() -> Measurement {
        let offset = Offset::from_nanos(38_116_148_047);
        let bounds = (Offset::from_nanos(38_115_861_175), Offset::from_nanos(38_118_103_602));
        let started = LocalInstant::from_nanos(1);
        Measurement {
            estimate: Estimate::new(offset, Duration::from_nanos(159_011)),
            bounds: Interval::new(bounds.0, bounds.1).expect("in order"),
            requests: 20,
            observations: 19,
            checks: 4,
            date_advanced: true,
            stamp: None,
            sent_by_kernel: 18,
            received_by_kernel: 17,
            started,
            at: started.saturating_add(Duration::from_nanos(9_994_779_887)),
            begun: CrossTimestamp::new(started, Timestamp::from_unix_nanos(0), Duration::ZERO),
            round_trip_min: Duration::from_nanos(28_733),
            round_trip_quartile: Duration::from_nanos(40_000),
            retry_after: None,
            assumptions: Assumptions {
                lag: Lag::from_server_header("nginx"),
                drift_ppm: 100,
                min_servers: 1,
                certificates: None,
                proxy_certificates: None,
            },
            agreement: Agreement::SINGLE,
            server: Some("nginx (demo)".into()),
            method: Some(Method::Head),
            http_status: Some(204),
            end_reason: EndReason::Enough,
        }
    }

    #[test]
    fn a_measurement_has_the_documented_fields_in_their_order() {
        let text = to_string(&measurement()).expect("numbers and texts");
        assert_eq!(
            text,
            concat!(
                r#"{"offset_seconds":38.116148047,"stddev_seconds":0.000159011,"#,
                r#""bounds_seconds":[38.115861175,38.118103602],"requests":20,"checks":4,"#,
                r#""date_advanced":true,"stamp":null,"method":"head","http_status":204,"#,
                r#""elapsed_seconds":9.994779887,"rtt_min_seconds":0.000028733,"#,
                r#""busy":false,"retry_after_seconds":null,"#,
                r#""timestamps":{"responses":19,"sent_by_kernel":18,"received_by_kernel":17},"#,
                r#""assumptions":{"lag_seconds":0.001,"lag_source":"product nginx","caches":0,"#,
                r#""drift_ppm":100,"min_servers":1,"certificates":null,"#,
                r#""proxy_certificates":null}}"#
            )
        );
    }

    #[test]
    fn a_check_of_certificates_has_its_window_if_it_has_one() {
        let at = |seconds: i64| Timestamp::from_unix_nanos(seconds * 1_000_000_000 + 1);
        let check = CertificateCheck::ServerTime { valid_from: at(5), valid_to: at(7) };
        assert_eq!(
            to_string(&check).ok().as_deref(),
            Some(
                r#"{"checked_by":"server_time","valid_from_unix_seconds":5,"valid_to_unix_seconds":7}"#
            )
        );
        let without = json!({
            "checked_by": "pin",
            "valid_from_unix_seconds": null,
            "valid_to_unix_seconds": null
        });
        assert_eq!(serde_json::to_value(CertificateCheck::Pin).ok(), Some(without));
    }

    #[test]
    fn an_error_is_its_kind_and_its_message() {
        let error = Error::NoDate { status: 404 };
        let expected = json!({ "kind": "no_date", "message": error.to_string() });
        assert_eq!(serde_json::to_value(&error).ok(), Some(expected));
    }

    #[test]
    fn a_url_is_written_without_credentials() {
        let url = Url::parse("http://user:hunter2@host/").expect("a URL");
        assert_eq!(to_string(&url).ok().as_deref(), Some("\"http://host/\""));
    }

    #[test]
    fn choices_are_written_and_read_by_name() {
        assert_eq!(to_string(&Family::V6).ok().as_deref(), Some("\"ipv6\""));
        assert_eq!(from_str(r#""ipv6""#).ok(), Some(Family::V6));
        assert_eq!(from_str(r#""posterior""#).ok(), Some(EstimatorKind::Posterior));
        assert_eq!(from_str(r#""scan""#).ok(), Some(ScheduleKind::Scan));
        assert_eq!(from_str(r#""polite""#).ok(), Some(Profile::Polite));
        assert_eq!(from_str(r#""kernel""#).ok(), Some(Timestamping::Kernel));
        assert_eq!(from_str(r#""options""#).ok(), Some(Method::Options));
        let error = from_str::<Profile>(r#""no""#).expect_err("no profile").to_string();
        assert!(error.contains("allowed: polite, balanced, fast"), "{error}");
    }
}

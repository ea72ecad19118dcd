//! Names for the types that are a choice: one definition for people, options and files.

use crate::error::Error;
use crate::url::Url;

/// `Display`, `FromStr` and, with the feature `serde`, the same names in data, for a type that has
/// `ALL` and `name`. Errors call the type `$what`.
macro_rules! by_name {
    ($type:ty, $what:literal) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::error::Error;

            /// The value with this [`name`](Self::name).
            ///
            /// # Errors
            /// [`Error::InvalidConfig`]($crate::Error::InvalidConfig) lists the names.
            fn from_str(name: &str) -> Result<Self, Self::Err> {
                $crate::names::find($what, name, Self::ALL, Self::name)
            }
        }

        #[cfg(feature = "serde")]
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        #[cfg(feature = "serde")]
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                name.parse().map_err(|error| match error {
                    // The reader of the data adds the name of the key.
                    $crate::Error::InvalidConfig { reason } => serde::de::Error::custom(reason),
                    error => serde::de::Error::custom(error),
                })
            }
        }
    };
}
pub(crate) use by_name;

/// The element of `all` with the name `name`.
pub(crate) fn find<T: Copy>(
    what: &str,
    name: &str,
    all: &[T],
    name_of: fn(T) -> &'static str,
) -> Result<T, Error> {
    all.iter().copied().find(|one| name_of(*one) == name).ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|one| name_of(*one)).collect();
        // The text may be the URL of a proxy that was passed to the wrong option.
        let name = Url::redacted(name);
        let reason = format!("{what} is {name:?}; allowed: {}", names.join(", "));
        Error::InvalidConfig { reason }
    })
}

#[cfg(test)]
mod tests {
    use crate::estimate::EstimatorKind;
    use crate::schedule::{Profile, ScheduleKind};
    use crate::{Error, Family, Method, Timestamping};

    #[test]
    fn every_choice_is_read_by_the_name_that_it_prints() -> Result<(), Error> {
        for one in EstimatorKind::ALL {
            assert_eq!((one.to_string().parse(), one.to_string().as_str()), (Ok(*one), one.name()));
        }
        for one in ScheduleKind::ALL {
            assert_eq!(one.to_string().parse(), Ok(*one));
        }
        for one in Profile::ALL {
            assert_eq!(one.to_string().parse(), Ok(*one));
        }
        for (one, name) in [(Family::Any, "any"), (Family::V4, "ipv4"), (Family::V6, "ipv6")] {
            assert_eq!((name.parse(), one.to_string()), (Ok(one), name.into()));
        }
        for one in Timestamping::ALL {
            assert_eq!(one.to_string().parse(), Ok(*one));
        }
        for one in Method::ALL {
            assert_eq!(one.to_string().parse(), Ok(*one));
        }
        Ok(())
    }

    #[test]
    fn another_name_is_an_error_that_lists_the_choices_and_shows_no_password() {
        let error = "ipv5".parse::<Family>().expect_err("another name").to_string();
        assert!(error.contains("family is \"ipv5\"; allowed: any, ipv4, ipv6"), "{error}");
        let error = "http://user:hunter2@a".parse::<Profile>().expect_err("a URL").to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}

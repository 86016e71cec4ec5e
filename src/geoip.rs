//! Locates IP addresses by a file that the operator supplies. Must not know events or rows.
//!
//! The file is a MaxMind database of cities (GeoLite2 City, GeoIP2 City or another vendor's in the same
//! format). It is read into memory once, at start. A location depends on the address and the file alone, so all
//! programs that apply the same events need the same file.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cognito_user_sync_triggers::environment::Environment;
use maxminddb::{MaxMindDbError, PathElement, Reader};

/// The name of the variable that holds the path of the file.
pub const VARIABLE: &str = "USER_SYNC_GEOIP_FILE";

/// Locates addresses; the default locates none. Clones share the file.
#[derive(Clone, Default)]
pub struct GeoIp(Option<Arc<Reader<Vec<u8>>>>);

/// The file that the variable names cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GeoIpError {
    /// The file is missing, unreadable or no MaxMind database.
    #[error("{variable} is {path:?}: it must be a MaxMind database of cities, and cannot be read as one")]
    Unreadable {
        /// The variable.
        variable: &'static str,
        /// What it holds.
        path: PathBuf,
        /// Why.
        source: MaxMindDbError,
    },
    /// The database holds something else, such as countries or networks: it would locate no address.
    #[error("{variable} is {path:?}: it must be a MaxMind database of cities, and its type is {kind:?}")]
    NotOfCities {
        /// The variable.
        variable: &'static str,
        /// What it holds.
        path: PathBuf,
        /// The database's type.
        kind: String,
    },
}

impl GeoIp {
    /// Reads the file; without one, every location is unknown.
    ///
    /// # Errors
    /// When the file cannot be read, or is no database of cities.
    pub fn open(file: Option<&Path>) -> Result<Self, GeoIpError> {
        let (Some(path), variable) = (file, VARIABLE) else { return Ok(Self::default()) };
        let reader = Reader::open_readfile(path).map_err(|source| GeoIpError::Unreadable {
            variable,
            path: path.to_owned(),
            source,
        })?;
        let kind = &reader.metadata().database_type;
        // GeoIP2 Enterprise holds all that City does.
        if !(kind.contains("City") || kind.contains("Enterprise")) {
            return Err(GeoIpError::NotOfCities { variable, path: path.to_owned(), kind: kind.clone() });
        }
        Ok(Self(Some(Arc::new(reader))))
    }

    /// Reads the file that `USER_SYNC_GEOIP_FILE` names, if it is set.
    ///
    /// # Errors
    /// As [`GeoIp::open`].
    pub fn from_env() -> Result<Self, GeoIpError> {
        Self::open(Environment::process().path(VARIABLE).as_deref())
    }

    /// Whether there is no file, so that every location is unknown.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The location of an address, as `Porto, PT`: the city's English name and its country. `None` if the city is unknown.
    #[must_use]
    pub fn of(&self, address: IpAddr) -> Option<String> {
        // An IPv4 address that an IPv6 socket reports is the IPv4 address.
        let found = self.0.as_ref()?.lookup(address.to_canonical()).ok()?;
        let text = |path: [&str; 2], last: Option<&str>| -> Option<&str> {
            let path: Vec<_> = path.into_iter().chain(last).map(PathElement::Key).collect();
            found.decode_path(&path).ok()?
        };
        let city = text(["city", "names"], Some("en")).filter(|city| names_a_city(city))?;
        Some(match text(["country", "iso_code"], None) {
            Some(country) => format!("{city}, {country}"),
            None => city.to_owned(),
        })
    }
}

/// Whether a location, written as `city` or `city, country`, names its city. JavaScript writes an unknown city as `null`
/// or `undefined`; no city has such a name.
pub(crate) fn names_a_city(place: &str) -> bool {
    let city = place.split(',').next().unwrap_or_default().trim();
    !city.is_empty() && !["null", "undefined"].iter().any(|nothing| city.eq_ignore_ascii_case(nothing))
}

/// Without the file's megabytes.
impl fmt::Debug for GeoIp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.0.as_ref().map(|reader| reader.metadata().database_type.as_str());
        formatter.debug_tuple("GeoIp").field(&kind).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_city_that_reads_null_is_none() {
        for place in ["Porto, PT", "Porto", "Nullarbor, AU", "PT"] {
            assert!(names_a_city(place), "{place}");
        }
        for place in ["", " ", "null", "Null, PT", "null,null", ", PT", "undefined", "undefined, PT"] {
            assert!(!names_a_city(place), "{place}");
        }
    }

    #[test]
    fn without_a_file_every_location_is_unknown() {
        let geoip = GeoIp::open(None).unwrap_or_default();
        assert_eq!(geoip.of(IpAddr::from([192, 0, 2, 1])), None);
        assert_eq!(format!("{geoip:?}"), "GeoIp(None)");
    }
}

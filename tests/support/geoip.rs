//! A database of places, made for the tests.

use maxminddb_writer::Database;
use maxminddb_writer::metadata::IpVersion;
use maxminddb_writer::paths::IpAddrWithMask;
use serde_json::{Value, json};

/// The bytes of an `.mmdb` file of this type, with a value for each network. As in MaxMind's own, the tree is of
/// IPv6 addresses, and IPv4's are the first of them.
pub fn mmdb(kind: &str, networks: &[(&str, Value)]) -> Vec<u8> {
    let mut database = Database::default();
    database.metadata.ip_version = IpVersion::V6;
    database.metadata.database_type = kind.to_owned();
    database.metadata.binary_format_major_version = 2;
    for (network, value) in networks {
        let network: IpAddrWithMask = network.parse().expect("a network");
        let value = database.insert_value(value).expect("a value");
        database.insert_node(network, value);
    }
    database.write_to(Vec::new()).expect("memory takes everything")
}

/// Three towns on the networks that are reserved for documentation; of one the city is unknown.
pub fn cities() -> Vec<u8> {
    let place = |city: &str, country: &str| json!({ "city": { "names": { "en": city, "de": "anders" } }, "country": { "iso_code": country } });
    mmdb(
        "GeoLite2-City",
        &[
            ("::192.0.2.0/120", place("Porto", "PT")),
            ("::198.51.100.0/120", place("null", "FR")),
            ("::203.0.113.0/120", json!({ "country": { "iso_code": "GB" } })),
            ("2001:db8::/32", place("Ghent", "BE")),
        ],
    )
}

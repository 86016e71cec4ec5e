//! Which Region a queue is in, by its URL. Must not know the SDK, nor where this program runs.
//!
//! A trigger may send to a queue of another Region, and a consumer read one there. The queue's URL says where it is;
//! the id of a user pool does not, since a replica in another Region has the same id.

/// The ends of AWS's host names, for one IP version and for both ("Amazon SQS endpoints and quotas", AWS General
/// Reference, and the partitions of the SDK).
const AWS: [&str; 12] = [
    "amazonaws.com",
    "api.aws",
    "amazonaws.com.cn",
    "api.amazonwebservices.com.cn",
    "amazonaws.eu",
    "api.amazonwebservices.eu",
    "c2s.ic.gov",
    "sc2s.sgov.gov",
    "cloud.adc-e.uk",
    "csp.hci.ic.gov",
    "api.aws.ic.gov",
    "api.aws.scloud",
];

/// The Region that the URL names; `None` where it names none, as an emulator's does, or a domain of one's own.
#[must_use]
pub fn region(queue_url: &str) -> Option<String> {
    let (_, rest) = queue_url.split_once("://")?;
    // A host's name is the same in either case, and with the dot of the root behind it.
    let host = rest.split(['/', ':', '?', '#']).next()?.to_ascii_lowercase();
    let host = host.strip_suffix('.').unwrap_or(&host);
    let labels = AWS.iter().find_map(|end| host.strip_suffix(end)?.strip_suffix('.'))?;
    let region = match labels.split('.').collect::<Vec<_>>()[..] {
        ["sqs" | "sqs-fips", region] | [_, "sqs" | "sqs-fips", region, "vpce"] => region,
        // As queues were named before 2011, and in many a configuration still are.
        [region, "queue"] => region,
        ["queue"] => "us-east-1",
        _ => return None,
    };
    is_region(region).then(|| region.to_owned())
}

/// Whether this may be a Region's name, such as `us-gov-west-1`: words with hyphens between them, and a number.
fn is_region(text: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase());
    text.rsplit_once('-').is_some_and(|(words, number)| {
        words.contains('-')
            && words.split('-').all(is_word)
            && !number.is_empty()
            && number.chars().all(|c| c.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queues_region_is_what_its_url_says() {
        for (host, expected) in [
            ("sqs.eu-west-1.amazonaws.com", Some("eu-west-1")),
            ("sqs.us-gov-west-1.amazonaws.com", Some("us-gov-west-1")),
            ("sqs.ap-southeast-7.amazonaws.com:443", Some("ap-southeast-7")),
            ("sqs.eu-central-1.api.aws", Some("eu-central-1")),
            ("sqs-fips.us-east-2.amazonaws.com", Some("us-east-2")),
            ("sqs-fips.ca-west-1.api.aws", Some("ca-west-1")),
            ("sqs.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
            ("sqs.cn-northwest-1.api.amazonwebservices.com.cn", Some("cn-northwest-1")),
            ("sqs.eusc-de-east-1.amazonaws.eu", Some("eusc-de-east-1")),
            ("sqs.us-iso-east-1.c2s.ic.gov", Some("us-iso-east-1")),
            ("sqs.us-isob-east-1.sc2s.sgov.gov", Some("us-isob-east-1")),
            ("eu-west-1.queue.amazonaws.com", Some("eu-west-1")),
            ("cn-north-1.queue.amazonaws.com.cn", Some("cn-north-1")),
            ("queue.amazonaws.com", Some("us-east-1")),
            ("vpce-0a1b2c3d-4e5f6a7b.sqs.us-west-2.vpce.amazonaws.com", Some("us-west-2")),
            ("vpce-0a1b2c3d-4e5f6a7b.sqs-fips.us-east-1.vpce.amazonaws.com", Some("us-east-1")),
            ("vpce-0a1b2c3d-4e5f6a7b-us-west-2a.sqs.us-west-2.vpce.amazonaws.com", Some("us-west-2")),
            ("SQS.EU-West-1.AmazonAWS.com", Some("eu-west-1")),
            ("sqs.eu-west-1.amazonaws.com.", Some("eu-west-1")),
            ("sqs.eu-west-1.amazonaws.com.:443", Some("eu-west-1")),
            // These say nothing: the SDK's own Region stays.
            ("127.0.0.1:4566", None),
            ("localhost:4566", None),
            ("sqs.eu-west-1.localhost.localstack.cloud:4566", None),
            ("eu-west-1.queue.localhost.localstack.cloud:4566", None),
            ("queue.example.com", None),
            ("sqs.eu-west-1.amazonaws.com.example.com", None),
            ("sqs.eu-west-1.notamazonaws.com", None),
            ("sqs.amazonaws.com", None),
            ("sqs.region.amazonaws.com", None),
            ("sqs.eu-west-.amazonaws.com", None),
            ("sns.eu-west-1.amazonaws.com", None),
            ("amazonaws.com", None),
            ("sqs.eu-west-1.amazonaws.com..", None),
            (".", None),
            ("", None),
        ] {
            for url in [format!("https://{host}/111122223333/user-sync"), format!("http://{host}")] {
                assert_eq!(region(&url).as_deref(), expected, "{url}");
            }
        }
        for text in ["", "user-sync", "sqs.eu-west-1.amazonaws.com/1/q", "arn:aws:sqs:eu-west-1:1:q"] {
            assert_eq!(region(text), None, "{text:?}");
        }
    }
}

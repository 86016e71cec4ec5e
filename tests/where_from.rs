//! Where every login came from, on the whole way and on real parts: Runtime API, trigger, the queue of events, the records
//! function, the queue of records, the consumer, and the row.

use std::io::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cognito_user_sync_triggers::event::{Context, ContextEvent, Event, EventId, Occasion, Reporter};
use cognito_user_sync_triggers::timestamp::Timestamp;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use uuid::Uuid;

use crate::login_context::rust::login_context;
use crate::support::conformance::Adapter;
use crate::support::events::sub;
use crate::support::lambda_runtime_api::{Function, Invocation, LambdaRuntimeApi};
use crate::support::pool::TestPool;
use crate::support::{TestDatabase, binaries, deployment, eventually, geoip, take};

const LIMIT: Duration = Duration::from_secs(60);
const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                      Version/18.0 Mobile/15E148 Safari/604.1";
const WINDOWS: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 \
                       Safari/537.36";
/// What a backend's own calls of Cognito have.
const BACKEND: &str = "Boto3/1.44.5 md/Botocore#1.44.5 ua/2.1 os/linux#6.1 lang/python#3.12.1";

/// A deployment with a queue of records, its trigger, and a file of places.
struct Chain {
    database: TestDatabase,
    pool: String,
    client: String,
    queue_url: String,
    queue_arn: String,
    dlq_url: String,
    places: NamedTempFile,
    api: LambdaRuntimeApi,
    trigger: Function,
}

impl Chain {
    async fn start(pool: &str, client: &str) -> Self {
        let deployment = deployment().await;
        let sqs = deployment.client();
        let name = format!("contexts-{}", Uuid::now_v7().simple());
        let create = async |name: String| {
            let created = sqs.create_queue().queue_name(name).send().await.unwrap();
            created.queue_url.unwrap()
        };
        let (queue_url, dlq_url) = (create(name.clone()).await, create(format!("{name}-dlq")).await);
        let arn = QueueAttributeName::QueueArn;
        let asked = sqs.get_queue_attributes().queue_url(&queue_url).attribute_names(arn.clone());
        let queue_arn = asked.send().await.unwrap().attributes.unwrap()[&arn].clone();
        let places = NamedTempFile::new().unwrap();
        std::fs::write(places.path(), geoip::cities()).unwrap();
        let api = LambdaRuntimeApi::start().await;
        let trigger = Function::spawn(&binaries::trigger(), &api, &deployment.environment());
        api.wait_until_ready(LIMIT).await;
        let (pool, client) = (pool.to_owned(), client.to_owned());
        let database = TestDatabase::of(deployment).await;
        Self { database, pool, client, queue_url, queue_arn, dlq_url, places, api, trigger }
    }

    /// What the consumer has beside the deployment's own variables.
    fn environment(&self) -> Vec<(&str, &str)> {
        vec![
            ("USER_SYNC_CONTEXT_QUEUE_URL", &self.queue_url),
            ("USER_SYNC_CONTEXT_DLQ_URL", &self.dlq_url),
            ("USER_SYNC_GEOIP_FILE", Path::to_str(self.places.path()).unwrap()),
        ]
    }

    /// As Cognito calls the trigger; it gets its event back.
    async fn fires(&mut self, source: &str, attributes: &Value, metadata: Value) {
        let event = json!({
            "version": "1", "triggerSource": source, "region": "eu-west-1", "userPoolId": self.pool,
            "userName": attributes["sub"], "callerContext": { "awsSdkVersion": "x", "clientId": self.client },
            "request": { "userAttributes": attributes, "clientMetadata": metadata }, "response": {},
        });
        let invoked = self.api.invoke(event.to_string(), LIMIT).await;
        let Invocation::Response { body, .. } = invoked else { panic!("{invoked:?}") };
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), event);
        assert!(self.trigger.is_alive());
    }

    /// Puts messages on the queue of records.
    async fn record(&self, messages: &[String]) {
        for message in messages {
            let request = self.database.deployment.client().send_message().queue_url(&self.queue_url);
            request.message_body(message).send().await.unwrap();
        }
    }

    /// Lets a consumer work until both queues are empty.
    async fn consume(&self, adapter: Adapter) {
        let deployment = &self.database.deployment;
        let consumer = adapter.start(deployment, &self.environment()).await;
        consumer.drained(deployment).await;
        if adapter == Adapter::Lambda {
            // A mapping of its own: the function knows by the queue's ARN what it is handed.
            let api = LambdaRuntimeApi::start().await;
            let environment = [&deployment.environment()[..], &self.environment()].concat();
            let _function = Function::spawn(&binaries::consumer(), &api, &environment);
            let messages = take(deployment, &self.queue_url).await;
            let records = messages.iter().map(|message| {
                json!({
                    "messageId": message.message_id, "receiptHandle": message.receipt_handle, "body": message.body,
                    "attributes": { "ApproximateReceiveCount": "1" }, "messageAttributes": {},
                    "eventSource": "aws:sqs", "eventSourceARN": self.queue_arn, "awsRegion": "eu-west-1",
                })
            });
            let batch = json!({ "Records": records.collect::<Vec<_>>() }).to_string();
            let invoked = api.invoke(batch, LIMIT).await;
            let Invocation::Response { body, .. } = invoked else { panic!("{invoked:?}") };
            let answer: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(answer["batchItemFailures"], json!([]), "{answer}");
            for message in messages {
                let request = deployment.client().delete_message().queue_url(&self.queue_url);
                request.receipt_handle(message.receipt_handle.unwrap()).send().await.unwrap();
            }
        }
        eventually("the queue of records is drained", LIMIT, async || self.waiting().await == 0).await;
        consumer.end().await;
        assert_eq!(take(deployment, &self.dlq_url).await.len(), 0, "records are dead letters");
        assert_eq!(take(deployment, &deployment.dlq_url).await.len(), 0, "events are dead letters");
    }

    /// How much is on the queue of records, what is under way included.
    async fn waiting(&self) -> u32 {
        let client = self.database.deployment.client();
        let counts = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let asked = client.get_queue_attributes().queue_url(&self.queue_url);
        let asked = asked.set_attribute_names(Some(counts.to_vec())).send().await.unwrap();
        asked.attributes.unwrap().values().map(|count| count.parse::<u32>().unwrap()).sum()
    }

    async fn has(&self, user: Uuid, columns: &[(&str, Option<&str>)]) {
        for (column, expected) in columns {
            let found = self.database.column(user, column).await;
            assert_eq!(found.as_deref(), *expected, "{column} of {user}");
        }
    }

    /// Every column follows from the ledgers.
    async fn is_proven(&self) {
        let environment = [&self.database.deployment.environment()[..], &self.environment()].concat();
        let mut command = tokio::process::Command::new(binaries::user_sync());
        let output = command.args(["verify", "--json"]).env_clear().envs(environment).output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said["differences"], json!(0), "{said}");
    }
}

/// A user of the replaced backend: how they sign in, from where, and what the row shows of it.
struct Person {
    number: u128,
    address: (&'static str, &'static str),
    by_challenge: bool,
    ip: &'static str,
    user_agent: &'static str,
    device: &'static str,
    place: &'static str,
}

impl Person {
    fn attributes(&self) -> Value {
        let (name, address) = self.address;
        json!({
            "sub": sub(self.number), "cognito:user_status": "CONFIRMED", "name": "Some One",
            name: address, format!("{name}_verified"): "true",
        })
    }
}

const PEOPLE: [Person; 4] = [
    Person {
        number: 1,
        address: ("email", "one@example.com"),
        by_challenge: false,
        ip: "192.0.2.7",
        user_agent: IPHONE,
        device: "Mobile",
        place: "Porto, PT",
    },
    Person {
        number: 2,
        address: ("phone_number", "+12065550112"),
        by_challenge: false,
        ip: "2001:db8::7",
        user_agent: WINDOWS,
        device: "Desktop",
        place: "Ghent, BE",
    },
    Person {
        number: 3,
        address: ("email", "three@example.com"),
        by_challenge: true,
        ip: "2001:db8:1::9",
        user_agent: IPHONE,
        device: "Mobile",
        place: "Ghent, BE",
    },
    Person {
        number: 4,
        address: ("phone_number", "+12065550114"),
        by_challenge: true,
        ip: "192.0.2.8",
        user_agent: WINDOWS,
        device: "Desktop",
        place: "Porto, PT",
    },
];

/// The application's word for a login whose tokens were made just now, as the documents say.
fn word(chain: &Chain, person: &Person) -> String {
    let claims = json!({
        "sub": sub(person.number), "iss": format!("https://cognito-idp.eu-west-1.amazonaws.com/{}", chain.pool),
        "client_id": chain.client, "auth_time": Timestamp::now().unix_millis() / 1_000, "jti": Uuid::now_v7(),
    });
    let ip: IpAddr = person.ip.parse().unwrap();
    login_context(&claims, ip, Some(person.user_agent)).unwrap().to_string()
}

/// Its word for a sign-up.
fn sign_up(chain: &Chain, person: &Person) -> String {
    let data = Context {
        occasion: Occasion::SignUp,
        client_id: Some(chain.client.clone().into()),
        ip: Some(person.ip.into()),
        ..Context::by(Reporter::Application)
    };
    let id = EventId::of_record(Timestamp::now(), person.number);
    let user_pool_id = chain.pool.clone().into();
    Event::Context(ContextEvent { id, user_pool_id, sub: Some(sub(person.number)), data }).encode()
}

/// E-mail and phone, sign-up and login, by InitiateAuth and by an OTP's challenge.
#[tokio::test(flavor = "multi_thread")]
async fn the_four_flows_of_a_backend_end_in_a_row_that_says_where_from() {
    for adapter in Adapter::ALL {
        let mut chain = Chain::start("eu-west-1_Abc123Def", "4k2m8r1s7t0v9w3x5y6z1a2b3c").await;
        let mut late = Vec::new();
        for person in &PEOPLE {
            chain.fires("PostConfirmation_ConfirmSignUp", &person.attributes(), Value::Null).await;
            let of_sign_up = sign_up(&chain, person);
            // What a client says of itself, which the challenge's answer passes on, is not believed before the backend.
            let metadata = match person.by_challenge {
                true => json!({ "ip": "198.51.100.66", "device": "tablet", "location": "Nowhere" }),
                false => Value::Null,
            };
            chain.fires("PostAuthentication_Authentication", &person.attributes(), metadata).await;
            let of_login = word(&chain, person);
            match person.by_challenge {
                // Before there is a row; and again, since the backend had no answer.
                false => chain.record(&[of_login.clone(), of_sign_up, of_login]).await,
                true => late.extend([of_sign_up, of_login.clone(), of_login]),
            }
        }
        chain.consume(adapter).await;
        for person in PEOPLE.iter().filter(|person| person.by_challenge) {
            let own = [
                ("last_login_ip", Some("198.51.100.66")),
                ("last_login_device", Some("Tablet")),
                ("last_login_location", Some("Nowhere")),
                ("last_login_source", Some("client")),
                ("created_ip", None),
                ("login_count", Some("1")),
            ];
            chain.has(sub(person.number), &own).await;
        }
        // When there is one.
        chain.record(&late).await;
        chain.consume(adapter).await;
        for person in &PEOPLE {
            let (name, address) = person.address;
            let columns = [
                (name, Some(address)),
                ("login_count", Some("1")),
                ("last_login_ip", Some(person.ip)),
                ("last_login_device", Some(person.device)),
                ("last_login_location", Some(person.place)),
                ("last_login_source", Some("application")),
                ("last_login_client_id", Some(chain.client.as_str())),
                ("created_ip", Some(person.ip)),
                ("is_verified", Some("true")),
            ];
            chain.has(sub(person.number), &columns).await;
        }
        assert_eq!(chain.database.count("users").await, 4, "{adapter:?}");
        assert_eq!(chain.database.count("user_events").await, 8, "{adapter:?}");
        assert_eq!(chain.database.count("user_sync_contexts").await, 8, "{adapter:?}");
        chain.is_proven().await;
    }
}

/// What AWS recorded of a sign-in.
struct Seen {
    user: u128,
    at: Timestamp,
    ip: &'static str,
}

/// CloudTrail's record of a call, as EventBridge hands it over.
fn call(name: &str, client: &str, user_agent: &str, seen: &Seen, outcome: &Value) -> String {
    // Whole seconds.
    let at = format!("{}Z", &seen.at.to_string()[..19]);
    let mut detail = json!({
        "eventVersion": "1.11", "userIdentity": { "type": "Unknown", "principalId": "Anonymous" }, "eventTime": at,
        "eventSource": "cognito-idp.amazonaws.com", "eventName": name, "awsRegion": "eu-west-1",
        "sourceIPAddress": seen.ip, "userAgent": user_agent,
        "requestParameters": {
            "authFlow": "USER_PASSWORD_AUTH", "authParameters": "HIDDEN_DUE_TO_SECURITY_REASONS", "clientId": client,
        },
        "additionalEventData": { "sub": sub(seen.user) }, "requestID": Uuid::now_v7(), "eventID": Uuid::now_v7(),
        "readOnly": false, "eventType": "AwsApiCall", "managementEvent": true, "eventCategory": "Management",
    });
    detail.as_object_mut().unwrap().extend(outcome.as_object().unwrap().clone());
    json!({
        "version": "0", "id": Uuid::now_v7(), "detail-type": "AWS API Call via CloudTrail", "source": "aws.cognito-idp",
        "account": "111122223333", "time": at, "region": "eu-west-1", "resources": [], "detail": detail,
    })
    .to_string()
}

fn tokens() -> Value {
    json!({ "responseElements": { "challengeParameters": {}, "authenticationResult": {
        "accessToken": "HIDDEN_DUE_TO_SECURITY_REASONS", "expiresIn": 3600, "tokenType": "Bearer",
        "idToken": "HIDDEN_DUE_TO_SECURITY_REASONS", "refreshToken": "HIDDEN_DUE_TO_SECURITY_REASONS",
    } } })
}

/// A line of threat protection's log.
fn logged(pool: &str, client: &str, response: &str, seen: &Seen) -> String {
    let at = time::OffsetDateTime::from(seen.at);
    let month = &at.month().to_string()[..3];
    let weekday = &at.weekday().to_string()[..3];
    let (day, year) = (at.day(), at.year());
    let (hour, minute, second) = at.to_hms();
    let created = format!("{weekday} {month} {day:02} {hour:02}:{minute:02}:{second:02} UTC {year}");
    json!({
        "eventTimestamp": seen.at.unix_millis().to_string(), "eventSource": "USER_ACTIVITY", "logLevel": "INFO",
        "message": {
            "version": "1", "eventId": Uuid::now_v7(), "eventType": "SignIn", "userSub": sub(seen.user), "userName": "one",
            "userPoolId": pool, "clientId": client, "creationDate": created, "eventResponse": response,
            "riskLevel": "Low", "riskDecision": "NoRisk",
            "challenges": [{ "challengeName": "Password", "challengeResponse": if response == "Pass" { "Success" } else { "Failure" } }],
            "deviceName": "Chrome 142, Windows 10", "ipAddress": seen.ip, "requestId": Uuid::now_v7(), "idpName": "",
            "city": "Dublin", "country": "Ireland", "hasContextData": "true",
        },
        "logSourceId": { "userPoolId": pool },
    })
    .to_string()
}

/// A subscription's payload of these lines.
fn subscription(lines: &[String]) -> String {
    let events = lines.iter().map(|line| json!({ "id": "1", "timestamp": 1, "message": line }));
    let data = json!({
        "messageType": "DATA_MESSAGE", "owner": "111122223333", "logGroup": "group", "logStream": "stream",
        "subscriptionFilters": ["filter"], "logEvents": events.collect::<Vec<_>>(),
    });
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data.to_string().as_bytes()).unwrap();
    json!({ "awslogs": { "data": STANDARD.encode(encoder.finish().unwrap()) } }).to_string()
}

/// A batch of the event source mapping.
fn batch(events: &[String]) -> String {
    let record = |(number, event): (usize, &String)| {
        json!({
            "messageId": number.to_string(), "receiptHandle": "handle", "body": event, "attributes": {},
            "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:eu-west-1:111122223333:sign-in-records",
        })
    };
    json!({ "Records": events.iter().enumerate().map(record).collect::<Vec<_>>() }).to_string()
}

/// Logins by InitiateAuth without ClientMetadata; their records come minutes later, twice and shuffled.
#[tokio::test(flavor = "multi_thread")]
async fn what_aws_recorded_of_a_login_reaches_its_row_and_no_count() {
    let endpoint = crate::support::stack().await.sqs.endpoint().to_owned();
    let pool = TestPool::create(&endpoint).await;
    let created =
        pool.client.create_user_pool_client().user_pool_id(&pool.id).client_name("app").send().await;
    let client = created.unwrap().user_pool_client.unwrap().client_id.unwrap();
    let mut chain = Chain::start(&pool.id, &client).await;

    // 1: CloudTrail alone. 2: threat protection as well. 3: a backend's call. 4: nothing. 5: failures around it, too.
    let mut times = Vec::new();
    for number in 1..=5_u128 {
        let attributes = json!({
            "sub": sub(number), "cognito:user_status": "CONFIRMED", "email": format!("user{number}@example.com"),
        });
        let metadata = if number == 5 { json!({ "device": "tablet" }) } else { Value::Null };
        chain.fires("PostAuthentication_Authentication", &attributes, metadata).await;
        times.push(Timestamp::now());
    }
    chain.consume(Adapter::Worker).await;
    let nothing = [
        ("login_count", Some("1")),
        ("last_login_ip", None),
        ("last_login_location", None),
        ("last_login_client_id", Some(client.as_str())),
    ];
    for number in 1..=5 {
        chain.has(sub(number), &nothing).await;
    }
    let logins = "select to_jsonb(login) from (select id, login_count, last_login_at, last_login_id from users) as login order by id";
    let logins =
        async || -> Vec<Value> { sqlx::query_scalar(logins).fetch_all(&chain.database.owner).await.unwrap() };
    let before = logins().await;

    let seen = |user: u128, ip| Seen { user, at: times[usize::try_from(user).unwrap() - 1], ip };
    let refused =
        json!({ "errorCode": "NotAuthorizedException", "errorMessage": "Incorrect username or password." });
    let calls = [
        call("InitiateAuth", &client, IPHONE, &seen(1, "192.0.2.7"), &tokens()),
        call("InitiateAuth", &client, IPHONE, &seen(2, "192.0.2.8"), &tokens()),
        call("AdminInitiateAuth", &client, BACKEND, &seen(3, "198.51.100.1"), &tokens()),
        call("InitiateAuth", &client, WINDOWS, &seen(5, "192.0.2.9"), &tokens()),
        call("InitiateAuth", &client, WINDOWS, &seen(5, "203.0.113.9"), &refused),
    ];
    let lines = [
        logged(&pool.id, &client, "Pass", &seen(2, "2001:db8::2")),
        logged(&pool.id, &client, "Fail", &seen(5, "203.0.113.9")),
    ];
    let records_api = LambdaRuntimeApi::start().await;
    let deployment = &chain.database.deployment;
    let environment = [
        ("AWS_ENDPOINT_URL", deployment.endpoint.as_str()),
        ("USER_SYNC_CONTEXT_QUEUE_URL", &chain.queue_url),
        ("USER_SYNC_USER_POOL_ID", &pool.id),
        ("USER_SYNC_CONTEXT_CLIENTS", &client),
    ];
    let mut records = Function::spawn(&binaries::lifecycle(), &records_api, &environment);
    records_api.wait_until_ready(LIMIT).await;
    let mut random = fastrand::Rng::with_seed(7);
    // Each payload twice, and none in the order in which it happened.
    let mut payloads = vec![batch(&calls[..3]), batch(&calls[2..]), calls[0].clone()];
    payloads.extend([subscription(&lines), subscription(&lines[..1])]);
    payloads = [&payloads[..], &payloads].concat();
    random.shuffle(&mut payloads);
    for payload in payloads {
        let invoked = records_api.invoke(payload, LIMIT).await;
        let Invocation::Response { body, .. } = invoked else { panic!("{invoked:?}") };
        let answer: Value = serde_json::from_slice(&body).unwrap();
        assert!(answer.is_null() || answer["batchItemFailures"] == json!([]), "{answer}");
    }
    records.kill();
    let log = [records.stdout_lines(), records.stderr_lines()].concat();
    for private in ["192.0.2.7", "203.0.113.9", "2001:db8::2", "iPhone", "Dublin"] {
        assert!(!log.iter().any(|line| line.contains(private)), "{private} is in the log");
    }
    chain.consume(Adapter::Worker).await;

    let of = |ip, device, place, source| {
        [
            ("last_login_ip", ip),
            ("last_login_device", device),
            ("last_login_location", place),
            ("last_login_source", source),
            ("login_count", Some("1")),
        ]
    };
    let cloudtrail = of(Some("192.0.2.7"), Some("Mobile"), Some("Porto, PT"), Some("cloudtrail"));
    chain.has(sub(1), &cloudtrail).await;
    let place = Some("Dublin, Ireland");
    let threat_protection = of(Some("2001:db8::2"), Some("Desktop"), place, Some("threat_protection"));
    chain.has(sub(2), &threat_protection).await;
    chain.has(sub(3), &of(None, None, None, None)).await;
    chain.has(sub(4), &of(None, None, None, None)).await;
    // The address is CloudTrail's, and the device what the client said.
    chain.has(sub(5), &of(Some("192.0.2.9"), Some("Tablet"), Some("Porto, PT"), Some("cloudtrail"))).await;
    assert_eq!(logins().await, before);
    assert_eq!(chain.database.count("users").await, 5);
    assert_eq!(chain.database.count("user_events").await, 5);
    // Five successes, of which one is a witness; two failures.
    assert_eq!(chain.database.count("user_sync_contexts").await, 5);
    assert_eq!(chain.database.count("user_sync_contexts where is_witness").await, 1);
    assert_eq!(chain.database.count("user_sync_failures").await, 2);
    chain.is_proven().await;
}

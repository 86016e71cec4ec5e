//! A user pool on the emulator that fires PostAuthentication, which the emulator does not: a front that passes each call
//! on, and applies a login wherever a sign-in ends in tokens, as the triggers would have it applied. It answers for Lambda,
//! too, as far as a function's configuration is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_sdk_cognitoidentityprovider::types::{ExplicitAuthFlowsType, LambdaConfigType};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use cognito_user_sync::store::outcome::Outcome;
use cognito_user_sync_triggers::client_metadata::ClientMetadataKeys;
use cognito_user_sync_triggers::cognito::user_event;
use cognito_user_sync_triggers::event::{Event, EventId};
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::TestDatabase;
use super::pool::TestPool;

/// The trigger of the pool.
pub const TRIGGER: &str = "arn:aws:lambda:eu-west-1:111122223333:function:user-sync-trigger";

/// The pool, its app client, and the front on a loopback port.
pub struct SignInPool {
    pub pool: TestPool,
    pub client_id: String,
    /// Where programs find Cognito and Lambda.
    pub endpoint: String,
    front: Arc<Mutex<Front>>,
}

/// What the front knows, for tests to see and to change.
#[derive(Default)]
pub struct Front {
    /// The operations that were called, in their order.
    pub calls: Vec<String>,
    /// The function's variables; `None` is a role that may not read them.
    pub variables: Option<BTreeMap<&'static str, &'static str>>,
    /// These operations are refused.
    pub refused: BTreeSet<&'static str>,
    /// AdminCreateUser is not answered, and ends so much later, if ever.
    pub creates_after: Option<Duration>,
    /// Sign-ins by these flows fire nothing.
    pub silent: BTreeSet<&'static str>,
    /// Every password, token and session that was sent or answered.
    pub secrets: BTreeSet<String>,
    /// The test user's sub.
    pub sub: Option<String>,
}

struct Shared {
    database: Arc<TestDatabase>,
    emulator: String,
    user_pool_id: String,
    has_secret: bool,
    front: Arc<Mutex<Front>>,
}

impl SignInPool {
    /// One whose two triggers are ours, and whose client permits these flows.
    pub async fn start(database: &Arc<TestDatabase>, flows: &[&str], has_secret: bool) -> Self {
        let wired = LambdaConfigType::builder().post_confirmation(TRIGGER).post_authentication(TRIGGER);
        Self::wired(database, flows, has_secret, wired.build()).await
    }

    pub async fn wired(
        database: &Arc<TestDatabase>,
        flows: &[&str],
        has_secret: bool,
        wired: LambdaConfigType,
    ) -> Self {
        let emulator = database.deployment.endpoint.clone();
        let pool = TestPool::create(&emulator).await;
        pool.client.update_user_pool().user_pool_id(&pool.id).lambda_config(wired).send().await.unwrap();
        let flows = flows.iter().map(|flow| ExplicitAuthFlowsType::from(*flow)).collect();
        let client = pool.client.create_user_pool_client().user_pool_id(&pool.id).client_name("app");
        let client =
            client.generate_secret(has_secret).set_explicit_auth_flows(Some(flows)).send().await.unwrap();
        let client = client.user_pool_client.unwrap();
        let queue = BTreeMap::from([("USER_SYNC_QUEUE_URL", "https://sqs.example.com/1/queue")]);
        let mut front = Front { variables: Some(queue), ..Front::default() };
        front.secrets.extend(client.client_secret);
        let front = Arc::new(Mutex::new(front));
        let shared = Shared {
            database: Arc::clone(database),
            emulator: emulator.trim_start_matches("http://").to_owned(),
            user_pool_id: pool.id.clone(),
            has_secret,
            front: Arc::clone(&front),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(serve).with_state(Arc::new(shared));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { pool, client_id: client.client_id.unwrap(), endpoint, front }
    }

    pub fn front(&self) -> MutexGuard<'_, Front> {
        self.front.lock().unwrap()
    }
}

type Answer = (StatusCode, [(&'static str, &'static str); 1], String);

fn answer(status: StatusCode, body: &Value) -> Answer {
    (status, [("content-type", "application/x-amz-json-1.1")], body.to_string())
}

async fn serve(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Answer {
    let Some(target) = headers.get("x-amz-target") else { return shared.configuration(&method, &uri) };
    let operation = target.to_str().unwrap().rsplit('.').next().unwrap().to_owned();
    let mut request: Value = serde_json::from_str(&body).unwrap();
    let flow = request["AuthFlow"].as_str().map(str::to_owned);
    {
        let mut front = shared.front.lock().unwrap();
        front.calls.push(operation.clone());
        front.note(&request);
        if front.refused.contains(operation.as_str()) {
            let refusal = json!({ "__type": "AccessDeniedException", "message": "as asked" });
            return answer(StatusCode::BAD_REQUEST, &refusal);
        }
    }
    let creates_after = shared.front.lock().unwrap().creates_after;
    if let Some(after) = creates_after.filter(|_| operation == "AdminCreateUser") {
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            shared.pass_on(&headers, &body).await;
        });
        return answer(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "__type": "InternalErrorException" }));
    }
    shared.check_secret(&request);
    // The emulator does not know this flow; the password decides all the same.
    if flow.as_deref() == Some("USER_AUTH") {
        assert_eq!(request["AuthParameters"]["PREFERRED_CHALLENGE"], "PASSWORD");
        request["AuthFlow"] = "USER_PASSWORD_AUTH".into();
    }
    let (status, answered) = shared.pass_on(&headers, &request.to_string()).await;
    let is_silent = {
        let mut front = shared.front.lock().unwrap();
        front.note(&answered);
        if operation == "AdminCreateUser" {
            let attributes = answered["User"]["Attributes"].as_array().unwrap();
            let sub = attributes.iter().find(|attribute| attribute["Name"] == "sub").unwrap();
            front.sub = Some(sub["Value"].as_str().unwrap().to_owned());
        }
        flow.as_deref().is_some_and(|flow| front.silent.contains(flow))
    };
    let is_refresh =
        operation == "GetTokensFromRefreshToken" || flow.as_deref() == Some("REFRESH_TOKEN_AUTH");
    if answered["AuthenticationResult"].is_object() && !is_refresh && !is_silent {
        shared.fire().await;
    }
    answer(status, &answered)
}

impl Shared {
    /// What Lambda says of the trigger.
    fn configuration(&self, method: &Method, uri: &Uri) -> Answer {
        assert!(*method == Method::GET && uri.path().ends_with("/configuration"), "{method} {uri}");
        let mut front = self.front.lock().unwrap();
        front.calls.push("GetFunctionConfiguration".to_owned());
        match &front.variables {
            Some(variables) => answer(StatusCode::OK, &json!({ "Environment": { "Variables": variables } })),
            None => answer(StatusCode::FORBIDDEN, &json!({ "__type": "AccessDeniedException" })),
        }
    }

    /// The emulator does not ask for the hash of a client's secret.
    fn check_secret(&self, request: &Value) {
        for parameters in [&request["AuthParameters"], &request["ChallengeResponses"]] {
            assert_eq!(
                parameters.is_object() && self.has_secret,
                parameters["SECRET_HASH"].is_string(),
                "{request}"
            );
        }
    }

    async fn pass_on(&self, headers: &HeaderMap, body: &str) -> (StatusCode, Value) {
        let mut head = format!("POST / HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.emulator);
        for name in ["x-amz-target", "content-type", "authorization", "x-amz-date"] {
            if let Some(value) = headers.get(name) {
                head += &format!("{name}: {}\r\n", value.to_str().unwrap());
            }
        }
        let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
        let mut stream = TcpStream::connect(&self.emulator).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answered = String::new();
        stream.read_to_string(&mut answered).await.unwrap();
        let (head, body) = answered.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (StatusCode::from_u16(status).unwrap(), serde_json::from_str(body).unwrap_or(Value::Null))
    }

    /// What Cognito hands to PostAuthentication, read by the trigger and applied by the consumer.
    async fn fire(&self) {
        let sub = self.front.lock().unwrap().sub.clone().unwrap();
        let payload = json!({
            "version": "1", "triggerSource": "PostAuthentication_Authentication", "region": "eu-west-1",
            "userPoolId": self.user_pool_id, "userName": sub, "callerContext": { "clientId": "client" },
            "request": { "userAttributes": { "sub": sub, "cognito:user_status": "CONFIRMED" }, "newDeviceUsed": false },
            "response": {},
        });
        let id = EventId::new(Timestamp::now());
        let event = user_event(&payload.to_string(), &ClientMetadataKeys::default(), id).unwrap();
        assert_eq!(self.database.apply(&[Event::User(event)]).await, [Outcome::Applied]);
    }
}

impl Front {
    /// Notes what nobody may see of a request or an answer.
    fn note(&mut self, value: &Value) {
        const NAMES: [&str; 9] = [
            "PASSWORD",
            "NEW_PASSWORD",
            "SECRET_HASH",
            "REFRESH_TOKEN",
            "TemporaryPassword",
            "AccessToken",
            "IdToken",
            "RefreshToken",
            "Session",
        ];
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    match member.as_str() {
                        Some(text) if NAMES.contains(&name.as_str()) || name == "Password" => {
                            self.secrets.insert(text.to_owned());
                        }
                        _ => self.note(member),
                    }
                }
            }
            Value::Array(members) => members.iter().for_each(|member| self.note(member)),
            _ => {}
        }
    }
}

//! A user pool with one user, whose answers lag behind a change: it answers as Cognito's API does, but for as long as
//! it is told to, AdminGetUser says what was before.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

/// What the pool knows, for tests to see and to change.
pub struct Pool {
    pub sub: Uuid,
    /// The attributes, and UserLastModifiedDate in seconds.
    pub now: (Value, Option<f64>),
    /// The same before the change.
    pub before: (Value, Option<f64>),
    /// So many answers of AdminGetUser are of before.
    pub stale: u32,
    /// The groups, all with this user: whether ListGroups knows them, and whether ListUsersInGroup does.
    pub groups: BTreeMap<&'static str, (bool, bool)>,
    /// Whether the role may not list groups.
    pub denied: bool,
    /// How often AdminGetUser was asked for a user that there is.
    pub asked: u32,
}

/// The API, on a loopback port; it ends with the runtime.
pub struct StalePool {
    pub endpoint: String,
    shared: Arc<Mutex<Pool>>,
}

impl StalePool {
    /// Where programs find it, beside the endpoint of everything else.
    pub const VARIABLE: &str = "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER";

    /// One whose user lost a phone number at `changed_at`, which so many answers do not know yet.
    pub async fn without_phone_since(changed_at: Timestamp, stale: u32) -> Self {
        let seconds = |at: u64| Some(f64::from(u32::try_from(at / 1_000).unwrap()));
        let at = changed_at.unix_millis();
        Self::start(Pool {
            sub: Uuid::now_v7(),
            now: (json!({ "name": "Ada" }), seconds(at)),
            before: (json!({ "name": "Ada", "phone_number": "+12025550123" }), seconds(at - 86_400_000)),
            stale,
            groups: BTreeMap::new(),
            denied: false,
            asked: 0,
        })
        .await
    }

    pub async fn start(pool: Pool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Mutex::new(pool));
        let router = Router::new().fallback(serve).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { endpoint, shared }
    }

    pub fn pool(&self) -> MutexGuard<'_, Pool> {
        self.shared.lock().unwrap()
    }
}

type Answer = (StatusCode, [(&'static str, &'static str); 1], String);

async fn serve(State(shared): State<Arc<Mutex<Pool>>>, headers: HeaderMap, body: String) -> Answer {
    let request: Value = serde_json::from_str(&body).unwrap();
    let target = headers["x-amz-target"].to_str().unwrap();
    let mut pool = shared.lock().unwrap();
    let listed = json!({ "Users": [pool.user(&pool.now, "Attributes")] });
    let refusal = |code: &str| (StatusCode::BAD_REQUEST, json!({ "__type": code, "message": "as asked" }));
    let (status, answer) = match target.rsplit('.').next() {
        Some("ListUsers") => (StatusCode::OK, listed),
        Some("AdminGetUser") if request["Username"] == "only" => (StatusCode::OK, pool.get()),
        Some("AdminGetUser") => refusal("UserNotFoundException"),
        Some("DescribeUserPool") => (StatusCode::OK, json!({ "UserPool": { "EstimatedNumberOfUsers": 1 } })),
        Some("ListGroups" | "ListUsersInGroup") if pool.denied => refusal("AccessDeniedException"),
        Some("ListGroups") => {
            let listed = pool.groups.iter().filter(|(_, (is_listed, _))| *is_listed);
            let listed: Vec<Value> = listed.map(|(name, _)| json!({ "GroupName": name })).collect();
            (StatusCode::OK, json!({ "Groups": listed }))
        }
        Some("ListUsersInGroup") => match pool.groups.get(request["GroupName"].as_str().unwrap()) {
            Some((_, true)) => (StatusCode::OK, listed),
            _ => refusal("ResourceNotFoundException"),
        },
        _ => panic!("{target} is not asked"),
    };
    (status, [("content-type", "application/x-amz-json-1.1")], answer.to_string())
}

impl Pool {
    fn user(&self, (known, modified_at): &(Value, Option<f64>), attributes: &str) -> Value {
        let mut listed = vec![json!({ "Name": "sub", "Value": self.sub })];
        let known = known.as_object().unwrap().iter();
        listed.extend(known.map(|(name, value)| json!({ "Name": name, "Value": value })));
        json!({
            "Username": "only", "Enabled": true, "UserStatus": "CONFIRMED", attributes: listed,
            "UserCreateDate": 1_700_000_000, "UserLastModifiedDate": modified_at,
        })
    }

    fn get(&mut self) -> Value {
        self.asked += 1;
        let known = if self.stale > 0 { &self.before } else { &self.now };
        let answer = self.user(known, "UserAttributes");
        self.stale = self.stale.saturating_sub(1);
        answer
    }
}

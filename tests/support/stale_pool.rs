//! A user pool with one user, whose lists lag behind: it answers as Cognito's API does, but for as long as it is told to,
//! ListUsers says what was before, or does not know the user.

use std::collections::{BTreeMap, VecDeque};
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
    /// UserStatus.
    pub status: &'static str,
    /// So many answers to a question for the user are of before.
    pub stale: u32,
    /// So many pages of all users are of before.
    pub stale_pages: u32,
    /// Whether the user is on the pages of all users.
    pub is_listed: bool,
    /// Whether the next questions find the user; later ones do.
    pub finds: VecDeque<bool>,
    /// The groups, all with this user: whether ListGroups knows them, and whether ListUsersInGroup does.
    pub groups: BTreeMap<&'static str, (bool, bool)>,
    /// Whether the role may not list groups.
    pub denied: bool,
    /// How often a question was asked for the user.
    pub asked: u32,
    /// How often AdminGetUser was asked.
    pub admin_asked: u32,
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
            status: "CONFIRMED",
            stale,
            stale_pages: 0,
            is_listed: true,
            finds: VecDeque::new(),
            groups: BTreeMap::new(),
            denied: false,
            asked: 0,
            admin_asked: 0,
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

    /// How often it was asked for the user by ListUsers, and by AdminGetUser.
    pub fn counted(&self) -> (u32, u32) {
        let pool = self.pool();
        (pool.asked, pool.admin_asked)
    }
}

type Answer = (StatusCode, [(&'static str, &'static str); 1], String);

async fn serve(State(shared): State<Arc<Mutex<Pool>>>, headers: HeaderMap, body: String) -> Answer {
    let request: Value = serde_json::from_str(&body).unwrap();
    let target = headers["x-amz-target"].to_str().unwrap();
    let mut pool = shared.lock().unwrap();
    let members = json!({ "Users": [pool.user(&pool.now, "Attributes")] });
    let refusal = |code: &str| (StatusCode::BAD_REQUEST, json!({ "__type": code, "message": "as asked" }));
    let (status, answer) = match target.rsplit('.').next() {
        Some("ListUsers") => (StatusCode::OK, json!({ "Users": pool.list(request["Filter"].as_str()) })),
        Some("AdminGetUser") => {
            pool.admin_asked += 1;
            (StatusCode::OK, pool.user(&pool.now, "UserAttributes"))
        }
        Some("DescribeUserPool") => (StatusCode::OK, json!({ "UserPool": { "EstimatedNumberOfUsers": 1 } })),
        Some("ListGroups" | "ListUsersInGroup") if pool.denied => refusal("AccessDeniedException"),
        Some("ListGroups") => {
            let listed = pool.groups.iter().filter(|(_, (is_listed, _))| *is_listed);
            let listed: Vec<Value> = listed.map(|(name, _)| json!({ "GroupName": name })).collect();
            (StatusCode::OK, json!({ "Groups": listed }))
        }
        Some("ListUsersInGroup") => match pool.groups.get(request["GroupName"].as_str().unwrap()) {
            Some((_, true)) => (StatusCode::OK, members),
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
            "Username": "only", "Enabled": true, "UserStatus": self.status, attributes: listed,
            "UserCreateDate": 1_700_000_000, "UserLastModifiedDate": modified_at,
        })
    }

    /// A page of all users, or the answer to a question for one.
    fn list(&mut self, filter: Option<&str>) -> Vec<Value> {
        let Some(filter) = filter else {
            let known = if self.stale_pages > 0 { &self.before } else { &self.now };
            let page = self.is_listed.then(|| self.user(known, "Attributes"));
            self.stale_pages = self.stale_pages.saturating_sub(1);
            return page.into_iter().collect();
        };
        let is_for_it = filter == format!("sub = \"{}\"", self.sub) || filter == "username = \"only\"";
        self.asked += u32::from(is_for_it);
        if !is_for_it || !self.finds.pop_front().unwrap_or(true) {
            return Vec::new();
        }
        let known = if self.stale > 0 { &self.before } else { &self.now };
        let answer = self.user(known, "Attributes");
        self.stale = self.stale.saturating_sub(1);
        vec![answer]
    }
}

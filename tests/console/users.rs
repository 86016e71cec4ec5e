//! Users: what is found and listed, what a page explains, and that nothing personal is shown before it is revealed.

use cognito_user_sync::config::DatabaseConfig;
use cognito_user_sync::postgres;
use cognito_user_sync::store::maintenance::erase::erase;
use cognito_user_sync::store::outcome::Outcome;
use cognito_user_sync_triggers::event::{
    Context, ContextEvent, Event, EventId, GroupChange, Kind, Occasion, Reporter,
};
use cognito_user_sync_triggers::timestamp::Timestamp;

use crate::support::TestDatabase;
use crate::support::console::Console;
use crate::support::events::{at, confirmed, event, group, login, sub};

/// What of a person must be nowhere on a page that is masked.
const PERSONAL: [&str; 11] = [
    "Ada Okafor",
    "Okafor",
    "ada@example.com",
    "ada.new@example.com",
    "+442079460000",
    "1990-12-10",
    "Lagos",
    "198.51.100.7",
    "ada-the-first",
    "Africa/Lagos",
    "Countess",
];

/// A person with values in every place.
fn person(user: u128) -> Vec<Event<'static>> {
    let told = |event: crate::support::events::EventBuilder, email: &str| {
        event
            .email(email)
            .attributes(&[
                ("name", "Ada Okafor"),
                ("given_name", "Ada"),
                ("family_name", "Okafor"),
                ("phone_number", "+442079460000"),
                ("phone_number_verified", "true"),
                ("birthdate", "1990-12-10"),
                ("zoneinfo", "Africa/Lagos"),
                ("custom:title", "Countess"),
            ])
            .with(|data| {
                data.user_name = Some("ada-the-first".into());
                data.client_id = Some("7h2k9d0v3m1x8c5b2n4a6s8ee1".into());
                data.client.ip = Some("198.51.100.7".into());
                data.client.device = Some("Mobile".into());
                data.client.location = Some("Lagos".into());
            })
            .build()
    };
    vec![
        told(confirmed(user, at(0)), "ada@example.com"),
        told(login(user, at(60)), "ada@example.com"),
        told(login(user, at(120)), "ada.new@example.com"),
    ]
}

async fn filled(events: &[Event<'static>]) -> TestDatabase {
    let database = TestDatabase::create().await;
    assert!(database.apply(events).await.iter().all(|outcome| *outcome == Outcome::Applied));
    database
}

fn page_of(user: u128) -> String {
    format!("/users/{}", sub(user))
}

/// What was done here, the oldest first.
async fn trail(database: &TestDatabase) -> Vec<(String, Option<String>, Option<String>)> {
    let query = "select did, what, reason from user_sync_console_trail where did <> 'signed_in' order by id";
    sqlx::query_as(query).fetch_all(&database.owner).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_personal_is_on_a_page_before_it_is_revealed() {
    let mut events = person(1);
    events.push(Event::Group(group("staff", GroupChange::Joined(sub(1)), at(30))));
    let database = filled(&events).await;
    let console = Console::start(&database.deployment, &["--allow", "reveal"]).await;
    let list = console.get("/users").await;
    list.says(&sub(1).to_string()).says("staff").says("e-mail ✓").says("Confirmed");
    let page = console.get(&page_of(1)).await;
    assert_eq!(page.status, 200);
    page.says("Personal data is masked").says("phone_number").says("The row is what its 4 events say");
    page.says("Signed in").says("Mobile").says("client 7h2k…e1").says("custom:title").says("sign-in 2");
    let changes = console.get(&format!("{}?show=changes", page_of(1))).await;
    for value in PERSONAL {
        list.never_says(value);
        page.never_says(value);
        changes.never_says(value);
    }
    assert!(!console.stderr().contains(&sub(1).to_string()), "no sub is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_revealed_for_a_reason_that_is_written_down_first() {
    let database =
        filled(&[person(1), vec![confirmed(2, at(0)).email("b@example.com").build()]].concat()).await;
    let console = Console::start(&database.deployment, &["--allow", "reveal"]).await;
    let reveal = format!("{}/reveal", page_of(1));

    let without = console.post(&reveal, &[("reason", "  ")]).await;
    assert_eq!(without.status, 400);
    without.says("A reason is needed").never_says("Ada Okafor");
    assert_eq!(trail(&database).await, []);

    let revealed = console.post(&reveal, &[("reason", "ticket 882")]).await;
    assert_eq!((revealed.status, revealed.location()), (303, page_of(1).as_str()));
    let of_whom = Some(sub(1).to_string());
    assert_eq!(
        trail(&database).await,
        [("revealed".to_owned(), of_whom.clone(), Some("ticket 882".to_owned()))]
    );
    let page = console.get(&page_of(1)).await;
    page.says("Personal data is shown").says("Mask again");
    for value in PERSONAL {
        page.says(value);
    }
    // What changed, from what to what.
    page.says("<bdi>ada@example.com</bdi> → <bdi>ada.new@example.com</bdi>");
    console.get(&page_of(2)).await.says("Personal data is masked").never_says("b@example.com");

    let masked = console.post(&reveal, &[("mask", "yes")]).await;
    assert_eq!(masked.status, 303);
    console.get(&page_of(1)).await.says("Personal data is masked").never_says("Ada Okafor");
    assert_eq!(trail(&database).await.last(), Some(&("masked".to_owned(), of_whom, None)));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_reveal_is_refused_and_that_is_written_down() {
    let database = filled(&person(1)).await;
    let console = Console::start(&database.deployment, &[]).await;
    console.get(&page_of(1)).await.says("which you have not");
    let answer = console.post(&format!("{}/reveal", page_of(1)), &[("reason", "curious")]).await;
    assert_eq!(answer.status, 403);
    console.get(&page_of(1)).await.says("Personal data is masked").never_says("Ada Okafor");
    assert_eq!(trail(&database).await, [("refused".to_owned(), Some(sub(1).to_string()), None)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_revealed_or_found_where_it_cannot_be_written_down() {
    let database = filled(&person(1)).await;
    let console = Console::start(&database.deployment, &["--allow", "reveal"]).await;
    let rename = "alter table user_sync_console_trail rename to user_sync_console_trail_away";
    sqlx::raw_sql(rename).execute(&database.owner).await.unwrap();
    let answer = console.post(&format!("{}/reveal", page_of(1)), &[("reason", "ticket 882")]).await;
    assert_eq!((answer.status, answer.header("set-cookie")), (503, None));
    console.get(&page_of(1)).await.says("Personal data is masked").never_says("Ada Okafor");
    let found = console.post("/users/find", &[("text", "ada@example.com")]).await;
    assert_eq!((found.status, found.header("location")), (503, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_found_by_what_people_know() {
    let database = filled(
        &[
            person(1),
            vec![
                confirmed(2, at(0)).attributes(&[("name", "Adam Smith")]).build(),
                confirmed(3, at(0)).attributes(&[("name", "100% _\\Zoë")]).build(),
            ],
        ]
        .concat(),
    )
    .await;
    let console = Console::start(&database.deployment, &[]).await;
    let find = async |text: &str| console.post("/users/find", &[("text", text)]).await;
    let one = sub(1).to_string();
    for text in [
        one.as_str(),
        &one.to_uppercase(),
        " Ada.New@Example.com ",
        "ada@example.com",
        "+44 20 7946-0000",
        "ADA-the-first",
        "ada ok",
        "Ada Okafor",
    ] {
        let found = find(text).await;
        assert_eq!((found.status, found.header("location")), (303, Some(page_of(1).as_str())), "{text}");
    }
    assert_eq!(find("100% _\\zO").await.location(), page_of(3));
    let several = find("ada").await;
    assert_eq!(several.status, 200);
    several.says("2 users").says(&one).says(&sub(2).to_string()).never_says("Okafor").never_says("Adam");
    for text in
        ["nobody@example.com", "'; drop table users; --", "\" or 1=1", "%", "_", "a\0b", "x' or 'a'='a"]
    {
        let none = find(text).await;
        assert_eq!(none.status, 200, "{text}");
        none.says("What was compared").never_says("drop table").never_says("nobody@example.com");
    }
    find("nobody@example.com").await.says("Nobody has that e-mail address.");
    find("").await.says("Nothing was typed");
    assert_eq!(find(&"x".repeat(301)).await.status, 400);
    assert_eq!(database.count("users").await, 3);
    let said = console.stderr();
    assert!(!said.contains("nobody@example.com") && !said.contains("drop table"), "{said}");
    let (did, what, _) = trail(&database).await.remove(2);
    assert_eq!((did.as_str(), what.unwrap().contains("example")), ("searched", false));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_chose_acts_nowhere_on_a_page() {
    let evil = "</bdi><script>alert(1)</script>\u{202e}\u{200b}\"'><img src=x onerror=alert(1)>";
    let names = [
        "name",
        "given_name",
        "family_name",
        "birthdate",
        "zoneinfo",
        "locale",
        "picture",
        "gender",
        "phone_number",
        "custom:<b>evil",
        "email",
    ];
    let attributes: Vec<_> = names.iter().map(|name| (*name, evil)).collect();
    let evil_event = |event: crate::support::events::EventBuilder| {
        event.attributes(&attributes).with(|data| {
            data.user_name = Some(evil.to_owned().into());
            data.client_id = Some(evil.to_owned().into());
            data.status = Some(evil.to_owned().into());
            data.client.device = Some(evil.to_owned().into());
            data.client.location = Some(evil.to_owned().into());
            data.client.ip = Some(evil.to_owned().into());
        })
    };
    let database = filled(&[
        evil_event(confirmed(1, at(0))).pool("eu-west-1_<b>evil").build(),
        evil_event(login(1, at(10))).build(),
        Event::Group(group("<script>\u{202e}group", GroupChange::Joined(sub(1)), at(5))),
    ])
    .await;
    let console = Console::start(&database.deployment, &["--allow", "reveal"]).await;
    console.post(&format!("{}/reveal", page_of(1)), &[("reason", evil)]).await;
    let pages = [
        "/users".to_owned(),
        page_of(1),
        "/users?group=%3Cscript%3E%E2%80%AEgroup".to_owned(),
        "/users?pool=%22%3E%3Cscript%3E&status=confirmed".to_owned(),
    ];
    for path in pages {
        let page = console.get(&path).await;
        assert_eq!(page.status, 200, "{path}");
        // What a form sends back is the value itself; nobody sees it.
        let mut parts = page.body.split(" value=\"");
        let first = parts.next().unwrap().to_owned();
        let seen = first + &parts.map(|part| part.split_once('"').unwrap().1).collect::<String>();
        for acts in ["\u{202e}", "\u{200b}"] {
            assert!(!seen.contains(acts), "{acts:?} in {path}: {seen}");
        }
        for raw in ["<script>alert", "<script>\u{202e}", "<img src=x", "<b>evil", "\"><script"] {
            assert!(!page.body.contains(raw), "{raw:?} in {path}: {}", page.body);
        }
    }
    console.get(&page_of(1)).await.says("U+202E");
    let several = console.post("/users/find", &[("text", evil)]).await;
    assert!(matches!(several.status, 200 | 303), "{several:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_shows_who_is_meant_a_page_at_a_time() {
    let mut events: Vec<Event<'static>> = Vec::new();
    for user in 0..60 {
        let pool = if user % 2 == 0 { "eu-west-1_Test00000" } else { "eu-west-1_Test00001" };
        events.push(confirmed(user, at(u64::try_from(user).unwrap())).pool(pool).build());
    }
    // Four of them sign in; one of them twice.
    for (user, seconds) in [(3, 100), (5, 110), (7, 120), (5, 130)] {
        events.push(login(user, at(seconds)).pool("eu-west-1_Test00001").build());
    }
    let disabled = event(Kind::Snapshot, 9, at(200)).with(|data| data.enabled = Some(false)).build();
    events.extend([disabled, event(Kind::Deleted, 11, at(210)).build()]);
    events.extend((20..50).map(|user| Event::Group(group("beta", GroupChange::Joined(sub(user)), at(20)))));
    events.push(Event::Group(group("beta", GroupChange::Left(sub(20)), at(40))));
    let database = filled(&events).await;
    let console = Console::start(&database.deployment, &[]).await;
    let listed = async |path: &str| {
        let page = console.get(path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.body);
        let subs = page.body.split("href=\"/users/").skip(1).map(|rest| rest[..36].to_owned());
        let next = page.body.split("href=\"/users?").skip(1).find(|rest| rest.contains("Next 25"));
        let next = next.map(|rest| {
            format!("/users?{}", rest.split('"').next().unwrap().replace("&amp;", "&").replace("&#38;", "&"))
        });
        (subs.collect::<Vec<_>>(), next, page)
    };
    let all = async |path: &str| {
        let (mut subs, mut next, _) = listed(path).await;
        while let Some(path) = next {
            let (more, after, _) = listed(&path).await;
            subs.extend(more);
            next = after;
        }
        subs
    };
    let subs = |users: &[u128]| users.iter().map(|user| sub(*user).to_string()).collect::<Vec<_>>();
    let (first, next, page) = listed("/users").await;
    page.says("60 users").says("Latest sign-in first").says("beta").says("eu-west-1_Test00000");
    assert_eq!((first, next.is_some()), (subs(&[5, 7, 3]), false), "who signed in");
    assert_eq!(all("/users?seen=30d").await, subs(&[5, 7, 3]));
    assert_eq!(all("/users?status=disabled").await, subs(&[9]));
    assert_eq!(all("/users?status=deleted").await, subs(&[11]));
    assert_eq!(all("/users?status=confirmed&pool=eu-west-1_Test00001&seen=7d").await, subs(&[5, 7, 3]));
    let never = all("/users?seen=never").await;
    assert_eq!((never.len(), never.first()), (57, Some(&sub(59).to_string())), "newest first");
    assert_eq!(all("/users?seen=over-90d").await, subs(&[]));
    let mut members = (21..50).map(sub).collect::<Vec<_>>();
    members.sort();
    let members: Vec<String> = members.iter().map(ToString::to_string).collect();
    assert_eq!(all("/users?group=beta").await, members);
    for path in
        ["/users?status=nonsense", "/users?seen=x", "/users?after=x", "/users?after=9999999999999999999999.x"]
    {
        assert_eq!(console.get(path).await.status, 400, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeline_goes_back_to_the_first_event() {
    let mut events: Vec<Event<'static>> = vec![confirmed(1, at(0)).email("ada@example.com").build()];
    events.extend((1..120).map(|n| login(1, at(n * 60)).email("ada@example.com").build()));
    let database = filled(&events).await;
    let (mut seen, mut path) = (0, page_of(1));
    let console = Console::start(&database.deployment, &[]).await;
    loop {
        let page = console.get(&path).await;
        seen += page.body.matches("<li id=\"e-").count();
        let older = page.body.split("<a href=\"").find(|rest| rest.contains("Older →"));
        let Some(older) = older else { break };
        path = older.split('"').next().unwrap().replace("&#38;", "&");
    }
    assert_eq!(seen, 120);
    let page = console.get(&format!("{}?show=sign-ins", page_of(1))).await;
    page.says("All 120").says("Sign-ins 119").says("Changes 1").says("Trouble 120").says("sign-in 119");
    assert_eq!(console.get(&format!("{}?show=x", page_of(1))).await.status, 400);
    assert_eq!(console.get(&format!("{}?before=x", page_of(1))).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sub_without_a_row_has_a_page_and_an_unknown_one_has_none() {
    let data = Context {
        reported_by: Reporter::CloudTrail,
        occasion: Occasion::SignIn,
        witness: false,
        client_id: None,
        ip: Some("198.51.100.7".into()),
        user_agent: None,
        device: None,
        city: None,
        country: None,
        flow: None,
        risk: None,
    };
    let seen = ContextEvent {
        id: EventId::new(at(5)),
        user_pool_id: "eu-west-1_Test00000".into(),
        sub: Some(sub(7)),
        data,
    };
    let mut events = person(1);
    events.push(Event::Context(seen));
    let database = filled(&events).await;
    let console = Console::start(&database.deployment, &[]).await;
    let page = console.get(&page_of(7)).await;
    page.says("There is no row of this user").says("CloudTrail").never_says("198.51.100.7");
    let found = console.post("/users/find", &[("text", &sub(7).to_string())]).await;
    assert_eq!(found.location(), page_of(7));
    for unknown in [page_of(8), "/users/none".to_owned()] {
        assert_eq!(console.get(&unknown).await.status, 404, "{unknown}");
    }
    let config = DatabaseConfig::with_url(&database.deployment.operator_url);
    let operator = postgres::connect(&config, 2).await.unwrap();
    erase(&operator, sub(1), false).await.unwrap();
    let page = console.get(&page_of(1)).await;
    page.says("The person was erased").says("Erased").says("Signed in");
    assert!(PERSONAL.iter().all(|value| !page.body.contains(value)), "{}", page.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_says_why_a_value_is_not_the_pools() {
    let address = |user, seconds, verified: &'static str| {
        confirmed(user, at(seconds))
            .attributes(&[("email", "shared@example.com"), ("email_verified", verified)])
            .build()
    };
    let late = login(1, Timestamp::from_unix_millis(Timestamp::now().unix_millis() - 60 * 3_600_000));
    let database = filled(&[address(1, 0, "true"), address(2, 10, "false")]).await;
    database.apply(&[late.build()]).await;
    let edit = "update users set timezone = 'Europe/Vienna' where id = $1";
    sqlx::query(edit).bind(sub(1)).execute(&database.owner).await.unwrap();
    let console = Console::start(&database.deployment, &[]).await;
    let page = console.get(&page_of(2)).await;
    page.says("<strong>Contested.</strong>").says(&page_of(1)).never_says("shared@example.com");
    let page = console.get(&page_of(1)).await;
    page.says("This user owns it").says("user-sync release").says("Edited by your application").says(" late");
    page.says("a later event had been applied already").never_says("Vienna");
}

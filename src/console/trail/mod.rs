//! What was done here: who did what, when and why, refusals too. Must not change anything.

use askama::Template;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use uuid::Uuid;

use crate::console::access::Visitor;
use crate::console::page::{Answer, Frame, Page, Section};
use crate::console::trouble::Trouble;
use crate::console::words::filters;
use crate::console::{Shared, words};
use crate::store::console::trail::{self, Asked, Did};
use crate::text::cell;

/// Entries a page.
const PAGE: i64 = 50;

/// Most entries of a CSV file.
const CSV_MAX: i64 = 10_000;

pub(in crate::console) fn routes() -> Router<Shared> {
    Router::new().route("/audit", get(show)).route("/audit.csv", get(as_csv))
}

/// What the URL asks for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Filters {
    who: String,
    did: String,
    before: String,
}

impl Filters {
    /// # Errors
    /// When it is nothing that this page writes into its links.
    fn asked(&self, limit: i64) -> Result<Asked, Trouble> {
        let refused = |what: &str| Trouble::Refused(format!("There is no such {what}."));
        let did = match self.did.as_str() {
            "" => None,
            word => Some(Did::parse(word).ok_or_else(|| refused("deed"))?),
        };
        let before = match self.before.as_str() {
            "" => None,
            id => Some(id.parse::<Uuid>().map_err(|_| refused("entry"))?),
        };
        let who = Some(self.who.clone()).filter(|who| !who.is_empty());
        Ok(Asked { who, did, before, limit })
    }

    fn url(&self, path: &str, before: Option<Uuid>) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let before = before.map(|id| id.to_string()).unwrap_or_default();
        for (name, value) in [("who", &self.who), ("did", &self.did), ("before", &before)] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        let query = query.finish();
        if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
    }
}

/// A deed, as a sentence has it.
fn word(did: Did) -> &'static str {
    match did {
        Did::SignedIn => "Signed in",
        Did::Searched => "Searched for a user",
        Did::Revealed => "Revealed a user",
        Did::Masked => "Masked a user",
        Did::Read => "Read dead letters",
        Did::Planned => "Planned",
        Did::Started => "Started",
        Did::Cancelled => "Cancelled",
        Did::Finished => "Finished",
        Did::Refused => "Refused",
    }
}

struct Entry {
    clock: String,
    who: String,
    did: String,
    is_refusal: bool,
    what: String,
    reason: String,
    result: String,
}

struct Day {
    name: String,
    entries: Vec<Entry>,
}

#[derive(Template)]
#[template(path = "trail/trail.html")]
struct TrailPage {
    frame: Frame,
    people: Vec<(String, String, bool)>,
    deeds: Vec<(&'static str, &'static str, bool)>,
    days: Vec<Day>,
    is_filtered: bool,
    newest: String,
    older: String,
    csv: String,
}

/// The names to choose from: those in the trail, and the one that was chosen.
fn people(names: Vec<String>, chosen: &str) -> Vec<(String, String, bool)> {
    let mut options = vec![(String::new(), "Anybody".to_owned(), chosen.is_empty())];
    if !chosen.is_empty() && !names.iter().any(|name| name == chosen) {
        options.push((chosen.to_owned(), words::Foreign(chosen).to_string(), true));
    }
    options.extend(names.into_iter().map(|name| {
        let is_chosen = name == chosen;
        let shown = words::Foreign(&name).to_string();
        (name, shown, is_chosen)
    }));
    options
}

fn by_day(entries: Vec<trail::Entry>) -> Vec<Day> {
    let mut days: Vec<Day> = Vec::new();
    for entry in entries {
        let name = words::day(entry.at);
        let did = Did::parse(&entry.did);
        let shown = Entry {
            clock: words::clock(entry.at),
            who: entry.who,
            did: did.map_or(entry.did, |did| word(did).to_owned()),
            is_refusal: did == Some(Did::Refused),
            what: entry.what.unwrap_or_default(),
            reason: entry.reason.unwrap_or_default(),
            result: entry.result.unwrap_or_default(),
        };
        match days.last_mut().filter(|day| day.name == name) {
            Some(day) => day.entries.push(shown),
            None => days.push(Day { name, entries: vec![shown] }),
        }
    }
    days
}

/// GET `/audit`.
async fn show(
    State(console): State<Shared>,
    visitor: Visitor,
    Query(filters): Query<Filters>,
) -> Answer<TrailPage> {
    // One more than is shown says whether there are older ones.
    let asked = filters.asked(PAGE + 1)?;
    let mut entries = trail::read(&console.reads, &asked).await?;
    let has_older = entries.len() > usize::try_from(PAGE).unwrap_or(usize::MAX);
    entries.truncate(usize::try_from(PAGE).unwrap_or(usize::MAX));
    let last = entries.last().map(|entry| entry.id).filter(|_| has_older);
    let deed = |did: Did| (did.as_str(), word(did), asked.did == Some(did));
    Ok(Page(TrailPage {
        frame: Frame::of(&console, &visitor, Section::Drift),
        people: people(trail::people(&console.reads).await?, &filters.who),
        deeds: [("", "Anything", asked.did.is_none())].into_iter().chain(Did::ALL.map(deed)).collect(),
        days: by_day(entries),
        is_filtered: asked.who.is_some() || asked.did.is_some(),
        newest: if asked.before.is_some() { filters.url("/audit", None) } else { String::new() },
        older: last.map(|id| filters.url("/audit", Some(id))).unwrap_or_default(),
        csv: filters.url("/audit.csv", asked.before),
    }))
}

/// GET `/audit.csv`: the same, as a file.
async fn as_csv(
    State(console): State<Shared>,
    _: Visitor,
    Query(filters): Query<Filters>,
) -> Result<Response, Trouble> {
    let entries = trail::read(&console.reads, &filters.asked(CSV_MAX)?).await?;
    let mut file = csv::Writer::from_writer(Vec::new());
    let broken = |error: csv::Error| Trouble::Broken(Box::new(error));
    file.write_record(["at", "who", "did", "what", "reason", "result"]).map_err(broken)?;
    for entry in &entries {
        let at = entry.at.to_string();
        let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
        let texts = [or_empty(&entry.what), or_empty(&entry.reason), or_empty(&entry.result)];
        let [what, reason, result] = &texts;
        let cells =
            [at.as_str(), &entry.who, &entry.did, what, reason, result].map(|text| cell(text).into_owned());
        file.write_record(cells).map_err(broken)?;
    }
    let body = file.into_inner().map_err(|error| Trouble::Broken(Box::new(error)))?;
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8"),
        (CONTENT_DISPOSITION, "attachment; filename=\"what-was-done.csv\""),
    ];
    Ok((headers, body).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_keeps_its_filters_and_nothing_that_is_not_one() {
        let filters = Filters {
            who: "ada@example.com&did=x".to_owned(),
            did: "refused".to_owned(),
            ..Filters::default()
        };
        assert_eq!(filters.url("/audit", None), "/audit?who=ada%40example.com%26did%3Dx&did=refused");
        assert_eq!(Filters::default().url("/audit", None), "/audit");
        for (did, before) in [("deleted", ""), ("", "1 or 1=1")] {
            let filters = Filters { did: did.to_owned(), before: before.to_owned(), ..Filters::default() };
            assert!(matches!(filters.asked(1), Err(Trouble::Refused(_))), "{did} {before}");
        }
    }
}

//! Why the columns of the last login show what they show: who said it, and which contexts count. Pure; asks the model's own
//! rules, and must not state one a second time.

use cognito_user_sync_triggers::event::{EventId, Reporter};

use crate::store::maintenance::explain::{Recorded, Source, Value};
use crate::store::model::contexts::{self, Contexts, Resolved};
use crate::store::model::device::Device;
use crate::store::model::state::{Login, UserState};

/// What is shown of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Ip,
    Device,
    Location,
}

const FIELDS: [(Field, &str); 3] = [
    (Field::Ip, "last_login_ip"),
    (Field::Device, "last_login_device"),
    (Field::Location, "last_login_location"),
];

impl Field {
    /// A login and contexts that say nothing but this.
    fn alone(self, login: &Login, contexts: &Contexts) -> (Login, Contexts) {
        let (mut login, mut contexts) = (login.clone(), contexts.clone());
        let kept = contexts.sign_ins.values_mut().flat_map(|kept| kept.values_mut());
        let said = kept.map(|kept| (&mut kept.ip, &mut kept.device, &mut kept.location));
        for (ip, device, location) in said.chain([(&mut login.ip, &mut login.device, &mut login.location)]) {
            *ip = ip.filter(|_| self == Self::Ip);
            *device = device.filter(|_| self == Self::Device);
            *location = location.take().filter(|_| self == Self::Location);
        }
        (login, contexts)
    }
}

/// What the columns show of the last login, and where the user signed up, each with who said it.
pub(super) fn values(state: &UserState, contexts: &Contexts) -> Vec<Value> {
    let value = |name: &str, value: String, source| Value { name: name.to_owned(), value, source };
    let mut values = Vec::new();
    if let Some(login) = &state.last_login {
        for (field, name) in FIELDS {
            let (login, contexts) = field.alone(login, contexts);
            let shown = Resolved::of(&login, &contexts);
            let text = match field {
                Field::Ip => shown.ip.map(|ip| ip.to_string()),
                Field::Device => shown.device.map(|device| Device::as_str(device).to_owned()),
                Field::Location => shown.location.map(str::to_owned),
            };
            let source = shown.source.map(|said| source(said, &login, &contexts));
            values.extend(text.zip(source).map(|(text, source)| value(name, text, source)));
        }
        let said = Resolved::of(login, contexts).source;
        values
            .extend(said.map(|said| value("last_login_source", said.as_str().to_owned(), Source::WhoSaidIt)));
    }
    let confirmed = state.sign_up.as_ref().and_then(|sign_up| Some((sign_up.id, sign_up.ip?)));
    let signed_up = match (confirmed, contexts.sign_up) {
        (Some((id, ip)), _) => Some((ip, Source::FirstConfirmation(id))),
        (None, recorded) => recorded.map(|(id, ip)| (ip, Source::FirstSignUpRecord(id))),
    };
    values.extend(signed_up.map(|(ip, source)| value("created_ip", ip.to_string(), source)));
    values
}

fn source(said: contexts::Source, login: &Login, contexts: &Contexts) -> Source {
    match said {
        contexts::Source::Client => Source::LatestLogin(login.id),
        contexts::Source::Reporter(reporter) => Source::Reported {
            by: reporter.as_str(),
            contexts: of_login(reporter, login, contexts).collect(),
        },
    }
}

/// The contexts of a reporter that are of a login: each says something of it, where there is no other.
fn of_login<'a>(
    reporter: Reporter,
    login: &Login,
    contexts: &'a Contexts,
) -> impl Iterator<Item = EventId> + 'a {
    let silent = Login { ip: None, device: None, location: None, ..login.clone() };
    let kept = contexts.sign_ins.get(&reporter).into_iter().flatten();
    let is_of_it = move |(id, kept): &(&EventId, &contexts::Kept)| {
        let mut alone = Contexts::default();
        alone.sign_ins.entry(reporter).or_default().insert(**id, (*kept).clone());
        Resolved::of(&silent, &alone).source.is_some()
    };
    kept.filter(is_of_it).map(|(id, _)| *id)
}

/// The contexts that are kept, by who recorded them, and whether each is of the last login.
pub(super) fn kept(login: Option<&Login>, contexts: &Contexts) -> Vec<Recorded> {
    let mut recorded = Vec::new();
    for (reporter, kept) in &contexts.sign_ins {
        let of_last_login: Vec<EventId> =
            login.map(|login| of_login(*reporter, login, contexts).collect()).unwrap_or_default();
        recorded.extend(kept.keys().map(|id| Recorded {
            by: reporter.as_str(),
            id: *id,
            is_of_last_login: of_last_login.contains(id),
        }));
    }
    recorded
}

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use askama::Template;

use super::{Frame, Look, Section};
use crate::console::access::Rights;
use crate::console::now::Marks;
use crate::console::status::Status;
use crate::console::words::filters;

/// Markup, an attribute's end, an entity, and text turned around.
const HOSTILE: &str = "<img src=x onerror=alert(1)>\"'&lt;\u{202e}";

struct Step {
    status: Status,
    name: &'static str,
    figure: String,
    note: String,
    passes: bool,
}

/// Every part of `components.html`, each with hostile texts.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"{%- extends "frame.html" -%}{%- import "components.html" as c -%}
{%- block title -%}{{ text|foreign }}{%- endblock -%}
{%- block content -%}
{% call c::verdict(Status::Broken, text) %}<p class="lead" data-live="safe">{{ text }}</p>{{ c::live(text, text) }}{% endcall %}
{{ c::road(steps) }}{{ c::figures(steps) }}
{% call c::note("bad", text) %}<p>{{ text }}</p>{{ c::over(text, text, "/runbook#x") }}{% endcall %}
{% call c::masked(text) %}<button class="small">Reveal…</button>{% endcall %}
{{ c::command(text) }}{{ c::status(Status::Attention) }}{{ c::state("running", text) }}
{{ c::segments(text, [("/users", text, true), ("/users?x", text, false)]) }}
<form class="filters">{{ c::select("status", text, [(text, text, true), ("", "Any", false)]) }}<button>Filter</button></form>
{{ c::wrong(text, "count") }}{{ c::field("count", text, text, text, text, "narrow") }}{{ c::field("reason", text, "", "", text, "") }}
{{ c::progress(text, 10, 20) }}{{ c::tag("plain", text) }}{{ c::tag("late", text) }}{{ c::hidden() }}
{% call c::blank(text) %}<p>{{ text }}</p>{% endcall %}{{ c::crumb("/users", text, text) }}
{% call c::pager(text, "/users?before=1", text, "/users?after=2", text) %}<a href="/users.json">JSON</a>{% endcall %}
<bdi>{{ text|foreign }}</bdi> {{ count|count }}
{%- endblock -%}"#
)]
struct Gallery {
    frame: Frame,
    text: &'static str,
    steps: Vec<Step>,
    count: u64,
}

fn gallery(text: &'static str) -> String {
    let step = |status, passes| Step {
        status,
        name: "Queue",
        figure: text.to_owned(),
        note: text.to_owned(),
        passes,
    };
    let frame = Frame {
        environment: text.to_owned(),
        section: Section::Users,
        marks: Marks { now: Status::Broken, dead_letters: Some(665) },
        visitor: Some((text.to_owned(), Rights { read: true, reveal: true, act: false })),
        look: Look { path: format!("/users?{text}"), ..Look::default() },
    };
    let steps = vec![step(Status::Healthy, true), step(Status::Broken, false)];
    Gallery { frame, text, steps, count: 10_000 }.render().unwrap()
}

/// Names of the elements of a page, and the attributes' names.
fn parts(html: &str) -> (Vec<&str>, BTreeSet<&str>) {
    let tags: Vec<&str> = html.split('<').skip(1).filter_map(|rest| rest.split('>').next()).collect();
    let elements = tags.iter().filter_map(|tag| tag.split_whitespace().next()).collect();
    let attributes = tags.iter().flat_map(|tag| {
        let outside = tag.split('"').step_by(2);
        outside.flat_map(str::split_whitespace).filter_map(|word| word.strip_suffix('='))
    });
    (elements, attributes.collect())
}

#[test]
fn markup_in_any_text_of_any_part_stays_text() {
    let (hostile, plain) = (gallery(HOSTILE), gallery("text"));
    let ((elements, attributes), expected) = (parts(&hostile), parts(&plain));
    assert!(elements.len() > 100 && attributes.len() > 10, "the page is read");
    assert_eq!((elements, attributes), expected);
    assert!(!hostile.contains("<img"), "{hostile}");
    assert!(hostile.contains("U+202E"), "what turns text around is spelled");
}

#[test]
fn the_frame_says_where_one_is_and_what_one_may() {
    let page = gallery("text");
    for expected in [
        "<a href=\"/users\" aria-current=\"page\">",
        "may read, reveal",
        "Read-only",
        "665<span class=\"unseen\"> Needs attention</span>",
        "<span class=\"unseen\"> Broken</span>",
        "aria-pressed=\"true\">Auto",
        "10,000",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    assert_eq!(page.matches("role=\"status\"").count(), 1, "the verdict alone speaks by itself");
}

fn files(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(&path, extension, found),
            false if path.extension().is_some_and(|own| own == extension) => found.push(path),
            false => {}
        }
    }
}

/// What a template must not say: the policy of the pages forbids it, or it would let others' markup through.
fn sins(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    // What the template engine reads is not the browser's; what it writes is looked at elsewhere.
    let words = lower.split(|character: char| character.is_whitespace() || "<>\"'".contains(character));
    let is_handler = |word: &&str| {
        let name = word.strip_prefix("on").and_then(|rest| rest.strip_suffix('='));
        name.is_some_and(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase()))
    };
    let handlers = words.filter(is_handler).map(str::to_owned);
    let forbidden =
        ["style=", "<style", "javascript:", "|safe", "| safe", "http://", "https://", "escape \"none\""];
    let said = forbidden.into_iter().filter(|text| lower.contains(text)).map(str::to_owned);
    let scripts = lower.split("<script").skip(1);
    let inline = scripts.filter(|rest| !rest.trim_start().starts_with("src=")).map(|_| "<script>".to_owned());
    handlers.chain(said).chain(inline).collect()
}

#[test]
fn no_template_has_a_style_a_script_or_an_address_of_its_own() {
    let mut templates = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console/templates"), "html", &mut templates);
    assert!(templates.len() >= 5, "{templates:?}");
    for path in templates {
        let found = sins(&std::fs::read_to_string(&path).unwrap());
        assert!(found.is_empty(), "{}: {found:?}", path.display());
    }
    for broken in [
        "<p style=\"x\">",
        "<a onclick=\"x\">",
        "{{ x|safe }}",
        "<script>x</script>",
        "<a href=\"https://x\">",
    ] {
        assert!(!sins(broken).is_empty(), "{broken}");
    }
    assert!(
        sins("<a href=\"/on\" data-live=\"x\">once = 1</a><script src=\"/x\" defer></script>").is_empty()
    );
}

/// A class that no rule knows is a misspelling.
#[test]
fn every_class_of_a_template_is_in_the_style_sheet() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console");
    let style = std::fs::read_to_string(root.join("assets/console.css")).unwrap();
    let mut templates = Vec::new();
    files(&root.join("templates"), "html", &mut templates);
    let mut unknown = BTreeSet::new();
    for path in templates {
        let text = std::fs::read_to_string(&path).unwrap();
        for class in text.split("class=\"").skip(1).filter_map(|rest| rest.split(['"', '{']).next()) {
            let is_known = |class: &&str| class.ends_with('-') || style.contains(&format!(".{class}"));
            unknown.extend(class.split_whitespace().filter(|class| !is_known(class)).map(str::to_owned));
        }
    }
    assert!(unknown.is_empty(), "{unknown:?}");
}

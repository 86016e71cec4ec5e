//! Ways to read a device's class from a user agent, compared on the user agents that four packages ship for tests: how
//! often each is right, by class, and what one costs. With one parser's feature alone, a small program that shows its size.

use std::error::Error;

/// The product's own rules, without the rest of it.
#[cfg(feature = "rules")]
#[path = "../../../src/store"]
mod store {
    #[allow(dead_code)]
    pub(crate) mod model {
        pub(crate) mod device;
        pub(crate) mod memo;
    }

    pub(crate) fn class(user_agent: &str) -> Option<&'static str> {
        model::device::Device::read(user_agent).map(model::device::Device::as_str)
    }
}

const MOBILE: &str = "Mobile";
const TABLET: &str = "Tablet";
const DESKTOP: &str = "Desktop";

/// woothee's categories, and the class that each means.
#[cfg(all(feature = "rules", feature = "woothee", feature = "ua-parser"))]
fn woothee(user_agent: &str) -> Option<&'static str> {
    let parsed = woothee::parser::Parser::new().parse(user_agent)?;
    of_woothee(parsed.category, parsed.os, user_agent)
}

#[cfg(feature = "woothee")]
fn of_woothee(category: &str, os: &str, user_agent: &str) -> Option<&'static str> {
    match (category, os) {
        ("smartphone", "iPad") => Some(TABLET),
        ("smartphone", "Android") if !user_agent.contains("Mobile") => Some(TABLET),
        ("smartphone" | "mobilephone", _) => Some(MOBILE),
        ("pc", _) => Some(DESKTOP),
        _ => None,
    }
}

/// What the product had until it had rules of its own: woothee, and checks by parts of words.
#[cfg(feature = "woothee")]
fn woothee_with_checks(user_agent: &str) -> Option<&'static str> {
    let lower = user_agent.to_ascii_lowercase();
    let is_nobody = ["TV", "BRAVIA", "; AFT"].iter().any(|part| user_agent.contains(part))
        || ["bot", "crawl", "spider", "headless"].iter().any(|part| lower.contains(part));
    let parsed = woothee::parser::Parser::new().parse(user_agent).filter(|_| !is_nobody)?;
    if parsed.name == woothee::woothee::VALUE_UNKNOWN {
        return None;
    }
    of_woothee(parsed.category, parsed.os, user_agent)
}

/// ua-parser names the device, the browser and the system. What class that is, is a table of ours.
#[cfg(feature = "ua-parser")]
fn ua_parser<'a>(parser: &'a ua_parser::Extractor<'a>, user_agent: &'a str) -> Option<&'static str> {
    let (browser, os, device) = parser.extract(user_agent);
    let family = device.as_ref().map_or("", |device| &*device.device);
    let brand = device.as_ref().and_then(|device| device.brand.as_deref()).unwrap_or_default();
    let class = of_family(family, brand);
    if class != Some("") {
        return class;
    }
    let os = os.as_ref().map_or("", |os| &*os.os);
    match os {
        "Android" if user_agent.contains("Mobile") => Some(MOBILE),
        "Android" if browser.is_some() => Some(TABLET),
        "Windows Phone" | "Windows Mobile" | "BlackBerry OS" | "KaiOS" | "Firefox OS" | "Symbian OS"
        | "Bada" => Some(MOBILE),
        "Windows" | "Mac OS X" | "Chrome OS" | "Linux" | "Ubuntu" | "Fedora" | "Debian" | "FreeBSD"
        | "OpenBSD" | "NetBSD"
            if browser.is_some() =>
        {
            Some(DESKTOP)
        }
        _ => None,
    }
}

/// The class of the names that ua-parser gives to devices; `""` is any other name.
#[cfg(feature = "ua-parser")]
fn of_family(family: &str, brand: &str) -> Option<&'static str> {
    const NONE: [&str; 17] = [
        "Spider",
        "HbbTV",
        "NetCast",
        "Inettv",
        "Chromecast",
        "AppleTV",
        "Apple Watch",
        "HomePod",
        "Roku",
        "GoogleTV",
        "WebTV",
        "Quest",
        "PlayStation",
        "Nintendo",
        "Samsung SmartTV",
        "Oculus",
        "Xbox",
    ];
    match family {
        "Kindle" => None,
        "iPhone" | "iPod" | "Generic Smartphone" | "Generic Feature Phone" => Some(MOBILE),
        "iPad" | "Generic Tablet" => Some(TABLET),
        "Mac" => Some(DESKTOP),
        _ if NONE.iter().any(|name| family.starts_with(name) || brand == *name) => None,
        _ if family.starts_with("Kindle Fire") => Some(TABLET),
        _ => Some(""),
    }
}

#[cfg(feature = "ua-parser")]
fn patterns(path: &str) -> Result<ua_parser::Extractor<'static>, Box<dyn Error>> {
    let regexes: ua_parser::Regexes<'static> = serde_yaml_ng::from_str(&std::fs::read_to_string(path)?)?;
    Ok(ua_parser::Extractor::try_from(regexes)?)
}

#[cfg(not(all(feature = "rules", feature = "woothee", feature = "ua-parser")))]
fn main() -> Result<(), Box<dyn Error>> {
    let user_agent = std::env::args().nth(1).unwrap_or_default();
    let class: Option<&str> = None;
    #[cfg(feature = "rules")]
    let class = class.or_else(|| store::class(&user_agent));
    #[cfg(feature = "woothee")]
    let class = class.or_else(|| woothee_with_checks(&user_agent));
    #[cfg(feature = "ua-parser")]
    let class = {
        let parser = patterns(&std::env::args().nth(2).unwrap_or_default())?;
        class.or_else(|| ua_parser(&parser, &user_agent))
    };
    println!("{class:?} {MOBILE} {TABLET} {DESKTOP} {user_agent}");
    Ok(())
}

#[cfg(all(feature = "rules", feature = "woothee", feature = "ua-parser"))]
fn main() -> Result<(), Box<dyn Error>> {
    compare::run()
}

#[cfg(all(feature = "rules", feature = "woothee", feature = "ua-parser"))]
mod compare {
    use std::collections::{BTreeMap, HashSet};
    use std::error::Error;
    use std::path::{Path, PathBuf};
    use std::time::Instant;

    use serde_json::Value;

    use super::*;

    type Class = Option<&'static str>;
    type Candidate<'a> = (&'a str, Box<dyn Fn(&str) -> Class + 'a>);

    /// A user agent, and the classes that its corpus calls right.
    struct Labelled {
        user_agent: String,
        right: &'static [Class],
    }

    const NOBODYS: &[Class] = &[None];
    const OF_MOBILE: &[Class] = &[Some(MOBILE)];
    const OF_TABLET: &[Class] = &[Some(TABLET)];
    const OF_DESKTOP: &[Class] = &[Some(DESKTOP)];
    /// The corpus does not tell the two.
    const OF_ANDROID: &[Class] = &[Some(MOBILE), Some(TABLET)];
    const CLASSES: [(&str, &[Class]); 5] = [
        (MOBILE, OF_MOBILE),
        (TABLET, OF_TABLET),
        ("Mobile or Tablet", OF_ANDROID),
        (DESKTOP, OF_DESKTOP),
        ("none", NOBODYS),
    ];

    pub(super) fn run() -> Result<(), Box<dyn Error>> {
        let usage = "usage: cognito-user-sync-devices NODE_MODULES [--disagreements]";
        let packages = PathBuf::from(std::env::args().nth(1).ok_or(usage)?);
        let shows = std::env::args().nth(2).is_some_and(|argument| argument == "--disagreements");
        let (ua, woothee_sources) = (source_of("ua-parser")?, source_of("woothee")?);
        let corpora = [
            ("user-agents", browsers(&packages.join("user-agents/dist/user-agents.json"))?),
            ("crawler-user-agents", robots(&packages.join("crawler-user-agents/crawler-user-agents.json"))?),
            ("woothee", of_woothees_tests(&woothee_sources.join("tests"))?),
            ("ua-parser", of_ua_parsers_tests(&ua.join("uap-core/tests/test_device.yaml"))?),
        ];
        let parser = patterns(&ua.join("uap-core/regexes.yaml").display().to_string())?;
        let candidates: [Candidate<'_>; 5] = [
            ("woothee", Box::new(woothee)),
            ("woothee with checks", Box::new(woothee_with_checks)),
            (
                "ua-parser with a table",
                Box::new(|text| ua_parser(&parser, text).filter(|class| !class.is_empty())),
            ),
            ("rules", Box::new(store::class)),
            (
                "rules, then woothee",
                Box::new(|text| store::class(text).or_else(|| woothee_with_checks(text))),
            ),
        ];
        for (corpus, labelled) in &corpora {
            println!("\n{corpus}: {} user agents", labelled.len());
            println!("| | {} | wrong class | µs |", CLASSES.map(|(name, _)| name).join(" | "));
            println!("|---|---|---|---|---|---|---|---|");
            for (name, candidate) in &candidates {
                row(name, candidate, labelled);
            }
        }
        if shows {
            for (corpus, labelled) in &corpora {
                disagreements(corpus, labelled);
            }
        }
        Ok(())
    }

    /// How many of each class are right, how many have a class that is wrong (null is never wrong, only missing), the cost.
    fn row(name: &str, candidate: &dyn Fn(&str) -> Class, labelled: &[Labelled]) {
        let (mut right, mut wrong) = (BTreeMap::<&[Class], (usize, usize)>::new(), 0);
        for text in labelled {
            let class = candidate(&text.user_agent);
            let (hits, all) = right.entry(text.right).or_default();
            *all += 1;
            if text.right.contains(&class) {
                *hits += 1;
            } else if class.is_some() {
                wrong += 1;
            }
        }
        let cells = CLASSES.map(|(_, class)| {
            right.get(class).map_or("–".to_owned(), |(hits, all)| format!("{hits}/{all}"))
        });
        let cost = (0..5).map(|_| {
            let start = Instant::now();
            for text in labelled {
                std::hint::black_box(candidate(std::hint::black_box(&text.user_agent)));
            }
            start.elapsed()
        });
        let micros = cost.min().unwrap_or_default().as_secs_f64() * 1e6 / labelled.len() as f64;
        println!("| {name} | {} | {wrong} | {micros:.2} |", cells.join(" | "));
    }

    fn disagreements(corpus: &str, labelled: &[Labelled]) {
        for text in labelled {
            let class = store::class(&text.user_agent);
            if !text.right.contains(&class) {
                println!("{corpus}\t{:?}\t{class:?}\t{}", text.right, text.user_agent);
            }
        }
    }

    fn distinct(labelled: impl IntoIterator<Item = Labelled>) -> Vec<Labelled> {
        let mut known = HashSet::new();
        labelled.into_iter().filter(|text| known.insert(text.user_agent.clone())).collect()
    }

    /// Where cargo keeps the sources of a package that this one depends on.
    fn source_of(package: &str) -> Result<PathBuf, Box<dyn Error>> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let output = std::process::Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
            .args(["metadata", "--locked", "--format-version=1", "--manifest-path"])
            .arg(manifest)
            .output()?;
        let metadata: Value = serde_json::from_slice(&output.stdout)?;
        let packages = metadata["packages"].as_array().ok_or("cargo metadata names no packages")?;
        let found = packages.iter().find(|found| found["name"] == package);
        let manifest = found.and_then(|found| found["manifest_path"].as_str());
        let folder = manifest.and_then(|manifest| Path::new(manifest).parent());
        Ok(folder.ok_or_else(|| format!("cargo metadata does not name {package}"))?.to_owned())
    }

    /// npm's user-agents (BSD-2-Clause): of visitors, their class by the size of the screen.
    fn browsers(path: &Path) -> Result<Vec<Labelled>, Box<dyn Error>> {
        let records: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path)?)?;
        Ok(distinct(records.iter().filter_map(|record| {
            let right = match record["deviceCategory"].as_str()? {
                "mobile" => OF_MOBILE,
                "tablet" => OF_TABLET,
                "desktop" => OF_DESKTOP,
                _ => return None,
            };
            Some(Labelled { user_agent: record["userAgent"].as_str()?.to_owned(), right })
        })))
    }

    /// npm's crawler-user-agents (MIT).
    fn robots(path: &Path) -> Result<Vec<Labelled>, Box<dyn Error>> {
        let robots: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path)?)?;
        let instances = robots.iter().filter_map(|robot| robot["instances"].as_array()).flatten();
        let texts = instances.filter_map(Value::as_str);
        Ok(distinct(texts.map(|text| Labelled { user_agent: text.to_owned(), right: NOBODYS })))
    }

    /// woothee's own tests (Apache-2.0), which are generated: a user agent, then its category and its system.
    fn of_woothees_tests(folder: &Path) -> Result<Vec<Labelled>, Box<dyn Error>> {
        let mut labelled = Vec::new();
        for file in std::fs::read_dir(folder)? {
            let source = std::fs::read_to_string(file?.path())?;
            for test in source.split("parser.parse(r#\"").skip(1) {
                let value = |name: &str| {
                    let from = test.split(&format!("assert_eq!(result.{name}, \"")).nth(1);
                    from.and_then(|from| from.split('"').next()).unwrap_or_default()
                };
                let user_agent = test.split("\"#").next().unwrap_or_default().to_owned();
                let right = match (value("category"), value("os")) {
                    ("smartphone", "iPad") => OF_TABLET,
                    ("smartphone", "Android") => OF_ANDROID,
                    ("smartphone" | "mobilephone", _) => OF_MOBILE,
                    ("pc", _) => OF_DESKTOP,
                    _ => NOBODYS,
                };
                labelled.push(Labelled { user_agent, right });
            }
        }
        Ok(distinct(labelled))
    }

    /// ua-parser's tests (Apache-2.0) name devices: those whose names say the class, and what is a browser on Android.
    fn of_ua_parsers_tests(path: &Path) -> Result<Vec<Labelled>, Box<dyn Error>> {
        #[derive(serde::Deserialize)]
        struct Tests {
            test_cases: Vec<Test>,
        }
        #[derive(serde::Deserialize)]
        struct Test {
            user_agent_string: String,
            family: String,
            brand: Option<String>,
        }
        let tests: Tests = serde_yaml_ng::from_str(&std::fs::read_to_string(path)?)?;
        Ok(distinct(tests.test_cases.into_iter().filter_map(|test| {
            let right = match of_family(&test.family, test.brand.as_deref().unwrap_or_default()) {
                None => NOBODYS,
                Some(MOBILE) => OF_MOBILE,
                Some(TABLET) => OF_TABLET,
                Some(DESKTOP) => OF_DESKTOP,
                _ if ["Mozilla/", "Android"].iter().all(|part| test.user_agent_string.contains(part)) => {
                    OF_ANDROID
                }
                _ => return None,
            };
            Some(Labelled { user_agent: test.user_agent_string, right })
        })))
    }
}

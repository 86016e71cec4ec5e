//! What is fetched is pinned, with hashes: no command of the repository asks for whatever is newest.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// What is built or fetched, and is nobody's to look at.
const PASSED_OVER: [&str; 7] = [".git", "target", "node_modules", "dist", "cdk.out", "build", "corpus"];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of the repository that `is_wanted` says yes to, by its name.
fn files(is_wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![repository().to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            match entry.file_type().unwrap().is_dir() {
                true if !PASSED_OVER.contains(&name.as_str()) => folders.push(entry.path()),
                false if is_wanted(&name) => found.push(entry.path()),
                true | false => {}
            }
        }
    }
    found
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// The commands of a text that fetch what is not pinned. Words are those of a shell, or of a list in another language.
fn unpinned(text: &str) -> Vec<String> {
    let is_between = |character: char| character.is_whitespace() || "\"'`,[]()&;|@\\".contains(character);
    let words: Vec<&str> = text.split(is_between).filter(|word| !word.is_empty()).collect();
    let has = |at: usize, wanted: &[&str]| {
        words
            .iter()
            .skip(at)
            .take(12)
            .any(|word| wanted.contains(word) || wanted.contains(&word.trim_end_matches('=')))
    };
    let is_unpinned = |at: usize| match (words[at], words.get(at + 1).copied().unwrap_or_default()) {
        ("pip" | "pip3", "install" | "download") => !has(at, &["--require-hashes", "PINNED"]),
        ("npm", "install" | "i" | "add" | "update") | ("uvx" | "pipx" | "wget", _) => true,
        ("npx", next) => next != "--no-install",
        ("cargo", "install") => !(has(at, &["--locked"]) && has(at, &["--version"])),
        ("curl", _) => words.iter().skip(at).take(8).any(|word| word.starts_with("http")),
        _ => false,
    };
    (0..words.len())
        .filter(|at| is_unpinned(*at))
        .map(|at| words[at..].iter().take(4).copied().collect::<Vec<_>>().join(" "))
        .collect()
}

#[test]
fn no_command_fetches_what_is_not_pinned() {
    let is_command = |name: &str| {
        let endings = [
            ".py",
            ".sh",
            ".rs",
            ".ts",
            ".mjs",
            ".toml",
            "Makefile",
            "Dockerfile",
            "package.json",
            "cdk.json",
            "run",
        ];
        // What is said of the user's own app, and what stands below here.
        endings.iter().any(|ending| name.ends_with(ending)) && name != "fetches.rs"
    };
    let commands = files(is_command);
    assert!(commands.len() > 200, "only {} files are read", commands.len());
    let found: Vec<(PathBuf, Vec<String>)> = commands
        .into_iter()
        .map(|path| (path.clone(), unpinned(&text(&path))))
        .filter(|(_, unpinned)| !unpinned.is_empty())
        .collect();
    assert!(found.is_empty(), "{found:#?}");
    let makefile = text(&repository().join("Makefile"));
    let pinned = makefile.lines().find(|line| line.starts_with("PINNED :=")).unwrap();
    assert!(pinned.contains("--require-hashes"), "{pinned}");
}

#[test]
fn what_is_not_pinned_is_found() {
    for text in [
        "python3 -m pip install cfn-lint==1.0",
        "[sys.executable, \"-m\", \"pip\", \"install\", \"--quiet\"]",
        "cd infra && npm install",
        "npx tsx app.ts",
        "cargo install cargo-deny",
        "curl -fsSL https://example.com/install.sh | sh",
    ] {
        assert_eq!(unpinned(text).len(), 1, "{text}");
    }
    for text in [
        "npm ci",
        "pip install --require-hashes -r a.txt",
        "npx --no-install tsx",
        "cargo install --locked --version 1 a",
    ] {
        assert!(unpinned(text).is_empty(), "{text}");
    }
}

#[test]
fn every_package_has_hashes() {
    let wanted = files(|name| name.ends_with(".in"));
    assert!(wanted.len() >= 6, "{wanted:?}");
    for wanted in wanted {
        let pinned = text(&wanted.with_extension("txt"));
        // A package's lines follow each other, the last one without a backslash.
        let packages = pinned.replace("\\\n", "");
        assert!(packages.lines().count() >= 1 && !pinned.contains("://"), "{}", wanted.display());
        for package in packages.lines() {
            assert!(
                package.contains("==") && package.contains("--hash=sha256:"),
                "{}: {package}",
                wanted.display()
            );
        }
        for name in text(&wanted).lines().filter(|line| !line.starts_with('#')) {
            let name = name.split(['=', '<', '>', '[']).next().unwrap().replace('_', "-").to_lowercase();
            assert!(
                packages.lines().any(|line| line.starts_with(&name)),
                "{name} is not in {}",
                wanted.display()
            );
        }
    }
}

#[test]
fn every_package_of_npm_is_locked() {
    for folder in files(|name| name == "package.json") {
        let lock: Value = serde_json::from_str(&text(&folder.with_file_name("package-lock.json"))).unwrap();
        let packages = lock["packages"].as_object().unwrap().iter().filter(|(path, _)| !path.is_empty());
        for (path, package) in packages {
            // What another package brings with it is in that one's hash.
            let is_pinned =
                package["integrity"].is_string() || package["inBundle"] == true || package["link"] == true;
            assert!(is_pinned, "{}: {path}", folder.display());
        }
    }
}

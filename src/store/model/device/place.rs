//! Where in a user agent a word stands: among products, in a comment, as a device's name. Must not know what words mean.

use super::words::DOMAINS;

/// Where a word stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Place {
    /// `Chrome/124.0.0.0`, `Mobile`.
    #[default]
    Product,
    /// `(Windows NT 10.0; Win64; x64)`
    Comment,
    /// `SM-T510` in `(Linux; Android 13; SM-T510 Build/TP1A; wv)`.
    Name,
    /// `[FBAN/FBIOS;FBCR/Some TV;…]`: what an application says, carriers' names among it.
    Bracket,
}

/// How far a user agent is read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Position {
    pub(super) place: Place,
    /// Of parentheses.
    depth: u32,
    pub(super) begins_field: bool,
    /// The name has ended.
    has_build: bool,
    /// The character before.
    before: Option<char>,
}

impl Position {
    pub(super) fn pass(&mut self, character: char) {
        self.before = Some(character);
        match (character, self.place) {
            (']', Place::Bracket) => self.place = Place::Product,
            (_, Place::Bracket) => {}
            ('[', Place::Product) => self.place = Place::Bracket,
            ('(', place) => {
                self.depth = self.depth.saturating_add(1);
                self.begins_field = true;
                if place == Place::Product {
                    (self.place, self.has_build) = (Place::Comment, false);
                }
            }
            (')', _) => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    self.place = Place::Product;
                }
            }
            (';' | ',', place) => {
                self.begins_field = true;
                if place == Place::Name && self.has_build {
                    self.place = Place::Comment;
                }
            }
            _ => {}
        }
    }

    /// Whether a word stands right before, where neither a name nor a bracket is read.
    pub(super) fn is_after_word(self) -> bool {
        self.before.is_none() && matches!(self.place, Place::Product | Place::Comment)
    }

    pub(super) fn pass_word(&mut self, lower: &str, names_device: bool) {
        (self.before, self.begins_field) = (None, false);
        self.has_build |= lower == "build";
        if names_device && self.place == Place::Comment && !self.has_build {
            self.place = Place::Name;
        }
    }
}

/// A word, as it stands in its user agent.
pub(super) struct Word<'a> {
    pub(super) text: &'a str,
    pub(super) after: &'a str,
    pub(super) position: Position,
}

impl Word<'_> {
    pub(super) fn is_in(&self, place: Place) -> bool {
        self.position.place == place
    }

    /// Whether nothing but a build follows in its field.
    pub(super) fn ends_field(&self) -> bool {
        let after = self.after.trim_start();
        after.starts_with([';', ')', ',']) || after.is_empty() || after.starts_with("Build")
    }

    /// `TV` in `Region/TV`, which names no product.
    pub(super) fn is_value(&self) -> bool {
        self.is_in(Place::Product) && self.position.before == Some('/')
    }

    /// `Mobile` in `Chrome/124.0.0.0 Mobile`, but not in `com.example.Mobile/5`.
    pub(super) fn is_product(&self) -> bool {
        self.is_in(Place::Product) && !matches!(self.position.before, Some('/' | '.' | '-' | '_'))
    }

    /// `Monitor` in `Baby Monitor/3.2`.
    pub(super) fn has_version(&self) -> bool {
        self.after
            .strip_prefix('/')
            .is_some_and(|version| version.starts_with(|first: char| first.is_ascii_digit()))
    }

    /// An address, which robots give for whoever wonders.
    pub(super) fn begins_address(&self, lower: &str) -> bool {
        match lower {
            "http" | "https" => self.after.starts_with("://"),
            "www" => self.after.starts_with('.'),
            _ => false,
        }
    }

    /// The same, by the end of its host: `com` in `example.com/policy`. Applications may be called so, too.
    pub(super) fn ends_host(&self, lower: &str) -> bool {
        let ends_host = self.position.before == Some('.') && !self.after.starts_with('.');
        ends_host && !self.is_in(Place::Name) && DOMAINS.contains(&lower)
    }
}

/// Whether a host's name begins the text: `mail.example`, but neither `app` nor the version `3.1`.
pub(super) fn begins_with_host(text: &str) -> bool {
    let is_of_host = |character: char| character.is_alphanumeric() || matches!(character, '-' | '.');
    let end = text.find(|character| !is_of_host(character)).unwrap_or(text.len());
    let host = text.get(..end).unwrap_or_default().trim_end_matches('.');
    host.rsplit_once('.').is_some_and(|(labels, last)| {
        labels.starts_with(char::is_alphabetic) && !last.is_empty() && last.chars().all(char::is_alphabetic)
    })
}

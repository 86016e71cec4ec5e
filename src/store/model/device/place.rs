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

    /// Whether nothing stands between here and the word before.
    pub(super) fn follows_word(&self) -> bool {
        self.before.is_none()
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

    /// An address, which robots give for whoever wonders.
    pub(super) fn is_address(&self, lower: &str) -> bool {
        match lower {
            "http" | "https" => self.after.starts_with("://"),
            "www" => self.after.starts_with('.'),
            _ => {
                let ends_host = self.position.before == Some('.') && !self.after.starts_with('.');
                ends_host && !self.is_in(Place::Name) && DOMAINS.contains(&lower)
            }
        }
    }
}

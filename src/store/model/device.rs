//! The class of device that a login came from, by the words of its user agent. Pure.
//!
//! A rule knows whole words, never a part of one: `CUBOT` is no robot and `HTV33` no television. What stands where a
//! phone has its name is read as a name. Who reads a row prefers null to a guess, so whatever no vendor's document says
//! is unknown. `benches/devices` compares the rules with other parsers.

use crate::store::model::memo::Memo;
use place::{Place, Position, Word, begins_with_host};
use words::{FORMS, NAMES_OF_ROBOTS, NAMES_OF_ROBOTS_AND_APPS, Sense, sense};

mod place;
#[cfg(test)]
mod tests;
mod words;

/// A class of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(in crate::store) enum Device {
    Mobile,
    Tablet,
    Desktop,
}

impl Device {
    const ALL: [Self; 3] = [Self::Mobile, Self::Tablet, Self::Desktop];

    pub(in crate::store) fn as_str(self) -> &'static str {
        match self {
            Self::Mobile => "Mobile",
            Self::Tablet => "Tablet",
            Self::Desktop => "Desktop",
        }
    }

    /// The class that `text` names; anything else is unknown, never guessed.
    pub(in crate::store) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|device| device.as_str().eq_ignore_ascii_case(text.trim()))
    }

    /// The class of a user agent's device. Robots, television, consoles, headsets, cars, watches, readers of books,
    /// libraries and what is unknown have none.
    ///
    /// An iPad that asks for desktop sites sends what a Mac sends, and nobody can tell the two.
    pub(in crate::store) fn of_user_agent(user_agent: &str) -> Option<Self> {
        static DEVICES: Memo<Option<Device>> = Memo::new(Device::read);
        DEVICES.of(user_agent)
    }

    /// The class of a device as threat protection names it: a browser and a system, each with its version, such as
    /// `Mobile Safari 18.5, iOS 18.5` or `Chrome 126.0.0, Windows 10` (`deviceName`, "Exporting user pool logs", Cognito
    /// Developer Guide). A phone and a tablet have one system: only a browser for phones tells them apart.
    pub(in crate::store) fn of_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let (browser, system) = name.rsplit_once(',')?;
        let is = |known: &str| {
            let rest = system.trim().strip_prefix(known);
            rest.is_some_and(|rest| !rest.starts_with(char::is_alphabetic))
        };
        let is_any = |known: &[&str]| known.iter().any(|known| is(known));
        if browser.split_whitespace().any(|word| word == "mobile") {
            return is_any(&["ios", "android", "windows phone"]).then_some(Self::Mobile);
        }
        // A television or a server may have Linux, where the browser has no name.
        let is_linux = is_any(&["linux", "ubuntu", "fedora", "chrome os"]) && !browser.starts_with("other");
        let is_desktop = is_linux || is_any(&["windows", "mac os x", "macos"]) && !is("windows phone");
        if is("ipados") { Some(Self::Tablet) } else { is_desktop.then_some(Self::Desktop) }
    }

    /// The class of a user agent's device, read each time.
    pub(in crate::store) fn read(user_agent: &str) -> Option<Self> {
        Said::by(user_agent).class()
    }
}

/// What a user agent's words say together.
#[derive(Debug, Default)]
struct Said {
    senses: u32,
    /// `Mozilla/5.0` or the like, anywhere and at the beginning.
    is_of_browser: bool,
    begins_as_browser: bool,
    is_mobile: bool,
}

impl Said {
    fn by(user_agent: &str) -> Self {
        let mut said = Self::default();
        let mut position = Position::default();
        // The last two words, in lower case.
        let (mut words, mut last) = (String::with_capacity(64), 0);
        let mut rest = user_agent;
        while let Some(character) = rest.chars().next() {
            let length = rest.find(|character| !is_of_word(character)).unwrap_or(rest.len());
            if length == 0 {
                rest = rest.get(character.len_utf8()..).unwrap_or_default();
                // An e-mail address, which robots give. Some phones have the character in their name.
                if character == '@' && !words.is_empty() && position.is_after_word() && begins_with_host(rest)
                {
                    said.add(Sense::Nobody);
                }
                position.pass(character);
                continue;
            }
            let (text, after) = rest.split_at(length);
            let is_first = words.is_empty();
            words.drain(..last);
            if !is_first {
                words.push(' ');
            }
            last = words.len();
            words.push_str(text);
            words.make_ascii_lowercase();
            let (before, lower) = words.split_at_checked(last).unwrap_or_default();
            let names_device = said.hear(&Word { text, after, position }, before.trim_end(), lower);
            said.begins_as_browser |= is_first && said.is_of_browser;
            position.pass_word(lower, names_device);
            rest = after;
        }
        said
    }

    fn add(&mut self, sense: Sense) {
        self.senses |= 1 << sense as u32;
    }

    fn add_all(&mut self, senses: impl IntoIterator<Item = Sense>) {
        senses.into_iter().for_each(|sense| self.add(sense));
    }

    fn has(&self, sense: Sense) -> bool {
        self.senses & (1 << sense as u32) != 0
    }

    fn has_any(&self, senses: &[Sense]) -> bool {
        senses.iter().any(|sense| self.has(*sense))
    }

    /// Takes a word, and what it is in lower case, and the one before. Returns whether the device's name follows.
    fn hear(&mut self, word: &Word<'_>, before: &str, lower: &str) -> bool {
        // `iPhone14,5` is hardware; `Android4.4` lacks a space; `like iPhone` is a console's. Apple's television and watches
        // may name an iPhone, too.
        match (before, lower.trim_end_matches(|character: char| character.is_ascii_digit())) {
            ("like", "ipad" | "iphone") => {}
            (_, "ipad" | "ipados") => self.add(Sense::IPad),
            (_, "iphone" | "ipod") => self.add(Sense::IPhone),
            (_, "android") => self.add(Sense::Android),
            ("apple", "tv" | "watch") | (_, "appletv") if word.is_in(Place::Comment) => {
                self.add(Sense::Nobody)
            }
            _ => {}
        }
        if word.is_in(Place::Bracket) {
            return false;
        }
        self.is_of_browser |= matches!(lower, "mozilla" | "opera") && word.after.starts_with('/');
        let is_field = !word.is_in(Place::Product) && word.position.begins_field && word.ends_field();
        if word.text == "Mobile" && (is_field || word.is_product()) {
            self.is_mobile = true;
            return true;
        }
        if is_field && let Some((_, sense)) = FORMS.iter().find(|(form, _)| *form == lower) {
            self.add(*sense);
            return true;
        }
        let is_of_app = self.is_app(word);
        if word.begins_address(lower) || (word.ends_host(lower) && !is_of_app) {
            self.add(Sense::Nobody);
        }
        if word.is_in(Place::Name) {
            self.add_all(sense_of_model(word, before, lower));
        } else if is_name_of_robot(lower, is_of_app) && !word.is_value() {
            self.add(Sense::Nobody);
        }
        // "Fire tablets", developer.amazon.com. Old ones do not say Android.
        if !word.is_in(Place::Product) && is_code(word, "KF", 2) {
            self.add(Sense::Tablet);
        }
        let sense = sense(before, lower);
        self.add_all(sense.filter(|sense| self.is_meant(*sense, word)));
        matches!(sense, Some(Sense::Android | Sense::OtherMobileSystem))
    }

    /// Whether the word ends the name of an application, with its version, after those of its in-app browser.
    fn is_app(&self, word: &Word<'_>) -> bool {
        // Apple's says no `Safari/604.1`; "WebView user agent", developer.chrome.com: Android's says `wv`.
        let is_of_apple =
            self.has_any(&[Sense::IPhone, Sense::IPad]) && self.is_mobile && !self.has(Sense::Safari);
        word.is_in(Place::Product) && word.has_version() && (is_of_apple || self.has(Sense::WebView))
    }

    /// Whether the word stands after all that a phone's browser says, where applications write what they like.
    fn follows_phone(&self, word: &Word<'_>) -> bool {
        word.is_in(Place::Product) && self.is_mobile && self.has(Sense::PhoneName) && self.has(Sense::Safari)
    }

    /// Whether the word has this sense where it stands.
    fn is_meant(&self, sense: Sense, word: &Word<'_>) -> bool {
        match sense {
            // `(Linux; Android 11; Pixel 2; DuplexWeb-Google/1.0)`: a version makes it a program.
            Sense::Nobody => (!word.is_in(Place::Name) || word.has_version()) && !word.is_value(),
            Sense::Thing => !word.is_value() && !self.follows_phone(word),
            Sense::Reader => !self.follows_phone(word),
            Sense::SystemOfThing | Sense::WebView => !word.is_in(Place::Product),
            Sense::ProgramOfThing => {
                word.is_in(Place::Product) && word.after.starts_with('/') && !self.follows_phone(word)
            }
            Sense::Safari => word.is_in(Place::Product) && word.after.starts_with('/'),
            Sense::PhoneName | Sense::TabletName | Sense::ComputerName => word.is_in(Place::Name),
            // A carrier's tablet: `SoftBank 705KC`.
            Sense::Phone => {
                let begins_name = word.is_in(Place::Name) && word.position.begins_field;
                !(begins_name && self.has(Sense::Android))
            }
            Sense::IPad
            | Sense::IPhone
            | Sense::Tablet
            | Sense::Desktop
            | Sense::Android
            | Sense::OtherMobileSystem
            | Sense::Compatible
            | Sense::InternetExplorer
            | Sense::Engine
            | Sense::IosBrowser
            | Sense::Silk => true,
        }
    }

    fn class(&self) -> Option<Device> {
        let is_robot = self.has(Sense::Compatible) && !self.has(Sense::InternetExplorer);
        if is_robot || self.has(Sense::Nobody) {
            return None;
        }
        if self.has(Sense::IPad) {
            return Some(Device::Tablet);
        }
        if self.has(Sense::IPhone) {
            return Some(Device::Mobile);
        }
        if self.has_any(&[Sense::Thing, Sense::SystemOfThing, Sense::ProgramOfThing]) {
            return None;
        }
        if self.has(Sense::Tablet) {
            return Some(Device::Tablet);
        }
        if self.has(Sense::Reader) {
            return None;
        }
        if self.has(Sense::Phone) {
            return Some(Device::Mobile);
        }
        // Of an application or a library, the system alone says little: both run on servers and on television.
        let is_browser = self.has(Sense::Engine) || self.has(Sense::InternetExplorer);
        if !self.is_of_browser || !is_browser || self.has(Sense::Silk) {
            return None;
        }
        if self.has(Sense::ComputerName) {
            return Some(Device::Desktop);
        }
        if self.has(Sense::Android) {
            // "User-Agent Strings", developer.chrome.com, and "Firefox user agent string reference", MDN: a phone's has the
            // word `Mobile`, a tablet's has not.
            let is_phone = self.is_mobile || self.has(Sense::PhoneName);
            let is_tablet = self.has(Sense::TabletName) || !is_phone;
            return Some(if is_tablet { Device::Tablet } else { Device::Mobile });
        }
        match (self.has(Sense::Desktop), self.is_mobile) {
            (false, true) => Some(Device::Mobile),
            // Robots write their name before a computer's words; applications on phones do, too.
            (true, false) if self.begins_as_browser && !self.has(Sense::IosBrowser) => Some(Device::Desktop),
            _ => None,
        }
    }
}

fn is_of_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || !character.is_ascii()
}

/// Whether a robot has the name. Where an application has its own, only what no application is called counts.
fn is_name_of_robot(lower: &str, is_of_app: bool) -> bool {
    let ends_with = |endings: &[&str]| endings.iter().any(|ending| lower.ends_with(ending));
    // CUBOT makes phones.
    let is_robot = lower.starts_with("headless") || ends_with(&NAMES_OF_ROBOTS);
    lower != "cubot" && (is_robot || (!is_of_app && ends_with(&NAMES_OF_ROBOTS_AND_APPS)))
}

/// A model's number of capital letters and digits that is all of its field.
fn is_code(word: &Word<'_>, prefix: &str, shortest: usize) -> bool {
    let is_of_code = |character: char| character.is_ascii_uppercase() || character.is_ascii_digit();
    let code = word.text.strip_prefix(prefix);
    code.is_some_and(|code| code.len() >= shortest && code.chars().all(is_of_code)) && word.ends_field()
}

/// What a device's name says where the vendor has a scheme for names.
fn sense_of_model(word: &Word<'_>, before: &str, lower: &str) -> Option<Sense> {
    // Samsung's: SM-T510 and GT-P5110 are tablets, SM-F946B a foldable, SM-R890 a watch, SM-I610 a headset, SM-S928B a
    // phone.
    let has_number = lower.chars().nth(1).is_some_and(|character| character.is_ascii_digit());
    match (before, lower.chars().next().filter(|_| has_number)) {
        ("sm", Some('t' | 'x' | 'p')) | ("gt", Some('p')) => return Some(Sense::TabletName),
        ("sm", Some('r' | 'i')) => return Some(Sense::Thing),
        ("sm", Some('a' | 'c' | 'e' | 'f' | 'g' | 'j' | 'm' | 'n' | 's')) => return Some(Sense::PhoneName),
        _ => {}
    }
    // `SmartTV`; Xiaomi's; "Identify Fire TV devices" and "Echo Show", developer.amazon.com.
    let maker = word.text.strip_suffix("TV");
    let is_thing = maker.is_some_and(|maker| maker.ends_with(|last: char| last.is_ascii_lowercase()))
        || ["mitv", "mibox"].iter().any(|name| lower.starts_with(name))
        || is_code(word, "AFT", 1)
        || is_code(word, "AEO", 2);
    if is_thing {
        return Some(Sense::Thing);
    }
    lower.ends_with("pad").then_some(Sense::TabletName)
}

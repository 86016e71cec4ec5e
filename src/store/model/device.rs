//! The class of device that a login came from. Pure.

use woothee::parser::Parser;

use crate::store::model::memo::Memo;

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

    /// The class of a browser's user agent. Robots, TV sets, libraries and what is unknown have none.
    ///
    /// The parser knows the browsers and the robots, but calls every Android a smartphone and every Linux a
    /// computer; what it does not know is found here from tokens that the vendors document, or is unknown. An iPad
    /// that asks for desktop sites sends what a Mac sends, and nobody can tell the two.
    pub(in crate::store) fn of_user_agent(user_agent: &str) -> Option<Self> {
        static DEVICES: Memo<Option<Device>> = Memo::new(Device::read);
        DEVICES.of(user_agent)
    }

    fn read(user_agent: &str) -> Option<Self> {
        if is_no_persons_device(user_agent) {
            return None;
        }
        let parsed = Parser::new().parse(user_agent)?;
        // Without a browser the class is a guess by the operating system: a library on a Linux server would be a
        // computer, an application on a Mac an iPhone.
        if parsed.name == woothee::woothee::VALUE_UNKNOWN {
            return None;
        }
        match (parsed.category, parsed.os) {
            ("smartphone", "iPad") => Some(Self::Tablet),
            // "User-Agent Strings", developer.chrome.com, and "Firefox user agent string reference", MDN: a
            // phone's has the token `Mobile`, a tablet's has not.
            ("smartphone", "Android") if !user_agent.contains("Mobile") => Some(Self::Tablet),
            ("smartphone" | "mobilephone", _) => Some(Self::Mobile),
            ("pc", _) => Some(Self::Desktop),
            _ => None,
        }
    }
}

/// What passes for a browser on a phone, a tablet or a computer, and is a robot or a TV set.
fn is_no_persons_device(user_agent: &str) -> bool {
    // Of TV sets: most vendors' own token; Sony's; Amazon's model numbers ("Identify Fire TV Devices").
    let has = |tokens: &[&str]| tokens.iter().any(|token| user_agent.contains(token));
    let lower = user_agent.to_ascii_lowercase();
    has(&["TV", "BRAVIA", "; AFT"])
        || ["bot", "crawl", "spider", "headless"].iter().any(|token| lower.contains(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEBKIT: &str = "AppleWebKit/537.36 (KHTML, like Gecko)";

    fn check(user_agent: &str, expected: Option<Device>) {
        let user_agent = user_agent.replace("{webkit}", WEBKIT);
        assert_eq!(Device::of_user_agent(&user_agent), expected, "{user_agent}");
    }

    #[test]
    fn browsers_tell_their_class() {
        let check = |user_agent, device| check(user_agent, Some(device));
        check(
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) {webkit} Version/17.5 Mobile/15E148 Safari/604.1",
            Device::Mobile,
        );
        check(
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) {webkit} Mobile/15E148",
            Device::Mobile,
        );
        check(
            "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) {webkit} CriOS/120.0.6099.119 Mobile/15E148 Safari/604.1",
            Device::Tablet,
        );
        check(
            "Mozilla/5.0 (Linux; Android 10; K) {webkit} Chrome/124.0.0.0 Mobile Safari/537.36",
            Device::Mobile,
        );
        check("Mozilla/5.0 (Linux; Android 10; K) {webkit} Chrome/124.0.0.0 Safari/537.36", Device::Tablet);
        check(
            "Mozilla/5.0 (Linux; Android 13; SM-T510) {webkit} SamsungBrowser/20.0 Chrome/106.0.5249.126 Safari/537.36",
            Device::Tablet,
        );
        check("Mozilla/5.0 (Android 14; Mobile; rv:126.0) Gecko/126.0 Firefox/126.0", Device::Mobile);
        check("Mozilla/5.0 (Android 14; Tablet; rv:126.0) Gecko/126.0 Firefox/126.0", Device::Tablet);
        check(
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) {webkit} Chrome/124.0.0.0 Safari/537.36 Edg/124.0.0.0",
            Device::Desktop,
        );
        check(
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {webkit} Version/17.5 Safari/605.1.15",
            Device::Desktop,
        );
        check("Mozilla/5.0 (X11; Linux x86_64; rv:126.0) Gecko/20100101 Firefox/126.0", Device::Desktop);
        check(
            "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {webkit} Chrome/124.0.0.0 Safari/537.36",
            Device::Desktop,
        );
    }

    #[test]
    fn nothing_is_guessed() {
        let check = |user_agent| check(user_agent, None);
        for robot in [
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X) {webkit} Chrome/124.0.0.0 Mobile Safari/537.36 (compatible; Googlebot/2.1)",
            "Mozilla/5.0 {webkit} (compatible; GPTBot/1.2; +https://openai.com/gptbot)",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) {webkit} Chrome/124.0.0.0 Safari/537.36 SomeCrawler/1.0",
            "Mozilla/5.0 (X11; Linux x86_64) {webkit} HeadlessChrome/124.0.0.0 Safari/537.36",
            "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
        ] {
            check(robot);
        }
        for tv_set_or_console in [
            "Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) {webkit} Version/6.0 TV Safari/537.36",
            "Mozilla/5.0 (Web0S; Linux/SmartTV) {webkit} Chrome/94.0.4606.128 Safari/537.36 WebAppManager",
            "Mozilla/5.0 (Linux; Android 9; AFTMM Build/PS7633; wv) {webkit} Version/4.0 Chrome/100.0.0.0 Safari/537.36",
            "Mozilla/5.0 (Linux; Android 9; BRAVIA 4K UR2) {webkit} Chrome/100.0.0.0 Safari/537.36",
            "Mozilla/5.0 (PlayStation; PlayStation 5/6.00) {webkit} Version/15.4 Safari/605.1.15",
        ] {
            check(tv_set_or_console);
        }
        for library in [
            "okhttp/4.12.0",
            "curl/8.4.0",
            "Java/17.0.1",
            "python-requests/2.31.0",
            "aws-sdk-android/2.22.6 Linux/5.4.0 Dalvik/2.1.0/0 en_US",
            "Dalvik/2.1.0 (Linux; U; Android 13; SM-S901B Build/TP1A.220624.014)",
            "MyApp/3 CFNetwork/1410.0.3 Darwin/22.6.0",
        ] {
            check(library);
        }
        for unknown in ["", "-", "null", "Mozilla/5.0", "\u{301}é (", "Desktop"] {
            check(unknown);
        }
    }

    #[test]
    fn a_named_class_is_read_in_any_case() {
        assert_eq!(Device::parse(" mobile"), Some(Device::Mobile));
        assert_eq!(Device::parse("toaster"), None);
        assert_eq!(Device::parse("null"), None);
    }
}

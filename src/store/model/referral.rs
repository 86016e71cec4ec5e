//! Referral codes: a pure function of the sub, so that no code has to be stored to be known. Users who were
//! adopted from an old table keep the codes that it handed out, whatever their form.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::store::model::profile;

/// Characters of a code: 16 × 5 bits = 80 bits, so two users' codes never meet in practice.
const LENGTH: usize = 16;
/// Crockford's base 32: no I, L, O or U, so that a code survives being read aloud.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Longest code of another form: above what old tables hold (50), and short in an index.
const FOREIGN_MAX_CHARS: usize = 64;

/// A user's referral code: a pure function of the `sub`, 80 bits in Crockford's base 32.
#[must_use]
pub fn referral_code(sub: Uuid) -> String {
    let digest = Sha256::new().chain_update(b"referral code of ").chain_update(sub.as_bytes()).finalize();
    let mut bits = digest.iter().take(10).fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
    let mut code = [0_u8; LENGTH];
    for character in code.iter_mut().rev() {
        *character =
            usize::try_from(bits & 31).ok().and_then(|index| ALPHABET.get(index).copied()).unwrap_or(b'0');
        bits >>= 5;
    }
    code.iter().copied().map(char::from).collect()
}

/// A code as a person typed it; `None` for what can be nobody's code.
///
/// Ours are read in any case, with hyphens and spaces. A code of any other form may be one that an old table
/// handed out: it is taken as it stands, since nobody knows which of its characters matter.
pub(in crate::store) fn parse(text: &str) -> Option<String> {
    let text = profile::text(text)?;
    own(text).or_else(|| foreign(text))
}

fn own(text: &str) -> Option<String> {
    let code: String = text.chars().filter(|character| !matches!(character, '-' | ' ')).collect();
    let code = code.to_ascii_uppercase().replace(['I', 'L'], "1").replace('O', "0");
    (code.len() == LENGTH && code.bytes().all(|byte| ALPHABET.contains(&byte))).then_some(code)
}

fn foreign(code: &str) -> Option<String> {
    let is_one = (1..=FOREIGN_MAX_CHARS).contains(&code.chars().count()) && !code.contains(char::is_control);
    is_one.then(|| code.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_code_never_changes_between_versions() {
        assert_eq!(referral_code(Uuid::nil()), "16DX1Q1WTH81TJ17");
    }

    #[test]
    fn what_can_be_nobodys_code_is_none() {
        let long = "x".repeat(65);
        for text in ["", " \t", "\u{200b}", "undefined", "null", "FRIEND\n2024", "FRIEND\u{7f}2", &long] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_code_of_another_form_is_taken_as_it_stands() {
        for text in ["FRIEND2024", "friend-2024", "U234567890123456", "0123456789ABCDEF0", "ami d'été"] {
            assert_eq!(parse(&format!(" {text} ")).as_deref(), Some(text));
        }
        assert_eq!(parse("\tabcd-efgh jkmn-pqrs").as_deref(), Some("ABCDEFGHJKMNPQRS"), "as one of ours");
    }

    proptest! {
        #[test]
        fn a_code_is_read_back_however_it_is_typed(sub: u128) {
            let code = referral_code(Uuid::from_u128(sub));
            let typed = code.to_lowercase().replace('1', "l").replace('0', "o");
            let typed = format!(" {}-{}", typed.split_at(4).0, typed.split_at(4).1);
            prop_assert_eq!(parse(&typed), Some(code));
        }

        #[test]
        fn what_was_read_is_read_again_as_the_same(text: String) {
            if let Some(code) = parse(&text) {
                prop_assert_eq!(parse(&code), Some(code));
            }
        }
    }
}

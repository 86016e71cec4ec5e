//! What a visitor may do. Pure: must not know how a visitor proves who it is.

use serde::{Deserialize, Serialize};

/// What a visitor may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// See everything but personal data.
    Read,
    /// See one user's personal data, written down with the reason.
    Reveal,
    /// Start what changes something.
    Act,
}

impl Right {
    /// All of them, in ascending order.
    pub const ALL: [Self; 3] = [Self::Read, Self::Reveal, Self::Act];

    /// As it is written in `--allow`, and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Reveal => "reveal",
            Self::Act => "act",
        }
    }

    /// The right of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|right| right.name() == name)
    }
}

/// What one visitor may do. Whoever may do anything may read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rights {
    /// See everything but personal data.
    pub read: bool,
    /// See one user's personal data.
    pub reveal: bool,
    /// Start what changes something.
    pub act: bool,
}

impl Rights {
    /// These, and reading if there is any.
    #[must_use]
    pub fn of(rights: &[Right]) -> Self {
        let has = |right| rights.contains(&right);
        Self { read: !rights.is_empty(), reveal: has(Right::Reveal), act: has(Right::Act) }
    }

    /// Those of them that there are, in ascending order.
    #[must_use]
    pub fn all(self) -> Vec<Right> {
        Right::ALL.into_iter().filter(|right| self.has(*right)).collect()
    }

    /// Whether this one is among them.
    #[must_use]
    pub fn has(self, right: Right) -> bool {
        match right {
            Right::Read => self.read,
            Right::Reveal => self.reveal,
            Right::Act => self.act,
        }
    }

    /// What both have.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            read: self.read && other.read,
            reveal: self.reveal && other.reveal,
            act: self.act && other.act,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn who_may_do_anything_may_read_and_nobody_may_more_than_both_say() {
        assert_eq!(Rights::of(&[]), Rights::default());
        assert_eq!(Rights::of(&[Right::Act]).all(), [Right::Read, Right::Act]);
        let (reveals, acts) = (Rights::of(&[Right::Reveal]), Rights::of(&[Right::Act]));
        assert_eq!(reveals.and(acts).all(), [Right::Read]);
        assert_eq!(reveals.and(Rights::default()), Rights::default());
        assert!(Right::ALL.into_iter().all(|right| Right::named(right.name()) == Some(right)));
        assert_eq!(Right::named("Act"), None);
    }
}

//! Remembers what texts were read as: the same few locales and user agents come again and again. Must not know what they
//! mean.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

/// Most texts that are remembered: a few hundred locales, some thousands of user agents.
const TEXTS_MAX: usize = 4_096;

/// A longer text is read each time, so that what is remembered is bounded in bytes, too (8 MiB at most).
const TEXT_MAX_BYTES: usize = 2_048;

/// What a pure function made of the texts that it was given last.
pub(in crate::store) struct Memo<T> {
    read: fn(&str) -> T,
    known: RwLock<Option<HashMap<String, T>>>,
}

impl<T: Clone> Memo<T> {
    /// Of a function that asks nothing but its text.
    pub(in crate::store) const fn new(read: fn(&str) -> T) -> Self {
        Self { read, known: RwLock::new(None) }
    }

    /// What the function makes of the text.
    pub(in crate::store) fn of(&self, text: &str) -> T {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = known.as_ref().and_then(|known| known.get(text)) {
            return value.clone();
        }
        drop(known);
        let value = (self.read)(text);
        if text.len() <= TEXT_MAX_BYTES {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            let known = known.get_or_insert_default();
            // Once in so many texts, all are read again: cheaper than knowing which came last.
            if known.len() >= TEXTS_MAX {
                known.clear();
            }
            known.insert(text.to_owned(), value.clone());
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_once_while_it_is_known() {
        static READ: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let reads = || READ.load(std::sync::atomic::Ordering::Relaxed);
        let memo = Memo::new(|text: &str| {
            READ.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            text.len()
        });
        for _ in 0..3 {
            assert_eq!((memo.of("de"), memo.of("en-GB")), (2, 5));
        }
        assert_eq!(reads(), 2);
        let long = "x".repeat(TEXT_MAX_BYTES + 1);
        assert_eq!((memo.of(&long), memo.of(&long), reads()), (long.len(), long.len(), 4), "not remembered");
        for text in 0..TEXTS_MAX {
            memo.of(&text.to_string());
        }
        let before = reads();
        assert_eq!((memo.of("de"), reads()), (2, before + 1), "forgotten with the others");
    }
}

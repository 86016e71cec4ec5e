//! What the reasons of dead letters mean, and what helps: the runbook's table in a line each. Pure.

/// A reason that the consumer gives, or SQS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reason {
    pub(super) word: &'static str,
    pub(super) meaning: &'static str,
    /// After what a redrive helps; `None` is never.
    pub(super) helps_after: Option<&'static str>,
    /// What to do first, or instead.
    pub(super) advice: &'static str,
}

const fn reason(
    word: &'static str,
    meaning: &'static str,
    helps_after: Option<&'static str>,
    advice: &'static str,
) -> Reason {
    Reason { word, meaning, helps_after, advice }
}

const REASONS: [Reason; 13] = [
    reason(
        "refused_by_database",
        "The table refuses the row",
        Some("after what refuses it is undone"),
        "Undo what changed users: the detail names the constraint, the column or the function.",
    ),
    reason(
        "max_receives",
        "Received as often as the queue permits, never applied",
        Some("after the consumer is mended"),
        "Look at the consumer's log: an outage that is over, or messages that make it crash.",
    ),
    reason(
        "unknown_version",
        "Written by a newer producer, or by none of ours",
        Some("after the consumer is upgraded"),
        "Upgrade the consumer, and this console: it sends back only what it can read itself.",
    ),
    reason(
        "unknown_type",
        "A kind of event that this build does not know",
        Some("after the consumer is upgraded"),
        "Upgrade the consumer, and this console: it sends back only what it can read itself.",
    ),
    reason("malformed", "Not one of our events", None, "Find out who else sends to the queue; drop them."),
    reason(
        "oversized",
        "Larger than a message may be",
        None,
        "Find out who else sends to the queue; drop them.",
    ),
    reason(
        "id_time_mismatch",
        "Its id is not of its time: not one of our events",
        None,
        "Find out who else sends to the queue; drop them.",
    ),
    reason(
        "another_pool",
        "Of a user pool that is not accepted",
        Some("after the pool is accepted"),
        "If its users belong into the table, add the pool to USER_SYNC_USER_POOL_ID of the consumer; else drop them.",
    ),
    reason(
        "too_old",
        "Older than the ledger keeps",
        None,
        "Drop them; reconcile with repair restores the users' state, but not the sign-ins.",
    ),
    reason(
        "future",
        "From the future: the sender's clock is ahead",
        Some("when their time has come"),
        "Correct the sender's clock.",
    ),
    reason(
        "no_partition",
        "The ledger has no month for it",
        Some("after the months are made"),
        "Run maintain: it makes the coming months.",
    ),
    reason(
        "id_conflict",
        "Two different events have one id",
        None,
        "Keep a copy, report a bug, and drop them.",
    ),
    reason(
        "wrong_queue",
        "On the queue of the other kind",
        None,
        "Find out who sends them; the runbook says which may be moved by hand.",
    ),
];

impl Reason {
    /// The reason of this word; `None` if it is none of ours.
    pub(super) fn of(word: &str) -> Option<&'static Self> {
        REASONS.iter().find(|reason| reason.word == word)
    }

    /// What stands in the column "Redriving helps".
    pub(super) fn helps(&self) -> &'static str {
        self.helps_after.unwrap_or("never: comes back")
    }
}

/// The word that a letter is listed by. Whoever may send to the dead-letter queue chooses the attribute: what has not the
/// form of a reason is not shown.
pub(super) fn word(attribute: &str) -> String {
    let is_word = !attribute.is_empty()
        && attribute.len() <= 40
        && attribute.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if is_word { attribute.to_owned() } else { UNREADABLE.to_owned() }
}

/// Stands for a reason that has not the form of one.
pub(super) const UNREADABLE: &str = "unreadable";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_of_the_runbook_is_explained() {
        let runbook = include_str!("../../../docs/runbook.md");
        let table = runbook
            .split("| reason | meaning | what to do |")
            .nth(1)
            .and_then(|rest| rest.split("\n\n").next());
        let rows = table.unwrap_or_default().lines().filter_map(|line| line.strip_prefix("| `"));
        // "`malformed`, `oversized` | …": the cell begins after its first quote.
        let cells = rows.filter_map(|row| row.split(" |").next());
        let words: Vec<&str> =
            cells.flat_map(|cell| cell.split("`, `")).filter_map(|word| word.split('`').next()).collect();
        assert!(words.len() > 10, "{words:?}");
        for word in words {
            assert!(Reason::of(word).is_some(), "{word}");
        }
    }

    #[test]
    fn a_reason_that_has_not_the_form_of_one_is_not_shown() {
        assert_eq!(word("too_old"), "too_old");
        assert_eq!(word("a_reason_of_tomorrow"), "a_reason_of_tomorrow");
        for attribute in ["", "ada@example.com", "<script>", "Ada Byron", "\u{202e}too_old", &"a".repeat(41)]
        {
            assert_eq!(word(attribute), UNREADABLE, "{attribute}");
        }
    }
}

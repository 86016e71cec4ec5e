//! What can be started from a page: what it is called, what it asks for first, and which command does it. Pure.

use crate::console::page::Section;
use crate::console::words;

/// What can be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::console) enum Kind {
    /// Dead letters go back to their queue.
    RedriveLetters,
    /// Dead letters are deleted.
    DropLetters,
    /// The pool beside the table.
    Reconcile {
        /// And what repairs the differences is published.
        repair: bool,
    },
    /// The rows beside the ledger.
    Verify {
        /// And rows are written anew.
        repair: bool,
    },
    /// The logins beside what AWS recorded.
    Audit,
    /// The ledgers' months.
    Maintain,
    /// How many users there are.
    CountUsers,
}

impl Kind {
    pub(in crate::console) const ALL: [Self; 9] = [
        Self::RedriveLetters,
        Self::DropLetters,
        Self::Reconcile { repair: false },
        Self::Reconcile { repair: true },
        Self::Verify { repair: false },
        Self::Verify { repair: true },
        Self::Audit,
        Self::Maintain,
        Self::CountUsers,
    ];

    /// The word in tables and forms.
    pub(in crate::console) fn as_str(self) -> &'static str {
        match self {
            Self::RedriveLetters => "redrive_letters",
            Self::DropLetters => "drop_letters",
            Self::Reconcile { repair: false } => "reconcile",
            Self::Reconcile { repair: true } => "reconcile_repair",
            Self::Verify { repair: false } => "verify",
            Self::Verify { repair: true } => "verify_repair",
            Self::Audit => "audit",
            Self::Maintain => "maintain",
            Self::CountUsers => "count_users",
        }
    }

    /// What the word means, if it means anything.
    pub(in crate::console) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    pub(in crate::console) fn section(self) -> Section {
        match self {
            Self::RedriveLetters | Self::DropLetters => Section::DeadLetters,
            Self::Reconcile { .. } | Self::Verify { .. } | Self::Audit | Self::Maintain => Section::Drift,
            Self::CountUsers => Section::Users,
        }
    }

    /// The page it comes from: its URL, and what that is called.
    pub(in crate::console) fn above(self) -> (&'static str, &'static str) {
        match self {
            Self::RedriveLetters | Self::DropLetters => ("/dead-letters", "Dead letters"),
            Self::Reconcile { .. } | Self::Verify { .. } | Self::Audit | Self::Maintain => {
                ("/drift", "Drift and audit")
            }
            Self::CountUsers => ("/users", "Users"),
        }
    }

    /// Whether the console does it in this process; else it is a command's.
    pub(in crate::console) fn is_own(self) -> bool {
        self.command().is_none()
    }

    /// The command that does it, without the program's name.
    pub(in crate::console) fn command(self) -> Option<&'static [&'static str]> {
        match self {
            Self::RedriveLetters | Self::DropLetters | Self::CountUsers => None,
            Self::Reconcile { repair: false } => Some(&["reconcile"]),
            Self::Reconcile { repair: true } => Some(&["reconcile", "--repair"]),
            Self::Verify { repair: false } => Some(&["verify"]),
            Self::Verify { repair: true } => Some(&["verify", "--repair"]),
            Self::Audit => Some(&["audit"]),
            Self::Maintain => Some(&["maintain"]),
        }
    }

    /// What whoever may not act tells those who may, for a terminal.
    pub(in crate::console) fn in_a_terminal(self) -> String {
        let words = match self {
            Self::RedriveLetters => &["dlq", "redrive"],
            Self::DropLetters => &["dlq", "drop"],
            Self::CountUsers => &["report", "active-users"],
            Self::Reconcile { .. } | Self::Verify { .. } | Self::Audit | Self::Maintain => {
                self.command().unwrap_or_default()
            }
        };
        format!("user-sync {}", words.join(" "))
    }

    /// Whether the number must be typed: any drop, any repair, and what concerns several messages.
    pub(in crate::console) fn asks_for_the_count(self, count: u64) -> bool {
        match self {
            Self::RedriveLetters => count >= 2,
            Self::DropLetters | Self::Reconcile { repair: true } | Self::Verify { repair: true } => true,
            Self::Reconcile { repair: false }
            | Self::Verify { repair: false }
            | Self::Audit
            | Self::Maintain
            | Self::CountUsers => false,
        }
    }

    /// Whether a reason must be given.
    pub(in crate::console) fn asks_for_a_reason(self, count: u64) -> bool {
        self.asks_for_the_count(count)
    }

    /// Whether who asks for the same while it goes on is led to it.
    pub(in crate::console) fn is_shared(self) -> bool {
        matches!(self, Self::CountUsers)
    }

    /// Whether it goes so many a second.
    pub(in crate::console) fn has_a_rate(self) -> bool {
        matches!(self, Self::RedriveLetters)
    }

    /// What is counted, as many of them: `665 messages`.
    pub(in crate::console) fn things(self, count: u64) -> String {
        let (one, many) = match self {
            Self::RedriveLetters | Self::DropLetters => ("message", "messages"),
            Self::Reconcile { .. } | Self::Verify { .. } => ("difference", "differences"),
            Self::Audit => ("login", "logins"),
            Self::Maintain => ("month", "months"),
            Self::CountUsers => ("user", "users"),
        };
        format!("{} {}", words::count(count), if count == 1 { one } else { many })
    }

    /// What is to be done, as a sentence's beginning: `Redrive 665 messages`.
    pub(in crate::console) fn verb(self, count: u64) -> String {
        match self {
            Self::RedriveLetters => format!("Redrive {}", self.things(count)),
            Self::DropLetters => format!("Drop {}", self.things(count)),
            Self::Reconcile { repair: false } => "Compare the pool with the table".to_owned(),
            Self::Reconcile { repair: true } | Self::Verify { repair: true } => {
                format!("Repair {}", self.things(count))
            }
            Self::Verify { repair: false } => "Verify the rows".to_owned(),
            Self::Audit => "Audit the logins".to_owned(),
            Self::Maintain => "Make and fold months".to_owned(),
            Self::CountUsers => "Count the users".to_owned(),
        }
    }

    /// The same in short, for the way to the page and for what was done: `Redrive`.
    pub(in crate::console) fn word(self) -> &'static str {
        match self {
            Self::RedriveLetters => "Redrive",
            Self::DropLetters => "Drop",
            Self::Reconcile { repair: false } => "Compare",
            Self::Reconcile { repair: true } | Self::Verify { repair: true } => "Repair",
            Self::Verify { repair: false } => "Verify",
            Self::Audit => "Audit",
            Self::Maintain => "Maintain",
            Self::CountUsers => "Count",
        }
    }

    /// What becomes of it, and what does not.
    pub(in crate::console) fn consequence(self) -> &'static str {
        match self {
            Self::RedriveLetters => {
                "They go back to the queue and are applied like new ones. What was counted before is not counted again."
            }
            Self::DropLetters => {
                "They are deleted from the dead-letter queue for good. What they say is in no row and no ledger then."
            }
            Self::Reconcile { repair: false } => {
                "Lists the whole pool, and compares each user and each group with the table. Nothing is changed, and nobody \
                 becomes a monthly active user by it."
            }
            Self::Reconcile { repair: true } => {
                "Compares the pool with the table again, and publishes what repairs each difference to the queue. The \
                 consumer applies it; nothing is written to the table besides."
            }
            Self::Verify { repair: false } => {
                "Works out every row from the ledger again, and compares. Nothing is changed."
            }
            Self::Verify { repair: true } => {
                "Works out every row from the ledger again, and writes those that differ."
            }
            Self::Audit => "Compares yesterday's logins with what AWS recorded of them. Nothing is changed.",
            Self::Maintain => {
                "Makes the ledgers' coming months, and folds and drops those past the retention. The counts stay."
            }
            Self::CountUsers => {
                "Reads the users once, in short pieces with rests between them. Nothing is changed, and whoever else asks for \
                 the same number shares it."
            }
        }
    }

    /// What the first row of *What happens* says of the count.
    pub(in crate::console) fn first_fact(self) -> Option<&'static str> {
        match self {
            Self::RedriveLetters => Some("Sent back"),
            Self::DropLetters => Some("Deleted for good"),
            Self::Reconcile { repair: true } | Self::Verify { repair: true } => {
                Some("Differences that were found")
            }
            Self::Reconcile { repair: false }
            | Self::Verify { repair: false }
            | Self::Audit
            | Self::Maintain
            | Self::CountUsers => None,
        }
    }

    /// What a cancelled one leaves behind.
    pub(in crate::console) fn after_a_cancel(self) -> &'static str {
        match self {
            Self::RedriveLetters => "You can cancel while it runs; what has been sent back stays so.",
            Self::DropLetters => "You can cancel while it runs; what has been deleted stays so.",
            Self::Reconcile { repair: true } => {
                "You can cancel while it runs; what has been published stays so. A later one goes on from there."
            }
            Self::Verify { repair: true } => "You can cancel while it runs; rows that were repaired stay so.",
            Self::Reconcile { repair: false }
            | Self::Verify { repair: false }
            | Self::Audit
            | Self::Maintain
            | Self::CountUsers => "You can cancel while it runs.",
        }
    }

    /// Whether a program that ends so has done all of it: some say by it that they found something.
    ///
    /// 1 is both a failure's and a finding's, of those that say so by it: the run tells which.
    pub(in crate::console) fn is_done_by(self, exit_code: i32) -> bool {
        match self {
            // A comparison that found drift.
            Self::Reconcile { repair: false } => matches!(exit_code, 0 | 2),
            Self::RedriveLetters
            | Self::DropLetters
            | Self::Reconcile { repair: true }
            | Self::Verify { .. }
            | Self::Audit
            | Self::Maintain
            | Self::CountUsers => exit_code == 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_means_what_it_was_written_for() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(Kind::parse("erase"), None);
    }

    #[test]
    fn the_count_is_typed_from_two_messages_on_and_for_whatever_cannot_be_undone() {
        assert!(!Kind::RedriveLetters.asks_for_the_count(1));
        assert!(Kind::RedriveLetters.asks_for_the_count(2));
        for kind in [Kind::DropLetters, Kind::Reconcile { repair: true }, Kind::Verify { repair: true }] {
            assert!(kind.asks_for_the_count(1), "{kind:?}");
        }
        assert!(!Kind::Verify { repair: false }.asks_for_the_count(100));
    }
}

//! Who is to blame for an error of the server's: a row, the set-up, the server, or others. By class of the SQLSTATE
//! ("PostgreSQL Error Codes", appendix A of PostgreSQL's manual); docs/decisions/0051 says why.

use crate::postgres::{Origin, ServerError};

/// Who is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blame {
    /// The row: the others can go through without it.
    Row,
    /// Schema, grants, session or pooler are not what this build needs.
    SetUp,
    /// The server cannot serve now.
    Server,
    /// Another transaction that was in the way, and has ended.
    Others,
    /// A lock that was not granted in time, or a statement that took too long.
    Lock,
}

impl Blame {
    pub(super) fn of(error: &ServerError) -> Self {
        let is_foreign = matches!(error.origin, Origin::Foreign(_));
        let blame = by_class(error);
        // It was called for a row, and what it may not do or does not find is not this service's.
        let is_of_the_row = is_foreign && (error.is_raised || blame == Self::SetUp);
        if is_of_the_row || is_of_a_policy(error) { Self::Row } else { blame }
    }
}

fn by_class(error: &ServerError) -> Blame {
    let sqlstate = error.sqlstate();
    match (sqlstate.get(..2).unwrap_or_default(), sqlstate) {
        (_, "40001" | "40P01") => Blame::Others,
        (_, "55P03" | "57014") => Blame::Lock,
        (_, "55000") => Blame::SetUp,
        // A plan that was kept over a change of the schema: another connection has none.
        ("0A", _) if error.routine.as_deref() == Some("RevalidateCachedQuery") => Blame::Server,
        ("0A" | "0L" | "0P" | "2B" | "3D" | "3F" | "42", _) => Blame::SetUp,
        ("03" | "08" | "0B" | "24" | "25" | "26" | "28" | "34" | "3B" | "40", _) => Blame::Server,
        ("53" | "55" | "57" | "58" | "72" | "F0" | "XX", _) => Blame::Server,
        // Of a value, a constraint, a trigger or a function; and what nobody knows is some application's own.
        _ => Blame::Row,
    }
}

/// Whether a policy refuses a row. Not by the message, which is in the server's language.
pub(super) fn is_of_a_policy(error: &ServerError) -> bool {
    error.sqlstate() == "42501" && error.routine.as_deref() == Some("ExecWithCheckOptions")
}

/// Whether an error of the server's may come with one row only: in somebody else's function, or of a page that is damaged.
pub(super) fn may_be_of_one_row(error: &ServerError) -> bool {
    let is_of_a_page = ["58", "XX"].iter().any(|class| error.sqlstate().starts_with(class));
    is_of_a_page || matches!(error.origin, Origin::Foreign(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blame(sqlstate: &str, origin: Origin, is_raised: bool) -> Blame {
        Blame::of(&ServerError::example(sqlstate, origin, is_raised))
    }

    /// Every class of appendix A, as of PostgreSQL 18.
    const CLASSES: [(Blame, &[&str]); 3] = [
        (
            Blame::Row,
            &[
                "00", "01", "02", "09", "0F", "0Z", "10", "20", "21", "22", "23", "27", "2D", "2F", "38",
                "39", "44", "54", "HV", "P0",
            ],
        ),
        (Blame::SetUp, &["0A", "0L", "0P", "2B", "3D", "3F", "42"]),
        (
            Blame::Server,
            &[
                "03", "08", "0B", "24", "25", "26", "28", "34", "3B", "40", "53", "55", "57", "58", "72",
                "F0", "XX",
            ],
        ),
    ];

    #[test]
    fn every_class_has_somebody_to_blame() {
        for (expected, classes) in CLASSES {
            for class in classes {
                // A condition of the class that has no rule of its own.
                let sqlstate = format!("{class}999");
                assert_eq!(blame(&sqlstate, Origin::Statement, false), expected, "{class}");
            }
        }
        for (sqlstate, expected) in [
            ("40001", Blame::Others),
            ("40P01", Blame::Others),
            ("55P03", Blame::Lock),
            ("57014", Blame::Lock),
            ("55000", Blame::SetUp),
            ("42501", Blame::SetUp),
            ("42703", Blame::SetUp),
            ("42P01", Blame::SetUp),
            ("25006", Blame::Server),
            ("53100", Blame::Server),
            ("53300", Blame::Server),
            ("57P01", Blame::Server),
            ("P0001", Blame::Row),
            ("ZZZZZ", Blame::Row),
        ] {
            assert_eq!(blame(sqlstate, Origin::Statement, false), expected, "{sqlstate}");
        }
    }

    #[test]
    fn what_a_foreign_function_raises_is_its_rows_and_never_an_outage() {
        let foreign = || Origin::Foreign(Some("check_user".to_owned()));
        for class in CLASSES.iter().flat_map(|(_, classes)| *classes) {
            assert_eq!(blame(&format!("{class}999"), foreign(), true), Blame::Row, "{class}");
        }
        for sqlstate in ["40001", "53100", "55P03", "57014", "55000", "42501"] {
            assert_eq!(blame(sqlstate, foreign(), true), Blame::Row, "{sqlstate}");
        }
        // What the server says of a function's statement stays what it is, but is looked for in one row.
        assert_eq!(blame("53100", foreign(), false), Blame::Server);
        assert!(may_be_of_one_row(&ServerError::example("53100", foreign(), false)));
        assert!(!may_be_of_one_row(&ServerError::example("53100", Origin::Statement, false)));
        assert_eq!(blame("42P01", foreign(), false), Blame::Row);
        assert_eq!(blame("55000", Origin::OwnFunction, true), Blame::SetUp);
    }

    #[test]
    fn a_policy_refuses_a_row_and_a_missing_grant_all() {
        let mut error = ServerError::example("42501", Origin::Statement, false);
        assert_eq!(Blame::of(&error), Blame::SetUp);
        error.routine = Some("ExecWithCheckOptions".to_owned());
        assert_eq!(Blame::of(&error), Blame::Row);
    }

    #[test]
    fn a_kept_plan_is_no_fault_of_the_set_up() {
        let mut error = ServerError::example("0A000", Origin::Statement, false);
        assert_eq!(Blame::of(&error), Blame::SetUp);
        error.routine = Some("RevalidateCachedQuery".to_owned());
        assert_eq!(Blame::of(&error), Blame::Server);
    }
}

//! The class of an error, as a run keeps it: never its text, which may be another's.

use std::error::Error;

use crate::store::tables::failure::StoreError;

/// The class of an error: what failed, with a code where there is one.
#[must_use]
pub fn class_of(error: &(dyn Error + 'static)) -> String {
    let mut class = "other";
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(database) = error.downcast_ref::<sqlx::Error>() {
            let code = database.as_database_error().and_then(|error| error.code());
            return code
                .map_or_else(|| "database: not available".to_owned(), |code| format!("database: {code}"));
        }
        if error.is::<StoreError>() {
            class = "database";
        } else if error.is::<std::io::Error>() {
            class = "input or output";
        }
        next = error.source();
    }
    class.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_quotes_nobody() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read ada@example.com")]
        struct Quotes(#[source] sqlx::Error);

        assert_eq!(class_of(&Quotes(sqlx::Error::PoolTimedOut)), "database: not available");
        let broken = std::io::Error::other("ada@example.com");
        assert_eq!(class_of(&broken), "input or output");
        assert_eq!(class_of(&std::fmt::Error), "other");
    }
}

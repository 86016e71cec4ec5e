//! What must hold of a database before anything is put into it.

use crate::postgres::Transaction;

/// The oldest minor version of each major one that is served, as `server_version_num` has it. Older ones have bugs in what
/// this service depends on; of later major versions, every one will do.
const OLDEST: [(i32, i32); 3] = [(14, 140_011), (15, 150_006), (16, 160_002)];

/// Something that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found}: {fix}")]
pub struct Unmet {
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub fix: &'static str,
}

/// A server and a database, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// `server_version_num`.
    pub version_number: i32,
    /// `server_version`.
    pub version: String,
    /// `server_encoding`.
    pub encoding: String,
    /// Whether it is a standby, or a read replica.
    pub is_standby: bool,
}

impl Server {
    /// Asks the server.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn read<'e>(
        questions: impl sqlx::Executor<'e, Database = sqlx::Postgres>,
    ) -> Result<Self, sqlx::Error> {
        let query =
            "select current_setting('server_version_num')::integer, current_setting('server_version'),
            current_setting('server_encoding'), pg_is_in_recovery()";
        let row: (i32, String, String, bool) = sqlx::query_as(query).fetch_one(questions).await?;
        let (version_number, version, encoding, is_standby) = row;
        Ok(Self { version_number, version, encoding, is_standby })
    }

    /// Whether its version is served.
    ///
    /// # Errors
    /// Says which ones are.
    fn check_version(&self) -> Result<(), Unmet> {
        let major = self.version_number / 10_000;
        let is_served = match OLDEST.iter().find(|(known, _)| *known == major) {
            Some((_, oldest)) => self.version_number >= *oldest,
            None => OLDEST.iter().all(|(known, _)| major > *known),
        };
        let found = format!("the server is PostgreSQL {}", self.version);
        let fix = "upgrade it to 14.11, 15.6, 16.2 or newer";
        if is_served { Ok(()) } else { Err(Unmet { found, fix }) }
    }

    /// Whether it is one to write to, of a version that is served.
    ///
    /// # Errors
    /// Says which ones are.
    pub fn check(&self) -> Result<(), Unmet> {
        self.check_version()?;
        self.check_writable()
    }

    /// Whether every text can be stored.
    ///
    /// # Errors
    /// When the encoding is not UTF8.
    pub fn check_encoding(&self) -> Result<(), Unmet> {
        let found = format!(
            "the database's encoding is {}, in which names such as Łukasz cannot be stored",
            self.encoding
        );
        let fix =
            "make a database with `create database … encoding 'UTF8' template template0` and use that one";
        if self.encoding == "UTF8" { Ok(()) } else { Err(Unmet { found, fix }) }
    }

    /// Whether it takes writes.
    ///
    /// # Errors
    /// When it is a standby.
    fn check_writable(&self) -> Result<(), Unmet> {
        let found = "the server is a standby or a read replica, which takes no writes".to_owned();
        let fix = "name the writer in DATABASE_URL: on Aurora the cluster's endpoint, not its reader's";
        if self.is_standby { Err(Unmet { found, fix }) } else { Ok(()) }
    }
}

/// Fails where the database cannot hold the tables.
pub(super) async fn check(tx: &mut Transaction) -> Result<(), super::Error> {
    let server = Server::read(tx).await?;
    server.check()?;
    Ok(server.check_encoding()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_with_known_bugs_are_not_served() {
        let is_served = |version_number| {
            let (version, encoding) = (String::new(), "UTF8".to_owned());
            Server { version_number, version, encoding, is_standby: false }.check_version().is_ok()
        };
        for number in [140_011, 150_006, 150_018, 160_002, 170_000, 180_004, 190_000] {
            assert!(is_served(number), "{number}");
        }
        for number in [90_624, 130_022, 140_010, 150_005, 160_001] {
            assert!(!is_served(number), "{number}");
        }
    }
}

//! Makes the logins of a deployment's functions: each is a member of one group role, and of nothing else. Must not know
//! what a login is used for.

use postgres_protocol::password::scram_sha_256;
use secrecy::ExposeSecret as _;
use sqlx::AssertSqlSafe;

use crate::config::{DatabaseConfig, Role};
use crate::postgres::credentials::{CredentialsError, Login, Source};
use crate::postgres::{self, Database, DatabaseError, Purpose, Transaction};
use crate::store::migrate::{Deployment, mark_role, marks_of};

/// How a login proves who it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Authentication<'a> {
    /// By RDS's tokens.
    Iam {
        /// The login's name.
        user: &'a str,
    },
    /// By the password in a secret, which names the login too.
    Secret {
        /// The secret.
        arn: &'a str,
    },
}

/// A login cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The secret cannot be read.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The database cannot be connected to as the login.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// RDS's own role is missing.
    #[error(
        "the role rds_iam is not there, so no login can use IAM authentication: is this an RDS server? \
         Else give the construct auth: DatabaseAuth.secret()"
    )]
    NoRdsIam,
    /// Somebody else's login.
    #[error(
        "the login {login} may do more than a function of this service should (it is a superuser, may create \
         roles, or is a member of {owner}): give the function a login of its own"
    )]
    TooPowerful {
        /// Its name.
        login: String,
        /// The role that owns the tables.
        owner: String,
    },
    /// Another deployment's login.
    #[error(
        "the login {login} belongs to another deployment, in {place} of this server, and its password would change: give \
         this deployment a login of its own"
    )]
    AnotherDeployments {
        /// Its name.
        login: String,
        /// Where the other deployment is.
        place: String,
    },
    /// Somebody else's login, which is not a member of the group.
    #[error(
        "the login {login} was there before and is no member of {group}, so somebody else may be using it, and its \
         password would change: give the function a login of its own, or grant {group} to this one and deploy again"
    )]
    SomebodyElses {
        /// Its name.
        login: String,
        /// What it should be a member of.
        group: String,
    },
    /// A statement failed.
    #[error("cannot {doing} the login {login}: {}", .source.as_database_error().map_or("the database does not answer", |error| error.message()))]
    Statement {
        /// What was done.
        doing: &'static str,
        /// The login.
        login: String,
        /// Why not.
        source: sqlx::Error,
    },
}

/// Makes the login, or corrects it. Idempotent. Sets the password only if the server refuses it: a rotation that is under
/// way is left alone.
pub(super) async fn ensure(
    database: &Database,
    config: &DatabaseConfig,
    deployment: &Deployment,
    role: Role,
    authentication: Authentication<'_>,
) -> Result<(), LoginError> {
    let (name, login) = match authentication {
        Authentication::Iam { user } => (user.to_owned(), None),
        Authentication::Secret { arn } => {
            let login = Source::secret(arn).await.fetch_first().await?;
            (login.user.clone(), Some(login))
        }
    };
    let make = Statements { database, login: &name };
    let (group, owner) = (deployment.prefix.role(role), deployment.prefix.role(Role::Owner));
    let is_shared = make.is_anothers(deployment, role, &authentication).await?;
    if !make.is("select exists (select from pg_roles where rolname = $1)").await? {
        // In one statement: a login outside its group counts as somebody else's.
        let create = format!("select format('create role %I login in role {group}', $1)");
        make.run("create", &create).await?;
        tracing::info!(login = name, "made a login");
    }
    if make.is(&deployment.prefix.rename(include_str!("is_too_powerful.sql"))).await? {
        return Err(LoginError::TooPowerful { login: name, owner });
    }
    if !make.is_member_of(&group).await? {
        return Err(LoginError::SomebodyElses { login: name, group });
    }
    if !is_shared {
        make.mark(deployment, role).await?;
    }
    make.run("allow to log in", "select format('alter role %I login', $1)").await?;
    match &login {
        None => {
            let rds_iam = "select exists (select from pg_roles where rolname = 'rds_iam' and $1 <> '')";
            if !make.is(rds_iam).await? {
                return Err(LoginError::NoRdsIam);
            }
            make.member_of("rds_iam").await
        }
        Some(login) => {
            // RDS refuses every password of a member of rds_iam.
            make.no_member_of("rds_iam").await?;
            let_in(&make, config, login).await
        }
    }
}

/// Sets the password unless the server accepts it already.
async fn let_in(make: &Statements<'_>, config: &DatabaseConfig, login: &Login) -> Result<(), LoginError> {
    let database = postgres::connect_as(config, &login.user, &login.password, 1)?;
    let tried = database.acquire().await.map(drop);
    database.close().await;
    let is_refused = |error: &sqlx::Error| {
        let code = error.as_database_error().and_then(|error| error.code());
        // "PostgreSQL Error Codes": class 28, Invalid Authorization Specification.
        code.is_some_and(|code| code.starts_with("28"))
    };
    match tried {
        Ok(()) => Ok(()),
        Err(error) if is_refused(&error) => {
            // The verifier, not the password: statements are logged.
            let verifier = scram_sha_256(login.password.expose_secret().as_bytes());
            let statement = format!("select format('alter role %I password %L', $1, '{verifier}')");
            make.run("set the password of", &statement).await?;
            tracing::info!(login = login.user, "set a password");
            Ok(())
        }
        Err(source) => Err(LoginError::Statement { doing: "connect as", login: login.user.clone(), source }),
    }
}

/// Statements on one login. Each text has the login's name as `$1`.
struct Statements<'a> {
    database: &'a Database,
    login: &'a str,
}

impl Statements<'_> {
    fn failed(&self, doing: &'static str) -> impl Fn(sqlx::Error) -> LoginError {
        let login = self.login.to_owned();
        move |source| LoginError::Statement { doing, login: login.clone(), source }
    }

    async fn begin(&self, doing: &'static str) -> Result<Transaction, LoginError> {
        self.database.begin(Purpose::Migration).await.map_err(self.failed(doing))
    }

    /// Whether another deployment has marked the login, which is refused. One without a password may be shared from before:
    /// nothing of it is changed, and `doctor` names it.
    async fn is_anothers(
        &self,
        deployment: &Deployment,
        role: Role,
        authentication: &Authentication<'_>,
    ) -> Result<bool, LoginError> {
        let mut tx = self.begin("look at").await?;
        let marks = marks_of(&mut tx, &[self.login.to_owned()]).await.map_err(self.failed("look at"))?;
        tx.rollback().await.map_err(self.failed("look at"))?;
        match marks.into_values().find(|mark| mark.is_of_another(&deployment.mark)) {
            Some(mark)
                if matches!(authentication, Authentication::Iam { .. })
                    && self.is_member_of(&deployment.prefix.role(role)).await? =>
            {
                let login = self.login;
                tracing::warn!(login, "another deployment, in {}, uses the same login", mark.place);
                Ok(true)
            }
            Some(mark) => {
                Err(LoginError::AnotherDeployments { login: self.login.to_owned(), place: mark.place })
            }
            None => Ok(false),
        }
    }

    /// Marks the login as the deployment's.
    async fn mark(&self, deployment: &Deployment, role: Role) -> Result<(), LoginError> {
        let what = format!("a login of {}", deployment.prefix.role(role));
        let mut tx = self.begin("mark").await?;
        mark_role(&mut tx, self.login, &what, &deployment.mark).await.map_err(self.failed("mark"))?;
        tx.commit().await.map_err(self.failed("mark"))
    }

    async fn is(&self, question: &str) -> Result<bool, LoginError> {
        let asked = sqlx::query_scalar(AssertSqlSafe(question.to_owned())).bind(self.login);
        asked.fetch_one(self.database.inspection()).await.map_err(self.failed("look at"))
    }

    /// Runs what `text` formats: names cannot be bound in a statement on roles.
    async fn run(&self, doing: &'static str, text: &str) -> Result<(), LoginError> {
        let formatted = sqlx::query_scalar::<_, String>(AssertSqlSafe(text.to_owned())).bind(self.login);
        let mut tx = self.begin(doing).await?;
        let statement = formatted.fetch_one(&mut tx).await.map_err(self.failed(doing))?;
        let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut tx).await;
        done.map_err(self.failed(doing))?;
        tx.commit().await.map_err(self.failed(doing))
    }

    async fn is_member_of(&self, role: &str) -> Result<bool, LoginError> {
        self.is(&format!(
            "select exists (
                select from pg_auth_members
                join pg_roles as groups on groups.oid = roleid
                join pg_roles as members on members.oid = member
                where groups.rolname = '{role}' and members.rolname = $1)"
        ))
        .await
    }

    async fn member_of(&self, role: &str) -> Result<(), LoginError> {
        if self.is_member_of(role).await? {
            return Ok(());
        }
        self.run("give rights to", &format!("select format('grant {role} to %I', $1)")).await
    }

    async fn no_member_of(&self, role: &str) -> Result<(), LoginError> {
        if !self.is_member_of(role).await? {
            return Ok(());
        }
        self.run("take rights from", &format!("select format('revoke {role} from %I', $1)")).await
    }
}

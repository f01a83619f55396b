//! The connection: SQLite or PostgreSQL behind the same statements, and one writer at a time.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions, AnyRow};
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{Any, Row, SqlSafeStr, Transaction};
use sqlx::{AnyConnection, AnyPool, Connection as _};
use std::borrow::Cow;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// Each is applied once, in order, and never edited.
const MIGRATIONS: [(i64, &str, &str); 2] = [
    (1, "records", include_str!("migrations/1_records.sql")),
    (2, "gateway", include_str!("migrations/2_gateway.sql")),
];
/// How long a writer waits for another.
const PATIENCE: Duration = Duration::from_secs(30);
/// Names the lock writers of a PostgreSQL database take; any number will do that nobody else uses.
const WRITER: i64 = 0x706f_7374;

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The address names no database this build knows.
    #[error("`{found}` is no store, expected `sqlite:FILE` or `postgres://USER:PASSWORD@HOST/DATABASE`")]
    Address {
        /// The address, without a password.
        found: String,
    },
    /// The database cannot be reached.
    #[error("cannot open the store `{address}`")]
    Connect {
        /// The address, without a password.
        address: String,
        /// Why.
        source: sqlx::Error,
    },
    /// Its tables cannot be brought up to date, or are those of a newer release.
    #[error("cannot bring the store `{address}` up to date")]
    Migrate {
        /// The address, without a password.
        address: String,
        /// Why.
        source: MigrateError,
    },
    /// A statement failed.
    #[error("the store failed")]
    Query(#[from] sqlx::Error),
    /// There is no such record.
    #[error("there is no {what} `{name}`")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A row does not hold what it should.
    #[error("{what} `{name}` in the store is damaged: {reason}")]
    Damaged {
        /// What it should be.
        what: &'static str,
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
}

/// Why a record was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError<E> {
    /// The change is not legal; nothing was written.
    #[error(transparent)]
    Refused(E),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<E> From<sqlx::Error> for ChangeError<E> {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// The records of one environment.
#[derive(Clone)]
pub struct Store {
    pub(crate) pool: AnyPool,
    sqlite: bool,
}

impl Store {
    /// Opens `sqlite:FILE` (made where it is not there) or `postgres://…`, and brings its tables up to date.
    ///
    /// # Errors
    /// [`StoreError::Address`], [`StoreError::Connect`], [`StoreError::Migrate`]; none holds the address's password.
    pub async fn open(address: &str) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let (sqlite, url) = match address.split_once(':') {
            Some(("sqlite", file)) => (
                true,
                format!("sqlite://{}?mode=rwc", file.trim_start_matches("//")),
            ),
            Some(("postgres" | "postgresql", _)) => (false, address.to_owned()),
            _ => {
                let found = without_password(address);
                return Err(StoreError::Address { found });
            }
        };
        let connect = |source| StoreError::Connect {
            address: without_password(address),
            source,
        };
        let options = AnyConnectOptions::from_str(&url).map_err(connect)?;
        // The pool tries for as long as its patience; what is no database at all is told at once.
        first_connection(&options, sqlite).await.map_err(connect)?;
        let pool = AnyPoolOptions::new()
            .max_connections(4)
            .acquire_timeout(PATIENCE)
            .after_connect(move |connection, _| Box::pin(prepare(connection, sqlite)))
            .connect_with(options)
            .await
            .map_err(connect)?;
        let store = Self { pool, sqlite };
        let migrate = |source| StoreError::Migrate {
            address: without_password(address),
            source,
        };
        store.migrate().await.map_err(migrate)?;
        Ok(store)
    }

    /// Applies what is missing; several processes may start at once.
    async fn migrate(&self) -> Result<(), MigrateError> {
        let migrations = MIGRATIONS.map(|(version, name, sql)| {
            let kind = MigrationType::Simple;
            Migration::new(version, Cow::Borrowed(name), kind, sql.into_sql_str(), false)
        });
        let migrator = Migrator {
            migrations: Cow::Owned(migrations.into()),
            ..Migrator::DEFAULT
        };
        let mut tries = 0;
        loop {
            // SQLite has no lock around migrations: the second of two first starts finds the tables there, and looks again.
            match migrator.run(&self.pool).await {
                Err(MigrateError::Execute(_) | MigrateError::ExecuteMigration(..))
                    if self.sqlite && tries < 5 =>
                {
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(50 << tries)).await;
                }
                result => return result,
            }
        }
    }

    /// Waits until all is written and closes.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Begins a transaction that is the only one to write.
    pub(crate) async fn write(&self) -> Result<Transaction<'_, Any>, StoreError> {
        if self.sqlite {
            return Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?);
        }
        let mut transaction = self.pool.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(WRITER)
            .execute(&mut *transaction)
            .await?;
        Ok(transaction)
    }

    /// Begins a transaction of rows that have no order among writers.
    pub(crate) async fn begin(&self) -> Result<Transaction<'_, Any>, StoreError> {
        let begin = if self.sqlite { "BEGIN IMMEDIATE" } else { "BEGIN" };
        Ok(self.pool.begin_with(begin).await?)
    }
}

/// Connects and prepares once; tries again while another process that starts holds the lock.
///
/// `busy_timeout` does not cover the change of a new file to WAL: of two that ask for it at once one is refused without
/// a wait, since each holds what the other needs.
async fn first_connection(options: &AnyConnectOptions, sqlite: bool) -> Result<(), sqlx::Error> {
    let started = Instant::now();
    loop {
        let mut first = AnyConnection::connect_with(options).await?;
        let prepared = prepare(&mut first, sqlite).await;
        first.close().await?;
        match prepared {
            Err(error) if is_busy(&error) && started.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            prepared => return prepared,
        }
    }
}

/// Whether SQLite refused because another connection held a lock: `SQLITE_BUSY` (5) and its extended codes, whose low byte it is.
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.and_then(|code| code.parse::<u32>().ok())
        .is_some_and(|code| code & 0xff == 5)
}

/// Readers of SQLite go on beside a writer, and what is committed is on the disk.
async fn prepare(connection: &mut AnyConnection, sqlite: bool) -> Result<(), sqlx::Error> {
    if sqlite {
        for pragma in [
            "PRAGMA busy_timeout = 30000",
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = FULL",
        ] {
            sqlx::query(pragma).execute(&mut *connection).await?;
        }
    }
    Ok(())
}

/// An address as it may be shown.
fn without_password(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else {
        return address.to_owned();
    };
    match rest.rsplit_once('@') {
        Some((login, host)) => {
            let user = login.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}:***@{host}")
        }
        None => address.to_owned(),
    }
}

/// A record as its row keeps it.
pub(crate) fn to_json(record: &impl Serialize) -> String {
    // Records of text, finite numbers and lists always have a JSON form.
    serde_json::to_string(record).expect("a record as JSON")
}

/// The record in the row's first column.
pub(crate) fn record<T: DeserializeOwned>(
    row: &AnyRow,
    what: &'static str,
    name: impl ToString,
) -> Result<T, StoreError> {
    let text: String = row.try_get(0)?;
    serde_json::from_str(&text).map_err(|error| StoreError::Damaged {
        what,
        name: name.to_string(),
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::without_password;

    #[test]
    fn addresses_are_shown_without_passwords() {
        let shown = without_password("postgres://ada:p@ss:word@db:5432/poststelle");
        assert_eq!(shown, "postgres://ada:***@db:5432/poststelle");
        assert_eq!(without_password("sqlite:a@b.db"), "sqlite:a@b.db");
    }
}

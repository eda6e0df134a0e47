//! The limit a host is set beside: a process that opens a SQLite database, reads one row, says so, and stays until
//! the end of its input.

#![expect(clippy::print_stdout, reason = "the line is what is waited for")]

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let path = std::env::args().nth(1).unwrap_or_default();
    let mut connection: SqliteConnection = SqliteConnectOptions::new().filename(path).connect().await?;
    let _: Option<i64> =
        sqlx::query_scalar("SELECT seq FROM record LIMIT 1").fetch_optional(&mut connection).await?;
    println!("open");
    std::io::stdin().read_line(&mut String::new())?;
    Ok(connection.close().await?)
}

//! A PostgreSQL of the bench's own, from the machine's programs, which waits for the disk. As root it runs as the
//! user `postgres`: PostgreSQL refuses root. It ends, and its folder goes, when its keeper's input ends.

use anyhow::{Context, Result, ensure};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

const KEEPER: &str = r#"
trap '' INT TERM HUP
bin=$1 dir=$2 port=$3
as() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }
chmod 700 "$dir" && { [ "$(id -u)" != 0 ] || chown postgres "$dir"; } && cd "$dir" || exit 1
as "$bin/initdb" -D "$dir/data" -A trust -U postgres -E UTF8 --locale=C </dev/null >&2 &&
as "$bin/pg_ctl" -D "$dir/data" -w -l "$dir/log" -o "-p $port -k $dir -c listen_addresses=127.0.0.1" start </dev/null >&2 &&
echo ready && cat >/dev/null
as "$bin/pg_ctl" -D "$dir/data" -m immediate stop </dev/null >/dev/null 2>&1
rm -rf "$dir"
"#;

#[derive(Debug)]
pub struct Cluster {
    keeper: Child,
    port: u16,
}

impl Cluster {
    /// None where the machine has no PostgreSQL.
    pub fn start() -> Result<Option<Cluster>> {
        let Some(programs) = programs() else { return Ok(None) };
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let folder = tempfile::Builder::new().prefix("hhpg").tempdir()?.keep();
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .args([&programs, &folder])
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut said = String::new();
        BufReader::new(keeper.stdout.take().context("piped above")?).read_line(&mut said)?;
        let cluster = Cluster { keeper, port };
        ensure!(said == "ready\n", "PostgreSQL did not start in {}", folder.display());
        Ok(Some(cluster))
    }

    pub async fn new_database(&self, name: &str) -> Result<String> {
        let url = |name: &str| format!("postgres://postgres@127.0.0.1:{}/{name}", self.port);
        let mut db = PgConnection::connect(&url("postgres")).await?;
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut db).await?;
        db.close().await?;
        Ok(url(name))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Debian keeps them by version.
fn programs() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut folders: Vec<PathBuf> = folders.filter_map(|f| Some(f.ok()?.path().join("bin"))).collect();
    folders.retain(|folder| folder.join("pg_ctl").is_file());
    folders.sort();
    folders.pop()
}

//! A PostgreSQL for the tests: `HEYHO_TEST_POSTGRES_URL`, else a temporary cluster from the machine's own programs.
//!
//! The cluster belongs to a small shell process that stops it and removes its folder when its input ends, so it also
//! goes when the tests are killed. As root it runs as the user `postgres`, because PostgreSQL refuses root.
//! It does not wait for the disk unless `HEYHO_TEST_POSTGRES_FSYNC=on`.
//! Without either, the tests that need it say so and pass; `HEYHO_REQUIRE_POSTGRES=1` makes that a failure.

use sqlx::Connection as _;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

const SCRIPT: &str = r#"
trap '' INT TERM HUP
bin=$1 dir=$2 port=$3
as() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }
end() { as "$bin/pg_ctl" -D "$dir/data" -m immediate stop >/dev/null 2>&1 </dev/null; rm -rf "$dir"; }
mkdir -p "$dir" && chmod 700 "$dir" && { [ "$(id -u)" != 0 ] || chown postgres "$dir"; } || exit 1
cd "$dir" || exit 1
as "$bin/initdb" -D "$dir/data" -A trust -U postgres -E UTF8 --locale=C >"$dir.log" 2>&1 </dev/null &&
as "$bin/pg_ctl" -D "$dir/data" -w -l "$dir/log" \
    -o "-p $port -k $dir -c listen_addresses=127.0.0.1 -c fsync=${HEYHO_TEST_POSTGRES_FSYNC:-off} -c max_connections=300" start \
    >>"$dir.log" 2>&1 </dev/null || { cat "$dir.log"; rm -f "$dir.log"; end; exit 1; }
rm -f "$dir.log"
echo ready
cat >/dev/null
end
"#;

/// Never dropped: its input ends with this process.
struct Cluster {
    url: String,
    _keeper: Option<Child>,
}

/// The URL of a new, empty database, or None where there is no PostgreSQL.
pub async fn new_database() -> Option<String> {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let cluster = tokio::task::spawn_blocking(|| CLUSTER.get_or_init(start)).await.unwrap();
    let Some(cluster) = cluster else {
        assert!(
            std::env::var_os("HEYHO_REQUIRE_POSTGRES").is_none(),
            "HEYHO_REQUIRE_POSTGRES is set, but there is neither HEYHO_TEST_POSTGRES_URL nor a PostgreSQL here"
        );
        eprintln!("not tested on PostgreSQL: neither HEYHO_TEST_POSTGRES_URL nor a PostgreSQL here");
        return None;
    };
    let name = format!("heyho_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::SeqCst));
    let mut connection = sqlx::PgConnection::connect(&cluster.url).await.expect("PostgreSQL answers");
    sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(&mut connection)
        .await
        .expect("a new database");
    connection.close().await.unwrap();
    let mut url = url::Url::parse(&cluster.url).expect("HEYHO_TEST_POSTGRES_URL is a URL");
    url.set_path(&name);
    Some(url.into())
}

fn start() -> Option<Cluster> {
    if let Ok(url) = std::env::var("HEYHO_TEST_POSTGRES_URL") {
        return Some(Cluster { url, _keeper: None });
    }
    let bin = programs()?;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let dir = std::env::temp_dir().join(format!("heyho-postgres-{}", std::process::id()));
    let mut keeper = Command::new("sh")
        .args(["-c", SCRIPT, "sh", &bin, &dir.display().to_string(), &port.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut said = String::new();
    let mut out = BufReader::new(keeper.stdout.take().unwrap());
    while out.read_line(&mut said).expect("the shell's output") > 0 {
        if said.ends_with("ready\n") {
            let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
            return Some(Cluster { url, _keeper: Some(keeper) });
        }
    }
    keeper.wait().expect("the shell ends");
    panic!("PostgreSQL is installed but a temporary cluster did not start:\n{said}");
}

/// The folder with `initdb`: Debian keeps it out of the path.
fn programs() -> Option<String> {
    let mut versions: Vec<_> =
        std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|e| e.path()).collect();
    versions.sort();
    let bin = versions.pop()?.join("bin");
    bin.join("initdb").exists().then(|| bin.display().to_string())
}

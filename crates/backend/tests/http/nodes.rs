//! Several nodes over one PostgreSQL.

use crate::support::{Answer, Backend, send, visit};
use reqwest::Method;
use serde_json::json;

/// Two nodes over one database, or None where there is no PostgreSQL.
async fn two_nodes() -> Option<[Backend; 2]> {
    let one = Backend::on_postgres().await?;
    let two = one.another_node().await;
    Some([one, two])
}

async fn post(node: &Backend, token: &str, key: &str) -> Answer {
    let body = json!({"pageVisits": [visit("v1"), visit("v2")]});
    let request = node.request(Method::POST, "/api/v1/data/sync").bearer_auth(token);
    send(request.header("Idempotency-Key", key).json(&body)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_twins_on_two_nodes_have_one_effect() {
    let Some(nodes) = two_nodes().await else { return };
    let ada = nodes[0].register("ada@example.org").await;
    let twins = (0..64).map(|n| post(&nodes[n % 2], &ada.access, "k"));
    let answers = futures_util::future::join_all(twins).await;
    assert_eq!(answers.iter().filter(|a| a.status == 200 && !a.replayed).count(), 1);
    for answer in &answers {
        assert!(answer.status == 200 || answer.code() == (409, "IDEMPOTENCY_IN_PROGRESS"), "{answer:?}");
        assert!(answer.status != 200 || answer.body["version"] == 1);
    }
    assert_eq!(nodes[0].count("SELECT version FROM feeds").await, 1);
    assert_eq!(nodes[0].count("SELECT count(*) FROM page_visits").await, 2);

    // control: with a key each, each is taken for itself
    let strangers = (0..16).map(|n| {
        let (node, token) = (&nodes[n % 2], &ada.access);
        async move { post(node, token, &format!("other-{n}")).await }
    });
    let answers = futures_util::future::join_all(strangers).await;
    assert!(answers.iter().all(|a| a.status == 200 && !a.replayed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_refresh_token_on_two_nodes_has_one_successor() {
    let Some(nodes) = two_nodes().await else { return };
    let ada = nodes[0].register("ada@example.org").await;
    let racing =
        (0..16).map(|n| nodes[n % 2].post("/api/v1/auth/refresh", json!({"refresh_token": ada.refresh})));
    let answers = futures_util::future::join_all(racing).await;
    let tokens: std::collections::HashSet<String> =
        answers.into_iter().map(|a| a.ok()["data"]["refresh_token"].as_str().unwrap().to_owned()).collect();
    assert_eq!(tokens.len(), 1);
}

/// What one node promised, the other keeps.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_out_on_one_node_is_one_on_all() {
    let Some(nodes) = two_nodes().await else { return };
    let ada = nodes[0].register("ada@example.org").await;
    nodes[1].get("/api/v1/auth/me", &ada.access).await.ok();
    assert_eq!(nodes[0].post_as(&ada.access, "/api/v1/auth/logout", json!({})).await.status, 204);
    assert_eq!(nodes[1].get("/api/v1/auth/me", &ada.access).await.code(), (401, "UNAUTHORIZED"));
}

/// However many of one user's requests wait in the database, others find a connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_user_does_not_take_all_connections() {
    use sqlx::{Connection as _, Executor as _};
    let Some(backend) = Backend::on_postgres().await else { return };
    let (ada, bob) = (backend.register("ada@example.org").await, backend.register("bob@example.org").await);
    let mut beside = sqlx::PgConnection::connect(&backend.database_url()).await.unwrap();
    let hold = "BEGIN; SELECT 1 FROM feeds JOIN users ON users.id = user_id WHERE email = 'ada@example.org' FOR UPDATE OF feeds";
    beside.execute(sqlx::raw_sql(hold)).await.unwrap();
    let waiting = futures_util::future::join_all((0..24).map(|n| async move { n }).map(async |n| {
        let id = format!("v{}", n.await);
        backend.sync(&ada.access, json!([visit(&id)]), json!([])).await.ok()
    }));
    let others = async {
        const STUCK: &str = "SELECT count(*) FROM pg_stat_activity \
                             WHERE wait_event_type = 'Lock' AND datname = current_database()";
        let stuck = async { while backend.count(STUCK).await < 4 {} };
        tokio::time::timeout(std::time::Duration::from_secs(60), stuck).await.expect("nothing is stuck");
        backend.until_under_way(24).await;
        for n in 0..10 {
            backend.sync(&bob.access, json!([visit(&format!("b{n}"))]), json!([])).await.ok();
        }
        beside.execute("ROLLBACK").await.unwrap();
    };
    let (saved, ()) = tokio::join!(waiting, others);
    assert_eq!(saved.len(), 24);
}

/// Batches that decide from what they read while others write: the more complete stays, whoever commits last.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_versions_of_the_same_records_end_in_the_most_complete() {
    let Some(nodes) = two_nodes().await else { return };
    let ada = nodes[0].register("ada@example.org").await;
    const BATCHES: usize = 48;
    let racing = (0..BATCHES).map(|n| {
        // neither rising nor falling
        let ended = (n * 29) % BATCHES;
        let visits: Vec<_> = (0..20)
            .map(|id| {
                let mut record = visit(&format!("v{id}"));
                record["endedAt"] = json!(ended);
                record
            })
            .collect();
        let (node, token) = (&nodes[n % 2], &ada.access);
        async move { node.sync(token, json!(visits), json!([])).await.ok()["version"].as_i64().unwrap() }
    });
    let versions = futures_util::future::join_all(racing).await;
    let stored = nodes[0].stored(&ada.access, "pageVisit", 100).await;
    assert_eq!(stored.len(), 20);
    for record in &stored {
        assert_eq!(record["endedAt"], BATCHES - 1, "{record}");
    }
    // a version was taken only by those that changed something, and the last of them wrote the rows
    let last = nodes[0].count("SELECT version FROM feeds").await;
    assert_eq!(Some(&last), versions.iter().max());
    assert!(stored.iter().all(|r| r["version"] == last));
}

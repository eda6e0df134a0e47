//! What a page of large records costs: PostgreSQL sends no more of them than the page holds, and nobody misses any.

use crate::support::{Asked, Visit, limits, visit};
use heyho_backend::limits::PAGE_BYTES;
use heyho_backend::store::Place;
use heyho_backend::store::postgres::PostgresStore;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const RECORDS: usize = 300;
const LENGTH: usize = 50_000;

/// A way to a database that counts the bytes that come out of it; and its URL.
async fn counted(url: &str) -> (String, Arc<AtomicUsize>) {
    let mut url = url::Url::parse(url).unwrap();
    let to = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5432));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    url.set_host(Some("127.0.0.1")).unwrap();
    url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counting = count.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&to).await.unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            let count = counting.clone();
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            tokio::spawn(async move {
                let mut bytes = vec![0; 64 * 1024];
                while let Ok(read @ 1..) = from_server.read(&mut bytes).await {
                    count.fetch_add(read, Ordering::SeqCst);
                    if to_client.write_all(&bytes[..read]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    (url.into(), count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_large_records_brings_no_more_out_of_postgres_than_it_holds() {
    let Some(url) = crate::postgres::new_database().await else { return };
    let (url, count) = counted(&url).await;
    let asked = Asked::of(PostgresStore::open(&url, &limits()).await.unwrap(), &url);
    let user = asked.user().await;
    // Of two lengths, so that pages end anywhere; none that a database could make smaller.
    let mut draw = 1_u64;
    let mut noise = |length: usize| -> String {
        let one = |_| {
            draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'!' + (draw >> 33) as u8 % 90)
        };
        (0..length).map(one).collect()
    };
    let visits: Vec<Visit> = (0..RECORDS)
        .map(|n| Visit { title: noise(if n % 7 == 0 { 10 } else { LENGTH }), ..visit(&format!("v{n:03}")) })
        .collect();
    for visits in visits.chunks(50) {
        asked.save(user, visits.to_vec(), Vec::new()).await;
    }

    count.store(0, Ordering::SeqCst);
    let page = asked.page(user, Place::start(), 1_000).await;
    let sent = count.load(Ordering::SeqCst);
    let held: usize = page.records.iter().map(|record| record.record.len()).sum();
    assert!(page.more && held >= PAGE_BYTES, "{held} bytes");
    assert!(sent < held + held / 10, "{sent} bytes came for a page of {held}");
    let ids: Vec<String> = asked.all(user, 1_000).await.into_iter().map(|stored| stored.place.id).collect();
    assert_eq!(ids, (0..RECORDS).map(|n| format!("v{n:03}")).collect::<Vec<_>>());
}

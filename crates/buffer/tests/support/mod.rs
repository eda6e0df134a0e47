//! What several suites need.

use heyho_buffer::*;

pub const NOW: i64 = 1_700_000_000_000;

pub fn source(profile: &str) -> Source {
    Source {
        name: format!("chrome-extension://abc/#{profile}"),
        profile_id: profile.into(),
        browser: "Chromium".into(),
        client: "test 1".into(),
    }
}

pub fn who(user: &str) -> SignedIn {
    SignedIn {
        backend: "http://b".into(),
        user_id: user.into(),
        email: format!("{user}@x"),
        claim_others: false,
    }
}

pub fn visit(id: &str, rest: &str) -> String {
    format!(r#"{{"id":"{id}","url":"http://a.example/{id}","startedAt":5,"tabId":7{rest}}}"#)
}

pub async fn append(buffer: &Buffer, visits: &[String]) -> Result<Appended> {
    let refs: Vec<&str> = visits.iter().map(String::as_str).collect();
    let arrival = Arrival::read(None, &refs, &[]);
    Ok(buffer.append(&source("p1"), &[arrival], 0, NOW).await?.remove(0))
}

pub async fn oldest(buffer: &Buffer, account: &Account) -> Vec<Waiting> {
    let limits = Limits { page_visits: 1_000, tab_aggregates: 1_000, bytes: 1 << 30 };
    buffer.oldest(account.id, limits, &[], NOW).await.unwrap()
}

pub fn confirm(rows: &[Waiting]) -> Settlement {
    let confirm = rows.iter().map(|r| BatchItem { seq: r.seq, revision: r.revision, kind: r.kind }).collect();
    Settlement { confirm, ..Settlement::default() }
}

pub async fn export(buffer: &Buffer) -> Vec<ExportLine> {
    let (mut reader, mut lines) = (buffer.export(None, false), Vec::new());
    loop {
        let page = reader.next().await.unwrap();
        if page.is_empty() {
            return lines;
        }
        lines.extend(page);
    }
}

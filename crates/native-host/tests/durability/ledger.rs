//! What was promised, kept outside of everything that can die, and the judgement by it.

use heyho_buffer::Buffer;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// (profile, id) and the version that is safe at least.
pub type Versions = BTreeMap<(String, String), i64>;

#[derive(Debug, Clone, Default)]
pub struct Ledger(Arc<Mutex<Versions>>);

impl Ledger {
    pub fn note(&self, profile: &str, what: &[(String, i64)]) {
        let mut versions = self.0.lock().unwrap();
        for (id, version) in what {
            let safe = versions.entry((profile.to_owned(), id.clone())).or_default();
            *safe = (*safe).max(*version);
        }
    }

    /// One of its own, with the same promises in it.
    pub fn copy(&self) -> Ledger {
        Ledger(Arc::new(Mutex::new(self.versions())))
    }

    pub fn versions(&self) -> Versions {
        self.0.lock().unwrap().clone()
    }
}

/// The version of a record: it rises with every frame that carries it.
pub fn version_of(text: &str) -> i64 {
    let record: Value = serde_json::from_str(text).unwrap();
    record["endedAt"].as_i64().or(record["lastActiveTime"].as_i64()).unwrap()
}

/// Every acknowledged (identity, version) is here or was at the backend, in that version or a later one; and
/// the file is sound.
pub fn verify(path: &Path, acked: &Ledger, backend: &Ledger) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut found = backend.versions();
    runtime.block_on(async {
        let buffer = Buffer::open(path).await.unwrap();
        buffer.check_whole().await.unwrap();
        let mut reader = buffer.export(None, false);
        loop {
            let lines = reader.next().await.unwrap();
            if lines.is_empty() {
                break;
            }
            for line in lines {
                let profile = line.source.rsplit('#').next().unwrap().to_owned();
                let here = found.entry((profile, line.id)).or_default();
                *here = (*here).max(version_of(line.record.get()));
            }
        }
        buffer.close().await;
    });
    let acked = acked.versions();
    let lost: Vec<_> =
        acked.iter().filter(|(what, version)| found.get(*what).is_none_or(|here| here < version)).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {} of {}: {lost:?}", lost.len(), acked.len());
}

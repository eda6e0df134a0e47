//! Records as HeyHo's extension makes them, 1.5 KB each (S0's estimate), told apart by a number.

use heyho_records::Kind;

pub const BYTES: usize = 1_500;
/// Some moment; each record is a second after the one before.
const BEGIN_MS: u64 = 1_790_000_000_000;
const WORDS: [&str; 8] = ["river", "copper", "lantern", "meadow", "signal", "winter", "harbour", "quiet"];

/// Scattered over the whole range, as random ids are: splitmix64.
pub fn scatter(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// In the form of a random UUID.
pub fn id(n: u64) -> String {
    let (a, b) = (scatter(n), scatter(!n));
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        a >> 32,
        (a >> 16) & 0xffff,
        a & 0xfff,
        b >> 52,
        b & 0xffff_ffff_ffff
    )
}

pub fn kind(n: u64) -> Kind {
    if n.is_multiple_of(2) { Kind::PageVisit } else { Kind::TabAggregate }
}

/// The n-th record: visits and tab aggregates in turn.
pub fn record(n: u64, bytes: usize) -> String {
    // A tab is open for forty records, and another takes its place.
    let (id, at, tab) = (id(n), BEGIN_MS + n * 1_000, n / 40);
    let host = format!("{}{}.example", WORDS[(n % 8) as usize], n % 97);
    let mut text = match kind(n) {
        Kind::PageVisit => format!(
            r#"{{"id":"{id}","visitId":"{id}","url":"https://{host}/articles/{n}?page={tab}","domain":"{host}","title":"Article {n} about the {} — a “longer” look","tabId":{tab},"startedAt":{at},"endedAt":{},"durationSeconds":48.25,"isActive":false,"activeDuration":31250,"idlePeriods":[{{"start":{at},"end":{}}}],"engagementRate":0.648,"lastHeartbeat":{},"anonymousClientId":"5b0f0c62-77a5-4d4f-8c55-8e3f3d5ad8a1","category":"news","categoryConfidence":0.83,"metadata":{{"description":""#,
            WORDS[(n / 8 % 8) as usize],
            at + 48_250,
            at + 17_000,
            at + 48_000,
        ),
        Kind::TabAggregate => format!(
            r#"{{"id":"{id}","tabId":{tab},"startTime":{at},"lastActiveTime":{},"totalActiveDuration":31250,"pageCount":3,"currentUrl":"https://{host}/articles/{n}","currentDomain":"{host}","domainDurations":{{"{host}":31250,"other.example":1200}},"isOpen":false,"statistics":{{"scrolls":14,"clicks":5,"note":""#,
            at + 48_250,
        ),
    };
    let (mut next, least) = (scatter(n), text.len());
    while text.len() + 4 < bytes {
        text.push_str(WORDS[(next % 8) as usize]);
        text.push(' ');
        next = scatter(next);
    }
    // Words are ASCII.
    text.truncate(bytes.saturating_sub(3).max(least));
    text.push_str("\"}}");
    text
}

/// A frame as the browser writes it: the length, then one message with these records.
pub fn frame(id: u64, numbers: std::ops::Range<u64>, bytes: usize) -> Vec<u8> {
    let list = |wanted: Kind| {
        let of_kind = numbers.clone().filter(|n| kind(*n) == wanted);
        of_kind.map(|n| record(n, bytes)).collect::<Vec<_>>().join(",")
    };
    let json = format!(
        r#"{{"type":"records","id":{id},"pageVisits":[{}],"tabAggregates":[{}]}}"#,
        list(Kind::PageVisit),
        list(Kind::TabAggregate)
    );
    framed(json.as_bytes())
}

pub fn framed(json: &[u8]) -> Vec<u8> {
    [&(json.len() as u32).to_ne_bytes(), json].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_accepted_and_have_the_size_asked_for() {
        for n in 0..200 {
            let text = record(n, BYTES);
            assert!(heyho_records::Record::read(kind(n), &text).is_ok(), "{text}");
            assert!(text.len().abs_diff(BYTES) <= 16, "{} bytes: {text}", text.len());
        }
        assert_ne!(id(1), id(2));
    }
}

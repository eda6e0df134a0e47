use super::*;
use crate::task::Pick;
use proptest::prelude::*;
use serde_json::Value;

const SINGLE: usize = 524_288;

fn limits() -> BatchLimits {
    BatchLimits {
        mode: Mode::Full,
        max_page_visits: 100,
        max_tab_aggregates: 100,
        max_records: 200,
        max_bytes: 524_288,
        single_bytes: SINGLE,
        pick: Pick::Oldest { skip: Vec::new() },
    }
}

fn envelope() -> Envelope {
    Envelope { batch_id: "b-1".into(), device_id: "d \"1\"".into(), extras: BTreeMap::new() }
}

fn candidate<'a>(kind: Kind, seq: i64, id: &'a str, text: &'a str) -> Candidate<'a> {
    Candidate {
        row: RowRef { kind, seq, revision: 3 },
        source: "chrome-extension://x/#p",
        id,
        id_derived: false,
        page_visit_id: None,
        attempts: 0,
        text,
        tab: None,
        opener: None,
        anchor: None,
    }
}

fn visit<'a>(seq: i64, id: &'a str, text: &'a str) -> Candidate<'a> {
    candidate(Kind::PageVisit, seq, id, text)
}

fn aggregate<'a>(seq: i64, id: &'a str, text: &'a str) -> Candidate<'a> {
    candidate(Kind::TabAggregate, seq, id, text)
}

fn text(plan: &Plan) -> &str {
    std::str::from_utf8(&plan.body).unwrap()
}

fn seqs(plan: &Plan) -> Vec<i64> {
    plan.items.iter().map(|item| item.row.seq).collect()
}

#[test]
fn the_request_stands_as_the_contract_says_and_records_are_verbatim() {
    let odd = r#"{ "id":"v1", "n": 2.4e21, "big": 12345678901234567890123, "t": "\u00e9\/" }"#;
    let plan = plan(
        &envelope(),
        &limits(),
        [visit(1, "v1", odd), aggregate(2, "agg_1_2", r#"{"tabId":2,"startTime":1}"#)],
    );
    assert_eq!(
        text(&plan),
        concat!(
            r#"{"batchId":"b-1","deviceId":"d \"1\"","pageVisits":[{ "id":"v1", "n": 2.4e21, "big": 12345678901234567890123, "t": "\u00e9\/","#,
            r#""companionSource":"chrome-extension://x/#p","companionRevision":3}],"#,
            r#""tabAggregates":[{"tabId":2,"startTime":1,"companionSource":"chrome-extension://x/#p","companionRevision":3}]}"#
        )
    );
    assert_eq!(seqs(&plan), [1, 2]);
}

#[test]
fn a_derived_id_and_a_known_visit_are_added_where_absent() {
    let of = |text: &'static str| {
        let candidate =
            Candidate { id_derived: true, page_visit_id: Some("v9"), ..aggregate(1, "agg_5_7", text) };
        let plan = plan(&envelope(), &limits(), [candidate]);
        let body: Value = serde_json::from_slice(&plan.body).unwrap();
        body["tabAggregates"][0].clone()
    };
    let added = of(r#"{"tabId":7,"startTime":5}"#);
    assert_eq!((&added["id"], &added["page_visit_id"]), (&Value::from("agg_5_7"), &Value::from("v9")));
    let added = of(r#"{"id":null,"page_visit_id":null,"tabId":7}"#);
    assert_eq!((&added["id"], &added["page_visit_id"]), (&Value::from("agg_5_7"), &Value::from("v9")));
    let kept = of(r#"{"id":"own","pageVisitId":"other"}"#);
    assert_eq!((&kept["id"], kept.get("page_visit_id")), (&Value::from("own"), None));
    // An empty object is an object.
    assert_eq!(of("{}")["id"], "agg_5_7");
}

#[test]
fn a_member_that_is_ours_is_never_doubled() {
    let text = r#"{"companionSource":"forged","id":"v1","companionRevision":99,"x":1e2}"#;
    let plan = plan(&envelope(), &limits(), [visit(1, "v1", text)]);
    let body = super::tests::text(&plan);
    assert!(!body.contains("forged") && body.contains("1e2"), "{body}");
    assert_eq!(body.matches("companionSource").count(), 1);
    assert_eq!(body.matches("companionRevision").count(), 1);
}

#[test]
fn baseline_mode_adds_the_one_name_of_the_time_that_is_read() {
    let baseline = BatchLimits { mode: Mode::Baseline, ..limits() };
    for (record, expected) in [
        (r#"{"id":"v","timestamp":1700000000000}"#, Some(Value::from(1_700_000_000_000_i64))),
        (
            r#"{"id":"v","visitedAt":"2026-01-01T00:00:00Z","timestamp":5}"#,
            Some(Value::from("2026-01-01T00:00:00Z")),
        ),
        (r#"{"id":"v","startedAt":5}"#, None),
    ] {
        let planned = plan(&envelope(), &baseline, [visit(1, "v", record)]);
        let body: Value = serde_json::from_slice(&planned.body).unwrap();
        assert_eq!(body["pageVisits"][0].get("visited_at"), expected.as_ref(), "{record}");
        let planned = plan(&envelope(), &limits(), [visit(1, "v", record)]);
        assert!(!text(&planned).contains("visited_at"));
    }
}

#[test]
fn each_kind_has_its_own_room() {
    let limits = BatchLimits { max_page_visits: 2, max_tab_aggregates: 2, ..limits() };
    let candidates =
        (0..6).map(|seq| visit(seq, "v", "{}")).chain((6..12).map(|seq| aggregate(seq, "a", "{}")));
    assert_eq!(seqs(&plan(&envelope(), &limits, candidates.clone())), [0, 1, 6, 7]);
    let baseline = BatchLimits { mode: Mode::Baseline, ..limits.clone() };
    assert_eq!(seqs(&plan(&envelope(), &baseline, candidates.clone())), [0, 1]);
    let limits = BatchLimits { max_records: 3, ..limits };
    assert_eq!(seqs(&plan(&envelope(), &limits, candidates)), [0, 1, 6]);
}

#[test]
fn a_record_that_fits_no_request_is_reported_and_the_others_go() {
    let large = format!(r#"{{"id":"v1","x":"{}"}}"#, "x".repeat(SINGLE));
    let candidates =
        [visit(1, "v1", &large), visit(2, "v2", "{}"), visit(3, "v3", "{not json"), visit(4, "v4", "[]")];
    let plan = plan(&envelope(), &limits(), candidates);
    assert_eq!(seqs(&plan), [2]);
    let codes: Vec<_> = plan.unsendable.iter().map(|it| (it.row.seq, it.reason.code())).collect();
    assert_eq!(codes, [(1, "too_large"), (3, "damaged"), (4, "damaged")]);
    assert!(matches!(plan.unsendable[0].reason, Reason::TooLarge { limit: 524_288, .. }));
}

#[test]
fn a_record_over_a_learnt_limit_goes_alone_and_is_not_overtaken() {
    let large = format!(r#"{{"id":"v1","x":"{}"}}"#, "x".repeat(10_000));
    let limits = BatchLimits { max_bytes: 5_000, ..limits() };
    let planned = plan(&envelope(), &limits, [visit(1, "v1", &large), visit(2, "v2", "{}")]);
    assert_eq!(seqs(&planned), [1]);
    let planned =
        plan(&envelope(), &limits, [visit(0, "v0", "{}"), visit(1, "v1", &large), visit(2, "v2", "{}")]);
    assert_eq!(seqs(&planned), [0]);
}

#[test]
fn nothing_makes_an_empty_plan() {
    let plan = plan(&envelope(), &limits(), []);
    assert!(plan.items.is_empty() && plan.unsendable.is_empty());
    assert_eq!(serde_json::from_slice::<Value>(&plan.body).unwrap()["pageVisits"], Value::Array(vec![]));
}

#[test]
fn baseline_mode_sends_an_anchor_first_and_once() {
    let baseline = BatchLimits { mode: Mode::Baseline, ..limits() };
    let anchor = Anchor {
        row: RowRef { kind: Kind::PageVisit, seq: 900, revision: 1 },
        source: "s",
        id: "anchor",
        text: r#"{"id":"anchor","tabId":7}"#,
    };
    let tab = Some(Tab { id: "7", life: "s/1" });
    let candidates = [
        visit(1, "v1", "{}"),
        Candidate { tab, anchor: Some(anchor), ..aggregate(2, "a2", "{}") },
        Candidate { tab, anchor: Some(anchor), ..aggregate(3, "a3", "{}") },
    ];
    let planned = plan(&envelope(), &baseline, candidates);
    let roles: Vec<_> = planned.items.iter().map(|item| (item.id.as_str(), item.role)).collect();
    assert_eq!(roles, [("anchor", Role::Anchor), ("v1", Role::Own), ("a2", Role::Own), ("a3", Role::Own)]);
    let full = plan(&envelope(), &limits(), candidates);
    assert!(full.items.iter().all(|item| item.role == Role::Own));
}

#[test]
fn baseline_mode_keeps_equal_tab_ids_of_two_lives_apart() {
    let baseline = BatchLimits { mode: Mode::Baseline, ..limits() };
    let of = |seq, life| Candidate { tab: Some(Tab { id: "7", life }), ..visit(seq, "v", "{}") };
    let planned = plan(&envelope(), &baseline, [of(1, "one"), of(2, "two"), of(3, "one")]);
    assert_eq!(seqs(&planned), [1, 3]);
    assert_eq!(seqs(&plan(&envelope(), &limits(), [of(1, "one"), of(2, "two")])), [1, 2]);
}

proptest! {
    // A failure prints its case and leaves no file: the planted fault fails often.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_body_is_over_the_limits_and_each_record_is_in_one_place(
        sizes in prop::collection::vec((any::<bool>(), 0usize..3_000), 0..80),
        max_bytes in 200usize..20_000,
        max_records in 1usize..50,
    ) {
        let texts: Vec<String> =
            sizes.iter().map(|(_, size)| format!(r#"{{"x":"{}"}}"#, "é".repeat(*size))).collect();
        let candidates = texts.iter().zip(&sizes).zip(0..).map(|((text, (is_visit, _)), seq)| {
            if *is_visit { visit(seq, "v", text) } else { aggregate(seq, "a", text) }
        });
        let limits = BatchLimits {
            max_page_visits: 20, max_tab_aggregates: 20, max_records, max_bytes, single_bytes: 5_000, ..limits()
        };
        let plan = plan(&envelope(), &limits, candidates);
        prop_assert!(plan.body.len() <= max_bytes || plan.items.len() <= 1);
        prop_assert!(plan.items.len() <= max_records.min(40));
        let body: Value = serde_json::from_slice(&plan.body).unwrap();
        let count = |list: &str| body[list].as_array().unwrap().len();
        prop_assert_eq!(count("pageVisits") + count("tabAggregates"), plan.items.len());
        let unsendable: Vec<i64> = plan.unsendable.iter().map(|it| it.row.seq).collect();
        prop_assert!(seqs(&plan).iter().all(|seq| !unsendable.contains(seq)));
        prop_assert!(texts.is_empty() || !plan.items.is_empty() || plan.unsendable.len() == texts.len());
    }
}

#[test]
fn a_visit_never_comes_before_the_one_that_opened_it() {
    let baseline = BatchLimits { mode: Mode::Baseline, ..limits() };
    let opened = |seq, id, opener| Candidate { opener: Some(opener), ..visit(seq, id, "{}") };
    let in_tab = |candidate, id: &'static str| Candidate { tab: Some(Tab { id, life: id }), ..candidate };
    let of = |candidates: Vec<Candidate<'_>>| seqs(&plan(&envelope(), &baseline, candidates));
    // The one that opened it stands further back, or two further back.
    assert_eq!(of(vec![opened(1, "c", "b"), visit(2, "x", "{}"), visit(3, "b", "{}")]), [2, 3, 1]);
    assert_eq!(of(vec![opened(1, "c", "b"), opened(2, "b", "a"), visit(3, "a", "{}")]), [3, 2, 1]);
    // It is not in this request at all: then neither is what it opened, nor what belongs to its tab.
    let behind = vec![
        in_tab(opened(1, "c", "b"), "7"),
        visit(2, "x", "{}"),
        in_tab(aggregate(3, "agg_1_7", r#"{"tabId":7}"#), "7"),
    ];
    assert_eq!(of(behind), [2]);
    // In a circle nobody is first.
    assert_eq!(of(vec![opened(1, "a", "b"), opened(2, "b", "a"), opened(3, "c", "a")]), [1, 2, 3]);
}

#[test]
fn a_visit_goes_once_in_a_request_and_in_its_newer_version() {
    let baseline = BatchLimits { mode: Mode::Baseline, ..limits() };
    let anchor = |source| Anchor {
        row: RowRef { kind: Kind::PageVisit, seq: -9, revision: 0 },
        source,
        id: "v",
        text: r#"{"id":"v","tabId":7,"old":1}"#,
    };
    let of = |source, candidates: &[Candidate<'static>]| {
        let tab = Some(Tab { id: "7", life: "s/1" });
        let anchor = |it: &Candidate<'_>| (it.row.kind == Kind::TabAggregate).then(|| anchor(source));
        let all = candidates.iter().map(|it| Candidate { tab, anchor: anchor(it), ..*it });
        let planned = plan(&envelope(), &baseline, all);
        let _: Value = serde_json::from_slice(&planned.body).unwrap();
        let sent: Vec<_> = planned.items.iter().map(|it| (it.row.seq, it.role)).collect();
        (sent, text(&planned).contains("old"))
    };
    let (newer, tab) = (visit(1, "v", r#"{"id":"v","tabId":7}"#), aggregate(2, "a", r#"{"tabId":7}"#));
    let once = vec![(1, Role::Own), (2, Role::Own)];
    let source = newer.source;
    assert_eq!(of(source, &[newer, tab]), (once.clone(), false));
    let more = aggregate(3, "b", "{}");
    assert_eq!(of(source, &[tab, newer]), (once, false));
    assert_eq!(of(source, &[tab, newer, more]).0, [(1, Role::Own), (2, Role::Own), (3, Role::Own)]);
    // A visit of another profile that has the same id is another visit.
    assert_eq!(
        of("another", &[newer, tab]),
        (vec![(-9, Role::Anchor), (1, Role::Own), (2, Role::Own)], true)
    );
}

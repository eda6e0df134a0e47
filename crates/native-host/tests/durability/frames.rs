//! Frames that are cut short, slow, split and glued.

use crate::host::{Host, frame};
use crate::world::World;
use serde_json::Value;

#[test]
fn a_host_killed_at_every_byte_of_a_frame_stores_the_frame_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(folder.path());
    let bytes = frame(
        r#"{"type":"records","id":1,"pageVisits":[{"id":"a","url":"http://a/","startedAt":1}],"tabAggregates":[]}"#,
    );
    // The schema is there, so that what the kill meets is the frame.
    let mut first = Host::start(&world);
    first.raw(&frame(r#"{"type":"hello","protocol":1}"#));
    first.answer();
    drop(first);
    for cut in 0..bytes.len() {
        let mut host = Host::start(&world);
        host.raw(&bytes[..cut]);
        host.kill();
        assert_eq!(host.last_words().count(), 0, "an answer to {cut} bytes of {}", bytes.len());
    }
    let mut host = Host::start(&world);
    host.raw(&frame(r#"{"type":"status"}"#));
    assert_eq!(host.answer()["unclaimed"], 0);
    host.raw(&bytes);
    assert_eq!(host.answer()["stored"], 1);
}

#[test]
fn slow_split_and_glued_frames_are_frames() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::start(&World::new(folder.path()));
    let records = |id: usize| {
        frame(&format!(
            r#"{{"type":"records","id":{id},"pageVisits":[{{"id":"v{id}","url":"http://a/","startedAt":1}}]}}"#
        ))
    };
    for byte in records(0) {
        assert!(host.raw(&[byte]));
    }
    assert_eq!(host.answer()["id"], 0);
    let glued: Vec<u8> = (1..200).flat_map(records).collect();
    for part in glued.chunks(777) {
        assert!(host.raw(part));
    }
    for id in 1..200 {
        let answer = host.answer();
        assert_eq!((&answer["id"], &answer["stored"]), (&Value::from(id), &Value::from(1)));
    }
}

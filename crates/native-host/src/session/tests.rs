//! What a session holds in memory has an end, whatever a browser does.

use super::*;

struct Bench {
    _dir: tempfile::TempDir,
    session: Session,
    answers: mpsc::UnboundedReceiver<Vec<u8>>,
    so_far: watch::Sender<u64>,
}

fn bench() -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let of = |name: &str| dir.path().join(name);
    let paths = Paths { data: of("data"), config: of("config"), state: of("state"), runtime: of("run") };
    let (out, answers) = mpsc::unbounded_channel();
    let (so_far, written) = watch::channel(0);
    let session = Session::new(paths, heyho_local::clock::system(), "test".to_owned(), out, written);
    Bench { _dir: dir, session, answers, so_far }
}

#[tokio::test]
async fn from_a_browser_that_does_not_read_only_so_much_more_is_taken() {
    const ASKED: usize = 100;
    const LENGTH: usize = 900_000;
    let Bench { _dir, session, mut answers, so_far } = bench();
    let (to, turns) = mpsc::channel(1);
    let ended = tokio::spawn(session.run(turns));
    let asking = tokio::spawn(async move {
        for _ in 0..ASKED {
            let refused = Other::Refused { code: ErrorCode::BadMessage, error: "x".repeat(LENGTH) };
            to.send(Turn::Other(None, refused)).await.unwrap();
        }
    });
    // Both go on for as long as they can: one thread, and neither waits for anything but the other.
    for _ in 0..10 * ASKED {
        tokio::task::yield_now().await;
    }
    let most = MOST_UNREAD as usize / LENGTH + 1;
    assert_eq!(answers.len(), most, "of {ASKED}");
    assert!(!asking.is_finished(), "the rest stays in the pipe");
    // Once it reads, all is answered.
    for _ in 0..ASKED {
        let answer = answers.recv().await.unwrap();
        so_far.send_modify(|bytes| *bytes += answer.len() as u64);
    }
    asking.await.unwrap();
    assert_eq!(ended.await.unwrap(), ExitCode::SUCCESS);
}

#[tokio::test]
async fn of_many_hellos_one_keeps_the_agent_told() {
    let mut bench = bench();
    for n in 0..20 {
        let client = Client { profile_id: Some(format!("p{n}")), ..Client::default() };
        bench.session.hello(None, Some(PROTOCOL), client).await;
        assert!(String::from_utf8(bench.answers.recv().await.unwrap()).unwrap().contains("welcome"));
        // Those that were ended are taken away when they have noticed.
        tokio::task::yield_now().await;
    }
    bench.session.hello(None, Some(PROTOCOL), Client::default()).await;
    assert!(bench.session.tasks.len() <= 3, "{} tasks", bench.session.tasks.len());
}

//! What goes wrong on the computer itself: no keyring, a damaged database, a full disk, an agent that cannot be started, a
//! setting that is not accepted. Each is said in the window in plain words, and judged in light and in dark.

use anyhow::Result;
use e2e::judge::Judge;
use e2e::tour::{DARK, LIGHT, Look};
use e2e::troubles;

#[tokio::test]
async fn without_a_keyring_one_is_signed_in_until_the_end_and_it_is_said() -> Result<()> {
    let mut judge = Judge::of_both(LIGHT);
    troubles::no_keyring(LIGHT, &mut judge).await?;
    judge.ends(&[("no-keyring", &["Up to date", "signed in only until"])])
}

#[tokio::test]
async fn what_was_saved_of_a_damaged_store_is_said_until_it_is_understood() -> Result<()> {
    let mut judge = Judge::of_both(LIGHT);
    troubles::damaged_store(LIGHT, &mut judge).await?;
    judge.ends(&[("damaged", &["The store on this computer was damaged", "saved", "kept beside it"])])
}

#[tokio::test]
async fn a_full_disk_is_said_and_over_when_there_is_room_again() -> Result<()> {
    let look = Look { language: "de", ..DARK };
    let mut judge = Judge::of_both(look);
    troubles::full_disk(look, &mut judge).await?;
    judge.ends(&[(
        "disk-full",
        &["Der Speicher auf diesem Rechner hat ein Problem", "Der Datenträger ist voll"],
    )])
}

#[tokio::test]
async fn a_full_store_shows_whoever_is_signed_out_the_way_in_and_empties() -> Result<()> {
    let mut judge = Judge::of_both(LIGHT);
    troubles::full_store(LIGHT, &mut judge).await?;
    judge.ends(&[
        (
            "store-full",
            &["The store on this computer has a problem", "The buffer is full", "Nobody is signed in"],
        ),
        ("rules-mistaken", &["The privacy rules in the settings cannot be read"]),
    ])
}

#[tokio::test]
async fn on_a_metered_network_it_is_said_what_holds_it_back_and_sync_now_sends() -> Result<()> {
    let look = Look { language: "de", ..LIGHT };
    let mut judge = Judge::of_both(look);
    troubles::metered(look, &mut judge).await?;
    judge.ends(&[("metered", &["Angehalten bei getakteter Verbindung", "ohne getaktete Verbindung"])])
}

#[tokio::test]
async fn while_it_ends_the_window_says_so_and_that_it_begins_again() -> Result<()> {
    let mut judge = Judge::new(DARK);
    troubles::ending(DARK, &mut judge).await?;
    judge.ends(&[("ending", &["Ending after the batch in flight", "stays safe on this computer"])])
}

#[tokio::test]
async fn a_start_that_does_not_work_is_said_in_the_window_and_tried_again() -> Result<()> {
    // What else stands in a file with a mistake holds: language and look.
    let look = Look { language: "de", ..DARK };
    let mut judge = Judge::of_both(look);
    troubles::no_start(look, &mut judge).await?;
    judge.ends(&[
        ("connecting", &["Verbindung zum Companion"]),
        ("no-start", &["Der Companion kann nicht starten", "Nichts wurde gelöscht", "von selbst"]),
        ("bad-setting", &["Der Companion kann nicht starten", "Eine Einstellung wird nicht angenommen"]),
    ])
}

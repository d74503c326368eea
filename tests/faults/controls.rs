//! The checker itself: it must see what it is there to see.

use std::sync::Arc;
use std::time::Duration;

use priyo_tests::ServerProcess;
use tokio::time::sleep;

use crate::chance::{Dice, Evidence};
use crate::checker::{Row, Violation, check, rows};
use crate::history::{History, Record, Send};
use crate::workload::{Place, Scene};

/// A history without a fault, and what is stored after it.
async fn peaceful() -> (Vec<Record>, Vec<Row>) {
    let evidence = Evidence::of(1);
    let dir = evidence.folder("data");
    let scene = Scene::set(&dir).await;
    let history = Arc::new(History::new(&evidence.history()));
    let server = ServerProcess::start(&dir).await;
    let place = Place::of(&server);
    let load = scene.begin(&place, &history, "peace", &mut Dice::new(1)).await;
    sleep(Duration::from_millis(200)).await;
    load.stop().await;
    assert_eq!(scene.check(&place, &history, &dir.join("priyo.db")).await, []);
    (history.records(), rows(&dir.join("priyo.db")))
}

/// The first two messages of one sender in one conversation, by their places among the rows.
fn two_of_one(rows: &[Row]) -> (usize, usize) {
    let first = (0..rows.len()).find_map(|first| {
        let same =
            |row: &Row| (&row.sender, &row.conversation) == (&rows[first].sender, &rows[first].conversation);
        let second = (first + 1..rows.len()).find(|second| same(&rows[*second]))?;
        Some((first, second))
    });
    first.expect("somebody said two things")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checker_sees_each_kind_of_fault() {
    let (history, rows) = peaceful().await;
    assert_eq!(check(&history, &rows), []);
    let (first, second) = two_of_one(&rows);
    let client_message_id = rows[first].client_message_id.clone();

    let mut lost = rows.clone();
    lost.remove(first);
    let found = check(&history, &lost);
    assert!(found.contains(&Violation::Lost { client_message_id: client_message_id.clone() }), "{found:?}");
    assert!(found.iter().any(|one| matches!(one, Violation::Unheard { .. })), "{found:?}");
    assert!(found.iter().any(|one| matches!(one, Violation::Miscounted { .. })), "{found:?}");

    let mut doubled = rows.clone();
    let next = rows.iter().filter(|row| row.conversation == rows[first].conversation).count() as u64 + 1;
    doubled.push(Row { seq: next, ..rows[first].clone() });
    let found = check(&history, &doubled);
    assert_eq!(found, [Violation::Doubled { client_message_id }]);

    let mut reordered = rows.clone();
    (reordered[first].seq, reordered[second].seq) = (rows[second].seq, rows[first].seq);
    let found = check(&history, &reordered);
    let (first_id, then) = (rows[first].client_message_id.clone(), rows[second].client_message_id.clone());
    assert!(found.contains(&Violation::Reordered { first: first_id, then }), "{found:?}");

    let mut changed = rows.clone();
    changed[first].content.push('!');
    let found = check(&history, &changed);
    assert!(found.iter().any(|one| matches!(one, Violation::Changed { .. })), "{found:?}");

    let mut unsent = rows.clone();
    unsent.push(Row { seq: next, client_message_id: "nobody's".to_owned(), ..rows[first].clone() });
    let found = check(&history, &unsent);
    assert!(matches!(found.as_slice(), [Violation::Unsent { .. }]), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checker_sees_what_was_refused_and_is_stored_all_the_same() {
    let (mut history, rows) = peaceful().await;
    let row = &rows[0];
    let is_ok = |record: &Record| matches!(record, Record::Ok(send, _) if is_that_of(send, row));
    let at = history.iter().position(is_ok).unwrap();
    let Record::Ok(send, _) = history[at].clone() else { unreachable!("it was looked for") };
    history[at] = Record::Fail(send, "forbidden".to_owned());

    assert_eq!(check(&history, &rows), [Violation::Unsent { row: row.clone() }]);
}

fn is_that_of(send: &Send, row: &Row) -> bool {
    send.client_message_id == row.client_message_id
}

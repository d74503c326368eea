//! The checker itself: it must see what it is there to see.

use std::sync::Arc;
use std::time::Duration;

use priyo_tests::{ServerProcess, Told};
use tokio::time::sleep;

use crate::chance::{Dice, Evidence};
use crate::checker::{Violation, check};
use crate::history::{Door, History, Record, Send};
use crate::stored::{Row, Stored};
use crate::workload::{Place, Scene};

/// A history without a fault, and what is stored after it.
struct Peace {
    history: Vec<Record>,
    stored: Stored,
    /// The first two messages of one sender in one conversation, by their places among the rows.
    first: usize,
    second: usize,
}

impl Peace {
    async fn kept() -> Self {
        let evidence = Evidence::of(1);
        let database = evidence.database();
        let scene = Scene::set(&database).await;
        let history = Arc::new(History::new(&evidence.history()));
        let server = ServerProcess::start(&database).await;
        let place = Place::of(&server);
        let load = scene.begin(&place, &history, "peace", &mut Dice::new(1)).await;
        sleep(Duration::from_millis(200)).await;
        load.stop().await;
        assert_eq!(scene.check(&place, &history, &database).await, []);
        let stored = Stored::read(&database).await;
        let rows = &stored.messages;
        let twins = (0..rows.len()).find_map(|first| {
            let same = |row: &Row| {
                (&row.sender, &row.conversation) == (&rows[first].sender, &rows[first].conversation)
            };
            let second = (first + 1..rows.len()).find(|second| same(&rows[*second]))?;
            Some((first, second))
        });
        let (first, second) = twins.expect("somebody said two things");
        Self { history: history.records(), stored, first, second }
    }

    fn row(&self) -> &Row {
        &self.stored.messages[self.first]
    }

    /// What is found after `doctor` was at what is stored.
    fn found_in_stored(&self, doctor: impl FnOnce(&mut Stored)) -> Vec<Violation> {
        let mut stored = self.stored.clone();
        doctor(&mut stored);
        check(&self.history, &stored)
    }

    /// What is found after `doctor` was at one record that it is for.
    fn found_in_history(&self, doctor: impl Fn(&mut Record) -> bool) -> Vec<Violation> {
        let mut history = self.history.clone();
        assert!(history.iter_mut().rev().any(doctor), "there is nothing to doctor");
        check(&history, &self.stored)
    }

    fn next_seq(&self) -> u64 {
        let same = |row: &&Row| row.conversation == self.row().conversation;
        self.stored.messages.iter().filter(same).count() as u64 + 1
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checker_sees_each_fault_of_what_is_stored() {
    let peace = Peace::kept().await;
    let Peace { first, second, .. } = peace;
    let client_message_id = peace.row().client_message_id.clone();
    let next = peace.next_seq();

    let found = peace.found_in_stored(|stored| drop(stored.messages.remove(first)));
    assert!(found.contains(&Violation::Lost { client_message_id: client_message_id.clone() }), "{found:?}");
    assert!(found.iter().any(|one| matches!(one, Violation::Unheard { .. })), "{found:?}");
    assert!(found.iter().any(|one| matches!(one, Violation::Miscounted { .. })), "{found:?}");
    assert!(found.iter().any(|one| matches!(one, Violation::Unlike { .. })), "{found:?}");

    let found = peace.found_in_stored(|stored| {
        stored.messages.push(Row { seq: next, ..stored.messages[first].clone() });
    });
    assert!(found.contains(&Violation::Doubled { client_message_id }), "{found:?}");
    let behind =
        |one: &&Violation| matches!(one, Violation::Behind { has, stored, .. } if has + 1 == *stored);
    // Seven are in the conversation, and one of them read it through the other door too.
    assert_eq!(found.iter().filter(behind).count(), 8, "{found:?}");

    let found = peace.found_in_stored(|stored| {
        let rows = &mut stored.messages;
        (rows[first].seq, rows[second].seq) = (rows[second].seq, rows[first].seq);
    });
    let name = |place: usize| peace.stored.messages[place].client_message_id.clone();
    assert!(found.contains(&Violation::Reordered { first: name(first), then: name(second) }), "{found:?}");

    let found = peace.found_in_stored(|stored| stored.messages[first].content.push('!'));
    assert!(found.iter().any(|one| matches!(one, Violation::Changed { .. })), "{found:?}");

    let found = peace.found_in_stored(|stored| {
        let name = "nobody's".to_owned();
        stored.messages.push(Row { seq: next, client_message_id: name, ..stored.messages[first].clone() });
    });
    assert!(found.iter().any(|one| matches!(one, Violation::Unsent { .. })), "{found:?}");

    let found = peace.found_in_stored(|stored| {
        let mark = stored.reads.iter().next().unwrap().clone();
        stored.reads.remove(&mark);
    });
    assert!(matches!(found[..], [Violation::ReadLost { .. }, Violation::WrongUnread { .. }]), "{found:?}");

    let receiver = peace.row().sender.clone();
    let found = peace.found_in_stored(|stored| stored.participants.retain(|(_, user)| *user != receiver));
    assert!(
        found.iter().all(|one| matches!(one, Violation::Leaked { receiver: one, .. } if *one == receiver))
    );
    assert!(!found.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checker_sees_each_fault_of_what_was_told() {
    let peace = Peace::kept().await;

    let row = peace.row();
    let found = peace.found_in_history(|record| match record {
        Record::Ok(send, _) if is_that_of(send, row) => {
            *record = Record::Fail(send.clone(), "forbidden".to_owned());
            true
        }
        _ => false,
    });
    assert_eq!(found, [Violation::Unsent { row: row.clone() }]);

    let found = peace.found_in_history(|record| match record {
        Record::Ok(_, told) => {
            told.seq += 1;
            true
        }
        _ => false,
    });
    assert!(matches!(found[..], [Violation::Changed { .. }]), "{found:?}");

    let found = peace.found_in_history(|record| match record {
        Record::Heard { told, .. } => {
            told.content.push('!');
            true
        }
        _ => false,
    });
    assert!(matches!(found[..], [Violation::Unheard { .. }]), "{found:?}");

    for door in [Door::Rest, Door::Socket] {
        let found = found_in_view(&peace, door, |messages| drop(messages.pop()));
        assert!(matches!(found[..], [Violation::Behind { door: one, .. }] if one == door), "{found:?}");
        let found = found_in_view(&peace, door, |messages| messages.swap(0, 1));
        assert!(
            matches!(found[..], [Violation::Unlike { door: one, at: 1, .. }] if one == door),
            "{found:?}"
        );
        // A hole is not hidden by there being enough of the rest.
        let found = found_in_view(&peace, door, |messages| messages[0] = messages[1].clone());
        assert!(matches!(found[..], [Violation::Unlike { at: 1, .. }]), "{found:?}");
    }

    let found = peace.found_in_history(|record| match record {
        Record::Unread { count, .. } => {
            *count += 1;
            true
        }
        _ => false,
    });
    assert!(
        matches!(found[..], [Violation::WrongUnread { told, counted, .. }] if told == counted + 1),
        "{found:?}"
    );
}

/// What is found after `doctor` was at what somebody had in the end.
fn found_in_view(peace: &Peace, through: Door, doctor: impl Fn(&mut Vec<Told>)) -> Vec<Violation> {
    peace.found_in_history(|record| match record {
        Record::View { door, messages, .. } if *door == through && messages.len() > 1 => {
            let mut doctored = messages.to_vec();
            doctor(&mut doctored);
            *messages = doctored.into();
            true
        }
        _ => false,
    })
}

fn is_that_of(send: &Send, row: &Row) -> bool {
    send.client_message_id == row.client_message_id
}

//! The sequencer by its own interface, where the engine's cannot reach.

use std::sync::Arc;

use tokio::time::timeout;

use super::scene::{PATIENCE, Scene};
use super::{Entry, Finish};
use crate::error::{Error, Result};

fn to(last: u64) -> Vec<u64> {
    (1..=last).collect()
}

#[tokio::test]
async fn what_is_early_waits_for_those_before_it() {
    let scene = Scene::set().await;
    let messages = scene.stores(4).await;
    scene.storage_is_away(true);
    let mut bob = scene.listens(0).await;

    scene.passes([&messages[3], &messages[1]]).await;
    assert_eq!(bob.has_heard(), [0_u64; 0]);
    scene.passes([&messages[0], &messages[2]]).await;

    assert_eq!(bob.hears(4).await, to(4));
}

#[tokio::test]
async fn what_had_its_turn_is_dropped_when_it_comes_again() {
    let scene = Scene::set().await;
    let messages = scene.stores(3).await;
    let mut bob = scene.listens(0).await;
    for _ in 0..3 {
        scene.passes(&messages[..2]).await;
    }
    scene.passes([&messages[2], &messages[0]]).await;

    assert_eq!(bob.has_heard(), to(3));
    assert_eq!(scene.room.told(), to(3));
}

#[tokio::test]
async fn what_nobody_told_of_is_read_and_counts_as_delivered() {
    let scene = Scene::set().await;
    let messages = scene.stores(5).await;
    let mut bob = scene.listens(0).await;

    scene.passes([&messages[4]]).await;
    assert_eq!(bob.hears(5).await, to(5));
    assert_eq!(scene.room.delivered(), to(5));

    scene.stores(2).await;
    scene.sequencer.hint(scene.conversation, 7);
    assert_eq!(bob.hears(2).await, [6, 7]);
}

#[tokio::test]
async fn a_notice_of_what_is_not_there_changes_nothing() {
    let scene = Scene::set().await;
    let messages = scene.stores(2).await;
    let mut bob = scene.listens(0).await;
    scene.sequencer.hint(scene.conversation, 1_000_000);
    scene.passes(&messages[..1]).await;
    assert_eq!(bob.hears(2).await, to(2), "it made us look");

    let more = scene.stores(1).await;
    scene.passes(&more).await;
    assert_eq!(bob.hears(1).await, [3]);
}

#[tokio::test]
async fn nothing_is_lost_while_the_storage_is_away() {
    let scene = Scene::set().await;
    let messages = scene.stores(700).await;
    let mut bob = scene.listens(0).await;
    scene.storage_is_away(true);

    // More than is held.
    scene.passes(&messages[2..]).await;
    scene.reads_are_refused(2).await;
    assert_eq!(bob.has_heard(), [0_u64; 0]);
    scene.storage_is_away(false);

    assert_eq!(bob.hears(700).await, to(700));
    assert_eq!(scene.room.told(), to(700));
}

#[tokio::test]
async fn nothing_is_lost_when_the_storage_panics() {
    let scene = Scene::set().await;
    let messages = scene.stores(2).await;
    let mut bob = scene.listens(0).await;
    scene.storage_panics();
    scene.storage_is_away(true);
    scene.passes(&messages[1..]).await;
    scene.reads_are_refused(2).await;
    scene.storage_is_away(false);

    assert_eq!(bob.hears(2).await, to(2));
}

#[tokio::test]
async fn what_may_be_stored_is_looked_for_and_told_if_it_is() {
    let scene = Scene::set().await;
    let mut bob = scene.listens(0).await;
    scene.storage_is_away(true);
    scene.stores(3).await;
    for _ in 0..3 {
        scene.sequencer.doubt(scene.conversation);
    }
    scene.reads_are_refused(1).await;
    scene.storage_is_away(false);
    assert_eq!(bob.hears(3).await, to(3));

    // It may be that nothing was.
    scene.sequencer.doubt(scene.conversation);
    let next = scene.stores(1).await;
    scene.passes(&next).await;
    assert_eq!(bob.hears(1).await, [4]);
    assert_eq!(scene.room.told(), to(4));
}

#[tokio::test]
async fn those_who_take_part_are_known_as_long_as_they_listen() {
    let scene = Scene::set().await;
    assert_eq!(scene.sequencer.participants(), []);
    let bob = (scene.conversation, scene.bob);
    let _listeners = (scene.listens(0).await, scene.listens(0).await);
    assert_eq!(scene.sequencer.participants(), [bob]);

    scene.room.members.lock().unwrap().pop();
    assert!(scene.sequencer.has_participant(bob.0, bob.1), "by another connection");
    scene.room.members.lock().unwrap().pop();
    assert_eq!((scene.sequencer.participants(), scene.lanes()), (Vec::new(), 0));
}

#[tokio::test]
async fn who_comes_into_a_gap_hears_only_what_comes_after_what_they_have() {
    let scene = Scene::set().await;
    let messages = scene.stores(4).await;
    let mut early = scene.listens(0).await;
    scene.storage_is_away(true);
    scene.passes([&messages[3]]).await;

    // They were told everything by the storage, of which the others still miss a part.
    let mut late = scene.listens(4).await;
    let mut between = scene.listens(2).await;
    scene.storage_is_away(false);

    assert_eq!(early.hears(4).await, to(4));
    assert_eq!(between.hears(2).await, [3, 4]);
    let next = scene.stores(1).await;
    scene.passes(&next).await;
    for listener in [&mut early, &mut late, &mut between] {
        assert_eq!((listener.has_heard(), listener.missed.len()), (vec![5], 0));
    }
}

#[tokio::test]
async fn what_is_told_while_one_is_told_what_they_missed_comes_right_after() {
    let scene = Scene::set().await;
    let messages = scene.stores(5).await;
    let _other = scene.listens(0).await;
    let seat = scene.seat();
    scene.passes(&messages[..2]).await;
    assert!(seat.place(1));
    scene.passes(&messages[2..4]).await;

    let mut bob = scene.enters(seat, 1).await.unwrap();

    scene.passes(&messages[4..]).await;
    assert_eq!((bob.has_heard(), bob.missed), (vec![5], vec![2, 3, 4]));
    let delivered = scene.room.delivered();
    assert!([2, 3, 4].iter().all(|seq| delivered.contains(seq)), "{delivered:?}");
}

#[tokio::test]
async fn the_first_to_listen_reads_again_what_others_were_told_meanwhile() {
    let scene = Scene::set().await;
    let messages = scene.stores(4).await;
    let (one, other) = (scene.seat(), scene.seat());
    // The second was stored elsewhere: with the third told, the order begins there.
    scene.passes([&messages[0], &messages[2]]).await;
    assert!(!one.place(1));
    assert!(one.place(3));
    assert!(!other.place(2), "nobody will tell of the third again");

    let mut bob = scene.enters(one, 3).await.unwrap();
    scene.passes(&messages[3..]).await;
    assert_eq!((bob.has_heard(), bob.missed), (vec![4], vec![]));
}

#[tokio::test]
async fn a_commit_that_is_announced_after_it_was_read_is_told_to_the_others() {
    let scene = Scene::set().await;
    let messages = scene.stores(2).await;
    let mut bob = scene.listens(2).await;
    scene.passes(&messages).await;
    assert_eq!((bob.has_heard(), scene.room.told()), (vec![], to(2)));
}

#[tokio::test]
async fn who_is_turned_out_while_joining_does_not_come_in() {
    let scene = Scene::set().await;
    let seat = scene.seat();
    assert!(seat.place(0));
    scene.sequencer.turn_out(scene.conversation, scene.bob).await;
    assert!(matches!(scene.enters(seat, 0).await, Err(Error::NotFound(_))));
    assert_eq!(scene.lanes(), 0);
}

#[tokio::test]
async fn a_conversation_that_nobody_listens_to_leaves_nothing_behind() {
    let scene = Scene::set().await;
    let messages = scene.stores(4).await;
    let bob = scene.listens(0).await;
    drop(scene.seat());
    scene.passes(&messages[..1]).await;
    assert_eq!(scene.lanes(), 1);
    scene.storage_is_away(true);
    scene.passes(&messages[2..]).await;
    assert_eq!(scene.room.told(), to(1));

    scene.room.members.lock().unwrap().clear();
    drop(bob);

    // The order is for those who listen; what was held for its sake is told at last.
    timeout(PATIENCE, async {
        while scene.lanes() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert_eq!(scene.room.told(), [1, 3, 4]);
}

#[tokio::test]
async fn a_hole_in_the_storage_holds_nobody_up() {
    let scene = Scene::set().await;
    let messages = scene.stores(4).await;
    let mut bob = scene.listens(0).await;
    scene.somebody_deletes(2);

    scene.passes([&messages[0], &messages[3]]).await;

    assert_eq!(bob.hears(3).await, [1, 3, 4]);
}

#[tokio::test]
async fn a_transport_that_panics_holds_nobody_up() {
    let scene = Scene::set().await;
    let messages = scene.stores(2).await;
    let mut bob = scene.listens(0).await;
    let seat = scene.seat();
    let tell = Box::new(|_: Result<Option<Entry>>| -> bool { panic!("this one does") });
    seat.finish(Finish { seq: Some(0), connection: None, participant: None, read_back: None, tell }).await;
    scene.passes(&messages).await;
    assert_eq!(bob.has_heard(), to(2));
}

/// Many tasks at once, each step of them in the way of the others: more than one is in line at any time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_comes_from_many_sides_at_once_comes_in_order() {
    let scene = Arc::new(Scene::set().await);
    let messages = Arc::new(scene.stores(2_000).await);
    let mut first = scene.listens(0).await;
    let mut tasks = tokio::task::JoinSet::new();
    for lane in 0..8 {
        let (scene, messages) = (scene.clone(), messages.clone());
        tasks.spawn(async move {
            // Each has every second one, in an order of its own, and joins and leaves between.
            for at in (lane % 2..messages.len()).step_by(2) {
                scene.sequencer.pass(&messages[at ^ (lane & 4)]).await;
            }
        });
    }
    for _ in 0..50 {
        let scene = scene.clone();
        tasks.spawn(async move {
            let seat = scene.seat();
            let told = scene.room.told().last().copied().unwrap_or(0);
            assert!(seat.place(told));
            let mut listener = scene.enters(seat, told).await.unwrap();
            let mut heard = listener.missed.clone();
            heard.extend(listener.hears(2_000 - told - heard.len() as u64).await);
            assert_eq!(heard, (told + 1..=2_000).collect::<Vec<_>>());
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    assert_eq!(first.hears(2_000).await, to(2_000));
}

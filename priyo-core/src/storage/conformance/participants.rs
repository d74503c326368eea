//! What [`ConversationStore`](crate::storage::ConversationStore) promises of those who come and go.

use super::Store;
use super::fixtures::{account, add, at, at_once, group, leave, new_user, send, unread};
use crate::model::{Conversation, ConversationId, User, UserId};
use crate::storage::Addition;

async fn conversation(store: &Store, id: ConversationId) -> Conversation {
    store.conversation(id).await.unwrap().unwrap()
}

pub async fn participants_who_are_there_already_stay_as_they_are(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let carol = account(store, "carol").await;
    let id = group(store, &[alice, bob]).await;
    send(store, id, alice, "hello").await;

    let outcome = store.add_participants(id, &[bob, carol, carol], 3, at(9)).await.unwrap();

    let Addition::Added { conversation: now, added } = outcome else { panic!("{outcome:?}") };
    assert_eq!(added, [carol]);
    assert_eq!(now.participant_ids(), [alice, bob, carol]);
    assert_eq!(now.updated_at, at(9));
    assert_eq!(conversation(store, id).await, now);
    assert_eq!(unread(store, id, bob).await, 1);

    let nobody_new = store.add_participants(id, &[bob], 3, at(99)).await.unwrap();
    assert!(matches!(&nobody_new, Addition::Added { added, .. } if added.is_empty()), "{nobody_new:?}");
    assert_eq!(conversation(store, id).await, now);
}

pub async fn adding_is_all_or_nothing(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let carol = account(store, "carol").await;
    let disabled = User { disabled: true, ..new_user("dora") };
    assert!(store.create_account(&disabled, "hash").await.unwrap());
    let id = group(store, &[alice]).await;
    let before = conversation(store, id).await;

    let too_many = store.add_participants(id, &[bob, carol], 2, at(1)).await.unwrap();
    assert!(matches!(too_many, Addition::TooMany), "{too_many:?}");
    for unknown in [UserId::new(), disabled.id] {
        let refused = store.add_participants(id, &[bob, unknown], 100, at(1)).await.unwrap();
        assert!(matches!(refused, Addition::UnknownUser), "{refused:?}");
    }
    let nowhere = store.add_participants(ConversationId::new(), &[bob], 100, at(1)).await.unwrap();
    assert!(matches!(nowhere, Addition::NotFound), "{nowhere:?}");

    assert_eq!(conversation(store, id).await, before);
}

pub async fn a_participant_who_leaves_is_gone_and_comes_back_last(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let id = group(store, &[alice, bob]).await;

    let now = store.remove_participant(id, alice, at(4)).await.unwrap().unwrap();
    assert_eq!((now.participant_ids(), now.updated_at), (vec![bob], at(4)));
    assert_eq!(conversation(store, id).await, now);
    assert_eq!(store.remove_participant(id, alice, at(5)).await.unwrap(), None);
    assert_eq!(store.remove_participant(ConversationId::new(), bob, at(5)).await.unwrap(), None);
    assert_eq!(conversation(store, id).await, now);

    add(store, id, alice).await;
    assert_eq!(conversation(store, id).await.participant_ids(), [bob, alice]);

    // The last one may go, too.
    leave(store, id, alice).await;
    leave(store, id, bob).await;
    assert_eq!(conversation(store, id).await.participants, []);
}

pub async fn of_many_who_are_added_at_once_no_more_than_the_most_come(store: &Store) {
    let alice = account(store, "alice").await;
    let id = group(store, &[alice]).await;

    at_once(20, |i| {
        let store = store.clone();
        async move {
            let user = account(&store, &format!("user{i}")).await;
            store.add_participants(id, &[user], 8, at(0)).await.unwrap();
        }
    })
    .await;

    assert_eq!(conversation(store, id).await.participants.len(), 8);
}

pub async fn adding_looks_in_order(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let id = group(store, &[alice, bob]).await;
    let nobody = UserId::new();
    let before = conversation(store, id).await;

    for (conversation, users, max, expected) in [
        (ConversationId::new(), vec![nobody], 0, "NotFound"),
        (id, vec![nobody], 0, "UnknownUser"),
        (id, vec![alice, nobody], 0, "UnknownUser"),
        (id, vec![account(store, "carol").await], 2, "TooMany"),
        // Where nobody comes, it does not matter how many are there.
        (id, vec![alice, bob, alice], 1, "Added"),
        (id, vec![], 0, "Added"),
    ] {
        let outcome = store.add_participants(conversation, &users, max, at(1)).await.unwrap();
        assert!(format!("{outcome:?}").starts_with(expected), "{expected}: {outcome:?}");
    }

    assert_eq!(conversation(store, id).await, before);
}

pub async fn those_who_come_are_in_the_order_they_were_named(store: &Store) {
    let alice = account(store, "alice").await;
    let id = group(store, &[alice]).await;
    let mut users = Vec::new();
    for i in 0..6 {
        users.push(account(store, &format!("user{i}")).await);
    }
    users.reverse();
    leave(store, id, alice).await;

    let named = [users[0], users[1], users[0], users[2], users[1]];
    let outcome = store.add_participants(id, &named, 3, at(0)).await.unwrap();
    assert!(matches!(&outcome, Addition::Added { added, .. } if *added == users[..3]), "{outcome:?}");
    let outcome = store.add_participants(id, &[users[2], users[3], alice], 100, at(0)).await.unwrap();
    assert!(matches!(&outcome, Addition::Added { added, .. } if *added == [users[3], alice]), "{outcome:?}");

    let expected = [users[0], users[1], users[2], users[3], alice];
    assert_eq!(conversation(store, id).await.participant_ids(), expected);
}

pub async fn of_many_who_take_one_out_at_once_one_does(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let id = group(store, &[alice, bob]).await;

    let outcomes = at_once(20, |_| {
        let store = store.clone();
        async move { store.remove_participant(id, bob, at(1)).await.unwrap() }
    })
    .await;

    assert_eq!(outcomes.iter().flatten().count(), 1);
    assert_eq!(conversation(store, id).await.participant_ids(), [alice]);
}

pub async fn of_many_who_add_one_at_once_one_does(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let id = group(store, &[alice]).await;
    send(store, id, alice, "x").await;

    let outcomes = at_once(20, |_| {
        let store = store.clone();
        async move { store.add_participants(id, &[bob], 2, at(1)).await.unwrap() }
    })
    .await;

    let new = |outcome: &&Addition| matches!(outcome, Addition::Added { added, .. } if *added == [bob]);
    assert_eq!(outcomes.iter().filter(new).count(), 1);
    let same = |outcome: &Addition| matches!(outcome, Addition::Added { .. });
    assert!(outcomes.iter().all(same), "{outcomes:?}");
    assert_eq!(conversation(store, id).await.participant_ids(), [alice, bob]);
    assert_eq!(unread(store, id, bob).await, 0);
}

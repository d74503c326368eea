//! What [`ConversationStore`](crate::storage::ConversationStore) promises of single conversations.

use super::{
    Store, account, add, at, at_once, conversation_at, group, leave, new_user, row, send, send_many,
};
use crate::model::{Conversation, ConversationId, ConversationKind, ConversationStatus, User, UserId};
use crate::storage::{Addition, ConversationRow, Created, DeliveredMark, Standing, StatusChange};

async fn set_status(
    store: &Store,
    id: ConversationId,
    status: ConversationStatus,
    seconds: i64,
) -> StatusChange {
    store.set_status(id, status, at(seconds)).await.unwrap()
}

async fn conversation(store: &Store, id: ConversationId) -> Conversation {
    store.conversation(id).await.unwrap().unwrap()
}

pub async fn a_conversation_is_made_with_its_participants_in_their_order(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let carol = User { avatar: Some("c.png".into()), last_seen: Some(at(5)), ..new_user("carol") };
    assert!(store.create_account(&carol, "hash").await.unwrap());
    let new = ConversationRow {
        name: Some("Ünsere Gruppe 🎉".into()),
        created_by: bob,
        ..row(ConversationKind::Group, &[carol.id, bob, alice], 3)
    };

    let created = store.create_conversation(&new).await.unwrap();

    let Created::Created(made) = created else { panic!("{created:?}") };
    assert_eq!((made.id, made.name.as_deref(), made.kind), (new.id, new.name.as_deref(), new.kind));
    assert_eq!((made.status, made.created_by, made.last_seq), (ConversationStatus::Open, bob, 0));
    assert_eq!((made.created_at, made.updated_at), (at(3), at(3)));
    assert_eq!(made.participant_ids(), [carol.id, bob, alice]);
    let first = &made.participants[0];
    assert_eq!((first.username.as_str(), first.avatar.as_deref()), ("carol", Some("c.png")));
    assert_eq!((first.role, first.last_seen), (carol.role, Some(at(5))));
    assert_eq!(store.conversation(new.id).await.unwrap(), Some(made));
    assert_eq!(store.conversation(ConversationId::new()).await.unwrap(), None);
}

pub async fn a_conversation_with_someone_unknown_or_disabled_is_not_made(store: &Store) {
    let alice = account(store, "alice").await;
    let disabled = User { disabled: true, ..new_user("dora") };
    assert!(store.create_account(&disabled, "hash").await.unwrap());

    for other in [UserId::new(), disabled.id] {
        for kind in [ConversationKind::Group, ConversationKind::Direct] {
            let new = row(kind, &[alice, other], 0);

            let refused = store.create_conversation(&new).await.unwrap();

            assert!(matches!(refused, Created::UnknownParticipant), "{refused:?}");
            assert_eq!(store.conversation(new.id).await.unwrap(), None);
        }
    }
}

pub async fn two_have_one_open_direct_conversation(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let carol = account(store, "carol").await;
    let first = conversation_at(store, ConversationKind::Direct, &[alice, bob], 0).await;

    for pair in [[alice, bob], [bob, alice]] {
        let refused = store.create_conversation(&row(ConversationKind::Direct, &pair, 0)).await.unwrap();
        assert!(matches!(refused, Created::DirectExists(id) if id == first), "{refused:?}");
    }

    // Neither other pairs nor groups are in the way.
    conversation_at(store, ConversationKind::Direct, &[alice, carol], 0).await;
    conversation_at(store, ConversationKind::Direct, &[carol, bob], 0).await;
    group(store, &[alice, bob]).await;
    group(store, &[alice, bob]).await;
}

pub async fn of_many_who_start_a_direct_conversation_at_once_one_does(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);

    let outcomes = at_once(20, |i| {
        let store = store.clone();
        let pair = if i % 2 == 0 { [alice, bob] } else { [bob, alice] };
        async move { store.create_conversation(&row(ConversationKind::Direct, &pair, 0)).await.unwrap() }
    })
    .await;

    let made: Vec<_> = outcomes
        .iter()
        .filter_map(|outcome| if let Created::Created(made) = outcome { Some(made.id) } else { None })
        .collect();
    assert_eq!(made.len(), 1, "{outcomes:?}");
    for outcome in outcomes {
        assert!(
            matches!(&outcome, Created::Created(_))
                || matches!(&outcome, Created::DirectExists(id) if *id == made[0]),
            "{outcome:?}"
        );
    }
}

pub async fn a_direct_conversation_is_not_reopened_beside_another(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let first = conversation_at(store, ConversationKind::Direct, &[alice, bob], 0).await;
    set_status(store, first, ConversationStatus::Closed, 1).await;
    let second = conversation_at(store, ConversationKind::Direct, &[bob, alice], 0).await;

    let refused = set_status(store, first, ConversationStatus::Open, 2).await;

    assert!(matches!(refused, StatusChange::DirectExists(id) if id == second), "{refused:?}");
    assert_eq!(conversation(store, first).await.status, ConversationStatus::Closed);
    set_status(store, second, ConversationStatus::Closed, 3).await;
    let opened = set_status(store, first, ConversationStatus::Open, 4).await;
    assert!(matches!(opened, StatusChange::Changed(_)), "{opened:?}");
}

pub async fn closing_and_opening_again_changes_once(store: &Store) {
    let alice = account(store, "alice").await;
    let id = group(store, &[alice]).await;

    for (status, seconds) in [(ConversationStatus::Closed, 10), (ConversationStatus::Open, 20)] {
        let changed = set_status(store, id, status, seconds).await;
        let StatusChange::Changed(now) = changed else { panic!("{changed:?}") };
        assert_eq!((now.status, now.updated_at), (status, at(seconds)));

        let unchanged = set_status(store, id, status, seconds + 5).await;
        assert!(matches!(&unchanged, StatusChange::Unchanged(same) if *same == now), "{unchanged:?}");
        assert_eq!(conversation(store, id).await, now);
    }

    let unknown = set_status(store, ConversationId::new(), ConversationStatus::Closed, 0).await;
    assert!(matches!(unknown, StatusChange::NotFound), "{unknown:?}");
}

pub async fn the_standing_tells_what_decides(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let carol = account(store, "carol").await;
    let id = group(store, &[alice, bob]).await;
    send_many(store, id, alice, 3).await;
    store
        .set_delivered(&[DeliveredMark { conversation_id: id, user_id: bob, first_seq: 1, last_seq: 2 }])
        .await
        .unwrap();

    let of_bob = Standing {
        is_participant: true,
        created_by: alice,
        kind: ConversationKind::Group,
        status: ConversationStatus::Open,
        last_seq: 3,
        delivered_seq: 2,
    };
    assert_eq!(store.standing(id, bob).await.unwrap(), Some(of_bob));
    let of_a_stranger = Standing { is_participant: false, delivered_seq: 0, ..of_bob };
    assert_eq!(store.standing(id, carol).await.unwrap(), Some(of_a_stranger));
    assert_eq!(store.standing(ConversationId::new(), bob).await.unwrap(), None);

    leave(store, id, bob).await;
    set_status(store, id, ConversationStatus::Closed, 0).await;
    let closed = Standing { status: ConversationStatus::Closed, ..of_a_stranger };
    assert_eq!(store.standing(id, bob).await.unwrap(), Some(closed));
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
    assert_eq!(super::unread(store, id, bob).await, 1);

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

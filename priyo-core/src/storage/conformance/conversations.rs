//! What [`ConversationStore`](crate::storage::ConversationStore) promises of single conversations.

use super::Store;
use super::fixtures::{
    accepted, account, append, at, at_once, conversation_at, delivered, group, ids, leave, list, named,
    new_user, page, read, row, send, send_many, text, unread,
};
use crate::model::{
    Conversation, ConversationId, ConversationKind, ConversationStatus, MessageRange, Role, User, UserId,
};
use crate::storage::{Appended, ConversationRow, Created, DeliveredMark, Standing, StatusChange};

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

pub async fn several_standings_are_told_in_the_order_they_are_asked_for(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let both = group(store, &[alice, bob]).await;
    let own = group(store, &[bob]).await;
    let left = group(store, &[alice, bob]).await;
    send_many(store, both, alice, 3).await;
    leave(store, left, bob).await;

    let of = [
        (own, alice),
        (both, bob),
        (ConversationId::new(), bob),
        (left, bob),
        (own, bob),
        (both, alice),
        (both, UserId::new()),
        (both, bob),
    ];
    let mut each = Vec::new();
    for (id, user) in of {
        each.push(store.standing(id, user).await.unwrap());
    }

    assert_eq!(store.standings(&of).await.unwrap(), each);
    let is_participant: Vec<_> = each.iter().map(|one| one.map(|standing| standing.is_participant)).collect();
    let expected = [false, true, true, false, true, true, false, true].map(Some);
    assert_eq!(is_participant[..2], expected[..2]);
    assert_eq!(is_participant[2], None);
    assert_eq!(is_participant[3..], expected[3..]);
    assert_eq!(store.standings(&[]).await.unwrap(), []);
}

pub async fn of_many_who_open_a_direct_conversation_again_at_once_one_does(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let mut closed = Vec::new();
    for seconds in 0..6 {
        let id = conversation_at(store, ConversationKind::Direct, &[alice, bob], seconds).await;
        set_status(store, id, ConversationStatus::Closed, seconds).await;
        closed.push(id);
    }

    let outcomes = at_once(6, |i| {
        let (store, id) = (store.clone(), closed[usize::from(i)]);
        async move { set_status(&store, id, ConversationStatus::Open, 8).await }
    })
    .await;
    let opened: Vec<_> = outcomes.iter().filter(|it| matches!(it, StatusChange::Changed(_))).collect();
    let [StatusChange::Changed(opened)] = opened[..] else { panic!("{outcomes:?}") };
    let refused = |it: &&StatusChange| matches!(it, StatusChange::DirectExists(id) if *id == opened.id);
    assert_eq!(outcomes.iter().filter(refused).count(), 5, "{outcomes:?}");
    set_status(store, opened.id, ConversationStatus::Closed, 8).await;

    // And while others would make a new one.
    at_once(12, |i| {
        let (store, id) = (store.clone(), closed[usize::from(i / 2)]);
        async move {
            if i % 2 == 0 {
                set_status(&store, id, ConversationStatus::Open, 9).await;
            } else {
                store.create_conversation(&row(ConversationKind::Direct, &[bob, alice], 9)).await.unwrap();
            }
        }
    })
    .await;

    let open = list(store, Some(alice), alice).await;
    let open = open.iter().filter(|item| item.conversation.status == ConversationStatus::Open).count();
    assert_eq!(open, 1);
}

pub async fn a_closed_conversation_can_be_read(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let id = group(store, &[alice, bob]).await;
    let messages = send_many(store, id, alice, 3).await;

    set_status(store, id, ConversationStatus::Closed, 1).await;

    let page = page(store, id, MessageRange::Page(1), 10).await;
    let shown: Vec<_> = page.items.into_iter().map(|item| item.message).collect();
    assert_eq!(shown, messages);
    assert_eq!(unread(store, id, bob).await, 3);
    assert_eq!(read(store, bob, &ids(&messages[..2])).await, [1, 2]);
    assert_eq!(unread(store, id, bob).await, 1);
    store.set_delivered(&[delivered(id, bob, 1, 3)]).await.unwrap();
    assert_eq!(store.standing(id, bob).await.unwrap().unwrap().delivered_seq, 3);

    set_status(store, id, ConversationStatus::Open, 2).await;
    assert_eq!(unread(store, id, bob).await, 1);
    assert_eq!(send(store, id, alice, "again").await.seq, 4);
}

pub async fn names_are_shown_as_they_are_now(store: &Store) {
    let alice = account(store, "alice").await;
    let bob = User { external_id: Some("1".into()), ..new_user("bob") };
    store.upsert_host_user(&bob).await.unwrap();
    let id = group(store, &[alice, bob.id]).await;
    let of_bob = named(text(id, bob.id, "x"), "c1");
    accepted(append(store, of_bob.clone()).await);
    let of_alice = send(store, id, alice, "x").await;
    read(store, bob.id, &[of_alice.id]).await;

    let renamed =
        User { username: "Robert".into(), avatar: Some("r.png".into()), role: Role::Agent, ..bob.clone() };
    store.upsert_host_user(&renamed).await.unwrap();
    store.set_last_seen(&[bob.id], at(7)).await.unwrap();

    let now = conversation(store, id).await;
    let shown = &now.participants[1];
    assert_eq!((shown.username.as_str(), shown.avatar.as_deref()), ("Robert", Some("r.png")));
    assert_eq!((shown.role, shown.last_seen), (Role::Agent, Some(at(7))));
    assert_eq!(list(store, None, alice).await[0].conversation, now);
    let page = page(store, id, MessageRange::Page(1), 10).await;
    assert_eq!(page.items[0].message.sender, renamed.brief());
    assert_eq!(page.items[1].reads[0].username, "Robert");
    let repeat = append(store, of_bob).await;
    assert!(matches!(&repeat, Appended::Duplicate(first) if first.sender == renamed.brief()), "{repeat:?}");
    assert_eq!(send(store, id, bob.id, "y").await.sender, renamed.brief());
}

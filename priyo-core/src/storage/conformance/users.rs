//! What [`UserStore`](crate::storage::UserStore) promises.

use super::Store;
use super::fixtures::{account, add, at, at_once, audit_entry, close, group, leave, new_user};
use crate::model::{Role, User, UserId};
use crate::storage::AuditEntry;

pub async fn an_account_is_found_by_its_id_and_its_email(store: &Store) {
    let alice = User { avatar: Some("a.png".into()), role: Role::Agent, ..new_user("Alice") };

    assert!(store.create_account(&alice, "hash").await.unwrap());

    assert_eq!(store.user(alice.id).await.unwrap(), Some(alice.clone()));
    let found = store.account("alice@example.com").await.unwrap();
    assert_eq!(found, Some((alice, "hash".to_owned())));
}

pub async fn a_user_who_is_not_there_is_not_found(store: &Store) {
    account(store, "alice").await;

    assert_eq!(store.user(UserId::new()).await.unwrap(), None);
    assert_eq!(store.host_user("alice").await.unwrap(), None);
    assert_eq!(store.account("bob@example.com").await.unwrap(), None);
    assert_eq!(store.account("").await.unwrap(), None);
}

pub async fn emails_and_usernames_are_taken_whatever_their_case(store: &Store) {
    account(store, "Alice").await;

    let same_name = User { email: Some("other@example.com".into()), ..new_user("aLICE") };
    let same_email = User { email: Some("ALICE@example.com".into()), ..new_user("other") };
    assert!(!store.create_account(&same_name, "hash").await.unwrap());
    assert!(!store.create_account(&same_email, "hash").await.unwrap());

    assert_eq!(store.user(same_name.id).await.unwrap(), None);
    assert_eq!(store.user(same_email.id).await.unwrap(), None);
    assert!(store.create_account(&new_user("other"), "hash").await.unwrap());
}

pub async fn of_fifty_registrations_at_once_one_gets_the_name(store: &Store) {
    let outcomes = at_once(50, |_| {
        let store = store.clone();
        async move { store.create_account(&new_user("alice"), "hash").await.unwrap() }
    })
    .await;

    assert_eq!(outcomes.iter().filter(|made| **made).count(), 1);
}

pub async fn a_host_user_is_made_once_and_then_brought_up_to_date(store: &Store) {
    let first = User { external_id: Some("42".into()), email: None, ..new_user("ann") };
    assert_eq!(store.upsert_host_user(&first).await.unwrap(), first);

    let renamed = User {
        id: UserId::new(),
        username: "Ann".into(),
        avatar: Some("ann.png".into()),
        role: Role::Agent,
        created_at: at(99),
        ..first.clone()
    };
    let stored = store.upsert_host_user(&renamed).await.unwrap();

    assert_eq!(stored, User { id: first.id, created_at: first.created_at, ..renamed.clone() });
    assert_eq!(store.host_user("42").await.unwrap(), Some(stored.clone()));
    assert_eq!(store.user(first.id).await.unwrap(), Some(stored));
    assert_eq!(store.user(renamed.id).await.unwrap(), None);
}

pub async fn a_host_user_keeps_all_but_name_picture_and_role(store: &Store) {
    let external_id = Some("42".to_owned());
    let first = User { external_id, avatar: Some("a.png".into()), last_seen: Some(at(3)), ..new_user("ann") };
    store.upsert_host_user(&first).await.unwrap();

    let other = User {
        id: UserId::new(),
        email: Some("other@example.com".into()),
        avatar: None,
        role: Role::Admin,
        disabled: true,
        created_at: at(9),
        last_seen: None,
        ..first.clone()
    };
    let stored = store.upsert_host_user(&other).await.unwrap();

    let expected = User { avatar: None, role: Role::Admin, ..first };
    assert_eq!(stored, expected);
    assert_eq!(store.user(expected.id).await.unwrap(), Some(expected.clone()));
    assert_eq!(store.upsert_host_user(&other).await.unwrap(), expected);
}

pub async fn a_host_user_made_by_many_at_once_is_one(store: &Store) {
    let users = at_once(20, |_| {
        let store = store.clone();
        let user = User { external_id: Some("42".into()), ..new_user("ann") };
        async move { store.upsert_host_user(&user).await.unwrap().id }
    })
    .await;

    assert!(users.iter().all(|id| *id == users[0]), "{users:?}");
}

pub async fn names_are_unique_only_among_those_who_log_in(store: &Store) {
    account(store, "ann").await;
    for external_id in ["1", "2"] {
        let host_user = User { external_id: Some(external_id.into()), ..new_user("ann") };

        assert_eq!(store.upsert_host_user(&host_user).await.unwrap(), host_user);
    }

    // Nor can a host user log in.
    let (found, _) = store.account("ann@example.com").await.unwrap().unwrap();
    assert_eq!(found.external_id, None);
}

pub async fn when_users_were_last_seen_is_kept(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let carol = account(store, "carol").await;

    store.set_last_seen(&[alice, UserId::new(), bob, alice], at(7)).await.unwrap();
    store.set_last_seen(&[], at(8)).await.unwrap();

    for (user, expected) in [(alice, Some(at(7))), (bob, Some(at(7))), (carol, None)] {
        assert_eq!(store.user(user).await.unwrap().unwrap().last_seen, expected);
    }
}

pub async fn when_users_were_last_seen_never_goes_back(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    store.set_last_seen(&[alice], at(7)).await.unwrap();

    // Two servers may write of one user, and the later news may be stored first.
    store.set_last_seen(&[alice, bob], at(5)).await.unwrap();

    assert_eq!(store.user(alice).await.unwrap().unwrap().last_seen, Some(at(7)));
    assert_eq!(store.user(bob).await.unwrap().unwrap().last_seen, Some(at(5)));
}

/// As many as a server may write of at once.
pub async fn when_hundreds_of_users_were_last_seen_is_one_call(store: &Store) {
    let users = at_once(200, |number| {
        let store = store.clone();
        async move { account(&store, &format!("user-{number}")).await }
    })
    .await;

    store.set_last_seen(&users, at(7)).await.unwrap();

    for user in users {
        assert_eq!(store.user(user).await.unwrap().unwrap().last_seen, Some(at(7)));
    }
}

pub async fn contacts_are_all_who_share_a_conversation_now(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let (carol, dave) = (account(store, "carol").await, account(store, "dave").await);
    let first = group(store, &[alice, bob, carol]).await;
    group(store, &[bob, alice]).await;
    group(store, &[bob, dave]).await;

    assert_eq!(contacts(store, alice).await, in_order(&[bob, carol]));

    // Those of a closed one are contacts as well.
    close(store, first).await;
    assert_eq!(contacts(store, alice).await, in_order(&[bob, carol]));

    leave(store, first, alice).await;
    assert_eq!(contacts(store, alice).await, [bob]);
    assert_eq!(contacts(store, carol).await, [bob]);

    add(store, first, alice).await;
    assert_eq!(contacts(store, carol).await.len(), 2);
    assert_eq!(contacts(store, UserId::new()).await, []);
}

pub async fn contacts_of_several_come_in_the_order_they_are_asked_for(store: &Store) {
    let mut users = Vec::new();
    for name in ["alice", "bob", "carol", "dave"] {
        users.push(account(store, name).await);
    }
    let [alice, bob, carol, dave] = users[..] else { panic!("four") };
    group(store, &[alice, bob, carol]).await;
    let unknown = UserId::new();

    let asked = [carol, dave, unknown, alice, carol];
    let mut found = store.contacts_of(&asked).await.unwrap();

    found.iter_mut().for_each(|contacts| contacts.sort());
    let with_alice = in_order(&[alice, bob]);
    let with_carol = in_order(&[bob, carol]);
    assert_eq!(found, [with_alice.clone(), vec![], vec![], with_carol, with_alice]);
    assert_eq!(store.contacts_of(&[]).await.unwrap(), Vec::<Vec<UserId>>::new());
}

async fn contacts(store: &Store, of: UserId) -> Vec<UserId> {
    let [found] = store.contacts_of(&[of]).await.unwrap().try_into().unwrap();
    in_order(&found)
}

fn in_order(users: &[UserId]) -> Vec<UserId> {
    let mut users = users.to_vec();
    users.sort();
    users
}

pub async fn the_audit_log_takes_the_same_entry_twice(store: &Store) {
    let alice = account(store, "alice").await;
    let text = || Some("x".to_owned());
    let entry = AuditEntry {
        subject: text(),
        detail: text(),
        address: text(),
        request_id: text(),
        ..audit_entry(Some(alice))
    };

    store.audit(std::slice::from_ref(&entry)).await.unwrap();
    store.audit(&[entry, audit_entry(None)]).await.unwrap();
    store.audit(&[]).await.unwrap();
}

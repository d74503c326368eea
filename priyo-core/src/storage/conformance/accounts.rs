//! What [`UserStore`](crate::storage::UserStore) promises to those who look after users.

use futures_util::future::join_all;

use super::Store;
use super::fixtures::{account, at, at_once, new_session, new_user};
use crate::model::{Role, SessionId, User, UserChange, UserCursor, UserId, UserList, UserOrder};
use crate::storage::{PasswordRow, RefreshToken, UserUpdate};

/// A session of somebody, which lasts long; its token has this name.
async fn session(store: &Store, user: UserId, name: u8) -> SessionId {
    let new = new_session(user, 5_000);
    assert!(store.create_session(&new, &token(name), None).await.unwrap());
    new.id
}

fn token(name: u8) -> RefreshToken {
    RefreshToken { hash: [name; 32], created_at: at(0), expires_at: at(5_000) }
}

fn password(user_id: UserId, old_hash: Option<&str>, new_hash: &str, keep: Option<SessionId>) -> PasswordRow {
    let (old_hash, new_hash) = (old_hash.map(str::to_owned), new_hash.to_owned());
    PasswordRow { user_id, old_hash, new_hash, keep, at: at(10) }
}

async fn live(store: &Store, user: UserId) -> Vec<SessionId> {
    let sessions = store.sessions_of(user, at(10), 1_000).await.unwrap();
    sessions.into_iter().map(|session| session.id).collect()
}

async fn user_with(store: &Store, user: User) -> UserId {
    assert!(store.create_account(&user, "hash").await.unwrap());
    user.id
}

async fn admin(store: &Store, name: &str) -> UserId {
    user_with(store, User { role: Role::Admin, ..new_user(name) }).await
}

fn list(starts_with: &str) -> UserList {
    let by = if starts_with.contains('@') { UserOrder::Email } else { UserOrder::Username };
    UserList { by, starts_with: starts_with.to_owned(), after: None, limit: 100 }
}

async fn names(store: &Store, list: &UserList) -> Vec<String> {
    store.users(list).await.unwrap().items.into_iter().map(|user| user.username).collect()
}

const DEMOTE: UserChange = UserChange { role: Some(Role::Agent), disabled: None };
const DISABLE: UserChange = UserChange { role: None, disabled: Some(true) };

pub async fn a_password_hash_is_replaced_only_in_place_of_the_old_one(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let ann = User { external_id: Some("1".into()), ..new_user("ann") };
    store.upsert_host_user(&ann).await.unwrap();
    let live_one = session(store, alice, 1).await;

    assert!(!store.replace_password_hash(alice, "another hash", "new").await.unwrap());
    assert_eq!(store.password_hash(alice).await.unwrap().as_deref(), Some("hash"));
    assert!(store.replace_password_hash(alice, "hash", "new").await.unwrap());
    assert_eq!(store.password_hash(alice).await.unwrap().as_deref(), Some("new"));

    assert_eq!(store.password_hash(bob).await.unwrap().as_deref(), Some("hash"));
    assert_eq!(live(store, alice).await, [live_one], "it is the same password");
    for nobody in [ann.id, UserId::new()] {
        assert!(!store.replace_password_hash(nobody, "hash", "new").await.unwrap());
        assert_eq!(store.password_hash(nobody).await.unwrap(), None);
    }
}

pub async fn another_password_ends_all_sessions_but_one(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let [one, two, three] =
        [session(store, alice, 1).await, session(store, alice, 2).await, session(store, alice, 3).await];
    let of_bob = session(store, bob, 4).await;

    let refused = store.change_password(&password(alice, Some("another hash"), "new", None)).await.unwrap();
    assert_eq!(refused, None);
    assert_eq!(store.password_hash(alice).await.unwrap().as_deref(), Some("hash"));
    assert_eq!(live(store, alice).await.len(), 3);

    let ended = store.change_password(&password(alice, Some("hash"), "new", Some(two))).await.unwrap();
    let (mut ended, mut expected) = (ended.unwrap(), vec![one, three]);
    ended.sort();
    expected.sort();
    assert_eq!(ended, expected);
    assert_eq!(store.account("alice@example.com").await.unwrap().unwrap().1, "new");
    assert_eq!(live(store, alice).await, [two]);
    assert_eq!(
        (live(store, bob).await, store.password_hash(bob).await.unwrap()),
        (vec![of_bob], Some("hash".into()))
    );

    // Whatever it was; and the session of somebody else is none to keep.
    let reset = store.change_password(&password(alice, None, "newer", Some(of_bob))).await.unwrap();
    assert_eq!(reset, Some(vec![two]));
    assert_eq!(store.change_password(&password(UserId::new(), None, "x", None)).await.unwrap(), None);
}

pub async fn no_session_of_the_old_password_is_left_by_a_race(store: &Store) {
    for round in 0..10_u8 {
        let alice = account(store, &format!("alice-{round}")).await;
        let kept = session(store, alice, round * 20).await;
        at_once(16, |number| {
            let store = store.clone();
            async move {
                if number == 8 {
                    let new = password(alice, Some("hash"), "new", Some(kept));
                    assert!(store.change_password(&new).await.unwrap().is_some());
                } else {
                    let (new, token) = (new_session(alice, 5_000), token(round * 20 + 1 + number));
                    store.create_session(&new, &token, Some("hash")).await.unwrap();
                }
            }
        })
        .await;

        assert_eq!(live(store, alice).await, [kept]);
    }
}

pub async fn users_are_listed_in_order_and_found_by_how_their_names_begin(store: &Store) {
    for name in ["bob", "Anna", "ann", "Zoe", "_x", "anton", "Änne"] {
        user_with(store, new_user(name)).await;
    }
    let host_user = User { external_id: Some("1".into()), email: None, ..new_user("Ann") };
    store.upsert_host_user(&host_user).await.unwrap();

    let all = store.users(&list("")).await.unwrap().items;
    let keys: Vec<_> = all.iter().map(|user| UserOrder::Username.key_of(user)).collect();
    assert_eq!(keys, ["_x", "ann", "ann", "anna", "anton", "bob", "zoe", "Änne"]);
    assert!(all[1].id < all[2].id, "of two whose names differ in their case only, the smaller id is first");
    assert_eq!(names(store, &list("anna")).await, ["Anna"]);
    assert_eq!(store.users(&list("an")).await.unwrap().items, all[1..5]);
    for nobody in ["n", "%", "_a", "c", "anna "] {
        assert_eq!(names(store, &list(nobody)).await, [""; 0], "{nobody:?}");
    }
    assert_eq!(names(store, &list("ann@")).await, ["ann"]);
    assert_eq!(names(store, &list("ann@example.com")).await, ["ann"]);
    let by_email = UserList { by: UserOrder::Email, ..list("a") };
    assert_eq!(names(store, &by_email).await, ["ann", "Anna", "anton"], "who has none is not there");
    let found = store.users(&list("zoe")).await.unwrap();
    assert_eq!((found.items[0].email.as_deref(), found.has_more), (Some("zoe@example.com"), false));
}

pub async fn the_list_of_users_is_walked_without_gap_or_repeat(store: &Store) {
    for number in 0..11 {
        // Some have one name, and some differ in its case.
        let external_id = Some(number.to_string());
        let name = format!("{}-{}", ["b", "A", "c", "a"][number % 4], number / 6);
        store.upsert_host_user(&User { external_id, ..new_user(&name) }).await.unwrap();
    }
    for by in [UserOrder::Username, UserOrder::Email] {
        let whole = store.users(&UserList { by, ..list("") }).await.unwrap().items;
        assert_eq!(whole.len(), 11);
        for limit in [1, 3, 11] {
            let (mut walked, mut after) = (Vec::new(), None);
            loop {
                let list = UserList { by, after, limit, ..list("") };
                let page = store.users(&list).await.unwrap();
                assert!(page.items.len() == limit as usize || !page.has_more);
                after = page.items.last().map(|user| UserCursor::of(user, by));
                walked.extend(page.items);
                if !page.has_more {
                    break;
                }
            }
            assert_eq!(walked, whole, "by {by:?}, {limit} at a time");
        }
    }
    // A place where nobody is.
    let after = Some(UserCursor { key: "a-2".into(), id: UserId::new() });
    assert_eq!(names(store, &UserList { after, ..list("") }).await[0].to_lowercase(), "b-0");
}

pub async fn a_change_of_a_user_is_of_that_user_alone(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let before = store.user(alice).await.unwrap().unwrap();
    let change = |role, disabled| store.update_user(alice, UserChange { role, disabled }, at(10));

    let user = User { role: Role::Agent, ..before.clone() };
    let expected = UserUpdate::Updated { before: before.clone(), user: user.clone(), ended: vec![] };
    assert_eq!(change(Some(Role::Agent), None).await.unwrap(), expected);
    assert_eq!(store.user(alice).await.unwrap(), Some(user.clone()));
    let again = UserUpdate::Updated { before: user.clone(), user: user.clone(), ended: vec![] };
    assert_eq!(change(Some(Role::Agent), Some(false)).await.unwrap(), again);
    assert_eq!(change(None, None).await.unwrap(), again);

    assert_eq!(store.user(bob).await.unwrap().unwrap().role, Role::Customer);
    assert_eq!(store.update_user(UserId::new(), DEMOTE, at(10)).await.unwrap(), UserUpdate::NotFound);
}

pub async fn one_who_is_disabled_has_no_session_left(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let sessions = [session(store, alice, 1).await, session(store, alice, 2).await];
    let of_bob = session(store, bob, 3).await;

    let updated = store.update_user(alice, DISABLE, at(10)).await.unwrap();

    let UserUpdate::Updated { user, mut ended, .. } = updated else { panic!("{updated:?}") };
    ended.sort();
    let mut expected = sessions.to_vec();
    expected.sort();
    assert_eq!((user.disabled, ended), (true, expected));
    assert!(store.session(sessions[0]).await.unwrap().unwrap().revoked);
    assert_eq!((live(store, alice).await, live(store, bob).await), (vec![], vec![of_bob]));

    // Enabled again, they sign in anew.
    let enable = UserChange { role: None, disabled: Some(false) };
    store.update_user(alice, enable, at(20)).await.unwrap();
    assert_eq!(live(store, alice).await, []);
    session(store, alice, 4).await;
}

pub async fn the_last_administrator_who_can_log_in_stays(store: &Store) {
    let root = admin(store, "root").await;
    let shut_out = user_with(store, User { role: Role::Admin, disabled: true, ..new_user("old") }).await;
    let host = User { external_id: Some("1".into()), role: Role::Admin, ..new_user("host") };
    store.upsert_host_user(&host).await.unwrap();
    let signed_in = session(store, root, 1).await;

    for change in [DEMOTE, DISABLE] {
        assert_eq!(store.update_user(root, change, at(10)).await.unwrap(), UserUpdate::LastAdmin);
    }
    assert_eq!(
        store.user(root).await.unwrap().map(|user| (user.role, user.disabled)),
        Some((Role::Admin, false))
    );
    assert_eq!(live(store, root).await, [signed_in]);

    // The others never were any who could log in.
    for user in [shut_out, host.id] {
        let updated = store.update_user(user, DEMOTE, at(10)).await.unwrap();
        assert!(matches!(updated, UserUpdate::Updated { .. }), "{updated:?}");
    }
    admin(store, "second").await;
    let updated = store.update_user(root, DEMOTE, at(10)).await.unwrap();
    assert!(matches!(updated, UserUpdate::Updated { .. }), "{updated:?}");
}

pub async fn of_administrators_who_demote_each_other_at_once_one_stays(store: &Store) {
    let mut last = admin(store, "root").await;
    for round in 0..10 {
        let others =
            [admin(store, &format!("one-{round}")).await, admin(store, &format!("two-{round}")).await];
        let admins = [last, others[0], others[1]];
        let outcomes = at_once(3, |number| {
            let (store, other) = (store.clone(), admins[(usize::from(number) + 1) % 3]);
            let change = if number == 0 { DISABLE } else { DEMOTE };
            async move { store.update_user(other, change, at(10)).await.unwrap() }
        })
        .await;

        let refused = outcomes.iter().filter(|outcome| **outcome == UserUpdate::LastAdmin).count();
        assert_eq!(refused, 1, "{outcomes:?}");
        let users = join_all(admins.map(|id| store.user(id))).await;
        let users = users.into_iter().map(|user| user.unwrap().unwrap());
        let left: Vec<_> = users.filter(|user| user.role == Role::Admin && !user.disabled).collect();
        assert_eq!(left.len(), 1, "{left:?}");
        last = left[0].id;
    }
}

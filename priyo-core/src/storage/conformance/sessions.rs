//! What [`SessionStore`](crate::storage::SessionStore) promises.

use std::time::Duration;

use super::Store;
use super::fixtures::{account, at, at_once, new_user};
use crate::model::{Role, SessionId, Timestamp, User, UserId};
use crate::storage::{NewSession, RefreshToken, Rotation, TokenHash};

/// The times below are in seconds: see [`at`].
const GRACE: Duration = Duration::from_secs(10);
const TOKEN_LIFE: Duration = Duration::from_secs(1_000);
const SESSION_END: i64 = 5_000;

fn token(name: u8, made_at: i64) -> RefreshToken {
    RefreshToken { hash: [name; 32], created_at: at(made_at), expires_at: at(made_at).after(TOKEN_LIFE) }
}

/// A session that begins at 0 with the token 1.
async fn session(store: &Store, user: UserId) -> SessionId {
    session_with(store, user, 1).await
}

async fn session_with(store: &Store, user_id: UserId, first: u8) -> SessionId {
    let id = SessionId::new();
    let new = NewSession { id, user_id, created_at: at(0), expires_at: at(SESSION_END) };
    store.create_session(&new, &token(first, 0)).await.unwrap();
    id
}

async fn rotate(store: &Store, presented: u8, next: u8, now: i64) -> Rotation {
    rotate_at(store, [presented; 32], &token(next, now), at(now)).await
}

async fn rotate_at(store: &Store, presented: TokenHash, next: &RefreshToken, now: Timestamp) -> Rotation {
    store.rotate_refresh_token(&presented, next, now, GRACE).await.unwrap()
}

async fn is_revoked(store: &Store, id: SessionId) -> bool {
    store.session(id).await.unwrap().unwrap().revoked
}

macro_rules! assert_rotation {
    ($rotation:expr, $outcome:ident) => {
        let rotation = $rotation;
        assert!(matches!(&rotation, Rotation::$outcome { .. }), "{rotation:?}");
    };
}

pub async fn a_session_is_found_with_its_user(store: &Store) {
    let alice = account(store, "alice").await;
    let id = session(store, alice).await;

    let found = store.session(id).await.unwrap().unwrap();

    assert_eq!((found.id, found.expires_at, found.revoked), (id, at(SESSION_END), false));
    assert_eq!(Some(found.user), store.user(alice).await.unwrap());
    assert!(store.session(SessionId::new()).await.unwrap().is_none());
    assert_eq!(store.session_of_token(&[1; 32]).await.unwrap(), Some(id));
    assert_eq!(store.session_of_token(&[2; 32]).await.unwrap(), None);
}

pub async fn a_refresh_token_is_traded_for_its_child(store: &Store) {
    let alice = account(store, "alice").await;
    let id = session(store, alice).await;

    for (presented, now) in [(1, 10), (2, 500), (3, 1_400)] {
        let rotation = rotate(store, presented, presented + 1, now).await;

        let Rotation::Rotated(session) = rotation else { panic!("{rotation:?}") };
        assert_eq!((session.id, session.user.id, session.revoked), (id, alice, false));
        assert_eq!(store.session_of_token(&[presented + 1; 32]).await.unwrap(), Some(id));
    }
}

pub async fn an_unknown_refresh_token_is_invalid(store: &Store) {
    let alice = account(store, "alice").await;
    session(store, alice).await;

    assert_rotation!(rotate(store, 9, 2, 1).await, Invalid);

    assert_eq!(store.session_of_token(&[2; 32]).await.unwrap(), None);
}

pub async fn a_parent_may_come_again_within_its_grace(store: &Store) {
    let alice = account(store, "alice").await;
    let id = session(store, alice).await;
    assert_rotation!(rotate(store, 1, 2, 100).await, Rotated);

    assert_rotation!(rotate(store, 1, 3, 105).await, Rotated);
    assert_rotation!(rotate(store, 1, 4, 110).await, Rotated);

    assert!(!is_revoked(store, id).await);
    // Any of the siblings is good, and the use of one does not harm the others.
    for sibling in [2, 3, 4] {
        assert_rotation!(rotate(store, sibling, sibling + 10, 200).await, Rotated);
    }
}

pub async fn the_grace_begins_with_the_first_use(store: &Store) {
    let alice = account(store, "alice").await;
    let id = session(store, alice).await;
    assert_rotation!(rotate(store, 1, 2, 100).await, Rotated);
    assert_rotation!(rotate(store, 1, 3, 109).await, Rotated);

    assert_rotation!(rotate(store, 1, 4, 111).await, Reused);

    assert!(is_revoked(store, id).await);
    assert_eq!(store.session_of_token(&[4; 32]).await.unwrap(), None);
}

pub async fn the_use_of_a_child_ends_the_grace(store: &Store) {
    let alice = account(store, "alice").await;
    let id = session(store, alice).await;
    assert_rotation!(rotate(store, 1, 2, 100).await, Rotated);
    assert_rotation!(rotate(store, 2, 3, 101).await, Rotated);

    let rotation = rotate(store, 1, 4, 102).await;

    let Rotation::Reused(session) = rotation else { panic!("{rotation:?}") };
    assert_eq!((session.id, session.user.id, session.revoked), (id, alice, true));
    assert!(is_revoked(store, id).await);
    // Whoever holds the newest token is out as well: which of the two was the thief is not known.
    assert_rotation!(rotate(store, 3, 5, 103).await, Invalid);
}

pub async fn a_grandparent_has_no_grace(store: &Store) {
    let alice = account(store, "alice").await;
    let id = session(store, alice).await;
    for (presented, now) in [(1, 100), (2, 101), (3, 102)] {
        assert_rotation!(rotate(store, presented, presented + 1, now).await, Rotated);
    }

    assert_rotation!(rotate(store, 2, 9, 103).await, Reused);

    assert!(is_revoked(store, id).await);
}

pub async fn an_expired_refresh_token_is_invalid_and_changes_nothing(store: &Store) {
    let alice = account(store, "alice").await;
    let id = session(store, alice).await;
    assert_rotation!(rotate(store, 1, 2, 900).await, Rotated);

    // At the very moment, too; and also a used one, which otherwise would revoke.
    assert_rotation!(rotate(store, 1, 3, 1_000).await, Invalid);
    assert!(!is_revoked(store, id).await);

    assert_rotation!(rotate(store, 2, 3, 1_800).await, Rotated);
}

pub async fn an_expired_session_trades_nothing(store: &Store) {
    let alice = account(store, "alice").await;
    session(store, alice).await;
    let long = RefreshToken { expires_at: at(SESSION_END * 2), ..token(2, 10) };
    assert_rotation!(rotate_at(store, [1; 32], &long, at(10)).await, Rotated);

    assert_rotation!(rotate(store, 2, 3, SESSION_END).await, Invalid);
    assert_rotation!(rotate(store, 2, 3, SESSION_END - 1).await, Rotated);
}

pub async fn a_revoked_session_trades_nothing(store: &Store) {
    let alice = account(store, "alice").await;
    let id = session(store, alice).await;

    store.revoke_session(id, at(5)).await.unwrap();
    store.revoke_session(id, at(6)).await.unwrap();
    store.revoke_session(SessionId::new(), at(6)).await.unwrap();

    assert!(is_revoked(store, id).await);
    assert_rotation!(rotate(store, 1, 2, 7).await, Invalid);
    // The token still tells whose it was.
    assert_eq!(store.session_of_token(&[1; 32]).await.unwrap(), Some(id));
}

pub async fn revoking_all_sessions_of_a_user_gives_the_live_ones(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let live = [session_with(store, alice, 1).await, session_with(store, alice, 2).await];
    let ended = session_with(store, alice, 3).await;
    store.revoke_session(ended, at(5)).await.unwrap();
    let over = SessionId::new();
    let expired = NewSession { id: over, user_id: alice, created_at: at(0), expires_at: at(9) };
    store.create_session(&expired, &token(4, 0)).await.unwrap();
    let of_bob = session_with(store, bob, 5).await;

    let mut revoked = store.revoke_sessions_of(alice, at(10)).await.unwrap();

    revoked.sort();
    let mut expected = live.to_vec();
    expected.sort();
    assert_eq!(revoked, expected);
    assert!(is_revoked(store, live[0]).await && is_revoked(store, live[1]).await);
    assert!(!is_revoked(store, of_bob).await);
    assert_eq!(store.revoke_sessions_of(alice, at(11)).await.unwrap(), []);
}

pub async fn two_tabs_that_refresh_at_once_both_go_on(store: &Store) {
    let alice = account(store, "alice").await;
    let id = session(store, alice).await;

    let outcomes = at_once(10, |i| {
        let store = store.clone();
        async move { rotate(&store, 1, 10 + i, 50).await }
    })
    .await;

    assert!(outcomes.iter().all(|outcome| matches!(outcome, Rotation::Rotated(_))), "{outcomes:?}");
    assert!(!is_revoked(store, id).await);
}

pub async fn a_session_shows_its_user_as_they_are_now(store: &Store) {
    let ann = User { external_id: Some("1".into()), ..new_user("ann") };
    store.upsert_host_user(&ann).await.unwrap();
    let id = session(store, ann.id).await;

    let renamed = User { username: "Anna".into(), role: Role::Agent, ..ann };
    store.upsert_host_user(&renamed).await.unwrap();

    assert_eq!(store.session(id).await.unwrap().unwrap().user, renamed);
    let rotation = rotate(store, 1, 2, 10).await;
    let Rotation::Rotated(traded) = rotation else { panic!("{rotation:?}") };
    assert_eq!((traded.user, traded.expires_at), (renamed, at(SESSION_END)));
}

pub async fn what_is_over_can_still_be_looked_up(store: &Store) {
    let alice = account(store, "alice").await;
    let id = SessionId::new();
    let new = NewSession { id, user_id: alice, created_at: at(-20), expires_at: at(-10) };
    store.create_session(&new, &token(1, -20)).await.unwrap();

    let found = store.session(id).await.unwrap().unwrap();
    assert_eq!((found.expires_at, found.revoked), (at(-10), false));
    assert_eq!(store.session_of_token(&[1; 32]).await.unwrap(), Some(id));
    assert_eq!(store.revoke_sessions_of(alice, at(0)).await.unwrap(), []);
}

pub async fn of_many_who_trade_after_the_grace_all_are_refused(store: &Store) {
    let alice = account(store, "alice").await;
    let id = session(store, alice).await;
    assert_rotation!(rotate(store, 1, 2, 100).await, Rotated);

    let outcomes = at_once(10, |i| {
        let store = store.clone();
        async move { rotate(&store, 1, 10 + i, 500).await }
    })
    .await;

    // The first one ends the session; the others find it ended.
    let reused = outcomes.iter().filter(|outcome| matches!(outcome, Rotation::Reused(_))).count();
    let invalid = outcomes.iter().filter(|outcome| matches!(outcome, Rotation::Invalid)).count();
    assert_eq!((reused, invalid), (1, 9), "{outcomes:?}");
    assert!(is_revoked(store, id).await);
}

//! What [`SessionStore`](crate::storage::SessionStore) promises.

use std::time::Duration;

use super::Store;
use super::fixtures::{account, at, at_once, new_session, new_user};
use crate::model::{OwnSession, Role, SessionId, Timestamp, User, UserId};
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
    let new = new_session(user_id, SESSION_END);
    assert!(store.create_session(&new, &token(first, 0), None).await.unwrap());
    new.id
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
    store.create_session(&new_session(alice, 9), &token(4, 0), None).await.unwrap();
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

pub async fn sessions_that_are_revoked_or_gone_are_over(store: &Store) {
    let alice = account(store, "alice").await;
    let (live, revoked) = (session(store, alice).await, session_with(store, alice, 2).await);
    store.revoke_session(revoked, at(10)).await.unwrap();
    let gone = SessionId::new();

    let mut ended = store.ended_sessions(&[gone, live, revoked]).await.unwrap();

    ended.sort();
    let mut expected = [gone, revoked];
    expected.sort();
    assert_eq!(ended, expected);
    assert_eq!(store.ended_sessions(&[live]).await.unwrap(), []);
    assert_eq!(store.ended_sessions(&[]).await.unwrap(), []);
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
    let new = new_session(alice, -10);
    store.create_session(&new, &token(1, -20), None).await.unwrap();

    let found = store.session(new.id).await.unwrap().unwrap();
    assert_eq!((found.expires_at, found.revoked), (at(-10), false));
    assert_eq!(store.session_of_token(&[1; 32]).await.unwrap(), Some(new.id));
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

pub async fn a_session_begins_only_for_one_who_may_sign_in(store: &Store) {
    let alice = account(store, "alice").await;
    let shut_out = User { disabled: true, ..new_user("mallory") };
    store.create_account(&shut_out, "hash").await.unwrap();
    let ann = User { external_id: Some("1".into()), ..new_user("ann") };
    store.upsert_host_user(&ann).await.unwrap();

    for (name, user, proved, begins) in [
        (1, alice, Some("hash"), true),
        (2, alice, None, true),
        (3, alice, Some("another hash"), false),
        (4, alice, Some(""), false),
        (5, shut_out.id, Some("hash"), false),
        (6, shut_out.id, None, false),
        (7, ann.id, None, true),
        (8, ann.id, Some("hash"), false),
        (9, UserId::new(), None, false),
    ] {
        let new = new_session(user, SESSION_END);
        assert_eq!(store.create_session(&new, &token(name, 0), proved).await.unwrap(), begins, "{name}");
        assert_eq!(store.session(new.id).await.unwrap().is_some(), begins, "{name}");
        assert_eq!(store.session_of_token(&[name; 32]).await.unwrap().is_some(), begins, "{name}");
    }
}

pub async fn the_sessions_of_a_user_are_those_that_are_live(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let phone = NewSession {
        user_agent: Some("a phone".into()),
        created_at: at(1),
        ..new_session(alice, SESSION_END)
    };
    store.create_session(&phone, &token(1, 1), None).await.unwrap();
    let laptop = session_with(store, alice, 2).await;
    let ended = session_with(store, alice, 3).await;
    store.revoke_session(ended, at(5)).await.unwrap();
    session_with(store, bob, 4).await;
    let of_alice = |now, limit| store.sessions_of(alice, at(now), limit);

    let first = OwnSession {
        id: phone.id,
        created_at: at(1),
        last_used_at: at(1),
        ends_at: at(1).after(TOKEN_LIFE),
        user_agent: Some("a phone".into()),
    };
    let (created_at, ends_at) = (at(0), at(0).after(TOKEN_LIFE));
    let second = OwnSession { id: laptop, created_at, last_used_at: at(0), ends_at, user_agent: None };
    assert_eq!(of_alice(10, 9).await.unwrap(), [first.clone(), second.clone()]);
    assert_eq!(of_alice(10, 1).await.unwrap(), std::slice::from_ref(&first));

    // Its use brings a session to the top, and makes it last longer.
    assert_rotation!(rotate(store, 2, 12, 500).await, Rotated);
    let used = OwnSession { last_used_at: at(500), ends_at: at(500).after(TOKEN_LIFE), ..second };
    assert_eq!(of_alice(500, 9).await.unwrap(), [used.clone(), first]);
    assert_eq!(of_alice(1_400, 9).await.unwrap(), [used]);
    assert_eq!(of_alice(1_500, 9).await.unwrap(), []);

    // But not longer than it may.
    for (presented, now) in [(12, 1_400), (13, 2_300), (14, 3_200), (15, 4_100)] {
        assert_rotation!(rotate(store, presented, presented + 1, now).await, Rotated);
    }
    assert_eq!(of_alice(4_200, 9).await.unwrap()[0].ends_at, at(SESSION_END));
    assert_eq!(store.sessions_of(UserId::new(), at(0), 9).await.unwrap(), []);
}

pub async fn what_has_long_been_over_is_deleted_and_nothing_else(store: &Store) {
    let alice = account(store, "alice").await;
    let unused = session_with(store, alice, 1).await;
    let revoked = session_with(store, alice, 2).await;
    store.revoke_session(revoked, at(100)).await.unwrap();
    let live = session_with(store, alice, 3).await;
    assert_rotation!(rotate(store, 3, 13, 900).await, Rotated);
    let is_there = async |id| store.session(id).await.unwrap().is_some();

    assert_eq!(store.delete_ended(at(99), 100).await.unwrap(), 0);
    assert!(is_there(revoked).await);

    // At the very moment, too; a session with its tokens.
    assert_eq!(store.delete_ended(at(100), 100).await.unwrap(), 2);
    assert!(!is_there(revoked).await && is_there(unused).await && is_there(live).await);
    assert_eq!(store.session_of_token(&[2; 32]).await.unwrap(), None);

    // Of a session that goes on only the tokens that have expired; its newest is as good without its parent.
    assert_eq!(store.delete_ended(at(1_000), 100).await.unwrap(), 3);
    assert!(!is_there(unused).await && is_there(live).await);
    assert_eq!(store.session_of_token(&[3; 32]).await.unwrap(), None);
    assert_rotation!(rotate(store, 13, 14, 1_000).await, Rotated);
    assert_rotation!(rotate(store, 3, 15, 1_001).await, Invalid);
    assert!(!is_revoked(store, live).await);
    assert_eq!(store.delete_ended(at(1_000), 100).await.unwrap(), 0);
}

pub async fn what_is_over_is_deleted_a_little_at_a_time(store: &Store) {
    let alice = account(store, "alice").await;
    let sessions: Vec<_> =
        futures_util::future::join_all((1..=10).map(|name| session_with(store, alice, name))).await;
    assert_rotation!(rotate(store, 1, 11, 10).await, Rotated);
    store.revoke_sessions_of(alice, at(20)).await.unwrap();

    let mut deleted = 0;
    loop {
        let some = store.delete_ended(at(2_000), 3).await.unwrap();
        assert!(some <= 3, "{some}");
        if some == 0 {
            break;
        }
        deleted += some;
    }

    assert_eq!(deleted, 10 + 11);
    for session in sessions {
        assert!(store.session(session).await.unwrap().is_none());
    }
}

pub async fn many_who_delete_at_once_delete_everything_once(store: &Store) {
    let alice = account(store, "alice").await;
    for name in 1..=20 {
        session_with(store, alice, name).await;
    }
    store.revoke_sessions_of(alice, at(20)).await.unwrap();

    let outcomes = at_once(8, |_| {
        let store = store.clone();
        async move { store.delete_ended(at(2_000), 100).await.unwrap() }
    })
    .await;

    // One who came while another was at it leaves it to that one.
    assert_eq!(outcomes.iter().sum::<u64>(), 40, "{outcomes:?}");
    assert_eq!(store.delete_ended(at(2_000), 100).await.unwrap(), 0);
}

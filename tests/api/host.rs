//! What a host program hands to the engine, which no parser has seen.

use futures_util::future::join_all;
use priyo_core::model::{
    ConversationId, ConversationKind, FileRef, HostUser, Login, MessageKind, NewConversation, NewMessage,
    Origin, Registration, Role, UserId,
};
use priyo_core::{Caller, Error, ErrorCode};
use priyo_tests::{Person, TestApp};

async fn caller(app: &TestApp, person: &Person) -> Caller {
    app.engine.authenticate(&person.token).await.unwrap()
}

/// The fields that were at fault.
fn faults<T: std::fmt::Debug>(outcome: Result<T, Error>) -> Vec<String> {
    let Err(Error::Validation(faults)) = outcome else { panic!("{outcome:?}") };
    faults.iter().map(|fault| fault.split('"').nth(1).unwrap().to_owned()).collect()
}

/// A good text, but for the NUL in it, which one storage would cut it at and another could not store.
const NUL: &str = "good\0text";

#[tokio::test]
async fn no_text_with_a_nul_reaches_a_storage() {
    let app = TestApp::new().await;
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    let group = ConversationId::from_client(&alice.starts_group_with(&[&bob]).await);
    let caller = caller(&app, &alice).await;
    let count = || join_all(["users", "conversations", "messages", "files"].map(|table| app.rows(table)));
    let before = count().await;
    let engine = &app.engine;

    let user = HostUser::new("1", "ann");
    for (spoilt, field) in [
        (HostUser { external_id: NUL.into(), ..user.clone() }, "externalId"),
        (HostUser { username: NUL.into(), ..user.clone() }, "username"),
        (HostUser { avatar: Some(NUL.into()), ..user.clone() }, "avatar"),
    ] {
        assert_eq!(faults(engine.users().upsert(spoilt).await), [field]);
    }
    assert_eq!(engine.users().get(NUL).await.unwrap(), None);

    let good = Registration {
        email: "ann@example.com".into(),
        username: "ann".into(),
        password: "correct horse".into(),
        role: Role::Customer,
    };
    for (spoilt, field) in [
        (Registration { email: "a\0@example.com".into(), ..good.clone() }, "email"),
        (Registration { username: NUL.into(), ..good.clone() }, "username"),
    ] {
        assert_eq!(faults(engine.create_account(spoilt.clone()).await), [field]);
        assert_eq!(faults(engine.register(None, spoilt, &Origin::default()).await), [field]);
    }
    let login = Login { email: "alice@example.com\0".into(), password: "correct horse".into() };
    assert_eq!(
        engine.login(login, &Origin::default()).await.unwrap_err().code(),
        ErrorCode::InvalidCredentials
    );

    let participant_ids = vec![UserId::from_client(&bob.id)];
    let new = NewConversation { participant_ids, kind: ConversationKind::Group, name: Some(NUL.into()) };
    assert_eq!(faults(engine.create_conversation(&caller, new).await), ["name"]);

    let named = NewMessage { client_message_id: Some(NUL.into()), ..NewMessage::text(group, "hello") };
    assert_eq!(faults(engine.send_message(&caller, named).await), ["clientMessageId"]);
    assert_eq!(faults(engine.send_message(&caller, NewMessage::text(group, NUL)).await), ["content"]);
    let file = Some(FileRef::Url(format!("/uploads/{NUL}")));
    let with_file = NewMessage { kind: MessageKind::File, file, ..NewMessage::text(group, "") };
    assert_eq!(faults(engine.send_message(&caller, with_file).await), ["fileUrl"]);
    assert_eq!(engine.download(&caller, NUL).await.unwrap_err().code(), ErrorCode::NotFound);

    assert_eq!(count().await, before);
}

#[tokio::test]
async fn a_host_program_is_held_to_the_rules_of_clients() {
    let app = TestApp::new().await;
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    let group = ConversationId::from_client(&alice.starts_group_with(&[&bob]).await);
    let caller = caller(&app, &alice).await;
    let engine = &app.engine;

    let bad = Registration {
        email: "nobody".into(),
        username: "x".into(),
        password: "short".into(),
        role: Role::Customer,
    };
    assert_eq!(faults(engine.create_account(bad).await), ["email", "username", "password"]);
    let shouted = Registration {
        email: "ANN@Example.com".into(),
        username: "Ann".into(),
        password: "correct horse".into(),
        role: Role::Agent,
    };
    let ann = engine.create_account(shouted).await.unwrap();
    assert_eq!(ann.email.as_deref(), Some("ann@example.com"), "as one logs in");

    let group_of = |name: &str| NewConversation {
        participant_ids: vec![UserId::from_client(&bob.id)],
        kind: ConversationKind::Group,
        name: Some(name.to_owned()),
    };
    assert_eq!(faults(engine.create_conversation(&caller, group_of(&"x".repeat(101))).await), ["name"]);
    assert_eq!(engine.create_conversation(&caller, group_of("  ")).await.unwrap().name, None);
    let direct = NewConversation { kind: ConversationKind::Direct, ..group_of("x") };
    assert_eq!(engine.create_conversation(&caller, direct).await.unwrap().name, None);

    for id in ["", &"x".repeat(129)] {
        let named = NewMessage { client_message_id: Some(id.to_owned()), ..NewMessage::text(group, "x") };
        assert_eq!(faults(engine.send_message(&caller, named).await), ["clientMessageId"]);
    }
    let long = HostUser { avatar: Some("x".repeat(2_049)), ..HostUser::new("1", "ann") };
    assert_eq!(faults(engine.users().upsert(long).await), ["avatar"]);
}

//! What is logged at the loudest: no token, no password, no text of a message, whoever logs it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a surprise must fail the test")]

use priyo_tests::{
    ACCESS_SECRET, Answer, Came, Database, Person, Polling, REFRESH_SECRET, ServerProcess, Socket,
};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

const PASSWORD: &str = "canary-password-5c1d";
const WRONG_PASSWORD: &str = "canary-wrong-password-77e0";
const TEXT: &str = "canary-text-90ab";
const NAME: &str = "canary-name-of-a-group-31f2";
const BYTES: &str = "canary-bytes-of-a-file-6d44";
const BAD_TOKEN: &str = "canary.bad.token-12ef";

async fn post(server: &ServerProcess, path: &str, body: Value) -> Answer {
    let headers = [("content-type", "application/json")];
    server.wire.send("POST", path, &headers, body.to_string().into()).await
}

/// Everything that people do; gives what must not be logged of it.
async fn a_day_of(server: &ServerProcess) -> Vec<String> {
    let account =
        |name: &str| json!({"email": format!("{name}@example.com"), "username": name, "password": PASSWORD});
    let login = |password: &str| json!({"email": "ada@example.com", "password": password});
    let mut secrets = Vec::new();
    let made = post(server, "/api/auth/register", account("ada")).await.expect(201).json();
    let other = post(server, "/api/auth/register", account("bob")).await.expect(201).json();
    post(server, "/api/auth/register", account("ada")).await.expect(409);
    post(server, "/api/auth/login", login(WRONG_PASSWORD)).await.expect(401);
    let signed_in = post(server, "/api/auth/login", login(PASSWORD)).await.expect(200).json();
    let refresh = json!({"refreshToken": signed_in["tokens"]["refreshToken"]});
    let renewed = post(server, "/api/auth/refresh", refresh).await.expect(200).json();
    for answer in [&made, &other, &signed_in, &renewed] {
        for token in ["accessToken", "refreshToken"] {
            secrets.push(answer["tokens"][token].as_str().unwrap().to_owned());
        }
    }
    let ada = Person {
        id: made["user"]["id"].as_str().unwrap().into(),
        token: renewed["tokens"]["accessToken"].as_str().unwrap().into(),
        ..server.customer("template").await
    };
    ada.with_token(BAD_TOKEN).get("/api/auth/me").await.expect(401);

    let group = json!({"participantIds": [other["user"]["id"]], "type": "GROUP", "name": NAME});
    let group = ada.post("/api/conversations", group).await.expect(201).json()["conversation"]["id"].clone();
    let message = json!({"conversationId": group, "content": TEXT});
    ada.post("/api/messages", message.clone()).await.expect(201);
    ada.post("/api/messages", json!({"conversationId": group, "content": TEXT, "typo": TEXT}))
        .await
        .expect(400);
    ada.post_bytes("/api/messages", format!("{{{TEXT}")).await.expect(400);
    ada.uploads("a.txt", BYTES.as_bytes()).await.expect(200);
    ada.get(format!("/api/messages/{}", group.as_str().unwrap())).await.expect(200);

    let mut socket = server.socket(&ada).await;
    socket.must("conversation:join", json!({"conversationId": group, "after": 0})).await;
    socket.must("message:send", message.clone()).await;
    socket.must("auth:refresh", json!({"token": ada.token})).await;
    socket.ask("auth:refresh", json!({"token": BAD_TOKEN})).await;
    socket.ask("message:send", json!({"conversationId": 5, "content": TEXT})).await;
    socket.ask(TEXT, json!(TEXT)).await;
    while let Some(Came::Event(..) | Came::Ack(..)) =
        socket.came_by(Instant::now() + Duration::from_millis(50)).await
    {}
    socket.hang_up().await;
    assert!(Socket::connect(server.addr, BAD_TOKEN).await.is_err());
    polls(server, &ada, &message).await;

    ada.post("/api/auth/logout", json!({"all": true})).await.expect(200);
    let constant = [PASSWORD, WRONG_PASSWORD, TEXT, BYTES, BAD_TOKEN, ACCESS_SECRET, REFRESH_SECRET];
    secrets.extend(constant.map(str::to_owned));
    secrets
}

/// The same by the transport whose requests are logged like any others.
async fn polls(server: &ServerProcess, person: &Person, message: &Value) {
    let mut polling = Polling::connect(server.wire.clone(), &person.token).await;
    assert_eq!(polling.ask("message:send", message.clone()).await["ok"], true);
}

#[tokio::test]
async fn at_the_loudest_no_secret_and_no_text_of_a_message_is_logged() {
    let database = Database::new();
    let loud =
        [("RUST_LOG", "trace,socketioxide=trace,engineioxide=trace,hyper=trace"), ("LOG_FORMAT", "json")];
    let server = ServerProcess::start_with(&database, &loud).await;
    let secrets = a_day_of(&server).await;
    assert!(server.terminate(Duration::from_secs(15)).await.unwrap().success());

    let log = std::fs::read_to_string(database.folder().join("log")).unwrap();
    for secret in &secrets {
        let found = log.lines().find(|line| line.contains(secret.as_str()));
        assert_eq!(found, None, "{secret}");
        // A token is one too without its last character.
        assert!(!log.contains(&secret[..secret.len() * 3 / 4]), "{secret}");
    }
    // Control: this is what it logged, to the end.
    assert!(log.contains("priyo-server is ready") && log.contains("stopped"), "{log}");
}

//! A server that is killed when it has stored a refresh and nobody has heard of it.

use std::time::Duration;

use priyo_core::model::Clock;
use priyo_tests::{
    Answer, Database, Mounted, PATIENCE, Person, Proxy, Served, ServerProcess, Site, Treatment, Way, Wire,
    accounts, uncounted,
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::chance::rounds;
use crate::uploads::until;

/// Asks for new tokens; `None` when no answer comes.
async fn refresh(wire: &Wire, token: &str) -> Option<Answer> {
    let body = json!({ "refreshToken": token }).to_string();
    wire.try_send("POST", "/api/auth/refresh", &[("content-type", "application/json")], body.into())
        .await
        .ok()
}

/// Asks for new tokens where no answer comes through, and waits until the server has stored them.
async fn refresh_unheard(site: &Site, token: &str) -> (Proxy, JoinHandle<Option<Answer>>) {
    let before = site.database().rows("refresh_tokens").await;
    let proxy = Proxy::start(site.addr).await;
    proxy.treat(Way::ToClient, Treatment::SWALLOWED);
    let (wire, token) = (Wire::http(&format!("http://{}", proxy.addr)), token.to_owned());
    let asking = tokio::spawn(async move { refresh(&wire, &token).await });
    until("they are stored", PATIENCE, async || site.database().rows("refresh_tokens").await == before + 1)
        .await;
    (proxy, asking)
}

/// The ids of all live sessions of a person.
async fn sessions(of: &Person) -> Vec<Value> {
    let answer = of.get("/api/auth/sessions").await.expect(200).json();
    answer["sessions"].as_array().unwrap().iter().map(|session| session["id"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_refresh_was_stored_and_not_answered_is_not_logged_out() {
    let database = Database::new();
    let mut server = ServerProcess::start(&database).await;
    let mut alice = server.customer("alice").await;
    let rounds = rounds(5, 50);
    for round in 0..rounds {
        let (proxy, asking) = refresh_unheard(&server, &alice.refresh_token).await;
        server.kill_nine().await;
        drop(proxy);
        // The control: they are stored, and the client has nothing.
        assert!(asking.await.unwrap().is_none(), "round {round}");

        server = ServerProcess::start(&database).await;
        server.rewire(std::slice::from_mut(&mut alice));
        assert_eq!(sessions(&alice).await, [json!(alice.session)], "round {round}");
        let answer = refresh(&server.wire, &alice.refresh_token).await.unwrap().expect(200).json();
        alice.token = answer["tokens"]["accessToken"].as_str().unwrap().to_owned();
        alice.refresh_token = answer["tokens"]["refreshToken"].as_str().unwrap().to_owned();
        assert_eq!(sessions(&alice).await, [json!(alice.session)], "round {round}");
    }
    assert_eq!(database.rows("sessions").await, 1);
    // One more for each time that it was stored, and the first.
    assert_eq!(database.rows("refresh_tokens").await, 2 * rounds + 1);
    println!("not logged out by {rounds} kills");
}

/// The control of the above: it is the grace that keeps the client logged in.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_grace_a_client_whose_refresh_was_not_answered_is_logged_out() {
    let mut accounts = accounts();
    accounts.refresh_grace = Duration::ZERO;
    let server = Mounted::start_for(Served::Plainly, uncounted(), accounts).await;
    let alice = server.customer("alice").await;
    let (_proxy, asking) = refresh_unheard(&server, &alice.refresh_token).await;
    let (clock, stored) = (Clock::system(), Clock::system().now());
    until("the moment is over", PATIENCE, async || clock.now() > stored).await;

    let refused = refresh(&server.wire, &alice.refresh_token).await.unwrap();

    asking.abort();
    assert_eq!(refused.refusal(), (401, "invalid_refresh_token".to_owned()));
    assert_eq!(alice.get("/api/auth/me").await.status, 401);
}

//! Class D, and what else is bounded by how often it is done.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use priyo_tests::{Cluster, Database, ServerProcess};
use serde_json::{Value, json};

use crate::raw::{exchange_from, request, status};
use crate::world::World;

const PASSWORD: &str = "correct horse";

/// Logins to one account from one address in a quarter of an hour.
const LOGINS: usize = 10;

/// A server that counts, and Alice, who can log in.
async fn counting(settings: &[(&str, &str)]) -> World {
    let world = World::with(&[&[("RATE_LIMITS", "on")][..], settings].concat()).await;
    let body = json!({"email": "alice@example.net", "username": "alice", "password": PASSWORD}).to_string();
    let answer = post(world.server.addr, 99, "/api/auth/register", "", &body).await;
    assert_eq!(status(&answer), 201, "{}", String::from_utf8_lossy(&answer));
    world
}

/// POSTs JSON from the address 127.0.0.`host`, with these header lines too.
async fn post(addr: SocketAddr, host: u8, path: &str, headers: &str, body: &str) -> Vec<u8> {
    let headers = format!("Content-Type: application/json\r\n{headers}");
    let sent = request("POST", path.as_bytes(), headers.as_bytes(), body.as_bytes());
    exchange_from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, host)), addr, sent).await
}

fn login(email: &str, password: &str) -> String {
    json!({"email": email, "password": password}).to_string()
}

/// Fails unless this says that it was too often, and for how long.
#[track_caller]
fn assert_too_often(answer: &[u8]) {
    let text = String::from_utf8_lossy(answer).to_lowercase();
    assert_eq!(status(answer), 429, "{text}");
    let header = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    let wait: u64 = header("retry-after: ").expect("it says for how long").parse().unwrap();
    let body: Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!((&body["code"], &body["retryafter"]), (&json!("rate_limited"), &json!(wait)));
    assert!(wait >= 1, "{text}");
}

#[tokio::test]
async fn who_guesses_a_password_is_stopped_and_locks_nobody_out() {
    let world = counting(&[]).await;
    let watch = world.watch_stranger().await;
    for n in 0..2 * LOGINS {
        let answer =
            post(world.server.addr, 2, "/api/auth/login", "", &login("alice@example.net", "wrong horse"))
                .await;
        watch.inspect_bytes(&answer);
        if n < LOGINS {
            assert_eq!(status(&answer), 401, "{n}");
        } else {
            assert_too_often(&answer);
        }
    }
    let right = login("alice@example.net", PASSWORD);
    assert_too_often(&post(world.server.addr, 2, "/api/auth/login", "", &right).await);
    watch.ends().await;
    assert_eq!(
        status(&post(world.server.addr, 3, "/api/auth/login", "", &right).await),
        200,
        "Alice is somewhere else"
    );
}

#[tokio::test]
async fn who_has_an_account_is_not_to_be_found_out_by_registering() {
    let world = counting(&[]).await;
    let watch = world.watch_stranger().await;
    let mut said = std::collections::BTreeSet::new();
    for n in 0..20 {
        // Now the address is taken, now the name.
        let (email, name) =
            if n % 2 == 0 { ("alice@example.net", "nobody") } else { ("n@example.net", "alice") };
        let body = json!({"email": email, "username": name, "password": PASSWORD}).to_string();
        let answer = post(world.server.addr, 2, "/api/auth/register", "", &body).await;
        watch.inspect_bytes(&answer);
        if n < 5 {
            assert_eq!(status(&answer), 409);
            let text = String::from_utf8_lossy(&answer).into_owned();
            let body: Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
            said.insert(body["error"].to_string());
        } else if n > 6 {
            // Each costs a hashing: one more may have come back by then.
            assert_too_often(&answer);
        }
    }
    assert_eq!(said.len(), 1, "it does not say which of the two: {said:?}");
    watch.ends().await;
}

#[tokio::test]
async fn behind_a_proxy_the_address_counts_that_the_proxy_saw() {
    for (proxies, behind) in [("1", ""), ("2", ", 192.168.0.9")] {
        let world = counting(&[("TRUSTED_PROXIES", proxies)]).await;
        let watch = world.watch_stranger().await;
        let from = async |client: &str, n: usize| {
            // What the client wrote itself is to the left of what the proxies add.
            let headers = format!("X-Forwarded-For: 10.1.2.{n}, 1.1.1.1, {client}{behind}\r\n");
            let answer = post(
                world.server.addr,
                2,
                "/api/auth/login",
                &headers,
                &login("alice@example.net", "wrong horse"),
            )
            .await;
            watch.inspect_bytes(&answer);
            status(&answer)
        };
        for n in 0..LOGINS + 5 {
            assert_eq!(from("203.0.113.7", n).await, if n < LOGINS { 401 } else { 429 }, "{proxies} {n}");
        }
        assert_eq!(from("203.0.113.8", 0).await, 401, "another client of the same proxy");
        watch.ends().await;
    }
}

#[tokio::test]
async fn another_spelling_of_a_path_or_an_address_is_counted_with_the_first() {
    let world = counting(&[]).await;
    let watch = world.watch_stranger().await;
    let paths = [
        "/api/auth/login",
        "/api/auth/login/",
        "//api/auth/login",
        "/API/auth/login",
        "/api/auth/%6cogin",
        "/api/./auth/login",
        "/api/auth/login?x=1",
        "/api/auth/login//",
        "/api/auth/login;x",
    ];
    let emails = ["alice@example.net", "ALICE@example.net", "Alice@Example.NET"];
    let mut tried = 0;
    for path in paths.iter().cycle().take(3 * paths.len()) {
        for email in emails {
            let answer = post(world.server.addr, 2, path, "", &login(email, "wrong horse")).await;
            watch.inspect_bytes(&answer);
            match status(&answer) {
                401 => tried += 1,
                429 => assert_too_often(&answer),
                other => assert!([404, 405].contains(&other), "{path}: {other}"),
            }
        }
    }
    assert_eq!(tried, LOGINS);
    watch.ends().await;
}

#[tokio::test]
async fn on_two_nodes_nobody_is_let_try_more_than_twice_as_often() {
    let Some(cluster) = Cluster::start().await else { return };
    let (database, counts) = (Database::on(&cluster), [("RATE_LIMITS", "on")]);
    let one = ServerProcess::start_with(&database, &counts).await;
    let other = ServerProcess::start_with(&database, &counts).await;
    let mut tried = [0; 2];
    for n in 0..4 * LOGINS {
        let addr = [one.addr, other.addr][n % 2];
        let answer = post(addr, 2, "/api/auth/login", "", &login("nobody@example.net", PASSWORD)).await;
        match status(&answer) {
            401 => tried[n % 2] += 1,
            _ => assert_too_often(&answer),
        }
    }
    assert_eq!(tried, [LOGINS; 2]);
    let settings = include_str!("../../.env.example").replace("\n# ", " ");
    assert!(settings.contains("A server counts for itself"), "whoever runs several must know");
}

//! Class T: access tokens that were not given out as they are shown.

use std::time::Duration;

use jsonwebtoken::Algorithm;
use priyo_core::model::Clock;
use priyo_tests::{ACCESS_SECRET, Forged, Person, Refused, Socket};
use serde_json::{Value, json};

use crate::costs::shortest;
use crate::raw::{Trap, exchange, request, status};
use crate::world::World;

#[tokio::test]
async fn a_header_that_is_no_single_bearer_token_is_refused_and_says_what_is_wanted() {
    let world = World::new().await;
    let watch = world.watch_stranger().await;
    let good = &world.c1.token;
    let headers: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"Authorization: Bearer\r\n".to_vec(),
        b"Authorization: Bearer  \r\n".to_vec(),
        b"Authorization: Basic x\r\n".to_vec(),
        b"Authorization: Bearer \xe4\xff\r\n".to_vec(),
        format!("Authorization: Bearer {good}\r\nAuthorization: Bearer {good}\r\n").into_bytes(),
        format!("Authorization: Bearer {good}\r\nAuthorization: Basic x\r\n").into_bytes(),
        format!("Authorization: Bearer {good}, Bearer {good}\r\n").into_bytes(),
        format!("Authorization: {good}\r\n").into_bytes(),
        format!("Proxy-Authorization: Bearer {good}\r\n").into_bytes(),
        format!("Cookie: token={good}; accessToken={good}\r\n").into_bytes(),
        format!("X-Access-Token: {good}\r\n").into_bytes(),
    ];
    for header in headers {
        let answer = exchange(world.server.addr, request("GET", b"/api/conversations", &header, b"")).await;
        let shown = String::from_utf8_lossy(&header).into_owned();
        watch.inspect_bytes(&answer);
        assert_eq!(status(&answer), 401, "{shown}");
        let text = String::from_utf8_lossy(&answer).to_lowercase();
        assert!(text.contains("www-authenticate: bearer"), "{shown}: {text}");
    }
    watch.ends().await;
}

/// Tokens that no library would make, of C1's session.
fn crooked(good: &Forged, trap: &Trap) -> Vec<(&'static str, String)> {
    // Under our key, as if it were what the header says: only the algorithm is wrong.
    let hmac = |header: Value| good.signed_under(&header);
    // Under a key of the attacker's, of which the header says where it is.
    let stranger = good.clone().secret("AAAA");
    let keyed = |header: Value| stranger.signed_under(&header);
    let jwk = json!({"kty": "oct", "k": "AAAA"});
    let url = format!("http://{}/keys", trap.addr);
    vec![
        ("none", good.with_header(&json!({"alg": "none"}), "")),
        ("none with a signature", hmac(json!({"alg": "none"}))),
        ("no algorithm", hmac(json!({"typ": "JWT"}))),
        ("HS384", good.clone().algorithm(Algorithm::HS384).sign()),
        ("HS512", good.clone().algorithm(Algorithm::HS512).sign()),
        ("RS256", hmac(json!({"alg": "RS256"}))),
        ("ES256", hmac(json!({"alg": "ES256"}))),
        ("EdDSA", hmac(json!({"alg": "EdDSA"}))),
        ("a list of algorithms", hmac(json!({"alg": ["HS256"]}))),
        ("a kid that is a path", keyed(json!({"alg": "HS256", "kid": "../../../../dev/null"}))),
        ("a kid that is SQL", keyed(json!({"alg": "HS256", "kid": "' UNION SELECT 'AAAA'--"}))),
        ("a kid with a NUL", keyed(json!({"alg": "HS256", "kid": "a\u{0}b"}))),
        ("a kid of 10 kB", keyed(json!({"alg": "HS256", "kid": "k".repeat(10_000)}))),
        ("a jku", keyed(json!({"alg": "HS256", "jku": url}))),
        ("an x5u", keyed(json!({"alg": "RS256", "x5u": url}))),
        ("a jwk", keyed(json!({"alg": "HS256", "jwk": jwk}))),
    ]
}

#[tokio::test]
async fn no_token_that_was_not_given_out_opens_either_door() {
    let world = World::new().await;
    let (trap, watch) = (Trap::set(), world.watch_stranger().await);
    let now = Clock::system().now();
    let (good, secs) = (world.c1.claims(now), now.as_secs());
    let claim = |name: &str, value: Value| good.clone().claim(name, value).sign();
    let mut tokens = crooked(&good, &trap);
    tokens.extend([
        ("another key", good.clone().secret("another-secret-0123456789abcdefghijklmno").sign()),
        ("no key", good.clone().secret("").sign()),
        ("a refresh token", world.c1.refresh_token.clone()),
        ("a refresh token under the access key", good.clone().into_refresh().secret(ACCESS_SECRET).sign()),
        ("another audience", claim("aud", json!("others"))),
        ("a list of audiences", claim("aud", json!(["others", "priyo"]))),
        ("a list with ours alone", claim("aud", json!(["priyo"]))),
        ("another issuer", claim("iss", json!("others"))),
        ("a list of issuers", claim("iss", json!(["priyo"]))),
        ("expired six seconds ago", claim("exp", json!(secs - 6))),
        ("an expiry in words", claim("exp", json!("never"))),
        ("no expiry", claim("exp", Value::Null)),
        ("good only later", claim("nbf", json!(secs + 3600))),
        ("issued later", claim("iat", json!(secs + 3600))),
        ("another user's session", claim("sid", json!(world.c2.session))),
        ("another user", claim("userId", json!(world.c2.id))),
        ("an object as the user", claim("userId", json!({"$ne": null}))),
        ("no session", claim("sid", Value::Null)),
        ("mock", format!("mock_token_{}", world.c1.id)),
    ]);
    for (why, token) in &tokens {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", &*bearer)];
        let refused = world.server.wire.send("GET", "/api/conversations", &headers, "".into()).await;
        assert_eq!(refused.status, 401, "{why}: {}", refused.text());
        assert_eq!(watch.inspect(&refused).refusal(), (401, "invalid_token".to_owned()), "{why}");
        let refused = Socket::connect(world.server.addr, token).await;
        let expected =
            ["Invalid authentication token", "User not found"].map(|text| Refused(text.to_owned()));
        assert!(refused.as_ref().is_err_and(|why| expected.contains(why)), "{why}: {refused:?}");
    }
    assert_eq!(trap.calls(), 0, "nobody fetches a key because a token says so");
    watch.ends().await;
    // The control: what all of them are made from is a good one.
    assert_eq!(world.c1.with_token(good.sign()).get("/api/auth/me").await.status, 200);
}

#[tokio::test]
async fn an_access_token_refreshes_nothing_and_a_refresh_token_renews_no_socket() {
    let world = World::new().await;
    let watch = world.watch(&world.c1).await;
    let refused = watch.post("/api/auth/refresh", json!({"refreshToken": world.c1.token})).await;
    assert_eq!(refused.refusal(), (401, "invalid_refresh_token".to_owned()));
    let mut socket = watch.socket().await;
    let refused = socket.refused("auth:refresh", json!({"token": world.c1.refresh_token})).await;
    assert_eq!(refused, "invalid_token");
    watch.inspect_socket(&mut socket).await;
    watch.ends().await;
}

#[tokio::test]
async fn a_visitors_token_is_no_agents_and_no_refresh_token() {
    let world = World::new().await;
    let headers = [("content-type", "application/json")];
    let wire = &world.server.wire;
    let visited = wire.send("POST", "/api/widget/session", &headers, "{}".into()).await.expect(200).json();
    let visitor = Person::visiting(wire.clone(), &visited);
    let watch = world.watch(&visitor).await;
    for path in ["/api/inbox", "/api/inbox/people", "/api/users"] {
        assert_eq!(watch.get(path).await.refusal(), (403, "forbidden".to_owned()), "{path}");
    }
    for token in [&visited["token"], &visited["visitorToken"]] {
        let refused = watch.post("/api/auth/refresh", json!({"refreshToken": token})).await;
        assert_eq!(refused.refusal(), (401, "invalid_refresh_token".to_owned()));
    }
    // What the browser keeps opens nothing by itself.
    let kept = visitor.with_token(visited["visitorToken"].as_str().unwrap());
    assert_eq!(kept.get("/api/auth/me").await.refusal(), (401, "invalid_token".to_owned()));
    watch.ends().await;
}

#[tokio::test]
async fn a_token_in_an_address_is_not_taken_and_not_logged() {
    let world = World::with(&[("LOG_LEVEL", "trace")]).await;
    let watch = world.watch_stranger().await;
    for name in ["token", "access_token", "auth", "authorization", "jwt"] {
        for path in ["/api/auth/me", "/api/conversations", &world.file_path(), "/api/messages/unread/count"] {
            let refused = watch.send_with("GET", &format!("{path}?{name}={}", world.c1.token), &[], "").await;
            assert_eq!(refused.refusal(), (401, "unauthenticated".to_owned()), "{path} {name}");
        }
        let path = format!("/socket.io/?EIO=4&transport=polling&{name}={}", world.c1.token);
        watch.send_with("GET", &path, &[], "").await;
    }
    watch.ends().await;
    // The control: what fails is logged, and that request had a token in its address too.
    world.server.database().execute("ALTER TABLE conversations RENAME TO somewhere_else").await;
    world.c1.get(format!("/api/conversations/{}?token={}", world.d12, world.c1.token)).await.expect(500);
    let log = world.server.log();
    assert!(log.contains("request failed"), "{log}");
    for secret in [&world.c1.token, world.c1.token.rsplit('.').next().unwrap()] {
        assert!(!log.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn a_token_of_any_length_is_refused_quickly() {
    let world = World::new().await;
    let watch = world.watch_stranger().await;
    for length in [10_000, 64 * 1024, 1 << 20] {
        let header = format!("Authorization: Bearer {}\r\n", "a".repeat(length));
        let sent = request("GET", b"/api/auth/me", header.as_bytes(), b"");
        let took = shortest(async || {
            let answer = exchange(world.server.addr, &sent).await;
            watch.inspect_bytes(&answer);
            assert!([401, 431].contains(&status(&answer)), "{length}: {}", status(&answer));
        });
        let took = took.await;
        assert!(took < Duration::from_millis(50), "{length}: {took:?}");
    }
    let handshake = format!("40{}", json!({"token": "a".repeat(1 << 20)}));
    let took = shortest(async || {
        let mut socket = Socket::open(world.server.addr, None).await;
        if socket.try_send_text(&handshake).await {
            assert!(socket.ends_by(crate::sockets::within(5)).await, "larger than any frame may be");
        }
    });
    let took = took.await;
    assert!(took < Duration::from_millis(50), "a handshake of a megabyte: {took:?}");
    let long = Socket::connect(world.server.addr, &"a".repeat(60_000)).await;
    assert_eq!(long.unwrap_err(), Refused("Invalid authentication token".to_owned()));
    watch.ends().await;
}

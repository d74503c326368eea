//! Access tokens: which are believed.

use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use priyo_core::Accounts;
use priyo_tests::{ACCESS_SECRET, Database, REFRESH_SECRET, Settings, TestApp, assert_keys, unsigned};
use serde_json::{Value, json};

#[tokio::test]
async fn a_token_says_what_the_contract_says() {
    let app = TestApp::new().await;
    let body = json!({"email": "alice@example.com", "username": "alice", "password": "correct horse"});
    let tokens = app.anonymous_post("/api/auth/register", body).await.expect(201).json()["tokens"].clone();

    for (name, secret) in [("accessToken", ACCESS_SECRET), ("refreshToken", REFRESH_SECRET)] {
        let mut rules = Validation::new(Algorithm::HS256);
        rules.set_audience(&["priyo"]);
        rules.set_issuer(&["priyo"]);
        rules.validate_exp = false;
        let token = tokens[name].as_str().unwrap();
        let key = DecodingKey::from_secret(secret.as_bytes());
        let claims = jsonwebtoken::decode::<Value>(token, &key, &rules).unwrap().claims;
        let expected =
            ["userId", "email", "username", "role", "sid", "jti", "typ", "iss", "aud", "iat", "exp"];
        assert_keys(&claims, &expected);
        assert_eq!((&claims["iss"], &claims["aud"]), (&json!("priyo"), &json!("priyo")));
        assert_eq!(claims["iat"], app.now().as_secs());
        let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
        assert_eq!(life, if name == "accessToken" { 900 } else { 7 * 86_400 });
    }
}

#[tokio::test]
async fn without_a_token_one_is_nobody() {
    let app = TestApp::new().await;
    let missing = app.anonymous("GET", "/api/auth/me").await;
    assert_eq!(missing.refusal(), (401, "unauthenticated".to_owned()));
    assert_eq!(missing.error(), "Access token required");
    assert!(missing.headers.contains_key("www-authenticate"), "RFC 6750, section 3");

    for value in ["Bearer", "Bearer ", "Basic YTpi", "", "Token x"] {
        let (status, _, answer) = app.with_authorization("/api/auth/me", value).await;
        assert_eq!(status, 401, "{value:?}");
        assert!(["unauthenticated", "invalid_token"].contains(&answer.code().as_str()), "{value:?}");
    }
    let alice = app.customer("alice").await;
    for path in
        [format!("/api/auth/me?token={}", alice.token), format!("/api/auth/me?access_token={}", alice.token)]
    {
        assert_eq!(app.anonymous("GET", &path).await.status, 401, "a token in an address ends up in logs");
    }
}

#[tokio::test]
async fn the_scheme_is_named_in_any_case() {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let (status, ..) = app.with_authorization("/api/auth/me", &format!("{scheme} {}", alice.token)).await;
        assert_eq!(status, 200, "{scheme}");
    }
}

#[tokio::test]
async fn a_token_that_we_would_not_have_made_is_refused() {
    let app = TestApp::new().await;
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    let now = app.now();
    let good = || alice.claims(now);
    assert_eq!(alice.with_token(good().sign()).get("/api/auth/me").await.status, 200, "the control");
    let none = |alg: &str| good().with_header(&json!({"alg": alg, "typ": "JWT"}), "");
    let junk = |header: Value| good().with_header(&header, "c2lnbmF0dXJl");
    let signed = alice.token.clone();
    let (head, signature) = signed.rsplit_once('.').unwrap();

    for (why, token) in [
        ("alg none", none("none")),
        ("alg None", none("None")),
        ("alg NONE", none("NONE")),
        ("alg nOnE", none("nOnE")),
        ("alg none with a signature", junk(json!({"alg": "none"}))),
        ("HS384 with our secret", good().algorithm(Algorithm::HS384).sign()),
        ("HS512 with our secret", good().algorithm(Algorithm::HS512).sign()),
        ("RS256 in name", junk(json!({"alg": "RS256", "typ": "JWT"}))),
        ("another secret", good().secret("another-secret-0123456789abcdefghijklmno").sign()),
        ("the refresh secret", good().secret(REFRESH_SECRET).sign()),
        ("a refresh token", alice.refresh_token.clone()),
        ("a refresh token signed as access", good().claim("typ", "refresh").sign()),
        ("no kind", good().claim("typ", Value::Null).sign()),
        ("another audience", good().claim("aud", "others").sign()),
        ("no audience", good().claim("aud", Value::Null).sign()),
        ("another issuer", good().claim("iss", "others").sign()),
        ("no issuer", good().claim("iss", Value::Null).sign()),
        ("expired", good().claim("exp", now.as_secs() - 6).sign()),
        ("expired in this second", good().claim("exp", now.as_secs()).sign()),
        ("no expiry", good().claim("exp", Value::Null).sign()),
        ("expiry in words", good().claim("exp", "tomorrow").sign()),
        ("issued in the future", good().claim("iat", now.as_secs() + 3600).sign()),
        ("good only later", good().claim("nbf", now.as_secs() + 3600).sign()),
        ("an unknown session", good().claim("sid", "0199a000-0000-7000-8000-000000000000").sign()),
        ("another user's session", good().claim("sid", bob.session.clone()).sign()),
        ("another user", good().claim("userId", bob.id.clone()).sign()),
        ("no session", good().claim("sid", Value::Null).sign()),
        ("a cut signature", signed[..signed.len() - 3].to_owned()),
        ("no signature", format!("{head}.")),
        ("another's signature", format!("{head}.{}", signature.chars().rev().collect::<String>())),
        (
            "a claim changed under the signature",
            unsigned(&json!({"alg": "HS256", "typ": "JWT"}), &json!({"role": "ADMIN"}), signature),
        ),
        ("a key of the sender's choice", junk(json!({"alg": "HS256", "kid": "../../dev/null"}))),
        ("junk", "x.y.z".to_owned()),
        ("not a token", "mock_token_1".to_owned()),
        ("a long one", "a".repeat(60_000)),
    ] {
        let refused = alice.with_token(token).get("/api/auth/me").await;
        assert_eq!(refused.refusal(), (401, "invalid_token".to_owned()), "{why}");
        assert_eq!(refused.error(), "Invalid or expired access token", "{why}");
    }
}

#[tokio::test]
async fn a_token_is_good_for_a_quarter_of_an_hour() {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;
    app.passes(Duration::from_secs(899));
    assert_eq!(alice.get("/api/auth/me").await.status, 200);
    app.passes(Duration::from_secs(1));
    assert_eq!(alice.get("/api/auth/me").await.refusal(), (401, "invalid_token".to_owned()));
}

#[tokio::test]
async fn the_role_is_the_one_stored_and_not_the_one_in_the_token() {
    let app = TestApp::new().await;
    let (carol, bob) = (app.customer("carol").await, app.customer("bob").await);
    let conversation = carol.starts_conversation_with(&bob).await;
    let forged = carol.with_token(carol.claims(app.now()).claim("role", "ADMIN").sign());

    let refused = forged.delete(format!("/api/conversations/{conversation}")).await;

    assert_eq!(refused.refusal(), (403, "forbidden".to_owned()));
    assert_eq!(refused.json()["current"], "CUSTOMER");
    assert_eq!(forged.get("/api/auth/me").await.json()["user"]["role"], "CUSTOMER");
}

/// What signs instead of the secrets of every test server.
const NEW_ACCESS: &str = "newer-access-0123456789abcdefghijklmnopqrstuv";
const NEW_REFRESH: &str = "newer-refresh-0123456789abcdefghijklmnopqrstu";

fn is_signed_by(token: &Value, secret: &str) -> bool {
    let mut rules = Validation::new(Algorithm::HS256);
    rules.set_audience(&["priyo"]);
    rules.validate_exp = false;
    let key = DecodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::decode::<Value>(token.as_str().unwrap(), &key, &rules).is_ok()
}

#[tokio::test]
async fn a_secret_of_before_still_verifies_and_never_signs() {
    let with = |previous: bool| {
        let old = |secret: &str| previous.then(|| secret.as_bytes().to_vec());
        let accounts = Accounts::new(NEW_ACCESS, NEW_REFRESH);
        let accounts = accounts.previous_secrets(old(ACCESS_SECRET), old(REFRESH_SECRET));
        TestApp::with(Settings { accounts, ..Settings::default() })
    };
    let app = with(true).await;
    let alice = app.customer("alice").await;
    assert_eq!(alice.get("/api/auth/me").await.status, 200);
    let refresh = |token: &str| app.anonymous_post("/api/auth/refresh", json!({ "refreshToken": token }));

    let tokens = refresh(&alice.refresh_token).await.expect(200).json()["tokens"].take();

    assert!(is_signed_by(&tokens["accessToken"], NEW_ACCESS));
    assert!(is_signed_by(&tokens["refreshToken"], NEW_REFRESH));
    assert_eq!(
        alice.with_token(tokens["accessToken"].as_str().unwrap()).get("/api/auth/me").await.status,
        200
    );
    refresh(tokens["refreshToken"].as_str().unwrap()).await.expect(200);
    // Each kind has its own.
    let crossed = alice.claims(app.now()).secret(REFRESH_SECRET).sign();
    assert_eq!(alice.with_token(crossed).get("/api/auth/me").await.status, 401);

    // Control: without it what it signed is nothing.
    let app = with(false).await;
    let alice = app.customer("alice").await;
    assert_eq!(alice.get("/api/auth/me").await.refusal(), (401, "invalid_token".to_owned()));
    let token = json!({ "refreshToken": alice.refresh_token });
    assert_eq!(app.anonymous_post("/api/auth/refresh", token).await.code(), "invalid_refresh_token");
}

#[tokio::test]
async fn an_engine_is_not_built_with_secrets_that_can_be_guessed() {
    let database = Database::new();
    for (access, refresh) in [("short", REFRESH_SECRET), (ACCESS_SECRET, ""), (ACCESS_SECRET, ACCESS_SECRET)]
    {
        let refused = database.engine(Accounts::new(access, refresh)).await.build().await.unwrap_err();
        assert_eq!(refused.to_string(), "the secrets of tokens must be 32 bytes or more, and not the same");
    }
    // Control: a developer may.
    let weak = Accounts::new("short", "shorter").weak_secrets(true);
    database.engine(weak).await.build().await.unwrap().close().await;
}

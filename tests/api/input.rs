//! Bad input to every route that takes JSON.

use priyo_tests::{Answer, Person, TestApp};
use serde_json::{Value, json};

/// A route that takes JSON, with a body that it would take.
struct Route {
    path: String,
    body: Value,
    /// Whether one must be signed in.
    private: bool,
}

async fn routes(app: &TestApp) -> (Person, Vec<Route>) {
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    let group = alice.starts_group_with(&[&bob]).await;
    let message = bob.says(&group, "hello").await["id"].clone();
    let route = |path: &str, body, private| Route { path: path.to_owned(), body, private };
    let register = json!({"email": "carol@example.com", "username": "carol", "password": "correct horse"});
    let routes = vec![
        route("/api/auth/register", register, false),
        route("/api/auth/login", json!({"email": "x@example.com", "password": "x"}), false),
        route("/api/auth/refresh", json!({"refreshToken": "x"}), false),
        route("/api/auth/logout", json!({"all": true}), true),
        route("/api/conversations", json!({"participantIds": [bob.id], "type": "DIRECT"}), true),
        route(&format!("/api/conversations/{group}/participants"), json!({"userIds": [bob.id]}), true),
        route("/api/messages", json!({"conversationId": group, "content": "x"}), true),
        route("/api/messages/read", json!({"messageIds": [message]}), true),
    ];
    app.events();
    (alice, routes)
}

/// Everything that a request could change, counted.
async fn state(app: &TestApp) -> Vec<u64> {
    let tables =
        ["users", "sessions", "refresh_tokens", "conversations", "participants", "messages", "message_reads"];
    let mut counts = Vec::new();
    for table in tables {
        counts.push(app.rows(table).await);
    }
    counts
}

/// Sends every route what `spoil` makes of its good body, and looks at each answer; afterwards nobody has heard
/// anything and nothing has changed.
async fn each_route(spoil: impl Fn(&Value) -> Vec<u8>, check: impl Fn(&str, &Answer)) {
    let app = TestApp::new().await;
    let (alice, routes) = routes(&app).await;
    let before = state(&app).await;
    for Route { path, body, .. } in &routes {
        let answer = alice.post_bytes(path, spoil(body)).await;
        check(path, &answer);
    }
    assert_eq!(app.events(), []);
    assert_eq!(state(&app).await, before);
    assert_eq!(alice.get("/api/auth/me").await.status, 200);
}

/// Makes bytes that are not JSON, perhaps of a good body.
type Spoiler = Box<dyn Fn(&Value) -> Vec<u8>>;

#[tokio::test]
async fn what_is_not_json_is_malformed() {
    let spoilers: Vec<Spoiler> = vec![
        Box::new(|_| b"{".to_vec()),
        Box::new(|body| body.to_string().into_bytes()[1..].to_vec()),
        Box::new(|body| format!("{body}x").into_bytes()),
        Box::new(|body| format!("{body}{body}").into_bytes()),
        Box::new(|_| b"NaN".to_vec()),
        Box::new(|_| b"{'single': 1}".to_vec()),
        Box::new(|_| b"{\"content\": \"\\ud800\"}".to_vec()),
        Box::new(|_| b"{\"content\": \"\\ud800\\u0041\"}".to_vec()),
        Box::new(|_| b"{\"content\": \"\xff\xfe\"}".to_vec()),
        Box::new(|_| b"{\"content\": \"\xed\xa0\x80\"}".to_vec()),
        Box::new(|_| b"{\"content\": \"raw \0 nul\"}".to_vec()),
        Box::new(|_| b"{\"content\": \"raw \n newline\"}".to_vec()),
        Box::new(|_| [b"{\"a\":".repeat(5_000), b"1".to_vec(), b"}".repeat(5_000)].concat()),
        Box::new(|_| b"[".repeat(60_000)),
        Box::new(|_| [b"[".repeat(30_000), b"]".repeat(30_000)].concat()),
    ];
    for (number, spoil) in spoilers.iter().enumerate() {
        each_route(spoil, |path, answer| {
            assert_eq!(answer.status, 400, "{number} {path}: {}", answer.text());
            assert_eq!(answer.code(), "malformed_json", "{number} {path}");
            assert_eq!(answer.error(), "Invalid JSON in request body");
        })
        .await;
    }
}

#[tokio::test]
async fn what_is_not_an_object_is_a_validation_error() {
    for other in ["null", "true", "0", "-1e308", "\"text\"", "[]", "[{}]"] {
        each_route(
            |_| other.as_bytes().to_vec(),
            |path, answer| {
                assert_eq!(answer.refusal(), (400, "validation_failed".to_owned()), "{other} {path}");
                assert_eq!(answer.fields_at_fault().len(), 1);
            },
        )
        .await;
    }
}

#[tokio::test]
async fn an_unknown_field_is_refused_by_name() {
    for name in ["contnet", "", "a\"b", "constructor", "é", "$where"] {
        let spoil = |body: &Value| {
            let mut body = body.clone();
            body[name] = json!(1);
            body.to_string().into_bytes()
        };
        each_route(spoil, |path, answer| {
            assert_eq!(answer.refusal(), (400, "validation_failed".to_owned()), "{name} {path}");
            let details = answer.json()["details"].clone();
            assert_eq!(details.as_array().unwrap().len(), 1, "{path}");
            assert!(details[0].as_str().unwrap().starts_with(&format!("\"{name}\"")), "{path} {details}");
        })
        .await;
    }
}

#[tokio::test]
async fn a_key_that_appears_twice_is_refused() {
    let spoil = |body: &Value| {
        let text = body.to_string();
        // The same again behind it: every key is there twice, with the same value.
        format!("{},{}", &text[..text.len() - 1], &text[1..]).into_bytes()
    };
    each_route(spoil, |path, answer| assert_eq!(answer.status, 400, "{path}: {}", answer.text())).await;
    let escaped = |body: &Value| {
        let (name, value) = body.as_object().unwrap().iter().next().unwrap();
        let first = u32::from(name.chars().next().unwrap());
        let text = body.to_string();
        format!("{},\"\\u{first:04x}{}\":{value}}}", &text[..text.len() - 1], &name[1..]).into_bytes()
    };
    each_route(escaped, |path, answer| assert_eq!(answer.status, 400, "{path}: {}", answer.text())).await;
}

#[tokio::test]
async fn thousands_of_faults_get_a_short_answer() {
    let spoil = |_: &Value| {
        let fields: serde_json::Map<String, Value> =
            (0..3_000).map(|n| (format!("field{n}"), json!(n))).collect();
        Value::Object(fields).to_string().into_bytes()
    };
    each_route(spoil, |path, answer| {
        assert_eq!(answer.refusal(), (400, "validation_failed".to_owned()), "{path}");
        assert!(answer.body.len() < 8_000, "{path}: {}", answer.body.len());
    })
    .await;
    let long_name = |_: &Value| json!({ "n".repeat(60_000): 1 }).to_string().into_bytes();
    each_route(long_name, |path, answer| assert!(answer.body.len() < 8_000, "{path}")).await;
}

#[tokio::test]
async fn a_body_of_64_kib_is_read_and_one_byte_more_is_not() {
    let app = TestApp::new().await;
    let (alice, routes) = routes(&app).await;
    for Route { path, body, .. } in &routes {
        let mut padded = body.to_string().into_bytes();
        padded.resize(65_537, b' ');
        let refused = alice.post_bytes(path, padded.clone()).await;
        assert_eq!(refused.refusal(), (413, "payload_too_large".to_owned()), "{path}");
        assert_eq!(refused.error(), "Request body too large");
        assert_eq!(refused.json()["maxSize"], 65_536);
        if path.ends_with("/logout") {
            continue;
        }
        padded.pop();
        let taken = alice.post_bytes(path, padded).await;
        assert!([200, 201, 401].contains(&taken.status), "{path}: {}", taken.text());
    }
}

#[tokio::test]
async fn only_json_is_taken() {
    let app = TestApp::new().await;
    let (alice, routes) = routes(&app).await;
    let before = state(&app).await;
    for Route { path, body, .. } in &routes {
        for content_type in [
            None,
            Some(""),
            Some("text/plain"),
            Some("application/x-www-form-urlencoded"),
            Some("multipart/form-data; boundary=x"),
            Some("application/jsonx"),
            Some("application/json+x"),
            Some("text/json"),
            Some("json"),
        ] {
            let refused = alice.send("POST", path, content_type, body.to_string().into()).await;
            assert_eq!(
                refused.refusal(),
                (415, "unsupported_media_type".to_owned()),
                "{content_type:?} {path}"
            );
        }
    }
    assert_eq!((state(&app).await, app.events()), (before, vec![]));
    for content_type in
        ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"]
    {
        let body = json!({"email": "x@example.com", "password": "x"}).to_string();
        let taken = alice.send("POST", "/api/auth/login", Some(content_type), body.into()).await;
        assert_eq!(taken.status, 401, "{content_type}: it was read");
    }
}

#[tokio::test]
async fn who_one_is_is_asked_before_what_one_wants() {
    let app = TestApp::new().await;
    let (alice, routes) = routes(&app).await;
    let before = state(&app).await;
    for Route { path, .. } in routes.iter().filter(|route| route.private) {
        for (content_type, body) in [
            ("application/json", "{"),
            ("application/json", "[]"),
            ("text/plain", "x"),
            ("application/json", "{}"),
        ] {
            let headers = [("content-type", content_type)];
            let refused = app.wire.send("POST", path, &headers, body.into()).await;
            assert_eq!(refused.refusal(), (401, "unauthenticated".to_owned()), "{path} {body}");
            let refused = alice.with_token("x").send("POST", path, Some(content_type), body.into()).await;
            assert_eq!(refused.refusal(), (401, "invalid_token".to_owned()), "{path} {body}");
        }
    }
    for path in [
        "/api/conversations?limit=x",
        "/api/conversations/x",
        "/api/messages/x?limit=0",
        "/api/messages/unread/count",
        "/api/upload/x",
        "/uploads/x",
    ] {
        assert_eq!(app.anonymous("GET", path).await.refusal(), (401, "unauthenticated".to_owned()), "{path}");
    }
    assert_eq!((state(&app).await, app.events()), (before, vec![]));
}

#[tokio::test]
async fn an_id_in_a_path_may_be_any_text_and_then_names_nothing() {
    let app = TestApp::new().await;
    let (alice, _) = routes(&app).await;
    let long = "a".repeat(2_000);
    for id in ["x", "0", "null", "%00", "%2f", "..%2f..", "%27%20OR%201=1--", "💬", &long] {
        // A request target is ASCII; a browser writes other characters as percent escapes.
        let id: String =
            id.chars().map(|c| if c.is_ascii() { c.to_string() } else { "%F0%9F%92%AC".into() }).collect();
        for path in [format!("/api/conversations/{id}"), format!("/api/messages/{id}")] {
            let refused = alice.get(&path).await;
            assert_eq!(refused.refusal(), (404, "not_found".to_owned()), "{path:.80}");
        }
    }
}

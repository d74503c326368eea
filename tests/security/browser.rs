//! Class X: what a page of somebody else can make a browser do.

use priyo_tests::Answer;
use serde_json::json;

use crate::raw::{exchange, request};
use crate::world::World;

const EVIL: &str = "https://evil.example";

/// One request for each kind of answer: what it is, its method, path and whether C1 is signed in.
fn kinds(world: &World) -> Vec<(u16, &'static str, String, bool)> {
    let room = format!("/api/messages/{}", world.d12);
    vec![
        (200, "GET", "/".to_owned(), false),
        (200, "GET", "/health".to_owned(), false),
        (200, "GET", "/docs".to_owned(), false),
        (200, "GET", "/api/openapi.json".to_owned(), false),
        (200, "GET", room.clone(), true),
        (200, "GET", world.file_path(), true),
        (200, "GET", "/socket.io/?EIO=4&transport=polling".to_owned(), false),
        (400, "GET", format!("{room}?limit=x"), true),
        (401, "GET", room, false),
        (401, "GET", world.file_path(), false),
        (403, "DELETE", format!("/api/conversations/{}", world.d12), true),
        (404, "GET", "/api/conversations/x".to_owned(), true),
        (404, "GET", "/nothing".to_owned(), false),
        (405, "PUT", "/api/messages".to_owned(), true),
        (415, "POST", "/api/messages".to_owned(), true),
    ]
}

async fn ask(
    world: &World,
    (status, method, path, signed_in): &(u16, &str, String, bool),
    origin: Option<&str>,
) -> Answer {
    let bearer = format!("Bearer {}", world.c1.token);
    let mut headers: Vec<(&str, &str)> = Vec::new();
    headers.extend(signed_in.then_some(("authorization", &*bearer)));
    headers.extend(origin.map(|origin| ("origin", origin)));
    let answer = world.server.wire.send(method, path, &headers, "".into()).await;
    let guarded = path.starts_with("/socket.io") && origin.is_some();
    assert_eq!(answer.status, if guarded { 403 } else { *status }, "{method} {path}: {}", answer.text());
    answer
}

/// The headers by which a server lets the page of another origin read its answer.
fn cors(answer: &Answer) -> Vec<String> {
    let names = answer.headers.keys().map(|name| name.as_str().to_owned());
    names.filter(|name| name.starts_with("access-control-")).collect()
}

#[tokio::test]
async fn the_page_of_a_stranger_can_read_no_answer_of_any_kind() {
    let world = World::new().await;
    let watch = world.watch(&world.c1).await;
    for kind in kinds(&world) {
        let answer = watch.inspect(&ask(&world, &kind, Some(EVIL)).await);
        assert_eq!(cors(&answer), Vec::<String>::new(), "{kind:?}");
        assert!(answer.header("vary").to_lowercase().contains("origin") || answer.status == 403, "{kind:?}");
    }
    let large = [("origin", EVIL), ("content-type", "application/json"), ("content-length", "10000000")];
    let head: String = large.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let refused =
        exchange(world.server.addr, request("POST", b"/api/auth/login", head.as_bytes(), b"")).await;
    assert!(
        String::from_utf8_lossy(&refused).starts_with("HTTP/1.1 413"),
        "{}",
        String::from_utf8_lossy(&refused)
    );
    assert!(!String::from_utf8_lossy(&refused).to_lowercase().contains("access-control-"));
    let preflight = [("origin", EVIL), ("access-control-request-method", "DELETE")];
    for path in ["/api/messages", "/nothing", "/socket.io/?EIO=4&transport=polling"] {
        let answer = watch.send_with("OPTIONS", path, &preflight, "").await;
        assert_eq!(cors(&answer), Vec::<String>::new(), "{path}");
    }
    watch.ends_changed().await;
}

#[tokio::test]
async fn an_origin_that_only_looks_like_ours_is_a_strangers() {
    let world = World::with(&[("CORS_ORIGIN", "https://chat.example,https://app.example:8443")]).await;
    let watch = world.watch(&world.c1).await;
    let own = format!("Bearer {}", world.c1.token);
    for (origin, allowed) in [
        ("https://chat.example", true),
        ("https://app.example:8443", true),
        ("https://chat.example.evil.example", false),
        ("https://evilchat.example", false),
        ("https://sub.chat.example", false),
        ("http://chat.example", false),
        ("https://chat.example:8443", false),
        ("https://app.example", false),
        ("https://chat.example.", false),
        ("https://CHAT.EXAMPLE", false),
        ("https://chat.example/", false),
        ("https://chat.example@evil.example", false),
        ("https://chat.example, https://evil.example", false),
        ("https://chat.example https://evil.example", false),
        ("null", false),
        ("*", false),
        ("", false),
        ("file://", false),
        ("http://localhost:3000", false),
    ] {
        let headers = [("authorization", &*own), ("origin", origin)];
        let answer = watch.send_with("GET", "/api/auth/me", &headers, "").await;
        assert_eq!(
            answer.header("access-control-allow-origin"),
            if allowed { origin } else { "" },
            "{origin}"
        );
        assert_ne!(answer.header("access-control-allow-origin"), "*");
        let socket =
            watch.send_with("GET", "/socket.io/?EIO=4&transport=polling", &[("origin", origin)], "").await;
        assert_eq!(socket.status, if allowed { 200 } else { 403 }, "{origin}");
    }
    watch.ends().await;
}

#[tokio::test]
async fn a_form_of_a_strangers_page_does_nothing() {
    let world = World::new().await;
    let watch = world.watch_stranger().await;
    let body = json!({"conversationId": world.d12, "content": "forged"}).to_string();
    for media in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"] {
        // A browser adds what it keeps by itself: there is nothing that it would keep.
        let headers = [("origin", EVIL), ("content-type", media), ("cookie", "token=x; session=y")];
        for path in ["/api/messages", "/api/conversations", "/api/upload", "/api/auth/logout"] {
            let refused = watch.send_with("POST", path, &headers, body.clone()).await;
            assert_eq!(refused.refusal(), (401, "unauthenticated".to_owned()), "{path} {media}");
        }
        for path in ["/api/auth/login", "/api/auth/register", "/api/auth/refresh"] {
            let refused = watch.send_with("POST", path, &headers, body.clone()).await;
            assert_eq!(refused.refusal(), (415, "unsupported_media_type".to_owned()), "{path} {media}");
        }
    }
    for kind in kinds(&world) {
        let answer = ask(&world, &kind, None).await;
        assert!(!answer.headers.contains_key("set-cookie"), "{kind:?}");
    }
    watch.ends_changed().await;
}

#[tokio::test]
async fn every_kind_of_answer_carries_the_headers_that_keep_browsers_careful() {
    for (settings, in_production) in
        [(&[][..], false), (&[("NODE_ENV", "production"), ("RATE_LIMITS", "on")], true)]
    {
        let world = World::with(settings).await;
        for kind in kinds(&world) {
            // There the descriptions are for administrators.
            if in_production && ["/docs", "/api/openapi.json"].contains(&&*kind.2) {
                continue;
            }
            let answer = ask(&world, &kind, None).await;
            let policy = answer.header("content-security-policy");
            assert!(
                policy.contains("default-src 'none'") || policy.contains("object-src 'none'"),
                "{kind:?}: {policy}"
            );
            assert!(policy.contains("sandbox") || policy.contains("frame-ancestors"), "{kind:?}: {policy}");
            for (name, value) in [
                ("x-content-type-options", "nosniff"),
                ("referrer-policy", "no-referrer"),
                ("cross-origin-opener-policy", "same-origin"),
                ("cross-origin-resource-policy", "same-origin"),
                ("x-frame-options", "SAMEORIGIN"),
            ] {
                assert_eq!(answer.header(name), value, "{kind:?} {name}");
            }
            assert_eq!(answer.headers.contains_key("strict-transport-security"), in_production, "{kind:?}");
            // The descriptions are the same for everybody.
            if kind.2 != "/api/openapi.json" && (kind.2.starts_with("/api") || kind.2.starts_with("/uploads"))
            {
                assert!(answer.header("cache-control").contains("no-store"), "{kind:?}");
            }
        }
    }
}

#[tokio::test]
async fn nothing_that_a_client_sends_comes_back_as_a_page() {
    let world = World::new().await;
    let watch = world.watch(&world.c1).await;
    let script = "%3Cscript%3Ealert(1)%3C/script%3E";
    for path in [
        format!("/{script}"),
        format!("/api/{script}"),
        format!("/docs/{script}"),
        format!("/api/conversations/{script}"),
        format!("/api/conversations?limit={script}"),
        format!("/uploads/{script}"),
        format!("/socket.io/?EIO={script}&transport=polling"),
        format!("/socket.io/?EIO=4&transport=polling&sid={script}"),
    ] {
        let answer = watch.get(&path).await;
        assert!(answer.status >= 400, "{path}");
        assert!(!answer.header("content-type").contains("html"), "{path}: {}", answer.header("content-type"));
        assert!(!answer.text().contains("<script>"), "{path}: {}", answer.text());
    }
    let named = json!({"<script>alert(1)</script>": 1, "conversationId": "<img src=x onerror=alert(1)>"});
    let refused = watch.post("/api/messages", named).await.expect(400);
    assert_eq!(refused.header("content-type"), "application/json");
    watch.ends().await;
}

#[tokio::test]
async fn the_page_of_the_descriptions_runs_only_its_own_scripts_in_nobodys_frame() {
    let world = World::new().await;
    let watch = world.watch_stranger().await;
    let page = watch.get("/docs").await.expect(200);
    let policy = page.header("content-security-policy");
    let rules: Vec<&str> = policy.split(';').map(str::trim).collect();
    let scripts = rules.iter().find(|rule| rule.starts_with("script-src ")).expect("a rule for scripts");
    assert_eq!(*scripts, "script-src 'self'");
    for loose in ["unsafe-eval", "script-src *", "data: 'unsafe", "wasm-unsafe"] {
        assert!(!policy.contains(loose), "{loose} in {policy}");
    }
    assert!(rules.contains(&"default-src 'none'") && rules.contains(&"base-uri 'none'"), "{policy}");
    assert!(
        rules
            .iter()
            .any(|rule| rule.starts_with("frame-ancestors 'self'") || *rule == "frame-ancestors 'none'")
    );
    let html = page.text();
    for inline in ["<script>", "onclick=", "onload=", "javascript:", "http://", "style=\""] {
        assert!(!html.contains(inline), "{inline}");
    }
    watch.ends().await;
}

//! Class I: input that is odd, large, or means something else to somebody else.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::costs::{growth, shortest};
use crate::raw::{exchange, request, status};
use crate::world::{NOTHING, World};

/// What a number that is none may take.
const SOON: Duration = Duration::from_millis(200);
/// What a refusal of far too much may take.
const AT_ONCE: Duration = Duration::from_millis(50);
/// What checking a text may take.
const NEXT_TO_NOTHING: Duration = Duration::from_millis(5);
/// How much more memory a server may hold after far too much was sent.
const LITTLE: u64 = 2 << 20;

fn bearer(world: &World) -> Vec<u8> {
    format!("Authorization: Bearer {}\r\n", world.c1.token).into_bytes()
}

#[tokio::test]
async fn a_limit_that_is_no_small_number_is_refused() {
    let world = World::new().await;
    let watch = world.watch(&world.c1).await;
    for path in [format!("/api/messages/{}", world.d12), "/api/conversations".to_owned()] {
        for limit in
            ["1000000000", "-1", "0", "1.5", "abc", "", "9223372036854775808", "1e3", "0x10", "NaN", "50%00"]
        {
            let took = shortest(async || {
                let refused = watch.get(&format!("{path}?limit={limit}")).await;
                assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()), "{path} {limit}");
            });
            let took = took.await;
            assert!(took < SOON, "{path} {limit}: {took:?}");
        }
        let twice = watch.get(&format!("{path}?limit=10&limit=20")).await;
        assert_eq!(twice.refusal(), (400, "validation_failed".to_owned()), "{path}");
    }
    for page in ["-5", "0", "1.5", "9223372036854775808", "x"] {
        let refused = watch.get(&format!("/api/messages/{}?page={page}", world.d12)).await;
        assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()), "{page}");
    }
    watch.ends().await;
}

#[tokio::test]
async fn a_cursor_leads_nowhere_but_through_ones_own() {
    let world = World::new().await;
    let theirs = world.adm.get("/api/conversations?limit=1").await.expect(200).json()["nextCursor"].clone();
    let theirs = theirs.as_str().expect("there are more").to_owned();
    let watch = world.watch(&world.c3).await;
    for cursor in
        [&*theirs, "1 OR 1=1", "-1", "", "%00", "9223372036854775808", &world.d12, &theirs.to_uppercase()]
    {
        let cursor = cursor.replace(' ', "%20");
        let answer = watch.get(&format!("/api/conversations?cursor={cursor}")).await;
        match answer.status {
            200 => assert_eq!(answer.json()["conversations"], json!([]), "{cursor}"),
            _ => assert_eq!(answer.refusal(), (400, "validation_failed".to_owned()), "{cursor}"),
        }
    }
    watch.ends().await;
    let watch = world.watch(&world.c1).await;
    for name in ["after", "before"] {
        for seq in ["-1", "9223372036854775808", "1%20OR%201=1", "1.5", "", &world.d12_message] {
            let refused = watch.get(&format!("/api/messages/{}?{name}={seq}", world.d12)).await;
            assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()), "{name} {seq}");
        }
    }
    watch.ends_changed().await;
}

#[tokio::test]
async fn ten_megabytes_of_json_are_refused_early_and_cost_nothing() {
    let world = World::new().await;
    let watch = world.watch(&world.c1).await;
    let body = format!("{{\"content\":\"{}\"}}", "a".repeat(10 << 20)).into_bytes();
    let json = [&bearer(&world)[..], b"Content-Type: application/json\r\n"].concat();
    let chunked = [&json[..], b"Transfer-Encoding: chunked\r\n"].concat();
    let mut endless = request("POST", b"/api/messages", &chunked, b"");
    for _ in 0..160 {
        endless.extend_from_slice(b"10000\r\n");
        endless.extend_from_slice(&[b'a'; 0x10000]);
        endless.extend_from_slice(b"\r\n");
    }
    for sent in [request("POST", b"/api/messages", &json, &body), endless] {
        let grown = growth(world.server.pid(), async || {
            let start = Instant::now();
            let answer = exchange(world.server.addr, &sent).await;
            watch.inspect_bytes(&answer);
            assert_eq!(status(&answer), 413, "{:.300}", String::from_utf8_lossy(&answer));
            // What a client that does not stop is listened to, and a busy machine.
            assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
        });
        let grown = grown.await;
        println!("{grown} bytes more");
        assert!(grown < LITTLE, "{grown}");
    }
    watch.ends().await;
}

#[tokio::test]
async fn bytes_that_are_no_utf8_do_no_harm_wherever_they_are() {
    let world = World::new().await;
    let watch = world.watch(&world.c1).await;
    let (own, json) = (bearer(&world), b"Content-Type: application/json\r\n".to_vec());
    let with = |header: &[u8]| [&own[..], header].concat();
    let room = world.d12.as_bytes();
    let content = [b"{\"conversationId\":\"", room, b"\",\"content\":\"a\xff\xfeb\"}"].concat();
    let form = b"Content-Type: multipart/form-data; boundary=b\r\n";
    let name = b"--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"\xff\xfe.zip\"\r\n\r\nx\r\n--b--\r\n";
    let field =
        b"--b\r\ncontent-disposition: form-data; name=\"fi\xffle\"; filename=\"a.png\"\r\n\r\nx\r\n--b--\r\n";
    for (what, sent) in [
        ("body", request("POST", b"/api/messages", &with(&json), &content)),
        ("path", request("GET", b"/api/conversations/\xff\xfe", &own, b"")),
        ("escaped path", request("GET", b"/api/conversations/%ff%fe", &own, b"")),
        ("overlong path", request("GET", b"/uploads/%c0%ae%c0%ae%c0%afpriyo.db", &own, b"")),
        ("query", request("GET", b"/api/conversations?limit=\xff", &own, b"")),
        ("escaped query", request("GET", b"/api/conversations?cursor=%ff%fe", &own, b"")),
        ("token", request("GET", b"/api/auth/me", b"Authorization: Bearer \xff\xfe\r\n", b"")),
        ("content type", request("POST", b"/api/messages", &with(b"Content-Type: \xff\r\n"), b"{}")),
        ("request id", request("GET", b"/api/nothing", &with(b"X-Request-ID: \xff\xfe\r\n"), b"")),
        ("file name", request("POST", b"/api/upload", &with(form), name)),
        ("field name", request("POST", b"/api/upload", &with(form), field)),
    ] {
        let answer = exchange(world.server.addr, sent).await;
        watch.inspect_bytes(&answer);
        assert!((400..=415).contains(&status(&answer)), "{what}: {:.300}", String::from_utf8_lossy(&answer));
    }
    watch.ends().await;
}

#[tokio::test]
async fn a_number_is_taken_exactly_or_not_at_all() {
    let world = World::new().await;
    let watch = world.watch(&world.c1).await;
    let room = &world.d12;
    for number in
        ["1e400", "-0", "-1", "9007199254740993.5", "1.0000000000000001", "NaN", "Infinity", "1e2", "00"]
    {
        let mut socket = watch.socket().await;
        let join =
            format!("42700[\"conversation:join\",{{\"conversationId\":\"{room}\",\"after\":{number}}}]");
        socket.send_text(&join).await;
        // What is no JSON is no packet, and ends the connection.
        if let Some(answer) = socket.try_ack(700).await {
            let is_whole = number == "-0" || number.starts_with("1.0") || number == "1e2";
            let refused = answer["error"]["code"] == "validation_failed";
            assert!(refused || is_whole && answer["ok"] == true, "{number}: {answer}");
        }
        watch.inspect_frames(&mut socket);
    }
    let mut socket = watch.socket().await;
    let far = json!({"conversationId": room, "after": 9_007_199_254_740_993_u64});
    assert_eq!(
        socket.refused("conversation:join", far).await,
        "validation_failed",
        "no double has this number"
    );
    for number in ["1e400", "NaN", "-Infinity", "0x1", "+1", "01", ".5"] {
        let body = format!("{{\"conversationId\":\"{room}\",\"content\":{number}}}");
        let refused = watch.send("POST", "/api/messages", Some("application/json"), body).await;
        assert_eq!(refused.status, 400, "{number}: {}", refused.text());
    }
    watch.inspect_socket(&mut socket).await;
    watch.ends_changed().await;
}

#[tokio::test]
async fn a_method_is_what_it_says_and_no_header_makes_it_another() {
    let world = World::new().await;
    let watch = world.watch(&world.adm).await;
    let room = format!("/api/conversations/{}", world.d12);
    let own = format!("Bearer {}", world.adm.token);
    for name in ["x-http-method-override", "x-http-method", "x-method-override"] {
        let headers = [("authorization", &*own), (name, "DELETE")];
        watch.send_with("GET", &room, &headers, "").await.expect(200);
        assert!([404, 405].contains(&watch.send_with("POST", &room, &headers, "").await.status));
        watch.send_with("GET", &format!("{room}?_method=DELETE"), &headers, "").await.expect(200);
    }
    for (method, path) in [
        ("TRACE", "/api/messages"),
        ("TRACE", "/health"),
        ("PUT", "/api/messages"),
        ("HEAD", "/api/auth/logout"),
        ("GET", "/api/auth/logout"),
        ("BREW", "/api/messages"),
        ("PROPFIND", "/uploads/"),
    ] {
        let refused = watch.send_with(method, path, &[("authorization", &own)], "").await;
        assert!([400, 404, 405, 501].contains(&refused.status), "{method} {path}: {}", refused.status);
        assert!(!refused.text().contains(&world.adm.token), "{method} gives nothing back");
    }
    let tunnel =
        exchange(world.server.addr, b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await;
    assert!((400..=405).contains(&status(&tunnel)), "{}", String::from_utf8_lossy(&tunnel));
    let absolute =
        exchange(world.server.addr, request("GET", b"http://127.0.0.1:1/api/auth/me", b"", b"")).await;
    assert!(
        (400..=421).contains(&status(&absolute)),
        "it is no proxy: {}",
        String::from_utf8_lossy(&absolute)
    );
    assert_eq!(world.adm.get("/api/auth/me").await.status, 200, "nobody was logged out");
    watch.ends().await;
}

/// What would be more than a text to a database, a shell or a template.
const INJECTIONS: [&str; 30] = [
    "'",
    "\"",
    "`",
    "\\",
    "';--",
    "' OR '1'='1",
    "' OR 1=1--",
    "\" OR \"\"=\"",
    "') OR ('1'='1",
    "1; DROP TABLE users",
    "'; DROP TABLE messages;--",
    "' UNION SELECT password_hash FROM users--",
    "' AND SLEEP(5)--",
    "'; SELECT pg_sleep(5)--",
    "' || pg_sleep(5)--",
    "1 AND 1=randomblob(500000000)",
    "' AND 1=CAST('a' AS int)--",
    "'; ATTACH DATABASE '/tmp/x' AS x;--",
    "'; COPY users TO '/tmp/x';--",
    "%' OR '%'='",
    "_%",
    "\u{0}' OR 1=1",
    "{{7*7}}",
    "${7*7}",
    "$(id)",
    "`id`",
    "| id",
    "../../etc/passwd",
    "\u{2019} OR 1=1--",
    "%27%20OR%201=1--",
];

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn a_text_is_never_a_query_wherever_it_is_put() {
    let world = World::new().await;
    let watch = world.watch(&world.c3).await;
    for text in INJECTIONS {
        let start = Instant::now();
        let safe = escaped(text);
        for path in [
            format!("/api/conversations/{safe}"),
            format!("/api/messages/{safe}"),
            format!("/uploads/{safe}"),
            format!("/api/upload/{safe}"),
            format!("/api/conversations?cursor={safe}"),
            format!("/api/conversations?limit={safe}"),
            format!("/api/conversations?scope={safe}"),
            format!("/api/messages/{}?after={safe}", world.d12),
            format!("/api/messages/{}?page={safe}", world.d12),
        ] {
            let answer = watch.get(&path).await;
            assert!([400, 404].contains(&answer.status), "{path}: {}", answer.text());
        }
        for (path, body) in [
            ("/api/auth/login", json!({"email": text, "password": text})),
            ("/api/auth/refresh", json!({"refreshToken": text})),
            ("/api/auth/register", json!({"email": text, "username": text, "password": "correct horse"})),
            ("/api/conversations", json!({"participantIds": [text], "type": "GROUP"})),
            ("/api/messages", json!({"conversationId": text, "content": "x"})),
            ("/api/messages", json!({"conversationId": world.d12, "content": "x", "clientMessageId": text})),
            ("/api/messages/read", json!({"messageIds": [text]})),
        ] {
            let answer = watch.post(path, body).await;
            assert!([400, 401, 404].contains(&answer.status), "{path} {text}: {}", answer.text());
        }
        assert!(start.elapsed() < Duration::from_secs(4), "{text}: {:?}", start.elapsed());
    }
    watch.assert_unchanged().await;

    // What somebody says comes back as it is.
    let room = world.c3.starts_group_with(&[]).await;
    let plain = INJECTIONS.iter().filter(|text| !text.contains('\u{0}'));
    for text in plain.clone() {
        assert_eq!(world.c3.says(&room, text).await["content"], *text);
    }
    let back: Vec<Value> =
        world.c3.history(&room).await.into_iter().map(|message| message["content"].clone()).collect();
    assert!(back.iter().eq(plain.copied()));
    let log = world.server.log().to_lowercase();
    for complaint in ["syntax error", "sqlstate", "near \"", "unterminated"] {
        assert!(!log.contains(complaint), "{complaint}");
    }
    watch.ends_changed().await;
}

#[tokio::test]
async fn what_is_compressed_is_not_unpacked() {
    let world = World::new().await;
    let watch = world.watch(&world.c1).await;
    // The head of a gzip stream is enough: nobody may look further.
    let packed = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xed\xc1\x01\r\0\0\0\xc2\xa0\xf7Om\x0e7\xa0";
    let own = format!("Bearer {}", world.c1.token);
    for coding in ["gzip", "deflate", "br", "zstd", "compress", "x-gzip", "gzip, gzip"] {
        let headers =
            [("authorization", &*own), ("content-type", "application/json"), ("content-encoding", coding)];
        for path in ["/api/messages", "/api/auth/login", "/api/messages/read", "/api/conversations"] {
            let refused = watch.send_with("POST", path, &headers, &packed[..]).await;
            assert_eq!(refused.refusal(), (415, "unsupported_media_type".to_owned()), "{coding} {path}");
        }
    }
    watch.ends().await;
}

#[tokio::test]
async fn thousands_of_parameters_keys_or_ids_cost_next_to_nothing() {
    let world = World::new().await;
    let watch = world.watch(&world.c1).await;
    let query: String = (0..10_000).map(|n| format!("p{n}=1&")).collect();
    let short: String = (0..500).map(|n| format!("p{n}=1&")).collect();
    let keys: serde_json::Map<String, Value> = (0..100_000).map(|n| (format!("k{n}"), json!(1))).collect();
    let ids = |count| json!({"messageIds": vec![NOTHING; count]});
    let (keys, far_more) = (Value::Object(keys).to_string(), ids(100_000).to_string());
    let long = request("GET", format!("/api/conversations?{query}").as_bytes(), b"", b"");
    let took = shortest(async || {
        let refused = exchange(world.server.addr, &long).await;
        watch.inspect_bytes(&refused);
        assert!([414, 431].contains(&status(&refused)), "{}", status(&refused));
    });
    let took = took.await;
    assert!(took < AT_ONCE, "10,000 parameters: {took:?}");
    let took = shortest(async || {
        let answer = watch.get(&format!("/api/conversations?{short}")).await;
        assert!([200, 400].contains(&answer.status), "{}", answer.text());
    });
    let took = took.await;
    assert!(took < AT_ONCE, "500 parameters: {took:?}");
    for (what, path, body) in [("keys", "/api/messages", &keys), ("ids", "/api/messages/read", &far_more)] {
        let took = shortest(async || {
            let refused = watch.post_far_too_much(path, "application/json", body.clone()).await;
            assert_eq!(refused.refusal(), (413, "payload_too_large".to_owned()), "{what}");
        });
        let took = took.await;
        assert!(took < AT_ONCE, "100,000 {what}: {took:?}");
    }
    let took = shortest(async || {
        let refused = watch.post("/api/messages/read", ids(501)).await;
        assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()));
    });
    let took = took.await;
    assert!(took < AT_ONCE, "501 ids: {took:?}");
    watch.ends().await;
}

#[tokio::test]
async fn no_text_takes_long_to_check() {
    let world = World::new().await;
    let watch = world.watch_stranger().await;
    // What a pattern with a repeat inside a repeat would try in every way.
    for piece in ["a", "a@", "@a.", "a.", "aa@aa.aa", "é", " ", "-a", "._-"] {
        let long = piece.repeat(30_000 / piece.len());
        let bodies = [
            json!({"email": format!("{long}!"), "username": "xxx", "password": "correct horse"}),
            json!({"email": "x@example.net", "username": format!("{long}!"), "password": "correct horse"}),
        ];
        for body in bodies {
            let took = shortest(async || {
                let refused = watch.post("/api/auth/register", body.clone()).await;
                assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()), "{piece}");
            });
            let took = took.await;
            assert!(took < NEXT_TO_NOTHING, "{piece}: {took:?}");
        }
    }
    watch.ends().await;
}

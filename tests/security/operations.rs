//! Class L: what the program gives away by its settings, its logs and what lies around it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use priyo_tests::{Answer, Database, Starting};
use serde_json::{Value, json};

use crate::raw::{exchange, request, status};
use crate::world::{PNG, World};

/// A production server that somebody has set up with care.
const PRODUCTION: &[(&str, &str)] = &[
    ("NODE_ENV", "production"),
    ("RATE_LIMITS", "on"),
    ("CORS_ORIGIN", "https://chat.example"),
    ("METRICS_TOKEN", "metrics-0123456789abcdefghijklmnopqrstuv"),
];

#[tokio::test]
async fn production_does_not_start_with_a_setting_that_is_no_protection() {
    for (name, value) in [
        ("JWT_ACCESS_SECRET", ""),
        ("JWT_ACCESS_SECRET", "short-0123456789"),
        ("JWT_REFRESH_SECRET", priyo_tests::ACCESS_SECRET),
        ("JWT_ACCESS_SECRET", "your-super-secret-jwt-access-key-change-this"),
        ("JWT_REFRESH_SECRET", "changemechangemechangemechangeme"),
        ("JWT_ACCESS_SECRET", "00000000000000000000000000000000"),
        ("CORS_ORIGIN", "*"),
        ("CORS_ORIGIN", "https://chat.example,*"),
        ("RATE_LIMITS", "off"),
    ] {
        let settings = [PRODUCTION, &[(name, value)]].concat();
        let database = Database::new();
        let ended = Starting::launch(&database, &settings).ends_by(Duration::from_secs(10)).await;
        let ended = ended.unwrap_or_else(|| panic!("{name}={value} is served"));
        assert!(!ended.status.success(), "{name}={value}");
        assert!(ended.said.contains(name), "{name}={value}: {}", ended.said);
        let shown = value.len() > 8 && name.ends_with("SECRET") && ended.said.contains(value);
        assert!(!shown, "it shows the value: {}", ended.said);
    }
}

/// A line of the log as it was written, which must be one object.
#[track_caller]
fn line(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text:.300}"))
}

#[tokio::test]
async fn what_a_client_sends_makes_no_line_of_the_log() {
    let world = World::with(&[("LOG_FORMAT", "json"), ("LOG_LEVEL", "trace")]).await;
    let watch = world.watch_stranger().await;
    let begun = world.server.log().len();
    let long = "L".repeat(6_000);
    // To this path, or to one that the text is in.
    let hostile = async |path: Option<&str>| -> Vec<Vec<u8>> {
        let mut answers = Vec::new();
        for text in ["a%0d%0aforged", "%1b[31mforged", "a\tforged", &long] {
            let named = format!("/api/conversations/{}", text.replace(['\t', '['], "_"));
            let token = &world.c1.token;
            let headers = format!(
                "Authorization: Bearer {token}\r\nUser-Agent: {text}\r\nReferer: {text}\r\nX-Request-ID: {text}\r\n"
            );
            let sent = request("GET", path.unwrap_or(&named).as_bytes(), headers.as_bytes(), b"");
            answers.push(exchange(world.server.addr, sent).await);
        }
        answers
    };
    for answer in hostile(None).await {
        watch.inspect_bytes(&answer);
        assert_eq!(status(&answer), 404, "{}", String::from_utf8_lossy(&answer));
    }
    for name in ["a\r\nforged", "a\u{1b}[31m", "forged\u{2028}x", &long] {
        let body = json!({"email": name, "username": name, "password": "correct horse"});
        watch.post("/api/auth/register", body).await.expect(400);
        watch.post("/api/auth/login", json!({"email": name, "password": "correct horse"})).await;
    }
    watch.ends().await;
    // The control: what fails is logged.
    world.server.database().execute("ALTER TABLE participants RENAME TO somewhere_else").await;
    for answer in hostile(Some("/api/conversations")).await {
        assert_eq!(status(&answer), 500, "{}", String::from_utf8_lossy(&answer));
    }
    let log = world.server.log();
    assert!(log.matches("request failed").count() >= 4, "{log}");
    for text in log[begun..].lines() {
        let written = line(text);
        assert!(!text.contains('\u{1b}') && !written.to_string().contains("forged"), "{text:.300}");
        assert!(text.len() <= 4_096, "{} bytes: {text:.300}", text.len());
    }
}

#[tokio::test]
async fn a_request_id_is_echoed_only_when_it_is_plain() {
    let world = World::new().await;
    let watch = world.watch_stranger().await;
    let long = "a".repeat(10_000);
    for id in [
        &b"abc-123"[..],
        b"a b",
        b"<script>",
        b"\xe2\x80\xae",
        b"",
        long.as_bytes(),
        b"a\tb",
        b"a;b",
        b"../x",
    ] {
        let header = [b"X-Request-ID: ", id, b"\r\n"].concat();
        let answer = exchange(world.server.addr, request("GET", b"/api/nothing", &header, b"")).await;
        watch.inspect_bytes(&answer);
        let text = String::from_utf8_lossy(&answer).to_lowercase();
        if status(&answer) == 404 {
            let echoed = text.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap();
            let plain = !echoed.is_empty()
                && echoed.len() <= 64
                && echoed.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            assert!(plain, "{echoed}");
            assert_eq!(echoed == "abc-123", id == b"abc-123");
        } else {
            assert!([400, 431].contains(&status(&answer)), "{text}");
        }
    }
    watch.ends().await;
}

#[tokio::test]
async fn in_production_there_is_nothing_to_see_but_the_chat() {
    let world = World::with(PRODUCTION).await;
    let watch = world.watch(&world.c1).await;
    for path in ["/metrics", "/docs", "/api/openapi.json", "/api/asyncapi.json"] {
        let nobody = watch.send_with("GET", path, &[], "").await;
        assert_eq!(nobody.refusal(), (401, "unauthenticated".to_owned()), "{path}");
        assert_eq!(watch.get(path).await.refusal(), (403, "forbidden".to_owned()), "{path}");
        assert_eq!(world.adm.get(path).await.status, 200, "{path}: the control");
    }
    for path in [
        "/.env",
        "/.git/HEAD",
        "/.git/config",
        "/uploads/",
        "/uploads",
        "/widget/test.html",
        "/debug",
        "/debug/pprof",
        "/priyo.db",
        "/package.json",
        "/Cargo.toml",
        "/server-status",
        "/actuator/env",
        "/console",
        "/admin",
        "/swagger",
        "/api/docs",
        "/graphql",
        "/robots.txt",
        "/.well-known/security.txt",
        "/docs/../priyo.db",
        "/api/users/export",
    ] {
        let answer = exchange(world.server.addr, request("GET", path.as_bytes(), b"", b"")).await;
        watch.inspect_bytes(&answer);
        assert!([401, 404, 405].contains(&status(&answer)), "{path}: {}", String::from_utf8_lossy(&answer));
    }
    watch.ends().await;
}

/// Whether a text has a version, such as 1.2.3.
fn has_version(text: &str) -> bool {
    let parts: Vec<&str> = text.split(|c: char| !c.is_ascii_digit() && c != '.').collect();
    parts.iter().any(|part| part.split('.').filter(|number| !number.is_empty()).count() == 3)
}

#[tokio::test]
async fn in_production_nothing_says_what_the_program_is_made_of() {
    let world = World::with(PRODUCTION).await;
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        has_version("priyo 1.12.3") && !has_version("2026-11-25T10:00:00.123Z 127.0.0.1:80"),
        "the control"
    );
    for path in ["/", "/health", "/ready", "/api/nothing", "/socket.io/?EIO=4&transport=polling", "/docs"] {
        let answer: Answer = world.server.wire.send("GET", path, &[], "".into()).await;
        for banner in ["server", "x-powered-by", "via", "x-aspnet-version", "x-runtime"] {
            assert!(!answer.headers.contains_key(banner), "{path}: {banner}");
        }
        let text = answer.text();
        assert!(!has_version(&text), "{path}: {text}");
        assert!(
            !text.to_lowercase().contains("rust") && !text.contains("hyper") && !text.contains("axum"),
            "{version} {text}"
        );
    }
}

#[tokio::test]
async fn no_header_is_more_than_a_header() {
    let world = World::new().await;
    let watch = world.watch(&world.c1).await;
    let own = format!("Authorization: Bearer {}\r\n", world.c1.token).into_bytes();
    let long = "U".repeat(64 * 1024);
    for agent in [
        &b""[..],
        b"/",
        b";",
        b"()",
        b"Mozilla/",
        b"\xff\xfe\x80",
        b"%00%n%s",
        "💬".as_bytes(),
        long.as_bytes(),
    ] {
        for name in [
            "User-Agent",
            "Accept",
            "Accept-Language",
            "Referer",
            "X-Forwarded-For",
            "Forwarded",
            "Range",
            "Cookie",
        ] {
            let header = [&own[..], name.as_bytes(), b": ", agent, b"\r\n"].concat();
            for path in [&*world.file_path(), "/api/auth/me", "/socket.io/?EIO=4&transport=polling"] {
                let answer = exchange(world.server.addr, request("GET", path.as_bytes(), &header, b"")).await;
                watch.inspect_bytes(&answer);
                assert!(
                    (200..=431).contains(&status(&answer)),
                    "{name}: {}",
                    String::from_utf8_lossy(&answer)
                );
            }
        }
    }
    watch.ends().await;
}

/// Each file and folder below a folder that others than its owner may read or write.
fn open_to_others(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mode = path.metadata().unwrap().permissions().mode();
        // The log is the test's own.
        if mode & 0o077 != 0 && !path.ends_with("log") {
            found.push(format!("{}: {mode:o}", path.display()));
        }
        if path.is_dir() {
            open_to_others(&path, found);
        }
    }
}

#[tokio::test]
async fn what_the_server_writes_is_its_owners_alone_whatever_the_umask() {
    let database = Database::new();
    let server = priyo_tests::ServerProcess::start_under_umask(&database, 0).await;
    let alice = server.customer("alice").await;
    alice.uploads("a.png", PNG).await.expect(200);
    let group = alice.starts_group_with(&[]).await;
    alice.says(&group, "hello").await;
    let mut found = Vec::new();
    open_to_others(database.folder(), &mut found);
    assert_eq!(found, Vec::<String>::new());
}

/// The version that is locked of a library.
fn locked(name: &str) -> Vec<u64> {
    let lock = include_str!("../../Cargo.lock");
    let (_, rest) =
        lock.split_once(&format!("name = \"{name}\"\nversion = \"")).unwrap_or_else(|| panic!("no {name}"));
    rest.split('"').next().unwrap().split('.').map(|part| part.parse().unwrap()).collect()
}

#[test]
fn the_libraries_that_speak_to_strangers_are_not_older_than_their_last_known_holes() {
    for (name, at_least) in
        [("socketioxide", vec![0, 18, 9]), ("engineioxide", vec![0, 17, 9]), ("multer", vec![3, 1, 0])]
    {
        assert!(locked(name) >= at_least, "{name} {:?}", locked(name));
    }
}

/// Texts that begin a secret of somebody's, each in two parts so that this file has none.
const KEYS: [(&str, &str); 7] = [
    ("-----BEGIN ", "PRIVATE KEY"),
    ("-----BEGIN RSA ", "PRIVATE KEY"),
    ("AK", "IAIOSFODNN"),
    ("gh", "p_"),
    ("xox", "b-"),
    ("sk_", "live_"),
    ("eyJhbGciOi", "JIUzI1NiI"),
];

fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !["target", "node_modules", ".git", "Cargo.lock"].contains(&&*name) && !path.is_symlink() {
                sources(&path, found);
            }
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            found.push((path.display().to_string(), text));
        }
    }
}

#[test]
fn there_is_no_key_of_anybody_in_the_sources() {
    let mut found = Vec::new();
    sources(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap(), &mut found);
    assert!(found.len() > 200, "{}", found.len());
    for (path, text) in &found {
        for (begin, end) in KEYS {
            assert!(!text.contains(&format!("{begin}{end}")), "{begin}… in {path}");
        }
        assert!(!path.ends_with("/.env"), "{path}");
    }
}

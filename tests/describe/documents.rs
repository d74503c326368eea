//! How the documents and the page are served.

use axum::body::Bytes;
use priyo_core::transport::describe;
use priyo_tests::{Answer, TestApp, Wire};

async fn get(wire: &Wire, path: &str) -> Answer {
    wire.send("GET", path, &[], Bytes::new()).await
}

/// The addresses that a page or a module of it loads.
fn loaded(text: &str) -> Vec<String> {
    let marks = ["src=\"", "href=\"", "from \"", "import(\"", "fetch(\""];
    let after = |mark| text.split(mark).skip(1).filter_map(|rest: &str| rest.split('"').next());
    marks
        .into_iter()
        .flat_map(after)
        .filter(|address| !address.starts_with('#') && *address != "data:,")
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn the_page_is_made_of_files_of_its_own_and_loads_nothing_from_elsewhere() {
    let app = TestApp::new().await;
    let wire = Wire::Router(axum::Router::new().nest("/chat", describe::router(&app.engine)));
    let page = get(&wire, "/chat/docs").await.expect(200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert!(!page.text().contains("<style") && !page.text().contains(" style="), "the policy forbids it");
    let mut waiting = loaded(&page.text());
    assert!(waiting.len() >= 2, "{waiting:?}");
    let mut seen = Vec::new();
    while let Some(address) = waiting.pop() {
        // From the page an address is below `/chat/`, from a module beside that.
        let path = match address.strip_prefix("./") {
            Some(beside) => format!("/chat/docs/{beside}"),
            None => format!("/chat/{address}"),
        };
        assert!(!address.contains("//") && !address.starts_with('/'), "{address}");
        if !seen.contains(&path) {
            let file = get(&wire, &path).await.expect(200);
            assert!(!file.text().contains("innerHTML"), "{path}");
            waiting.extend(loaded(&file.text()));
            seen.push(path);
        }
    }
    assert!(seen.len() >= 6, "{seen:?}");
}

#[tokio::test]
async fn the_files_of_the_page_run_nothing_but_their_own() {
    let app = TestApp::new().await;
    let wire = Wire::Router(describe::router(&app.engine));
    for path in ["/docs", "/docs/docs.js", "/docs/docs.css", "/api/openapi.json", "/api/asyncapi.json"] {
        let file = get(&wire, path).await.expect(200);
        assert!(file.header("content-security-policy").starts_with("default-src 'none'; script-src 'self'"));
        assert_eq!(file.header("x-content-type-options"), "nosniff", "{path}");
        assert!(!file.header("x-request-id").is_empty(), "{path}");
    }
    let moved = get(&wire, "/docs/").await;
    assert_eq!((moved.status, moved.header("location")), (308, "../docs"));
}

/// For checkers that are not written in Rust: `tests/describe/validate`.
#[tokio::test]
async fn the_documents_are_json() {
    let app = TestApp::new().await;
    let wire = Wire::Router(describe::router(&app.engine));
    for (name, version) in [("openapi", "3.1.0"), ("asyncapi", "3.0.0")] {
        let document = get(&wire, &format!("/api/{name}.json")).await.expect(200);
        assert_eq!(document.header("content-type"), "application/json");
        assert_eq!(document.json()[name], version);
        if let Some(folder) = std::env::var_os("PRIYO_DESCRIPTIONS") {
            std::fs::write(std::path::Path::new(&folder).join(format!("{name}.json")), &document.body)
                .unwrap();
        }
    }
}

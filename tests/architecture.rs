//! Which module may know of which, by reading the sources: arrows point down, and each library has one place.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a surprise must fail the test")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// For each module of `priyo-core`: which others it may use. The longest name that fits a file counts.
const MAY_USE: &[(&str, &[&str])] = &[
    ("telemetry", &[]),
    ("patience", &[]),
    ("model", &["error"]),
    ("error", &["model"]),
    ("rates", &[]),
    ("widget", &["error"]),
    ("limits", &["error", "model", "rates"]),
    ("events", &["model"]),
    ("storage", &["error", "model", "storage_conformance"]),
    ("files", &["error", "limits", "model", "storage"]),
    ("auth", &["error", "limits", "model", "storage"]),
    ("engine", &["auth", "error", "events", "files", "limits", "model", "rates", "storage", "widget"]),
    ("transport", &["auth", "engine", "error", "events", "files", "limits", "model", "rates", "widget"]),
    ("lib", &["transport"]),
];

/// Names that the package gives out at its root, and the modules they are from.
const AT_ROOT: &[(&str, &str)] = &[("ChatEngine", "engine"), ("Error", "error")];

/// Parts of a module that must not know of each other, and what they may not use.
const MUST_NOT_USE: &[(&str, &[&str])] = &[
    ("transport/rest", &["transport::socketio"]),
    ("transport/socketio", &["transport::rest"]),
    ("storage/sqlite", &["storage::conformance", "storage::postgres"]),
    ("storage/postgres", &["storage::conformance", "storage::sqlite"]),
];

/// Each library that only some modules may use, in the words by which a source would show it.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("axum", &["transport"]),
    ("socketioxide", &["transport/socketio"]),
    ("rusqlite", &["storage/sqlite"]),
    ("sqlx", &["storage/postgres"]),
    ("argon2", &["auth/password"]),
    ("bcrypt", &["auth/password"]),
    ("governor", &["engine/limiter"]),
    ("jsonwebtoken", &["auth/token"]),
    ("aws_lc_rs", &["auth/links", "auth/identity"]),
    ("rust_embed", &["transport/web"]),
    ("object_store", &["files"]),
    ("multer", &["transport/rest", "files"]),
    // Settings and the time come from outside, so that a host and a test can choose them.
    ("std::env", &["storage/postgres/plans"]), // which is a test
    ("SystemTime", &["model/timestamp"]),
];

/// Names that say nothing of what a module knows.
const NAMELESS: &[&str] = &["utils", "util", "helpers", "helper", "common", "misc"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every Rust source under a directory: its path without the ending, relative to the directory, and its text.
fn sources(dir: &Path) -> Vec<(String, String)> {
    let (mut found, mut dirs) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(next) = dirs.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir()
                && path.file_name().is_some_and(|name| name != "target" && name != "node_modules")
            {
                dirs.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let name = path.strip_prefix(dir).unwrap().with_extension("");
                found.push((name.to_str().unwrap().to_owned(), std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty(), "no sources in {}", dir.display());
    found.sort();
    found
}

fn core() -> Vec<(String, String)> {
    sources(&root().join("priyo-core/src"))
}

/// The code of a source, without comments and unit tests: both may name what they like.
fn code(text: &str) -> String {
    let code = text.split("\n#[cfg(test)]\n").next().unwrap();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// What comes after each `word` that stands by itself.
fn after<'a>(code: &'a str, word: &str) -> Vec<&'a str> {
    let whole = |at: usize| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    };
    code.match_indices(word).filter(|(at, _)| whole(*at)).map(|(at, _)| &code[at + word.len()..]).collect()
}

fn name(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap()
}

/// The modules of this package that a source uses, groups (`crate::{a, b}`) taken apart.
fn uses(code: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for rest in after(code, "crate::") {
        match rest.strip_prefix('{') {
            None => drop(used.insert(name(rest).to_owned())),
            Some(group) => {
                let (mut depth, mut start) = (0, true);
                for (at, c) in group.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        c if start && !c.is_whitespace() => {
                            used.insert(name(&group[at..]).to_owned());
                            start = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    used
}

#[test]
fn modules_use_only_those_below_them() {
    let mut faults = Vec::new();
    for (file, text) in core() {
        let module = file.split('/').next().unwrap();
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == module) else {
            faults.push(format!("{file}: a module that has no place in the order yet"));
            continue;
        };
        for used in uses(&code(&text)) {
            let used = AT_ROOT.iter().find(|(name, _)| *name == used).map_or(&*used, |(_, from)| from);
            // What is measured and how long is waited is below everything, and knows of nothing.
            let is_below = matches!(used, "telemetry" | "patience");
            if used != module && !is_below && !allowed.contains(&used) {
                faults.push(format!("{file} uses {used}"));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_doors_and_the_storages_do_not_know_each_other() {
    for (part, not) in MUST_NOT_USE {
        for (file, text) in core().iter().filter(|(file, _)| file.starts_with(part)) {
            for path in *not {
                assert!(!code(text).contains(path), "{file} uses {path}");
            }
        }
    }
}

#[test]
fn each_library_is_used_in_one_place() {
    for (library, places) in ONLY_IN {
        for (file, text) in core() {
            let here = places.iter().any(|place| file.starts_with(place));
            let code = code(&text);
            let used =
                after(&code, library).iter().any(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()));
            assert!(here || !used, "{file} uses {library}");
        }
    }
}

#[test]
fn this_test_sees_what_it_is_to_find() {
    assert_eq!(
        uses("use crate::{engine::{A, b::C}, model};\nlet x = crate::auth::y;")
            .into_iter()
            .collect::<Vec<_>>(),
        ["auth", "engine", "model"]
    );
    assert_eq!(code("// use crate::a\nx\n#[cfg(test)]\nmod tests {}"), "x");
    assert!(after("my_axum::x", "axum").is_empty());
    assert_eq!(after("use axum::x", "axum"), ["::x"]);
}

#[test]
fn files_are_short_and_named_after_what_they_know() {
    let mut faults = Vec::new();
    for (file, text) in sources(&root()) {
        let lines = text.lines().count();
        if lines > 400 {
            println!("{file}.rs has {lines} lines");
        }
        if lines > 450 {
            faults.push(format!("{file}.rs has {lines} lines, more than 450"));
        }
        if file.split('/').any(|part| NAMELESS.contains(&part)) {
            faults.push(format!("{file}.rs has a name that says nothing"));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

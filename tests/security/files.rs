//! Class F: names of files, and who gets their bytes.

use std::collections::BTreeSet;

use priyo_tests::Person;

use crate::oracle::Secret;
use crate::raw::{exchange, request, status};
use crate::uploads::{disposition, upload};
use crate::world::{PNG, World};

fn bearer(person: &Person) -> Vec<u8> {
    format!("Authorization: Bearer {}\r\n", person.token).into_bytes()
}

#[tokio::test]
async fn no_spelling_of_a_path_leads_out_of_the_upload_folder() {
    let mut world = World::new().await;
    let outside = Secret::canary("outside", &[]);
    let folder = world.server.database().folder().to_owned();
    std::fs::write(folder.join("outside.txt"), outside.text()).unwrap();
    world.add_secret(outside);
    let watch = world.watch(&world.c1).await;
    let absolute = folder.join("outside.txt").display().to_string();
    let name = world.file["filename"].as_str().unwrap();
    for prefix in ["/uploads/", "/api/upload/"] {
        for way in [
            "../outside.txt",
            "..%2foutside.txt",
            "..%2Foutside.txt",
            "%2e%2e/outside.txt",
            "%2e%2e%2foutside.txt",
            "..%252foutside.txt",
            "..%5coutside.txt",
            "..\\outside.txt",
            "....//outside.txt",
            "..;/outside.txt",
            "%c0%ae%c0%ae%c0%afoutside.txt",
            "%u002e%u002e%u002foutside.txt",
            "./../outside.txt",
            "x/../../outside.txt",
            "%00/../outside.txt",
            "..%00/outside.txt",
            "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
            &*absolute,
            &format!("%2f{}", absolute.trim_start_matches('/').replace('/', "%2f")),
            &format!("{name}/../../outside.txt"),
            &format!("{name}%00.png"),
            &format!("{name}%23"),
            "file:///etc/passwd",
            ".",
            "..",
            "",
        ] {
            let answer = exchange(
                world.server.addr,
                request("GET", format!("{prefix}{way}").as_bytes(), &bearer(&world.c1), b""),
            )
            .await;
            watch.inspect_bytes(&answer);
            assert!(
                [400, 404, 405].contains(&status(&answer)),
                "{prefix}{way}: {}",
                String::from_utf8_lossy(&answer)
            );
        }
    }
    // The control: the way in.
    assert_eq!(world.c1.get(world.file_path()).await.status, 200);
    watch.ends().await;
}

#[tokio::test]
async fn a_name_decides_neither_where_a_file_is_kept_nor_what_is_in_a_header() {
    let world = World::new().await;
    let watch = world.watch(&world.c1).await;
    let folder = world.server.database().folder().to_owned();
    let around: BTreeSet<_> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    for name in [
        "../../x.png",
        "/etc/x.png",
        "..\\x.png",
        "a/b.png",
        "a%0d%0aSet-Cookie: x=1.png",
        "a%22; filename=%22b.png",
        "na;me.png",
        "name with spaces.png",
        "😀.png",
        "\u{202e}gnp.exe.png",
        "con.png",
        "-rf.png",
        ".png",
        "a'b.png",
        "100%.png",
        "x*y?.png",
        "日本語.png",
    ] {
        let file = upload(&watch, &disposition(name), PNG).await;
        assert_eq!(file.status, 200, "{name}: {}", file.text());
        let file = file.json()["file"].clone();
        let (kept, original) = (file["filename"].as_str().unwrap(), file["originalName"].as_str().unwrap());
        assert!(kept.len() == 36 && kept.ends_with(".png"), "{kept}");
        assert!(original.len() <= 255 && !original.contains(['/', '\\', '\r', '\n', '\0']), "{original}");
        let got = watch.get(&format!("/uploads/{kept}")).await.expect(200);
        assert!(!got.headers.contains_key("set-cookie"), "{name}");
        assert_eq!(parsed_name(got.header("content-disposition")), original, "{name}");
    }
    let now: BTreeSet<_> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(now, around, "nothing lies beside the folder");
    // The end of a line as it is would be the end of a header.
    for raw in [
        &b"content-disposition: form-data; name=\"file\"; filename=\"a\r\nSet-Cookie: x=1.png\""[..],
        b"content-disposition: form-data; name=\"file\"; filename=\"a\nX: y.png\"",
    ] {
        let answer = upload(&watch, raw, PNG).await;
        if answer.status == 200 {
            let kept = answer.json()["file"]["filename"].as_str().unwrap().to_owned();
            assert!(!watch.get(&format!("/uploads/{kept}")).await.headers.contains_key("set-cookie"));
        } else {
            assert_eq!(answer.status, 400, "{}", answer.text());
        }
    }
    watch.ends_changed().await;
}

/// The name that a browser takes from a `Content-Disposition` (RFC 6266): the extended one.
fn parsed_name(header: &str) -> String {
    let (_, encoded) =
        header.split_once("filename*=UTF-8''").unwrap_or_else(|| panic!("no extended name: {header}"));
    let mut bytes = Vec::new();
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let hex = [rest.next().unwrap(), rest.next().unwrap()];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
            }
            b';' | b'"' | b' ' => panic!("not encoded: {header}"),
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_range_never_brings_more_than_the_file() {
    let world = World::new().await;
    let watch = world.watch(&world.c1).await;
    let own = format!("Bearer {}", world.c1.token);
    let whole = watch.get(&world.file_path()).await.expect(200).body.len();
    let overlapping = format!("bytes={}", vec!["0-"; 100].join(","));
    for range in [
        "bytes=0-0",
        "bytes=-1",
        "bytes=5-2",
        "bytes=0-18446744073709551615",
        "bytes=18446744073709551615-",
        "bytes=-18446744073709551616",
        "bytes=0-,0-",
        "bytes=abc",
        "bytes=",
        "items=0-1",
        &*overlapping,
        "bytes=0-0,-1",
    ] {
        let headers = [("authorization", &*own), ("range", range)];
        let part = watch.send_with("GET", &world.file_path(), &headers, "").await;
        assert!([200, 206, 416].contains(&part.status), "{range}: {}", part.status);
        assert!(part.body.len() <= whole.max(200), "{range}: {}", part.body.len());
        if part.status == 206 {
            assert!(part.body.len() <= whole && !part.header("content-range").is_empty(), "{range}");
        }
    }
    watch.ends().await;
}

#[tokio::test]
async fn the_name_of_a_stored_file_has_128_random_bits() {
    let world = World::new().await;
    let mut names = Vec::new();
    for _ in 0..60 {
        let file = world.c1.uploads("a.png", PNG).await.expect(200).json()["file"].clone();
        let name = file["filename"].as_str().unwrap().strip_suffix(".png").unwrap().to_owned();
        names.push(u128::from_str_radix(&name, 16).unwrap());
    }
    for bit in 0..128 {
        let set = names.iter().filter(|name| *name >> bit & 1 == 1).count();
        // Fewer than 10 or more than 50 of 60 happens once in ten million times.
        assert!((10..=50).contains(&set), "bit {bit} is set in {set} of 60");
    }
    let watch = world.watch(&world.c3).await;
    for near in [names[0] ^ 1, names[0].wrapping_add(1), names[0] ^ (1 << 127), 0, u128::MAX] {
        assert_eq!(watch.get(&format!("/uploads/{near:032x}.png")).await.status, 404);
    }
    watch.ends().await;
}

#[tokio::test]
async fn no_cache_keeps_a_private_file() {
    let world = World::new().await;
    let own = world.c1.get(world.file_path()).await.expect(200);
    assert_eq!(own.header("cache-control"), "private, no-store");
    let watch = world.watch_stranger().await;
    let refused =
        watch.send_with("GET", &world.file_path(), &[("if-none-match", own.header("etag"))], "").await;
    assert_eq!(
        refused.refusal(),
        (401, "unauthenticated".to_owned()),
        "knowing its version is no permission"
    );
    assert!(refused.header("cache-control").contains("no-store"));
    watch.ends().await;
}

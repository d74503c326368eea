//! Class K: what a socket can be made to do by its frames.

use std::time::Duration;

use priyo_core::model::Clock;
use priyo_tests::{Refused, Socket};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::costs::growth;
use crate::world::World;

/// How much more memory a server may hold for a client that is up to something.
const SLACK: u64 = 1 << 20;

/// A moment so many seconds from now.
pub(crate) fn within(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

#[tokio::test]
async fn a_handshake_without_a_good_token_ends_in_a_refusal_whatever_is_in_it() {
    let world = World::new().await;
    let watch = world.watch_stranger().await;
    let now = Clock::system().now();
    let expired = world.c1.claims(now).claim("exp", now.as_secs() - 6).sign();
    for auth in [
        None,
        Some(json!(null)),
        Some(json!([])),
        Some(json!([world.c1.token])),
        Some(json!(5)),
        Some(json!("token")),
        Some(json!(world.c1.token)),
        Some(json!({})),
        Some(json!({"token": null})),
        Some(json!({"token": 5})),
        Some(json!({"token": [world.c1.token]})),
        Some(json!({"token": {"$ne": null}})),
        Some(json!({"token": ""})),
        Some(json!({"token": expired})),
        Some(json!({"userId": world.c1.id})),
        Some(json!({"visitorId": "x"})),
        Some(json!({"Token": world.c1.token})),
        Some(json!({"token": "a".repeat(50_000)})),
    ] {
        let shown = format!("{auth:.80?}");
        let mut socket = Socket::open(world.server.addr, None).await;
        socket.record();
        let auth = auth.map(|auth| auth.to_string()).unwrap_or_default();
        socket.send_text(&format!("40{auth}")).await;
        let Refused(why) = socket.welcome().await.expect_err(&shown);
        let expected = ["Authentication token required", "Invalid authentication token"];
        assert!(expected.contains(&&*why), "{shown}: {why}");
        watch.inspect_frames(&mut socket);
    }
    watch.ends().await;
}

#[tokio::test]
async fn acknowledgements_that_nobody_asked_for_or_reads_cost_nothing() {
    let world = World::new().await;
    let watch = world.watch(&world.c1).await;
    let mut socket = watch.socket().await;
    let send = json!(["typing:stop", {"conversationId": world.d12}]);
    let acks: Vec<String> = (0..2_000).map(|n| format!("43{n}[{{\"ok\":true}}]")).collect();
    let same: Vec<String> = (0..2_000).map(|_| format!("427{send}")).collect();
    let grown = growth(world.server.pid(), async || {
        for frames in [&acks, &same] {
            for some in frames.chunks(20) {
                socket.send_burst(&some.iter().map(|frame| &**frame).collect::<Vec<_>>()).await;
                // As much as the inbox takes, and no more.
                socket.settle().await;
            }
        }
    })
    .await;
    println!("{grown} bytes more");
    assert!(grown < SLACK, "{grown}");
    watch.inspect_socket(&mut socket).await;
    for number in ["9223372036854775807", "9223372036854775808", "18446744073709551616", "-1", "1e5"] {
        let mut socket = watch.socket().await;
        if socket.try_send_text(&format!("42{number}{send}")).await
            && socket.try_send_text("425[\"tests:nothing\"]").await
        {
            socket.try_ack(5).await;
        }
        watch.inspect_frames(&mut socket);
    }
    watch.ends().await;
}

#[tokio::test]
async fn who_never_reads_acknowledgements_is_told_no_more_and_costs_no_more() {
    let world = World::new().await;
    let watch = world.watch(&world.c1).await;
    let frame = format!("421{}", json!(["tests:nothing", "x"]));
    let grown = growth(world.server.pid(), async || {
        let mut socket = Socket::open(world.server.addr, Some(4 * 1024)).await;
        socket.send_text(&format!("40{}", json!({"token": world.c1.token}))).await;
        socket.welcome().await.unwrap();
        // It may be closed on the way; what must not be is that the server keeps an answer for each.
        let sending = async {
            for _ in 0..10_000 {
                if !socket.try_send_text(&frame).await {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(3), sending).await;
        socket
    })
    .await;
    println!("{grown} bytes more");
    assert!(grown < SLACK, "{grown}");
    watch.ends().await;
}

/// A WebSocket whose frames are bytes.
async fn upgraded(world: &World) -> TcpStream {
    let mut stream = TcpStream::connect(world.server.addr).await.unwrap();
    let head = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\
                Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Reads until the other side closes.
async fn rest(stream: &mut TcpStream, deadline: Instant) -> Vec<u8> {
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    let reading = async {
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            heard.extend_from_slice(&buffer[..count]);
        }
    };
    tokio::time::timeout_at(deadline, reading).await.expect("the connection is closed in time");
    heard
}

#[tokio::test]
async fn a_frame_larger_than_64_kib_ends_the_connection_also_when_it_only_says_so() {
    let world = World::new().await;
    let watch = world.watch(&world.c1).await;
    let grown = growth(world.server.pid(), async || {
        for length in [70_000, 1 << 20, 10 << 20] {
            let mut socket = watch.socket().await;
            if socket.try_send_text(&format!("42[\"message:send\",\"{}\"]", "a".repeat(length))).await {
                assert!(socket.ends_by(within(5)).await, "{length}");
            }
            watch.inspect_frames(&mut socket);
        }
        for length in [64_u64 << 20, 1 << 40, u64::MAX >> 1, u64::MAX] {
            let mut stream = upgraded(&world).await;
            // A masked text frame of that length, of which a little comes.
            let mut frame = vec![0x81, 0xff];
            frame.extend_from_slice(&length.to_be_bytes());
            frame.extend_from_slice(&[0; 4]);
            frame.extend_from_slice(b"42[\"message:send\"");
            stream.write_all(&frame).await.unwrap();
            watch.inspect_bytes(&rest(&mut stream, within(5)).await);
        }
    })
    .await;
    println!("{grown} bytes more");
    assert!(grown < SLACK, "{grown}");
    watch.ends().await;
}

#[tokio::test]
async fn attachments_that_do_not_fit_what_was_said_of_them_do_no_harm() {
    let world = World::new().await;
    let watch = world.watch(&world.c1).await;
    let argument = json!(["message:send", {"_placeholder": true, "num": 0}]);
    for (head, binaries) in [
        (format!("451-{argument}"), vec![10_000]),
        (format!("455-{argument}"), vec![10; 4]),
        (format!("451-{argument}"), vec![10; 3]),
        (format!("4510000-{argument}"), vec![10; 50]),
        (format!("4518446744073709551616-{argument}"), vec![10]),
        (format!("450-{argument}"), vec![10]),
        (format!("451-{}", json!(["message:send", {"_placeholder": true, "num": 5}])), vec![10]),
        (format!("461-7{argument}"), vec![10]),
    ] {
        let mut socket = watch.socket().await;
        let mut open = socket.try_send_text(&head).await;
        for length in binaries {
            open = open && socket.try_send_binary(&vec![0; length]).await;
        }
        // Another text before all parts have come.
        if open && socket.try_send_text("425[\"tests:nothing\"]").await {
            socket.try_ack_by(5, within(3)).await;
        }
        watch.inspect_frames(&mut socket);
    }
    watch.ends().await;
}

#[tokio::test]
async fn there_is_one_namespace() {
    let world = World::new().await;
    let watch = world.watch(&world.c1).await;
    let token = json!({"token": world.c1.token});
    let mut stranger = Socket::open(world.server.addr, None).await;
    let deadline = within(15);
    stranger.record();
    stranger.send_text(&format!("40/admin,{token}")).await;
    stranger.send_text(&format!("42/admin,0{}", json!(["message:send", {}]))).await;
    let (mut socket, mut round) = (watch.socket().await, 0);
    let grown = growth(world.server.pid(), async || {
        round += 1;
        let mut open = true;
        for n in 0..2_000 {
            open = open && socket.try_send_text(&format!("40/n{round}-{n},{token}")).await;
        }
        if open {
            watch.inspect_socket(&mut socket).await;
        } else {
            socket = watch.socket().await;
        }
    })
    .await;
    println!("{grown} bytes more");
    assert!(grown < SLACK, "{grown}");
    assert!(stranger.ends_by(deadline).await, "who never enters the one there is is not kept");
    assert!(stranger.recorded().iter().all(|frame| !frame.starts_with("40/") && !frame.starts_with("43/")));
    watch.ends().await;
}

#[tokio::test]
async fn only_the_one_protocol_is_spoken() {
    let world = World::new().await;
    let watch = world.watch_stranger().await;
    for query in [
        "EIO=3&transport=polling",
        "EIO=5&transport=polling",
        "EIO=0&transport=polling",
        "EIO=x&transport=polling",
        "transport=polling",
        "EIO=4",
        "EIO=4&transport=foo",
        "EIO=4&transport=jsonp&j=0",
        "",
        "EIO=4&transport=flashsocket",
        "EIO=4&transport=polling&sid=../../etc",
        "EIO=4&transport=polling&sid=%00",
    ] {
        let refused = watch.send_with("GET", &format!("/socket.io/?{query}"), &[], "").await;
        assert!([400, 401, 403].contains(&refused.status), "{query}: {} {}", refused.status, refused.text());
    }
    // A callback that a client names would be a script of its own choice.
    let script = "/socket.io/?EIO=4&transport=polling&j=alert(1)//";
    let answer = watch.send_with("GET", script, &[], "").await;
    assert!(!answer.text().contains("alert"), "{}", answer.text());
    let mut stream = upgraded(&world).await;
    let mut head = vec![0; 1024];
    let count = stream.read(&mut head).await.unwrap();
    let head = String::from_utf8_lossy(&head[..count]).to_lowercase();
    assert!(head.starts_with("http/1.1 101"), "{head}");
    assert!(!head.contains("sec-websocket-extensions"), "nothing is compressed: {head}");
    watch.ends().await;
}

#[tokio::test]
async fn a_socket_that_connects_again_and_again_is_one_socket() {
    let world = World::new().await;
    let watch = world.watch(&world.c1).await;
    let mut other = world.server.socket(&world.c2).await;
    let mut socket = watch.socket().await;
    assert_eq!(other.next("user:status").await["isOnline"], true);
    socket.must("conversation:join", json!(world.d12)).await;
    for _ in 0..1_000 {
        if !socket.try_send_text(&format!("40{}", json!({"token": world.c1.token}))).await {
            break;
        }
    }
    let open = socket.try_send_text(&format!("425{}", json!(["tests:nothing"]))).await
        && socket.try_ack_by(5, within(5)).await.is_some();
    world.c2.says(&world.d12, "once").await;
    if open {
        // A thousand rooms of the same socket would hear it a thousand times.
        assert_eq!(socket.heard_of("message:new").await.len(), 1);
        watch.inspect_frames(&mut socket);
        assert_eq!(other.heard_of("user:status").await, Vec::<Value>::new());
        socket.hang_up().await;
    }
    let gone = other.next_by("user:status", within(5)).await;
    assert_eq!((&gone["userId"], &gone["isOnline"]), (&json!(world.c1.id), &json!(false)));
    assert_eq!(other.heard_of("user:status").await, Vec::<Value>::new(), "and that is told once");
    watch.ends_changed().await;
}

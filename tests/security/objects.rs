//! Class O: objects of other people. What each actor may do with each is in `policy/`.

use std::collections::BTreeSet;

use priyo_tests::Polling;
use serde_json::json;

use crate::raw::Trap;
use crate::world::{NOTHING, World, id};

#[tokio::test]
async fn an_outsider_who_asks_for_the_room_in_every_way_hears_nothing_of_it() {
    let world = World::new().await;
    let watch = world.watch(&world.c3).await;
    let mut socket = watch.socket().await;
    let (room, message) = (&world.d12, &world.d12_message);
    for (event, payload) in [
        ("conversation:join", json!(room)),
        ("conversation:join", json!({"conversationId": room, "after": 0})),
        ("typing:start", json!({"conversationId": room})),
        ("message:read", json!({"messageId": message, "conversationId": room})),
        ("message:send", json!({"conversationId": room, "content": "let me in"})),
        ("conversation:leave", json!(room)),
    ] {
        assert_eq!(socket.refused(event, payload).await, "not_found", "{event}");
    }
    let synced = socket.must("sync", json!({"conversations": {(room): 0}})).await;
    assert_eq!((&synced["conversations"], &synced["gone"]), (&json!({}), &json!([room])));
    watch.assert_unchanged().await;

    // Those inside talk, type, read, come and go.
    let canary = world.c1.get(format!("/api/messages/{room}")).await.expect(200).json();
    let said = canary["messages"][0]["content"].as_str().unwrap();
    let mut inside = world.server.socket(&world.c2).await;
    inside.must("conversation:join", json!(room)).await;
    let fresh = id(&world.c1.says(room, said).await);
    inside.must("typing:start", json!({"conversationId": room})).await;
    inside.must("message:read", json!({"messageId": fresh, "conversationId": room})).await;
    assert_eq!(inside.next("message:new").await["content"], said, "there was something to hear");
    watch.inspect_socket(&mut socket).await;
    assert_eq!(socket.heard().await, []);
    watch.ends_changed().await;
}

#[tokio::test]
async fn unread_counts_say_nothing_of_a_group_that_one_has_left() {
    let world = World::new().await;
    world.c2.post_nothing(format!("/api/conversations/{}/leave", world.group)).await.expect(200);
    let watch = world.watch(&world.c2).await;
    let before = watch.get("/api/messages/unread/count").await.expect(200).json();
    world.c1.says(&world.group, "one more").await;

    let after = watch.get("/api/messages/unread/count").await.expect(200).json();

    assert_eq!(after, before);
    assert!(after["conversations"].get(&world.group).is_none(), "{after}");
    watch.ends_changed().await;
}

#[tokio::test]
async fn a_list_is_ones_own_whatever_is_put_into_its_query() {
    let world = World::new().await;
    let watch = world.watch(&world.c3).await;
    let (c1, d12) = (&world.c1.id, &world.d12);
    for query in [
        format!("userId={c1}"),
        format!("user={c1}&all=true"),
        format!("participant={c1}"),
        format!("participants[]={c1}"),
        "all=true".to_owned(),
        "scope=all".to_owned(),
        "scope=own&scope=all".to_owned(),
        "role=ADMIN".to_owned(),
        "include=messages,participants.email".to_owned(),
        format!("cursor={d12}"),
        format!("filter[$or][0][id]={d12}"),
        "where=1%3D1".to_owned(),
    ] {
        let answer = watch.get(&format!("/api/conversations?{query}")).await;
        if answer.status == 200 {
            assert_eq!(answer.json()["conversations"], json!([]), "{query}");
        } else {
            assert_eq!(answer.refusal(), (400, "validation_failed".to_owned()), "{query}");
        }
        let history = watch.get(&format!("/api/messages/{d12}?{query}")).await;
        assert!([400, 404].contains(&history.status), "{query}: {}", history.text());
    }
    watch.ends().await;
}

#[tokio::test]
async fn a_conversation_is_not_stuffed_with_participants_and_does_not_say_who_exists() {
    let world = World::new().await;
    world.server.database().execute("UPDATE users SET disabled = TRUE WHERE username = 'customer2'").await;
    let watch = world.watch(&world.c3).await;
    let new = |ids: Vec<&str>| json!({"participantIds": ids, "type": "GROUP", "name": "stuffed"});
    let many: Vec<String> = (0..101).map(|n| format!("0199a000-0000-7000-8000-{n:012}")).collect();
    let too_many = watch.post("/api/conversations", new(many.iter().map(|id| &**id).collect())).await;
    assert_eq!(too_many.refusal(), (400, "validation_failed".to_owned()));
    let thousands = watch
        .post_far_too_much("/api/conversations", "application/json", new(vec![NOTHING; 10_000]).to_string())
        .await;
    assert_eq!(thousands.refusal(), (413, "payload_too_large".to_owned()));
    for ids in [vec![], vec![NOTHING], vec![&*world.c1.id, NOTHING], vec![NOTHING, &world.c1.id]] {
        let refused = watch.post("/api/conversations", new(ids.clone())).await;
        assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()), "{ids:?}");
        if ids.contains(&NOTHING) {
            assert_eq!(refused.error(), "One or more participants not found");
            assert!(!refused.text().contains(NOTHING), "it does not say which: {}", refused.text());
        }
    }
    watch.assert_unchanged().await;
    let direct = json!({"participantIds": [world.c3.id, world.c3.id], "type": "DIRECT"});
    let alone = watch.post("/api/conversations", direct).await;
    assert_eq!(alone.error(), "Direct conversations must have exactly 2 participants");
    watch.ends().await;
}

#[tokio::test]
async fn nobody_invites_themselves() {
    let world = World::new().await;
    let watch = world.watch(&world.c3).await;
    let me =
        json!({"userIds": [world.c3.id], "participantIds": [world.c3.id], "participants": [world.c3.id]});
    for room in [&world.d12, &world.group, &world.closed] {
        let paths = [
            format!("/api/conversations/{room}"),
            format!("/api/conversations/{room}/participants"),
            format!("/api/conversations/{room}/participants/{}", world.c3.id),
            format!("/api/conversations/{room}/join"),
        ];
        for path in paths {
            for method in ["PUT", "PATCH", "POST"] {
                for body in [me.to_string(), json!({"userIds": [world.c3.id]}).to_string()] {
                    let refused = watch.send(method, &path, Some("application/json"), body).await;
                    assert!([400, 404, 405].contains(&refused.status), "{method} {path}: {}", refused.status);
                }
            }
        }
        let own = format!("/api/conversations/{room}/participants");
        let refused = watch.post(&own, json!({"userIds": [world.c3.id]})).await;
        assert_eq!(refused.refusal(), (404, "not_found".to_owned()));
    }
    watch.ends().await;
}

/// The bits of a UUIDv7 that are not its time, its version or its variant.
fn random_bits(id: &str) -> u128 {
    let bits = u128::from_str_radix(&id.replace('-', ""), 16).unwrap();
    assert_eq!((bits >> 76 & 0xf, bits >> 62 & 0b11), (7, 0b10), "{id} is no UUIDv7");
    (bits >> 64 & 0xfff) << 62 | bits & ((1 << 62) - 1)
}

#[tokio::test]
async fn ids_cannot_be_guessed_from_those_before_them() {
    let world = World::new().await;
    let mut socket = world.server.socket(&world.c1).await;
    let mut ids = vec![world.d12.clone(), world.group.clone(), id(&world.file)];
    for _ in 0..20 {
        let mut numbers = Vec::new();
        for _ in 0..50 {
            numbers.push(
                socket
                    .emit_asking("message:send", json!({"conversationId": world.d12, "content": "x"}))
                    .await,
            );
        }
        for number in numbers {
            ids.push(id(&socket.ack(number).await["message"]));
        }
    }
    let random: Vec<u128> = ids.iter().map(|id| random_bits(id)).collect();
    assert_eq!(random.iter().collect::<BTreeSet<_>>().len(), ids.len());
    // A counter in any part would leave bits above it that do not change from one id to the next.
    for bit in 0..74 {
        let changes = random.windows(2).filter(|pair| (pair[0] ^ pair[1]) >> bit & 1 == 1).count();
        let share = changes * 100 / random.len();
        assert!((35..=65).contains(&share), "bit {bit} changes in {share} % of all steps");
    }
}

#[tokio::test]
async fn a_file_url_is_fetched_by_nobody_and_names_only_ones_own_uploads() {
    let world = World::new().await;
    let (trap, room) = (Trap::set(), world.c3.starts_group_with(&[]).await);
    let watch = world.watch(&world.c3).await;
    let send = |field: &str, value: &str| json!({"conversationId": room, "type": "FILE", (field): value});
    let refused = watch.post("/api/messages", send("fileId", world.file["id"].as_str().unwrap())).await;
    assert_eq!(refused.refusal(), (404, "not_found".to_owned()));
    let refused = watch.post("/api/messages", send("fileUrl", world.file["url"].as_str().unwrap())).await;
    assert_eq!(refused.refusal(), (404, "not_found".to_owned()));
    let mut socket = watch.socket().await;
    for url in [
        format!("http://{}/x.png", trap.addr),
        format!("//{}/uploads/x.png", trap.addr),
        format!("/uploads/../../{}", trap.addr),
        "javascript:alert(1)".to_owned(),
        "data:text/html,<script>alert(1)</script>".to_owned(),
        "file:///etc/passwd".to_owned(),
        "\\\\server\\share".to_owned(),
    ] {
        let refused = watch.post("/api/messages", send("fileUrl", &url)).await;
        assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()), "{url}");
        assert_eq!(socket.refused("message:send", send("fileUrl", &url)).await, "validation_failed", "{url}");
    }
    watch.inspect_socket(&mut socket).await;
    assert_eq!(trap.calls(), 0);
    watch.ends().await;
}

#[tokio::test]
async fn nobody_deletes_or_changes_what_is_somebody_elses() {
    let world = World::new().await;
    for person in [Some(&world.c3), None] {
        let watch = match person {
            Some(person) => world.watch(person).await,
            None => world.watch_stranger().await,
        };
        let id = world.file["id"].as_str().unwrap();
        for path in [
            world.file_path(),
            format!("/api/upload/{}", world.file["filename"].as_str().unwrap()),
            format!("/api/upload/{id}"),
            format!("/api/messages/{}", world.d12_message),
            format!("/api/messages/{}/{}", world.d12, world.d12_message),
            format!("/api/users/{}", world.c1.id),
        ] {
            for method in ["DELETE", "PUT", "PATCH"] {
                let refused = watch.send(method, &path, Some("application/json"), "{}").await;
                assert!(
                    [401, 403, 404, 405].contains(&refused.status),
                    "{method} {path}: {}",
                    refused.status
                );
            }
        }
        watch.ends().await;
    }
    let watch = world.watch_stranger().await;
    let polling = Polling::open(world.server.wire.clone()).await;
    for event in ["message:delete", "file:delete", "message:send"] {
        // Before it is said who one is nothing is answered but the end.
        let packet = format!("421{}", json!([event, {"messageId": world.d12_message}]));
        watch.inspect(&polling.send(&packet).await);
    }
    assert_eq!(world.c2.get(world.file_path()).await.status, 200);
    watch.ends().await;
}

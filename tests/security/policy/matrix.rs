//! Every cell of the policy, tried through both doors.

use std::collections::BTreeSet;

use priyo_tests::{Refused, Socket};
use serde_json::Value;

use super::{Action, Expected, Policy};
use crate::oracle::{Watch, bytes_of};
use crate::stage::{Actor, Stage};
use crate::world::{PNG, World};

/// The way something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Rest,
    Socket,
}

/// What came of a cell, as far as the policy is concerned.
#[derive(Debug)]
enum Outcome {
    Allowed(String),
    Refused(u16, String),
}

/// The actor of a column; none is nobody.
async fn actor(world: &World, stage: &Stage, key: &str) -> Option<Actor> {
    let person = match key {
        "nobody" => return None,
        "visitor" => return Some(Actor::visiting(stage).await),
        "customer" => &world.c3,
        "left" => &world.c2,
        "agent" => &world.ag2,
        "member" => &world.c1,
        "staff" => &world.ag1,
        "admin" => &world.adm,
        other => panic!("nobody is {other}"),
    };
    Some(Actor::new(world, person).await)
}

async fn stage(world: &World, action: &Action) -> Stage {
    let stage = Stage::set(world).await;
    if action.is_closed {
        stage.close(world).await;
    }
    stage
}

/// Does it over REST.
async fn by_rest(
    world: &World,
    stage: &Stage,
    watch: &Watch<'_>,
    action: &Action,
    actor: Option<&Actor>,
) -> Outcome {
    let (method, path) = action.rest.as_ref().unwrap();
    let path = stage.fill(path, world, actor);
    let answer = if action.uploads {
        let media = "multipart/form-data; boundary=b";
        let head = b"--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.png\"\r\n\r\n";
        watch.send(method, &path, Some(media), [head, PNG, b"\r\n--b--\r\n"].concat()).await
    } else {
        let body = action.body.as_ref().map(|body| stage.fill(body, world, actor));
        let media = body.as_ref().map(|_| "application/json");
        watch.send(method, &path, media, body.unwrap_or_default()).await
    };
    if answer.status < 300 {
        return Outcome::Allowed(String::from_utf8_lossy(&bytes_of(&answer)).into_owned());
    }
    let (status, code) = answer.refusal();
    Outcome::Refused(status, code)
}

/// Does it over a socket.
async fn by_socket(
    world: &World,
    stage: &Stage,
    action: &Action,
    actor: &Actor,
    socket: &mut Socket,
) -> Outcome {
    let (event, payload) = action.event.as_ref().unwrap();
    let payload: Value = serde_json::from_str(&stage.fill(payload, world, Some(actor))).unwrap();
    let answer = socket.ask(event, payload).await;
    if answer["ok"] == true {
        return Outcome::Allowed(answer.to_string());
    }
    let code = answer["error"]["code"].as_str().unwrap().to_owned();
    let status = Expected::Refused(code.clone()).status().unwrap();
    Outcome::Refused(status, code)
}

/// Tries one cell, and looks at what the actor heard and at what has changed.
async fn attempt(
    world: &World,
    stage: &Stage,
    door: Door,
    action: &Action,
    actor: Option<&Actor>,
) -> Outcome {
    let person = actor.map(|actor| &actor.person);
    let watch = Watch::begin(world, world.oracle(&stage.secrets, person), person).await;
    let (outcome, socket) = match (door, actor) {
        (Door::Rest, _) => (by_rest(world, stage, &watch, action, actor).await, None),
        (Door::Socket, None) => {
            // Nobody does not come as far as that.
            let refused = Socket::connect_with(world.server.addr, None).await.unwrap_err();
            assert_eq!(refused, Refused("Authentication token required".to_owned()));
            (Outcome::Refused(401, "unauthenticated".to_owned()), None)
        }
        (Door::Socket, Some(actor)) => {
            let mut socket = watch.socket().await;
            let outcome = by_socket(world, stage, action, actor, &mut socket).await;
            (outcome, Some(socket))
        }
    };
    if matches!(outcome, Outcome::Refused(..)) {
        watch.assert_unchanged().await;
    }
    if let Some(mut socket) = socket {
        // Whoever listens would hear it.
        if !action.is_closed {
            stage.goes_on(world).await;
        }
        watch.inspect_socket(&mut socket).await;
    }
    watch.ends_changed().await;
    outcome
}

/// Tries all cells of a row.
async fn row(world: &World, policy: &Policy, action: &Action, door: Door) {
    let shared = stage(world, action).await;
    for ((key, _), expected) in policy.actors.iter().zip(&action.cells) {
        // What is done changes what the next one finds.
        let own = if *expected == Expected::Yes { Some(stage(world, action).await) } else { None };
        let stage = own.as_ref().unwrap_or(&shared);
        let actor = actor(world, stage, key).await;
        let outcome = attempt(world, stage, door, action, actor.as_ref()).await;
        let shown = action.shows.as_ref().map(|shows| stage.fill(shows, world, actor.as_ref()));
        let shows = |text: &str| shown.as_ref().map(|shown| text.contains(shown.as_str()));
        let holds = match (&outcome, expected) {
            (Outcome::Allowed(text), Expected::Yes) => shows(text) != Some(false),
            (Outcome::Allowed(text), Expected::Hidden) => shows(text) == Some(false),
            (Outcome::Refused(status, code), Expected::Refused(wanted)) => {
                code == wanted && Some(*status) == expected.status()
            }
            _ => false,
        };
        assert!(holds, "{} by {key} through {door:?}: {expected:?}, but {outcome:?}", action.what);
    }
}

async fn every_row(door: Door) {
    let (world, policy) = (World::new().await, Policy::read());
    let mut tried = 0;
    for action in &policy.actions {
        let offered = match door {
            Door::Rest => action.rest.is_some(),
            Door::Socket => action.event.is_some(),
        };
        if offered {
            row(&world, &policy, action, door).await;
            tried += 1;
        }
    }
    assert!(tried >= 8, "{tried}");
}

#[tokio::test]
async fn every_cell_of_the_policy_holds_over_rest() {
    every_row(Door::Rest).await;
}

#[tokio::test]
async fn every_cell_of_the_policy_holds_over_sockets() {
    every_row(Door::Socket).await;
}

/// A path with whatever is in its braces left out.
fn without_names(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn the_policy_has_every_route_and_event_that_the_server_has() {
    let (world, policy) = (World::new().await, Policy::read());
    let mut offered = BTreeSet::new();
    let rest = world.server.wire.send("GET", "/api/openapi.json", &[], "".into()).await.expect(200).json();
    for (path, methods) in rest["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys().filter(|key| *key != "parameters") {
            offered.insert(format!("{} {}", method.to_uppercase(), without_names(path)));
        }
    }
    let sockets =
        world.server.wire.send("GET", "/api/asyncapi.json", &[], "".into()).await.expect(200).json();
    for (key, _) in sockets["channels"]["fromClient"]["messages"].as_object().unwrap() {
        // Its dots are the colons of the event.
        offered.insert(key.replace('.', ":"));
    }
    let rest = policy.actions.iter().filter_map(|action| action.rest.as_ref());
    let rest = rest.map(|(method, path)| format!("{method} {}", without_names(path)));
    let events =
        policy.actions.iter().filter_map(|action| action.event.as_ref().map(|(event, _)| event.clone()));
    let known: BTreeSet<String> = rest.chain(events).chain(policy.unguarded.iter().cloned()).collect();
    assert_eq!(known, offered);
}

//! Acknowledgements that are lost on their way, one after the other.

use std::sync::Arc;

use futures_util::future::join_all;
use priyo_tests::{
    Client, Ending, Link, Outgoing, PATIENCE, Person, Proxy, ServerProcess, Socket, Told, Treatment, Way,
    Wire,
};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::chance::{Dice, Evidence};
use crate::checker::{Violation, check};
use crate::history::{Door, History, Record};
use crate::recorded::{client, post, send};
use crate::stored::Stored;

/// Messages that are sent together, of which no acknowledgement arrives.
const TOGETHER: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_acknowledgement_is_lost_again_and_again_is_there_once() {
    let evidence = Evidence::new();
    let run = run(&evidence, 1_000, true).await;
    assert!(run.violations.is_empty(), "{:#?}", run.violations);
    assert_eq!((run.rows, run.acknowledged), (1_000, 1_000));
    // Each was stored when it was sent first, so what was acknowledged in the end was always a repeat.
    assert_eq!(run.duplicates, 1_000);
}

/// The control: the same messages without names.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_name_each_repeat_is_another_message() {
    let run = run(&Evidence::of(1), 100, false).await;
    assert!(run.rows >= 200, "{} rows of 100 messages that were sent twice", run.rows);
    let doubled = run.violations.iter().filter(|one| matches!(one, Violation::Doubled { .. })).count();
    assert_eq!((doubled, run.duplicates), (100, 0));
}

struct Run {
    violations: Vec<Violation>,
    rows: usize,
    acknowledged: usize,
    duplicates: u64,
}

/// Half of the messages are sent by one at a socket, half by others over REST.
async fn run(evidence: &Evidence, sends: usize, named: bool) -> Run {
    let mut dice = evidence.dice();
    let database = evidence.database();
    let server = ServerProcess::start(&database).await;
    let (watcher, at_socket) = (server.customer("watcher").await, server.customer("at-socket").await);
    let mut over_rest = Vec::new();
    for number in 0..TOGETHER {
        over_rest.push(server.customer(&format!("over-rest-{number}")).await);
    }
    let others: Vec<&Person> = over_rest.iter().chain([&at_socket]).collect();
    let conversation = watcher.starts_group_with(&others).await;
    let history = Arc::new(History::new(&evidence.history()));
    let mut ear = server.socket(&watcher).await;
    ear.must("conversation:join", conversation.as_str()).await;

    let proxy = Proxy::start(server.addr).await;
    let mut client = client(proxy.addr, &at_socket, &history);
    client.follow(&conversation);
    for group in 0..sends / 2 / TOGETHER {
        let messages = messages(&conversation, &format!("socket-{group}"), named);
        by_socket(&proxy, &mut client, messages, &mut ear, &mut dice).await;
    }

    let proxy = Proxy::start(server.addr).await;
    let mut duplicates = client.counted().duplicates;
    for group in 0..sends / 2 / TOGETHER {
        let messages = messages(&conversation, &format!("rest-{group}"), named);
        duplicates += by_rest(&proxy, &mut over_rest, &history, &messages, &mut dice).await;
    }
    let stored = Stored::read(&database).await;
    Run {
        violations: check(&history.records(), &stored),
        rows: stored.messages.len(),
        acknowledged: history.acknowledged(),
        duplicates,
    }
}

fn messages(conversation: &str, label: &str, named: bool) -> Vec<Outgoing> {
    let message = |number| {
        let content = format!("{label} {number}");
        let client_message_id = named.then(|| format!("{label}-{number}"));
        Outgoing { conversation: conversation.to_owned(), content, client_message_id }
    };
    (0..TOGETHER).map(message).collect()
}

/// Loses all acknowledgements once or twice. Each time the last message is a new one: when another hears it, the
/// server has handled all before it too.
async fn by_socket(
    proxy: &Proxy,
    client: &mut Client,
    mut messages: Vec<Outgoing>,
    ear: &mut Socket,
    dice: &mut Dice,
) {
    let mut losses = vec![messages.split_off(TOGETHER / 2)];
    if dice.coin() {
        losses.insert(0, messages);
    } else {
        losses[0].splice(0..0, messages);
    }
    for new in losses {
        while !client.connect().await {}
        proxy.treat(Way::ToClient, Treatment::SWALLOWED);
        let last = new.last().unwrap().content.clone();
        new.into_iter().for_each(|message| client.say(message));
        client.flush().await;
        while ear.next("message:new").await["content"] != last {}
        proxy.cut(Ending::Reset);
        client.hang_up();
        proxy.treat(Way::ToClient, Treatment::CLEAR);
    }
    client.until(PATIENCE, |client| client.unanswered() == 0).await;
}

/// Each sends one message. Loses all answers once or twice; gives how many were called repeats in the end.
async fn by_rest(
    proxy: &Proxy,
    people: &mut [Person],
    history: &History,
    messages: &[Outgoing],
    dice: &mut Dice,
) -> u64 {
    let sends: Vec<_> =
        people.iter().zip(messages).map(|(person, message)| send(&person.id, message)).collect();
    for _ in 0..dice.between(1, 3) {
        reconnect(people, proxy);
        proxy.treat(Way::ToClient, Treatment::SWALLOWED);
        sends.iter().for_each(|send| history.add(Record::Invoke(send.clone(), Door::Rest)));
        let asking = join_all(people.iter().zip(messages).map(|(person, message)| ask(person, message)));
        let cutting = async {
            answered(proxy, messages.len()).await;
            proxy.cut(Ending::Reset);
        };
        let (answers, ()) = tokio::join!(asking, cutting);
        assert!(answers.iter().all(Option::is_none), "{answers:?}");
        sends.iter().for_each(|send| history.add(Record::Unknown(send.clone(), Door::Rest)));
        proxy.treat(Way::ToClient, Treatment::CLEAR);
    }
    reconnect(people, proxy);
    let mut duplicates = 0;
    for ((person, message), send) in people.iter().zip(messages).zip(sends) {
        history.add(Record::Invoke(send.clone(), Door::Rest));
        let (status, answer) = ask(person, message).await.expect("an answer, with nothing in its way");
        assert!(status == 200 || status == 201, "{status}: {answer}");
        duplicates += u64::from(answer["duplicate"] == true);
        history.add(Record::Ok(send, Told::of(&answer["data"])));
    }
    duplicates
}

/// Gives people a way without connections: one that was cut may be kept until its client is told.
fn reconnect(people: &mut [Person], proxy: &Proxy) {
    let wire = Wire::http(&format!("http://{}", proxy.addr));
    people.iter_mut().for_each(|person| person.wire = wire.clone());
}

async fn ask(person: &Person, message: &Outgoing) -> Option<(u16, Value)> {
    post(person, "/api/messages", &message.payload()).await
}

/// Waits until the server has answered on so many connections.
async fn answered(proxy: &Proxy, count: usize) {
    let deadline = Instant::now() + PATIENCE;
    let has_answered = |link: &&Arc<Link>| link.swallowed(Way::ToClient) > 0;
    while proxy.links().iter().filter(has_answered).count() < count {
        assert!(Instant::now() < deadline, "the server does not answer");
        sleep(std::time::Duration::from_millis(1)).await;
    }
}

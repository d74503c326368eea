//! A network that cuts connections all the time: in the middle of a frame, in order or at once, and also between a
//! commit and its acknowledgement. Some of them are slow besides.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use priyo_tests::{
    Client, Ending, Fate, Fuse, Outgoing, PATIENCE, Person, Proxy, ServerProcess, Told, Treatment, Way, Wire,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::chance::{Dice, Evidence, rounds, seed};
use crate::checker::{Violation, check};
use crate::history::{Door, History, Record};
use crate::recorded::{client, post, send};
use crate::stored::Stored;

const AT_SOCKETS: usize = 8;
const OVER_REST: usize = 4;
const PEOPLE: usize = AT_SOCKETS + OVER_REST;
/// How long a whole run may take.
const IN_TIME: Duration = Duration::from_secs(100);

#[tokio::test(flavor = "multi_thread")]
async fn everybody_has_every_message_once_however_often_the_network_cuts() {
    let first = seed();
    for round in 0..rounds(1, 10) {
        let evidence = Evidence::of(first.wrapping_add(round));
        let plan = Plan { sends: 5_000, cuts: 200, named: true };
        let run = run(&evidence, plan).await;
        assert!(run.violations.is_empty(), "round {round}: {:#?}", run.violations);
        assert!(run.cuts >= plan.cuts, "only {} cuts", run.cuts);
        assert!(run.duplicates > 0, "no acknowledgement was lost on its way: the network is too kind");
        println!(
            "{} messages, {} cuts, {} acknowledged only at a repeat, in {:?}",
            run.rows, run.cuts, run.duplicates, run.took
        );
    }
}

/// The control: clients that do the same, but give their messages no names.
#[tokio::test(flavor = "multi_thread")]
async fn without_names_for_messages_the_same_network_doubles_them() {
    let run = run(&Evidence::of(1), Plan { sends: 1_000, cuts: 60, named: false }).await;
    let doubled = run.violations.iter().filter(|one| matches!(one, Violation::Doubled { .. })).count();
    assert!(doubled > 0, "nothing is doubled: the cuts prove nothing");
    println!("{doubled} of {} messages were doubled", run.rows);
}

#[derive(Debug, Clone, Copy)]
struct Plan {
    /// At least so many messages.
    sends: usize,
    /// At least so many cuts.
    cuts: u64,
    /// Whether clients give names to what they send.
    named: bool,
}

struct Run {
    violations: Vec<Violation>,
    rows: usize,
    cuts: u64,
    duplicates: u64,
    took: Duration,
}

async fn run(evidence: &Evidence, plan: Plan) -> Run {
    let mut dice = evidence.dice();
    let database = evidence.database();
    let server = ServerProcess::start(&database).await;
    let mut people = Vec::new();
    for number in 0..PEOPLE {
        people.push(server.customer(&format!("person-{number}")).await);
    }
    let conversation = people[0].starts_group_with(&people[1..].iter().collect::<Vec<_>>()).await;
    let history = Arc::new(History::new(&evidence.history()));
    let proxy = Proxy::start_with(server.addr, cuts(Dice::new(dice.next()), plan.cuts)).await;

    let begin = Instant::now();
    let each = plan.sends.div_ceil(PEOPLE);
    let (mut at_sockets, mut over_rest) = (JoinSet::new(), JoinSet::new());
    for (number, person) in people.iter().enumerate() {
        let messages = messages(&conversation, &person.name, each, plan.named);
        if number < AT_SOCKETS {
            at_sockets.spawn(talk(client(proxy.addr, person, &history), conversation.clone(), messages));
        } else {
            let wire = Wire::http(&format!("http://{}", proxy.addr));
            let person = Person { wire, ..person.clone() };
            over_rest.spawn(insist(person, history.clone(), messages));
        }
    }
    let mut clients = at_sockets.join_all().await;
    let duplicates: u64 = over_rest.join_all().await.into_iter().sum();
    let took = begin.elapsed();

    let rows = Stored::read(&database).await.messages.len();
    for client in &mut clients {
        client.until(PATIENCE, |client| client.view(&conversation).len() >= rows).await;
        let counted = client.counted();
        assert_eq!((counted.holes, counted.repeats), (0, 0), "{client:?}");
        let (receiver, messages) = (client.person().id.clone(), client.view(&conversation).into());
        history.add(Record::View {
            receiver,
            conversation: conversation.clone(),
            door: Door::Socket,
            messages,
        });
    }
    Run {
        violations: check(&history.records(), &Stored::read(&database).await),
        rows,
        cuts: proxy.blown(),
        duplicates: duplicates + clients.iter().map(|client| client.counted().duplicates).sum::<u64>(),
        took,
    }
}

/// Each connection is in for a cut, as long as there are any left; and for one more each, since at the end one may
/// wait for a cut that does not come.
fn cuts(mut dice: Dice, cuts: u64) -> impl FnMut(u64) -> Fate {
    let left = AtomicU64::new(cuts + PEOPLE as u64);
    move |_| {
        let one_less = |left: u64| left.checked_sub(1);
        if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_err() {
            return Fate::default();
        }
        let (way, bytes) = match dice.coin() {
            true => (Way::ToServer, dice.between(200, 6_000)),
            false => (Way::ToClient, dice.between(200, 60_000)),
        };
        let deaf_for = Duration::from_millis(if dice.coin() { dice.between(5, 40) } else { 0 });
        let ending = if dice.coin() { Ending::Fin } else { Ending::Reset };
        let fuse = Some(Fuse { way, bytes, deaf_for, ending });
        Fate { to_server: weather(&mut dice), to_client: weather(&mut dice), fuse }
    }
}

/// Mostly fair.
fn weather(dice: &mut Dice) -> Treatment {
    match dice.between(0, 8) {
        0 => Treatment::delayed(Duration::from_millis(dice.between(1, 15))),
        1 => Treatment::throttled(500_000),
        _ => Treatment::CLEAR,
    }
}

fn messages(conversation: &str, who: &str, count: usize, named: bool) -> Vec<Outgoing> {
    let message = |number| {
        let content = format!("{who} says {number}");
        let client_message_id = named.then(|| format!("{who}-{number}"));
        Outgoing { conversation: conversation.to_owned(), content, client_message_id }
    };
    (0..count).map(message).collect()
}

/// Sends everything, and listens meanwhile.
async fn talk(mut client: Client, conversation: String, messages: Vec<Outgoing>) -> Client {
    client.follow(&conversation);
    messages.into_iter().for_each(|message| client.say(message));
    client.until(IN_TIME, |client| client.unanswered() == 0).await;
    client
}

/// Sends one after the other over REST, each until it is acknowledged; gives how many were repeats then.
async fn insist(person: Person, history: Arc<History>, messages: Vec<Outgoing>) -> u64 {
    let mut duplicates = 0;
    for message in messages {
        let send = send(&person.id, &message);
        loop {
            history.add(Record::Invoke(send.clone(), Door::Rest));
            match post(&person, "/api/messages", &message.payload()).await {
                Some((200 | 201, answer)) => {
                    duplicates += u64::from(answer["duplicate"] == true);
                    history.add(Record::Ok(send, Told::of(&answer["data"])));
                    break;
                }
                Some((status, answer)) => panic!("{status}: {answer}"),
                None => history.add(Record::Unknown(send.clone(), Door::Rest)),
            }
            // Nothing tells when the server can be reached again.
            sleep(Duration::from_millis(2)).await;
        }
    }
    duplicates
}

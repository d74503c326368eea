//! Thousands of sockets, some of which have stopped reading.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use priyo_tests::{Came, Database, PATIENCE, Person, ServerProcess, Socket, may_open, resident_bytes};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};

use crate::chance::is_long;
use crate::held::Held;
use crate::measures::Times;
use crate::stalled::stall;

/// How many sockets, and what is said to them.
#[derive(Debug, Clone, Copy)]
struct Size {
    /// Sockets that read, one a person.
    healthy: usize,
    /// Sockets that do not, second ones of those in the large room.
    stalled: usize,
    /// For how long messages are sent.
    time: Duration,
    /// How many a second to the large room, which are large.
    large: u32,
    /// How many a second to one of the small rooms.
    small: u32,
}

const ROOM: usize = 10;
const LARGE_ROOM: usize = 100;
/// 16 kB in the fewest code points.
const LARGE: usize = 4_000;
/// Connections made at once.
const AT_ONCE: usize = 100;

/// How long a socket that does not read may last.
const EVICTED_WITHIN: Duration = Duration::from_secs(30);
/// What a socket may cost, and what the program may need besides.
const SOCKET_BYTES: u64 = 30_000;
const PROGRAM_BYTES: u64 = 100 << 20;

/// The rooms, by the number of a person: the small one, and whether also the large one.
struct Rooms {
    small: Vec<String>,
    large: String,
}

/// Takes what comes until it is told to stop; gives how late it was. Each room's messages must come without a hole.
async fn listen(
    mut socket: Socket,
    begin: Instant,
    heard: Arc<AtomicUsize>,
    mut stop: watch::Receiver<bool>,
) -> Times {
    let (mut times, mut last) = (Times::default(), HashMap::new());
    loop {
        let came = tokio::select! {
            came = socket.came_by(Instant::now() + PATIENCE) => came,
            _ = stop.wait_for(|stop| *stop) => return times,
        };
        match came {
            Some(Came::Event(name, message)) if name == "message:new" => {
                let room = message["conversationId"].as_str().unwrap().to_owned();
                let seq = message["seq"].as_u64().unwrap();
                let before = last.insert(room, seq).unwrap_or(0);
                assert_eq!(seq, before + 1, "{message:.80}");
                times.note(begin.elapsed().saturating_sub(sent_at(&message)));
                heard.fetch_add(1, Ordering::Relaxed);
            }
            Some(Came::End) => panic!("a client that reads was hung up on"),
            _ => {}
        }
    }
}

/// When a message was sent: it begins with that.
fn sent_at(message: &Value) -> Duration {
    let micros = message["content"].as_str().unwrap().split(' ').next().unwrap();
    Duration::from_micros(micros.parse().unwrap())
}

/// Connects everybody, some at once.
async fn connect(server: &ServerProcess, people: &[Person], rooms: &Rooms) -> Vec<Socket> {
    let mut sockets = Vec::new();
    let numbers: Vec<usize> = (0..people.len()).collect();
    for some in numbers.chunks(AT_ONCE) {
        let connecting = some.iter().map(async |number| {
            let mut socket = server.socket(&people[*number]).await;
            socket.must("conversation:join", rooms.small[*number / ROOM].as_str()).await;
            if *number < LARGE_ROOM {
                socket.must("conversation:join", rooms.large.as_str()).await;
            }
            socket
        });
        sockets.extend(join_all(connecting).await);
    }
    sockets
}

/// Sends at the pace that is asked for; gives how often a socket that reads must have heard something.
async fn talk(people: &[Person], rooms: &Rooms, size: Size, begin: Instant) -> usize {
    let mut expected = 0;
    let mut sending = JoinSet::new();
    let each_second = size.large + size.small;
    let mut tick = interval(Duration::from_secs(1) / each_second);
    let rounds = u32::try_from(size.time.as_secs()).unwrap() * each_second;
    for number in 0..rounds {
        tick.tick().await;
        let (person, room, padding) = if number % each_second < size.large {
            expected += LARGE_ROOM;
            (&people[number as usize % LARGE_ROOM], rooms.large.clone(), LARGE - 20)
        } else {
            expected += ROOM;
            // Spread over all of them.
            let at = number as usize * 7_919 % rooms.small.len();
            (&people[at * ROOM], rooms.small[at].clone(), 1)
        };
        let person = person.clone();
        sending.spawn(async move {
            let content = format!("{} {}", begin.elapsed().as_micros(), "\u{1d11e}".repeat(padding));
            let message = json!({"conversationId": room, "content": content});
            person.post("/api/messages", message).await.expect(201);
        });
    }
    sending.join_all().await;
    expected
}

/// Waits until the server counts no more sockets than this; says when.
async fn counts_at_most(server: &ServerProcess, sockets: usize, begin: Instant) -> Duration {
    let most = f64::from(u32::try_from(sockets).unwrap());
    while server.measured("priyo_sockets").await > most {
        assert!(begin.elapsed() < EVICTED_WITHIN, "sockets that do not read are still there");
        sleep(Duration::from_millis(100)).await;
    }
    begin.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_is_served_in_order_and_those_who_do_not_read_are_gone() {
    let seconds = Duration::from_secs;
    let size = if is_long() {
        Size { healthy: 9_900, stalled: 100, time: seconds(60), large: 20, small: 30 }
    } else {
        Size { healthy: 500, stalled: 5, time: seconds(6), large: 60, small: 40 }
    };
    assert!(may_open(12_000), "this process may not open enough files");
    let server = ServerProcess::start(&Database::new()).await;
    let mut people = server.customers("person", size.healthy).await;
    server.rewire(&mut people);
    let started = people
        .chunks(ROOM)
        .map(async |some| some[0].starts_group_with(&some[1..].iter().collect::<Vec<_>>()).await);
    let small = join_all(started).await;
    let others: Vec<&Person> = people[1..LARGE_ROOM].iter().collect();
    let rooms = Rooms { small, large: people[0].starts_group_with(&others).await };
    server.rewire(&mut people);
    let base = Held::at_rest(&server).await;

    let connecting = Instant::now();
    let mut stalled = Vec::new();
    for person in &people[..size.stalled] {
        stalled.push(stall(server.addr, person, &rooms.large).await);
    }
    let sockets = connect(&server, &people, &rooms).await;
    println!("{} sockets connected in {:.1?}", size.healthy + size.stalled, connecting.elapsed());
    let (begin, heard, (stop, stopped)) = (Instant::now(), Arc::default(), watch::channel(false));
    let mut listening = JoinSet::new();
    for socket in sockets {
        listening.spawn(listen(socket, begin, Arc::clone(&heard), stopped.clone()));
    }
    let (expected, evicted) =
        tokio::join!(talk(&people, &rooms, size, begin), counts_at_most(&server, size.healthy, begin),);
    let all_heard = async {
        while heard.load(Ordering::Relaxed) < expected {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, all_heard).await.expect("everybody hears everything");
    let resident = resident_bytes(server.pid());
    stop.send(true).unwrap();
    let mut times = Times::default();
    times.extend(listening.join_all().await);

    let sockets = (size.healthy + size.stalled) as u64;
    println!("{} messages came after {times}; the stalled were gone after {evicted:.1?}", times.count());
    println!("{} MB resident, {} kB a socket in all", resident >> 20, resident / sockets / 1_000);
    assert_eq!(times.count(), expected, "nobody hears anything twice");
    assert!(resident <= sockets * SOCKET_BYTES + PROGRAM_BYTES, "{resident}");
    // The control: those that were evicted are those that did not read. While there is no room for what comes, a
    // reset may be overlooked; whoever goes on is told again.
    let ended = join_all(stalled.iter_mut().map(|one| one.ends_by(Instant::now() + PATIENCE))).await;
    assert!(ended.into_iter().all(|has_ended| has_ended));
    drop((stalled, people));
    base.is_let_go(&server, PATIENCE).await;
}

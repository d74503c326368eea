//! More connections than there is room for.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use priyo_tests::{Database, PATIENCE, Person, ServerProcess, may_open, open_files};
use serde_json::json;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep};

use crate::chance::is_long;

/// The most connections of one address, and the descriptors that the server keeps for files of its own.
const PER_ADDRESS: usize = 200;
const RESERVE: usize = 128;
/// How soon after a flood everybody must be served again.
const BACK_WITHIN: Duration = Duration::from_secs(2);

/// So many connections from each of some addresses of this machine. Those that the server closes stay in the list.
async fn flood(addr: SocketAddr, addresses: u8, each: usize) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for address in 1..=addresses {
        let from = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 7, address)), 0);
        for _ in 0..each {
            let socket = TcpSocket::new_v4().unwrap();
            // Without it a flood soon runs out of ports that it may use again.
            socket.set_reuseaddr(true).unwrap();
            socket.bind(from).unwrap();
            // One over a cap may be reset before it is told that it was accepted.
            streams.extend(socket.connect(addr).await.ok());
        }
    }
    streams
}

/// How many descriptors the server has open once it has dealt with what came: no more for a while.
async fn settled(server: &ServerProcess) -> usize {
    let (mut files, mut since) = (open_files(server.pid()), Instant::now());
    while since.elapsed() < Duration::from_millis(300) {
        // Nothing tells of it: it can only be looked at.
        sleep(Duration::from_millis(10)).await;
        let now = open_files(server.pid());
        if now != files {
            (files, since) = (now, Instant::now());
        }
    }
    files
}

/// How long until the server answers somebody who comes anew.
async fn served_after(server: &ServerProcess) -> Duration {
    let begin = Instant::now();
    loop {
        // A client of its own, whose connection is new.
        let wire = priyo_tests::Wire::http(&format!("http://{}", server.addr));
        if wire.try_send("GET", "/health", &[], "".into()).await.is_ok_and(|answer| answer.status == 200) {
            return begin.elapsed();
        }
        assert!(begin.elapsed() < PATIENCE, "nobody is served any more");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Whether somebody who is connected already can send and upload.
async fn works(person: &Person, group: &str) -> (u16, u16) {
    let sent = person.post("/api/messages", json!({"conversationId": group, "content": "hello"})).await;
    (sent.status, person.uploads("note.txt", b"a few words").await.status)
}

#[tokio::test]
async fn a_flood_of_connections_takes_only_so_many_places_and_leaves_no_trace() {
    // As the program is shipped, and where it may open few files.
    let (files, addresses) = if is_long() { (16_000, 60) } else { (1_000, 6) };
    assert!(may_open(20_000), "this process may not open enough files");
    let database = Database::new();
    let server = ServerProcess::start_limited(&database, &[("RATE_LIMITS", "on")], files).await;
    let total = (files as usize - RESERVE).min(10_000);
    let alice = server.customer("alice").await;
    let group = alice.starts_group_with(&[]).await;
    let base = settled(&server).await;

    // From one address: the others do not notice.
    let streams = flood(server.addr, 1, PER_ADDRESS * 2).await;
    assert_eq!(settled(&server).await - base, PER_ADDRESS);
    assert!(served_after(&server).await < BACK_WITHIN);
    drop(streams);

    // From many: nobody comes in any more, but who is there is served, from files of the server's own too.
    assert_eq!(works(&alice, &group).await, (201, 200));
    let streams = flood(server.addr, addresses, PER_ADDRESS).await;
    let held = settled(&server).await;
    println!("{} connects, {} of {total} places taken", streams.len(), held - base);
    assert!((total - 20..=total).contains(&(held - base + 1)), "{held} files, {base} before");
    assert_eq!(works(&alice, &group).await, (201, 200));
    drop(streams);

    let back = served_after(&server).await;
    println!("served {back:?} after it");
    assert!(back < BACK_WITHIN);
    assert!(settled(&server).await <= base + 5);
}

#[tokio::test]
async fn the_accept_loop_lives_through_want_of_descriptors() {
    const FILES: u32 = 256;
    let server = ServerProcess::start_limited(&Database::new(), &[], FILES).await;
    let alice = server.customer("alice").await;
    let group = alice.starts_group_with(&[]).await;
    let base = settled(&server).await;
    assert_eq!(works(&alice, &group).await, (201, 200));

    // The control of the cap above: without it the connections take every descriptor, and nothing is left for files.
    let streams = flood(server.addr, 2, FILES as usize).await;
    assert_eq!(settled(&server).await, FILES as usize);
    assert_eq!(works(&alice, &group).await, (201, 503));
    drop(streams);

    let back = served_after(&server).await;
    println!("served {back:?} after it");
    assert!(back < BACK_WITHIN);
    assert_eq!(works(&alice, &group).await, (201, 200));
    assert!(settled(&server).await <= base + 5);
}

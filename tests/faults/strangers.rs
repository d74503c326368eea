//! Strangers who open sockets and never say who they are.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::body::Bytes;
use futures_util::future::join_all;
use priyo_core::Limits;
use priyo_server::listen::Listen;
use priyo_tests::{Database, Mounted, Polling, Refused, Served, ServerProcess, Socket, Wire, resident_bytes};
use tokio::time::{Instant, sleep};

const OPEN: &str = "/socket.io/?EIO=4&transport=polling";

/// As the program does, so many proxies trusted.
fn guarded(trusted_proxies: u8) -> Served {
    let mut listen = Listen::default();
    listen.trusted_proxies = trusted_proxies;
    Served::Guarded(listen)
}

fn limits(unknown_sockets: usize, per_address: usize) -> Limits {
    let mut limits = Limits::default();
    (limits.unknown_sockets, limits.unknown_sockets_per_address) = (unknown_sockets, per_address);
    limits
}

/// Requests that come from an address of this machine.
fn wire_from(address: &str, to: SocketAddr) -> Wire {
    let client = reqwest::Client::builder().no_proxy().local_address(address.parse::<IpAddr>().unwrap());
    Wire::Http(client.build().unwrap(), format!("http://{to}"))
}

/// Opens sessions one after the other; gives how many were opened, and the answer to the first that was not.
async fn open(wire: &Wire, forwarded_for: &str, tries: usize) -> (usize, Option<String>) {
    let headers: &[(&str, &str)] =
        if forwarded_for.is_empty() { &[] } else { &[("x-forwarded-for", forwarded_for)] };
    for opened in 0..tries {
        let answer = wire.send("GET", OPEN, headers, Bytes::new()).await;
        if answer.status != 200 {
            return (opened, Some(answer.code()));
        }
    }
    (tries, None)
}

#[tokio::test]
async fn strangers_hold_only_so_many_sockets_and_for_so_long() {
    let mut limits = limits(10, usize::MAX);
    limits.connect_timeout = Duration::from_secs(2);
    let site = Mounted::start(guarded(0), limits).await;
    let wire = Wire::http(&format!("http://{}", site.addr));
    let alice = site.customer("alice").await;

    // Who has said who they are takes no place from strangers.
    let mut known = Vec::new();
    for _ in 0..3 {
        known.push(Polling::connect(wire.clone(), &alice.token).await);
    }
    let mut answers = Vec::new();
    for _ in 0..30 {
        answers.push(wire.send("GET", OPEN, &[], Bytes::new()).await.status);
    }
    assert_eq!(answers, [vec![200; 10], vec![503; 20]].concat());

    // Their time runs out, whatever they do, and then others may come.
    loop {
        let answer = wire.send("GET", OPEN, &[], Bytes::new()).await;
        if answer.status == 200 {
            break;
        }
        assert_eq!(answer.code(), "overloaded");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_strangers_of_one_address_leave_places_for_those_of_others() {
    let refused = Some("overloaded".to_owned());
    let site = Mounted::start(guarded(0), limits(100, 5)).await;
    let (greedy, other) = (wire_from("127.0.0.2", site.addr), wire_from("127.0.0.3", site.addr));
    // What it says of itself makes no difference.
    assert_eq!(open(&greedy, "192.0.2.1", 30).await, (5, refused.clone()));
    assert_eq!(open(&greedy, "192.0.2.2", 30).await, (0, refused.clone()));
    assert_eq!(open(&other, "", 3).await, (3, None));
    // And those who say who they are come in all the same.
    let alice = site.customer("alice").await;
    site.socket(&alice).await;
    drop(site);

    // Behind a proxy, what the proxy says of them does.
    let site = Mounted::start(guarded(1), limits(12, 5)).await;
    let proxy = wire_from("127.0.0.2", site.addr);
    assert_eq!(open(&proxy, "203.0.113.9, 192.0.2.1", 30).await, (5, refused.clone()));
    assert_eq!(open(&proxy, "203.0.113.7, 192.0.2.1", 30).await, (0, refused.clone()));
    assert_eq!(open(&proxy, "192.0.2.2", 3).await, (3, None));
    // Of whom it says nothing, only all together are bounded.
    assert_eq!(open(&proxy, "", 30).await, (4, refused.clone()));
    drop(site);

    // The control: without an accept loop that knows the peer, one takes every place.
    let site = Mounted::start(Served::Plainly, limits(12, 5)).await;
    let (greedy, other) = (wire_from("127.0.0.2", site.addr), wire_from("127.0.0.3", site.addr));
    assert_eq!(open(&greedy, "", 30).await, (12, refused.clone()));
    assert_eq!(open(&other, "", 3).await, (0, refused));
}

#[tokio::test]
async fn one_address_and_one_user_have_only_so_many_sockets() {
    let too_many = || Refused("Too many connections".to_owned());
    let mut limits = Limits::default();
    (limits.sockets_per_user, limits.sockets_per_address) = (3, 5);
    let site = Mounted::start(guarded(0), limits.clone()).await;
    let (alice, bob) = (site.customer("alice").await, site.customer("bob").await);
    let mut sockets = Vec::new();
    for person in [&alice, &alice, &alice, &bob, &bob] {
        sockets.push(site.socket(person).await);
    }
    assert_eq!(Socket::connect(site.addr, &alice.token).await.unwrap_err(), too_many(), "a user's fourth");
    assert_eq!(Socket::connect(site.addr, &bob.token).await.unwrap_err(), too_many(), "an address's sixth");
    // A place is free again as soon as the server knows that a connection has ended, which nothing tells.
    drop(sockets.pop());
    let deadline = Instant::now() + Duration::from_secs(5);
    let again = loop {
        match Socket::connect(site.addr, &bob.token).await {
            Ok(socket) => break socket,
            Err(refused) => assert_eq!((refused, Instant::now() < deadline), (too_many(), true)),
        }
    };
    drop((again, sockets, site));

    // The control: where no address is known, only a user's own are counted.
    let site = Mounted::start(Served::Plainly, limits).await;
    let (alice, bob) = (site.customer("alice").await, site.customer("bob").await);
    let mut sockets = Vec::new();
    for person in [&alice, &alice, &alice, &bob, &bob, &bob] {
        sockets.push(site.socket(person).await);
    }
    assert_eq!(Socket::connect(site.addr, &bob.token).await.unwrap_err(), too_many());
}

/// Opens so many sessions, some at once; gives how many were opened.
async fn storm(addr: SocketAddr, handshakes: usize) -> usize {
    const LANES: usize = 16;
    let wire = Wire::http(&format!("http://{addr}"));
    let lanes = join_all((0..LANES).map(async |lane| {
        let mut opened = 0;
        for _ in (lane..handshakes).step_by(LANES) {
            let answer = wire.send("GET", OPEN, &[], Bytes::new()).await;
            opened += usize::from(answer.status == 200);
            assert!([200, 503].contains(&answer.status), "{answer:?}");
        }
        opened
    }));
    lanes.await.into_iter().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_handshakes_costs_little_and_is_over_soon() {
    let handshakes = 20_000;
    let places = Limits::default().unknown_sockets;
    // Without the bound for each address, which would hold them to twenty.
    let server =
        ServerProcess::start_with(&Database::new(), &[("UNKNOWN_SOCKETS", &places.to_string())]).await;
    let before = resident_bytes(server.pid());

    let begin = Instant::now();
    let opened = storm(server.addr, handshakes).await;
    let took = begin.elapsed();
    let grew = resident_bytes(server.pid()).saturating_sub(before);
    println!("{opened} of {handshakes} opened in {took:?}, {} MB more", grew / 1_000_000);
    // Those whose time ran out meanwhile made room.
    let timeout = Limits::default().connect_timeout;
    let generations = usize::try_from(took.as_secs() / timeout.as_secs()).unwrap() + 1;
    assert!((places..=places * generations).contains(&opened), "{opened}");
    assert!(grew <= 64 << 20, "{grew}");

    let over = Instant::now();
    while server.measured("priyo_sockets_unknown").await > 0.0 {
        assert!(over.elapsed() < Duration::from_secs(15), "they are still there");
        sleep(Duration::from_millis(100)).await;
    }
    println!("the last one was gone {:?} later", over.elapsed());
    drop(server);

    // The control: the same without a bound, in this process.
    let site = Mounted::start(guarded(0), limits(usize::MAX, usize::MAX)).await;
    let before = resident_bytes(std::process::id());
    assert_eq!(storm(site.addr, handshakes).await, handshakes);
    let grew = resident_bytes(std::process::id()).saturating_sub(before);
    println!("without a bound: {handshakes} opened, {} MB more", grew / 1_000_000);
    assert!(grew / handshakes as u64 > 5_000, "{grew}");
}

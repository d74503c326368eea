//! Ending connections, and the server.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::{GRACE, PATIENCE, client, patient, rest, serve, stalled, until_gone, wait_until};

#[tokio::test]
async fn ending_a_connection_closes_it_at_once_whatever_it_is_doing() {
    for path in ["/large", "/never", "/flood", "/flood?hold"] {
        let server = serve(patient()).await;
        let mut stream = if path == "/never" {
            client(server.address, "GET /never HTTP/1.1\r\nHost: x\r\n\r\n").await
        } else {
            stalled(server.address, path).await
        };
        wait_until(|| server.asked.load(Ordering::SeqCst) == 1).await;
        let connection = server.connections.list().remove(0);
        if path != "/never" {
            wait_until(|| connection.write_blocked_for() > Duration::ZERO).await;
        }

        connection.end();

        let took = until_gone(&server).await;
        assert!(took < Duration::from_secs(1), "{path}: {took:?}");
        rest(&mut stream).await;
    }
}

#[tokio::test]
async fn closing_a_connection_lets_both_sides_see_the_end_of_it() {
    let server = serve(patient()).await;
    let upgrade = "GET /talk HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: talk\r\n\r\n";
    let mut stream = client(server.address, upgrade).await;
    let mut heard = String::new();
    while !heard.ends_with("hello") {
        heard.push(char::from(stream.read_u8().await.unwrap()));
    }

    server.connections.list().remove(0).close();

    let mut rest = String::new();
    // Not a reset, which would be an error.
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut rest)).await.unwrap().unwrap();
    assert_eq!(rest, "goodbye");
    until_gone(&server).await;

    // One that is between two requests.
    let mut idle = client(server.address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    wait_until(|| server.asked.load(Ordering::SeqCst) == 2).await;
    server.connections.list().remove(0).close();
    rest.clear();
    tokio::time::timeout(PATIENCE, idle.read_to_string(&mut rest)).await.unwrap().unwrap();
    assert!(rest.ends_with("here"));
    until_gone(&server).await;
}

#[tokio::test]
async fn closing_a_connection_whose_peer_reads_nothing_leaves_it_to_be_ended() {
    let server = serve(patient()).await;
    let mut stream = stalled(server.address, "/flood?hold").await;
    let connection = server.connections.list().remove(0);
    wait_until(|| connection.write_blocked_for() > Duration::ZERO).await;

    connection.close();
    assert!(tokio::time::timeout(Duration::from_millis(200), connection.ended()).await.is_err());
    connection.end();

    let took = until_gone(&server).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    rest(&mut stream).await;
}

#[tokio::test]
async fn shutdown_lets_requests_finish_and_refuses_new_connections() {
    let server = serve(patient()).await;
    let mut idle = client(server.address, "").await;
    let mut waiting = client(server.address, "GET /waits HTTP/1.1\r\nHost: x\r\n\r\n").await;
    wait_until(|| server.asked.load(Ordering::SeqCst) == 1 && server.connections.len() == 2).await;

    server.stop.cancel();

    assert_eq!(rest(&mut idle).await, "");
    assert!(TcpStream::connect(server.address).await.is_err());
    server.go.cancel();
    assert!(rest(&mut waiting).await.ends_with("done"));
    drop((idle, waiting));
    tokio::time::timeout(GRACE, server.running).await.unwrap().unwrap();
}

#[tokio::test]
async fn shutdown_with_stalled_clients_is_over_by_the_deadline() {
    let server = serve(patient()).await;
    let _stalled = stalled(server.address, "/large").await;
    let _upgraded = stalled(server.address, "/flood?hold").await;
    let start = Instant::now();

    server.stop.cancel();

    tokio::time::timeout(PATIENCE, server.running).await.unwrap().unwrap();
    let took = start.elapsed();
    assert!((GRACE..GRACE + Duration::from_secs(1)).contains(&took), "{took:?}");
    assert!(server.connections.is_empty());
}

#[tokio::test]
async fn giving_up_the_server_ends_its_connections() {
    let server = serve(patient()).await;
    let mut waiting = client(server.address, "GET /never HTTP/1.1\r\nHost: x\r\n\r\n").await;
    wait_until(|| server.asked.load(Ordering::SeqCst) == 1).await;
    server.running.abort();
    rest(&mut waiting).await;
    until_gone(&server).await;
}

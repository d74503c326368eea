//! Clients that send or read too slowly.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    LARGE, PATIENCE, app, client, dribble, is_served, patient, rest, serve, short, sip, stalled, until_gone,
    wait_until,
};

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    const HEAD: &[u8] = b"X-Slow: yes\r\n";
    let server = serve(short()).await;
    let took = dribble(client(server.address, "GET / HTTP/1.1\r\n").await, HEAD, PATIENCE).await.unwrap();
    assert!((Duration::from_millis(500)..Duration::from_secs(2)).contains(&took), "{took:?}");
    until_gone(&server).await;

    // Control: a stock server still listens after the same time.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stock = listener.local_addr().unwrap();
    let app = app(Arc::default(), CancellationToken::new());
    tokio::spawn(axum::serve(listener, app).into_future());
    let took = dribble(client(stock, "GET / HTTP/1.1\r\n").await, HEAD, Duration::from_secs(2)).await;
    assert_eq!(took, None);
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let server = serve(short()).await;
    let mut silent = client(server.address, "").await;
    assert_eq!(rest(&mut silent).await, "");

    // After a request it may be silent for longer, and then it is closed in order.
    let mut idle = client(server.address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let start = Instant::now();
    let mut bytes = Vec::new();
    idle.read_to_end(&mut bytes).await.unwrap();
    assert!(String::from_utf8(bytes).unwrap().ends_with("here"));
    assert!(start.elapsed() > Duration::from_millis(1400), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_body_that_does_not_come_in_time_is_given_up() {
    let server = serve(short()).await;
    let mut stream =
        client(server.address, "POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 90\r\n\r\n").await;
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.ends_with("the request body did not arrive within 600 ms"), "{answer}");

    let head = "POST /length HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let dribbling = dribble(client(server.address, head).await, b"1\r\nx\r\n", PATIENCE).await.unwrap();
    assert!(dribbling < Duration::from_secs(4), "{dribbling:?}");
    assert!(is_served(server.address).await);
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_dropped_and_its_neighbour_is_served() {
    let server = serve(short()).await;
    let _stalled = stalled(server.address, "/large").await;
    assert!(is_served(server.address).await);
    let took = until_gone(&server).await;
    assert!(took < Duration::from_secs(3), "{took:?}");

    // Control: with a long stall time it stays, and its connection says so.
    let server = serve(patient()).await;
    let _stalled = stalled(server.address, "/large").await;
    let connection = server.connections.list().remove(0);
    wait_until(|| connection.write_blocked_for() > Duration::from_millis(1500)).await;
    assert_eq!(server.connections.len(), 1);
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_all_of_it() {
    let server = serve(short()).await;
    let mut stream =
        client(server.address, "GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    let (mut chunk, mut total) = (vec![0; 4 << 20], 0);
    loop {
        match stream.read(&mut chunk).await.unwrap() {
            0 => break,
            length => total += length,
        }
        // Slow, but never as slow as the stall time.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(total > LARGE, "{total}");
}

#[tokio::test]
async fn a_client_that_never_takes_enough_is_dropped_though_it_never_takes_nothing() {
    for path in ["/large", "/flood"] {
        let mut settings = patient();
        (settings.min_rate, settings.rate_window) = (64 << 20, Duration::from_secs(2));
        let server = serve(settings.clone()).await;
        let took = sip(server.address, path, PATIENCE).await.expect("it is dropped");
        assert!((Duration::from_secs(1)..Duration::from_secs(6)).contains(&took), "{path}: {took:?}");
        until_gone(&server).await;

        // Control: what it takes is never nothing, so it stays when little is enough.
        (settings.min_rate, settings.stall_timeout) = (1_024, Duration::from_secs(3));
        let server = serve(settings).await;
        assert_eq!(sip(server.address, path, Duration::from_secs(6)).await, None, "{path}");
    }
}

#[tokio::test]
async fn a_stalled_client_is_dropped_after_an_upgrade_too() {
    for path in ["/flood", "/flood?hold"] {
        let server = serve(short()).await;
        let _stalled = stalled(server.address, path).await;
        assert!(is_served(server.address).await);
        let took = until_gone(&server).await;
        assert!(took < Duration::from_secs(3), "{path}: {took:?}");
    }

    let server = serve(patient()).await;
    let _stalled = stalled(server.address, "/flood").await;
    let connection = server.connections.list().remove(0);
    wait_until(|| connection.write_blocked_for() > Duration::from_millis(1500)).await;
    assert_eq!(server.connections.len(), 1);
}

#[tokio::test]
async fn a_write_that_was_given_up_does_not_count_against_a_client_that_reads_again() {
    let server = serve(short()).await;
    let mut stream = stalled(server.address, "/give-up").await;
    let connection = server.connections.list().remove(0);
    wait_until(|| connection.write_blocked_for() > Duration::from_millis(150)).await;
    let mut chunk = vec![0; 1 << 20];
    // All that is there, and then longer than the stall time.
    while tokio::time::timeout(Duration::from_millis(1500), stream.read(&mut chunk))
        .await
        .is_ok_and(|read| read.unwrap() > 0)
    {}
    stream.write_all(b"?").await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'!');
}

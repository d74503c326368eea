//! Requests that are malformed, ambiguous or too large.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;

use crate::{ask, client, patient, rest, serve};

#[tokio::test]
async fn what_could_be_read_as_two_requests_is_refused_and_the_second_does_not_run() {
    let crooked = [
        "POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /length HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        "POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 9\r\n\r\nbody",
        "POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nbody",
        "POST /length HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST /length HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST /length HTTP/1.1\r\nHost: x\r\nX: y\r\n folded\r\nContent-Length: 0\r\n\r\n",
        "POST /length HTTP/1.1\nHost: x\nContent-Length: 0\n\n",
    ];
    for request in crooked {
        let server = serve(patient()).await;
        let answer = ask(server.address, &format!("{request}GET / HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{request:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{request:?}: {answer}");
        assert_eq!(server.asked.load(Ordering::SeqCst), 0, "{request:?}");
    }

    // Control: the same without the ambiguity. A chunked request is the last of its connection.
    let server = serve(patient()).await;
    let chunked =
        "POST /length HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
    let answer = ask(server.address, &format!("{chunked}GET / HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n4"), "{answer}");
    assert_eq!(server.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn bombs_in_the_head_are_refused_quickly() {
    let many = "X: y\r\n".repeat(200);
    let wide = format!("X: {}\r\n", "y".repeat(8 << 10)).repeat(200);
    let bombs = [
        (format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(9 << 10)), "HTTP/1.1 414"),
        (format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(1 << 20)), "HTTP/1.1 431"),
        (format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n"), "HTTP/1.1 431"),
        (format!("GET / HTTP/1.1\r\nHost: x\r\n{wide}\r\n"), "HTTP/1.1 431"),
    ];
    let server = serve(patient()).await;
    for (bomb, expected) in bombs {
        // The shortest of some: what makes another one longer is the machine.
        let mut took = Duration::MAX;
        for _ in 0..5 {
            let start = Instant::now();
            let answer = ask(server.address, &bomb).await;
            assert!(answer.starts_with(expected), "{expected}: {answer}");
            took = took.min(start.elapsed());
        }
        assert!(took < Duration::from_millis(50), "{expected}: {took:?}");
    }
    assert_eq!(server.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_is_still_sending() {
    let server = serve(patient()).await;
    let head = "POST /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n";
    let mut stream = client(server.address, head).await;
    stream.write_all(&vec![b'x'; 4_000_000]).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

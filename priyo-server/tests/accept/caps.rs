//! How many connections there may be.

use std::sync::atomic::Ordering;

use crate::{client, is_served, patient, serve, wait_until};

#[tokio::test]
async fn caps_hold_and_free_their_places_again() {
    for per_address in [true, false] {
        let mut settings = patient();
        *(if per_address { &mut settings.per_address } else { &mut settings.total }) = Some(2);
        let server = serve(settings).await;
        let first = client(server.address, "").await;
        let _second = client(server.address, "").await;
        wait_until(|| server.connections.len() == 2).await;
        assert!(!is_served(server.address).await);
        assert_eq!(server.asked.load(Ordering::SeqCst), 0);

        drop(first);
        wait_until(|| server.connections.len() == 1).await;
        assert!(is_served(server.address).await);
    }

    // Control.
    let mut settings = patient();
    (settings.per_address, settings.total) = (None, None);
    let server = serve(settings).await;
    let mut clients = Vec::new();
    for _ in 0..300 {
        clients.push(client(server.address, "").await);
    }
    assert!(is_served(server.address).await);
    wait_until(|| server.connections.len() == 300).await;
}

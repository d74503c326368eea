//! Reading a refused body to its end, so that the refusal arrives.
//!
//! A server that answers in the middle of a body and closes makes the other end's kernel throw the answer away: the
//! client then sees a broken connection and not why. So the rest of a body that nobody wants is read and forgotten,
//! while the answer is on its way; within bounds.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, EXPECT};
use futures_util::{Stream, StreamExt};
use tokio::runtime::Handle;

/// How long to go on.
const TIME: Duration = Duration::from_secs(1);

/// How many bytes to read at most.
const BYTES: usize = 256 * 1024;

/// The same request, of whose body the rest is read when it is dropped before its end; and whether there will be more
/// of it than that.
pub(super) fn linger(request: Request) -> (Request, Unread) {
    let unread = Unread(Arc::new(AtomicU64::new(0)));
    if request.body().is_end_stream() {
        return (request, unread);
    }
    let declared = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    unread.0.store(declared.unwrap_or(u64::MAX), Ordering::Relaxed);
    let held_back = request.headers().contains_key(EXPECT);
    let left = Arc::clone(&unread.0);
    let lingering =
        |body: Body| Body::from_stream(Lingering { rest: Some(body.into_data_stream()), held_back, left });
    (request.map(lingering), unread)
}

/// How much of a body nobody has read yet; of one that does not say how long it is, no end is known.
pub(super) struct Unread(Arc<AtomicU64>);

impl Unread {
    /// Whether it is more than what is read and forgotten, so that the connection is good for nothing afterwards.
    pub(super) fn is_too_much(&self) -> bool {
        self.0.load(Ordering::Relaxed) > BYTES as u64
    }
}

/// A body that has not been read to its end.
struct Lingering {
    rest: Option<BodyDataStream>,
    /// Whether the client sends it only when it is asked to, by the first read.
    held_back: bool,
    left: Arc<AtomicU64>,
}

impl Stream for Lingering {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.held_back = false;
        let next = match &mut self.rest {
            Some(body) => std::task::ready!(body.poll_next_unpin(context)),
            None => None,
        };
        match &next {
            Some(Ok(piece)) => {
                let left = self.left.load(Ordering::Relaxed);
                if left < u64::MAX {
                    self.left.store(left.saturating_sub(piece.len() as u64), Ordering::Relaxed);
                }
            }
            _ => {
                self.rest = None;
                self.left.store(0, Ordering::Relaxed);
            }
        }
        Poll::Ready(next)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let rest = self.rest.take().filter(|_| !self.held_back);
        if let (Some(rest), Ok(runtime)) = (rest, Handle::try_current()) {
            runtime.spawn(tokio::time::timeout(TIME, forget(rest)));
        }
    }
}

async fn forget(mut rest: BodyDataStream) {
    let mut left = BYTES;
    while let Some(Ok(piece)) = rest.next().await {
        let Some(less) = left.checked_sub(piece.len()) else { return };
        left = less;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use tokio::sync::mpsc;

    use super::*;

    /// Drops a request with a body of `pieces` KiB after `read` of them; gives how many were read in all.
    async fn dropped(pieces: usize, read: usize, headers: &[(&str, &str)]) -> usize {
        let (tell, mut told) = mpsc::unbounded_channel();
        let body = stream::iter(0..pieces).map(move |_| {
            let _ = tell.send(());
            Ok::<_, std::io::Error>(vec![0; 1024])
        });
        let mut request = Request::post("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (request, _) = linger(request.body(Body::from_stream(body)).unwrap());
        let mut body = request.into_body().into_data_stream();
        for _ in 0..read {
            body.next().await.unwrap().unwrap();
        }
        drop(body);
        let mut count = 0;
        // Ends when the stream, and with it `tell`, is gone.
        while let Some(()) = told.recv().await {
            count += 1;
        }
        count
    }

    #[tokio::test]
    async fn the_rest_of_a_refused_body_is_read_within_bounds() {
        assert_eq!(dropped(10, 0, &[]).await, 10);
        assert_eq!(dropped(10, 3, &[]).await, 10);
        assert_eq!(dropped(10, 10, &[]).await, 10);
        assert_eq!(dropped(100_000, 3, &[]).await, 3 + BYTES / 1024 + 1);
    }

    #[tokio::test]
    async fn a_body_that_the_client_holds_back_is_not_asked_for() {
        let expect = [("expect", "100-continue")];
        assert_eq!(dropped(10, 0, &expect).await, 0);
        assert_eq!(dropped(10, 1, &expect).await, 10);
    }

    #[tokio::test]
    async fn what_is_left_of_a_body_is_known() {
        let of = |length: usize, declared: bool| {
            let mut request = Request::post("/");
            if declared {
                request = request.header("content-length", length);
            }
            let pieces = (0..length / 1024).map(|_| Ok::<_, std::io::Error>(vec![0; 1024]));
            linger(request.body(Body::from_stream(stream::iter(pieces.collect::<Vec<_>>()))).unwrap())
        };
        for (length, declared, too_much) in
            [(BYTES, true, false), (BYTES + 1024, true, true), (1024, false, true)]
        {
            let (request, unread) = of(length, declared);
            assert_eq!(unread.is_too_much(), too_much, "{length}");
            let mut body = request.into_body().into_data_stream();
            body.next().await.unwrap().unwrap();
            assert_eq!(unread.is_too_much(), !declared, "{length}, one piece later");
            while body.next().await.is_some() {}
            assert!(!unread.is_too_much());
        }
        let (_, unread) = linger(Request::get("/").body(Body::empty()).unwrap());
        assert!(!unread.is_too_much());
    }
}

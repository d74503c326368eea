//! The bytes of a form as its parser gets them: a little at a time, and little that is not the file's.
//!
//! The parser takes whatever is there before it looks at any of it, and keeps what it cannot make sense of yet. A client
//! that is faster than the disk would have its whole upload in memory; so would one that sends a boundary, or a header,
//! that never comes to its end.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use axum::BoxError;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

/// Largest portion, in bytes.
const PORTION: usize = 16 * 1024;

/// The error of a form that is too much beside its file.
#[derive(Debug, thiserror::Error)]
#[error("more than {0} bytes are not the file's")]
pub(super) struct TooMuch(u64);

/// How many bytes of a form its file has had.
#[derive(Debug, Clone, Default)]
pub(super) struct FileBytes(Arc<AtomicU64>);

impl FileBytes {
    pub(super) fn add(&self, piece: &Bytes) {
        self.0.fetch_add(piece.len() as u64, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The bytes of a form, in portions. After each one nothing is there for a moment, so that the parser looks at it first.
pub(super) struct Portions<S> {
    bytes: S,
    /// What has come and was not handed on.
    rest: Bytes,
    /// How many bytes were handed on.
    handed_on: u64,
    /// Whether the parser has a portion that it has not looked at.
    is_fed: bool,
    file: FileBytes,
    /// Most bytes that are not the file's.
    max_others: u64,
}

impl<S> Portions<S> {
    pub(super) fn of(bytes: S, file: FileBytes, max_others: u64) -> Self {
        Self { bytes, rest: Bytes::new(), handed_on: 0, is_fed: false, file, max_others }
    }
}

impl<S, E> Stream for Portions<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: Into<BoxError>,
{
    type Item = Result<Bytes, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.is_fed) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.rest.is_empty() {
            match ready!(self.bytes.poll_next_unpin(context)) {
                Some(Ok(piece)) => self.rest = piece,
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => return Poll::Ready(None),
            }
        }
        let length = self.rest.len().min(PORTION);
        let portion = self.rest.split_to(length);
        self.handed_on += portion.len() as u64;
        if self.handed_on > self.file.count().saturating_add(self.max_others) {
            return Poll::Ready(Some(Err(TooMuch(self.max_others).into())));
        }
        self.is_fed = true;
        Poll::Ready(Some(Ok(portion)))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{FutureExt, stream};

    use super::*;

    const MAX_OTHERS: u64 = 100_000;

    /// Portions of a body that is all there, and what its file has had.
    fn portions(pieces: &[usize]) -> (impl Stream<Item = Result<Bytes, BoxError>> + Unpin, FileBytes) {
        let pieces: Vec<_> =
            pieces.iter().map(|length| Ok::<_, Infallible>(vec![0; *length].into())).collect();
        let file = FileBytes::default();
        (Portions::of(stream::iter(pieces), file.clone(), MAX_OTHERS), file)
    }

    #[tokio::test]
    async fn a_body_comes_whole_and_in_small_portions() {
        let (portions, _) = portions(&[0, 1, PORTION, PORTION + 1]);
        let lengths: Vec<_> = portions.map(|portion| portion.unwrap().len()).collect().await;
        assert_eq!(lengths, [0, 1, PORTION, PORTION, 1]);
    }

    #[test]
    fn whoever_takes_all_that_is_there_gets_one_portion_at_a_time() {
        let (mut portions, _) = portions(&[3 * PORTION]);
        let mut context = Context::from_waker(std::task::Waker::noop());
        for _ in 0..3 {
            let mut taken = 0;
            while let Poll::Ready(Some(portion)) = portions.poll_next_unpin(&mut context) {
                taken += portion.unwrap().len();
            }
            assert_eq!(taken, PORTION);
        }
        assert!(portions.next().now_or_never().flatten().is_none());
    }

    #[tokio::test]
    async fn what_is_not_the_files_has_an_end_and_what_is_has_none() {
        let (mut others, _) = portions(&[1_000_000]);
        let mut taken = 0;
        let refused = loop {
            match others.next().await.unwrap() {
                Ok(portion) => taken += portion.len() as u64,
                Err(error) => break error,
            }
        };
        assert!(refused.is::<TooMuch>() && taken <= MAX_OTHERS, "{taken}: {refused}");

        let (mut all, file) = portions(&[1_000_000]);
        let mut taken = 0;
        while let Some(portion) = all.next().await {
            let portion = portion.unwrap();
            file.add(&portion);
            taken += portion.len();
        }
        assert_eq!(taken, 1_000_000);
    }
}

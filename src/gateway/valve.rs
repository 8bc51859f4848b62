//! A body that gives no more than is wanted now: the form reader takes whatever it can get.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{Stream, task::AtomicWaker};

/// A stream that stands still after so many bytes until it is opened for more.
pub(super) struct Valve<S> {
    stream: S,
    shared: Arc<Shared>,
}

/// Opens a [`Valve`].
#[derive(Debug, Clone)]
pub(super) struct Opener(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// How much still comes.
    left: AtomicUsize,
    waiting: AtomicWaker,
}

impl<S> Valve<S> {
    pub(super) fn new(stream: S, first: usize) -> (Self, Opener) {
        let shared = Arc::new(Shared { left: AtomicUsize::new(first), waiting: AtomicWaker::new() });
        (Self { stream, shared: shared.clone() }, Opener(shared))
    }
}

impl Opener {
    /// From now on so many bytes come, and what completes the last piece.
    pub(super) fn open(&self, bytes: usize) {
        self.0.left.store(bytes, Ordering::Release);
        self.0.waiting.wake();
    }
}

impl<S, E> Stream for Valve<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    type Item = Result<Bytes, E>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.shared.left.load(Ordering::Acquire) == 0 {
            self.shared.waiting.register(context.waker());
            // It may have been opened before the waker was there.
            if self.shared.left.load(Ordering::Acquire) == 0 {
                return Poll::Pending;
            }
        }
        let next = std::task::ready!(Pin::new(&mut self.stream).poll_next(context));
        if let Some(Ok(bytes)) = &next {
            let left = &self.shared.left;
            let _ = left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| {
                Some(left.saturating_sub(bytes.len()))
            });
        }
        Poll::Ready(next)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, future::FutureExt, stream};

    use super::*;

    #[tokio::test]
    async fn a_valve_gives_no_more_than_it_is_opened_for() {
        let pieces = (0..10).map(|_| Ok::<_, ()>(Bytes::from_static(b"0123456789")));
        let (mut valve, opener) = Valve::new(stream::iter(pieces), 25);
        let mut given = 0;
        while let Some(next) = valve.next().now_or_never() {
            given += next.unwrap().unwrap().len();
        }
        assert_eq!(given, 30);
        opener.open(15);
        assert!(valve.next().now_or_never().is_some() && valve.next().now_or_never().is_some());
        assert!(valve.next().now_or_never().is_none());
        let waiting = tokio::spawn(async move { valve.count().await });
        tokio::task::yield_now().await;
        opener.open(1000);
        assert_eq!(waiting.await.unwrap(), 5);
    }
}

//! A body that gives little until its sender is proven: the form reader takes whatever it can get.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{Stream, task::AtomicWaker};

/// A stream that stands still after so many bytes until it is opened.
pub(super) struct Valve<S> {
    stream: S,
    left: usize,
    shared: Arc<Shared>,
}

/// Opens a [`Valve`].
#[derive(Debug, Clone)]
pub(super) struct Opener(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    is_open: AtomicBool,
    waiting: AtomicWaker,
}

impl<S> Valve<S> {
    pub(super) fn new(stream: S, first: usize) -> (Self, Opener) {
        let shared = Arc::<Shared>::default();
        (Self { stream, left: first, shared: shared.clone() }, Opener(shared))
    }
}

impl Opener {
    pub(super) fn open(&self) {
        self.0.is_open.store(true, Ordering::Release);
        self.0.waiting.wake();
    }
}

impl<S, E> Stream for Valve<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    type Item = Result<Bytes, E>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.left == 0 && !self.shared.is_open.load(Ordering::Acquire) {
            self.shared.waiting.register(context.waker());
            // It may have been opened before the waker was there.
            if !self.shared.is_open.load(Ordering::Acquire) {
                return Poll::Pending;
            }
        }
        let next = std::task::ready!(Pin::new(&mut self.stream).poll_next(context));
        if let Some(Ok(bytes)) = &next {
            self.left = self.left.saturating_sub(bytes.len());
        }
        Poll::Ready(next)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, future::FutureExt, stream};

    use super::*;

    #[tokio::test]
    async fn a_closed_valve_gives_no_more_than_it_may_and_an_open_one_the_rest() {
        let pieces = (0..10).map(|_| Ok::<_, ()>(Bytes::from_static(b"0123456789")));
        let (mut valve, opener) = Valve::new(stream::iter(pieces), 25);
        let mut given = 0;
        while let Some(next) = valve.next().now_or_never() {
            given += next.unwrap().unwrap().len();
        }
        assert_eq!(given, 30);
        let waiting = tokio::spawn(async move { valve.count().await });
        tokio::task::yield_now().await;
        opener.open();
        assert_eq!(waiting.await.unwrap(), 7);
    }
}

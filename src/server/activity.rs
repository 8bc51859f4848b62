//! Whether a connection has a request under way, and what its requests have proven.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};

/// Shared between a connection's socket and its requests.
#[derive(Debug, Clone, Default)]
pub(super) struct Activity(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    under_way: AtomicUsize,
    begun: AtomicUsize,
    given: AtomicU64,
    standing: AtomicU8,
}

/// What the last answer on a connection says of whoever asks there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// There was none.
    New,
    Proven,
    Refused,
}

impl Activity {
    pub(super) fn begin(&self) -> UnderWay {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        self.0.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(self.clone())
    }

    pub(super) fn is_idle(&self) -> bool {
        self.0.under_way.load(Ordering::Relaxed) == 0
    }

    /// How many requests there were.
    pub(super) fn begun(&self) -> usize {
        self.0.begun.load(Ordering::Relaxed)
    }

    /// How many bytes of replies there were.
    pub(super) fn given(&self) -> u64 {
        self.0.given.load(Ordering::Relaxed)
    }

    pub(super) fn standing(&self) -> Standing {
        match self.0.standing.load(Ordering::Relaxed) {
            NEW => Standing::New,
            PROVEN => Standing::Proven,
            _ => Standing::Refused,
        }
    }

    pub(super) fn gave(&self, bytes: usize) {
        self.0.given.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

const NEW: u8 = 0;
const PROVEN: u8 = 1;
const REFUSED: u8 = 2;

/// A request that has not been answered to its end.
#[derive(Debug)]
pub(super) struct UnderWay(Activity);

impl UnderWay {
    /// The answer is there.
    pub(super) fn answered(&self, is_proven: bool) {
        self.0.0.standing.store(if is_proven { PROVEN } else { REFUSED }, Ordering::Relaxed);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A reply's body, whose end is the end of its request.
#[derive(Debug)]
pub(super) struct Tracked<B> {
    pub(super) body: Pin<Box<B>>,
    pub(super) under_way: UnderWay,
}

impl<B: Body> Body for Tracked<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let polled = self.body.as_mut().poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.under_way.0.gave(data.remaining());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

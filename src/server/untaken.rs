//! Replies that a client of HTTP/2 does not take. It can keep the window of a stream closed for as long as it likes, and nobody
//! asks the body then; or open it by one byte, and the HTTP library holds the rest. So a reply is over when its last piece has
//! gone; until then it is looked at from outside, and what it holds is let go.

use std::{
    error::Error,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

/// So many replies that may have ended are remembered; a connection has half as many streams.
const REMEMBERED: usize = 256;

/// Shared between a stream and those who look whether it moves.
type Shared<B> = Mutex<Reply<B>>;

/// The replies of one connection.
#[derive(Debug)]
pub(super) struct Replies<B>(Arc<All<B>>);

#[derive(Debug)]
struct All<B> {
    replies: Mutex<Vec<Weak<Shared<B>>>>,
    /// Some were let go.
    has_untaken: AtomicBool,
}

/// A reply's body, until it is let go.
#[derive(Debug)]
pub(super) struct Watched<B>(Arc<Shared<B>>);

/// A piece of a reply that was handed out. The HTTP library drops it once it is written.
struct Piece<B> {
    bytes: Bytes,
    _reply: Arc<Shared<B>>,
}

impl<B> AsRef<[u8]> for Piece<B> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[derive(Debug)]
struct Reply<B> {
    body: Option<Pin<Box<B>>>,
    /// Since when it is the client's turn; `None`: whoever makes the body is waited for.
    offered: Option<Instant>,
}

/// The client took nothing of a reply for `limits.stall_timeout`.
#[derive(Debug, thiserror::Error)]
#[error("the client took nothing of the reply for too long")]
pub(super) struct Untaken;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<B> Clone for Replies<B> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<B> Default for Replies<B> {
    fn default() -> Self {
        Self(Arc::new(All { replies: Mutex::default(), has_untaken: AtomicBool::new(false) }))
    }
}

impl<B> Replies<B> {
    pub(super) fn watch(&self, body: B) -> Watched<B> {
        let reply = Reply { body: Some(Box::pin(body)), offered: Some(Instant::now()) };
        let reply = Arc::new(Mutex::new(reply));
        let mut all = locked(&self.0.replies);
        if all.len() >= REMEMBERED {
            all.retain(|reply| reply.strong_count() > 0);
        }
        all.push(Arc::downgrade(&reply));
        Watched(reply)
    }

    /// Waits until there is a body of which nothing was taken for so long, and drops all such.
    pub(super) async fn let_go(&self, after: Duration) {
        loop {
            tokio::time::sleep((after / 4).max(Duration::from_millis(10))).await;
            if self.drop_untaken(after) {
                return;
            }
        }
    }

    fn drop_untaken(&self, after: Duration) -> bool {
        let mut all = locked(&self.0.replies);
        let mut bodies = Vec::new();
        all.retain(|reply| {
            let Some(reply) = reply.upgrade() else { return false };
            let mut reply = locked(&reply);
            let untaken = reply.offered.is_some_and(|since| since.elapsed() >= after);
            if untaken {
                bodies.extend(reply.body.take());
            }
            !untaken
        });
        // The locks go before the bodies do, which log and count.
        drop(all);
        self.0.has_untaken.fetch_or(!bodies.is_empty(), Relaxed);
        !bodies.is_empty()
    }

    /// Whether the connection begins another request: not when a reply was let go, even if its client sends on after `GOAWAY`.
    pub(super) fn take_more(&self) -> Result<(), Untaken> {
        if self.0.has_untaken.load(Relaxed) { Err(Untaken) } else { Ok(()) }
    }
}

impl<B> Body for Watched<B>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut reply = locked(&self.0);
        let Some(body) = &mut reply.body else { return Poll::Ready(Some(Err(Untaken.into()))) };
        let polled = body.as_mut().poll_frame(context);
        reply.offered = polled.is_ready().then(Instant::now);
        let hand_out = |bytes| Bytes::from_owner(Piece { bytes, _reply: self.0.clone() });
        polled.map(|frame| frame.map(|frame| frame.map(|frame| frame.map_data(hand_out)).map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        locked(&self.0).body.as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        locked(&self.0).body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

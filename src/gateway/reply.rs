//! The body of a reply: ours, or the backend's as it streams. Its end writes the request's log line.

use std::{
    error::Error,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::record::Record;
use crate::{
    backend::owner::{OwnerFilter, Unreadable},
    rate::{Pace, SessionLimits},
};

/// A reply on its way to the client.
#[derive(Debug)]
pub struct ReplyBody {
    content: Content,
    record: Option<Box<Record>>,
}

#[derive(Debug)]
enum Content {
    Whole(Bytes),
    Backend(Box<BackendReply>),
}

/// The backend's reply, streamed as it comes.
#[derive(Debug)]
pub(super) struct BackendReply {
    incoming: Incoming,
    /// For XML that can name the backend's account.
    filter: Option<OwnerFilter>,
    ended: bool,
    idle_after: Duration,
    /// Runs while the backend is waited for, which a small reply never needs.
    idle: Option<Pin<Box<Sleep>>>,
    /// How fast the client may have it.
    pace: Option<Pace>,
}

/// Why a reply was cut off. The client sees a closed connection, never a clean end.
#[derive(Debug, thiserror::Error)]
pub enum ReplyError {
    #[error("the backend's reply broke off")]
    Broken(#[source] hyper::Error),
    #[error("the backend sent nothing for too long")]
    Stalled,
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

impl BackendReply {
    pub(super) fn new(incoming: Incoming, filter: Option<OwnerFilter>, idle_after: Duration) -> Self {
        Self { incoming, filter, ended: false, idle_after, idle: None, pace: None }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, ReplyError>>> {
        loop {
            if self.ended {
                return Poll::Ready(None);
            }
            if let Some(pace) = &mut self.pace
                && ready!(pace.poll_turn(context))
                && let Some(idle) = &mut self.idle
            {
                // It was we who waited, not the backend.
                idle.as_mut().reset(Instant::now() + self.idle_after);
            }
            let frame = match Pin::new(&mut self.incoming).poll_frame(context) {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    let idle_after = self.idle_after;
                    let idle = self.idle.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle_after)));
                    ready!(idle.as_mut().poll(context));
                    return Poll::Ready(Some(Err(ReplyError::Stalled)));
                }
            };
            if let Some(idle) = &mut self.idle {
                idle.as_mut().reset(Instant::now() + self.idle_after);
            }
            let piece = match frame {
                Some(Err(cause)) => return Poll::Ready(Some(Err(ReplyError::Broken(cause)))),
                Some(Ok(frame)) => match (frame.into_data(), &mut self.filter) {
                    (Ok(data), Some(filter)) => match filter.push(data) {
                        Ok(piece) => piece,
                        Err(cause) => return Poll::Ready(Some(Err(cause.into()))),
                    },
                    (Ok(data), None) => data,
                    (Err(_), _) => continue,
                },
                None => {
                    self.ended = true;
                    self.filter.as_mut().map(OwnerFilter::finish).unwrap_or_default()
                }
            };
            if !piece.is_empty() {
                if let Some(pace) = &mut self.pace {
                    pace.moved(piece.len());
                }
                return Poll::Ready(Some(Ok(piece)));
            }
        }
    }
}

impl ReplyBody {
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self { content: Content::Whole(bytes.into()), record: None }
    }

    pub(super) fn backend(reply: BackendReply) -> Self {
        Self { content: Content::Backend(Box::new(reply)), record: None }
    }

    /// Not faster than a session may have it.
    pub(super) fn paced(mut self, limits: Option<&Arc<SessionLimits>>) -> Self {
        if let Content::Backend(reply) = &mut self.content {
            reply.pace = Pace::of(limits);
        }
        self
    }

    /// The line that is written when this body ends, however it ends.
    pub(super) fn recorded(mut self, record: Box<Record>) -> Self {
        self.record = Some(record);
        self
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        let piece = match &mut this.content {
            Content::Whole(bytes) if bytes.is_empty() => None,
            Content::Whole(bytes) => Some(Ok(std::mem::take(bytes))),
            Content::Backend(reply) => ready!(reply.poll(context)),
        };
        // A reply whose length is known is not asked for its end.
        let is_last = piece.is_some() && this.is_end_stream();
        let is_ours = matches!(this.content, Content::Whole(_));
        let record = this.record.as_deref_mut();
        Poll::Ready(match piece {
            Some(Ok(bytes)) => {
                if let Some(record) = record {
                    record.sent(bytes.len());
                    if is_ours {
                        // Small and whole; nobody, proven or not, keeps others out by not fetching it.
                        record.gives_its_place_back();
                    }
                    if is_last {
                        record.finished();
                    }
                }
                Some(Ok(Frame::data(bytes)))
            }
            Some(Err(error)) => {
                if let Some(record) = record {
                    record.cut_off(&error);
                }
                Some(Err(error.into()))
            }
            None => {
                if let Some(record) = record {
                    record.finished();
                }
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.is_empty(),
            Content::Backend(reply) => reply.filter.is_none() && reply.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Backend(reply) if reply.filter.is_none() => reply.incoming.size_hint(),
            Content::Backend(_) => SizeHint::default(),
        }
    }
}

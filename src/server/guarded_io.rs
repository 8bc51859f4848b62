//! A socket that ends when its client lets it wait too long.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

use super::{Limits, activity::Activity, frames::Frames, turn::give_way};

/// Watches reads while no request is under way, and writes always. How long a request's body may stall is watched where
/// the body is read.
#[derive(Debug)]
pub(super) struct GuardedIo<S> {
    socket: S,
    activity: Activity,
    waiting: Waiting,
    /// When a request's head, or the next one's beginning, must be there.
    head: Pin<Box<Sleep>>,
    /// When the client must have taken something.
    write: Pin<Box<Sleep>>,
    write_is_stuck: bool,
    header_timeout: Duration,
    idle_timeout: Duration,
    stall_timeout: Duration,
    /// Frames of HTTP/2 come at any time; only HTTP/1 bytes are the beginning of a head.
    bytes_begin_a_head: bool,
    /// Of HTTP/2.
    frames: Option<Frames>,
    /// Until when, and for how many bytes, the rest of a body that nobody wants is taken.
    lingering: Option<(Pin<Box<Sleep>>, usize)>,
}

/// A body that was refused may still be on its way: a socket that is closed with bytes unread resets the connection, and the client
/// may never see the answer. So long, and so much of it, is it read and thrown away.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 4 << 20;
/// So much of it in a turn: nobody waits for what is thrown away.
const LINGER_TURN: usize = 4096;

/// What the connection waits for when no request is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// The rest of a head. At the very beginning all of it: nobody connects to be silent.
    Head { after: usize },
    /// The next request, after so many.
    Next { after: usize },
    /// Nothing: a request is under way.
    Nothing,
}

impl<S> GuardedIo<S> {
    pub(super) fn new(socket: S, activity: Activity, limits: &Limits, bytes_begin_a_head: bool) -> Self {
        Self {
            socket,
            activity,
            waiting: Waiting::Head { after: 0 },
            head: Box::pin(tokio::time::sleep(limits.header_timeout)),
            write: Box::pin(tokio::time::sleep(limits.stall_timeout)),
            write_is_stuck: false,
            header_timeout: limits.header_timeout,
            idle_timeout: limits.idle_timeout,
            stall_timeout: limits.stall_timeout,
            bytes_begin_a_head,
            frames: (!bytes_begin_a_head).then(Frames::new),
            lingering: None,
        }
    }

    /// Follows the requests, and says whether the client's time is up.
    fn read_deadline_passed(&mut self, context: &mut Context<'_>) -> bool {
        let begun = self.activity.begun();
        if !self.activity.is_idle() {
            self.waiting = Waiting::Nothing;
            return false;
        }
        let since_last = match self.waiting {
            Waiting::Nothing => true,
            Waiting::Head { after } | Waiting::Next { after } => after != begun,
        };
        if since_last {
            self.waiting = Waiting::Next { after: begun };
            self.head.as_mut().reset(Instant::now() + self.idle_timeout);
        }
        self.head.as_mut().poll(context).is_ready()
    }

    fn bytes_came(&mut self) {
        if let Waiting::Next { after } = self.waiting
            && self.bytes_begin_a_head
        {
            self.waiting = Waiting::Head { after };
            self.head.as_mut().reset(Instant::now() + self.header_timeout);
        }
    }

    fn note_frames(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.frames.as_mut().map_or(Ok(()), |frames| frames.came(bytes, &self.activity))
    }

    fn watch_write<T>(
        &mut self,
        context: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.write_is_stuck = false;
            return outcome;
        }
        if !self.write_is_stuck {
            self.write_is_stuck = true;
            self.write.as_mut().reset(Instant::now() + self.stall_timeout);
        }
        match self.write.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> GuardedIo<S> {
    /// Ready when the client has closed its side too, or has had its time. A piece in each turn.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let (until, left) =
            self.lingering.get_or_insert_with(|| (Box::pin(tokio::time::sleep(LINGER)), LINGER_BYTES));
        let mut scratch = [0; LINGER_TURN];
        let mut buffer = ReadBuf::new(&mut scratch);
        match Pin::new(&mut self.socket).poll_read(context, &mut buffer) {
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() && *left > 0 => {
                *left = left.saturating_sub(buffer.filled().len());
                give_way(context);
            }
            Poll::Ready(_) => return Poll::Ready(()),
            Poll::Pending => {}
        }
        until.as_mut().poll(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for GuardedIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(frames) = &mut self.frames {
            std::task::ready!(frames.poll_turn(context));
        }
        let before = buffer.filled().len();
        match Pin::new(&mut self.socket).poll_read(context, buffer) {
            Poll::Ready(outcome) => {
                if outcome.is_ok() && buffer.filled().len() > before {
                    self.note_frames(buffer.filled().get(before..).unwrap_or_default())?;
                    // Bytes do not excuse a head that is late: a trickle is a stall.
                    if self.read_deadline_passed(context) {
                        return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                    }
                    self.bytes_came();
                }
                Poll::Ready(outcome)
            }
            Poll::Pending if self.read_deadline_passed(context) => {
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for GuardedIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.watch_write(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write_vectored(context, bytes);
        self.watch_write(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.socket).poll_flush(context);
        // The end of a reply: nothing else asks again whether the connection is idle. The next read says so when its time is up.
        let _ = self.read_deadline_passed(context);
        self.watch_write(context, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            let outcome = Pin::new(&mut self.socket).poll_shutdown(context);
            std::task::ready!(self.watch_write(context, outcome))?;
        }
        if self.bytes_begin_a_head {
            std::task::ready!(self.poll_linger(context));
        }
        Poll::Ready(Ok(()))
    }
}

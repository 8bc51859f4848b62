//! A socket that ends when its client lets it wait too long.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

use super::{Limits, activity::Activity, frames::Frames, turn::Queue};

/// Watches reads while no request is under way, and writes always. How long a request's body may stall is watched where
/// the body is read.
#[derive(Debug)]
pub(super) struct GuardedIo<S> {
    socket: S,
    activity: Activity,
    waiting: Waiting,
    /// When a request's head, or the next one's beginning, must be there.
    due: Instant,
    /// Ends no later than that: it is set anew when it ends, and not with each request.
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
    /// Where those wait whose bytes nobody wants.
    unwanted: Queue,
    lingering: Option<Lingering>,
}

/// The rest of a body that nobody wants.
struct Lingering {
    until: Pin<Box<Sleep>>,
    /// How many bytes are taken at the most.
    left: usize,
    turn: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl fmt::Debug for Lingering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lingering").field("left", &self.left).finish_non_exhaustive()
    }
}

/// A body that was refused may still be on its way: a socket that is closed with bytes unread resets the connection, and the client
/// may never see the answer. So long, and so much of it, is it read and thrown away.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 4 << 20;
/// So much of it when it is a connection's turn.
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
    pub(super) fn new(
        socket: S,
        activity: Activity,
        limits: &Limits,
        bytes_begin_a_head: bool,
        unwanted: Queue,
    ) -> Self {
        let due = Instant::now() + limits.header_timeout;
        Self {
            socket,
            activity,
            waiting: Waiting::Head { after: 0 },
            due,
            head: Box::pin(tokio::time::sleep_until(due)),
            write: Box::pin(tokio::time::sleep(limits.stall_timeout)),
            write_is_stuck: false,
            header_timeout: limits.header_timeout,
            idle_timeout: limits.idle_timeout,
            stall_timeout: limits.stall_timeout,
            bytes_begin_a_head,
            frames: (!bytes_begin_a_head).then(Frames::new),
            unwanted,
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
            self.is_due_in(self.idle_timeout);
        }
        while self.head.as_mut().poll(context).is_ready() {
            if self.due <= Instant::now() {
                return true;
            }
            self.head.as_mut().reset(self.due);
        }
        false
    }

    fn is_due_in(&mut self, time: Duration) {
        self.due = Instant::now() + time;
        if self.due < self.head.deadline() {
            self.head.as_mut().reset(self.due);
        }
    }

    fn bytes_came(&mut self) {
        if let Waiting::Next { after } = self.waiting
            && self.bytes_begin_a_head
        {
            self.waiting = Waiting::Head { after };
            self.is_due_in(self.header_timeout);
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
    /// Ready when the client has closed its side too, or has had its time. Nobody waits long for what is thrown away: each piece
    /// waits for its turn.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Lingering { until, left, turn } = self.lingering.get_or_insert_with(|| Lingering {
            until: Box::pin(tokio::time::sleep(LINGER)),
            left: LINGER_BYTES,
            turn: None,
        });
        if until.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        loop {
            if let Some(waiting) = turn {
                std::task::ready!(waiting.as_mut().poll(context));
                *turn = None;
            }
            let mut scratch = [0; LINGER_TURN];
            let mut buffer = ReadBuf::new(&mut scratch);
            let taken = std::task::ready!(Pin::new(&mut self.socket).poll_read(context, &mut buffer));
            if taken.is_err() || buffer.filled().is_empty() || *left == 0 {
                return Poll::Ready(());
            }
            *left = left.saturating_sub(buffer.filled().len());
            let unwanted = self.unwanted.clone();
            *turn = Some(Box::pin(async move { unwanted.turn().await }));
        }
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

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    };

    use tokio::{io::AsyncWriteExt as _, task::JoinSet};

    use super::{super::turn::Turns, *};

    /// A client that sends for as long as anybody reads, and counts how often that is.
    struct Endless(Arc<AtomicUsize>);

    impl AsyncRead for Endless {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.0.fetch_add(1, Relaxed);
            let room = buffer.remaining();
            buffer.initialize_unfilled().fill(b'a');
            buffer.advance(room);
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Endless {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn what_a_crowd_sends_after_its_refusals_is_taken_a_few_pieces_in_each_turn() {
        const CROWD: usize = 40;
        let (turns, read) = (Turns::default(), Arc::new(AtomicUsize::new(0)));
        let mut crowd = JoinSet::new();
        for _ in 0..CROWD {
            let client = Endless(read.clone());
            let mut io =
                GuardedIo::new(client, Activity::default(), &Limits::default(), true, turns.unwanted());
            crowd.spawn(async move { io.shutdown().await });
        }
        for turn in 0..100 {
            // The first piece is not known to be unwanted.
            assert!(read.load(Relaxed) <= CROWD + 4 * turn, "{read:?} pieces in {turn} turns");
            tokio::task::yield_now().await;
        }
        assert!(read.load(Relaxed) >= CROWD + 4 * 90, "{read:?}");
        while let Some(ended) = crowd.join_next().await {
            ended.unwrap().unwrap();
        }
        assert!(read.load(Relaxed) <= CROWD * (LINGER_BYTES / LINGER_TURN + 2), "{read:?}");
    }
}

//! What a client of HTTP/2 sends, frame by frame. The HTTP library answers SETTINGS and PING for as long as they come, nine bytes
//! for a frame, and nothing of that is a request.

use std::{
    io,
    task::{Context, Poll},
};

use super::{activity::Activity, turn::give_way};

/// What a connection may cost before the others have their turn, in bytes.
const TURN: usize = 64 * 1024;
/// What a frame costs beside its bytes: more than one of SETTINGS, without a payload, which takes as long as 800 bytes of an upload.
/// Whoever sends many small ones leaves more time to the others.
const FRAME_COST: usize = 2048;

/// Bytes that a connection may talk without a request: 3,855 PING or 5,041 that open a window.
const TALK: u64 = 64 * 1024;
/// For each request: windows opened, a PING, a priority, a reset.
const TALK_PER_REQUEST: u64 = 256;
/// One byte for so many of bodies, either way. Clients open the window twice, 26 bytes, for each 4 KiB of a download at the most.
const MOVED_PER_TALK: u64 = 4;

const PREFACE_LENGTH: usize = 24;
const HEAD_LENGTH: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;

/// Reads the heads of frames (RFC 9113, 4.1) as they pass.
#[derive(Debug)]
pub(super) struct Frames {
    head: [u8; HEAD_LENGTH],
    has: usize,
    /// Of the payload, or of the preface.
    left: usize,
    /// What it owes to the others.
    spent: usize,
    talked: u64,
    taken: u64,
}

impl Frames {
    pub(super) fn new() -> Self {
        Self { head: [0; HEAD_LENGTH], has: 0, left: PREFACE_LENGTH, spent: 0, talked: 0, taken: 0 }
    }

    /// Ready when it is the connection's turn. One that has taken several lets the others go first as often.
    pub(super) fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.spent < TURN {
            return Poll::Ready(());
        }
        self.spent -= TURN;
        give_way(context);
        Poll::Pending
    }

    /// Fails when the client talks without asking for anything.
    pub(super) fn came(&mut self, mut bytes: &[u8], activity: &Activity) -> io::Result<()> {
        self.spent += bytes.len();
        while !bytes.is_empty() {
            if self.left > 0 {
                let passed = self.left.min(bytes.len());
                self.left -= passed;
                bytes = bytes.get(passed..).unwrap_or_default();
                continue;
            }
            for (to, from) in self.head.iter_mut().skip(self.has).zip(bytes) {
                *to = *from;
            }
            let passed = (HEAD_LENGTH - self.has).min(bytes.len());
            self.has += passed;
            bytes = bytes.get(passed..).unwrap_or_default();
            if self.has == HEAD_LENGTH {
                self.has = 0;
                self.begins(activity);
            }
        }
        let allowed = TALK
            + activity.begun() as u64 * TALK_PER_REQUEST
            + (self.taken + activity.given()) / MOVED_PER_TALK;
        if self.talked > allowed {
            return Err(io::Error::other("the client sends frames that ask for nothing"));
        }
        Ok(())
    }

    fn begins(&mut self, activity: &Activity) {
        let [high, middle, low, kind, ..] = self.head;
        let length = u32::from_be_bytes([0, high, middle, low]);
        self.left = length as usize;
        self.spent += FRAME_COST;
        match kind {
            // The library bounds them.
            HEADERS | CONTINUATION => {}
            DATA if length > 0 && !activity.is_idle() => self.taken += u64::from(length),
            // The rest of a body that was refused is on its way; its size is bounded by the window, the number of its frames is not.
            DATA => self.talked += HEAD_LENGTH as u64,
            _ => self.talked += HEAD_LENGTH as u64 + u64::from(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, length: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, length, kind, 0, 0, 0, 0, 1];
        frame.resize(HEAD_LENGTH + usize::from(length), 7);
        frame
    }

    fn came(frames: &[u8], piece: usize, activity: &Activity) -> Frames {
        let mut seen = Frames::new();
        let bytes = [&[b'P'; PREFACE_LENGTH][..], frames].concat();
        for piece in bytes.chunks(piece) {
            seen.came(piece, activity).unwrap();
        }
        seen
    }

    #[test]
    fn frames_are_told_apart_however_they_are_cut() {
        let activity = Activity::default();
        let _under_way = activity.begin();
        let bytes =
            [frame(DATA, 200), frame(6, 8), frame(HEADERS, 100), frame(4, 0), frame(DATA, 0)].concat();
        for piece in [1, 2, 8, 9, 10, 23, 24, 25, 1000] {
            let seen = came(&bytes, piece, &activity);
            assert_eq!((seen.taken, seen.talked), (200, 17 + 9 + 9), "pieces of {piece}");
            assert_eq!(seen.spent, PREFACE_LENGTH + bytes.len() + 5 * FRAME_COST);
        }
    }

    #[test]
    fn the_rest_of_a_refused_body_is_no_talk() {
        let seen = came(&frame(DATA, 200).repeat(1000), 4096, &Activity::default());
        assert_eq!((seen.taken, seen.talked), (0, 9000));
    }

    #[test]
    fn talk_is_allowed_for_what_is_asked_and_moved() {
        let ping = frame(6, 8);
        let most = |activity: &Activity| {
            let mut seen = Frames::new();
            seen.came(&[b'P'; PREFACE_LENGTH], activity).unwrap();
            (0..1_000_000).find(|_| seen.came(&ping, activity).is_err()).unwrap()
        };
        let activity = Activity::default();
        assert_eq!(most(&activity), 64 * 1024 / 17);
        drop(activity.begin());
        assert_eq!(most(&activity), (64 * 1024 + 256) / 17);
        activity.gave(1 << 20);
        assert_eq!(most(&activity), (64 * 1024 + 256 + (256 << 10)) / 17);
    }
}

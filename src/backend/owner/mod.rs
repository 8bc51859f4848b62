//! The names of owners in XML replies.
//!
//! To the backend every object belongs to the root account, and some backends write the root **access key id** as the
//! owner's id. A client is shown the account that it deals with: ours.

#[cfg(test)]
mod tests;

use std::{ops::Range, sync::LazyLock};

use bytes::{Bytes, BytesMut};
use memchr::{memchr, memmem, memmem::Finder, memrchr};

/// Replaces the text of `ID` and `DisplayName` within `Owner`, `Initiator` and `Grantee`, and the origin of `Location`, in an XML
/// reply that comes in pieces. A piece that has none of these passes without a copy.
#[derive(Debug)]
pub struct OwnerFilter {
    shown: ShownOwner,
    /// The token that the last piece ended in, from its `<`.
    held: Vec<u8>,
    /// Within so many of the elements that name an owner.
    owner_depth: u32,
    text: TextMode,
    /// The text of an element that is looked at whole.
    gathered: Vec<u8>,
}

/// What clients see in place of the backend's account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownOwner {
    pub id: String,
    pub display_name: String,
}

/// A tag, or a text that is looked at whole, is longer than those of S3: what comes after it cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the backend's reply has a tag or a location without an end")]
pub struct Unreadable;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TextMode {
    Pass,
    /// Until the end of the field, within so many elements that it has no business to have.
    Drop {
        depth: u32,
    },
    Location,
}

/// What stands between `<` and its `>`, both included.
struct Token<'t> {
    kind: Kind<'t>,
    length: usize,
}

enum Kind<'t> {
    Start(&'t [u8]),
    End(&'t [u8]),
    /// `<Name/>`, a comment, a `CDATA` section: nothing begins or ends with it.
    Alone,
}

const MAX_HELD: usize = 16 * 1024;
const OWNER_ELEMENTS: [&[u8]; 3] = [b"Owner", b"Initiator", b"Grantee"];
/// All that matters outside of an owner begins so; what stands in comments and `CDATA` sections only looks like it.
const BEGINNINGS: [&str; 5] = ["<Owner", "<Initiator", "<Grantee", "<Location", "<!"];
static FINDERS: LazyLock<[Finder<'static>; 5]> = LazyLock::new(|| BEGINNINGS.map(Finder::new));

impl OwnerFilter {
    pub fn new(shown: ShownOwner) -> Self {
        Self { shown, held: Vec::new(), owner_depth: 0, text: TextMode::Pass, gathered: Vec::new() }
    }

    /// Takes a piece of the reply, gives what of it can already go on.
    pub fn push(&mut self, piece: Bytes) -> Result<Bytes, Unreadable> {
        let input = if self.held.is_empty() {
            piece
        } else {
            let mut whole = std::mem::take(&mut self.held);
            whole.extend_from_slice(&piece);
            Bytes::from(whole)
        };
        let mut beginnings = Beginnings::of(&input);
        let mut rewrite = Rewrite::of(&input);
        let mut at = 0;
        while at < input.len() {
            let text = at;
            at = if self.is_outside() { beginnings.next_from(at) } else { find_open(&input, at) };
            self.take_text(text..at, &mut rewrite)?;
            let Some(token) = Token::of(input.get(at..).unwrap_or_default()) else { break };
            self.take_token(&token.kind, at..at + token.length, &mut rewrite);
            at += token.length;
        }
        self.held.extend_from_slice(input.get(at..).unwrap_or_default());
        if self.held.len() > MAX_HELD { Err(Unreadable) } else { Ok(rewrite.until(at)) }
    }

    /// What is left when the reply has ended in the middle of a tag.
    pub fn finish(&mut self) -> Bytes {
        let held = std::mem::take(&mut self.held);
        if self.is_outside() { Bytes::from(held) } else { Bytes::new() }
    }

    fn is_outside(&self) -> bool {
        self.owner_depth == 0 && self.text == TextMode::Pass
    }

    fn take_text(&mut self, text: Range<usize>, rewrite: &mut Rewrite<'_>) -> Result<(), Unreadable> {
        match self.text {
            TextMode::Pass => {}
            TextMode::Drop { .. } => rewrite.replace(text, b""),
            TextMode::Location => {
                self.gathered.extend_from_slice(rewrite.input.get(text.clone()).unwrap_or_default());
                rewrite.replace(text, b"");
            }
        }
        if self.gathered.len() > MAX_HELD { Err(Unreadable) } else { Ok(()) }
    }

    fn take_token(&mut self, kind: &Kind<'_>, at: Range<usize>, rewrite: &mut Rewrite<'_>) {
        if let TextMode::Drop { depth } = &mut self.text {
            match kind {
                Kind::End(_) if *depth == 0 => self.text = TextMode::Pass,
                Kind::End(_) => *depth -= 1,
                Kind::Start(_) => *depth += 1,
                Kind::Alone => {}
            }
            if self.text != TextMode::Pass {
                rewrite.replace(at, b"");
            }
            return;
        }
        if self.text == TextMode::Location {
            self.text = TextMode::Pass;
            let gathered = std::mem::take(&mut self.gathered);
            rewrite.replace(at.start..at.start, without_origin(&gathered));
        }
        match *kind {
            Kind::Start(name) if OWNER_ELEMENTS.contains(&name) => self.owner_depth += 1,
            Kind::Start(name) if self.owner_depth > 0 => self.start_owner_field(name, at.end, rewrite),
            Kind::Start(b"Location") => self.text = TextMode::Location,
            Kind::End(name) if OWNER_ELEMENTS.contains(&name) => {
                self.owner_depth = self.owner_depth.saturating_sub(1);
            }
            Kind::Start(_) | Kind::End(_) | Kind::Alone => {}
        }
    }

    fn start_owner_field(&mut self, name: &[u8], at: usize, rewrite: &mut Rewrite<'_>) {
        let shown = match name {
            b"ID" => &self.shown.id,
            b"DisplayName" => &self.shown.display_name,
            _ => return,
        };
        rewrite.replace(at..at, shown.as_bytes());
        self.text = TextMode::Drop { depth: 0 };
    }
}

/// A piece with parts replaced; copied from the first of them on.
struct Rewrite<'p> {
    input: &'p Bytes,
    written: BytesMut,
    /// What comes before is written, or left out.
    from: usize,
}

impl<'p> Rewrite<'p> {
    fn of(input: &'p Bytes) -> Self {
        Self { input, written: BytesMut::new(), from: 0 }
    }

    fn replace(&mut self, part: Range<usize>, with: &[u8]) {
        if self.written.is_empty() {
            self.written.reserve(self.input.len());
        }
        self.written.extend_from_slice(self.input.get(self.from..part.start).unwrap_or_default());
        self.written.extend_from_slice(with);
        self.from = part.end;
    }

    fn until(mut self, end: usize) -> Bytes {
        if self.written.is_empty() {
            return self.input.slice(self.from..end);
        }
        self.replace(end..end, b"");
        self.written.freeze()
    }
}

/// Where the tags that matter begin in a piece.
struct Beginnings<'p> {
    input: &'p [u8],
    /// Of each, the next one, once it was looked for: without them the rest of the piece is not searched again.
    next: [Option<usize>; BEGINNINGS.len()],
}

impl<'p> Beginnings<'p> {
    fn of(input: &'p [u8]) -> Self {
        Self { input, next: [None; BEGINNINGS.len()] }
    }

    /// The next one, or the tag whose name the piece ends in, or the end.
    fn next_from(&mut self, from: usize) -> usize {
        let rest = self.input.get(from..).unwrap_or_default();
        let mut first = usize::MAX;
        for (next, finder) in self.next.iter_mut().zip(&*FINDERS) {
            let known = next.filter(|at| *at >= from);
            let at = known.unwrap_or_else(|| finder.find(rest).map_or(usize::MAX, |at| from + at));
            *next = Some(at);
            first = first.min(at);
        }
        if first == usize::MAX { self.unfinished_name(from) } else { first }
    }

    fn unfinished_name(&self, from: usize) -> usize {
        let rest = self.input.get(from..).unwrap_or_default();
        let open =
            memrchr(b'<', rest).filter(|open| name_length(rest.split_at(*open).1) == rest.len() - open);
        open.map_or(self.input.len(), |open| from + open)
    }
}

impl<'t> Token<'t> {
    /// The one that these bytes begin with; `None`: it has not ended yet.
    fn of(bytes: &'t [u8]) -> Option<Self> {
        let alone = |begin: &[u8], end: &[u8]| {
            let inner = bytes.strip_prefix(begin)?;
            Some(memmem::find(inner, end).map(|at| begin.len() + at + end.len()))
        };
        if let Some(length) = alone(b"<!--", b"-->").or_else(|| alone(b"<![CDATA[", b"]]>")) {
            return Some(Self { kind: Kind::Alone, length: length? });
        }
        let length = tag_length(bytes)?;
        let tag = bytes.get(1..length - 1)?;
        let kind = match tag {
            [b'/', name @ ..] => Kind::End(element_name(name)),
            [b'!' | b'?', ..] | [.., b'/'] => Kind::Alone,
            _ => Kind::Start(element_name(tag)),
        };
        Some(Self { kind, length })
    }
}

/// Up to the `>` that stands in no quotes.
fn tag_length(bytes: &[u8]) -> Option<usize> {
    let mut quote = None;
    let close = bytes.iter().position(|byte| match (quote, byte) {
        (Some(open), _) => {
            quote = quote.filter(|_| open != byte);
            false
        }
        (None, b'"' | b'\'') => {
            quote = Some(byte);
            false
        }
        (None, _) => *byte == b'>',
    });
    close.map(|close| close + 1)
}

fn find_open(input: &[u8], from: usize) -> usize {
    let rest = input.get(from..).unwrap_or_default();
    memchr(b'<', rest).map_or(input.len(), |at| from + at)
}

fn name_length(tag: &[u8]) -> usize {
    let ends = |byte: &u8| matches!(byte, b'>' | b'/' | b' ' | b'\t' | b'\r' | b'\n');
    tag.iter().position(ends).unwrap_or(tag.len())
}

fn element_name(tag: &[u8]) -> &[u8] {
    tag.split_at(name_length(tag)).0
}

/// `http://backend:9000/b/k` → `/b/k`; anything that is no URL stays.
pub fn without_origin(location: &[u8]) -> &[u8] {
    let Some(after_scheme) = location.strip_prefix(b"http://").or_else(|| location.strip_prefix(b"https://"))
    else {
        return location;
    };
    let path = after_scheme.iter().position(|byte| *byte == b'/').unwrap_or(after_scheme.len());
    let path = after_scheme.split_at(path).1;
    if path.is_empty() { b"/" } else { path }
}

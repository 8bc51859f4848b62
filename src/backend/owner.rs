//! The names of owners in XML replies.
//!
//! To the backend every object belongs to the root account, and some backends write the root **access key id** as the
//! owner's id. A client is shown the account that it deals with: ours.

use bytes::{Bytes, BytesMut};

/// Replaces the text of `ID`, `DisplayName`, `AccessKeyId` and `URI` within `Owner`, `Initiator` and `Grantee`, and the origin of
/// `Location`, in an XML reply that comes in pieces. Everything else passes byte by byte.
#[derive(Debug)]
pub struct OwnerFilter {
    shown: ShownOwner,
    /// An unfinished tag, from its `<`.
    tag: Vec<u8>,
    /// Within one of the elements that name an owner.
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TextMode {
    Pass,
    Drop,
    Location,
}

/// A tag longer than this is no tag of an S3 reply; it is passed on as it came, outside of owner elements.
const MAX_TAG: usize = 4096;

const OWNER_ELEMENTS: [&[u8]; 3] = [b"Owner", b"Initiator", b"Grantee"];

impl OwnerFilter {
    pub fn new(shown: ShownOwner) -> Self {
        Self { shown, tag: Vec::new(), owner_depth: 0, text: TextMode::Pass, gathered: Vec::new() }
    }

    /// Takes a piece of the reply, gives what of it can already go on.
    pub fn push(&mut self, piece: &[u8]) -> Bytes {
        let mut out = BytesMut::with_capacity(piece.len() + 64);
        let mut rest = piece;
        while !rest.is_empty() {
            rest = if self.tag.is_empty() {
                self.push_text(rest, &mut out)
            } else {
                self.push_tag(rest, &mut out)
            };
        }
        out.freeze()
    }

    /// What is left when the reply has ended in the middle of a tag.
    pub fn finish(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.tag))
    }

    fn push_text<'p>(&mut self, piece: &'p [u8], out: &mut BytesMut) -> &'p [u8] {
        let end = piece.iter().position(|byte| *byte == b'<').unwrap_or(piece.len());
        let (text, rest) = piece.split_at(end);
        match self.text {
            TextMode::Pass => out.extend_from_slice(text),
            TextMode::Drop => {}
            TextMode::Location => self.gathered.extend_from_slice(text),
        }
        if let Some((open, after)) = rest.split_first() {
            self.tag.push(*open);
            return after;
        }
        rest
    }

    fn push_tag<'p>(&mut self, piece: &'p [u8], out: &mut BytesMut) -> &'p [u8] {
        let Some(close) = piece.iter().position(|byte| *byte == b'>') else {
            self.tag.extend_from_slice(piece);
            if self.tag.len() > MAX_TAG {
                out.extend_from_slice(&std::mem::take(&mut self.tag));
            }
            return &[];
        };
        let (end, rest) = piece.split_at(close + 1);
        let mut tag = std::mem::take(&mut self.tag);
        tag.extend_from_slice(end);
        self.take_tag(&tag, out);
        rest
    }

    fn take_tag(&mut self, tag: &[u8], out: &mut BytesMut) {
        let empty = tag.ends_with(b"/>");
        if let Some(name) = tag.strip_prefix(b"</") {
            self.end_text(out);
            out.extend_from_slice(tag);
            if OWNER_ELEMENTS.contains(&element_name(name)) {
                self.owner_depth = self.owner_depth.saturating_sub(1);
            }
            return;
        }
        out.extend_from_slice(tag);
        let name = element_name(tag.get(1..).unwrap_or_default());
        if empty {
            return;
        }
        if OWNER_ELEMENTS.contains(&name) {
            self.owner_depth += 1;
        } else if self.owner_depth > 0 {
            self.start_owner_field(name, out);
        } else if name == b"Location" {
            self.text = TextMode::Location;
        }
    }

    fn start_owner_field(&mut self, name: &[u8], out: &mut BytesMut) {
        let shown = match name {
            b"ID" => &self.shown.id,
            b"DisplayName" => &self.shown.display_name,
            _ => return,
        };
        out.extend_from_slice(shown.as_bytes());
        self.text = TextMode::Drop;
    }

    fn end_text(&mut self, out: &mut BytesMut) {
        if self.text == TextMode::Location {
            let gathered = std::mem::take(&mut self.gathered);
            out.extend_from_slice(without_origin(&gathered));
        }
        self.text = TextMode::Pass;
    }
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

fn element_name(tag: &[u8]) -> &[u8] {
    let end = tag
        .iter()
        .position(|byte| matches!(byte, b'>' | b'/' | b' ' | b'\t' | b'\r' | b'\n'))
        .unwrap_or(tag.len());
    tag.split_at(end).0
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLY: &str = "<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"x\"><Name>b</Name><Contents><Key>Owner</Key>\
        <Owner><ID>ROOTKEY</ID><DisplayName>root &amp; co</DisplayName></Owner></Contents><ID>kept</ID>\
        <Location>http://10.0.0.1:9000/b/k</Location><Grantee xmlns:xsi=\"y\" xsi:type=\"CanonicalUser\"><ID>ROOTKEY</ID></Grantee></ListBucketResult>";
    const SHOWN: &str = "<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"x\"><Name>b</Name><Contents><Key>Owner</Key>\
        <Owner><ID>id</ID><DisplayName>us</DisplayName></Owner></Contents><ID>kept</ID>\
        <Location>/b/k</Location><Grantee xmlns:xsi=\"y\" xsi:type=\"CanonicalUser\"><ID>id</ID></Grantee></ListBucketResult>";

    fn filter() -> OwnerFilter {
        OwnerFilter::new(ShownOwner { id: "id".to_owned(), display_name: "us".to_owned() })
    }

    #[test]
    fn owners_are_replaced_and_the_rest_passes() {
        let mut filter = filter();
        let mut out = filter.push(REPLY.as_bytes()).to_vec();
        out.extend_from_slice(&filter.finish());
        assert_eq!(String::from_utf8(out).unwrap(), SHOWN);
    }

    #[test]
    fn the_pieces_in_which_a_reply_comes_make_no_difference() {
        for size in 1..40 {
            let mut filter = filter();
            let mut out = Vec::new();
            for piece in REPLY.as_bytes().chunks(size) {
                out.extend_from_slice(&filter.push(piece));
            }
            out.extend_from_slice(&filter.finish());
            assert_eq!(String::from_utf8(out).unwrap(), SHOWN, "pieces of {size}");
        }
    }

    #[test]
    fn an_endless_tag_is_not_gathered() {
        let mut filter = filter();
        let piece = [b'<'; 1024];
        for _ in 0..64 {
            filter.push(&piece);
        }
        assert!(filter.tag.len() <= MAX_TAG);
    }

    #[test]
    fn a_location_keeps_its_path_only() {
        assert_eq!(without_origin(b"https://h:1/b/k?x"), b"/b/k?x");
        assert_eq!(without_origin(b"http://h"), b"/");
        assert_eq!(without_origin(b"/b/k"), b"/b/k");
        assert_eq!(without_origin(b"eu-west-1"), b"eu-west-1");
    }
}

//! The text of a document that goes on as it came: what we read must be what the storage reads.

use quick_xml::{Reader, events::Event};

/// `None`: it is not UTF-8, or some reader would take it for another encoding.
pub(super) fn read(document: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(document).ok()?;
    // In UTF-16 every second byte of ASCII is zero, and no XML has such a character.
    if text.contains('\0') {
        return None;
    }
    // A declaration stands at the very beginning, after a byte order mark perhaps, or it is none.
    match Reader::from_str(text.trim_start_matches('\u{feff}')).read_event() {
        Ok(Event::Decl(declaration)) => match declaration.encoding() {
            None => Some(text),
            Some(Ok(encoding)) if encoding.eq_ignore_ascii_case("UTF-8") => Some(text),
            Some(_) => None,
        },
        _ => Some(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_utf8_and_says_nothing_else() {
        for good in [
            "",
            "<a/>",
            "<?xml version='1.0'?><a/>",
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<a>\u{e9}</a>",
        ] {
            assert_eq!(read(good.as_bytes()), Some(good));
        }
        for bad in [
            &b"\xff\xfe<\0a\0/\0>\0"[..],
            b"<\0a\0/\0>\0",
            b"<a>\xe9</a>",
            b"<?xml version=\"1.0\" encoding=\"UTF-7\"?><a/>",
            b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a/>",
            b"\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"UTF-16\"?><a/>",
        ] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}

//! One JSON object on one line, written straight into a buffer: nothing in it can end the line or steer a terminal.

use std::io::Write as _;

use crate::excerpt::is_plain;

/// Writes members in the order in which they are given.
#[derive(Debug)]
pub(super) struct Json<'b>(&'b mut Vec<u8>);

impl<'b> Json<'b> {
    pub(super) fn new(buffer: &'b mut Vec<u8>) -> Self {
        Self(buffer)
    }

    fn separate(&mut self) {
        if !matches!(self.0.last(), None | Some(b'{' | b'[' | b':' | b'\n')) {
            self.0.push(b',');
        }
    }

    /// A name of ours, which has nothing to escape.
    fn name(&mut self, name: &'static str) {
        self.separate();
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    pub(super) fn string(&mut self, name: &'static str, value: &str) {
        self.joined(name, &[value]);
    }

    /// A string of several pieces.
    pub(super) fn joined(&mut self, name: &'static str, pieces: &[&str]) {
        self.name(name);
        self.text(pieces);
    }

    /// Left out when there is none.
    pub(super) fn some(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.string(name, value);
        }
    }

    /// Under a name that is not ours.
    pub(super) fn named(&mut self, name: &str, value: &str) {
        self.separate();
        self.text(&[name]);
        self.0.push(b':');
        self.text(&[value]);
    }

    /// Something whose characters need no escape, as a string.
    pub(super) fn shown(&mut self, name: &'static str, value: impl std::fmt::Display) {
        self.name(name);
        // Writing to a Vec does not fail.
        let _ = write!(self.0, "\"{value}\"");
    }

    pub(super) fn number(&mut self, name: &'static str, value: u64) {
        self.name(name);
        let _ = write!(self.0, "{value}");
    }

    pub(super) fn truth(&mut self, name: &'static str, value: bool) {
        self.name(name);
        self.0.extend_from_slice(if value { b"true" } else { b"false" });
    }

    pub(super) fn object(&mut self, name: &'static str, members: impl FnOnce(&mut Json<'_>)) {
        self.name(name);
        self.braces(members);
    }

    /// An object within a list, or a line.
    pub(super) fn braces(&mut self, members: impl FnOnce(&mut Json<'_>)) {
        self.separate();
        self.0.push(b'{');
        members(&mut Json(self.0));
        self.0.push(b'}');
    }

    pub(super) fn list(&mut self, name: &'static str, items: impl FnOnce(&mut Json<'_>)) {
        self.name(name);
        self.0.push(b'[');
        items(&mut Json(self.0));
        self.0.push(b']');
    }

    /// A string within a list.
    pub(super) fn item(&mut self, value: &str) {
        self.separate();
        self.text(&[value]);
    }

    fn text(&mut self, pieces: &[&str]) {
        self.0.push(b'"');
        for piece in pieces {
            self.piece(piece);
        }
        self.0.push(b'"');
    }

    fn piece(&mut self, text: &str) {
        if is_plain(text) {
            return self.0.extend_from_slice(text.as_bytes());
        }
        let mut plain = 0;
        for (at, character) in text.char_indices() {
            let escape = matches!(character, '"' | '\\' | '\u{2028}' | '\u{2029}') || character.is_control();
            if !escape {
                continue;
            }
            self.0.extend_from_slice(text.as_bytes().get(plain..at).unwrap_or_default());
            plain = at + character.len_utf8();
            let _ = match character {
                '"' => self.0.write(b"\\\""),
                '\\' => self.0.write(b"\\\\"),
                other => self.0.write_fmt(format_args!("\\u{:04x}", u32::from(other))).map(|()| 0),
            };
        }
        self.0.extend_from_slice(text.as_bytes().get(plain..).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    proptest! {
        #[test]
        fn any_text_comes_back_and_no_line_has_a_control_character(text in any::<String>(), other in "[\\x00-\\xff\u{2028}]*") {
            let mut line = Vec::new();
            Json::new(&mut line).braces(|json| {
                json.string("text", &text);
                json.object("inner", |json| json.list("list", |json| { json.item(&other); json.item(&text); }));
                json.number("number", 7);
                json.truth("truth", true);
                json.joined("joined", &[&text, &other]);
                json.named(&format!("{other}!"), &text);
                json.shown("shown", format_args!("{:04X}", 255));
            });
            let line = String::from_utf8(line).unwrap();
            let steers = line.chars().any(|character| character.is_control() || character == '\u{2028}');
            prop_assert!(!steers);
            let read: Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(&read["text"], &Value::from(text.clone()));
            prop_assert_eq!(&read["inner"]["list"], &serde_json::json!([other, text]));
            prop_assert_eq!(&read["number"], &Value::from(7));
            prop_assert_eq!(&read["truth"], &Value::from(true));
            prop_assert_eq!(&read["joined"], &Value::from(format!("{text}{other}")));
            prop_assert_eq!(&read[format!("{other}!")], &Value::from(text.clone()));
            prop_assert_eq!(&read["shown"], &Value::from("00FF"));
        }
    }
}

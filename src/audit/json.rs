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

    fn name(&mut self, name: &str) {
        self.separate();
        self.text(name);
        self.0.push(b':');
    }

    pub(super) fn string(&mut self, name: &str, value: &str) {
        self.name(name);
        self.text(value);
    }

    /// Left out when there is none.
    pub(super) fn some(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.string(name, value);
        }
    }

    /// Numbers and truth values.
    pub(super) fn plain(&mut self, name: &str, value: impl std::fmt::Display) {
        self.name(name);
        // Writing to a Vec does not fail.
        let _ = write!(self.0, "{value}");
    }

    pub(super) fn object(&mut self, name: &str, members: impl FnOnce(&mut Json<'_>)) {
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

    pub(super) fn list(&mut self, name: &str, items: impl FnOnce(&mut Json<'_>)) {
        self.name(name);
        self.0.push(b'[');
        items(&mut Json(self.0));
        self.0.push(b']');
    }

    /// A string within a list.
    pub(super) fn item(&mut self, value: &str) {
        self.separate();
        self.text(value);
    }

    fn text(&mut self, text: &str) {
        self.0.push(b'"');
        if is_plain(text) {
            self.0.extend_from_slice(text.as_bytes());
            return self.0.push(b'"');
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
        self.0.push(b'"');
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
                json.plain("number", 7);
            });
            let line = String::from_utf8(line).unwrap();
            let steers = line.chars().any(|character| character.is_control() || character == '\u{2028}');
            prop_assert!(!steers);
            let read: Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(&read["text"], &Value::from(text.clone()));
            prop_assert_eq!(&read["inner"]["list"], &serde_json::json!([other, text]));
        }
    }
}

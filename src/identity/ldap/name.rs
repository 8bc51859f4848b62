//! One form for texts that a directory takes for the same.

use unicode_normalization::UnicodeNormalization;

use super::Error;

/// Longer ones reach no directory.
const MAX_BYTES: usize = 256;

/// What a directory's matching rules make of a text (RFC 4518, shortened): compatible characters are one, case does not
/// count, nor does the number of spaces.
pub(super) fn fold(text: &str) -> String {
    let mut folded = text.to_owned();
    // A lower-case letter may fall apart, or be joined, once more: `İ` becomes an `i` and a dot.
    for _ in 0..4 {
        let next = squeeze(&folded.nfkc().collect::<String>().to_lowercase());
        if next == folded {
            break;
        }
        folded = next;
    }
    folded
}

fn squeeze(text: &str) -> String {
    let mut squeezed = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !squeezed.is_empty() {
            squeezed.push(' ');
        }
        squeezed.push_str(word);
    }
    squeezed
}

/// What somebody calls himself, in the one form that is searched for, counted and kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LoginName(String);

impl LoginName {
    pub(super) fn read(text: &str) -> Result<Self, Error> {
        // Before anything costs time that grows with it.
        if text.len() > MAX_BYTES {
            return Err(odd("the user name is longer than 256 bytes"));
        }
        if text.chars().any(char::is_control) {
            return Err(odd("the user name has control characters"));
        }
        let folded = fold(text);
        match folded.len() {
            0 => Err(Error::Missing),
            length if length > MAX_BYTES => Err(odd("the user name is longer than 256 bytes")),
            _ => Ok(Self(folded)),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

fn odd(cause: &str) -> Error {
    Error::Refused { cause: cause.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name_are_one_name() {
        for spelling in ["bob", "Bob", " bob ", "BOB", "\u{ff22}\u{ff4f}\u{ff42}", "bob\u{a0}"] {
            assert_eq!(LoginName::read(spelling).unwrap().as_str(), "bob", "{spelling:?}");
        }
        assert_eq!(LoginName::read("Rene\u{301}  Ivanov").unwrap(), LoginName::read("rené ivanov").unwrap());
    }

    #[test]
    fn names_that_nobody_has_are_refused() {
        for odd in ["a\nb", "a\0", "\u{7f}x", &"x".repeat(257), &"\u{fdfa}".repeat(85)] {
            assert!(matches!(LoginName::read(odd), Err(Error::Refused { .. })), "{odd:?}");
        }
        for nothing in ["", "  ", "\u{3000}"] {
            assert!(matches!(LoginName::read(nothing), Err(Error::Missing)), "{nothing:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn folding_twice_changes_nothing(text in "\\PC*") {
            let once = fold(&text);
            proptest::prop_assert_eq!(fold(&once), once);
        }
    }
}

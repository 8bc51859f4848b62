//! Texts that somebody else chose: held to a size, and whether they can be written as they are.

/// As much of it as fits into so many bytes, in whole characters.
pub fn excerpt(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default()
}

/// Whether it is visible ASCII without what JSON escapes: nearly all there is. It looks at every byte, which goes many at a time.
pub(crate) fn is_plain(text: &str) -> bool {
    let other = |byte: &u8| !matches!(byte, b' '..=b'!' | b'#'..=b'[' | b']'..=b'~');
    text.bytes().filter(other).count() == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_a_short_one_is_whole() {
        assert_eq!(excerpt("aé日", 3), "aé");
        assert_eq!(excerpt("aé日", 2), "a");
        assert_eq!(excerpt("aé日", 6), "aé日");
        assert_eq!(excerpt("aé日", 100), "aé日");
        assert_eq!(excerpt("日", 0), "");
    }
}

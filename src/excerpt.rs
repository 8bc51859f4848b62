//! Texts that somebody else chose: held to a size, and whether they can be written as they are.

/// As much of it as fits into so many bytes, in whole characters.
pub fn excerpt(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default()
}

/// Whether it is visible ASCII without what JSON escapes: nearly all there is. It looks at eight bytes at a time.
pub(crate) fn is_plain(text: &str) -> bool {
    let (words, rest) = text.as_bytes().as_chunks();
    words.iter().all(|word| is_plain_word(*word))
        && match text.as_bytes().last_chunk() {
            Some(last) => is_plain_word(*last),
            None => rest.iter().all(|byte| matches!(byte, b' '..=b'!' | b'#'..=b'[' | b']'..=b'~')),
        }
}

fn is_plain_word(bytes: [u8; 8]) -> bool {
    let each = |byte: u8| u64::from_ne_bytes([byte; 8]);
    // Sets the high bit of a byte that is less; of those above it too, but then one is set anyway.
    let less = |word: u64, than: u8| word.wrapping_sub(each(than)) & !word;
    let word = u64::from_ne_bytes(bytes);
    let is = |byte: u8| less(word ^ each(byte), 1);
    (word | less(word, b' ') | is(b'"') | is(b'\\') | is(0x7f)) & each(0x80) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_plain_when_each_of_its_characters_is() {
        let plain = |character: char| matches!(character, ' '..='~') && !matches!(character, '"' | '\\');
        for length in 1..20 {
            for at in 0..length {
                for character in '\0'..='\u{100}' {
                    let text: String =
                        (0..length).map(|place| if place == at { character } else { 'a' }).collect();
                    assert_eq!(is_plain(&text), plain(character), "{text:?}");
                }
            }
        }
        assert!(is_plain(""));
    }

    #[test]
    fn a_text_is_cut_between_characters_and_a_short_one_is_whole() {
        assert_eq!(excerpt("aé日", 3), "aé");
        assert_eq!(excerpt("aé日", 2), "a");
        assert_eq!(excerpt("aé日", 6), "aé日");
        assert_eq!(excerpt("aé日", 100), "aé日");
        assert_eq!(excerpt("日", 0), "");
    }
}

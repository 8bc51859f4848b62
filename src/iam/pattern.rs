//! Texts to compare with: wildcards (`*` is any run of characters, also across `/`, `?` is one character), policy variables,
//! and everything else as itself.
//!
//! A pattern is cut at its stars when it is compiled. Each piece between two stars is looked for once, from the left, and the
//! search for a piece never goes back behind the one before it, so the time grows with the text and not with the stars.

use std::{borrow::Cow, fmt};

use super::variable::{self, Variable};

/// A pattern may hold this many variables; their values stand on the stack while it is matched.
pub(super) const MAX_VARIABLES: usize = 8;

/// A pattern, compiled once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    /// What stands between the stars; one piece: there is no star.
    pieces: Box<[Piece]>,
    variables: Box<[Variable]>,
}

type Piece = Box<[Token]>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Text(Box<str>),
    /// `?`
    One,
    /// The value of one of the pattern's variables, as it is: nothing in it is a wildcard.
    Variable(u8),
}

/// What the variables of a pattern stand for in one request.
pub(super) type VariableValues<'v> = [Cow<'v, str>];

/// A text with `*` and `?` for use outside of policies, as in trust rules. Without variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wildcard {
    written: Box<str>,
    pattern: Pattern,
}

impl Wildcard {
    pub fn new(text: &str) -> Self {
        Self { written: text.into(), pattern: Pattern::new(text) }
    }

    pub fn matches(&self, text: &str) -> bool {
        self.pattern.matches(text)
    }
}

impl fmt::Display for Wildcard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl Pattern {
    /// Wildcards and no variables.
    pub(super) fn new(text: &str) -> Self {
        Self { pieces: text.split('*').map(read_piece).collect(), variables: Box::default() }
    }

    /// With policy variables; `wildcards`: `*` and `?` are more than themselves.
    pub(super) fn with_variables(text: &str, wildcards: bool) -> Result<Self, String> {
        let mut pieces: Vec<Vec<Token>> = vec![Vec::new()];
        let mut variables = Vec::new();
        for part in variable::split(text)? {
            let last = pieces.last_mut().unwrap_or_else(|| unreachable!("there is always a piece"));
            match part {
                variable::Part::Text(text) if wildcards => {
                    let mut between = text.split('*').map(read_piece);
                    last.extend(between.next().unwrap_or_default());
                    pieces.extend(between.map(<[Token]>::into_vec));
                }
                variable::Part::Text(text) => push_text(last, text),
                variable::Part::Literal(character) => push_text(last, character.encode_utf8(&mut [0; 4])),
                variable::Part::Variable(variable) => {
                    let index = u8::try_from(variables.len()).unwrap_or(u8::MAX);
                    if usize::from(index) >= MAX_VARIABLES {
                        return Err(format!("more than {MAX_VARIABLES} variables stand in one value"));
                    }
                    variables.push(variable);
                    last.push(Token::Variable(index));
                }
            }
        }
        let pieces = pieces.into_iter().map(Vec::into_boxed_slice).collect();
        Ok(Self { pieces, variables: variables.into() })
    }

    pub(super) fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// What every text that it matches begins with, and whether that is all of the text.
    pub(super) fn literal_prefix(&self) -> (&str, bool) {
        match self.pieces.first().map(|piece| &**piece) {
            Some([Token::Text(text)]) => (text, self.pieces.len() == 1),
            Some([Token::Text(text), ..]) => (text, false),
            Some([]) => ("", self.pieces.len() == 1),
            Some(_) | None => ("", false),
        }
    }

    /// For a pattern without variables.
    pub(super) fn matches(&self, text: &str) -> bool {
        self.matches_with(text, &[])
    }

    pub(super) fn matches_with(&self, text: &str, values: &VariableValues<'_>) -> bool {
        let Some((first, rest)) = self.pieces.split_first() else { return text.is_empty() };
        let Some(mut text) = strip(first, text, values) else { return false };
        let Some((last, middle)) = rest.split_last() else { return text.is_empty() };
        for piece in middle {
            match find(piece, text, values) {
                Some(after) => text = after,
                None => return false,
            }
        }
        // The last piece stands at the very end; how long it is does not depend on the text.
        let length: usize = last.iter().map(|token| characters(token, values)).sum();
        let Some(start) = length.checked_sub(1) else { return true };
        text.char_indices()
            .rev()
            .nth(start)
            .and_then(|(start, _)| text.get(start..))
            .is_some_and(|end| strip(last, end, values).is_some_and(str::is_empty))
    }

    /// Whether it matches any text that begins so.
    pub(super) fn may_match_below(&self, beginning: &str, values: &VariableValues<'_>) -> bool {
        let Some((first, rest)) = self.pieces.split_first() else { return false };
        let mut text = beginning;
        for token in first {
            text = match token {
                _ if text.is_empty() => return true,
                Token::One => {
                    let mut after = text.chars();
                    after.next();
                    after.as_str()
                }
                _ => {
                    let wanted = text_of(token, values);
                    // Either may be the longer one.
                    match text.strip_prefix(wanted) {
                        Some(after) => after,
                        None => return wanted.starts_with(text),
                    }
                }
            };
        }
        // A star takes whatever is left.
        text.is_empty() || !rest.is_empty()
    }

    /// Whether it matches every text that begins so: a star at its end takes whatever follows.
    pub(super) fn matches_all_below(&self, beginning: &str, values: &VariableValues<'_>) -> bool {
        let ends_with_star = self.pieces.len() > 1 && self.pieces.last().is_some_and(|last| last.is_empty());
        ends_with_star && self.matches_with(beginning, values)
    }

    /// Without wildcards, upper and lower case being the same.
    pub(super) fn equals_ignoring_case(&self, text: &str, values: &VariableValues<'_>) -> bool {
        let tokens = self.pieces.iter().flat_map(|piece| piece.iter());
        let expected = tokens.flat_map(|token| text_of(token, values).chars());
        expected.flat_map(char::to_lowercase).eq(text.chars().flat_map(char::to_lowercase))
    }
}

fn read_piece(text: &str) -> Piece {
    let mut tokens = Vec::new();
    for (index, part) in text.split('?').enumerate() {
        if index > 0 {
            tokens.push(Token::One);
        }
        push_text(&mut tokens, part);
    }
    tokens.into()
}

fn push_text(tokens: &mut Vec<Token>, text: &str) {
    match tokens.last_mut() {
        _ if text.is_empty() => {}
        Some(Token::Text(before)) => *before = format!("{before}{text}").into(),
        _ => tokens.push(Token::Text(text.into())),
    }
}

fn text_of<'a>(token: &'a Token, values: &'a VariableValues<'_>) -> &'a str {
    match token {
        Token::Text(text) => text,
        Token::One => "",
        Token::Variable(index) => values.get(usize::from(*index)).map_or("", |value| value),
    }
}

fn characters(token: &Token, values: &VariableValues<'_>) -> usize {
    match token {
        Token::One => 1,
        _ => text_of(token, values).chars().count(),
    }
}

/// What follows the piece at the beginning of a text.
fn strip<'t>(piece: &[Token], mut text: &'t str, values: &VariableValues<'_>) -> Option<&'t str> {
    for token in piece {
        text = match token {
            Token::One => {
                let mut rest = text.chars();
                rest.next()?;
                rest.as_str()
            }
            _ => text.strip_prefix(text_of(token, values))?,
        };
    }
    Some(text)
}

/// What follows the first place where the piece stands.
fn find<'t>(piece: &[Token], text: &'t str, values: &VariableValues<'_>) -> Option<&'t str> {
    // A plain text is what most pieces are; the search for it is linear.
    if let [Token::Text(wanted)] = piece {
        return text.split_once(&**wanted).map(|(_, after)| after);
    }
    std::iter::successors(Some(text), |text| {
        let mut rest = text.chars();
        rest.next().map(|_| rest.as_str())
    })
    .find_map(|start| strip(piece, start, values))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;

    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html#reference_policies_elements_resource_wildcards>
    #[test]
    fn wildcards_match_as_iam_documents_them() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "a/b", true),
            ("", "", true),
            ("", "a", false),
            ("a", "a", true),
            ("a", "b", false),
            ("a", "A", false),
            ("a*", "a", true),
            ("a*", "ab/c", true),
            ("*a", "ba", true),
            ("*a", "ab", false),
            ("a?c", "abc", true),
            ("a?c", "a/c", true),
            ("a?c", "ac", false),
            ("a?", "aé", true),
            ("*?", "é", true),
            ("*é?", "aéb", true),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c2b", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("*ab", "aab", true),
            ("a**b", "ab", true),
            ("?*", "", false),
            ("*a?b*", "xayyb", false),
            ("*a?b*", "xaayb", true),
            ("a.c", "abc", false),
            ("[a]", "a", false),
            ("[a]", "[a]", true),
            ("home/bob", "home/bobby", false),
            ("home/bob/*", "home/bobby/x", false),
            ("arn:aws:s3:::b/*", "arn:aws:s3:::b", false),
            ("arn:aws:s3:::b/*", "arn:aws:s3:::b/", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn the_value_of_a_variable_is_never_a_wildcard_and_never_read_again() {
        let pattern = Pattern::with_variables("home/${aws:username}/*", true).unwrap();
        let matches = |value: &'static str, text| pattern.matches_with(text, &[Cow::Borrowed(value)]);
        assert!(matches("bob", "home/bob/x"));
        assert!(!matches("bob", "home/bobby/x"));
        assert!(!matches("*", "home/bob/x"));
        assert!(matches("*", "home/*/x"));
        assert!(!matches("b?b", "home/bob/x"));
        assert!(matches("${aws:userid}", "home/${aws:userid}/x"));
        assert!(matches("a/b", "home/a/b/x"));
    }

    #[test]
    fn escaped_characters_are_themselves() {
        let pattern = Pattern::with_variables("a${*}b${?}c${$}*", true).unwrap();
        assert!(pattern.matches("a*b?c$anything"));
        assert!(!pattern.matches("axbycz"));
        let literal = Pattern::with_variables("a*b?", false).unwrap();
        assert!(literal.matches("a*b?") && !literal.matches("axbx"));
    }

    #[test]
    fn the_literal_beginning_is_what_every_match_begins_with() {
        for (pattern, expected) in [
            ("abc", ("abc", true)),
            ("abc*", ("abc", false)),
            ("a?c", ("a", false)),
            ("*", ("", false)),
            ("", ("", true)),
        ] {
            assert_eq!(Pattern::new(pattern).literal_prefix(), expected, "{pattern}");
        }
        let variable = Pattern::with_variables("b/${aws:username}", true).unwrap();
        assert_eq!(variable.literal_prefix(), ("b/", false));
    }

    #[test]
    fn what_a_pattern_can_match_below_a_beginning() {
        for (pattern, beginning, expected) in [
            ("arn:b/*", "arn:b/", true),
            ("arn:b/x", "arn:b/", true),
            ("arn:b", "arn:b/", false),
            ("arn:b?", "arn:b/", true),
            ("arn:*", "arn:b/", true),
            ("arn:b*z", "arn:b/", true),
            ("arn:bb/*", "arn:b/", false),
            ("arn:c/*", "arn:b/", false),
            ("*", "arn:b/", true),
            ("arn:b/", "arn:b/", true),
        ] {
            let found = Pattern::new(pattern).may_match_below(beginning, &[]);
            assert_eq!(found, expected, "{pattern} below {beginning}");
        }
    }

    #[test]
    fn what_a_pattern_matches_all_of_below_a_beginning() {
        for (pattern, beginning, expected) in [
            ("*", "arn:b/", true),
            ("arn:b/*", "arn:b/", true),
            ("arn:b*", "arn:b/", true),
            ("arn:?/*", "arn:b/", true),
            ("arn:b/*x", "arn:b/", false),
            ("arn:b/?*", "arn:b/", false),
            ("arn:b/", "arn:b/", false),
            ("arn:b/x*", "arn:b/", false),
            ("arn:c/*", "arn:b/", false),
        ] {
            let found = Pattern::new(pattern).matches_all_below(beginning, &[]);
            assert_eq!(found, expected, "{pattern} below {beginning}");
        }
    }

    #[test]
    fn many_stars_over_a_long_text_take_the_time_of_one_look_at_it() {
        let text = "a".repeat(200_000);
        let pattern = Pattern::new(&format!("{}b", "*a".repeat(5_000)));
        let started = Instant::now();
        assert!(!pattern.matches(&text));
        assert!(started.elapsed().as_secs() < 5);
    }

    fn slow(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), _) => {
                slow(rest, text) || text.split_first().is_some_and(|(_, tail)| slow(pattern, tail))
            }
            (Some(('?', rest)), Some((_, tail))) => slow(rest, tail),
            (Some((p, rest)), Some((t, tail))) => p == t && slow(rest, tail),
            _ => false,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn a_pattern_matches_what_the_slow_definition_matches(pattern in "[aé*?]{0,8}", text in "[aé*]{0,9}") {
            let expected = slow(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>());
            prop_assert_eq!(Pattern::new(&pattern).matches(&text), expected);
        }
    }
}

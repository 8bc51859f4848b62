//! Wildcards: `*` is any run of characters, also across `/`, `?` is one character; everything else is itself.

/// A pattern, compiled once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    text: Box<str>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Anything,
    Literal,
    /// Ends with its only wildcard, a `*`.
    Prefix,
    Wild,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        let stars = text.matches('*').count();
        let kind = if text == "*" {
            Kind::Anything
        } else if stars == 0 && !text.contains('?') {
            Kind::Literal
        } else if stars == 1 && text.ends_with('*') && !text.contains('?') {
            Kind::Prefix
        } else {
            Kind::Wild
        };
        Self { text: text.into(), kind }
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        match self.kind {
            Kind::Anything => true,
            Kind::Literal => *self.text == *text,
            Kind::Prefix => text.starts_with(self.text.trim_end_matches('*')),
            Kind::Wild => wildcard(&self.text, text, |a, b| a == b),
        }
    }

    /// As [`Self::matches`], but upper and lower case of ASCII letters are the same: actions are compared so.
    pub(super) fn matches_ignore_case(&self, text: &str) -> bool {
        match self.kind {
            Kind::Anything => true,
            Kind::Literal => self.text.eq_ignore_ascii_case(text),
            Kind::Prefix | Kind::Wild => wildcard(&self.text, text, |a, b| a.eq_ignore_ascii_case(&b)),
        }
    }
}

/// Goes back to the last star only, so the time is at most the product of both lengths and there is no recursion.
fn wildcard(pattern: &str, text: &str, same: impl Fn(char, char) -> bool) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    let mut retry: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    loop {
        let mut ahead = pattern.clone();
        match ahead.next() {
            Some('*') => {
                retry = Some((ahead.clone(), text.clone()));
                pattern = ahead;
                continue;
            }
            Some(wanted) => {
                let mut rest = text.clone();
                match rest.next() {
                    Some(given) if wanted == '?' || same(wanted, given) => {
                        (pattern, text) = (ahead, rest);
                        continue;
                    }
                    Some(_) => {}
                    // Nothing is left of the text: no later start of it can help.
                    None => return false,
                }
            }
            None if text.as_str().is_empty() => return true,
            None => {}
        }
        let Some((after_star, from)) = &mut retry else { return false };
        if from.next().is_none() {
            return false;
        }
        (pattern, text) = (after_star.clone(), from.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

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
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c2b", false),
            ("*ab", "aab", true),
            ("a**b", "ab", true),
            ("?*", "", false),
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
    fn actions_are_compared_without_regard_to_case() {
        assert!(Pattern::new("S3:getobject").matches_ignore_case("s3:GetObject"));
        assert!(Pattern::new("s3:GET*").matches_ignore_case("s3:GetObject"));
        assert!(Pattern::new("s3:?etObject").matches_ignore_case("s3:GetObject"));
        assert!(!Pattern::new("s3:Put*").matches_ignore_case("s3:GetObject"));
    }

    #[test]
    fn many_stars_over_a_long_text_do_not_blow_up() {
        let text = "a".repeat(2000);
        let started = Instant::now();
        assert!(!Pattern::new(&format!("{}b", "*a".repeat(30))).matches(&text));
        assert!(started.elapsed().as_secs() < 5);
    }
}

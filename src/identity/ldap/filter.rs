//! Search filters (RFC 4515) with places for a name.

use ldap3::ldap_escape;

use super::SettingsError;

/// A filter of the configuration.
#[derive(Debug, Clone)]
pub(super) struct FilterTemplate {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Username,
    Dn,
}

/// What stands in a filter's places.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names<'n> {
    pub(super) username: &'n str,
    pub(super) dn: &'n str,
}

impl FilterTemplate {
    pub(super) fn read(key: &str, text: &str) -> Result<Self, SettingsError> {
        let text = text.trim();
        let text = if text.starts_with('(') { text.to_owned() } else { format!("({text})") };
        let template = Self { pieces: pieces(&text) };
        let sample = template.fill(Names { username: "x", dn: "cn=x" });
        if ldap3::parse_filter(&sample).is_err() {
            return Err(SettingsError(format!(
                "{key} {text:?} is not a search filter as \"(uid={{username}})\" is"
            )));
        }
        Ok(template)
    }

    pub(super) fn has_username(&self) -> bool {
        self.pieces.contains(&Piece::Username)
    }

    pub(super) fn has_dn(&self) -> bool {
        self.pieces.contains(&Piece::Dn)
    }

    /// With the names in their places, escaped, so that they can only be values. A name that looks like a place is not one.
    pub(super) fn fill(&self, names: Names<'_>) -> String {
        self.pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.into(),
                Piece::Username => ldap_escape(names.username),
                Piece::Dn => ldap_escape(names.dn),
            })
            .collect()
    }

    /// For anybody, whatever the name.
    pub(super) fn fill_any(&self) -> String {
        self.pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.as_str(),
                Piece::Username | Piece::Dn => "*",
            })
            .collect()
    }
}

fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, at)) = rest.split_once('{') {
        let place = [("username}", Piece::Username), ("dn}", Piece::Dn)]
            .into_iter()
            .find_map(|(name, piece)| Some((piece, at.strip_prefix(name)?)));
        let (piece, after) = place.unwrap_or_else(|| (Piece::Text("{".to_owned()), at));
        pieces.extend([Piece::Text(before.to_owned()), piece]);
        rest = after;
    }
    pieces.push(Piece::Text(rest.to_owned()));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_values_and_nothing_else() {
        let template =
            FilterTemplate::read("user_filter", "(&(objectClass=person)(uid={username})(m={dn}))").unwrap();
        let names = Names { username: "*)(uid=*\\\0{dn}", dn: "cn=a\\, (b),dc=x" };
        assert_eq!(
            template.fill(names),
            "(&(objectClass=person)(uid=\\2a\\29\\28uid=\\2a\\5c\\00{dn})(m=cn=a\\5c, \\28b\\29,dc=x))"
        );
    }

    #[test]
    fn the_matching_rule_of_active_directory_is_a_filter() {
        let template = FilterTemplate::read("f", "(member:1.2.840.113556.1.4.1941:={dn})").unwrap();
        assert!(template.has_dn() && !template.has_username());
        let template = FilterTemplate::read("f", "uid={username}").unwrap();
        assert_eq!(template.fill(Names { username: "bob", dn: "" }), "(uid=bob)");
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for text in ["", "()", "(uid={username}", "(&(a=b)(c))", "(uid={username}))", "{username}"] {
            assert!(FilterTemplate::read("f", text).is_err(), "{text}");
        }
    }
}

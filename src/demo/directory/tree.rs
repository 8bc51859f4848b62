//! The directory's entries, and which of them a search finds (RFC 4511, 4.5.1).

use ldap3_proto::{
    LdapFilter, LdapPartialAttribute, LdapResultCode, LdapSearchResultEntry, LdapSearchScope,
    proto::{LdapMatchingRuleAssertion, LdapSearchRequest, LdapSubstringFilter},
};

use crate::identity::ldap::{Dn, DnError};

pub(super) struct Entry {
    dn: Dn,
    /// A name stands once for each of its values.
    attributes: Vec<(&'static str, String)>,
}

/// What a search finds, and how it ends.
pub(super) fn find(
    entries: &[Entry],
    search: &LdapSearchRequest,
) -> (Vec<LdapSearchResultEntry>, LdapResultCode) {
    let base = Dn::parse(&search.base).ok();
    let Some(base) = base.filter(|base| entries.iter().any(|entry| entry.dn == *base)) else {
        return (Vec::new(), LdapResultCode::NoSuchObject);
    };
    let mut found: Vec<_> = entries
        .iter()
        .filter(|entry| entry.is_within(&base, &search.scope) && entry.fits(&search.filter) == Some(true))
        .map(|entry| entry.shown(&search.attrs))
        .collect();
    let limit = usize::try_from(search.sizelimit).unwrap_or(0);
    if limit > 0 && found.len() > limit {
        found.truncate(limit);
        return (found, LdapResultCode::SizeLimitExceeded);
    }
    (found, LdapResultCode::Success)
}

impl Entry {
    pub(super) fn new(dn: &str, attributes: &[(&'static str, &str)]) -> Result<Self, DnError> {
        let attributes = attributes.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Ok(Self { dn: Dn::parse(dn)?, attributes })
    }

    fn is_within(&self, base: &Dn, scope: &LdapSearchScope) -> bool {
        let below = self.dn.as_str().strip_suffix(base.as_str()).and_then(|own| own.strip_suffix(','));
        match scope {
            LdapSearchScope::Base => self.dn == *base,
            // No name in here has an escaped comma.
            LdapSearchScope::OneLevel => below.is_some_and(|own| !own.contains(',')),
            LdapSearchScope::Subtree => self.dn == *base || below.is_some(),
            LdapSearchScope::Children => below.is_some(),
        }
    }

    /// `None`: the filter asks for something that this directory does not know, which is not the same as no.
    fn fits(&self, filter: &LdapFilter) -> Option<bool> {
        match filter {
            LdapFilter::And(parts) => self.combine(parts, false),
            LdapFilter::Or(parts) => self.combine(parts, true),
            LdapFilter::Not(part) => self.fits(part).map(|fits| !fits),
            LdapFilter::Present(name) => Some(self.values(name).next().is_some()),
            LdapFilter::Equality(name, wanted) | LdapFilter::Approx(name, wanted) => {
                Some(self.any(name, |value| same(value, wanted)))
            }
            LdapFilter::GreaterOrEqual(name, least) => {
                Some(self.any(name, |value| value.to_lowercase() >= least.to_lowercase()))
            }
            LdapFilter::LessOrEqual(name, most) => {
                Some(self.any(name, |value| value.to_lowercase() <= most.to_lowercase()))
            }
            LdapFilter::Substring(name, pieces) => Some(self.any(name, |value| holds(value, pieces))),
            LdapFilter::Extensible(LdapMatchingRuleAssertion {
                matching_rule: None,
                type_: Some(name),
                match_value,
                dn_attributes: false,
            }) => Some(self.any(name, |value| same(value, match_value))),
            LdapFilter::Extensible(_) => None,
        }
    }

    /// One part that is `decisive` decides; otherwise one that is not known leaves the whole unknown.
    fn combine(&self, parts: &[LdapFilter], decisive: bool) -> Option<bool> {
        let mut whole = Some(!decisive);
        for part in parts {
            match self.fits(part) {
                Some(fits) if fits == decisive => return Some(decisive),
                Some(_) => {}
                None => whole = None,
            }
        }
        whole
    }

    fn any(&self, name: &str, fits: impl Fn(&str) -> bool) -> bool {
        self.values(name).any(fits)
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.attributes.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    }

    /// With the attributes that were asked for: no name and `*` are all of them, `1.1` is none.
    fn shown(&self, asked: &[String]) -> LdapSearchResultEntry {
        let all = asked.is_empty() || asked.iter().any(|name| name == "*");
        let mut attributes: Vec<LdapPartialAttribute> = Vec::new();
        for (name, value) in &self.attributes {
            if !all && !asked.iter().any(|asked| asked.eq_ignore_ascii_case(name)) {
                continue;
            }
            let value = value.clone().into_bytes();
            match attributes.iter_mut().find(|attribute| attribute.atype == *name) {
                Some(attribute) => attribute.vals.push(value),
                None => {
                    attributes.push(LdapPartialAttribute { atype: (*name).to_owned(), vals: vec![value] });
                }
            }
        }
        LdapSearchResultEntry { dn: self.dn.as_str().to_owned(), attributes }
    }
}

/// Names of entries are the same in any spelling, other texts in any case.
fn same(value: &str, wanted: &str) -> bool {
    match (Dn::parse(value), Dn::parse(wanted)) {
        (Ok(value), Ok(wanted)) => value == wanted,
        _ => value.to_lowercase() == wanted.to_lowercase(),
    }
}

fn holds(value: &str, pieces: &LdapSubstringFilter) -> bool {
    let value = value.to_lowercase();
    let mut rest = value.as_str();
    if let Some(initial) = &pieces.initial {
        let Some(after) = rest.strip_prefix(&initial.to_lowercase()) else { return false };
        rest = after;
    }
    if let Some(last) = &pieces.final_ {
        let Some(before) = rest.strip_suffix(&last.to_lowercase()) else { return false };
        rest = before;
    }
    for piece in &pieces.any {
        let Some((_, after)) = rest.split_once(&piece.to_lowercase()) else { return false };
        rest = after;
    }
    true
}

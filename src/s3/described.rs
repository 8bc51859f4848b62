//! What a small document sets, where policies may ask for it: tags, a retention, a legal hold, a bucket's place. Such a
//! document is read and proven before the decision.

use quick_xml::{Reader, events::Event};

use super::{
    error::{ErrorCode, S3Error},
    xml_text,
};
use crate::clock::Timestamp;

/// `x-amz-object-lock-mode`. Some storages take other spellings, which no policy would be asked with.
pub(super) const LOCK_MODES: &[&str] = &["GOVERNANCE", "COMPLIANCE"];
/// `x-amz-object-lock-legal-hold`
pub(super) const LEGAL_HOLDS: &[&str] = &["ON", "OFF"];

/// What a document says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Described {
    pub tags: Vec<(String, String)>,
    pub lock_mode: Option<String>,
    pub retain_until: Option<String>,
    pub legal_hold: Option<String>,
    pub location: Option<String>,
}

impl Described {
    /// Reads the document of an operation whose conditions may ask for it. No document says nothing. An element that is not
    /// known is refused: a storage could take it for one that is.
    pub fn read(document: &[u8]) -> Result<Self, S3Error> {
        let text = xml_text::read(document).ok_or_else(|| malformed("it is not UTF-8"))?;
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let mut reader = Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        let mut described = Self::default();
        let mut open: Vec<String> = Vec::new();
        let mut value = String::new();
        let mut tag_key: Option<String> = None;
        let mut ended = false;
        loop {
            match reader.read_event().map_err(|_| malformed("it is not XML"))? {
                Event::Start(element) => {
                    value.clear();
                    open.push(element.local_name().as_ref().to_owned());
                    if ended || !is_known(&open) {
                        return Err(malformed("it has an element that does not belong there"));
                    }
                }
                Event::Text(text) => value.push_str(&text),
                Event::GeneralRef(reference) => value.push(character(&reference)?),
                Event::CData(_) | Event::DocType(_) | Event::PI(_) => {
                    return Err(malformed("it has a document type, an instruction or a CDATA section"));
                }
                Event::Empty(_) | Event::Decl(_) | Event::Comment(_) => {}
                Event::End(_) => {
                    let path: Vec<&str> = open.iter().map(String::as_str).collect();
                    described.take(&path, &value, &mut tag_key)?;
                    open.pop();
                    value.clear();
                    ended = open.is_empty();
                }
                Event::Eof if ended => return Ok(described),
                Event::Eof => return Err(malformed("it does not end")),
            }
        }
    }

    fn take(&mut self, path: &[&str], value: &str, tag_key: &mut Option<String>) -> Result<(), S3Error> {
        let (field, fits): (_, fn(&str) -> bool) = match path {
            ["Tagging", "TagSet", "Tag", "Key"] => return once(tag_key, value),
            ["Tagging", "TagSet", "Tag", "Value"] => {
                let key = tag_key.take().ok_or_else(|| malformed("a tag has a value before its key"))?;
                return self.tag(key, value);
            }
            ["Tagging", "TagSet", "Tag"] => {
                // A key without a value: an empty one.
                return tag_key.take().map_or(Ok(()), |key| self.tag(key, ""));
            }
            ["Retention", "Mode"] => (&mut self.lock_mode, |value| LOCK_MODES.contains(&value)),
            ["Retention", "RetainUntilDate"] => {
                (&mut self.retain_until, |value| Timestamp::parse_rfc3339(value).is_some())
            }
            ["LegalHold", "Status"] => (&mut self.legal_hold, |value| LEGAL_HOLDS.contains(&value)),
            ["CreateBucketConfiguration", "LocationConstraint"] => {
                (&mut self.location, |value| value.trim() == value)
            }
            _ => return Ok(()),
        };
        if !fits(value) {
            return Err(malformed("a value is none of those that S3 has"));
        }
        once(field, value)
    }

    fn tag(&mut self, key: String, value: &str) -> Result<(), S3Error> {
        if self.tags.iter().any(|(known, _)| *known == key) {
            return Err(malformed("a tag is given twice"));
        }
        self.tags.push((key, value.to_owned()));
        Ok(())
    }
}

/// Whether an element may stand there. `CreateBucketConfiguration` has tags on AWS, which is a right of its own that no storage
/// behind a gateway knows.
fn is_known(path: &[String]) -> bool {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    matches!(
        path.as_slice(),
        ["Tagging" | "Retention" | "LegalHold" | "CreateBucketConfiguration"]
            | ["Tagging", "TagSet"]
            | ["Tagging", "TagSet", "Tag"]
            | ["Tagging", "TagSet", "Tag", "Key" | "Value"]
            | ["Retention", "Mode" | "RetainUntilDate"]
            | ["LegalHold", "Status"]
            | ["CreateBucketConfiguration", "LocationConstraint"]
    )
}

/// Two values for one thing are two readings of one document.
fn once(field: &mut Option<String>, value: &str) -> Result<(), S3Error> {
    match field.replace(value.to_owned()) {
        None => Ok(()),
        Some(_) => Err(malformed("an element is given twice")),
    }
}

fn character(reference: &quick_xml::events::BytesRef<'_>) -> Result<char, S3Error> {
    if let Ok(Some(character)) = reference.resolve_char_ref() {
        return Ok(character);
    }
    match &**reference {
        "amp" => Ok('&'),
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "quot" => Ok('"'),
        "apos" => Ok('\''),
        _ => Err(malformed("it has an entity that is not XML's own")),
    }
}

fn malformed(why: &'static str) -> S3Error {
    S3Error::new(
        ErrorCode::MalformedXML,
        format!("The XML you provided was not well-formed or did not validate: {why}."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_policies_may_ask_for_is_found() {
        let tags = Described::read(
            b"<?xml version=\"1.0\"?><Tagging xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><TagSet>\
              <Tag><Key>team</Key><Value>a &amp; b&#33;</Value></Tag><Tag><Key>empty</Key></Tag></TagSet></Tagging>",
        );
        let expected = [("team".to_owned(), "a & b!".to_owned()), ("empty".to_owned(), String::new())];
        assert_eq!(tags.unwrap().tags, expected);
        let retention = Described::read(
            b"<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2030-01-01T00:00:00Z</RetainUntilDate></Retention>",
        )
        .unwrap();
        assert_eq!(retention.lock_mode.as_deref(), Some("GOVERNANCE"));
        assert_eq!(retention.retain_until.as_deref(), Some("2030-01-01T00:00:00Z"));
        assert_eq!(Described::read(b"").unwrap(), Described::default());
    }

    #[test]
    fn a_document_with_two_readings_is_refused() {
        for document in [
            "<Retention><Mode>GOVERNANCE</Mode><Mode>COMPLIANCE</Mode></Retention>",
            "<Tagging><TagSet><Tag><Key>a</Key><Key>b</Key><Value>1</Value></Tag></TagSet></Tagging>",
            "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag><Tag><Key>a</Key><Value>2</Value></Tag></TagSet></Tagging>",
            "<Tagging><TagSet><Tag><Value>1</Value><Key>a</Key></Tag></TagSet></Tagging>",
            "<LegalHold><Status>ON</Status>",
            "<!DOCTYPE x [<!ENTITY y \"z\">]><LegalHold><Status>&y;</Status></LegalHold>",
            "<LegalHold><Status>&y;</Status></LegalHold>",
            "<LegalHold><Status><![CDATA[ON]]></Status></LegalHold>",
            "<LegalHold><Status>ON</Status></LegalHold><LegalHold><Status>OFF</Status></LegalHold>",
            "<Hold><Status>ON</Status></Hold>",
            "<LegalHold><status>ON</status></LegalHold>",
            "<LegalHold><Status>on</Status></LegalHold>",
            "<LegalHold><Status/></LegalHold>",
            "<Retention><Mode>compliance</Mode></Retention>",
            "<Retention><Mode> COMPLIANCE</Mode></Retention>",
            "<Retention><RetainUntilDate>20361220T000000Z</RetainUntilDate></Retention>",
            "<Tagging><TagSet><Tag><Key/><Value>1</Value><Value>2</Value></Tag></TagSet></Tagging>",
            "<Tagging><Tag><Key>a</Key><Value>1</Value></Tag></Tagging>",
            "<CreateBucketConfiguration><Tags><Tag><Key>a</Key></Tag></Tags></CreateBucketConfiguration>",
            "<?xml version=\"1.0\" encoding=\"UTF-7\"?><LegalHold><Status>ON</Status></LegalHold>",
            "text",
        ] {
            assert_eq!(
                Described::read(document.as_bytes()).unwrap_err().code,
                ErrorCode::MalformedXML,
                "{document}"
            );
        }
    }
}

//! The body of `DeleteObjects`, and its answer.

use std::fmt::Write as _;

use quick_xml::{Reader, escape::escape, events::Event};

use super::{
    error::{ErrorCode, S3Error},
    permit::DeletePermit,
    profile::Profile,
    target::check_key,
};

/// S3 API reference, `DeleteObjects`.
const MAX_KEYS: usize = 1000;

/// One object to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectIdentifier {
    pub key: String,
    pub version_id: Option<String>,
}

/// What is to be deleted.
#[derive(Debug, PartialEq, Eq)]
pub struct DeleteList {
    pub(super) objects: Vec<ObjectIdentifier>,
    pub(super) quiet: bool,
}

impl DeleteList {
    /// Reads the body strictly: any element that is not known is refused, since it could ask for something.
    pub fn parse(body: &[u8], profile: &Profile) -> Result<Self, S3Error> {
        let text = std::str::from_utf8(body).map_err(|_| malformed("it is not UTF-8"))?;
        let mut reading = Reading::default();
        let mut reader = Reader::from_str(text);
        loop {
            match reader.read_event().map_err(|_| malformed("it is not well-formed"))? {
                Event::Start(start) => reading.open(start.local_name().as_ref())?,
                Event::Empty(start) => {
                    reading.open(start.local_name().as_ref())?;
                    reading.close()?;
                }
                Event::End(_) => reading.close()?,
                Event::Text(piece) => reading.text(&piece)?,
                Event::CData(piece) => reading.text(&piece)?,
                Event::GeneralRef(reference) => {
                    let character = match reference.resolve_char_ref() {
                        Ok(Some(character)) => character,
                        Ok(None) => predefined(&reference)?,
                        Err(_) => return Err(malformed("it has a reference that is no character")),
                    };
                    reading.text(character.encode_utf8(&mut [0; 4]))?;
                }
                Event::DocType(_) => return Err(malformed("it has a document type")),
                Event::PI(_) => return Err(malformed("it has a processing instruction")),
                Event::Decl(_) | Event::Comment(_) => {}
                Event::Eof => break,
            }
        }
        reading.finish(profile)
    }
}

#[derive(Default)]
struct Reading {
    path: Vec<Element>,
    value: String,
    key: Option<String>,
    version_id: Option<String>,
    objects: Vec<ObjectIdentifier>,
    quiet: Option<bool>,
    done: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Element {
    Delete,
    Object,
    Key,
    VersionId,
    Quiet,
}

impl Reading {
    fn open(&mut self, name: &str) -> Result<(), S3Error> {
        use Element as E;
        let element = match (self.path.last(), name) {
            (None, "Delete") if !self.done => E::Delete,
            (Some(E::Delete), "Object") => E::Object,
            (Some(E::Delete), "Quiet") => E::Quiet,
            (Some(E::Object), "Key") => E::Key,
            (Some(E::Object), "VersionId") => E::VersionId,
            (Some(E::Object), "ETag" | "LastModifiedTime" | "Size") => {
                return Err(S3Error::new(
                    ErrorCode::NotImplemented,
                    "Conditions in a multi-object delete are not supported.",
                ));
            }
            _ => return Err(malformed("it has an element that does not belong there")),
        };
        if element == E::Object && self.objects.len() >= MAX_KEYS {
            return Err(malformed("it has more than 1000 keys"));
        }
        self.path.push(element);
        self.value.clear();
        Ok(())
    }

    fn text(&mut self, piece: &str) -> Result<(), S3Error> {
        match self.path.last() {
            Some(Element::Key | Element::VersionId | Element::Quiet) => self.value.push_str(piece),
            _ if piece.trim().is_empty() => {}
            _ => return Err(malformed("it has text where there is none")),
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), S3Error> {
        let value = std::mem::take(&mut self.value);
        let repeated = match self.path.pop() {
            Some(Element::Key) => self.key.replace(value).is_some(),
            Some(Element::VersionId) => self.version_id.replace(value).is_some(),
            Some(Element::Quiet) => {
                let quiet = match value.trim() {
                    "true" => true,
                    "false" => false,
                    _ => return Err(malformed("Quiet is neither true nor false")),
                };
                self.quiet.replace(quiet).is_some()
            }
            Some(Element::Object) => {
                let key = self
                    .key
                    .take()
                    .filter(|key| !key.is_empty())
                    .ok_or_else(|| malformed("an object has no key"))?;
                let version_id = self.version_id.take().filter(|id| !id.is_empty());
                self.objects.push(ObjectIdentifier { key, version_id });
                false
            }
            Some(Element::Delete) => {
                self.done = true;
                false
            }
            None => true,
        };
        if repeated { Err(malformed("it has an element twice")) } else { Ok(()) }
    }

    fn finish(self, profile: &Profile) -> Result<DeleteList, S3Error> {
        if !self.done || !self.path.is_empty() || self.objects.is_empty() {
            return Err(malformed("it is not a whole Delete with at least one object"));
        }
        for object in &self.objects {
            check_key(&object.key, profile)
                .map_err(|error| malformed("a key is not valid").caused_by(error.message))?;
            if object.version_id.as_ref().is_some_and(|id| id.bytes().any(|byte| byte.is_ascii_control())) {
                return Err(malformed("a version id is not valid"));
            }
        }
        Ok(DeleteList { objects: self.objects, quiet: self.quiet.unwrap_or(false) })
    }
}

fn predefined(name: &str) -> Result<char, S3Error> {
    Ok(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => return Err(malformed("it refers to an entity")),
    })
}

fn malformed(why: &str) -> S3Error {
    S3Error::new(
        ErrorCode::MalformedXML,
        "The XML you provided was not well-formed or did not validate against our published schema.",
    )
    .caused_by(why)
}

impl DeletePermit {
    /// The body for the backend: what is allowed, and nothing that the client wrote.
    pub fn to_xml(&self) -> String {
        let mut xml = String::from("<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
        for object in &self.allowed {
            xml.push_str("<Object>");
            write_identifier(&mut xml, object);
            xml.push_str("</Object>");
        }
        let _ = write!(xml, "<Quiet>{}</Quiet></Delete>", self.quiet);
        xml
    }

    /// The backend's answer with the refusals put in; without an answer, the refusals alone.
    pub fn merge(&self, answer: Option<&str>) -> Result<String, S3Error> {
        let mut errors = String::new();
        for (object, error) in &self.denied {
            errors.push_str("<Error>");
            write_identifier(&mut errors, object);
            let _ = write!(
                errors,
                "<Code>{}</Code><Message>{}</Message></Error>",
                error.code.as_str(),
                escape(error.message.as_ref())
            );
        }
        let Some(answer) = answer else {
            return Ok(format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<DeleteResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{errors}</DeleteResult>"
            ));
        };
        if errors.is_empty() {
            return Ok(answer.to_owned());
        }
        // A result of nothing is an empty element.
        let trimmed = answer.trim_end();
        if let Some(at) = trimmed.rfind("</DeleteResult>") {
            let (before, end) = trimmed.split_at(at);
            return Ok(format!("{before}{errors}{end}"));
        }
        if let Some(open) = trimmed.strip_suffix("/>") {
            return Ok(format!("{open}>{errors}</DeleteResult>"));
        }
        Err(S3Error::internal("the backend's answer to a multi-delete is no DeleteResult"))
    }
}

fn write_identifier(xml: &mut String, object: &ObjectIdentifier) {
    // Writing to a String cannot fail.
    let _ = write!(xml, "<Key>{}</Key>", escape(object.key.as_str()));
    if let Some(version_id) = &object.version_id {
        let _ = write!(xml, "<VersionId>{}</VersionId>", escape(version_id.as_str()));
    }
}

//! Whom a certificate names.

use serde_json::{Map, Value};
use x509_parser::{
    certificate::X509Certificate, extensions::GeneralName, oid_registry::OID_X509_COMMON_NAME,
    oid_registry::OID_X509_ORGANIZATION_NAME, oid_registry::OID_X509_ORGANIZATIONAL_UNIT, oid_registry::Oid,
    x509::X509Name,
};

/// Of the name that stands for a certificate, in bytes: it becomes part of ARNs and of tokens.
const MAX_SUBJECT: usize = 1024;
const SPIFFE: &str = "spiffe://";

/// The names of a certificate, each of them readable: no control characters, so that none can end early for one reader and go on
/// for another.
#[derive(Debug)]
pub(super) struct Names {
    common_name: Option<String>,
    organizations: Vec<String>,
    units: Vec<String>,
    dns: Vec<String>,
    uris: Vec<String>,
    emails: Vec<String>,
    issuer_common_name: Option<String>,
    serial: String,
}

impl Names {
    pub(super) fn read(certificate: &X509Certificate<'_>) -> Result<Self, String> {
        let subject = certificate.subject();
        let mut names = Self {
            common_name: common_name(subject)?,
            organizations: attributes(subject, &OID_X509_ORGANIZATION_NAME, "organization")?,
            units: attributes(subject, &OID_X509_ORGANIZATIONAL_UNIT, "organizational unit")?,
            dns: Vec::new(),
            uris: Vec::new(),
            emails: Vec::new(),
            // The authority wrote it about itself; one that cannot be read says nothing.
            issuer_common_name: common_name(certificate.issuer()).unwrap_or_default(),
            serial: hex::encode(certificate.raw_serial()),
        };
        let alternatives = certificate.subject_alternative_name();
        let alternatives =
            alternatives.map_err(|_| "the subject alternative names cannot be read".to_owned())?;
        for name in alternatives.iter().flat_map(|extension| &extension.value.general_names) {
            names.add(name)?;
        }
        // SPIFFE, X509-SVID, 2: "An X.509 SVID MUST contain exactly one URI SAN".
        if names.uris.len() > 1 && names.uris.iter().any(|uri| is_spiffe(uri)) {
            return Err("the certificate has a SPIFFE ID and another URI".to_owned());
        }
        Ok(names)
    }

    fn add(&mut self, name: &GeneralName<'_>) -> Result<(), String> {
        let (kind, names, text) = match name {
            GeneralName::DNSName(text) => ("DNS name", &mut self.dns, text),
            GeneralName::URI(text) => ("URI", &mut self.uris, text),
            GeneralName::RFC822Name(text) => ("e-mail address", &mut self.emails, text),
            GeneralName::Invalid(..) => {
                return Err("a subject alternative name cannot be read".to_owned());
            }
            GeneralName::OtherName(..)
            | GeneralName::X400Address(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::IPAddress(_)
            | GeneralName::RegisteredID(_) => return Ok(()),
        };
        names.push(readable(text, kind)?);
        Ok(())
    }

    /// One name for the certificate, with its kind before it.
    pub(super) fn subject(&self) -> Result<String, String> {
        let ways = [
            ("uri", self.uris.first()),
            ("cn", self.common_name.as_ref()),
            ("dns", self.dns.first()),
            ("email", self.emails.first()),
        ];
        let named = ways.into_iter().find_map(|(kind, name)| Some(format!("{kind}:{}", name?)));
        match named {
            None => Err("the certificate has neither a common name nor an alternative one".to_owned()),
            Some(subject) if subject.len() > MAX_SUBJECT => {
                Err(format!("the name of the certificate is longer than {MAX_SUBJECT} bytes"))
            }
            Some(subject) => Ok(subject),
        }
    }

    /// The common name as the name of one policy. MinIO cuts it at commas; a list of policies is not a name.
    pub(super) fn policy(&self) -> Result<String, String> {
        let name = self.common_name.as_ref();
        let name = name.ok_or_else(|| "the certificate has no common name to name a policy".to_owned())?;
        if name.contains([',', '*', '?', '/', '\\']) {
            return Err("the common name has characters that no policy has in its name".to_owned());
        }
        Ok(name.clone())
    }

    /// What policies and trust rules may ask. What is not there has no claim, not an empty one.
    pub(super) fn said(&self) -> Map<String, Value> {
        let one = |name: &Option<String>| name.clone().map(Value::String);
        let many = |names: &[String]| (!names.is_empty()).then(|| Value::from(names.to_vec()));
        [
            ("cn", one(&self.common_name)),
            ("o", many(&self.organizations)),
            ("ou", many(&self.units)),
            ("san_dns", many(&self.dns)),
            ("san_uri", many(&self.uris)),
            ("san_email", many(&self.emails)),
            ("issuer_cn", one(&self.issuer_common_name)),
            ("serial", Some(Value::String(self.serial.clone()))),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect()
    }
}

fn is_spiffe(uri: &str) -> bool {
    uri.get(..SPIFFE.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(SPIFFE))
}

fn common_name(name: &X509Name<'_>) -> Result<Option<String>, String> {
    let mut names = attributes(name, &OID_X509_COMMON_NAME, "common name")?;
    match names.len() {
        0 | 1 => Ok(names.pop()),
        _ => Err("there is more than one common name".to_owned()),
    }
}

fn attributes(name: &X509Name<'_>, kind: &Oid<'_>, called: &str) -> Result<Vec<String>, String> {
    name.iter_attributes()
        .filter(|attribute| attribute.attr_type() == kind)
        .map(|attribute| {
            let text = attribute.as_str().map_err(|_| format!("the {called} cannot be read"))?;
            readable(text, called)
        })
        .collect()
}

fn readable(text: &str, called: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err(format!("the {called} is empty"));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("the {called} has control characters"));
    }
    Ok(text.to_owned())
}

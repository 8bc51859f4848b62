//! Distinguished names (RFC 4514), in one form for each name.

use std::{fmt, iter::Peekable, str::Chars};

use super::name::fold;

/// Longer ones belong to nobody, and would not fit into a session.
const MAX_BYTES: usize = 2048;

/// A distinguished name in its canonical form.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dn(String);

/// Why a text is no distinguished name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a distinguished name as \"cn=analysts,ou=groups,dc=example,dc=org\" is")]
pub struct DnError(pub String);

impl Dn {
    pub fn parse(text: &str) -> Result<Self, DnError> {
        let malformed = || DnError(text.chars().take(200).collect());
        if text.len() > MAX_BYTES {
            return Err(malformed());
        }
        Parser { rest: text.chars().peekable() }.name().map(Self).ok_or_else(malformed)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Dn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

struct Parser<'t> {
    rest: Peekable<Chars<'t>>,
}

impl Parser<'_> {
    fn name(&mut self) -> Option<String> {
        let mut parts = vec![self.relative_name()?];
        while let Some(separator) = self.rest.next() {
            if separator != ',' {
                return None;
            }
            parts.push(self.relative_name()?);
        }
        Some(parts.join(","))
    }

    /// One step of the name: one attribute, or several that are joined by `+`, in no order.
    fn relative_name(&mut self) -> Option<String> {
        let mut attributes = vec![self.attribute()?];
        while self.rest.next_if_eq(&'+').is_some() {
            attributes.push(self.attribute()?);
        }
        attributes.sort();
        Some(attributes.join("+"))
    }

    fn attribute(&mut self) -> Option<String> {
        self.skip_spaces();
        let mut kind = String::new();
        while let Some(character) = self.rest.next_if(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))
        {
            kind.push(character.to_ascii_lowercase());
        }
        self.skip_spaces();
        self.rest.next_if_eq(&'=')?;
        self.skip_spaces();
        let value = match self.rest.peek() {
            Some('#') => self.encoded()?,
            Some('"') => written(&self.quoted()?)?,
            _ => written(&self.plain()?)?,
        };
        self.skip_spaces();
        Some(format!("{}={value}", attribute_type(&kind)?))
    }

    fn skip_spaces(&mut self) {
        while self.rest.next_if_eq(&' ').is_some() {}
    }

    fn plain(&mut self) -> Option<String> {
        let mut bytes = Vec::new();
        while let Some(character) = self.rest.next_if(|c| !matches!(c, ',' | '+')) {
            match character {
                '\\' => self.escaped(&mut bytes)?,
                '"' | ';' | '<' | '>' | '\0' => return None,
                character => push(&mut bytes, character),
            }
        }
        String::from_utf8(bytes).ok()
    }

    /// As in RFC 2253 and in what people write into files.
    fn quoted(&mut self) -> Option<String> {
        self.rest.next_if_eq(&'"')?;
        let mut bytes = Vec::new();
        loop {
            match self.rest.next()? {
                '"' => break String::from_utf8(bytes).ok(),
                '\\' => self.escaped(&mut bytes)?,
                '\0' => break None,
                character => push(&mut bytes, character),
            }
        }
    }

    /// What follows a backslash: a character that means something else without it, or two hexadecimal digits.
    fn escaped(&mut self, bytes: &mut Vec<u8>) -> Option<()> {
        let first = self.rest.next()?;
        if matches!(first, ' ' | '"' | '#' | '+' | ',' | ';' | '<' | '=' | '>' | '\\') {
            push(bytes, first);
        } else {
            bytes.push(byte(first, self.rest.next()?)?);
        }
        Some(())
    }

    /// `#` and the value's BER encoding. A text is that text; anything else stays as it is.
    fn encoded(&mut self) -> Option<String> {
        self.rest.next_if_eq(&'#')?;
        let mut bytes = Vec::new();
        while let Some(first) = self.rest.next_if(char::is_ascii_hexdigit) {
            bytes.push(byte(first, self.rest.next()?)?);
        }
        let [kind, length, content @ ..] = bytes.as_slice() else { return None };
        // UTF8String, PrintableString, TeletexString, IA5String, OCTET STRING
        let is_text =
            matches!(kind, 0x0c | 0x13 | 0x14 | 0x16 | 0x04) && usize::from(*length) == content.len();
        match std::str::from_utf8(content) {
            Ok(text) if is_text && *length < 0x80 => written(text),
            _ => Some(format!("#{}", hex::encode(&bytes))),
        }
    }
}

fn push(bytes: &mut Vec<u8>, character: char) {
    bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

fn byte(first: char, second: char) -> Option<u8> {
    let digits = first.to_digit(16)? * 16 + second.to_digit(16)?;
    u8::try_from(digits).ok()
}

/// A value as it stands in the canonical form.
fn written(value: &str) -> Option<String> {
    let folded = fold(value);
    if folded.is_empty() {
        return None;
    }
    let mut text = String::with_capacity(folded.len());
    for (at, character) in folded.char_indices() {
        match character {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => text.extend(['\\', character]),
            '#' if at == 0 => text.push_str("\\#"),
            control if control.is_control() => {
                for byte in control.encode_utf8(&mut [0; 4]).bytes() {
                    text.push('\\');
                    text.push_str(&hex::encode([byte]));
                }
            }
            character => text.push(character),
        }
    }
    Some(text)
}

/// One spelling for attribute types that have several (RFC 4519; `e` as X.509 tools write it).
fn attribute_type(kind: &str) -> Option<&str> {
    let number = kind.strip_prefix("oid.").unwrap_or(kind);
    let name = match number {
        "2.5.4.3" | "commonname" => "cn",
        "2.5.4.4" | "surname" => "sn",
        "2.5.4.5" => "serialnumber",
        "2.5.4.6" | "countryname" => "c",
        "2.5.4.7" | "localityname" => "l",
        "2.5.4.8" | "stateorprovincename" | "s" => "st",
        "2.5.4.9" | "streetaddress" => "street",
        "2.5.4.10" | "organizationname" => "o",
        "2.5.4.11" | "organizationalunitname" => "ou",
        "2.5.4.12" => "title",
        "2.5.4.41" => "name",
        "2.5.4.42" | "gn" => "givenname",
        "0.9.2342.19200300.100.1.1" | "userid" => "uid",
        "0.9.2342.19200300.100.1.3" | "rfc822mailbox" => "mail",
        "0.9.2342.19200300.100.1.25" | "domaincomponent" => "dc",
        "1.2.840.113549.1.9.1" | "e" | "email" => "emailaddress",
        other => other,
    };
    let begins_well = |part: &str| part == "0" || !(part.is_empty() || part.starts_with('0'));
    let is_number = name.contains('.')
        && name.split('.').all(|part| begins_well(part) && part.bytes().all(|b| b.is_ascii_digit()));
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic()) && !name.contains('.');
    (is_number || is_name).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        Dn::parse(text).unwrap_or_else(|cause| panic!("{cause}")).0
    }

    #[test]
    fn spellings_of_one_name_are_one_name() {
        let names: &[(&str, &[&str])] = &[
            (
                "cn=bob,ou=people,dc=example,dc=org",
                &[
                    "CN=Bob,OU=People,DC=Example,DC=Org",
                    "cn = bob , ou=people,  dc=example ,dc=org ",
                    "2.5.4.3=BOB,OID.2.5.4.11=people,domainComponent=example,0.9.2342.19200300.100.1.25=org",
                    "cn=\"Bob\",ou=people,dc=example,dc=org",
                    "cn=#0c03426f62,ou=people,dc=example,dc=org",
                    "cn=\\62o\\62,ou=people,dc=example,dc=org",
                    "cn=\u{ff22}\u{ff2f}\u{ff22},ou=people,dc=example,dc=org",
                    "cn=\\ bob\\ ,ou=people,dc=example,dc=org",
                ],
            ),
            (
                "cn=smith\\, john,dc=x",
                &["CN=Smith\\, John,DC=x", "cn=Smith\\2C  John,dc=x", "cn=\"Smith, John\",dc=x"],
            ),
            (
                "cn=a\\+b\\\"c\\\\d\\<e\\>f\\;g=h,dc=x",
                &["cn=a\\+b\\22c\\5cd\\3ce\\3Ef\\3bg\\=h,dc=x", "cn=\"a+b\\\"c\\\\d<e>f;g=h\",dc=x"],
            ),
            ("cn=\\#1 team,dc=x", &["cn=\\#1 Team,dc=x", "cn=\\231 team,dc=x"]),
            (
                "cn=иван,dc=x",
                &["cn=Иван,dc=x", "CN=\\D0\\98\\D0\\B2\\D0\\B0\\D0\\BD,dc=x", "cn=\"ИВАН\",dc=x"],
            ),
            ("cn=rené,dc=x", &["cn=Rene\u{301},dc=x", "cn=Ren\\C3\\A9,dc=x"]),
            ("cn=b+uid=a,dc=x", &["uid=a+cn=b,dc=x", "CN=B + UID=A,dc=x"]),
            ("cn=x,1.2.3.4=#020107", &["cn=x,1.2.3.4=#020107", "cn=x,OID.1.2.3.4=#020107"]),
            ("cn=a cnf:1,dc=x", &["CN=a\\0ACNF:1,DC=x"]),
        ];
        for (wanted, spellings) in names {
            assert_eq!(canonical(wanted), *wanted, "the canonical form is not its own");
            for spelling in *spellings {
                assert_eq!(canonical(spelling), *wanted, "{spelling:?}");
            }
        }
    }

    #[test]
    fn what_looks_alike_stays_apart() {
        for (one, other) in [
            ("cn=a,ou=b,dc=x", "cn=a\\,ou=b,dc=x"),
            ("cn=a+ou=b", "cn=a\\+ou=b"),
            ("cn=a,dc=x", "uid=a,dc=x"),
            ("cn=a b", "cn=ab"),
            ("cn=#020107", "cn=\\#020107"),
            ("cn=a,dc=x,dc=y", "cn=a,dc=y,dc=x"),
        ] {
            assert_ne!(canonical(one), canonical(other));
        }
    }

    #[test]
    fn malformed_names_are_refused() {
        for text in [
            "",
            " ",
            "bob",
            "cn",
            "cn=",
            "cn= ",
            "=bob",
            "cn=a,",
            ",cn=a",
            "cn=a,,dc=x",
            "cn=a+",
            "cn=a\\",
            "cn=a\\4",
            "cn=a\\zz",
            "cn=\"a",
            "cn=\"a\"b",
            "cn=a\"b",
            "cn=a;dc=x",
            "cn=a<b",
            "cn=a\0",
            "cn=#",
            "cn=#0",
            "cn=#0c03zz",
            "cn=#0c01ff61zz",
            "cn=\\ff",
            "c n=a",
            "1.=a",
            "1..2=a",
            "1=a",
            "-cn=a",
            "cn=a\\,=b,x",
            "*",
            "bob@example.org",
            "EXAMPLE\\bob",
        ] {
            assert!(Dn::parse(text).is_err(), "{text:?} is read as {:?}", Dn::parse(text));
        }
        assert!(Dn::parse(&format!("cn={}", "a".repeat(3000))).is_err());
    }

    proptest::proptest! {
        #[test]
        fn the_canonical_form_is_its_own(
            values in proptest::collection::vec(("[a-z]{1,3}|2\\.5\\.4\\.[0-9]{1,2}", "\\PC{1,8}|[ ,+\"\\\\<>;=#a-z\u{0}-\u{1f}]{1,8}"), 1..4),
        ) {
            let escape = |value: &str| value.bytes().flat_map(|byte| ["\\".to_owned(), hex::encode([byte])]).collect::<String>();
            let text: Vec<String> = values.iter().map(|(kind, value)| format!("{kind}={}", escape(value))).collect();
            if let Ok(name) = Dn::parse(&text.join(",")) {
                proptest::prop_assert_eq!(Dn::parse(name.as_str()), Ok(name));
            }
        }

        #[test]
        fn nothing_is_read_that_is_not_read_again(text in "(cn|ou)=[\\PC,+= \\\\\"#]{1,12}") {
            if let Ok(name) = Dn::parse(&text) {
                proptest::prop_assert_eq!(Dn::parse(name.as_str()), Ok(name));
            }
        }
    }
}

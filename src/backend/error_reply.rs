//! What the backend says when it refuses: read under a limit, kept as code and message, never copied.
//!
//! An error body of an S3 server can describe the request it got, and that one is signed with the root keys. So nothing
//! of it passes as it is: the parts that a client needs are taken out, the rest is dropped.

use http::StatusCode;
use quick_xml::{Reader, events::Event};

/// The largest error body that is read; S3's own are a few hundred bytes.
pub const MAX_ERROR_BODY: usize = 64 * 1024;

/// Codes by which a backend says that **our** request was not properly signed, dated or known: our fault or our
/// operator's, never the client's.
const ABOUT_OUR_SIGNATURE: &[&str] = &[
    "AuthorizationHeaderMalformed",
    "AuthorizationQueryParametersError",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidSecurity",
    "InvalidToken",
    "MissingAuthenticationToken",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "UnauthorizedAccess",
    "XAmzContentSHA256Mismatch",
];

/// The elements of an S3 error that name the client's own input and so may be repeated to it.
const REPEATABLE: &[&str] = &[
    "ArgumentName",
    "ArgumentValue",
    "BucketName",
    "Condition",
    "ETag",
    "Key",
    "MaxSizeAllowed",
    "MinSizeAllowed",
    "PartNumber",
    "ProposedSize",
    "UploadId",
    "VersionId",
];

/// A refusal of the backend, reduced to what a client may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorReply {
    pub status: StatusCode,
    pub code: String,
    pub message: String,
    pub elements: Vec<(&'static str, String)>,
}

/// Why a refusal of the backend cannot be passed on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnfitReply {
    /// The root keys, the region or the clock are wrong: an operator must act.
    #[error("the backend refused our own signature: {code}")]
    OurSignature { code: String },
    #[error("the backend's error body is not an S3 error: {reason}")]
    NotAnS3Error { reason: &'static str },
}

impl ErrorReply {
    /// Reads a body of at most [`MAX_ERROR_BODY`] bytes.
    pub fn read(status: StatusCode, body: &[u8], root_access_key_id: &str) -> Result<Self, UnfitReply> {
        let text =
            std::str::from_utf8(body).map_err(|_| UnfitReply::NotAnS3Error { reason: "it is not UTF-8" })?;
        let mut reply = Self { status, code: String::new(), message: String::new(), elements: Vec::new() };
        let filled = reply.fill(text);
        if ABOUT_OUR_SIGNATURE.contains(&reply.code.as_str()) {
            return Err(UnfitReply::OurSignature { code: reply.code });
        }
        filled?;
        if reply.code.is_empty() || reply.code.contains(root_access_key_id) {
            return Err(UnfitReply::NotAnS3Error { reason: "it has no Code" });
        }
        if reply.message.contains(root_access_key_id) {
            "The backend refused the request.".clone_into(&mut reply.message);
        }
        Ok(reply)
    }

    fn fill(&mut self, text: &str) -> Result<(), UnfitReply> {
        let mut reader = Reader::from_str(text);
        let mut path: Vec<String> = Vec::new();
        let mut value = String::new();
        loop {
            match reader.read_event() {
                Ok(Event::Start(start)) => {
                    path.push(start.local_name().as_ref().to_owned());
                    value.clear();
                    if path.len() > 8 {
                        return Err(UnfitReply::NotAnS3Error { reason: "it is nested too deep" });
                    }
                }
                Ok(Event::Text(piece)) => value.push_str(&piece),
                Ok(Event::GeneralRef(reference)) => push_reference(&mut value, &reference),
                Ok(Event::End(_)) => {
                    if let [root, element] = path.as_slice()
                        && root == "Error"
                    {
                        self.take(element, &value);
                    }
                    path.pop();
                    value.clear();
                }
                Ok(Event::Eof) => return Ok(()),
                Ok(Event::DocType(_)) => return Err(UnfitReply::NotAnS3Error { reason: "it has a DTD" }),
                Ok(_) => {}
                Err(_) => return Err(UnfitReply::NotAnS3Error { reason: "it is not XML" }),
            }
        }
    }

    fn take(&mut self, element: &str, value: &str) {
        match element {
            "Code" => value.clone_into(&mut self.code),
            "Message" => value.clone_into(&mut self.message),
            other => {
                if let Some(name) = REPEATABLE.iter().find(|name| **name == other) {
                    self.elements.push((name, value.to_owned()));
                }
            }
        }
    }
}

fn push_reference(value: &mut String, reference: &quick_xml::events::BytesRef<'_>) {
    if let Ok(Some(character)) = reference.resolve_char_ref() {
        value.push(character);
        return;
    }
    match &**reference {
        "amp" => value.push('&'),
        "lt" => value.push('<'),
        "gt" => value.push('>'),
        "quot" => value.push('"'),
        "apos" => value.push('\''),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<ErrorReply, UnfitReply> {
        ErrorReply::read(StatusCode::NOT_FOUND, body.as_bytes(), "ROOTKEY")
    }

    #[test]
    fn code_message_and_the_clients_own_names_are_kept_and_nothing_else() {
        let reply = read(
            "<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Message>no &quot;a&#38;b&quot; here</Message>\
             <Key>a&amp;b</Key><Resource>/b/a</Resource><RequestId>1</RequestId><HostId>h</HostId><Endpoint>10.0.0.1</Endpoint></Error>",
        )
        .unwrap();
        assert_eq!(reply.code, "NoSuchKey");
        assert_eq!(reply.message, "no \"a&b\" here");
        assert_eq!(reply.elements, [("Key", "a&b".to_owned())]);
    }

    #[test]
    fn a_refusal_of_our_own_signature_is_not_passed_on() {
        let refused =
            read("<Error><Code>SignatureDoesNotMatch</Code><StringToSign>AWS4</StringToSign></Error>");
        assert_eq!(refused, Err(UnfitReply::OurSignature { code: "SignatureDoesNotMatch".to_owned() }));
    }

    #[test]
    fn a_message_that_repeats_the_root_key_is_replaced() {
        let reply =
            read("<Error><Code>AccessDenied</Code><Message>ROOTKEY may not</Message></Error>").unwrap();
        assert_eq!((reply.code.as_str(), reply.message.contains("ROOTKEY")), ("AccessDenied", false));
    }

    #[test]
    fn html_other_xml_and_bytes_are_not_s3_errors() {
        for body in [
            "<html><body>502</body></html>",
            "",
            "plain",
            "<Error/>",
            "<!DOCTYPE x><Error><Code>A</Code></Error>",
        ] {
            assert!(matches!(read(body), Err(UnfitReply::NotAnS3Error { .. })), "{body}");
        }
        let bytes = ErrorReply::read(StatusCode::BAD_GATEWAY, &[0xff, 0xfe], "ROOTKEY");
        assert!(matches!(bytes, Err(UnfitReply::NotAnS3Error { .. })));
    }
}

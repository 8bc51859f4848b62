//! `ListBuckets` for somebody who may not see every bucket: the reply without the others.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use quick_xml::{Reader, events::Event};

use super::{Gateway, record::Record, reply::ReplyBody, s3_errors, xml};
use crate::{
    audit::Recorded,
    backend::{Outgoing, Progress, owner::OwnerFilter},
    clock::Timestamp,
    s3::{Permit, S3Error, Subject, may_see_bucket},
};

/// Ten thousand buckets are about 1.5 MiB.
const MAX_LIST: usize = 16 * 1024 * 1024;

impl Gateway {
    pub(super) async fn list_buckets(
        &self,
        permit: &Permit,
        recorded: &Recorded,
        headers: &HeaderMap,
        subject: Subject<'_>,
        now: Timestamp,
        record: &mut Record,
    ) -> Result<Response<ReplyBody>, S3Error> {
        let reply = self.ask(recorded, permit, Outgoing::Nothing, &Progress::start(), now, record).await;
        let reply = reply.map_err(|error| s3_errors::of_exchange(&error))?;
        if reply.status() != StatusCode::OK {
            return self.pass_on(permit, reply, record).await;
        }
        let document = self.read_whole(reply.into_body(), MAX_LIST).await?;
        let document = std::str::from_utf8(&document).map_err(S3Error::internal)?;
        let shown = keep_buckets(document, |bucket| may_see_bucket(bucket, permit, headers, subject))
            .ok_or_else(|| S3Error::internal("the backend's list of buckets cannot be read"))?;
        let mut filter = OwnerFilter::new(self.shown_owner());
        let mut bytes = filter.push(Bytes::from(shown)).map_err(S3Error::internal)?.to_vec();
        bytes.extend_from_slice(&filter.finish());
        Ok(xml(StatusCode::OK, String::from_utf8(bytes).map_err(S3Error::internal)?))
    }
}

/// The document without the `Bucket` elements whose name is not kept; `None`: it is not of the form that S3 has.
fn keep_buckets(document: &str, keep: impl Fn(&str) -> bool) -> Option<String> {
    let mut reader = Reader::from_str(document);
    let mut kept = String::with_capacity(document.len());
    let mut copied = 0;
    let mut path: Vec<String> = Vec::new();
    let mut begins = 0;
    let mut name: Option<String> = None;
    loop {
        let before = usize::try_from(reader.buffer_position()).ok()?;
        let event = reader.read_event().ok()?;
        let after = usize::try_from(reader.buffer_position()).ok()?;
        match event {
            Event::Start(start) => {
                path.push(start.local_name().as_ref().to_owned());
                if is(&path, &["ListAllMyBucketsResult", "Buckets", "Bucket"]) {
                    (begins, name) = (before, None);
                } else if is(&path, &["ListAllMyBucketsResult", "Buckets", "Bucket", "Name"]) {
                    name.is_none().then(|| name = Some(String::new()))?;
                }
            }
            Event::Text(text) if path.last().is_some_and(|last| last == "Name") => {
                name.as_mut()?.push_str(&text);
            }
            Event::End(_) => {
                if is(&path, &["ListAllMyBucketsResult", "Buckets", "Bucket"]) {
                    kept.push_str(document.get(copied..begins)?);
                    if keep(name.as_deref()?) {
                        kept.push_str(document.get(begins..after)?);
                    }
                    copied = after;
                }
                path.pop()?;
            }
            Event::Eof if path.is_empty() => {
                kept.push_str(document.get(copied..)?);
                return Some(kept);
            }
            Event::Eof | Event::DocType(_) | Event::CData(_) | Event::GeneralRef(_) => return None,
            Event::Text(_) | Event::Empty(_) | Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
        }
    }
}

fn is(path: &[String], wanted: &[&str]) -> bool {
    path.iter().map(String::as_str).eq(wanted.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_kept_buckets_stay_and_everything_else_is_as_it_was() {
        let list = "<?xml version=\"1.0\"?><ListAllMyBucketsResult xmlns=\"x\"><Owner><ID>o</ID></Owner><Buckets>\
                    <Bucket><Name>a</Name><CreationDate>1</CreationDate></Bucket> <Bucket><Name>b</Name></Bucket>\
                    <Bucket><Name>c</Name></Bucket></Buckets><Prefix></Prefix></ListAllMyBucketsResult>";
        let kept = keep_buckets(list, |name| name != "b").unwrap();
        assert_eq!(kept, list.replace("<Bucket><Name>b</Name></Bucket>", ""));
        assert_eq!(keep_buckets(list, |_| true).unwrap(), list);
    }

    #[test]
    fn a_list_of_another_form_is_not_shown() {
        for list in [
            "<ListAllMyBucketsResult><Buckets><Bucket></Bucket></Buckets></ListAllMyBucketsResult>",
            "<ListAllMyBucketsResult><Buckets><Bucket><Name>a</Name><Name>b</Name></Bucket></Buckets></ListAllMyBucketsResult>",
            "<ListAllMyBucketsResult><Buckets>",
            "<ListAllMyBucketsResult><Buckets><Bucket><Name>a&amp;b</Name></Bucket></Buckets></ListAllMyBucketsResult>",
        ] {
            assert_eq!(keep_buckets(list, |_| true), None, "{list}");
        }
    }
}

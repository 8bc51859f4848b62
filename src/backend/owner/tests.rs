use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

const REPLY: &str = "<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"x\"><Name>b</Name><Contents><Key>Owner</Key>\
    <Owner><ID>ROOTKEY</ID><DisplayName>root &amp; co</DisplayName></Owner></Contents><ID>kept</ID>\
    <Location>http://10.0.0.1:9000/b/k</Location><Grantee xmlns:xsi=\"y\" xsi:type=\"CanonicalUser\"><ID>ROOTKEY</ID></Grantee></ListBucketResult>";
const SHOWN: &str = "<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"x\"><Name>b</Name><Contents><Key>Owner</Key>\
    <Owner><ID>id</ID><DisplayName>us</DisplayName></Owner></Contents><ID>kept</ID>\
    <Location>/b/k</Location><Grantee xmlns:xsi=\"y\" xsi:type=\"CanonicalUser\"><ID>id</ID></Grantee></ListBucketResult>";

fn filter() -> OwnerFilter {
    OwnerFilter::new(ShownOwner { id: "id".to_owned(), display_name: "us".to_owned() })
}

/// What a client gets of a reply that comes in pieces of these sizes, one after the other and again.
fn shown_in_pieces(reply: &str, sizes: &[usize]) -> String {
    let (mut filter, mut rest) = (filter(), reply.as_bytes());
    let mut out = Vec::new();
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at((*size).min(rest.len()));
        out.extend_from_slice(&filter.push(Bytes::copy_from_slice(piece)).unwrap());
        rest = after;
    }
    out.extend_from_slice(&filter.finish());
    String::from_utf8(out).unwrap()
}

fn shown(reply: &str) -> String {
    shown_in_pieces(reply, &[reply.len().max(1)])
}

/// The same, tag by tag over the whole of a reply without comments, `CDATA` sections and `>` in attributes.
fn model(reply: &str) -> String {
    let mut out = String::new();
    let mut depth = 0;
    for (index, part) in reply.split('<').enumerate() {
        let (tag, text) = if index == 0 { ("", part) } else { part.split_once('>').unwrap() };
        if index > 0 {
            out.extend(["<", tag, ">"]);
        }
        let name = tag.trim_start_matches('/').split(['/', ' ', '\t', '\r', '\n']).next().unwrap();
        let is_owner = ["Owner", "Initiator", "Grantee"].contains(&name);
        let field = if tag.starts_with('/') || tag.ends_with('/') { "" } else { name };
        match (is_owner, tag.starts_with('/')) {
            (true, true) => depth -= 1,
            (true, false) if !tag.ends_with('/') => depth += 1,
            _ => {}
        }
        out.push_str(match (field, depth > 0) {
            ("ID", true) => "id",
            ("DisplayName", true) => "us",
            ("Location", false) => std::str::from_utf8(without_origin(text.as_bytes())).unwrap(),
            _ => text,
        });
    }
    out
}

fn text() -> impl Strategy<Value = String> {
    select(vec![
        "",
        "ROOTKEY",
        "Owner",
        "a &lt;Owner&gt; b",
        "x > y",
        "\n  ",
        "http://10.0.0.1:9000/b/k",
        "/b",
    ])
    .prop_map(str::to_owned)
}

fn element(name: &str, attributes: &str, inner: &str) -> String {
    format!("<{name}{attributes}>{inner}</{name}{}>", if attributes.is_empty() { "" } else { " " })
}

/// Elements with such attributes; `leaf`: what stands in those that hold no others.
fn elements(attributes: Vec<&'static str>, leaf: BoxedStrategy<String>) -> BoxedStrategy<String> {
    let fields = select(vec!["ID", "DisplayName", "Location", "Key", "OwnerX", "LastModified"]);
    let field = (fields, select(attributes.clone()), leaf).prop_map(|(name, attributes, inner)| {
        let names_an_owner = ["ID", "DisplayName"].contains(&name);
        element(name, attributes, &if names_an_owner { inner } else { inner.replace("ROOTKEY", "other") })
    });
    let empty = select(vec!["<Owner/>", "<ID />", "<Location/>", "<DisplayName\n/>", "<Key/>"]);
    let node = prop_oneof![4 => field, 1 => empty.prop_map(str::to_owned), 1 => text().prop_map(|_| "\n ".to_owned())];
    node.prop_recursive(4, 40, 6, move |inner| {
        let containers = select(vec!["Owner", "Initiator", "Grantee", "Contents", "Ow"]);
        (containers, select(attributes.clone()), vec(inner, 0..6))
            .prop_map(|(name, attributes, inner)| element(name, attributes, &inner.concat()))
    })
    .boxed()
}

/// What a storage writes.
fn plain() -> BoxedStrategy<String> {
    let attributes = vec!["", " xmlns:xsi=\"y\" xsi:type='CanonicalUser'", "\n", "\t a=\"Owner\""];
    elements(attributes, text().boxed())
}

/// What XML allows beside it: the names of owners where they mean nothing, ends that are none.
fn odd() -> BoxedStrategy<String> {
    let leaf = select(vec![
        "ROOTKEY",
        "<![CDATA[ROOTKEY]]>",
        "<![CDATA[</ID></Owner>]]>ROOTKEY",
        "<!-- </ID></Owner> -->ROOTKEY",
        "<b>x</b>ROOTKEY",
        "<b><ID/></b><ID>x</ID>ROOTKEY<!-- ROOTKEY -->",
    ]);
    elements(vec!["", " a=\"/>\"", " a='>' b=\"'\"", " a=\"</Owner>\""], leaf.prop_map(str::to_owned).boxed())
}

#[test]
fn owners_are_replaced_and_the_rest_passes() {
    assert_eq!(shown(REPLY), SHOWN);
    assert_eq!(model(REPLY), SHOWN);
}

#[test]
fn the_pieces_in_which_a_reply_comes_make_no_difference() {
    for size in 1..REPLY.len() {
        assert_eq!(shown_in_pieces(REPLY, &[size]), SHOWN, "pieces of {size}");
    }
}

proptest! {
    #[test]
    fn whatever_a_storage_writes_is_shown_as_tag_by_tag(reply in vec(plain(), 0..4), sizes in vec(1..60_usize, 1..8)) {
        let reply = reply.concat();
        prop_assert_eq!(shown_in_pieces(&reply, &sizes), model(&reply));
    }

    #[test]
    fn no_owner_is_seen_in_whatever_form_it_comes(reply in vec(odd(), 0..4), sizes in vec(1..60_usize, 1..8)) {
        let reply = format!("<Owner>{}</Owner>", reply.concat());
        let seen = shown_in_pieces(&reply, &sizes);
        prop_assert_eq!(&seen, &shown(&reply));
        prop_assert!(!seen.contains("ROOTKEY"), "{}", seen);
    }

    #[test]
    fn pieces_of_anything_are_shown_as_the_whole(reply in "[<>/! a-]{0,12}(<Owner>|<Location>|<ID>|</ID>|<!--|-->|<!\\[CDATA\\[|\\]\\]>|[<>\"'a]){0,20}", sizes in vec(1..9_usize, 1..8)) {
        prop_assert_eq!(shown_in_pieces(&reply, &sizes), shown(&reply));
    }
}

#[test]
fn what_only_looks_like_an_owner_is_left_alone() {
    for reply in [
        "<Key><![CDATA[<Owner>]]></Key><ID>kept</ID>",
        "<!-- <Owner> > --><ID>kept</ID>",
        "<OwnerX><ID>kept</ID></OwnerX>",
        "<Owner/><ID>kept</ID><Location/><a>http://h/b</a>",
        "{\"Statement\": \"a < b <Owner\"}",
        "<",
        "<Owne",
    ] {
        for size in 1..=reply.len() {
            assert_eq!(shown_in_pieces(reply, &[size]), reply, "pieces of {size}");
        }
    }
}

#[test]
fn a_reply_without_owners_is_not_copied() {
    let reply = Bytes::from("<Contents><Key>k</Key></Contents>".repeat(1000));
    let passed = filter().push(reply.clone()).unwrap();
    assert_eq!(passed, reply);
    assert_eq!(passed.as_ptr(), reply.as_ptr());
}

#[test]
fn what_does_not_end_is_refused_and_not_gathered() {
    for beginning in ["<", "<Owner a='", "<!-- ", "<![CDATA[", "<Location>", "<Owner><ID><b a="] {
        let mut filter = filter();
        filter.push(Bytes::from(beginning)).unwrap();
        let pushed = (0..64).find_map(|_| filter.push(Bytes::from_static(&[b'a'; 1024])).err());
        assert_eq!(pushed, Some(Unreadable), "{beginning}");
    }
}

#[test]
fn a_location_keeps_its_path_only() {
    assert_eq!(without_origin(b"https://h:1/b/k?x"), b"/b/k?x");
    assert_eq!(without_origin(b"http://h"), b"/");
    assert_eq!(without_origin(b"/b/k"), b"/b/k");
    assert_eq!(without_origin(b"eu-west-1"), b"eu-west-1");
}

use zeroize::Zeroizing;

use super::*;
use crate::{
    credentials::{
        seal::TokenHash,
        session::{Authority, Grant, Key, Origin, SessionTags},
    },
    identity::{Claims, Identity, Way},
    secret::{AccessKeyId, SessionSecret},
};

fn now() -> Timestamp {
    Timestamp::from_unix(1_800_000_000)
}

fn wanted(kind: Kind, value: &str) -> Wanted {
    Wanted { kind, value: value.to_owned(), issued_before: None }
}

fn entry(kind: Kind, value: &str) -> Entry {
    wanted(kind, value).entry(now(), SETTLING).unwrap()
}

fn session(proven_at: Timestamp, issued_at: Timestamp) -> Session {
    let identity = Identity {
        way: Way::Oidc("idp".to_owned()),
        subject: "a user".to_owned(),
        proven_at,
        valid_until: None,
        claims: Claims::default(),
        groups: Vec::new(),
        policies: Vec::new(),
    };
    let grant = Grant {
        origin: Origin::Identity(Box::new(identity)),
        authority: Authority::Role {
            role: "second".into(),
            session_name: "me".into(),
            via: vec!["first".into()],
        },
        session_policy: None,
        tags: SessionTags::default(),
        expires_at: now().plus(Duration::from_secs(3600)),
    };
    let secret = SessionSecret::new(Zeroizing::new([7; SessionSecret::LENGTH]));
    let key = Key::Temporary { secret, token: TokenHash::of("token") };
    Session::new(AccessKeyId::new("ASIA1"), key, grant, issued_at)
}

#[test]
fn to_ask_takes_no_memory_whatever_is_revoked() {
    let revocations = Revocations::nowhere();
    let session = session(now(), now());
    let ask = || {
        let mut answer = Ok(());
        let memory = allocation_counter::measure(|| answer = revocations.check(&session, now()));
        (memory.count_total, answer)
    };
    assert_eq!(ask().0, 0);
    for (kind, value) in [
        (Kind::Session, "ASIA2"),
        (Kind::User, "alice"),
        (Kind::Role, "other"),
        (Kind::Provider, "another"),
        (Kind::Identity, "oidc/another/a%20user"),
        (Kind::UserKey, "ASIA1"),
    ] {
        revocations.apply_now(entry(kind, value), now()).unwrap();
        assert_eq!(ask(), (0, Ok(())), "{kind}");
    }
    let ends = revocations.apply_now(entry(Kind::Identity, "oidc/idp/a%20user"), now()).unwrap();
    assert_eq!(ask(), (0, Err(Refusal::Revoked(Revoked { id: ends.id, kind: Kind::Identity }))));
}

#[test]
fn a_session_made_from_a_revoked_login_counts_from_the_login() {
    let revocations = Revocations::nowhere();
    revocations.apply_now(entry(Kind::Provider, "idp"), now()).unwrap();
    let later = now().plus(Duration::from_secs(5));
    assert!(revocations.check(&session(now(), later), later).is_err());
    assert_eq!(revocations.check(&session(later, later), later), Ok(()));
}

#[test]
fn what_is_inserted_and_removed_leaves_nothing() {
    let kinds = [Kind::Session, Kind::Identity, Kind::User, Kind::UserKey, Kind::Role, Kind::Provider];
    let mut set = Set::default();
    let of = |kind| if kind == Kind::Identity { "ldap/cn=x" } else { "x" };
    let mut ids: Vec<EntryId> = kinds.map(|kind| entry(kind, of(kind))).map(|entry| entry.id).to_vec();
    ids.push(entry(Kind::Everything, "").id);
    for _ in 0..2 {
        for kind in kinds {
            set.insert(entry(kind, of(kind)));
        }
        set.insert(entry(Kind::Everything, ""));
    }
    assert_eq!(set.len(), 7);
    for id in ids {
        assert!(set.remove(id).is_some());
    }
    assert_eq!(format!("{set:?}"), format!("{:?}", Set::default()));
}

#[test]
fn a_file_is_written_anew_when_most_of_it_says_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("revocations.jsonl");
    let open = || Revocations::open(Settings::File(path.clone()), now()).unwrap();
    let revocations = open();
    let stays = revocations.apply_now(entry(Kind::Role, "stays"), now()).unwrap();
    let comes = entry(Kind::Role, "comes and goes");
    for _ in 0..600 {
        revocations.apply_now(comes.clone(), now()).unwrap();
        revocations.lift_now(comes.id, now()).unwrap();
    }
    let lines = std::fs::read_to_string(&path).unwrap().lines().count();
    assert!((2..700).contains(&lines), "{lines}");
    drop(revocations);
    assert_eq!(open().list(now()), [stays]);
}

#[test]
fn a_second_gateway_does_not_write_the_file_and_one_that_follows_keeps_what_was_added() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Revocations::open(Settings::File(folder.path().join("file")), now()).unwrap();
    let (first, second) = (open(), open());
    first.apply_now(entry(Kind::Role, "a"), now()).unwrap();
    let refused = second.apply_now(entry(Kind::Role, "b"), now()).unwrap_err();
    assert!(refused.to_string().contains("another gateway writes it"), "{refused}");
    assert_eq!(second.list(now()).len(), 1);
    drop(first);
    second.apply_now(entry(Kind::Role, "c"), now()).unwrap();
    drop(second);
    let values: Vec<String> = open().list(now()).iter().map(|entry| entry.value.clone()).collect();
    assert_eq!(values.len(), 3, "{values:?}");
}

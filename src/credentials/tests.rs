use std::{sync::Arc, time::Duration};

use proptest::prelude::*;

use super::{
    seal::{self, AUTHORIZATION_MESSAGE, SECRET_ACCESS_KEY, SESSION_TOKEN},
    session::{Key, Session},
    *,
};
use crate::{
    arn::AccountId,
    clock::Timestamp,
    iam::{Policy, PolicyRegistry, PolicySet},
    identity::{Directory, Role, User},
    secret::{AccessKeyId, SecretAccessKey},
};

const NEW: &str = "0000000a:AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
const OLD: &str = "0000000b:AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyE=";

fn now() -> Timestamp {
    Timestamp::from_unix(1_800_000_000)
}

fn grant() -> Grant {
    Grant {
        origin: Origin::User("alice".into()),
        authority: Authority::Role { role: "reader".into(), session_name: "s".into(), via: Vec::new() },
        tags: SessionTags::default(),
        session_policy: None,
        expires_at: now().plus(Duration::from_secs(60)),
    }
}

fn store(keys: &str) -> SessionStore {
    store_of(keys, 1 << 20)
}

fn store_of(keys: &str, capacity: u64) -> SessionStore {
    let user = User {
        name: "alice".to_owned(),
        access_key_id: AccessKeyId::new("ALICE"),
        secret: SecretAccessKey::new("secret-of-alice"),
        policies: Vec::new(),
        roles: vec!["reader".to_owned()],
        s3_access: false,
        rates: crate::rate::Rates::default(),
    };
    let role = Role {
        name: "reader".to_owned(),
        policies: Vec::new(),
        max_duration: Duration::from_secs(3600),
        external_id: None,
        aliases: Vec::new(),
        trust: Vec::new(),
        rates: crate::rate::Rates::default(),
    };
    let principals = Principals::new(
        AccountId::parse("000000000000").unwrap(),
        Directory::new(vec![user], vec![role]),
        PolicyRegistry::default(),
    );
    SessionStore::new(Keyring::parse(keys).unwrap(), Arc::new(principals), capacity)
}

fn open(token: &str, keys: &str) -> Result<Session, OpenError> {
    seal::open(token, &Keyring::parse(keys).unwrap())
}

#[test]
fn a_cold_burst_opens_a_token_once_a_thread_at_the_most() {
    const THREADS: usize = 8;
    let (maker, replica) = (store(NEW), store(NEW));
    let made = maker.mint(grant(), now()).unwrap();
    let (id, token) = (made.access_key_id.as_str(), made.session_token.expose());
    let start = std::sync::Barrier::new(THREADS);
    let found: Vec<Arc<Session>> = std::thread::scope(|scope| {
        let use_it = || {
            start.wait();
            (0..125).map(|_| replica.find(id, Some(token), now()).unwrap()).collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(use_it)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(found.len(), 1000);
    let opened: std::collections::HashSet<_> = found.iter().map(Arc::as_ptr).collect();
    assert!(opened.len() <= THREADS, "opened {} times", opened.len());
}

#[test]
fn a_keyring_is_read_line_by_line_and_says_what_is_wrong_with_it() {
    assert!(Keyring::parse(&format!("# newest\n{NEW}\n\n  {OLD}\n")).is_ok());
    assert!(Keyring::parse(&Keyring::generate_line().unwrap()).is_ok());
    for (text, error) in [
        ("", KeyringError::Empty),
        ("# nothing\n\n", KeyringError::Empty),
        ("secret", KeyringError::Malformed { line: 1 }),
        ("0000000a:c2hvcnQ=", KeyringError::Malformed { line: 1 }),
        (&format!("{NEW}\nx:{}", &NEW[9..]), KeyringError::Malformed { line: 2 }),
        (&format!("{NEW}\n{NEW}"), KeyringError::Repeated { line: 2 }),
        (&format!("{NEW}\n0000000c:{}", &NEW[9..]), KeyringError::Repeated { line: 2 }),
        ("0000000a:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", KeyringError::Weak { line: 1 }),
    ] {
        assert_eq!(Keyring::parse(text).unwrap_err(), error, "{text}");
    }
}

#[test]
fn debug_of_a_keyring_and_a_session_shows_no_secret() {
    let keyring = Keyring::parse(NEW).unwrap();
    assert!(!format!("{keyring:?}").contains("AQID"));
    let made = store(NEW).mint(grant(), now()).unwrap();
    let printed = format!("{made:?} {:?}", open(made.session_token.expose(), NEW).unwrap());
    assert!(!printed.contains(made.secret_access_key.expose()), "{printed}");
    assert!(!printed.contains(made.session_token.expose()), "{printed}");
}

#[test]
fn a_hash_is_of_one_token_and_not_shown() {
    let hash = seal::TokenHash::of("abc");
    assert!(hash.is_of("abc"));
    assert!(!hash.is_of("abd") && !hash.is_of("ab") && !hash.is_of("abcd") && !hash.is_of(""));
    assert_eq!(format!("{hash:?}"), "TokenHash([redacted])");
}

#[test]
fn temporary_credentials_have_awss_shape() {
    let made = store(NEW).mint(grant(), now()).unwrap();
    let id = made.access_key_id.as_str();
    assert!(id.starts_with("ASIA") && id.len() == 20, "{id}");
    assert!(id[4..].bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7')), "{id}");
    assert_eq!(made.secret_access_key.expose().len(), 40);
    // With a role and names of one word it goes with every request, so it is short.
    assert!(made.session_token.expose().len() < 180, "{}", made.session_token.expose().len());
    assert_eq!(made.expiration, now().plus(Duration::from_secs(60)));
}

#[test]
fn a_token_opens_wherever_the_keyring_is_shared_and_for_as_long_as_its_key_is_in_it() {
    let made = store(OLD).mint(grant(), now()).unwrap();
    let token = made.session_token.expose();
    assert_eq!(open(token, OLD).unwrap().access_key_id, made.access_key_id);
    assert_eq!(open(token, &format!("{NEW}\n{OLD}")).unwrap().access_key_id, made.access_key_id);
    assert_eq!(open(token, NEW).unwrap_err(), OpenError::UnknownKey);
    // The same id with other key material: another deployment.
    let foreign = "0000000b:AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyI=";
    assert_eq!(open(token, foreign).unwrap_err(), OpenError::NotAuthentic);
}

#[test]
fn a_session_policy_is_sealed_into_the_token() {
    let document =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}"#;
    let compiled = Arc::new(Policy::parse(document).unwrap());
    let grant = Grant {
        session_policy: Some(SessionPolicy {
            inline: Some((document.to_owned(), compiled)),
            names: Vec::new(),
        }),
        ..grant()
    };
    let made = store(NEW).mint(grant, now()).unwrap();
    let opened = open(made.session_token.expose(), NEW).unwrap();
    assert_eq!(opened.session_policy().unwrap().inline.as_ref().unwrap().0, document);
}

fn secret_of(session: &Session) -> SecretAccessKey {
    match &session.key {
        Key::Temporary { secret, .. } => secret.text(),
        Key::LongTerm(secret) => secret.clone(),
    }
}

#[test]
fn a_secret_follows_from_its_token_and_is_not_in_it() {
    let (one, other) = (store(NEW).mint(grant(), now()).unwrap(), store(NEW).mint(grant(), now()).unwrap());
    assert_ne!(one.secret_access_key, other.secret_access_key);
    for made in [one, other] {
        let token = made.session_token.expose();
        assert_eq!(secret_of(&open(token, NEW).unwrap()), made.secret_access_key);
        let plain = seal::open_bytes(token, SESSION_TOKEN, &Keyring::parse(NEW).unwrap()).unwrap();
        let plain = String::from_utf8(plain).unwrap();
        assert!(plain.contains(made.access_key_id.as_str()), "{plain}");
        assert!(!plain.contains(made.secret_access_key.expose()), "{plain}");
        assert!(!token.contains(made.secret_access_key.expose()));
    }
}

#[test]
fn what_is_derived_for_one_purpose_or_salt_or_key_is_nothing_of_another() {
    let (new, old) = (Keyring::parse(NEW).unwrap(), Keyring::parse(OLD).unwrap());
    let labels = [SESSION_TOKEN, SECRET_ACCESS_KEY, AUTHORIZATION_MESSAGE];
    let of = |keyring: &Keyring, salt| {
        labels.map(|label| *keyring.newest().derive::<30>(label.0, &[salt; 16]).unwrap())
    };
    let all: std::collections::HashSet<_> =
        [of(&new, 1), of(&new, 2), of(&old, 1)].into_iter().flatten().collect();
    assert_eq!(all.len(), 9);
    // The same on every replica.
    assert_eq!(of(&Keyring::parse(NEW).unwrap(), 1), of(&new, 1));
    let store = store(NEW);
    let made = store.mint(grant(), now()).unwrap();
    assert_eq!(store.open_denial(made.session_token.expose()).unwrap_err(), OpenError::NotAuthentic);
}

#[test]
fn another_version_is_refused_whatever_follows() {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let made = store(NEW).mint(grant(), now()).unwrap();
    let mut bytes = URL_SAFE_NO_PAD.decode(made.session_token.expose()).unwrap();
    for version in [0, 1, 3, 255] {
        bytes[0] = version;
        assert_eq!(open(&URL_SAFE_NO_PAD.encode(&bytes), NEW).unwrap_err(), OpenError::UnknownVersion);
    }
}

#[test]
fn a_changed_token_is_refused_though_its_session_is_in_the_cache() {
    let store = store(NEW);
    let (made, other) = (store.mint(grant(), now()).unwrap(), store.mint(grant(), now()).unwrap());
    let (id, token) = (made.access_key_id.as_str(), made.session_token.expose());
    for at in 0..token.len() {
        let mut changed = token.as_bytes().to_vec();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let refused = store.find(id, Some(std::str::from_utf8(&changed).unwrap()), now());
        assert!(matches!(refused, Err(AuthenticationError::InvalidToken { .. })), "{at}: {refused:?}");
    }
    for (presented, cause) in [
        (&token[..token.len() - 1], None),
        (&format!("{token}A"), None),
        (&format!("{token}="), None),
        ("", None),
        (other.session_token.expose(), Some(TokenProblem::OfAnotherKey)),
    ] {
        let Err(AuthenticationError::InvalidToken { cause: found }) = store.find(id, Some(presented), now())
        else {
            panic!("{presented} was taken");
        };
        assert!(cause.is_none_or(|cause| cause == found), "{presented}: {found}");
    }
    assert!(store.find(id, None, now()).is_err());
    assert!(store.find(id, Some(token), now()).is_ok());
}

/// What each takes on the heap with all that its first use leaves, and what it is weighed as.
fn taken(grant: &Grant) -> (i64, i64) {
    const SESSIONS: u16 = 1000;
    let (store, policies) = (store_of(NEW, 1 << 30), Arc::new(PolicySet::default()));
    let mint = || (0..SESSIONS).map(|_| store.mint(grant.clone(), now()).unwrap()).collect::<Vec<_>>();
    // The table of the cache is there.
    drop(mint());
    let mut weight = 0;
    let memory = allocation_counter::measure(|| {
        for made in mint() {
            let (id, token) = (made.access_key_id.as_str(), made.session_token.expose());
            let session = store.find(id, Some(token), now()).unwrap();
            session.signing_key(now(), "us-east-1", "s3");
            session.policies(|| Some(policies.clone()));
            session.session_set(&store.principals().policies);
            session.principal(|| store.principals().principal_of(&session, None));
            weight = session.weight();
        }
        assert_eq!(store.kept(), 2 * u64::from(SESSIONS));
    });
    (memory.bytes_current / i64::from(SESSIONS), weight.into())
}

#[test]
fn a_session_takes_what_it_is_weighed_as() {
    let (plain, _) = taken(&grant());
    assert!(plain <= 600, "{plain}");
    let document =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}"#;
    let inline = Some((document.to_owned(), Arc::new(Policy::parse(document).unwrap())));
    let tags = (0..5).map(|n| (format!("tag-{n}"), "value".repeat(10))).collect();
    let narrowed = Grant {
        session_policy: Some(SessionPolicy { inline, names: Vec::new() }),
        tags: SessionTags { tags, transitive: vec!["tag-1".to_owned()] },
        ..grant()
    };
    let claims = (0..20).map(|n| (format!("jwt:claim-{n}"), "value".repeat(10)));
    let identity = serde_json::json!({
        "way": { "oidc": "idp" },
        "subject": "somebody",
        "proven_at": now(),
        "claims": claims.collect::<std::collections::BTreeMap<_, _>>(),
    });
    let origin = Origin::Identity(serde_json::from_value(identity).unwrap());
    let proven = Grant { origin, ..grant() };
    for grant in [grant(), narrowed, proven] {
        let (heap, weight) = taken(&grant);
        assert!((heap..2 * heap).contains(&weight), "{heap} bytes are weighed as {weight}: {grant:?}");
    }
}

#[test]
fn any_other_text_is_no_token() {
    let made = store(NEW).mint(grant(), now()).unwrap();
    let token = made.session_token.expose();
    for text in
        ["", "a", "!!!!", &token[..token.len() - 1], &format!("{token}A"), &"A".repeat(9000), &token[..20]]
    {
        assert!(open(text, NEW).is_err(), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_token_with_any_bit_flipped_does_not_open(bit in any::<prop::sample::Index>()) {
        use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
        let made = store(NEW).mint(grant(), now()).unwrap();
        let mut bytes = URL_SAFE_NO_PAD.decode(made.session_token.expose()).unwrap();
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(open(&URL_SAFE_NO_PAD.encode(bytes), NEW).is_err());
    }

    #[test]
    fn arbitrary_texts_never_panic(text in "[A-Za-z0-9_-]{0,200}") {
        prop_assert!(open(&text, NEW).is_err());
    }
}

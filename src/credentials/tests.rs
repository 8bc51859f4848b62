use std::{sync::Arc, time::Duration};

use proptest::prelude::*;

use super::{seal, session::Session, *};
use crate::{
    arn::AccountId,
    clock::Timestamp,
    iam::{Policy, PolicyRegistry},
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
        origin: Origin::User("alice".to_owned()),
        authority: Authority::Role {
            role: "reader".to_owned(),
            session_name: "s".to_owned(),
            via: Vec::new(),
        },
        tags: SessionTags::default(),
        session_policy: None,
        expires_at: now().plus(Duration::from_secs(60)),
    }
}

fn store(keys: &str) -> SessionStore {
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
    SessionStore::new(Keyring::parse(keys).unwrap(), Arc::new(principals), 1 << 20)
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
fn temporary_credentials_have_awss_shape() {
    let made = store(NEW).mint(grant(), now()).unwrap();
    let id = made.access_key_id.as_str();
    assert!(id.starts_with("ASIA") && id.len() == 20, "{id}");
    assert!(id[4..].bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7')), "{id}");
    assert_eq!(made.secret_access_key.expose().len(), 40);
    assert!(made.session_token.expose().len() < 1024, "{}", made.session_token.expose().len());
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
    assert_eq!(opened.session_policy.unwrap().inline.unwrap().0, document);
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

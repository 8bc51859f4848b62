//! Passwords of a directory, and what the directory heard of them.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use daypass::{
    clock::Timestamp,
    identity::{
        Proof, Way,
        ldap::{Error, Ldap, Settings, Transport},
    },
};
use futures_util::future::join_all;
use ldap3_proto::LdapFilter;

use crate::support::directory::{
    Directory, Fault, GROUPS, Heard, PEOPLE, SERVICE_DN, SERVICE_PASSWORD, Validity,
};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn address(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(number))
}

fn bob() -> String {
    format!("uid=bob,{PEOPLE}")
}

async fn plain() -> (Directory, Ldap) {
    let directory = Directory::start(Transport::Plaintext).await;
    let ldap = directory.ldap();
    (directory, ldap)
}

async fn with(change: impl FnOnce(&mut Settings)) -> (Directory, Ldap) {
    let directory = Directory::start(Transport::Plaintext).await;
    let mut settings = directory.settings(Transport::Plaintext);
    change(&mut settings);
    (directory, Ldap::new(settings).unwrap())
}

fn cause(outcome: Result<Proof, Error>) -> String {
    match outcome {
        Err(Error::Unavailable { cause }) => cause,
        other => panic!("expected that the directory is unavailable: {other:?}"),
    }
}

#[track_caller]
fn assert_refused(outcome: &Result<Proof, Error>) {
    assert!(matches!(outcome, Err(Error::Refused { .. })), "{outcome:?}");
}

#[tokio::test]
async fn a_right_password_proves_the_user_with_groups_and_attributes() {
    let (directory, ldap) = plain().await;
    let proof = ldap.identify("Bob", "bob-password", HERE).await.unwrap();
    assert_eq!(proof.way, Way::Ldap);
    assert_eq!(proof.subject, bob());
    assert_eq!(proof.groups, [format!("cn=analysts,{GROUPS}")]);
    assert_eq!(
        serde_json::Value::Object(proof.said),
        serde_json::json!({
            "user": bob(),
            "username": "bob",
            "groups": [format!("cn=analysts,{GROUPS}")],
            "mail": "bob@example.org",
            "title": "Analyst",
        })
    );
    assert!(proof.policies.is_empty() && proof.valid_until.is_none());
    assert_eq!(directory.binds(), [(bob(), "bob-password".to_owned())]);
}

#[tokio::test]
async fn a_login_is_two_questions_on_open_connections() {
    let (directory, ldap) = with(|settings| {
        settings.group_base = None;
        settings.member_of = true;
    })
    .await;
    directory.entry(&bob(), &[("uid", "bob"), ("memberOf", &format!("CN=Analysts,{GROUPS}"))]);
    ldap.identify("bob", "bob-password", HERE).await.unwrap();
    directory.forget();
    let proof = ldap.identify("bob", "bob-password", HERE).await.unwrap();
    assert_eq!(proof.groups, [format!("cn=analysts,{GROUPS}")]);
    let heard = directory.heard();
    assert!(matches!(heard.as_slice(), [Heard::Search { .. }, Heard::Bind { .. }]), "{heard:#?}");
    assert_eq!(directory.connections(), 2);
}

// L01

#[tokio::test]
async fn an_empty_password_is_refused_before_the_directory_hears_of_it() {
    let (directory, ldap) = plain().await;
    for (username, password) in [
        ("bob", ""),
        ("bob", "  "),
        ("bob", "\0"),
        ("bob", "\0bob-password"),
        ("", "x"),
        ("  ", "x"),
        ("", ""),
    ] {
        let outcome = ldap.identify(username, password, HERE).await;
        assert!(matches!(outcome, Err(Error::Missing)), "{username:?} {password:?}: {outcome:?}");
    }
    assert_eq!(directory.connections(), 0);
}

// L02

#[tokio::test]
async fn a_name_cannot_become_a_filter() {
    let (directory, ldap) = plain().await;
    for name in
        ["*", "a*", "*)(uid=*", "bob)(|(uid=*", "bob\\2a", "(", "{dn}", "cn=bob,dc=x", "боб", "a&|!=~<>:"]
    {
        directory.forget();
        assert_refused(&ldap.identify(name, "bob-password", address(1)).await);
        let equals = |attribute: &str| LdapFilter::Equality(attribute.to_owned(), name.to_owned());
        assert_eq!(directory.filters(), [LdapFilter::Or(vec![equals("uid"), equals("mail")])], "{name}");
    }
    for name in ["a\0", "a\nb", "\u{1b}", &"x".repeat(10 * 1024)] {
        directory.forget();
        assert_refused(&ldap.identify(name, "bob-password", HERE).await);
        assert!(directory.heard().is_empty(), "{name}");
    }
}

#[tokio::test]
async fn a_distinguished_name_cannot_become_a_filter() {
    let (directory, ldap) = plain().await;
    let dn = format!("cn=O\\\"Neil\\, (Bob*),{PEOPLE}");
    directory.entry(&dn, &[("uid", "neil")]);
    directory.password(&dn, "neil-password");
    directory.entry(&format!("cn=Star*(x),{GROUPS}"), &[("member", &dn)]);
    let proof = ldap.identify("neil", "neil-password", HERE).await.unwrap();
    assert_eq!(proof.subject, format!("cn=o\\\"neil\\, (bob*),{PEOPLE}"));
    assert_eq!(proof.groups, [format!("cn=star*(x),{GROUPS}")]);
    assert_eq!(directory.filters().pop(), Some(LdapFilter::Equality("member".to_owned(), dn)));
}

// L03

#[tokio::test]
async fn an_unknown_user_and_a_wrong_password_cost_the_same_and_hear_the_same() {
    let (directory, ldap) = plain().await;
    for name in ["twin-1", "twin-2", "twin-3"] {
        directory.entry(&format!("uid={name},{PEOPLE}"), &[("uid", name), ("mail", "twin@example.org")]);
        directory.password(&format!("uid={name},{PEOPLE}"), "twin-password");
    }
    ldap.identify("alice", "alice-password", HERE).await.unwrap();
    let mut shapes = Vec::new();
    for (name, password) in
        [("bob", "wrong"), ("nobody", "bob-password"), ("twin@example.org", "twin-password")]
    {
        directory.forget();
        assert_refused(&ldap.identify(name, password, HERE).await);
        let heard = directory.heard();
        let shape: Vec<_> = heard
            .iter()
            .map(|heard| match heard {
                Heard::Search { connection, .. } => ("search", *connection),
                Heard::Bind { connection, .. } => ("bind", *connection),
                _ => panic!("{heard:?}"),
            })
            .collect();
        shapes.push(shape);
        if name != "bob" {
            let [(dn, sent)] = &directory.binds()[..] else { panic!("not one bind") };
            assert!(dn.ends_with(PEOPLE) && !dn.contains("uid="), "{dn}");
            assert_ne!(sent, password, "the password of somebody went to nobody");
        }
    }
    assert!(shapes.iter().all(|shape| *shape == shapes[0] && shape.len() == 2), "{shapes:?}");
    // Even a directory that lets nobody in by mistake does not make somebody of them.
    directory.fault(Fault::Busy);
    cause(ldap.identify("nobody", "x", HERE).await);
}

#[tokio::test]
async fn unknown_users_take_as_long_as_wrong_passwords() {
    for (fault, rounds, most) in [(Fault::None, 200, 1), (Fault::SlowHash, 20, 8)] {
        let (directory, ldap) = with(|settings| settings.max_failures = 10_000).await;
        directory.fault(fault);
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..rounds {
            for (name, times) in ["bob", "nobody"].into_iter().zip(&mut times) {
                let started = Instant::now();
                assert_refused(&ldap.identify(name, "wrong", HERE).await);
                times.push(started.elapsed());
            }
        }
        let [known, unknown] = times.map(|mut times| {
            times.sort();
            times[times.len() / 2]
        });
        let gap = known.abs_diff(unknown);
        assert!(
            gap < Duration::from_millis(most),
            "{fault:?}: wrong password {known:?}, unknown user {unknown:?}"
        );
        assert_eq!(directory.binds().len(), 2 * rounds);
    }
}

// L04

#[tokio::test]
async fn spellings_of_one_user_are_one_user_with_one_counter() {
    let (directory, ldap) = plain().await;
    let spellings = ["bob", "Bob", " BOB ", "\u{ff42}\u{ff4f}\u{ff42}", "bob@example.org", "Bob@Example.ORG"];
    for spelling in spellings {
        let proof = ldap.identify(spelling, "bob-password", HERE).await.unwrap();
        assert_eq!(proof.subject, bob(), "{spelling}");
    }
    for spelling in &spellings[..5] {
        assert_refused(&ldap.identify(spelling, "wrong", HERE).await);
    }
    directory.forget();
    for spelling in spellings {
        let outcome = ldap.identify(spelling, "bob-password", HERE).await;
        assert!(matches!(outcome, Err(Error::Throttled { .. })), "{spelling}: {outcome:?}");
    }
    assert_eq!(directory.binds(), []);
    ldap.identify("alice", "alice-password", HERE).await.unwrap();
}

#[tokio::test]
async fn a_name_of_the_directory_in_any_form_is_one_subject() {
    let (directory, ldap) = plain().await;
    let written = format!("CN=Rene\u{301} \\C3\\89mile\\2C  Jr. , {}", PEOPLE.to_uppercase());
    directory.entry(&written.replace(" , ", ","), &[("uid", "rené")]);
    directory.password(&written.replace(" , ", ","), "rene-password");
    let (directory, ldap) = {
        let mut settings = directory.settings(Transport::Plaintext);
        settings.user_base = PEOPLE.to_uppercase();
        drop(ldap);
        (directory, Ldap::new(settings).unwrap())
    };
    let proof = ldap.identify("RENE\u{301}", "rene-password", HERE).await.unwrap();
    assert_eq!(proof.subject, format!("cn=rené émile\\, jr.,{PEOPLE}"));
    assert_eq!(
        directory.binds()[0].0,
        written.replace(" , ", ","),
        "the directory is asked in its own words"
    );
}

// L05

#[tokio::test]
async fn a_referral_is_not_followed_and_proves_nobody() {
    for fault in [Fault::SearchReference, Fault::ReferralResult] {
        let (directory, ldap) = plain().await;
        directory.fault(fault);
        let cause = cause(ldap.identify("bob", "bob-password", HERE).await);
        assert!(cause.contains("refers to another directory"), "{cause}");
        assert!(!cause.contains("elsewhere"), "{cause}");
        assert_eq!(directory.binds(), []);
        assert_eq!(directory.connections(), 1);
    }
}

#[tokio::test]
async fn aliases_are_not_followed_and_two_hits_are_enough() {
    let (directory, ldap) = plain().await;
    ldap.identify("bob", "bob-password", HERE).await.unwrap();
    let heard = directory.heard();
    let Some(Heard::Search { size_limit, base, .. }) =
        heard.iter().find(|heard| matches!(heard, Heard::Search { .. }))
    else {
        panic!("{heard:?}")
    };
    assert_eq!((*size_limit, base.as_str()), (2, PEOPLE));
    assert!(!heard.iter().any(|heard| matches!(heard, Heard::Search { never_dereferences: false, .. })));
}

// L06

#[tokio::test]
async fn a_directory_that_refuses_starttls_hears_no_bind() {
    let directory = Directory::start(Transport::StartTls).await;
    directory.fault(Fault::RefusesStartTls);
    let ldap = Ldap::new(directory.settings(Transport::StartTls)).unwrap();
    let cause = cause(ldap.identify("bob", "bob-password", HERE).await);
    assert!(cause.contains("refused StartTLS"), "{cause}");
    assert_eq!(directory.heard(), [Heard::Connected { connection: 0 }, Heard::StartTls { connection: 0 }]);
}

#[tokio::test]
async fn nothing_is_said_before_tls_is_up() {
    for transport in [Transport::Tls, Transport::StartTls] {
        let directory = Directory::start(transport).await;
        let ldap = Ldap::new(directory.settings(transport)).unwrap();
        ldap.identify("bob", "bob-password", HERE).await.unwrap();
        let heard = directory.heard();
        for connection in 0..2 {
            let first = heard.iter().position(|heard| {
                matches!(heard, Heard::Bind { connection: on, .. } | Heard::Search { connection: on, .. } if *on == connection)
            });
            let up = heard.iter().position(|heard| *heard == Heard::TlsIsUp { connection });
            assert!(up.is_some() && up < first, "{heard:#?}");
        }
    }
}

#[tokio::test]
async fn what_is_slipped_in_before_tls_is_not_an_answer() {
    let directory = Directory::start(Transport::StartTls).await;
    directory.fault(Fault::SlipsInBeforeTls);
    let ldap = Ldap::new(directory.settings(Transport::StartTls)).unwrap();
    for _ in 0..3 {
        assert!(ldap.identify("bob", "wrong", HERE).await.is_err());
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_the_directorys_is_told_nothing() {
    let others = Directory::start(Transport::Tls).await;
    let cases = [
        ("other.example.org", Validity::Now, false, "another host name"),
        ("localhost", Validity::Past, false, "expired"),
        ("localhost", Validity::Now, true, "not trusted"),
    ];
    for transport in [Transport::Tls, Transport::StartTls] {
        for (name, validity, wrong_ca, wanted) in cases {
            let directory = Directory::start_as(transport, name, validity).await;
            let mut settings = directory.settings(transport);
            if wrong_ca {
                settings.ca_pem = Some(others.ca_pem.clone());
            }
            let ldap = Ldap::new(settings).unwrap();
            let cause = cause(ldap.identify("bob", "bob-password", HERE).await);
            assert!(cause.contains(wanted), "{cause}");
            let problems = ldap.check().await;
            assert!(problems.len() == 1 && problems[0].contains(wanted), "{problems:?}");
            let heard = directory.heard();
            let told = |heard: &Heard| matches!(heard, Heard::Bind { .. } | Heard::Search { .. });
            assert!(!heard.iter().any(told), "{heard:?}");
        }
    }
}

// L07

#[tokio::test]
async fn parallel_passwords_for_one_user_stay_below_the_lock_out() {
    let (directory, ldap) = plain().await;
    let ldap = &ldap;
    let tries = (0..100)
        .map(|number| async move { ldap.identify("bob", &format!("guess-{number}"), address(number)).await });
    let outcomes = join_all(tries).await;
    let throttled = outcomes.iter().filter(|outcome| matches!(outcome, Err(Error::Throttled { .. })));
    assert_eq!(throttled.count(), 95);
    assert_eq!(directory.binds().len(), 5);
    let Err(Error::Throttled { retry_after }) = ldap.identify("bob", "bob-password", HERE).await else {
        panic!("the right password got through")
    };
    assert!((Duration::from_secs(290)..=Duration::from_secs(300)).contains(&retry_after), "{retry_after:?}");
    ldap.identify("alice", "alice-password", HERE).await.unwrap();
}

#[tokio::test]
async fn one_password_for_many_users_from_one_address_is_stopped() {
    let (directory, ldap) = plain().await;
    let mut throttled = 0;
    for number in 0..200 {
        match ldap.identify(&format!("user-{number}"), "Winter2026", HERE).await {
            Err(Error::Refused { .. }) => {}
            Err(Error::Throttled { .. }) => throttled += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((throttled, directory.binds().len()), (150, 50));
    ldap.identify("alice", "alice-password", address(7)).await.unwrap();
}

#[tokio::test]
async fn a_good_login_begins_anew_and_a_directory_that_is_down_counts_for_nothing() {
    let (directory, ldap) = plain().await;
    for _ in 0..4 {
        for _ in 0..4 {
            assert_refused(&ldap.identify("bob", "wrong", HERE).await);
        }
        ldap.identify("bob", "bob-password", HERE).await.unwrap();
    }
    directory.fault(Fault::ReferralResult);
    for _ in 0..20 {
        cause(ldap.identify("bob", "wrong", HERE).await);
    }
    directory.fault(Fault::None);
    ldap.identify("bob", "bob-password", HERE).await.unwrap();
}

// L08

#[tokio::test]
async fn a_directory_that_is_down_is_left_alone_and_comes_back() {
    let (directory, ldap) = plain().await;
    ldap.identify("bob", "bob-password", HERE).await.unwrap();
    directory.fault(Fault::ClosesMidSearch);
    for _ in 0..5 {
        let cause = cause(ldap.identify("bob", "bob-password", HERE).await);
        assert!(cause.contains("broke off"), "{cause}");
    }
    directory.fault(Fault::None);
    let connections = directory.connections();
    let cause = cause(ldap.identify("bob", "bob-password", HERE).await);
    assert!(cause.contains("left alone"), "{cause}");
    assert_eq!(directory.connections(), connections);
    tokio::time::sleep(Duration::from_millis(5100)).await;
    ldap.identify("bob", "bob-password", HERE).await.unwrap();
}

#[tokio::test]
async fn a_silent_directory_costs_the_configured_time_and_no_more() {
    for fault in [Fault::Silent, Fault::SlowBinds] {
        let (directory, ldap) = with(|settings| settings.timeout = Duration::from_millis(300)).await;
        directory.fault(fault);
        let started = Instant::now();
        let cause = cause(ldap.identify("bob", "bob-password", HERE).await);
        assert!(cause.contains("did not answer within"), "{cause}");
        let took = started.elapsed();
        assert!((300..1500).contains(&took.as_millis()), "{took:?}");
    }
    // A black hole takes the connection and never speaks TLS.
    let hole = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = Directory::start(Transport::Tls).await;
    let mut settings = directory.settings(Transport::Tls);
    settings.port = hole.local_addr().unwrap().port();
    settings.connect_timeout = Duration::from_millis(200);
    let started = Instant::now();
    cause(Ldap::new(settings).unwrap().identify("bob", "bob-password", HERE).await);
    assert!(started.elapsed() < Duration::from_millis(1500));
}

#[tokio::test]
async fn a_connection_that_was_closed_is_replaced() {
    let (directory, ldap) = plain().await;
    ldap.identify("bob", "bob-password", HERE).await.unwrap();
    directory.fault(Fault::ClosesMidSearch);
    cause(ldap.identify("bob", "bob-password", HERE).await);
    directory.fault(Fault::None);
    ldap.identify("bob", "bob-password", HERE).await.unwrap();
    assert_eq!(directory.connections(), 3);
}

#[test]
fn connections_of_one_runtime_serve_another() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let (directory, ldap) = first.block_on(plain());
    let ldap = Arc::new(ldap);
    first.block_on(ldap.identify("bob", "bob-password", HERE)).unwrap();
    let other = Arc::clone(&ldap);
    let (done, is_done) = tokio::sync::oneshot::channel();
    let thread = std::thread::spawn(move || {
        let second = runtime();
        second.block_on(other.identify("bob", "bob-password", HERE)).unwrap();
        done.send(()).unwrap();
    });
    first.block_on(is_done).unwrap();
    thread.join().unwrap();
    assert_eq!(directory.connections(), 2);
}

// L09

#[tokio::test]
async fn a_wrong_service_password_is_the_operators_trouble_and_names_nobody() {
    let (directory, ldap) = with(|settings| settings.bind_password = "old-password".into()).await;
    let cause = cause(ldap.identify("bob", "bob-password", HERE).await);
    assert!(cause.contains("refused the service account with invalidCredentials"), "{cause}");
    for secret in ["old-password", "bob-password", SERVICE_DN, "ldap7.internal"] {
        assert!(!cause.contains(secret), "{cause}");
    }
    assert_eq!(directory.filters(), []);
}

#[tokio::test]
async fn an_answer_to_another_question_is_never_a_success() {
    for fault in [Fault::OddMessageId, Fault::UnsolicitedNotice, Fault::Garbage, Fault::Busy] {
        let (directory, ldap) = with(|settings| settings.timeout = Duration::from_millis(500)).await;
        directory.fault(fault);
        let outcome = ldap.identify("bob", "wrong", HERE).await;
        assert!(outcome.is_err(), "{fault:?}");
        directory.fault(Fault::None);
        assert_refused(&ldap.identify("bob", "wrong", HERE).await);
        ldap.identify("bob", "bob-password", HERE).await.unwrap();
    }
}

// L10

#[tokio::test]
async fn nested_groups_are_followed_so_far_and_round_no_circle() {
    for (levels, wanted) in
        [(0, vec!["analysts"]), (1, vec!["analysts", "staff"]), (9, vec!["all", "analysts", "staff"])]
    {
        let (directory, ldap) = with(|settings| settings.nested_groups = levels).await;
        // All is in Analysts again.
        directory.entry(
            &format!("cn=Analysts,{GROUPS}"),
            &[("member", &bob()), ("member", &format!("cn=All,{GROUPS}"))],
        );
        let groups = ldap.identify("bob", "bob-password", HERE).await.unwrap().groups;
        let wanted: Vec<_> = wanted.iter().map(|name| format!("cn={name},{GROUPS}")).collect();
        assert_eq!(groups, wanted, "{levels}");
    }
}

#[tokio::test]
async fn the_matching_rule_of_active_directory_goes_out_as_it_is_written() {
    let (directory, ldap) =
        with(|settings| settings.group_filter = "(member:1.2.840.113556.1.4.1941:={dn})".into()).await;
    ldap.identify("bob", "bob-password", HERE).await.unwrap();
    let Some(LdapFilter::Extensible(rule)) = directory.filters().pop() else { panic!("another filter") };
    assert_eq!(rule.matching_rule.as_deref(), Some("1.2.840.113556.1.4.1941"));
    assert_eq!((rule.type_.as_deref(), rule.match_value), (Some("member"), bob()));
}

#[tokio::test]
async fn the_groups_of_groups_are_in_their_own_entries_too() {
    let (directory, ldap) = with(|settings| {
        settings.group_base = None;
        settings.nested_groups = 5;
    })
    .await;
    let dn = |name: &str| format!("cn={name},{GROUPS}");
    directory.entry(&bob(), &[("uid", "bob"), ("memberOf", &dn("A"))]);
    directory.entry(&dn("A"), &[("memberOf", &dn("B")), ("memberOf", &dn("C"))]);
    directory.entry(&dn("B"), &[("memberOf", &dn("A"))]);
    let groups = ldap.identify("bob", "bob-password", HERE).await.unwrap().groups;
    assert_eq!(groups, ["a", "b", "c"].map(|name| format!("cn={name},{GROUPS}")));
}

#[tokio::test]
async fn groups_that_are_not_all_there_are_no_groups() {
    let (directory, ldap) = plain().await;
    directory.fault(Fault::TruncatesGroups);
    let text = cause(ldap.identify("bob", "bob-password", HERE).await);
    assert!(text.contains("fewer groups"), "{text}");
    // It is nothing to those without the password.
    assert_refused(&ldap.identify("bob", "wrong", HERE).await);

    directory.fault(Fault::None);
    for number in 0..1001 {
        directory.entry(&format!("cn=g{number},{GROUPS}"), &[("member", &bob())]);
    }
    let text = cause(ldap.identify("bob", "bob-password", HERE).await);
    assert!(text.contains("fewer groups"), "{text}");
    ldap.identify("alice", "alice-password", HERE).await.unwrap();
}

#[tokio::test]
async fn groups_upon_groups_are_bounded() {
    let (directory, ldap) = with(|settings| {
        settings.group_base = None;
        settings.nested_groups = 1;
    })
    .await;
    let in_groups = |first: usize, count: usize| {
        let groups = (first..first + count).map(|number| format!("cn=g{number},{GROUPS}"));
        groups.collect::<Vec<_>>()
    };
    let own = in_groups(0, 2);
    let attributes = |groups: &[String]| -> Vec<(&str, String)> {
        groups.iter().map(|dn| ("memberOf", dn.clone())).chain([("uid", "bob".to_owned())]).collect()
    };
    let enter = |dn: &str, groups: &[String]| {
        let attributes = attributes(groups);
        let attributes: Vec<_> = attributes.iter().map(|(name, value)| (*name, value.as_str())).collect();
        directory.entry(dn, &attributes);
    };
    enter(&bob(), &own);
    enter(&own[0], &in_groups(2, 998));
    assert_eq!(ldap.identify("bob", "bob-password", HERE).await.unwrap().groups.len(), 1000);
    enter(&own[1], &in_groups(5000, 1));
    let cause = cause(ldap.identify("bob", "bob-password", HERE).await);
    assert!(cause.contains("more than 1000 groups"), "{cause}");
}

#[tokio::test]
async fn a_list_of_groups_in_pieces_is_no_list() {
    let (directory, ldap) = with(|settings| settings.group_base = None).await;
    directory.entry(&bob(), &[("uid", "bob"), ("memberOf;range=0-1499", &format!("cn=a,{GROUPS}"))]);
    let cause = cause(ldap.identify("bob", "bob-password", HERE).await);
    assert!(cause.contains("in pieces"), "{cause}");
}

// L11

const LOGIN: Timestamp = Timestamp::from_unix(1_795_435_200);

fn after(seconds: u64) -> Timestamp {
    LOGIN.plus(Duration::from_secs(seconds))
}

async fn groups_after(ldap: &Ldap, seconds: u64) -> Option<Vec<String>> {
    let known = [format!("cn=analysts,{GROUPS}")];
    let groups = ldap.groups_now(&bob(), "bob", &known, LOGIN, after(seconds)).await;
    groups.map(|groups| groups.to_vec())
}

#[tokio::test]
async fn a_user_who_was_removed_is_gone_after_the_interval() {
    let (directory, ldap) = plain().await;
    directory.remove(&bob());
    assert!(groups_after(&ldap, 599).await.is_some());
    assert_eq!(directory.connections(), 0, "asked before the interval was over");
    assert_eq!(groups_after(&ldap, 600).await, None);
    directory.forget();
    assert_eq!(groups_after(&ldap, 700).await, None);
    assert_eq!(directory.heard(), []);
    // Whoever logs in again is there again.
    directory.entry(&bob(), &[("uid", "bob")]);
    let known = ["cn=new".to_owned()];
    let groups = ldap.groups_now(&bob(), "bob", &known, after(701), after(702)).await;
    assert_eq!(groups.as_deref(), Some(&known[..]));
    assert_eq!(groups_after(&ldap, 1201).await, Some(vec![format!("cn=analysts,{GROUPS}")]));
}

#[tokio::test]
async fn a_name_that_went_to_somebody_else_is_not_the_user() {
    let (directory, ldap) = plain().await;
    directory.remove(&bob());
    directory.entry(&format!("uid=robert,{PEOPLE}"), &[("uid", "bob")]);
    assert_eq!(groups_after(&ldap, 600).await, None);
}

#[tokio::test]
async fn changed_groups_are_seen_after_the_interval_with_one_question_for_all() {
    let (directory, ldap) = plain().await;
    directory.entry(&format!("cn=Analysts,{GROUPS}"), &[]);
    directory.entry(&format!("cn=Guests,{GROUPS}"), &[("member", &bob())]);
    assert_eq!(groups_after(&ldap, 300).await, Some(vec![format!("cn=analysts,{GROUPS}")]));
    let answers = join_all((0..50).map(|_| groups_after(&ldap, 600))).await;
    assert!(answers.iter().all(|groups| *groups == Some(vec![format!("cn=guests,{GROUPS}")])), "{answers:?}");
    assert_eq!(directory.filters().len(), 2, "one search for the user, one for the groups");
}

#[tokio::test]
async fn a_directory_that_is_down_changes_nothing_for_live_sessions() {
    let (directory, ldap) = plain().await;
    directory.entry(&format!("cn=Guests,{GROUPS}"), &[("member", &bob())]);
    let both = Some(vec![format!("cn=analysts,{GROUPS}"), format!("cn=guests,{GROUPS}")]);
    assert_eq!(groups_after(&ldap, 600).await, both);
    directory.fault(Fault::Busy);
    assert_eq!(groups_after(&ldap, 1200).await, both);
    directory.forget();
    assert_eq!(groups_after(&ldap, 1229).await, both);
    assert_eq!(directory.heard(), [], "asked again too early");
    directory.fault(Fault::None);
    directory.remove(&bob());
    assert_eq!(groups_after(&ldap, 1230).await, None);
}

// For operators

#[tokio::test]
async fn a_user_can_be_looked_up_without_a_password() {
    let (directory, ldap) = plain().await;
    let proof = ldap.look_up("BOB@example.org").await.unwrap();
    assert_eq!((proof.subject, proof.groups), (bob(), vec![format!("cn=analysts,{GROUPS}")]));
    assert_eq!(directory.binds(), []);
    assert_refused(&ldap.look_up("nobody").await);
}

#[tokio::test]
async fn a_check_says_in_words_what_is_wrong() {
    let (directory, ldap) = plain().await;
    assert_eq!(ldap.check().await, [""; 0]);
    let problems = async |change: fn(&mut Settings)| {
        let mut settings = directory.settings(Transport::Plaintext);
        change(&mut settings);
        Ldap::new(settings).unwrap().check().await.join("\n")
    };
    let said = problems(|settings| settings.bind_password = "wrong".into()).await;
    assert!(said.contains("refused the service account") && said.contains("bind_password"), "{said}");
    let said = problems(|settings| settings.user_base = "ou=nowhere,dc=example,dc=org".into()).await;
    assert!(said.contains("user_base \"ou=nowhere,dc=example,dc=org\" is not in the directory"), "{said}");
    let said = problems(|settings| settings.user_filter = "(sAMAccountName={username})".into()).await;
    assert!(said.contains("user_filter finds nobody"), "{said}");
    let said = problems(|settings| settings.group_base = Some("ou=nowhere,dc=example,dc=org".into())).await;
    assert!(said.contains("group_base"), "{said}");
    let said = problems(|settings| settings.port = 1).await;
    assert!(said.contains("127.0.0.1:1 cannot be reached"), "{said}");
    directory.fault(Fault::SearchReference);
    let said = problems(|_| {}).await;
    assert!(said.contains("refers to another directory"), "{said}");
    assert!(!said.contains(SERVICE_PASSWORD), "{said}");
}

#[tokio::test]
async fn settings_that_would_let_in_too_many_are_refused() {
    let directory = Directory::start(Transport::Tls).await;
    let refused = |change: fn(&mut Settings)| {
        let mut settings = directory.settings(Transport::Tls);
        change(&mut settings);
        Ldap::new(settings).expect_err("these settings are taken").to_string()
    };
    for (change, wanted) in [
        ((|settings| settings.bind_password = "".into()) as fn(&mut Settings), "anonymous"),
        (|settings| settings.bind_dn.clear(), "anonymous"),
        (|settings| settings.user_filter = "(objectClass=person)".into(), "{username}"),
        (|settings| settings.user_filter = "(uid={username}".into(), "is not a search filter"),
        (|settings| settings.group_filter = "(objectClass=group)".into(), "everybody every group"),
        (|settings| settings.user_base = "example.org".into(), "user_base"),
        (|settings| settings.user_attributes.push("username".into()), "user_attributes"),
        (|settings| settings.user_attributes.push("userPassword".into()), "user_attributes"),
        (|settings| settings.host = "::1".into(), "host name"),
        (|settings| settings.host = "ldap.example.org/x".into(), "is no host"),
        (|settings| settings.ca_pem = Some(b"nothing".to_vec()), "CA"),
        (|settings| settings.max_failures = 0, "max_failures"),
    ] {
        let said = refused(change);
        assert!(said.contains(wanted), "{said}");
    }
}

//! Another configuration without a restart: whole or not at all, for live sessions and requests under way.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use daypass::{app::Reloaded, config::Change};

use crate::support::{Gateway, NOW, Provider, SigningKey, allow, call};

fn names(reloaded: &Reloaded) -> Vec<String> {
    match reloaded {
        Reloaded::Swapped { changes, .. } => changes.iter().map(Change::to_string).collect(),
        other => panic!("not swapped: {other:?}"),
    }
}

#[track_caller]
fn refused(reloaded: &Reloaded) -> &str {
    match reloaded {
        Reloaded::Refused { problems } => problems,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn an_edited_policy_reaches_live_sessions_at_once() {
    let gateway =
        Gateway::builder().role("reader", &allow("s3:GetObject", "arn:aws:s3:::old/*")).start().await;
    let session = gateway.role_session("reader").await;
    gateway.send(&session, call("GET", "/old/x")).await.is_ok();
    let reloaded = gateway.reload(|text| text.replace("arn:aws:s3:::old/*", "arn:aws:s3:::new/*"));
    assert_eq!(names(&reloaded), ["policy.role-reader changed"]);
    gateway.send(&session, call("GET", "/new/x")).await.is_ok();
    gateway.backend().forget();
    gateway.send(&session, call("GET", "/old/x")).await.is_error(403, "AccessDenied");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_role_or_a_user_that_is_taken_out_takes_the_sessions_along() {
    let gateway = Gateway::builder().role("reader", &allow("s3:GetObject", "*")).start().await;
    let (role, own) = (gateway.role_session("reader").await, gateway.session().await);
    let reloaded = gateway.reload(|text| text.replace("roles = [\"reader\"]", "roles = []"));
    assert_eq!(names(&reloaded), ["user.alice changed"]);
    gateway.send(&role, call("GET", "/data/x")).await.is_error(400, "InvalidToken");
    gateway.send(&own, call("GET", "/data/x")).await.is_ok();
    let reloaded = gateway.reload(|text| text.replace("name = \"alice\"", "name = \"alicia\""));
    assert_eq!(names(&reloaded), ["user.alicia added", "user.alice removed"]);
    gateway.send(&own, call("GET", "/data/x")).await.is_error(400, "InvalidToken");
}

#[tokio::test]
async fn a_file_that_is_wrong_in_any_place_changes_nothing_and_says_where() {
    let gateway = Gateway::builder().role("reader", &allow("s3:GetObject", "*")).start().await;
    let session = gateway.role_session("reader").await;
    let whole = std::fs::read_to_string(gateway.folder().join("daypass.toml")).unwrap();
    for (change, says) in [
        (whole.replace("Allow", "Perhaps"), "the effect is \"Allow\" or \"Deny\""),
        (
            whole.replace("policies = [\"role-reader\"]", "policies = [\"role-writer\"]"),
            "there is no policy `role-writer`",
        ),
        (whole.replace("[sts]", "[sst]"), "is not a known key"),
        (whole[..whole.len() / 2].to_owned(), "daypass.toml"),
        (String::new(), "is missing"),
    ] {
        let reloaded = gateway.reload(|_| change);
        assert!(refused(&reloaded).contains(says), "{says}: {reloaded:?}");
        gateway.send(&session, call("GET", "/data/x")).await.is_ok();
    }
    std::fs::remove_file(gateway.folder().join("daypass.toml")).unwrap();
    gateway.send(&session, call("GET", "/data/x")).await.is_ok();
    std::fs::write(gateway.folder().join("daypass.toml"), &whole).unwrap();
    assert_eq!(gateway.reload(|text| format!("{text}\n# a comment\n")), Reloaded::Unchanged);
}

#[tokio::test]
async fn sealing_keys_are_rotated_without_a_refused_session() {
    let gateway = Gateway::start().await;
    let old = gateway.session().await;
    let newest = daypass::credentials::Keyring::generate_line().unwrap();
    gateway.reload(|text| {
        text.replace("sealing_keys = \"\"\"\n", &format!("sealing_keys = \"\"\"\n{newest}\n"))
    });
    let new = gateway.session().await;
    for session in [&old, &new] {
        gateway.send(session, call("GET", "/data/x")).await.is_ok();
    }
    gateway.reload(|text| text.replace(crate::support::SEALING_KEY, ""));
    gateway.send(&old, call("GET", "/data/x")).await.is_error(400, "InvalidToken");
    gateway.send(&new, call("GET", "/data/x")).await.is_ok();
}

/// P14: each request is decided by one configuration from its start to its end, and never by none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_every_request_sees_one_configuration_or_the_other() {
    let first = allow("s3:GetObject", "arn:aws:s3:::both/* arn:aws:s3:::first/*");
    let gateway = Arc::new(Gateway::builder().role("reader", &first).start().await);
    let session = gateway.role_session("reader").await;
    let done = Arc::new(AtomicBool::new(false));
    let ask = |path: &'static str| {
        let (gateway, session, done) = (gateway.clone(), session.clone(), done.clone());
        tokio::spawn(async move {
            let mut answers = std::collections::BTreeMap::new();
            while !done.load(Ordering::Relaxed) {
                let reply = gateway.send(&session, call("GET", path)).await;
                *answers.entry((reply.status, reply.element("Code"))).or_insert(0) += 1;
            }
            answers
        })
    };
    let asking = [ask("/both/x"), ask("/first/x"), ask("/second/x"), ask("/neither/x")];
    for round in 0..40 {
        let (from, to) = if round % 2 == 0 { ("first/*", "second/*") } else { ("second/*", "first/*") };
        let reloaded = gateway.reload(|text| text.replace(from, to));
        assert_eq!(names(&reloaded), ["policy.role-reader changed"]);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    done.store(true, Ordering::Relaxed);
    let denied = || (403, Some("AccessDenied".to_owned()));
    let mut all = Vec::new();
    for one in asking {
        all.push(one.await.unwrap());
    }
    let of = |index: usize| all[index].keys().cloned().collect::<Vec<_>>();
    assert_eq!(of(0), [(200, None)], "{all:?}");
    assert_eq!(of(1), [(200, None), denied()], "{all:?}");
    assert_eq!(of(2), [(200, None), denied()], "{all:?}");
    assert_eq!(of(3), [denied()], "{all:?}");
}

#[tokio::test]
async fn what_providers_said_is_kept_when_nothing_of_them_has_changed() {
    let key = SigningKey::new("a", "ES256");
    let provider = Provider::start(&[&key]).await;
    let role = "[[role]]\nname = \"r\"\npolicies = [\"all\"]\n[[role.trust]]\noidc = \"idp\"\n";
    let gateway = Gateway::builder().toml(&format!("{}{role}", provider.toml("idp"))).start().await;
    let token = key.token(&provider.claims(NOW));
    let arn = "arn:aws:iam::000000000000:role/r";
    let login = async || {
        let form = [("WebIdentityToken", token.as_str()), ("RoleArn", arn)];
        gateway.unsigned_sts("AssumeRoleWithWebIdentity", &form).await
    };
    let session = crate::support::keys_of(&login().await);
    gateway.reload(|text| text.replace("name = \"bob\"", "name = \"bert\""));
    login().await.is_ok();
    assert_eq!(provider.asked("/keys"), 1);
    gateway.reload(|text| text.replace("timeout = \"1s\"", "timeout = \"2s\""));
    login().await.is_ok();
    assert_eq!(provider.asked("/keys"), 2);
    gateway.send(&session, call("GET", "/data/x")).await.is_ok();
    // Another issuer under the same name is another provider.
    let issuer = format!("issuer = \"{}\"", provider.issuer());
    gateway.reload(|text| text.replace(&issuer, "issuer = \"http://127.0.0.1:1\""));
    gateway.send(&session, call("GET", "/data/x")).await.is_error(400, "InvalidToken");
    gateway.reload(|text| text.replace("issuer = \"http://127.0.0.1:1\"", &issuer));
    gateway.send(&session, call("GET", "/data/x")).await.is_ok();
    // The provider goes out of the configuration: what it proved is proven no more.
    let reloaded = gateway
        .reload(|text| text.split("[[oidc]]").next().unwrap().replace("roles = [\"r\"]", "roles = []"));
    assert_eq!(names(&reloaded), ["user.alice changed", "oidc.idp removed", "role.r removed"]);
    gateway.send(&session, call("GET", "/data/x")).await.is_error(400, "InvalidToken");
}

#[tokio::test]
async fn what_needs_a_restart_is_named() {
    let gateway = Gateway::start().await;
    let reloaded = gateway.reload(|text| {
        text.replace("127.0.0.1:0", "127.0.0.1:1") + "[limits]\nmax_requests = 3\n[log]\nlevel = \"warn\"\n"
    });
    match reloaded {
        Reloaded::Swapped { waiting, .. } => {
            assert_eq!(waiting, ["log", "listen.address", "limits.max_requests"]);
        }
        other => panic!("{other:?}"),
    }
    gateway.send(&gateway.session().await, call("GET", "/data/x")).await.is_ok();
}

#[tokio::test]
async fn a_changed_file_is_read_once_it_stands_still() {
    let gateway = Gateway::builder()
        .toml("[[policy]]\nname = \"from-file\"\nfile = \"policy.json\"\n[[role]]\nname = \"reader\"\npolicies = [\"from-file\"]\n")
        .file("policy.json", &allow("s3:GetObject", "arn:aws:s3:::old/*"))
        .start()
        .await;
    let watching = tokio::spawn(gateway.reloader().clone().watch(Duration::from_millis(20)));
    let session = gateway.role_session("reader").await;
    gateway.send(&session, call("GET", "/old/x")).await.is_ok();
    let file = gateway.folder().join("policy.json");
    // Behind a link that is pointed elsewhere, as Kubernetes does it.
    let elsewhere = gateway.folder().join("elsewhere.json");
    std::fs::write(&elsewhere, allow("s3:GetObject", "arn:aws:s3:::new/*")).unwrap();
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    for _ in 0..200 {
        if gateway.send(&session, call("GET", "/new/x")).await.status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    gateway.send(&session, call("GET", "/new/x")).await.is_ok();
    gateway.send(&session, call("GET", "/old/x")).await.is_error(403, "AccessDenied");
    // A half-written one is refused, and the next whole one is taken.
    std::fs::write(&elsewhere, "{\"Version\":").unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    gateway.send(&session, call("GET", "/new/x")).await.is_ok();
    std::fs::write(&elsewhere, allow("s3:GetObject", "arn:aws:s3:::old/*")).unwrap();
    for _ in 0..200 {
        if gateway.send(&session, call("GET", "/old/x")).await.status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    gateway.send(&session, call("GET", "/old/x")).await.is_ok();
    watching.abort();
}

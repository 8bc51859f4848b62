//! From a directory's password to S3: roles and policies by group, one answer for every refusal, sessions that follow the
//! directory.

use std::io::Write as _;

use daypass::identity::ldap::Transport;

use crate::support::{
    Gateway, Keys, Reply, allow, call,
    directory::{Directory, Fault, GROUPS, PEOPLE, SERVICE_DN, SERVICE_PASSWORD},
    keys_of, raw,
};

const ANALYST: &str = "arn:aws:iam::000000000000:role/analyst";

async fn start(lines: &str) -> (Gateway, Directory) {
    let directory = Directory::start(Transport::Tls).await;
    let mut ca = tempfile::NamedTempFile::new().unwrap();
    ca.write_all(&directory.ca_pem).unwrap();
    let toml = format!(
        "[[role]]\nname = \"analyst\"\npolicies = [\"data\"]\n[[role.trust]]\nldap_group = \"CN=Analysts, {GROUPS}\"\n\
         [[role]]\nname = \"titled\"\npolicies = [\"data\"]\n[[role.trust]]\nldap_user = \"UID=Alice,{PEOPLE}\"\nclaims = {{ title = \"Ana*\" }}\n\
         [ldap]\nurl = \"ldaps://localhost:{}\"\nca_file = \"{}\"\nbind_dn = \"{SERVICE_DN}\"\nbind_password = \"{SERVICE_PASSWORD}\"\n\
         user_base = \"{PEOPLE}\"\nuser_attributes = [\"title\"]\ngroup_base = \"{GROUPS}\"\ngroup_filter = \"(member={{dn}})\"\nrecheck_interval = \"10m\"\n{lines}\n",
        directory.address.port(),
        ca.path().display()
    );
    let home = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::home/${ldap:username}/*"}}"#;
    let of_group = allow("s3:GetObject", "arn:aws:s3:::group/*").replace(
        "}]}",
        &format!(r#","Condition":{{"StringEquals":{{"ldap:groups":"cn=analysts,{GROUPS}"}}}}}}]}}"#),
    );
    let gateway = Gateway::builder()
        .policy("data", &allow("s3:GetObject", "arn:aws:s3:::data/*"))
        .policy("home", home)
        .policy("hop", &allow("sts:AssumeRole", ANALYST))
        .policy("of-group", &of_group)
        .toml(&toml)
        .start()
        .await;
    (gateway, directory)
}

const MAPPED: &str = "[[ldap.policy]]\ndn = \"cn=analysts,ou=groups,dc=example,dc=org\"\npolicies = [\"data\"]\n\
                      [[ldap.policy]]\ndn = \"uid=bob,ou=people,dc=example,dc=org\"\npolicies = [\"home\"]\n";

async fn login(gateway: &Gateway, user: &str, password: &str, role: Option<&str>) -> Reply {
    let mut form = vec![("LDAPUsername", user), ("LDAPPassword", password)];
    form.extend(role.map(|role| ("RoleArn", role)));
    gateway.unsigned_sts("AssumeRoleWithLDAPIdentity", &form).await
}

#[tokio::test]
async fn a_password_gives_the_keys_of_a_role_that_trusts_the_group() {
    let (gateway, _directory) = start("").await;
    let reply = login(&gateway, "Bob", "bob-password", Some(ANALYST)).await;
    reply.is_ok();
    assert!(reply.text().contains("<AssumeRoleWithLDAPIdentityResponse "));
    assert_eq!(
        reply.element("Arn").unwrap(),
        "arn:aws:sts::000000000000:assumed-role/analyst/uid=bob,ou=people,dc=example,dc=org"
    );
    gateway.send(&keys_of(&reply), call("GET", "/data/x")).await.is_ok();
    // Alice is in no group, and in another role by name and title.
    login(&gateway, "alice", "alice-password", Some(ANALYST)).await.is_error(403, "AccessDenied");
    let titled = "arn:aws:iam::000000000000:role/titled";
    login(&gateway, "alice", "alice-password", Some(titled)).await.is_ok();
    login(&gateway, "bob", "bob-password", Some(titled)).await.is_error(403, "AccessDenied");
}

#[tokio::test]
async fn without_a_role_the_policies_of_user_and_groups_count() {
    let (gateway, _directory) = start(MAPPED).await;
    let reply = login(&gateway, "bob", "bob-password", None).await;
    reply.is_ok();
    assert_eq!(
        reply.element("Arn").unwrap(),
        "arn:aws:sts::000000000000:federated-user/ldap/uid=bob,ou=people,dc=example,dc=org"
    );
    let bob = keys_of(&reply);
    gateway.send(&bob, call("GET", "/data/x")).await.is_ok();
    gateway.send(&bob, call("PUT", "/home/bob/x").body("x")).await.is_ok();
    gateway.backend().forget();
    for path in ["/home/bobby/x", "/home/alice/x"] {
        gateway.send(&bob, call("GET", path)).await.is_error(403, "AccessDenied");
    }
    gateway.backend().saw_nothing();
    // A session policy narrows this one like every other.
    let policy = allow("s3:GetObject", "arn:aws:s3:::home/bob/a");
    let form = [("LDAPUsername", "bob"), ("LDAPPassword", "bob-password"), ("Policy", policy.as_str())];
    let narrow = keys_of(&gateway.unsigned_sts("AssumeRoleWithLDAPIdentity", &form).await);
    gateway.send(&narrow, call("GET", "/home/bob/a")).await.is_ok();
    gateway.send(&narrow, call("GET", "/data/x")).await.is_error(403, "AccessDenied");
}

#[tokio::test]
async fn an_unknown_user_a_wrong_password_and_a_user_without_rights_get_the_same_answer() {
    let (gateway, directory) = start(MAPPED).await;
    directory.entry(&format!("uid=twice,{PEOPLE}"), &[("uid", "twin")]);
    directory.entry(&format!("cn=twice,{PEOPLE}"), &[("uid", "twin")]);
    let mut answers = std::collections::HashSet::new();
    for (user, password, role) in [
        ("nobody", "x", None),
        ("bob", "wrong", None),
        ("twin", "x", None),
        ("alice", "alice-password", None),
        ("alice", "alice-password", Some(ANALYST)),
        ("bob", "bob-password", Some("arn:aws:iam::000000000000:role/none")),
        ("*", "x", None),
        ("bob)(uid=*", "bob-password", None),
    ] {
        let reply = login(&gateway, user, password, role).await;
        let id = reply.element("RequestId").unwrap();
        answers.insert((reply.status, reply.text().replace(&id, "ID")));
    }
    assert_eq!(answers.len(), 1, "{answers:#?}");
    assert_eq!(answers.iter().next().unwrap().0, 403);
    for (user, password) in [("bob", ""), ("", "x"), ("bob", " "), ("", "")] {
        login(&gateway, user, password, None).await.is_error(400, "MissingParameter");
    }
}

#[tokio::test]
async fn too_many_wrong_passwords_are_slowed_down_with_a_time_to_come_again() {
    let (gateway, directory) = start(&format!("max_failures = 3\n{MAPPED}")).await;
    for _ in 0..3 {
        login(&gateway, "bob", "wrong", None).await.is_error(403, "AccessDenied");
    }
    directory.forget();
    for spelling in ["bob", "BOB", " bob "] {
        let reply = login(&gateway, spelling, "bob-password", None).await;
        reply.is_error(400, "Throttling");
        assert!(reply.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    }
    assert!(directory.binds().is_empty());
}

#[tokio::test]
async fn a_user_who_was_removed_is_refused_after_the_interval() {
    let (gateway, directory) = start(MAPPED).await;
    let bob = keys_of(&login(&gateway, "bob", "bob-password", None).await);
    let role = keys_of(&login(&gateway, "bob", "bob-password", Some(ANALYST)).await);
    directory.remove(&format!("uid=bob,{PEOPLE}"));
    gateway.advance(599);
    gateway.send(&bob, call("GET", "/data/x")).await.is_ok();
    gateway.advance(1);
    gateway.backend().forget();
    gateway.send(&bob, call("GET", "/data/x")).await.is_error(400, "InvalidToken");
    gateway.send(&role, call("GET", "/data/x")).await.is_error(400, "InvalidToken");
    gateway
        .sts(&bob, &[("Action", "GetCallerIdentity"), ("Version", "2011-06-15")])
        .await
        .is_error(403, "InvalidClientTokenId");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_group_that_was_left_gives_nothing_after_the_interval() {
    let (gateway, directory) = start(MAPPED).await;
    let bob = keys_of(&login(&gateway, "bob", "bob-password", None).await);
    let role = keys_of(&login(&gateway, "bob", "bob-password", Some(ANALYST)).await);
    directory.entry(&format!("cn=Analysts,{GROUPS}"), &[("member", "uid=somebody,dc=example,dc=org")]);
    gateway.advance(600);
    gateway.send(&bob, call("GET", "/data/x")).await.is_error(403, "AccessDenied");
    gateway.send(&role, call("GET", "/data/x")).await.is_error(400, "InvalidToken");
    // What the user has by name stays.
    gateway.send(&bob, call("GET", "/home/bob/x")).await.is_ok();
    // And it comes back with the group.
    directory.entry(&format!("cn=Analysts,{GROUPS}"), &[("member", &format!("uid=bob,{PEOPLE}"))]);
    gateway.advance(600);
    gateway.send(&bob, call("GET", "/data/x")).await.is_ok();
    gateway.send(&role, call("GET", "/data/x")).await.is_ok();
}

const MOBILE: &str = "[[ldap.policy]]\ndn = \"uid=bob,ou=people,dc=example,dc=org\"\npolicies = [\"home\", \"hop\", \"of-group\"]\n";

async fn assume(gateway: &Gateway, keys: &Keys) -> Reply {
    let form = [("Action", "AssumeRole"), ("Version", "2011-06-15"), ("RoleArn", ANALYST)];
    gateway.sts(keys, &form).await
}

fn leave(directory: &Directory) {
    directory.entry(&format!("cn=Analysts,{GROUPS}"), &[("member", "uid=somebody,dc=example,dc=org")]);
}

#[tokio::test]
async fn a_group_that_was_left_opens_no_role_to_a_live_session() {
    let (gateway, directory) = start(MOBILE).await;
    let bob = keys_of(&login(&gateway, "bob", "bob-password", None).await);
    let role = keys_of(&assume(&gateway, &bob).await);
    gateway.send(&role, call("GET", "/data/x")).await.is_ok();
    leave(&directory);
    gateway.advance(600);
    assume(&gateway, &bob).await.is_error(403, "AccessDenied");
    // Whoever comes into the group after the login has what it gives.
    directory.entry(&format!("cn=Analysts,{GROUPS}"), &[("member", &format!("uid=bob,{PEOPLE}"))]);
    gateway.advance(600);
    let role = keys_of(&assume(&gateway, &bob).await);
    gateway.send(&role, call("GET", "/data/x")).await.is_ok();
}

#[tokio::test]
async fn a_session_made_from_another_is_no_new_login() {
    let (gateway, directory) = start(MOBILE).await;
    let bob = keys_of(&login(&gateway, "bob", "bob-password", None).await);
    directory.remove(&format!("uid=bob,{PEOPLE}"));
    gateway.advance(599);
    let role = keys_of(&assume(&gateway, &bob).await);
    gateway.send(&role, call("GET", "/data/x")).await.is_ok();
    gateway.advance(1);
    gateway.send(&role, call("GET", "/data/x")).await.is_error(400, "InvalidToken");
}

#[tokio::test]
async fn a_condition_on_groups_follows_the_directory() {
    let (gateway, directory) = start(MOBILE).await;
    let bob = keys_of(&login(&gateway, "bob", "bob-password", None).await);
    gateway.send(&bob, call("GET", "/group/x")).await.is_ok();
    leave(&directory);
    gateway.advance(600);
    gateway.send(&bob, call("GET", "/group/x")).await.is_error(403, "AccessDenied");
    gateway.send(&bob, call("GET", "/home/bob/x")).await.is_ok();
    // A directory that is away changes nothing.
    directory.fault(Fault::Busy);
    gateway.advance(600);
    gateway.send(&bob, call("GET", "/group/x")).await.is_error(403, "AccessDenied");
}

#[tokio::test]
async fn a_directory_that_is_away_stops_logins_and_no_live_session() {
    let (gateway, directory) = start(&format!("timeout = \"1s\"\n{MAPPED}")).await;
    let bob = keys_of(&login(&gateway, "bob", "bob-password", None).await);
    directory.fault(Fault::Silent);
    gateway.advance(700);
    let began = std::time::Instant::now();
    let (first, second) =
        tokio::join!(gateway.send(&bob, call("GET", "/data/x")), gateway.send(&bob, call("GET", "/data/y")));
    first.is_ok();
    second.is_ok();
    // Nobody waits again for an answer that did not come in time.
    for _ in 0..5 {
        gateway.send(&bob, call("GET", "/data/x")).await.is_ok();
    }
    assert!(began.elapsed() < std::time::Duration::from_millis(900), "{:?}", began.elapsed());
    let refused = login(&gateway, "bob", "bob-password", None).await;
    refused.is_error(500, "InternalFailure");
    assert!(!refused.text().contains("dc=example"), "{}", refused.text());
    directory.fault(Fault::None);
    gateway.advance(60);
    gateway.send(&bob, call("GET", "/data/x")).await.is_ok();
    login(&gateway, "bob", "bob-password", None).await.is_ok();
}

#[tokio::test]
async fn the_directory_and_logins_that_must_wait_are_in_the_metrics() {
    let (gateway, directory) = start("max_failures = 2\n[admin]\naddress = \"127.0.0.1:0\"\n").await;
    let page = async || {
        let request = b"GET /metrics HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n";
        raw(gateway.admin_address(), request).await.text()
    };
    assert!(!page().await.contains("\ndaypass_directory_up "), "nobody has asked it");
    for _ in 0..4 {
        login(&gateway, "bob", "wrong", Some(ANALYST)).await;
    }
    let seen = page().await;
    assert!(seen.contains("\ndaypass_directory_up 1\n"), "{seen}");
    assert!(seen.contains("\ndaypass_login_throttled_total 2\n"), "{seen}");
    assert!(!seen.contains("bob") && !seen.contains("cause=\"access_denied\"} 1"), "{seen}");
    directory.fault(Fault::Silent);
    login(&gateway, "alice", "alice-password", None).await;
    assert!(page().await.contains("\ndaypass_directory_up 0\n"));
}

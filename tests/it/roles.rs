//! Roles: whom they trust, how sessions chain, what tags may be set, and what narrows a session.

use crate::support::{Gateway, Keys, Reply, allow, call, keys_of};

const ADMIN: &str = "arn:aws:iam::000000000000:role/admin";
const READER: &str = "arn:aws:iam::000000000000:role/reader";
const GUEST: &str = "arn:aws:iam::000000000000:role/guest";

/// `admin` trusts alice by a rule and may become `reader`, which trusts its sessions; `guest` trusts nobody else.
async fn start() -> Gateway {
    let roles = r#"
[[role]]
policies = ["admin"]
name = "admin"
max_duration = "12h"
  [[role.trust]]
  users = ["alice"]
  session_tags = ["team", "Cost-Center"]
  [[role.trust]]
  users = ["bob"]
  external_id = "agreed-word"
[[role]]
policies = ["tagged"]
name = "reader"
max_duration = "12h"
  [[role.trust]]
  roles = ["admin"]
  session_tags = ["*"]
[[role]]
policies = ["tagged"]
name = "guest"
  [[role.trust]]
  roles = ["reader"]
"#;
    let admin = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":["sts:AssumeRole","sts:TagSession"],"Resource":"{READER}"}},
        {{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::admin/*"}}]}}"#
    );
    let tagged = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::data/${aws:PrincipalTag/team}/*"}}"#;
    Gateway::builder()
        .policy("admin", &admin)
        .policy("tagged", tagged)
        .policy("narrow", &allow("s3:GetObject", "arn:aws:s3:::admin/a*"))
        .toml(roles)
        .start()
        .await
}

async fn assume(gateway: &Gateway, keys: &Keys, arn: &str, more: &[(&str, &str)]) -> Reply {
    let mut form = vec![
        ("Action", "AssumeRole"),
        ("Version", "2011-06-15"),
        ("RoleArn", arn),
        ("RoleSessionName", "me"),
    ];
    form.extend_from_slice(more);
    gateway.sts(keys, &form).await
}

#[tokio::test]
async fn a_trust_rule_lets_in_whom_it_names_with_the_word_that_was_agreed() {
    let gateway = start().await;
    assume(&gateway, &gateway.alice(), ADMIN, &[]).await.is_ok();
    assume(&gateway, &gateway.bob(), ADMIN, &[]).await.is_error(403, "AccessDenied");
    assume(&gateway, &gateway.bob(), ADMIN, &[("ExternalId", "Agreed-Word")])
        .await
        .is_error(403, "AccessDenied");
    assume(&gateway, &gateway.bob(), ADMIN, &[("ExternalId", "agreed-word")]).await.is_ok();
    for role in [READER, GUEST] {
        assume(&gateway, &gateway.alice(), role, &[]).await.is_error(403, "AccessDenied");
    }
}

#[tokio::test]
async fn a_role_is_reached_by_another_only_where_policy_and_trust_agree() {
    let gateway = start().await;
    let admin = keys_of(&assume(&gateway, &gateway.alice(), ADMIN, &[]).await);
    let reader =
        assume(&gateway, &admin, READER, &[("Tags.member.1.Key", "team"), ("Tags.member.1.Value", "red")])
            .await;
    reader.is_ok();
    assert_eq!(reader.element("Arn").unwrap(), "arn:aws:sts::000000000000:assumed-role/reader/me");
    let reader = keys_of(&reader);
    gateway.send(&reader, call("GET", "/data/red/x")).await.is_ok();
    // Each role's rights are its own.
    gateway.send(&reader, call("GET", "/admin/x")).await.is_error(403, "AccessDenied");
    // `guest` trusts `reader`, whose policies do not allow it; `admin` may not become itself.
    assume(&gateway, &reader, GUEST, &[]).await.is_error(403, "AccessDenied");
    assume(&gateway, &admin, ADMIN, &[]).await.is_error(403, "AccessDenied");
    assume(&gateway, &admin, GUEST, &[]).await.is_error(403, "AccessDenied");
}

#[tokio::test]
async fn a_chained_session_lives_an_hour_at_the_most() {
    let gateway = start().await;
    assume(&gateway, &gateway.alice(), ADMIN, &[("DurationSeconds", "43200")]).await.is_ok();
    let admin = keys_of(&assume(&gateway, &gateway.alice(), ADMIN, &[]).await);
    assume(&gateway, &admin, READER, &[("DurationSeconds", "3601")]).await.is_error(400, "ValidationError");
    let reader = keys_of(
        &assume(
            &gateway,
            &admin,
            READER,
            &[("DurationSeconds", "3600"), ("Tags.member.1.Key", "team"), ("Tags.member.1.Value", "red")],
        )
        .await,
    );
    gateway.send(&reader, call("GET", "/data/red/x")).await.is_ok();
    gateway.advance(3600);
    gateway.send(&reader, call("GET", "/data/red/x")).await.is_error(400, "ExpiredToken");
}

#[tokio::test]
async fn a_tag_is_set_only_where_the_role_says_so() {
    let gateway = start().await;
    let tag = |key: &'static str, value: &'static str| {
        vec![("Tags.member.1.Key", key), ("Tags.member.1.Value", value)]
    };
    assume(&gateway, &gateway.alice(), ADMIN, &tag("TEAM", "red")).await.is_ok();
    assume(&gateway, &gateway.alice(), ADMIN, &tag("cost-center", "1")).await.is_ok();
    assume(&gateway, &gateway.alice(), ADMIN, &tag("owner", "x")).await.is_error(403, "AccessDenied");
    let mut bobs = tag("team", "red");
    bobs.push(("ExternalId", "agreed-word"));
    assume(&gateway, &gateway.bob(), ADMIN, &bobs).await.is_error(403, "AccessDenied");
    for wrong in [
        tag("aws:team", "x"),
        tag("team", "a*"),
        tag("", "x"),
        vec![("Tags.member.2.Key", "team")],
        vec![("Tags.member.1.Value", "x")],
        vec![("Tags.member.01.Key", "team")],
        vec![("Tags.member.1.Key", "team"), ("Tags.member.2.Key", "Team")],
        vec![("TransitiveTagKeys.member.1", "team")],
    ] {
        assume(&gateway, &gateway.alice(), ADMIN, &wrong).await.is_error(400, "ValidationError");
    }
    let roleless = gateway
        .sts(
            &gateway.alice(),
            &[("Action", "AssumeRole"), ("Version", "2011-06-15"), ("Tags.member.1.Key", "team")],
        )
        .await;
    roleless.is_error(400, "ValidationError");
}

#[tokio::test]
async fn a_transitive_tag_goes_on_and_stays_as_it_is() {
    let gateway = start().await;
    let tags = [
        ("Tags.member.1.Key", "team"),
        ("Tags.member.1.Value", "red"),
        ("TransitiveTagKeys.member.1", "team"),
    ];
    let admin = keys_of(&assume(&gateway, &gateway.alice(), ADMIN, &tags).await);
    let reader = keys_of(&assume(&gateway, &admin, READER, &[]).await);
    gateway.send(&reader, call("GET", "/data/red/x")).await.is_ok();
    let another = [("Tags.member.1.Key", "Team"), ("Tags.member.1.Value", "blue")];
    assume(&gateway, &admin, READER, &another).await.is_error(400, "ValidationError");
    let plain = [("Tags.member.1.Key", "team"), ("Tags.member.1.Value", "red")];
    let admin = keys_of(&assume(&gateway, &gateway.alice(), ADMIN, &plain).await);
    let reader = keys_of(&assume(&gateway, &admin, READER, &[]).await);
    gateway.send(&reader, call("GET", "/data/red/x")).await.is_error(403, "AccessDenied");
}

#[tokio::test]
async fn tags_that_no_token_can_carry_are_refused_when_they_are_set() {
    let gateway = start().await;
    let long = "x".repeat(256);
    let keys: Vec<(String, String)> =
        (1..=50).map(|n| (format!("Tags.member.{n}.Key"), format!("Tags.member.{n}.Value"))).collect();
    let names: Vec<String> = (1..=50).map(|n| format!("cost-center-{n}")).collect();
    let all = keys
        .iter()
        .zip(&names)
        .flat_map(|((key, value), name)| [(key.as_str(), name.as_str()), (value.as_str(), long.as_str())]);
    let all: Vec<(&str, &str)> = all.collect();
    let admin = keys_of(&assume(&gateway, &gateway.alice(), ADMIN, &[]).await);
    assume(&gateway, &admin, READER, &all).await.is_error(400, "PackedPolicyTooLarge");
    assume(&gateway, &admin, READER, &all[..20]).await.is_ok();
}

#[tokio::test]
async fn policies_named_by_arn_narrow_like_an_inline_one() {
    let gateway = start().await;
    let narrow = ("PolicyArns.member.1.arn", "arn:aws:iam::000000000000:policy/narrow");
    let keys = keys_of(&assume(&gateway, &gateway.alice(), ADMIN, &[narrow]).await);
    gateway.send(&keys, call("GET", "/admin/b")).await.is_error(403, "AccessDenied");
    gateway.backend().saw_nothing();
    gateway.send(&keys, call("GET", "/admin/a")).await.is_ok();
    let wide = allow("s3:GetObject", "arn:aws:s3:::admin/b");
    let both = keys_of(&assume(&gateway, &gateway.alice(), ADMIN, &[narrow, ("Policy", &wide)]).await);
    for path in ["/admin/a", "/admin/b"] {
        gateway.send(&both, call("GET", path)).await.is_ok();
    }
    gateway.send(&both, call("GET", "/admin/c")).await.is_error(403, "AccessDenied");
    for arn in
        ["arn:aws:iam::000000000000:policy/gone", "arn:aws:iam::999999999999:policy/narrow", "narrow", ""]
    {
        assume(&gateway, &gateway.alice(), ADMIN, &[("PolicyArns.member.1.arn", arn)])
            .await
            .is_error(400, "ValidationError");
    }
}

#[tokio::test]
async fn a_federated_user_has_what_its_policy_and_the_user_share() {
    let gateway = start().await;
    let federate = async |keys: &Keys, more: &[(&str, &str)]| {
        let mut form = vec![("Action", "GetFederationToken"), ("Version", "2011-06-15"), ("Name", "guest")];
        form.extend_from_slice(more);
        gateway.sts(keys, &form).await
    };
    let policy = allow("s3:GetObject", "arn:aws:s3:::bucket/*");
    let answer = federate(&gateway.alice(), &[("Policy", &policy)]).await;
    answer.is_ok();
    assert_eq!(answer.element("Arn").unwrap(), "arn:aws:sts::000000000000:federated-user/guest");
    assert_eq!(answer.element("FederatedUserId").unwrap(), "000000000000:guest");
    let guest = keys_of(&answer);
    gateway.send(&guest, call("GET", "/bucket/k")).await.is_ok();
    gateway.backend().forget();
    gateway.send(&guest, call("PUT", "/bucket/k").body("x")).await.is_error(403, "AccessDenied");
    // Without a policy: nothing at all. And it makes no other keys.
    let nothing = keys_of(&federate(&gateway.alice(), &[]).await);
    gateway.send(&nothing, call("GET", "/bucket/k")).await.is_error(403, "AccessDenied");
    gateway.backend().saw_nothing();
    federate(&guest, &[("Policy", &policy)]).await.is_error(403, "AccessDenied");
    assume(&gateway, &guest, ADMIN, &[]).await.is_error(403, "AccessDenied");
    federate(&gateway.alice(), &[("Policy", &policy), ("Tags.member.1.Key", "a")])
        .await
        .is_error(400, "InvalidParameterValue");
}

#[tokio::test]
async fn the_account_of_a_key_is_told_to_those_who_may_ask() {
    let gateway = start().await;
    let ask = async |keys: &Keys, id: &str| {
        gateway
            .sts(keys, &[("Action", "GetAccessKeyInfo"), ("Version", "2011-06-15"), ("AccessKeyId", id)])
            .await
    };
    let session = gateway.session().await;
    for id in ["ALICEACCESSKEY000001", session.access_key_id.as_str()] {
        assert_eq!(ask(&gateway.alice(), id).await.element("Account").unwrap(), "000000000000");
    }
    ask(&gateway.alice(), "BACKENDROOTKEY000001").await.is_error(400, "ValidationError");
    let admin = keys_of(&assume(&gateway, &gateway.alice(), ADMIN, &[]).await);
    ask(&admin, "ALICEACCESSKEY000001").await.is_error(403, "AccessDenied");
}

#[tokio::test]
async fn policies_may_forbid_what_trust_allows() {
    let deny = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},
        {"Effect":"Deny","Action":"sts:AssumeRole","Resource":"*","Condition":{"NumericGreaterThan":{"sts:DurationSeconds":"3600"}}},
        {"Effect":"Deny","Action":"sts:GetSessionToken","Resource":"*"}]}"#;
    let carol = "[[user]]\nname = \"carol\"\naccess_key_id = \"CAROLACCESSKEY000001\"\nsecret_access_key = \"carol-secret-carol-secret\"\npolicies = [\"short\"]\n";
    let gateway = Gateway::builder().policy("short", deny).toml(carol).start().await;
    let carol = Keys::long_term("CAROLACCESSKEY000001", "carol-secret-carol-secret");
    let base = [("Action", "AssumeRole"), ("Version", "2011-06-15")];
    gateway.sts(&carol, &[base[0], base[1], ("DurationSeconds", "3600")]).await.is_ok();
    gateway.sts(&carol, &[base[0], base[1], ("DurationSeconds", "3601")]).await.is_error(403, "AccessDenied");
    gateway.sts(&carol, &[("Action", "GetSessionToken"), base[1]]).await.is_error(403, "AccessDenied");
}

//! What is taken, and what is told of what is not.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use super::{Config, Problems, load};
use crate::credentials::Keyring;

const SEALING: &str = "0a0b0c0d:AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";

fn valid() -> String {
    format!(
        r#"[listen]
address = "127.0.0.1:0"
[backend]
endpoint = "http://127.0.0.1:9002"
access_key_id = "ROOTKEY"
secret_access_key = "root-secret"
[sts]
sealing_keys = "{SEALING}"
[[policy]]
name = "all"
document = '{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"*","Resource":"*"}}]}}'
[[role]]
name = "admin"
policies = ["all"]
[[user]]
name = "alice"
access_key_id = "ALICE0000000001"
secret_access_key = "alice-secret"
roles = ["admin"]
"#
    )
}

fn load_text(text: &str) -> Result<Config, Problems> {
    let folder = tempfile::tempdir().unwrap();
    load_in(folder.path(), text)
}

fn load_in(folder: &Path, text: &str) -> Result<Config, Problems> {
    let file = folder.join("daypass.toml");
    fs::write(&file, text).unwrap();
    load(&file, &|name| (name == "SET").then(|| "from-environment".to_owned()))
}

/// The problems of the valid text after a change, as `line key: what`.
fn problems(from: &str, to: &str) -> Vec<String> {
    let text = valid();
    assert!(text.contains(from), "{from}");
    let problems = load_text(&text.replacen(from, to, 1)).expect_err(to);
    problems.iter().map(|problem| format!("{} {}: {}", problem.line, problem.key, problem.what)).collect()
}

#[track_caller]
fn one_problem(from: &str, to: &str, expected: &str) {
    let found = problems(from, to);
    assert!(found.iter().any(|problem| problem.contains(expected)), "{expected:?} not in {found:#?}");
}

#[test]
fn a_valid_file_gives_a_configuration_with_defaults() {
    let config = load_text(&valid()).unwrap();
    assert_eq!(config.backend.profile.name, "generic");
    assert_eq!(config.limits.max_requests, 2000);
    assert_eq!(config.sts.default_duration.as_secs(), 3600);
    assert!(config.admin.is_none() && config.listen.tls.is_none());
    assert_eq!(config.principals.directory.role("admin").unwrap().max_duration, config.sts.max_duration);
}

#[test]
fn all_problems_come_at_once_with_line_and_key() {
    let text = valid()
        .replace("address = \"127.0.0.1:0\"", "adress = \"127.0.0.1:0\"")
        .replace("policies = [\"all\"]", "policies = [\"al\"]")
        .replace("ALICE0000000001", "ASIAALICE000001")
        .replace("http://127.0.0.1:9002", "ftp://127.0.0.1");
    let problems = load_text(&text).unwrap_err();
    let shown = problems.to_string();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 4, "{shown}");
    assert!(
        lines[0].contains("daypass.toml:2: listen.adress: is not a known key; did you mean `address`?"),
        "{shown}"
    );
    assert!(
        lines[1].contains(":4: backend.endpoint: `ftp://127.0.0.1` is not an address of a storage"),
        "{shown}"
    );
    assert!(
        lines[2].contains("role.admin.policies: there is no policy `al`; did you mean `all`?"),
        "{shown}"
    );
    assert!(lines[3].contains("user.alice.access_key_id: begins with ASIA"), "{shown}");
}

#[test]
fn unknown_keys_and_wrong_types_are_problems() {
    one_problem("[sts]", "[stss]", "stss: is not a known key; did you mean `sts`?");
    one_problem("[sts]\n", "[sts]\nmin_duraton = \"15m\"\n", "did you mean `min_duration`?");
    one_problem("address = \"127.0.0.1:0\"", "address = 9000", "must be a string, not integer");
    one_problem("policies = [\"all\"]", "policies = \"all\"", "must be a list of strings");
    one_problem("[listen]\n", "[listen]\nproxy_protocol = \"yes\"\n", "must be true or false");
    one_problem("[listen]\n", "[limits]\nmax_requests = -1\n[listen]\n", "must be a whole number");
    one_problem("[listen]\n", "[limits]\nmax_requests = 0\n[listen]\n", "must be more than 0");
    one_problem("[listen]\n", "listen = 1\n[limits]\n", "must be a table");
}

#[test]
fn a_text_that_is_no_toml_says_where() {
    one_problem("[backend]", "[backend", "is not TOML");
    let missing = load(Path::new("/nowhere/daypass.toml"), &|_| None).unwrap_err();
    assert!(missing.to_string().contains("cannot be read"), "{missing}");
}

#[test]
fn what_must_be_there_is_missed() {
    one_problem("endpoint = \"http://127.0.0.1:9002\"\n", "", "backend.endpoint: is missing");
    one_problem("name = \"alice\"\n", "", "user.1.name: is missing");
    one_problem(
        "access_key_id = \"ROOTKEY\"\n",
        "",
        "is missing: give exactly one of access_key_id, access_key_id_file, access_key_id_env",
    );
    let no_user = valid().split("[[user]]").next().unwrap().to_owned();
    assert!(load_text(&no_user).unwrap_err().to_string().contains("nobody could ever get a session"));
}

#[test]
fn a_secret_comes_from_one_place() {
    one_problem(
        "secret_access_key = \"root-secret\"",
        "secret_access_key = \"a\"\nsecret_access_key_env = \"SET\"",
        "is given more than once",
    );
    one_problem(
        "secret_access_key = \"root-secret\"",
        "secret_access_key_env = \"UNSET\"",
        "the environment variable UNSET is not set",
    );
    one_problem("secret_access_key = \"root-secret\"", "secret_access_key = \"\"", "is empty");
    one_problem(
        "secret_access_key = \"root-secret\"",
        "secret_access_key_file = \"nowhere\"",
        "cannot be read",
    );
    let text = valid().replace("secret_access_key = \"root-secret\"", "secret_access_key_env = \"SET\"");
    assert_eq!(load_text(&text).unwrap().backend.secret_access_key.expose(), "from-environment");
}

#[test]
fn sealing_keys_must_be_there_right_and_closed_to_others() {
    let line = format!("sealing_keys = \"{SEALING}\"");
    one_problem(&format!("{line}\n"), "", "sts.sealing_keys: is missing");
    for wrong in ["abc", "0a0b0c0d:AQID", "0a0b0c0d:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="] {
        one_problem(SEALING, wrong, "daypass keygen");
        assert!(!problems(SEALING, wrong).join("").contains(wrong));
    }
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("sealing.keys");
    fs::write(&keys, format!("{SEALING}\n{}\n", Keyring::generate_line().unwrap())).unwrap();
    let text = valid().replace(&line, "sealing_keys_file = \"sealing.keys\"");
    for (mode, taken) in [(0o600, true), (0o640, true), (0o644, false), (0o602, false)] {
        fs::set_permissions(&keys, fs::Permissions::from_mode(mode)).unwrap();
        let outcome = load_in(folder.path(), &text);
        assert_eq!(outcome.is_ok(), taken, "{mode:o}");
        if let Err(problems) = outcome {
            assert!(problems.to_string().contains("chmod o-rwx"), "{problems}");
            assert!(!problems.to_string().contains(SEALING), "{problems}");
        }
    }
}

#[test]
fn durations_lie_within_each_other() {
    one_problem(
        "[sts]\n",
        "[sts]\nmin_duration = \"2h\"\n",
        "must lie between min_duration and max_duration",
    );
    one_problem("[sts]\n", "[sts]\nmax_duration = \"13h\"\n", "must be 12h at the most");
    one_problem("[sts]\n", "[sts]\nmin_duration = \"500ms\"\n", "is not of whole seconds");
    one_problem("[sts]\n", "[sts]\nmin_duration = \"soon\"\n", "is not a duration");
    one_problem("[sts]\n", "[sts]\naccount_id = \"42\"\n", "is not an account of 12 digits");
    one_problem(
        "name = \"admin\"\n",
        "name = \"admin\"\nmax_duration = \"13h\"\n",
        "is longer than sts.max_duration",
    );
}

#[test]
fn the_backend_is_a_host_and_a_port() {
    for endpoint in ["127.0.0.1:9002", "http://h/path", "http://h?x=1", "http://user:pw@h", "https://"] {
        one_problem("http://127.0.0.1:9002", endpoint, "backend.endpoint: ");
    }
    one_problem("[backend]\n", "[backend]\nprofile = \"mino\"\n", "did you mean `minio`?");
    let text = valid().replace("http://127.0.0.1:9002", "https://s3.internal:443");
    let endpoint = load_text(&text).unwrap().backend.endpoints.remove(0);
    assert!(endpoint.tls);
    assert_eq!(endpoint.authority, "s3.internal");
}

#[test]
fn a_backend_has_one_address_or_several_that_are_different_and_alike() {
    let one = "endpoint = \"http://127.0.0.1:9002\"\n";
    let text = valid().replace(one, "endpoints = [\"http://a:9000\", \"http://b:9000\"]\n");
    let authorities = load_text(&text).unwrap().backend.endpoints;
    assert_eq!(
        authorities.iter().map(|one| one.authority.as_str()).collect::<Vec<_>>(),
        ["a:9000", "b:9000"]
    );
    for (several, says) in [
        (format!("{one}endpoints = [\"http://a:9000\"]\n"), "give exactly one of the two"),
        ("endpoints = []\n".to_owned(), "must name at least one address"),
        ("endpoints = [\"http://a:80\", \"http://a\"]\n".to_owned(), "`http://a` is there twice"),
        ("endpoints = [\"http://a\", \"https://b\"]\n".to_owned(), "partly http:// and partly https://"),
        (
            "endpoints = [\"a:9000\"]\n".to_owned(),
            "backend.endpoints: `a:9000` is not an address of a storage",
        ),
        ("endpoints = \"http://a\"\n".to_owned(), "must be a list of strings"),
    ] {
        one_problem(one, &several, says);
    }
}

#[test]
fn hosts_are_names_that_cannot_be_taken_for_each_other() {
    for (hosts, expected) in [
        ("\"https://s3.example.org\"", "is not a host name"),
        ("\"s3.example.org:9000\"", "is not a host name"),
        ("\"S3.example.org\"", "is not a host name"),
        ("\"a.org\", \"a.org\"", "is there twice"),
        ("\"a.org\", \"s3.a.org\"", "lie within each other"),
    ] {
        one_problem("[listen]\n", &format!("[listen]\nhosts = [{hosts}]\n"), expected);
    }
    one_problem("[listen]\n", "[listen]\ntrusted_proxies = [\"10.0.0.0/33\"]\n", "is not a network");
    one_problem("[listen]\n", "[listen]\nproxy_protocol = true\n", "needs trusted_proxies");
    one_problem("127.0.0.1:0", "localhost", "is not an address and a port");
}

#[test]
fn tls_needs_files_that_are_what_they_say() {
    one_problem(
        "[backend]",
        "[listen.tls]\ncertificate_file = \"nowhere.pem\"\n[backend]",
        "listen.tls.private_key_file: is missing",
    );
    one_problem(
        "[backend]",
        "[listen.tls]\ncertificate_file = \"daypass.toml\"\n[backend]",
        "is not a PEM file with a certificate",
    );
}

#[test]
fn a_name_that_is_nowhere_is_a_problem_with_a_hint() {
    one_problem(
        "policies = [\"all\"]",
        "policies = [\"alll\"]",
        "there is no policy `alll`; did you mean `all`?",
    );
    one_problem(
        "roles = [\"admin\"]",
        "roles = [\"admn\"]",
        "there is no role `admn`; did you mean `admin`?",
    );
    one_problem("policies = [\"all\"]", "policies = []", "a role without policies may do nothing");
    one_problem("roles = [\"admin\"]\n", "", "has no policies and may assume no role");
    one_problem("\"Effect\":\"Allow\"", "\"Effect\":\"Permit\"", "policy.all.document: ");
    one_problem(
        "document = '",
        "file = \"nowhere.json\"\ndocument = '",
        "give exactly one of file and document",
    );
}

#[test]
fn two_of_a_name_or_a_key_are_problems() {
    let second = "[[user]]\nname = \"alice\"\naccess_key_id = \"ALICE0000000001\"\nsecret_access_key = \"other-secret\"\npolicies = [\"all\"]\n[[user]]\n";
    let found = problems("[[user]]\n", second);
    assert!(found.iter().any(|problem| problem.contains("there is another user `alice`")), "{found:#?}");
    assert!(found.iter().any(|problem| problem.contains("another user has the same")), "{found:#?}");
    one_problem(
        "[[role]]\n",
        "[[role]]\nname = \"admin\"\npolicies = [\"all\"]\n[[role]]\n",
        "there is another role `admin`",
    );
    one_problem("ALICE0000000001", "ROOTKEY", "is the backend's root key");
    one_problem("alice-secret", "root-secret", "is the backend's root secret");
    one_problem("alice-secret", "short", "is shorter than 8 characters");
}

#[test]
fn no_problem_repeats_a_secret() {
    let text = valid()
        .replace("alice-secret", "sh0rt")
        .replace(SEALING, "my-sealing-key")
        .replace("ALICE0000000001", "A L I C E");
    let shown = load_text(&text).unwrap_err().to_string();
    for secret in ["sh0rt", "my-sealing-key", "root-secret"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let config = load_text(&valid()).unwrap();
    let debugged = format!("{config:?}");
    for secret in ["alice-secret", "root-secret", "AQIDBAUG"] {
        assert!(!debugged.contains(secret), "{debugged}");
    }
}

#[test]
fn the_server_of_revocations_is_one_over_tls_without_a_password_in_its_url() {
    let revocation = |lines: &str| load_text(&format!("{}\n[revocation]\n{lines}\n", valid()));
    let good =
        revocation("url = \"rediss://gateway@valkey.internal:6380/2\"\npassword = \"s3cret-of-valkey\"")
            .unwrap();
    let shown = format!("{:?}", good.revocation);
    assert!(shown.contains("6380") && shown.contains("database: 2") && shown.contains("gateway"), "{shown}");
    assert!(!shown.contains("s3cret-of-valkey"), "{shown}");
    assert!(revocation("url = \"redis://127.0.0.1\"\nallow_plaintext = true").is_ok());
    for (lines, says) in [
        ("url = \"redis://127.0.0.1\"", "is not secured by TLS"),
        ("url = \"rediss://:hunter22@valkey\"", "has a password in it"),
        ("url = \"https://valkey\"", "is not the address of a server"),
        ("url = \"rediss://valkey\"\nfile = \"x\"", "goes without url"),
        ("when_unreachable = \"refuse\"", "needs url"),
        ("url = \"rediss://valkey\"\nwhen_unreachable = \"stop\"", "neither"),
    ] {
        let problems = revocation(lines).unwrap_err().to_string();
        assert!(problems.contains(says) && !problems.contains("hunter22"), "{problems}");
    }
    let admin = |token: &str| {
        load_text(&format!("{}\n[admin]\naddress = \"127.0.0.1:0\"\ntoken = \"{token}\"\n", valid()))
    };
    assert!(!format!("{:?}", admin("0123456789abcdef").unwrap().admin).contains("0123456789abcdef"));
    assert!(admin("0123456789abcde").unwrap_err().to_string().contains("16 characters"));
}

/// The example in the project, with what it names beside it.
fn example() -> (tempfile::TempDir, String) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("policies")).unwrap();
    fs::create_dir_all(folder.path().join("secrets")).unwrap();
    fs::copy(from.join("policies/read-logs.json"), folder.path().join("policies/read-logs.json")).unwrap();
    let keys = folder.path().join("secrets/sealing.keys");
    fs::write(&keys, SEALING).unwrap();
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o600)).unwrap();
    (folder, fs::read_to_string(from.join("daypass.toml")).unwrap())
}

#[test]
fn the_example_loads_and_shows_the_defaults() {
    let (folder, text) = example();
    let file = folder.path().join("daypass.toml");
    fs::write(&file, &text).unwrap();
    let environment =
        |name: &str| name.starts_with("DAYPASS_").then(|| format!("value-of-{name}").replace('-', "_"));
    let shown = load(&file, &environment).unwrap();
    let defaults = load_text(&valid()).unwrap();
    assert_eq!(format!("{:?}", shown.limits), format!("{:?}", defaults.limits));
    assert_eq!(format!("{:?}", shown.sts), format!("{:?}", defaults.sts));
    assert_eq!(format!("{:?}", shown.log), format!("{:?}", defaults.log));
}

#[test]
fn the_example_has_every_key() {
    let (_folder, text) = example();
    let code =
        ["certificate_and_webhook.rs", "check.rs", "people.rs", "revocation.rs", "trust.rs", "ways.rs"].map(
            |file| {
                fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config").join(file))
                    .unwrap()
            },
        );
    let code = code.concat();
    let mut keys = Vec::new();
    for call in [
        "parsed(\"",
        "string(\"",
        "boolean(\"",
        "count(\"",
        "strings(\"",
        ".file(\"",
        "duration(\"",
        "duration(table, \"",
        "filter(table, \"",
        "texts(table, \"",
        "size(\"",
        "small(\"",
        "table(\"",
        "tables(\"",
    ] {
        keys.extend(code.match_indices(call).filter_map(|(at, _)| code[at + call.len()..].split('"').next()));
    }
    assert!(keys.len() > 30, "{keys:?}");
    for key in keys {
        let shown = text.contains(&format!("{key} = "))
            || text.contains(&format!("[{key}]"))
            || text.contains(&format!(".{key}]"));
        assert!(shown, "{key} is not in config/daypass.toml");
    }
}

#[test]
fn ways_that_would_be_open_to_strangers_are_problems() {
    let provider =
        "[[oidc]]\nname = \"idp\"\nissuer = \"https://id.example.org\"\nclient_ids = [\"daypass\"]\n";
    let directory = "[ldap]\nurl = \"ldaps://ldap.example.org\"\nbind_dn = \"cn=daypass,dc=example,dc=org\"\nbind_password = \"secret\"\nuser_base = \"dc=example,dc=org\"\n";
    for good in [provider.to_owned(), directory.to_owned(), format!("{provider}{directory}")] {
        assert!(load_text(&format!("{}{good}", valid())).is_ok(), "{good}");
    }
    let with = |from: &str, to: &str| format!("{provider}{directory}").replace(from, to);
    for (wrong, says) in [
        (with("client_ids = [\"daypass\"]\n", ""), "a token that was made for anybody else would be taken"),
        (with("https://id", "http://id"), "not secured by TLS"),
        (with("https://id.example.org", "id.example.org"), "is not a URL"),
        (
            with("client_ids", "algorithms = [\"HS256\"]\nclient_ids"),
            "not a signature algorithm that can be used",
        ),
        (
            with("client_ids", "algorithms = [\"none\"]\nclient_ids"),
            "not a signature algorithm that can be used",
        ),
        (with("client_ids", "max_stale = \"1m\"\nclient_ids"), "must not be shorter than refresh_interval"),
        (with("client_ids", "bearer_token_file = \"token\"\nclient_ids"), "needs jwks_url"),
        (format!("{directory}failure_window = \"9999999h\"\n"), "must be 24h at the most"),
        (format!("{provider}{provider}"), "there is another provider `idp`"),
        (
            format!("{provider}{}", provider.replace("\"idp\"", "\"two\"")),
            "another provider has the same issuer",
        ),
        (with("ldaps://", "ldap://"), "would carry passwords in the clear"),
        (
            with("ldaps://ldap.example.org\"", "ldaps://ldap.example.org\"\nstart_tls = true"),
            "goes with ldap://",
        ),
        (with("user_base = \"dc=example,dc=org\"", "user_base = \"example\""), "is not a distinguished name"),
        (
            format!("{directory}user_filter = \"(uid=*)\"\n"),
            "must be a filter in parentheses that holds {username}",
        ),
        (format!("{directory}user_filter = \"uid={{username}}\"\n"), "must be a filter in parentheses"),
        (
            format!("{directory}[[ldap.policy]]\ndn = \"nobody\"\npolicies = [\"read\"]\n"),
            "is not a distinguished name",
        ),
        (
            format!("{directory}[[ldap.policy]]\ndn = \"cn=a\"\npolicies = [\"rea\"]\n"),
            "there is no policy `rea`",
        ),
        (format!("{directory}[[ldap.policy]]\ndn = \"cn=a\"\n"), "name at least one policy"),
        ("[certificate]\npolicy_from_cn = true\n".to_owned(), "needs listen.tls.client_ca_file"),
        ("[webhook]\nurl = \"http://auth.internal/\"\n".to_owned(), "not secured by TLS"),
    ] {
        let problems = load_text(&format!("{}{wrong}", valid())).unwrap_err().to_string();
        assert!(problems.contains(says), "{says}: {problems}");
    }
}

#[test]
fn a_trust_rule_trusts_one_kind_and_only_what_is_there() {
    let ways = "[[oidc]]\nname = \"idp\"\nissuer = \"https://id.example.org\"\nclient_ids = [\"daypass\"]\n[webhook]\nurl = \"https://auth.internal/\"\n";
    let load = |rule: &str| {
        let policy = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
        load_text(&format!(
            "{}{ways}[[policy]]\nname = \"trusted\"\ndocument = '{policy}'\n[[role]]\nname = \"trusting\"\npolicies = [\"trusted\"]\n[[role.trust]]\n{rule}\n",
            valid()
        ))
    };
    for good in [
        "oidc = \"idp\"",
        "oidc = \"idp\"\nclaims = { a = \"x\", b = true, c = 3, d = [\"x\", false], \"/e/f\" = \"g*\" }",
        "webhook = true\nclaims = { team = \"red\" }",
    ] {
        assert!(load(good).is_ok(), "{good}: {:?}", load(good).err().map(|problems| problems.to_string()));
    }
    for (wrong, says) in [
        ("", "trusts nobody"),
        ("webhook = false", "trusts nobody"),
        ("claims = { a = \"b\" }", "trusts nobody"),
        ("oidc = \"idq\"", "there is no [[oidc]] provider `idq`; did you mean `idp`?"),
        ("oidc = \"idp\"\nwebhook = true", "names several ways"),
        ("oidc = \"idp\"\nusers = [\"*\"]", "write a rule for each"),
        ("oidc = \"idp\"\nexternal_id = \"word\"", "go with AssumeRole"),
        ("oidc = \"idp\"\nsession_tags = [\"*\"]", "go with AssumeRole"),
        ("oidc = \"idp\"\nclaims = { a = [] }", "nothing could ever match"),
        (
            "oidc = \"idp\"\nclaims = { a = 1.5 }",
            "must be a string, a truth value, a whole number or a list of them",
        ),
        ("oidc = \"idp\"\nclaims = { a = { b = \"c\" } }", "must be a string, a truth value"),
        ("ldap_group = \"cn=a,dc=b\"", "there is no [ldap]"),
        ("certificate = { cn = \"a\" }", "there is no listen.tls.client_ca_file"),
        ("certificate = { common_name = \"a\" }", "is nothing that a certificate says"),
        ("ldap_group = \"analysts\"", "is not a distinguished name"),
    ] {
        let problems = load(wrong).unwrap_err().to_string();
        assert!(problems.contains(says), "{says}: {problems}");
    }
}

#[test]
fn metrics_that_nobody_could_read_and_half_a_tls_of_the_admin_listener_are_problems() {
    for (lines, says) in [
        ("metrics_need_token = true\n", "admin.metrics_need_token: needs a token"),
        ("[admin.tls]\nca_file = \"daypass.toml\"\n", "admin.tls.certificate_file: is missing"),
        ("[admin.tls]\nserver_name = \"a b\"\n", "admin.tls.server_name: `a b` is neither a DNS name"),
        ("[admin.tls]\nca_file = \"daypass.toml\"\n", "admin.tls.ca_file: is not a PEM file"),
    ] {
        let text = format!("{}\n[admin]\naddress = \"127.0.0.1:0\"\n{lines}", valid());
        let problems = load_text(&text).unwrap_err().to_string();
        assert!(problems.contains(says), "{says} is not in {problems}");
    }
}

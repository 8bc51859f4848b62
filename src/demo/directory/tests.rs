//! Over the wire, by the library that the gateway uses.

use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, Scope};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::*;

const EVERYBODY: &str = "(uid=*)";

async fn connect(directory: &Directory) -> Ldap {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(directory.ca_pem.as_bytes()).unwrap()).unwrap();
    let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let settings = LdapConnSettings::new().set_config(Arc::new(tls));
    let url = format!("ldaps://{}", directory.address());
    let (connection, ldap) = LdapConnAsync::with_settings(settings, &url).await.unwrap();
    tokio::spawn(connection.drive());
    ldap
}

async fn bind(ldap: &mut Ldap, name: &str, password: &str) -> u32 {
    ldap.simple_bind(name, password).await.unwrap().rc
}

/// The first part of each name that was found, and the result code.
async fn search(ldap: &mut Ldap, base: &str, scope: Scope, filter: &str) -> (Vec<String>, u32) {
    let found = ldap.search(base, scope, filter, vec!["1.1"]).await.unwrap();
    let entries = found.0.into_iter().map(ldap3::SearchEntry::construct);
    let names = entries.map(|entry| {
        assert!(entry.attrs.is_empty());
        entry.dn.split(',').next().unwrap().to_owned()
    });
    (names.collect(), found.1.rc)
}

#[tokio::test]
async fn only_the_service_account_may_search() {
    let directory = Directory::start().await.unwrap();
    let mut ldap = connect(&directory).await;
    let nothing = (Vec::new(), 50);
    assert_eq!(search(&mut ldap, PEOPLE, Scope::Subtree, EVERYBODY).await, nothing);

    let (bob, password) = (person(AUDITOR), directory.auditor_password.expose_secret());
    assert_eq!(bind(&mut ldap, &bob, password).await, 0);
    assert_eq!(search(&mut ldap, PEOPLE, Scope::Subtree, EVERYBODY).await, nothing);

    assert_eq!(bind(&mut ldap, SERVICE, directory.service_password.expose_secret()).await, 0);
    let (people, _) = search(&mut ldap, PEOPLE, Scope::Subtree, EVERYBODY).await;
    assert_eq!(people, ["uid=bob", "uid=carol"]);

    // A bind that fails ends what was before it.
    for (name, wrong) in [(bob.as_str(), "guessed"), (bob.as_str(), ""), ("", ""), (SERVICE, password)] {
        assert_eq!(bind(&mut ldap, name, wrong).await, 49, "{name}");
        assert_eq!(search(&mut ldap, PEOPLE, Scope::Subtree, EVERYBODY).await, nothing);
    }
}

#[tokio::test]
async fn nothing_can_be_changed() {
    let directory = Directory::start().await.unwrap();
    let mut ldap = connect(&directory).await;
    bind(&mut ldap, SERVICE, directory.service_password.expose_secret()).await;
    assert!(ldap.delete(&person(AUDITOR)).await.is_err());
    let mut ldap = connect(&directory).await;
    assert_eq!(bind(&mut ldap, &person(AUDITOR), directory.auditor_password.expose_secret()).await, 0);
}

#[tokio::test]
async fn filters_find_whom_they_describe() {
    let directory = Directory::start().await.unwrap();
    let mut ldap = connect(&directory).await;
    bind(&mut ldap, SERVICE, directory.service_password.expose_secret()).await;
    for (filter, expected) in [
        ("(uid=bob)", vec!["uid=bob"]),
        ("(&(objectClass=inetOrgPerson)(UID=BOB))", vec!["uid=bob"]),
        ("(|(uid=bob)(mail=carol@example.org))", vec!["uid=bob", "uid=carol"]),
        ("(memberOf=CN=Auditors, ou=groups,dc=example,dc=org)", vec!["uid=bob"]),
        ("(&(uid=*)(!(memberOf=*)))", vec!["uid=carol"]),
        ("(mail=c*@*.org)", vec!["uid=carol"]),
        ("(uid>=c)", vec!["uid=carol"]),
        ("(uid=\\2a)", vec![]),
        ("(userPassword=*)", vec![]),
        ("(!(uid:1.2.3:=bob))", vec![]),
        ("(|(uid:1.2.3:=bob)(uid=carol))", vec!["uid=carol"]),
    ] {
        let (found, _) = search(&mut ldap, PEOPLE, Scope::Subtree, filter).await;
        assert_eq!(found, expected, "{filter}");
    }
}

#[tokio::test]
async fn a_search_stays_within_its_scope() {
    let directory = Directory::start().await.unwrap();
    let mut ldap = connect(&directory).await;
    bind(&mut ldap, SERVICE, directory.service_password.expose_secret()).await;
    let (root, any) = ("dc=example,dc=org", "(objectClass=*)");
    assert_eq!(search(&mut ldap, root, Scope::Base, any).await.0, ["dc=example"]);
    assert_eq!(search(&mut ldap, root, Scope::OneLevel, any).await.0, ["ou=people", "ou=groups"]);
    assert_eq!(search(&mut ldap, root, Scope::Subtree, any).await.0.len(), 6);
    assert_eq!(search(&mut ldap, "dc=org", Scope::Subtree, any).await, (Vec::new(), 32));
}

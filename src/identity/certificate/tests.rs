//! Chains as clients may send them, each made here.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    CrlDistributionPoint, CrlIssuingDistributionPoint, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType,
    SerialNumber, date_time_ymd,
};

use super::*;

type Ca = CertifiedIssuer<'static, KeyPair>;
type Chain = Vec<CertificateDer<'static>>;

fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-06-01T00:00:00Z").unwrap()
}

fn named(cn: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, cn);
    name
}

fn ca_params(cn: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(cn);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn ca(cn: &str) -> Ca {
    CertifiedIssuer::self_signed(ca_params(cn), KeyPair::generate().unwrap()).unwrap()
}

fn intermediate(cn: &str, by: &Ca) -> Ca {
    CertifiedIssuer::signed_by(ca_params(cn), KeyPair::generate().unwrap(), by).unwrap()
}

fn client_params(cn: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(cn);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2027, 1, 1);
    params.serial_number = Some(SerialNumber::from(4711));
    params
}

fn signed(params: &CertificateParams, by: &Ca) -> CertificateDer<'static> {
    params.signed_by(&KeyPair::generate().unwrap(), by).unwrap().der().clone()
}

fn client(cn: &str, by: &Ca) -> CertificateDer<'static> {
    signed(&client_params(cn), by)
}

fn san(texts: &[SanType]) -> CertificateParams {
    let mut params = client_params("app");
    params.subject_alt_names = texts.to_vec();
    params
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn crl(by: &Ca, serials: &[u64]) -> String {
    crl_in_part(by, serials, None)
}

fn crl_in_part(by: &Ca, serials: &[u64], part: Option<&str>) -> String {
    let revoked = |serial: &u64| RevokedCertParams {
        serial_number: SerialNumber::from(*serial),
        revocation_time: date_time_ymd(2026, 2, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 5, 1),
        next_update: date_time_ymd(2026, 7, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: part.map(|uri| CrlIssuingDistributionPoint {
            distribution_point: CrlDistributionPoint { uris: vec![uri.to_owned()] },
            scope: None,
        }),
        revoked_certs: serials.iter().map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(by).unwrap().pem().unwrap()
}

fn settings(ca: &Ca) -> Settings {
    Settings { ca_pem: ca.pem().into_bytes(), crl_pem: None, policy_from_cn: false }
}

fn by(ca: &Ca) -> Certificates {
    Certificates::new(settings(ca)).unwrap()
}

fn by_policy_names(ca: &Ca) -> Certificates {
    Certificates::new(Settings { policy_from_cn: true, ..settings(ca) }).unwrap()
}

fn with_crl(ca: &Ca, lists: &[String]) -> Result<Certificates, SettingsError> {
    Certificates::new(Settings { crl_pem: Some(lists.concat().into_bytes()), ..settings(ca) })
}

#[track_caller]
fn refused(certificates: &Certificates, chain: &[CertificateDer<'static>], why: &str) {
    match certificates.identify(chain, now()) {
        Err(Error::Invalid { cause }) => assert!(cause.to_lowercase().contains(why), "{cause}"),
        other => panic!("{other:?}, not {why}"),
    }
}

#[test]
fn a_certificate_of_the_authority_proves_who_is_named_in_it() {
    let ca = ca("Clients");
    let mut params = san(&[
        SanType::DnsName("app.example.org".try_into().unwrap()),
        SanType::Rfc822Name("app@example.org".try_into().unwrap()),
        SanType::IpAddress("192.0.2.1".parse().unwrap()),
    ]);
    params.distinguished_name.push(DnType::OrganizationName, "Example");
    params.distinguished_name.push(DnType::OrganizationalUnitName, "Backup");
    let proof = by(&ca).identify(&[signed(&params, &ca)], now()).unwrap();
    assert_eq!(proof.way, Way::Certificate);
    assert_eq!(proof.subject, "cn:app");
    assert_eq!(
        serde_json::Value::Object(proof.said),
        serde_json::json!({
            "cn": "app", "o": ["Example"], "ou": ["Backup"], "san_dns": ["app.example.org"],
            "san_email": ["app@example.org"], "issuer_cn": "Clients", "serial": "1267",
        })
    );
    assert_eq!(proof.policies, Vec::<String>::new());
}

#[test]
fn a_session_cannot_outlive_the_certificate() {
    let ca = ca("Clients");
    let proof = by(&ca).identify(&[client("app", &ca)], now()).unwrap();
    assert_eq!(proof.valid_until.unwrap().rfc3339(), "2027-01-01T00:00:00Z");
}

#[test]
fn intermediates_that_the_client_sends_lead_to_the_authority() {
    let root = ca("Root");
    let middle = intermediate("Middle", &root);
    let leaf = client("app", &middle);
    assert!(by(&root).identify(&[leaf.clone(), middle.der().clone()], now()).is_ok());
    refused(&by(&root), std::slice::from_ref(&leaf), "unknownissuer");
    // A file may name the intermediate alone.
    assert!(by(&middle).identify(&[leaf], now()).is_ok());
}

#[test]
fn no_certificate_is_missing() {
    assert!(matches!(by(&ca("Clients")).identify(&[], now()), Err(Error::Missing)));
}

#[test]
fn a_certificate_of_another_authority_of_the_same_name_is_refused() {
    let (ours, other) = (ca("Clients"), ca("Clients"));
    refused(&by(&ours), &[client("app", &other)], "signature");
    refused(&by(&ours), &[client("app", &other), other.der().clone()], "invalid peer certificate");
}

#[test]
fn a_self_signed_certificate_is_refused() {
    let made = client_params("app").self_signed(&KeyPair::generate().unwrap()).unwrap();
    refused(&by(&ca("Clients")), &[made.der().clone()], "unknownissuer");
}

#[test]
fn a_certificate_is_refused_outside_its_dates() {
    let ca = ca("Clients");
    let chain = [client("app", &ca)];
    let at = |text: &str| by(&ca).identify(&chain, Timestamp::parse_rfc3339(text).unwrap());
    assert!(at("2026-01-01T00:00:00Z").is_ok());
    assert!(at("2027-01-01T00:00:00Z").is_ok());
    for outside in ["2025-12-31T23:59:59Z", "2027-01-01T00:00:01Z"] {
        assert!(matches!(at(outside), Err(Error::Invalid { .. })), "{outside}");
    }
}

#[test]
fn an_authority_signs_for_nobody_outside_its_dates() {
    let mut params = ca_params("Old");
    params.not_after = date_time_ymd(2026, 5, 1);
    let old = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    refused(&by(&old), &[client("app", &old)], "no certificate of the ca file is valid now");
    let current = ca("New");
    let ca_pem = format!("{}{}", old.pem(), current.pem()).into_bytes();
    let both = Certificates::new(Settings { ca_pem, ..settings(&old) }).unwrap();
    refused(&both, &[client("app", &old)], "unknownissuer");
    assert!(both.identify(&[client("app", &current)], now()).is_ok());
}

#[test]
fn a_certificate_for_servers_alone_or_for_no_named_use_is_refused() {
    let ca = ca("Clients");
    for usages in [vec![ExtendedKeyUsagePurpose::ServerAuth], vec![], vec![ExtendedKeyUsagePurpose::Any]] {
        let mut params = client_params("app");
        params.extended_key_usages = usages;
        assert!(matches!(by(&ca).identify(&[signed(&params, &ca)], now()), Err(Error::Invalid { .. })));
    }
    let mut params = client_params("app");
    params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    assert!(by(&ca).identify(&[signed(&params, &ca)], now()).is_ok());
}

#[test]
fn an_authority_is_no_client() {
    let ca = ca("Clients");
    let mut params = ca_params("admin");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    refused(&by(&ca), &[signed(&params, &ca)], "the first certificate is an authority's");
    refused(&by(&ca), &[ca.der().clone()], "the first certificate is an authority's");
}

#[test]
fn a_certificate_whose_key_was_not_shown_proves_nobody() {
    // The handshake proves the key of the first alone; whoever saw the victim's certificate can send it as the second.
    let (ours, attackers) = (ca("Clients"), ca("Attacker"));
    let victims = client("admin", &ours);
    refused(
        &by(&ours),
        &[attackers.der().clone(), victims.clone()],
        "the first certificate is an authority's",
    );
    let attackers = client("attacker", &attackers);
    assert!(matches!(by(&ours).identify(&[attackers, victims], now()), Err(Error::SeveralLeaves)));
}

#[test]
fn two_leaves_are_refused() {
    let ca = ca("Clients");
    let chain = [client("app", &ca), client("admin", &ca)];
    assert!(matches!(by(&ca).identify(&chain, now()), Err(Error::SeveralLeaves)));
}

#[test]
fn eleven_intermediates_are_too_many() {
    let root = ca("Root");
    let leaf = client("app", &root);
    let with = |count: usize| -> Chain {
        let spares = (0..count).map(|number| intermediate(&format!("Spare {number}"), &root).der().clone());
        std::iter::once(leaf.clone()).chain(spares).collect()
    };
    assert!(by(&root).identify(&with(10), now()).is_ok());
    assert!(matches!(by(&root).identify(&with(11), now()), Err(Error::TooManyIntermediates)));
}

#[test]
fn what_is_no_certificate_is_refused() {
    let ca = ca("Clients");
    let mut longer = client("app", &ca).to_vec();
    longer.push(0);
    for nonsense in [vec![], vec![0x30], longer] {
        let nonsense = CertificateDer::from(nonsense);
        refused(&by(&ca), std::slice::from_ref(&nonsense), "cannot be read");
        refused(&by(&ca), &[client("app", &ca), nonsense], "cannot be read");
    }
}

#[test]
fn a_revoked_certificate_is_refused() {
    let ca = ca("Clients");
    let revoked = with_crl(&ca, &[crl(&ca, &[4711])]).unwrap();
    refused(&revoked, &[client("app", &ca)], "revoked");
    let other = with_crl(&ca, &[crl(&ca, &[4712])]).unwrap();
    assert!(other.identify(&[client("app", &ca)], now()).is_ok());
}

#[test]
fn a_revoked_intermediate_leads_nowhere() {
    let root = ca("Root");
    let mut params = ca_params("Middle");
    params.serial_number = Some(SerialNumber::from(99));
    let middle = CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &root).unwrap();
    let chain = [client("app", &middle), middle.der().clone()];
    let lists = |of_root: &[u64]| with_crl(&root, &[crl(&root, of_root), crl(&middle, &[])]).unwrap();
    assert!(lists(&[]).identify(&chain, now()).is_ok());
    refused(&lists(&[99]), &chain, "revoked");
}

#[test]
fn once_there_are_lists_every_issuer_needs_one_of_its_own_and_of_today() {
    let (root, other) = (ca("Clients"), ca("Other"));
    refused(&with_crl(&root, &[crl(&other, &[])]).unwrap(), &[client("app", &root)], "revocation");
    let impostor = ca("Clients");
    refused(&with_crl(&root, &[crl(&impostor, &[])]).unwrap(), &[client("app", &root)], "revocation");
    let later = Timestamp::parse_rfc3339("2026-07-01T00:00:01Z").unwrap();
    let run_out = with_crl(&root, &[crl(&root, &[])]).unwrap().identify(&[client("app", &root)], later);
    assert!(matches!(run_out, Err(Error::Invalid { .. })), "{run_out:?}");
}

#[test]
fn a_list_that_would_hide_another_is_refused_at_the_start() {
    let ca = ca("Clients");
    let twice = with_crl(&ca, &[crl(&ca, &[]), crl(&ca, &[4711])]).unwrap_err().to_string();
    assert!(twice.contains("list 2 of the CRL file is the second one of CN=Clients"), "{twice}");
    let parts = ["http://crl/1", "http://crl/2"].map(|part| crl_in_part(&ca, &[], Some(part)));
    assert!(with_crl(&ca, &parts).is_ok());
}

#[test]
fn an_empty_or_wrong_file_is_refused_at_the_start() {
    let ca = ca("Clients");
    let plain = client_params("app").self_signed(&KeyPair::generate().unwrap()).unwrap();
    let broken = ca.pem().replace('M', "!");
    let cut = ca.pem().replace("-----END CERTIFICATE-----", "");
    for (ca_pem, why) in [
        ("", "holds no certificate"),
        ("nonsense", "holds no certificate"),
        (crl(&ca, &[]).as_str(), "holds no certificate"),
        (broken.as_str(), "is not PEM"),
        (cut.as_str(), "is not PEM"),
        ("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", "cannot be read"),
        (
            format!("{}{}", ca.pem(), plain.pem()).as_str(),
            "certificate 2 of the client CA file is not an authority's",
        ),
    ] {
        let refused = Certificates::new(Settings { ca_pem: ca_pem.into(), ..settings(&ca) }).unwrap_err();
        assert!(refused.to_string().contains(why), "{refused} is not {why}");
    }
    for (list, why) in [
        ("", "holds no list"),
        (ca.pem().as_str(), "holds no list"),
        ("-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n", "cannot be read"),
    ] {
        let refused = with_crl(&ca, &[list.to_owned()]).unwrap_err();
        assert!(refused.to_string().contains(why), "{refused} is not {why}");
    }
}

#[test]
fn a_common_name_that_can_be_read_in_two_ways_is_refused() {
    let ca = ca("Clients");
    for cn in ["", "admin\0.example.org", "admin\n", "admin\u{85}"] {
        refused(&by(&ca), &[client(cn, &ca)], "common name");
    }
    let mut twice = client_params("app");
    twice.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 3]), "admin");
    refused(&by(&ca), &[signed(&twice, &ca)], "more than one common name");
    let mut encoded = client_params("app");
    let utf16 = rcgen::string::BmpString::try_from("admin").unwrap();
    encoded.distinguished_name.push(DnType::CommonName, DnValue::BmpString(utf16));
    refused(&by(&ca), &[signed(&encoded, &ca)], "the common name cannot be read");
    let mut nobody = client_params("app");
    nobody.distinguished_name = DistinguishedName::new();
    refused(&by(&ca), &[signed(&nobody, &ca)], "neither a common name nor an alternative one");
    refused(&by(&ca), &[client(&"x".repeat(1100), &ca)], "longer than");
}

#[test]
fn a_common_name_names_one_policy_or_none() {
    let ca = ca("Clients");
    let proof = by_policy_names(&ca).identify(&[client("read-reports", &ca)], now()).unwrap();
    assert_eq!(proof.policies, ["read-reports"]);
    for cn in ["*", "read*", "read,write", "a/b", "a\\b", "rea?"] {
        refused(&by_policy_names(&ca), &[client(cn, &ca)], "no policy has in its name");
        // It is a name like any other where none names a policy.
        assert_eq!(by(&ca).identify(&[client(cn, &ca)], now()).unwrap().subject, format!("cn:{cn}"));
    }
    let mut without = san(&[uri("spiffe://example.org/app")]);
    without.distinguished_name = DistinguishedName::new();
    refused(&by_policy_names(&ca), &[signed(&without, &ca)], "no common name to name a policy");
    assert_eq!(
        by(&ca).identify(&[signed(&without, &ca)], now()).unwrap().subject,
        "uri:spiffe://example.org/app"
    );
}

#[test]
fn names_of_different_kinds_never_become_the_same_subject() {
    let ca = ca("Clients");
    let subject =
        |params: &CertificateParams| by(&ca).identify(&[signed(params, &ca)], now()).unwrap().subject;
    let id = "spiffe://example.org/app";
    assert_eq!(subject(&san(&[uri(id)])), format!("uri:{id}"));
    assert_eq!(subject(&client_params(&format!("uri:{id}"))), format!("cn:uri:{id}"));
    let mut dns = san(&[SanType::DnsName("app".try_into().unwrap())]);
    dns.distinguished_name = DistinguishedName::new();
    assert_eq!(subject(&dns), "dns:app");
    dns.subject_alt_names = vec![SanType::Rfc822Name("app".try_into().unwrap())];
    assert_eq!(subject(&dns), "email:app");
}

#[test]
fn a_spiffe_id_stands_alone() {
    let ca = ca("Clients");
    for second in ["spiffe://example.org/admin", "https://example.org/"] {
        let params = san(&[uri("SPIFFE://example.org/app"), uri(second)]);
        refused(&by(&ca), &[signed(&params, &ca)], "a spiffe id and another uri");
    }
    let params = san(&[uri("https://a.example.org/"), uri("https://b.example.org/")]);
    assert_eq!(
        by(&ca).identify(&[signed(&params, &ca)], now()).unwrap().subject,
        "uri:https://a.example.org/"
    );
}

#[test]
fn alternative_names_with_control_characters_are_refused() {
    let ca = ca("Clients");
    for name in
        [uri("spiffe://example.org/app\0"), SanType::DnsName("app\0.org".try_into().unwrap()), uri("")]
    {
        assert!(matches!(by(&ca).identify(&[signed(&san(&[name]), &ca)], now()), Err(Error::Invalid { .. })));
    }
}

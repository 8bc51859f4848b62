//! A throw-away directory over LDAPS, with a CA and passwords that were made for this run: two people, one group, and the account
//! that looks for them.

#[cfg(test)]
mod tests;
mod tree;

use std::{net::SocketAddr, sync::Arc};

use futures_util::{SinkExt, StreamExt};
use ldap3_proto::{
    DisconnectionNotice, LdapCodec, LdapMsg, LdapResultCode,
    proto::{LdapBindCred, LdapBindRequest, LdapBindResponse, LdapOp, LdapResult, LdapSearchRequest},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{ServerConfig, crypto::aws_lc_rs};
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::codec::Framed;

use self::tree::{Entry, find};
use super::{
    listening::{ANYWHERE, Listening},
    throw_away_secret,
};
use crate::identity::ldap::Dn;

pub(super) const PEOPLE: &str = "ou=people,dc=example,dc=org";
pub(super) const GROUPS: &str = "ou=groups,dc=example,dc=org";
pub(super) const AUDITORS: &str = "cn=auditors,ou=groups,dc=example,dc=org";
pub(super) const SERVICE: &str = "cn=daypass,dc=example,dc=org";
/// An auditor, and somebody in no group.
pub(super) const AUDITOR: &str = "bob";
pub(super) const NOBODY_SPECIAL: &str = "carol";

/// It ends when this value is dropped.
pub(super) struct Directory {
    listening: Listening,
    /// The one authority that its certificate is by.
    pub(super) ca_pem: String,
    pub(super) service_password: SecretString,
    pub(super) auditor_password: SecretString,
    pub(super) other_password: SecretString,
}

impl Directory {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let (tls, ca_pem) = certificate()?;
        let service_password = throw_away_secret()?;
        let (auditor_password, other_password) = (throw_away_secret()?, throw_away_secret()?);
        let contents = Arc::new(Contents {
            entries: entries()?,
            accounts: vec![
                (Dn::parse(SERVICE)?, service_password.clone()),
                (Dn::parse(&person(AUDITOR))?, auditor_password.clone()),
                (Dn::parse(&person(NOBODY_SPECIAL))?, other_password.clone()),
            ],
            service: Dn::parse(SERVICE)?,
        });
        let listening = Listening::start(ANYWHERE, move |socket| {
            let (contents, tls) = (Arc::clone(&contents), tls.clone());
            async move { contents.serve(socket, &tls).await }
        })
        .await?;
        Ok(Self { listening, ca_pem, service_password, auditor_password, other_password })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.listening.address()
    }
}

fn person(name: &str) -> String {
    format!("uid={name},{PEOPLE}")
}

fn entries() -> anyhow::Result<Vec<Entry>> {
    let auditor = person(AUDITOR);
    Ok(vec![
        Entry::new("dc=example,dc=org", &[("objectClass", "domain"), ("dc", "example")])?,
        Entry::new(PEOPLE, &[("objectClass", "organizationalUnit"), ("ou", "people")])?,
        Entry::new(GROUPS, &[("objectClass", "organizationalUnit"), ("ou", "groups")])?,
        Entry::new(
            &auditor,
            &[
                ("objectClass", "inetOrgPerson"),
                ("uid", AUDITOR),
                ("cn", "Bob"),
                ("mail", "bob@example.org"),
                ("memberOf", AUDITORS),
            ],
        )?,
        Entry::new(
            &person(NOBODY_SPECIAL),
            &[
                ("objectClass", "inetOrgPerson"),
                ("uid", NOBODY_SPECIAL),
                ("cn", "Carol"),
                ("mail", "carol@example.org"),
            ],
        )?,
        Entry::new(
            AUDITORS,
            &[("objectClass", "groupOfNames"), ("cn", "auditors"), ("member", auditor.as_str())],
        )?,
    ])
}

/// A server's TLS for 127.0.0.1, and the authority that vouches for it.
fn certificate() -> anyhow::Result<(TlsAcceptor, String)> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.distinguished_name.push(DnType::CommonName, "Daypass demo, thrown away at its end");
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let server = CertificateParams::new([ANYWHERE.ip().to_string()])?.signed_by(&key, &authority)?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![server.der().clone()], key.into())?;
    Ok((TlsAcceptor::from(Arc::new(config)), authority.pem()))
}

struct Contents {
    entries: Vec<Entry>,
    accounts: Vec<(Dn, SecretString)>,
    /// The only one who may search.
    service: Dn,
}

impl Contents {
    async fn serve(&self, socket: TcpStream, tls: &TlsAcceptor) {
        let Ok(socket) = tls.accept(socket).await else { return };
        let mut messages = Framed::new(socket, LdapCodec::default());
        let mut bound = None;
        while let Some(Ok(LdapMsg { msgid, op, .. })) = messages.next().await {
            let answers = match op {
                LdapOp::BindRequest(bind) => {
                    bound = self.account(bind);
                    let code = match &bound {
                        Some(_) => LdapResultCode::Success,
                        None => LdapResultCode::InvalidCredentials,
                    };
                    vec![LdapOp::BindResponse(LdapBindResponse { res: result(code), saslcreds: None })]
                }
                LdapOp::SearchRequest(search) => self.search(&search, bound.as_ref()),
                // Every search is answered at once, so there is none to give up.
                LdapOp::AbandonRequest(_) => continue,
                LdapOp::UnbindRequest => return,
                _ => {
                    let only = "this directory knows bind and search alone";
                    let notice = DisconnectionNotice::gen_response(LdapResultCode::ProtocolError, only);
                    let _ = messages.send(notice).await;
                    return;
                }
            };
            for answer in answers {
                if messages.send(LdapMsg::new(msgid, answer)).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Whose name and password these are. Nobody has an empty one.
    fn account(&self, bind: LdapBindRequest) -> Option<Dn> {
        let LdapBindCred::Simple(password) = bind.cred else { return None };
        let dn = Dn::parse(&bind.dn).ok()?;
        self.accounts
            .iter()
            .any(|(known, right)| *known == dn && right.expose_secret() == password)
            .then_some(dn)
    }

    fn search(&self, search: &LdapSearchRequest, bound: Option<&Dn>) -> Vec<LdapOp> {
        if bound != Some(&self.service) {
            return vec![LdapOp::SearchResultDone(result(LdapResultCode::InsufficentAccessRights))];
        }
        let (found, code) = find(&self.entries, search);
        let entries = found.into_iter().map(LdapOp::SearchResultEntry);
        entries.chain([LdapOp::SearchResultDone(result(code))]).collect()
    }
}

fn result(code: LdapResultCode) -> LdapResult {
    LdapResult { code, matcheddn: String::new(), message: String::new(), referral: Vec::new() }
}

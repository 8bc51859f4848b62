//! A directory on a real socket that keeps what it hears, and misbehaves when it is told to.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use daypass::identity::ldap::{Ldap, Settings, Transport};
use futures_util::{SinkExt, StreamExt};
use ldap3_proto::{
    DisconnectionNotice, LdapCodec, LdapFilter, LdapMsg, LdapPartialAttribute, LdapResultCode as Code,
    LdapSearchResultEntry, LdapSearchResultReference, LdapSearchScope,
    proto::{
        LdapBindCred, LdapBindRequest, LdapBindResponse, LdapDerefAliases, LdapExtendedResponse, LdapOp,
        LdapResult, LdapSearchRequest,
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::codec::Framed;

pub const SERVICE_DN: &str = "cn=gateway,ou=services,dc=example,dc=org";
pub const SERVICE_PASSWORD: &str = "service-password";
pub const PEOPLE: &str = "ou=people,dc=example,dc=org";
pub const GROUPS: &str = "ou=groups,dc=example,dc=org";

/// What the directory heard, in order. `connection` counts from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    Connected { connection: usize },
    TlsIsUp { connection: usize },
    StartTls { connection: usize },
    Bind { connection: usize, dn: String, password: String },
    Search { connection: usize, base: String, filter: LdapFilter, size_limit: i32, never_dereferences: bool },
}

/// How it misbehaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// Accepts and says nothing.
    Silent,
    SlowBinds,
    /// Hashes passwords slowly, of users that there are.
    SlowHash,
    RefusesStartTls,
    /// Somebody on the way adds a success to the answer that is still plain.
    SlipsInBeforeTls,
    /// `SearchResultReference` before the end of each search.
    SearchReference,
    ReferralResult,
    ClosesMidSearch,
    /// A success for a message that nobody sent, and then nothing.
    OddMessageId,
    /// A notice of disconnection that looks like success, before a refused bind.
    UnsolicitedNotice,
    /// Group searches end with `sizeLimitExceeded`.
    TruncatesGroups,
    /// An entry that no library expects.
    Garbage,
    Busy,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    passwords: BTreeMap<String, String>,
    heard: Vec<Heard>,
    fault: Fault,
}

#[derive(Clone)]
pub struct Directory {
    pub address: SocketAddr,
    pub ca_pem: Vec<u8>,
    state: Arc<Mutex<State>>,
    connections: Arc<AtomicUsize>,
    tls: TlsAcceptor,
}

impl Directory {
    /// With Bob and Alice, two groups, and a group of groups.
    pub async fn start(transport: Transport) -> Self {
        Self::start_as(transport, "localhost", Validity::Now).await
    }

    pub async fn start_as(transport: Transport, name: &str, validity: Validity) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (tls, ca_pem) = authority(name, validity);
        let directory = Self {
            address: listener.local_addr().unwrap(),
            ca_pem,
            state: Arc::default(),
            connections: Arc::default(),
            tls,
        };
        directory.fill();
        let serving = directory.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let directory = serving.clone();
                tokio::spawn(async move { directory.serve(socket, transport).await });
            }
        });
        directory
    }

    fn fill(&self) {
        self.password(SERVICE_DN, SERVICE_PASSWORD);
        self.entry(PEOPLE, &[]);
        self.entry(GROUPS, &[]);
        for (name, mail) in [("bob", "bob@example.org"), ("alice", "alice@example.org")] {
            let dn = format!("uid={name},{PEOPLE}");
            self.entry(&dn, &[("uid", name), ("mail", mail), ("title", "Analyst")]);
            self.password(&dn, &format!("{name}-password"));
        }
        let bob = format!("uid=bob,{PEOPLE}");
        self.entry(&format!("cn=Analysts,{GROUPS}"), &[("member", &bob)]);
        self.entry(&format!("cn=Staff,{GROUPS}"), &[("member", &format!("cn=Analysts,{GROUPS}"))]);
        self.entry(&format!("cn=All,{GROUPS}"), &[("member", &format!("cn=Staff,{GROUPS}"))]);
    }

    pub fn entry(&self, dn: &str, attributes: &[(&str, &str)]) {
        let mut all = BTreeMap::<String, Vec<String>>::new();
        for (name, value) in attributes {
            all.entry((*name).to_owned()).or_default().push((*value).to_owned());
        }
        self.state.lock().unwrap().entries.insert(dn.to_owned(), all);
    }

    pub fn remove(&self, dn: &str) {
        self.state.lock().unwrap().entries.remove(dn);
    }

    pub fn password(&self, dn: &str, password: &str) {
        self.state.lock().unwrap().passwords.insert(dn.to_owned(), password.to_owned());
    }

    pub fn fault(&self, fault: Fault) {
        self.state.lock().unwrap().fault = fault;
    }

    pub fn heard(&self) -> Vec<Heard> {
        self.state.lock().unwrap().heard.clone()
    }

    pub fn forget(&self) {
        self.state.lock().unwrap().heard.clear();
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Binds with a password that is not the service's.
    pub fn binds(&self) -> Vec<(String, String)> {
        let binds = self.heard().into_iter().filter_map(|heard| match heard {
            Heard::Bind { dn, password, .. } if dn != SERVICE_DN => Some((dn, password)),
            _ => None,
        });
        binds.collect()
    }

    pub fn filters(&self) -> Vec<LdapFilter> {
        let filters = self.heard().into_iter().filter_map(|heard| match heard {
            Heard::Search { filter, .. } => Some(filter),
            _ => None,
        });
        filters.collect()
    }

    pub fn settings(&self, transport: Transport) -> Settings {
        Settings {
            host: if transport == Transport::Plaintext { "127.0.0.1" } else { "localhost" }.to_owned(),
            port: self.address.port(),
            transport,
            ca_pem: Some(self.ca_pem.clone()),
            bind_dn: SERVICE_DN.to_owned(),
            bind_password: SERVICE_PASSWORD.into(),
            user_base: PEOPLE.to_owned(),
            user_filter: "(|(uid={username})(mail={username}))".to_owned(),
            user_attributes: vec!["mail".to_owned(), "Title".to_owned()],
            group_base: Some(GROUPS.to_owned()),
            group_filter: "(member={dn})".to_owned(),
            nested_groups: 0,
            member_of: false,
            connect_timeout: Duration::from_secs(2),
            timeout: Duration::from_secs(5),
            max_failures: 5,
            failure_window: Duration::from_secs(300),
            recheck_interval: Duration::from_secs(600),
        }
    }

    pub fn ldap(&self) -> Ldap {
        Ldap::new(self.settings(Transport::Plaintext)).unwrap()
    }

    fn hear(&self, heard: Heard) {
        self.state.lock().unwrap().heard.push(heard);
    }

    async fn serve(&self, socket: TcpStream, transport: Transport) {
        let connection = self.connections.fetch_add(1, Ordering::SeqCst);
        self.hear(Heard::Connected { connection });
        socket.set_nodelay(true).unwrap();
        if transport == Transport::Tls {
            let Ok(socket) = self.tls.accept(socket).await else { return };
            self.hear(Heard::TlsIsUp { connection });
            return self.talk(Framed::new(socket, LdapCodec::default()), connection).await;
        }
        let mut plain = Framed::new(socket, LdapCodec::default());
        if transport == Transport::Plaintext {
            return self.talk(plain, connection).await;
        }
        let Some(Ok(message)) = plain.next().await else { return };
        let LdapOp::ExtendedRequest(request) = &message.op else {
            // Whatever comes before TLS is heard as it is.
            return self.answer(&mut plain, connection, message).await;
        };
        assert_eq!(request.name, "1.3.6.1.4.1.1466.20037");
        self.hear(Heard::StartTls { connection });
        let fault = self.state.lock().unwrap().fault;
        let refuses = fault == Fault::RefusesStartTls;
        let code = if refuses { Code::Unavailable } else { Code::Success };
        let response = LdapExtendedResponse { res: result(code), name: None, value: None };
        plain.feed(LdapMsg::new(message.msgid, LdapOp::ExtendedResponse(response))).await.unwrap();
        if fault == Fault::SlipsInBeforeTls {
            for msgid in 2..4 {
                let response = LdapBindResponse { res: result(Code::Success), saslcreds: None };
                plain.feed(LdapMsg::new(msgid, LdapOp::BindResponse(response))).await.unwrap();
            }
        }
        SinkExt::<LdapMsg>::flush(&mut plain).await.unwrap();
        if refuses {
            return self.talk(plain, connection).await;
        }
        let Ok(socket) = self.tls.accept(plain.into_inner()).await else { return };
        self.hear(Heard::TlsIsUp { connection });
        self.talk(Framed::new(socket, LdapCodec::default()), connection).await;
    }

    async fn talk<S>(&self, mut stream: Framed<S, LdapCodec>, connection: usize)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        while let Some(Ok(message)) = stream.next().await {
            if message.op == LdapOp::UnbindRequest {
                return;
            }
            let closes = self.closes(&message.op);
            self.answer(&mut stream, connection, message).await;
            if closes {
                return;
            }
        }
    }

    fn closes(&self, op: &LdapOp) -> bool {
        matches!(op, LdapOp::SearchRequest(_)) && self.state.lock().unwrap().fault == Fault::ClosesMidSearch
    }

    async fn answer<S>(&self, stream: &mut Framed<S, LdapCodec>, connection: usize, message: LdapMsg)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let fault = self.state.lock().unwrap().fault;
        let answers = match &message.op {
            LdapOp::BindRequest(bind) => {
                self.hear_bind(bind, connection);
                self.bind(bind, message.msgid, fault)
            }
            LdapOp::SearchRequest(search) => {
                self.hear(Heard::Search {
                    connection,
                    base: search.base.clone(),
                    filter: search.filter.clone(),
                    size_limit: search.sizelimit,
                    never_dereferences: search.aliases == LdapDerefAliases::Never,
                });
                self.search(search, message.msgid, fault)
            }
            _ => Vec::new(),
        };
        if fault == Fault::Silent {
            return;
        }
        if fault == Fault::SlowBinds && matches!(message.op, LdapOp::BindRequest(_)) {
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
        if fault == Fault::SlowHash
            && let LdapOp::BindRequest(bind) = &message.op
            && self.state.lock().unwrap().passwords.contains_key(&bind.dn)
        {
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        for answer in answers {
            stream.send(answer).await.ok();
        }
    }

    fn hear_bind(&self, bind: &LdapBindRequest, connection: usize) {
        let LdapBindCred::Simple(password) = &bind.cred else { panic!("not a simple bind") };
        self.hear(Heard::Bind { connection, dn: bind.dn.clone(), password: password.clone() });
    }

    fn bind(&self, bind: &LdapBindRequest, msgid: i32, fault: Fault) -> Vec<LdapMsg> {
        let state = self.state.lock().unwrap();
        let LdapBindCred::Simple(password) = &bind.cred else { panic!("not a simple bind") };
        let right = state.passwords.get(&bind.dn) == Some(password);
        let code = match fault {
            // As OpenLDAP answers when it is told to allow it, and Active Directory does anyway.
            _ if password.is_empty() => Code::Success,
            Fault::Busy => Code::Busy,
            _ if right => Code::Success,
            _ => Code::InvalidCredentials,
        };
        let response = |msgid, code| {
            let response = LdapBindResponse { res: result(code), saslcreds: None };
            LdapMsg::new(msgid, LdapOp::BindResponse(response))
        };
        match fault {
            Fault::OddMessageId if bind.dn != SERVICE_DN => vec![response(msgid + 1000, Code::Success)],
            Fault::UnsolicitedNotice if bind.dn != SERVICE_DN => vec![
                DisconnectionNotice::gen_response(Code::Success, "going down"),
                response(0, Code::Success),
                response(msgid, code),
            ],
            _ => vec![response(msgid, code)],
        }
    }

    fn search(&self, search: &LdapSearchRequest, msgid: i32, fault: Fault) -> Vec<LdapMsg> {
        let state = self.state.lock().unwrap();
        let mut messages = Vec::new();
        let mut code = Code::Success;
        if !state.entries.contains_key(&search.base)
            && !state.entries.keys().any(|dn| dn.ends_with(&search.base))
        {
            code = Code::NoSuchObject;
        }
        for (dn, attributes) in &state.entries {
            let in_scope = match search.scope {
                LdapSearchScope::Base => dn.eq_ignore_ascii_case(&search.base),
                _ => dn.ends_with(&search.base),
            };
            if !in_scope || !fits(&search.filter, attributes) {
                continue;
            }
            if search.sizelimit > 0 && messages.len() == usize::try_from(search.sizelimit).unwrap() {
                code = Code::SizeLimitExceeded;
                break;
            }
            messages.push(entry(dn, attributes, &search.attrs, msgid));
        }
        let reference =
            || LdapSearchResultReference { uris: vec!["ldap://elsewhere.example.org/".to_owned()] };
        match fault {
            Fault::SearchReference => {
                messages.push(LdapMsg::new(msgid, LdapOp::SearchResultReference(reference())));
            }
            Fault::ReferralResult => {
                let mut referral = result(Code::Referral);
                referral.referral = reference().uris;
                return vec![LdapMsg::new(msgid, LdapOp::SearchResultDone(referral))];
            }
            Fault::ClosesMidSearch => return messages,
            Fault::Busy => code = Code::Busy,
            Fault::TruncatesGroups if search.base == GROUPS => code = Code::SizeLimitExceeded,
            Fault::Garbage => {
                let response = LdapBindResponse { res: result(Code::Success), saslcreds: None };
                return vec![LdapMsg::new(msgid, LdapOp::BindResponse(response))];
            }
            _ => {}
        }
        messages.push(LdapMsg::new(msgid, LdapOp::SearchResultDone(result(code))));
        messages
    }
}

fn result(code: Code) -> LdapResult {
    LdapResult {
        code,
        matcheddn: String::new(),
        message: "from ldap7.internal.example.org".to_owned(),
        referral: vec![],
    }
}

fn entry(dn: &str, attributes: &BTreeMap<String, Vec<String>>, asked: &[String], msgid: i32) -> LdapMsg {
    let attributes = attributes
        .iter()
        .filter(|(name, _)| {
            let plain = name.split(';').next().unwrap();
            asked.iter().any(|asked| asked.eq_ignore_ascii_case(plain))
        })
        .map(|(name, values)| LdapPartialAttribute {
            atype: name.clone(),
            vals: values.iter().map(|value| value.clone().into_bytes()).collect(),
        })
        .collect();
    LdapMsg::new(msgid, LdapOp::SearchResultEntry(LdapSearchResultEntry { dn: dn.to_owned(), attributes }))
}

fn fits(filter: &LdapFilter, attributes: &BTreeMap<String, Vec<String>>) -> bool {
    let has = |name: &str, value: &str| {
        let values = attributes.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        values.is_some_and(|(_, values)| {
            values.iter().any(|known| known.to_lowercase() == value.to_lowercase())
        })
    };
    match filter {
        LdapFilter::And(all) => all.iter().all(|part| fits(part, attributes)),
        LdapFilter::Or(any) => any.iter().any(|part| fits(part, attributes)),
        LdapFilter::Not(part) => !fits(part, attributes),
        LdapFilter::Equality(name, value) => has(name, value),
        LdapFilter::Present(name) => {
            name.eq_ignore_ascii_case("objectClass")
                || attributes.keys().any(|known| known.eq_ignore_ascii_case(name))
        }
        _ => false,
    }
}

/// When the certificate is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    Now,
    Past,
}

/// A directory's TLS under a CA of its own.
pub fn authority(name: &str, validity: Validity) -> (TlsAcceptor, Vec<u8>) {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = rcgen::CertifiedIssuer::self_signed(ca, ca_key).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut leaf = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
    if validity == Validity::Past {
        leaf.not_before = rcgen::date_time_ymd(2020, 1, 1);
        leaf.not_after = rcgen::date_time_ymd(2021, 1, 1);
    }
    let leaf = leaf.signed_by(&key, &ca).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key.into())
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), ca.pem().into_bytes())
}

//! What is asked of the directory: who somebody is, whether the password is right.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use ldap3::Scope;

use super::{
    Dn, Settings, SettingsError,
    breaker::Breaker,
    connection::{Bound, Connector, Ending, Entry, Failure, Found, Search},
    filter::{FilterTemplate, Names},
    name::LoginName,
    pool::{self, Connections, ServiceAccount},
};

/// What a proof says anyway.
const OUR_NAMES: &[&str] = &["user", "username", "groups"];

/// Attributes that nobody may ask of a session.
const SECRETS: &[&str] = &["userpassword", "unicodepwd", "sambantpassword", "sambalmpassword"];

#[derive(Debug)]
pub(super) struct Directory {
    pub(super) connector: Arc<Connector>,
    pub(super) service: ServiceAccount,
    searches: Connections,
    passwords: Connections,
    breaker: Breaker,
    timeout: Duration,
    pub(super) user_base: String,
    pub(super) user_filter: FilterTemplate,
    /// In lower case.
    user_attributes: Vec<String>,
    /// What is asked for with a user.
    requested: Vec<String>,
    pub(super) group_base: Option<String>,
    pub(super) group_filter: FilterTemplate,
    pub(super) nested_groups: u8,
    pub(super) takes_member_of: bool,
}

/// Who has a login name.
#[derive(Debug)]
pub(super) enum Who {
    One(Box<Entry>),
    Nobody,
    Several,
}

impl Directory {
    pub(super) fn new(settings: Settings) -> Result<Self, SettingsError> {
        let wrong = |text: &str| Err(SettingsError(text.to_owned()));
        let connector = Arc::new(Connector::new(&settings)?);
        let service = ServiceAccount { dn: settings.bind_dn, password: settings.bind_password };
        if service.is_anonymous() {
            return wrong(
                "bind_dn and bind_password are both needed: without one of them the bind is anonymous",
            );
        }
        for (key, base) in
            [("user_base", Some(&settings.user_base)), ("group_base", settings.group_base.as_ref())]
        {
            if let Some(Err(cause)) = base.map(|base| Dn::parse(base)) {
                return Err(SettingsError(format!("{key}: {cause}")));
            }
        }
        let user_filter = FilterTemplate::read("user_filter", &settings.user_filter)?;
        if !user_filter.has_username() || user_filter.has_dn() {
            return wrong("user_filter needs {username}, and knows no {dn}");
        }
        let group_filter = FilterTemplate::read("group_filter", &settings.group_filter)?;
        if settings.group_base.is_some() && !group_filter.has_username() && !group_filter.has_dn() {
            return wrong("group_filter needs {dn} or {username}: it would give everybody every group");
        }
        if settings.group_base.is_some() && settings.nested_groups > 0 && !group_filter.has_dn() {
            return wrong("nested_groups needs {dn} in group_filter");
        }
        let takes_member_of = settings.member_of || settings.group_base.is_none();
        let user_attributes = attributes(&settings.user_attributes)?;
        let mut requested = user_attributes.clone();
        requested.extend(takes_member_of.then(|| "memberOf".to_owned()));
        if requested.is_empty() {
            requested.push(NO_ATTRIBUTES.to_owned());
        }
        Ok(Self {
            searches: pool::pool(&connector, Some(service.clone())),
            passwords: pool::pool(&connector, None),
            connector,
            service,
            breaker: Breaker::default(),
            timeout: settings.timeout,
            user_base: settings.user_base,
            user_filter,
            user_attributes,
            requested,
            group_base: settings.group_base,
            group_filter,
            nested_groups: settings.nested_groups,
            takes_member_of,
        })
    }

    /// Asks the directory within the time for all of it, unless it failed too often of late.
    pub(super) async fn ask<T>(
        &self,
        question: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let call = self.breaker.call(Instant::now())?;
        let outcome = self.in_time(question).await;
        match &outcome {
            Err(Failure::Down(_)) => call.failed(Instant::now()),
            Err(Failure::Unusable(_)) | Ok(_) => call.answered(),
            Err(Failure::Busy) => drop(call),
        }
        outcome
    }

    pub(super) fn is_up(&self) -> Option<bool> {
        self.breaker.is_up()
    }

    pub(super) async fn in_time<T>(
        &self,
        question: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let late = || Failure::down(format!("it did not answer within {:?}", self.timeout));
        tokio::time::timeout(self.timeout, Box::pin(question)).await.unwrap_or_else(|_| Err(late()))
    }

    /// Who has this name, if exactly one has it. Groups and attributes come with the same answer.
    pub(super) async fn who(&self, name: &LoginName) -> Result<Who, Failure> {
        let filter = self.user_filter.fill(Names { username: name.as_str(), dn: "" });
        let found = self
            .search(Search {
                base: &self.user_base,
                scope: Scope::Subtree,
                filter: &filter,
                attributes: &self.requested,
                limit: 2,
            })
            .await?;
        let count = found.entries.len();
        let mut entries = found.entries.into_iter();
        match (entries.next(), found.ending) {
            (_, Ending::NoSuchBase) => Err(Failure::unusable("user_base is not in it")),
            (Some(_), _) if count > 1 => Ok(Who::Several),
            (_, Ending::Cut) => Err(Failure::unusable("it gives fewer entries than there are")),
            (Some(entry), Ending::Complete) => Ok(Who::One(Box::new(entry))),
            (None, Ending::Complete) => Ok(Who::Nobody),
        }
    }

    pub(super) async fn search(&self, search: Search<'_>) -> Result<Found, Failure> {
        pool::take(&self.searches).await?.search(search).await
    }

    pub(super) async fn try_password(&self, dn: &str, password: &str) -> Result<Bound, Failure> {
        pool::take(&self.passwords).await?.bind(dn, password).await
    }

    /// The name of a user who is not there.
    pub(super) fn nobody(&self) -> Result<String, Failure> {
        Ok(format!("cn={},{}", hex::encode(random()?), self.user_base))
    }

    /// The attributes that become claims: one text, or a list.
    pub(super) fn claims<'e>(
        &self,
        entry: &'e Entry,
    ) -> impl Iterator<Item = (String, serde_json::Value)> + use<'e, '_> {
        self.user_attributes.iter().filter_map(|name| {
            let value = match entry.values(name) {
                [] => return None,
                [one] => one.as_str().into(),
                many => many.into(),
            };
            Some((name.clone(), value))
        })
    }
}

/// Asks for entries without any of their attributes (RFC 4511, 4.5.1.8).
pub(super) const NO_ATTRIBUTES: &str = "1.1";

/// What nobody has guessed.
pub(super) fn random() -> Result<[u8; 16], Failure> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| Failure::unusable("there is no randomness for the question"))?;
    Ok(bytes)
}

fn attributes(names: &[String]) -> Result<Vec<String>, SettingsError> {
    names
        .iter()
        .map(|name| {
            let name = name.to_ascii_lowercase();
            let well_formed = name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            let taken = OUR_NAMES.contains(&name.as_str()) || SECRETS.contains(&name.as_str());
            if well_formed && !taken {
                Ok(name)
            } else {
                Err(SettingsError(format!("user_attributes: {name:?} cannot be one")))
            }
        })
        .collect()
}

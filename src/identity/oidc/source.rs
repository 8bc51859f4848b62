//! Where a provider's keys come from, and for how long they count.
//!
//! Keys are fetched when they are first needed, again when they are old or a token names one that is not there, one fetch at a
//! time and not more often than the cool-down allows. Whoever has a good token does not wait for it: old keys serve until new ones
//! are here, and for `max_stale` when the provider cannot be reached.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::Full;
use serde_json::Value;
use tokio::sync::Mutex;

use super::{
    Algorithm, Error, LEEWAY, Provider, Seen, Settings,
    keys::{self, Key},
    refused,
};
use crate::{
    clock::Timestamp,
    iam::read_json,
    identity::http::{ClientError, HttpClient, without_query},
};

/// After a failed fetch without keys nobody tries for so long, and everybody gets the answer at once.
const AFTER_FAILURE: i64 = 5;
const NEVER: i64 = i64::MIN / 2;

/// The keys, and the way to them.
#[derive(Debug)]
pub(super) struct KeySource {
    pub(super) http: HttpClient,
    known: ArcSwapOption<Known>,
    /// Held by the one who fetches.
    fetching: Arc<Mutex<()>>,
    last_try: AtomicI64,
    /// How many tries came to their end.
    tries: AtomicU64,
    /// Why the last try gave nothing; `None`: it gave keys.
    failure: ArcSwapOption<String>,
}

/// What a provider said last.
#[derive(Debug)]
pub(super) struct Known {
    keys: Vec<Key>,
    pub(super) endpoints: Endpoints,
    fetched_at: Timestamp,
    /// What the provider's clock said then.
    date: Option<Timestamp>,
}

/// What the discovery document names beside the keys.
#[derive(Debug, Clone, Default)]
pub(super) struct Endpoints {
    pub(super) introspection: Option<Uri>,
    pub(super) userinfo: Option<Uri>,
}

/// Why nothing new is known.
#[derive(Debug, thiserror::Error)]
enum NotFetched {
    #[error("the last try was a moment ago")]
    TooSoon,
    #[error("{0}")]
    Failed(String),
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("{0}: {1}")]
    Http(String, #[source] ClientError),
    #[error("{0} is no discovery document")]
    NoDiscovery(String),
    #[error(
        "the provider calls itself {found:?} and the configuration calls it {wanted:?}; they must be the same to the letter"
    )]
    AnotherIssuer { found: String, wanted: String },
    #[error("{0} holds no key that can be used")]
    NoKeys(String),
    #[error("{0} cannot be read: {1}")]
    BearerToken(String, std::io::Error),
}

impl KeySource {
    pub(super) fn new(settings: &Settings) -> Result<Self, ClientError> {
        Ok(Self {
            http: HttpClient::new(settings.http.clone())?,
            known: ArcSwapOption::empty(),
            fetching: Arc::default(),
            last_try: AtomicI64::new(NEVER),
            tries: AtomicU64::new(0),
            failure: ArcSwapOption::empty(),
        })
    }

    /// The keys that may have signed a token.
    pub(super) async fn for_token(
        &self,
        provider: &Arc<Provider>,
        id: Option<&str>,
        algorithm: Algorithm,
        now: Timestamp,
    ) -> Result<Vec<Key>, Error> {
        let known = self.known(provider, now).await?;
        let found = keys::fitting(&known.keys, id, algorithm);
        if !found.is_empty() {
            return Ok(found);
        }
        let cooldown = seconds(provider.settings.refresh_cooldown);
        let known = match fetch_after(provider, Some(&known), cooldown, now).await {
            Ok(known) => known,
            Err(NotFetched::TooSoon) => return Err(refused("the provider has no such key")),
            // It may have one by now: who asked should come again.
            Err(NotFetched::Failed(cause)) => return Err(Error::Unavailable { cause }),
        };
        match keys::fitting(&known.keys, id, algorithm) {
            found if found.is_empty() => Err(refused("the provider has no such key")),
            found => Ok(found),
        }
    }

    /// What the provider said last, if that is not too long ago.
    pub(super) async fn known(&self, provider: &Arc<Provider>, now: Timestamp) -> Result<Arc<Known>, Error> {
        let settings = &provider.settings;
        let known = self.known.load_full().filter(|known| now < known.fetched_at.plus(settings.max_stale));
        let Some(known) = known else {
            let fetched = fetch_after(provider, None, AFTER_FAILURE, now).await;
            return fetched.map_err(|cause| Error::Unavailable { cause: cause.to_string() });
        };
        let is_old = now >= known.fetched_at.plus(settings.refresh_interval);
        if is_old && self.may_try(AFTER_FAILURE, now) && self.fetching.try_lock().is_ok() {
            let (provider, seen) = (provider.clone(), known.clone());
            // Nobody waits for this. When it fails, the old keys stay.
            tokio::spawn(async move {
                let _ = fetch_after(&provider, Some(&seen), AFTER_FAILURE, now).await;
            });
        }
        Ok(known)
    }

    pub(super) fn seen(&self, name: &str, now: Timestamp) -> Seen {
        let known = self.known.load();
        let has_failed = self.failure.load().is_some();
        Seen {
            name: name.to_owned(),
            is_up: (known.is_some() || has_failed).then_some(!has_failed),
            keys_age: known.as_ref().map(|known| now.distance(known.fetched_at)),
        }
    }

    fn may_try(&self, pause: i64, now: Timestamp) -> bool {
        now.unix() >= self.last_try.load(Ordering::Acquire).saturating_add(pause)
    }

    async fn fetch_and_keep(&self, settings: &Settings, now: Timestamp) -> Result<Arc<Known>, NotFetched> {
        match self.fetch(settings).await {
            Ok(known) => {
                let known = Arc::new(Known { fetched_at: now, ..known });
                self.known.store(Some(known.clone()));
                self.failure.store(None);
                tracing::debug!(
                    provider = settings.name,
                    keys = known.keys.len(),
                    "fetched the provider's keys"
                );
                Ok(known)
            }
            Err(cause) => {
                tracing::warn!(provider = settings.name, %cause, "the provider's keys cannot be fetched");
                let cause = cause.to_string();
                self.failure.store(Some(Arc::new(cause.clone())));
                Err(NotFetched::Failed(cause))
            }
        }
    }

    async fn fetch(&self, settings: &Settings) -> Result<Known, FetchError> {
        let (jwks_url, endpoints) = match &settings.jwks_url {
            // Without discovery, unless something else than the keys is wanted of it.
            Some(url) if !settings.wants_endpoints() => (url.clone(), Endpoints::default()),
            given => {
                let (discovered, endpoints) = self.discover(settings).await?;
                (given.clone().unwrap_or(discovered), endpoints)
            }
        };
        let shown = without_query(&jwks_url);
        let bearer = match &settings.bearer_token_file {
            None => None,
            Some(file) => {
                let read = tokio::fs::read_to_string(file).await;
                Some(read.map_err(|cause| FetchError::BearerToken(file.display().to_string(), cause))?)
            }
        };
        let (text, date) = self.get(jwks_url, bearer.as_deref().map(str::trim)).await?;
        let keys = keys::read_set(&text).filter(|keys| !keys.is_empty()).ok_or(FetchError::NoKeys(shown))?;
        Ok(Known { keys, endpoints, fetched_at: Timestamp::from_unix(0), date })
    }

    /// OpenID Connect Discovery 1.0, 4: the document's issuer must be the one that was asked.
    async fn discover(&self, settings: &Settings) -> Result<(Uri, Endpoints), FetchError> {
        let url = format!("{}/.well-known/openid-configuration", settings.issuer.trim_end_matches('/'));
        let no_discovery = || FetchError::NoDiscovery(url.clone());
        let uri: Uri = url.parse().map_err(|_| no_discovery())?;
        let (text, _) = self.get(uri, None).await?;
        let document = read_json(&text).ok_or_else(no_discovery)?;
        let found = document.get("issuer").and_then(Value::as_str).ok_or_else(no_discovery)?;
        if found != settings.issuer {
            return Err(FetchError::AnotherIssuer {
                found: found.to_owned(),
                wanted: settings.issuer.clone(),
            });
        }
        let endpoint =
            |name: &str| document.get(name).and_then(Value::as_str).and_then(|url| url.parse().ok());
        let endpoints = Endpoints {
            introspection: endpoint("introspection_endpoint"),
            userinfo: endpoint("userinfo_endpoint"),
        };
        Ok((endpoint("jwks_uri").ok_or_else(no_discovery)?, endpoints))
    }

    async fn get(&self, uri: Uri, bearer: Option<&str>) -> Result<(String, Option<Timestamp>), FetchError> {
        let shown = without_query(&uri);
        let failed = |cause| FetchError::Http(shown.clone(), cause);
        let mut request = Request::get(uri).header(header::ACCEPT, "application/json");
        if let Some(bearer) = bearer {
            request = request.header(header::AUTHORIZATION, format!("Bearer {bearer}"));
        }
        let request = request.body(Full::<Bytes>::default());
        let request = request.map_err(|_| FetchError::NoDiscovery(shown.clone()))?;
        let answer = self.http.call(request).await.map_err(failed)?;
        if answer.status != http::StatusCode::OK {
            return Err(failed(ClientError::Status(answer.status)));
        }
        let text = String::from_utf8(answer.body.to_vec()).map_err(|_| failed(ClientError::BadBody))?;
        Ok((text, answer.date))
    }

    /// Whether the provider can be used, in words for operators.
    pub(super) async fn check(&self, provider: &Arc<Provider>, now: Timestamp) -> Result<String, String> {
        let settings = &provider.settings;
        self.last_try.store(NEVER, Ordering::Release);
        let known = fetch_after(provider, None, 0, now).await.map_err(|cause| cause.to_string())?;
        if settings.introspection.as_ref().is_some_and(|own| own.url.is_none())
            && known.endpoints.introspection.is_none()
        {
            return Err("it names no introspection endpoint: give oidc.introspection.url".to_owned());
        }
        if settings.userinfo && known.endpoints.userinfo.is_none() {
            return Err("it names no userinfo endpoint".to_owned());
        }
        if let Some(date) = known.date.filter(|date| date.distance(now) > LEEWAY) {
            return Err(format!(
                "its clock says {} and ours {}: tokens of one look wrong to the other",
                date.rfc3339(),
                now.rfc3339()
            ));
        }
        Ok(format!("it answers; usable keys: {}", known.keys.len()))
    }
}

/// Fetches, unless somebody tried while this one waited, or the last try was less than `pause` seconds ago.
async fn fetch_after(
    provider: &Arc<Provider>,
    seen: Option<&Arc<Known>>,
    pause: i64,
    now: Timestamp,
) -> Result<Arc<Known>, NotFetched> {
    let keys = &provider.keys;
    let tries = keys.tries.load(Ordering::Acquire);
    let one_at_a_time = keys.fetching.clone().lock_owned().await;
    if let Some(newer) = keys.known.load_full()
        && now < newer.fetched_at.plus(provider.settings.max_stale)
        && seen.is_none_or(|seen| !Arc::ptr_eq(seen, &newer))
    {
        return Ok(newer);
    }
    // Whoever waited for a try that failed must not begin the next: they would stand in line for a provider that hangs.
    if keys.tries.load(Ordering::Acquire) != tries || !keys.may_try(pause, now) {
        let failed = keys.failure.load_full();
        return Err(failed.map_or(NotFetched::TooSoon, |cause| NotFetched::Failed(cause.to_string())));
    }
    keys.last_try.store(now.unix(), Ordering::Release);
    // A task of its own: a caller that goes away must not break it off and leave the others with the pause alone.
    let fetching = provider.clone();
    let fetch = tokio::spawn(async move {
        let _one_at_a_time = one_at_a_time;
        let fetched = fetching.keys.fetch_and_keep(&fetching.settings, now).await;
        fetching.keys.tries.fetch_add(1, Ordering::AcqRel);
        fetched
    });
    fetch.await.unwrap_or_else(|_| Err(NotFetched::Failed("the fetch did not come to its end".to_owned())))
}

impl Settings {
    fn wants_endpoints(&self) -> bool {
        self.userinfo || self.introspection.as_ref().is_some_and(|introspection| introspection.url.is_none())
    }
}

fn seconds(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

//! The rates of sessions, roles and users, and who has used how much of them.

use std::{collections::HashMap, sync::Arc};

use super::{
    error::AuthenticationError,
    session::{Authority, Session},
};
use crate::{
    clock::Clock,
    identity::Directory,
    rate::{Holder, Limiter, Rates, SessionLimits},
    telemetry::metrics::{ThrottleCause, Throttled},
};

/// The limiters under one configuration. Those of roles and users are shared by their sessions; each session has one of its
/// own, which lives as long as the session is in the cache.
#[derive(Debug)]
pub struct Limiters {
    clock: Arc<dyn Clock>,
    session: Rates,
    roles: HashMap<String, Arc<Limiter>>,
    users: HashMap<String, Arc<Limiter>>,
    seen: Arc<Throttled>,
}

impl Limiters {
    /// `session`: of each session. `before`: of the configuration before, whose limiters go on where their rates are the same.
    pub fn new(
        clock: Arc<dyn Clock>,
        session: Rates,
        directory: &Directory,
        before: Option<&Self>,
        seen: Arc<Throttled>,
    ) -> Self {
        let known = before.map(|before| (&before.roles, &before.users)).unzip();
        let roles = directory.roles().map(|role| (&role.name, role.rates));
        let users = directory.users().map(|user| (&user.name, user.rates));
        Self { clock, session, roles: limiters(roles, known.0), users: limiters(users, known.1), seen }
    }

    /// Counts a request of a session whose signature holds.
    pub(super) fn count(&self, session: &Session) -> Result<(), AuthenticationError> {
        let Some(limits) = session.limits(|| self.of(session)) else { return Ok(()) };
        limits.take_request(self.clock.monotonic()).map_err(|holder| {
            self.seen.count(match holder {
                Holder::Session => ThrottleCause::SessionRate,
                Holder::Role => ThrottleCause::RoleRate,
                Holder::User => ThrottleCause::UserRate,
            });
            let key = &session.access_key_id;
            let cause = format!("the requests_per_second of the {holder} of {key} are used up");
            AuthenticationError::TooManyRequests { cause }
        })
    }

    /// What bounds a session; `None`: nothing does.
    fn of(&self, session: &Session) -> Option<Arc<SessionLimits>> {
        let role = match &session.authority {
            Authority::Role { role, .. } => self.roles.get(role.as_str()),
            Authority::Own | Authority::Federated { .. } => None,
        };
        let user = session.origin.user().and_then(|user| self.users.get(user));
        let own = Limiter::new(self.session).map(Arc::new);
        let holders = [(Holder::Session, own), (Holder::Role, role.cloned()), (Holder::User, user.cloned())];
        let holders: Vec<_> =
            holders.into_iter().filter_map(|(holder, limiter)| Some((holder, limiter?))).collect();
        (!holders.is_empty()).then(|| Arc::new(SessionLimits::new(holders)))
    }
}

fn limiters<'d>(
    wanted: impl Iterator<Item = (&'d String, Rates)>,
    known: Option<&HashMap<String, Arc<Limiter>>>,
) -> HashMap<String, Arc<Limiter>> {
    let limiter = |(name, rates): (&'d String, Rates)| {
        let same = known.and_then(|known| known.get(name)).filter(|limiter| limiter.rates() == rates);
        let limiter = same.cloned().or_else(|| Limiter::new(rates).map(Arc::new))?;
        Some((name.clone(), limiter))
    };
    wanted.filter_map(limiter).collect()
}

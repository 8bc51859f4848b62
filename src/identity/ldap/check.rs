//! What is wrong with the settings, found out by using them.

use ldap3::Scope;

use super::{
    connection::{Connection, Ending, Failure, Found, Search},
    directory::{Directory, NO_ATTRIBUTES},
};

impl Directory {
    /// Connects, binds as the service account and looks at the bases. Every problem in a sentence; none: all is well.
    pub(super) async fn check(&self) -> Vec<String> {
        let mut connection = match self.in_time(self.connector.open()).await {
            Ok(connection) => connection,
            Err(failure) => return vec![said(&failure)],
        };
        if let Err(failure) = self.in_time(self.service.bind(&mut connection)).await {
            return vec![format!("{}: see bind_dn and bind_password", said(&failure))];
        }
        let mut problems = Vec::new();
        match self.look(&mut connection, &self.user_base, Scope::Subtree, &self.user_filter.fill_any()).await {
            Ok(Found { ending: Ending::NoSuchBase, .. }) => {
                problems.push(format!("user_base {:?} is not in the directory", self.user_base));
            }
            Ok(found) if found.entries.is_empty() => problems.push(format!(
                "user_filter finds nobody below user_base {:?}, or the service account may not see anybody there",
                self.user_base
            )),
            Ok(_) => {}
            Err(failure) => problems.push(format!("user_base {:?}: {}", self.user_base, said(&failure))),
        }
        if let Some(base) = &self.group_base {
            match self.look(&mut connection, base, Scope::Base, "(objectClass=*)").await {
                Ok(found) if found.entries.is_empty() => problems.push(format!(
                    "group_base {base:?} is not in the directory, or the service account may not see it"
                )),
                Ok(_) => {}
                Err(failure) => problems.push(format!("group_base {base:?}: {}", said(&failure))),
            }
        }
        problems
    }

    async fn look(
        &self,
        connection: &mut Connection,
        base: &str,
        scope: Scope,
        filter: &str,
    ) -> Result<Found, Failure> {
        // A search that was cut leaves the connection in the middle of it.
        if !connection.is_usable() {
            *connection = self.in_time(self.connector.open()).await?;
            self.in_time(self.service.bind(connection)).await?;
        }
        let attributes = [NO_ATTRIBUTES.to_owned()];
        self.in_time(connection.search(Search { base, scope, filter, attributes: &attributes, limit: 1 }))
            .await
    }
}

/// The cause alone: who reads this knows that it is about the directory.
fn said(failure: &Failure) -> String {
    match failure {
        Failure::Down(cause) | Failure::Unusable(cause) => cause.clone(),
        Failure::Busy => failure.to_string(),
    }
}

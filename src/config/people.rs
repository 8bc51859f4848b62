//! Policies, users and roles, and that each names only what is there.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use super::{
    Backend,
    known::Known,
    problems::did_you_mean,
    reader::{Placed, Table},
    trust, values,
};
use crate::{
    iam::{Policy, PolicyRegistry},
    identity::{Directory, Role, User},
    secret::{AccessKeyId, SecretAccessKey},
};

/// The compiled policies, and every name that was given, also those of documents that are wrong: one problem is enough.
pub(super) struct Policies {
    pub(super) registry: PolicyRegistry,
    names: HashSet<String>,
}

impl Policies {
    pub(super) fn names(&self) -> HashSet<&str> {
        self.names.iter().map(String::as_str).collect()
    }
}

pub(super) fn policies(root: &Table<'_>) -> Policies {
    let mut names = HashSet::new();
    let mut compiled: HashMap<String, Policy> = HashMap::new();
    for table in root.tables("policy") {
        let name = table.required("name");
        let document = document(&table);
        if let Some(Placed { value: name, line }) = name {
            if name.is_empty() {
                table.problem(line, "name", "is empty");
            }
            if !names.insert(name.clone()) {
                table.problem(line, "name", format!("there is another policy `{name}`"));
            }
            if let Some(policy) = document {
                compiled.insert(name, policy);
            }
        }
        table.finish();
    }
    Policies { registry: PolicyRegistry::new(compiled), names }
}

fn document(table: &Table<'_>) -> Option<Policy> {
    let file = table.string("file");
    let inline = table.string("document");
    let (text, line, key, source) = match (file, inline) {
        (Some(file), None) => {
            let bytes = table.file("file", false)?;
            let shown = table.path_of(&file.value).display().to_string();
            let Ok(text) = String::from_utf8(bytes.value) else {
                table.problem(file.line, "file", format!("{shown} is not text"));
                return None;
            };
            (text, file.line, "file", format!("{shown}: "))
        }
        (None, Some(inline)) => (inline.value, inline.line, "document", String::new()),
        _ => {
            table.problem(table.line(), "document", "give exactly one of file and document");
            return None;
        }
    };
    match Policy::parse(&text) {
        Ok(policy) => Some(policy),
        Err(problem) => {
            table.problem(line, key, format!("{source}{problem}"));
            None
        }
    }
}

pub(super) fn directory(
    root: &Table<'_>,
    policies: &Policies,
    max_duration: Duration,
    backend: Option<&Backend>,
    ways: &Known,
) -> Option<Directory> {
    let roles = roles(root, policies, max_duration, ways);
    let role_names: HashSet<&str> = roles.iter().map(|role| role.name.as_str()).collect();
    let mut users: Vec<User> = Vec::new();
    let mut wrong = false;
    let tables = root.tables("user");
    if tables.is_empty() && !ways.any() {
        let what = "there is no [[user]], and no [[oidc]], [ldap], [webhook] or client CA: nobody could ever get a session";
        root.problem(0, "user", what);
    }
    for table in tables {
        match user(&table, policies, &role_names) {
            Some((user, line)) => {
                check_use(&table, &user, &roles);
                check_user(&table, &user, line, &users, backend);
                users.push(user);
            }
            None => wrong = true,
        }
        table.finish();
    }
    check_trust(root, &users, &roles);
    (!wrong).then(|| Directory::new(users, roles))
}

fn user(table: &Table<'_>, policies: &Policies, roles: &HashSet<&str>) -> Option<(User, usize)> {
    let name = table.required_parsed("name", values::name);
    let access_key_id = table.secret("access_key_id");
    let secret = table.secret("secret_access_key");
    let own_policies = named(table, "policies", &policies.names(), "policy");
    let own_roles = named(table, "roles", roles, "role");
    let s3_access = table.boolean("s3_access", false);
    let rates = values::rates(table, "");
    let Placed { value, line } = access_key_id?;
    if let Err(what) = values::access_key_id(&value) {
        table.problem(line, "access_key_id", what);
    }
    let user = User {
        name: name?,
        access_key_id: AccessKeyId::new(value),
        secret: SecretAccessKey::new(secret?.value),
        policies: own_policies,
        roles: own_roles,
        s3_access,
        rates,
    };
    Some((user, line))
}

fn check_use(table: &Table<'_>, user: &User, roles: &[Role]) {
    let trusted = || {
        roles
            .iter()
            .flat_map(|role| &role.trust)
            .any(|rule| rule.users.iter().any(|name| *name == user.name || name == "*"))
    };
    if user.policies.is_empty() && user.roles.is_empty() && !trusted() {
        table.problem(
            table.line(),
            "",
            "has no policies and may assume no role: whatever it gets could do nothing",
        );
    }
}

fn check_user(table: &Table<'_>, user: &User, line: usize, others: &[User], backend: Option<&Backend>) {
    if others.iter().any(|other| other.name == user.name) {
        table.problem(line, "name", format!("there is another user `{}`", user.name));
    }
    if others.iter().any(|other| other.access_key_id == user.access_key_id) {
        table.problem(line, "access_key_id", "another user has the same");
    }
    if user.access_key_id.as_str().starts_with("ASIA") {
        table.problem(
            line,
            "access_key_id",
            "begins with ASIA, as temporary keys do; `daypass keygen --user` makes one",
        );
    }
    if user.secret.expose().len() < 8 {
        table.problem(
            line,
            "secret_access_key",
            "is shorter than 8 characters; `daypass keygen --user` makes one",
        );
    }
    let Some(backend) = backend else { return };
    if backend.access_key_id == user.access_key_id {
        table.problem(line, "access_key_id", "is the backend's root key, which only the gateway may have");
    }
    if backend.secret_access_key == user.secret {
        table.problem(
            line,
            "secret_access_key",
            "is the backend's root secret, which only the gateway may have",
        );
    }
}

fn roles(root: &Table<'_>, policies: &Policies, max_duration: Duration, ways: &Known) -> Vec<Role> {
    let mut roles: Vec<Role> = Vec::new();
    for table in root.tables("role") {
        let name = table.required_parsed("name", values::name);
        let own = named(&table, "policies", &policies.names(), "policy");
        if own.is_empty() {
            table.problem(table.line(), "policies", "is missing: a role without policies may do nothing");
        }
        let duration = table.parsed("max_duration", values::seconds).unwrap_or(max_duration);
        if duration > max_duration {
            table.problem(table.line(), "max_duration", "is longer than sts.max_duration");
        }
        let external_id = trust::external_id(&table);
        let rates = values::rates(&table, "");
        if let Some(name) = name {
            if roles.iter().any(|other| other.name == name) {
                table.problem(table.line(), "name", format!("there is another role `{name}`"));
            }
            let read = |table: Table<'_>| {
                let rule = trust::rule(&table, ways);
                table.finish();
                rule
            };
            let trust = table.tables("trust").into_iter().map(read).collect();
            let aliases = table.strings("aliases").into_iter().map(|alias| alias.value).collect();
            roles.push(Role {
                name,
                policies: own,
                max_duration: duration,
                external_id,
                aliases,
                trust,
                rates,
            });
        }
        table.finish();
    }
    roles
}

/// Whether the trust of every role names users and roles that are there.
fn check_trust(root: &Table<'_>, users: &[User], roles: &[Role]) {
    let user_names: HashSet<&str> = users.iter().map(|user| user.name.as_str()).chain(["*"]).collect();
    let role_names: HashSet<&str> = roles.iter().map(|role| role.name.as_str()).collect();
    for role in root.tables("role") {
        for rule in role.tables("trust") {
            named(&rule, "users", &user_names, "user");
            named(&rule, "roles", &role_names, "role");
        }
    }
}

/// A list of names of things that are there.
pub(super) fn named(table: &Table<'_>, key: &str, known: &HashSet<&str>, kind: &str) -> Vec<String> {
    let given = table.strings(key);
    for Placed { value, line } in &given {
        if !known.contains(value.as_str()) {
            let hint = did_you_mean(value, known.iter().copied());
            table.problem(*line, key, format!("there is no {kind} `{value}`{hint}"));
        }
    }
    given.into_iter().map(|name| name.value).collect()
}

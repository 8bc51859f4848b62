//! A policy document, read strictly and compiled.

use super::{json::Json, key::ConditionKey, statement::Statement};

/// AWS's limit for a managed policy is 6,144 characters, MinIO's 20 KiB; the larger one is taken.
const MAX_BYTES: usize = 20 * 1024;
/// Objects within lists within objects: a policy has five levels.
const MAX_STATEMENTS: usize = 1000;

/// A compiled policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub(super) statements: Vec<Statement>,
}

/// Why a document is no policy, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct PolicyError {
    /// A JSON pointer (RFC 6901) into the document, or line and column where it is not JSON.
    pub place: String,
    pub problem: String,
}

impl PolicyError {
    pub(super) fn at(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { place: place.into(), problem: problem.into() }
    }
}

impl Policy {
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// The condition keys of claims that the policy asks for, in conditions and in variables: `jwt:groups`.
    pub fn claims(&self) -> Vec<String> {
        let keys = self.statements.iter().flat_map(Statement::keys);
        keys.filter(|key| matches!(key, ConditionKey::Claim(_))).map(ToString::to_string).collect()
    }

    /// Reads and compiles a document. Whatever is not understood is refused.
    pub fn parse(document: &str) -> Result<Self, PolicyError> {
        if document.len() > MAX_BYTES {
            return Err(PolicyError::at("/", format!("the policy is larger than {MAX_BYTES} bytes")));
        }
        // serde_json itself refuses more than 128 levels.
        let json: Json = serde_json::from_str(document).map_err(|cause| {
            let mut problem = cause.to_string();
            if let Some(end) = problem.rfind(" at line ") {
                problem.truncate(end);
            }
            PolicyError::at(format!("line {} column {}", cause.line(), cause.column()), problem)
        })?;
        let Json::Object(members) = json else {
            return Err(PolicyError::at("/", format!("a policy is an object, this is {}", json.kind())));
        };
        let mut version = None;
        let mut statements = None;
        for (name, value) in members {
            match name.as_str() {
                "Version" => {
                    version = Some(read_version(&value)?);
                }
                "Id" => {
                    string(value, "/Id")?;
                }
                "Statement" => statements = Some(value),
                other => return Err(unknown("", other, &["Version", "Id", "Statement"])),
            }
        }
        let Some(version) = version else {
            return Err(PolicyError::at("/", "`Version` is missing; write \"Version\": \"2012-10-17\""));
        };
        let statements = statements.ok_or_else(|| PolicyError::at("/", "`Statement` is missing"))?;
        if version == Version::Before && document.contains("${") {
            return Err(PolicyError::at(
                "/Version",
                "policy variables came with \"2012-10-17\"; in \"2008-10-17\" they would be plain text",
            ));
        }
        Ok(Self { statements: read_statements(statements)? })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    /// `2008-10-17`, which has no variables.
    Before,
    Current,
}

fn read_version(value: &Json) -> Result<Version, PolicyError> {
    match value {
        Json::String(version) if version == "2012-10-17" => Ok(Version::Current),
        Json::String(version) if version == "2008-10-17" => Ok(Version::Before),
        _ => Err(PolicyError::at("/Version", "the version must be \"2012-10-17\"")),
    }
}

/// One statement or a list of them. An empty list grants nothing, which is likely a mistake.
fn read_statements(value: Json) -> Result<Vec<Statement>, PolicyError> {
    let list = match value {
        Json::Array(list) => list,
        single @ Json::Object(_) => vec![single],
        other => {
            return Err(PolicyError::at(
                "/Statement",
                format!("must be a list of statements, not {}", other.kind()),
            ));
        }
    };
    if list.is_empty() {
        return Err(PolicyError::at("/Statement", "the list is empty"));
    }
    if list.len() > MAX_STATEMENTS {
        return Err(PolicyError::at(
            "/Statement",
            format!("there are more than {MAX_STATEMENTS} statements"),
        ));
    }
    let mut statements: Vec<Statement> = Vec::with_capacity(list.len());
    for (index, statement) in list.into_iter().enumerate() {
        let statement = Statement::compile(statement, &format!("/Statement/{index}"))?;
        if let Some(sid) = &statement.sid
            && statements.iter().any(|other| other.sid.as_ref() == Some(sid))
        {
            return Err(PolicyError::at(
                format!("/Statement/{index}/Sid"),
                format!("`{sid}` is the Sid of another statement"),
            ));
        }
        statements.push(statement);
    }
    Ok(statements)
}

pub(super) fn string(value: Json, place: &str) -> Result<String, PolicyError> {
    match value {
        Json::String(text) => Ok(text),
        other => Err(PolicyError::at(place, format!("must be a string, not {}", other.kind()))),
    }
}

/// A refusal of a member that is not understood, with the one that may have been meant.
pub(super) fn unknown(place: &str, name: &str, known: &[&str]) -> PolicyError {
    let meant = known.iter().find(|known| {
        known.eq_ignore_ascii_case(name)
            || known
                .eq_ignore_ascii_case(&name[..name.len().saturating_sub(usize::from(name.ends_with('s')))])
    });
    let problem = match (name, meant) {
        ("Principal" | "NotPrincipal", _) => {
            format!("`{name}` belongs to resource policies; a policy here says what its bearer may do")
        }
        (_, Some(meant)) => format!("`{name}` is not an element of a policy; did you mean `{meant}`?"),
        (_, None) => format!("`{name}` is not an element of a policy"),
    };
    PolicyError::at(format!("{place}/{name}"), problem)
}

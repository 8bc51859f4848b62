//! Everything that is wrong with a configuration, at once.

use std::{cell::RefCell, fmt, path::Path};

/// One thing that is wrong, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Counted from 1; 0: of the file as a whole.
    pub line: usize,
    /// Dotted, as `role.analyst.policies`; empty: of the file as a whole.
    pub key: String,
    pub what: String,
}

/// Every problem of a file, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    file: String,
    list: Vec<Problem>,
}

impl Problems {
    /// Something was left out without a problem being noted, which must not start a gateway.
    pub(super) fn of_defect(file: &Path) -> Self {
        let what = "cannot be used, and no problem was found: this is a defect of daypass, please report it"
            .to_owned();
        Self { file: file.display().to_string(), list: vec![Problem { line: 0, key: String::new(), what }] }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Problem { line, key, what }) in self.list.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{}:", self.file)?;
            if *line > 0 {
                write!(f, "{line}:")?;
            }
            if !key.is_empty() {
                write!(f, " {key}:")?;
            }
            write!(f, " {what}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Gathers problems while a file is read.
#[derive(Debug, Default)]
pub(super) struct Gathered(RefCell<Vec<Problem>>);

impl Gathered {
    pub(super) fn add(&self, line: usize, key: impl Into<String>, what: impl Into<String>) {
        let problem = Problem { line, key: key.into(), what: what.into() };
        let mut list = self.0.borrow_mut();
        if !list.contains(&problem) {
            list.push(problem);
        }
    }

    pub(super) fn into_problems(self, file: &Path) -> Result<(), Problems> {
        let mut list = self.0.into_inner();
        if list.is_empty() {
            return Ok(());
        }
        list.sort_by_key(|problem| problem.line);
        Err(Problems { file: file.display().to_string(), list })
    }
}

/// `; did you mean …?` for a name that is nearly one of these.
pub(super) fn did_you_mean<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    let nearest = known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, known)| *distance <= 2.max(known.len() / 3))
        .min();
    match nearest {
        Some((_, known)) => format!("; did you mean `{known}`?"),
        None => String::new(),
    }
}

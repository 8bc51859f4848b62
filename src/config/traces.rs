//! `[traces]`.

use std::time::Duration;

use super::{pem::certificates, reader::Table, values};
use crate::telemetry::traces::Settings;

/// The outer `None`: it is wrong; the inner: nothing is sent.
#[expect(clippy::option_option, reason = "absent and wrong are two things")]
pub(super) fn traces(table: Table<'_>) -> Option<Option<Settings>> {
    let has_endpoint = table.has("endpoint");
    let endpoint = table.parsed("endpoint", |text| values::url(text, true));
    let has_ca = table.has("ca_file");
    let ca_pem = certificates(&table, "ca_file");
    let sample = table.parsed("sample", share).unwrap_or(0.0);
    let timeout = values::duration_of(&table, "timeout", Duration::from_secs(5));
    if has_endpoint && !cfg!(feature = "otlp") {
        let what = "cannot be used by this binary: build it with `--features otlp`";
        table.problem(table.line(), "endpoint", what);
    }
    if !has_endpoint {
        for name in ["ca_file", "sample", "timeout"] {
            if table.has(name) {
                table.problem(table.line(), name, "needs endpoint, where spans go");
            }
        }
    }
    table.finish();
    if !has_endpoint {
        return Some(None);
    }
    if has_ca && ca_pem.is_none() {
        return None;
    }
    Some(Some(Settings { endpoint: endpoint?, ca_pem, sample, timeout }))
}

/// `5%`, `0.1%`: from 0 to 1.
fn share(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
    match number {
        Some(percent) if (0.0..=100.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err(format!("`{text}` is not a share: write it as \"1%\" or \"0.1%\"")),
    }
}

use std::collections::BTreeSet;

use super::*;

fn metrics() -> Arc<Metrics> {
    let lists = Lists {
        operations: vec!["GetObject", "AssumeRole"],
        sts_actions: vec!["AssumeRole"],
        sts_codes: vec!["AccessDenied", "Throttling"],
    };
    Arc::new(Metrics::new(lists, 1_700_000_000))
}

fn ended(operation: &'static str) -> Ended {
    Ended {
        operation,
        decision: Decided::Allow,
        status: StatusCode::OK,
        code: "",
        is_proven: true,
        received: 3,
        sent: 5,
        took: Duration::from_millis(2),
        is_cut_off: false,
    }
}

fn line<'p>(page: &'p str, series: &str) -> &'p str {
    let found = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {series} in\n{page}"))
}

#[test]
fn the_threads_counts_are_shown_as_one() {
    let metrics = metrics();
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                metrics.request_began();
                metrics.request_ended(&ended("GetObject"));
            });
        }
    });
    metrics.request_began();
    let page = metrics.page(Observed::default()).unwrap();
    let series = r#"daypass_requests_total{operation="GetObject",decision="allow",status="2xx"}"#;
    assert_eq!(line(&page, series), "20");
    assert_eq!(line(&page, "daypass_request_bytes_total"), "60");
    assert_eq!(line(&page, "daypass_response_bytes_total"), "100");
    assert_eq!(line(&page, "daypass_requests_in_flight"), "1");
    assert_eq!(line(&page, r#"daypass_request_duration_seconds_bucket{le="0.001"}"#), "0");
    assert_eq!(line(&page, r#"daypass_request_duration_seconds_bucket{le="0.0025"}"#), "20");
    assert_eq!(line(&page, "daypass_request_duration_seconds_count"), "20");
    assert_eq!(line(&page, "daypass_request_duration_seconds_sum"), "0.04");
    assert!(page.ends_with("# EOF\n"));
}

#[test]
fn a_name_that_is_on_no_list_is_unknown() {
    let metrics = metrics();
    for operation in ["-", "Made\nUp"] {
        metrics.request_ended(&Ended { code: "SignatureDoesNotMatch", ..ended(operation) });
    }
    metrics.sts_answered("", "NoSuchCode");
    let page = metrics.page(Observed::default()).unwrap();
    assert_eq!(
        line(&page, r#"daypass_requests_total{operation="unknown",decision="allow",status="2xx"}"#),
        "2"
    );
    assert_eq!(line(&page, r#"daypass_sts_requests_total{action="unknown",outcome="unknown"}"#), "1");
    assert_eq!(line(&page, r#"daypass_signature_failures_total{cause="signature"}"#), "2");
}

#[test]
fn only_what_proves_nobody_is_a_signature_failure() {
    let of = SignatureFailure::of_code;
    assert_eq!(of("AccessDenied", false, false), Some(SignatureFailure::AccessDenied));
    assert_eq!(of("AccessDenied", true, false), None);
    assert_eq!(of("AccessDenied", false, true), None, "a refused login");
    assert_eq!(of("ExpiredToken", false, true), Some(SignatureFailure::Expired));
    assert_eq!(of("SignatureDoesNotMatch", true, false), Some(SignatureFailure::Signature), "a chunk");
    assert_eq!(of("NoSuchKey", false, false), None);
}

#[test]
fn every_family_has_a_name_of_its_own_and_says_what_it_is() {
    let names: BTreeSet<_> = FAMILIES.iter().map(Family::name).collect();
    assert_eq!(names.len(), FAMILIES.len());
    let page = metrics().page(Observed::default()).unwrap();
    for family in FAMILIES {
        let name = family.name();
        let head = name.strip_suffix("_total").unwrap_or(&name);
        assert!(page.contains(&format!("# HELP {head} {}\n", family.help)), "{head}");
        assert!(page.contains(&format!("# TYPE {head} ")), "{head}");
        if let Some(unit) = family.unit {
            assert!(page.contains(&format!("# UNIT {head} {unit}\n")), "{head}");
        }
    }
    assert_eq!(page.matches("# TYPE ").count(), FAMILIES.len());
}

#[test]
fn a_reload_that_was_refused_leaves_the_time_of_the_last_good_one() {
    let metrics = metrics();
    metrics.reloaded(ReloadOutcome::Swapped { generation: 2 }, 1_700_000_100);
    metrics.reloaded(ReloadOutcome::Refused, 1_700_000_200);
    let page = metrics.page(Observed::default()).unwrap();
    assert_eq!(line(&page, "daypass_configuration_generation"), "2");
    assert_eq!(line(&page, "daypass_configuration_last_reload_success_timestamp_seconds"), "1700000100");
    assert_eq!(line(&page, r#"daypass_configuration_reloads_total{outcome="refused"}"#), "1");
}

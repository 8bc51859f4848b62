//! What a decision costs: `cargo bench --bench policy`. Beside the time stands how often memory was asked for.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on fails")]

use std::sync::Arc;

use daypass::iam::{Action, EffectivePolicies, GivenContext, NoContext, Policy, PolicyRegistry, Request};
use divan::{AllocProfiler, Bencher, black_box};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// A role of so many statements, ten of which can match `arn:aws:s3:::bench/…`, each with a condition.
fn role(statements: usize) -> EffectivePolicies {
    let statement = |number: usize| {
        let resource =
            if number < 10 { format!("bench/*{number}") } else { format!("other-{number}/folder/*") };
        let (effect, resource) = match number {
            9 => ("Allow", "bench/*".to_owned()),
            _ if number.is_multiple_of(3) => ("Deny", resource),
            _ => ("Allow", resource),
        };
        format!(
            r#"{{"Effect":"{effect}","Action":["s3:GetObject","s3:Put*"],"Resource":"arn:aws:s3:::{resource}","Condition":{{"StringLike":{{"s3:x-amz-storage-class":["A*","B*"]}}}}}}"#
        )
    };
    // Several policies, because one has an upper size.
    let numbers: Vec<usize> = (0..statements).collect();
    let policies = numbers.chunks(50).enumerate().map(|(index, chunk)| {
        let list: Vec<String> = chunk.iter().map(|number| statement(*number)).collect();
        let document = format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, list.join(","));
        (format!("p{index}"), Policy::parse(&document).unwrap())
    });
    let registry = PolicyRegistry::new(policies);
    let names: Vec<String> = (0..statements.div_ceil(50)).map(|index| format!("p{index}")).collect();
    EffectivePolicies { identity: Arc::new(registry.resolve(&names).unwrap()), session: None }
}

struct Class;

impl daypass::iam::Context for Class {
    fn values<'c>(&'c self, _: &daypass::iam::ConditionKey) -> daypass::iam::Values<'c> {
        daypass::iam::Values::of(Some("ARCHIVE"))
    }
}

#[divan::bench(args = [10, 100, 1000])]
fn allowed_by_one_of(bencher: Bencher<'_, '_>, statements: usize) {
    let policies = role(statements);
    let action = Action::named("s3:GetObject").unwrap();
    let request = Request { action, resource: "arn:aws:s3:::bench/folder/object-of-1-kib", context: &Class };
    assert!(policies.evaluate(&request).is_allow());
    bencher.bench_local(|| black_box(&policies).evaluate(black_box(&request)).is_allow());
}

#[divan::bench(args = [10, 1000])]
fn denied_by_none_of(bencher: Bencher<'_, '_>, statements: usize) {
    let policies = role(statements);
    let action = Action::named("s3:GetObject").unwrap();
    let request = Request { action, resource: "arn:aws:s3:::nowhere/object", context: &NoContext };
    bencher.bench_local(|| black_box(&policies).evaluate(black_box(&request)).is_allow());
}

/// A kibibyte of the letter that every star is followed by.
#[divan::bench(args = [1, 10, 100, 400])]
fn stars(bencher: Bencher<'_, '_>, stars: usize) {
    let document = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::{}b"}}}}"#,
        "*a".repeat(stars)
    );
    let registry = PolicyRegistry::new([("p".to_owned(), Policy::parse(&document).unwrap())]);
    let policies =
        EffectivePolicies { identity: Arc::new(registry.resolve(&["p".to_owned()]).unwrap()), session: None };
    let resource = format!("arn:aws:s3:::{}", "a".repeat(1024));
    let action = Action::named("s3:GetObject").unwrap();
    bencher.bench_local(|| {
        let request = Request { action, resource: black_box(&resource), context: &GivenContext::default() };
        policies.evaluate(&request).is_allow()
    });
}

/// A piece that is no plain text is looked for at every place.
#[divan::bench(args = [10, 100, 400])]
fn question_marks(bencher: Bencher<'_, '_>, marks: usize) {
    let document = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::*{}b*"}}}}"#,
        "a?".repeat(marks)
    );
    let registry = PolicyRegistry::new([("p".to_owned(), Policy::parse(&document).unwrap())]);
    let policies =
        EffectivePolicies { identity: Arc::new(registry.resolve(&["p".to_owned()]).unwrap()), session: None };
    let resource = format!("arn:aws:s3:::{}", "a".repeat(1024));
    let action = Action::named("s3:GetObject").unwrap();
    bencher.bench_local(|| {
        let request = Request { action, resource: black_box(&resource), context: &NoContext };
        policies.evaluate(&request).is_allow()
    });
}

#[divan::bench]
fn compile_a_session_policy() -> Policy {
    Policy::parse(black_box(
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::bucket/${aws:username}/*","Condition":{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}}]}"#,
    ))
    .unwrap()
}

//! What a verified login costs: a token whose provider's keys are here already, and the session that it leads to.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on fails")]

use std::time::Duration;

use daypass::{
    clock::Timestamp,
    identity::{
        HttpSettings,
        oidc::{Algorithm, Providers, Settings},
    },
};
use divan::Bencher;
use tokio::runtime::Runtime;

use self::provider::{Provider, SigningKey};

#[path = "../tests/it/support/provider.rs"]
#[expect(dead_code, unreachable_pub, reason = "the tests use all of it")]
mod provider;

const NOW: Timestamp = Timestamp::from_unix(1_795_435_200);

fn main() {
    divan::main();
}

/// A provider that was asked for its keys once, and a token of it.
fn ready(algorithm: &'static str) -> (Runtime, Providers, String) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let key = SigningKey::new("a", algorithm);
    let (providers, token) = runtime.block_on(async {
        let provider = Provider::start(&[&key]).await;
        let settings = Settings {
            name: "idp".to_owned(),
            issuer: provider.issuer(),
            client_ids: vec!["daypass".to_owned()],
            authorized_parties: Vec::new(),
            algorithms: Algorithm::ALL.to_vec(),
            policy_claim: None,
            policy_prefix: String::new(),
            jwks_url: None,
            bearer_token_file: None,
            http: HttpSettings {
                ca_pem: None,
                timeout: Duration::from_secs(5),
                allow_http: true,
                named_hosts: vec!["127.0.0.1".to_owned()],
            },
            userinfo: false,
            introspection: None,
            sessions_end_with_token: false,
            refresh_cooldown: Duration::from_secs(30),
            refresh_interval: Duration::from_secs(900),
            max_stale: Duration::from_secs(86_400),
        };
        let providers = Providers::new(vec![settings]).unwrap();
        let token = key.token(&provider.claims(NOW));
        providers.identify(&token, None, None, NOW).await.unwrap();
        (providers, token)
    });
    (runtime, providers, token)
}

#[divan::bench(args = ["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"])]
fn verified_login(bencher: Bencher<'_, '_>, algorithm: &str) {
    let algorithm =
        ["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"].into_iter().find(|known| *known == algorithm);
    let (runtime, providers, token) = ready(algorithm.unwrap());
    bencher.bench_local(|| runtime.block_on(providers.identify(&token, None, None, NOW)).unwrap());
}

# `make` or `make help` lists what there is.
PYTHON := .cache/venv/bin/python

.PHONY: help demo test check unit shared clients identity packages ops fleet soak instructions release reproducible deb sbom bench bench-quick bench-long memory abuse fuzz setup clean

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

demo: ## see it work: an embedded storage, real STS, verified requests
	cargo run --release -- demo

setup: ## install what the tests need and what is missing
	scripts/setup

test: setup check unit instructions shared clients identity packages ops fleet ## everything: installs what is missing, lints, tests, instructions of a request, real clients, real identity providers and real storages, the demo, a real Prometheus, a real Redis, a fleet under faults
	@echo "make test: all passed"

check: ## format, lints, documentation, licences and sources of dependencies
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy --features otlp --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --quiet
	.cache/bin/cargo-deny --log-level error check licenses bans sources

unit: ## what needs no other program
	cargo test --workspace --all-targets
	cargo test --features otlp --test it traces

shared: ## gateways that share revocations in a real Valkey or Redis
	cargo test --test it shared_revocation -- --ignored

clients: ## real clients against real storages; the demo
	cargo build --workspace --bins --examples
	target/debug/daypass demo --once
	$(PYTHON) tests/clients/restart.py
	$(PYTHON) tests/clients/no_object.py
	$(PYTHON) tests/clients/signer.py
	$(PYTHON) tests/clients/run.py
	$(PYTHON) tests/clients/policies.py
	$(PYTHON) tests/policy/compare.py

identity: ## real clients log in through Keycloak, oidc-provider, slapd, certificates and a webhook; the same at MinIO's own STS
	cargo build --workspace --bins --examples
	$(PYTHON) tests/identity/run.py
	$(PYTHON) tests/identity/sts_docs.py

packages: ## unit of systemd, chart and manifests, compose file, Dockerfile, completions, manual
	cargo build --workspace --bins --examples
	$(PYTHON) tests/packages/run.py

fleet: ## three gateways behind HAProxy under load: kill -9, restarts, rotation, reloads, revocations (2 minutes)
	cargo build --workspace --bins --examples
	$(PYTHON) tests/fleet/run.py

SOAK_SECONDS ?= 3600

soak: ## an hour of mixed clients and random faults; every object, file descriptors, memory and the audit log compared at the end
	cargo build --workspace --bins --examples
	$(PYTHON) tests/fleet/soak.py --seconds $(SOAK_SECONDS)

# Neither the folder of the sources, nor that of the registry, nor the minute (which C code asks its compiler for) may show in the binary.
CARGO_HOME ?= $(HOME)/.cargo
SOURCE_DATE_EPOCH ?= 1795737600
RELEASE = CARGO_TARGET_DIR=target/dist SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) \
  RUSTFLAGS="--remap-path-prefix=$(CURDIR)=/daypass --remap-path-prefix=$(CARGO_HOME)=/cargo" \
  CFLAGS="-ffile-prefix-map=$(CURDIR)=/daypass -ffile-prefix-map=$(CARGO_HOME)=/cargo"

release: ## the binary as it is shipped, in target/dist/release; no folder of this machine is in it
	$(RELEASE) cargo build --release --locked --bin daypass

reproducible: ## build it twice in different folders and compare (long)
	scripts/reproducible

deb: release ## target/dist/debian/daypass_VERSION_ARCH.deb, checked by lintian, unpacked and run
	scripts/setup deb
	scripts/deb

sbom: ## target/dist/daypass.cdx.json: what the binary is made of, as CycloneDX
	scripts/setup sbom
	scripts/sbom

ops: ## what operators are given: every command of docs/operations.md, Prometheus' configuration, alert rules, the dashboard; a gateway in 256 MiB under more than fits
	cargo build --workspace --bins --examples
	$(PYTHON) tests/ops/monitoring.py
	$(PYTHON) tests/ops/operations_docs.py
	$(PYTHON) tests/ops/memory_limit.py

instructions: ## instructions that each piece of a request takes, by callgrind, beside those written down; ACCEPT=1 writes them anew
	$(PYTHON) benches/instructions.py $(if $(ACCEPT),--accept)

bench: ## all of docs/performance.md in 50 minutes: installs what is missing, then CPU per request beside nginx, haproxy, a bare proxy, versitygw and MinIO, latency, growth, what each piece of a request costs
	scripts/setup bench
	cargo build --release --bins --examples
	cargo bench --bench policy --bench identity --bench metrics --bench path --bench sessions
	$(PYTHON) benches/compare.py

bench-quick: ## the comparison in short rounds, to see that it works (4 minutes); changes no document
	scripts/setup bench
	cargo build --release --bins --examples
	$(PYTHON) benches/compare.py --quick

bench-long: ## the comparison in ten rounds, for docs/performance.md too
	scripts/setup bench
	cargo build --release --bins --examples
	$(PYTHON) benches/compare.py --rounds 10

memory: ## 5 GiB up and down and 1,000 transfers at once, with the memory they take
	cargo build --release --bins --examples
	$(PYTHON) benches/memory.py

abuse: ## slow heads, idle connections, floods, endless bodies, slow readers, churn, each beside a good client; a table of figures
	cargo build --release --bins --examples
	$(PYTHON) tests/abuse/run.py

FUZZ_SECONDS ?= 600

fuzz: ## random bytes at the policy engine and the classifier, ten minutes each; property tests with many more cases
	scripts/setup fuzz
	for target in policy operation; do \
	  (cd fuzz && PATH="$$PATH:../.cache/cargo-fuzz/bin" cargo fuzz run --sanitizer none $$target -- -max_total_time=$(FUZZ_SECONDS) -max_len=8192) || exit 1; \
	done
	POLICY_CASES=5000000 cargo test --release --test policy
	PROPTEST_CASES=1000000 cargo test --release --lib -- sigv4:: iam::

clean: ## remove what was built and installed
	cargo clean
	rm -rf .cache

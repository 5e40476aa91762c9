# The front door: `make` lists what it can do.

# The examples bring along what their tests need; the tools borrow it.
EXAMPLES := $(patsubst crates/%/tests/program,%,$(wildcard crates/*/tests/program))
# The packages of two runs of tests. Built all at once they would have other features.
OF_EXAMPLES := $(addprefix -p ,$(EXAMPLES))
OF_TOOLS := --workspace $(addprefix --exclude ,$(EXAMPLES))

# What install.sh unpacks where nobody is root.
export PATH := $(CURDIR)/target/tools/bin:$(PATH)

# Brings the programs that are named, if they are missing.
INSTALL := sh crates/tools/brokers/install.sh

# What the examples of MQTT and RabbitMQ need, and what all tests need.
MQTT := cc cmake mosquitto
AMQP := cc rabbitmq-server
TEST := $(MQTT) $(AMQP) mosquitto_pub libzmq python3 nc curl tshark chromium

# Unless it is 0 or no.
WIRE_OPTION := $(if $(filter-out 0 no,$(WIRE)),--wire)

SCRIPTS := $(wildcard .ci/* crates/*/*.sh crates/tools/*/*.sh)

.DEFAULT_GOAL := help
.PHONY: help demo warm classroom brokers test tested tests tools mutants exercises check copies windows mac offline offline-check bench slides slides-check slides-serve pictures rust

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

# Without brokers it plays the rest, and says what it left out.
demo: rust ## Play the whole lecture (this is the main one; WIRE=1 shows what crosses)
	@$(INSTALL) $(MQTT) $(AMQP) || true
	cargo lab demo $(WIRE_OPTION)

demo-%: rust ## Play one example, such as make demo-tcp-echo
	@case $* in \
	    mqtt-* | wiretap) $(INSTALL) $(MQTT) ;; \
	    rabbitmq-*) $(INSTALL) $(AMQP) ;; \
	esac
	cargo lab demo $(WIRE_OPTION) $*

warm: rust ## Prepare the demo the day before: install, build, try the brokers
	@$(INSTALL) $(MQTT) $(AMQP) || true
	cargo lab demo --warm

classroom: rust ## Open the chat to the local network, for a class: an address and a QR code
	cargo lab classroom $(ARGS)

brokers: rust ## Start Mosquitto and RabbitMQ on their ports until Ctrl-C
	@$(INSTALL) $(MQTT) $(AMQP)
	cargo lab brokers

# What cannot be had makes the tests fail that need it; the end names them.
test: rust ## Run every test; installs what they need
	@$(INSTALL) $(TEST) || echo "Going on without them: the tests that need them will fail"
	@$(MAKE) --no-print-directory tested; status=$$?; \
	    $(INSTALL) --report $(TEST); exit $$status

tested:
	cargo test --no-run $(OF_EXAMPLES)
	cargo test --no-run $(OF_TOOLS)
	@for example in $(EXAMPLES); do cargo build -q -p $$example; done # As `cargo run -p` does.
	@echo "Two minutes in silence: examples and tools are tested side by side"
	@$$($(INSTALL) --report mosquitto rabbitmq-server >/dev/null && echo cargo lab brokers --) \
	    $(MAKE) --no-print-directory -j 2 \
	    $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) tests tools

# Most tests wait for programs rather than compute, so more of them than cores run.
tests tools: export RUST_TEST_THREADS := 8

tests:
	@MAKEFLAGS= cargo test --no-fail-fast $(OF_EXAMPLES)

tools:
	@MAKEFLAGS= cargo test --no-fail-fast $(OF_TOOLS)

# The judge's own fixtures and the scoreboard's limits, then each program with one thing
# changed by cargo-mutants.
MUTATED := tcp-echo udp-echo threaded-tcp-echo async-tcp-echo async-udp-echo tcp-messages \
    rest-items

mutants: rust ## Judge the judge and the limits, and mutate the programs (minutes)
	@$(INSTALL) $(MQTT) $(AMQP) python3 libzmq || true
	cargo lab brokers -- cargo test -p claims --features mutants --test judge -- --nocapture
	@if ! cargo mutants --version >/dev/null 2>&1; then \
	    echo "To mutate the programs as well: cargo install cargo-mutants"; exit; \
	fi; \
	for example in $(MUTATED); do \
	    cargo mutants -p $$example --output target/mutants/$$example || status=$$?; \
	done; exit $${status:-0}

exercises: rust ## Check each exercise: its beginning fails its test, a solution passes (minutes)
	@$(INSTALL) $(MQTT) $(AMQP)
	cargo lab brokers -- cargo test -p claims --features exercises --test exercises -- --nocapture

# Clippy also knows what is newer than the `rust-version` of the manifests.
check: rust ## Check format, lints, documentation, scripts, versions, the deck, each example alone
	@$(INSTALL) shellcheck node
	cargo fmt --all --check
	cargo clippy -q --workspace --all-targets -- -D warnings -D clippy::incompatible_msrv
	RUSTDOCFLAGS='-D warnings' cargo doc -q --workspace --no-deps
	shellcheck $(SCRIPTS)
	@for file in slides/*.mjs; do node --check "$$file" || exit; done
	node --test slides/deck.test.mjs
	cargo test -q -p claims --test rules --test ledger --test items --test versions \
	    --test hosts --test exercises
	$(MAKE) --no-print-directory copies

# Builds and tests each example as a student's copy, outside the workspace. The lock file
# comes along only to spare downloads; one target directory spares building twice, and line
# tables are as much as the workspace has.
copies: rust
	@$(INSTALL) $(MQTT) $(AMQP)
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	cargo lab brokers -- sh -ec 'for example in $(EXAMPLES); do \
	    echo "$$example, copied out and alone"; \
	    cp -r crates/$$example Cargo.lock "$$0"; \
	    mv "$$0/Cargo.lock" "$$0/$$example"; \
	    (cd "$$0/$$example" && CARGO_TARGET_DIR="$(CURDIR)/target/copies" \
	        CARGO_PROFILE_DEV_DEBUG=line-tables-only RUST_TEST_THREADS=8 cargo test -q); \
	done' "$$folder"

# Debian or Ubuntu; only some examples by, say, ARGS=tcp-echo.
windows: rust ## Build the examples for Windows and run their tests under Wine (ARGS: some)
	@$(INSTALL) $(MQTT) $(AMQP)
	cargo lab brokers -- sh crates/tools/claims/windows.sh $(ARGS)

# Linking needs Apple's linker, and so does what is written in C.
mac: rust ## Check, on any system, that what needs Rust alone compiles for macOS
	rustup target add aarch64-apple-darwin
	cargo check -q --all-targets --target aarch64-apple-darwin

offline: rust ## Write one archive for a class without internet: sources and dependencies
	sh crates/tools/lab/offline.sh

# Linux. More than one example by, say, ARGS='tcp-echo rest-items'.
offline-check: rust ## Try that archive where there is no network (minutes; ARGS: examples)
	sh crates/tools/lab/offline-check.sh $(ARGS)

bench: rust ## Measure every transport beside Python and C (15 minutes; ARGS=--quick: one)
	@$(INSTALL) $(MQTT) $(AMQP)
	@$(INSTALL) python3 libzmq || true
	cargo run --release -p scoreboard -- $(ARGS)

# Marp, the deck's tool, and its theme: slides/marp.config.mjs.
MARP := cd slides && node_modules/.bin/marp deck.md --no-stdin

slides: slides/node_modules ## Build the deck: slides/dist/index.html, and a PDF
	cd slides && node diagrams.mjs
	$(MARP) -o dist/index.html
	$(MARP) -o dist/network-programming.pdf --pdf --pdf-outlines --pdf-outlines.pages=false

slides-check: slides/node_modules ## Check that every slide is true, fits, is legible, asks no network
	node --test slides/deck.test.mjs
	$(MARP) -o dist/index.html
	$(MARP) -o dist/network-programming.pdf --pdf --pdf-outlines --pdf-outlines.pages=false
	cd slides && node --test handout.test.mjs && node check.mjs

slides-serve: slides/node_modules ## Show the deck in a browser while it is edited
	cd slides && node_modules/.bin/marp --server . --no-stdin

# From the real things: a scene that is played, the deck, the chat, a diagram, a chart.
pictures: slides ## Draw the pictures of the front page, in pictures/, anew
	@$(INSTALL) $(AMQP)
	cargo lab demo --record pictures/rabbitmq-tasks.svg rabbitmq-tasks
	cd slides && node pictures.mjs

slides/node_modules: slides/package-lock.json
	$(INSTALL) node chromium
	@node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' || { \
	    echo "Node 18 or later is needed; here it is $$(node --version)."; \
	    echo "Newer ones are at https://nodejs.org/en/download"; exit 1; }
	cd slides && npm ci --ignore-scripts --no-audit --no-fund
	@touch slides/node_modules

# No package manager's Rust is new enough for certain, so none is installed here.
rust:
	@version=$$(cargo --version 2>/dev/null | cut -d ' ' -f 2); \
	if [ "$$(printf '1.89\n%s\n' "$$version" | sort -V | head -n 1)" != 1.89 ]; then \
	    echo "Rust 1.89 or later is needed; here it is: $${version:-missing}."; \
	    echo "Install it by: curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"; \
	    echo "or, with rustup here already, update it by: rustup update stable"; \
	    exit 1; \
	fi

# The front door: `make` lists what it can do.

# The examples bring along what their tests need; the tools borrow it.
EXAMPLES := $(patsubst crates/%/tests/program,%,$(wildcard crates/*/tests/program))

# What install.sh unpacks where nobody is root.
export PATH := $(CURDIR)/target/tools/bin:$(PATH)

# What the examples of MQTT and RabbitMQ need.
MQTT := cc cmake mosquitto
AMQP := cc rabbitmq-server

.DEFAULT_GOAL := help
.PHONY: help demo brokers test tests tools check copies bench slides slides-check slides-serve rust

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

# Without brokers it plays the rest, and says what it left out.
demo: rust ## Play the whole lecture (this is the main one)
	@sh crates/tools/brokers/install.sh $(MQTT) $(AMQP) || true
	cargo lab demo $(if $(WIRE),--wire)

demo-%: rust ## Play one example, such as make demo-tcp-echo
	@case $* in \
	    mqtt-* | wiretap) sh crates/tools/brokers/install.sh $(MQTT) ;; \
	    rabbitmq-*) sh crates/tools/brokers/install.sh $(AMQP) ;; \
	esac
	cargo lab demo $(if $(WIRE),--wire) $*

brokers: rust ## Start Mosquitto and RabbitMQ on their ports until Ctrl-C
	@sh crates/tools/brokers/install.sh $(MQTT) $(AMQP)
	cargo lab brokers

test: rust ## Run every test; installs what they need
	sh crates/tools/brokers/install.sh $(MQTT) $(AMQP) mosquitto_pub python3 curl tshark chromium
	cargo test --workspace --no-run
	@for example in $(EXAMPLES); do cargo build -q -p $$example; done # As `cargo run -p` does.
	@echo "Two minutes in silence: examples and tools are tested side by side"
	@cargo lab brokers -- $(MAKE) --no-print-directory -j 2 \
	    $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) tests tools

# Most tests wait for programs rather than compute, so more of them than cores run.
tests tools: export RUST_TEST_THREADS := 8

tests:
	@MAKEFLAGS= cargo test $(addprefix -p ,$(EXAMPLES))

tools:
	@MAKEFLAGS= cargo test --workspace $(addprefix --exclude ,$(EXAMPLES))

check: rust ## Check format, lints, versions, sizes, and each example copied out
	cargo fmt --all --check
	cargo clippy -q --workspace --all-targets -- -D warnings
	cargo test -q -p claims --test rules --test deck
	$(MAKE) --no-print-directory copies

# Builds and tests each example as a student's copy, outside the workspace. The lock file
# comes along only to spare downloads; one target directory spares building twice.
copies: rust
	@sh crates/tools/brokers/install.sh $(MQTT) $(AMQP)
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	cargo lab brokers -- sh -ec 'for example in $(EXAMPLES); do \
	    echo "$$example, copied out and alone"; \
	    cp -r crates/$$example Cargo.lock "$$0"; \
	    mv "$$0/Cargo.lock" "$$0/$$example"; \
	    (cd "$$0/$$example" && CARGO_TARGET_DIR="$(CURDIR)/target/copies" \
	        RUST_TEST_THREADS=8 cargo test -q); \
	done' "$$folder"

bench: rust ## Measure every transport beside Python and C (15 minutes; ARGS=--quick: one)
	@sh crates/tools/brokers/install.sh $(MQTT) $(AMQP)
	@sh crates/tools/brokers/install.sh python3 || true
	cargo run --release -p scoreboard -- $(ARGS)

# Marp, the deck's tool, and its theme: slides/marp.config.mjs.
MARP := cd slides && node_modules/.bin/marp deck.md --no-stdin

slides: slides/node_modules ## Build the deck: slides/dist/index.html, and a PDF
	cd slides && node diagrams.mjs
	$(MARP) -o dist/index.html
	$(MARP) -o dist/network-programming.pdf --pdf --pdf-outlines --pdf-outlines.pages=true

slides-check: slides/node_modules ## Check that every slide fits, is legible, asks no network
	$(MARP) -o dist/index.html
	$(MARP) -o dist/network-programming.pdf --pdf --pdf-outlines --pdf-outlines.pages=true
	cd slides && node check.mjs

slides-serve: slides/node_modules ## Show the deck in a browser while it is edited
	cd slides && node_modules/.bin/marp --server . --no-stdin

slides/node_modules: slides/package-lock.json
	sh crates/tools/brokers/install.sh node chromium
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

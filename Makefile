# The two commands of the README are `make demo` and `make test`; the rest is what they are made of.
.DEFAULT_GOAL := help
# `build.target = "host-tuple"` puts the binary under the name of this machine's target.
HC := target/$(shell rustc --print host-tuple)/release/hc

.PHONY: help build demo demo-clean test unit e2e bench docs lint deny fuzz

help: ## Show what there is to make
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' Makefile | column -t -s '|'

build: ## Build the one static binary
	@checks/install demo
	cargo build --release --locked
	@echo "$(HC)"

demo: build ## Deploy hosts/demo on this machine and show it running
	@HC=$(CURDIR)/$(HC) checks/demo/run

demo-clean: ## Remove everything the demo left on this machine
	@HC=$(CURDIR)/$(HC) checks/demo/clean

test: unit e2e ## Install what is missing and run every test

unit: ## Tests beside the code
	@checks/install test
	cargo test --workspace --locked

e2e: build ## Tests of the whole, on test hosts made for them
	@checks/install test
	@HC=$(CURDIR)/$(HC) checks/run

bench: build ## Print the table of docs/benchmarks.md
	@checks/install test
	@HC=$(CURDIR)/$(HC) checks/bench/run

docs: build ## Write docs/options.md anew from modules/cloud
	$(HC) eval --raw --file modules/documentation.nix > docs/options.md

lint: ## rustfmt and clippy, as CI runs them
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

deny: ## Licences, bans and sources of the dependencies, and advisories where they can be had
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny check bans licenses sources
	@cargo deny fetch db 2>/dev/null && cargo deny check advisories || \
		echo "advisories: NOT checked, the advisory database cannot be reached from here"

fuzz: ## Run every fuzz target for ten seconds
	fuzz/run

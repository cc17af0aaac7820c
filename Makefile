# Everything that people and CI do with this repository.
#
#   make run     build and start the server on 127.0.0.1:7171 (the first build takes some minutes)
#   make test    everything that must pass, from a fresh clone
#   make bench   the measurements of docs/PERFORMANCE.md, which it writes (a quarter of an hour)
#   make bench-quick   the same with small sizes, to see that it works; writes nothing
#   make bench-parts   the parts alone: events, store, read models, redaction, supervisor
#   make pictures   the pictures of docs/images, of a ledger that it fills for the purpose
#   make paid-try   a chain of play money and a facilitator on this machine: see docs/OPERATIONS.md
#   make lint    formatting, clippy with warnings as errors, and licences where cargo-deny is there

CARGO ?= cargo
NPM ?= npm
# Arguments for the server, for example: make run ARGS="--listen 127.0.0.1:8080"
ARGS ?=

# What the pages take from npm, which is built into the binary.
PAGES := web/node_modules/.installed

# The agents that tests run: where npm installs them, and what says that it has.
CLAUDE_CODE := target/test-tools/claude-code
AGENTS := target/test-tools/agents
INSTALLED := node_modules/.installed

.PHONY: run test test-programs test-tools pictures paid-try bench bench-quick bench-parts lint fmt clean

run: $(PAGES)
	$(CARGO) run --release --locked --bin execution-ledger -- serve $(ARGS)

test: test-programs test-tools $(PAGES)
	$(CARGO) test --workspace --locked --no-fail-fast --lib --bins --tests

$(PAGES): web/package.json web/package-lock.json
	@command -v $(NPM) >/dev/null || { \
	  echo "npm is needed: it fetches what the pages are made with (Debian: apt-get install npm)" >&2; \
	  exit 1; }
	cd web && $(NPM) ci --no-audit --no-fund
	touch $@

# What agents of the tests are written in, and what makes their certificates.
test-programs:
	@missing=; for program in python3 openssl setsid chromium; do \
	  command -v $$program >/dev/null || missing="$$missing $$program"; done; \
	python3 -c 'import ensurepip' 2>/dev/null || missing="$$missing python3-venv"; \
	[ -z "$$missing" ] || if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	  apt-get update -q && apt-get install -y -q python3 python3-venv openssl util-linux chromium; \
	else \
	  echo "the tests need:$$missing (Debian: apt-get install python3 python3-venv openssl util-linux chromium)" >&2; exit 1; fi

# The real agents (Claude Code, codex, gemini-cli, opencode), which tests run against models of
# their own.
test-tools: $(CLAUDE_CODE)/$(INSTALLED) $(AGENTS)/$(INSTALLED)

$(CLAUDE_CODE)/$(INSTALLED): tests/tools/package.json tests/tools/package-lock.json
$(CLAUDE_CODE)/$(INSTALLED): NPM_INSTALL := ci

# Not `ci`: where a registry lacks opencode for some other platform, no lock file is whole to it. What
# the lock file names is installed as it says.
$(AGENTS)/$(INSTALLED): tests/tools/agents/package.json tests/tools/agents/package-lock.json
$(AGENTS)/$(INSTALLED): NPM_INSTALL := install --no-save

$(CLAUDE_CODE)/$(INSTALLED) $(AGENTS)/$(INSTALLED):
	@command -v $(NPM) >/dev/null || { \
	  echo "npm is needed: the tests install agents with it (Debian: apt-get install npm)" >&2; \
	  exit 1; }
	mkdir -p $(@D:/node_modules=)
	cp $^ $(@D:/node_modules=)/
	cd $(@D:/node_modules=) && $(NPM) $(NPM_INSTALL) --no-audit --no-fund
	touch $@

# The official MCP clients, which tests run against the ledger: of npm (with the node that they
# need) and of PyPI.
MCP_CLIENTS := target/test-tools/mcp

test-tools: $(MCP_CLIENTS)/.installed

$(MCP_CLIENTS)/.installed: $(addprefix tests/tools/mcp/,package.json package-lock.json requirements.txt)
	@command -v $(NPM) >/dev/null || { \
	  echo "npm is needed: the tests install MCP clients with it (Debian: apt-get install npm)" >&2; \
	  exit 1; }
	mkdir -p $(MCP_CLIENTS)
	cp $^ $(MCP_CLIENTS)/
	cd $(MCP_CLIENTS) && $(NPM) ci --ignore-scripts --no-audit --no-fund
	python3 -m venv --clear $(MCP_CLIENTS)/python
	$(MCP_CLIENTS)/python/bin/python -m pip install -q --require-hashes -r $(MCP_CLIENTS)/requirements.txt
	touch $@

# KurrentDB clients, which tests run against the log that a ledger serves them: of npm and of PyPI. Two
# environments of Python: what the clients need of gRPC does not go together.
EVENTSTORE := target/test-tools/eventstore

test-tools: $(EVENTSTORE)/.installed

$(EVENTSTORE)/.installed: $(addprefix tests/tools/eventstore/,package.json package-lock.json kurrentdbclient.txt esdbcat.txt)
	@command -v $(NPM) >/dev/null || { \
	  echo "npm is needed: the tests install a KurrentDB client with it (Debian: apt-get install npm)" >&2; \
	  exit 1; }
	mkdir -p $(EVENTSTORE)
	cp $^ $(EVENTSTORE)/
	cd $(EVENTSTORE) && $(NPM) ci --ignore-scripts --no-audit --no-fund
	for client in kurrentdbclient esdbcat; do \
	  python3 -m venv --clear $(EVENTSTORE)/$$client && \
	  $(EVENTSTORE)/$$client/bin/python -m pip install -q --require-hashes -r $(EVENTSTORE)/$$client.txt \
	    || exit 1; done
	touch $@

# The official library that verifies signed webhooks.
WEBHOOKS := target/test-tools/webhooks

test-tools: $(WEBHOOKS)/$(INSTALLED)

$(WEBHOOKS)/$(INSTALLED): tests/tools/webhooks/package.json tests/tools/webhooks/package-lock.json
	@command -v $(NPM) >/dev/null || { \
	  echo "npm is needed: the tests install a library with it (Debian: apt-get install npm)" >&2; \
	  exit 1; }
	mkdir -p $(WEBHOOKS)
	cp $^ $(WEBHOOKS)/
	cd $(WEBHOOKS) && $(NPM) ci --ignore-scripts --no-audit --no-fund
	touch $@

# A chain, a facilitator and a client that pay for paid runs, all of the official packages. Not `ci`, as
# for the agents: anvil has a package for each platform. No package's install script is needed.
X402 := target/test-tools/x402

test-tools: $(X402)/$(INSTALLED)

$(X402)/$(INSTALLED): tests/tools/x402/package.json tests/tools/x402/package-lock.json
	@command -v $(NPM) >/dev/null || { \
	  echo "npm is needed: the tests install a chain with it (Debian: apt-get install npm)" >&2; \
	  exit 1; }
	mkdir -p $(X402)
	cp $^ $(X402)/
	cd $(X402) && $(NPM) install --no-save --ignore-scripts --no-audit --no-fund
	touch $@

# The browser's driver and the rules of accessibility, for the stories of the pages.
PAGE_TOOLS := target/test-tools/pages

test-tools: $(PAGE_TOOLS)/$(INSTALLED)

$(PAGE_TOOLS)/$(INSTALLED): tests/tools/pages/package.json tests/tools/pages/package-lock.json
	mkdir -p $(PAGE_TOOLS)
	cp $^ $(PAGE_TOOLS)/
	cd $(PAGE_TOOLS) && $(NPM) ci --ignore-scripts --no-audit --no-fund
	touch $@

# With the program that `cargo build` makes; with another one, which is not built: make pictures PROGRAM=target/release/execution-ledger
BUILT := target/debug/execution-ledger
PROGRAM ?= $(BUILT)
CHROMIUM ?= $(firstword $(wildcard /usr/bin/chromium /usr/bin/chromium-browser /usr/bin/google-chrome))

pictures: test-programs $(PAGES) $(PAGE_TOOLS)/$(INSTALLED)
	[ "$(PROGRAM)" != "$(BUILT)" ] || $(CARGO) build --locked --bin execution-ledger
	PAGE_TOOLS=$(abspath $(PAGE_TOOLS)) CHROMIUM=$(CHROMIUM) node tests/pages/pictures.mjs $(PROGRAM) docs/images

paid-try: $(X402)/$(INSTALLED)
	node tests/tools/x402/try.mjs --file target/paid.toml

# One selection of packages for all of them, so that nothing is built twice.
BENCH := $(CARGO) bench --workspace --locked

bench: $(PAGES)
	$(BENCH) --bench load -- --document docs/PERFORMANCE.md --json target/bench/load.json

bench-quick: $(PAGES)
	$(BENCH) --bench load -- --quick

bench-parts: $(PAGES)
	$(BENCH) --bench events --bench append --bench views --bench redact --bench lifecycles

lint: $(PAGES)
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny --locked check; \
	  else echo "cargo-deny is not installed: licences and advisories are not checked"; fi

fmt:
	$(CARGO) fmt --all

clean:
	$(CARGO) clean

# Shoal. On a fresh machine with Go, git and make, `make demo` and `make test`
# need nothing else. Tests against PostgreSQL run where it is installed, or where
# root can install it from the distribution (see scripts/postgres).

GO ?= go
export CGO_ENABLED ?= 0

# SQL needs DuckDB, which is C++: it is in where a C++ toolchain is and where
# DuckDB comes for the machine; SQL=no leaves it out. The tags netgo and
# osusergo keep all other packages as they are without cgo, so that they need
# not be compiled twice.
CXX_FOUND := $(shell command -v c++ || command -v g++)
PLATFORM := $(shell $(GO) env GOOS)/$(shell $(GO) env GOARCH)
HAS_DUCKDB := $(filter linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64,$(PLATFORM))
SQL ?= $(if $(CXX_FOUND),$(if $(HAS_DUCKDB),yes,no),no)
SQL_TAGS := -tags duckdb,netgo,osusergo
ifeq ($(SQL),yes)
WITH_SQL := CGO_ENABLED=1
WITH_SQL_TAGS := $(SQL_TAGS)
endif

.PHONY: help demo test test-web test-shop extension compat bench bench-star discovery fuzz crash sim chaos linkability mutants lint build cross release release-check

help:
	@echo "make demo    answer a question about the programs on this machine, privately"
	@echo "make test    all tests, and the builds for other platforms"
	@echo "make test-web   the web SDK and the extension: sizes, in Node.js, Chromium and Firefox, against the Go SDK and real servers"
	@echo "make test-shop  two browsers buy from the demo's shop, in real time"
	@echo "make extension   the browser extension for Chromium and Firefox, in dist/extension"
	@echo "make compat  data, partners and devices of the version before, with this one"
	@echo "make bench   all benchmarks (see docs/evidence/performance.md)"
	@echo "make bench-star   recovery of a hardened quorum beside the crate sta-rs (needs Rust)"
	@echo "make discovery   the discovery engine on the test site: 100,000 visits for each of 5 seeds"
	@echo "make fuzz    every fuzz target for FUZZTIME (default 60s each)"
	@echo "make crash   200 kill -9 of a real server under load, and of a real helper"
	@echo "make sim     10,000 seeds of the simulation of an aggregation system"
	@echo "make chaos   two leaders and two helpers on a PostgreSQL that restarts all the time, for CHAOS_TIME (default 10m)"
	@echo "make linkability   whether what a party sees links reports of one person: 500 people, 30 days, planted leaks"
	@echo "make mutants faults put into the code, one at a time: a test must notice each"
	@echo "make lint    gofumpt and golangci-lint"
	@echo "make build   bin/shoal"
	@echo "make release binaries of each platform, bills of materials and checksums, in dist"
	@echo "make release-check   two builds in two folders, compared bit by bit"

# ARGS passes flags on: make demo ARGS="--once --json"
demo: build
	./bin/shoal demo $(ARGS)

# Packages are named as they are compiled: nothing else tells how far it is.
build:
	@if [ "$(SQL)" = yes ]; then \
		echo "building bin/shoal with SQL: DuckDB is large, the first time takes minutes; SQL=no leaves it out" >&2; \
	else \
		echo "building bin/shoal without SQL: for it install a C++ compiler (g++ or clang++) where DuckDB comes for $(PLATFORM), and build again (see docs/reference/sql.md)" >&2; \
	fi
	$(WITH_SQL) $(GO) build -v -trimpath $(WITH_SQL_TAGS) -o bin/shoal ./cmd/shoal

test: cross
	$(GO) vet ./...
	./scripts/postgres $(GO) test ./...
	$(GO) test -tags oblivioustrace -run Trace ./crypto/oblivious
ifeq ($(SQL),yes)
	CGO_ENABLED=1 $(GO) test $(SQL_TAGS) ./internal/store/duckdb
	CGO_ENABLED=1 $(GO) test $(SQL_TAGS) -run '^TestQuery$$' ./cmd/shoal
else
	@echo "the tests of SQL were left out: no C++ toolchain was found, or DuckDB does not come for $(PLATFORM)"
endif

# The web SDK. scripts/web installs its development tools; where they or a browser
# cannot be had a line says what was left out, with CI=true that is an error.
test-shop:
	./scripts/web npm run build
	SHOAL_WEB=1 SHOAL_SHOP=1 $(GO) test -count 1 -timeout 15m -v -run '^TestDemoShop$$' ./web/sdk

test-web:
	./scripts/web npm test
	SHOAL_WEB=1 $(GO) test -count 1 -timeout 12m -v ./web/sdk ./web/extension

# The browser extension for Chromium and Firefox, and its sources, in dist/extension.
extension:
	$(GO) run ./web/extension

# The version before is built from the history: see scripts/previous.
compat:
	./scripts/previous $(GO) test -count 1 -v -run '^TestPreviousVersion$$' ./cmd/shoal

# The whole must build for the platforms below; the SDK in a browser too.
cross:
	GOOS=linux GOARCH=arm64 $(GO) build ./...
	GOOS=js GOARCH=wasm $(GO) build . ./vdaf/... ./crypto/...
	GOOS=js GOARCH=wasm $(GO) build -o /dev/null ./internal/discovery/wasm

release:
	GO="$(GO)" ./scripts/release

release-check:
	GO="$(GO)" ./scripts/release check

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

bench-star:
	./bench/star/run.sh

SEEDS ?= 5
discovery:
	SHOAL_DISCOVERY=$(SEEDS) $(GO) test -count 1 -timeout 60m -v -run '^TestAcceptance$$' ./internal/discovery/testsite

FUZZTIME ?= 60s
fuzz:
	GO="$(GO)" FUZZTIME="$(FUZZTIME)" ./scripts/fuzz

KILLS ?= 200
crash:
	SHOAL_KILLS=$(KILLS) ./scripts/postgres $(GO) test -count 1 -timeout 60m -v -run '^TestKill' ./cmd/shoal ./internal/dap/helper
	SHOAL_CRASHES=all $(GO) test -count 1 -timeout 30m -v -run '^TestCrashes$$' ./internal/hardened

SIM_SEEDS ?= 10000
sim:
	SHOAL_SIM_SEEDS=$(SIM_SEEDS) $(GO) test -count 1 -timeout 60m -v -run '^TestSeeds$$' ./internal/dap/simulation

# A program of its own, so that it can show its progress on a terminal.
CHAOS_TIME ?= 10m
chaos:
	$(GO) test -c -o bin/chaos.test ./internal/store/postgres
	cd internal/store/postgres && SHOAL_CHAOS=$(CHAOS_TIME) ../../scripts/postgres ../../bin/chaos.test -test.run '^TestChaos$$' -test.v -test.timeout 120m

LINKABILITY ?= 500x30
LINKABILITY_RESULTS ?= $(CURDIR)/bin/linkability.md
linkability:
	@mkdir -p $(dir $(LINKABILITY_RESULTS))
	SHOAL_LINKABILITY=$(LINKABILITY) SHOAL_LINKABILITY_RESULTS=$(LINKABILITY_RESULTS) $(GO) test -count 1 -timeout 60m -parallel 3 -v -run '^TestLinkability$$' ./internal/linkability; status=$$?; times; exit $$status

MUTANTS ?= .
mutants:
	SHOAL_MUTANTS='$(MUTANTS)' $(GO) test -count 1 -timeout 40m -v -run '^TestMutants' ./internal/mutants

GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOFUMPT  := mvdan.cc/gofumpt@v0.12.0
lint:
	@out="$$($(GO) run $(GOFUMPT) -l .)"; if [ -n "$$out" ]; then echo "gofumpt would change:"; echo "$$out"; exit 1; fi
	$(GO) run $(GOLANGCI) run ./...

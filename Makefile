# Shoal. On a fresh machine with Go, git and make, `make demo` and `make test`
# need nothing else.

GO ?= go
export CGO_ENABLED ?= 0

.PHONY: help demo test bench fuzz crash lint build cross

help:
	@echo "make demo    answer a question about the programs on this machine, privately"
	@echo "make test    all tests, and the builds for other platforms"
	@echo "make bench   all benchmarks (see docs/performance.md)"
	@echo "make fuzz    every fuzz target for FUZZTIME (default 60s each)"
	@echo "make crash   200 kill -9 of a real server under load"
	@echo "make lint    gofumpt and golangci-lint"
	@echo "make build   bin/shoal"

# ARGS passes flags on: make demo ARGS="--once --json"
demo:
	$(GO) run ./cmd/shoal demo $(ARGS)

build:
	$(GO) build -trimpath -o bin/shoal ./cmd/shoal

test: cross
	$(GO) vet ./...
	$(GO) test ./...

# The whole must build for the platforms below; the SDK in a browser too.
cross:
	GOOS=linux GOARCH=arm64 $(GO) build ./...
	GOOS=js GOARCH=wasm $(GO) build . ./vdaf/... ./crypto/...

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

FUZZTIME ?= 60s
fuzz:
	GO="$(GO)" FUZZTIME="$(FUZZTIME)" ./scripts/fuzz

KILLS ?= 200
crash:
	SHOAL_KILLS=$(KILLS) $(GO) test -count 1 -timeout 30m -v -run '^TestKill' ./cmd/shoal

GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOFUMPT  := mvdan.cc/gofumpt@v0.12.0
lint:
	@out="$$($(GO) run $(GOFUMPT) -l .)"; if [ -n "$$out" ]; then echo "gofumpt would change:"; echo "$$out"; exit 1; fi
	$(GO) run $(GOLANGCI) run ./...

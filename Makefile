# Two commands do all, on a Debian with Go and make: make run, make test. What else they need they install.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

FUZZTIME ?= 10s # for each target
SOAK ?= 60m

# What tests need besides Go, as .ci/need takes it. PostgreSQL and Redis are what the bench measures kassa beside.
tools := node=nodejs nc=netcat-openbsd strace=strace
peers := pg_ctlcluster=postgresql-15 redis-server=redis-server

# Modules besides the main one, which have dependencies of their own.
nested := $(patsubst %/go.mod,%,$(wildcard bench/peers/go.mod))

.PHONY: run
run: build ## start kassad with example pools, kept in data/, and types to try things with; Ctrl-C ends it
	@exec bin/kassad --demo --config cmd/kassad/example.yaml --data data --backups backups

.PHONY: build
build: ## build bin/kassad and bin/kassa
	@go build -o bin/ ./cmd/kassad ./cmd/kassa

.PHONY: test
test: ## vet and test everything
	@.ci/need $(tools) $(peers)
	go vet ./...
	go test -timeout 30m ./...
	@for module in $(nested); do (set -x; go -C $$module vet ./...; go -C $$module test ./...); done

.PHONY: race
race: ## test everything under the race detector
	@.ci/need $(tools) $(peers) gcc=gcc,libc6-dev
	CGO_ENABLED=1 go test -race ./...

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (10s)
	@grep -rl --include='*_test.go' '^func Fuzz' . | xargs -r -n1 dirname | sort -u | while read -r package; do \
		for target in $$(go test -list '^Fuzz' "$$package" | grep '^Fuzz'); do \
			(set -x; go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$package"); \
		done; \
	done

# The proofs of the pools. make test has them too, in these sizes.
.PHONY: prove
prove: prove-powerloss prove-faults prove-kill prove-model prove-flips prove-replay prove-mutants ## all proofs of the pools, in the sizes of make test

.PHONY: prove-powerloss
prove-powerloss: ## power taken at 12,000 moments: what was answered is there, and the state is what it was
	@.ci/prove '^TestPowerLoss$$' ./pool/serve ./pool/journal

.PHONY: prove-faults
prove-faults: ## EIO, ENOSPC, a short write at each file operation of 20 random lives of a store; a full disk under kassad
	@.ci/need strace=strace
	@.ci/prove '^(TestFaults|TestDisk.*|TestFailedWrites|TestFewFiles)$$' ./pool/journal ./cmd/kassad

.PHONY: prove-kill
prove-kill: ## kill -9 under load, and the clients' history checked
	@.ci/prove '^(TestKill|TestLedger|TestDesk)' ./cmd/kassad ./pool/journal

.PHONY: prove-model
prove-model: ## 1,000,000 random commands against an oracle
	@.ci/prove '^(TestModel|TestStockModel|TestCalendarModel)$$' ./pool

.PHONY: prove-flips
prove-flips: ## 500 flipped bits, 200 files cut or removed: what was never written is not served
	@.ci/prove '^(TestFlip|TestCut)$$' ./pool/journal

.PHONY: prove-replay
prove-replay: ## the state is what its journal replays to, at the end of each test
	@.ci/prove '^Test' -skip '^Test(Mutants|Model|PowerLoss)$$' ./pool ./pool/serve

.PHONY: prove-mutants
prove-mutants: ## errors put into the code: each must be found
	@.ci/prove '^TestMutants$$' ./pool ./pool/internal/seats ./pool/internal/timeline ./pool/journal ./pool/serve

.PHONY: soak
soak: ## all proofs, as large as they get in SOAK (60m) together
	@.ci/soak $(SOAK)

.PHONY: bench-pools
bench-pools: ## measure the pools beside PostgreSQL and Redis: 10 minutes, on a machine that does nothing else
	@.ci/need $(peers)
	go run ./bench/cmd/bench -cells pools -repeats 0 -out bench/results/pools-$$(date +%F).jsonl
	go run ./bench/cmd/bench report bench/results/pools-$$(date +%F).jsonl

.PHONY: cover
cover: ## show how much of each package its tests run
	go test -cover ./...

.PHONY: lint
lint: ## golangci-lint, at the version in .ci/tools/go.mod
	go tool -modfile=.ci/tools/go.mod golangci-lint run ./...
	@for module in $(nested); do (set -x; cd $$module && go tool -modfile=$(CURDIR)/.ci/tools/go.mod golangci-lint run --config=$(CURDIR)/.golangci.yml ./...); done

.PHONY: clean
clean: ## remove what was built
	rm -rf bin

.PHONY: help
help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

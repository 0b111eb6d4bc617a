# Two commands do all, on a Debian with Go and make: make run, make test. What else they need they install.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

FUZZTIME ?= 10s # for each target
SOAK ?= 60m

# What tests need besides Go, as .ci/need takes it. The peers are what the bench measures kassa beside.
tools := node=nodejs nc=netcat-openbsd strace=strace chromium=chromium
peers := pg_ctlcluster=postgresql-15 redis-server=redis-server /usr/sbin/gearmand=gearman-job-server

# Modules besides the main one, which have dependencies of their own. (bench/peers/etcd has no code: it pins what is built.)
nested := bench/peers bench/cmd/bench

.PHONY: run
run: build ## start kassad with example pools, kept in data/, and types to try things with; Ctrl-C ends it
	@exec bin/kassad --demo --config cmd/kassad/example.yaml --data data --backups backups

.PHONY: build
build: ## build bin/kassad and bin/kassa
	@go build -o bin/ ./cmd/kassad ./cmd/kassa

# With SONIC_USE_OPTDEC, sonic decodes as it does on arm64. go test does not see that results depend on it: hence -count=1.
.PHONY: test
test: ## vet and test everything
	@.ci/need $(tools) $(peers)
	go vet ./...
	go test -timeout 30m ./...
	SONIC_USE_OPTDEC=1 go test -short -count=1 ./codec ./dispatch ./client ./pool/serve ./cmd/internal/config
	GOARCH=arm64 go vet ./...
	@for module in $(nested); do (set -x; go -C $$module vet ./...; go -C $$module test ./...); done

.PHONY: race
race: ## test everything under the race detector
	@.ci/need $(tools) $(peers) gcc=gcc,libc6-dev
	CGO_ENABLED=1 go test -race ./...
	@for module in $(nested); do (set -x; CGO_ENABLED=1 go -C $$module test -race ./...); done

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

# kassa bench skips what is not installed and names it, so that these go on without it.
.PHONY: bench
bench: build bench-deps ## measure kassa beside all peers: half an hour, on a machine that does nothing else
	@results=bench/results/$$(date +%F); code=0; bin/kassa bench --out $$results.jsonl || code=$$?; \
	if [ $$code -le 1 ] || [ $$code = 130 ]; then bin/kassa bench report $$results.jsonl --out $$results; fi; exit $$code

.PHONY: bench-quick
bench-quick: build bench-deps ## the same in 2 minutes: some cells, once each
	@bin/kassa bench --quick

.PHONY: bench-pools
bench-pools: build bench-deps ## measure the pools beside PostgreSQL, Redis and etcd: 10 minutes, on a machine that does nothing else
	@bin/kassa bench --cells pools --measure 5s --warmup 1s --repeats 0 --out bench/results/pools-$$(date +%F).jsonl

.PHONY: bench-deps
bench-deps: ## install what kassa is measured beside: from apt, and as Go modules
	@for peer in node=nodejs $(peers); do .ci/need "$$peer" || echo "$${peer#*=} can not be installed: bench goes on without it"; done
	@for build in "bench/peers ./..." "bench/peers github.com/nats-io/nats-server/v2" "bench/peers/etcd go.etcd.io/etcd/server/v3" "bench/cmd/bench ./..."; do \
		read -r module packages <<< "$$build"; \
		go -C "$$module" build -o /dev/null "$$packages" || echo "$$build can not be built: bench goes on without it"; \
	done

.PHONY: bench-micro
bench-micro: ## compare go test's benchmarks with bench/results/micro.txt: 5 minutes; with another machine's, only allocations
	@.ci/bench-micro

.PHONY: bench-micro-save
bench-micro-save: ## make bench/results/micro.txt anew, on a machine that does nothing else
	@.ci/bench-micro save

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
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Two commands do all, on a Debian with Go and make: make run, make test. What else they need they install.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

FUZZTIME ?= 10s # for each target

# Modules besides the main one, which have dependencies of their own.
nested := $(patsubst %/go.mod,%,$(wildcard bench/peers/go.mod))

.PHONY: run
run: build ## start kassad with example pools, kept in data/, and types to try things with; Ctrl-C ends it
	@exec bin/kassad --demo --config cmd/kassad/example.yaml --data data

.PHONY: build
build: ## build bin/kassad and bin/kassa
	@go build -o bin/ ./cmd/kassad ./cmd/kassa

.PHONY: test
test: ## vet and test everything
	@.ci/need node=nodejs nc=netcat-openbsd
	go vet ./...
	go test ./...
	@for module in $(nested); do (set -x; go -C $$module vet ./...; go -C $$module test ./...); done

.PHONY: race
race: ## test everything under the race detector
	@.ci/need node=nodejs nc=netcat-openbsd gcc=gcc,libc6-dev
	CGO_ENABLED=1 go test -race ./...

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (10s)
	@grep -rl --include='*_test.go' '^func Fuzz' . | xargs -r -n1 dirname | sort -u | while read -r package; do \
		for target in $$(go test -list '^Fuzz' "$$package" | grep '^Fuzz'); do \
			(set -x; go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$package"); \
		done; \
	done

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
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

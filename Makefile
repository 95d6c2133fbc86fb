# What a developer types. Nothing else is needed to work on Gatehouse, and CI
# runs nothing else: see .ci/run.

GO          ?= go
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
PROGRAM     ?= bin/gatehouse
FUZZTIME    ?= 1m
# The race detector needs cgo and a C compiler; where there is none, everything
# else is tested all the same.
RACE        ?= $(shell command -v gcc >/dev/null 2>&1 && echo -race)
# Accesses are watched in our code and in what it shares memory with. These only
# compute, on memory of their own under a lock of their caller's, and take most of
# the time that there is: SQLite, which was compiled to Go, and the hash
# functions. What is not watched orders nothing for what is, so nothing that locks
# or has atomics of its own belongs here: it would show races that are none.
UNWATCHED    = github.com/ncruces/go-sqlite3-wasm/... golang.org/x/crypto/argon2 golang.org/x/crypto/blake2b
WATCHED      = $(if $(RACE),$(RACE) $(foreach package,$(UNWATCHED),-gcflags=$(package)=-race=false))
# What needs no watching runs without the race detector, under which it takes five
# times as long: these packages drive processes, or compare many thousand answers
# one after the other; and of other packages the tests that call tests/detector.
# What many do at once is watched everywhere.
PLAIN        = ./tests/e2e ./tests/... ./ports/portstest
PLAIN_TESTS  = ^Test(Contract|HTTPOver.*|MatrixMissesEveryRow|PreviewsTellTheTruth|ListsTellTheTruth|.*Commands|PolicyCheckWhy|AuditVerify|Demo)$$
PLAIN_IN     = ./bootstrap ./adapters/httpapi ./adapters/gormrepo
# Those that take longest come first, so that none of them is left over alone.
LONGEST      = ./adapters/httpapi ./bootstrap ./adapters/gormrepo
TESTS        = -count=1 -timeout 30m
WITH_PG      = $(GO) run ./tests/pgtest/cmd --

.DEFAULT_GOAL := help
.PHONY: help run test test-watched test-plain check lint fuzz bench attacks test-faults scale demo matrix build release release-check

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## serve on http://localhost:8080 with a data file under data/
	$(GO) run . serve

test: ## run every test, with the race detector where it can find anything, PostgreSQL included
	@$(MAKE) --no-print-directory -j2 test-watched test-plain

test-watched:
	$(WITH_PG) $(GO) test $(WATCHED) $(TESTS) $(LONGEST) $$($(GO) list ./... | grep -v -e /tests/ -e /portstest$$)
	$(if $(RACE),$(WITH_PG) $(GO) test $(TESTS) -vet=off -run '$(PLAIN_TESTS)' $(PLAIN_IN))

test-plain: # one package at a time, beside the others
	$(WITH_PG) $(GO) test $(TESTS) -p 1 $(PLAIN)

check: lint ## what takes seconds: lint, and the rules of who imports whom
	$(GO) test -count=1 .

lint: ## gofmt, go vet, staticcheck
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "gofmt -w is needed for:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

# Go's fuzzer may report its own deadline as a failure when the time is up; it
# names a failing input when there is one.
fuzz: ## run every fuzz target for FUZZTIME (1m)
	@set -e; grep -rl --include='*_test.go' '^func Fuzz' . | sort | while read -r file; do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$file"); do \
			echo "$$(dirname "$$file") $$target"; \
			out=$$($(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")" 2>&1) || \
			case "$$out" in \
				*"Failing input"*) echo "$$out"; exit 1;; \
				*"context deadline exceeded"*) out="nothing found, and stopped between two inputs";; \
				*) echo "$$out"; exit 1;; \
			esac; \
			echo "$$out" | tail -1; \
		done; \
	done

bench: ## measure what is asked most beside a floor, and what each part of it costs
	$(GO) test -run '^$$' -bench '^(BenchmarkDecide|BenchmarkToken|BenchmarkCookie|BenchmarkBodies|BenchmarkMe)$$' ./adapters/casbinauthz ./domain/secret ./adapters/httpapi
	$(WITH_PG) $(GO) run ./tests/bench

attacks: ## do what attackers do, and measure whether the service holds to its figures
	$(WITH_PG) $(GO) run ./tests/trials attacks

test-faults: ## kill, freeze, overload and upgrade it, and measure the same; FAULTS=1,2 for some
	$(WITH_PG) $(GO) run ./tests/trials faults

scale: ## put a million sessions into PostgreSQL and into Redis, and measure what they take
	$(GO) run ./tests/scale

demo: ## fill in a small catalogue and three users, to try things with
	$(GO) run . demo

matrix: ## make docs/matrix.md of adapters/httpapi/httptests/matrix.txt
	$(GO) test ./adapters/httpapi -run '^TestMatrixPage$$' -update

build: ## make bin/gatehouse, one static file
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags "-s -w -buildid= -X gatehouse/bootstrap.version=$(VERSION)" -o $(PROGRAM) .

release: ## make dist/: archives for Linux and macOS, sums, a list of what is in them
	$(GO) run ./tests/release -version "$(VERSION)"

release-check: ## make release twice, the second time elsewhere, and compare
	$(GO) run ./tests/release -version "$(VERSION)" -again


# `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# How long each fuzz target runs in `make fuzz`.
FUZZTIME ?= 10s
# Where Go sources are: not .venv and node_modules, which can hold foreign ones.
SOURCES := cmd internal bench test packaging

# The invariants tag makes pooled buffers unusable once they are released, so that a late use shows in the tests.
# On a machine with a load of 20 a package can take longer than the ten minutes that are the default.
GOTEST := go test -race -tags invariants -timeout 30m

# The API model of the pinned botocore; expanded where it is used, which is after .venv exists.
MODEL = $$(.venv/bin/python -c 'import botocore, os; print(os.path.join(os.path.dirname(botocore.__file__), "data"))')

.PHONY: help
help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/trellis.
	go build -o bin/trellis ./cmd/trellis

.PHONY: dist
dist: ## Build archives, deb, rpm, container image, wheels, checksums and SBOMs in dist/ (docs/packages.md); TARGETS=linux/amd64 builds for that alone.
	cd packaging && go run . $(if $(TARGETS),-targets $(TARGETS))

.PHONY: test
test: prerequisites venv node_modules fmt-check vet lint check-generate ## Check and test everything, as CI does; installs what it needs.
	@echo "== tests that the race detector would falsify"
	@scripts/test_without_race.sh
	@echo "== the rules of the tree, which start no goroutines: the race detector would take minutes for them"
	go test ./internal
	@echo "== all other tests, with the race detector"
	$(GOTEST) $$(go list ./... | grep -v '/internal$$')
	@echo "== packages"
	@cd packaging && go vet . && go test .

.PHONY: test-go
test-go: ## Run the Go tests without the client tests.
	$(GOTEST) $$(go list ./... | grep -v '/test/clients$$')

.PHONY: test-clients
test-clients: prerequisites venv node_modules ## Run the tests with real clients only (boto3, AWS CLI, SDKs for Go and JavaScript, Terraform, Gateway API controller).
	$(GOTEST) -count=1 -v ./test/clients

.PHONY: test-kits
test-kits: ## Run 100 tests on 4 workers with the pytest fixtures of the wheel, in a fresh virtual environment.
	scripts/test_kits.sh

.PHONY: test-recipes
test-recipes: ## Compile the recipes of docs/containers.md against Testcontainers, from PyPI, npm and the Go proxy.
	scripts/test_recipes.sh

.PHONY: generate
generate: venv ## Write the generated code and docs/coverage.md again from the pinned API model.
	go run ./cmd/apigen -model "$(MODEL)"

.PHONY: check-generate
check-generate: venv ## Prove that the committed generated files are fresh.
	@echo "== generated files are fresh"
	@go run ./cmd/apigen -model "$(MODEL)" -check

.PHONY: bench
bench: ## Measure Trellis beside nginx and HAProxy, and the control plane (bench/README.md).
	go run ./bench

.PHONY: aws-lambda-ric
aws-lambda-ric: ## Build AWS's Lambda runtime for Node.js, of C++ (a minute or more), with which the tests of functions run, too.
	@scripts/aws_lambda_ric.sh

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (10s).
	scripts/fuzz.sh $(FUZZTIME)

.PHONY: soak
soak: ## Run the stories for long: 200 kills, 30 seconds and more of races, 3 minutes of load under 1,000 and more changes and new processes, as long of targets that die, flap and drain, 5,000 clients at fault, 10,000 requests with an entry each, 3 minutes of full load while no entry can be delivered (beside nginx and HAProxy with TRELLIS_PEERS=nginx,haproxy).
	TRELLIS_SOAK=50 go test -count=1 -timeout 30m -v -run Kills ./test/stories
	TRELLIS_SOAK=6 $(GOTEST) -count=1 -timeout 30m -v -run 'Sixteen' ./test/stories
	TRELLIS_SOAK=18 $(GOTEST) -count=1 -timeout 30m -v -run NoRequestFails ./test/stories
	TRELLIS_SOAK=8 $(GOTEST) -count=1 -timeout 30m -v -run UnhealthyAndDraining ./test/stories
	TRELLIS_SOAK=10 go test -count=1 -timeout 30m -v -run Faults ./test/stories
	TRELLIS_SOAK=10 go test -count=1 -timeout 30m -v -run OneEntry ./test/stories
	TRELLIS_SOAK=60 go test -count=1 -timeout 30m -v -run SinksAreDown ./test/stories

.PHONY: fmt
fmt: ## Format the Go code.
	gofmt -w $(SOURCES)

.PHONY: fmt-check
fmt-check:
	@echo "== gofmt"
	@unformatted=$$(gofmt -l $(SOURCES)); \
	  if [ -n "$$unformatted" ]; then echo "not formatted; run make fmt:"; echo "$$unformatted"; exit 1; fi

.PHONY: vet
vet: ## Run go vet.
	@echo "== go vet"
	@go vet ./...

.PHONY: lint
lint: ## Run staticcheck, in the version that go.mod pins.
	@echo "== staticcheck"
	@go tool staticcheck ./...

.PHONY: clean
clean: ## Remove what building and testing leave behind, the installed clients included.
	rm -rf bin dist .venv .venv-functions .venv-lock test/clients/javascript/node_modules test/console/javascript/node_modules test/functions/javascript/node_modules test/functions/ric/node_modules

.PHONY: prerequisites
prerequisites:
	@echo "== go, python3, node"
	@scripts/prerequisites.sh

.PHONY: venv
venv:
	@scripts/venv.sh

.PHONY: node_modules
node_modules:
	@scripts/node_modules.sh

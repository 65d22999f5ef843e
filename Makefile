# make build: the programs.   make demo: the four jobs on the bundled model.   make test: every test
# that this machine can run.   make test-full: the others too.   make quick: lint and the fast tests.
# All of them install missing Debian packages and build in release mode.

.DEFAULT_GOAL := build

SWIFT ?= swift
BUILD := .build
BIN := $(BUILD)/release
PREFIX ?= /usr/local
# Scripts read these from the environment, which preserves spaces in them.
export SWIFT PREFIX DESTDIR

# The commit for --version; a build without it prints only the version.
ifndef SDLOOM_COMMIT
SDLOOM_COMMIT := $(shell [ ! -e .git ] || git describe --always --abbrev=7 --exclude='*' --dirty 2>/dev/null)
endif
export SDLOOM_COMMIT

.PHONY: demo test quick sanitize test-full build install uninstall bench bench-inspect bench-convert \
  bench-generate setup lint format gallery generate check-onnx check-tensorrt check-obedience \
  check-registry fuzz coverage examples check-dependency docs api check-api clean

demo: build
	@scripts/demo $(BIN) demo

test: setup
	@scripts/test

# Lint and the fast library tests: under a minute if the tests are built.
quick:
	@scripts/quick

# The tests under sanitizers: memory (address, undefined behavior), threads, or both.
SANITIZER ?= memory threads
sanitize: setup
	@scripts/sanitize $(SANITIZER)

# The reference implementations in Python, and repositories of SD v1.5's shapes: 25 GB of disk.
test-full: setup
	@scripts/test-full

build: setup
	$(SWIFT) build -c release --product sdinspect
	$(SWIFT) build -c release --product sdgen
	$(SWIFT) build -c release --product sdmanual

# The programs, man pages, completions for bash, zsh and fish, and the bundled model, as `make` built
# them. Nothing is built here, so root, whose PATH may lack Swift, can install.
install:
	@scripts/install $(BIN) "$$PREFIX" "$$DESTDIR"

uninstall:
	@scripts/install --remove "$$PREFIX" "$$DESTDIR"

# sdinspect compared with Python's tools, on a repository and a single file of any size:
# make bench-inspect MODEL=PATH
bench-inspect: build
	@scripts/bench-inspect $(BIN) $(MODEL) >$(BUILD)/benchmarks-inspect.md
	@mv $(BUILD)/benchmarks-inspect.md docs/
	@cat docs/benchmarks-inspect.md

# Conversions beside cp and torch, of a repository in F32: make bench-convert MODEL=PATH
bench-convert: build
	@scripts/bench-convert $(BIN) $(MODEL) >$(BUILD)/benchmarks-convert.md
	@mv $(BUILD)/benchmarks-convert.md docs/
	@cat docs/benchmarks-convert.md

# Generation speed compared with PyTorch and OpenVINO, on a full-size repository; WORK takes 10 GB:
# make bench-generate MODEL=PATH
WORK ?= $(BUILD)/bench-generate
bench-generate: build
	@scripts/bench-generate $(BIN) $(MODEL) $(WORK) >$(BUILD)/benchmarks.md
	@mv $(BUILD)/benchmarks.md docs/
	@cat docs/benchmarks.md

bench: bench-generate

setup:
	@scripts/setup

lint:
	$(SWIFT) format lint --strict --recursive Package.swift Sources Tests Fuzz Examples/Package.swift Examples/Sources

format:
	$(SWIFT) format --in-place --recursive Package.swift Sources Tests Fuzz Examples/Package.swift Examples/Sources

# Line coverage of the file readers; fails below the limits in scripts/coverage.
coverage: setup
	@scripts/coverage

# Builds the package in Examples as a separate package and runs each of its programs.
examples: setup
	@scripts/examples

# A package of 15 lines that depends on a tagged clone of the last commit, built and run.
check-dependency: setup
	@scripts/check-dependency

# The libraries' documentation, by the toolchain's docc: .build/docs/MODULE.doccarchive
docs: build
	@scripts/docs $(BIN) $(BUILD)/docs

# The public declarations of every library, listed in docs/api; and whether the list is up to date and
# every declaration has a comment.
api: build
	@scripts/symbol-graphs $(BIN) $(BUILD)/symbol-graphs
	@scripts/api $(BUILD)/symbol-graphs docs/api

check-api: build
	@scripts/symbol-graphs $(BIN) $(BUILD)/symbol-graphs
	@scripts/api $(BUILD)/symbol-graphs docs/api --check

# The images of the README.
gallery: build
	@scripts/gallery $(BIN) docs/pictures

# The model that the two checks below export.
MODEL ?= Fixtures/shapes-v2

# Tests every export with onnx's checker, ONNX Runtime, OpenVINO and netron.
check-onnx: build
	scripts/check-onnx $(BIN) $(MODEL) $(BUILD)/check-onnx

# Tests every export with NVIDIA's parser and builds engines on the CPU. Downloads 146 MB once.
check-tensorrt: build
	scripts/check-tensorrt $(BIN) $(MODEL) $(BUILD)/check-tensorrt

# 100 prompts in one batch: how many images follow theirs, and how close they are to diffusers'.
check-obedience: build
	scripts/check-obedience $(BIN) Fixtures/shapes-v2 $(BUILD)/obedience

# Adds a made-up scheduler, format and network to a copy of the sources, compiles them, and lists the
# files that each took.
check-registry: build
	scripts/check-registry $(BUILD)

# The C code of the ONNX messages is committed; this regenerates it.
generate:
	@scripts/setup protobuf-c-compiler
	protoc-c --proto_path=Sources/COnnx --c_out=Sources/COnnx Sources/COnnx/onnx.proto
	mv Sources/COnnx/onnx.pb-c.h Sources/COnnx/include/

# Fuzzes every parser for FUZZ_SECONDS each, or one of them: make fuzz TARGET=zip
fuzz: setup
	Fuzz/build
	python3 Fuzz/make_seeds.py $(BUILD)/fuzz/work/seeds
	Fuzz/run $(TARGET)

clean:
	rm -rf $(BUILD) demo

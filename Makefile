# make demo: the four jobs on the embedded model.   make test: every test.
# Both install the Debian packages that are missing and build in release mode.

SWIFT ?= swift
BUILD := .build
BIN := $(BUILD)/release

.PHONY: demo test build setup lint format gallery generate check-onnx check-tensorrt clean

demo: build
	@scripts/demo $(BIN) demo

test: setup
	$(SWIFT) build -c release --build-tests
	$(SWIFT) test -c release --skip-build

build: setup
	$(SWIFT) build -c release --product sdinspect
	$(SWIFT) build -c release --product sdgen

setup:
	@scripts/setup

lint:
	$(SWIFT) format lint --strict --recursive Package.swift Sources Tests

format:
	$(SWIFT) format --in-place --recursive Package.swift Sources Tests

# The pictures of the README.
gallery: build
	@scripts/gallery $(BIN) docs/pictures

# The model that the two checks below export.
MODEL ?= Fixtures/shapes-v1

# Every form of export through onnx's checker, ONNX Runtime, OpenVINO and netron.
check-onnx: build
	scripts/check-onnx $(BIN) $(MODEL) $(BUILD)/check-onnx

# Every form of export through NVIDIA's parser, and engines built on the CPU. Fetches 146 MB once.
check-tensorrt: build
	scripts/check-tensorrt $(BIN) $(MODEL) $(BUILD)/check-tensorrt

# The C code of the ONNX messages is committed; this makes it anew.
generate:
	@scripts/setup protobuf-c-compiler
	protoc-c --proto_path=Sources/COnnx --c_out=Sources/COnnx Sources/COnnx/onnx.proto
	mv Sources/COnnx/onnx.pb-c.h Sources/COnnx/include/

clean:
	rm -rf $(BUILD) demo

"""Parse and build exported models with NVIDIA's TensorRT-RTX, on any machine: no GPU is needed.

    python3 check_tensorrt.py DIRECTORY... [--build NETWORK] [--plan FILE]

Every network of layout.NAMES found as DIRECTORY/NAME/model.onnx or DIRECTORY/NAME.onnx is read by
NVIDIA's ONNX parser, strongly typed. With --build, an engine of that network is built for the
shapes that the export's own build-engine.sh gives. Prints layers, seconds and the plan's size;
exits 1 if anything fails.

Needs the wheel onnxruntime-ep-nv-tensorrt-rtx-cu13 of version 0.5.0, of whose libraries it calls
two, TensorRT-RTX 1.7.1 and its parser, without their headers: the numbers of virtual methods
below are those of that version. Its licence is NVIDIA's; it is a tool for this check and no
part of sdloom.
"""
import argparse
import ctypes
import glob
import os
import re
import sys
import sysconfig
import time
from ctypes import POINTER, byref, c_bool, c_char_p, c_int, c_int32, c_int64, c_size_t, c_uint32
from ctypes import c_void_p

import layout

VERSION = "1.7.1"
# Methods by their place in the virtual tables. Objects of the builder hold a pointer to their
# implementation, whose first two entries are destructors.
BUILDER_CREATE_CONFIG, BUILDER_CREATE_NETWORK, BUILDER_CREATE_PROFILE, BUILDER_BUILD = 5, 6, 7, 11
NETWORK_LAYERS, NETWORK_INPUT_COUNT, NETWORK_OUTPUT_COUNT = 12, 14, 16
CONFIG_ADD_PROFILE = 23
PROFILE_SET_DIMENSIONS = 2
MEMORY_DATA, MEMORY_SIZE = 2, 3
PARSER_PARSE_FILE, PARSER_ERROR_COUNT, PARSER_ERROR = 1, 3, 4
ERROR_DESCRIPTION, ERROR_NODE = 1, 5
STRONGLY_TYPED = 1 << 0
WARNING = 2


class Dimensions(ctypes.Structure):
    _fields_ = [("count", c_int32), ("sizes", c_int64 * 8)]

    @classmethod
    def of(cls, sizes):
        dimensions = cls(count=len(sizes))
        for index, size in enumerate(sizes):
            dimensions.sizes[index] = size
        return dimensions


def method(instance, index, result, *arguments):
    """Virtual method `index` of the C++ object at `instance`."""
    table = ctypes.cast(ctypes.cast(instance, POINTER(c_void_p))[0], POINTER(c_void_p))
    function = ctypes.CFUNCTYPE(result, c_void_p, *arguments)(table[index])
    return lambda *values: function(instance, *values)


def implementation(instance):
    """What lies behind an object that cannot be copied: [virtual table, implementation]."""
    return ctypes.cast(instance, POINTER(c_void_p))[1]


class Logger:
    """An ILogger: language, interface, two destructors, log."""

    def __init__(self):
        self.messages = []
        self.kind = ctypes.create_string_buffer(b"ILogger")
        nothing = ctypes.CFUNCTYPE(None, c_void_p)
        self.methods = [
            ctypes.CFUNCTYPE(c_int, c_void_p)(lambda this: 0),
            ctypes.CFUNCTYPE(c_void_p, c_void_p)(lambda this: ctypes.addressof(self.kind)),
            nothing(lambda this: None),
            nothing(lambda this: None),
            ctypes.CFUNCTYPE(None, c_void_p, c_int, c_char_p)(self.log),
        ]
        self.table = (c_void_p * 5)(*[ctypes.cast(m, c_void_p) for m in self.methods])
        self.instance = (c_void_p * 1)(ctypes.addressof(self.table))
        self.address = ctypes.addressof(self.instance)

    def log(self, this, severity, message):
        if severity <= WARNING:
            self.messages.append((severity, message.decode(errors="replace")))


class TensorRT:
    def __init__(self):
        self.logger = Logger()
        # The parser finds the first among the symbols that are loaded.
        self.library = self.load("libtensorrt_rtx.so")
        self.parsers = self.load("libtensorrt_onnxparser_rtx.so")
        create = self.library.createInferBuilder_INTERNAL
        create.restype, create.argtypes = c_void_p, [c_void_p, c_int]
        builder = create(self.logger.address, self.library.getInferLibVersion())
        if not builder:
            sys.exit("TensorRT-RTX made no builder")
        self.builder = implementation(builder)

    @staticmethod
    def load(name):
        folder = sysconfig.get_paths()["purelib"]
        found = glob.glob(f"{folder}/**/{name}.{VERSION}*", recursive=True)
        if not found:
            sys.exit(
                f"{name}.{VERSION} is not in {folder}: "
                "pip install onnxruntime-ep-nv-tensorrt-rtx-cu13==0.5.0")
        return ctypes.CDLL(found[0], mode=ctypes.RTLD_GLOBAL)

    def parse(self, path):
        """The network in the file, or None; what the parser said otherwise."""
        created = method(self.builder, BUILDER_CREATE_NETWORK, c_void_p, c_uint32)(STRONGLY_TYPED)
        create = self.parsers.createNvOnnxParser_INTERNAL
        create.restype, create.argtypes = c_void_p, [c_void_p, c_void_p, c_int]
        parser = create(created, self.logger.address, self.parsers.getNvOnnxParserVersion())
        parsed = method(parser, PARSER_PARSE_FILE, c_bool, c_char_p, c_int)(path.encode(), WARNING)
        errors = []
        for index in range(method(parser, PARSER_ERROR_COUNT, c_int)()):
            error = method(parser, PARSER_ERROR, c_void_p, c_int)(index)
            text = method(error, ERROR_DESCRIPTION, c_char_p)().decode(errors="replace")
            errors.append(f"node {method(error, ERROR_NODE, c_int)()}: {text}")
        return (Network(created) if parsed and not errors else None), errors

    def build(self, network, profile):
        """The plan of an engine for inputs of (smallest, best, largest) shapes; None if it fails."""
        config = method(self.builder, BUILDER_CREATE_CONFIG, c_void_p)()
        shapes = method(self.builder, BUILDER_CREATE_PROFILE, c_void_p)()
        declare = method(
            implementation(shapes), PROFILE_SET_DIMENSIONS, c_bool, c_char_p, c_int32,
            POINTER(Dimensions))
        for name, choices in profile.items():
            for kind, sizes in enumerate(choices):
                if not declare(name.encode(), kind, byref(Dimensions.of(sizes))):
                    sys.exit(f"TensorRT-RTX refuses {sizes} for {name}")
        method(implementation(config), CONFIG_ADD_PROFILE, c_int32, c_void_p)(shapes)
        plan = method(self.builder, BUILDER_BUILD, c_void_p, c_void_p, c_void_p)(
            network.instance, config)
        if not plan:
            return None
        memory = implementation(plan)
        return ctypes.string_at(
            method(memory, MEMORY_DATA, c_void_p)(), method(memory, MEMORY_SIZE, c_size_t)())


class Network:
    def __init__(self, instance):
        self.instance = instance
        self.network = implementation(instance)
        self.layers = method(self.network, NETWORK_LAYERS, c_int32)()
        self.input_count = method(self.network, NETWORK_INPUT_COUNT, c_int32)()
        self.output_count = method(self.network, NETWORK_OUTPUT_COUNT, c_int32)()


def profiles(path, name):
    """The profile in the script that the export wrote beside the model."""
    profile = {}
    suffix = "" if os.path.basename(path) == "model.onnx" else f"-{name}"
    with open(os.path.join(os.path.dirname(path), f"build-engine{suffix}.sh")) as file:
        values = dict(re.findall(r"^(min|opt|max)=\"([^\"]*)\"$", file.read(), re.M))
    for index, kind in enumerate(["min", "opt", "max"]):
        for entry in filter(None, values.get(kind, "").split(",")):
            key, shape = entry.rsplit(":", 1)
            profile.setdefault(key, []).append([int(size) for size in shape.split("x")])
            assert len(profile[key]) == index + 1
    return profile


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("directories", nargs="+")
    arguments.add_argument("--build", metavar="NETWORK", choices=layout.NAMES)
    arguments.add_argument("--plan", metavar="FILE")
    arguments = arguments.parse_args()
    tensorrt = TensorRT()
    failed = found = 0
    for directory in arguments.directories:
        for name in layout.NAMES:
            path = layout.find(directory, name)
            if path is None or arguments.build not in (None, name):
                continue
            found += 1
            start = time.time()
            network, errors = tensorrt.parse(path)
            seconds = time.time() - start
            if network is None:
                failed += 1
                print(f"FAIL {path}: not parsed", *errors, sep="\n     ", flush=True)
                continue
            print(
                f"ok   {path}: {network.layers} layers, {network.input_count} inputs, "
                f"{network.output_count} outputs, parsed in {seconds:.2f} s", flush=True)
            if not arguments.build:
                continue
            tensorrt.logger.messages.clear()
            start = time.time()
            plan = tensorrt.build(network, profiles(path, name))
            seconds = time.time() - start
            if plan is None:
                failed += 1
                errors = [text for severity, text in tensorrt.logger.messages if severity < WARNING]
                print(f"FAIL {path}: no engine", *errors, sep="\n     ", flush=True)
                continue
            print(f"ok   {path}: engine of {len(plan)} bytes in {seconds:.1f} s", flush=True)
            if arguments.plan:
                with open(arguments.plan, "wb") as file:
                    file.write(plan)
    print(f"{'FAIL' if failed or not found else 'ok  '} {found - failed} of {found} models")
    sys.stdout.flush()
    # The libraries' own teardown expects objects to be freed in an order that ctypes does not keep.
    os._exit(failed > 0 or found == 0)


if __name__ == "__main__":
    main()

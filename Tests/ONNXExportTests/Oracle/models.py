"""How an export's models are run, whatever the convention of their names."""
import math
import re

import numpy as np
import onnxruntime

TYPES = {
    "tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int64)": np.int64,
    "tensor(int32)": np.int32}


def evaluate(size, sizes):
    """The size that a dimension's number or name stands for."""
    if isinstance(size, int):
        return size
    # ceil(a / b) is said with Python's own operators; 8H is eight times H.
    text = re.sub(r"(\d+)([A-Z])", r"\1 * \2", size)
    return round(eval(text, {"ceil": math.ceil, "__builtins__": {}}, sizes))


class Runner:
    """A model in ONNX Runtime; inputs by position, cast to the types that the model wants."""

    def __init__(self, path):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"])
        self.inputs = self.session.get_inputs()
        self.outputs = [output.name for output in self.session.get_outputs()]

    @property
    def is_half(self):
        return any(value.type == "tensor(float16)" for value in self.inputs) or any(
            value.type == "tensor(float16)" for value in self.session.get_outputs())

    def takes(self, *arrays):
        """Whether the model's fixed sizes are those of the arrays."""
        return all(
            not isinstance(size, int) or size == found
            for value, array in zip(self.inputs, arrays)
            for size, found in zip(value.shape, np.shape(array)))

    def __call__(self, *arrays):
        """All outputs in F32."""
        feeds = {}
        for value, array in zip(self.inputs, arrays):
            array = np.asarray(array, TYPES[value.type])
            if value.name in ("timestep", "timesteps"):
                # One number, in as many dimensions and as often as the model wants it.
                count = arrays[0].shape[0] if value.shape not in ([], [1]) else 1
                array = np.full([count] * len(value.shape), array.ravel()[0], array.dtype)
            feeds[value.name] = array
        return [output.astype(np.float32) for output in self.session.run(self.outputs, feeds)]

"""The Python code of docs/tensorrt.md. Each part between [NAME] lines is one code block there.

`make check-onnx` runs the parts that need no GPU, with ONNX Runtime in place of the engines.
`make check-tensorrt` checks that the current TensorRT and Torch-TensorRT have every name used here.
"""

# [types]
import tensorrt as trt
import torch

TYPES = {
    trt.float32: torch.float32, trt.float16: torch.float16, trt.bfloat16: torch.bfloat16,
    trt.int32: torch.int32, trt.int64: torch.int64,
}


LOGGER = trt.Logger(trt.Logger.WARNING)
RUNTIME = trt.Runtime(LOGGER)


def load(path):
    """The bytes of an engine, the engine, and its inputs and outputs with their dtypes."""
    with open(path, "rb") as file:
        plan = file.read()
    engine = RUNTIME.deserialize_cuda_engine(plan)
    inputs, outputs = {}, {}
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
        (inputs if is_input else outputs)[name] = TYPES[engine.get_tensor_dtype(name)]
    return plan, engine, inputs, outputs


# [runtime]
class Engine:
    """A TensorRT engine. Called with its inputs by name, it returns its outputs by name."""

    def __init__(self, path):
        _, self.engine, self.inputs, self.outputs = load(path)
        self.context = self.engine.create_execution_context()

    def __call__(self, **values):
        tensors = {}
        for name, dtype in self.inputs.items():
            tensors[name] = values[name].to("cuda", dtype).contiguous()
            self.context.set_input_shape(name, tuple(tensors[name].shape))
        for name, dtype in self.outputs.items():
            shape = tuple(self.context.get_tensor_shape(name))
            tensors[name] = torch.empty(shape, dtype=dtype, device="cuda")
        for name, tensor in tensors.items():
            self.context.set_tensor_address(name, tensor.data_ptr())
        self.context.execute_async_v3(torch.cuda.current_stream().cuda_stream)
        return {name: tensors[name] for name in self.outputs}


# [torch-tensorrt]
from torch_tensorrt.dynamo.runtime import TorchTensorRTModule


class ModuleEngine:
    """A torch.nn.Module that runs an engine: called like Engine, with inputs and outputs by name."""

    def __init__(self, module, inputs, outputs):
        self.module, self.inputs, self.outputs = module, inputs, outputs

    def __call__(self, **values):
        results = self.module(*(
            values[name].to("cuda", dtype).contiguous() for name, dtype in self.inputs.items()))
        results = (results,) if isinstance(results, torch.Tensor) else results
        return dict(zip(self.outputs, results))


def torch_engine(path):
    """The same engine, run by Torch-TensorRT."""
    plan, _, inputs, outputs = load(path)
    module = TorchTensorRTModule(
        plan, input_binding_names=list(inputs), output_binding_names=list(outputs))
    return ModuleEngine(module, inputs, outputs)


# [torchscript]
import torch_tensorrt


def save_torchscript(path, target):
    """Writes an engine as a TorchScript module: torch.jit.load needs no ONNX file or engine file."""
    plan, _, inputs, outputs = load(path)
    module = torch_tensorrt.ts.embed_engine_in_new_module(
        plan, input_binding_names=list(inputs), output_binding_names=list(outputs),
        device=torch.device("cuda"))
    torch.jit.save(module, target)


def script_engine(path, inputs, outputs):
    """An engine from such a file, with the names and dtypes that `load` gave for the engine."""
    return ModuleEngine(torch.jit.load(path).cuda(), inputs, outputs)


# [pipeline]
import torch


class EngineModule(torch.nn.Module):
    """The attributes of a network that a pipeline reads, besides its results."""

    def __init__(self, engine, config, dtype, device):
        super().__init__()
        self.engine, self.config = engine, config
        self.dtype, self.device = dtype, torch.device(device)


class EngineTextEncoder(EngineModule):
    def forward(self, input_ids, attention_mask=None, **ignored):
        result = self.engine(input_ids=input_ids)
        return (result["last_hidden_state"].to(self.dtype),)


class EngineUNet(EngineModule):
    def forward(
        self, sample, timestep, encoder_hidden_states, down_block_additional_residuals=None,
        mid_block_additional_residual=None, return_dict=False, **ignored
    ):
        values = {
            "sample": sample, "timestep": torch.as_tensor(timestep).reshape(1),
            "encoder_hidden_states": encoder_hidden_states}
        for index, residual in enumerate(down_block_additional_residuals or []):
            values[f"down_block_additional_residuals_{index}"] = residual
        if mid_block_additional_residual is not None:
            values["mid_block_additional_residual"] = mid_block_additional_residual
        return (self.engine(**values)["out_sample"].to(sample.dtype),)


class EngineVAE(EngineModule):
    def decode(self, latents, return_dict=False, **ignored):
        return (self.engine(latent_sample=latents)["sample"],)


def use_engines(pipe, unet, text_encoder=None, vae_decoder=None, dtype=None, device="cuda"):
    """Replaces networks of a StableDiffusionPipeline by engines, and moves the others to `device`."""
    engines = {"unet": unet, "text_encoder": text_encoder, "vae": vae_decoder}
    kinds = {"unet": EngineUNet, "text_encoder": EngineTextEncoder, "vae": EngineVAE}
    dtype = dtype or pipe.dtype
    for name, engine in engines.items():
        if engine is not None:
            # The replaced network's weights are released here.
            setattr(pipe, name, kinds[name](engine, getattr(pipe, name).config, dtype, device))
    return pipe.to(device)


# [generate]
from diffusers import StableDiffusionPipeline

pipe = StableDiffusionPipeline.from_pretrained(
    "stable-diffusion-v1-5", torch_dtype=torch.float16, safety_checker=None)
use_engines(pipe, Engine("onnx/unet/model.plan"))
pipe("a lighthouse at dusk", num_inference_steps=25).images[0].save("lighthouse.png")

# [timing]
import statistics
import time


def seconds_per_image(pipe, runs=10, **options):
    """The median time of an image in seconds, after one image that is not counted."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        # The image is copied to the CPU, so the GPU has finished.
        pipe("a lighthouse at dusk", num_inference_steps=25, **options)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


# [compare]
pipe = StableDiffusionPipeline.from_pretrained(
    "stable-diffusion-v1-5", torch_dtype=torch.float16, safety_checker=None).to("cuda")
before = seconds_per_image(pipe)
after = seconds_per_image(use_engines(pipe, Engine("onnx/unet/model.plan")))
print(f"PyTorch {before:.2f} s, with the UNet's engine {after:.2f} s: {before / after:.2f} times")

# [refit]
_, engine, _, _ = load("onnx/unet/model.plan")
refitter = trt.Refitter(engine, LOGGER)
parser = trt.OnnxParserRefitter(refitter, LOGGER)
assert parser.refit_from_file("other/unet/model.onnx") and refitter.refit_cuda_engine()

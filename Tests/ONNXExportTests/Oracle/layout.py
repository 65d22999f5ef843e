"""Where the models of an export lie, by whichever convention it was made."""
import os

NAMES = [
    "text_encoder", "unet", "vae_decoder", "vae_encoder", "controlnet", "safety_checker", "tiny_decoder",
    "tiny_encoder", "image_encoder"]
# What TensorRT's demonstration calls the directories.
DEMONSTRATION = {
    "text_encoder": "clip.opt", "unet": "unet.opt", "vae_decoder": "vae.opt",
    "vae_encoder": "vae_encoder.opt"}


def find(directory, name):
    """The path of a network's model, or None."""
    candidates = [f"{name}/model.onnx", f"{name}.onnx"]
    if name in DEMONSTRATION:
        candidates.append(f"{DEMONSTRATION[name]}/model.onnx")
    paths = [os.path.join(directory, candidate) for candidate in candidates]
    return next((path for path in paths if os.path.exists(path)), None)

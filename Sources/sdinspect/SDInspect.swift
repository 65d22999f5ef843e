import ArgumentParser
import Checkpoint
import Terminal

/// Inspects, converts and exports Stable Diffusion checkpoints.
@main
struct SDInspect: Program {
  static let configuration = CommandConfiguration(
    commandName: "sdinspect",
    abstract: "Inspect, convert and export Stable Diffusion v1.5 checkpoints.",
    discussion: """
      PATH is a checkpoint file of any supported format, told by its content (safetensors, \
      PyTorch .bin, .ckpt and .pt, GGUF, ONNX, .sdflat, a shard index), or a repository \
      directory with model_index.json.

      EXAMPLES
        sdinspect stable-diffusion-v1-5
        sdinspect tensors unet/diffusion_pytorch_model.safetensors --sha256
        sdinspect layers stable-diffusion-v1-5 --component unet --size 512x512
        sdinspect stats v1-5-pruned-emaonly.ckpt --sort std
        sdinspect diff v1-5-pruned.ckpt stable-diffusion-v1-5 --component unet
        sdinspect hash v1-5-pruned-emaonly.safetensors
        sdinspect scan downloads
        sdinspect convert stable-diffusion-v1-5 sd15.sdflat --to sdflat --dtype f16
        sdinspect onnx stable-diffusion-v1-5 onnx --component unet
        sdinspect report stable-diffusion-v1-5 -o report.html

      Exit status: 0 ok; 1 differs, does not verify or is dangerous; 64 usage; 65 malformed data; 66 no input; \
      70 internal; 73 cannot create output; 74 input or output failed.
      """,
    version: BuildVersion.text("sdinspect", toolVersion),
    subcommands: [
      SummaryCommand.self, TensorsCommand.self, LayersCommand.self, StatsCommand.self,
      DiffCommand.self, HashCommand.self,
      VerifyCommand.self, ScanCommand.self,
      ConvertCommand.self, ONNXCommand.self, ReportCommand.self,
    ],
    defaultSubcommand: SummaryCommand.self)

  static func main() {
    start()
  }
}

import Foundation
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

/// Every run says what it leaves out, not only a dry one.
@Suite struct LeftOutTests {
  static let model = Fixtures.path("shapes-v2")

  private static func tensor(_ name: String) -> Tensor {
    Tensor(
      name: name, dtype: .float32, shape: [1], storage: .memory([0, 0, 128, 63]))
  }

  /// The bundled model as one file with unusual tensors; with EMA weights in place of its UNet if
  /// requested.
  private static func file(in folder: String, averagesOnly: Bool = false) throws -> String {
    let plain = folder + "/plain.safetensors"
    let made = try Tool.run("sdinspect", ["convert", model, plain, "--to", "ldm"])
    try #require(made.status == 0, "\(made.errors)")
    let file = try TensorFile.open(plain)
    let prefix = "model.diffusion_model."
    let tensors = file.tensors.map { tensor in
      averagesOnly && tensor.name.hasPrefix(prefix)
        ? tensor.renamed("model_ema." + tensor.name.dropFirst(6).filter { $0 != "." }) : tensor
    }
    let odd = ["odd", "betas", "model_ema.decay", "optimizer_states.0.state.0.exp_avg"]
    let path = folder + "/odd.safetensors"
    try Safetensors.write(tensors + odd.map(tensor), metadata: file.metadata, to: path)
    return path
  }

  @Test func aRunNamesWhatItLeavesOut() throws {
    try withTemporaryFolder { folder in
      let path = try Self.file(in: folder)
      let out = folder + "/out"
      let arguments = ["convert", path, out, "--to", "diffusers"]
      let refused = try Tool.run("sdinspect", arguments)
      #expect(refused.status == 65)
      #expect(refused.errors.contains("1 tensor of no known network: odd"), "\(refused.errors)")
      #expect(refused.errors.contains("--drop-unknown"))

      let text = try Tool.run("sdinspect", arguments + ["--drop-unknown"])
      #expect(text.status == 0, "\(text.errors)")
      for line in [
        "left out: 1 (it belongs to no network): odd",
        "left out: 1 (noise schedule: a repository has no place for it): betas",
      ] {
        #expect(text.output.contains(line), "\(text.output)")
      }
      let run = try json("sdinspect", arguments + ["--drop-unknown", "--json", "--force"])
      let plan = try json("sdinspect", arguments + ["--drop-unknown", "--json", "--dry-run"])
      #expect(run["dropped"] == plan["dropped"])
      #expect(
        run["dropped"]?.array?.compactMap { $0["name"]?.string }.sorted()
          == ["betas", "model_ema.decay", "odd", "optimizer_states.0.state.0.exp_avg"])

      // Of several inputs too.
      let several = folder + "/several"
      let batch = [path, Self.model, several, "--to", "sdflat"]
      let rows = try json("sdinspect", ["convert"] + batch + ["--json"])
      let dropped = rows["conversions"]?.array?.map { $0["dropped"]?.array?.count }
      #expect(dropped == [2, 0])
      let again = try Tool.run("sdinspect", ["convert"] + batch + ["--force"])
      #expect(again.output.contains("left out: 1 (optimizer state): optimizer_states.0"))
      #expect(
        again.output.contains(
          "not read: 1 file of weights next to these: vae/diffusion_pytorch_model.bin"))
    }
  }

  @Test func anExportNamesWhatItLeavesOut() throws {
    try withTemporaryFolder { folder in
      let path = try Self.file(in: folder)
      let all = try json("sdinspect", ["onnx", path, folder + "/all", "--json"])
      let dropped = all["dropped"]?.array ?? []
      let ids = "cond_stage_model.transformer.text_model.embeddings.position_ids"
      #expect(
        dropped.compactMap { $0["name"]?.string }.sorted()
          == ["betas", ids, "model_ema.decay", "odd", "optimizer_states.0.state.0.exp_avg"])
      #expect(
        dropped.first { $0["name"]?.string == "betas" }?["reason"]?.string == "noise schedule")
      let text = try Tool.run("sdinspect", ["onnx", path, folder + "/text"])
      #expect(text.output.contains("left out: 1 (it belongs to no network): odd"))
      // Networks that were not requested are not mentioned.
      let one = try json(
        "sdinspect", ["onnx", path, folder + "/one", "--component", "vae_decoder", "--json"])
      #expect(one["dropped"] == [])
    }
  }

  /// A model with only the UNet's EMA weights: every program says how to use them.
  @Test func averagesOnlyAreNamed() throws {
    try withTemporaryFolder { folder in
      let path = try Self.file(in: folder, averagesOnly: true)
      for arguments in [[], ["--component", "unet"]] {
        let refused = try Tool.run(
          "sdinspect", ["convert", path, folder + "/no", "--to", "ldm"] + arguments)
        #expect(refused.status == 65, "\(refused.errors)")
        #expect(refused.errors.contains("hint: pass --ema"), "\(refused.errors)")
        let made = try Tool.run(
          "sdinspect",
          ["convert", path, folder + "/yes\(arguments.count)", "--to", "ldm", "--ema"] + arguments)
        #expect(made.status == 0, "\(made.errors)")
      }
      let picture = try Tool.run(
        "sdgen", ["a red circle", "--model", path, "-o", folder + "/a.png"])
      #expect(picture.status == 65, "\(picture.errors)")
      #expect(picture.errors.contains("--ema"), "\(picture.errors)")
      let summary = try Tool.run("sdinspect", [path])
      #expect(summary.output.contains("EMA weights of the UNet only"), "\(summary.output)")
    }
  }
}

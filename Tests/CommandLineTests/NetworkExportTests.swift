import Foundation
import ModelFormats
import ModelGraph
import OrderedJSON
import TestSupport
import Testing

/// `sdinspect onnx` of the networks beside a pipeline's own three.
@Suite struct NetworkExportTests {
  private static let model = Fixtures.path("shapes-v2")

  private func export(
    _ path: String, to folder: String, _ arguments: [String] = []
  ) throws -> JSON {
    try json("sdinspect", ["onnx", path, folder, "--json"] + arguments)
  }

  private func names(_ report: JSON) -> [String] {
    (report["networks"]?.array ?? []).compactMap { $0["name"]?.string }
  }

  /// Inputs and outputs of a model, as `summary` reads them.
  private func interface(_ model: String) throws -> [String: String] {
    let metadata = try json("sdinspect", ["summary", model, "--json"])["metadata"]?.array ?? []
    return Dictionary(
      metadata.compactMap { pair in
        pair["key"]?.string.flatMap { key in pair["value"]?.string.map { (key, $0) } }
      }, uniquingKeysWith: { first, _ in first })
  }

  private func text(_ path: String) throws -> String {
    try String(contentsOfFile: path, encoding: .utf8)
  }

  // MARK: A ControlNet

  @Test func aControlNetAlone() throws {
    try withTemporaryFolder { folder in
      try SmallNetworks.controlNet.write(to: folder + "/canny")
      let report = try export(folder + "/canny", to: folder + "/onnx")
      #expect(names(report) == ["controlnet"] && report["dropped"] == [])
      let out = folder + "/onnx/controlnet"
      #expect(
        (try FileManager.default.contentsOfDirectory(atPath: out)).sorted() == [
          "README-tensorrt.md", "build-engine.sh", "config.json", "model.onnx", "model.onnx_data",
        ])
      let page = try text(out + "/README-tensorrt.md")
      for row in [
        "| `sample` | F32 [`batch_size`, 4, `height`, `width`] |", "| `timestep` | F32, a scalar |",
        "| `encoder_hidden_states` | F32 [`batch_size`, `sequence_length`, 64] |",
        "| `controlnet_cond` | F32 [`batch_size`, 3, `height * 8`, `width * 8`] |",
        "| `down_block_res_samples_0` | F32 [`batch_size`, 32, `height`, `width`] |",
        "| `mid_block_res_sample` | F32 [`batch_size`, 64, `ceil(height / 8)`, `ceil(width / 8)`] |",
      ] {
        #expect(page.contains(row), "\(row)\n\(page)")
      }
      // Like the UNet, it runs for both prompts.
      #expect(
        try text(out + "/build-engine.sh").contains(
          "opt=\"sample:2x4x64x64,encoder_hidden_states:2x77x64,controlnet_cond:2x3x512x512\""))
      let verified = try json("sdinspect", ["verify", out + "/model.onnx", "--json"])
      #expect(verified["sound"] == true && verified["problems"] == [])
    }
  }

  /// Each output has the name, but for a word, and the shape of the UNet's input for it.
  @Test func residualsFitTheUNet() throws {
    try withTemporaryFolder { folder in
      try SmallNetworks.controlNet.write(to: folder + "/canny")
      try SmallNetworks.unet.write(to: folder + "/unet")
      _ = try export(folder + "/canny", to: folder + "/a")
      _ = try export(folder + "/unet", to: folder + "/b", ["--controlnet-inputs"])
      func rows(_ name: String) throws -> [String] {
        try text("\(folder)/\(name)/README-tensorrt.md").split(separator: "\n").map(String.init)
          .filter { $0.hasPrefix("| `") }
      }
      let outputs = try rows("a/controlnet").filter { $0.contains("_res_sample") }
      #expect(outputs.count == 9)
      let inputs = try rows("b/unet").filter { $0.contains("_additional_residual") }
      #expect(
        inputs
          == outputs.map {
            $0.replacing("down_block_res_samples_", with: "down_block_additional_residuals_")
              .replacing("mid_block_res_sample", with: "mid_block_additional_residual")
          })
    }
  }

  @Test func aControlNetInEveryWay() throws {
    try withTemporaryFolder { folder in
      let canny = folder + "/canny"
      try SmallNetworks.controlNet.write(to: canny)
      let half = try export(
        canny, to: folder + "/half", ["--dtype", "f16", "--static", "128x64:2"])
      #expect(half["networks"]?.array?.first?["dtype"] == "f16")
      #expect(
        try text(folder + "/half/controlnet/README-tensorrt.md").contains(
          "| `controlnet_cond` | F16 [2, 3, 64, 128] |"))
      let linked = try export(canny, to: canny, ["--weights", "link", "--timestep", "batch"])
      #expect(linked["networks"]?.array?.first?["model"]?.string == canny + "/controlnet.onnx")
      #expect(linked["networks"]?.array?.first?["bytes_copied"] == 0)
      for tool in ["comfy", "nvidia"] {
        let refused = try Tool.run("sdinspect", ["onnx", canny, folder + "/no", "--names", tool])
        #expect(refused.status == 65)
        #expect(refused.errors.contains("convention"), "\(refused.errors)")
        #expect(refused.errors.contains("--names optimum"), "\(refused.errors)")
      }
    }
  }

  /// Differences from a UNet are no ControlNet.
  @Test func aDifferenceIsRefused() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/difference.safetensors"
      let graph = try SmallNetworks.controlNet.graphs[0]
      let tensors = graph.parameters.map { SmallNetworks.tensor($0, named: $0.singleFileName) }
      let mark = Tensor(
        name: "difference", dtype: .float32, shape: [], storage: .memory([0, 0, 0, 0]))
      try Safetensors.write(tensors + [mark], to: path)
      let result = try Tool.run("sdinspect", ["onnx", path, folder + "/onnx"])
      #expect(result.status == 65)
      #expect(result.errors.contains("difference from the UNet"), "\(result.errors)")
      #expect(!FileManager.default.fileExists(atPath: folder + "/onnx"))
    }
  }

  // MARK: A tiny autoencoder

  @Test func aTinyAutoencoderAlone() throws {
    try withTemporaryFolder { folder in
      try SmallNetworks.tiny.write(to: folder + "/taesd")
      let report = try export(folder + "/taesd", to: folder + "/both")
      #expect(names(report) == ["tiny_decoder", "tiny_encoder"] && report["dropped"] == [])
      let decoder = try text(folder + "/both/tiny_decoder/README-tensorrt.md")
      #expect(
        decoder.contains(
          "| `latent_sample` | F32 [`batch_size`, 4, `latent_height`, `latent_width`] |"))
      #expect(
        decoder.contains(
          "| `sample` | F32 [`batch_size`, 3, `latent_height * 8`, `latent_width * 8`] |"))
      // Once for each image.
      #expect(decoder.contains("batches of 1 to 4, best at 1, and pictures of 256 to 1024 pixels"))
      let encoder = try text(folder + "/both/tiny_encoder/README-tensorrt.md")
      #expect(encoder.contains("| `sample` | F32 [`batch_size`, 3, `sample_height`"), "\(encoder)")
      for (component, expected) in [
        ("tiny_vae", ["tiny_decoder", "tiny_encoder"]), ("tiny_encoder", ["tiny_encoder"]),
      ] {
        let some = try export(
          folder + "/taesd", to: folder + "/" + component, ["--component", component])
        #expect(names(some) == expected)
      }
    }
  }

  /// A file of one half, under the names of the original code.
  @Test func halfOfATinyAutoencoder() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/taesd_decoder.safetensors"
      let graph = try #require(try SmallNetworks.tiny.graphs.first { $0.name == .tinyDecoder })
      try Safetensors.write(
        graph.parameters.map { parameter in
          SmallNetworks.tensor(
            parameter, named: String(parameter.singleFileTail.dropFirst("decoder.".count)))
        }, to: path)
      for arguments in [[], ["--component", "tiny_vae"]] {
        let out = "\(folder)/onnx\(arguments.count)"
        #expect(try names(export(path, to: out, arguments)) == ["tiny_decoder"])
      }
      let other = try Tool.run(
        "sdinspect", ["onnx", path, folder + "/no", "--component", "tiny_encoder"])
      #expect(other.status == 65)
      #expect(other.errors.contains("tiny_encoder"), "\(other.errors)")
    }
  }

  /// A repository may have it in the place of its VAE.
  @Test func aTinyAutoencoderAsVAE() throws {
    try withTemporaryFolder { folder in
      let copy = folder + "/model"
      try FileManager.default.copyItem(atPath: Self.model, toPath: copy)
      try FileManager.default.removeItem(atPath: copy + "/vae")
      try SmallNetworks.tiny.write(to: copy + "/vae")
      let all = ["text_encoder", "unet", "tiny_decoder", "tiny_encoder"]
      #expect(try names(export(copy, to: folder + "/all")) == all)
      let some = try export(copy, to: folder + "/some", ["--component", "vae"])
      #expect(names(some) == ["tiny_decoder", "tiny_encoder"])
      #expect(
        try text(folder + "/some/tiny_decoder/config.json").contains("AutoencoderTiny"))
    }
  }

  // MARK: A safety checker

  private func withSafetyChecker(_ body: (String, String) throws -> Void) throws {
    try withTemporaryFolder { folder in
      let copy = folder + "/model"
      try FileManager.default.copyItem(atPath: Self.model, toPath: copy)
      try SmallNetworks.safetyChecker.write(to: copy + "/safety_checker")
      try body(folder, copy)
    }
  }

  private static let concepts = [
    "concept_embeds", "concept_embeds_weights", "special_care_embeds",
    "special_care_embeds_weights",
  ]

  /// What it compares images with stays in the checkpoint, and is listed.
  @Test(arguments: [[], ["--component", "safety_checker"]])
  func aSafetyChecker(arguments: [String]) throws {
    try withSafetyChecker { folder, copy in
      let report = try export(copy, to: folder + "/onnx", arguments)
      #expect(
        names(report)
          == (arguments.isEmpty ? ["text_encoder", "unet", "vae_decoder", "vae_encoder"] : [])
          + ["safety_checker"])
      let dropped = (report["dropped"]?.array ?? []).filter {
        $0["component"] == "safety_checker" && $0["reason"] == "no layer of the network reads it"
      }
      #expect(dropped.compactMap { $0["name"]?.string }.sorted() == Self.concepts)
      let page = try text(folder + "/onnx/safety_checker/README-tensorrt.md")
      #expect(page.contains("| `clip_input` | F32 [`batch_size`, 3, 32, 32] |"))
      #expect(page.contains("| `image_embeds` | F32 [`batch_size`, 8] |"))
      // Its images have one size.
      #expect(page.contains("batches of 1 to 4, best at 1.\n"), "\(page)")
    }
  }

  /// Conventions without a name for it leave it out, by name.
  @Test func conventionsWithoutIt() throws {
    try withSafetyChecker { folder, copy in
      let report = try export(copy, to: folder + "/onnx", ["--names", "nvidia"])
      #expect(names(report) == ["text_encoder", "unet", "vae_decoder", "vae_encoder"])
      let reasons = (report["dropped"]?.array ?? []).filter {
        $0["component"] == "safety_checker" && $0["reason"] == "its network is not exported"
      }
      #expect(reasons.count > Self.concepts.count)
    }
  }

  /// What nothing is generated without must be exported; of others a note says why not.
  @Test func oneThatIsNotSupported() throws {
    try withSafetyChecker { folder, copy in
      let configuration = copy + "/safety_checker/config.json"
      try text(configuration).replacing(
        "\"patch_size\"", with: "\"hidden_act\":\"mish\",\"patch_size\""
      )
      .write(toFile: configuration, atomically: true, encoding: .utf8)
      let report = try export(copy, to: folder + "/onnx")
      #expect(names(report) == ["text_encoder", "unet", "vae_decoder", "vae_encoder"])
      let notes = (report["notes"]?.array ?? []).compactMap(\.string)
      #expect(
        notes.contains { $0.hasPrefix("safety_checker: not exported") && $0.contains("mish") },
        "\(notes)")
      let asked = try Tool.run(
        "sdinspect", ["onnx", copy, folder + "/no", "--component", "safety_checker"])
      #expect(asked.status == 65 && asked.errors.contains("mish"), "\(asked.errors)")
    }
  }

  // MARK: Several

  @Test func aPipelineWithAControlNet() throws {
    try withTemporaryFolder { folder in
      let copy = folder + "/model"
      try FileManager.default.copyItem(atPath: Self.model, toPath: copy)
      try SmallNetworks.controlNet.write(to: copy + "/controlnet")
      func saysSo(_ report: JSON) -> Bool {
        (report["notes"]?.array ?? []).contains {
          $0.string?.contains("--controlnet-inputs") ?? false
        }
      }
      let plain = try export(copy, to: folder + "/a", ["--component", "unet,controlnet"])
      #expect(names(plain) == ["unet", "controlnet"])
      #expect(saysSo(plain))
      let joined = try export(
        copy, to: folder + "/b", ["--component", "unet,controlnet", "--controlnet-inputs"])
      #expect(!saysSo(joined))
    }
  }

  /// A whole CLIP has a text encoder and an image encoder.
  @Test func aWholeCLIP() throws {
    try withTemporaryFolder { folder in
      let report = try export(Fixtures.path("clip/model"), to: folder + "/onnx")
      #expect(names(report) == ["text_encoder", "image_encoder"])
      let page = try text(folder + "/onnx/image_encoder/README-tensorrt.md")
      #expect(page.contains("| `pixel_values` | F32 [`batch_size`, 3, 32, 32] |"))
      #expect(page.contains("| `image_embeds` | F32 [`batch_size`, 12] |"))
    }
  }

  @Test(.python("onnx", "onnxruntime", "safetensors"))
  func theImageEncodersNumbersAreTheReferences() throws {
    try withTemporaryFolder { folder in
      _ = try export(Fixtures.path("clip/model"), to: folder + "/onnx")
      let result = try Tool.launch(
        try #require(Tool.python),
        [
          "\(Fixtures.root)/Tests/ONNXExportTests/Oracle/additional.py", folder + "/onnx",
          Fixtures.path("clip/expected.safetensors"), "image_encoder",
        ])
      #expect(result.status == 0, "\(result.output)\(result.errors)")
    }
  }

  /// What diffusers saves, and files under the names of the original code, give diffusers' numbers.
  @Test(.python("diffusers", "transformers", "onnx", "onnxruntime"))
  func numbersAreTheReferences() throws {
    try withTemporaryFolder { folder in
      let python = try #require(Tool.python)
      let made = try Tool.launch(
        python,
        [
          "\(Fixtures.root)/Tests/DiffusionTests/Oracle/networks.py", folder,
          Fixtures.path("shapes-v2/tokenizer"),
        ])
      #expect(made.status == 0, "\(made.errors)")
      let out = folder + "/onnx"
      let safe = try export(
        folder + "/repository", to: out,
        ["--component", "unet,safety_checker", "--controlnet-inputs"])
      #expect(names(safe) == ["unet", "safety_checker"])
      // The shapes of a ControlNet this narrow do not tell its heads.
      let original = folder + "/original"
      try FileManager.default.createDirectory(
        atPath: original, withIntermediateDirectories: false)
      for (from, to) in [
        ("controlnet/config.json", "config.json"),
        ("controlnet-original.safetensors", "diffusion_pytorch_model.safetensors"),
      ] {
        try FileManager.default.copyItem(
          atPath: "\(folder)/\(from)", toPath: "\(original)/\(to)")
      }
      _ = try export(original, to: out, ["--opset", "23"])
      _ = try export(folder + "/taesd_decoder.pth", to: out)
      _ = try export(folder + "/taesd_encoder.pth", to: out, ["--opset", "17"])
      let result = try Tool.launch(
        python,
        [
          "\(Fixtures.root)/Tests/ONNXExportTests/Oracle/additional.py", out,
          folder + "/expected.safetensors", "unet", "safety_checker", "controlnet", "tiny_decoder",
          "tiny_encoder",
        ])
      #expect(result.status == 0, "\(result.output)\(result.errors)")
    }
  }
}

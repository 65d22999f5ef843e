import Foundation
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

/// `sdinspect onnx` as a user runs it.
@Suite struct ONNXTests {
  private static let model = Fixtures.path("shapes-v2")

  private func export(_ arguments: [String], to folder: String) throws -> Tool.Result {
    try Tool.run("sdinspect", ["onnx", Self.model, folder] + arguments)
  }

  @Test(
    arguments: [
      ["--opset", "18"], ["--dtype", "bf16"], ["--names", "keras"], ["--timestep", "two"],
      ["--static", "512"], ["--static", "100x100:1"], ["--static", "512x512:0"],
      ["--static", "512x512:1:1"], ["--lora", ""],
    ])
  func badValuesAreUsage(arguments: [String]) throws {
    try withTemporaryFolder { folder in
      let result = try export(arguments, to: folder + "/onnx")
      #expect(result.status == 64, "\(result.errors)")
      #expect(!FileManager.default.fileExists(atPath: folder + "/onnx"))
    }
  }

  /// What is wrong with a size, and the valid sizes.
  @Test(
    arguments: [
      ("512", "multiples of 8 from 8 to 8192"), ("100x100:1", "multiples of 8 from 8 to 8192"),
      ("512x512:0", "1 to 1024"), ("512x512:many", "1 to 1024"), ("512x512:1:1", "a colon"),
    ])
  func aSizeThatCannotBeSaysWhy(size: String, reason: String) throws {
    try withTemporaryFolder { folder in
      let result = try export(["--static", size], to: folder + "/onnx")
      #expect(result.status == 64)
      #expect(result.errors.contains(reason), "\(result.errors)")
      #expect(result.errors.contains("--static"), "\(result.errors)")
    }
  }

  @Test func anEmptyDirectoryIsUsage() throws {
    let result = try export([], to: "")
    #expect(result.status == 64)
    #expect(result.errors.contains("OUTDIR is empty"), "\(result.errors)")
  }

  /// A model without its UNet is not accepted as complete.
  @Test func aNetworkThatIsNotSupportedStopsTheExport() throws {
    try withTemporaryFolder { folder in
      let model = folder + "/model"
      try FileManager.default.copyItem(atPath: Self.model, toPath: model)
      let configuration = model + "/unet/config.json"
      let text = try String(contentsOfFile: configuration, encoding: .utf8)
      try text.replacingOccurrences(of: "\"silu\"", with: "\"mish\"")
        .write(toFile: configuration, atomically: true, encoding: .utf8)
      let all = try Tool.run("sdinspect", ["onnx", model, folder + "/onnx"])
      #expect(all.status == 65)
      #expect(all.errors.contains("act_fn is \"mish\""), "\(all.errors)")
      #expect(all.errors.contains("--component text_encoder,vae"), "\(all.errors)")
      #expect(!FileManager.default.fileExists(atPath: folder + "/onnx"))
      let others = try Tool.run(
        "sdinspect", ["onnx", model, folder + "/onnx", "--component", "text_encoder,vae"])
      #expect(others.status == 0, "\(others.errors)")
      #expect(!FileManager.default.fileExists(atPath: folder + "/onnx/unet"))
    }
  }

  /// A line feed in a path begins no line of its own.
  @Test func pathsArePrintedOnOneLine() throws {
    try withTemporaryFolder { folder in
      let result = try export(["--component", "vae_encoder"], to: folder + "/a\nwrote 7 files")
      #expect(result.status == 0, "\(result.errors)")
      #expect(!result.output.contains("\nwrote 7"))
      #expect(FileManager.default.fileExists(atPath: folder + "/a\nwrote 7 files/vae_encoder"))
    }
  }

  /// A network that is named twice is written once.
  @Test(arguments: ["unet,unet", "vae,vae_decoder"])
  func namedTwiceIsWrittenOnce(names: String) throws {
    try withTemporaryFolder { folder in
      let result = try export(["--component", names, "--json"], to: folder + "/onnx")
      #expect(result.status == 0, "\(result.errors)")
      let networks = try #require(try JSON(parsing: result.output)["networks"]?.array)
      #expect(networks.count == (names == "unet,unet" ? 1 : 2))
    }
  }

  /// The small tables that nodes read have the right names.
  @Test func constantsOfTheGraphAreNotUnknown() throws {
    try withTemporaryFolder { folder in
      let result = try export(["--component", "unet"], to: folder + "/onnx")
      #expect(result.status == 0, "\(result.errors)")
      let model = folder + "/onnx/unet/model.onnx"
      let summary = try json("sdinspect", ["summary", model, "--json"])
      #expect(
        summary["leftovers"]?.array?.map { $0["kind"]?.string } == ["constants of the graph"])
      let text = try Tool.run("sdinspect", ["summary", model])
      #expect(text.output.contains("constants of the graph: "))
      #expect(!text.output.contains("/constants/") && !text.output.contains("unknown"))
      #expect(try json("sdinspect", ["verify", model, "--json"])["notes"]?.array?.count == 1)
    }
  }

  /// The models together have exactly the repository's parameters.
  @Test(arguments: ["17", "21", "23"], ["optimum", "nvidia"])
  func parametersAreTheRepositorys(opset: String, names: String) throws {
    try withTemporaryFolder { folder in
      let result = try export(["--opset", opset, "--names", names], to: folder + "/onnx")
      #expect(result.status == 0, "\(result.errors)")
      let files = FileManager.default.enumerator(atPath: folder + "/onnx")
      var parameters = 0
      while let file = files?.nextObject() as? String {
        guard file.hasSuffix(".onnx") else { continue }
        let summary = try json("sdinspect", ["summary", folder + "/onnx/" + file, "--json"])
        parameters += try #require(summary["totals"]?["parameters"]?.int)
      }
      #expect(parameters == 10_197_579)
    }
  }

  /// Constants are not weights: not to a comparison, not to a conversion.
  @Test func constantsOfTheGraphAreNoWeights() throws {
    try withTemporaryFolder { folder in
      for opset in ["17", "23"] {
        let result = try export(
          ["--component", "unet", "--opset", opset], to: "\(folder)/\(opset)")
        #expect(result.status == 0, "\(result.errors)")
      }
      let model = folder + "/23/unet/model.onnx"
      // The checkpoint contains F16: of equal values, but not of the same type.
      for (other, status) in [(folder + "/17/unet/model.onnx", 0), (Self.model, 1)] {
        let result = try Tool.run("sdinspect", ["diff", model, other, "--component", "unet"])
        #expect(result.status == status, "\(result.errors)")
        #expect(!result.output.contains("/constants/"), "\(result.output)")
      }
      let file = folder + "/unet.safetensors"
      let result = try Tool.run("sdinspect", ["convert", model, file, "--to", "safetensors"])
      #expect(result.status == 0, "\(result.errors)")
      #expect(result.output.contains("18 tensors left out"), "\(result.output)")
      #expect(try json("sdinspect", ["tensors", file, "--json"])["tensors"]?.array?.count == 442)
    }
  }

  /// A model that contains its weights cannot be replaced by one that points into it.
  @Test func linkingIntoTheFileThatIsReplacedIsRefused() throws {
    try withTemporaryFolder { folder in
      let copy = folder + "/model"
      try FileManager.default.copyItem(atPath: Self.model, toPath: copy)
      let weights = copy + "/unet/diffusion_pytorch_model.safetensors"
      try FileManager.default.moveItem(atPath: weights, toPath: copy + "/unet/model.onnx")
      let before = try Data(contentsOf: URL(filePath: copy + "/unet/model.onnx"))
      let result = try Tool.run(
        "sdinspect",
        [
          "onnx", copy + "/unet/model.onnx", copy, "--component", "unet", "--weights", "link",
          "--force",
        ])
      #expect(result.status == 73, "\(result.errors)")
      #expect(result.errors.contains("take the place of"), "\(result.errors)")
      #expect(result.errors.contains("--weights copy"))
      #expect(try Data(contentsOf: URL(filePath: copy + "/unet/model.onnx")) == before)
    }
  }

  /// Each is rejected by name, with a solution.
  @Test(
    arguments: [
      (["--names", "comfy", "--component", "vae"], 65, "only names the UNet", "--component unet"),
      (["--weights", "link"], 73, "from the same directory or below", "--weights copy"),
      (["--lora", "absent.safetensors:0.5"], 66, "absent.safetensors", ""),
    ])
  func refusals(arguments: [String], status: Int32, message: String, hint: String) throws {
    try withTemporaryFolder { folder in
      let result = try export(arguments, to: folder + "/onnx")
      #expect(result.status == status, "\(result.errors)")
      #expect(result.errors.contains(message), "\(result.errors)")
      #expect(hint.isEmpty || result.errors.contains(hint), "\(result.errors)")
      #expect(!FileManager.default.fileExists(atPath: folder + "/onnx"))
    }
  }

  @Test func aFieldThatIsNotSupportedIsNamed() throws {
    try withTemporaryFolder { folder in
      let copy = folder + "/model"
      try FileManager.default.copyItem(atPath: Self.model, toPath: copy)
      let path = copy + "/unet/config.json"
      let text = try String(contentsOfFile: path, encoding: .utf8)
      try text.replacingOccurrences(
        of: "\"resnet_time_scale_shift\": \"default\"",
        with: "\"resnet_time_scale_shift\": \"scale_shift\""
      ).write(toFile: path, atomically: true, encoding: .utf8)
      for arguments in [["--component", "unet"], ["--component", "unet", "--controlnet-inputs"]] {
        let result = try Tool.run("sdinspect", ["onnx", copy, folder + "/onnx"] + arguments)
        #expect(result.status == 65)
        #expect(result.errors.contains("resnet_time_scale_shift"), "\(result.errors)")
        #expect(!FileManager.default.fileExists(atPath: folder + "/onnx"))
      }
    }
  }

  @Test func everyChoiceReachesTheModels() throws {
    try withTemporaryFolder { folder in
      let result = try export(
        [
          "--dtype", "f16", "--vae-f32", "--opset", "23", "--names", "nvidia", "--static",
          "128x64:2", "--controlnet-inputs", "--json",
        ], to: folder + "/onnx")
      #expect(result.status == 0, "\(result.errors)")
      let networks = try #require(try JSON(parsing: result.output)["networks"]?.array)
      #expect(networks.map { $0["dtype"]?.string } == ["f16", "f16", "f32", "f32"])
      #expect(networks.map { $0["saturated"]?.array?.count } == [0, 0, 0, 0])
      #expect((networks[1]["operators"]?["Attention"]?.int ?? 0) > 0)
      let text = try String(
        contentsOfFile: folder + "/onnx/unet.opt/README-tensorrt.md", encoding: .utf8)
      #expect(text.contains("| `sample` | F16 [2, 4, 8, 16] |"))
      #expect(text.contains("| `timestep` | F32 [1] |"))
      #expect(text.contains("| `mid_block_additional_residual` | F16 [2, 128, 1, 2] |"))
    }
  }

  /// What a LoRA changed, and each of its tensors without effect.
  @Test func theUsesOfALoRAAreReported() throws {
    try withTemporaryFolder { folder in
      let layer = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
      func tensor(_ name: String, _ shape: Shape) -> Tensor {
        Tensor(
          name: name, dtype: .float32, shape: shape,
          storage: .memory([UInt8](repeating: 0, count: 4 * (shape.elementCount ?? 0))))
      }
      let path = folder + "/style:2.safetensors"
      try Safetensors.write(
        [
          tensor("unet.\(layer).lora_A.weight", [2, 128]),
          tensor("unet.\(layer).lora_B.weight", [128, 2]),
          tensor("unet.nowhere.lora_A.weight", [2, 128]),
        ], to: path)
      let arguments = ["--component", "unet", "--lora", path + ":0.25", "--lora", path]
      let json = try export(arguments + ["--json"], to: folder + "/a")
      #expect(json.status == 0, "\(json.errors)")
      let loras = try #require(try JSON(parsing: json.output)["loras"]?.array)
      #expect(loras.map { $0["scale"]?.double } == [0.25, 1])
      #expect(loras[0]["layers"]?["unet"]?.int == 1)
      #expect(loras[0]["methods"]?.array?.first?["name"]?.string == "LoRA")
      #expect(loras[0]["unused_methods"]?.array?.first?["tensors"]?.int == 1)
      #expect(loras[0]["unused"]?.array?.first?["name"]?.string == "unet.nowhere.lora_A.weight")
      let text = try export(arguments, to: folder + "/b")
      #expect(text.errors.contains("changed 1 layer of the UNet (LoRA)"))
      #expect(text.errors.contains("1 tensor of LoRA not used"))
      #expect(text.errors.contains("unet.nowhere.lora_A.weight"))
      let linked = try export(
        arguments + ["--weights", "link"], to: Self.model)
      #expect(linked.status == 65)
      #expect(linked.errors.contains("--weights copy"))
    }
  }

  /// Half a VAE is complete for its graph; for a directory of models the error says what to give.
  @Test func exportsAreVerifiedModelByModel() throws {
    try withTemporaryFolder { folder in
      let result = try export([], to: folder + "/onnx")
      #expect(result.status == 0, "\(result.errors)")
      for half in ["vae_decoder", "vae_encoder"] {
        let verified = try json(
          "sdinspect", ["verify", "\(folder)/onnx/\(half)/model.onnx", "--json"])
        #expect(verified["sound"] == true && verified["problems"] == [])
        let notes = verified["notes"]?.array?.compactMap(\.string) ?? []
        #expect(notes.contains("vae: the model contains only the \(half)"), "\(notes)")
      }
      for path in [folder + "/onnx", folder + "/onnx/unet"] {
        let refused = try Tool.run("sdinspect", ["summary", path])
        #expect(refused.status == 65)
        #expect(refused.errors.contains("this is an ONNX export"), "\(refused.errors)")
        #expect(refused.errors.contains("\(folder)/onnx/unet/model.onnx"), "\(refused.errors)")
        #expect(!refused.errors.contains("download"))
      }
    }
  }

  /// UNets of other shapes (inpainting, SD 2 with its linear projections and upcast attention),
  /// made at random by diffusers, give diffusers' numbers.
  @Test(.python("onnxruntime", "torch", "diffusers"))
  func otherUNetsGiveTheReferencesNumbers() throws {
    let result = try Tool.launch(
      try #require(Tool.python),
      [
        "\(Fixtures.root)/Tests/ONNXExportTests/Oracle/check_variants.py",
        "\(Tool.folder)/sdinspect",
      ])
    #expect(result.status == 0, "\(result.output)\(result.errors)")
  }

  /// ONNX Runtime's image from the exports is the image of `sdgen`.
  @Test(
    .python("onnxruntime", "safetensors", "PIL"),
    arguments: ["ddim", "pndm"], ["f32", "f16"])
  func picturesFromTheExportsAreOurs(scheduler: String, dtype: String) throws {
    try withTemporaryFolder { folder in
      let python = try #require(Tool.python)
      let picture = folder + "/picture.png"
      let drawn = try Tool.run(
        "sdgen",
        [
          "a red circle on a blue background", "--scheduler", scheduler, "--steps", "20",
          "--guidance", "3", "--seed", "42", "--dtype", "f32", "-o", picture,
        ])
      #expect(drawn.status == 0, "\(drawn.errors)")
      let exported = try export(["--dtype", dtype], to: folder + "/onnx")
      #expect(exported.status == 0, "\(exported.errors)")
      let result = try Tool.launch(
        python,
        [
          "\(Fixtures.root)/Tests/ONNXExportTests/Oracle/draw_onnx.py", folder + "/onnx",
          "--repository", Self.model, "--scheduler", scheduler, "--compare", picture,
          "--minimum", dtype == "f32" ? "45" : "35",
        ])
      #expect(result.status == 0, "\(result.output)\(result.errors)")
    }
  }
}

import Foundation
import ModelGraph
import ONNXExport
import TestSupport
import Testing

/// The script and the text that go with a model to TensorRT.
@Suite struct TensorRTFilesTests {
  /// Exports the bundled UNet and calls `body` with its directory.
  private func withExport(
    _ networks: [GraphName] = [.unet], names: NameConvention = .optimum, sizes: Sizes? = nil,
    precision: ExportOptions.Precision = .f32, _ body: (String) throws -> Void
  ) throws {
    try withTemporaryFolder { folder in
      var options = ExportOptions()
      options.names = names
      options.sizes = sizes
      options.precision = precision
      _ = try ONNXExporter.export(
        sources(Fixtures.path("shapes-v2"), networks), to: "\(folder)/out", options: options)
      try body("\(folder)/out/\(networks[0])")
    }
  }

  /// Runs the script with stand-ins of these names on its path, which print their arguments.
  private func run(
    _ folder: String, programs: [String],
    help: String = "--timingCacheFile --skipInference --stronglyTyped --fp16",
    environment: [String: String] = [:]
  ) throws -> Tool.Result {
    try withTemporaryFolder { bin in
      for program in programs {
        let text =
          "#!/bin/bash\nif [ \"$1\" = --help ]; then echo '\(help)'; exit 1; fi\n"
          + "echo \(program); printf '%s\\n' \"$@\"\n"
        try text.write(toFile: "\(bin)/\(program)", atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes(
          [.posixPermissions: 0o755], ofItemAtPath: "\(bin)/\(program)")
      }
      return try Tool.launch(
        "\(folder)/build-engine.sh", [], in: "/",
        environment: environment.merging(["PATH": "\(bin):/usr/bin:/bin"]) { $1 })
    }
  }

  @Test func theScriptRunsTrtexec() throws {
    try withExport { folder in
      let result = try run(folder, programs: ["trtexec", "polygraphy"])
      #expect(result.status == 0, "\(result.errors)")
      #expect(
        result.output.split(separator: "\n") == [
          "trtexec", "--onnx=model.onnx", "--saveEngine=model.plan",
          "--timingCacheFile=timing.cache", "--skipInference", "--stronglyTyped",
          // From half to twice the 16 latent rows that the model was trained on; guidance doubles
          // batches.
          "--minShapes=sample:1x4x8x8,encoder_hidden_states:1x77x64",
          "--optShapes=sample:2x4x16x16,encoder_hidden_states:2x77x64",
          "--maxShapes=sample:8x4x32x32,encoder_hidden_states:8x231x64", "built model.plan",
        ])
    }
  }

  /// TensorRT 11 has no `--stronglyTyped`, TensorRT-RTX no timing cache either; TensorRT 8.6 needs
  /// a flag to use F16.
  @Test(
    arguments: [
      (ExportOptions.Precision.f16, "--timingCacheFile --skipInference", [Substring]()),
      (.f16, "--skipInference", []), (.f16, "--fp16 --timingCacheFile", ["--fp16"]),
      (.f32, "--fp16 --timingCacheFile", []), (.f16, "--fp16 --stronglyTyped", ["--stronglyTyped"]),
    ])
  func theScriptGivesTheOptionsThatThereAre(
    precision: ExportOptions.Precision, help: String, typing: [Substring]
  ) throws {
    try withExport(sizes: Sizes(height: 8, width: 8), precision: precision) { folder in
      let result = try run(folder, programs: ["trtexec"], help: help)
      #expect(result.status == 0, "\(result.errors)")
      let rest = ["--timingCacheFile", "--skipInference"].filter(help.contains).map { option in
        option == "--skipInference" ? option : option + "=timing.cache"
      }
      #expect(
        result.output.split(separator: "\n")
          == ["trtexec", "--onnx=model.onnx", "--saveEngine=model.plan"] + rest.map { $0[...] }
          + typing + ["built model.plan"])
    }
  }

  /// Paths are relative to the caller, not the script.
  @Test func variablesOfTheScript() throws {
    try withExport { folder in
      let result = try run(
        folder, programs: ["trtexec"],
        environment: [
          "REFIT": "1", "LEVEL": "5", "ENGINE": "tmp/a b.plan", "TIMING_CACHE": "/b",
          "CDPATH": "/usr",
        ])
      #expect(result.status == 0, "\(result.errors)")
      let lines = result.output.split(separator: "\n")
      for argument in [
        "--refit", "--builderOptimizationLevel=5", "--saveEngine=//tmp/a b.plan",
        "--timingCacheFile=/b",
      ] {
        #expect(lines.contains(argument[...]), "\(argument)")
      }
    }
  }

  @Test func theScriptRunsPolygraphyWhereThereIsNoTrtexec() throws {
    try withExport { folder in
      let result = try run(folder, programs: ["polygraphy"])
      #expect(result.status == 0, "\(result.errors)")
      #expect(
        result.output.split(separator: "\n") == [
          "polygraphy", "convert", "model.onnx", "--convert-to", "trt", "--output", "model.plan",
          "--strongly-typed", "--trt-min-shapes", "sample:[1,4,8,8]",
          "encoder_hidden_states:[1,77,64]", "--trt-opt-shapes", "sample:[2,4,16,16]",
          "encoder_hidden_states:[2,77,64]", "--trt-max-shapes", "sample:[8,4,32,32]",
          "encoder_hidden_states:[8,231,64]", "--save-timing-cache", "timing.cache",
          "built model.plan",
        ])
      let none = try run(folder, programs: [])
      #expect(none.status == 1)
      #expect(none.errors.contains("hint:"))
    }
  }

  @Test func fixedShapesNeedNoProfile() throws {
    try withExport(sizes: Sizes(batch: 2, height: 16, width: 16)) { folder in
      let result = try run(folder, programs: ["trtexec"])
      #expect(result.status == 0, "\(result.errors)")
      #expect(!result.output.contains("Shapes"))
      let text = try String(contentsOfFile: "\(folder)/README-tensorrt.md", encoding: .utf8)
      #expect(text.contains("no profile") && !text.contains("--minShapes"))
    }
  }

  @Test func comfysEngineIsNamedByItsSizes() throws {
    try withExport(names: .comfy) { folder in
      let result = try run(folder, programs: ["trtexec"])
      #expect(
        result.output.contains(
          "--saveEngine=unet_$dyn-b-1-8-2-h-64-256-128-w-64-256-128_00001_.engine"))
      #expect(result.output.contains("--optShapes=x:2x4x16x16,timesteps:2,context:2x77x64"))
    }
    let fixed = Sizes(batch: 1, height: 8, width: 16)
    try withExport(names: .comfy, sizes: fixed) { folder in
      let result = try run(folder, programs: ["trtexec"])
      #expect(result.output.contains("--saveEngine=unet_$stat-b-1-h-64-w-128_00001_.engine"))
    }
  }

  /// The commands of the text are those of the script, and their shapes those of the inputs.
  @Test(arguments: Published.names)
  func theTextSaysTheSame(name: GraphName) throws {
    try withExport([name]) { folder in
      let result = try run(folder, programs: ["trtexec"])
      let text = try String(contentsOfFile: "\(folder)/README-tensorrt.md", encoding: .utf8)
      for argument in result.output.split(separator: "\n") where argument.hasPrefix("--") {
        #expect(text.contains(argument), "\(argument)")
      }
      let expected = [
        GraphName.textEncoder: "input_ids:8x77", .unet: "sample:8x4x32x32",
        .vaeDecoder: "latent_sample:4x4x32x32", .vaeEncoder: "sample:4x3x256x256",
      ]
      #expect(result.output.contains("--maxShapes=\(try #require(expected[name]))"))
      #expect(text.contains("opset 21, F32"))
    }
  }

  /// Linked models in a directory above their weights have files of their own.
  @Test func modelsOutsideTheirFolderHaveTheirOwnScripts() throws {
    try withTemporaryFolder { folder in
      let repository = "\(folder)/model"
      try FileManager.default.copyItem(atPath: Fixtures.path("shapes-v2"), toPath: repository)
      var options = ExportOptions()
      options.weights = .link
      let report = try ONNXExporter.export(
        sources(repository, [.vaeDecoder, .vaeEncoder]), to: repository, options: options)
      #expect(
        report.networks.map { $0.scriptPath?.dropFirst(repository.count + 1) } == [
          "build-engine-vae_decoder.sh", "build-engine-vae_encoder.sh",
        ])
      let path = try #require(report.networks[0].scriptPath)
      let script = try String(contentsOfFile: path, encoding: .utf8)
      #expect(script.contains("model=\"vae_decoder.onnx\""))
      #expect(
        FileManager.default.fileExists(atPath: "\(repository)/README-tensorrt-vae_decoder.md"))
    }
  }
}

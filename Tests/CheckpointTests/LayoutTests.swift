import Checkpoint
import Foundation
import ModelFormats
import ModelGraph
import OrderedJSON
import TestSupport
import Testing

/// Conversion between layouts: names, shapes, and what is kept, dropped, added and repaired.
@Suite struct LayoutTests {
  static let model = Fixtures.path("shapes-v2")

  /// Type, shape and SHA-256 of every parameter of the three networks, by its published name.
  static func parameters(_ checkpoint: ModelCheckpoint) throws -> [String: String] {
    var result: [String: String] = [:]
    for name in ComponentName.required {
      let component = try checkpoint.require(name)
      let parameters = try #require(component.manifest).parameters
      let tensors = try parameters.map { try component.tensor(for: $0) }
      let digests = try TensorDigest.sha256(of: tensors)
      for (parameter, (tensor, digest)) in zip(parameters, zip(tensors, digests)) {
        result["\(name) \(parameter.name)"] =
          "\(tensor.dtype.rawValue) \(Shape(parameter.shape)) \(digest)"
      }
    }
    return result
  }

  static func convert(
    _ source: String, to target: Conversion.Target, at path: String,
    _ change: (inout Conversion.Options) throws -> Void = { _ in }
  ) throws {
    var options = Conversion.Options()
    try change(&options)
    try ConversionTests.convert(source, to: target, at: path, options)
  }

  /// Every layout gives back every parameter bit for bit, in any order of conversions.
  @Test func everyLayoutHoldsTheSame() throws {
    let scratch = try Scratch()
    let expected = try LayoutTests.parameters(ModelCheckpoint.open(LayoutTests.model))
    #expect(expected.count == 690)
    let chain: [(Conversion.Target, String, WeightsFormat?)] = [
      (.ldm, "a.safetensors", nil), (.sdflat, "b.sdflat", nil), (.ldm, "c.safetensors", nil),
      (.diffusers, "d", nil), (.sdflat, "e.sdflat", nil), (.diffusers, "f", .bin),
      (.ldm, "j.ckpt", nil),
    ]
    var source = LayoutTests.model
    for (target, name, format) in chain {
      try LayoutTests.convert(source, to: target, at: scratch.path(name)) {
        $0.format = format
        // Without a tokenizer the index would no longer name one.
        $0.companions = try ModelCheckpoint.open(LayoutTests.model).files
      }
      source = scratch.path(name)
      let checkpoint = try ModelCheckpoint.open(source)
      #expect(try LayoutTests.parameters(checkpoint) == expected, "\(name)")
      // PyTorch files cannot store configurations.
      if name.hasSuffix(".ckpt") { continue }
      // Heads and groups of a model this small cannot be inferred: they were stored.
      #expect(
        checkpoint.components.allSatisfy { $0.configuration?.origin == .file }, "\(name)")
      for path in ["unet/config.json", "scheduler/scheduler_config.json", "model_index.json"] {
        #expect(
          try checkpoint.file(named: path)?.jsonObject()
            == (try ModelCheckpoint.open(LayoutTests.model).file(named: path)?.jsonObject()),
          "\(name) \(path)")
      }
      let ids = try #require(
        checkpoint[.textEncoder]?.tensors.first { $0.name.hasSuffix("position_ids") })
      #expect(ids.contiguousBytes() == bytes((0..<77).map { Int64($0) }))
    }
  }

  /// Q8_0 contains each of 32 values to half a step of 127 of the largest, as ggml defines it.
  @Test func quantisedValuesAreClose() throws {
    let scratch = try Scratch()
    try LayoutTests.convert(LayoutTests.model, to: .gguf, at: scratch.path("q8.gguf")) {
      $0.quantize = true
      $0.dtype = .float16
    }
    // Narrower than any model that GGUF readers know by name.
    let keys = try TensorFile.open(scratch.path("q8.gguf")).metadata.map(\.key)
    #expect(!keys.contains("general.architecture") && keys.contains("general.quantization_version"))
    let file = try ModelCheckpoint.open(scratch.path("q8.gguf"))
    let source = try ModelCheckpoint.open(LayoutTests.model)
    var quantised = 0
    for name in ComponentName.required {
      let component = try file.require(name)
      let original = try source.require(name)
      for parameter in try #require(component.manifest).parameters {
        let tensor = try component.tensor(for: parameter)
        let expected = try original.tensor(for: parameter)
        guard tensor.encoding == "Q8_0" else {
          #expect(tensor.contiguousBytes() == expected.contiguousBytes())
          continue
        }
        quantised += 1
        let values = try LayoutTests.floats(tensor)
        let wanted = try LayoutTests.floats(expected)
        for start in stride(from: 0, to: wanted.count, by: 32) {
          let block = wanted[start..<(start + 32)]
          let largest = block.map(abs).max() ?? 0
          // Half a step, and the rounding of the scale to F16.
          let limit = largest / 127 * 0.51 + largest / 1024
          let isClose = (start..<(start + 32)).allSatisfy {
            abs(values[$0] - wanted[$0]) <= limit
          }
          if !isClose { Issue.record("\(parameter.name) at \(start)") }
        }
      }
    }
    #expect(quantised > 100)
    let error = try failure {
      try LayoutTests.convert(LayoutTests.model, to: .ldm, at: scratch.path("no")) {
        $0.quantize = true
      }
    }
    #expect(error?.code == .unsupported)
  }

  private static func floats(_ tensor: Tensor) throws -> [Float] {
    var bytes: [UInt8] = []
    try tensor.withPieces(as: .float32) { (piece) throws(FormatError) in
      bytes += Array(piece)
    }
    return bytes.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
  }

  @Test func singleFilesHaveTheirNamesAndShapes() throws {
    let scratch = try Scratch()
    try LayoutTests.convert(LayoutTests.model, to: .ldm, at: scratch.path("model.safetensors"))
    let file = try TensorFile.open(scratch.path("model.safetensors"))
    let source = try ModelCheckpoint.open(LayoutTests.model)
    var expected: Set<String> = []
    for component in source.components {
      for parameter in component.graphs.flatMap({ $0.parameters + $0.buffers }) {
        expected.insert(parameter.singleFileName)
        if parameter.shape.count == 2, parameter.name.contains("attentions.0.to_") {
          let tensor = try #require(file[parameter.singleFileName])
          #expect(tensor.shape.dimensions == parameter.singleFileShape)
        }
      }
    }
    #expect(Set(file.tensors.map(\.name)) == expected)
    #expect(file.tensors.count == expected.count)
    #expect(
      file["first_stage_model.decoder.mid.attn_1.q.weight"]?.shape == [64, 64, 1, 1])
  }

  /// Only a VAE has no prefix; other networks have theirs.
  @Test(arguments: [
    (ComponentName.vae, "decoder.mid.attn_1.q.weight"),
    (.unet, "model.diffusion_model.input_blocks.0.0.weight"),
    (.textEncoder, "cond_stage_model.transformer.text_model.final_layer_norm.bias"),
  ])
  func oneComponentAlone(name: ComponentName, tensor: String) throws {
    let scratch = try Scratch()
    try LayoutTests.convert(LayoutTests.model, to: .ldm, at: scratch.path("one")) {
      $0.components = [name]
    }
    let file = try TensorFile.open(scratch.path("one"))
    #expect(file[tensor] != nil)
    // And back to a directory of its own, as diffusers has it.
    try LayoutTests.convert(scratch.path("one"), to: .diffusers, at: scratch.path("back"))
    let back = try ModelCheckpoint.open(scratch.path("back"))
    #expect(back.layout == .component)
    #expect(back.components.map(\.name) == [name])
    #expect(FileManager.default.fileExists(atPath: scratch.path("back/config.json")))
    let source = try ModelCheckpoint.open(LayoutTests.model).require(name)
    for parameter in try #require(source.manifest).parameters {
      #expect(
        try back.components[0].tensor(for: parameter).contiguousBytes()
          == source.tensor(for: parameter).contiguousBytes())
    }
  }

  // MARK: Single files with more in them

  /// A training checkpoint of the bundled model: all-zero EMA weights, counters, a noise schedule,
  /// optimizer state, and two unknown tensors.
  static func training(
    in scratch: Scratch, _ change: ([Tensor]) -> [Tensor] = { $0 }
  ) throws -> String {
    try convert(model, to: .ldm, at: scratch.path("plain"))
    let plain = try TensorFile.open(scratch.path("plain"))
    var tensors = plain.tensors
    let unet = try ModelCheckpoint.open(model).require(.unet)
    for parameter in try #require(unet.manifest).parameters {
      tensors.append(
        .zeros(NetworkDescriptor.average.name(of: parameter), .float16, Shape(parameter.shape)))
    }
    tensors += [
      .floats("model_ema.decay", [0.9999]), .zeros("model_ema.num_updates", .int32, []),
      .floats("betas", [0.1, 0.2]), .floats("odd", [1]),
      .floats("model.diffusion_model.odd", [2]),
      .floats("optimizer_states.0.state.0.exp_avg", [3]),
    ]
    try Safetensors.write(
      change(tensors), metadata: plain.metadata, to: scratch.path("training"))
    return scratch.path("training")
  }

  @Test(arguments: [Conversion.Target.ldm, .sdflat, .diffusers])
  func averagesAreTakenWhenToldOnly(target: Conversion.Target) throws {
    let scratch = try Scratch()
    let training = try LayoutTests.training(in: scratch)
    let expected = try LayoutTests.parameters(ModelCheckpoint.open(LayoutTests.model))
    for useAverages in [false, true] {
      let path = scratch.path("out\(useAverages)")
      try LayoutTests.convert(training, to: target, at: path) {
        $0.useAverages = useAverages
        $0.dropUnknown = target == .diffusers
      }
      let checkpoint = try ModelCheckpoint.open(path)
      #expect(checkpoint[.unetEMA] == nil)
      let unet = try checkpoint.require(.unet)
      let isZero = unet.tensors.filter { !$0.name.hasSuffix("odd") }
        .allSatisfy { $0.contiguousBytes().allSatisfy { $0 == 0 } }
      #expect(isZero == useAverages)
      if !useAverages { #expect(try LayoutTests.parameters(checkpoint) == expected) }
    }
    let error = try failure {
      try LayoutTests.convert(LayoutTests.model, to: target, at: scratch.path("none")) {
        $0.useAverages = true
      }
    }
    #expect(error?.code == .mismatch)
    #expect(error?.message.contains("no averaged weights") == true)
  }

  @Test func unknownTensorsAreKeptUnlessDropped() throws {
    let scratch = try Scratch()
    let training = try LayoutTests.training(in: scratch)
    for dropUnknown in [false, true] {
      let path = scratch.path("out\(dropUnknown)")
      let plan = try Conversion(
        of: ModelCheckpoint.open(training), to: .ldm, at: path,
        options: {
          var options = Conversion.Options()
          options.dropUnknown = dropUnknown
          return options
        }())
      try plan.execute()
      let names = Set(try TensorFile.open(path).tensors.map(\.name))
      #expect(names.contains("odd") == !dropUnknown)
      #expect(names.contains("model.diffusion_model.odd") == !dropUnknown)
      #expect(names.contains("betas"))
      #expect(!names.contains("model_ema.decay"))
      #expect(!names.contains("optimizer_states.0.state.0.exp_avg"))
      let dropped = plan.drops.map(\.name)
      #expect(dropped.contains("odd") == dropUnknown)
      #expect(dropped.contains("optimizer_states.0.state.0.exp_avg"))
      #expect(
        plan.drops.count(where: { $0.reason == "averaged weights (EMA), which were not chosen" })
          == 444)
      // Whatever is not written is named.
      #expect(
        plan.drops.count + names.count
          == (try TensorFile.open(training).tensors.count))
      #expect(plan.lines().contains { $0.hasPrefix("left out: 1 (optimizer state)") })
      #expect(
        plan.notes.contains("other: odd is kept though it is no tensor of this network")
          == !dropUnknown)
    }
    // Repositories cannot store tensors outside networks, but keep those below a network's name.
    let another = try Scratch()
    let known = try LayoutTests.training(in: another) { tensors in
      tensors.filter { $0.name != "odd" }
    }
    let plan = try Conversion(
      of: ModelCheckpoint.open(known), to: .diffusers, at: scratch.path("repository"))
    #expect(plan.drops.contains { $0.name == "betas" && $0.reason.contains("no place") })
    #expect(
      plan.parts.first { $0.component.name == .unet }?.tensors.contains {
        $0.tensor.name == "odd"
      } == true)
  }

  // MARK: Position ids

  static let positionIDs = "cond_stage_model.transformer.text_model.embeddings.position_ids"

  @Test(arguments: [DType.float16, .bfloat16, .float32])
  func mergedPositionIDsAreRepaired(dtype: DType) throws {
    let scratch = try Scratch()
    let training = try LayoutTests.training(in: scratch) { tensors in
      tensors.map {
        $0.name == LayoutTests.positionIDs ? .zeros(LayoutTests.positionIDs, dtype, [1, 77]) : $0
      }
    }
    let plan = try Conversion(
      of: ModelCheckpoint.open(training), to: .ldm, at: scratch.path("out"),
      options: .init(dtype: .bfloat16))
    try plan.execute()
    let ids = try #require(try TensorFile.open(scratch.path("out"))[LayoutTests.positionIDs])
    #expect(ids.dtype == .int64 && ids.shape == [1, 77])
    #expect(ids.contiguousBytes() == bytes((0..<77).map { Int64($0) }))
    let step = try #require(
      plan.parts[0].tensors.first { $0.tensor.name == LayoutTests.positionIDs })
    #expect(step.change == .repaired)
    #expect(plan.notes.contains { $0.contains("position_ids holds \(dtype.rawValue)") })
  }

  @Test func positionIDsAreCreatedWhereSingleFilesHaveThem() throws {
    let scratch = try Scratch()
    let without = try LayoutTests.training(in: scratch) { tensors in
      tensors.filter { $0.name != LayoutTests.positionIDs }
    }
    let plan = try Conversion(
      of: ModelCheckpoint.open(without), to: .ldm, at: scratch.path("out"))
    try plan.execute()
    let ids = try #require(try TensorFile.open(scratch.path("out"))[LayoutTests.positionIDs])
    #expect(ids.contiguousBytes() == bytes((0..<77).map { Int64($0) }))
    #expect(plan.parts[0].tensors.count(where: { $0.change == .created }) == 1)
    // Today's repositories do not.
    var options = Conversion.Options()
    options.dropUnknown = true
    let repository = try Conversion(
      of: ModelCheckpoint.open(without), to: .diffusers, at: scratch.path("repository"),
      options: options)
    #expect(
      !repository.parts.flatMap(\.tensors).contains { $0.tensor.name.hasSuffix("position_ids") })
  }

  /// Integers are unchanged, whatever type is requested.
  @Test func integersAreNeverCast() throws {
    let scratch = try Scratch()
    let training = try LayoutTests.training(in: scratch) { tensors in
      tensors.map {
        $0.name == LayoutTests.positionIDs
          ? Tensor(
            name: $0.name, dtype: .int32, shape: [1, 77],
            storage: .memory(bytes((0..<77).map { Int32($0) }))) : $0
      }
    }
    try LayoutTests.convert(training, to: .ldm, at: scratch.path("out")) { $0.dtype = .float32 }
    let ids = try TensorFile.open(scratch.path("out"))[LayoutTests.positionIDs]
    #expect(ids?.dtype == .int32)
  }

  // MARK: Small files

  /// Other programs' single files have no configurations: a repository made from one gets its own.
  @Test func aRepositoryIsCompleted() throws {
    let scratch = try Scratch()
    let training = try LayoutTests.training(in: scratch)
    let foreign = try TensorFile.open(training).tensors.filter { !$0.name.hasPrefix("model_ema") }
    try Safetensors.write(foreign, to: scratch.path("foreign"))
    let checkpoint = try ModelCheckpoint.open(scratch.path("foreign"))
    var options = Conversion.Options()
    options.companions = try ModelCheckpoint.open(LayoutTests.model).files
    // Repositories cannot store unknown tensors: dropping them must be requested.
    let refusal = try failure {
      _ = try Conversion(of: checkpoint, to: .diffusers, at: "x", options: options)
    }
    #expect(refusal?.code == .unsupported)
    #expect(refusal?.message.hasSuffix("1 tensor of no known network: odd") == true)
    #expect(refusal?.hint?.mentions(.dropUnknown) == true)
    options.dropUnknown = true
    let plan = try Conversion(
      of: checkpoint, to: .diffusers, at: scratch.path("out"), options: options)
    try plan.execute()
    let repository = try ModelCheckpoint.open(scratch.path("out"))
    #expect(repository.layout == .repository)
    #expect(repository.warnings.filter { !$0.contains("odd") } == [])
    #expect(
      Set(repository.files.map(\.path)).isSuperset(of: [
        "model_index.json", "text_encoder/config.json", "unet/config.json", "vae/config.json",
        "scheduler/scheduler_config.json", "tokenizer/vocab.json", "tokenizer/merges.txt",
      ]))
    let index = try #require(try repository.file(named: "model_index.json")?.jsonObject())
    #expect(index["_class_name"] == "StableDiffusionPipeline")
    #expect(index["unet"] == ["diffusers", "UNet2DConditionModel"])
    #expect(index["text_encoder"] == ["transformers", "CLIPTextModel"])
    #expect(index["scheduler"] == ["diffusers", "PNDMScheduler"])
    #expect(plan.notes.contains { $0.contains("inferred from tensor shapes") })
    #expect(plan.notes.contains { $0.contains("tokenizer is CLIP's") })
    #expect(try Verification(of: repository).isSound)
  }

  @Test func unknownNetworksAreNotRenamed() throws {
    let scratch = try Scratch()
    try Safetensors.write([.floats("a.b", [1])], to: scratch.path("foreign"))
    for target in [Conversion.Target.ldm, .diffusers] {
      let error = try failure {
        try LayoutTests.convert(scratch.path("foreign"), to: target, at: scratch.path("out"))
      }
      #expect(error?.code == .unsupported)
    }
    #expect(try scratch.names == ["foreign"])
  }

  /// Metadata that sdkit, the program's former name, wrote into single files.
  @Test func formerMetadataAreRead() throws {
    let scratch = try Scratch()
    try LayoutTests.convert(LayoutTests.model, to: .ldm, at: scratch.path("good"))
    let file = try TensorFile.open(scratch.path("good"))
    let former = file.metadata.map { pair in
      (
        key: pair.key.hasPrefix("sdloom:") ? "sdkit:" + pair.key.dropFirst(7) : pair.key,
        value: pair.value
      )
    }
    #expect(former.contains { $0.key == "sdkit:unet/config.json" })
    try Safetensors.write(file.tensors, metadata: former, to: scratch.path("former"))
    let good = try ModelCheckpoint.open(scratch.path("good"))
    let checkpoint = try ModelCheckpoint.open(scratch.path("former"))
    #expect(checkpoint.warnings == good.warnings)
    #expect(checkpoint.files.map(\.path) == good.files.map(\.path))
    #expect(checkpoint[.unet]?.configuration?.origin != .inferred)
  }

  /// Metadata that claims to be a configuration and is not is ignored with a warning.
  @Test func brokenMetadataAreNotUsed() throws {
    let scratch = try Scratch()
    try LayoutTests.convert(LayoutTests.model, to: .ldm, at: scratch.path("good"))
    let tensors = try TensorFile.open(scratch.path("good")).tensors
    try Safetensors.write(
      tensors,
      metadata: [
        (key: "sdloom:unet/config.json", value: "{"), (key: "sdloom:../x.json", value: "{}"),
      ], to: scratch.path("bad"))
    let checkpoint = try ModelCheckpoint.open(scratch.path("bad"))
    #expect(checkpoint.warnings.count == 2)
    #expect(checkpoint[.unet]?.configuration?.origin == .inferred)
  }
}

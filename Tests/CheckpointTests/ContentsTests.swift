import Checkpoint
import Foundation
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

/// What a file contains besides readable weights: storages without tensors, code, zeros, packed
/// weights.
@Suite struct ContentsTests {
  static func verify(_ tensors: [Tensor]) throws -> Verification {
    let scratch = try Scratch()
    try Safetensors.write(tensors, to: scratch.path("weights"))
    return try Verification(of: ModelCheckpoint.open(scratch.path("weights")))
  }

  // MARK: Storages and names

  @Test func storageThatNoTensorUsesIsAProblem() throws {
    let scratch = try Scratch()
    let archive = TorchBuilder.archive(more: [.init("archive/data/1", [1, 2, 3])])
    let checkpoint = try ModelCheckpoint.open(try scratch.write(archive.bytes, as: "a.pt"))
    let warning = "1 storage (3 bytes) not used by any tensor: archive/data/1"
    #expect(checkpoint.warnings == [warning])
    #expect(try Verification(of: checkpoint).problems == [warning])
    let error = try #require(
      try failure { _ = try Conversion(of: checkpoint, to: .safetensors, at: scratch.path("o")) })
    #expect(error.code == .unsupported)
    #expect(
      error.message == "1 storage of the file cannot be read and would be lost: archive/data/1")
    #expect(error.hint == "pass \(set: .dropUnknown) to convert without them")
    var options = Conversion.Options()
    options.dropUnknown = true
    let conversion = try Conversion(
      of: checkpoint, to: .safetensors, at: scratch.path("o"), options: options)
    #expect(conversion.drops.map(\.name) == ["archive/data/1"])
    #expect(conversion.drops.map(\.reason) == ["no tensor uses this storage"])
    try conversion.execute()
    #expect(try TensorFile.open(scratch.path("o")).tensors.map(\.name) == ["w"])
  }

  @Test func tensorThatIsNotReadStopsAConversion() throws {
    let scratch = try Scratch()
    let checkpoint = try ModelCheckpoint.open(Fixtures.path("formats/blocks.gguf"))
    let error = try #require(
      try failure { _ = try Conversion(of: checkpoint, to: .safetensors, at: scratch.path("o")) })
    #expect(error.message == "1 tensor of the file cannot be read and would be lost: IQ4_NL")
    let result = try Verification(of: checkpoint)
    #expect(result.unchecked.contains("1 tensor of an unsupported kind: IQ4_NL"))
  }

  @Test func codeIsAProblemAndUnknownClassesAreUnchecked() throws {
    let scratch = try Scratch()
    func result(_ global: String) throws -> Verification {
      let bytes = pickle(
        0x80, 2, "}(", TorchBuilder.text("w"), TorchBuilder.tensor(), TorchBuilder.text("x"),
        global, "u.")
      let path = try scratch.write(TorchBuilder.archive(bytes).bytes, as: "a.pt")
      return try Verification(of: ModelCheckpoint.open(path))
    }
    let harmful = try result("cos\nsystem\n")
    #expect(harmful.problems == ["the file contains code: its pickle references os.system"])
    let unknown = try result("cvendor\nThing\n")
    #expect(unknown.isSound)
    #expect(unknown.unchecked.contains("unknown classes in the pickle: vendor.Thing"))
  }

  // MARK: Zeros

  /// Values that are not zero.
  static func weight(_ name: String, _ shape: [Int], zerosFrom first: Int? = nil) -> Tensor {
    let count = shape.reduce(1, *)
    return .floats(
      name, (0..<count).map { $0 < first ?? count ? Float($0 % 97) + 1 : 0 }, shape: Shape(shape))
  }

  @Test func fileThatWasNotFilledIsNoSoundFile() throws {
    // Filled up to inside the second tensor.
    let cut = try ContentsTests.verify([
      ContentsTests.weight("a", [64, 64]), ContentsTests.weight("b", [64, 64], zerosFrom: 100),
      .zeros("c", .float32, [64, 64]), .zeros("d", .float32, [64]),
    ])
    #expect(
      cut.problems.first
        == "weights: the last 32624 of 49408 data bytes are zeros, starting inside b: space was "
        + "reserved but never filled; download the file again")
    // Filled up to between two tensors.
    let between = try ContentsTests.verify([
      ContentsTests.weight("a", [64, 64]), ContentsTests.weight("b", [64, 64]),
      .zeros("c", .float32, [64, 64]), .zeros("d", .float32, [64, 64]),
    ])
    #expect(between.problems.count == 1)
    #expect(between.problems.first?.contains("starting with c:") == true)
    // Holes in between.
    let holes = try ContentsTests.verify(
      (0..<5).map {
        $0.isMultiple(of: 2)
          ? .zeros("\($0)", .float16, [64, 64]) : ContentsTests.weight("\($0)", [64, 32])
      } + [ContentsTests.weight("last", [2, 2])])
    #expect(holes.problems == [])
    let more = try ContentsTests.verify(
      (0..<5).map {
        $0 == 2 ? ContentsTests.weight("\($0)", [64, 32]) : .zeros("\($0)", .float16, [64, 64])
      } + [ContentsTests.weight("last", [2, 2])])
    #expect(more.problems.count == 1)
    #expect(
      more.problems.first?.hasPrefix("weights: 4 of 6 weights are all zeros (0, 1, 3") == true)
    #expect(
      try ContentsTests.verify([.zeros("a", .float32, [256, 256])]).problems.count == 1)
  }

  /// Intended zeros: biases, zero convolutions, the second factors of a new LoRA, padding rows of a
  /// table, a small tensor.
  @Test(
    arguments: [
      [weight("a", [64, 64]), .zeros("a.bias", .float32, [4096])],
      [weight("a", [64, 64]), .zeros("zero_conv.weight", .float32, [64, 64, 1, 1])],
      (0..<8).map { index in
        index.isMultiple(of: 2)
          ? weight("\(index).lora_down", [4, 640]) : .zeros("\(index).lora_up", .float32, [640, 4])
      },
      [weight("a", [8, 8]), weight("table", [600, 64], zerosFrom: 300 * 64)],
      [weight("a", [64, 64]), weight("b", [64, 64], zerosFrom: 4000)],
      [.zeros("w", .float32, [2, 3])],
      [weight("w", [2, 3]), .zeros("optimizer_states.0.exp_avg", .float32, [128, 128])],
    ] as [[Tensor]])
  func zerosThatAreMeantDoNotAlarm(_ tensors: [Tensor]) throws {
    #expect(try ContentsTests.verify(tensors).problems == [])
  }

  // MARK: Packed weights

  /// Packed weights of each kind: the tensors, the kind, and the values before packing.
  static let packed: [(tensors: [Tensor], kind: PackedWeights.Method, parameters: Int?)] = [
    (
      [
        .zeros("a.weight", .uint8, [48, 1]), .zeros("a.weight.absmax", .uint8, [2]),
        .zeros("a.weight.quant_map", .float32, [16]),
        .zeros("a.weight.nested_absmax", .float32, [1]),
        .zeros("a.weight.nested_quant_map", .float32, [256]),
        state("a.weight.quant_state.bitsandbytes__nf4", #"{"quant_type":"nf4","shape":[8,12]}"#),
      ], .nf4, 96
    ),
    (
      [
        .zeros("a.weight", .uint8, [48, 1]), .zeros("a.weight.absmax", .float32, [2]),
        state("a.weight.quant_state.bitsandbytes__fp4", "not JSON"),
      ], .fp4, nil
    ),
    (
      [
        .zeros("a.weight", .int8, [8, 12]), .zeros("a.SCB", .float32, [8]),
        .zeros("a.weight_format", .uint8, []),
      ], .llmInt8, 96
    ),
    (
      [
        .zeros("a.qweight", .int32, [16, 64]), .zeros("a.qzeros", .int32, [1, 8]),
        .zeros("a.scales", .float16, [1, 64]), .zeros("a.g_idx", .int32, [128]),
      ], .gptq, 8192
    ),
    (
      [
        .zeros("a.qweight", .int32, [16, 64]), .zeros("a.qzeros", .int32, [1, 8]),
        .zeros("a.scales", .float16, [1, 64]),
      ], .gptq, 8192
    ),
    (
      [
        .zeros("a.qweight", .int32, [128, 8]), .zeros("a.qzeros", .int32, [1, 8]),
        .zeros("a.scales", .float16, [1, 64]),
      ], .awq, 8192
    ),
    (
      [
        .zeros("a.qweight", .int8, [64, 32]), .zeros("a.wscales", .bfloat16, [1, 64]),
        .zeros("a.smooth_factor", .bfloat16, [64]), .zeros("a.proj_down", .bfloat16, [64, 4]),
      ], .svdQuant, 4096
    ),
    (
      [
        .zeros("a.weight_packed", .int32, [8, 8]), .zeros("a.weight_scale", .bfloat16, [8, 1]),
        Tensor(
          name: "a.weight_shape", dtype: .int64, shape: [2],
          storage: .memory(bytes([8, 64] as [Int64]))),
      ], .compressedTensors, 512
    ),
    (
      [
        .zeros("a.weight", .uint8, [8, 32]), .zeros("a.weight_scale", .float8E4M3, [8, 4]),
        .zeros("a.weight_scale_2", .float32, []),
      ], .nvfp4, 512
    ),
    (
      [.zeros("a.weight._data", .int8, [8, 4]), .zeros("a.weight._scale", .float16, [8, 1])],
      .quanto, 32
    ),
  ]

  static func state(_ name: String, _ text: String) -> Tensor {
    let bytes = Array(text.utf8)
    return Tensor(name: name, dtype: .uint8, shape: [bytes.count], storage: .memory(bytes))
  }

  @Test(arguments: packed.indices)
  func packedWeightsAreNamedAndCounted(_ index: Int) throws {
    let (tensors, kind, parameters) = ContentsTests.packed[index]
    let bias = Tensor.floats("a.bias", [1, 2, 3])
    let scratch = try Scratch()
    try Safetensors.write(tensors + [bias], to: scratch.path("weights"))
    let checkpoint = try ModelCheckpoint.open(scratch.path("weights"))
    let summary = Summary(checkpoint)
    let groups = summary.components.flatMap(\.packed)
    #expect(groups.map(\.method) == [kind])
    #expect(groups.first?.parameters == parameters)
    #expect(summary.parameters == 3 + (parameters ?? 0))
    #expect(summary.buffers == 0)
    #expect(checkpoint.warnings == ["model: 1 \(kind.rawValue)"])
    let result = try Verification(of: checkpoint)
    #expect(result.unchecked == ["model: 1 \(kind.rawValue)"])
    // Their bytes can be kept, but they do not form a network.
    try Conversion(of: checkpoint, to: .safetensors, at: scratch.path("o")).execute()
    for target in [Conversion.Target.diffusers, .gguf, .sdflat] {
      let error = try #require(
        try failure { _ = try Conversion(of: checkpoint, to: target, at: scratch.path("p")) })
      #expect(error.message == "packed weights are not supported: 1 \(kind.rawValue)")
    }
  }
}

/// Untrained initializers of ONNX models.
@Suite struct GraphConstantTests {
  /// Constants that torch.onnx.export computes, and parameters that look like them.
  @Test func computedInitializersAreNoParameters() {
    let frequencies = (0..<16).map { Float(exp(-log(10_000) * Double($0) / 16)) }
    let mask = (0..<25).map { $0 % 5 > $0 / 5 ? -Float.greatestFiniteMagnitude : 0 }
    let constants: [Tensor] = [
      .floats("unsqueeze_1", frequencies, shape: [1, 16]),
      .floats("where", mask, shape: [1, 1, 5, 5]),
      .floats("val_42", [Float](repeating: 1, count: 32)),
      .floats("val_45", [Float](repeating: 0, count: 32)),
      .floats("val_159", [0.7]), .floats("val_236", [1.4], shape: []),
      .floats("val_1789", [1, 1, 2, 2]), .floats("/down/Constant_output_0", [3, 4]),
    ]
    let weights: [Tensor] = [
      .floats("norm.weight", [Float](repeating: 1, count: 32)),
      .floats("logit_scale", [2.5], shape: []),
      .floats("onnx::Mul_5", [Float](repeating: 1, count: 32), shape: [32, 1, 1]),
      .floats("val_55", [1, 0.5, 0.3, 0.7], shape: [4, 1, 1]), .floats("val_9", [0, 1, 2, 3, 4]),
    ]
    let component = Component(
      name: .model, architecture: nil, configuration: nil, path: "model.onnx", format: .onnx,
      tensors: constants + weights)
    #expect(component.graphConstants.map(\.name) == constants.map(\.name))
    let summary = Summary(
      ModelCheckpoint.of(
        TensorFile(path: "model.onnx", format: .onnx, tensors: constants + weights)))
    #expect(summary.parameters == 32 + 1 + 32 + 4 + 5)
  }
}

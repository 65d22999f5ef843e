import Checkpoint
import ModelFormats
import ModelGraph
import OrderedJSON
import TestSupport
import Testing

/// Text encoders in OpenCLIP's layout, as original single files of Stable Diffusion 2 hold them.
/// That diffusers takes them the same way is tested in DiffusionTests/PipelineTests.swift.
@Suite struct OpenCLIPTests {
  static let width = 64
  static let prefix = "cond_stage_model.model."

  /// Values that identify tensor and position.
  static func tensor(_ name: String, _ shape: Shape, _ dtype: DType = .float32) -> Tensor {
    let seed = name.utf8.reduce(7) { ($0 &* 31 &+ Int($1)) & 0x3FF }
    let count = shape.elementCount ?? 0
    if dtype == .float16 {
      return Tensor(
        name: name, dtype: dtype, shape: shape,
        storage: .memory(bytes((0..<count).map { UInt16(truncatingIfNeeded: seed + $0) & 0x3BFF })))
    }
    return .floats(name, (0..<count).map { Float(seed) + Float($0) / 1024 }, shape: shape)
  }

  /// A whole encoder of three layers, of which two are used.
  static func tensors(layers: Int = 3, isWhole: Bool = true, prefix: String = prefix) -> [Tensor] {
    let width = width
    var shapes: [(String, Shape)] = [
      ("token_embedding.weight", [100, width]), ("positional_embedding", [77, width]),
      ("ln_final.weight", [width]), ("ln_final.bias", [width]),
    ]
    if isWhole { shapes += [("text_projection", [width, width]), ("logit_scale", [])] }
    for layer in 0..<layers {
      let root = "transformer.resblocks.\(layer)."
      shapes += [
        (root + "attn.in_proj_weight", [3 * width, width]),
        (root + "attn.in_proj_bias", [3 * width]),
        (root + "attn.out_proj.weight", [width, width]), (root + "attn.out_proj.bias", [width]),
        (root + "ln_1.weight", [width]), (root + "ln_1.bias", [width]),
        (root + "ln_2.weight", [width]), (root + "ln_2.bias", [width]),
        (root + "mlp.c_fc.weight", [4 * width, width]), (root + "mlp.c_fc.bias", [4 * width]),
        (root + "mlp.c_proj.weight", [width, 4 * width]), (root + "mlp.c_proj.bias", [width]),
      ]
    }
    return shapes.map { tensor(prefix + $0, $1) }
  }

  /// The rows of a third of a tensor.
  static func third(_ index: Int, of tensor: Tensor) -> [UInt8] {
    let bytes = tensor.contiguousBytes()
    let count = bytes.count / 3
    return Array(bytes[index * count..<(index + 1) * count])
  }

  static func write(_ tensors: [Tensor], as name: String, _ scratch: Scratch) throws -> String {
    try Safetensors.write(tensors, to: scratch.path(name))
    return scratch.path(name)
  }

  @Test(arguments: ["", "state_dict."])
  func isRead(wrapper: String) throws {
    let scratch = try Scratch()
    let tensors = Self.tensors(prefix: wrapper + Self.prefix)
    let file = try ModelCheckpoint.open(Self.write(tensors, as: "in", scratch))
    let component = try file.require(.textEncoder)
    #expect(component.naming == NetworkDescriptor.openCLIP)
    let object = try #require(component.configuration?.object)
    #expect(object["num_hidden_layers"] == 2 && object["hidden_act"] == "gelu")
    #expect(object["hidden_size"] == 64 && object["intermediate_size"] == 256)
    // The file's tensors are listed as they are.
    #expect(component.tensors.map(\.name) == tensors.map(\.name))
    for (index, part) in ["q", "k", "v"].enumerated() {
      for kind in ["weight", "bias"] {
        let joined = try #require(
          tensors.first { $0.name.hasSuffix("resblocks.1.attn.in_proj_\(kind)") })
        let name = "text_model.encoder.layers.1.self_attn.\(part)_proj.\(kind)"
        let tensor = try component.tensor(named: name)
        #expect(tensor.shape == (kind == "bias" ? [64] : [64, 64]))
        #expect(tensor.contiguousBytes() == Self.third(index, of: joined))
      }
    }
    let positions = try component.tensor(
      named: "text_model.embeddings.position_embedding.weight")
    #expect(positions.name == wrapper + Self.prefix + "positional_embedding")
    // What is left out is named.
    let manifest = try #require(component.manifest)
    #expect(manifest.unexpected.isEmpty && manifest.unused.count == 14)
    let warning = try #require(file.warnings.first { $0.contains("does not use all") })
    #expect(warning.contains("text_projection") && warning.contains("logit_scale"))
    #expect(warning.contains("12 tensors") && warning.contains("resblocks.2"))
    let leftovers = Summary(file).leftovers
    #expect(leftovers.map(\.kind) == [.unusedLayers, .contrastive])
    #expect(leftovers.map(\.names.count) == [12, 2])
  }

  /// At the published width the last of 24 layers is left out, and of 23 none.
  @Test(arguments: [(24, true, 23), (24, false, 23), (23, true, 23), (23, false, 23)])
  func layersAtFullWidth(layers: Int, hasProjection: Bool, used: Int) throws {
    var shapes: [(String, Shape)] = [
      ("token_embedding.weight", [49_408, 1024]), ("positional_embedding", [77, 1024]),
    ]
    if hasProjection { shapes.append(("text_projection", [1024, 1024])) }
    for layer in 0..<layers {
      let root = "transformer.resblocks.\(layer)."
      shapes.append((root + "mlp.c_fc.weight", [4096, 1024]))
      shapes.append((root + "attn.in_proj_weight", [3072, 1024]))
    }
    let tensors = shapes.map {
      Tensor(name: Self.prefix + $0, dtype: .float16, shape: $1, storage: .memory([]))
    }
    let configuration = try #require(
      ConfigurationInference.configuration(of: .textEncoder, tensors, path: "file"))
    #expect(configuration.object["num_hidden_layers"] == .integer(used))
    #expect(configuration.object["num_attention_heads"] == 16)
  }

  /// To transformers' names: three tensors of one, the last layer and what is not a layer dropped
  /// by name; and back, as it was but for these.
  @Test func isConvertedAndBack() throws {
    let scratch = try Scratch()
    let tensors = Self.tensors()
    let input = try Self.write(tensors, as: "in", scratch)
    let plan = try Conversion(
      of: ModelCheckpoint.open(input), to: .diffusers, at: scratch.path("encoder"))
    #expect(
      Set(plan.drops.map(\.name))
        == Set(
          tensors.map(\.name).filter {
            $0.contains("resblocks.2") || $0.hasSuffix("projection") || $0.hasSuffix("scale")
          }))
    #expect(plan.lines().contains { $0.contains("text_projection") })
    try plan.execute()
    let published = try ModelCheckpoint.open(scratch.path("encoder")).require(.textEncoder)
    #expect(published.naming == .published && published.manifest?.problems == [])
    for (index, part) in ["q", "k", "v"].enumerated() {
      let joined = try #require(
        tensors.first { $0.name.hasSuffix("resblocks.0.attn.in_proj_weight") })
      let name = "text_model.encoder.layers.0.self_attn.\(part)_proj.weight"
      #expect(published[name]?.contiguousBytes() == Self.third(index, of: joined))
    }

    let back = try Conversion(
      of: ModelCheckpoint.open(scratch.path("encoder")), to: .ldm,
      at: scratch.path("back.safetensors"))
    #expect(back.notes.contains { $0.contains("text_projection") && $0.contains("last layer") })
    try back.execute()
    let file = try TensorFile.open(scratch.path("back.safetensors"))
    let kept = tensors.filter { tensor in !plan.drops.contains { $0.name == tensor.name } }
    #expect(Set(file.tensors.map(\.name)) == Set(kept.map(\.name)))
    for tensor in kept {
      #expect(file[tensor.name]?.shape == tensor.shape, "\(tensor.name)")
      #expect(file[tensor.name]?.contiguousBytes() == tensor.contiguousBytes(), "\(tensor.name)")
    }
    // Both contain the same network under different names.
    let difference = try CheckpointDifference(
      ModelCheckpoint.open(input).components,
      ModelCheckpoint.open(scratch.path("encoder")).components)
    #expect(difference.parts[0].pairs.count == 4 + 2 * 16)
    let isSame = difference.parts[0].pairs.allSatisfy { $0.isSame }
    #expect(isSame)
    #expect(difference.parts[0].removed.count == 14 && difference.parts[0].added.isEmpty)
  }

  /// Casts, PyTorch files and .sdflat files use the same parts.
  @Test func isCastAndFlattened() throws {
    let scratch = try Scratch()
    let input = try Self.write(Self.tensors(), as: "in", scratch)
    try ConversionTests.convert(
      input, to: .sdflat, at: scratch.path("flat"), .init(dtype: .float16))
    try ConversionTests.convert(scratch.path("flat"), to: .ldm, at: scratch.path("back.ckpt"))
    let original = try ModelCheckpoint.open(input).require(.textEncoder)
    let back = try ModelCheckpoint.open(scratch.path("back.ckpt")).require(.textEncoder)
    // Without the projection and the last layer, all existing layers are used.
    #expect(back.configuration?.object["num_hidden_layers"] == 2)
    #expect(back.manifest?.unused.isEmpty == true && back.manifest?.problems == [])
    for parameter in try #require(original.manifest).parameters {
      let values = try original.tensor(for: parameter)
      let cast = try back.tensor(for: parameter)
      #expect(cast.dtype == .float16 && cast.shape == values.shape, "\(parameter.name)")
      let comparison = try TensorComparison.of([(values, cast)])[0]
      #expect(comparison.maximumAbsolute <= 2, "\(parameter.name)")
    }
    // A copy in another container keeps the original's names and all of its tensors.
    try ConversionTests.convert(input, to: .safetensors, at: scratch.path("copy"))
    #expect(try TensorFile.open(scratch.path("copy")).tensors.count == Self.tensors().count)
    try ConversionTests.convert(input, to: .ldm, at: scratch.path("same"))
    #expect(
      Set(try TensorFile.open(scratch.path("same")).tensors.map(\.name))
        == Set(Self.tensors().map(\.name)))
  }

  /// Parts of one tensor in two types are rejected by name.
  @Test func partsOfTwoTypesAreRefused() throws {
    let scratch = try Scratch()
    let input = try Self.write(Self.tensors(), as: "in", scratch)
    try ConversionTests.convert(input, to: .diffusers, at: scratch.path("encoder"))
    let weights = scratch.path("encoder/model.safetensors")
    let tensors = try TensorFile.open(weights).tensors.map { tensor in
      tensor.name.hasSuffix("layers.1.self_attn.k_proj.weight")
        ? Self.tensor(tensor.name, tensor.shape, .float16)
        : Tensor(
          name: tensor.name, dtype: tensor.dtype, shape: tensor.shape,
          storage: .memory(tensor.contiguousBytes()))
    }
    try scratch.remove("encoder/model.safetensors")
    try Safetensors.write(tensors, to: weights)
    let error = try failure {
      try ConversionTests.convert(scratch.path("encoder"), to: .ldm, at: scratch.path("back"))
    }
    #expect(error?.code == .unsupported)
    #expect(error?.message.contains("layers.1.self_attn.k_proj.weight (F16)") == true)
  }

  /// Missing, misshapen and unexpected tensors are reported, and nothing is read beyond them.
  @Test func faultsAreTold() throws {
    let scratch = try Scratch()
    let joined = Self.prefix + "transformer.resblocks.0.attn.in_proj_weight"
    var tensors = Self.tensors().filter { $0.name != joined }
    let without = try ModelCheckpoint.open(Self.write(tensors, as: "without", scratch))
    #expect(throws: FormatError.self) { try without.require(.textEncoder) }

    tensors.append(Self.tensor(joined, [3 * 64 - 1, 64]))
    tensors.append(Self.tensor(Self.prefix + "transformer.resblocks.1.attn.more", [1]))
    let file = try ModelCheckpoint.open(Self.write(tensors, as: "short", scratch))
    let component = try #require(file[.textEncoder])
    let manifest = try #require(component.manifest)
    #expect(manifest.wrongShape.count == 3)
    #expect(manifest.unexpected.map(\.name) == [Self.prefix + "transformer.resblocks.1.attn.more"])
    #expect(throws: FormatError.self) {
      try component.tensor(named: "text_model.encoder.layers.0.self_attn.q_proj.weight")
    }
    #expect(component.pieces(of: tensors[tensors.count - 2]).count == 1)
    #expect(throws: FormatError.self) {
      try Conversion(of: file, to: .diffusers, at: scratch.path("out"))
    }
  }

  /// Rows of tensors in any memory order.
  @Test func rows() {
    let whole = Self.tensor("a", [6, 5])
    let expected = Array(whole.contiguousBytes()[2 * 20..<4 * 20])
    #expect(whole.rows(2..<4).contiguousBytes() == expected)
    // Column by column in memory.
    let bytes = whole.contiguousBytes()
    var turned: [UInt8] = []
    for column in 0..<5 {
      for row in 0..<6 {
        let start = 4 * (5 * row + column)
        turned += bytes[start..<start + 4]
      }
    }
    let columns = Tensor(
      name: "a", dtype: .float32, shape: [6, 5],
      storage: .stridedMemory(turned, offset: 0, strides: [1, 6]))
    #expect(columns.contiguousBytes() == whole.contiguousBytes())
    #expect(columns.rows(2..<4).contiguousBytes() == expected)
  }

  /// Without a tokenizer in the source, prompts are padded as OpenCLIP pads them.
  @Test func paddingIsOpenCLIPs() throws {
    let scratch = try Scratch()
    var options = Conversion.Options()
    options.companions = try ModelCheckpoint.open(Fixtures.path("shapes-v2")).files
    try ConversionTests.convert(
      Fixtures.path("shapes-v2"), to: .ldm, at: scratch.path("single.safetensors"))
    let others = try TensorFile.open(scratch.path("single.safetensors")).tensors.filter {
      !$0.name.hasPrefix("cond_stage_model.")
    }
    var text = Self.tensors()
    text[0] = Self.tensor(Self.prefix + "token_embedding.weight", [49_408, 64])
    let input = try Self.write(text + others, as: "in", scratch)
    let plan = try Conversion(
      of: ModelCheckpoint.open(input), to: .diffusers, at: scratch.path("out"), options: options)
    for name in ["tokenizer_config.json", "special_tokens_map.json"] {
      let file = try #require(plan.files.first { $0.path == "tokenizer/\(name)" })
      #expect(try file.jsonObject()["pad_token"] == "!", "\(name)")
    }
    #expect(plan.notes.contains { $0.contains("v_prediction") })
  }
}

import Checkpoint
import Foundation
import ModelFormats
import ModelGraph
import OrderedJSON
import TestSupport
import Testing

/// Other names for the same tensors: averages, attention of VAEs, text encoders without
/// `text_model.`.
@Suite struct SecondNameTests {
  static let targets: [Conversion.Target] = Conversion.Target.allCases

  // MARK: Averages

  /// A model with only the UNet's EMA weights is complete; `--ema` converts it.
  @Test(arguments: targets)
  func averagesOnly(target: Conversion.Target) throws {
    let scratch = try Scratch()
    let single = try SingleFile(in: scratch)
    try single.write("ema", in: scratch, metadata: single.metadata, adding: single.averages) {
      $0.name.hasPrefix(SingleFile.unet) ? nil : $0
    }
    let source = try ModelCheckpoint.open(scratch.path("ema"))
    #expect(source.components.map(\.name) == [.textEncoder, .vae, .unetEMA])
    let error = try #require(
      try failure {
        try LayoutTests.convert(scratch.path("ema"), to: target, at: scratch.path("no"))
      })
    #expect(error.code == .mismatch)
    #expect(error.message == "the UNet is there as averaged weights (EMA) only")
    #expect(error.hint?.mentions(.useAverages) == true)
    let required = try #require(try failure { _ = try source.require(.unet) })
    #expect(required.hint?.mentions(.useAverages) == true)

    try LayoutTests.convert(scratch.path("ema"), to: target, at: scratch.path("out")) {
      $0.useAverages = true
    }
    let result = try ModelCheckpoint.open(scratch.path("out"))
    #expect(result[.unetEMA] == nil)
    #expect(
      try LayoutTests.parameters(result)
        == LayoutTests.parameters(ModelCheckpoint.open(LayoutTests.model)))
    // The other networks are unaffected.
    try LayoutTests.convert(scratch.path("ema"), to: target, at: scratch.path("vae")) {
      $0.components = [.vae]
    }
  }

  /// Names without dots give the same configuration as those with.
  @Test(arguments: SpelledNetwork.all.filter { $0.architecture == .unet })
  func averagesGiveTheConfiguration(network: SpelledNetwork) throws {
    func inferred(_ naming: Naming) throws -> JSONObject? {
      ConfigurationInference.configuration(
        of: .unet, try network.tensors(naming), path: "weights")?.object
    }
    let expected = try #require(try inferred(Naming(.singleFile, prefix: "model.diffusion_model.")))
    #expect(try inferred(NetworkDescriptor.average) == expected)
  }

  @Test func theHeadlineIsAWholeModel() throws {
    var tensors: [Tensor] = []
    for network in SpelledNetwork.all where network.size == "v1.5" {
      switch network.architecture {
      case .textEncoder:
        tensors += try network.tensors(
          Naming(.singleFile, prefix: "cond_stage_model.transformer."))
      case .vae: tensors += try network.tensors(Naming(.singleFile, prefix: "first_stage_model."))
      default: tensors += try network.tensors(NetworkDescriptor.average)
      }
    }
    let recognition = Recognition(
      ModelCheckpoint.of(TensorFile(path: "weights", format: .safetensors, tensors: tensors)))
    #expect(recognition.kind == .stableDiffusion1)
    #expect(recognition.title == "Stable Diffusion 1.x, EMA weights of the UNet only")
  }

  // MARK: Attention

  /// VAE attention names left by converters: those of each projection, in single files and in
  /// diffusers' layout.
  static let attention: [(single: Bool, names: [String])] = [
    (true, ["to_q", "to_k", "to_v", "to_out.0"]),
    (true, ["to_to_q", "to_to_k", "to_to_v", "to_out.0"]),
    (true, ["to_to_q", "to_to_k", "to_to_v", "to_to_out.0"]),
    (true, ["query", "key", "value", "proj_attn"]),
    (false, ["query", "key", "value", "proj_attn"]),
    (false, ["to_to_q", "to_to_k", "to_to_v", "to_out.0"]),
  ]

  @Test(arguments: attention, [[64, 64], [64, 64, 1, 1]])
  func attentionOfVAEs(_ case: (single: Bool, names: [String]), shape: [Int]) throws {
    let scratch = try Scratch()
    let single = try SingleFile(in: scratch)
    let names = `case`.names
    func changed(_ tensors: [Tensor], _ usual: [String], below module: String) -> [Tensor] {
      tensors.map { tensor in
        for (usual, other) in zip(usual, names)
        where tensor.name.contains("\(module).\(usual).") {
          let renamed = tensor.replacing("\(module).\(usual).", "\(module).\(other).")
          return renamed.shape.rank > 1 ? renamed.reshaped(Shape(shape)) : renamed
        }
        return tensor
      }
    }
    let usual = ["to_q", "to_k", "to_v", "to_out.0"]
    let path: String
    if `case`.single {
      path = scratch.path("file")
      try Safetensors.write(
        changed(single.tensors, ["q", "k", "v", "proj_out"], below: "attn_1"),
        metadata: single.metadata, to: path)
    } else {
      path = try scratch.repository {
        // The bundled model's repository is of 2022 or of today; both become the case's names.
        changed(
          changed($0, ["query", "key", "value", "proj_attn"], below: "attentions.0"), usual,
          below: "attentions.0")
      }
    }
    let source = try ModelCheckpoint.open(path)
    let expected = try LayoutTests.parameters(ModelCheckpoint.open(LayoutTests.model))
    #expect(try LayoutTests.parameters(source) == expected)
    #expect(try Verification(of: source).isSound)
    for (target, module, usual, shape) in [
      (Conversion.Target.ldm, "attn_1", ["q", "k", "v", "proj_out"], [64, 64, 1, 1]),
      (.gguf, "attn_1", ["q", "k", "v", "proj_out"], [64, 64, 1, 1]),
      (.diffusers, "attentions.0", usual, [64, 64]), (.sdflat, "attentions.0", usual, [64, 64]),
    ] {
      let out = scratch.path("out-\(target)")
      try LayoutTests.convert(path, to: target, at: out)
      let result = try ModelCheckpoint.open(out)
      #expect(try LayoutTests.parameters(result) == expected)
      // Repositories from 2022 keep their names, which diffusers still reads.
      guard `case`.single || names[0] != "query" || target == .ldm || target == .gguf else {
        continue
      }
      let vae = try result.require(.vae)
      for name in usual {
        let weights = vae.tensors.filter { $0.name.hasSuffix("\(module).\(name).weight") }
        #expect(weights.map(\.shape.dimensions) == [shape, shape], "\(target) \(name)")
      }
    }
  }

  // MARK: Two names

  /// `text_model.` left out, as some programs write it, next to the usual names.
  static func older(_ single: SingleFile) -> [Tensor] {
    single.network(SingleFile.text).map { $0.renamed("cond_stage_model.transformer." + $0.name) }
  }

  @Test(arguments: [Conversion.Target.ldm, .gguf, .diffusers, .sdflat])
  func equalDuplicatesAreSaid(target: Conversion.Target) throws {
    let scratch = try Scratch()
    let single = try SingleFile(in: scratch)
    let older = SecondNameTests.older(single)
    try single.write("both", in: scratch, metadata: single.metadata, adding: older)
    let source = try ModelCheckpoint.open(scratch.path("both"))
    #expect(
      source.warnings.contains { $0.contains("\(older.count) tensors are there under two names") })
    let plan = try Conversion(of: source, to: target, at: scratch.path("out"))
    #expect(Set(plan.drops.map(\.name)) == Set(older.map(\.name)))
    #expect(Set(plan.drops.map(\.reason)) == ["a second name for the same values"])
    #expect(plan.notes.contains { $0.hasSuffix("the values are the same") })
    try plan.execute()
    #expect(
      try LayoutTests.parameters(ModelCheckpoint.open(scratch.path("out")))
        == LayoutTests.parameters(ModelCheckpoint.open(LayoutTests.model)))
  }

  @Test func otherValuesAreSaid() throws {
    let scratch = try Scratch()
    let single = try SingleFile(in: scratch)
    let older = SecondNameTests.older(single)
    let odd = "cond_stage_model.transformer.final_layer_norm.weight"
    try single.write(
      "both", in: scratch, metadata: single.metadata,
      adding: older.map { $0.name == odd ? $0.zeroed : $0 })
    let source = try ModelCheckpoint.open(scratch.path("both"))
    let plan = try Conversion(of: source, to: .ldm, at: scratch.path("out"))
    #expect(plan.drops.count == older.count)
    #expect(plan.drops.filter { $0.reason.contains("other values") }.map(\.name) == [odd])
    #expect(plan.notes.contains { $0.contains("1 have other values") && $0.hasSuffix(odd) })
    try plan.execute()
    #expect(
      try LayoutTests.parameters(ModelCheckpoint.open(scratch.path("out")))
        == LayoutTests.parameters(ModelCheckpoint.open(LayoutTests.model)))
  }

  /// Either spelling alone loses nothing.
  @Test func olderNamesAlone() throws {
    let scratch = try Scratch()
    let single = try SingleFile(in: scratch)
    try single.write("older", in: scratch, metadata: single.metadata) {
      $0.replacing(SingleFile.text, "cond_stage_model.transformer.")
    }
    let plan = try Conversion(
      of: ModelCheckpoint.open(scratch.path("older")), to: .ldm, at: scratch.path("out"))
    #expect(plan.drops.isEmpty)
    try plan.execute()
    #expect(
      Set(try TensorFile.open(scratch.path("out")).tensors.map(\.name))
        == Set(single.tensors.map(\.name)))
  }

  // MARK: Position ids

  /// floor(0.9995 i) and 0.583 i, as torch makes them; both are repaired with one note.
  @Test(arguments: [DType.int64, .float16])
  func wrongPositionIDsAreToldAndRepaired(dtype: DType) throws {
    let scratch = try Scratch()
    let single = try SingleFile(in: scratch)
    let values =
      dtype == .int64
      ? bytes((0..<77).map { Int64((Double($0) * 0.9995).rounded(.down)) })
      : bytes((0..<77).map { Float16(Float($0) * 0.583).bitPattern })
    let ids = Tensor(
      name: SingleFile.positionIDs, dtype: dtype, shape: [1, 77], storage: .memory(values))
    try single.write("file", in: scratch, metadata: single.metadata) {
      $0.name == ids.name ? ids : $0
    }
    let source = try ModelCheckpoint.open(scratch.path("file"))
    let found =
      "\(ids.name) holds \(dtype.rawValue), not the numbers 0 to 76 (missing: "
      + (dtype == .int64 ? "76)" : "1, 2, 3, 4, 5, 6, 7, 8 and 68 more)")
    #expect(Summary(source).warnings.contains { $0.contains(found) }, "\(source.warnings)")
    let verification = try Verification(of: source)
    #expect(verification.problems.count == 1)
    #expect(verification.problems.first?.contains(found) == true)
    let plan = try Conversion(of: source, to: .ldm, at: scratch.path("out"))
    #expect(plan.notes.contains { $0.contains(found) && $0.hasSuffix("written as I64, 0 to 76") })
    try plan.execute()
    let result = try ModelCheckpoint.open(scratch.path("out"))
    #expect(result.warnings.isEmpty)
    #expect(try Verification(of: result).isSound)
    let written = try #require(result[.textEncoder]?[ids.name])
    #expect(written.contiguousBytes() == bytes((0..<77).map { Int64($0) }))
  }
}

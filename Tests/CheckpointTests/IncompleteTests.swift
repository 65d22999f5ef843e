import Checkpoint
import Foundation
import ModelFormats
import TestSupport
import Testing

/// Files that lack a part of a network, or have it in another shape: the check names it, and the
/// headline stays correct.
@Suite struct IncompleteTests {
  struct Gap: Sendable {
    /// The prefix of the omitted tensors' names.
    let prefix: String
    let component: String
    /// How many there are.
    let count: Int
  }

  static let gaps = [
    Gap(prefix: "model.diffusion_model.input_blocks.0.0.weight", component: "unet", count: 1),
    Gap(prefix: "model.diffusion_model.input_blocks.0.0.", component: "unet", count: 2),
    Gap(prefix: "model.diffusion_model.out.", component: "unet", count: 4),
    Gap(prefix: "model.diffusion_model.time_embed.", component: "unet", count: 4),
    Gap(prefix: "model.diffusion_model.input_blocks.3.", component: "unet", count: 38),
    Gap(prefix: "model.diffusion_model.input_blocks.4.", component: "unet", count: 2),
    Gap(prefix: "model.diffusion_model.input_blocks.1.1.", component: "unet", count: 26),
    Gap(prefix: "first_stage_model.encoder.conv_in.", component: "vae", count: 2),
    Gap(prefix: "first_stage_model.decoder.conv_out.weight", component: "vae", count: 1),
    Gap(prefix: "first_stage_model.post_quant_conv.", component: "vae", count: 2),
    Gap(prefix: "first_stage_model.decoder.mid.", component: "vae", count: 26),
    Gap(
      prefix: "cond_stage_model.transformer.text_model.embeddings.token_embedding.",
      component: "text_encoder", count: 1),
    Gap(
      prefix: "cond_stage_model.transformer.text_model.final_layer_norm.",
      component: "text_encoder", count: 2),
  ]

  /// Names a tensor under the file's name, or how many there are and the first.
  private static func expectNamed(
    _ gap: Gap, _ names: [String], _ problems: [String], _ source: SourceLocation = #_sourceLocation
  ) throws {
    let own = problems.filter { $0.hasPrefix("\(gap.component): ") }
    if names.count > 4 {
      #expect(own.count == 1, sourceLocation: source)
      #expect(
        own.first?.hasPrefix("\(gap.component): \(names.count) tensors are missing: ") == true,
        sourceLocation: source)
      #expect(
        names.contains { own.first?.contains(": \($0),") == true }, sourceLocation: source)
    } else {
      #expect(own.count == names.count, sourceLocation: source)
      for name in names {
        #expect(own.contains { $0.contains(" \(name) [") }, "\(name)", sourceLocation: source)
      }
    }
  }

  @Test(arguments: gaps.indices)
  func namesWhatASingleFileLacks(index: Int) throws {
    let gap = IncompleteTests.gaps[index]
    let scratch = try Scratch()
    let single = try SingleFile(in: scratch)
    let names = single.tensors.map(\.name).filter { $0.hasPrefix(gap.prefix) }
    #expect(names.count == gap.count)
    let path = try single.write("gap.safetensors", in: scratch) {
      $0.name.hasPrefix(gap.prefix) ? nil : $0
    }
    let checkpoint = try ModelCheckpoint.open(path)
    let result = try Verification(of: checkpoint)
    #expect(!result.isSound)
    try IncompleteTests.expectNamed(gap, names, result.problems)
    let title = Recognition(checkpoint).title
    #expect(title.contains("Stable Diffusion architecture with custom widths"), "\(title)")
    #expect(title.contains("incomplete: lacks "), "\(title)")
    #expect(throws: FormatError.self) {
      _ = try Conversion(of: checkpoint, to: .diffusers, at: scratch.path("out"))
    }
  }

  /// The same for a lone UNet, without a prefix.
  @Test(arguments: ["input_blocks.0.0.weight", "time_embed.", "out.2.weight"])
  func namesWhatALoneUNetLacks(prefix: String) throws {
    let scratch = try Scratch()
    let tensors = try SingleFile(in: scratch).network(SingleFile.unet)
    let names = tensors.map(\.name).filter { $0.hasPrefix(prefix) }
    try Safetensors.write(
      tensors.filter { !$0.name.hasPrefix(prefix) }, metadata: [],
      to: scratch.path("unet.safetensors"))
    let result = try VerificationTests.verify(scratch.path("unet.safetensors"))
    try IncompleteTests.expectNamed(
      Gap(prefix: prefix, component: "unet", count: names.count), names, result.problems)
  }

  /// A tensor with a wrong shape is named, and not the tensors that it conflicts with.
  @Test func namesTheTensorThatDoesNotFit() throws {
    let scratch = try Scratch()
    let name = "model.diffusion_model.time_embed.0.weight"
    let path = try SingleFile(in: scratch).write("misfit.safetensors", in: scratch) { tensor in
      guard tensor.name == name else { return tensor }
      return Tensor(
        name: name, dtype: .float32, shape: Shape([64, 32]),
        storage: .memory([UInt8](repeating: 1, count: 64 * 32 * 4)))
    }
    let result = try VerificationTests.verify(path)
    #expect(
      result.problems == ["unet: \(name) has the shape [64, 32], not [128, 32]"])
  }

  /// A checkpoint without its decoder is incomplete, although a lone decoder is complete.
  @Test(arguments: ["decoder", "encoder"])
  func aHalfAmongNetworksIsNotWhole(part: String) throws {
    let scratch = try Scratch()
    let conv = part == "decoder" ? "post_quant_conv" : "quant_conv"
    let path = try SingleFile(in: scratch).write("half.safetensors", in: scratch) { tensor in
      ["first_stage_model.\(part).", "first_stage_model.\(conv)."].contains(
        where: tensor.name.hasPrefix) ? nil : tensor
    }
    let checkpoint = try ModelCheckpoint.open(path)
    let result = try Verification(of: checkpoint)
    #expect(result.problems.contains { $0.hasPrefix("vae: ") && $0.contains("missing") })
    #expect(Recognition(checkpoint).title.contains("VAE incomplete: lacks "))
  }

  /// A network whose tensors all fit, but unlike any published one, is called neither valid nor
  /// faulty.
  @Test func oddNetworksAreNotChecked() throws {
    let scratch = try Scratch()
    let path = try SingleFile(in: scratch).write("odd.safetensors", in: scratch) {
      $0.name.contains("coder.mid.attn_1.") ? nil : $0
    }
    let result = try VerificationTests.verify(path)
    #expect(result.problems == [] && result.verdict == nil)
    #expect(result.unchecked.contains { $0.hasPrefix("vae: its tensors fit one another, but ") })
  }

  /// A lone decoder is complete in its own file.
  @Test func takesADecoderAloneForWhatItIs() throws {
    let scratch = try Scratch()
    let tensors = try SingleFile(in: scratch).network(SingleFile.vae).filter {
      $0.name.hasPrefix("decoder.") || $0.name.hasPrefix("post_quant_conv.")
    }
    try Safetensors.write(tensors, metadata: [], to: scratch.path("decoder.safetensors"))
    let result = try VerificationTests.verify(scratch.path("decoder.safetensors"))
    #expect(result.problems == [])
    #expect(result.notes.contains("vae: the model contains only the vae_decoder"))
  }

  /// Optimizer state is an entry of its own, not a parameter.
  @Test func countsNoOptimizerState() throws {
    let scratch = try Scratch()
    let single = try SingleFile(in: scratch)
    let states = ["step", "exp_avg", "exp_avg_sq"].map {
      Tensor(
        name: "optimizer_states.0.state.0.\($0)", dtype: .float32, shape: Shape([10]),
        storage: .memory([UInt8](repeating: 1, count: 40)))
    }
    let plain = try Summary(ModelCheckpoint.open(single.write("a.safetensors", in: scratch)))
    let path = try single.write("b.safetensors", in: scratch, adding: states)
    let summary = try Summary(ModelCheckpoint.open(path))
    #expect(summary.parameters == plain.parameters)
    #expect(summary.buffers == plain.buffers)
    #expect(summary.bytes == plain.bytes + 120)
    let state = try #require(summary.leftovers.first { $0.kind == .optimizerState })
    #expect(state.names.count == 3 && state.bytes == 120)
    let conversion = try Conversion(
      of: ModelCheckpoint.open(path), to: .safetensors, at: scratch.path("c.safetensors"))
    #expect(conversion.drops.map(\.name).sorted() == states.map(\.name).sorted())
  }

  /// A scale of another size than its weight fails, and is not converted.
  @Test func refusesAScaleThatDoesNotFit() throws {
    let scratch = try Scratch()
    let weight = Tensor(
      name: "a.weight", dtype: .float8E4M3, shape: Shape([4, 8]),
      storage: .memory([UInt8](repeating: 0x38, count: 32)))
    for (shape, fits) in [
      ([1], true), ([4], true), ([4, 2], true), ([3], false), ([4, 3], false),
    ] {
      let count = shape.reduce(1, *)
      let scale = Tensor(
        name: "a.scale_weight", dtype: .float32, shape: Shape(shape),
        storage: .memory([UInt8](repeating: 0x3F, count: 4 * count)))
      let path = scratch.path("\(shape).safetensors")
      try Safetensors.write([weight, scale], metadata: [], to: path)
      let checkpoint = try ModelCheckpoint.open(path)
      let problems = try Verification(of: checkpoint).problems
      #expect(problems.isEmpty == fits, "\(shape)")
      guard !fits else { continue }
      #expect(problems.first?.contains("a.weight: its scale a.scale_weight F32") == true)
      #expect(throws: FormatError.self) {
        _ = try Conversion(
          of: checkpoint, to: .safetensors, at: scratch.path("out"),
          options: .init(dtype: .float16))
      }
      // A copy keeps what it cannot read.
      _ = try Conversion(of: checkpoint, to: .safetensors, at: scratch.path("out"))
    }
  }

  /// A GGUF file's architecture key decides if tensors do not, and is contradicted if they do.
  @Test func weighsTheDeclaredArchitecture() throws {
    let scratch = try Scratch()
    func text(_ text: String) -> [UInt8] { littleEndian(UInt64(text.utf8.count)) + text.utf8 }
    // One pair, one tensor of four bytes.
    func file(_ name: String, _ word: String) -> [UInt8] {
      var bytes = Array("GGUF".utf8) + littleEndian(UInt32(3)) + littleEndian(UInt64(1))
      bytes += littleEndian(UInt64(1)) + text("general.architecture") + littleEndian(UInt32(8))
      bytes += text(word) + text(name) + littleEndian(UInt32(1)) + littleEndian(UInt64(4))
      bytes += littleEndian(UInt32(24)) + littleEndian(UInt64(0))
      return bytes + [UInt8](repeating: 0, count: (32 - bytes.count % 32) % 32) + [1, 2, 3, 4]
    }
    try scratch.write(file("blocks.weight", "wan"), as: "wan.gguf")
    let wan = try Recognition(ModelCheckpoint.open(scratch.path("wan.gguf")))
    #expect(wan.family.id == "wan" && wan.title == "Wan")
    #expect(wan.reasons.contains { $0.contains("general.architecture does") })
    let flux = try FamilyTests.tensors("flux1-dev")
    let odd = Recognition(
      ModelCheckpoint.of(
        TensorFile(
          path: "weights", format: .gguf,
          metadata: [(key: "general.architecture", value: "sd1")], tensors: flux)))
    #expect(odd.family.id == "flux1-dev")
    #expect(odd.reasons.contains { $0.contains("contradicts the tensors") }, "\(odd.reasons)")
  }
}

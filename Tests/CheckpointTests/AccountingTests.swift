import Checkpoint
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

/// No tensor is lost silently: each is written, or listed as left out, or the conversion is
/// rejected.
@Suite struct AccountingTests {
  /// Files with odd tensors in every place.
  enum Oddity: String, CaseIterable, Sendable {
    case none, everywhere, sdxl, withoutMiddleBlock, secondTextEncoder, compiled, wrapped, averages
    case averagesOnly, both, transformer, loneVAE, loneUNet, unknown

    func write(in scratch: Scratch) throws -> String {
      let single = try SingleFile(in: scratch)
      let (unet, vae, text) = (SingleFile.unet, SingleFile.vae, SingleFile.text)
      func write(_ others: [Tensor] = [], _ change: (Tensor) -> Tensor? = { $0 }) throws -> String {
        try single.write(rawValue, in: scratch, adding: others, change)
      }
      switch self {
      case .none: return try write()
      case .everywhere:
        return try write([
          .floats("odd", [1]), .floats(unet + "odd.weight", [2]), .floats(vae + "decoder.odd", [3]),
          .floats(text + "odd", [4]), .floats("cond_stage_model.odd", [5]), .floats("betas", [6]),
          .floats("model_ema.decay", [7]), .floats("loss.logvar", [8]), .floats("", [9]),
          .floats("optimizer_states.0.state.0.exp_avg", [10]), .floats("global_step", [11]),
          .floats("lora_unet_x.lora_down.weight", [12]), .floats("depth_model.a", [13]),
        ])
      case .sdxl:
        return try write([.floats(unet + "label_emb.0.0.weight", [0, 0], shape: [1, 2])])
      case .withoutMiddleBlock: return try write { $0.name.contains(".middle_block.") ? nil : $0 }
      case .secondTextEncoder:
        return try write([
          .floats("conditioner.embedders.1.model.ln_final.weight", [1, 2]),
          .floats("conditioner.embedders.1.model.text_projection", [1, 2]),
        ])
      case .compiled: return try write { $0.replacing(unet, unet + "_orig_mod.") }
      case .wrapped:
        return try write([.floats("state_dict.module.odd", [1]), .floats("beside", [1])]) {
          $0.renamed("state_dict.module." + $0.name)
        }
      case .averages: return try write(single.averages.map(\.zeroed))
      case .averagesOnly: return try write(single.averages) { $0.name.hasPrefix(unet) ? nil : $0 }
      case .both:
        return try write(
          single.network(text).map {
            $0.renamed("cond_stage_model.transformer." + $0.name)
          })
      case .transformer:
        return try write([.floats(unet + "joint_blocks.0.x_block.attn.qkv.weight", [1])]) {
          $0.name.hasPrefix(unet) ? nil : $0
        }
      case .loneVAE, .loneUNet:
        try Safetensors.write(
          single.network(self == .loneVAE ? vae : unet)
            + [.floats("loss.logvar", [1]), .floats("odd", [2])], to: scratch.path(rawValue))
        return scratch.path(rawValue)
      case .unknown:
        try Safetensors.write(
          [.floats("a", [1]), .floats("b._orig_mod.c", [2])], to: scratch.path(rawValue))
        return scratch.path(rawValue)
      }
    }
  }

  /// Every oddity to every target, with and without each of the options that leave something out.
  @Test(arguments: Oddity.allCases)
  func everyTensorIsWrittenOrNamed(oddity: Oddity) throws {
    let scratch = try Scratch()
    let path = try oddity.write(in: scratch)
    let names = try TensorFile.open(path).tensors.map(\.name)
    let source = try ModelCheckpoint.open(path)
    #expect(source.components.flatMap(\.tensors).map(\.name).sorted() == names.sorted())
    var written = 0
    for target in Conversion.Target.allCases {
      for (format, ema, drop) in [
        (WeightsFormat.safetensors, false, false), (.safetensors, false, true),
        (.safetensors, true, false), (.bin, false, false),
      ] {
        var options = Conversion.Options()
        options.useAverages = ema
        options.dropUnknown = drop
        options.format = target == .ldm || target == .diffusers ? format : nil
        let out = scratch.path("\(target)-\(format)-\(ema)-\(drop)")
        let plan: Conversion
        do throws(FormatError) {
          plan = try Conversion(of: source, to: target, at: out, options: options)
        } catch {
          // The error says what is wrong and what to do.
          #expect([.unsupported, .mismatch].contains(error.code), "\(target): \(error)")
          #expect(error.hint != nil, "\(target): \(error)")
          continue
        }
        let steps = plan.parts.flatMap(\.tensors)
        let read = steps.compactMap(\.source) + steps.flatMap(\.joined).map(\.name)
        let dropped = plan.drops.map(\.name)
        #expect(Set(read + dropped) == Set(names), "\(target) \(options)")
        #expect(Set(read).isDisjoint(with: dropped), "\(target)")
        #expect(Set(dropped).count == dropped.count)
        #expect(plan.json["dropped"]?.array?.count == dropped.count)
        // The other options change only the plan.
        if drop || ema && target != .ldm { continue }
        try plan.execute()
        written += 1
        let result = try ModelCheckpoint.open(out)
        let tensors = result.components.flatMap(\.tensors)
        #expect(tensors.count == steps.count, "\(target)")
        // The values are the source's.
        let originals = Dictionary(
          uniqueKeysWithValues: source.components.flatMap(\.tensors).map { ($0.name, $0) })
        for (step, name) in steps.map({ ($0, $0.source ?? "") })
        where step.change == nil && step.joined.isEmpty && step.tensor.dtype == step.dtype {
          #expect(step.tensor.contiguousBytes() == originals[name]?.contiguousBytes(), "\(name)")
        }
      }
    }
    #expect(written > 0)
  }

  /// Errors name the network; what can be kept is kept.
  @Test(arguments: [
    (Oddity.sdxl, "unet"), (.withoutMiddleBlock, "unet"), (.secondTextEncoder, "text_encoder_2"),
    (.transformer, "unet"),
  ])
  func unknownNetworksAreKeptOrRefused(oddity: Oddity, network: String) throws {
    let scratch = try Scratch()
    let path = try oddity.write(in: scratch)
    let names = try TensorFile.open(path).tensors.map(\.name)
    // A later version may know the graph of a UNet without a middle block.
    guard try ModelCheckpoint.open(path)[ComponentName(rawValue: network)]?.manifest == nil else {
      return
    }
    for target in [Conversion.Target.gguf, .safetensors, .sdflat] {
      try LayoutTests.convert(path, to: target, at: scratch.path("out"))
      let tensors = try ModelCheckpoint.open(scratch.path("out")).components.flatMap(\.tensors)
      if target == .sdflat {
        #expect(tensors.count == names.count)
      } else {
        #expect(Set(tensors.map(\.name)) == Set(names), "\(target)")
      }
      try scratch.remove("out")
    }
    for target in [Conversion.Target.ldm, .diffusers] {
      let error = try #require(
        try failure { try LayoutTests.convert(path, to: target, at: scratch.path("out")) })
      #expect(error.code == .unsupported)
      #expect(error.context?.hasPrefix(network) == true, "\(error)")
      #expect(error.hint?.mentions(.layout, "safetensors") == true)
    }
  }

  /// A repository's network that single files cannot contain is not lost when converting to one.
  @Test(arguments: [Conversion.Target.ldm, .gguf])
  func aRepositoryKeepsItsNetworks(target: Conversion.Target) throws {
    let scratch = try Scratch()
    let model = try scratch.linkedRepository()
    try scratch.write(
      #"{"architectures": ["CLIPVisionModel"]}"#, as: "model/image_encoder/config.json")
    try Safetensors.write(
      [.floats("vision_model.a", [1])], to: scratch.path("model/image_encoder/model.safetensors"))
    let error = try #require(
      try failure { try LayoutTests.convert(model, to: target, at: scratch.path("out")) })
    #expect(error.code == .unsupported)
    #expect(error.context?.hasPrefix("image_encoder") == true)
    #expect(error.hint?.mentions(.components, "text_encoder,unet,vae") == true)
    try LayoutTests.convert(model, to: target, at: scratch.path("out")) {
      $0.components = [.textEncoder, .unet, .vae]
    }
    try LayoutTests.convert(model, to: .diffusers, at: scratch.path("repository"))
    let repository = try ModelCheckpoint.open(scratch.path("repository"))
    #expect(
      repository[ComponentName(rawValue: "image_encoder")]?.tensors.map(\.name)
        == ["vision_model.a"])
  }

  /// Unknown tensors keep their full names if the bare name is taken.
  @Test func namesDoNotCollide() throws {
    let scratch = try Scratch()
    let single = try SingleFile(in: scratch)
    try Safetensors.write(
      single.network(SingleFile.vae).map { $0.renamed("vae." + $0.name) }
        + [.floats("decoder.conv_in.weight", [1])], to: scratch.path("vae"))
    // Only a VAE has no prefix, so two tensors would share a name.
    let error = try failure {
      try LayoutTests.convert(scratch.path("vae"), to: .ldm, at: scratch.path("out"))
    }
    #expect(error?.code == .mismatch)
    #expect(
      error?.message
        == "two tensors would have the name decoder.conv_in.weight: vae.decoder.conv_in.weight and "
        + "decoder.conv_in.weight")
    try LayoutTests.convert(scratch.path("vae"), to: .safetensors, at: scratch.path("out"))
    #expect(try TensorFile.open(scratch.path("out")).tensors.count == 181)

    // In a dictionary the unknown tensor can keep its own name.
    try Safetensors.write(
      single.network(SingleFile.vae).map { $0.renamed("state_dict.vae." + $0.name) }
        + [.floats("state_dict.decoder.conv_in.weight", [1])], to: scratch.path("wrapped"))
    try LayoutTests.convert(scratch.path("wrapped"), to: .ldm, at: scratch.path("again"))
    let names = Set(try TensorFile.open(scratch.path("again")).tensors.map(\.name))
    #expect(names.contains("decoder.conv_in.weight"))
    #expect(names.contains("state_dict.decoder.conv_in.weight"))
  }
}

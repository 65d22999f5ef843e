import Checkpoint
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

/// Prefixes and infixes that training and saving add to names.
@Suite struct BareNameTests {
  /// Positions of a wrapper: before all names, after the UNet's prefix, or after every prefix.
  static let wrappings: [(before: String, inside: String)] = [
    ("module.", ""), ("_orig_mod.", ""), ("model.", ""), ("state_dict.", ""),
    ("model_state_dict.", ""), ("ema.", ""), ("ema_model.", ""), ("params.", ""),
    ("params_ema.", ""), ("net.", ""), ("", "_orig_mod."), ("", "module."),
    ("state_dict.module.", "_orig_mod."), ("state_dict.model.module._orig_mod.", ""),
    ("model_state_dict._orig_mod.module.", "_fsdp_wrapped_module."), ("_orig_mod.", "_orig_mod."),
  ]

  /// A complete single file in any of them is the same model, for every target.
  @Test(arguments: wrappings)
  func wholeFilesAreRead(before: String, inside: String) throws {
    let scratch = try Scratch()
    let single = try SingleFile(in: scratch)
    let expected = try LayoutTests.parameters(ModelCheckpoint.open(LayoutTests.model))
    try single.write("file", in: scratch, metadata: single.metadata) { tensor in
      var name = tensor.name
      for prefix in ["model.diffusion_model.", "first_stage_model."]
      where name.hasPrefix(prefix) {
        name = prefix + inside + name.dropFirst(prefix.count)
      }
      return tensor.renamed(before + name)
    }
    let source = try ModelCheckpoint.open(scratch.path("file"))
    #expect(source.components.map(\.name) == [.textEncoder, .unet, .vae])
    #expect(try LayoutTests.parameters(source) == expected)
    // Reported, except for the usual dictionary of training checkpoints.
    let isUsual = before == "state_dict." && inside.isEmpty
    #expect(
      source.warnings.contains { $0.contains("is not part of the network's names") } != isUsual)
    for target in [Conversion.Target.ldm, .gguf, .diffusers] {
      let out = scratch.path("out-\(target)")
      try LayoutTests.convert(scratch.path("file"), to: target, at: out)
      let result = try ModelCheckpoint.open(out)
      #expect(try LayoutTests.parameters(result) == expected, "\(target)")
      #expect(!result.warnings.contains { $0.contains("names") }, "\(target): \(result.warnings)")
    }
  }

  /// Every lone network, as single files and as diffusers name it.
  @Test(
    arguments: [
      "module.", "_orig_mod.", "model.", "net.", "params_ema.", "state_dict.model._orig_mod.",
    ], ComponentName.required)
  func loneNetworksAreRead(wrapper: String, name: ComponentName) throws {
    let scratch = try Scratch()
    let single = try SingleFile(in: scratch)
    let model = try ModelCheckpoint.open(LayoutTests.model).require(name)
    let prefix =
      [.unet: SingleFile.unet, .vae: SingleFile.vae][name] ?? "cond_stage_model.transformer."
    for (index, tensors) in [single.network(prefix), model.tensors].enumerated() {
      let path = scratch.path("file\(index)")
      try Safetensors.write(tensors.map { $0.renamed(wrapper + $0.name) }, to: path)
      let source = try ModelCheckpoint.open(path)
      #expect(source.components.map(\.name) == [name])
      let component = try source.require(name)
      #expect(component.manifest?.unexpected.isEmpty == true)
      try LayoutTests.convert(path, to: .diffusers, at: scratch.path("out\(index)"))
      let written = try ModelCheckpoint.open(scratch.path("out\(index)")).components[0]
      #expect(
        Set(written.tensors.map(\.name))
          == Set(tensors.map { component.publishedName(of: $0.renamed(wrapper + $0.name)) }))
    }
  }

  /// A compiled network that diffusers saved.
  @Test func componentsOfRepositoriesAreRead() throws {
    let scratch = try Scratch()
    let model = try scratch.repository { tensors in
      tensors.map { $0.renamed("_orig_mod." + $0.name) }
    }
    let source = try ModelCheckpoint.open(model)
    #expect(
      try LayoutTests.parameters(source)
        == LayoutTests.parameters(ModelCheckpoint.open(LayoutTests.model)))
    #expect(source.warnings.contains { $0.hasPrefix("vae: \"_orig_mod.\" in the names of 180") })
    try LayoutTests.convert(model, to: .safetensors, at: scratch.path("out"))
    let vae = try ModelCheckpoint.open(scratch.path("out")).require(.vae)
    #expect(vae["decoder.conv_in.weight"] != nil)
  }

  /// A dictionary of averages next to one of weights: the weights are read, `--ema` takes the
  /// others.
  @Test(arguments: [("params.", "params_ema."), ("state_dict.", "ema."), ("model.", "ema_model.")])
  func averagesInADictionary(weights: String, averages: String) throws {
    let scratch = try Scratch()
    let single = try SingleFile(in: scratch)
    let vae = single.network(SingleFile.vae)
    try Safetensors.write(
      vae.map { $0.renamed(weights + $0.name) }
        + vae.map { $0.zeroed.renamed(averages + $0.name) }, to: scratch.path("file"))
    let source = try ModelCheckpoint.open(scratch.path("file"))
    #expect(source.components.map(\.name.rawValue) == ["vae", "vae_ema"])
    for useAverages in [false, true] {
      let path = scratch.path("out\(useAverages)")
      var options = Conversion.Options()
      options.useAverages = useAverages
      let plan = try Conversion(of: source, to: .ldm, at: path, options: options)
      #expect(plan.drops.count == vae.count)
      #expect(
        plan.drops.allSatisfy {
          $0.reason.contains("averaged weights") || $0.reason.contains("by the averages")
        })
      try plan.execute()
      let tensors = try TensorFile.open(path).tensors
      #expect(Set(tensors.map(\.name)) == Set(vae.map(\.name)))
      let isZero = tensors.allSatisfy { $0.contiguousBytes().allSatisfy { $0 == 0 } }
      #expect(isZero == useAverages)
    }
  }

  /// Averages of a whole model, in a dictionary next to its weights.
  @Test func averagesOfAWholeModel() throws {
    let scratch = try Scratch()
    let single = try SingleFile(in: scratch)
    try single.write(
      "file", in: scratch, metadata: single.metadata,
      adding: single.tensors.map { $0.zeroed.renamed("ema." + $0.name) }
    ) { $0.renamed("state_dict." + $0.name) }
    let source = try ModelCheckpoint.open(scratch.path("file"))
    #expect(
      source.components.map(\.name.rawValue)
        == ["text_encoder", "unet", "vae", "unet_ema", "text_encoder_ema", "vae_ema"])
    let expected = try LayoutTests.parameters(ModelCheckpoint.open(LayoutTests.model))
    for useAverages in [false, true] {
      try LayoutTests.convert(
        scratch.path("file"), to: .diffusers, at: scratch.path("out\(useAverages)")
      ) { $0.useAverages = useAverages }
      let result = try ModelCheckpoint.open(scratch.path("out\(useAverages)"))
      #expect(result.components.map(\.name) == ComponentName.required)
      #expect((try LayoutTests.parameters(result) == expected) != useAverages)
    }
  }

  /// A dictionary of averages without one of weights is read with and without `--ema`.
  @Test(arguments: [false, true])
  func averagesWithoutWeights(useAverages: Bool) throws {
    let scratch = try Scratch()
    let vae = try SingleFile(in: scratch).network(SingleFile.vae)
    try Safetensors.write(
      vae.map { $0.renamed("params_ema." + $0.name) }, to: scratch.path("file"))
    try LayoutTests.convert(scratch.path("file"), to: .ldm, at: scratch.path("out")) {
      $0.useAverages = useAverages
    }
    #expect(
      Set(try TensorFile.open(scratch.path("out")).tensors.map(\.name)) == Set(vae.map(\.name)))
  }

  /// Of two dictionaries with the same network, one is read, with a note; the other is not part of
  /// the network.
  @Test func oneOfTwoDictionariesIsRead() throws {
    let scratch = try Scratch()
    let single = try SingleFile(in: scratch)
    let vae = single.network(SingleFile.vae)
    try Safetensors.write(
      vae.map { $0.renamed("net." + $0.name) }
        + vae.map { $0.zeroed.renamed("network." + $0.name) }, to: scratch.path("file"))
    let source = try ModelCheckpoint.open(scratch.path("file"))
    #expect(source.components.map(\.name) == [.vae, .other])
    #expect(source.components.map(\.tensors.count) == [vae.count, vae.count])
    #expect(source.warnings.contains { $0.hasPrefix("network. holds the same networks as net.") })
    let error = try failure {
      try LayoutTests.convert(scratch.path("file"), to: .diffusers, at: scratch.path("out"))
    }
    #expect(error?.hint?.mentions(.dropUnknown) == true)
  }

  /// Words that are not wrappers, or contain no network, stay.
  @Test func namesOfOtherModelsStay() throws {
    let scratch = try Scratch()
    let names = ["model.layers.0.weight", "module.a", "ema.b", "x._orig_mod.y"]
    try Safetensors.write(names.map { .floats($0, [1]) }, to: scratch.path("file"))
    for target in [Conversion.Target.safetensors, .gguf] {
      try LayoutTests.convert(scratch.path("file"), to: target, at: scratch.path("out"))
      #expect(Set(try TensorFile.open(scratch.path("out")).tensors.map(\.name)) == Set(names))
      try scratch.remove("out")
    }
  }
}

/// One network in a file with leftovers of training.
@Suite struct LoneNetworkTests {
  @Test(arguments: [false, true], [Conversion.Target.ldm, .gguf, .safetensors])
  func tensorsOfNoNetworkAreNoSecondOne(dropUnknown: Bool, target: Conversion.Target) throws {
    let scratch = try Scratch()
    let vae = try SingleFile(in: scratch).network(SingleFile.vae)
    let others = [
      "loss.logvar", "loss.discriminator.main.0.weight", "discriminator.main.0.weight",
      "optimizer.state.0.exp_avg", "global_step", "model_ema.decoderconv_inweight",
      "model_ema.decay",
    ]
    try Safetensors.write(
      vae.map { $0.renamed("state_dict." + $0.name) }
        + others.map { .floats("state_dict." + $0, [1]) }, to: scratch.path("file"))
    let source = try ModelCheckpoint.open(scratch.path("file"))
    #expect(source.components.map(\.name) == [.vae, .other])
    #expect(source.components.map(\.tensors.count) == [vae.count, others.count])
    try LayoutTests.convert(scratch.path("file"), to: target, at: scratch.path("out")) {
      $0.dropUnknown = dropUnknown
    }
    let names = Set(try TensorFile.open(scratch.path("out")).tensors.map(\.name))
    #expect(names.isSuperset(of: vae.map(\.name)))
    let kept = [
      "loss.logvar", "loss.discriminator.main.0.weight", "discriminator.main.0.weight",
      "global_step", "model_ema.decoderconv_inweight",
    ]
    #expect(names.subtracting(vae.map(\.name)) == (dropUnknown ? [] : Set(kept)))
  }
}

import ModelFormats

/// The original layout of Stable Diffusion: all networks in one file, told apart by prefixes.
package enum SingleFileLayout {
  private struct Group {
    let prefix: String
    let name: ComponentName
    let architecture: Architecture?
    /// A tensor without which the prefix, a common word, does not count.
    var mark: [String] = []
  }

  private static let groups: [Group] = [
    Group(prefix: "cond_stage_model.", name: .textEncoder, architecture: .textEncoder),
    Group(prefix: "text_encoders.clip_l.", name: .textEncoder, architecture: .textEncoder),
    Group(prefix: "conditioner.embedders.0.", name: .textEncoder, architecture: .textEncoder),
    Group(
      prefix: "text_encoder.", name: .textEncoder, architecture: .textEncoder,
      mark: [
        "text_model.embeddings.token_embedding.weight", "embeddings.token_embedding.weight",
      ]),
    Group(prefix: "conditioner.embedders.1.", name: .secondTextEncoder, architecture: nil),
    Group(prefix: "text_encoders.clip_g.", name: .secondTextEncoder, architecture: nil),
    Group(prefix: "model.diffusion_model.", name: .unet, architecture: .unet),
    Group(
      prefix: "diffusion_model.", name: .unet, architecture: .unet,
      mark: ["input_blocks.0.0.weight"]),
    Group(
      prefix: "unet.", name: .unet, architecture: .unet,
      mark: ["conv_in.weight", "input_blocks.0.0.weight"]),
    Group(prefix: "first_stage_model.", name: .vae, architecture: .vae),
    Group(
      prefix: "vae.", name: .vae, architecture: .vae,
      mark: ["encoder.conv_in.weight", "decoder.conv_in.weight"]),
    Group(prefix: "control_model.", name: .controlNet, architecture: .controlNet),
    Group(prefix: "model_ema.", name: .unetEMA, architecture: .unet),
  ]

  /// What a training checkpoint's names have before the weights' own: it holds the weights in a
  /// dictionary of that name, some in a dictionary in a dictionary.
  static func wrapper(of tensors: [Tensor]) -> String {
    let word = "state_dict."
    var wrapper = ""
    // Real files have two at most; a hostile name may be nothing but this word.
    for _ in 0..<8 {
      guard tensors.contains(where: { $0.name.hasPrefix(wrapper + word) }) else { break }
      wrapper += word
    }
    return wrapper
  }

  /// The file's networks, and last what belongs to none; empty where the tensors are not told
  /// apart by prefixes.
  ///
  /// - Parameter embedded: configurations that the file's metadata hold; others are inferred.
  package static func components(
    of file: TensorFile, _ embedded: [AuxiliaryFile] = []
  ) -> [Component] {
    let wrapper = wrapper(of: file.tensors)
    let known = groups.filter { group in
      group.mark.isEmpty || group.mark.contains { file[wrapper + group.prefix + $0] != nil }
    }
    var tensors: [ComponentName: [Tensor]] = [:]
    for tensor in file.tensors {
      let name = tensor.name.dropFirst(tensor.name.hasPrefix(wrapper) ? wrapper.count : 0)
      let group = known.first { name.hasPrefix($0.prefix) }
      tensors[group?.name ?? .other, default: []].append(tensor)
    }
    guard tensors.keys.contains(where: { $0 != .other && $0 != .unetEMA }) else { return [] }

    // The averages belong to the UNet beside them, whose shapes say what it is.
    var unet: Configuration?
    var components: [Component] = []
    for name in known.map(\.name) + [.other] {
      guard let members = tensors.removeValue(forKey: name) else { continue }
      let architecture = known.first { $0.name == name }?.architecture
      let configuration =
        name == .unetEMA
        ? unet
        : self.configuration(of: name, in: embedded)
          ?? configuration(of: architecture, members, wrapper: wrapper, in: file)
      if name == .unet { unet = configuration }
      components.append(
        Component(
          name: name, architecture: architecture?.rawValue, configuration: configuration,
          path: file.path, files: file.files, format: file.format, metadata: file.metadata,
          tensors: members,
          wrapper: wrapper))
    }
    return components
  }

  /// One network alone in a file, and last what the file holds beside it.
  package static func lone(
    _ architecture: Architecture, of file: TensorFile, _ known: Configuration?
  ) -> [Component] {
    let wrapper = wrapper(of: file.tensors)
    let isPart = { (tensor: Tensor) in
      tensor.name.hasPrefix(wrapper)
        && !foreign.contains { tensor.name.dropFirst(wrapper.count).hasPrefix($0) }
    }
    let members = file.tensors.filter(isPart)
    let others = file.tensors.filter { !isPart($0) }
    let component = Component(
      name: architecture.component, architecture: architecture.rawValue,
      configuration: known
        ?? configuration(of: architecture, members, wrapper: wrapper, in: file),
      path: file.path, files: file.files, format: file.format, metadata: file.metadata,
      tensors: members,
      wrapper: wrapper)
    guard !others.isEmpty else { return [component] }
    return [
      component,
      Component(
        name: .other, architecture: nil, configuration: nil, path: file.path, files: file.files,
        format: file.format, tensors: others, wrapper: wrapper),
    ]
  }

  /// What training leaves beside a network that is alone in its file.
  private static let foreign = ["loss.", "model_ema.", "optimizer"]

  private static func configuration(
    of architecture: Architecture?, _ tensors: [Tensor], wrapper: String, in file: TensorFile
  ) -> Configuration? {
    architecture.flatMap {
      ConfigurationInference.configuration(
        of: $0, tensors, wrapper: wrapper, path: file.path)
    }
  }

  /// The configuration of a component among the files that metadata hold.
  static func configuration(
    of name: ComponentName, in embedded: [AuxiliaryFile]
  ) -> Configuration? {
    embedded.first { $0.path == "\(name)/config.json" }.flatMap { try? Configuration($0) }
  }

  /// Whether a single-file checkpoint carries the tensor as a buffer: the noise schedule of the
  /// diffusion process, and the counters of the moving average.
  static func isBuffer(_ name: String) -> Bool {
    var name = name[...]
    while name.hasPrefix("state_dict.") { name = name.dropFirst("state_dict.".count) }
    return schedule.contains(String(name))
  }

  private static let schedule: Set<String> = [
    "betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod", "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod", "posterior_variance", "posterior_log_variance_clipped",
    "posterior_mean_coef1", "posterior_mean_coef2", "model_ema.decay", "model_ema.num_updates",
  ]
}

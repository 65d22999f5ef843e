import ModelFormats
import OrderedJSON

extension ModelCheckpoint {
  /// Opens one file of weights.
  static func file(_ path: String) throws(FormatError) -> ModelCheckpoint {
    let mapped = try MappedFile(path: path)
    if FlatFile.isFlat(mapped) { return try FlatFile(mapped).checkpoint() }
    let file = try TensorFile.open(path)
    let groups = SingleFileLayout.components(of: file)
    if !groups.isEmpty {
      return ModelCheckpoint(
        path: path, layout: .file(file.format), components: groups, warnings: file.warnings)
    }

    let architecture = Architecture.recognized(in: file)
    var warnings = file.warnings
    let neighbour = architecture.flatMap { configuration(beside: path, of: $0, &warnings) }
    let component = Component(
      name: architecture?.component ?? .model, architecture: architecture?.rawValue,
      configuration: neighbour?.configuration, path: path, format: file.format,
      metadata: file.metadata, tensors: file.tensors)
    return ModelCheckpoint(
      path: path, layout: .file(file.format), components: [component],
      files: neighbour.map { [$0.file] } ?? [], warnings: warnings)
  }

  /// The `config.json` in the directory of a lone file, where it is of the network that the file's
  /// tensors are of. The file is readable without, so a broken one is only a warning.
  private static func configuration(
    beside path: String, of architecture: Architecture, _ warnings: inout [String]
  ) -> (configuration: Configuration, file: AuxiliaryFile)? {
    let directory = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
    let location = "\(directory)/config.json"
    guard
      let file = try? AuxiliaryFile(
        path: "\(architecture.component)/config.json", at: location)
    else { return nil }
    do throws(FormatError) {
      let configuration = try Configuration(file)
      return configuration.architecture == architecture.rawValue ? (configuration, file) : nil
    } catch {
      warnings.append("the configuration beside the file is not used: \(error)")
      return nil
    }
  }
}

/// The original layout of Stable Diffusion: all networks in one file, told apart by prefixes.
enum SingleFileLayout {
  private static let prefixes: [(prefix: String, name: ComponentName, architecture: Architecture)] =
    [
      ("cond_stage_model.", .textEncoder, .textEncoder),
      ("model.diffusion_model.", .unet, .unet),
      ("first_stage_model.", .vae, .vae),
      ("model_ema.", .unetEMA, .unet),
    ]

  /// The file's networks, and last what belongs to none; empty where no tensor has a known prefix.
  static func components(of file: TensorFile) -> [Component] {
    var groups: [ComponentName: [Tensor]] = [:]
    for tensor in file.tensors {
      // A training checkpoint holds the weights in a dictionary of that name.
      let name = withoutPrefix("state_dict.", tensor.name)
      let group = prefixes.first { name.hasPrefix($0.prefix) }
      groups[group?.name ?? .other, default: []].append(tensor)
    }
    guard groups.keys.contains(where: { $0 != .other }) else { return [] }
    let named = prefixes.map { ($0.name, Optional($0.architecture.rawValue)) } + [(.other, nil)]
    return named.compactMap { name, architecture in
      groups[name].map { tensors in
        Component(
          name: name, architecture: architecture, configuration: nil, path: file.path,
          format: file.format, metadata: file.metadata, tensors: tensors)
      }
    }
  }

  /// Whether a single-file checkpoint carries the tensor as a buffer: the noise schedule of the
  /// diffusion process, and the counters of the moving average.
  static func isBuffer(_ name: String) -> Bool {
    let schedule: Set<String> = [
      "betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod",
      "sqrt_one_minus_alphas_cumprod", "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod",
      "sqrt_recipm1_alphas_cumprod", "posterior_variance", "posterior_log_variance_clipped",
      "posterior_mean_coef1", "posterior_mean_coef2", "model_ema.decay", "model_ema.num_updates",
    ]
    return schedule.contains(withoutPrefix("state_dict.", name))
  }

  private static func withoutPrefix(_ prefix: String, _ name: String) -> String {
    name.hasPrefix(prefix) ? String(name.dropFirst(prefix.count)) : name
  }
}

import ModelFormats
import ModelGraph

/// The original layout of Stable Diffusion: all networks in one file, distinguished by prefixes.
package enum SingleFileLayout {
  private struct Group {
    let prefix: String
    let name: ComponentName
    let architecture: NetworkDescriptor?
    /// A tensor without which the prefix, a common word, does not count.
    var mark: [String] = []
  }

  private static let groups: [Group] =
    NetworkDescriptor.all.flatMap { network in
      network.places.map { place in
        Group(
          prefix: place.prefix, name: place.other ?? network.component,
          architecture: place.other == nil ? network : nil, mark: place.mark)
      }
    }
    + [
      Group(
        prefix: NetworkDescriptor.average.prefix, name: .unetEMA, architecture: .unet)
    ]

  /// The names of marked groups, including the prefix, and that of a UNet's EMA weights.
  static let marks: [String] =
    groups.flatMap { group in group.mark.map { group.prefix + $0 } }
    + ["model_ema.diffusion_modelinput_blocks00weight"]

  /// Whether a name begins like those of a network, whatever else the file contains.
  static func isOfNetwork(_ name: Substring) -> Bool {
    groups.contains { $0.mark.isEmpty && $0.name != .unetEMA && name.hasPrefix($0.prefix) }
  }

  /// The file's networks, and last the remaining tensors; empty if prefixes do not separate the
  /// tensors.
  ///
  /// - Parameter embedded: configurations in the file's metadata; others are inferred.
  static func components(
    of file: TensorFile, _ names: BareNames, _ embedded: [AuxiliaryFile]
  ) -> [Component] {
    let known = groups.filter { group in
      group.mark.isEmpty || group.mark.contains { names.contains(group.prefix + $0) }
    }
    var members: [ComponentName: Members] = [:]
    for (index, tensor) in file.tensors.enumerated() {
      let name = names.names[index]
      let group =
        names.parts[index] == .beside ? nil : known.first { name.hasPrefix($0.prefix) }
      let component =
        switch (group, names.parts[index]) {
        case (let group?, .averages): group.name.averages
        case (let group?, _): group.name
        case (nil, _): ComponentName.other
        }
      // Other tensors in the dictionary of EMA weights belong to no network.
      members[component, default: Members()].append(
        tensor, group == nil && names.parts[index] == .averages ? tensor.name : name)
    }
    let isNetwork = { (name: ComponentName) in
      name != .other && name != .unetEMA
        || name == .unetEMA && names.contains("model_ema.diffusion_modelinput_blocks00weight")
    }
    guard members.keys.contains(where: isNetwork) else { return [] }

    // EMA weights belong to the network next to them, whose shapes determine its configuration.
    var configurations: [ComponentName: Configuration] = [:]
    var components: [Component] = []
    var order: [ComponentName] = []
    for name in known.map(\.name) + known.map(\.name.averages) + [.other]
    where !order.contains(name) {
      order.append(name)
    }
    for name in order {
      guard let members = members[name] else { continue }
      let base = name.averaged ?? name
      let architecture = known.first { $0.name == base || $0.name == name }?.architecture
      let configuration =
        configurations[base] ?? self.configuration(of: base, in: embedded)
        ?? architecture.flatMap {
          ConfigurationInference.configuration(of: $0, members.bareTensors, path: file.path)
        }
      configurations[name] = configuration
      components.append(
        component(name, architecture, configuration, of: file, members))
    }
    return components
  }

  /// Tensors of one component with their bare names.
  private struct Members {
    var tensors: [Tensor] = []
    var names: [String] = []

    mutating func append(_ tensor: Tensor, _ name: String) {
      tensors.append(tensor)
      names.append(name)
    }

    var bareTensors: [Tensor] { zip(tensors, names).map { $0.renamed($1) } }
  }

  private static func component(
    _ name: ComponentName, _ architecture: NetworkDescriptor?, _ configuration: Configuration?,
    of file: TensorFile, _ members: Members
  ) -> Component {
    Component(
      name: name, architecture: architecture?.className, configuration: configuration,
      path: file.path, files: file.files, format: file.format,
      metadata: name == .other ? [] : file.metadata, tensors: members.tensors,
      bareNames: members.names)
  }

  /// A single network in a file, its EMA weights if a dictionary contains them, and last the
  /// remaining tensors.
  static func lone(
    _ architecture: NetworkDescriptor, of file: TensorFile, _ names: BareNames,
    _ known: Configuration?
  ) -> [Component] {
    var weights = Members()
    var averages = Members()
    var others = Members()
    for (index, tensor) in file.tensors.enumerated() {
      let name = names.names[index]
      switch names.parts[index] {
      case _ where Leftover.isOfTraining(name): others.append(tensor, name)
      case .weights: weights.append(tensor, name)
      case .averages: averages.append(tensor, name)
      case .beside: others.append(tensor, name)
      }
    }
    let configuration =
      known
      ?? ConfigurationInference.configuration(
        of: architecture, weights.bareTensors, path: file.path)
    let name = architecture.component
    var components = [component(name, architecture, configuration, of: file, weights)]
    if !averages.tensors.isEmpty {
      components.append(component(name.averages, architecture, configuration, of: file, averages))
    }
    if !others.tensors.isEmpty { components.append(component(.other, nil, nil, of: file, others)) }
    return components
  }

  /// The configuration of a component among the files in metadata.
  static func configuration(
    of name: ComponentName, in embedded: [AuxiliaryFile]
  ) -> Configuration? {
    embedded.first { $0.path == "\(name)/config.json" }.flatMap { try? Configuration($0) }
  }

  /// Whether the tensor is a buffer of single-file checkpoints: the noise schedule, and EMA
  /// counters.
  static func isBuffer(_ name: String) -> Bool {
    buffers.contains(name)
      || BareNames.dictionaries(of: name).contains {
        buffers.contains(String(name.dropFirst($0.count)))
      }
  }

  /// The names of those buffers.
  static let buffers: Set<String> = [
    "betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod", "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod", "posterior_variance", "posterior_log_variance_clipped",
    "posterior_mean_coef1", "posterior_mean_coef2", "model_ema.decay", "model_ema.num_updates",
  ]
}

import ModelFormats
import ModelGraph

/// Checkpoints with only EMA weights of a network.
extension ModelCheckpoint {
  /// EMA components without their own weights.
  var loneAverages: [Component] {
    components.filter { component in
      component.name.averaged.map { self[$0] == nil } ?? false
    }
  }

  /// Whether the weights come from a dictionary of EMA weights, because there are no others.
  var isOfAverages: Bool {
    components.contains { component in
      component.name != .other && component.name.averaged == nil
        && component.tensors.contains { BareNames.isInAverages($0.name) }
    }
  }

  /// A copy in which EMA weights, under the usual names, replace the missing UNet; nil if it has a
  /// UNet, or no EMA weights.
  var withAveragesInPlace: (checkpoint: ModelCheckpoint, reason: String)? {
    guard self[.unet] == nil, let average = self[.unetEMA], let manifest = average.manifest,
      let first = average.tensors.first
    else { return nil }
    let tensors = average.tensors.map { tensor in
      manifest.parameter(of: tensor.name).map { tensor.renamed($0.singleFileName) } ?? tensor
    }
    let unet = Component(
      name: .unet, architecture: average.architecture, configuration: average.configuration,
      path: average.path, files: average.files, format: average.format,
      metadata: average.metadata, tensors: tensors)
    let model = ModelCheckpoint(
      path: path, layout: layout,
      components: components.map { $0.name == .unetEMA ? unet : $0 }, files: files)
    return (
      model,
      "\(first.displayName): averaged weights (EMA), and no others"
    )
  }
}

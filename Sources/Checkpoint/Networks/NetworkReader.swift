import ModelFormats
import ModelGraph
import OrderedJSON

/// Identifies the network of a component's tensors: its graphs by a configuration, and the
/// comparison of the tensors with them.
struct NetworkReader {
  struct Reading {
    let configuration: Configuration?
    let graphs: [Graph]
    /// Why there are no graphs.
    let failure: FormatError?
    let manifest: Manifest?
  }

  let name: ComponentName
  let architecture: String?
  let known: NetworkDescriptor?
  let path: String
  let tensors: [Tensor]
  /// The tensors' bare names, and the first position of each.
  let names: [String]
  let index: [ExactName: Int]
  let isScale: (String) -> Bool

  /// The result for a configuration. If it was inferred or missing and the tensors do not fit it,
  /// the majority vote is used instead if more tensors fit that.
  func best(_ given: Configuration?) -> Reading {
    let first = reading(given)
    guard let known, name.averaged == nil, given?.origin != .file, !tensors.isEmpty else {
      return first
    }
    let isDoubtful = given.map { ConfigurationInference.isDoubtful($0, of: known) } ?? true
    if let manifest = first.manifest {
      // A perfect fit may be odd, but is complete, unless it contradicts itself.
      let isWhole =
        manifest.faultCounts == (0, 0)
        && !(given.map { ConfigurationInference.isContradictory($0, of: known) } ?? false)
      guard !isWhole else { return first }
    } else if given != nil, NetworkReader.unsupported.contains(first.failure?.context ?? "") {
      return first
    }
    let bare = zip(tensors, names).map { $0.renamed($1) }
    let isRelative = given?.object[NetworkOutline.mark] != nil
    guard
      var other = ConfigurationInference.likelyConfiguration(of: known, bare, path: path)
    else { return first }
    if isRelative { other = NetworkOutline.relative(other) }
    let second = reading(other)
    guard let manifest = second.manifest else {
      // The tensors belong to a network without a graph.
      let isOther = NetworkReader.unsupported.contains(second.failure?.context ?? "")
      return isOther && isDoubtful ? second : first
    }
    let isBetter =
      first.manifest.map { manifest.faultCounts < $0.faultCounts || isDoubtful } ?? true
    // Most of the network is present, and most of the tensors belong to it.
    let found = manifest.parameters.count - manifest.missing.count
    return isBetter && 2 * found >= manifest.parameters.count && 2 * found >= tensors.count
      ? second : first
  }

  /// Fields that rule out a graph although all tensors are present.
  private static let unsupported: Set<String> = ["addition_embed_type", "class_embed_type"]

  private func reading(_ configuration: Configuration?) -> Reading {
    let graphs: [Graph]
    do throws(FormatError) {
      graphs = try self.graphs(configuration)
    } catch {
      return Reading(configuration: configuration, graphs: [], failure: error, manifest: nil)
    }
    let namings =
      (name == .unetEMA ? [NetworkDescriptor.average] : [])
      + (known.map { $0.namings + $0.joinedNamings } ?? [.published])
    let manifest =
      graphs.isEmpty
      ? nil
      : Manifest(
        graphs: graphs, tensors: tensors, names: names, index: index, namings: namings,
        isScale: isScale)
    return Reading(configuration: configuration, graphs: graphs, failure: nil, manifest: manifest)
  }

  private func graphs(_ configuration: Configuration?) throws(FormatError) -> [Graph] {
    guard let configuration else {
      if let architecture, NetworkDescriptor(className: architecture) == nil {
        throw FormatError(
          .unsupported, "the architecture \(architecture) is not supported", file: path,
          context: name.rawValue,
          hint: "supported: \(NetworkDescriptor.classNames)")
      }
      throw FormatError(
        .unsupported,
        "the \(name.title) has no config.json, and its tensors do not tell what network it is",
        file: path, context: name.rawValue,
        hint: "give the directory that holds the weights and their config.json")
    }
    guard let known = NetworkDescriptor(className: architecture) else {
      let message =
        architecture.map { "the architecture \($0) is not supported" }
        ?? "the configuration does not name the network's class"
      throw FormatError(
        .unsupported, message, file: configuration.path, context: name.rawValue,
        hint: "supported: \(NetworkDescriptor.classNames)")
    }
    do throws(GraphError) {
      return try known.graphs(configuration.object)
    } catch {
      throw FormatError(
        .unsupported, error.message, file: configuration.path, context: error.field,
        hint: "this network differs from Stable Diffusion v1.5's in a way that is not supported")
    }
  }
}

extension Component {
  /// Whether an inferred configuration matches no published network.
  func isDoubtful(_ configuration: Configuration) -> Bool {
    network.map { ConfigurationInference.isDoubtful(configuration, of: $0) } ?? false
  }
}

extension Manifest {
  /// The number of unknown tensors, and of missing or misshapen ones. One unknown tensor is
  /// stronger evidence than many missing ones.
  fileprivate var faultCounts: (unknown: Int, faulty: Int) {
    (
      unexpected.count { Leftover.kind(of: $0.name) == .unknown },
      missing.count + wrongShape.count
    )
  }
}

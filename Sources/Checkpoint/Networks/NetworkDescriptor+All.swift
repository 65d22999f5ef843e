import ModelFormats
import ModelGraph

extension NetworkDescriptor {
  /// Every network that has a graph, in the order of hints and tables. Add a network by adding its
  /// line.
  public static let all: [NetworkDescriptor] = [
    .textEncoder,
    .unet,
    .vae,
    .controlNet,
    .safetyChecker,
    .tinyAutoencoder,
    .imageEncoder,
  ]

  /// The network of this class; nil if it has no graph here.
  public init?(className: String?) {
    guard let match = Self.all.first(where: { $0.className == className }) else { return nil }
    self = match
  }

  /// The network that this component of a pipeline is; nil if it has no graph here.
  public init?(component: ComponentName) {
    guard let match = Self.all.first(where: { $0.component == component }) else { return nil }
    self = match
  }

  /// The network that has a graph of this name; nil if none has.
  public init?(graph: GraphName) {
    guard let match = Self.all.first(where: { $0.graphNames.contains(graph) }) else { return nil }
    self = match
  }

  /// The classes, for hints.
  static var classNames: String { all.map(\.className).joined(separator: ", ") }

  /// The graphs of all networks, those without which nothing is generated first.
  public static var allGraphNames: [GraphName] { all.flatMap(\.graphNames) }

  private static let recognitionOrder =
    all.filter(\.isRecognizedFirst) + all.filter { !$0.isRecognizedFirst }

  /// The network that bare names of tensors give away; nil where they fit none.
  package static func recognized(_ isThere: (String) -> Bool) -> NetworkDescriptor? {
    recognitionOrder.first { network in
      network.marks.contains { $0.allSatisfy(isThere) }
    }
  }

  /// Whether tensors of these names are a network without prefix.
  static func isMarked(_ isThere: (String) -> Bool) -> Bool { recognized(isThere) != nil }

  /// The network that most of the tensors and most of its parameters fit, where the names that
  /// give it away are missing.
  ///
  /// - Parameter tensors: under their bare names.
  static func likely(_ tensors: [Tensor], path: String) -> NetworkDescriptor? {
    let text = NameText(tensors.lazy.map(\.name))
    return recognitionOrder.first { network in
      guard network.hints.contains(where: text.contains) else { return false }
      let component = Component(
        name: network.component, architecture: network.className, configuration: nil,
        path: path, format: .safetensors, tensors: tensors, bareNames: tensors.map(\.name))
      // A file that only lost tensors holds none of another network.
      let isForeign =
        component.manifest?.unexpected.contains { Leftover.kind(of: $0.name) == .unknown } ?? false
      return !isForeign && (component.manifest != nil || component.outline != nil)
    }
  }

  /// The prefixes of every naming, each once.
  var prefixes: [String] {
    var prefixes: [String] = []
    for naming in namings + joinedNamings where !prefixes.contains(naming.prefix) {
      prefixes.append(naming.prefix)
    }
    return prefixes
  }
}

extension Component {
  /// The kind of network that it is; nil if that has no graph here.
  public var network: NetworkDescriptor? { NetworkDescriptor(className: architecture) }
}

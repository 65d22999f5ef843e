import ModelFormats
import ModelGraph
import OrderedJSON

/// Everything that is known about one kind of network that has a graph.
///
/// Each network defines its descriptor in its own file, and ``all`` lists it. Recognition,
/// configurations read and inferred, the names of tensors, the graphs, conversion, export and texts
/// read it here.
public struct NetworkDescriptor: Sendable {
  /// The class in diffusers or transformers, as in `UNet2DConditionModel`.
  public let className: String

  /// The component that it is in a pipeline.
  public let component: ComponentName

  /// As text in a sentence: "UNet".
  public let title: String

  /// The library that `model_index.json` names; nil if the configuration tells it.
  var library: String?

  /// What Stable Diffusion needs of it.
  var role = Role.addition

  /// Its graphs, in the order in which an image needs them.
  public let graphNames: [GraphName]

  /// Sets of tensors that it has whatever its size, in each naming without a prefix; one set is
  /// enough to recognize it.
  package let marks: [[String]]

  /// Whether it is looked for before other networks, since it has the marks of one of them too.
  var isRecognizedFirst = false

  /// Words in tensors' names by which ``likely(_:path:)`` looks closer at a network whose marks are
  /// missing; none if it never does.
  var hints: [String] = []

  /// What single files of several networks put before its names, in the order of preference.
  package internal(set) var places: [SingleFilePlace] = []

  /// Every naming under which files hold it, the likeliest first.
  ///
  /// No two parameters of a network share a name under any two of them, so that a tensor's name
  /// alone says which parameter it is.
  package let namings: [Naming]

  /// Namings in which several parameters share a tensor; a file in one of them needs its own reading.
  package internal(set) var joinedNamings: [Naming] = []

  /// Where averages of it without dots in their names stand; nil if training saves none.
  var averagePlace: String?

  /// What is put before its names in single files that are written: beside other networks, and if it
  /// is alone; nil if single files do not hold it.
  package internal(set) var writtenPrefix: (beside: String, alone: String)?

  /// Whether files in the original checkpoints' layout have names for it. If not, converting it to one is
  /// an error.
  var hasSingleFileNames = true

  /// The field of transformers' `CLIPConfig` that contains its configuration; nil if a whole CLIP does
  /// not contain it.
  var clipField: String?

  /// The configuration that the shapes of tensors tell, as the library writes it; nil if tensors that
  /// tell it are missing.
  let inferred: @Sendable (TensorShapes) -> JSONObject?

  /// The configuration that most of the tensors tell, of which some are missing or have another shape.
  var likelyInferred: (@Sendable ([PathAndShape]) -> JSONObject?)?

  /// Whether an inferred configuration has one part of two that go together.
  var isContradictory: @Sendable (JSONObject) -> Bool = { _ in false }

  /// Whether an inferred configuration is of a network that nobody publishes, so that perhaps some of
  /// its tensors are missing.
  var isDoubtful: @Sendable (JSONObject) -> Bool = { _ in false }

  /// The graphs that a configuration describes.
  package let graphs: @Sendable (JSONObject) throws(GraphError) -> [Graph]
}

extension NetworkDescriptor {
  /// The names of tensors, cut at their full stops, and the shapes.
  typealias PathAndShape = (path: [Substring], shape: [Int])

  /// What a network is to Stable Diffusion.
  enum Role: Sendable {
    /// Nothing is generated without it.
    case required
    /// It looks at what the others make, so that no single file ever held it.
    case helper
    /// A pipeline may have it.
    case optional
    /// No pipeline lists it.
    case addition
  }

  /// What a single file puts before the names of a network.
  package struct SingleFilePlace: Sendable {
    package let prefix: String
    /// Tensors without one of which the prefix, a common word, does not count.
    package var mark: [String] = []
    /// A component of the same kind that has no graph; nil for the network itself.
    var other: ComponentName?
  }

  /// A naming with each of its spellings.
  static func spelled(
    _ family: Naming.Family, _ prefix: String, _ spellings: ClosedRange<Int> = 0...1
  ) -> [Naming] {
    spellings.map { Naming(family, prefix: prefix, spelling: $0) }
  }
}

/// Two descriptors are equal if they are of the same class.
extension NetworkDescriptor: Hashable, CustomStringConvertible {
  public static func == (first: Self, second: Self) -> Bool { first.className == second.className }

  public func hash(into hasher: inout Hasher) { hasher.combine(className) }

  public var description: String { className }
}

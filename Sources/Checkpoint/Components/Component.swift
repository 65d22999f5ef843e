import FlatFormat
import ModelFormats
import ModelGraph
import OrderedJSON

/// One network of a checkpoint: its configuration, its tensors, and the graphs that they feed.
public struct Component: Sendable {
  public internal(set) var name: ComponentName
  /// The network's class in diffusers or transformers, as in `UNet2DConditionModel`.
  public let architecture: String?
  public let configuration: Configuration?
  /// The file that holds the tensors, or the index of the shards that do.
  public let path: String
  /// All files that hold the tensors.
  public let files: [String]
  public let format: TensorFile.Format
  /// The file's own metadata, in file order.
  public let metadata: [(key: String, value: String)]
  /// The tensors under the names, and in the order, of the file.
  public let tensors: [Tensor]
  /// The network's graphs (the VAE has `vae_encoder` and `vae_decoder`); none where the network is
  /// not known or its configuration is missing or not supported.
  public let graphs: [Graph]
  /// The check of the tensors against the graphs, where there are any.
  public let manifest: Manifest?
  /// How the file spells the network's parameters; nil where the network is not known.
  public let naming: Naming?
  /// The names of the tensors without what training and saving put before or into them; empty where
  /// they are the file's.
  private let bareNames: [String]
  /// What of an ONNX model is no weight but a constant of its graph.
  package let graphConstants: [Tensor]
  /// Why there are no graphs.
  package let graphFailure: FormatError?
  /// Why there are no graphs, in words that name the configuration's key where one is to blame.
  package var graphProblem: String? {
    graphFailure.map { $0.context == name.rawValue ? $0.message : $0.sentence }
  }
  /// The scales of 8-bit weights among the tensors.
  public let scales: WeightScales
  /// The weights that a quantiser packed.
  public let packed: PackedWeights
  /// What was found in the files beside the tensors.
  let findings: FileFindings
  /// Fields of the flat file's header that this program does not know.
  let extensions: FlatExtensions
  private let index: [ExactName: Int]

  package init(
    name: ComponentName, architecture: String?, configuration: Configuration?, path: String,
    files: [String]? = nil, format: TensorFile.Format,
    metadata: [(key: String, value: String)] = [], tensors: [Tensor],
    bareNames: [String]? = nil, extensions: FlatExtensions = FlatExtensions(),
    findings: FileFindings = FileFindings()
  ) {
    self.name = name
    self.architecture = architecture ?? configuration?.architecture
    self.path = path
    self.files = files ?? [path]
    self.format = format
    self.metadata = metadata
    self.tensors = tensors
    self.extensions = extensions
    self.findings = findings
    let scales = WeightScales(tensors)
    self.scales = scales
    packed = PackedWeights(tensors)
    let names = bareNames ?? BareNames(tensors).namesOfWeights(tensors)
    let isBare = zip(tensors, names).allSatisfy { $0.name.utf8.elementsEqual($1.utf8) }
    self.bareNames = isBare ? [] : names
    let index = Component.index(of: tensors.map(\.name))
    self.index = index
    let known = NetworkDescriptor(className: self.architecture)
    let reader = NetworkReader(
      name: name, architecture: self.architecture, known: known, path: path, tensors: tensors,
      names: names, index: isBare ? index : Component.index(of: names), isScale: scales.isPart)
    let reading = reader.best(configuration)
    self.configuration = reading.configuration
    graphs = reading.graphs
    graphFailure = reading.failure
    manifest = reading.manifest
    naming = manifest?.naming
    graphConstants = format == .onnx ? GraphConstants.of(tensors, manifest) : []
  }

  private static func index(of names: [String]) -> [ExactName: Int] {
    Dictionary(
      names.enumerated().map { (ExactName($1), $0) }, uniquingKeysWith: { first, _ in first })
  }
}

extension Component {
  /// The tensor of that name in the file.
  public subscript(name: String) -> Tensor? {
    index[ExactName(name)].map { tensors[$0] }
  }

  /// The name of a tensor of the file without what training and saving put before or into it.
  func bareName(of tensor: Tensor) -> String {
    guard !bareNames.isEmpty, let position = index[ExactName(tensor.name)] else {
      return tensor.name
    }
    return bareNames[position]
  }

  /// The tensors under their bare names.
  var bareTensors: [Tensor] {
    bareNames.isEmpty ? tensors : zip(tensors, bareNames).map { $0.renamed($1) }
  }

  /// Whether the file's names hold more than the networks' own.
  var isWrapped: Bool { !bareNames.isEmpty }

  /// What a person should know of names that hold more than the network's own; the usual dictionary
  /// of training checkpoints is not worth a word.
  var wrapperWarnings: [String] {
    guard name != .other else { return [] }
    var words: [String] = []
    var count = 0
    for (tensor, bare) in zip(tensors, bareNames) where tensor.name != bare {
      let removed = BareNames.removed(from: tensor.name, bare: bare).filter { $0 != "state_dict" }
      if !removed.isEmpty { count += 1 }
      for word in removed where !words.contains(word) { words.append(word) }
    }
    guard count > 0 else { return [] }
    let shown = words.map { "\"\($0).\"" }.joined(separator: ", ")
    return [
      "\(name): \(shown) in the names of \(count.of("tensor")) is not part of "
        + "the network's names; it is ignored, and left out of converted names"
    ]
  }

  /// The name of a tensor in today's diffusers and transformers layout, whatever layout the file
  /// uses; the tensor's own name where there is none.
  public func publishedName(of tensor: Tensor) -> String {
    manifest?.parameter(of: tensor.name)?.name ?? tensor.name
  }

  /// The graph of that name, as ``GraphName/unet``.
  ///
  /// - Throws: ``FormatError`` `unsupported`, which names the field of the configuration that
  ///   stands in the way.
  public func graph(_ name: GraphName) throws(FormatError) -> Graph {
    if let graph = graphs.first(where: { $0.name == name }) { return graph }
    throw graphFailure
      ?? FormatError(
        .mismatch, "the \(self.name.title) has no graph called \(name)", file: path,
        hint: "its graphs: \(graphs.map(\.name.rawValue).joined(separator: ", "))")
  }

  /// Throws unless every parameter of the network is there with its shape.
  ///
  /// - Throws: ``FormatError`` `mismatch` naming the tensors, or `unsupported` where the network
  ///   is not known.
  public func requireComplete() throws(FormatError) {
    if let refusal = packed.refusal(in: path) { throw refusal }
    guard let manifest else {
      throw graphFailure ?? FormatError(.unsupported, "the network is not known", file: path)
    }
    guard !manifest.isComplete else { return }
    let faults = manifest.problems.dropLast(manifest.unexpected.count)
    let shown = faults.prefix(3).joined(separator: "; ")
    var error = FormatError(
      .mismatch,
      "\(faults.count) of the \(manifest.parameters.count) tensors of the \(name.title) are not as "
        + "its configuration says: \(shown)"
        + (faults.count > 3 ? "; and \(faults.count - 3) more" : ""),
      file: path, context: name.rawValue,
      hint: "check that the weights and config.json are of the same model")
    error.details = Array(faults)
    throw error
  }

  /// The tensor that is the parameter of that name in the graphs, in the parameter's shape.
  ///
  /// - Parameter name: the name of today's diffusers, whatever the file calls it.
  /// - Throws: as ``tensor(for:decoding:)``.
  public func tensor(named name: String) throws(FormatError) -> Tensor {
    guard let parameter = manifest?[name] else {
      throw graphFailure
        ?? FormatError(
          .mismatch, "the \(self.name.title) has no parameter of this name", file: path,
          context: name)
    }
    return try tensor(for: parameter)
  }

  /// The tensor that is `parameter`, in the parameter's shape.
  ///
  /// - Parameter decoding: whether 8-bit floating-point values are read as F32, times their scale,
  ///   and F64 as F32.
  /// - Throws: ``FormatError`` `mismatch` where it is missing, of another shape or not
  ///   F64, F32, F16, BF16 or an 8-bit floating-point type; `unsupported` for a scale that does not fit.
  public func tensor(
    for parameter: Parameter, decoding: Bool = true
  ) throws(FormatError) -> Tensor {
    guard let position = manifest?.position(parameter.name) else {
      let problem = manifest?.problem(with: parameter) ?? "the tensor is missing"
      throw FormatError(
        .mismatch, problem, file: path, context: parameter.name,
        hint: "check that the weights and config.json are of the same model")
    }
    let tensor = decoding ? try scales.decoded(tensors[position]) : tensors[position]
    if let third = manifest?.third(parameter.name) { return tensor.third(third) }
    let shape = Shape(parameter.shape)
    return tensor.shape == shape ? tensor : tensor.reshaped(shape)
  }

  /// A tensor of the file as the parameters that it is, one or several of its rows each; one that is
  /// no parameter as it is.
  package func pieces(of tensor: Tensor) -> [(parameter: Parameter?, tensor: Tensor)] {
    let sharers = manifest?.sharers(of: tensor.name) ?? []
    guard sharers.count == 3, sharers.allSatisfy({ manifest?.position($0.name) != nil }) else {
      return [(manifest?.parameter(of: tensor.name), tensor)]
    }
    return sharers.enumerated().map { index, parameter in
      (parameter: parameter, tensor: tensor.third(manifest?.third(parameter.name) ?? index))
    }
  }

  /// The tensors without constants of an ONNX model's graph.
  package var weights: [Tensor] {
    let constants = Set(graphConstants.map { ExactName($0.name) })
    return constants.isEmpty ? tensors : tensors.filter { !constants.contains(ExactName($0.name)) }
  }

  /// The tensors in the order in which the network uses them; file order where it is not known.
  package var executionOrder: [Tensor] {
    manifest.map { $0.executionOrder.map { tensors[$0] } } ?? tensors
  }
}

extension Tensor {
  /// One of three equal parts of the rows.
  func third(_ index: Int) -> Tensor {
    let count = shape[0] / 3
    return rows(index * count..<(index + 1) * count)
  }
}

extension Manifest {
  fileprivate func problem(with parameter: Parameter) -> String? {
    if let misfit = wrongShape.first(where: { $0.parameter == parameter }) {
      return "the shape is \(misfit.tensor.shape), not \(Shape(parameter.shape))"
    }
    if let misfit = wrongType.first(where: { $0.parameter == parameter }) {
      return "the type is \(misfit.tensor.dtype.rawValue), not \(Cast.sourceNames)"
    }
    return nil
  }
}

import FlatFormat
import ModelFormats
import ModelGraph
import OrderedJSON

/// One network of a checkpoint: its configuration, its tensors, and its graphs.
public struct Component: Sendable {
  /// What it is: `unet`, `vae`, `text_encoder`.
  public internal(set) var name: ComponentName
  /// The network's class in diffusers or transformers, for example `UNet2DConditionModel`.
  public let architecture: String?
  /// Its configuration, read or inferred; nil if there is none.
  public let configuration: Configuration?
  /// The file with the tensors, or the index of its shards.
  public let path: String
  /// All files with tensors.
  public let files: [String]
  /// The format of its weights.
  public let format: TensorFile.Format
  /// The file's own metadata, in file order.
  public let metadata: [(key: String, value: String)]
  /// The tensors under the names, and in the order, of the file.
  public let tensors: [Tensor]
  /// The network's graphs (the VAE has `vae_encoder` and `vae_decoder`); empty if the network is
  /// unknown or its configuration is missing or unsupported.
  public let graphs: [Graph]
  /// The comparison of the tensors with the graphs, if any.
  public let manifest: Manifest?
  /// The naming of the network's parameters in the file; nil if the network is unknown.
  public let naming: Naming?
  /// The bare names of the tensors; empty if they equal the file's names.
  private let bareNames: [String]
  /// Initializers of an ONNX model that are graph constants, not weights.
  package let graphConstants: [Tensor]
  /// Why there are no graphs.
  package let graphFailure: FormatError?
  /// Why there are no graphs, with the offending configuration key if there is one.
  package var graphProblem: String? {
    graphFailure.map { $0.context == name.rawValue ? $0.message : $0.sentence }
  }
  /// The scales of 8-bit weights among the tensors.
  public let scales: WeightScales
  /// The weights that a quantizer packed.
  public let packed: PackedWeights
  /// Findings in the files besides tensors.
  let findings: FileFindings
  /// Header fields of the .sdflat file that this version does not know.
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
  /// The tensor with this name in the file.
  public subscript(name: String) -> Tensor? {
    index[ExactName(name)].map { tensors[$0] }
  }

  /// The bare name of a tensor.
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

  /// Whether the file's names contain wrappers.
  var isWrapped: Bool { !bareNames.isEmpty }

  /// Warnings about wrappers in names; the usual dictionary of training checkpoints causes none.
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

  /// The name of a tensor in the current diffusers and transformers layout, whatever the file's
  /// layout; the tensor's own name if there is none.
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

  /// Throws unless every parameter of the network is present with its shape.
  ///
  /// - Throws: ``FormatError`` `mismatch` with the names of the tensors, or `unsupported` if the
  ///   network is unknown.
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

  /// The tensor of the parameter with this name in the graphs, in the parameter's shape.
  ///
  /// - Parameter name: the name in current diffusers, whatever its name in the file.
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

  /// The tensor of `parameter`, in the parameter's shape.
  ///
  /// - Parameter decoding: whether 8-bit floating-point values, multiplied by their scale, and F64
  ///   values are read as F32.
  /// - Throws: ``FormatError`` `mismatch` if it is missing, has another shape or is not F64, F32,
  ///   F16, BF16 or an 8-bit floating-point type; `unsupported` for a scale that does not fit.
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

  /// The bytes of the parameter with this name as the file stores it; nil if it is missing.
  ///
  /// - Parameter name: the name in current diffusers, whatever its name in the file.
  package func storedByteCount(of name: String) -> Int? {
    guard let position = manifest?.position(name) else { return nil }
    let bytes = tensors[position].storedByteCount
    return manifest?.third(name) == nil ? bytes : bytes / 3
  }

  /// Splits a tensor of the file into its parameters, each with some of its rows; other tensors are
  /// returned unchanged.
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

  /// The tensors in the network's execution order; in file order if unknown.
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

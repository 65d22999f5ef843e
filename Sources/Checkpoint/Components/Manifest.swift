import ModelFormats
import ModelGraph
import OrderedJSON

/// The comparison of a component's tensors with those its graphs require.
public struct Manifest: Sendable {
  /// A tensor with a parameter's name but a wrong shape or type.
  public struct Misfit: Sendable {
    /// What the network expects.
    public let parameter: Parameter
    /// What the checkpoint has.
    public let tensor: Tensor
  }

  /// A tensor for one or more parameters that the file also stores under another name.
  public struct Duplicate: Sendable {
    /// The tensor that is not used.
    public let tensor: Tensor
    /// The parameters, and the third of the tensor's rows for each, unless it is the whole tensor.
    let parameters: [(parameter: Parameter, third: Int?)]
    /// The tensor that is read.
    public let original: Tensor
  }

  /// The distinct parameters of all graphs, in execution order.
  public let parameters: [Parameter]
  /// Parameters without a tensor.
  public let missing: [Parameter]
  /// Tensors, by position in the file, that are neither parameters nor buffers.
  public let unexpected: [Tensor]
  /// Tensors with the name of a parameter and another shape.
  public let wrongShape: [Misfit]
  /// Parameters with types other than F64, F32, F16, BF16 or an 8-bit floating-point type.
  public let wrongType: [Misfit]
  /// Known tensors besides parameters: `position_ids`, EMA counters, scales of 8-bit weights.
  public let buffers: [Tensor]
  /// Tensors of the original network that this one omits: for OpenCLIP's text encoder, the layers
  /// after the last used one, its projection and its scale.
  public let unused: [Tensor]
  /// Tensors stored under two names, by the name that is not read.
  public let duplicates: [Duplicate]
  /// Positions of the component's tensors: parameters in execution order, then buffers, then unused
  /// and unexpected tensors in file order.
  package let executionOrder: [Int]
  /// The naming that matches most of the file's parameters.
  let naming: Naming?
  /// The parameters and buffers, by names in the file.
  private let owners: [ExactName: Parameter]
  private let positions: [String: Int]
  private let parameterPositions: [String: Int]
  /// The parameters that share a tensor, by its name, in the order of its rows.
  private let sharers: [ExactName: [Parameter]]
  /// The third of a shared tensor's rows that a parameter has.
  private let thirds: [String: Int]

  /// Whether every parameter is present with its shape.
  public var isComplete: Bool { missing.isEmpty && wrongShape.isEmpty && wrongType.isEmpty }

  /// Searches for every parameter under each of `namings`.
  ///
  /// - Parameters:
  ///   - names: the bare names of the tensors.
  ///   - index: the first position of each.
  ///   - isScale: whether the tensor with this name is a scale of 8-bit weights.
  init(
    graphs: [Graph], tensors: [Tensor], names: [String], index: [ExactName: Int],
    namings: [Naming], isScale: (String) -> Bool = { _ in false }
  ) {
    var parameters: [Parameter] = []
    var positions: [String: Int] = [:]
    var missing: [Parameter] = []
    var wrongShape: [Misfit] = []
    var wrongType: [Misfit] = []
    var order: [Int] = []
    var taken = [Bool](repeating: false, count: tensors.count)
    var parameterPositions: [String: Int] = [:]
    // The location of each parameter or buffer, whether it fits or not.
    var originals: [String: Int] = [:]

    var owners: [ExactName: Parameter] = [:]
    var sharers: [ExactName: [Parameter]] = [:]
    var thirds: [String: Int] = [:]
    // Files use one naming. If a network is present twice, one copy is read, not parts of both: the
    // naming with the most parameters comes first.
    func found(_ parameter: Parameter, _ naming: Naming) -> Int? {
      index[ExactName(naming.name(of: parameter))]
    }
    let ranked = namings.map { naming in
      (naming: naming, count: graphs.flatMap(\.parameters).count { found($0, naming) != nil })
    }.enumerated().filter { $0.element.count > 0 }.sorted {
      ($1.element.count, $0.offset) < ($0.element.count, $1.offset)
    }.map(\.element.naming)
    // The naming of the last parameter found.
    var likely: Naming?

    func position(of parameter: Parameter) -> Int? {
      for naming in ranked {
        guard let position = found(parameter, naming) else { continue }
        likely = naming
        return position
      }
      return nil
    }

    for parameter in graphs.flatMap(\.parameters) where parameterPositions[parameter.name] == nil {
      parameterPositions[parameter.name] = parameters.count
      parameters.append(parameter)
      guard let position = position(of: parameter) else {
        missing.append(parameter)
        continue
      }
      if !taken[position] { order.append(position) }
      let third = likely?.third(of: parameter)
      originals[parameter.name] = position
      if let third {
        sharers[ExactName(tensors[position].name), default: []].append(parameter)
        thirds[parameter.name] = third
      } else {
        owners[ExactName(tensors[position].name)] = parameter
      }
      taken[position] = true
      let misfit = Misfit(parameter: parameter, tensor: tensors[position])
      if !Cast.sources.contains(misfit.tensor.dtype) {
        wrongType.append(misfit)
      } else if third == nil
        ? !Manifest.accepts(misfit.tensor.shape, for: parameter)
        : misfit.tensor.shape.dimensions != likely?.shape(of: parameter)
      {
        wrongShape.append(misfit)
      } else {
        positions[parameter.name] = position
      }
    }
    var buffers: [Tensor] = []
    for buffer in graphs.flatMap(\.buffers) {
      guard let position = position(of: buffer), !taken[position] else { continue }
      taken[position] = true
      order.append(position)
      buffers.append(tensors[position])
      owners[ExactName(tensors[position].name)] = buffer
      originals[buffer.name] = position
    }
    for position in tensors.indices
    where !taken[position]
      && (SingleFileLayout.isBuffer(names[position]) || isScale(tensors[position].name))
    {
      taken[position] = true
      order.append(position)
      buffers.append(tensors[position])
    }
    let rest = tensors.indices.filter { !taken[$0] }
    let naming = Manifest.naming(parameters, namings) { parameter, name in
      originals[parameter.name].map { ExactName(names[$0]) == ExactName(name) } ?? false
    }
    let isUnused = Manifest.unused(by: parameters, naming)
    let known = parameters + graphs.flatMap(\.buffers)
    let duplicates = Manifest.duplicates(
      rest, tensors, names, originals, of: known, namings)
    let doubled = Set(duplicates.map(\.position))

    self.parameters = parameters
    self.missing = missing
    self.wrongShape = wrongShape
    self.wrongType = wrongType
    self.buffers = buffers
    self.owners = owners
    self.sharers = sharers
    self.thirds = thirds
    self.naming = naming
    self.positions = positions
    self.parameterPositions = parameterPositions
    unused = rest.filter { isUnused(names[$0]) && !doubled.contains($0) }.map { tensors[$0] }
    unexpected = rest.filter { !isUnused(names[$0]) && !doubled.contains($0) }
      .map { tensors[$0] }
    self.duplicates = duplicates.map(\.duplicate)
    executionOrder = order + rest
  }

  /// Tensors in `rest` that are parameters or buffers under an unused name.
  private static func duplicates(
    _ rest: [Int], _ tensors: [Tensor], _ names: [String], _ originals: [String: Int],
    of parameters: [Parameter], _ namings: [Naming]
  ) -> [(position: Int, duplicate: Duplicate)] {
    guard !rest.isEmpty else { return [] }
    let wanted = Set(rest.map { ExactName(names[$0]) })
    var found: [ExactName: [(parameter: Parameter, third: Int?)]] = [:]
    for naming in namings {
      for parameter in parameters {
        let name = ExactName(naming.name(of: parameter))
        guard wanted.contains(name), originals[parameter.name] != nil,
          found[name]?.contains(where: { $0.parameter.name == parameter.name }) != true
        else { continue }
        found[name, default: []].append((parameter, naming.third(of: parameter)))
      }
    }
    return rest.compactMap { position in
      guard let parameters = found[ExactName(names[position])],
        let original = originals[parameters[0].parameter.name]
      else { return nil }
      return (
        position,
        Duplicate(
          tensor: tensors[position], parameters: parameters, original: tensors[original])
      )
    }
  }

  /// The naming with the most hits, or the first of several.
  private static func naming(
    _ parameters: [Parameter], _ namings: [Naming], _ isSpelled: (Parameter, String) -> Bool
  ) -> Naming? {
    var best: (naming: Naming, hits: Int)?
    for naming in namings {
      let hits = parameters.count { isSpelled($0, naming.name(of: $0)) }
      if hits > best?.hits ?? 0 { best = (naming, hits) }
      if hits == parameters.count { break }
    }
    return best?.naming
  }

  /// Determines by bare name whether a tensor belongs to an omitted part of OpenCLIP's text
  /// encoder.
  private static func unused(
    by parameters: [Parameter], _ naming: Naming?
  ) -> (String) -> Bool {
    guard let naming, naming.family == .openCLIP else { return { _ in false } }
    let layers = "transformer.resblocks."
    func layer(_ name: some StringProtocol) -> Int? {
      name.hasPrefix(layers) ? Int(name.dropFirst(layers.count).prefix { $0 != "." }) : nil
    }
    let last = parameters.compactMap { $0.openCLIP.flatMap { layer($0.name) } }.max() ?? -1
    return { name in
      guard name.hasPrefix(naming.prefix) else { return false }
      let tail = name.dropFirst(naming.prefix.count)
      return Leftover.contrastive.contains(String(tail)) || layer(tail).map { $0 > last } ?? false
    }
  }

  /// The parameter with this name.
  public subscript(name: String) -> Parameter? {
    parameterPositions[name].map { parameters[$0] }
  }

  /// The parameter or buffer of the file's tensor with this name.
  package func parameter(of tensor: String) -> Parameter? { owners[ExactName(tensor)] }

  /// The parameters that share the file's tensor with this name, each with an equal part of its
  /// rows, in order; empty if it belongs to a single parameter.
  package func sharers(of tensor: String) -> [Parameter] { sharers[ExactName(tensor)] ?? [] }

  /// The position of this parameter's tensor, own or shared, among the component's tensors.
  package func position(_ name: String) -> Int? { positions[name] }

  /// The third of the tensor's rows for this parameter; nil if it has all rows.
  func third(_ name: String) -> Int? { thirds[name] }

  /// Whether `shape` is the parameter's, or that of a matrix stored as a 1x1 convolution with one
  /// or two dimensions, as in attention weights of older VAE files.
  private static func accepts(_ shape: Shape, for parameter: Parameter) -> Bool {
    if shape.dimensions == parameter.shape { return true }
    return parameter.shape.count == 2
      && (shape.dimensions == parameter.shape + [1, 1] || shape.dimensions == parameter.shape + [1])
  }
}

extension Manifest {
  /// The problems, with many of a kind summarized as a count and the first names.
  public var summedProblems: [String] {
    func summed(_ names: [String], _ what: String) -> [String]? {
      names.count > 4 ? ["\(names.count.of("tensor")) \(what): \(Leftover.shown(names))"] : nil
    }
    let problems = self.problems
    let (missed, shapes) = (missing.count, missing.count + wrongShape.count)
    let types = shapes + wrongType.count
    return (summed(missing.map(fileName), "are missing") ?? Array(problems[..<missed]))
      + (summed(wrongShape.map(\.tensor.name), "have another shape")
        ?? Array(problems[missed..<shapes]))
      + (summed(wrongType.map(\.tensor.name), "are not \(Cast.sourceNames)")
        ?? Array(problems[shapes..<types]))
      + (summed(unexpected.map(\.name), "do not belong to this network")
        ?? Array(problems[types...]))
  }

  /// The name that a parameter has, or would have, in the file.
  func fileName(_ parameter: Parameter) -> String {
    naming?.name(of: parameter) ?? parameter.name
  }

  /// One sentence for each missing or wrong tensor.
  public var problems: [String] {
    missing.map { parameter in
      let name = fileName(parameter)
      let shape = Shape(naming?.shape(of: parameter) ?? parameter.shape)
      return "\(name) \(shape) is missing"
        + (name == parameter.name ? "" : " (\(parameter.name) in diffusers' names)")
    }
      + wrongShape.map {
        "\($0.tensor.name) has the shape \($0.tensor.shape), not \(Shape($0.parameter.shape))"
      }
      + wrongType.map {
        "\($0.tensor.name) holds \($0.tensor.dtype.rawValue), not \(Cast.sourceNames)"
      }
      + unexpected.map {
        "\($0.name) \($0.shape) is not a tensor of this network"
      }
  }
}

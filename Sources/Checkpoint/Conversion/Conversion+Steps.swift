import ModelFormats
import ModelGraph
import OrderedJSON

extension Conversion {
  /// The conversion of one tensor.
  public struct Step: Sendable {
    /// Its change from the source, besides name, shape and type.
    public enum Change: String, Sendable {
      /// Not in the source.
      case created
      /// The source has invalid values.
      case repaired
    }

    /// The component of the source.
    public let component: ComponentName
    /// The tensor with its name and shape in the target.
    public private(set) var tensor: Tensor
    /// Its name in the source; nil if created.
    public let source: String?
    /// The dtype that is written.
    public let dtype: DType
    /// What is done to the shape; nil if nothing is.
    public let change: Change?
    /// Whether the target stores it as Q8_0 blocks, quantized from F32.
    public var isQuantized = false
    /// The source tensors whose rows are concatenated, if several.
    public var joined: [Tensor] = []
    /// Whether it is a parameter of a known network.
    var isParameter = false

    /// Sets its name in the target.
    mutating func rename(_ name: String) { tensor = tensor.renamed(name) }

    /// The source tensors.
    var sources: [Tensor] { joined.isEmpty ? [tensor] : joined }

    /// Whether the values are cast to another dtype.
    public var isCast: Bool { dtype != tensor.dtype }
    /// The type in the target: `F16`, `Q8_0`.
    var encoding: String { isQuantized ? BlockEncoding.q80.rawValue : dtype.rawValue }
    /// Whether the name changes.
    public var isRenamed: Bool { source != nil && source != tensor.name }
    /// Bytes of the values passed to the target.
    public var byteCount: Int { tensor.shape.byteCount(of: dtype) ?? 0 }
    /// Bytes in the target; for a quantized tensor, of its blocks.
    public var storedByteCount: Int {
      isQuantized ? BlockEncoding.q80.byteCount(of: tensor.shape) ?? byteCount : byteCount
    }
  }

  /// A tensor of the source that is not written.
  public struct Drop: Sendable, Hashable {
    /// The component that it was read as.
    public let component: ComponentName
    /// The name in its file.
    public let name: String
    /// Why it is left out.
    public let reason: String
    /// The plain value as text; nil for a tensor.
    public var value: String?
    /// Whether it is a plain value in a PyTorch file, not a tensor.
    public var isValue: Bool { value != nil }
  }
}

/// Turns the tensors of components into steps, and collects drops and notes.
struct StepMaker {
  let options: Conversion.Options
  private(set) var drops: [Conversion.Drop] = []
  private(set) var notes: [String] = []

  init(_ options: Conversion.Options) {
    self.options = options
  }

  mutating func drop(_ tensors: [Tensor], of component: ComponentName, _ reason: String) {
    drop(tensors, of: component) { _ in reason }
  }

  mutating func drop(
    _ tensors: [Tensor], of component: ComponentName, _ reason: (Tensor) -> String
  ) {
    drops += tensors.map {
      Conversion.Drop(component: component, name: $0.name, reason: reason($0))
    }
  }

  /// Records values that could not be read.
  mutating func drop(_ values: UnreadValues) {
    drops.append(
      Conversion.Drop(component: .other, name: values.name, reason: values.reason))
  }

  /// Records a value in a PyTorch file that is not a tensor.
  mutating func drop(_ value: PlainValue, of component: ComponentName) {
    drops.append(
      Conversion.Drop(
        component: component, name: value.name, reason: "a value, not a tensor: \(value.text)",
        value: value.text))
  }

  mutating func note(_ text: String) { notes.append(text) }

  /// The steps of one component.
  ///
  /// - Parameter naming: the names to write; nil keeps the source's names.
  /// - Throws: ``FormatError`` `unsupported` if tensors that become one have different types, or if
  ///   scales of 8-bit weights do not fit.
  mutating func steps(
    of component: Component, _ tensors: [Tensor], naming: Naming?
  ) throws(FormatError) -> [Conversion.Step] {
    var steps: [Conversion.Step] = []
    var unknown: [String] = []
    var uncast: [(name: String, type: String)] = []
    for tensor in tensors where options.multipliesScales || naming != nil {
      guard let problem = component.scales.problems([tensor]).first else { continue }
      throw FormatError(
        .unsupported, problem, file: component.path, context: tensor.name,
        hint: "use the file that these weights were quantized from")
    }
    let constants = Set(component.graphConstants.map { ExactName($0.name) })
    let unused = Set((component.manifest?.unused ?? []).map { ExactName($0.name) })
    let doubled = naming == nil ? [] : try dropDuplicates(of: component)
    for original in tensors where !doubled.contains(ExactName(original.name)) {
      if component.scales.isPart(original.name), options.multipliesScales {
        drop([original], of: component.name, "scales of 8-bit weights, which are multiplied in")
        continue
      }
      let tensor = options.decodes(original) ? try component.scales.decoded(original) : original
      if constants.contains(ExactName(tensor.name)) {
        drop([tensor], of: component.name, Leftover.Kind.graphConstants.rawValue)
        continue
      }
      let pieces = component.pieces(of: tensor)
      if let naming, naming.family != .openCLIP, pieces.count > 1 {
        for (parameter, piece) in pieces {
          steps.append(step(piece, of: component, parameter, naming))
        }
        continue
      }
      if unused.contains(ExactName(tensor.name)) {
        if let naming, naming.family != .openCLIP {
          drop([tensor], of: component.name, Leftover.unusedKind(of: tensor.name).rawValue)
        } else {
          steps.append(step(tensor, of: component, nil, naming))
        }
        continue
      }
      let parameter = pieces[0].parameter
      if let naming, naming.family == .openCLIP, component.naming?.family != .openCLIP {
        if PositionIDs.isName(tensor.name) {
          drop([tensor], of: component.name, "OpenCLIP's layout has no position ids")
          continue
        }
        if let third = parameter.flatMap({ naming.third(of: $0) }) {
          // Keys and values are written with the queries.
          if third == 0, let parameter {
            steps.append(try joinedStep(parameter, tensor, of: component, naming))
          }
          continue
        }
      }
      let kind =
        component.scales.isPart(tensor.name) ? .weightScales : Leftover.kind(of: tensor.name)
      if parameter == nil, component.manifest != nil || component.name == .other {
        if [.optimizerState, .gradients, .averageCounters].contains(kind) {
          drop([tensor], of: component.name, kind.rawValue)
          continue
        }
        if [.unknown, .trainingLoss, .trainingState, .averages].contains(kind) {
          if options.dropUnknown {
            drop([tensor], of: component.name, "it belongs to no network")
            continue
          }
          unknown.append(tensor.name)
        }
      }
      let step = step(tensor, of: component, parameter, naming)
      steps.append(step)
      if step.change == .repaired {
        note(
          "\(component.name): \(tensor.name) holds \(PositionIDs.contents(tensor)); it is written as "
            + "I64, 0 to \(tensor.elementCount - 1)")
      }
      if options.dtype != nil, tensor.dtype.isFloatingPoint || tensor.dtype.isComplex,
        !Cast.sources.contains(tensor.dtype)
      {
        uncast.append((tensor.name, tensor.dtype.rawValue))
      }
    }
    say(uncast, unknown, of: component)
    return steps
  }

  /// Drops tensors that the component stores under a second name, and notes whether the values are
  /// equal.
  private mutating func dropDuplicates(
    of component: Component
  ) throws(FormatError) -> Set<ExactName> {
    let duplicates = component.manifest?.duplicates ?? []
    var others: [String] = []
    for duplicate in duplicates {
      if try component.isSame(duplicate) {
        drop([duplicate.tensor], of: component.name, "a second name for the same values")
      } else {
        others.append(duplicate.tensor.name)
        drop(
          [duplicate.tensor], of: component.name,
          "a second name for a tensor, with other values than those that are written")
      }
    }
    if let first = duplicates.first {
      let names = "\(first.tensor.displayName) and \(first.original.displayName)"
      note(
        "\(component.name): \(duplicates.count.of("tensor is", "tensors are")) "
          + "there under two names, as \(names): "
          + (others.isEmpty
            ? "the values are the same"
            : "\(others.count) have other values under the first, which are not written: "
              + Leftover.shown(others)))
    }
    return Set(duplicates.map { ExactName($0.tensor.name) })
  }

  /// The step for the tensor that `parameter` shares with others in `naming`, but not in the
  /// source.
  private func joinedStep(
    _ parameter: Parameter, _ tensor: Tensor, of component: Component, _ naming: Naming
  ) throws(FormatError) -> Conversion.Step {
    let name = naming.name(of: parameter)
    var sources: [Tensor] = []
    for sharer in component.manifest?.parameters ?? [] where naming.name(of: sharer) == name {
      let stored = try component.tensor(for: sharer, decoding: false)
      sources.append(
        options.decodes(stored) ? try component.tensor(for: sharer) : stored)
    }
    guard sources.allSatisfy({ $0.dtype == tensor.dtype }) else {
      throw FormatError(
        .unsupported,
        "\(name) is one tensor of one type, but its parts are "
          + sources.map { "\($0.name) (\($0.dtype.rawValue))" }.joined(separator: ", "),
        file: component.path, context: tensor.name,
        hint: "convert to diffusers' layout with \(set: .dtype) first, then to this one")
    }
    // Its values are those of its parts.
    let target = Tensor(
      name: name, dtype: tensor.dtype, shape: Shape(naming.shape(of: parameter)),
      storage: .memory([]))
    return Conversion.Step(
      component: component.name, tensor: target, source: tensor.name,
      dtype: options.type(of: target), change: nil, joined: sources, isParameter: true)
  }

  private func step(
    _ tensor: Tensor, of component: Component, _ parameter: Parameter?, _ naming: Naming?
  ) -> Conversion.Step {
    let name = name(of: tensor, in: component, parameter, naming)
    if PositionIDs.needsRepair(tensor) {
      let ids = PositionIDs.tensor(named: name, count: tensor.elementCount)
      return Conversion.Step(
        component: component.name, tensor: ids, source: tensor.name, dtype: ids.dtype,
        change: .repaired)
    }
    var target = tensor.renamed(name)
    if let naming, let parameter, !parameter.shape.isEmpty {
      let shape = Shape(naming.shape(of: parameter))
      if shape != target.shape, shape.elementCount == target.elementCount {
        target = target.reshaped(shape)
      }
    }
    var dtype = options.type(of: tensor)
    let isQuantized = options.quantize && StepMaker.isQuantizable(target)
    if isQuantized { dtype = .float32 }
    return Conversion.Step(
      component: component.name, tensor: target, source: tensor.name, dtype: dtype, change: nil,
      isQuantized: isQuantized, isParameter: parameter != nil)
  }

  /// Matrices in whole blocks of 32, like stable-diffusion.cpp; small tensors and convolutions are
  /// not quantized.
  private static func isQuantizable(_ tensor: Tensor) -> Bool {
    tensor.shape.rank == 2 && tensor.shape.last.isMultiple(of: 32) && tensor.shape[0] > 1
      && Cast.direct.contains(tensor.dtype) && !Summary.isBuffer(tensor)
  }

  private func name(
    of tensor: Tensor, in component: Component, _ parameter: Parameter?, _ naming: Naming?
  ) -> String {
    if let naming, let parameter { return naming.name(of: parameter) }
    let name = component.bareName(of: tensor)
    guard let naming, let own = component.naming else { return name }
    // An unknown name keeps its place below the network's prefix, or the part of the prefix that it
    // has.
    let words = name.split(separator: ".", omittingEmptySubsequences: false)
    let prefix = own.prefix.split(separator: ".")
    let shared = zip(prefix, words).prefix { $0 == $1 }.count
    let lacking = prefix.dropFirst(shared)
    var place = naming.prefix.split(separator: ".")
    if shared > 0, place.suffix(lacking.count) == lacking { place.removeLast(lacking.count) }
    return (place + words.dropFirst(shared)).joined(separator: ".")
  }

  private mutating func say(
    _ uncast: [(name: String, type: String)], _ unknown: [String], of component: Component
  ) {
    if uncast.count > 4 {
      note(
        "\(component.name): \(uncast.count.of("tensor keeps its type, which is", "tensors keep their types, which are")) not cast: "
          + Leftover.shown(uncast.map(\.name)))
    } else {
      for (name, type) in uncast {
        note("\(component.name): \(name) stays \(type), a type that is not cast")
      }
    }
    if unknown.count > 4 {
      note(
        "\(component.name): \(unknown.count.of("tensor is kept though it is", "tensors are kept though they are")) of no network: "
          + Leftover.shown(unknown))
    } else {
      for name in unknown {
        note("\(component.name): \(name) is kept though it is no tensor of this network")
      }
    }
  }
}

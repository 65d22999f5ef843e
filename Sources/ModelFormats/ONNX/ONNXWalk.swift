import OrderedJSON

/// Walks the graph of an ONNX model and its subgraphs.
struct ONNXWalk {
  private let file: MappedFile
  private(set) var tensors: [Tensor] = []
  private(set) var warnings: [String] = []
  /// Unsupported initializers.
  private(set) var unread: [UnreadValues] = []
  private var data: ONNXData
  private var names: Set<ExactName> = []
  private var graphName = ""
  private var inputs: [(name: String, type: String)] = []
  private var outputs: [(name: String, type: String)] = []
  private var operators: [ExactName: Int] = [:]
  private var nodeCount = 0
  private var constants = (count: 0, byteCount: 0)
  private var sparseCount = 0
  /// The remaining size for initializer names: names in subgraphs include the names of all
  /// enclosing nodes, which a malicious model makes long and many.
  private var nameBudget: Int

  init(_ file: MappedFile) {
    self.file = file
    nameBudget = (8 << 20) + file.count
    data = ONNXData(model: file)
  }

  var files: [String] { data.files }

  /// The graph's metadata: name, inputs, outputs, and nodes by operator.
  var metadata: [(key: String, value: String)] {
    // Before IR version 4, every initializer was also an input.
    var pairs = [(key: "graph", value: graphName)]
    pairs += inputs.filter { !names.contains(ExactName($0.name)) }
      .map { ("input \($0.name)", $0.type) }
    pairs += outputs.map { ("output \($0.name)", $0.type) }
    pairs.append(("nodes", "\(nodeCount)"))
    let byCount = operators.sorted {
      $0.value == $1.value
        ? $0.key.text.utf8.lexicographicallyPrecedes($1.key.text.utf8) : $0.value > $1.value
    }
    pairs += byCount.map { ("operator \($0.key.text)", "\($0.value)") }
    if constants.count > 0 {
      pairs.append(("constants", "\(constants.count) of \(constants.byteCount.of("byte"))"))
    }
    return pairs
  }

  /// Reads the model's graph.
  mutating func readGraph(_ range: Range<Int>) throws(FormatError) {
    try readGraph(range, prefix: "", depth: 0)
    if sparseCount > 0 {
      warnings.append("\(sparseCount) sparse initializers are not read and are left out")
      unread.append(
        UnreadValues(
          .tensor, "\(sparseCount) sparse initializers", byteCount: 0, reason: "they are not read"))
    }
  }

  private mutating func readGraph(
    _ range: Range<Int>, prefix: String, depth: Int
  ) throws(FormatError) {
    guard depth <= ONNX.depthLimit else {
      throw FormatError(
        .unsupported, "graphs lie more than \(ONNX.depthLimit) deep inside one another",
        offset: range.lowerBound)
    }
    var reader = ProtobufReader(file, range, what: "the graph")
    while let field = try reader.next() {
      switch field.number {
      case 1: try readNode(try reader.range(field), prefix: prefix, depth: depth)
      case 2 where depth == 0: graphName = try reader.text(field)
      case 5: try readInitializer(try reader.range(field), at: field.offset, prefix: prefix)
      case 11 where depth == 0, 12 where depth == 0:
        let value = try ONNXValueType.read(file, try reader.range(field))
        if field.number == 11 { inputs.append(value) } else { outputs.append(value) }
        guard inputs.count + outputs.count <= ONNX.valueLimit else {
          throw FormatError(
            .unsupported, "the graph has more than \(ONNX.valueLimit) inputs and outputs",
            offset: field.offset)
        }
      case 15: sparseCount += 1
      default: break
      }
    }
  }

  private mutating func readInitializer(
    _ range: Range<Int>, at offset: Int, prefix: String
  ) throws(FormatError) {
    let message = try ONNXTensor(file, range)
    guard !message.name.isEmpty else {
      throw FormatError(.malformed, "an initializer has no name", offset: offset)
    }
    try spend(prefix.utf8.count + message.name.utf8.count, at: offset)
    let name = prefix + message.name
    do throws(FormatError) {
      guard names.insert(ExactName(name)).inserted else {
        throw FormatError(.malformed, "two initializers have this name", offset: offset)
      }
      guard names.count <= ONNX.tensorLimit else {
        throw FormatError(
          .unsupported, "there are more than \(ONNX.tensorLimit) initializers", offset: offset)
      }
      guard let dtype = message.dtype else {
        let reason = "unsupported type \(message.typeName); tensor skipped"
        warnings.append("\(name): \(reason)")
        // Strings are not weights.
        if message.typeName != "STRING" {
          unread.append(UnreadValues(.tensor, name, byteCount: 0, reason: reason))
        }
        return
      }
      tensors.append(try data.tensor(message, named: name, dtype: dtype))
    } catch {
      var error = error
      error.context = error.context ?? name
      error.offset = error.offset ?? offset
      throw error
    }
  }

  private mutating func readNode(
    _ range: Range<Int>, prefix: String, depth: Int
  ) throws(FormatError) {
    var reader = ProtobufReader(file, range, what: "a node")
    var output = ""
    var name = ""
    var type = ""
    var domain = ""
    var attributes: [Range<Int>] = []
    while let field = try reader.next() {
      switch field.number {
      case 2 where output.isEmpty: output = try reader.text(field)
      case 3: name = try reader.text(field)
      case 4: type = try reader.text(field)
      case 5: attributes.append(try reader.range(field))
      case 7: domain = try reader.text(field)
      default: break
      }
    }
    nodeCount += 1
    let isStandard = domain.isEmpty || domain == "ai.onnx"
    operators[ExactName(isStandard ? type : "\(domain).\(type)"), default: 0] += 1
    guard operators.count <= ONNX.valueLimit else {
      throw FormatError(
        .unsupported, "the graph has more than \(ONNX.valueLimit) kinds of operators",
        offset: range.lowerBound)
    }
    let label = [name, output, type].first { !$0.isEmpty } ?? "node"
    for attribute in attributes {
      try readAttribute(
        attribute, of: label, prefix: prefix, isConstant: isStandard && type == "Constant",
        depth: depth)
    }
  }

  private mutating func readAttribute(
    _ range: Range<Int>, of node: String, prefix: String, isConstant: Bool, depth: Int
  ) throws(FormatError) {
    var reader = ProtobufReader(file, range, what: "an attribute")
    var name = ""
    var graphs: [Range<Int>] = []
    while let field = try reader.next() {
      switch field.number {
      case 1: name = try reader.text(field)
      case 5 where isConstant:
        let tensor = try ONNXTensor(file, try reader.range(field))
        constants.count += 1
        let byteCount = tensor.dtype.flatMap { tensor.shape.byteCount(of: $0) } ?? 0
        // Sizes are untrusted; their sum may overflow.
        let (sum, overflow) = constants.byteCount.addingReportingOverflow(byteCount)
        constants.byteCount = overflow ? .max : sum
      case 6, 11: graphs.append(try reader.range(field))
      default: break
      }
    }
    guard !graphs.isEmpty else { return }
    try spend(prefix.utf8.count + node.utf8.count + name.utf8.count, at: range.lowerBound)
    let inner = "\(prefix)\(node).\(name)."
    for graph in graphs { try readGraph(graph, prefix: inner, depth: depth + 1) }
  }

  private mutating func spend(_ count: Int, at offset: Int) throws(FormatError) {
    nameBudget -= count
    guard nameBudget >= 0 else {
      throw FormatError(
        .malformed, "the names of initializers inside nodes expand to far more than the file",
        offset: offset, hint: "the file appears crafted to exhaust memory")
    }
  }
}

/// The type of a graph's input or output: `F32 [batch, 4, height, width]`.
enum ONNXValueType {
  /// Reads a `ValueInfoProto`: 1 name, 2 type.
  static func read(
    _ file: MappedFile, _ range: Range<Int>
  ) throws(FormatError) -> (name: String, type: String) {
    var reader = ProtobufReader(file, range, what: "a graph's input or output")
    var name = ""
    var type = "?"
    while let field = try reader.next() {
      switch field.number {
      case 1: name = try reader.text(field)
      case 2: type = try spelling(file, try reader.range(field))
      default: break
      }
    }
    return (name, type)
  }

  /// `TypeProto`: 1 tensor_type, of 1 elem_type, 2 shape; other kinds are sequences and maps.
  private static func spelling(
    _ file: MappedFile, _ range: Range<Int>
  ) throws(FormatError) -> String {
    var reader = ProtobufReader(file, range, what: "a type")
    while let field = try reader.next() {
      guard field.number == 1 else { continue }
      var tensor = ProtobufReader(file, try reader.range(field), what: "a tensor's type")
      var element = "?"
      var shape: String?
      while let field = try tensor.next() {
        switch field.number {
        case 1: element = ONNXDataType(try tensor.integer(field)).name
        case 2: shape = try dimensions(file, try tensor.range(field))
        default: break
        }
      }
      return shape.map { "\(element) \($0)" } ?? element
    }
    return "?"
  }

  /// `TensorShapeProto`: 1 dim*, each 1 dim_value or 2 dim_param.
  private static func dimensions(
    _ file: MappedFile, _ range: Range<Int>
  ) throws(FormatError) -> String {
    var reader = ProtobufReader(file, range, what: "a shape")
    var dimensions: [String] = []
    while let field = try reader.next() {
      guard field.number == 1 else { continue }
      var dimension = ProtobufReader(file, try reader.range(field), what: "a dimension")
      var spelling = "?"
      while let field = try dimension.next() {
        switch field.number {
        case 1: spelling = "\(try dimension.integer(field))"
        case 2: spelling = try dimension.text(field)
        default: break
        }
      }
      dimensions.append(spelling)
    }
    return "[\(dimensions.joined(separator: ", "))]"
  }
}

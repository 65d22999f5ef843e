/// ONNX models: a Protocol Buffers message of a graph, whose initializers are the tensors.
///
///     ModelProto      1 ir_version, 2 producer_name, 3 producer_version, 4 domain,
///                     5 model_version, 7 graph, 8 opset_import*, 14 metadata_props*, 25 functions*
///     GraphProto      1 node*, 2 name, 5 initializer*, 11 input*, 12 output*,
///                     15 sparse_initializer*
///     NodeProto       2 output*, 3 name, 4 op_type, 5 attribute*, 7 domain
///     AttributeProto  1 name, 5 t, 6 g, 11 graphs*
///
/// The message has no magic number; it is recognized by its sequence of fields. It is only skimmed:
/// values stay in the file, or in the external data files that tensors name.
///
/// Initializers of subgraphs are named `node.attribute.name`. Values of Constant nodes are counted,
/// not listed.
///
/// Source: ONNX's `onnx.proto` and `docs/IR.md`.
package enum ONNX {
  /// The maximum depth of subgraphs.
  static let depthLimit = 16
  /// The maximum number of initializers.
  static let tensorLimit = 65_536
  /// The maximum number of inputs and outputs, and of operator types.
  static let valueLimit = 65_536

  /// Reads the graph's initializers and counts its nodes; values that can be used in place are not
  /// accessed.
  ///
  /// - Throws: ``FormatError`` with the offset in the file and the tensor's name; `notFound` with
  ///   the name of a missing external data file.
  package static func read(_ file: MappedFile) throws(FormatError) -> TensorFile {
    do throws(FormatError) {
      return try readChecked(file)
    } catch {
      throw error.inFile(file.path)
    }
  }

  private static func readChecked(_ file: MappedFile) throws(FormatError) -> TensorFile {
    var reader = ProtobufReader(file, 0..<file.count, what: "the model")
    var metadata: [(key: String, value: String)] = []
    var properties: [(key: String, value: String)] = []
    var functions = 0
    var walk = ONNXWalk(file)
    var graphs = 0
    while let field = try reader.next() {
      switch field.number {
      case 1: metadata.append(("ir_version", "\(try reader.integer(field))"))
      case 2: metadata.append(("producer_name", try reader.text(field)))
      case 3: metadata.append(("producer_version", try reader.text(field)))
      case 4: metadata.append(("domain", try reader.text(field)))
      case 5: metadata.append(("model_version", "\(try reader.integer(field))"))
      case 7:
        graphs += 1
        guard graphs == 1 else {
          throw reader.malformed("has two graphs", at: field.offset)
        }
        try walk.readGraph(try reader.range(field))
      case 8: metadata.append(try operatorSet(file, try reader.range(field)))
      case 14:
        let (key, value) = try ONNX.pair(file, try reader.range(field))
        properties.append((key, value))
      case 25: functions += 1
      default: break
      }
    }
    guard graphs == 1 else {
      throw FormatError(.malformed, "the model has no graph", offset: file.count)
    }
    if functions > 0 { metadata.append(("functions", "\(functions)")) }
    return TensorFile(
      path: file.path, format: .onnx, metadata: metadata + walk.metadata + properties,
      tensors: walk.tensors, warnings: walk.warnings, files: walk.files,
      unread: walk.unread)
  }

  /// `OperatorSetIdProto`: 1 domain, 2 version.
  private static func operatorSet(
    _ file: MappedFile, _ range: Range<Int>
  ) throws(FormatError) -> (key: String, value: String) {
    var reader = ProtobufReader(file, range, what: "an opset")
    var domain = ""
    var version = 0
    while let field = try reader.next() {
      switch field.number {
      case 1: domain = try reader.text(field)
      case 2: version = try reader.integer(field)
      default: break
      }
    }
    return ("opset \(domain.isEmpty ? "ai.onnx" : domain)", "\(version)")
  }

  /// `StringStringEntryProto`: 1 key, 2 value.
  static func pair(
    _ file: MappedFile, _ range: Range<Int>
  ) throws(FormatError) -> (key: String, value: String) {
    var reader = ProtobufReader(file, range, what: "a key and value")
    var pair = (key: "", value: "")
    while let field = try reader.next() {
      switch field.number {
      case 1: pair.key = try reader.text(field)
      case 2: pair.value = try reader.text(field)
      default: break
      }
    }
    return pair
  }
}

extension ONNX {
  /// Whether the file begins like a model: `ModelProto` fields with the right wire types, up to a
  /// graph that begins with a `GraphProto` field.
  static func isModel(_ file: MappedFile) -> Bool {
    var reader = ProtobufReader(file, 0..<file.count, what: "the model")
    var hasVersion = false
    for _ in 0..<10_000 {
      let start = reader.position
      guard let field = try? reader.next() else {
        // A truncated graph still counts if a version precedes it.
        guard hasVersion, start < file.count else { return false }
        let tag = unsafe file.bytes.unsafeLoad(fromUncheckedByteOffset: start, as: UInt8.self)
        return tag == 0x3A
      }
      switch (field.number, field.value) {
      case (1, .varint(let version)):
        guard (1...1000).contains(version) else { return false }
        hasVersion = true
      case (5, .varint): break
      case (2, .bytes), (3, .bytes), (4, .bytes), (6, .bytes), (8, .bytes), (14, .bytes),
        (20, .bytes), (25, .bytes), (26, .bytes):
        break
      case (7, .bytes(let range)):
        var graph = ProtobufReader(file, range, what: "the graph")
        guard let first = try? graph.next(), case .bytes = first.value else {
          return hasVersion && range.isEmpty
        }
        return [1, 2, 5, 10, 11, 12, 13, 14, 15, 16].contains(first.number)
      default: return false
      }
    }
    return false
  }
}

extension FormatDescriptor {
  /// ONNX models, of which initializers are read.
  public static let onnx: FormatDescriptor = {
    var kind = FormatDescriptor("onnx", .test { ONNX.isModel($0.file) })
    kind.format = .onnx
    kind.read = ONNX.read
    kind.endings = [".onnx"]
    kind.fuzzTarget = "onnx"
    kind.rows = [
      Row(
        title: "ONNX",
        reads:
          "initializers, also in external data and in graphs inside nodes; text and types of 2 "
          + "and 4 bits (but F4) left out with a warning",
        writes: "exported models")
    ]
    return kind
  }()
}

extension TensorFile.Format {
  /// An ONNX model.
  public static let onnx = TensorFile.Format(rawValue: "onnx")
}

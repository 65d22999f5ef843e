import OrderedJSON

/// The location of ONNX tensor values: in the model, in memory if they must be decoded, or in files
/// next to the model.
///
/// External data has the entries `location`, a relative path inside the model's directory; `offset`
/// and `length` in bytes, optional; and `checksum`, which is ignored.
struct ONNXData {
  /// The memory limit of all decoded values. Weights are raw data or packed floats, which are used
  /// in place.
  private static let memoryLimit = 64 << 20

  private let model: MappedFile
  private var opened: [ExactName: MappedFile] = [:]
  private(set) var files: [String]
  private var memory = 0
  /// The bytes of all values in external files, which may overlap, and of the files.
  private var shared = (values: 0, files: 0)

  init(model: MappedFile) {
    self.model = model
    files = [model.path]
  }

  /// The tensor that `message` describes.
  ///
  /// - Throws: ``FormatError``, without an offset if the message's own offset applies.
  mutating func tensor(
    _ message: ONNXTensor, named name: String, dtype: DType
  ) throws(FormatError) -> Tensor {
    guard message.shape.elementCount != nil else {
      throw FormatError(
        .malformed, "the shape \(message.shape) has too many elements")
    }
    guard let byteCount = message.shape.byteCount(of: dtype) else {
      throw FormatError(
        .malformed,
        "\(message.shape) elements of \(dtype.rawValue) do not fill whole bytes, or too many")
    }
    let storage: Tensor.Storage
    switch (message.isExternal, message.raw, message.typedField) {
    case (true, nil, nil):
      storage = try external(message.external, byteCount: byteCount)
    case (false, let raw?, nil):
      guard raw.count == byteCount else {
        throw FormatError(
          .malformed,
          "\(message.shape) elements of \(dtype.rawValue) take \(byteCount) bytes; "
            + "\(raw.count) are there", offset: raw.lowerBound)
      }
      storage = .mapped(model, offset: raw.lowerBound)
    case (false, nil, let field?):
      storage = try typed(message, field, dtype: dtype, byteCount: byteCount)
    case (false, nil, nil):
      guard byteCount == 0 else { throw FormatError(.malformed, "the tensor has no values") }
      storage = .memory([])
    default:
      throw FormatError(.malformed, "the tensor has values of more than one kind")
    }
    return Tensor(name: name, dtype: dtype, shape: message.shape, storage: storage)
  }
}

// MARK: Typed fields

extension ONNXData {
  private mutating func typed(
    _ message: ONNXTensor, _ field: ONNXTensor.TypedField, dtype: DType, byteCount: Int
  ) throws(FormatError) -> Tensor.Storage {
    let allowed: ONNXTensor.TypedField
    switch dtype {
    case .float32, .complex64: allowed = .float
    case .float64, .complex128: allowed = .double
    case .int64: allowed = .int64
    case .uint32, .uint64: allowed = .uint64
    default: allowed = .int32
    }
    guard field == allowed else {
      throw FormatError(
        .malformed, "its values are in a field that \(dtype.rawValue) does not use",
        offset: message.typed[0].offset)
    }
    guard dtype.bitWidth >= 8 else {
      throw FormatError(
        .unsupported, "values of \(dtype.rawValue) are read from raw data only",
        offset: message.typed[0].offset)
    }
    // Packed fixed-width numbers can be used in place.
    if field == .float || field == .double, message.typed.count == 1,
      case .bytes(let range) = message.typed[0].value
    {
      guard range.count == byteCount else {
        throw ONNXData.wrongCount(range.count, of: byteCount, "bytes", message, dtype)
      }
      return .mapped(model, offset: range.lowerBound)
    }
    guard byteCount <= ONNXData.memoryLimit - memory else {
      throw FormatError(
        .unsupported,
        "values that are not raw data take more than \(ONNXData.memoryLimit) bytes in all",
        offset: message.typed[0].offset,
        hint: "save the model again with onnx.save, or with external data")
    }
    memory += byteCount
    var bytes: [UInt8] = []
    for piece in message.typed { try append(piece, of: dtype, limit: byteCount, to: &bytes) }
    guard bytes.count == byteCount else {
      throw ONNXData.wrongCount(bytes.count, of: byteCount, "bytes", message, dtype)
    }
    return .memory(bytes)
  }

  private static func wrongCount(
    _ count: Int, of expected: Int, _ unit: String, _ message: ONNXTensor, _ dtype: DType
  ) -> FormatError {
    FormatError(
      .malformed,
      "\(message.shape) elements of \(dtype.rawValue) take \(expected) \(unit); "
        + "the values take \(count)", offset: message.typed[0].offset)
  }

  /// Appends the values of one piece of a typed field; `limit` applies to all values.
  private func append(
    _ piece: ProtobufReader.Field, of dtype: DType, limit: Int, to bytes: inout [UInt8]
  ) throws(FormatError) {
    let tooMany = FormatError(
      .malformed, "there are more values than the shape has elements", offset: piece.offset)
    switch piece.value {
    case .fixed32(let value) where dtype == .float32 || dtype == .complex64:
      guard bytes.count + 4 <= limit else { throw tooMany }
      for shift in stride(from: 0, to: 32, by: 8) {
        bytes.append(UInt8(truncatingIfNeeded: value >> shift))
      }
    case .fixed64(let value) where dtype == .float64 || dtype == .complex128:
      guard bytes.count + 8 <= limit else { throw tooMany }
      for shift in stride(from: 0, to: 64, by: 8) {
        bytes.append(UInt8(truncatingIfNeeded: value >> shift))
      }
    case .bytes(let range) where dtype.isFixedWidth:
      guard range.count <= limit - bytes.count else { throw tooMany }
      guard range.count % dtype.swapWidth == 0 else {
        throw FormatError(
          .malformed, "a piece of the values ends inside a number", offset: piece.offset)
      }
      unsafe model.withBytes(in: range) { unsafe bytes.append(contentsOf: $0) }
    case .varint where !dtype.isFixedWidth, .bytes where !dtype.isFixedWidth:
      let reader = ProtobufReader(model, 0..<0, what: "a tensor")
      let width = dtype.bitWidth / 8
      try reader.integers(piece) { (value) throws(FormatError) in
        guard bytes.count + width <= limit else { throw tooMany }
        guard ONNXData.fits(value, dtype) else {
          throw FormatError(
            .malformed, "the value \(value) is invalid for \(dtype.rawValue)", offset: piece.offset)
        }
        for shift in stride(from: 0, to: dtype.bitWidth, by: 8) {
          bytes.append(UInt8(truncatingIfNeeded: value >> shift))
        }
      }
    default:
      throw FormatError(
        .malformed, "a value has the wrong type for \(dtype.rawValue)", offset: piece.offset)
    }
  }

  private static func fits(_ value: Int, _ dtype: DType) -> Bool {
    switch dtype {
    case .bool: (0...1).contains(value)
    case .int8: Int8(exactly: value) != nil
    case .int16: Int16(exactly: value) != nil
    case .int32: Int32(exactly: value) != nil
    case .uint32: UInt32(exactly: value) != nil
    case .int64, .uint64: true
    // Bit patterns of small floating-point types, and unsigned integers.
    default: value >= 0 && value >> dtype.bitWidth == 0
    }
  }
}

extension DType {
  /// Whether values of the type are in `float_data` or `double_data`, 4 or 8 bytes each, never as
  /// varints.
  fileprivate var isFixedWidth: Bool {
    [.float32, .complex64, .float64, .complex128].contains(self)
  }
}

// MARK: External data

extension ONNXData {
  private mutating func external(
    _ pairs: [(key: String, value: String)], byteCount: Int
  ) throws(FormatError) -> Tensor.Storage {
    var values: [String: String] = [:]
    for (key, value) in pairs {
      guard ["location", "offset", "length", "checksum", "basepath"].contains(key) else {
        throw FormatError(.malformed, "its external data has the unknown key \"\(key)\"")
      }
      guard values.updateValue(value, forKey: key) == nil else {
        throw FormatError(.malformed, "its external data has the key \"\(key)\" twice")
      }
    }
    guard let location = values["location"] else {
      throw FormatError(.malformed, "its external data has no location")
    }
    let file = try open(location)
    let offset = try ONNXData.size(values["offset"], "offset") ?? 0
    if let length = try ONNXData.size(values["length"], "length"), length != byteCount {
      throw FormatError(
        .malformed, "its external data has \(length) bytes, but the tensor needs \(byteCount)")
    }
    guard offset <= file.count, byteCount <= file.count - offset else {
      throw FormatError(
        .truncated,
        "its \(byteCount) bytes at \(offset) of \(location) reach beyond the file's \(file.count)",
        hint: Safetensors.downloadAgain)
    }
    let (sum, overflow) = shared.values.addingReportingOverflow(byteCount)
    guard !overflow, sum / 16 <= shared.files + (4 << 20) else {
      throw FormatError(
        .malformed,
        "the tensors repeat the external data until they hold more than 16 times its "
          + "\(shared.files) bytes", hint: "the file appears crafted to exhaust memory")
    }
    shared.values = sum
    return .mapped(file, offset: offset)
  }

  private static func size(_ text: String?, _ key: String) throws(FormatError) -> Int? {
    guard let text else { return nil }
    guard let number = Int(text), number >= 0, text.first != "+" else {
      throw FormatError(
        .malformed, "the \(key) of its external data must be a non-negative integer: \"\(text)\"")
    }
    return number
  }

  private mutating func open(_ location: String) throws(FormatError) -> MappedFile {
    if let file = opened[ExactName(location)] { return file }
    if let reason = FileReference.refusal(of: location, as: .relativePath) {
      throw FormatError(.malformed, "the location of its external data \(reason)")
    }
    let reference = FileReference(location, beside: model.path)
    guard reference.exists else {
      throw FormatError(
        .notFound, "the model's external data \(location) is missing",
        hint: "put \(location) beside the model; it was saved with it")
    }
    guard reference.isContained(beside: model.path) else {
      throw FormatError(
        .malformed,
        "its external data \(location) is a symbolic link that leads out of the model's directory",
        hint: "replace the link by a copy of that file")
    }
    guard opened.count < ShardIndex.shardLimit else {
      throw FormatError(
        .unsupported, "external data lies in more than \(ShardIndex.shardLimit) files",
        hint: "save the model again with all external data in one file")
    }
    let file = try MappedFile(path: reference.path)
    opened[ExactName(location)] = file
    shared.files += file.count
    files.append(file.path)
    return file
  }
}

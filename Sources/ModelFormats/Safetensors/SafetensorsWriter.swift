import OrderedJSON

/// Writes a safetensors file. The tensor list is known first; values are streamed.
///
/// The header is padded with spaces so that values begin at a multiple of 8 bytes.
public final class SafetensorsWriter: TensorWriter {
  /// The order of tensors in the file.
  public enum Order: Sendable {
    /// The given order.
    case given
    /// The reference implementation's order: by type, the last of ``DType`` first, so that wide
    /// values are aligned; then by name, compared as UTF-8 bytes.
    case reference
  }

  /// The tensors to be written, in order.
  public let tensors: [TensorInfo]
  private let file: FileWriter
  private let byteCount: Int
  private let valuesStart: Int

  /// Creates the file and writes its header.
  ///
  /// - Throws:
  ///   ``FormatError`` with code `mismatch` (duplicate or reserved name), `unsupported` (a type or
  ///   size that the format cannot store), `cannotCreate`, `inputOutput`.
  public init(
    path: String, tensors: [TensorInfo], metadata: [(key: String, value: String)] = [],
    order: Order = .given, overwrite: Bool = false
  ) throws(FormatError) {
    self.tensors = order == .given ? tensors : SafetensorsWriter.referenceOrder(tensors)
    let header: [UInt8]
    do throws(FormatError) {
      (header, byteCount) = try SafetensorsWriter.header(self.tensors, metadata: metadata)
    } catch {
      throw error.inFile(path)
    }
    file = try FileWriter(path: path, overwrite: overwrite)
    try file.checkSpace(for: 8 + header.count + byteCount)
    let length = UInt64(header.count)
    try file.write((0..<8).map { UInt8(truncatingIfNeeded: length >> ($0 * 8)) })
    try file.write(header)
    valuesStart = file.position
  }

  /// Appends bytes of the current tensor.
  public func write(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
    precondition(
      bytes.count <= byteCount - (file.position - valuesStart), "more values than declared")
    try unsafe file.write(bytes)
  }

  /// Appends values from another file, unchanged.
  ///
  /// - Parameter seeing: called with each piece as it is copied.
  public func copy(
    _ range: Range<Int>, of source: MappedFile,
    seeing: (UnsafeRawBufferPointer) -> Void = { _ in }
  ) throws(FormatError) {
    precondition(
      range.count <= byteCount - (file.position - valuesStart), "more values than declared")
    try unsafe file.copy(range, of: source, seeing: seeing)
  }

  /// Completes the file and moves it to its path.
  public func commit() throws(FormatError) { try completed().commit() }

  /// The complete file, to be committed together with others.
  ///
  /// - Throws: ``FormatError`` if values are missing.
  public func completed() throws(FormatError) -> FileWriter {
    let written = file.position - valuesStart
    guard written == byteCount else {
      throw FormatError(
        .mismatch, "\(written) of \(byteCount.of("byte")) of values were written", file: file.path)
    }
    return file
  }

  private static func referenceOrder(_ tensors: [TensorInfo]) -> [TensorInfo] {
    let rank = Dictionary(
      uniqueKeysWithValues: DType.allCases.enumerated().map { ($1, $0) })
    return tensors.sorted { left, right in
      let (leftRank, rightRank) = (rank[left.dtype] ?? 0, rank[right.dtype] ?? 0)
      if leftRank != rightRank { return leftRank > rightRank }
      return left.name.utf8.lexicographicallyPrecedes(right.name.utf8)
    }
  }

  /// The header's bytes, padded, and the bytes of all values.
  private static func header(
    _ tensors: [TensorInfo], metadata: [(key: String, value: String)]
  ) throws(FormatError) -> (bytes: [UInt8], byteCount: Int) {
    var header = JSONObject()
    if !metadata.isEmpty {
      var object = JSONObject()
      for (key, value) in metadata { object[key] = .string(value) }
      header["__metadata__"] = .object(object)
    }
    var position = 0
    for tensor in tensors {
      guard tensor.name != "__metadata__", header[tensor.name] == nil else {
        guard tensor.name == "__metadata__" else { throw FormatError.duplicate(tensor.name) }
        throw FormatError(
          .mismatch, "safetensors keeps this name for itself", context: tensor.name,
          hint: "rename the tensor, or write PyTorch")
      }
      let count = try WritableFormat.safetensors.byteCount(of: tensor)
      let (end, overflow) = position.addingReportingOverflow(count)
      guard !overflow else {
        throw FormatError(
          .unsupported, "the tensors' total size exceeds 64 bits", context: tensor.name)
      }
      header[tensor.name] = [
        "dtype": .string(tensor.dtype.rawValue),
        "shape": .array(tensor.shape.dimensions.map { .integer($0) }),
        "data_offsets": [.integer(position), .integer(end)],
      ]
      position = end
    }
    var bytes = Array(JSON.object(header).text(.compact).utf8)
    bytes.append(contentsOf: repeatElement(UInt8(ascii: " "), count: (8 - bytes.count % 8) % 8))
    guard bytes.count <= Safetensors.headerLimit else {
      throw FormatError(
        .unsupported,
        "the header would take \(bytes.count.of("byte")); \(Safetensors.headerLimit) is the limit")
    }
    return (bytes, position)
  }
}

extension Safetensors {
  /// Writes tensors to a new file, one at a time.
  ///
  /// - Parameter progress: called with the bytes of values written so far and their total.
  /// - Throws: as ``SafetensorsWriter``.
  public static func write(
    _ tensors: [Tensor], metadata: [(key: String, value: String)] = [], to path: String,
    order: SafetensorsWriter.Order = .given, overwrite: Bool = false,
    progress: (_ written: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(FormatError) {
    let writer = try SafetensorsWriter(
      path: path, tensors: tensors.map(\.info), metadata: metadata, order: order,
      overwrite: overwrite)
    try writer.write(tensors, progress: progress)
  }

  /// A writer with a complete file of tensors in memory. It is not yet at its path.
  ///
  /// - Throws: as ``SafetensorsWriter``.
  package static func writer(
    _ tensors: [Tensor], to path: String, overwrite: Bool = false
  ) throws(FormatError) -> FileWriter {
    let writer = try SafetensorsWriter(
      path: path, tensors: tensors.map(\.info), overwrite: overwrite)
    for tensor in tensors {
      try unsafe tensor.withContiguousBytes { (bytes) throws(FormatError) in
        try unsafe writer.write(bytes)
      }
    }
    return try writer.completed()
  }
}

extension WritableFormat {
  /// safetensors, for all of its dtypes.
  public static let safetensors = WritableFormat(.safetensors, "safetensors") { $0.isSafetensors }
}

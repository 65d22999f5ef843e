import OrderedJSON

/// Writes a version 3 GGUF file. The tensor list is known first; values are streamed.
///
/// F32, F16, BF16, F64 and signed integers are written unchanged; F32 is quantized to Q8_0 on
/// request. A scalar becomes one dimension of size 1, because ggml has no scalars. See `GGUF` for
/// the layout.
public final class GGUFWriter: TensorWriter {
  /// A metadata value.
  public enum Value: Sendable, Hashable {
    case text(String)
    case uint32(UInt32)
    case uint64(UInt64)
    case float32(Float)
    case bool(Bool)
    case texts([String])
  }

  private struct Entry {
    let info: TensorInfo
    let type: UInt32
    let blocks: BlockEncoding?
    /// Bytes in the file, without padding.
    let byteCount: Int
  }

  /// The tensors to be written, in order.
  public let tensors: [TensorInfo]
  private let entries: [Entry]
  private let file: FileWriter
  /// The next tensor to write, and how many of its bytes the file has.
  private var current = 0
  private var written = 0
  /// Values of an incomplete block.
  private var pending: [UInt8] = []
  private var blocks = [UInt8](repeating: 0, count: GGUFWriter.blockBatch * 34)

  /// Blocks encoded at a time.
  private static let blockBatch = 2048

  /// Creates the file and writes its header.
  ///
  /// - Parameters:
  ///   - metadata: key-value pairs; readers look for `general.architecture` first.
  ///   - quantizing: the encoding of a tensor's values; nil to write them unchanged.
  /// - Throws:
  ///   ``FormatError`` with code `mismatch` (duplicate name or key), `unsupported` (a type, rank or size that the format cannot store), `cannotCreate`, `inputOutput`.
  public init(
    path: String, tensors: [TensorInfo], metadata: [(key: String, value: Value)] = [],
    overwrite: Bool = false, quantizing: (TensorInfo) -> BlockEncoding? = { _ in nil }
  ) throws(FormatError) {
    self.tensors = tensors
    var entries: [Entry] = []
    var total = 0
    let header: [UInt8]
    do throws(FormatError) {
      for tensor in tensors {
        let entry = try GGUFWriter.entry(tensor, quantizing(tensor))
        let (sum, overflow) = total.addingReportingOverflow(entry.byteCount)
        guard !overflow, sum < Int.max - GGUF.defaultAlignment else {
          throw FormatError(
            .unsupported, "the tensors' total size exceeds 64 bits", context: tensor.name)
        }
        total = GGUFWriter.padded(sum)
        entries.append(entry)
      }
      header = try GGUFWriter.header(entries, metadata: metadata)
    } catch {
      throw error.inFile(path)
    }
    self.entries = entries
    file = try FileWriter(path: path, overwrite: overwrite)
    try file.checkSpace(for: header.count + GGUF.defaultAlignment + total)
    try file.write(header)
    try file.pad(toMultipleOf: GGUF.defaultAlignment)
    try skipFinished()
  }

  /// Appends bytes of the current tensor.
  public func write(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
    var start = 0
    while start < bytes.count {
      precondition(current < entries.count, "more values than declared")
      let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[start...])
      start += try unsafe entries[current].blocks == nil ? copy(rest) : quantize(rest)
      try skipFinished()
    }
  }

  /// Appends encoded bytes of the current tensor: quantized blocks.
  public func writeEncoded(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
    precondition(
      current < entries.count && pending.isEmpty
        && bytes.count <= entries[current].byteCount - written, "more bytes than the tensor has")
    _ = try unsafe copy(bytes)
    try skipFinished()
  }

  /// Appends values from another file.
  ///
  /// - Parameter seeing: called with each piece as it is copied.
  public func copy(
    _ range: Range<Int>, of source: MappedFile,
    seeing: (UnsafeRawBufferPointer) -> Void = { _ in }
  ) throws(FormatError) {
    var range = range
    while !range.isEmpty {
      precondition(current < entries.count, "more values than declared")
      guard entries[current].blocks == nil else {
        return try unsafe source.withBytes(in: range) { (bytes) throws(FormatError) in
          unsafe seeing(bytes)
          try unsafe write(bytes)
        }
      }
      let count = min(range.count, entries[current].byteCount - written)
      try unsafe file.copy(range.prefix(count), of: source, seeing: seeing)
      written += count
      range = range.dropFirst(count)
      try skipFinished()
    }
  }

  /// Completes the file and moves it to its path.
  public func commit() throws(FormatError) {
    guard current == entries.count else {
      throw FormatError(
        .mismatch,
        "the values of \(entries.count - current) of \(entries.count) tensors are missing",
        file: file.path)
    }
    try file.commit()
  }

  /// Skips tensors whose values are complete.
  private func skipFinished() throws(FormatError) {
    while current < entries.count, written == entries[current].byteCount {
      try file.pad(toMultipleOf: GGUF.defaultAlignment)
      current += 1
      written = 0
    }
  }

  /// Writes the part that belongs to the current tensor and returns its size.
  private func copy(_ bytes: UnsafeRawBufferPointer) throws(FormatError) -> Int {
    let count = min(bytes.count, entries[current].byteCount - written)
    try unsafe file.write(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
    written += count
    return count
  }

  /// Encodes whole blocks of the current tensor's F32 values and keeps the start of an incomplete
  /// block; returns the number of bytes used.
  private func quantize(_ bytes: UnsafeRawBufferPointer) throws(FormatError) -> Int {
    let size = 32 * 4
    if !pending.isEmpty || bytes.count < size {
      let count = min(bytes.count, size - pending.count)
      unsafe pending.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
      if pending.count == size {
        let block = pending
        pending = []
        try unsafe block.withUnsafeBytesTyped { (bytes) throws(FormatError) in
          try unsafe encode(bytes)
        }
      }
      return count
    }
    let left = (entries[current].byteCount - written) / 34
    let count = min(bytes.count / size, left, GGUFWriter.blockBatch) * size
    try unsafe encode(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
    return count
  }

  /// Encodes and writes whole blocks at any alignment.
  private func encode(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
    let count = bytes.count / 128
    let isSound = unsafe withUnsafeTemporaryAllocation(of: Float.self, capacity: count * 32) {
      values in
      unsafe UnsafeMutableRawBufferPointer(values).copyMemory(from: bytes)
      return unsafe blocks.withUnsafeMutableBytes {
        unsafe BlockEncoding.q80.encode(UnsafeBufferPointer(values), into: $0)
      }
    }
    guard isSound else {
      throw FormatError(
        .mismatch, "a value is NaN, infinite or too large for Q8_0",
        file: file.path, context: entries[current].info.name,
        hint: "write the tensor as F32 or BF16")
    }
    try unsafe blocks.withUnsafeBytesTyped { (blocks) throws(FormatError) in
      try unsafe file.write(UnsafeRawBufferPointer(rebasing: blocks[..<(count * 34)]))
    }
    written += count * 34
  }
}

// MARK: Header

extension GGUFWriter {
  private static func padded(_ size: Int) -> Int {
    (size + GGUF.defaultAlignment - 1) / GGUF.defaultAlignment * GGUF.defaultAlignment
  }

  private static func entry(
    _ tensor: TensorInfo, _ blocks: BlockEncoding?
  ) throws(FormatError) -> Entry {
    func unsupported(_ message: String) -> FormatError {
      FormatError(
        .unsupported, message, context: tensor.name,
        hint: "write the tensor unchanged, as F32 or F16")
    }
    let plainByteCount = try WritableFormat.gguf.byteCount(of: tensor)
    if let blocks {
      guard blocks.isWritable, tensor.dtype == .float32 else {
        throw unsupported("\(tensor.dtype.rawValue) values cannot be written as \(blocks.rawValue)")
      }
      guard tensor.shape.rank > 0, let byteCount = blocks.byteCount(of: tensor.shape) else {
        throw unsupported(
          "rows of \((tensor.shape.dimensions.last ?? 1).of("element")) are not whole blocks of "
            + "\(blocks.blockSize) of \(blocks.rawValue)")
      }
      return Entry(info: tensor, type: 8, blocks: blocks, byteCount: byteCount)
    }
    return Entry(
      info: tensor, type: types[tensor.dtype] ?? 0, blocks: nil, byteCount: plainByteCount)
  }

  /// The ggml type numbers of plain values.
  static let types: [DType: UInt32] = [
    .float32: 0, .float16: 1, .int8: 24, .int16: 25, .int32: 26, .int64: 27, .float64: 28,
    .bfloat16: 30,
  ]

  private static func header(
    _ entries: [Entry], metadata: [(key: String, value: Value)]
  ) throws(FormatError) -> [UInt8] {
    var pairs = metadata
    let version = "general.quantization_version"
    if entries.contains(where: { $0.blocks != nil }), !pairs.contains(where: { $0.key == version })
    {
      pairs.append((version, .uint32(2)))
    }
    var bytes = Array("GGUF".utf8)
    bytes.append(little: UInt32(3))
    bytes.append(little: UInt64(entries.count))
    bytes.append(little: UInt64(pairs.count))
    var keys: Set<ExactName> = []
    for (key, value) in pairs {
      guard keys.insert(ExactName(key)).inserted else {
        throw FormatError(
          .mismatch, "duplicate key", context: key,
          hint: "remove one of them from the source's metadata")
      }
      guard key != "general.alignment", (1...65_535).contains(key.utf8.count) else {
        throw FormatError(
          .unsupported, "GGUF cannot store this metadata key", context: key,
          hint: "remove it from the source's metadata, or convert to safetensors")
      }
      append(text: key, to: &bytes)
      append(value, to: &bytes)
    }
    var names: Set<ExactName> = []
    var offset = 0
    for entry in entries {
      guard names.insert(ExactName(entry.info.name)).inserted else {
        throw FormatError.duplicate(entry.info.name)
      }
      append(text: entry.info.name, to: &bytes)
      let dimensions = entry.info.shape.rank == 0 ? [1] : entry.info.shape.dimensions
      bytes.append(little: UInt32(dimensions.count))
      for dimension in dimensions.reversed() { bytes.append(little: UInt64(dimension)) }
      bytes.append(little: entry.type)
      bytes.append(little: UInt64(offset))
      offset = padded(offset + entry.byteCount)
    }
    return bytes
  }

  private static func append(text: String, to bytes: inout [UInt8]) {
    bytes.append(little: UInt64(text.utf8.count))
    bytes += text.utf8
  }

  private static func append(_ value: Value, to bytes: inout [UInt8]) {
    switch value {
    case .uint32(let value):
      bytes.append(little: GGUFValue.Kind.uint32.rawValue)
      bytes.append(little: value)
    case .uint64(let value):
      bytes.append(little: GGUFValue.Kind.uint64.rawValue)
      bytes.append(little: value)
    case .float32(let value):
      bytes.append(little: GGUFValue.Kind.float32.rawValue)
      bytes.append(little: value.bitPattern)
    case .bool(let value):
      bytes.append(little: GGUFValue.Kind.bool.rawValue)
      bytes.append(value ? 1 : 0)
    case .text(let text):
      bytes.append(little: GGUFValue.Kind.string.rawValue)
      append(text: text, to: &bytes)
    case .texts(let texts):
      bytes.append(little: GGUFValue.Kind.array.rawValue)
      bytes.append(little: GGUFValue.Kind.string.rawValue)
      bytes.append(little: UInt64(texts.count))
      for text in texts { append(text: text, to: &bytes) }
    }
  }
}

extension WritableFormat {
  /// GGUF, with up to four dimensions.
  public static let gguf = WritableFormat(.gguf, "GGUF", rankLimit: GGUF.rankLimit) { dtype in
    GGUFWriter.types[dtype] != nil
  }
}

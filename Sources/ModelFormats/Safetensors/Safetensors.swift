import OrderedJSON

/// The safetensors format: a JSON header with the location of each tensor, then the values.
///
///     bytes 0..<8      N, the header's length: unsigned, little-endian, at most 100,000,000
///     bytes 8..<8+N    a JSON object in UTF-8, white space around it allowed:
///                        "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
///                        "__metadata__": {"key": "value"}, optional, strings only
///     bytes 8+N...     the values, little-endian, in row-major order, at any alignment
///
/// `data_offsets` count from 8+N. In sorted order, the tensors' ranges must be contiguous and end
/// at the end of the file. Packed types (4 and 6 bits) must fill whole bytes.
///
/// Source: the format description and the reference implementation (huggingface/safetensors,
/// `safetensors/src/tensor.rs`). Stricter here: duplicate keys are rejected, as the description
/// demands; the reference uses the last one.
package enum Safetensors {
  /// A length whose upper bytes are zero, then an object; the length itself is checked later.
  fileprivate static func isMarked(_ head: [UInt8]) -> Bool {
    guard head.count > 8, head[5..<8].allSatisfy({ $0 == 0 }) else { return false }
    let first = head[8...].first { ![0x20, 0x09, 0x0A, 0x0D].contains($0) }
    return first == UInt8(ascii: "{")
  }

  /// The longest header that is read or written.
  package static let headerLimit = 100_000_000

  /// Reads and checks the header of `file`; values are not accessed.
  ///
  /// - Throws: ``FormatError`` with the offset in the file and the tensor's name as context.
  package static func read(_ file: MappedFile) throws(FormatError) -> TensorFile {
    do throws(FormatError) {
      return try readChecked(file)
    } catch {
      throw error.inFile(file.path)
    }
  }

  private static func readChecked(_ file: MappedFile) throws(FormatError) -> TensorFile {
    let dataStart = 8 + (try headerLength(of: file))
    let header = try SafetensorsHeader(parsing: file.bytes.extracting(8..<dataStart), base: 8)
    try header.checkRanges(dataStart: dataStart, in: file)
    let tensors = header.entries.map { entry in
      Tensor(
        name: entry.name, dtype: entry.dtype, shape: entry.shape,
        storage: .mapped(file, offset: dataStart + entry.begin))
    }
    return TensorFile(
      path: file.path, format: .safetensors, metadata: header.metadata, tensors: tensors,
      warnings: header.warnings)
  }

  private static func headerLength(of file: MappedFile) throws(FormatError) -> Int {
    guard file.count >= 8 else {
      throw FormatError(
        .truncated,
        "the file has \(file.count.of("byte")); a safetensors file has 8 before its header",
        offset: 0, hint: downloadAgain)
    }
    let length = unsafe UInt64(
      littleEndian: file.bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: 0, as: UInt64.self))
    guard length <= UInt64(headerLimit) else {
      throw FormatError(
        .malformed,
        "the header says that it is \(length.of("byte")) long; \(headerLimit) is the limit",
        offset: 0, hint: "the file is damaged, or is no safetensors file")
    }
    guard Int(length) <= file.count - 8 else {
      throw FormatError(
        .truncated,
        "the header is \(length.of("byte")) long, but only \((file.count - 8).of("byte follows", "bytes follow")) its length",
        offset: 0, hint: downloadAgain)
    }
    return Int(length)
  }

  static let downloadAgain: Remedy = "the download stopped early; download the file again"
}

extension FormatDescriptor {
  /// safetensors files: a JSON header, then the values.
  public static let safetensors: FormatDescriptor = {
    var kind = FormatDescriptor("safetensors", .test { Safetensors.isMarked($0.bytes) })
    kind.format = .safetensors
    kind.read = Safetensors.read
    kind.endings = [".safetensors"]
    kind.isWeights = true
    kind.fuzzTarget = "safetensors"
    kind.writing = .safetensors
    kind.rows = [
      Row(
        title: "safetensors", reads: "all 22 types, any alignment",
        writes: "as the reference writes it, or in a given order")
    ]
    return kind
  }()
}

extension TensorFile.Format {
  /// A safetensors file.
  public static let safetensors = TensorFile.Format(rawValue: "safetensors")
}

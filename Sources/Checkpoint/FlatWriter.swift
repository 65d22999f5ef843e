import ModelFormats
import OrderedJSON

/// Writes a flat file: streams files and tensors, then fills in the header with their checksums.
struct FlatWriter {
  private var header: FlatHeader
  private let dataLength: Int
  private let headerLength: Int
  private let output: FileWriter
  private var dataStart: Int { FlatFormat.dataStart(headerLength: headerLength) }

  /// Creates the file and leaves room for the header.
  ///
  /// - Parameter header: complete but for offsets and checksums; the SHA-256 texts of its
  ///   provenance may still change, but not their length.
  /// - Throws: ``FormatError`` `cannotCreate`, `inputOutput`, or `unsupported` where the header is
  ///   larger than the format allows.
  init(path: String, header: FlatHeader, overwrite: Bool) throws(FormatError) {
    self.header = header
    dataLength = try self.header.layOut()
    // Offsets have their final digits and checksums a fixed width: the length is final.
    headerLength = self.header.json.text(.compact).utf8.count
    guard headerLength <= FlatFormat.headerLimit else {
      throw FormatError(
        .unsupported, "the header would take \(headerLength) bytes, more than the 16 MiB allowed",
        file: path)
    }
    // What a reader would refuse is not written: names that stand twice, too many dimensions.
    do throws(FormatError) {
      _ = try FlatHeader(self.header.json.object ?? JSONObject(), dataLength: dataLength)
    } catch {
      throw FormatError(
        .unsupported, "a flat file cannot hold this: \(error.message)", file: path,
        context: error.context, hint: "convert one component at a time, or to safetensors")
    }
    output = try FileWriter(path: path, overwrite: overwrite)
    let start = FlatFormat.dataStart(headerLength: headerLength)
    try output.checkSpace(for: start + dataLength)
    try output.write([UInt8](repeating: 0, count: start))
  }

  /// Writes the embedded file at that position of the header.
  mutating func write(file index: Int, _ bytes: [UInt8]) throws(FormatError) {
    try pad(to: header.files[index].region)
    try output.write(bytes)
    header.files[index].region.checksum = Checksum.of(bytes)
  }

  /// Writes the tensor at that position of the header, whose values `source` gives in pieces.
  mutating func write(
    component: Int, tensor: Int,
    from source: (_ write: (UnsafeRawBufferPointer) throws(FormatError) -> Void)
      throws(FormatError) -> Void
  ) throws(FormatError) {
    let entry = header.components[component].tensors[tensor]
    try pad(to: entry.region)
    let checksum = Checksum()
    let start = output.position
    try source { (bytes) throws(FormatError) in
      checksum.update(bytes)
      try output.write(bytes)
    }
    guard output.position - start == entry.region.byteCount else {
      throw FormatError(
        .mismatch, "\(output.position - start) bytes came where \(entry.region.byteCount) belong",
        file: output.path, context: entry.name)
    }
    header.components[component].tensors[tensor].region.checksum = checksum.value
  }

  /// Writes the header and moves the file to its path.
  ///
  /// - Parameter provenance: the final form of the header's, as long as the first.
  mutating func commit(provenance: JSON?) throws(FormatError) {
    header.provenance = provenance
    let bytes = Array(header.json.text(.compact).utf8)
    guard bytes.count == headerLength else {
      throw FormatError(.mismatch, "the header changed its length", file: output.path)
    }
    let prelude = FlatFormat.prelude(header: bytes, fileLength: dataStart + dataLength)
    try output.replace(prelude + bytes, at: 0)
    try output.commit()
  }

  private func pad(to region: FlatHeader.Region) throws(FormatError) {
    let gap = dataStart + region.offset - output.position
    if gap > 0 { try output.write([UInt8](repeating: 0, count: gap)) }
  }
}

import ModelFormats
import OrderedJSON

/// Writes a flat file: streams files and tensors, then fills in the header with their checksums.
package final class FlatWriter {
  private var header: FlatHeader
  private let dataLength: Int
  private let headerLength: Int
  fileprivate let output: FileWriter
  private var dataStart: Int { FlatLayout.dataStart(headerLength: headerLength) }

  /// Creates the file and leaves room for the header.
  ///
  /// - Parameter header: complete but for offsets and checksums; the SHA-256 texts of its
  ///   provenance may still change, but not their length.
  /// - Throws: ``FormatError`` `cannotCreate`, `inputOutput`, or `unsupported` where the header is
  ///   larger than the format allows.
  package init(path: String, header: FlatHeader, overwrite: Bool) throws(FormatError) {
    self.header = header
    dataLength = try self.header.layOut()
    // Offsets have their final digits and checksums a fixed width: the length is final.
    headerLength = self.header.json.text(.compact).utf8.count
    guard headerLength <= FlatLayout.headerLimit else {
      throw FormatError(
        .unsupported,
        "the header would take \(headerLength.of("byte")), more than the 16 MiB allowed",
        file: path)
    }
    // What a reader would refuse is not written: names that stand twice, too many dimensions.
    do throws(FormatError) {
      _ = try FlatHeader(self.header.json.object ?? JSONObject(), dataLength: dataLength)
    } catch {
      throw FormatError(
        .unsupported, "a .sdflat file cannot store this: \(error.message)", file: path,
        context: error.context, hint: "convert one component at a time, or to safetensors")
    }
    output = try FileWriter(path: path, overwrite: overwrite)
    let start = FlatLayout.dataStart(headerLength: headerLength)
    try output.checkSpace(for: start + dataLength)
    try output.write([UInt8](repeating: 0, count: start))
  }

  /// Writes the embedded file at that position of the header.
  package func write(file index: Int, _ bytes: [UInt8]) throws(FormatError) {
    try pad(to: header.files[index].region)
    try output.write(bytes)
    header.files[index].region.checksum = Checksum.of(bytes)
  }

  /// Leaves the gap before the tensor at that position of the header, whose values come next.
  package func begin(component: Int, tensor: Int) throws(FormatError) {
    try pad(to: header.components[component].tensors[tensor].region)
  }

  /// Sets the checksum of the tensor at that position.
  package func setChecksum(component: Int, tensor: Int, _ checksum: UInt64) {
    header.components[component].tensors[tensor].region.checksum = checksum
  }

  /// Writes the header and moves the file to its path.
  ///
  /// - Parameter provenance: the final form of the header's, as long as the first.
  package func commit(provenance: JSON?) throws(FormatError) {
    header.provenance = provenance
    guard output.position == dataStart + dataLength else {
      throw FormatError(
        .mismatch, "\(output.position.of("byte")) came where \(dataStart + dataLength) belong",
        file: output.path)
    }
    let bytes = Array(header.json.text(.compact).utf8)
    guard bytes.count == headerLength else {
      throw FormatError(.mismatch, "the header changed its length", file: output.path)
    }
    let prelude = FlatLayout.prelude(header: bytes, fileLength: dataStart + dataLength)
    try output.replace(prelude + bytes, at: 0)
    try output.commit()
  }

  private func pad(to region: FlatHeader.Region) throws(FormatError) {
    let gap = dataStart + region.offset - output.position
    if gap > 0 { try output.write([UInt8](repeating: 0, count: gap)) }
  }
}

extension FlatWriter {
  /// Writes the next bytes of the tensor that ``begin(component:tensor:)`` named.
  package func write(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
    try output.write(bytes)
  }

  /// Writes bytes of another file as they are; `seeing` is called with each piece as it passes.
  package func copy(
    _ range: Range<Int>, of file: MappedFile, seeing: (UnsafeRawBufferPointer) -> Void
  ) throws(FormatError) {
    try output.copy(range, of: file, seeing: seeing)
  }
}

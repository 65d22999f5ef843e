import ModelFormats
import OrderedJSON

/// Writes a .sdflat file: streams files and tensors, then writes the header with their checksums.
package final class FlatWriter {
  private var header: FlatHeader
  private let dataLength: Int
  private let headerLength: Int
  fileprivate let output: FileWriter
  private var dataStart: Int { FlatLayout.dataStart(headerLength: headerLength) }

  /// Creates the file and reserves space for the header.
  ///
  /// - Parameter header: complete except for offsets and checksums; SHA-256 strings in its
  ///   provenance may still change, but not their length.
  /// - Throws: ``FormatError`` `cannotCreate`, `inputOutput`, or `unsupported` if the header
  ///   exceeds the limit.
  package init(path: String, header: FlatHeader, overwrite: Bool) throws(FormatError) {
    self.header = header
    dataLength = try self.header.layOut()
    // Offsets are final and checksums have a fixed width, so the length is final.
    headerLength = self.header.json.text(.compact).utf8.count
    guard headerLength <= FlatLayout.headerLimit else {
      throw FormatError(
        .unsupported,
        "the header would take \(headerLength.of("byte")), more than the 16 MiB allowed",
        file: path)
    }
    // Reject here what a reader would reject: duplicate names, too many dimensions.
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

  /// Writes the padding before the tensor at this position of the header, whose values follow.
  package func begin(component: Int, tensor: Int) throws(FormatError) {
    try pad(to: header.components[component].tensors[tensor].region)
  }

  /// Sets the checksum of the tensor at that position.
  package func setChecksum(component: Int, tensor: Int, _ checksum: UInt64) {
    header.components[component].tensors[tensor].region.checksum = checksum
  }

  /// Writes the header and moves the file to its path.
  ///
  /// - Parameter provenance: the final provenance, with the same length as the first.
  package func commit(provenance: JSON?) throws(FormatError) {
    header.provenance = provenance
    guard output.position == dataStart + dataLength else {
      throw FormatError(
        .mismatch, "\(output.position.of("byte")) were written, not \(dataStart + dataLength)",
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
  /// Writes the next bytes of the tensor started by ``begin(component:tensor:)``.
  package func write(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
    try output.write(bytes)
  }

  /// Copies bytes of another file; `seeing` is called with each piece.
  package func copy(
    _ range: Range<Int>, of file: MappedFile, seeing: (UnsafeRawBufferPointer) -> Void
  ) throws(FormatError) {
    try output.copy(range, of: file, seeing: seeing)
  }
}

/// The records of a PyTorch zip file, with a CRC-32 check for each.
///
/// Reading a checkpoint checks only the pickle: storages are used in place.
public struct ArchiveCheck: Sendable {
  private let archive: ZipArchive
  /// The records in the order of their bytes.
  private let order: [Int]

  /// - Returns: nil if the file is not a zip archive and so has no checksums.
  /// - Throws: ``FormatError`` if the archive's directory is invalid.
  public init?(_ path: String) throws(FormatError) {
    let file = try MappedFile(path: path)
    guard FormatDescriptor.of(file) == .zip else { return nil }
    do throws(FormatError) {
      archive = try ZipArchive(file)
    } catch {
      throw error.inFile(path)
    }
    let entries = archive.entries
    order = entries.indices.sorted { entries[$0].dataOffset < entries[$1].dataOffset }
  }

  /// The record that contains the byte at `offset`.
  package func record(at offset: Int) -> Int? {
    var (low, high) = (0, order.count)
    while low < high {
      let middle = (low + high) / 2
      if archive.entries[order[middle]].dataEnd <= offset {
        low = middle + 1
      } else {
        high = middle
      }
    }
    guard low < order.count, archive.entries[order[low]].dataOffset <= offset else { return nil }
    return order[low]
  }

  /// The number of records.
  public var recordCount: Int { archive.entries.count }

  /// The size of a record, in the archive and unpacked.
  public func byteCount(_ index: Int) -> Int { archive.entries[index].size }

  /// The problem of a record; nil if its bytes match its checksum.
  public func problem(_ index: Int) -> FormatError? { problem(index, BlockBuffer()) }

  /// - Parameter buffer: the buffer for the pieces of a stored record.
  package func problem(_ index: Int, _ buffer: BlockBuffer) -> FormatError? {
    let entry = archive.entries[index]
    do throws(FormatError) {
      guard entry.method == .stored else {
        _ = try archive.contents(of: entry, limit: (16 << 20) + 4 * archive.file.count)
        return nil
      }
      var checksum: UInt32 = 0
      for start in stride(from: entry.dataOffset, to: entry.dataEnd, by: FileWriter.pieceSize) {
        let bytes = unsafe buffer.bytes(min(FileWriter.pieceSize, entry.dataEnd - start))
        try unsafe archive.file.read(into: bytes, at: start)
        checksum = unsafe Inflate.checksum(UnsafeRawBufferPointer(bytes), continuing: checksum)
      }
      guard checksum == entry.checksum else {
        throw FormatError(
          .malformed, "the record's CRC-32 does not match", offset: entry.dataOffset,
          context: entry.name)
      }
      return nil
    } catch {
      return error.inFile(archive.file.path)
    }
  }
}

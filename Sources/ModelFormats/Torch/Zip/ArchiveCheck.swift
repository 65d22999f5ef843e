/// The records of a PyTorch zip file, each of which can be checked by its CRC-32.
///
/// Reading a checkpoint checks the pickle alone: storages are used where they lie.
public struct ArchiveCheck: Sendable {
  private let archive: ZipArchive
  /// The records in the order of their bytes.
  private let order: [Int]

  /// - Returns: nil where the file is no zip archive, and so has no checksums.
  /// - Throws: ``FormatError`` where the archive's directory is broken.
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

  /// The record that holds the byte at `offset` of the file.
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

  /// How many records the archive has.
  public var recordCount: Int { archive.entries.count }

  /// The bytes of the record at that position, in the archive and when unpacked.
  public func byteCount(_ index: Int) -> Int { archive.entries[index].size }

  /// What is wrong with the record at that position; nil where its bytes are those announced.
  public func problem(_ index: Int) -> FormatError? { problem(index, BlockBuffer()) }

  /// - Parameter buffer: what a stored record is read into, piece by piece.
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

/// The records of a PyTorch zip file, each of which can be checked by its CRC-32.
///
/// Reading a checkpoint checks the pickle alone: storages are used where they lie.
public struct ArchiveCheck: Sendable {
  private let archive: ZipArchive

  /// - Returns: nil where the file is no zip archive, and so has no checksums.
  /// - Throws: ``FormatError`` where the archive's directory is broken.
  public init?(_ path: String) throws(FormatError) {
    let file = try MappedFile(path: path)
    guard TensorFile.kind(of: file) == .zip else { return nil }
    do throws(FormatError) {
      archive = try ZipArchive(file)
    } catch {
      throw error.inFile(path)
    }
  }

  public var recordCount: Int { archive.entries.count }

  /// The bytes of the record at that position, in the archive and when unpacked.
  public func byteCount(_ index: Int) -> Int { archive.entries[index].size }

  /// What is wrong with the record at that position; nil where its bytes are those announced.
  ///
  /// A record that is stored is read in place, page by page.
  public func problem(_ index: Int) -> FormatError? {
    let entry = archive.entries[index]
    do throws(FormatError) {
      guard entry.method == .stored else {
        _ = try archive.contents(of: entry, limit: (16 << 20) + 4 * archive.file.count)
        return nil
      }
      let range = entry.dataOffset..<entry.dataEnd
      let checksum = unsafe archive.file.withBytes(in: range) { unsafe Inflate.checksum($0) }
      // What was read is not needed again; a check of many gigabytes stays small in memory.
      archive.file.releasePages(in: range)
      guard checksum == entry.checksum else {
        throw FormatError(
          .malformed, "the record's CRC-32 is not the one announced", offset: entry.dataOffset,
          context: entry.name)
      }
      return nil
    } catch {
      return error.inFile(archive.file.path)
    }
  }
}

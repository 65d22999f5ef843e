import ModelFormats
import OrderedJSON

/// An open .sdflat file with a verified header.
public struct FlatFile: Sendable {
  package let file: MappedFile
  /// What the file contains, and where.
  public let header: FlatHeader
  /// The first byte after the header.
  let headerEnd: Int
  /// The byte from which the header's offsets count.
  let dataStart: Int

  /// Whether the file has the .sdflat magic number.
  package static func isFlat(_ file: MappedFile) -> Bool {
    guard file.count >= FlatLayout.magic.count else { return false }
    return file.withBytes(in: 0..<FlatLayout.magic.count) { $0.elementsEqual(FlatLayout.magic) }
  }

  /// Reads and verifies prelude and header; ``FlatVerification`` verifies tensors.
  ///
  /// - Throws: ``FormatError`` `truncated`, `malformed` or `unsupported`.
  public init(path: String) throws(FormatError) {
    try self.init(MappedFile(path: path))
  }

  /// - Throws: as ``init(path:)``.
  package init(_ file: MappedFile) throws(FormatError) {
    do throws(FormatError) {
      let length = try FlatFile.headerLength(file)
      headerEnd = FlatLayout.preludeSize + length
      dataStart = FlatLayout.dataStart(headerLength: length)
      guard dataStart <= file.count else {
        throw FormatError(
          .malformed, "the data starts after the end of the file", offset: 16,
          context: "header length")
      }
      header = try FlatHeader(
        FlatFile.object(file, FlatLayout.preludeSize..<headerEnd),
        dataLength: file.count - dataStart)
    } catch {
      throw error.inFile(file.path)
    }
    self.file = file
  }

  /// The header's JSON.
  private static func object(
    _ file: MappedFile, _ range: Range<Int>
  ) throws(FormatError) -> JSONObject {
    let bytes = file.withBytes(in: range) { Array($0) }
    let parsed: JSON
    do throws(JSONError) {
      parsed = try JSON(parsing: bytes.span.bytes)
    } catch {
      throw FormatError(
        .malformed, "the header is not JSON: \(error.reason.rawValue)",
        offset: range.lowerBound + error.offset, context: error.key,
        hint: "convert the original weights again; this file was written incorrectly")
    }
    guard let object = parsed.object else {
      throw FormatError(
        .malformed, "the header is not a JSON object", offset: range.lowerBound,
        hint: "convert the original weights again; this file was written incorrectly")
    }
    return object
  }

  /// Checks the prelude and the header's checksum; returns the header's length.
  private static func headerLength(_ file: MappedFile) throws(FormatError) -> Int {
    guard isFlat(file) else {
      throw FormatError(
        .unrecognized, "not a .sdflat file: no SDFLAT magic", offset: 0,
        hint: "use a .sdflat file, which \(do: .convert) writes with \(set: .layout, "sdflat")")
    }
    guard file.count >= FlatLayout.preludeSize else {
      throw FormatError(
        .truncated, "the file ends inside its first 64 bytes", offset: file.count,
        hint: "copy or convert the file again")
    }
    let prelude = file.withBytes(in: 0..<FlatLayout.preludeSize) { bytes in
      Prelude(
        version: UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self)),
        words: (0..<8).map {
          UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self))
        },
        checksum: Checksum.of(UnsafeRawBufferPointer(rebasing: bytes[..<56])))
    }
    guard prelude.words[7] == prelude.checksum else {
      throw FormatError(
        .malformed, "the first 64 bytes do not match their checksum", offset: 0,
        context: "prelude", hint: "the file is damaged; copy or convert it again")
    }
    guard prelude.version == FlatLayout.version else {
      throw FormatError(
        .unsupported, "unsupported .sdflat version \(prelude.version); version 1 is supported",
        offset: 8,
        context: "version", hint: "use a newer version of this program")
    }
    guard prelude.words[1] >> 32 == 0, prelude.words[5] == 0, prelude.words[6] == 0 else {
      throw FormatError(
        .malformed, "a reserved byte is not zero", offset: 12, context: "prelude")
    }
    guard prelude.words[4] == UInt64(file.count) else {
      let isShort = prelude.words[4] > UInt64(file.count)
      throw FormatError(
        isShort ? .truncated : .malformed,
        "the file has \(file.count.of("byte")), but its prelude declares \(prelude.words[4])",
        offset: 32, context: "file length", hint: "copy or convert the file again")
    }
    guard prelude.words[2] <= UInt64(FlatLayout.headerLimit) else {
      throw FormatError(
        .malformed, "a header of \(prelude.words[2].of("byte")) is larger than the 16 MiB allowed",
        offset: 16, context: "header length")
    }
    let length = Int(prelude.words[2])
    guard length <= file.count - FlatLayout.preludeSize else {
      throw FormatError(
        .truncated, "the file ends inside its header", offset: file.count, context: "header",
        hint: "copy or convert the file again")
    }
    let range = FlatLayout.preludeSize..<(FlatLayout.preludeSize + length)
    guard file.withBytes(in: range, { Checksum.of($0) }) == prelude.words[3] else {
      throw FormatError(
        .malformed, "the header does not match its checksum", offset: FlatLayout.preludeSize,
        context: "header", hint: "the file is damaged; copy or convert it again")
    }
    return length
  }

  private struct Prelude {
    let version: UInt32
    /// All 64 bytes as eight numbers.
    let words: [UInt64]
    /// The checksum of the first 56 bytes.
    let checksum: UInt64
  }

  /// The file range of a region; the header check ensures that it is inside the file.
  package func range(_ region: FlatHeader.Region) -> Range<Int> {
    let start = dataStart + region.offset
    return start..<(start + region.byteCount)
  }

  /// A tensor of the file, its values mapped.
  public func tensor(_ entry: FlatHeader.TensorEntry) -> Tensor {
    Tensor(
      name: entry.name, dtype: entry.dtype, shape: entry.shape,
      storage: .mapped(file, offset: range(entry.region).lowerBound))
  }

  /// The contents of an embedded file.
  public func contents(of entry: FlatHeader.FileEntry) -> [UInt8] {
    file.withBytes(in: range(entry.region)) { Array($0) }
  }
}

import ModelFormats
import OrderedJSON

/// A flat file opened for reading, its header checked in full.
public struct FlatFile: Sendable {
  let file: MappedFile
  let header: FlatHeader
  /// The first byte behind the header.
  let headerEnd: Int
  /// The byte from which the header's offsets count.
  let dataStart: Int

  /// Whether the file begins as a flat file does.
  static func isFlat(_ file: MappedFile) -> Bool {
    guard file.count >= FlatFormat.magic.count else { return false }
    return file.withBytes(in: 0..<FlatFormat.magic.count) { $0.elementsEqual(FlatFormat.magic) }
  }

  /// Reads prelude and header; tensors are left to ``verify()``.
  ///
  /// - Throws: ``FormatError`` `truncated`, `malformed` or `unsupported`.
  init(_ file: MappedFile) throws(FormatError) {
    do throws(FormatError) {
      let length = try FlatFile.headerLength(file)
      headerEnd = FlatFormat.preludeSize + length
      dataStart = FlatFormat.dataStart(headerLength: length)
      guard dataStart <= file.count else {
        throw FormatError(
          .malformed, "the data would start behind the end of the file", offset: 16,
          context: "header length")
      }
      let range = FlatFormat.preludeSize..<headerEnd
      let object = try AuxiliaryFile(
        path: "header", location: file.path, file: file, range: range
      ).jsonObject()
      header = try FlatHeader(object, dataLength: file.count - dataStart)
    } catch {
      throw error.inFile(file.path)
    }
    self.file = file
  }

  /// Checks the prelude and the header's checksum; returns the header's length.
  private static func headerLength(_ file: MappedFile) throws(FormatError) -> Int {
    guard isFlat(file) else {
      throw FormatError(
        .unrecognized, "this is no flat file: it does not begin with SDFLAT", offset: 0,
        hint: "give a file that `sdinspect convert --to sdflat` wrote")
    }
    guard file.count >= FlatFormat.preludeSize else {
      throw FormatError(
        .truncated, "the file ends inside its first 64 bytes", offset: file.count,
        hint: "copy or convert the file again")
    }
    let prelude = file.withBytes(in: 0..<FlatFormat.preludeSize) { bytes in
      Prelude(
        version: UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self)),
        words: (0..<8).map {
          UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self))
        },
        checksum: Checksum.of(UnsafeRawBufferPointer(rebasing: bytes[..<56])))
    }
    guard prelude.words[7] == prelude.checksum else {
      throw FormatError(
        .malformed, "the checksum of the first 64 bytes does not match them", offset: 0,
        context: "prelude", hint: "the file is damaged; copy or convert it again")
    }
    guard prelude.version == FlatFormat.version else {
      throw FormatError(
        .unsupported, "the flat file has version \(prelude.version); version 1 is read", offset: 8,
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
        "the file has \(file.count.of("byte")) where its first bytes announce \(prelude.words[4])",
        offset: 32, context: "file length", hint: "copy or convert the file again")
    }
    guard prelude.words[2] <= UInt64(FlatFormat.headerLimit) else {
      throw FormatError(
        .malformed, "a header of \(prelude.words[2].of("byte")) is larger than the 16 MiB allowed",
        offset: 16, context: "header length")
    }
    let length = Int(prelude.words[2])
    guard length <= file.count - FlatFormat.preludeSize else {
      throw FormatError(
        .truncated, "the file ends inside its header", offset: file.count, context: "header",
        hint: "copy or convert the file again")
    }
    let range = FlatFormat.preludeSize..<(FlatFormat.preludeSize + length)
    guard file.withBytes(in: range, { Checksum.of($0) }) == prelude.words[3] else {
      throw FormatError(
        .malformed, "the header's checksum does not match it", offset: FlatFormat.preludeSize,
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

  /// The file's bytes of a region, which the header's check has found to lie inside the file.
  func range(_ region: FlatHeader.Region) -> Range<Int> {
    let start = dataStart + region.offset
    return start..<(start + region.byteCount)
  }

  /// The same view that a repository gives.
  ///
  /// - Throws: ``FormatError`` `malformed` where an embedded configuration is broken.
  func checkpoint() throws(FormatError) -> ModelCheckpoint {
    let files = header.files.map {
      AuxiliaryFile(path: $0.path, location: file.path, file: file, range: range($0.region))
    }
    var components: [Component] = []
    for entry in header.components {
      let configuration = files.first { $0.path == entry.configuration }
      components.append(
        Component(
          name: entry.name, architecture: entry.architecture,
          configuration: try configuration.map(Configuration.init),
          path: file.path, format: .sdflat,
          tensors: entry.tensors.map { tensor in
            Tensor(
              name: tensor.name, dtype: tensor.dtype, shape: tensor.shape,
              storage: .mapped(file, offset: range(tensor.region).lowerBound))
          },
          extensions: entry.extensions))
    }
    return ModelCheckpoint(
      path: file.path, layout: .file(.sdflat), components: components, files: files,
      provenance: header.provenance, extensions: header.extensions)
  }
}

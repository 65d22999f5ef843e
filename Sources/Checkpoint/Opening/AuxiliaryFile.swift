import ModelFormats
import OrderedJSON

/// A small file of a pipeline besides its weights: a configuration, a vocabulary, merges.
public struct AuxiliaryFile: Sendable {
  /// The maximum size of a copied file; real vocabularies have a few megabytes.
  static let sizeLimit = 64 << 20

  /// The path inside the repository, such as `tokenizer/vocab.json`.
  public let path: String
  /// The file on disk, or the .sdflat file that contains it, for errors.
  public let location: String
  private let storage: Storage

  private enum Storage: Sendable {
    case mapped(MappedFile, Range<Int>)
    case memory([UInt8])
  }

  init(path: String, location: String, file: MappedFile, range: Range<Int>) {
    self.path = path
    self.location = location
    storage = .mapped(file, range)
  }

  /// A file created here, or from a field of another file.
  package init(path: String, location: String, bytes: [UInt8]) {
    self.path = path
    self.location = location
    storage = .memory(bytes)
  }

  /// A whole file on disk.
  package init(path: String, at location: String) throws(FormatError) {
    let file = try MappedFile(path: location)
    self.init(path: path, location: location, file: file, range: 0..<file.count)
  }

  /// The size of the file in bytes.
  public var byteCount: Int {
    switch storage {
    case .mapped(_, let range): range.count
    case .memory(let bytes): bytes.count
    }
  }

  /// A copy of the contents.
  public var bytes: [UInt8] {
    switch storage {
    case .mapped(let file, let range): file.withBytes(in: range) { Array($0) }
    case .memory(let bytes): bytes
    }
  }

  /// The offset of the contents in the file at ``location``.
  private var offset: Int {
    if case .mapped(_, let range) = storage { range.lowerBound } else { 0 }
  }

  /// The contents as a JSON object.
  ///
  /// - Throws: ``FormatError`` `malformed` with the byte if they are not.
  package func jsonObject() throws(FormatError) -> JSONObject {
    try jsonObject(limit: Configuration.sizeLimit)
  }

  /// The contents as a JSON object, of a file with at most `limit` bytes.
  func jsonObject(limit: Int) throws(FormatError) -> JSONObject {
    guard byteCount <= limit else {
      throw FormatError(
        .malformed, "the configuration has \(byteCount) bytes, more than any real one",
        file: location, hint: "check that this is the JSON file of the repository")
    }
    let parsed: JSON
    do throws(JSONError) {
      parsed = try JSON(parsing: bytes.span.bytes)
    } catch {
      throw FormatError(
        .malformed, "this is not JSON: \(error.reason.rawValue)", file: location,
        offset: offset + error.offset, context: error.key,
        hint: "download the file again from the model's repository")
    }
    guard let object = parsed.object else {
      throw FormatError(
        .malformed, "a JSON object was expected", file: location, offset: offset,
        hint: "download the file again from the model's repository")
    }
    return object
  }
}

import OrderedJSON

/// Everything that is known about one kind of file, apart from how its bytes are read and written.
///
/// Each format that is read defines its descriptor in its own file, and ``all`` lists it.
/// Recognition, opening, refusals, hints, file-name endings, conversion, the scan for code, fuzzing
/// and the table in `docs/formats.md` read it here.
public struct FormatDescriptor: Sendable {
  /// The name in JSON, as in `safetensors` or `zip`.
  public let name: String

  /// How a file is recognized by its content.
  package let mark: Mark

  /// The format's name in JSON where its tensors are read; several kinds of file may share one.
  public internal(set) var format: TensorFile.Format?

  /// Reads the tensors; nil if they are not read.
  package internal(set) var read: Read?

  /// Reads a file that names the files with the tensors; such a file cannot be one of those.
  package internal(set) var readIndex: Read?

  /// The endings of its files' names, lower case, the usual ones first.
  package internal(set) var endings: [String] = []

  /// How many of ``endings`` the hint of a refusal lists.
  var listedEndings = Int.max

  /// Whether repositories hold weights in it, so that such files are counted among their weights.
  package internal(set) var isWeights = false

  /// Whether reading it elsewhere may run code from the file.
  public internal(set) var mayRunCode = false

  /// The name that the scan for code gives a file; nil if that is ``name``.
  var scanName: (@Sendable (SafetyScan) -> String?)?

  /// What it is called if the scan for code does not look into it; nil if it does.
  var closedName: String?

  /// Whether the content may be a pickle of protocol 0 or 1, which has no magic number.
  var mayBePickle = false

  /// The name of the image format; nil if it is none.
  public internal(set) var imageName: String?

  /// Why it is refused, if it is not read; nil leaves it to the general refusal.
  package internal(set) var refusal: (@Sendable (MappedFile) -> FormatError?)?

  /// The fuzzing target that reads it; nil if it is not read.
  package internal(set) var fuzzTarget: String?

  /// How files of it are written; nil if they are not.
  public internal(set) var writing: WritableFormat?

  /// The rows of the table in `docs/formats.md`; none if it is not read.
  package internal(set) var rows: [Row] = []

  package typealias Read = @Sendable (MappedFile) throws(FormatError) -> TensorFile

  init(_ name: String, _ mark: Mark) {
    self.name = name
    self.mark = mark
  }
}

extension FormatDescriptor {
  /// What tells a kind of file from others.
  package enum Mark: Sendable {
    /// Any of these at the very beginning of the file. All are looked for before any test.
    case beginnings([[UInt8]])
    /// A test of the content. Tests run in the order of ``FormatDescriptor/all``.
    case test(@Sendable (FileHead) -> Bool)
    /// Nothing in the content.
    case none
  }

  /// A row of the table in `docs/formats.md`, in Markdown.
  package struct Row: Sendable, Hashable {
    package let title: String
    /// What is read.
    package let reads: String
    /// What is written.
    package let writes: String
  }

  /// Its rows as they stand in the table.
  var lines: [String] {
    rows.map { "| \($0.title) | \($0.reads) | \($0.writes) | \(mayRunCode ? "yes" : "no") |" }
  }
}

/// Two descriptors are equal if they have the same name.
extension FormatDescriptor: Hashable, CustomStringConvertible {
  public static func == (first: Self, second: Self) -> Bool { first.name == second.name }

  public func hash(into hasher: inout Hasher) { hasher.combine(name) }

  public var description: String { name }
}

/// What recognition looks at: a file and its first bytes.
package struct FileHead {
  /// How many of the first bytes.
  private static let count = 4096

  let file: MappedFile
  let bytes: [UInt8]
  /// The bytes without a byte order mark and white space at the beginning, if they are text.
  let text: ArraySlice<UInt8>?

  init(_ file: MappedFile) {
    self.file = file
    bytes = unsafe file.withBytes(in: 0..<min(file.count, FileHead.count)) { unsafe [UInt8]($0) }
    text = FileHead.text(bytes)
  }

  private static func text(_ head: [UInt8]) -> ArraySlice<UInt8>? {
    var text = head[...]
    if text.starts(with: [0xEF, 0xBB, 0xBF]) { text = text.dropFirst(3) }
    let isText = text.allSatisfy { $0 >= 0x20 && $0 != 0x7F || (0x09...0x0D).contains($0) }
    // The last sequence may be cut off where the head ends.
    let isUTF8 = (0...min(3, text.count)).contains {
      String(validating: text.dropLast($0), as: UTF8.self) != nil
    }
    return isText && isUTF8 ? text.drop { $0 == 0x20 || (0x09...0x0D).contains($0) } : nil
  }

  /// Whether they are text that begins with one of these characters.
  func isText(_ first: Character...) -> Bool {
    text?.first.map { byte in first.contains { $0.asciiValue == byte } } ?? false
  }
}

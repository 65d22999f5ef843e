import OrderedJSON

/// Whether unpickling a file would run unknown code: a verdict, and the names after it.
///
/// Files in formats without pickles are safe. So are pickles that reference only what plain tensors
/// and containers need, `KnownGlobals`. Every other name is code that unpickling would import.
public struct Safety: Sendable, Hashable {
  /// How safe it is to unpickle a file.
  public enum Verdict: String, Sendable, CaseIterable, Comparable {
    /// No code: no pickle, or only known names.
    case safe
    /// Unknown names, or parts that are not scanned.
    case unknown
    /// Names that run commands, change files, load code and so on.
    case dangerous

    public static func < (left: Verdict, right: Verdict) -> Bool {
      allCases.firstIndex(of: left)! < allCases.firstIndex(of: right)!
    }
  }

  /// A class or function that unpickling would import.
  public struct Name: Sendable, Hashable {
    /// For example `os.system`.
    public let name: String
    /// The offset of its first occurrence; for compressed or nested data, the offset where that
    /// begins.
    public let offset: Int
    /// Its danger; nil if unknown.
    public var danger: String?
    /// The archive record with the name, such as `archive/data.pkl`.
    public var record: String?
    /// The file with the name, such as `unet/diffusion_pytorch_model.bin`.
    public var file: String?
  }

  /// Each name once per file and record, in the order found.
  private var found: [Name] = []
  /// What was not scanned, and why.
  public private(set) var notes: [String] = []
  private var known: [Key: Int] = [:]
  private var dangerCount = 0

  private struct Key: Hashable {
    let name: ExactName
    let record: String?
    let file: String?

    init(_ name: Name) {
      self.name = ExactName(name.name)
      record = name.record
      file = name.file
    }
  }

  /// Beyond this limit, names that are not dangerous are only counted; no ordinary file has as
  /// many.
  static let nameLimit = 16_384

  public init() {}

  /// Dangerous if any name is known to be, unknown if there are others, else safe.
  public var verdict: Verdict {
    dangerCount > 0 ? .dangerous : found.isEmpty && notes.isEmpty ? .safe : .unknown
  }

  /// The names that can run commands or change files.
  public var dangerous: [Name] { found.filter { $0.danger != nil } }
  /// The names that nothing is known about.
  public var unknown: [Name] { found.filter { $0.danger == nil } }
  /// All names, dangerous ones first.
  public var names: [Name] { dangerous + unknown }

  /// The effects of the dangerous names: `os.system (runs commands or changes files)`.
  public var dangers: String {
    dangerous.map { "\($0.name) (\($0.danger ?? ""))" }.joined(separator: ", ")
  }

  mutating func add(_ name: Name) {
    let key = Key(name)
    if let index = known[key] {
      guard found[index].danger == nil, let danger = name.danger else { return }
      found[index].danger = danger
      dangerCount += 1
      return
    }
    let limit = name.danger == nil ? Safety.nameLimit : 2 * Safety.nameLimit
    guard found.count < limit else {
      return add(note: "it has more than \(limit) names, of which the first are listed")
    }
    known[key] = found.count
    found.append(name)
    if name.danger != nil { dangerCount += 1 }
  }

  /// Adds a note, once.
  public mutating func add(note: String) {
    if notes.count < 256, !notes.contains(note) { notes.append(note) }
  }

  /// Adds the results of another file.
  public mutating func add(_ other: Safety, file: String? = nil) {
    for name in other.names {
      var name = name
      name.file = name.file ?? file
      add(name)
    }
    for note in other.notes { add(note: file.map { "\($0): \(note)" } ?? note) }
  }
}

extension Safety {
  /// The form that `--json` prints.
  package var json: JSON {
    var object: JSONObject = [
      "verdict": .string(verdict.rawValue),
      "names": .array(names.map(\.json)),
    ]
    if !notes.isEmpty { object["notes"] = .array(notes.map { .string($0) }) }
    return .object(object)
  }

  /// Messages for the user, one sentence each; none for a safe file.
  public var sentences: [String] {
    var sentences = dangerous.map { name in
      "dangerous: \(name.place) the pickle names \(name.name), which \(name.danger ?? "") where "
        + "Python unpickles it; nothing was run here"
    }
    if !unknown.isEmpty {
      sentences.append(
        "unknown: objects of these classes were kept as data: "
          + unknown.map(\.name).joined(separator: ", ") + "; " + Safety.advice)
    }
    sentences += notes.map { "unknown: \($0)" }
    return sentences
  }

  /// Advice for a file whose pickle has unknown names.
  public static let advice =
    "unpickling imports them; convert the file instead, which runs nothing"
}

extension Safety.Name {
  /// Its location, as the beginning of a sentence.
  var place: String {
    var place = "at byte \(offset)"
    if let record { place += " in \(record)" }
    if let file { place = "\(file): \(place)" }
    return place
  }

  var json: JSON {
    var object: JSONObject = [
      "name": .string(name), "offset": .integer(offset),
      "danger": danger.map { .string($0) } ?? .null,
    ]
    if let record { object["record"] = .string(record) }
    if let file { object["file"] = .string(file) }
    return .object(object)
  }
}

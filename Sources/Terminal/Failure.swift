import ArgumentParser
import Glibc
import ModelFormats
import OrderedJSON

/// An error for display: a status, a message, and a hint.
public struct Failure: Error {
  public let status: ExitStatus
  /// The kind of error, as `--json` prints it.
  public let code: String
  public let message: String
  public var file: String?
  public var offset: Int?
  public var hint: String?
  /// All problems, if the message names just the first few; only in JSON.
  public var details: [String] = []
  /// What unpickling the file would have run.
  public var safety: Safety?
  /// Additional JSON members.
  public var members = JSONObject()

  public init(
    _ status: ExitStatus, code: String, _ message: String, file: String? = nil,
    offset: Int? = nil, hint: String? = nil
  ) {
    self.status = status
    self.code = code
    self.message = message
    self.file = file
    self.offset = offset
    self.hint = hint
  }

  /// A wrong option or value.
  public static func usage(_ message: String, hint: String? = nil) -> Failure {
    Failure(.usage, code: "usage", message, hint: hint)
  }

  public init(_ error: FormatError) {
    self.init(
      ExitStatus(error.code), code: error.code.rawValue, error.sentence + error.danger,
      file: error.file, offset: error.offset, hint: error.remedy.phrased)
    details = error.details
    safety = error.safety
  }

  /// Any error; an unknown error type is a bug in the program.
  public init(wrapping error: any Error) {
    switch error {
    case let failure as Failure: self = failure
    case let error as FormatError: self.init(error)
    default: self.init(.software, code: "internal", String(describing: error))
    }
  }

  /// The error as the object that `--json` prints.
  public var json: JSON {
    var error: JSONObject = ["code": .string(code), "message": .string(message)]
    error["file"] = file.map { .string($0) } ?? .null
    error["offset"] = offset.map { .integer($0) } ?? .null
    error["hint"] = hint.map { .string($0) } ?? .null
    if !details.isEmpty { error["details"] = .array(details.map { .string($0) }) }
    if let safety { error["safety"] = safety.json }
    for member in members.members { error[member.key] = member.value }
    return ["version": 1, "error": .object(error)]
  }

  /// The error as a paragraph with a hint line.
  public var text: String { text(colours: false) }

  func text(colours: Bool) -> String {
    var text = Style.error.apply(to: "error:", colours: colours) + " "
    if let file { text += Console.sanitized(file) + ": " }
    if let offset { text += "at byte \(offset): " }
    // The parser's messages about options have multiple lines.
    text +=
      code == "usage"
      ? message.split(separator: "\n", omittingEmptySubsequences: false)
        .map { Console.sanitized(String($0)) }.joined(separator: "\n")
      : Console.sanitized(message)
    let unknown = safety?.unknown.map(\.name) ?? []
    if !unknown.isEmpty {
      text +=
        "\nunknown classes in the pickle: "
        + Console.sanitized(unknown.joined(separator: ", "))
    }
    if let hint {
      text += "\n" + Style.good.apply(to: "hint:", colours: colours) + " " + Console.sanitized(hint)
    }
    return text
  }
}

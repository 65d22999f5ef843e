import Glibc

/// Why a file cannot be used: what is wrong, where, and what to do about it.
public struct FormatError: Error, Sendable, Hashable {
  /// The kind of failure, which decides a program's exit status.
  public enum Code: String, Sendable, Hashable, CaseIterable {
    /// The file or directory is not there, or may not be opened.
    case notFound = "not-found"
    /// The bytes are of no format that is read here.
    case unrecognized
    /// The file ends before what it announces.
    case truncated
    /// The bytes break the rules of their format.
    case malformed
    /// The file is sound but holds something that is not supported.
    case unsupported
    /// The file is sound but its tensors are not what was asked for.
    case mismatch
    /// Reading or writing failed in the operating system.
    case inputOutput = "input-output"
    /// The output exists, or its place cannot be written.
    case cannotCreate = "cannot-create"
    /// A fault of the program.
    case internalFault = "internal"

    /// What the user can do about such an error, where the place that found it knows no better.
    public var remedy: Remedy {
      switch self {
      case .notFound: "check the path and read permission"
      case .unrecognized:
        "`file PATH` and the first bytes tell what it is; docs/formats.md lists what is read"
      case .truncated: "download or copy the file again"
      case .malformed:
        "download or copy the file again; if that changes nothing, save it again with the program that made it"
      case .unsupported:
        "save it in another form with the program that made it; docs/formats.md lists what is read"
      case .mismatch: "\(do: .inspect) shows what the file contains"
      case .inputOutput: "check the disk and that no other program writes the file, then try again"
      case .cannotCreate: "choose another output, or check that you may write there"
      case .internalFault: "this is a bug: report it with the command and what it printed"
      }
    }
  }

  /// The kind of failure.
  public var code: Code
  /// What is wrong, as a sentence without a full stop.
  public var message: String
  /// The file concerned; filled in where it was opened.
  public var file: String?
  /// The byte offset in the file of what is wrong.
  public var offset: Int?
  /// The tensor, record or field concerned.
  public var context: String?
  /// What the user can do; ``remedy`` if this is nil.
  public var hint: Remedy?
  /// All that is wrong, where the message names the first few.
  public var details: [String] = []
  /// What unpickling the file would have run all the same; nil where nothing is known of it.
  public var safety: Safety?

  public init(
    _ code: Code, _ message: String, file: String? = nil, offset: Int? = nil,
    context: String? = nil, hint: Remedy? = nil
  ) {
    self.code = code
    self.message = message
    self.file = file
    self.offset = offset
    self.context = context
    self.hint = hint
  }

  /// How much of a file is there, as the end of a message: ` (37 % of the file is there)`.
  static func share(_ present: Int, of whole: (partialValue: Int, overflow: Bool)) -> String {
    guard !whole.overflow, whole.partialValue > 0 else { return "" }
    let percent = Int(Double(present) / Double(whole.partialValue) * 100)
    return " (\(min(percent, 99)) % of the file is there)"
  }

  /// What is dangerous about the file, if the message does not say it: the end of a sentence.
  public var danger: String {
    guard let names = safety?.dangerous, !names.isEmpty,
      names.count > 1 || !message.contains("names \(names[0].name)")
    else { return "" }
    return "; dangerous: unpickling it would run \(safety?.dangers ?? "")"
  }

  /// The same error with `file` said, where it was not yet.
  public func inFile(_ path: String) -> FormatError {
    var error = self
    error.file = error.file ?? path
    return error
  }
}

extension FormatError {
  /// What the user can do: the hint, else what helps against any error of its code.
  public var remedy: Remedy { hint ?? code.remedy }

  /// What is wrong and with what, without the file: `conv_in.weight: the shape is missing`, or the
  /// message alone where it begins with what it concerns.
  public var sentence: String {
    guard let context, !message.hasPrefix(context) else { return message }
    return "\(context): \(message)"
  }
}

extension FormatError: CustomStringConvertible {
  /// `unet.safetensors: at byte 8: in conv_in.weight: the header ends early`
  public var description: String {
    var parts: [String] = []
    if let file { parts.append(file) }
    if let offset { parts.append("at byte \(offset)") }
    if let context, !message.hasPrefix(context) { parts.append("in \(context)") }
    parts.append(message)
    return parts.joined(separator: ": ") + danger
  }
}

extension FormatError {
  /// The error of a file or directory that cannot be opened.
  ///
  /// - Parameters:
  ///   - kind: "file" or "directory".
  ///   - reason: the value of `errno`.
  package static func cannotOpen(_ kind: String, _ path: String, _ reason: Int32) -> FormatError {
    // What the system lacks at the moment says nothing of the file.
    let isShortage = [EMFILE, ENFILE, ENOMEM, EIO].contains(reason)
    return FormatError(
      isShortage ? .inputOutput : .notFound,
      "cannot open the \(kind): \(unsafe String(cString: strerror(reason)))", file: path,
      hint: [EMFILE, ENFILE].contains(reason)
        ? "close other programs, or raise the limit on open files: ulimit -n"
        : "check the path and read permission")
  }
}

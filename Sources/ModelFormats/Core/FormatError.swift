import Glibc

/// An error about a file: what is wrong, where, and how to fix it.
public struct FormatError: Error, Sendable, Hashable {
  /// The kind of failure, which decides a program's exit status.
  public enum Code: String, Sendable, Hashable, CaseIterable {
    /// The file or directory does not exist or cannot be opened.
    case notFound = "not-found"
    /// The file format is not recognized.
    case unrecognized
    /// The file is shorter than it declares.
    case truncated
    /// The file violates its format.
    case malformed
    /// The file is valid but contains something unsupported.
    case unsupported
    /// The file is valid, but its tensors are not the expected ones.
    case mismatch
    /// The operating system failed to read or write.
    case inputOutput = "input-output"
    /// The output exists already or cannot be created.
    case cannotCreate = "cannot-create"
    /// A bug in the program.
    case internalFault = "internal"

    /// The default remedy for errors with this code.
    public var remedy: Remedy {
      switch self {
      case .notFound: "check the path and read permission"
      case .unrecognized:
        "`file PATH` and the first bytes show what it is; docs/formats.md lists the supported formats"
      case .truncated: "download or copy the file again"
      case .malformed:
        "download or copy the file again; if that changes nothing, save it again with the program that made it"
      case .unsupported:
        "save it in another format with the program that made it; docs/formats.md lists the supported formats"
      case .mismatch: "\(do: .inspect) shows what the file contains"
      case .inputOutput:
        "check the disk, make sure that no other program writes the file, and try again"
      case .cannotCreate: "choose another output, or check the write permission"
      case .internalFault: "this is a bug; please report the command and its output"
      }
    }
  }

  /// The kind of failure.
  public var code: Code
  /// The problem, as a sentence without a full stop.
  public var message: String
  /// The file; set by the code that opened it.
  public var file: String?
  /// The byte offset of the problem in the file.
  public var offset: Int?
  /// The tensor, record or field.
  public var context: String?
  /// The hint for the user; if nil, ``remedy`` applies.
  public var hint: Remedy?
  /// All problems, if the message names just the first few.
  public var details: [String] = []
  /// What unpickling the file would have run; nil if unknown.
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

  /// How much of a file is present, for the end of a message: ` (37 % of the file is there)`.
  static func share(_ present: Int, of whole: (partialValue: Int, overflow: Bool)) -> String {
    guard !whole.overflow, whole.partialValue > 0 else { return "" }
    let percent = Int(Double(present) / Double(whole.partialValue) * 100)
    return " (\(min(percent, 99)) % of the file is present)"
  }

  /// What is dangerous about the file, unless the message already says so: the end of a sentence.
  public var danger: String {
    guard let names = safety?.dangerous, !names.isEmpty,
      names.count > 1 || !message.contains("names \(names[0].name)")
    else { return "" }
    return "; dangerous: unpickling it would run \(safety?.dangers ?? "")"
  }

  /// A copy with `file` set, unless it was already set.
  public func inFile(_ path: String) -> FormatError {
    var error = self
    error.file = error.file ?? path
    return error
  }
}

extension FormatError {
  /// The hint, or the default remedy for the code.
  public var remedy: Remedy { hint ?? code.remedy }

  /// The problem and its context, without the file: `conv_in.weight: the shape is missing`, or only
  /// the message if it begins with its context.
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
  /// The error for a file or directory that cannot be opened.
  ///
  /// - Parameters:
  ///   - kind: "file" or "directory".
  ///   - reason: the value of `errno`.
  package static func cannotOpen(_ kind: String, _ path: String, _ reason: Int32) -> FormatError {
    // Resource shortages say nothing about the file.
    let isShortage = [EMFILE, ENFILE, ENOMEM, EIO].contains(reason)
    return FormatError(
      isShortage ? .inputOutput : .notFound,
      "cannot open the \(kind): \(unsafe String(cString: strerror(reason)))", file: path,
      hint: [EMFILE, ENFILE].contains(reason)
        ? "close other programs, or raise the limit on open files: ulimit -n"
        : "check the path and read permission")
  }
}

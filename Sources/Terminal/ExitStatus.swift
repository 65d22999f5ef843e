import ModelFormats

/// Exit statuses of both programs, from sysexits.h; 1 means "differs" or "does not verify", as in
/// diff(1).
public enum ExitStatus: Int32, Sendable {
  case success = 0
  case differs = 1
  /// The command line is wrong.
  case usage = 64
  /// The data is malformed.
  case data = 65
  /// The input is missing.
  case noInput = 66
  /// A bug in the program.
  case software = 70
  /// The output cannot be created.
  case cannotCreate = 73
  /// Reading or writing failed.
  case inputOutput = 74
  /// Interrupted by Ctrl-C, with the shell's number.
  case interrupted = 130

  public init(_ code: FormatError.Code) {
    switch code {
    case .notFound: self = .noInput
    case .unrecognized, .truncated, .malformed, .unsupported, .mismatch: self = .data
    case .inputOutput: self = .inputOutput
    case .cannotCreate: self = .cannotCreate
    case .internalFault: self = .software
    }
  }
}

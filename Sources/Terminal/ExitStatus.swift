import ModelFormats

/// Exit statuses of both programs, as sysexits.h numbers them; 1 says "differs" or "does not
/// verify", as diff(1) does.
public enum ExitStatus: Int32, Sendable {
  case success = 0
  case differs = 1
  /// The command line is wrong.
  case usage = 64
  /// The data is malformed.
  case data = 65
  /// The input is missing.
  case noInput = 66
  /// A fault of the program itself.
  case software = 70
  /// The output cannot be created.
  case cannotCreate = 73
  /// Reading or writing failed.
  case inputOutput = 74
  /// Interrupted by Ctrl-C, as shells count it.
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

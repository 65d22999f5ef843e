import Glibc

/// The role of a piece of text, which determines its color.
public enum Style: Sendable, Hashable {
  case plain
  case heading
  /// Secondary text: units, notes, the lines of a tree.
  case faint
  case good
  case warning
  case error
  /// A bar for a fraction.
  case bar

  /// The parameters of the ECMA-48 control sequence; only the eight colors that users can configure
  /// in every terminal.
  private var parameters: String? {
    switch self {
    case .plain: nil
    case .heading: "1"
    case .faint: "2"
    case .good: "32"
    case .warning: "33"
    case .error: "1;31"
    case .bar: "36"
    }
  }

  /// The text for a terminal with colors, or for any other output.
  public func apply(to text: String, colours: Bool = Console.isColoured) -> String {
    guard colours, let parameters, !text.isEmpty else { return text }
    return "\u{1B}[\(parameters)m\(text)\u{1B}[0m"
  }
}

extension Console {
  /// Whether stderr may be colored.
  public static var isErrorColoured: Bool {
    isatty(STDERR_FILENO) == 1 && allowsColour
  }

  /// Whether stdout may be colored: it is a terminal, and colors are not disabled.
  public static var isColoured: Bool {
    isatty(STDOUT_FILENO) == 1 && allowsColour
  }

  /// Source: no-color.org; an empty variable counts as unset.
  private static var allowsColour: Bool {
    (variable("NO_COLOR") ?? "").isEmpty && variable("TERM") != "dumb"
  }

  /// A heading of stdout, sanitized.
  public static func heading(_ text: String) -> String {
    Style.heading.apply(to: sanitized(text))
  }

  /// Writes a warning to stderr.
  public static func warn(_ text: String) {
    note(Style.warning.apply(to: "warning:", colours: isErrorColoured) + " " + sanitized(text))
  }
}

import Glibc

/// What a piece of text is, which decides its color where there are colors.
public enum Style: Sendable, Hashable {
  case plain
  case heading
  /// Beside the matter: units, notes, the lines of a tree.
  case faint
  case good
  case warning
  case error
  /// A share drawn as a bar.
  case bar

  /// The parameters of the control sequence, as ECMA-48 numbers them; only the eight colors that
  /// every terminal lets its user choose.
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

  /// The text as it goes to a terminal that has colors, or to anything else.
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

  /// Whether stdout may be colored: a terminal, and nobody asked otherwise.
  public static var isColoured: Bool {
    isatty(STDOUT_FILENO) == 1 && allowsColour
  }

  /// Source: no-color.org, which takes an empty variable for none.
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

import Synchronization

/// A progress line on a terminal. If stderr is not a terminal, nothing, or an occasional line.
public final class ProgressBar {
  /// The behavior if stderr is not a terminal.
  public enum Elsewhere: Sendable {
    case nothing
    /// A line at most every ``ProgressBar/interval`` seconds, for all bars of the process together.
    case lines
  }

  private let label: String
  private let isShown: Bool
  private let saysLines: Bool
  private let start = Console.seconds()
  private var lastDrawn = -1.0

  /// Seconds between lines: SDLOOM_PROGRESS if it is a number, otherwise 20. 0 means no lines.
  public static let interval: Double = {
    guard let text = Console.variable("SDLOOM_PROGRESS"), let seconds = Double(text), seconds >= 0
    else { return 20 }
    return seconds
  }()

  /// The time of the last line, initially of the first bar's creation.
  private static let lastLine = Mutex(Console.seconds())

  /// - Parameter isQuiet: draws nothing even on a terminal.
  public init(_ label: String, isQuiet: Bool = false, elsewhere: Elsewhere = .nothing) {
    self.label = label
    isShown = Console.isInteractive && !isQuiet
    saysLines =
      elsewhere == .lines && !Console.isInteractive && !isQuiet && Self.interval > 0
    if saysLines { _ = Self.lastLine.withLock { $0 } }
  }

  /// Seconds since the bar was created.
  public var elapsed: Double { Console.seconds() - start }

  /// Redraws the line, at most ten times a second.
  ///
  /// - Parameters:
  ///   - fraction: the fraction done, 0 to 1.
  ///   - detail: the text after the bar.
  public func update(_ fraction: Double, _ detail: String, force: Bool = false) {
    guard isShown else {
      if saysLines { say(detail) }
      return
    }
    guard force || elapsed - lastDrawn > 0.1 else { return }
    lastDrawn = elapsed
    let width = 24
    let full = Int((max(0, min(1, fraction)) * Double(width)).rounded())
    let bar = String(repeating: "█", count: full) + String(repeating: "░", count: width - full)
    Console.write("\r\u{1B}[K\(label) \(bar) \(detail)", to: 2)
  }

  private func say(_ detail: String) {
    let now = Console.seconds()
    let isTime = Self.lastLine.withLock { last in
      guard now - last >= Self.interval else { return false }
      last = now
      return true
    }
    if isTime { Console.note("\(label): \(detail)") }
  }

  /// Removes the line.
  public func finish() {
    guard isShown else { return }
    Console.write("\r\u{1B}[K", to: 2)
  }
}

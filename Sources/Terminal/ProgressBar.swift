/// A line on a terminal that says how far something is; nothing where stderr is no terminal.
public final class ProgressBar {
  private let label: String
  private let isShown: Bool
  private let start = Console.seconds()
  private var lastDrawn = -1.0

  /// - Parameter isQuiet: draws nothing even on a terminal.
  public init(_ label: String, isQuiet: Bool = false) {
    self.label = label
    isShown = Console.isInteractive && !isQuiet
  }

  /// Seconds since the bar was made.
  public var elapsed: Double { Console.seconds() - start }

  /// Redraws the line, at most ten times a second.
  ///
  /// - Parameters:
  ///   - fraction: how much is done, 0 to 1.
  ///   - detail: what follows the bar.
  public func update(_ fraction: Double, _ detail: String, force: Bool = false) {
    guard isShown, force || elapsed - lastDrawn > 0.1 else { return }
    lastDrawn = elapsed
    let width = 24
    let full = Int((max(0, min(1, fraction)) * Double(width)).rounded())
    let bar = String(repeating: "█", count: full) + String(repeating: "░", count: width - full)
    Console.write("\r\u{1B}[K\(label) \(bar) \(detail)", to: 2)
  }

  /// Takes the line away.
  public func finish() {
    guard isShown else { return }
    Console.write("\r\u{1B}[K", to: 2)
  }
}

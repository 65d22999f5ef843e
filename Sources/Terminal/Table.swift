/// A table of text, columns as wide as they need to be, numbers to the right.
public struct Table {
  public enum Alignment: Sendable {
    case left
    case right
  }

  private let headers: [String]
  private let alignments: [Alignment]
  private var rows: [[String]] = []

  /// - Parameter columns: headers with their alignment, from left to right.
  public init(_ columns: [(String, Alignment)]) {
    headers = columns.map(\.0)
    alignments = columns.map(\.1)
  }

  public mutating func add(_ cells: [String]) {
    rows.append(cells.map(Console.sanitized))
  }

  /// The lines of the table. Where `width` is given and too small, the first column is cut in its
  /// middle, so that both ends of a long name still show.
  public func text(width: Int? = Console.width) -> String {
    var widths = headers.map(\.count)
    for row in rows {
      for (column, cell) in row.enumerated() { widths[column] = max(widths[column], cell.count) }
    }
    if let width {
      let total = widths.reduce(0, +) + 2 * (widths.count - 1)
      widths[0] = max(12, widths[0] - max(0, total - width))
    }
    let header = line(headers, widths)
    let lines =
      [Console.isColoured ? "\u{1B}[1m\(header)\u{1B}[0m" : header]
      + rows.map { line($0, widths) }
    return lines.joined(separator: "\n")
  }

  private func line(_ cells: [String], _ widths: [Int]) -> String {
    var parts: [String] = []
    for (column, cell) in cells.enumerated() {
      let cell = Table.shortened(cell, to: widths[column])
      let space = String(repeating: " ", count: widths[column] - cell.count)
      parts.append(alignments[column] == .left ? cell + space : space + cell)
    }
    var line = parts.joined(separator: "  ")
    while line.last == " " { line.removeLast() }
    return line
  }

  private static func shortened(_ text: String, to width: Int) -> String {
    guard text.count > width, width > 3 else { return text }
    let head = (width - 1) / 2
    return text.prefix(head) + "…" + text.suffix(width - 1 - head)
  }
}

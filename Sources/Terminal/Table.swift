/// A text table: columns as wide as needed, numbers right-aligned; not wider than the terminal.
public struct Table {
  public enum Alignment: Sendable {
    case left
    case right
  }

  /// A column: its header, and its behavior if space is short.
  public struct Column: Sendable {
    let header: String
    let alignment: Alignment
    let isName: Bool
    let rank: Int

    /// - Parameters:
    ///   - isName: whether its texts may be shortened in the middle.
    ///   - rank: columns of the highest rank are hidden first; those of rank 0 stay.
    public init(_ header: String, _ alignment: Alignment, isName: Bool = false, rank: Int = 0) {
      self.header = header
      self.alignment = alignment
      self.isName = isName
      self.rank = rank
    }
  }

  /// A text in a table with its style.
  public struct Cell: Sendable, ExpressibleByStringLiteral {
    /// Pieces with separate colors.
    let pieces: [(text: String, style: Style)]
    let columns: Int

    public init(_ text: String, _ style: Style = .plain) {
      self.init([(text, style)])
    }

    public init(_ pieces: [(text: String, style: Style)]) {
      self.pieces = pieces.map { (Console.sanitized($0.text), $0.style) }
      columns = self.pieces.reduce(0) { $0 + TextWidth.columns($1.text) }
    }

    public init(stringLiteral text: String) { self.init(text) }

    fileprivate func text(_ width: Int, colours: Bool) -> String {
      var pieces = pieces
      if columns > width,
        let longest = pieces.indices.max(by: { first, second in
          TextWidth.columns(pieces[first].text) < TextWidth.columns(pieces[second].text)
        })
      {
        // Shortens the longest piece; the lines of a tree before it stay.
        let others = columns - TextWidth.columns(pieces[longest].text)
        if width - others >= 4 {
          pieces[longest].text = TextWidth.shortened(pieces[longest].text, to: width - others)
        } else {
          let whole = pieces.map(\.text).joined()
          pieces = [(TextWidth.shortened(whole, to: width), pieces[longest].style)]
        }
      }
      return pieces.map { $0.style.apply(to: $0.text, colours: colours) }.joined()
    }
  }

  private let columns: [Column]
  private var rows: [[Cell]] = []
  private var totals: Set<Int> = []
  private var notes: [Int: String] = [:]

  public init(_ columns: [Column]) {
    self.columns = columns
  }

  /// - Parameter columns: headers with their alignment, from left to right; the first is the name,
  ///   and others are hidden from the right if space is short.
  public init(_ columns: [(String, Alignment)]) {
    self.init(
      columns.enumerated().map { Column($1.0, $1.1, isName: $0 == 0, rank: $0) })
  }

  public mutating func add(_ cells: [Cell]) {
    precondition(cells.count == columns.count, "a row has a cell for each column")
    rows.append(cells)
  }

  public mutating func add(_ cells: [String]) {
    add(cells.map { Cell($0) })
  }

  /// Adds a line below the last row that is never shortened.
  public mutating func addNote(_ text: String) {
    notes[rows.count - 1] = Console.sanitized(text)
  }

  /// Adds a row with totals.
  public mutating func addTotal(_ cells: [Cell]) {
    totals.insert(rows.count)
    add(cells)
  }

  /// The lines of the table, at most `width` wide if possible.
  ///
  /// Long names are first shortened to about 30 columns; then columns are hidden, highest rank
  /// first, and named below the table.
  public func text(width: Int? = Console.width, colours: Bool = Console.isColoured) -> String {
    var widths = columns.map { TextWidth.columns($0.header) }
    for row in rows {
      for (column, cell) in row.enumerated() { widths[column] = max(widths[column], cell.columns) }
    }
    var shown = Array(columns.indices)
    if let width { fit(width, &widths, &shown) }
    var lines = [
      Style.heading.apply(
        to: line(columns.map { Cell($0.header) }, widths, shown, colours: false), colours: colours)
    ]
    for (position, row) in rows.enumerated() {
      let isTotal = totals.contains(position)
      let text = line(row, widths, shown, colours: colours && !isTotal)
      lines.append(isTotal ? Style.heading.apply(to: text, colours: colours) : text)
      if let note = notes[position] { lines.append(Style.faint.apply(to: note, colours: colours)) }
    }
    let hidden = columns.indices.filter { !shown.contains($0) }.map { columns[$0].header }
    if !hidden.isEmpty, let width {
      lines += Table.wrapped("(hidden columns: \(hidden.joined(separator: ", ")))", width)
        .map { Style.faint.apply(to: $0, colours: colours) }
    }
    return lines.joined(separator: "\n")
  }

  /// Hides columns and shortens names until the table fits, as far as possible.
  private func fit(_ width: Int, _ widths: inout [Int], _ shown: inout [Int]) {
    func excess(_ cap: Int) -> Int {
      shown.reduce(2 * (shown.count - 1) - width) { sum, column in
        sum + (columns[column].isName ? min(cap, widths[column]) : widths[column])
      }
    }
    while excess(30) > 0,
      let worst = shown.filter({ columns[$0].rank > 0 })
        .max(by: { (columns[$0].rank, $0) < (columns[$1].rank, $1) })
    {
      shown.removeAll { $0 == worst }
    }
    var missing = excess(.max)
    for column in shown where columns[column].isName && missing > 0 {
      let narrowed = max(min(12, widths[column]), widths[column] - missing)
      missing -= widths[column] - narrowed
      widths[column] = narrowed
    }
    // Other text, such as digests, is shortened last.
    for column in shown where columns[column].alignment == .left && missing > 0 {
      let narrowed = max(min(8, widths[column]), widths[column] - missing)
      missing -= widths[column] - narrowed
      widths[column] = narrowed
    }
  }

  private func line(_ cells: [Cell], _ widths: [Int], _ shown: [Int], colours: Bool) -> String {
    var parts: [String] = []
    for column in shown {
      let cell = cells[column]
      let space = String(repeating: " ", count: max(0, widths[column] - cell.columns))
      let text = cell.text(widths[column], colours: colours)
      parts.append(columns[column].alignment == .left ? text + space : space + text)
    }
    var line = parts.joined(separator: "  ")
    while line.last == " " { line.removeLast() }
    return line
  }

  /// Text wrapped at spaces to this width, indented like the first line.
  fileprivate static func wrapped(_ text: String, _ width: Int) -> [String] {
    let indent = String(text.prefix { $0 == " " || $0 == "-" })
    let space = String(repeating: " ", count: indent.count)
    var lines: [String] = []
    var line = indent
    var isFirstWord = true
    for word in text.dropFirst(indent.count).split(separator: " ") {
      if isFirstWord || TextWidth.columns(line) + 1 + TextWidth.columns(word) <= width {
        line += (isFirstWord ? "" : " ") + word
      } else {
        lines.append(line)
        line = space + word
      }
      isFirstWord = false
    }
    return lines + [line]
  }
}

extension Table.Cell {
  /// A percentage, on a terminal with a small bar before it.
  public static func share(
    _ part: Int, of whole: Int, colours: Bool = Console.isColoured
  ) -> Table.Cell {
    let text = Format.share(part, of: whole)
    guard colours, whole > 0 else { return .init(text) }
    let bar = Format.bar(Double(part) / Double(whole), width: 6)
    // Align the decimals of numbers in a column.
    let space = String(repeating: " ", count: max(1, 8 - text.count))
    return .init([(bar, .bar), (space + text, .plain)])
  }
}

extension Console {
  /// Writes a sentence to stdout, wrapped on narrow terminals.
  public static func printSentence(_ text: String) {
    print(width.map { Table.wrapped(text, $0).joined(separator: "\n") } ?? text)
  }
}

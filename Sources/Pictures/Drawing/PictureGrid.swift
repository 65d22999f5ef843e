/// Labeled images in rows and columns, each column with a bar and a few notes below.
package struct PictureGrid {
  /// A column.
  package struct Column {
    let heading: String
    let tiles: [Image]
    let amount: Double
    let notes: [String]

    /// - Parameters:
    ///   - tiles: one for each row, all of the grid's tile size.
    ///   - amount: the length of the bar, 0 to 1.
    ///   - notes: at most two short lines.
    package init(heading: String, tiles: [Image], amount: Double, notes: [String]) {
      self.heading = heading
      self.tiles = tiles
      self.amount = amount
      self.notes = notes
    }
  }

  private let rows: [String]
  private let barTitle: String
  private let columns: [Column]

  /// - Parameters:
  ///   - rows: their titles.
  ///   - barTitle: what the bars show.
  package init(rows: [String], barTitle: String, _ columns: [Column]) {
    self.rows = rows
    self.barTitle = barTitle
    self.columns = columns
  }

  private static let background = Canvas.Colour(20, 22, 28)
  private static let frame = Canvas.Colour(52, 56, 66)
  private static let text = Canvas.Colour(222, 225, 232)
  private static let faint = Canvas.Colour(128, 134, 148)
  private static let accent = Canvas.Colour(96, 165, 250)

  /// The longer side of a tile.
  private static let tileSide = 168
  private static let gap = 14
  private static let scale = 2

  /// The size of the tiles for images of a size: the same shape, 168 pixels on the longer side.
  package static func tileSize(width: Int, height: Int) -> (width: Int, height: Int) {
    let longer = max(width, height)
    return (max(1, width * tileSide / longer), max(1, height * tileSide / longer))
  }

  /// Draws the grid; nil if there are no columns.
  package func image() -> Image? {
    guard let tile = columns.first?.tiles.first else { return nil }
    let (width, height) = (tile.width, tile.height)
    let (gap, scale) = (Self.gap, Self.scale)
    let line = (BitmapFont.height + 5) * scale
    let margin = 2 * gap
    func longest(_ texts: [String]) -> Int {
      texts.map { Canvas.width(of: $0, scale: scale) }.max() ?? 0
    }
    let left = margin + longest(rows + [barTitle]) + gap
    let pitch = max(width, longest(columns.flatMap { $0.notes + [$0.heading] })) + gap
    let top = margin + line
    let bottom = top + rows.count * (height + gap)
    var canvas = Canvas(
      width: left + columns.count * pitch - gap + margin,
      height: bottom + gap / 2 + 2 * line + margin - gap, Self.background)
    for (row, name) in rows.enumerated() {
      canvas.write(
        name, x: margin,
        y: top + row * (height + gap) + (height - BitmapFont.height * scale) / 2, scale: scale,
        Self.faint)
    }
    canvas.write(barTitle, x: margin, y: bottom + gap / 2 + 4, scale: scale, Self.faint)
    for (index, column) in columns.enumerated() {
      let x = left + index * pitch + (pitch - gap - width) / 2
      canvas.write(column.heading, x: x, y: margin, scale: scale, Self.text)
      for (row, tile) in column.tiles.enumerated() {
        let y = top + row * (height + gap)
        canvas.fill(x: x - 1, y: y - 1, width: width + 2, height: height + 2, Self.frame)
        canvas.put(tile, x: x, y: y)
      }
      let y = bottom + gap / 2
      canvas.fill(x: x, y: y, width: width, height: 4, Self.frame)
      canvas.fill(
        x: x, y: y, width: Int((column.amount * Double(width)).rounded()), height: 4, Self.accent)
      for (number, note) in column.notes.enumerated() {
        canvas.write(
          note, x: x, y: y + 12 + number * line, scale: scale,
          number == 0 ? Self.text : Self.faint)
      }
    }
    return canvas.image
  }
}

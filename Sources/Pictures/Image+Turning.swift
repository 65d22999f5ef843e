extension Image {
  /// The image upright, for an EXIF orientation; nil and 1 do not change it.
  ///
  /// Source: Exif 2.32, 4.6.4: the sides of the first row and the first column.
  package func upright(from orientation: Int?) -> Image {
    guard let orientation, (2...8).contains(orientation) else { return self }
    let isTurned = orientation >= 5
    let (columns, rows) = isTurned ? (height, width) : (width, height)
    let flipsColumns = [2, 3, 7, 8].contains(orientation)
    let flipsRows = [3, 4, 6, 7].contains(orientation)
    var result = [UInt8](repeating: 0, count: pixels.count)
    for row in 0..<rows {
      for column in 0..<columns {
        // The pixel's position in the stored image.
        var (x, y) = isTurned ? (row, column) : (column, row)
        if flipsColumns { x = width - 1 - x }
        if flipsRows { y = height - 1 - y }
        for channel in 0..<3 {
          result[3 * (row * columns + column) + channel] = pixels[3 * (y * width + x) + channel]
        }
      }
    }
    return Image(width: columns, height: rows, pixels: result)
  }
}

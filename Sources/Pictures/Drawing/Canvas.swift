/// An image onto which others are drawn.
package struct Canvas {
  /// Red, green and blue.
  package struct Colour {
    let red: UInt8
    let green: UInt8
    let blue: UInt8

    package init(_ red: UInt8, _ green: UInt8, _ blue: UInt8) {
      (self.red, self.green, self.blue) = (red, green, blue)
    }
  }

  package let width: Int
  package let height: Int
  private var pixels: [UInt8]

  package init(width: Int, height: Int, _ colour: Colour) {
    self.width = width
    self.height = height
    pixels = []
    pixels.reserveCapacity(3 * width * height)
    for _ in 0..<width * height { pixels += [colour.red, colour.green, colour.blue] }
  }

  package var image: Image { Image(width: width, height: height, pixels: pixels) }

  /// Draws an image with its upper left corner at a position; parts outside are clipped.
  package mutating func put(_ image: Image, x: Int, y: Int) {
    for row in 0..<image.height where (0..<height).contains(y + row) {
      for column in 0..<image.width where (0..<width).contains(x + column) {
        let (from, to) = (3 * (row * image.width + column), 3 * ((y + row) * width + x + column))
        for channel in 0..<3 { pixels[to + channel] = image.pixels[from + channel] }
      }
    }
  }

  package mutating func fill(x: Int, y: Int, width: Int, height: Int, _ colour: Colour) {
    for row in max(0, y)..<max(0, y, min(self.height, y + height)) {
      for column in max(0, x)..<max(0, x, min(self.width, x + width)) {
        let place = 3 * (row * self.width + column)
        pixels[place] = colour.red
        pixels[place + 1] = colour.green
        pixels[place + 2] = colour.blue
      }
    }
  }

  /// Draws a label in capitals.
  package mutating func write(_ text: String, x: Int, y: Int, scale: Int, _ colour: Colour) {
    for (index, letter) in text.uppercased().enumerated() {
      guard let rows = BitmapFont.rows(letter) else { continue }
      for (row, bits) in rows.enumerated() {
        for column in 0..<BitmapFont.width where bits >> (BitmapFont.width - 1 - column) & 1 == 1 {
          fill(
            x: x + (index * (BitmapFont.width + 1) + column) * scale, y: y + row * scale,
            width: scale, height: scale, colour)
        }
      }
    }
  }

  /// The width of a label in pixels.
  package static func width(of text: String, scale: Int) -> Int {
    text.isEmpty ? 0 : (text.count * (BitmapFont.width + 1) - 1) * scale
  }
}

import Diffusion
import Terminal

/// A similarity matrix as an SVG picture: a row for each picture and a column for each text, shaded
/// by the cosine; the best text of each picture has a frame.
struct SimilarityChart {
  let matrix: SimilarityMatrix
  let pictures: [String]
  let texts: [String]

  private static let cell = (width: 92, height: 46)
  private static let labelLimit = 34

  /// The SVG document.
  func svg() -> String {
    let (pictures, texts) = (self.pictures.map(Self.label), self.texts.map(Self.label))
    let left = 32 + 8 * (pictures.map(\.count).max() ?? 0)
    // Texts rise to the right at 35 degrees.
    let longest = texts.map(\.count).max() ?? 0
    let top = 64 + longest * 9 / 2
    let width = left + max(texts.count * Self.cell.width, 360) + longest * 6 + 16
    let height = top + pictures.count * Self.cell.height + 52
    var lines = [
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \(width) \(height)\" "
        + "width=\"\(width)\" height=\"\(height)\" font-family=\"system-ui, sans-serif\" font-size=\"13\">",
      "<title>Similarity of images and texts</title>",
      "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>",
      "<text x=\"16\" y=\"28\" font-size=\"16\" font-weight=\"600\" fill=\"#111827\">"
        + "Similarity of images and texts</text>",
    ]
    for (column, text) in texts.enumerated() {
      let x = left + column * Self.cell.width + Self.cell.width / 2
      lines.append(
        "<text transform=\"translate(\(x),\(top - 10)) rotate(-35)\" fill=\"#374151\">"
          + "\(Self.escaped(text))</text>")
    }
    let all = matrix.cosines.joined()
    let (lowest, highest) = (all.min() ?? 0, all.max() ?? 0)
    let (best, probabilities) = (matrix.best, matrix.probabilities)
    for (row, picture) in pictures.enumerated() {
      let y = top + row * Self.cell.height
      lines.append(
        "<text x=\"\(left - 10)\" y=\"\(y + Self.cell.height / 2 + 5)\" text-anchor=\"end\" "
          + "fill=\"#374151\">\(Self.escaped(picture))</text>")
      for (column, cosine) in matrix.cosines[row].enumerated() {
        let share = highest > lowest ? (cosine - lowest) / (highest - lowest) : 1
        lines += cell(
          cosine, probabilities[row][column], share: Double(share),
          x: left + column * Self.cell.width, y: y, isBest: best[row] == column)
      }
    }
    let note =
      "Cosine from \(Format.decimals(Double(lowest), 3)) (light) to "
      + "\(Format.decimals(Double(highest), 3)) (dark); below it the share of each text in the row."
    lines.append(
      "<text x=\"16\" y=\"\(height - 18)\" fill=\"#6b7280\">\(note)</text>")
    lines.append("</svg>")
    return lines.joined(separator: "\n") + "\n"
  }

  private func cell(
    _ cosine: Float, _ probability: Float, share: Double, x: Int, y: Int, isBest: Bool
  ) -> [String] {
    // From a pale to a dark blue.
    func mixed(_ light: Double, _ dark: Double) -> Int {
      Int((light + (dark - light) * share).rounded())
    }
    let colour = "rgb(\(mixed(239, 30)),\(mixed(246, 64)),\(mixed(255, 175)))"
    let ink = share > 0.5 ? "#ffffff" : "#111827"
    let frame =
      isBest
      ? "stroke=\"#f59e0b\" stroke-width=\"3\"" : "stroke=\"#ffffff\" stroke-width=\"1\""
    let centre = x + Self.cell.width / 2
    return [
      "<rect x=\"\(x + 2)\" y=\"\(y + 2)\" width=\"\(Self.cell.width - 4)\" "
        + "height=\"\(Self.cell.height - 4)\" fill=\"\(colour)\" \(frame)/>",
      "<text x=\"\(centre)\" y=\"\(y + 21)\" text-anchor=\"middle\" fill=\"\(ink)\">"
        + "\(Format.decimals(Double(cosine), 3))</text>",
      "<text x=\"\(centre)\" y=\"\(y + 36)\" text-anchor=\"middle\" font-size=\"11\" "
        + "fill=\"\(ink)\">\(Format.decimals(100 * Double(probability), 1)) %</text>",
    ]
  }

  /// A name or text on one line, cut if it is long.
  private static func label(_ text: String) -> String {
    let line = Console.sanitized(text).replacing("\n", with: " ")
    return line.count > labelLimit ? line.prefix(labelLimit - 1) + "…" : line
  }

  private static func escaped(_ text: String) -> String {
    text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
  }
}

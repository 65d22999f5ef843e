import Glibc
import Pictures

/// One image of how another came about: from left to right chosen evaluations of the UNet, each with
/// what the rows show, and how much of the latents is noise.
package struct ContactSheet: Sendable {
  /// What a row shows of each evaluation. Symbols as in Ho et al. (2020).
  package enum Row: String, JobChoice, CaseIterable {
    /// x_t, the latents before the evaluation, as colors.
    case latents
    /// x_t, decoded by the VAE.
    case decoded
    /// x_0 as the model predicts it, decoded.
    case predicted
    /// ε, the noise that the model predicts, as colors.
    case noise

    /// The rows of a list of names: `latents,decoded`; nil if a name is unknown or repeated.
    package static func list(_ text: String) -> [Row]? {
      let names = text.split(separator: ",", omittingEmptySubsequences: false)
      let rows = names.compactMap { Row(choice: String($0)) }
      return rows.count == names.count && Set(rows).count == rows.count ? rows : nil
    }

    /// The rows of a sheet for which none are chosen.
    package static let standard: [Row] = [.latents, .predicted]
  }

  /// An evaluation.
  package struct Entry: Sendable {
    /// Counted from 1.
    let evaluation: Int
    /// What the model made of the latents.
    let prediction: Prediction
    /// The predicted image.
    let picture: Image
    /// The latents decoded; nil if no row shows them.
    let decoded: Image?

    package init(
      evaluation: Int, _ prediction: Prediction, picture: Image, decoded: Image? = nil
    ) {
      self.evaluation = evaluation
      self.prediction = prediction
      self.picture = picture
      self.decoded = decoded
    }
  }

  private let entries: [Entry]
  private let rows: [Row]

  package init(_ entries: [Entry], rows: [Row] = Row.standard) {
    self.entries = entries
    self.rows = rows
  }

  /// Which of so many evaluations are shown: the first, the last, and some between, closer together
  /// at the start, where most is decided.
  package static func evaluations(of total: Int, columns: Int = 8) -> [Int] {
    guard total > columns else { return Array(0..<max(0, total)) }
    var chosen: [Int] = []
    for column in 0..<columns {
      let share = pow(Double(column) / Double(columns - 1), 1.4)
      let evaluation = Int((share * Double(total - 1)).rounded())
      chosen.append(max(evaluation, (chosen.last ?? -1) + 1))
    }
    return chosen
  }

  /// Draws the sheet; nil if there are no entries.
  package func image() -> Image? {
    guard let first = entries.first, let last = entries.last else { return nil }
    let size = PictureGrid.tileSize(width: first.picture.width, height: first.picture.height)
    let latents = LatentTile(comparedWith: last.prediction.latents)
    let noise = LatentTile(noiseOf: last.prediction.latents.channels)
    func tile(_ row: Row, of entry: Entry) -> Image {
      switch row {
      case .latents:
        latents.image(of: entry.prediction.latents, width: size.width, height: size.height)
      case .decoded:
        (entry.decoded ?? entry.picture).resized(width: size.width, height: size.height)
      case .predicted: entry.picture.resized(width: size.width, height: size.height)
      case .noise:
        noise.image(of: entry.prediction.noise, width: size.width, height: size.height)
      }
    }
    return PictureGrid(
      rows: rows.map(\.rawValue), barTitle: "level",
      entries.map { entry in
        let sigma = entry.prediction.sigma
        // Noise relative to everything, as amplitudes: a full bar is only noise.
        let share = sigma.isFinite ? Double(sigma / (1 + sigma * sigma).squareRoot()) : 1
        return PictureGrid.Column(
          heading: "evaluation \(entry.evaluation)", tiles: rows.map { tile($0, of: entry) },
          amount: share,
          notes: [
            "sigma \(Self.number(sigma))", "t \(Int(entry.prediction.timestep.rounded()))",
          ])
      }
    ).image()
  }

  /// Two decimals.
  private static func number(_ value: Float) -> String {
    guard value.isFinite, value < 1e6 else { return "-" }
    let hundredths = Int((value * 100).rounded())
    let fraction = hundredths % 100
    return "\(hundredths / 100).\(fraction < 10 ? "0" : "")\(fraction)"
  }
}

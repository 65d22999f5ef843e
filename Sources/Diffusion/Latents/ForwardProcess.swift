import Glibc
import Pictures

/// The forward process, which turns latents of a picture into noise:
/// x_t = √ᾱ_t x_0 + √(1−ᾱ_t) ε.
///
/// Source: Ho, Jain and Abbeel, "Denoising Diffusion Probabilistic Models" (2020), equation 4.
package struct ForwardProcess: Sendable {
  /// ᾱ_t of each training timestep.
  package let cumulativeAlphas: [Float]

  /// - Parameter cumulativeAlphas: as ``ScheduleTable/cumulativeAlphas``.
  package init(cumulativeAlphas: [Float]) { self.cumulativeAlphas = cumulativeAlphas }

  /// √ᾱ_t: the amplitude of the picture.
  package func signal(at timestep: Int) -> Float { cumulativeAlphas[timestep].squareRoot() }

  /// √(1−ᾱ_t): the amplitude of the noise.
  package func noise(at timestep: Int) -> Float {
    (1 - cumulativeAlphas[timestep]).squareRoot()
  }

  /// x_t of clean latents.
  ///
  /// - Parameter noise: of standard deviation 1, with the shape of `clean`.
  package func latents(_ clean: Latents, _ noise: Latents, at timestep: Int) -> Latents {
    let (signal, spread) = (signal(at: timestep), self.noise(at: timestep))
    return clean.with(
      elementwise(clean.values, noise.values) { signal * $0 + spread * $1 })
  }

  /// Evenly spaced timesteps from the first to the last.
  package func timesteps(count: Int) -> [Int] {
    let last = cumulativeAlphas.count - 1
    guard count > 1, last > 0 else { return [last] }
    return (0..<count).map { column in
      Int((Double(column) * Double(last) / Double(count - 1)).rounded())
    }
  }
}

extension ForwardProcess {
  /// A column of a strip.
  package struct Entry: Sendable {
    let timestep: Int
    let latents: Latents
    let decoded: Image

    package init(timestep: Int, latents: Latents, decoded: Image) {
      self.timestep = timestep
      self.latents = latents
      self.decoded = decoded
    }
  }

  /// An image of the process from left to right: x_t as colors and decoded, and the amplitude of the
  /// noise; nil if there are no entries.
  package func strip(_ entries: [Entry]) -> Image? {
    guard let first = entries.min(by: { $0.timestep < $1.timestep }) else { return nil }
    let size = PictureGrid.tileSize(width: first.decoded.width, height: first.decoded.height)
    let tile = LatentTile(comparedWith: first.latents)
    return PictureGrid(
      rows: ["latents", "decoded"], barTitle: "noise",
      entries.map { entry in
        PictureGrid.Column(
          heading: "t \(entry.timestep)",
          tiles: [
            tile.image(of: entry.latents, width: size.width, height: size.height),
            entry.decoded.resized(width: size.width, height: size.height),
          ],
          amount: Double(noise(at: entry.timestep)),
          notes: [
            "signal \(Self.percent(signal(at: entry.timestep)))",
            "noise \(Self.percent(noise(at: entry.timestep)))",
          ])
      }
    ).image()
  }

  private static func percent(_ value: Float) -> String {
    "\(Int((100 * value).rounded()))%"
  }
}

import Pictures

extension Mask {
  /// What a mask repaints of an image, as it acts on latents.
  package enum Effect: Sendable {
    case keepsEverything, repaintsEverything, both
  }

  /// Whether it repaints all of an image, part of it, or nothing.
  package var effect: Effect {
    let cells = latents()
    return !cells.contains(1) ? .keepsEverything : cells.contains(0) ? .both : .repaintsEverything
  }

  /// The mask at latent resolution, 1 where latents are repainted: the upper left pixel of each
  /// block decides, as in torch's nearest interpolation.
  func latents() -> [Float] {
    let side = DiffusionModel.downsampling
    return (0..<height / side).flatMap { row in
      (0..<width / side).map { column in
        isRepainted[row * side * width + column * side] ? 1 : 0
      }
    }
  }
}

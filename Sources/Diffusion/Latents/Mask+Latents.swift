import Pictures

extension Mask {
  /// What of an image a mask repaints, as it acts on latents.
  public enum Effect: Sendable {
    case keepsEverything, repaintsEverything, both
  }

  public var effect: Effect {
    let cells = latents()
    return !cells.contains(1) ? .keepsEverything : cells.contains(0) ? .both : .repaintsEverything
  }

  /// The mask of latents, 1 where they are drawn anew: the upper left pixel of each block decides,
  /// as torch's nearest interpolation has it.
  func latents() -> [Float] {
    let side = DiffusionModel.downsampling
    return (0..<height / side).flatMap { row in
      (0..<width / side).map { column in
        isRepainted[row * side * width + column * side] ? 1 : 0
      }
    }
  }
}

import Pictures

extension Mask {
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

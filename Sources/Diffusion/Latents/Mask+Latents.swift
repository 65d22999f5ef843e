import Pictures

extension Mask {
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

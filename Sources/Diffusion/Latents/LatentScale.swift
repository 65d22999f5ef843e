/// How the UNet's latents follow from the VAE's own: (z - shift) * factor.
package struct LatentScale: Sendable, Hashable {
  /// `scaling_factor` of the VAE's configuration, 0.18215 for Stable Diffusion 1.
  package let factor: Float
  /// `shift_factor` of the VAE's configuration, usually 0.
  package let shift: Float

  package init(factor: Float, shift: Float = 0) {
    self.factor = factor
    self.shift = shift
  }

  /// The UNet's latents.
  package func applied(to latents: Latents) -> Latents {
    latents.mapped { ($0 - shift) * factor }
  }

  /// The VAE's latents.
  package func removed(from latents: Latents) -> Latents {
    latents.mapped { $0 / factor + shift }
  }
}

import Glibc

/// What a VAE's encoder says about a picture: an independent normal distribution for each latent,
/// in the VAE's own scale.
///
/// Source: Kingma and Welling, "Auto-Encoding Variational Bayes" (2014); diffusers'
/// `DiagonalGaussianDistribution`, which clamps the logarithm of the variance to -30...20.
package struct LatentPosterior: Sendable {
  /// The most likely latents, `[1, channels, h, w]`.
  package let mean: Latents
  /// The standard deviation of each latent, in the order of ``mean``.
  package let deviations: [Float]

  /// - Parameter logVariance: as many values as `mean` has.
  package init(mean: Latents, logVariance: [Float]) {
    precondition(logVariance.count == mean.values.count, "a variance for each latent")
    self.mean = mean
    deviations = logVariance.map { expf(0.5 * max(-30, min(20, $0))) }
  }

  /// Random latents: the mean plus the deviation times one tensor of noise.
  package func sample(_ random: inout any RandomSource) -> Latents {
    let noise = random.normal(count: deviations.count)
    return mean.with(
      elementwise(mean.values, deviations, noise) { mean, deviation, noise in
        mean + deviation * noise
      })
  }
}

import Engine
import Glibc

/// The guidance scale embedding of latent consistency models: sines and cosines, an input of the
/// UNet next to the timestep.
///
/// Such a model was distilled from one guided with the empty negative prompt, so one evaluation
/// replaces two, and negative prompts are not possible. Source: Luo et al., "Latent Consistency
/// Models" (2023), section 4.2; diffusers' `get_guidance_scale_embedding`.
enum GuidanceEmbedding {
  /// Frequency `i` of `width / 2` is `exp(-ln(10000) * i / (width / 2 - 1))`; the angle is that
  /// times 1000 times (scale - 1), because the paper counts guidance from 0.
  ///
  /// - Parameters:
  ///   - scale: the guidance scale, 1 for none.
  ///   - width: an even number from 4.
  /// - Returns: `[1, width]`, sines before cosines.
  static func value(scale: Float, width: Int) -> Value {
    // The number as written, because the reference uses double precision here.
    let written = Double("\(scale)") ?? Double(scale)
    let weight = Float(written - 1) * 1000
    let half = width / 2
    // Rounded at each step like the reference: angles are in thousands.
    let exponent = logf(10_000) / Float(half - 1)
    let angles = (0..<half).map { weight * expf(Float($0) * -exponent) }
    return Value(angles.map { sinf($0) } + angles.map { cosf($0) }, shape: [1, width])
  }
}

import Foundation
import Pictures

/// 10 · log10(255² / mean squared difference), in decibels.
public func peakSignalToNoise(_ image: Image, _ reference: Image) -> Double {
  guard image.width == reference.width, image.height == reference.height else { return 0 }
  let squares = zip(image.pixels, reference.pixels).reduce(0.0) {
    $0 + pow(Double($1.0) - Double($1.1), 2)
  }
  return squares == 0 ? .infinity : 10 * log10(65025 * Double(image.pixels.count) / squares)
}

import ArgumentParser

/// A file with a scale, such as `style.safetensors:0.8`.
public struct ScaledFile: ExpressibleByArgument, Sendable {
  public let path: String
  public let scale: Double

  /// Sensible scales; far beyond, weights lose what they learned.
  public static let scales = -10.0...10.0

  /// The text after the last colon is a scale if it is a number.
  public init?(argument: String) {
    guard !argument.isEmpty else { return nil }
    guard let colon = argument.lastIndex(of: ":"),
      let scale = Double(argument[argument.index(after: colon)...])
    else {
      (path, self.scale) = (argument, 1)
      return
    }
    (path, self.scale) = (String(argument[..<colon]), scale)
  }

  /// - Throws: `ValidationError` with the valid range.
  public func check(_ option: String) throws {
    guard Self.scales.contains(scale) else {
      throw ValidationError(
        "\(option): the scale must be \(Int(Self.scales.lowerBound)) to"
          + " \(Int(Self.scales.upperBound)) (got \(scale))")
    }
  }
}

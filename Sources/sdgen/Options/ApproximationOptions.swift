import ArgumentParser
import Diffusion

/// What makes drawing faster, or its memory less, at the cost of small differences.
struct ApproximationOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Run the whole UNet every n evaluations and its last layer alone between them, 1 to 100"
        + " (DeepCache; default: 1, always the whole).", valueName: "n"))
  var cacheInterval = 1

  @Option(
    help: ArgumentHelp(
      "The share of the steps in which guidance applies, as 0.1:0.8; the others take half the time"
        + " (default: 0:1, all).", valueName: "from:to"))
  var guidanceInterval = ShareInterval(0...1)

  @Option(
    help: ArgumentHelp(
      "Decode large pictures in tiles: auto (beyond 768 pixels), off, or the longest side of a tile"
        + " in pixels, a multiple of 8 from 256 to 8192 (default: auto).", valueName: "pixels"))
  var vaeTile: VAETileOption?

  @Flag(
    help: ArgumentHelp(
      "Keep weights in a temporary file (in TMPDIR, else /var/tmp) instead of in memory, and decode"
        + " in tiles of 384 pixels."))
  var lowMemory = false

  /// How large pictures are decoded.
  var tiling: VAETiling { vaeTile?.tiling ?? (lowMemory ? .tiles(384) : .automatic) }

  func validate() throws {
    try checkRange("--cache-interval", cacheInterval, in: 1...100)
  }
}

/// Two shares with a colon between them, 0 to 1.
struct ShareInterval: ExpressibleByArgument {
  let shares: ClosedRange<Double>

  init(_ shares: ClosedRange<Double>) { self.shares = shares }

  init?(argument: String) {
    let parts = argument.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 2, let from = Double(parts[0]), let to = Double(parts[1]),
      (0...1).contains(from), (0...1).contains(to), from < to
    else { return nil }
    shares = from...to
  }

  var defaultValueDescription: String { "\(shares.lowerBound):\(shares.upperBound)" }
}

/// `auto`, `off`, or pixels.
struct VAETileOption: ExpressibleByArgument {
  let tiling: VAETiling

  init?(argument: String) {
    switch argument {
    case "auto": tiling = .automatic
    case "off": tiling = .off
    default:
      guard let pixels = Int(argument), (256...8192).contains(pixels), pixels % 8 == 0 else {
        return nil
      }
      tiling = .tiles(pixels)
    }
  }
}

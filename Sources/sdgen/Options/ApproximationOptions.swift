import ArgumentParser
import Diffusion

/// What makes drawing faster, or its memory less, at the cost of small differences.
struct ApproximationOptions: ParsableArguments {
  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Run the whole UNet every n evaluations and its last layer alone between them, 1 to 100"
        + " (DeepCache); 1 is always the whole (default: 1).", valueName: "n"),
    transform: wholeNumber(in: 1...100))
  var cacheInterval = 1

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "The share of the steps in which guidance applies, two numbers from 0 to 1 as in 0.1:0.8; the"
        + " others take half the time (default: 0:1, all).", valueName: "from:to"),
    transform: ShareInterval.init(parsing:))
  var guidanceInterval: ShareInterval?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Merge this share of the UNet's tokens that are alike before the self-attention of its highest"
        + " resolution (ToMe), 0 to 0.75, in thousandths (default: 0, none).", valueName: "share"),
    transform: number(in: 0...0.75))
  var tokenMerging = 0.0

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Decode large pictures in tiles: auto (beyond 768 pixels), off, or the longest side of a tile"
        + " in pixels, a multiple of 8 from 256 to 8192 (default: auto).", valueName: "pixels"),
    transform: VAETileOption.init(parsing:))
  var vaeTile: VAETileOption?

  @Flag(
    help: ArgumentHelp(
      "Keep weights in a temporary file (in TMPDIR, else /var/tmp) instead of in memory, and decode"
        + " in tiles of 384 pixels."))
  var lowMemory = false

  /// How large pictures are decoded.
  var tiling: VAETiling { vaeTile?.tiling ?? (lowMemory ? .tiles(384) : .automatic) }

  /// The thousandths of ``tokenMerging``.
  var mergedThousandths: Int { Int((1000 * tokenMerging).rounded()) }
}

/// Two shares with a colon between them, 0 to 1.
struct ShareInterval {
  let shares: ClosedRange<Double>

  init(parsing argument: String) throws {
    let parts = argument.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 2, let from = Double(parts[0]), let to = Double(parts[1]),
      (0...1).contains(from), (0...1).contains(to), from < to
    else {
      throw ValidationError("give two shares from 0 to 1, the first the smaller, as in 0.1:0.8")
    }
    shares = from...to
  }
}

/// `auto`, `off`, or pixels.
struct VAETileOption {
  let tiling: VAETiling

  init(parsing argument: String) throws {
    switch argument {
    case "auto": tiling = .automatic
    case "off": tiling = .off
    default:
      guard let pixels = Int(argument), (256...8192).contains(pixels), pixels % 8 == 0 else {
        throw ValidationError("give auto, off, or a multiple of 8 from 256 to 8192")
      }
      tiling = .tiles(pixels)
    }
  }
}

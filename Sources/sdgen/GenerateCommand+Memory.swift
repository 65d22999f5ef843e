import Checkpoint
import Diffusion
import Engine
import ModelGraph
import Terminal

extension GenerateCommand {
  /// Says before anything is loaded where memory will hardly do, and refuses where it cannot.
  ///
  /// - Parameters:
  ///   - width: of the first pass, in pixels; the model's own where nil. So is `height`.
  /// - Throws: ``Failure`` where not even the weights and half of the rest fit, without --force.
  func foreseeMemory(
    _ checkpoint: ModelCheckpoint, width: Int?, height: Int?, isGuided: Bool,
    _ warnings: inout [String]
  ) throws(Failure) {
    guard let supply = Self.memorySupply else { return }
    let unet = checkpoint[.unet]?.configuration.flatMap { try? UNetConfiguration($0.object) }
    let side = DiffusionModel.downsampling * (unet?.sampleSize ?? 64)
    let (width, height) = (width ?? side, height ?? side)
    let precision = options.model.dtype.precision
    func forecast(_ precision: Precision, lowMemory: Bool) -> MemoryForecast {
      MemoryForecast(
        checkpoint, precision: precision, width: enlargement?.side(width) ?? width,
        height: enlargement?.side(height) ?? height, isGuided: isGuided,
        encodes: options.pictures.initial != nil || enlargement != nil,
        tiling: lowMemory ? .tiles(384) : options.approximations.tiling, weightsInFile: lowMemory,
        additions: additions)
    }
    let lowMemory = options.approximations.lowMemory
    let need = forecast(precision, lowMemory: lowMemory)
    guard need.bytes > supply.available else { return }
    var advice: [String] = []
    if precision == .f32, Precision.isBF16Native {
      let bytes = forecast(.bf16, lowMemory: lowMemory).bytes
      advice.append("--dtype bf16 takes about \(Format.bytes(bytes))")
    }
    if !lowMemory {
      let bytes = forecast(precision, lowMemory: true).bytes
      advice.append("--low-memory takes about \(Format.bytes(bytes))")
    }
    advice.append("a smaller picture takes less: its share is \(Format.bytes(need.activations))")
    advice.append("close other programs")
    let words = "drawing takes about \(Format.bytes(need.bytes)) of memory"
    guard need.weights + need.activations / 2 <= supply.total || options.output.force else {
      throw Failure(
        .usage, code: "memory", words + "; there are \(Format.bytes(supply.total)) in all",
        hint: advice.dropLast().joined(separator: "; ") + "; --force tries it all the same")
    }
    warn(
      words + "; \(Format.bytes(supply.available)) are free. " + advice.joined(separator: "; "),
      &warnings)
  }

  /// SDKIT_MEMORY, in bytes, in place of what the system says.
  private static var memorySupply: MemorySupply? {
    if let bytes = Console.variable("SDKIT_MEMORY").flatMap({ Int($0) }), bytes > 0 {
      return MemorySupply(total: bytes, available: bytes)
    }
    return .current
  }
}

import Checkpoint
import Diffusion
import Engine
import ModelGraph
import OrderedJSON
import Terminal

extension JobDrawing {
  /// Warns before loading if memory is tight, and fails if it is not sufficient.
  ///
  /// - Parameters:
  ///   - width: the width of the first pass in pixels; the model's own if nil. Likewise `height`.
  ///   - isLoaded: whether the weights are already in memory.
  /// - Returns: the batch size: --batch-size, or less if memory is short.
  /// - Throws: ``Failure`` if not even the weights and half of the rest fit, without --force.
  func foreseeMemory(
    _ checkpoint: ModelCheckpoint, width: Int?, height: Int?, isGuided: Bool,
    isLoaded: Bool = false, _ warnings: inout [String]
  ) throws(Failure) -> Int {
    // A noise file determines the number of images.
    let batchSize = job.batchSize ?? 1
    let wanted = job.latents == nil ? min(batchSize, job.pictureCount) : batchSize
    guard let (supply, isGiven) = try Self.memorySupply() else { return wanted }
    let unet = checkpoint[.unet]?.configuration.flatMap { try? UNetConfiguration($0.object) }
    let side = DiffusionModel.downsampling * (unet?.sampleSize ?? 64)
    let (width, height) = (width ?? side, height ?? side)
    let precision = job.precision
    func forecast(_ precision: Precision, lowMemory: Bool, batch: Int = 1) -> MemoryForecast {
      MemoryForecast(
        checkpoint, precision: precision, width: job.hiresPass?.side(width) ?? width,
        height: job.hiresPass?.side(height) ?? height, isGuided: isGuided, batch: batch,
        encodes: job.initial != nil || job.hiresPass != nil,
        tiling: lowMemory ? .tiles(384) : job.tiling, weightsInFile: lowMemory,
        additions: additions)
    }
    let lowMemory = job.usesLowMemory
    let need = forecast(precision, lowMemory: lowMemory)
    // Free memory now excludes the loaded weights.
    let available = supply.available + (isLoaded && !isGiven ? need.weights : 0)
    guard need.bytes > available else {
      let fitting = (1...wanted).last {
        forecast(precision, lowMemory: lowMemory, batch: $0).bytes <= available
      }
      let batch = fitting ?? 1
      if batch < wanted {
        let bytes = forecast(precision, lowMemory: lowMemory, batch: wanted).bytes
        warn(
          "a batch of \(wanted) images needs about \(Format.bytes(bytes)) of memory;"
            + " \(Format.bytes(available)) are free: using batches of \(batch)", &warnings)
      }
      return batch
    }
    func fits(_ need: MemoryForecast) -> Bool {
      need.bytes <= available || need.weights + need.activations / 2 <= supply.total
    }
    var advice: [String] = []
    if precision == .f32, Precision.isBF16Native {
      let less = forecast(.bf16, lowMemory: lowMemory)
      if fits(less) { advice.append("--dtype bf16 needs about \(Format.bytes(less.bytes))") }
    }
    if !lowMemory {
      let less = forecast(precision, lowMemory: true)
      if fits(less) { advice.append("--low-memory needs about \(Format.bytes(less.bytes))") }
    }
    advice.append("use a smaller image (its share is \(Format.bytes(need.activations)))")
    advice.append("close other programs")
    let words = "generation needs about \(Format.bytes(need.bytes)) of memory"
    guard fits(need) || job.force == true else {
      throw Failure(
        .usage, code: "memory", words + " (\(Format.bytes(supply.total)) in total)",
        hint: advice.dropLast().joined(separator: "; ") + "; or pass --force to try anyway")
    }
    warn(
      words + "; \(Format.bytes(available)) are free. " + advice.joined(separator: "; "),
      &warnings)
    return 1
  }

  /// Prints the work for an image: its size and steps, the UNet's operations, memory.
  func tellWork(
    _ checkpoint: ModelCheckpoint, _ request: GenerationRequest, width: Int?, height: Int?,
    isGuided: Bool
  ) {
    let unet = checkpoint[.unet]?.configuration.flatMap { try? UNetConfiguration($0.object) }
    let side = DiffusionModel.downsampling * (unet?.sampleSize ?? 64)
    let (width, height) = (width ?? side, height ?? side)
    let graph = try? checkpoint[.unet]?.graph(.unet)
    let isPair = isGuided && unet?.guidanceWidth == nil
    func operations(_ width: Int, _ height: Int, _ steps: Int) -> Double {
      let sizes = Sizes(
        batch: isPair ? 2 : 1, height: height / DiffusionModel.downsampling,
        width: width / DiffusionModel.downsampling, sequence: 77)
      return Double(steps) * Double(graph.map { LayerCost.total($0.costs(sizes)).macs } ?? 0)
    }
    // An init image runs only a fraction of the steps.
    func taken(_ steps: Int, _ share: Double) -> Int { max(1, Int(Double(steps) * share)) }
    let steps = request.initial.map { taken(request.steps, $0.strength) } ?? request.steps
    var words = "\(width)x\(height), \(steps.of("step"))"
    var sum = operations(width, height, steps)
    var (largestWidth, largestHeight) = (width, height)
    if let hiresPass = job.hiresPass {
      let (wide, high) = (hiresPass.side(width), hiresPass.side(height))
      let more = taken(hiresPass.steps ?? request.steps, hiresPass.strength)
      words += ", then \(wide)x\(high), \(more.of("step"))"
      sum += operations(wide, high, more)
      (largestWidth, largestHeight) = (wide, high)
    }
    let memory = MemoryForecast(
      checkpoint, precision: job.precision, width: largestWidth,
      height: largestHeight, isGuided: isGuided,
      encodes: job.initial != nil || job.hiresPass != nil,
      tiling: job.tiling, weightsInFile: job.usesLowMemory,
      additions: additions
    ).bytes
    let macs = Format.magnitude(sum < 9e18 ? Int(sum) : .max)
    Console.note(
      "note: work: \(words); at least \(macs) UNet multiply-adds;"
        + " about \(Format.bytes(memory)) of memory")
  }

  /// SDLOOM_MEMORY, in bytes, instead of the system's value.
  private static func memorySupply() throws(Failure) -> (supply: MemorySupply, isGiven: Bool)? {
    guard let text = Console.variable("SDLOOM_MEMORY") else {
      return MemorySupply.current.map { ($0, false) }
    }
    guard let bytes = Int(text), bytes > 0 else {
      throw .usage(
        "SDLOOM_MEMORY must be a number of bytes above 0 (got \(text))",
        hint: "unset it to use the system's value")
    }
    return (MemorySupply(total: bytes, available: bytes), true)
  }
}

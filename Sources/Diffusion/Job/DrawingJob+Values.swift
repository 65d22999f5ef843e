import Engine
import OrderedJSON
import Pictures

// What holds where a job asks for nothing.
extension DrawingJob {
  /// One step for each noise level where they are given one by one.
  public var stepCount: Int {
    if case .list(let levels) = sigmas.flatMap({ SigmaSpacing(text: $0) }) { return levels.count }
    return steps ?? JobField.steps.defaultValue?.int ?? 0
  }

  /// The noise levels that were asked for, by themselves or in the scheduler's name.
  public var noiseLevels: SigmaSpacing? {
    withOwnSchedulerName.sigmas.flatMap { SigmaSpacing(text: $0) }
  }

  /// The scheduler that a name stands for.
  public var schedulerDescriptor: SchedulerDescriptor? {
    withOwnSchedulerName.scheduler.flatMap { SchedulerDescriptor(name: $0) }
  }

  public var pictureCount: Int { count ?? 1 }
  public var precision: Precision { (dtype ?? .auto).precision }
  public var padding: Image.Padding? { outpaint.flatMap { Image.Padding(text: $0) } }
  public var usesLowMemory: Bool { lowMemory == true }

  /// The thousandths of tokens that are merged.
  public var mergedThousandths: Int { Int((1000 * (tokenMerging?.value ?? 0)).rounded()) }

  /// How large pictures are decoded.
  public var tiling: VAETiling {
    vaeTile.flatMap { VAETiling(text: $0) } ?? (usesLowMemory ? .tiles(384) : .automatic)
  }

  /// The second pass that is asked for.
  public var enlargement: Enlargement? {
    hires.map {
      Enlargement(
        scale: $0.value,
        strength: hiresStrength?.value ?? JobField.hiresStrength.defaultValue?.double ?? 1,
        steps: hiresSteps)
    }
  }

  /// How much of the picture to start from may change.
  public var initialStrength: Double { strength?.value ?? (outpaint == nil ? 0.75 : 1) }

  /// What of a ControlNet holds: one value for all, or one each.
  public func controlSettings(_ index: Int) -> (scale: Double, start: Double, end: Double) {
    func value(_ values: [JobNumber]?, _ standard: Double) -> Double {
      guard let values, !values.isEmpty else { return standard }
      return values.count == 1
        ? values[0].value : index < values.count ? values[index].value : standard
    }
    return (value(controlScale, 1), value(controlStart, 0), value(controlEnd, 1))
  }

  /// How prompts are read.
  public var promptStyle: PromptStyle {
    var style = PromptStyle()
    style.emphasis = emphasis ?? .original
    style.isPlain = plainPrompt == true
    style.clipSkip = clipSkip ?? 1
    return style
  }

  /// Whether notes, warnings and progress are left out.
  public var isSilent: Bool { json == true || quiet == true }

  /// Whether the finished picture is shown in the terminal.
  public var isShown: Bool { show == true || showAs != nil }

  /// The picture to write.
  public var file: String {
    output ?? "out." + (format == .jpeg ? "jpg" : format?.rawValue ?? "png")
  }

  /// How pictures are written.
  public var compression: PictureFile.Compression {
    PictureFile.Compression(format ?? PictureFormat(path: file) ?? .png, quality: quality)
  }

  /// What a request says of prompts, sampling and approximations; what comes from files is missing.
  public func request(_ prompt: String) -> GenerationRequest {
    var request = GenerationRequest(prompt: prompt)
    request.negativePrompt = negative ?? ""
    request.promptStyle = promptStyle
    request.steps = stepCount
    request.scheduler = schedulerDescriptor
    request.eta = eta.map { Float($0.value) }
    request.sampling.sigmas = noiseLevels
    request.sampling.spacing = spacing
    request.sampling.prediction = prediction
    request.sampling.startsWithRungeKutta = pndmStart.map { $0 == .rungeKutta }
    request.randomSource = rng ?? .torch
    request.seedSize = seedResize.flatMap { SeedSize(text: $0) }
    request.width = width
    request.height = height
    request.enlargement = enlargement
    request.networks.cacheInterval = cacheInterval ?? 1
    if let interval = guidanceInterval.flatMap({ ShareInterval(text: $0) }) {
      request.networks.guidanceInterval = interval.shares
    }
    return request
  }
}

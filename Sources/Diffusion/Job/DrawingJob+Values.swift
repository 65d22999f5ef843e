import Engine
import OrderedJSON
import Pictures

// What contains where a job asks for nothing.
extension DrawingJob {
  /// One step for each noise level where they are given one by one.
  package var stepCount: Int {
    if case .list(let levels) = sigmas.flatMap({ SigmaSpacing(text: $0) }) { return levels.count }
    return steps ?? JobField.steps.defaultValue?.int ?? 0
  }

  /// The noise levels that were asked for, by themselves or in the scheduler's name.
  package var noiseLevels: SigmaSpacing? {
    withOwnSchedulerName.sigmas.flatMap { SigmaSpacing(text: $0) }
  }

  /// The scheduler that a name stands for.
  package var schedulerDescriptor: SchedulerDescriptor? {
    withOwnSchedulerName.scheduler.flatMap { SchedulerDescriptor(name: $0) }
  }

  /// The most evaluations of the UNet that so many steps take, with any scheduler that the model may
  /// have if the job gives none.
  package func evaluationLimit(steps: Int) -> Int {
    let schedulers = schedulerDescriptor.map { [$0] } ?? SchedulerDescriptor.all
    let starts = pndmStart.map { $0 == .rungeKutta }
    return schedulers.reduce(0) {
      max($0, $1.evaluationLimit(steps: steps, startsWithRungeKutta: starts))
    }
  }

  package var pictureCount: Int { count ?? 1 }
  package var precision: Precision { (dtype ?? .auto).precision(on: networkEngine) }
  package var padding: Image.Padding? { outpaint.flatMap { Image.Padding(text: $0) } }
  package var usesLowMemory: Bool { lowMemory == true }

  /// The thousandths of tokens that are merged.
  package var mergedThousandths: Int { Int((1000 * (tokenMerging?.value ?? 0)).rounded()) }

  /// How large pictures are decoded.
  package var tiling: VAETiling {
    vaeTile.flatMap { VAETiling(text: $0) } ?? (usesLowMemory ? .tiles(384) : .automatic)
  }

  /// The second pass that is asked for.
  package var hiresPass: HiresPass? {
    hires.map {
      HiresPass(
        scale: $0.value,
        strength: hiresStrength?.value ?? JobField.hiresStrength.defaultValue?.double ?? 1,
        steps: hiresSteps)
    }
  }

  /// How much of the picture to start from may change.
  package var initialStrength: Double { strength?.value ?? (outpaint == nil ? 0.75 : 1) }

  /// What of a ControlNet holds: one value for all, or one each.
  package func controlSettings(_ index: Int) -> (scale: Double, start: Double, end: Double) {
    func value(_ values: [JobNumber]?, _ standard: Double) -> Double {
      guard let values, !values.isEmpty else { return standard }
      return values.count == 1
        ? values[0].value : index < values.count ? values[index].value : standard
    }
    return (value(controlScale, 1), value(controlStart, 0), value(controlEnd, 1))
  }

  /// How prompts are read.
  package var promptStyle: PromptStyle {
    var style = PromptStyle()
    style.emphasis = emphasis ?? .original
    style.isPlain = plainPrompt == true
    style.clipSkip = clipSkip ?? 1
    return style
  }

  /// Whether notes, warnings and progress are left out.
  package var isSilent: Bool { json == true || quiet == true }

  /// Whether the finished picture is shown in the terminal.
  package var isShown: Bool { show == true || showAs != nil }

  /// The picture to write.
  package var file: String {
    output ?? "out." + (format == .jpeg ? "jpg" : format?.rawValue ?? "png")
  }

  /// How pictures are written.
  package var compression: PictureFile.Compression {
    PictureFile.Compression(format ?? PictureFormat(path: file) ?? .png, quality: quality)
  }
}

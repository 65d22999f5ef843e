import Pictures

/// A scheduler and the spacing of its sigmas, by the names that programs use for them.
package struct SamplerLabel: Sendable, Hashable {
  /// The value of `--scheduler`: `dpmpp-2m`.
  package let scheduler: String
  /// The value of `--sigmas`: `karras`; nil for the scheduler's own spacing.
  package let sigmas: String?

  package init(scheduler: String, sigmas: String? = nil) {
    self.scheduler = scheduler
    self.sigmas = sigmas
  }
}

// MARK: - Image metadata

extension SamplerLabel {
  /// The field `Sampler` and, if the spacing is not the scheduler's own, `Schedule type`.
  package var fields: [Infotext.Field] {
    let sampler = SchedulerDescriptor(name: scheduler)?.webUIName ?? scheduler
    let spacing = sigmas.map { sigmas in
      SigmaSpacing.named.first { $0.name == sigmas }?.webUIName ?? sigmas
    }
    return [Infotext.Field("Sampler", sampler)]
      + (spacing.map { [Infotext.Field("Schedule type", $0)] } ?? [])
  }

  /// The scheduler and spacing in image metadata; nil if the sampler is unknown.
  ///
  /// Old web UIs write the spacing after the sampler, `DPM++ 2M Karras`; stable-diffusion.cpp
  /// always does, `dpm++2m karras`.
  package init?(_ text: Infotext) {
    guard var sampler = text["Sampler"] else { return nil }
    var spacing = text["Schedule type"]
    let known =
      SigmaSpacing.named.flatMap(\.recordedNames) + SigmaSpacing.defaultNames
    if let suffix = known.first(where: { sampler.hasSuffix(" " + $0) }) {
      sampler.removeLast(suffix.count + 1)
      spacing = suffix
    }
    let all = SchedulerDescriptor.all
    let match =
      all.first { $0.webUIName == sampler } ?? all.first { $0.cppName == sampler }
      ?? all.first { $0.name == sampler }
    guard let match else { return nil }
    scheduler = match.name
    sigmas = spacing.flatMap { spacing in
      SigmaSpacing.named.first { $0.recordedNames.contains(spacing) }?.name
    }
  }
}

// MARK: - Any program's name

extension SamplerLabel {
  /// The scheduler and spacing that a name stands for: ours, the AUTOMATIC1111 web UI's
  /// (`DPM++ 2M Karras`), ComfyUI's (`dpmpp_2m`), stable-diffusion.cpp's (`dpm++2m`),
  /// k-diffusion's (`k_euler_a`) or a diffusers class; nil if it is none of these.
  ///
  /// Case, spaces, underscores and hyphens are ignored.
  package init?(name: String) {
    if let scheduler = SchedulerDescriptor(className: name) {
      self.init(scheduler: scheduler.name)
      return
    }
    let plain = Self.plain(name)
    if let scheduler = Self.scheduler(plain) {
      self.init(scheduler: scheduler.name)
    } else if let (start, sigmas) = Self.withoutSpacing(plain),
      let scheduler = Self.scheduler(start)
    {
      self.init(scheduler: scheduler.name, sigmas: sigmas)
    } else {
      return nil
    }
  }

  /// What to use instead of a sampler or spacing that ``init(name:)`` rejects.
  package struct Substitute: Sendable {
    /// nil if the name is a spacing of sigmas, which needs a scheduler that takes sigmas.
    package var scheduler: SchedulerDescriptor?
    package var sigmas: String?
    package var spacing: SchedulerConfiguration.TimestepSpacing?
    package var randomSource: RandomSourceName?
    /// How the scheduler differs: completes "…, which".
    package var difference: String?
  }

  /// The closest settings for a known name that has no exact equivalent here; empty if the name is
  /// unknown.
  package static func substitutes(for name: String) -> [Substitute] {
    let plain = plain(name)
    if let named = SigmaSpacing.named.first(where: { $0.endings.contains(plain) }) {
      return [Substitute(sigmas: named.name)]
    }
    let (start, sigmas) = withoutSpacing(plain) ?? (plain, nil)
    return SchedulerDescriptor.all.flatMap { scheduler in
      scheduler.neighbors.filter { Self.plain($0.name) == start }.map { neighbor in
        Substitute(
          scheduler: scheduler,
          sigmas: scheduler.takesSigmas && neighbor.spacing == nil ? sigmas : nil,
          spacing: neighbor.spacing, randomSource: neighbor.randomSource,
          difference: neighbor.difference)
      }
    }
  }

  /// A plain name without the spacing at its end, and that spacing's name, nil for the scheduler's
  /// own; nil if the name does not end with a spacing.
  private static func withoutSpacing(_ plain: String) -> (start: String, sigmas: String?)? {
    let endings =
      SigmaSpacing.named.flatMap { named in named.endings.map { ($0, Optional(named.name)) } }
      + SigmaSpacing.defaultNames.map { (Self.plain($0), nil) }
    guard
      let (ending, sigmas) = endings.first(where: { plain.hasSuffix($0.0) && plain != $0.0 })
    else { return nil }
    return (String(plain.dropLast(ending.count)), sigmas)
  }

  private static func scheduler(_ plain: String) -> SchedulerDescriptor? {
    SchedulerDescriptor.all.first { scheduler in
      ([scheduler.name, scheduler.webUIName] + scheduler.aliases)
        .contains { Self.plain($0) == plain }
    }
  }

  /// Lowercase letters and digits only, with p for each plus and without k-diffusion's prefix.
  fileprivate static func plain(_ name: String) -> String {
    var lowered = name.lowercased()
    for mark in ["k_", "k-"] where lowered.hasPrefix(mark) { lowered.removeFirst(mark.count) }
    return String(
      lowered.compactMap { letter -> Character? in
        letter == "+" ? "p" : letter.isLetter || letter.isNumber ? letter : nil
      })
  }
}

extension SigmaSpacing.Named {
  /// The plain forms in which samplers' names end with it.
  fileprivate var endings: [String] { [name, webUIName].map(SamplerLabel.plain) }
}

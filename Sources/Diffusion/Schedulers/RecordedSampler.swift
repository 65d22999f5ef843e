import Pictures

/// What a file's fields `Sampler` and `Schedule type` ask for, by any program's names, with the
/// closest settings if it is missing here.
package struct RecordedSampler: Sendable, Hashable {
  /// nil if neither the sampler nor anything like it is known; the model's own is used then.
  package private(set) var scheduler: SchedulerDescriptor?
  /// The value of `--sigmas`.
  package private(set) var sigmas: String?
  package private(set) var spacing: SchedulerConfiguration.TimestepSpacing?
  /// The sampler and what is used instead, if they differ: completes "the sampler …".
  package private(set) var difference: String?
  /// A schedule that is missing here.
  package private(set) var unknownSchedule: String?

  /// - Parameter text: with the web UI's fields; see ``Infotext/withWebUIFields``.
  /// - Returns: nil if the text names no sampler.
  package init?(_ text: Infotext) {
    guard let name = text["Sampler"] else { return nil }
    // The second word of DPM++ 2M is not a schedule.
    let (sampler, schedule) = SamplerLabel(name: name) == nil ? Self.split(name) : (name, nil)
    var bare = text
    bare["Sampler"] = sampler
    if let label = SamplerLabel(text) ?? SamplerLabel(bare) ?? SamplerLabel(name: name) {
      scheduler = SchedulerDescriptor(name: label.scheduler)
      // LCM is often recorded with a spacing of sigmas, which it does not have here.
      if scheduler?.takesSigmas == true {
        sigmas = label.sigmas
      } else {
        unknownSchedule = label.sigmas
      }
      // ddim_trailing is ddim with other timesteps.
      let own = SamplerLabel.substitutes(for: sampler).first { $0.scheduler == scheduler }
      spacing = own?.spacing
    } else {
      let closest = SamplerLabel.substitutes(for: name).first { $0.scheduler != nil }
      scheduler = closest?.scheduler
      sigmas = closest?.sigmas
      spacing = closest?.spacing
      difference =
        scheduler.map { scheduler in
          "\(name) is unknown; the closest, \(scheduler.name), is used"
            + (closest?.difference.map { ", which \($0)" } ?? "")
        } ?? "\(name) is unknown"
    }
    let asked = text["Schedule type"] ?? schedule
    if asked == "Automatic" {
      sigmas = scheduler?.webUISigmas
    } else if let asked, sigmas == nil, !SigmaSpacing.defaultNames.contains(asked) {
      let known = SigmaSpacing.named.first { $0.recordedNames.contains(asked) }
      if let known, scheduler?.takesSigmas == true {
        sigmas = known.name
      } else {
        unknownSchedule = asked
      }
    }
    // Both would set the timesteps.
    if sigmas != nil { spacing = nil }
  }

  /// A sampler of stable-diffusion.cpp, whose name has no white space, and the schedule after it.
  private static func split(_ name: String) -> (sampler: String, schedule: String?) {
    let words = name.split(separator: " ").map(String.init)
    guard words.count == 2,
      SchedulerDescriptor.all.contains(where: { $0.cppName == words[0] || $0.name == words[0] })
        || !SamplerLabel.substitutes(for: words[0]).isEmpty
    else { return (name, nil) }
    return (words[0], words[1])
  }
}

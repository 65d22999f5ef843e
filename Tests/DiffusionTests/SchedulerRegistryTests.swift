import Diffusion
import Foundation
import OrderedJSON
import TestSupport
import Testing

/// Descriptors compared with the schedulers' behavior and the documentation.
@Suite struct SchedulerRegistryTests {
  /// Counts the tensors that are drawn.
  struct CountingSource: RandomSource {
    private(set) var draws = 0

    mutating func normal(count: Int) -> [Float] {
      draws += 1
      return [Float](repeating: 0.5, count: count)
    }
  }

  /// Stable Diffusion v1.5's configuration; `skip_prk_steps` is set there.
  static let configuration = Result { try SchedulerConfiguration(SchedulerTests.stableDiffusion) }

  static func scheduler(
    _ descriptor: SchedulerDescriptor, eta: Float? = nil,
    _ change: (inout SchedulerConfiguration) -> Void = { _ in }
  ) throws -> any Scheduler {
    var configuration = try configuration.get()
    change(&configuration)
    return try configuration.scheduler(descriptor, steps: 10, eta: eta)
  }

  /// Every name, in any program's spelling, stands for one scheduler.
  @Test func namesAreUnique() {
    let all = SchedulerDescriptor.all
    #expect(Set(all.map(\.name)).count == all.count)
    #expect(Set(all.map(\.webUIName)).count == all.count)
    for scheduler in all {
      #expect(SchedulerDescriptor(name: scheduler.name) == scheduler)
      #expect(SamplerLabel(name: scheduler.name)?.scheduler == scheduler.name)
      #expect(SamplerLabel(name: scheduler.webUIName)?.scheduler == scheduler.name)
      #expect(SamplerLabel.substitutes(for: scheduler.name).isEmpty)
      if let className = scheduler.className {
        #expect(SchedulerDescriptor(className: className)?.className == className)
        #expect(SamplerLabel(name: className)?.sigmas == nil)
      }
    }
  }

  /// `algorithm_type` selects among schedulers of one class.
  @Test(arguments: [
    ("dpmsolver++", SchedulerDescriptor.dpmppMultistep), ("deis", .dpmppMultistep),
    ("sde-dpmsolver++", .dpmppMultistepSDE), ("deis", .deis), ("dpmsolver++", .deis),
  ])
  func variants(algorithmType: String, expected: SchedulerDescriptor) throws {
    let json: JSON = [
      "_class_name": .string(try #require(expected.className)),
      "algorithm_type": .string(algorithmType),
    ]
    #expect(try SchedulerConfiguration(json).descriptor == expected)
  }

  /// Schedulers draw noise when their descriptors say so, one tensor per draw.
  @Test(arguments: SchedulerDescriptor.all)
  func noise(_ descriptor: SchedulerDescriptor) throws {
    for eta: Float in [0, 1] {
      var scheduler = try Self.scheduler(descriptor, eta: eta)
      var source: any RandomSource = CountingSource()
      var sample: [Float] = [0.5, -1, 2, 0.25]
      for evaluation in scheduler.timesteps.indices {
        sample = scheduler.step(
          modelOutput: sample.map { $0 / 2 }, at: evaluation, sample: sample, random: &source)
      }
      let draws = try #require(source as? CountingSource).draws
      let expected =
        switch descriptor.noise {
        case .never: false
        case .withEta: eta > 0
        case .always: true
        }
      #expect((draws > 0) == expected, "eta \(eta): \(draws) draws")
      #expect(descriptor.noise != .withEta || descriptor.eta != nil)
    }
  }

  /// Options affect exactly the schedulers that are said to accept them.
  @Test(arguments: SchedulerDescriptor.all)
  func options(_ descriptor: SchedulerDescriptor) throws {
    let own = try Self.scheduler(descriptor)
    func differs(_ other: any Scheduler) -> Bool {
      other.timesteps != own.timesteps || other.initialNoiseSigma != own.initialNoiseSigma
        || other.modelInput(for: [1], at: 3) != own.modelInput(for: [1], at: 3)
    }
    let levels = (0..<10).map { 14.0 / pow(2, Double($0)) }
    #expect(
      try differs(Self.scheduler(descriptor) { $0.sigmas = .list(levels) })
        == descriptor.takesSigmas)
    let spacings: [SchedulerConfiguration.TimestepSpacing] = [.leading, .trailing]
    #expect(
      try spacings.contains { spacing in
        try differs(Self.scheduler(descriptor) { $0.timestepSpacing = spacing })
      } == descriptor.takesSpacing)
    #expect(
      try differs(Self.scheduler(descriptor) { $0.skipsRungeKutta = false })
        == descriptor.hasRungeKuttaStart)
    #expect(
      try differs(Self.scheduler(descriptor) { $0.originalSteps = 30 }) == descriptor.isDistilled)
  }

  @Test func samplePrediction() throws {
    for descriptor in SchedulerDescriptor.all where !descriptor.supportsSamplePrediction {
      #expect(throws: (any Error).self, "\(descriptor)") {
        try Self.scheduler(descriptor) { $0.predictionType = .sample }
      }
    }
    for descriptor in SchedulerDescriptor.all where descriptor.supportsSamplePrediction {
      _ = try Self.scheduler(descriptor) { $0.predictionType = .sample }
    }
  }

  /// No configuration makes more evaluations than the descriptor says, and its own makes as many.
  @Test(arguments: SchedulerDescriptor.all)
  func evaluationLimits(_ descriptor: SchedulerDescriptor) throws {
    for steps in 1...20 {
      for skips in [false, true] {
        var configuration = try Self.configuration.get()
        configuration.skipsRungeKutta = skips
        guard let scheduler = try? configuration.scheduler(descriptor, steps: steps) else {
          #expect(steps < 4 && !skips)
          continue
        }
        let count = scheduler.timesteps.count
        #expect(descriptor.evaluationLimit(steps: steps, startsWithRungeKutta: !skips) == count)
        #expect(descriptor.evaluationLimit(steps: steps) >= count)
      }
    }
    // More steps than most models are distilled for.
    #expect(descriptor.evaluationLimit(steps: 60) >= 60)
  }

  /// UNet evaluations for n steps.
  static func evaluations(_ descriptor: SchedulerDescriptor) throws -> String {
    func formula(_ scheduler: any Scheduler) -> String {
      let perStep = scheduler.evaluationsPerStep
      let extra = scheduler.timesteps.count - 10 * perStep
      return (perStep == 1 ? "n" : "\(perStep)n")
        + (extra == 0 ? "" : extra < 0 ? " - \(-extra)" : " + \(extra)")
    }
    var text = formula(try scheduler(descriptor))
    if descriptor.hasRungeKuttaStart {
      text += "; with a Runge-Kutta start "
      text += formula(try scheduler(descriptor) { $0.skipsRungeKutta = false })
    }
    if descriptor.isDistilled {
      text += ", at most \(try configuration.get().originalSteps)"
    }
    return text
  }

  /// The row of docs/generation.md.
  static func row(_ descriptor: SchedulerDescriptor) throws -> String {
    let noise =
      switch descriptor.noise {
      case .never: "no"
      case .withEta: "with `--eta` above 0"
      case .always: "yes"
      }
    let options = [
      ("`--sigmas`", descriptor.takesSigmas), ("`--spacing`", descriptor.takesSpacing),
      ("`--eta`", descriptor.eta != nil), ("`--pndm-start`", descriptor.hasRungeKuttaStart),
    ]
    let cells = [
      "`\(descriptor.name)`", descriptor.className.map { "`\($0)`" } ?? "none",
      descriptor.webUIName,
      descriptor.summary, descriptor.source, String(descriptor.order), noise,
      options.filter(\.1).map(\.0).joined(separator: ", "), try evaluations(descriptor),
    ]
    return "| " + cells.joined(separator: " | ") + " |"
  }

  @Test func documentation() throws {
    let page = try String(
      contentsOfFile: Fixtures.root + "/docs/generation.md", encoding: .utf8)
    let lines = page.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    let header = try #require(lines.firstIndex { $0.hasPrefix("| name | diffusers class |") })
    let rows = Array(lines[(header + 2)...].prefix { $0.hasPrefix("|") })
    let expected = try SchedulerDescriptor.all.map(Self.row)
    #expect(
      rows == expected,
      "replace the rows of the table by:\n\(expected.joined(separator: "\n"))")
  }
}

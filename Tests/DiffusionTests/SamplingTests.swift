import Checkpoint
import Diffusion
import Foundation
import OrderedJSON
import TestSupport
import Testing

/// A case of Fixtures/diffusion/latents.json, which latents.py there draws with diffusers.
struct LatentsCase: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let steps: Int
  let request: GenerationRequest

  static let all: [LatentsCase] = {
    guard
      let text = try? String(
        contentsOfFile: Fixtures.path("diffusion/latents.json"), encoding: .utf8),
      let rows = try? JSON(parsing: text).array
    else { return [] }
    return rows.flatMap { row in
      [8, 20].map { steps in
        var request = GenerationRequest(prompt: "a red circle on a blue background")
        request.negativePrompt = "a green square"
        request.seed = 11
        request.guidanceScale = 4
        request.width = 64
        request.height = 64
        request.steps = steps
        request.scheduler = SchedulerDescriptor(name: row["scheduler"]?.string ?? "")
        request.eta = row["eta"]?.double.map { Float($0) }
        request.sampling.spacing = row["spacing"]?.string.flatMap {
          SchedulerConfiguration.TimestepSpacing(rawValue: $0)
        }
        request.sampling.startsWithRungeKutta = row["prk"]?.bool
        request.sampling.sigmas = row["sigmas"]?.string.flatMap(SigmaSpacing.init(name:))
        return LatentsCase(
          testDescription: "\(row["name"]?.string ?? "")-\(steps)", steps: steps, request: request)
      }
    }
  }()
}

/// Every scheduler on the bundled model, against diffusers' pipeline.
@Suite(.serialized) struct SamplingTests {
  static let model = Result {
    try DiffusionModel(ModelCheckpoint.open(Fixtures.path("shapes-v2")), width: 64, height: 64)
  }
  static let golden = try? TestTensors(path: Fixtures.path("diffusion/latents.safetensors"))

  @Test(arguments: LatentsCase.all)
  func matchesTheReference(_ example: LatentsCase) throws {
    let expected = try #require(Self.golden)[example.testDescription]
    let generation = try Self.model.get().draw(example.request)
    #expect(generation.latents.shape == expected.shape)
    let difference = Difference.relative(generation.latents.values, expected.floats)
    #expect(difference < 1e-3, "\(difference)")
  }

  @Test func everySchedulerIsThere() {
    #expect(
      Set(LatentsCase.all.compactMap(\.request.scheduler)) == Set(SchedulerDescriptor.all))
  }

  /// A list of the spacing's levels gives the same image; other noise gives another.
  @Test func listsAndGenerators() throws {
    var request = LatentsCase.all[0].request
    request.scheduler = .euler
    request.steps = 10
    request.sampling.sigmas = .alignYourSteps
    let model = try Self.model.get()
    let aligned = try model.draw(request)
    request.sampling.sigmas = .list([
      14.6146412293, 6.4745760956, 3.8636745985, 2.6946151520, 1.8841921177, 1.3943805092,
      0.9642583904, 0.6523686016, 0.3977456272, 0.1515232662,
    ])
    #expect(try model.draw(request).image == aligned.image)
    for name in [RandomSourceName.cuda, .numpy] {
      request.randomSource = name
      let other = try model.draw(request)
      var random: any RandomSource =
        name == .cuda ? PhiloxRandom(seed: 11) : NumPyRandom(seed: 11)
      #expect(other.noise.values == random.normal(count: 256))
      #expect(other.image != aligned.image)
    }
  }

  struct Refused: Sendable, CustomTestStringConvertible {
    let scheduler: SchedulerDescriptor
    let says: String
    let change: @Sendable (inout GenerationRequest) -> Void

    init(
      _ scheduler: SchedulerDescriptor, _ says: String,
      _ change: @escaping @Sendable (inout GenerationRequest) -> Void
    ) {
      self.scheduler = scheduler
      self.says = says
      self.change = change
    }

    var testDescription: String { "\(scheduler.name): \(says)" }
  }

  /// Options that a scheduler ignores are rejected, and the error names schedulers that accept
  /// them.
  @Test(arguments: [
    Refused(.ddim, "does not accept sigmas") { $0.sampling.sigmas = .karras },
    Refused(.euler, "2 sigmas for") { $0.sampling.sigmas = .list([5, 1]) },
    Refused(.euler, "cannot be combined") {
      $0.sampling.sigmas = .karras
      $0.sampling.spacing = .trailing
    },
    Refused(.lcm, "its own spacing") { $0.sampling.spacing = .trailing },
    Refused(.dpmppSinglestep, "its own spacing") { $0.sampling.spacing = .linspace },
    Refused(.ddim, "Runge-Kutta") { $0.sampling.startsWithRungeKutta = true },
    Refused(.euler, "no eta") { $0.eta = 0.5 }, Refused(.ddim, "0 to 1") { $0.eta = 1.5 },
    Refused(.dpm2, "prediction_type") { $0.sampling.prediction = .sample },
    Refused(.ddim, "numpy") {
      $0.randomSource = .numpy
      $0.seed = 1 << 32
    },
  ])
  func refused(_ refused: Refused) throws {
    var request = LatentsCase.all[0].request
    request.scheduler = refused.scheduler
    refused.change(&request)
    let model = try Self.model.get()
    let error = #expect(throws: (any Error).self) { try model.draw(request) }
    #expect("\(try #require(error))".contains(refused.says))
  }
}

import Diffusion
import Foundation
import OrderedJSON
import TestSupport
import Testing

/// A case of Fixtures/diffusion/schedule.json, which schedule.py there makes with diffusers.
struct ScheduleCase: Sendable, CustomTestStringConvertible {
  let json: JSON

  var testDescription: String {
    let config = json["config"]?.text(.compact) ?? ""
    return "\(json["scheduler"]?.string ?? "") \(json["steps"]?.int ?? 0) \(config.hashValue)"
  }

  func numbers(_ key: String) -> [Double]? { json[key]?.array?.compactMap(\.double) }

  static let all: [ScheduleCase] = {
    guard
      let text = try? String(
        contentsOfFile: Fixtures.path("diffusion/schedule.json"), encoding: .utf8),
      let rows = try? JSON(parsing: text).array
    else { return [] }
    return rows.map(ScheduleCase.init)
  }()
}

@Suite struct ScheduleTableTests {
  @Test func allSchedulersHaveCases() {
    #expect(
      Set(ScheduleCase.all.compactMap { $0.json["scheduler"]?.string })
        == Set(SchedulerDescriptor.all.map(\.name)))
  }

  /// Timesteps, betas, alphas and sigmas are those of the diffusers class.
  @Test(arguments: ScheduleCase.all)
  func levels(_ example: ScheduleCase) throws {
    let name = try #require(example.json["scheduler"]?.string)
    let scheduler = try #require(SchedulerDescriptor(name: name))
    let table = try ScheduleTable(
      SchedulerConfiguration(#require(example.json["config"])), scheduler,
      steps: #require(example.json["steps"]?.int))
    let timesteps = try #require(example.numbers("timesteps"))
    try #require(table.levels.count == timesteps.count)
    #expect(table.levels.map(\.evaluation) == Array(1...timesteps.count))
    #expect(largest(table.levels.map { Double($0.timestep) }, timesteps) < 2e-4)
    let initial = try #require(example.json["initial"]?.double)
    #expect(abs(Double(table.initialNoiseSigma) / initial - 1) < 2e-6)
    for (ours, key) in [(table.betas, "betas"), (table.cumulativeAlphas, "alphas_cumprod")] {
      let theirs = try #require(example.numbers(key))
      let every37th = stride(from: 0, to: ours.count, by: 37).map { Double(ours[$0]) }
      #expect(largest(every37th, theirs) < 1e-7, "\(key)")
    }
    if let alphas = example.numbers("alphas") {
      #expect(largest(table.levels.map(\.cumulativeAlpha), alphas) < 1e-6)
      #expect(
        largest(
          table.levels.map(\.sigma), alphas.map { ((1 - $0) / $0).squareRoot() }, relative: true)
          < 1e-5)
    } else {
      // Between the ends of a step, diffusers lists the sigma of its end.
      let ends = table.levels.indices.filter {
        name.hasPrefix("dpm2") || name == "dpmpp-sde" ? $0 % 2 == 0 : true
      }
      let sigmas = try #require(example.numbers("sigmas"))
      #expect(
        largest(ends.map { table.levels[$0].sigma }, ends.map { sigmas[$0] }, relative: true) < 1e-5
      )
      #expect(
        largest(
          ends.map { table.levels[$0].cumulativeAlpha },
          ends.map { 1 / (1 + sigmas[$0] * sigmas[$0]) })
          < 1e-5)
    }
  }

  /// Inside a step, the level is that of the timestep that the model is told.
  @Test(arguments: SchedulerDescriptor.all.filter(\.takesSigmas))
  func insideAStep(_ scheduler: SchedulerDescriptor) throws {
    let table = try ScheduleTable(
      SchedulerConfiguration(["beta_schedule": "scaled_linear"]), scheduler, steps: 6)
    for level in table.levels {
      let below = Int(level.timestep)
      let above = min(below + 1, table.cumulativeAlphas.count - 1)
      let lowest = Double(table.cumulativeAlphas[above]) - 1e-5
      let highest = Double(table.cumulativeAlphas[below]) + 1e-5
      #expect((lowest...highest).contains(level.cumulativeAlpha), "\(level)")
    }
  }

  /// The formulas that the article gives: x_t, and alpha as the product of 1 - beta.
  @Test func formulas() throws {
    let table = try ScheduleTable(
      SchedulerConfiguration([
        "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
      ]),
      .ddim, steps: 50)
    var product = 1.0
    for (beta, alpha) in zip(table.betas, table.cumulativeAlphas) {
      product *= 1 - Double(beta)
      #expect(abs(product - Double(alpha)) < 1e-6)
    }
    for level in table.levels {
      #expect(abs(level.signal * level.signal + level.noise * level.noise - 1) < 1e-12)
      #expect(abs(level.sigma - level.noise / level.signal) < 1e-5 * level.sigma)
      #expect(
        level.cumulativeAlpha == Double(table.cumulativeAlphas[Int(level.timestep)])
          || abs(level.cumulativeAlpha - Double(table.cumulativeAlphas[Int(level.timestep)])) < 1e-6
      )
    }
  }

  private func largest(_ ours: [Double], _ theirs: [Double], relative: Bool = false) -> Double {
    guard ours.count == theirs.count else { return .infinity }
    return zip(ours, theirs).map { abs($0 - $1) / (relative ? max(abs($1), 1e-6) : 1) }.max()
      ?? .infinity
  }
}

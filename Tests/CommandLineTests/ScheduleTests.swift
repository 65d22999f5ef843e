import Foundation
import FoundationXML
import OrderedJSON
import TestSupport
import Testing

/// `sdgen schedule`; its numbers are compared with diffusers' in DiffusionTests/ScheduleTableTests.
@Suite struct ScheduleTests {
  @Test func aTable() throws {
    let result = try Tool.run("sdgen", ["schedule", "--scheduler", "ddim", "--steps", "5"])
    #expect(result.status == 0, "\(result.errors)")
    let lines = result.output.split(separator: "\n").map {
      $0.split(separator: " ").map(String.init)
    }
    #expect(
      lines.first == ["evaluation", "timestep", "beta", "alpha", "signal", "noise", "sigma"])
    #expect(lines.dropFirst().prefix(5).map { $0[1] } == ["801", "601", "401", "201", "1"])
  }

  @Test func json() throws {
    let result = try Tool.run(
      "sdgen",
      ["schedule", "--scheduler", "DPM++ 2M Karras", "--steps", "4", "--json", "--training"])
    let report = try JSON(parsing: result.output)
    #expect(report["scheduler"] == "dpmpp-2m" && report["version"] == 1)
    #expect(report["steps"]?.array?.count == 4)
    #expect(report["training"]?["betas"]?.array?.count == 1000)
    let first = try #require(report["steps"]?.array?.first)
    let (alpha, sigma) = (first["alpha_cumprod"]?.double ?? 0, first["sigma"]?.double ?? 0)
    #expect(abs(sigma - ((1 - alpha) / alpha).squareRoot()) < 1e-4)
  }

  @Test func aChart() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/schedule.svg"
      let arguments = ["schedule", "--scheduler", "lms", "--steps", "7", "-o", path]
      #expect(try Tool.run("sdgen", arguments).status == 0)
      let text = try String(contentsOfFile: path, encoding: .utf8)
      // Two curves; a dot on each for every evaluation, and two in the legend.
      #expect(text.components(separatedBy: "<polyline").count == 3)
      #expect(text.components(separatedBy: "<circle").count == 1 + 2 * 7 + 2)
      #expect(XMLParser(data: Data(text.utf8)).parse())
      #expect(try Tool.run("sdgen", arguments).status == 73)
      #expect(try Tool.run("sdgen", arguments + ["--force"]).status == 0)
    }
  }

  @Test(arguments: [
    ["--scheduler", "magic"], ["--steps", "0"], ["--steps", "2000"], ["-o", "a.png"],
    ["--training"], ["--force"], ["--eta", "0.5", "--scheduler", "euler"],
    ["--sigmas", "karras", "--scheduler", "ddim"],
  ])
  func refused(_ arguments: [String]) throws {
    let result = try Tool.run("sdgen", ["schedule"] + arguments)
    #expect(result.status == 64, "\(result.errors)")
    #expect(result.errors.contains("error: ") && result.output.isEmpty)
  }
}

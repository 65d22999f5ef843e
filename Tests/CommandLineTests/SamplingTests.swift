import Foundation
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

/// The options of `sdgen` for noise and sampling.
@Suite(.serialized) struct SamplingTests {
  static func draw(_ arguments: [String], to path: String) throws -> Tool.Result {
    try Tool.run(
      "sdgen",
      [
        "a red circle on a blue background", "--negative", "a green square", "--seed", "11",
        "--guidance", "4", "--width", "64", "--height", "64", "--dtype", "f32", "-o", path,
      ] + arguments)
  }

  /// Options against the latents of diffusers' pipeline: the cases of Fixtures/diffusion/latents.py.
  @Test(
    arguments: [
      (["--scheduler", "ddim", "--eta", "0.7"], "ddim-eta"),
      (["--scheduler", "tcd", "--eta", "1"], "tcd-one"), (["--scheduler", "dpm2-a"], "dpm2-a"),
      (["--scheduler", "euler", "--sigmas", "ays"], "euler-ays"),
      (["--scheduler", "dpmpp-2m-sde", "--sigmas", "karras"], "dpmpp-2m-sde-karras"),
      (["--scheduler", "dpmpp-2m", "--spacing", "trailing"], "dpmpp-2m-trailing"),
      (["--scheduler", "DPM++ 2S a", "--sigmas", "beta"], "dpmpp-2s-a-beta"),
      (["--scheduler", "dpmpp-3m-sde", "--sigmas", "simple"], "dpmpp-3m-sde-simple"),
      (["--scheduler", "DEIS Karras"], "deis-karras"),
      (["--scheduler", "euler", "--sigmas", "sgm_uniform"], "euler-sgm_uniform"),
      (["--scheduler", "pndm", "--pndm-start", "runge-kutta"], "pndm-prk"),
      (["--pndm-start", "repeat"], "pndm"),
      (["--prediction", "epsilon"], "pndm"),
    ] as [([String], String)])
  func matchesTheReference(options: [String], name: String) throws {
    try withTemporaryFolder { folder in
      let file = folder + "/latents.safetensors"
      let result = try Self.draw(
        ["--steps", "8", "--save-latents", file] + options, to: folder + "/a.png")
      #expect(result.status == 0, "\(result.errors)")
      let golden = try TestTensors(path: Fixtures.path("diffusion/latents.safetensors"))
      let latents = try #require(try TensorFile.open(file)["latents"])
      let difference = Difference.relative(
        GenerateTests.floats(latents), golden["\(name)-8"].floats)
      #expect(difference < 1e-3, "\(difference)")
    }
  }

  /// A list has as many steps as levels, with or without its final 0.
  @Test func levelsOneByOne() throws {
    try withTemporaryFolder { folder in
      var drawn: [[Float]] = []
      for (index, levels) in ["12,5,1.5,0.3", "12,5,1.5,0.3,0"].enumerated() {
        let file = "\(folder)/\(index).safetensors"
        let result = try Self.draw(
          ["--scheduler", "euler", "--sigmas", levels, "--json", "--save-latents", file],
          to: "\(folder)/\(index).png")
        #expect(result.status == 0, "\(result.errors)")
        let report = try JSON(parsing: result.output)
        #expect(report["pictures"]?.array?.first?["steps"] == 4)
        drawn.append(GenerateTests.floats(try #require(try TensorFile.open(file)["latents"])))
      }
      #expect(drawn[0] == drawn[1] && !drawn[0].isEmpty)
    }
  }

  @Test func generatorsGiveOtherNoise() throws {
    try withTemporaryFolder { folder in
      var noises: [[Float]] = []
      for name in ["torch", "cuda", "numpy"] {
        let file = "\(folder)/\(name).safetensors"
        let result = try Self.draw(
          ["--rng", name, "--steps", "1", "--scheduler", "ddim", "--save-latents", file],
          to: "\(folder)/\(name).png")
        #expect(result.status == 0, "\(result.errors)")
        noises.append(GenerateTests.floats(try #require(try TensorFile.open(file)["noise"])))
      }
      #expect(noises[0] != noises[1] && noises[0] != noises[2] && noises[1] != noises[2])
      // numpy.random.RandomState(11).standard_normal(2)
      #expect(Difference.largest(Array(noises[2].prefix(2)), [1.7494547, -0.286073]) < 1e-5)
    }
  }

  @Test(
    arguments: [
      (["--sigmas", "3,5"], "decreasing numbers"), (["--sigmas", "5,-1"], "decreasing numbers"),
      (["--sigmas", "5,,1"], "decreasing numbers"), (["--sigmas", "nan"], "decreasing numbers"),
      (["--sigmas", "cosine"], "decreasing numbers"),
      (["--sigmas", "5,1", "--steps", "3", "--scheduler", "euler"], "one noise level per step"),
      (["--spacing", "even"], "'linspace'"),
      (["--prediction", "sample"], "'v_prediction'"), (["--eta", "1.5"], "0 to 1"),
      (["--eta", "nan"], "0 to 1"), (["--rng", "dice"], "'numpy'"),
      (["--pndm-start", "prk"], "'runge-kutta'"),
      (["--rng", "numpy", "--seed", "4294967296"], "0 to 4294967295"),
      (
        ["--sigmas", "karras", "--spacing", "trailing", "--scheduler", "euler"],
        "cannot be combined"
      ),
      (["--sigmas", "karras", "--scheduler", "ddim"], "does not accept sigmas"),
      (["--eta", "0.5", "--scheduler", "euler"], "no eta"),
      (["--pndm-start", "repeat", "--scheduler", "euler"], "no Runge-Kutta"),
      (["--spacing", "trailing", "--scheduler", "lcm"], "its own spacing"),
      (["--steps", "60", "--scheduler", "lcm"], "up to 50 steps"),
      (["--steps", "1000", "--scheduler", "dpmpp-2m"], "fewer than 1000 steps"),
      (["--steps", "1000", "--scheduler", "ddim"], "use fewer steps"),
      (
        ["--hires", "2", "--hires-strength", "0.1", "--steps", "4", "--scheduler", "ddim"],
        "raise --hires-strength"
      ),
      (["--clip-skip", "0"], "1 to 128"), (["--clip-skip", "5"], "1 (the last layer) to 4"),
      (["--emphasis", "loud"], "'no-norm'"),
      (["--plain-prompt", "--emphasis", "none"], "cannot be combined"),
    ] as [([String], String)])
  func badValues(arguments: [String], says: String) throws {
    try withTemporaryFolder { folder in
      let result = try Tool.run("sdgen", ["a", "-o", folder + "/a.png"] + arguments)
      #expect(result.status == 64, "\(arguments): \(result.errors)")
      #expect(result.errors.contains(says), "\(result.errors)")
      #expect(!FileManager.default.fileExists(atPath: folder + "/a.png"))
    }
  }
}

import Foundation
import ModelFormats
import OrderedJSON
import Pictures
import TestSupport
import Testing

/// `sdgen encode`, `decode` and `noise`; `--save-embeddings`.
@Suite(.serialized) struct CodecTests {
  private static func run(_ arguments: [String], in folder: String) throws -> Tool.Result {
    try Tool.run("sdgen", arguments, in: folder)
  }

  private static func floats(_ file: String, _ name: String) throws -> [Float] {
    try GenerateTests.floats(#require(try TensorFile.open(file)[name]))
  }

  /// The mean difference of two images, in levels of 255.
  private static func difference(_ first: String, _ second: String) throws -> Double {
    let (a, b) = (try PictureFile.read(first).image, try PictureFile.read(second).image)
    try #require(a.pixels.count == b.pixels.count)
    let sum = zip(a.pixels, b.pixels).reduce(0) { $0 + abs(Int($1.0) - Int($1.1)) }
    return Double(sum) / Double(a.pixels.count)
  }

  /// Saved latents decode to the generated image; the image encodes to latents that are similar.
  @Test func thereAndBack() throws {
    try withTemporaryFolder { folder in
      #expect(
        try PictureTests.draw(
          ["--steps", "20", "--seed", "3", "--save-latents", "l.safetensors"], in: folder
        ).status == 0)
      let decoded = try Self.run(["decode", "l.safetensors", "-o", "again.png"], in: folder)
      #expect(decoded.status == 0, "\(decoded.errors)")
      #expect(try Self.difference(folder + "/out.png", folder + "/again.png") == 0)

      let encoded = try Self.run(["encode", "out.png", "--json"], in: folder)
      #expect(encoded.status == 0 && encoded.errors.isEmpty, "\(encoded.errors)")
      let report = try JSON(parsing: encoded.output)
      #expect(report["shape"] == [1, 4, 16, 16] && report["seed"] == .null)
      #expect(report["output"] == "latents.safetensors")
      let mean = try Self.floats(folder + "/latents.safetensors", "latents")
      let drawn = try Self.floats(folder + "/l.safetensors", "latents")
      #expect(GenerateTests.difference(mean, from: drawn) < 0.25)

      for seed in ["1", "2"] {
        let sampled = try Self.run(
          ["encode", "out.png", "--seed", seed, "--rng", "numpy", "-o", "s\(seed).safetensors"],
          in: folder)
        #expect(sampled.status == 0, "\(sampled.errors)")
      }
      let samples = try ["1", "2"].map {
        try Self.floats(folder + "/s\($0).safetensors", "latents")
      }
      #expect(samples[0] != samples[1] && samples[0] != mean)
      #expect(GenerateTests.difference(samples[0], from: mean) < 0.25)
    }
  }

  /// Several images of one size make one file, and the other way round.
  @Test func several() throws {
    try withTemporaryFolder { folder in
      #expect(
        try PictureTests.draw(["--count", "2", "--width", "64"], in: folder).status == 0)
      let encoded = try Self.run(
        ["encode", "out-1.png", "out-2.png", "-o", "both.safetensors"], in: folder)
      #expect(encoded.status == 0, "\(encoded.errors)")
      let decoded = try Self.run(
        [
          "decode", "both.safetensors", "-o", "a.jpg", "--quality", "90", "--tensor", "latents",
          "--vae-tile", "off", "--json",
        ], in: folder)
      #expect(decoded.status == 0, "\(decoded.errors)")
      let report = try JSON(parsing: decoded.output)
      #expect(report["images"] == ["a-1.jpg", "a-2.jpg"] && report["shape"] == [2, 4, 16, 8])
      for index in 1...2 {
        #expect(try Self.difference("\(folder)/out-\(index).png", "\(folder)/a-\(index).jpg") < 12)
      }
      // Sides are multiples of 8, which is said.
      let odd = try Self.run(
        ["encode", Fixtures.path("clip/wide.png"), "-o", "odd.safetensors"], in: folder)
      #expect(odd.status == 0 && odd.errors.contains("resized from"), "\(odd.errors)")
      let mixed = try Self.run(
        ["encode", "out-1.png", Fixtures.path("clip/wide.png"), "-o", "c.safetensors"], in: folder)
      #expect(mixed.status == 65 && mixed.errors.contains("wide.png"), "\(mixed.errors)")
    }
  }

  /// The files hold what the strip shows: x_t of the formula, with the schedule's values.
  @Test func noise() throws {
    try withTemporaryFolder { folder in
      #expect(try PictureTests.draw([], in: folder).status == 0)
      let result = try Self.run(
        [
          "noise", "out.png", "-o", "strip.png", "--timesteps", "0,500,999", "--seed", "7",
          "--save-latents", "x.safetensors", "--json",
        ], in: folder)
      #expect(result.status == 0 && result.errors.isEmpty, "\(result.errors)")
      let levels = try #require(try JSON(parsing: result.output)["timesteps"]?.array)
      #expect(levels.map { $0["timestep"] } == [0, 500, 999])
      let schedule = try JSON(
        parsing: Self.run(["schedule", "--json", "--training"], in: folder).output)
      let alphas = try #require(schedule["training"]?["alphas_cumprod"]?.array)
      #expect(
        levels.map { $0["alpha_cumprod"] } == [alphas[0], alphas[500], alphas[999]])

      #expect(try Self.run(["encode", "out.png", "-o", "x0.safetensors"], in: folder).status == 0)
      let clean = try Self.floats(folder + "/x0.safetensors", "latents")
      let all = try Self.floats(folder + "/x.safetensors", "latents")
      let columns = (0..<3).map { Array(all[$0 * clean.count..<($0 + 1) * clean.count]) }
      // The noise is the same in all columns, and has standard deviation 1.
      let noises = zip(columns, levels).map { column, level -> [Float] in
        let (signal, noise) = (level["signal"]?.double ?? 0, level["noise"]?.double ?? 0)
        return zip(column, clean).map { Float((Double($0) - signal * Double($1)) / noise) }
      }
      #expect(GenerateTests.difference(noises[0], from: noises[2]) < 1e-3)
      #expect(GenerateTests.difference(noises[1], from: noises[2]) < 1e-4)
      let square = noises[2].reduce(0) { $0 + $1 * $1 } / Float(clean.count)
      #expect(abs(square - 1) < 0.15)

      let strip = try PictureFile.read(folder + "/strip.png").image
      #expect(strip.width > 3 * 168 && strip.height > 2 * 168)
    }
  }

  /// The text encoder's output, which the reference gives for the first golden prompt.
  @Test func embeddings() throws {
    try withTemporaryFolder { folder in
      let result = try PictureTests.draw(
        ["--dtype", "f32", "--save-embeddings", "e.safetensors"], in: folder)
      #expect(result.status == 0, "\(result.errors)")
      let golden = try Array(GenerateTests.golden("text/last_hidden_state")[..<(77 * 64)])
      let states = try Self.floats(folder + "/e.safetensors", "prompt_embeds")
      #expect(GenerateTests.difference(states, from: golden) < 1e-5)
      let file = try TensorFile.open(folder + "/e.safetensors")
      #expect(file.tensors.map(\.name).sorted() == ["negative_prompt_embeds", "prompt_embeds"])
      #expect(file.tensors.allSatisfy { $0.shape == [1, 77, 64] })

      // Prompts from a file, one of which changes from step to step; no guidance.
      try "a red circle\na [red:blue:2] circle\n"
        .write(toFile: folder + "/prompts.txt", atomically: true, encoding: .utf8)
      let several = try Self.run(
        [
          "--prompts-from", "prompts.txt", "--guidance", "1", "--steps", "4", "--scheduler", "ddim",
          "--save-embeddings", "s.safetensors", "-o", "p.png",
        ], in: folder)
      #expect(several.status == 0, "\(several.errors)")
      #expect(
        try TensorFile.open(folder + "/s.safetensors").tensors.map(\.name).sorted() == [
          "prompt_embeds.1", "prompt_embeds.2", "prompt_embeds.2.step-3",
        ])
      let red = try Self.floats(folder + "/s.safetensors", "prompt_embeds.1")
      #expect(try Self.floats(folder + "/s.safetensors", "prompt_embeds.2") == red)
      #expect(try Self.floats(folder + "/s.safetensors", "prompt_embeds.2.step-3") != red)
    }
  }

  @Test(arguments: [
    (["encode", "nowhere.png"], 66), (["encode", "out.png", "--rng", "numpy"], 64),
    (["encode", "out.png", "-o", "out.png", "--force"], 73), (["decode", "out.png"], 65),
    (["decode", "wide.safetensors"], 65), (["decode", "l.safetensors", "--tensor", "x"], 65),
    (["decode", "l.safetensors", "-o", "a.bmp"], 64), (["decode", "l.safetensors"], 73),
    (["decode", "l.safetensors", "--force", "--vae", "/nowhere"], 66),
    (["noise", "out.png", "--timesteps", "1000"], 64), (["noise", "out.png", "-o", "a"], 64),
    (["noise", "out.png", "-o", "out.png", "--force"], 73),
    (["noise", "out.png", "--model", Fixtures.path("clip/model")], 65),
  ])
  func refused(_ arguments: [String], status: Int) throws {
    try withTemporaryFolder { folder in
      #expect(
        try PictureTests.draw(
          ["--steps", "1", "--save-latents", "l.safetensors"], in: folder
        ).status == 0)
      let wide = Tensor(
        name: "latents", shape: [1, 16, 2, 2], values: [Float](repeating: 0, count: 64))
      try Safetensors.write([wide], to: folder + "/wide.safetensors")
      let before = try PictureTests.bytes(folder + "/out.png")
      let result = try Self.run(arguments, in: folder)
      #expect(Int(result.status) == status, "\(result.errors)")
      #expect(result.errors.contains("error: ") && result.output.isEmpty)
      #expect(
        try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
          == ["l.safetensors", "out.png", "wide.safetensors"])
      #expect(try PictureTests.bytes(folder + "/out.png") == before)
    }
  }
}

import Diffusion
import Foundation
import OrderedJSON
import Pictures
import TestSupport
import Testing

/// Names that users of other programs know.
@Suite struct NameTests {
  /// A scheduler given by a web UI's name yields the same image and metadata as ours.
  @Test func schedulersByOtherNames() throws {
    try withTemporaryFolder { folder in
      func draw(_ name: String, _ arguments: [String]) throws -> [UInt8] {
        let result = try Tool.run(
          "sdgen",
          ["a star", "--steps", "3", "--seed", "1", "--width", "64", "--height", "64", "-o", name]
            + arguments, in: folder)
        #expect(result.status == 0, "\(arguments): \(result.errors)")
        return try PictureTests.bytes("\(folder)/\(name)")
      }
      for (index, (foreign, own)) in [
        ("DPM++ 2M Karras", ["--scheduler", "dpmpp-2m", "--sigmas", "karras"]),
        ("k_euler_a", ["--scheduler", "euler-a"]), ("PLMS", ["--scheduler", "pndm"]),
        ("dpm++2m", ["--scheduler", "dpmpp-2m"]),
        ("DPM++ 2S a Karras", ["--scheduler", "dpmpp-2s-a", "--sigmas", "karras"]),
        ("dpmpp_3m_sde simple", ["--scheduler", "dpmpp-3m-sde", "--sigmas", "simple"]),
        ("DEIS Beta", ["--scheduler", "deis", "--sigmas", "beta"]),
        ("Euler SGM Uniform", ["--scheduler", "euler", "--sigmas", "sgm_uniform"]),
      ].enumerated() {
        let picture = try draw("\(index)a.png", ["--scheduler", foreign])
        // With the text and the job in it.
        #expect(try picture == draw("\(index)b.png", own), "\(foreign)")
      }
      let again = try Tool.run("sdgen", ["again", "0a.png"], in: folder)
      #expect(again.status == 0 && again.errors.contains("identical in every pixel"))
      // A name that implies noise levels overrides those in the image's metadata.
      let other = try Tool.run(
        "sdgen", ["again", "0a.png", "--scheduler", "Euler Exponential", "-o", "c.png"], in: folder)
      #expect(other.status == 0, "\(other.errors)")
      let fields = Infotext(
        parsing: try #require(PictureFile.read(folder + "/c.png").metadata.parameters))
      #expect(fields["Sampler"] == "Euler" && fields["Schedule type"] == "Exponential")
    }
  }

  /// A job's own noise levels override those implied by the defaults' scheduler name, and a job's
  /// scheduler name with noise levels overrides the defaults' timesteps.
  @Test func noiseLevelsOfAJob() throws {
    try withTemporaryFolder { folder in
      try BatchTests.jobs(
        [
          #"{"prompt": "a", "output": "a.png"}"#,
          #"{"prompt": "a", "sigmas": "exponential", "output": "b.png"}"#,
          #"{"prompt": "a", "spacing": "trailing", "output": "c.png"}"#,
        ], in: folder)
      let size = ["--width", "64", "--height", "64", "--steps", "3", "--seed", "1"]
      func rows(_ arguments: [String]) throws -> [JSON] {
        try BatchTests.rows(
          Tool.run("sdgen", ["batch", "jobs.jsonl"] + arguments + size, in: folder))
      }
      let first = try rows(["--scheduler", "DPM++ 2M Karras"])
      #expect(first.map { $0["status"]?.string } == ["done", "done", "done"], "\(first)")
      let levels = try ["a", "b", "c"].map { name in
        Infotext(
          parsing: try #require(PictureFile.read("\(folder)/\(name).png").metadata.parameters))[
            "Schedule type"]
      }
      #expect(levels[0] == "Karras" && levels[1] == "Exponential")
      #expect(levels[2] != "Karras")
      try BatchTests.jobs(
        [#"{"prompt": "a", "scheduler": "DPM++ 2M Karras", "output": "d.png"}"#], in: folder)
      let second = try rows(["--spacing", "trailing"])
      #expect(second.map { $0["status"]?.string } == ["done"], "\(second)")
    }
  }

  @Test(arguments: [
    ("DPM++ 2M SDE Heun Karras", "--scheduler dpmpp-2m-sde --sigmas karras"),
    ("dpmpp_3m_sde_gpu", "--scheduler dpmpp-3m-sde --rng cuda"),
    ("DPM adaptive", "--scheduler dpmpp-2m"), ("ddim_trailing", "--spacing trailing"),
    ("SGM Uniform", "--sigmas sgm_uniform"),
    ("dpmpp_2m_sde_gpu", "--scheduler dpmpp-2m-sde --rng cuda"), ("karras", "--sigmas karras"),
    ("eulr", "did you mean euler?"), ("magic", "The schedulers: pndm, ddim"),
  ])
  func schedulersThatAreNotHere(name: String, says: String) throws {
    let result = try Tool.run("sdgen", ["a", "--scheduler", name])
    #expect(result.status == 64)
    #expect(result.errors.contains(says), "\(result.errors)")
  }

  @Test func noiseLevelsSaidTwice() throws {
    let result = try Tool.run(
      "sdgen", ["a", "--scheduler", "DPM++ 2M Karras", "--sigmas", "exponential"])
    #expect(result.status == 64)
    #expect(result.errors.contains("use --scheduler dpmpp-2m"), "\(result.errors)")
    // Of what was given.
    let spacing = try Tool.run(
      "sdgen", ["a", "--scheduler", "DPM++ 2M Karras", "--spacing", "trailing"])
    #expect(spacing.status == 64 && !spacing.errors.contains("--sigmas"), "\(spacing.errors)")
    #expect(
      spacing.errors.contains("use --scheduler dpmpp-2m with --spacing trailing"),
      "\(spacing.errors)")
    let both = try Tool.run("sdgen", ["a", "--sigmas", "karras", "--spacing", "trailing"])
    #expect(both.errors.contains("--sigmas and --spacing cannot be combined"), "\(both.errors)")
  }

  /// Options of `generate` before the file of `batch` and `again`, and others' names there.
  @Test(arguments: [
    (["batch", "--scheduler", "euler", "j.jsonl"], "sdgen batch jobs.jsonl --scheduler ..."),
    (["batch", "--json", "j.jsonl"], "sdgen batch jobs.jsonl --json ..."),
    (["batch", "--cfg-scale=3", "j.jsonl"], "--guidance SCALE; put sdgen generate options after"),
    (["again", "--steps=2", "e.png"], "sdgen again picture.png --steps ..."),
    (["again", "-o", "f.png", "e.png"], "sdgen again picture.png -o ..."),
    (["again", "--sampler", "x", "e.png"], "after the file: sdgen again picture.png ..."),
    (["tokens", "a", "--ckpt", "m"], "hint: use --model PATH"),
    (["tokens", "a", "--num_inference_steps", "3"], "hint: use --steps N"),
    (["bench", "-t", "2"], "hint: use --threads N"),
    (["bench", "--precision=x"], "hint: use --dtype f32"),
    (["bench", "--device", "cuda"], "hint: omit it"),
    // Hints name only options that the command has.
    (["bench", "--cfg-scale", "3"], "hint: run it with --help"),
    (["tokens", "-p", "a"], "hint: run it with --help"),
  ])
  func optionsOutOfPlace(arguments: [String], says: String) throws {
    let result = try Tool.run("sdgen", arguments)
    #expect(result.status == 64)
    #expect(result.errors.contains(says), "\(result.errors)")
  }

  /// Hints name existing options.
  @Test(arguments: [
    ("--sampler", "--scheduler"), ("--sampling-method", "--scheduler"),
    ("--cfg-scale", "--guidance"), ("--cfg_scale", "--guidance"), ("--scale", "--guidance"),
    ("--guidance_scale", "--guidance"), ("--negative-prompt", "--negative"),
    ("--negativePrompt", "--negative"), ("-n", "--count"), ("-b", "--count"),
    ("--batch_count", "--count"), ("--n_samples", "--count"),
    ("-W", "--width"), ("-H", "--height"), ("--W", "--width"), ("--size", "--height"),
    ("-s", "--steps"), ("-S", "--seed"), ("--num_inference_steps", "--steps"),
    ("--ddim_steps", "--steps"), ("--ddim_eta", "--eta"), ("-m", "--model"), ("--ckpt", "--model"),
    ("--init-img", "--init"), ("--denoising-strength", "--strength"), ("-t", "--threads"),
    ("--clipskip", "--clip-skip"), ("--lora-model-dir", "--lora"), ("--control-net", "--control"),
    ("--control-strength", "--control-scale"), ("--taesd", "--tiny-vae"),
    ("--vae-tiling", "--vae-tile"), ("--outdir", "--output"), ("--precision", "--dtype"),
    ("--hr-scale", "--hires"), ("--hr-second-pass-steps", "--hires-steps"),
    ("--embd-dir", "--embedding"), ("--subseed", "--variation-seed"), ("--vae-path", "--vae"),
    ("--schedule", "--sigmas"),
    ("--disable-safety-checker", "--no-safety-checker"), ("-p", "sdgen \""), ("--gpu", "the CPU"),
  ])
  func optionsOfOthers(option: String, hint: String) throws {
    let result = try Tool.run("sdgen", ["a", option, "3"])
    #expect(result.status == 64)
    #expect(result.errors.contains("unknown option \(option)"), "\(result.errors)")
    let line = try #require(result.errors.split(separator: "\n").first { $0.hasPrefix("hint:") })
    #expect(line.contains(hint), "\(line)")
    guard hint.hasPrefix("--") else { return }
    let options = try OptionTests.arguments(of: "generate").compactMap(OptionTests.longName)
    for word in line.split(whereSeparator: { " ,;:".contains($0) }) where word.hasPrefix("--") {
      #expect(options.contains(String(word.dropFirst(2))), "\(line)")
    }
  }

  /// In a batch, after `again`, and as names in JSON.
  @Test func optionsOfOthersElsewhere() throws {
    try withTemporaryFolder { folder in
      try BatchTests.jobs(
        [#"{"prompt": "a", "cfg_scale": 3}"#, #"{"prompt": "a", "sead": 3}"#], in: folder)
      let batch = try Tool.run("sdgen", ["batch", "jobs.jsonl", "--sampler", "x"], in: folder)
      #expect(batch.status == 64 && batch.errors.contains("--scheduler NAME"), "\(batch.errors)")
      let slip = try Tool.run("sdgen", ["batch", "jobs.jsonl", "--sed", "3"], in: folder)
      #expect(slip.status == 64 && slip.errors.contains("did you mean --seed?"), "\(slip.errors)")
      let rows = try BatchTests.rows(Tool.run("sdgen", ["batch", "jobs.jsonl"], in: folder))
      let hints = rows.map { $0["error"]?["hint"]?.string ?? "" }
      #expect(hints[0].contains("--guidance"), "\(hints[0])")
      #expect(hints[1] == "did you mean seed?")
    }
  }

  /// What looks like another program's option is a text where a text is expected.
  @Test func valuesAreNotOptions() throws {
    try withTemporaryFolder { folder in
      let result = try Tool.run(
        "sdgen",
        ["--steps", "1", "--scheduler", "ddim", "--negative=-n", "--", "--sampler"], in: folder)
      #expect(result.status == 0, "\(result.errors)")
    }
  }

  /// Called with nothing.
  @Test(arguments: [("sdgen", "missing prompt"), ("sdinspect", "Missing expected argument")])
  func bare(program: String, says: String) throws {
    let result = try Tool.run(program, [])
    #expect(result.status == 64 && result.output.isEmpty)
    #expect(result.errors.hasPrefix("error: " + says), "\(result.errors)")
    #expect(result.errors.split(separator: "\n").count == 2)
    #expect(result.errors.contains("\nhint: "))
  }
}

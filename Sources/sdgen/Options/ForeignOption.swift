import Diffusion
import Terminal

/// Options of other programs that draw, and what they are called here.
///
/// Source: the help of stable-diffusion.cpp, CompVis' txt2img.py, InvokeAI, Apple's
/// StableDiffusionSample and diffusers' pipelines.
enum ForeignOption {
  /// What to give instead of an option that is none of ours.
  static func hint(_ spelling: String) -> String? {
    let plain = spelling.hasPrefix("--") ? spelling.lowercased() : spelling
    return table[plain.split(separator: "_").joined(separator: "-")]
  }

  /// Refuses words of a command line that other programs know, with a hint.
  ///
  /// - Parameter table: the command's own arguments; what a hint names is among them.
  /// - Throws: ``Failure`` `usage`.
  static func check(
    _ words: [String], _ table: CommandFlags = .generate, isGenerate: Bool = true
  ) throws(Failure) {
    var position = 0
    try checkSeparator(words, isGenerate: isGenerate)
    while position < words.count, words[position] != "--" {
      let word = words[position]
      position += 1
      guard word.hasPrefix("-"), word != "-" else { continue }
      let spelling = String(word.prefix { $0 != "=" })
      if let takesValue = table.takesValue[spelling] {
        guard takesValue, spelling == word, position < words.count else { continue }
        try checkValue(words[position], of: spelling, table)
        position += 1
      } else if spelling.contains(where: \.isWhitespace) {
        throw .usage(
          "\(quoted(word)) is read as an option, because it begins with a hyphen",
          hint: promptHint(word, isGenerate: isGenerate))
      } else if let hint = hint(spelling), isGenerate || fits(hint, table) {
        throw .usage("there is no option \(spelling)", hint: hint)
      } else if isGenerate, let near = table.nearest(to: spelling) {
        throw .usage("there is no option \(spelling)", hint: "did you mean \(near)?")
      } else if isGenerate, word.hasPrefix("--"), !parserFlags.contains(spelling) {
        throw .usage(
          "there is no option \(spelling)",
          hint: "see sdgen --help; " + promptHint(word, isGenerate: true))
      }
    }
  }

  /// Rejects options after `--`, which the parser would read as more prompts.
  private static func checkSeparator(_ words: [String], isGenerate: Bool) throws(Failure) {
    guard isGenerate, let place = words.firstIndex(of: "--") else { return }
    let rest = words[(place + 1)...]
    guard rest.count > 1, let option = rest.dropFirst().first(where: { $0.hasPrefix("-") }) else {
      return
    }
    throw .usage(
      "\(option) follows --, after which there is only the prompt",
      hint: "give options first: " + promptHint(rest.first ?? "", isGenerate: true))
  }

  /// Rejects text that begins with a hyphen as the value of an option for text.
  private static func checkValue(
    _ value: String, of spelling: String, _ table: CommandFlags
  ) throws(Failure) {
    let name = String(spelling.drop { $0 == "-" })
    guard case .words = JobField.named(name)?.kind, value.hasPrefix("-"), value.count > 1,
      table.takesValue[String(value.prefix { $0 != "=" })] == nil
    else { return }
    throw .usage(
      "the value of \(spelling) begins with a hyphen, and is read as an option",
      hint: "write it after an equals sign: \(spelling)=\(quoted(value))")
  }

  /// How a prompt that begins with a hyphen is given.
  private static func promptHint(_ prompt: String, isGenerate: Bool) -> String {
    "a prompt that begins with a hyphen goes last, after --: "
      + (isGenerate ? "sdgen --steps 25 -- " : "sdgen tokens -- ") + quoted(prompt)
  }

  /// A word as a shell reads it.
  private static func quoted(_ word: String) -> String {
    let short = word.count > 60 ? word.prefix(60) + "…" : word[...]
    return "\"" + String(short) + "\""
  }

  /// Flags of the parser itself.
  private static let parserFlags = [
    "-h", "--help", "--help-hidden", "--version", "--generate-completion-script",
    "--experimental-dump-help",
  ]

  /// Whether a command other than `generate` has all options that a hint names.
  private static func fits(_ hint: String, _ table: CommandFlags) -> Bool {
    let names = hint.split { " ,;:".contains($0) }.filter { $0.hasPrefix("--") }
    // A hint without options may show how `generate` is called.
    return names.allSatisfy { table.takesValue[String($0)] != nil }
      && !hint.contains("sdgen \"")
  }

  /// Refuses options of `sdgen generate` before the file of another command.
  ///
  /// - Parameters:
  ///   - words: what follows the command's name.
  ///   - form: how the command and its file are written.
  /// - Throws: ``Failure`` `usage`.
  static func checkPlace(_ words: [String], form: String) throws(Failure) {
    guard let word = words.first, word.hasPrefix("-"), word != "-", word != "--" else { return }
    let spelling = String(word.prefix { $0 != "=" })
    let place = "options of sdgen generate stand behind the file: \(form) "
    if CommandFlags.generate.takesValue[spelling] != nil {
      throw .usage("\(spelling) stands before the file", hint: place + spelling + " ...")
    }
    if let hint = hint(spelling) {
      throw .usage("there is no option \(spelling)", hint: "\(hint); \(place)...")
    }
  }

  private static let table: [String: String] = {
    var table: [String: String] = [:]
    for (hint, spellings) in hints {
      for spelling in spellings { table[spelling] = hint }
    }
    return table
  }()

  private static let hints: [(hint: String, spellings: [String])] = [
    (
      "--scheduler NAME, by its name here or a web UI's, as in \"DPM++ 2M Karras\"",
      ["--sampler", "--sampling-method", "--sampler-name", "-A"]
    ),
    ("--sigmas karras, exponential or ays", ["--schedule", "--schedule-type", "--karras"]),
    ("--guidance SCALE", ["--cfg-scale", "--cfg", "--scale", "--guidance-scale", "-C"]),
    (
      "--negative TEXT",
      ["--negative-prompt", "--negativeprompt", "--neg", "--neg-prompt", "--nprompt"]
    ),
    ("--count N for several pictures, --negative TEXT for what they should not show", ["-n"]),
    (
      "--count N, and --batch-size N for how many of them are drawn at once",
      [
        "-b", "--batch-count", "--n-samples", "--n-iter", "--num-images",
        "--images",
        "--num-images-per-prompt", "--image-count", "--iterations",
      ]
    ),
    ("--width PIXELS", ["-W", "-w", "--w"]), ("--height PIXELS", ["-H", "--h"]),
    ("--width PIXELS and --height PIXELS", ["--size", "--resolution"]),
    ("--steps N, or --seed N", ["-s"]), ("--seed N", ["-S"]),
    (
      "--steps N",
      [
        "--ddim-steps", "--num-inference-steps", "--inference-steps", "--sampling-steps",
        "--step-count",
      ]
    ),
    ("--eta SHARE", ["--ddim-eta"]),
    ("the prompt itself, without an option: sdgen \"a red circle\"", ["-p", "--prompt"]),
    (
      "--model PATH",
      ["-m", "--ckpt", "--checkpoint", "--model-path", "--diffusion-model", "--resource-path"]
    ),
    ("--init FILE", ["-i", "-I", "--init-img", "--init-image", "--image", "--input-image"]),
    ("--strength SHARE", ["-f", "--denoising-strength", "--denoise"]),
    ("--variation-seed N with --variation-strength SHARE", ["--subseed", "--variation-amount"]),
    ("--variation-strength SHARE", ["--subseed-strength"]),
    ("--seed-resize WIDTHxHEIGHT", ["--seed-resize-from-w", "--seed-resize-from-h"]),
    ("--vae PATH", ["--vae-path"]),
    ("--threads N", ["-t", "--n-threads", "--num-threads"]),
    ("--clip-skip N", ["--clipskip"]),
    (
      "--lora FILE:SCALE, once for each; <lora:name:1> in a prompt is not read",
      ["--lora-model-dir", "--lora-dir", "--loras"]
    ),
    ("--control PATH with --control-image FILE", ["--control-net", "--controlnet"]),
    ("--control-scale SCALE", ["--control-strength"]),
    ("--tiny-vae PATH", ["--taesd"]), ("--vae-tile PIXELS", ["--vae-tiling"]),
    ("--output FILE", ["--out", "--outdir", "--output-path", "--outfile", "-O"]),
    ("--dtype f32 or bf16", ["--type", "--precision", "--half", "--no-half", "--fp16"]),
    ("--hires SCALE", ["--hr", "--enable-hr", "--hr-scale", "--upscale", "--hires-fix"]),
    ("--hires-steps N", ["--hr-second-pass-steps"]),
    (
      "--embedding FILE:WORD",
      ["--embd-dir", "--embeddings", "--textual-inversion", "--embeddings-dir"]
    ),
    (
      "--no-safety-checker",
      ["--disable-safety", "--disable-safety-checker", "--nsfw", "--disable-nsfw-checker"]
    ),
    ("leave it out: sdgen computes on the CPU", ["--device", "--gpu", "--cpu", "--backend"]),
  ]
}

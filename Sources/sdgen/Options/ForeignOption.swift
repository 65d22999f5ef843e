import Diffusion
import Terminal

/// Options of other image generators, and their names here.
///
/// Source: the help of stable-diffusion.cpp, CompVis' txt2img.py, InvokeAI, Apple's
/// StableDiffusionSample and diffusers' pipelines.
enum ForeignOption {
  /// The replacement for an unknown option.
  static func hint(_ spelling: String) -> String? {
    let plain = spelling.hasPrefix("--") ? spelling.lowercased() : spelling
    return table[plain.split(separator: "_").joined(separator: "-")]
  }

  /// Rejects arguments of other programs, with a hint.
  ///
  /// - Parameter table: the command's own arguments, to which hints must refer.
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
        throw .usage("unknown option \(spelling)", hint: hint)
      } else if isGenerate, let near = table.nearest(to: spelling) {
        throw .usage("unknown option \(spelling)", hint: "did you mean \(near)?")
      } else if isGenerate, word.hasPrefix("--"), !parserFlags.contains(spelling) {
        throw .usage(
          "unknown option \(spelling)",
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
      "\(option) follows --, after which only the prompt may follow",
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

  /// Whether a command other than `generate` has all options in a hint.
  private static func fits(_ hint: String, _ table: CommandFlags) -> Bool {
    let names = hint.split { " ,;:".contains($0) }.filter { $0.hasPrefix("--") }
    // A hint without options may show a call of `generate`.
    return names.allSatisfy { table.takesValue[String($0)] != nil }
      && !hint.contains("sdgen \"")
  }

  /// Rejects options of `sdgen generate` before the file of another command.
  ///
  /// - Parameters:
  ///   - words: the arguments after the command's name.
  ///   - form: the syntax of the command and its file.
  /// - Throws: ``Failure`` `usage`.
  static func checkPlace(_ words: [String], form: String) throws(Failure) {
    guard let word = words.first, word.hasPrefix("-"), word != "-", word != "--" else { return }
    let spelling = String(word.prefix { $0 != "=" })
    let place = "put sdgen generate options after the file: \(form) "
    if CommandFlags.generate.takesValue[spelling] != nil {
      throw .usage("\(spelling) is before the file", hint: place + spelling + " ...")
    }
    if let hint = hint(spelling) {
      throw .usage("unknown option \(spelling)", hint: "\(hint); \(place)...")
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
      "use --scheduler NAME, with a name of sdgen or a web UI, such as \"DPM++ 2M Karras\"",
      ["--sampler", "--sampling-method", "--sampler-name", "-A"]
    ),
    (
      "use --sigmas NAME: " + SigmaSpacing.named.map(\.name).joined(separator: ", "),
      ["--schedule", "--schedule-type", "--karras"]
    ),
    ("use --guidance SCALE", ["--cfg-scale", "--cfg", "--scale", "--guidance-scale", "-C"]),
    (
      "use --negative TEXT",
      ["--negative-prompt", "--negativeprompt", "--neg", "--neg-prompt", "--nprompt"]
    ),
    ("use --count N for several images, or --negative TEXT for the negative prompt", ["-n"]),
    (
      "use --count N for several images, and --batch-size N for the batch size",
      [
        "-b", "--batch-count", "--n-samples", "--n-iter", "--num-images",
        "--images",
        "--num-images-per-prompt", "--image-count", "--iterations",
      ]
    ),
    ("use --width PIXELS", ["-W", "-w", "--w"]), ("use --height PIXELS", ["-H", "--h"]),
    ("use --width PIXELS and --height PIXELS", ["--size", "--resolution"]),
    ("use --steps N, or --seed N", ["-s"]), ("use --seed N", ["-S"]),
    (
      "use --steps N",
      [
        "--ddim-steps", "--num-inference-steps", "--inference-steps", "--sampling-steps",
        "--step-count",
      ]
    ),
    ("use --eta FRACTION", ["--ddim-eta"]),
    ("pass the prompt without an option: sdgen \"a red circle\"", ["-p", "--prompt"]),
    (
      "use --model PATH",
      ["-m", "--ckpt", "--checkpoint", "--model-path", "--diffusion-model", "--resource-path"]
    ),
    ("use --init FILE", ["-i", "-I", "--init-img", "--init-image", "--image", "--input-image"]),
    ("use --strength FRACTION", ["-f", "--denoising-strength", "--denoise"]),
    (
      "use --variation-seed N with --variation-strength FRACTION",
      ["--subseed", "--variation-amount"]
    ),
    ("use --variation-strength FRACTION", ["--subseed-strength"]),
    ("use --seed-resize WIDTHxHEIGHT", ["--seed-resize-from-w", "--seed-resize-from-h"]),
    ("use --vae PATH", ["--vae-path"]),
    ("use --threads N", ["-t", "--n-threads", "--num-threads"]),
    ("use --clip-skip N", ["--clipskip"]),
    (
      "use --lora FILE:SCALE (repeatable); <lora:name:1> in a prompt is not supported",
      ["--lora-model-dir", "--lora-dir", "--loras"]
    ),
    ("use --control PATH with --control-image FILE", ["--control-net", "--controlnet"]),
    ("use --control-scale SCALE", ["--control-strength"]),
    ("use --tiny-vae PATH", ["--taesd"]), ("use --vae-tile PIXELS", ["--vae-tiling"]),
    ("use --output FILE", ["--out", "--outdir", "--output-path", "--outfile", "-O"]),
    ("use --dtype f32 or bf16", ["--type", "--precision", "--half", "--no-half", "--fp16"]),
    ("use --hires SCALE", ["--hr", "--enable-hr", "--hr-scale", "--upscale", "--hires-fix"]),
    ("use --hires-steps N", ["--hr-second-pass-steps"]),
    (
      "use --embedding FILE:WORD",
      ["--embd-dir", "--embeddings", "--textual-inversion", "--embeddings-dir"]
    ),
    (
      "--no-safety-checker",
      ["--disable-safety", "--disable-safety-checker", "--nsfw", "--disable-nsfw-checker"]
    ),
    ("omit it: sdgen runs on the CPU", ["--device", "--gpu", "--cpu", "--backend"]),
  ]
}

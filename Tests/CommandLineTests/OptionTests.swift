import Diffusion
import Foundation
import OrderedJSON
import TestSupport
import Testing

/// Every option of every command of `sdgen`: help, man page, bad values.
@Suite struct OptionTests {
  /// An option's kind of value, and rejected values.
  enum Kind {
    /// Values that are rejected, each with the range, which the help names too.
    case range(_ range: String, _ bad: [String])
    /// One of a few names, which the dump of the help lists.
    case choice
    /// A file or a text: validity is only known later.
    case free
  }

  private static let share = Kind.range("0 to 1", ["-0.1", "1.1", "nan"])
  private static let positiveShare = Kind.range("above 0", ["0", "-0.1", "1.1", "nan"])
  private static let thousand = Kind.range("1 to 1000", ["0", "-1", "1001", "2.5"])
  private static let seed = Kind.range("0 to 2^63-1", ["-1", "9223372036854775808", "1.5"])
  private static let side = Kind.range("multiple of 8 from 8 to 8192", ["0", "-8", "8200", "12"])

  static let generate: [(option: String, kind: Kind)] = [
    ("prompts-from", .free), ("negative", .free),
    ("clip-skip", .range("1 to", ["0", "-1", "129"])), ("emphasis", .choice), ("embedding", .free),
    ("steps", thousand), ("guidance", .range("0 to 100", ["-1", "100.5", "nan", "inf"])),
    ("seed", seed), ("variation-seed", seed),
    ("variation-strength", share),
    ("seed-resize", .range("multiples of 8", ["64", "64x65", "0x64", "64x8200", "x"])),
    ("scheduler", .choice),
    (
      "sigmas",
      .range("decreasing numbers", ["3,5", "5,-1", "5,,1", "nan", "10001,5", "-5,-6", "cosine"])
    ),
    ("spacing", .choice), ("prediction", .choice), ("eta", share), ("pndm-start", .choice),
    ("rng", .choice), ("width", side), ("height", side),
    ("count", .range("1 to 10000", ["0", "-1", "10001"])),
    ("batch-size", .range("1 to 64", ["0", "-1", "65"])), ("latents", .free), ("init", .free),
    ("strength", positiveShare), ("mask", .free),
    (
      "outpaint",
      .range("multiples of 8 from 0 to 4096", ["-8,0,0,0", "4104,0,0,0", "4,0,0,0", "8,8,8"])
    ),
    ("hires", .range("above 1", ["1", "0.5", "8.5", "-2", "nan"])),
    ("hires-strength", positiveShare), ("hires-steps", thousand), ("model", .free),
    ("vae", .free), ("variant", .free), ("dtype", .choice),
    ("threads", .range("1 to 1024", ["0", "-1", "1025"])),
    ("engine", .range("native, onnxruntime", ["magic", "onnxruntime:", "native:cpu"])),
    ("onnxruntime", .free),
    ("lora", .range("-10 to 10", ["a.safetensors:-11", "a.safetensors:11", "a.safetensors:nan"])),
    ("control", .free), ("control-image", .free),
    ("control-scale", .range("0 to 10", ["-1", "11", "nan"])), ("control-start", share),
    ("control-end", share), ("tiny-vae", .free), ("tiny-vae-for", .choice),
    ("cache-interval", .range("1 to 100", ["0", "-1", "101"])),
    ("token-merging", .range("0 to 0.75", ["-0.1", "0.8", "nan"])),
    ("guidance-interval", .range("from 0 to 1", ["-0.1:0.5", "0.5:1.1", "0.8:0.2", "0.5"])),
    ("vae-tile", .range("multiple of 8 from 256 to 8192", ["248", "8200", "-256", "260"])),
    ("output", .free), ("format", .choice), ("quality", .range("1 to 100", ["0", "-1", "101"])),
    ("save-latents", .free), ("save-embeddings", .free), ("preview-every", thousand),
    ("preview", .choice),
    ("contact-sheet", .free),
    ("contact-sheet-rows", .range("latents, decoded", ["rows", "", "noise,noise", "noise,"])),
    ("animation", .free), ("trace", .free), ("show-as", .choice),
  ]

  /// The options of commands that use a VAE alone.
  private static let codec = generate.filter {
    [
      "model", "vae", "variant", "dtype", "threads", "engine", "onnxruntime", "vae-tile",
    ].contains($0.option)
  }

  /// The options of `generate` that say which noise levels are passed through.
  private static let schedule: Set = [
    "steps", "scheduler", "sigmas", "spacing", "prediction", "eta", "pndm-start",
  ]

  static let commands: [(name: String, words: [String], options: [(option: String, kind: Kind)])] =
    [
      ("generate", ["a"], generate), ("batch", [], []), ("again", [], []), ("info", [], []),
      (
        "tokens", ["a"],
        [("model", .free), ("emphasis", .choice), ("embedding", .free), ("steps", thousand)]
      ),
      (
        "schedule", [],
        [("model", .free)] + generate.filter { schedule.contains($0.option) } + [("output", .free)]
      ),
      (
        "noise", ["a.png"],
        [("output", .free), ("timesteps", .range("separated by commas", ["-1", "1,,2", "0,1,"]))]
          + codec + [("seed", seed), ("rng", .choice), ("save-latents", .free)]
      ),
      (
        "encode", ["a.png"],
        [("output", .free), ("seed", seed), ("rng", .choice)] + codec
      ),
      (
        "decode", ["l.safetensors"],
        [
          ("output", .free), ("tensor", .free),
          ("quality", .range("1 to 100", ["0", "-1", "101"])),
        ] + codec
      ),
      (
        "similarity", ["a.png"], [("model", .free), ("text", .free), ("output", .free)]
      ),
      ("engines", [], [("onnxruntime", .free)]),
      (
        "bench", [],
        [
          ("model", .free), ("vae", .free), ("variant", .free), ("dtype", .choice),
          ("threads", .range("1 to 1024", ["0", "-1", "1025"])),
          ("engine", .range("native, onnxruntime", ["magic", "onnxruntime:", "native:cpu"])),
          ("onnxruntime", .free),
          (
            "size",
            .range("multiples of 8 from 8 to 8192", ["0x64", "64x8200", "-8x8", "64", "12x8"])
          ),
          ("repeats", thousand),
        ]
      ),
    ]

  /// The arguments of a command as the program dumps its help.
  static func arguments(of command: String) throws -> [JSON] {
    let dump = try JSON(parsing: Tool.run("sdgen", ["--experimental-dump-help"]).output)
    let commands = dump["command"]?["subcommands"]?.array ?? []
    let found = try #require(commands.first { $0["commandName"]?.string == command })
    // `batch` and `again` also take `generate`'s, and leave them to its help.
    return (found["arguments"]?.array ?? []).filter {
      !["help", "version"].contains(longName($0)) && $0["shouldDisplay"]?.bool != false
    }
  }

  static func longName(_ argument: JSON) -> String? {
    argument["names"]?.array?.first { $0["kind"]?.string == "long" }?["name"]?.string
  }

  /// Except for flags, which default to off, every option's help states its default.
  @Test(arguments: commands.map(\.name))
  func helpNamesTheDefault(command: String) throws {
    for argument in try Self.arguments(of: command) {
      let name = Self.longName(argument) ?? argument["valueName"]?.string ?? ""
      let help = try #require(argument["abstract"]?.string, "\(command) \(name)")
      #expect(help.hasSuffix("."), "\(command) \(name): \(help)")
      guard argument["kind"]?.string != "flag", argument["isOptional"] == true else { continue }
      #expect(
        help.contains("(default: ") || argument["defaultValue"]?.string?.isEmpty == false,
        "\(command) \(name): \(help)")
    }
  }

  /// Flags of `generate`, `batch` and `again` are the fields of a job, in the same order, each with
  /// the field's text and value.
  @Test func everyFlagIsAField() throws {
    let dump = try JSON(parsing: Tool.run("sdgen", ["--experimental-dump-help"]).output)
    for command in ["generate", "batch", "again"] {
      let found = dump["command"]?["subcommands"]?.array?
        .first { $0["commandName"]?.string == command }
      // Their own.
      let others = ["help", "version", "jobs", "image", "trust-jobs"]
      let flags = (found?["arguments"]?.array ?? []).map {
        (name: Self.longName($0) ?? $0["valueName"]?.string ?? "", json: $0)
      }.filter { !others.contains($0.name) }
      #expect(flags.map(\.name) == JobField.all.map(\.name), "\(command)")
      for (field, flag) in zip(JobField.all, flags) {
        let text = field.doc.text(range: field.range) { "--" + $0 }
        #expect(flag.json["abstract"]?.string?.hasPrefix(text) == true, "\(field.name)")
        #expect((flag.json["kind"]?.string == "flag") == field.isFlag, "\(field.name)")
        #expect(flag.json["isRepeating"]?.bool == field.isRepeating, "\(field.name)")
        if case .choice(let names) = field.kind {
          #expect(flag.json["allValues"]?.array?.map(\.string) == names, "\(field.name)")
        }
      }
    }
  }

  @Test func everyOptionIsInTheTable() throws {
    for command in Self.commands {
      let options = try Self.arguments(of: command.name)
        .filter { $0["kind"]?.string == "option" }.compactMap(Self.longName)
      #expect(options.sorted() == command.options.map(\.option).sorted(), "\(command.name)")
    }
  }

  /// Other tests of this directory give each option and flag at least once.
  @Test func everyOptionHasATest() throws {
    let folder = URL(filePath: #filePath).deletingLastPathComponent().path
    let texts = try FileManager.default.contentsOfDirectory(atPath: folder)
      // Names in those files occur in hints, and are not passed.
      .filter { $0.hasSuffix(".swift") && !["OptionTests.swift", "NameTests.swift"].contains($0) }
      .map { try String(contentsOfFile: "\(folder)/\($0)", encoding: .utf8) }
    for command in Self.commands {
      for name in try Self.arguments(of: command.name).compactMap(Self.longName) {
        #expect(
          texts.contains { $0.contains("\"--\(name)\"") || $0.contains(" --\(name) ") },
          "\(command.name) --\(name)")
      }
    }
  }

  /// The pages are made of the same help.
  @Test func theManualSaysTheSame() throws {
    try withTemporaryFolder { folder in
      let made = try Tool.launch(
        "/bin/sh",
        [
          "-c", "\"$0/sdgen\" --experimental-dump-help | \"$0/sdmanual\" x \"$1\"", Tool.folder,
          folder,
        ])
      #expect(made.status == 0, "\(made.errors)")
      func plain(_ text: String) -> String { text.filter { $0.isLetter || $0.isNumber } }
      for command in Self.commands {
        let page = try String(contentsOfFile: "\(folder)/sdgen-\(command.name).1", encoding: .utf8)
        let letters = plain(page)
        for argument in try Self.arguments(of: command.name) {
          let name = Self.longName(argument) ?? argument["valueName"]?.string ?? ""
          let help = argument["abstract"]?.string ?? ""
          // Letters beyond ASCII are written by their numbers there.
          let parts = help.split { !$0.isASCII }.map { plain(String($0)) }
          #expect(letters.contains(plain(name)), "\(command.name) \(name)")
          #expect(parts.allSatisfy(letters.contains), "\(command.name) \(name): \(help)")
        }
      }
    }
  }

  /// Arguments after `batch` and `again` are rejected before a file is opened.
  @Test(arguments: ["batch", "again"])
  func badValuesBehindAFile(command: String) throws {
    for (option, kind) in Self.generate {
      let (value, says): (String, String)
      switch kind {
      case .range(let range, let bad): (value, says) = (bad[0], range)
      case .choice: (value, says) = ("magic", "magic")
      case .free: continue
      }
      let result = try Tool.run("sdgen", [command, "/nowhere", "--\(option)", value])
      // Whether a LoRA's scale is one is known when its file's name is.
      #expect(result.status == (option == "lora" ? 66 : 64), "--\(option): \(result.errors)")
      if option != "lora" { #expect(result.errors.contains(says), "\(result.errors)") }
    }
    // Rules that involve a job's own arguments are checked with them.
    let missing = try Tool.run("sdgen", [command, "/nowhere", "--mask", "a.png"])
    #expect(missing.status == 66, "\(missing.errors)")
  }

  /// Rejected, with what is valid, before the model is looked for.
  @Test(arguments: commands.map(\.name))
  func badValues(command: String) throws {
    let (_, words, options) = try #require(Self.commands.first { $0.name == command })
    let arguments = try Self.arguments(of: command)
    for (option, kind) in options {
      let argument = try #require(arguments.first { Self.longName($0) == option })
      let bad: [String]
      let says: [String]
      switch kind {
      case .range(let range, let values):
        // Text after a file's name is not a scale unless it is a number.
        bad = values + (option == "lora" ? [] : ["", "x"])
        says = [range]
        #expect(argument["abstract"]?.string?.contains(range) == true, "the help of --\(option)")
      case .choice:
        bad = ["", "magic"]
        says = (argument["allValues"]?.array ?? []).compactMap(\.string)
        #expect(says.count > 1, "--\(option)")
      case .free: continue
      }
      for value in bad {
        let model = option == "model" ? [] : ["--model", "/nowhere"]
        let result = try Tool.run("sdgen", [command] + words + model + ["--\(option)", value])
        #expect(result.status == 64, "--\(option) \(value): \(result.errors)")
        #expect(result.output.isEmpty)
        for words in says {
          #expect(result.errors.contains(words), "--\(option) \(value): \(result.errors)")
        }
      }
    }
  }
}

import Foundation
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

/// Outputs that would replace inputs.
@Suite struct InputAsOutputTests {
  /// A directory with a file of weights `in`, a link and a hard link to it, images, and a
  /// repository.
  private static func withInputs(_ body: (String) throws -> Void) throws {
    try withTemporaryFolder { folder in
      let manager = FileManager.default
      try manager.copyItem(
        atPath: Fixtures.path("formats/types.safetensors"), toPath: folder + "/in")
      try manager.createSymbolicLink(atPath: folder + "/link", withDestinationPath: "in")
      try manager.linkItem(atPath: folder + "/in", toPath: folder + "/hard")
      try manager.copyItem(
        atPath: Fixtures.path("pictures/source.png"), toPath: folder + "/source.png")
      try manager.copyItem(atPath: Fixtures.path("shapes-v2"), toPath: folder + "/model")
      for name in ["golden", "train", "README.md"] {
        try manager.removeItem(atPath: folder + "/model/" + name)
      }
      try manager.createDirectory(atPath: folder + "/below", withIntermediateDirectories: true)
      try body(folder)
    }
  }

  static let cases: [(program: String, arguments: String)] = [
    ("sdinspect", "report in -o in"), ("sdinspect", "report in -o ./below/../in"),
    ("sdinspect", "report link -o in"), ("sdinspect", "report in -o hard"),
    ("sdinspect", "report in -o link"), ("sdinspect", "report model -o model/unet/config.json"),
    ("sdinspect", "convert in in --to safetensors"),
    ("sdinspect", "convert in hard --to pytorch"),
    ("sdinspect", "convert model model --to diffusers"),
    ("sdinspect", "convert model below/../model --to diffusers --dtype f16"),
    ("sdinspect", "convert model model/tokenizer/vocab.json --to sdflat"),
    ("sdgen", "star --steps 2 --init source.png -o source.png"),
    ("sdgen", "star --steps 2 --init source.png -o x.png --trace source.png"),
    ("sdgen", "star --steps 2 --init source.png -o x.png --save-latents source.png"),
    ("sdgen", "star --steps 2 --init source.png -o x.png --contact-sheet ./source.png"),
    ("sdgen", "star --steps 2 --init source.png -o x.png --animation source.png"),
    ("sdgen", "star --steps 1 --model model -o x.png --trace model/model_index.json"),
    ("sdgen", "star --steps 1 --model model -o model/unet/config.png --sidecar"),
    ("sdgen", "--prompts-from prompts.txt --steps 1 -o x.png --trace prompts.txt"),
    ("sdgen", "batch jobs.jsonl --steps 1 --trace jobs.jsonl"),
  ]

  @Test(arguments: cases) func isRefused(_ program: String, _ arguments: String) throws {
    try Self.withInputs { folder in
      try "a star\n".write(toFile: folder + "/prompts.txt", atomically: false, encoding: .utf8)
      try "{\"prompt\": \"a star\"}\n"
        .write(toFile: folder + "/jobs.jsonl", atomically: false, encoding: .utf8)
      let before = try Self.contents(folder)
      let result = try Tool.run(
        program, arguments.split(separator: " ").map(String.init) + ["--force"], in: folder)
      let isBatch = arguments.hasPrefix("batch")
      #expect(result.status == (isBatch ? 1 : 73), "\(result.errors)")
      #expect(
        (isBatch ? result.output : result.errors).contains("would replace an input file")
          || result.errors.contains("is a symbolic link"), "\(result.errors)")
      #expect(try Self.contents(folder) == before)
    }
  }

  private static func contents(_ folder: String) throws -> [String: Data] {
    var result: [String: Data] = [:]
    for name in try FileManager.default.subpathsOfDirectory(atPath: folder) {
      result[name] = FileManager.default.contents(atPath: folder + "/" + name)
    }
    return result
  }
}

/// What lines of a jobs file may not do unless the command line allows it.
@Suite struct JobLimitTests {
  private static func run(_ line: String, _ arguments: [String] = []) throws -> (Tool.Result, JSON)
  {
    try withTemporaryFolder { folder in
      try FileManager.default.createDirectory(
        atPath: folder + "/work/below", withIntermediateDirectories: true)
      try Data("keep".utf8).write(to: URL(filePath: folder + "/work/there.png"))
      try FileManager.default.createSymbolicLink(
        atPath: folder + "/work/out", withDestinationPath: "..")
      try BatchTests.jobs([line], in: folder + "/work")
      let result = try Tool.run(
        "sdgen", ["batch", "jobs.jsonl"] + arguments + ["--steps", "1"], in: folder + "/work")
      let row = try #require(BatchTests.rows(result).first)
      return (result, row)
    }
  }

  @Test(arguments: [
    (#""output": "there.png", "force": true"#, "the job replaces files"),
    (#""output": "../a.png""#, "output is outside the working directory"),
    (#""output": "out/a.png""#, "output is outside the working directory"),
    (#""output": "a.png", "trace": "../t.json""#, "trace is outside the working directory"),
    (#""output": "a.png", "save-latents": "/tmp/l.safetensors""#, "save-latents is outside"),
    (#""output": "a.png", "contact-sheet": "below/../../s.png""#, "contact-sheet is outside"),
    (#""output": "a.png", "animation": "../s.webp""#, "animation is outside"),
  ]) func needsTrust(_ members: String, _ message: String) throws {
    let (result, row) = try Self.run("{\"prompt\": \"a star\", \(members)}")
    #expect(result.status == 1 && row["status"] == "failed")
    #expect(row["error"]?["message"]?.string?.hasPrefix(message) == true, "\(row)")
    #expect(row["error"]?["hint"]?.string?.contains("--trust-jobs") == true)
    guard !members.contains("/tmp/") else { return }
    let (trusted, done) = try Self.run("{\"prompt\": \"a star\", \(members)}", ["--trust-jobs"])
    #expect(trusted.status == 0 && done["status"] == "done", "\(trusted.output)")
  }

  @Test func below() throws {
    let (result, _) = try Self.run(
      #"{"prompt": "a star", "output": "below/a.png", "trace": "./below/../t.json"}"#)
    #expect(result.status == 0, "\(result.output)")
  }

  @Test(arguments: ["-", "/dev/zero", "pipe"]) func promptsAreARegularFile(_ path: String) throws {
    let (result, row) = try Self.run("{\"prompts-from\": \"\(path)\", \"output\": \"a.png\"}")
    #expect(result.status == 1 && row["status"] == "failed")
  }

  /// Every option that writes a file is checked.
  @Test func allOutputsAreKnown() throws {
    let help = try Tool.run("sdgen", ["generate", "--help"]).output
    let options = help.split(separator: "\n").filter { $0.contains(" --") && $0.contains("<file>") }
      .filter { $0.contains("Write ") || $0.contains("to write") || $0.contains("--output") }
    let names = options.compactMap { $0.firstMatch(of: /--([a-z-]+) <file>/)?.1 }
    #expect(
      Set(names).isSubset(of: ["output", "save-latents", "trace", "contact-sheet", "animation"]))
  }

  @Test func aDeviceEndsTheRun() throws {
    let result = try Tool.run("sdgen", ["batch", "/dev/zero"])
    #expect(result.status == 65 && result.errors.contains("a line exceeds"))
  }
}

/// Prompts that would take gigabytes.
@Suite struct PromptLimitTests {
  @Test func longPromptsAreRefused() throws {
    let long = String(repeating: "a ", count: 8193)
    for arguments in [
      [long], ["a star", "--negative", long], ["tokens", long],
    ] {
      let result = try Tool.run("sdgen", arguments)
      #expect(result.status == 64, "\(result.errors.suffix(200))")
      #expect(result.errors.contains("has 16386 bytes (maximum 16384)"))
    }
    try withTemporaryFolder { folder in
      try (long + "\n").write(toFile: folder + "/p.txt", atomically: false, encoding: .utf8)
      let result = try Tool.run(
        "sdgen", ["--prompts-from", "p.txt", "-o", "x.png"], in: folder)
      #expect(result.status == 65 && result.errors.contains("a prompt has 16386 bytes"))
      try BatchTests.jobs(["{\"prompt\": \"\(long)\", \"output\": \"a.png\"}"], in: folder)
      let batch = try Tool.run("sdgen", ["batch", "jobs.jsonl"], in: folder)
      #expect(batch.status == 1 && batch.output.contains("maximum 16384"))
    }
  }

  @Test func chunksAreBounded() throws {
    try withTemporaryFolder { folder in
      let result = try Tool.run(
        "sdgen",
        [String(repeating: "BREAK ", count: 600), "--steps", "1", "-o", "x.png"], in: folder)
      #expect(result.status == 64 && result.errors.contains("more than 512 chunks of tokens"))
    }
  }
}

/// Limits of threads and memory.
@Suite(.serialized) struct ShortageTests {
  @Test(
    arguments: [
      "ulimit -d 8000", "ulimit -d 16000", "ulimit -d 32000", "ulimit -v 200000",
      "ulimit -v 400000",
    ],
    [
      "sdinspect stats MODEL", "sdinspect verify MODEL", "sdinspect hash MODEL --content",
      "sdinspect tensors MODEL --sha256",
      "sdinspect convert MODEL out --to ldm --dtype f16 --force",
      "sdinspect convert MODEL out --to sdflat --force", "sdgen star --steps 1 -o x.png --force",
    ]) func endsWithAResultOrAnError(_ limit: String, _ command: String) throws
  {
    try withTemporaryFolder { folder in
      let words = command.replacing("MODEL", with: Fixtures.path("shapes-v2"))
      let start = Date()
      let result = try Tool.launch(
        "/bin/sh", ["-c", "\(limit) && exec \(Tool.folder)/\(words)"], in: folder)
      #expect(
        [0, 64, 70, 74].contains(result.status), "\(result.status): \(result.errors.suffix(400))")
      #expect(
        result.status == 0 || result.errors.contains("error: "), "\(result.errors.suffix(400))")
      #expect(result.status == 0 || Date().timeIntervalSince(start) < 20)
    }
  }

  /// Without permission to start a thread, as another user: root is not limited.
  @Test(
    .enabled(
      if: getuid() == 0 && FileManager.default.isExecutableFile(atPath: "/usr/bin/setpriv"),
      "limits of processes are for others than the superuser, with setpriv"),
    .enabled(if: Tool.isReachableByOthers, "the programs are in a directory of the superuser's"),
    arguments: [
      "sdinspect stats MODEL", "sdinspect verify MODEL", "sdinspect hash MODEL --content",
      "sdinspect convert MODEL out --to sdflat --hash-sources --dtype f16",
      "sdgen star --steps 1 -o x.png",
    ]) func withoutThreads(_ command: String) throws
  {
    try withTemporaryFolder { folder in
      chmod(folder, 0o777)
      let words = command.replacing("MODEL", with: Fixtures.path("shapes-v2"))
      let result = try Tool.launch(
        "/usr/bin/setpriv",
        [
          "--reuid=65533", "--clear-groups", "/bin/bash", "-c",
          "ulimit -u 1 && exec \(Tool.folder)/\(words)",
        ], in: folder, environment: ["GOMP_SPINCOUNT": "1000"])
      #expect(result.status == 0, "\(result.status): \(result.errors.suffix(400))")
    }
  }
}

/// Programs that are killed.
@Suite(.serialized) struct KilledTests {
  /// Wherever it is killed, the next run works, and leaves the complete output alone.
  @Test(
    arguments: ["diffusers", "ldm", "sdflat", "gguf"], [false, true])
  func theNextRunCleansUp(_ layout: String, _ isReplacing: Bool) throws {
    try withTemporaryFolder { folder in
      let arguments = [
        "convert", Fixtures.path("shapes-v2"), "out", "--to", layout, "--force",
      ]
      let start = Date()
      #expect(try Tool.run("sdinspect", arguments, in: folder).status == 0)
      let usual = Date().timeIntervalSince(start)
      let expected = try Self.contents(folder)
      for round in 0..<8 {
        if !isReplacing { try FileManager.default.removeItem(atPath: folder + "/out") }
        let process = Process()
        process.executableURL = URL(filePath: "\(Tool.folder)/sdinspect")
        process.arguments = arguments
        process.currentDirectoryURL = URL(filePath: folder)
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        usleep(UInt32(usual * 1e6 * Double(round + 1) / 9))
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        // The output is complete or absent; a previous output stays complete.
        let left = try Self.contents(folder)
        let output = left.filter { !$0.key.hasPrefix(".") }
        #expect(output == expected || !isReplacing && output.isEmpty)
        #expect(try Tool.run("sdinspect", arguments, in: folder).status == 0)
        #expect(try Self.contents(folder) == expected)
      }
    }
  }

  /// Process ids are reused, and each container has its own.
  @Test func remainsWithTheNumberOfALivingProcess() throws {
    try withTemporaryFolder { folder in
      let manager = FileManager.default
      let remains = "\(folder)/.out.\(getpid())-0.partial"
      try manager.createDirectory(atPath: remains + "/unet", withIntermediateDirectories: true)
      try Data([1]).write(to: URL(filePath: remains + "/unet/x"))
      let arguments = ["convert", Fixtures.path("shapes-v2"), "out", "--to", "diffusers"]
      #expect(try Tool.run("sdinspect", arguments, in: folder).status == 0)
      #expect(try manager.contentsOfDirectory(atPath: folder) == ["out"])
      // The same of a file.
      try Data([1]).write(to: URL(filePath: "\(folder)/.f.\(getpid())-100.partial"))
      let file = ["convert", Fixtures.path("shapes-v2"), "f", "--to", "sdflat"]
      #expect(try Tool.run("sdinspect", file, in: folder).status == 0)
      #expect(try manager.contentsOfDirectory(atPath: folder).sorted() == ["f", "out"])
    }
  }

  /// What another run is writing stays.
  @Test func filesAtWorkStay() throws {
    try withTemporaryFolder { folder in
      let remains = "\(folder)/.out.999999999-0.partial"
      try FileManager.default.createDirectory(atPath: remains, withIntermediateDirectories: true)
      let descriptor = open(remains, O_RDONLY)
      defer { close(descriptor) }
      #expect(flock(descriptor, LOCK_EX | LOCK_NB) == 0)
      let arguments = ["convert", Fixtures.path("shapes-v2"), "out", "--to", "diffusers"]
      #expect(try Tool.run("sdinspect", arguments, in: folder).status == 0)
      #expect(FileManager.default.fileExists(atPath: remains))
    }
  }

  private static func contents(_ folder: String) throws -> [String: Data] {
    var result: [String: Data] = [:]
    for name in try FileManager.default.subpathsOfDirectory(atPath: folder) {
      result[name] = FileManager.default.contents(atPath: folder + "/" + name)
    }
    return result
  }
}

/// File names that are not UTF-8, and invisible characters.
@Suite struct NameBytesTests {
  @Test func namesThatAreNotUTF8() throws {
    try withTemporaryFolder { folder in
      // Foundation cannot write such names; a shell can.
      let script = """
        n=$(printf 'caf\\351')
        mkdir "$n.d" && cp "$1" "$n.d/$n"
        "$2/sdinspect" summary "$n.d/$n" && "$2/sdinspect" hash "$n.d/$n" --json
        "$2/sdinspect" convert "$n.d/$n" "$n.pt" --to pytorch && test -e "$n.pt" && ls | od -c
        "$2/sdinspect" convert "$3" "$n.repo" --to diffusers && "$2/sdinspect" verify "$n.repo"
        "$2/sdgen" star --steps 1 --model "$n.repo" -o "$n.png" --sidecar && test -e "$n.json"
        "$2/sdgen" again "$n.png" --steps 1 --model "$n.repo"; test -e "$n-again.png" && echo all
        "$2/sdinspect" summary "$n.none"
        """
      let result = try Tool.launch(
        "/bin/sh",
        [
          "-c", script, "sh", Fixtures.path("formats/types.safetensors"), Tool.folder,
          Fixtures.path("shapes-v2"),
        ], in: folder)
      #expect(result.output.hasSuffix("all\n"), "\(result.output.suffix(300)) \(result.errors)")
      #expect(result.output.contains(#"caf\xE9.d/caf\xE9 (safetensors)"#))
      // In JSON, which is UTF-8, a private-use character represents the byte.
      #expect(result.output.contains(#""file": "caf\udbff\udfe9.d/caf\udbff\udfe9""#))
      #expect(result.errors.contains(#"caf\xE9.none: "#))
      #expect(result.status == 66)
    }
  }

  @Test func promptsAreUTF8() throws {
    let result = try Tool.launch(
      "/bin/sh", ["-c", "\(Tool.folder)/sdgen \"$(printf 'caf\\351')\" -o x.png"])
    #expect(result.status == 64 && result.errors.contains("the prompt is not UTF-8"))
  }

  /// If requested output cannot be written, the run fails.
  @Test(arguments: ["--help", "--version", "summary --help"])
  func helpThatCannotBeWritten(_ words: String) throws {
    let result = try Tool.launch(
      "/bin/sh", ["-c", "\(Tool.folder)/sdinspect \(words) >/dev/full"])
    #expect(result.status == 74, "\(result.errors)")
  }

  /// "Too many open files" is not reported as a missing file.
  @Test(arguments: [4, 5, 7]) func withoutFileDescriptors(_ limit: Int) throws {
    let path = Fixtures.path("shapes-v2")
    let result = try Tool.launch(
      "/bin/bash", ["-c", "ulimit -n \(limit) && exec \(Tool.folder)/sdinspect summary \(path)"])
    #expect(result.status == 74 && result.errors.contains("ulimit -n"), "\(result.errors)")
  }

  @Test func charactersThatAreNotSeenAreShown() throws {
    try withTemporaryFolder { folder in
      let name = "a\u{202E}b\u{2028}c\u{2029}d\u{200B}e\u{FEFF}f\u{85}g\u{2066}h\u{3164}i\u{115F}"
      try Safetensors.write(
        [
          Tensor(
            name: name, dtype: .float32, shape: Shape([1]),
            storage: .memory([0, 0, 0, 0]))
        ], to: folder + "/x.safetensors")
      let text = try Tool.run("sdinspect", ["tensors", "x.safetensors"], in: folder)
      let shown =
        #"a\u{202e}b\u{2028}c\u{2029}d\u{200b}e\u{feff}f\u{85}g\u{2066}h\u{3164}i\u{115f}"#
      #expect(text.output.contains(shown), "\(text.output)")
      let json = try Tool.run("sdinspect", ["tensors", "x.safetensors", "--json"], in: folder)
      #expect(
        json.output.contains(#"a\u202eb\u2028c\u2029d\u200be\ufefff\u0085g\u2066h\u3164i\u115f"#))
      #expect(try JSON(parsing: json.output)["tensors"]?.array?.first?["name"]?.string == name)
    }
  }
}

/// What an image's job does is reported before it is done.
@Suite struct ForecastTests {
  @Test func againTellsItsWork() throws {
    try withTemporaryFolder { folder in
      let drawn = try Tool.run(
        "sdgen", ["a star", "--seed", "1", "-o", "a.png"] + BatchTests.flags, in: folder)
      #expect(drawn.status == 0)
      let again = try Tool.run("sdgen", ["again", "a.png"], in: folder)
      #expect(again.status == 0, "\(again.errors)")
      let note = try #require(
        again.errors.split(separator: "\n").first { $0.hasPrefix("note: work: ") })
      #expect(note.contains("64x64, 3 steps; ") && note.contains("of memory"), "\(note)")
      let quiet = try Tool.run("sdgen", ["again", "a.png", "-o", "b.png", "--quiet"], in: folder)
      #expect(!quiet.errors.contains("note: work"))
      // Rejected for lack of memory; no image is generated.
      let little = try Tool.run(
        "sdgen", ["again", "a.png", "-o", "c.png"], in: folder,
        environment: ["SDLOOM_MEMORY": "1000000"])
      #expect(little.status == 64 && little.errors.contains("generation needs about"))
    }
  }
}

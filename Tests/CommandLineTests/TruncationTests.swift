import Foundation
import TestSupport
import Testing

/// Inputs that are truncated or changed while a program reads them: each command, at moments drawn
/// at random, ends with status 74 and without an output, or with the right result.
@Suite(.serialized) struct TruncationTests {
  /// The number for each command; SDLOOM_TRUNCATIONS requests more than a quick run has time for.
  static let count =
    ProcessInfo.processInfo.environment["SDLOOM_TRUNCATIONS"].flatMap(Int.init) ?? 3

  struct Case: Sendable, CustomTestStringConvertible {
    let program: String
    /// `INPUT` stands for the file that is truncated.
    let arguments: [String]
    /// A fixture, or one of the files that ``Models`` makes of them.
    let input: String
    /// Other files that the command reads, next to it.
    var others: [String] = []
    /// If a file's location matters: its path below the directory.
    var place: String?
    /// The output's path; if nil, stdout is compared.
    var output: String?

    var testDescription: String { "\(program) \(arguments.joined(separator: " ")) of \(input)" }
  }

  static func inspect(_ arguments: String, of input: String, output: String? = nil) -> Case {
    Case(
      program: "sdinspect", arguments: arguments.split(separator: " ").map(String.init),
      input: input, output: output)
  }

  static let drawing = ["a red circle", "--steps", "2", "--seed", "1", "--quiet", "-o", "out.png"]

  static func draw(
    _ arguments: [String], of input: String, others: [String] = [], place: String? = nil
  ) -> Case {
    Case(
      program: "sdgen", arguments: drawing + arguments, input: input, others: others,
      place: place, output: "out.png")
  }

  static let cases: [Case] =
    [
      inspect("summary INPUT --json", of: "model.ckpt"),
      inspect("tensors INPUT --sha256 --json", of: "model.safetensors"),
      inspect("tensors INPUT --sha256 --json", of: "model.ckpt"),
      inspect("tensors INPUT --sha256 --json", of: "formats/deflated.pt"),
      inspect("layers INPUT --json", of: "model.sdflat"),
      inspect("stats INPUT --json", of: "model.sdflat"),
      inspect("stats INPUT --json", of: "model.gguf"),
      Case(
        program: "sdinspect", arguments: ["diff", "INPUT", "model.sdflat", "--json"],
        input: "model.safetensors", others: ["model.sdflat"]),
      inspect("hash INPUT --content --crc32 --json", of: "model.ckpt"),
      inspect("verify INPUT", of: "model.ckpt"),
      inspect("verify INPUT", of: "model.sdflat"),
      inspect(
        "convert INPUT out.safetensors --to ldm --dtype f16", of: "model.sdflat",
        output: "out.safetensors"),
      inspect("convert INPUT out.ckpt --to ldm", of: "model.safetensors", output: "out.ckpt"),
      inspect(
        "convert INPUT out.sdflat --to sdflat --hash-sources", of: "model.ckpt",
        output: "out.sdflat"),
      inspect(
        "convert INPUT out.gguf --to gguf --dtype q8_0", of: "model.safetensors",
        output: "out.gguf"),
      inspect(
        "convert INPUT out --to diffusers", of: "model.gguf",
        output: "out/unet/diffusion_pytorch_model.safetensors"),
      inspect(
        "onnx INPUT out --component unet", of: "model.ckpt", output: "out/unet/model.onnx_data"),
      inspect("report INPUT -o out.html", of: "model.sdflat", output: "out.html"),
      draw(["--model", "INPUT"], of: "model.sdflat"),
      draw(["--model", "INPUT", "--low-memory"], of: "model.safetensors"),
      draw(["--model", "INPUT"], of: "model.gguf"),
      draw(["--init", "INPUT"], of: "pictures/source.png"),
      draw(["--init", "INPUT"], of: "pictures/source.jpg"),
      draw(["--init", "INPUT"], of: "pictures/lossless.webp"),
      draw(["--lora", "INPUT"], of: "adapters/loha.safetensors"),
      draw(["--latents", "INPUT"], of: "latents.safetensors"),
      draw(
        ["--model", "model"], of: "shapes-v2/tokenizer/vocab.json", others: ["model"],
        place: "model/tokenizer/vocab.json"),
      Case(
        program: "sdgen",
        arguments: ["again", "INPUT", "--model", "model.sdflat", "--quiet", "-o", "out.png"],
        input: "drawn.png", others: ["model.sdflat"], output: "out.png"),
      Case(program: "sdgen", arguments: ["info", "INPUT", "--json"], input: "drawn.png"),
      Case(
        program: "sdgen", arguments: ["tokens", "a red circle", "--model", "model", "--json"],
        input: "shapes-v2/tokenizer/vocab.json", others: ["model"],
        place: "model/tokenizer/vocab.json"),
      Case(
        program: "sdgen",
        arguments: ["batch", "jobs.jsonl", "--model", "INPUT", "--quiet"],
        input: "model.sdflat", others: ["jobs.jsonl"], output: "out.png"),
    ]

  @Test(arguments: cases) func endsWith74OrTheRightResult(_ test: Case) throws {
    try withTemporaryFolder { folder in
      let models = try Models()
      try models.place(test, in: folder)
      // The undisturbed result, and how long reading takes. Files that are read quickly are never
      // seen mapped: their moments are counted from the start, and the result may be that of the
      // changed file.
      let expected = try Run(test, in: folder).wait()
      #expect(expected.status == 0 || test.arguments[0] == "diff", "\(expected.errors)")
      var counts: [String: Int] = [:]
      for round in 0..<Self.count {
        try models.place(test, in: folder)
        let outcome = try Self.disturbed(test, in: folder, expected, isTruncation: round % 4 < 3)
        counts[outcome, default: 0] += 1
      }
      if Self.count > 10 {
        let sums = counts.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
        print("truncation: \(test): " + sums.joined(separator: ", "))
      }
    }
  }

  /// Changes to the input after the output is in place do not matter.
  @Test func changesBehindTheOutputAreNone() throws {
    try withTemporaryFolder { folder in
      let test = Self.inspect(
        "convert INPUT out.ckpt --to ldm", of: "model.safetensors", output: "out.ckpt")
      let models = try Models()
      try models.place(test, in: folder)
      let expected = try Run(test, in: folder).wait(isSeen: false)
      for _ in 0..<10 {
        try models.place(test, in: folder)
        let run = try Run(test, in: folder)
        while access(folder + "/out.ckpt", F_OK) != 0, run.isAtWork {}
        #expect(truncate(folder + "/INPUT", 5000) == 0)
        let result = try run.wait(isSeen: false)
        #expect(result.status == 0 && result.result == expected.result, "\(result.errors)")
      }
    }
  }

  /// Runs a command and disturbs it.
  ///
  /// - Returns: what it came to.
  private static func disturbed(
    _ test: Case, in folder: String, _ expected: Run.Outcome, isTruncation: Bool
  ) throws -> String {
    let delay = Double.random(in: 0...1) * Double.random(in: 0...1) * expected.seconds
    let disturbance = Disturbance(delay: delay, isTruncation: isTruncation)
    let result = try Run(test, in: folder).wait(isSeen: expected.isSeen, disturbance)
    #expect(result.leftovers == [], "nothing unfinished is left")
    if result.status == expected.status, result.result == expected.result { return "right" }
    if result.status == 74, result.messages.contains("while being read"),
      test.output == nil || result.result == nil
    {
      return "74"
    }
    let output = "\(folder)/\(test.output ?? "stdout")"
    if !expected.isSeen {
      if FileManager.default.fileExists(atPath: output) {
        try FileManager.default.removeItem(atPath: output)
      }
      let again = try Run(test, in: folder).wait(isSeen: false)
      if again.status == result.status, again.result == result.result { return "as changed" }
    }
    Issue.record("after \(delay) s: status \(result.status), \(result.messages.suffix(500))")
    return "WRONG"
  }
}

/// Truncates a file to somewhere, or writes over some of its bytes, after some seconds.
private struct Disturbance {
  let delay: Double
  let isTruncation: Bool

  func apply(to path: String) throws {
    usleep(UInt32(delay * 1e6))
    let size = try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int ?? 0
    if isTruncation {
      let sizes = [0, Int.random(in: 0...size), size / 8192 * 4096]
      truncate(path, off_t(sizes[Int.random(in: 0..<3)]))
    } else if let file = FileHandle(forWritingAtPath: path) {
      try file.seek(toOffset: UInt64(Int.random(in: 0...max(0, size - 4096))))
      try file.write(contentsOf: Data((0..<4096).map { _ in UInt8.random(in: 0...255) }))
      try file.close()
    }
  }
}

/// The files that the cases start from, made once.
private struct Models {
  private static let folder = Result {
    let folder = FileManager.default.temporaryDirectory.path + "/sdloom-truncation-\(getpid())"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    for (file, layout) in [
      ("model.sdflat", "sdflat"), ("model.safetensors", "ldm"), ("model.ckpt", "ldm"),
      ("model.gguf", "gguf"),
    ] {
      let made = try Tool.run(
        "sdinspect",
        ["convert", Fixtures.path("shapes-v2"), "\(folder)/\(file)", "--to", layout, "--force"])
      #expect(made.status == 0, "\(made.errors)")
    }
    let drawn = try Tool.run(
      "sdgen",
      [
        "a star", "--model", "model.sdflat", "--steps", "2", "--seed", "3", "-o", "drawn.png",
        "--save-latents", "latents.safetensors", "--force",
      ], in: folder)
    #expect(drawn.status == 0, "\(drawn.errors)")
    try Data(#"{"prompt": "a star", "steps": 2, "seed": 4, "output": "out.png"}"#.utf8)
      .write(to: URL(filePath: folder + "/jobs.jsonl"))
    return folder
  }

  let folder: String

  init() throws { folder = try Self.folder.get() }

  /// Puts fresh copies of what a case reads into an otherwise empty directory.
  func place(_ test: TruncationTests.Case, in target: String) throws {
    let manager = FileManager.default
    for name in try manager.contentsOfDirectory(atPath: target) {
      try manager.removeItem(atPath: "\(target)/\(name)")
    }
    for other in test.others {
      try manager.copyItem(
        atPath: other == "model" ? Fixtures.path("shapes-v2") : "\(folder)/\(other)",
        toPath: "\(target)/\(other)")
    }
    let place = "\(target)/\(test.place ?? "INPUT")"
    if test.place != nil { try manager.removeItem(atPath: place) }
    let own = "\(folder)/\(test.input)"
    try manager.copyItem(
      atPath: manager.fileExists(atPath: own) ? own : Fixtures.path(test.input), toPath: place)
  }
}

/// A running command, whose input can be changed as soon as it is mapped.
private struct Run {
  struct Outcome {
    let status: Int32
    /// The output's bytes, or those of stdout without the time; nil if the file is not there.
    let result: Data?
    let errors: String
    /// Errors, and messages on stdout.
    let messages: String
    /// Hidden files that were left.
    let leftovers: [String]
    /// From when the file was mapped, else from the start.
    let seconds: Double
    /// Whether the file was seen mapped.
    let isSeen: Bool
  }

  private let process = Process()
  private let test: TruncationTests.Case
  private let folder: String

  init(_ test: TruncationTests.Case, in folder: String) throws {
    self.test = test
    self.folder = folder
    process.executableURL = URL(filePath: "\(Tool.folder)/\(test.program)")
    process.arguments = test.arguments
    process.currentDirectoryURL = URL(filePath: folder)
    process.standardInput = FileHandle.nullDevice
    func stream(_ name: String) -> FileHandle? {
      _ = FileManager.default.createFile(atPath: "\(folder)/\(name)", contents: nil)
      return FileHandle(forWritingAtPath: "\(folder)/\(name)")
    }
    process.standardOutput = stream("stdout")
    process.standardError = stream("stderr")
    try process.run()
  }

  var isAtWork: Bool { process.isRunning }

  /// Waits for the end.
  ///
  /// - Parameters:
  ///   - isSeen: whether to wait for the input to be mapped.
  ///   - disturbance: what happens to the input then.
  func wait(isSeen: Bool = true, _ disturbance: Disturbance? = nil) throws -> Outcome {
    let place = test.place ?? "INPUT"
    // Links in the path of the directory for temporary files are resolved in the table of mappings.
    let tail = Array(("/" + URL(filePath: folder).lastPathComponent + "/" + place).utf8)
    var start = Date()
    var wasSeen = false
    while isSeen, !wasSeen, process.isRunning {
      let maps = FileManager.default.contents(atPath: "/proc/\(process.processIdentifier)/maps")
      wasSeen = maps?.firstRange(of: tail) != nil
    }
    if wasSeen { start = Date() }
    if wasSeen || !isSeen { try disturbance?.apply(to: "\(folder)/\(place)") }
    process.waitUntilExit()
    let seconds = Date().timeIntervalSince(start)
    let manager = FileManager.default
    func text(_ name: String) -> String {
      String(decoding: manager.contents(atPath: "\(folder)/\(name)") ?? Data(), as: UTF8.self)
    }
    return Outcome(
      // A signal is not a status.
      status: process.terminationReason == .exit
        ? process.terminationStatus : -process.terminationStatus,
      result: test.output.map { manager.contents(atPath: "\(folder)/\($0)") }
        ?? Self.timeless(text("stdout")),
      errors: text("stderr"), messages: text("stderr") + text("stdout"),
      leftovers: try manager.contentsOfDirectory(atPath: folder).filter { $0.hasPrefix(".") },
      seconds: seconds, isSeen: wasSeen)
  }

  /// What is printed, without the time that it took.
  private static func timeless(_ text: String) -> Data {
    Data(text.replacing(#/"seconds": [0-9.e-]+/#, with: "").utf8)
  }
}

import Foundation
import OrderedJSON
import TestSupport
import Testing

/// Valid but unrealistic names and shapes, given to the built program: they are handled like any
/// other, in text and JSON.
@Suite(.serialized) struct HostileNamesTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let testDescription: String
    /// Tensors' names and shapes; every shape has a zero, so that there are no values.
    let tensors: [(name: String, shape: [Int])]

    init(_ name: String, _ tensors: [(name: String, shape: [Int])]) {
      testDescription = name
      self.tensors = tensors
    }
  }

  static let cases: [Case] = [
    Case("a name of nothing but dots", [(String(repeating: ".", count: 60_000), [0])]),
    Case(
      "a name nested 30,000 deep", [(String(repeating: "a.", count: 30_000) + "weight", [0])]),
    Case("a name of 30,000 indices", [(String(repeating: "1.", count: 30_000) + "weight", [0])]),
    Case(
      "the wrapper 5,000 times over",
      (0..<50).map { (String(repeating: "state_dict.", count: 5_000) + "\($0)", [0]) }),
    // Four times the width of these channels is beyond 64 bits.
    Case(
      "a UNet of 2^61 channels",
      [
        ("conv_in.weight", [0, 4, 3, 3]), ("conv_out.weight", [4, 0, 3, 3]),
        ("time_embedding.linear_1.weight", [1280, 0]),
        ("down_blocks.0.resnets.0.conv1.weight", [1 << 61, 0, 1, 1]),
        ("down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight", [1 << 61, 0]),
      ]),
    Case("names that forge lines", [("a\nsound: every checksum\u{1B}[2J", [0]), ("b", [0])]),
  ]

  static func file(_ tensors: [(name: String, shape: [Int])]) -> Data {
    let entries = tensors.map { name, shape in
      let key = JSON.string(name).text(.compact)
      return #"\#(key):{"dtype":"U8","shape":\#(shape),"data_offsets":[0,0]}"#
    }
    let header = Data("{\(entries.joined(separator: ","))}".utf8)
    return withUnsafeBytes(of: UInt64(header.count).littleEndian) { Data($0) } + header
  }

  @Test(arguments: cases, ["summary", "tensors", "layers", "stats", "verify"])
  func fileIsAnswered(_ hostile: Case, command: String) throws {
    try withTemporaryFolder { folder in
      let path = folder + "/file"
      try HostileNamesTests.file(hostile.tensors).write(to: URL(filePath: path))
      for options in [[], ["--json"]] {
        let run = try Tool.measure("sdinspect", [command, path] + options, dataLimit: 128 << 20)
        // A network without tensors does not verify; nothing may crash or be called malformed.
        #expect(
          run.result.status == 0 || command == "verify" && run.result.status == 1,
          "\(run.result.errors)")
        #expect(run.processorSeconds < HostileFilesTests.secondsLimit)
        let text = run.result.output + run.result.errors
        #expect(!text.contains("\u{1B}[2J"))
        #expect(!text.split(separator: "\n").contains { $0.hasPrefix("sound: every checksum") })
      }
    }
  }

  /// Options that name something missing or do not combine.
  @Test(arguments: [
    (["report", "MODEL", "-o", "OUT", "--variant", "nosuch"], 66 as Int32, "nosuch"),
    (["convert", "MODEL", "OUT", "--to", "safetensors", "--dtype", "q8_0"], 64, "--to gguf"),
  ])
  func optionIsHeeded(arguments: [String], status: Int32, says: String) throws {
    try withTemporaryFolder { folder in
      let out = folder + "/out"
      let run = try Tool.run(
        "sdinspect",
        arguments.map { $0 == "MODEL" ? Fixtures.path("shapes-v2") : $0 == "OUT" ? out : $0 })
      #expect(run.status == status)
      #expect(run.errors.contains(says), "\(run.errors)")
      #expect(!FileManager.default.fileExists(atPath: out))
    }
  }
}

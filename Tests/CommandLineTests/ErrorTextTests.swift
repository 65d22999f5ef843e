import Foundation
import ModelFormats
import OrderedJSON
import Terminal
import TestSupport
import Testing

/// Every error says what is wrong, where, and what to do.
@Suite struct ErrorTextTests {
  @Test(arguments: FormatError.Code.allCases)
  func everyCodeHasARemedy(code: FormatError.Code) throws {
    let error = FormatError(code, "wrong", file: "a.safetensors", offset: 8, context: "conv")
    let failure = Failure(error)
    #expect(failure.text.hasPrefix("error: a.safetensors: at byte 8: conv: wrong\nhint: "))
    #expect(failure.json["error"]?["hint"]?.string == code.remedy.phrased)
    var told = error
    told.hint = "do this"
    #expect(Failure(told).text.hasSuffix("\nhint: do this"))
  }

  struct Broken: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let file: String
    let code: String
    /// What the message says, including the tensor's or record's name.
    let says: [String]
    /// Whether a byte of the file is to blame.
    var hasOffset = true
    let bytes: [UInt8]
  }

  private static func header(_ entries: String) -> [UInt8] {
    safetensors("{" + entries + "}", data: [UInt8](repeating: 0, count: 16))
  }

  private static func entry(_ name: String, _ begin: Int, _ end: Int, dtype: String = "F32")
    -> String
  {
    "\"\(name)\":{\"dtype\":\"\(dtype)\",\"shape\":[\((end - begin) / 4)],"
      + "\"data_offsets\":[\(begin),\(end)]}"
  }

  static let broken: [Broken] = [
    Broken(
      testDescription: "a gap", file: "a.safetensors", code: "malformed", says: ["b", "gap"],
      bytes: header(entry("a", 0, 4) + "," + entry("b", 8, 16))),
    Broken(
      testDescription: "an overlap", file: "a.safetensors", code: "malformed",
      says: ["b", "inside those of another tensor"],
      bytes: header(entry("a", 0, 8) + "," + entry("b", 4, 16))),
    Broken(
      testDescription: "a duplicate name", file: "a.safetensors", code: "malformed",
      says: ["a", "duplicate"], bytes: header(entry("a", 0, 8) + "," + entry("a", 8, 16))),
    Broken(
      testDescription: "an unknown dtype", file: "a.safetensors", code: "malformed",
      says: ["a", "F33"], bytes: header(entry("a", 0, 16, dtype: "F33"))),
    Broken(
      testDescription: "data behind the last tensor", file: "a.safetensors", code: "malformed",
      says: ["4 bytes follow"], bytes: header(entry("a", 0, 12))),
    Broken(
      testDescription: "one byte behind the last tensor", file: "a.safetensors", code: "malformed",
      says: ["1 byte follows"], bytes: header(entry("a", 0, 16)) + [0]),
    Broken(
      testDescription: "a header that is cut", file: "a.safetensors", code: "truncated",
      says: ["header"], bytes: littleEndian(UInt64(1000)) + Array("{\"a\":".utf8)),
    Broken(
      testDescription: "a shard above the directory", file: "model.safetensors.index.json",
      code: "malformed", says: ["w", "shard"],
      bytes: Array(#"{"weight_map":{"w":"../model.safetensors"}}"#.utf8)),
    Broken(
      testDescription: "a shard of another format", file: "model.safetensors.index.json",
      code: "malformed", says: ["w.txt", "does not end in"],
      bytes: Array(#"{"weight_map":{"w":"w.txt"}}"#.utf8)),
    Broken(
      testDescription: "a GGUF of another version", file: "a.gguf", code: "unsupported",
      says: ["version 9"],
      bytes: Array("GGUF".utf8) + littleEndian(UInt32(9)) + [UInt8](repeating: 0, count: 16)),
    Broken(
      testDescription: "a pickle that ends early", file: "a.pt", code: "truncated",
      says: ["pickle"],
      bytes: TorchBuilder.archive(pickle(0x80, 2, "}q", 0x00)).bytes),
  ]

  @Test(arguments: broken)
  func whatWhereAndWhatToDo(_ broken: Broken) throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/\(broken.file)"
      try BadInputTests.write(broken.bytes, to: path)
      let result = try Tool.run("sdinspect", ["summary", path, "--json"])
      #expect(result.status == 65, "\(result.errors)")
      let error = try #require(try JSON(parsing: result.errors)["error"])
      #expect(error["code"]?.string == broken.code)
      #expect(error["file"]?.string == path)
      #expect((error["offset"]?.int != nil) == broken.hasOffset)
      #expect(error["hint"]?.string?.isEmpty == false)
      for words in broken.says {
        #expect(error["message"]?.string?.contains(words) == true, "\(result.errors)")
      }
    }
  }

  /// What a target cannot contain is rejected before anything is written; the error names targets
  /// that can.
  @Test(
    arguments: [
      (DType.complex64, "GGUF has no type for C64", "safetensors or PyTorch"),
      (.bool, "GGUF has no type for BOOL", "safetensors or PyTorch"),
    ] as [(DType, String, String)], [true, false])
  func typesWithoutAPlace(
    _ type: (dtype: DType, says: String, hint: String),
    isDry: Bool
  ) throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/a.safetensors"
      let count = type.dtype.bitWidth / 4
      try BadInputTests.write(
        safetensors(
          #"{"odd":{"dtype":"\#(type.dtype.rawValue)","shape":[2],"data_offsets":[0,\#(count)]}}"#,
          data: [UInt8](repeating: 0, count: count)), to: path)
      let result = try Tool.run(
        "sdinspect",
        ["convert", path, "\(folder)/out", "--to", "gguf"]
          + (isDry ? ["--dry-run"] : []))
      #expect(result.status == 65, "\(result.errors)")
      #expect(
        result.errors.hasPrefix("error: \(path): odd: \(type.says)\nhint: "), "\(result.errors)")
      #expect(result.errors.contains(type.hint))
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["a.safetensors"])
    }
  }
}

import Foundation
import OrderedJSON
import TestSupport
import Testing

/// Files made to crash, hang or exhaust their reader, given to the built program.
///
/// Each must be answered, by tensors or by status 65 with a reason, in 2 seconds of processor time
/// and within 64 MiB of memory plus the header: what is in the file before or next to the
/// values. The memory is limited by the kernel (see ``Tool/measure(_:_:dataLimit:)``), so that a
/// run which wanted more would end by a signal. What the program takes with a file of one tensor
/// comes on top, since it is not a file's doing.
@Suite(.serialized) struct HostileFilesTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let testDescription: String
    /// The error's message; nil if the file must be readable.
    let says: String?
    /// The bytes of the header; the whole file where not given.
    let header: Int?
    let make: @Sendable () -> [UInt8]

    init(
      _ name: String, says: String?, header: Int? = nil, _ make: @escaping @Sendable () -> [UInt8]
    ) {
      testDescription = name
      self.says = says
      self.header = header
      self.make = make
    }
  }

  /// Programs that are not optimised take several times as long, which is not a file's doing.
  #if DEBUG
    static let secondsLimit = 10.0
  #else
    static let secondsLimit = 4.0
  #endif

  /// The cost of a run with almost nothing to read.
  static let baseline = 16 << 20

  static func repeated(_ bytes: [UInt8], _ count: Int) -> [UInt8] {
    var output: [UInt8] = []
    output.reserveCapacity(bytes.count * count)
    for _ in 0..<count { output += bytes }
    return output
  }

  static func repeated(_ text: String, _ count: Int) -> [UInt8] {
    repeated(Array(text.utf8), count)
  }

  static func checkpoint(_ pickle: [UInt8]) -> [UInt8] { TorchBuilder.archive(pickle).bytes }

  static let unfolds = "the unpickled object needs more than"

  static let pickles: [Case] = [
    Case("4 million lists", says: unfolds) {
      checkpoint(pickle(repeated("(" + String(repeating: "]", count: 998) + "t0", 4000), "N."))
    },
    Case("4 million values on the stack", says: "stack grows beyond") {
      checkpoint(pickle(repeated("N", 4_000_000), "."))
    },
    Case("4 million values in tuples", says: unfolds) {
      checkpoint(pickle(repeated("(" + String(repeating: "N", count: 998) + "t", 4000), "."))
    },
    Case("4 million marks", says: "too many marks") { checkpoint(repeated("(", 4_000_000)) },
    Case("a memo of 4 million", says: unfolds) {
      checkpoint(pickle("N", [UInt8](repeating: 0x94, count: 4_000_000), "."))
    },
    Case("a memo of giant numbers", says: unfolds) {
      var bytes = pickle("N")
      for index in 0..<1_000_000 {
        bytes += [UInt8(ascii: "r")] + littleEndian(UInt32.max - UInt32(index) * 4)
      }
      return checkpoint(bytes + pickle("."))
    },
    Case("16 million instructions", says: "more than 4194304 instructions") {
      checkpoint(pickle(repeated("N0", 8_000_000), "N."))
    },
    Case("a million texts", says: unfolds) {
      let batch = pickle("(", repeated(TorchBuilder.text("a text of 20 letters"), 1000), "e")
      return checkpoint(pickle("]", repeated(batch, 1000), "."))
    },
    Case("a million classes", says: unfolds) {
      var bytes: [UInt8] = []
      for index in 0..<300_000 { bytes += Array("cm\nC\(index)\n0".utf8) }
      return checkpoint(bytes + pickle("N."))
    },
    Case("200,000 harmful names", says: unfolds) {
      var bytes: [UInt8] = []
      for index in 0..<200_000 { bytes += Array("cos\nsystem\(index)\n0".utf8) }
      return checkpoint(bytes + pickle("N."))
    },
    Case("20,000 harmful names", says: nil) {
      var bytes: [UInt8] = []
      for index in 0..<20_000 { bytes += Array("cos\nsystem\(index)\n0".utf8) }
      return checkpoint(bytes + pickle("N."))
    },
    Case("a dictionary of 300,000", says: unfolds) {
      var bytes = pickle("}")
      for start in stride(from: 0, to: 300_000, by: 1000) {
        bytes += pickle("(")
        for index in start..<(start + 1000) {
          bytes += [UInt8(ascii: "J")] + littleEndian(UInt32(index)) + pickle("N")
        }
        bytes += pickle("u")
      }
      return checkpoint(bytes + pickle("."))
    },
    Case("a string of 4 GiB", says: "needs 4294967295 bytes") {
      checkpoint(pickle("X", 0xFF, 0xFF, 0xFF, 0xFF, "."))
    },
    Case("a hundredfold doubling by reference", says: "expands far beyond") {
      var bytes = pickle("]", 0x94)
      for index in 0..<100 { bytes += pickle("](h", index, "h", index, "e", 0x94) }
      return checkpoint(bytes + pickle("."))
    },
    Case("lists copied over and over", says: unfolds) {
      var bytes = pickle("](", repeated("N", 1000), "e", 0x94, "c__builtin__\nset\n", 0x94)
      for _ in 0..<100_000 { bytes += pickle("h", 1, "h", 0, 0x85, "R0") }
      return checkpoint(bytes + pickle("h", 0, "."))
    },
    Case("nested a million deep", says: unfolds) {
      checkpoint(pickle("N", [UInt8](repeating: 0x85, count: 1_000_000), "."))
    },
    Case("nested 100,000 deep", says: "objects are nested more than 200 deep") {
      checkpoint(pickle("N", [UInt8](repeating: 0x85, count: 100_000), "."))
    },
    Case("a cycle", says: nil) { checkpoint(pickle("]", 0x94, "h", 0, "a.")) },
    Case("a number of 2 GiB", says: "needs 2147483647 bytes") {
      checkpoint(pickle(0x8B, 0xFF, 0xFF, 0xFF, 0x7F, "."))
    },
    Case("60,000 tensors of one storage", says: nil) { tensors(60_000, size: 0) },
    Case("tensors that repeat 4 bytes without end", says: "repeat their storages") {
      tensors(1000, size: 16 << 20)
    },
    Case("a tensor of 4 TiB from 24 bytes", says: "repeats 24 bytes") {
      checkpoint(TorchBuilder.dictionary(TorchBuilder.tensor(sizes: [1 << 40], strides: [0])))
    },
    Case("a plain pickle that unfolds", says: "this is part of a pickle") {
      [0x80, 2] + repeated("]", 4_000_000)
    },
    Case("text that unfolds as a pickle", says: "this is text") { repeated("]", 4_000_000) },
  ]

  /// One tensor under many names, each long enough to pay for its traversal.
  static func tensors(_ count: Int, size: Int) -> [UInt8] {
    let tensor = TorchBuilder.tensor(sizes: [size], strides: [0])
    let padding = TorchBuilder.text(String(repeating: "x", count: 30)) + pickle("0h", 1)
    return checkpoint(
      pickle(0x80, 2, tensor, "q", 1, "0](", repeated(padding, count), "e."))
  }

  static func many(_ count: Int, _ member: (Int) -> String) -> String {
    (0..<count).map(member).joined(separator: ",")
  }

  static let headers: [Case] = [
    Case("65,536 tensors", says: nil) {
      safetensors(
        "{" + many(65536) { #""\#($0)":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"# } + "}")
    },
    Case("a million entries", says: "more than 65536 tensors") {
      safetensors(
        "{" + many(500_000) { #""\#($0)":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"# } + "}")
    },
    Case("65,536 pairs of metadata", says: nil) {
      safetensors(#"{"__metadata__":{"# + many(65536) { #""\#($0)":"""# } + "}}")
    },
    Case("a field of a million numbers", says: "more values than any real one") {
      safetensors(#"{"a":{"x":["# + many(1_000_000) { _ in "0" } + "]}}")
    },
    Case("a million unknown fields", says: "more than 64 fields") {
      safetensors(#"{"a":{"# + many(1_000_000) { #""\#($0)":0"# } + "}}")
    },
    Case("a name of 40 MB", says: "a text is longer than any real one") {
      safetensors(#"{""# + String(repeating: "x", count: 40_000_000) + #"":0}"#)
    },
    Case("a shape of a million sizes", says: "more values than any real one") {
      safetensors(#"{"a":{"shape":["# + many(1_000_000) { _ in "1" } + "]}}")
    },
    Case("nested a million deep", says: "nested too deeply") {
      safetensors(#"{"a":{"x":"# + String(repeating: "[", count: 1_000_000))
    },
    Case("a header of 2^39 bytes", says: "100000000 is the limit") {
      littleEndian(UInt64(1) << 39) + Array("{}".utf8)
    },
    Case("an index of a million tensors", says: "more values than any real one") {
      Array((#"{"weight_map":{"# + many(1_000_000) { #""\#($0)":"a.bin""# } + "}}").utf8)
    },
    Case("a GGUF file of a million pairs", says: "65536 is the limit") {
      var bytes = Array("GGUF".utf8) + littleEndian(UInt32(3)) + littleEndian(UInt64(0))
      bytes += littleEndian(UInt64(1_000_000))
      for index in 0..<1_000_000 {
        bytes += littleEndian(UInt64(4)) + littleEndian(UInt32(index)) + littleEndian(UInt32(7))
        bytes.append(1)
      }
      return bytes
    },
    Case("an ONNX model of a million inputs", says: "more than 65536 inputs") {
      onnx(graph: repeated([0x5A, 0], 1_000_000))
    },
    Case("an ONNX node of long names", says: "expand to far more") {
      // A node whose graph contains 20,000 initializers, each named after it.
      let tensor: [UInt8] = [0x08, 0, 0x10, 1, 0x42, 1, 0x61]
      var attributes: [UInt8] = []
      for index in 0..<20_000 {
        var named = tensor
        named[6] = UInt8(0x21 + index % 90)
        let graph = field(5, named)
        attributes += field(
          5, field(1, littleEndian(UInt32(0x3030_3030 + index))) + field(6, graph))
      }
      let name = field(3, [UInt8](repeating: 0x6E, count: 1 << 20))
      return onnx(graph: field(1, name + attributes))
    },
  ]

  /// A field of a Protocol Buffers message.
  static func field(_ number: Int, _ bytes: [UInt8]) -> [UInt8] {
    var output = [UInt8(number << 3 | 2)]
    var length = bytes.count
    while length > 127 {
      output.append(UInt8(length & 127 | 128))
      length >>= 7
    }
    return output + [UInt8(length)] + bytes
  }

  static func onnx(graph: [UInt8]) -> [UInt8] {
    // ir_version 8, a producer, then the graph after an empty node.
    [0x08, 8] + field(2, Array("x".utf8)) + field(7, field(1, []) + graph)
  }

  static let archives: [Case] = [
    Case("storages that inflate a thousandfold", says: "are compressed or big-endian take more") {
      bomb(storages: 2000)
    },
    Case("a pickle that inflates a thousandfold", says: "is the limit") {
      var record = ZipBuilder.Record(
        "archive/data.pkl", ZipBuilder.deflatedRun(of: UInt8(ascii: "]"), count: 60_000_000))
      record.method = 8
      record.size = 60_000_000
      record.checksum = 0
      return TorchBuilder.archive().with { $0.records[0] = record }.bytes
    },
    Case("100,000 records", says: "without data.pkl") {
      ZipBuilder((0..<100_000).map { ZipBuilder.Record("r/\($0)", []) })
        .with { $0.hasWideEnd = true }.bytes
    },
    Case("records that announce 2^63 bytes", says: "do not fit") {
      TorchBuilder.archive().with {
        $0.records[2].writesWideSizes = true
        $0.records[2].flags = 8
        $0.records[2].size = .max
        $0.records[2].centralCompressedSize = .max
      }.bytes
    },
    Case("records that overlap", says: "overlaps") {
      TorchBuilder.archive().with {
        $0.records[0].flags = 8
        $0.records[0].size = $0.records[0].data.count + 40
        $0.records[0].centralCompressedSize = $0.records[0].data.count + 40
      }.bytes
    },
    Case("an encrypted record", says: "encrypted") {
      TorchBuilder.archive().with { $0.records[2].flags = 0x41 }.bytes
    },
    Case("names that leave the archive", says: "not a path inside the archive") {
      TorchBuilder.archive(more: [ZipBuilder.Record("../../x", [1])]).bytes
    },
    Case("a sparse file of 8 GB", says: "begins with zeros", header: 0) { [] },
  ]

  /// Deflated storages of 40,000 zeros each.
  static func bomb(storages count: Int) -> [UInt8] {
    let size = 40_000
    let data = ZipBuilder.deflatedRun(of: 0, count: size)
    let checksum = ZipBuilder.checksum([UInt8](repeating: 0, count: size))
    var bytes = pickle(0x80, 2, "}(")
    var records: [ZipBuilder.Record] = []
    for index in 0..<count {
      let storage = TorchBuilder.storage("ByteStorage", key: "z\(index)", count: size)
      bytes += TorchBuilder.text("w\(index)")
      bytes += TorchBuilder.tensor(storage: storage, sizes: [size], strides: [1])
      var record = ZipBuilder.Record("archive/data/z\(index)", data)
      record.method = 8
      record.size = size
      record.checksum = checksum
      records.append(record)
    }
    return TorchBuilder.archive(bytes + pickle("u."), more: records).bytes
  }

  /// Whether the kernel enforces the limit: with a megabyte, this program cannot start.
  static let isLimited: Bool = {
    let path = Fixtures.path("formats/types.safetensors")
    let run = try? Tool.measure("sdinspect", ["summary", path], dataLimit: 1 << 20)
    if run?.result.status == 0 {
      print("the kernel does not enforce ulimit -d: memory is not checked")
    }
    return run?.result.status != 0
  }()

  @Test(arguments: pickles + headers + archives, ["summary", "tensors"])
  func fileIsAnswered(_ hostile: Case, command: String) throws {
    try withTemporaryFolder { folder in
      let path = folder + "/file"
      let bytes = hostile.make()
      if bytes.isEmpty {
        #expect(FileManager.default.createFile(atPath: path, contents: nil))
        #expect(truncate(path, 8_000_000_000) == 0)
      } else {
        try Data(bytes).write(to: URL(filePath: path))
      }
      _ = HostileFilesTests.isLimited
      let limit = (80 << 20) + HostileFilesTests.baseline + (hostile.header ?? bytes.count)
      let run = try Tool.measure("sdinspect", [command, path, "--json"], dataLimit: limit)
      #expect(run.processorSeconds < HostileFilesTests.secondsLimit)
      guard let says = hostile.says else {
        #expect(run.result.status == 0)
        #expect(run.result.output.hasPrefix("{\n  \"version\": 1"))
        return
      }
      #expect(run.result.status == 65)
      let error = try JSON(parsing: run.result.errors)["error"]
      #expect(error?["message"]?.string?.contains(says) == true, "\(run.result.errors)")
    }
  }
}

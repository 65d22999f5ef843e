import Foundation
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

/// Checkpoints as PyTorch before version 0.1.10 wrote them.
@Suite struct TarTests {
  static let file = ExpectedFile.manifest(Fixtures.path("formats/tar.json"))

  /// torch.load read the same from tar.pt; Fixtures/formats/make_tar.py made it.
  @Test(arguments: file)
  func fileHoldsWhatItsReferenceReads(_ expected: ExpectedFile) throws {
    let file = try TensorFile.open(Fixtures.path("formats/\(expected.file)"))
    #expect(expected.tensors?.members.count == 7)
    #expect(file.format == .pytorch)
    #expect(file.warnings == [])
    expected.check(file)
    guard case .mapped? = file["nested.part"]?.storage else {
      Issue.record("a view of a view is not used in place")
      return
    }
  }

  // MARK: Building

  /// A member with its header; the checksum can be set to something false.
  static func member(
    _ name: String, _ data: [UInt8], size: String? = nil, type: UInt8 = 0x30, checksum: Int? = nil
  ) -> [UInt8] {
    var header = [UInt8](repeating: 0, count: 512)
    header.replaceSubrange(0..<name.utf8.count, with: name.utf8)
    let octal = size ?? String(data.count, radix: 8)
    header.replaceSubrange(124..<(124 + octal.utf8.count), with: octal.utf8)
    header.replaceSubrange(148..<156, with: [UInt8](repeating: 32, count: 8))
    header[156] = type
    header.replaceSubrange(257..<263, with: "ustar\0".utf8)
    let sum = checksum ?? header.reduce(0) { $0 + Int($1) }
    let digits = String(sum, radix: 8)
    header.replaceSubrange(148..<(148 + digits.utf8.count), with: digits.utf8)
    header[148 + digits.utf8.count] = 0
    let padding = (512 - data.count % 512) % 512
    return header + data + [UInt8](repeating: 0, count: padding)
  }

  static func number(_ value: Int) -> [UInt8] {
    pickle(0x80, 2, TorchBuilder.integer(value), ".")
  }

  /// A storage of six floats under key 1.
  static func storage(count: Int = 6, elements: Int64 = 6, key: [UInt8] = TorchBuilder.integer(1))
    -> [UInt8]
  {
    number(count)
      + pickle(
        0x80, 2, key, TorchBuilder.text("cpu"), "ctorch\nFloatStorage\n", 0x87, ".")
      + littleEndian(elements) + TorchBuilder.values
  }

  static func views(_ views: [[Int]] = []) -> [UInt8] {
    pickle(0x80, 2, "](", views.flatMap(TorchBuilder.tuple), "e.")
  }

  /// A tensor of 2 by 3 under key 10.
  static func tensor(
    storage: Int = 1, rank: Int64 = 2, numbers: [Int64] = [2, 3, 3, 1, 0], key: Int = 10
  ) -> [UInt8] {
    pickle(
      0x80, 2, TorchBuilder.integer(key), TorchBuilder.integer(storage), "ctorch\nFloatTensor\n",
      0x87, ".") + littleEndian(rank) + numbers.flatMap(littleEndian)
  }

  static func object(_ key: String = "10") -> [UInt8] {
    pickle(
      0x80, 2, "}", TorchBuilder.text("w"), TorchBuilder.text(key), "Qs.")
  }

  static func archive(
    storages: [UInt8] = storage(count: 1) + views(), tensors: [UInt8] = number(1) + tensor(),
    object: [UInt8] = object(), more: [UInt8] = []
  ) -> [UInt8] {
    member("sys_info", number(0)) + member("./storages", storages) + member("tensors", tensors)
      + member("pickle", object) + more + [UInt8](repeating: 0, count: 1024)
  }

  @Test func builtFileIsRead() throws {
    let directory = try ScratchDirectory()
    let file = try TensorFile.open(try directory.write(TarTests.archive()))
    #expect(try TensorFile.sniff(file.path) == .tar)
    #expect(file.tensors.map(\.shape) == [[2, 3]])
    #expect(file["w"]?.contiguousBytes() == TorchBuilder.values)
  }

  /// A parameter as it was pickled before `_rebuild_parameter`: an instance around its tensor.
  @Test func oldParametersAreRead() throws {
    let object = pickle(
      0x80, 2, "}", TorchBuilder.text("p"), "ctorch.nn.parameter\nParameter\n",
      TorchBuilder.text("10"), "Q", 0x85, 0x81, 0x88, 0x89, "N", 0x87, "bs.")
    let directory = try ScratchDirectory()
    let path = try directory.write(TarTests.archive(object: object))
    #expect(try TensorFile.open(path)["p"]?.contiguousBytes() == TorchBuilder.values)
  }

  // MARK: Refusing

  struct Refusal: CustomTestStringConvertible {
    let testDescription: String
    let bytes: [UInt8]
    let message: String
    let context: String?
    let code: FormatError.Code

    init(
      _ name: String, _ bytes: [UInt8], _ message: String, in context: String? = nil,
      _ code: FormatError.Code = .malformed
    ) {
      testDescription = name
      self.bytes = bytes
      self.message = message
      self.context = context
      self.code = code
    }
  }

  static let refusals: [Refusal] = [
    Refusal(
      "no checkpoint", member("readme", [1]), "this is a tar archive, not a file of tensors",
      .unrecognized),
    Refusal(
      "no tensors", member("storages", storage(count: 1) + views()) + member("pickle", object()),
      "this is a checkpoint of PyTorch before version 0.1.10, but the member tensors is missing"),
    Refusal("checksum", member("a", [], checksum: 9), "a tar header's checksum is wrong"),
    Refusal(
      "size that is none", member("a", [], size: "8"), "a tar member's size is not an octal number",
      in: "a"),
    Refusal(
      "size beyond the file", member("a", [], size: "77777777777"),
      "the member has 8589934591 bytes where 0 are left", in: "a", .truncated),
    Refusal(
      "two members", archive(more: member("storages", [])),
      "duplicate member name", in: "storages"),
    Refusal(
      "negative count of storages", archive(storages: number(-1)),
      "invalid number of storages"),
    Refusal(
      "count that is text", archive(tensors: pickle(0x80, 2, TorchBuilder.text("1"), ".")),
      "invalid number of tensors"),
    Refusal(
      "too many storages", archive(storages: number(65_537)),
      "the file holds 65537 storages; 65536 is the limit", .unsupported),
    Refusal(
      "too many tensors", archive(tensors: number(.max)),
      "the file holds 9223372036854775807 tensors; 65536 is the limit", .unsupported),
    Refusal(
      "storage that is none", archive(storages: number(1) + number(3)),
      "a storage is not described"),
    Refusal(
      "storage beyond the member", archive(storages: storage(count: 1, elements: 7)),
      "storage 1 has 7 elements where 24 bytes are left", .truncated),
    Refusal(
      "giant storage", archive(storages: storage(count: 1, elements: .max)),
      "storage 1 has 9223372036854775807 elements where 24 bytes are left", .truncated),
    Refusal(
      "negative storage", archive(storages: storage(count: 1, elements: -1)),
      "storage 1 has -1 elements where 24 bytes are left", .truncated),
    Refusal(
      "storage twice",
      archive(
        storages: storage(count: 2) + storage(count: 0).dropFirst(number(0).count) + views()),
      "storage 1 is duplicated"),
    Refusal(
      "views that are none", archive(storages: storage(count: 1) + number(1)),
      "the storage views are not a list"),
    Refusal(
      "view beyond", archive(storages: storage(count: 1) + views([[2, 1, 3, 4]])),
      "a view exceeds its storage"),
    Refusal(
      "view of nothing", archive(storages: storage(count: 1) + views([[2, 9, 0, 1]])),
      "a view exceeds its storage"),
    Refusal(
      "view that overflows", archive(storages: storage(count: 1) + views([[2, 1, .max, .max]])),
      "a view exceeds its storage"),
    Refusal(
      "tensor of no storage", archive(tensors: number(1) + tensor(storage: 7)),
      "a tensor is not described"),
    Refusal(
      "65 dimensions", archive(tensors: number(1) + tensor(rank: 65)),
      "tensor 10 has 65 dimensions"),
    Refusal(
      "cut tensor", archive(tensors: number(1) + tensor(numbers: [2, 3])),
      "the member ends early: needs 8 bytes, but only 0 remain", .truncated),
    Refusal(
      "tensor twice", archive(tensors: number(2) + tensor() + tensor()), "tensor 10 is duplicated"),
    Refusal(
      "tensor beyond its storage",
      archive(tensors: number(1) + tensor(numbers: [2, 3, 3, 1, 1])),
      "it exceeds its storage 1 of 6 elements: offset 1, sizes [2, 3], strides [3, 1]",
      in: "w"),
    Refusal(
      "negative size", archive(tensors: number(1) + tensor(numbers: [-2, 3, 3, 1, 0])),
      "an offset, size or stride is negative: 0, [-2, 3], [3, 1]", in: "w"),
    Refusal(
      "dangling tensor", archive(object: object("11")),
      "the object refers to a tensor 11, which is missing", in: "w"),
  ]

  @Test(arguments: refusals)
  func wrongFileIsRefused(_ refusal: Refusal) throws {
    let error = try #require(try openingError(refusal.bytes))
    #expect(error.message == refusal.message)
    #expect(error.context == refusal.context)
    #expect(error.code == refusal.code)
  }

  @Test func everyTruncationIsRefused() throws {
    let whole = TarTests.archive()
    for count in stride(from: 512, to: whole.count - 1536, by: 101) {
      #expect(try openingError(Array(whole.prefix(count))) != nil, "\(count)")
    }
  }
}

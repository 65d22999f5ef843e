import Crypto
import Foundation
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

/// Tensors below objects of all kinds, and storages that no tensor uses.
@Suite struct ContainerTests {
  /// What Fixtures/formats/make_containers.py says that both of its files hold, by name.
  static let expected: [String: String] = {
    let text = (try? Fixtures.text("formats/containers.json")) ?? ""
    let members = (try? JSON(parsing: text).object?.members) ?? []
    return Dictionary(uniqueKeysWithValues: members.map { ($0.key, $0.value.string ?? "") })
  }()

  /// Namedtuples, dataclasses, sets, subclasses of dictionaries and tensors, parameters that are
  /// written as calls, attributes of tensors and modules, keys: every tensor is found and named.
  @Test(arguments: ["containers.pt", "containers_legacy.pt"])
  func everyTensorIsFound(_ name: String) throws {
    let file = try TensorFile.open(Fixtures.path("formats/\(name)"))
    let digests = file.tensors.map { tensor in
      let digest = tensor.withContiguousBytes { SHA256.hash(data: $0) }
      return (tensor.name, digest.map { String(format: "%02x", $0) }.joined())
    }
    #expect(digests.count == 52)
    #expect(Dictionary(digests, uniquingKeysWith: { first, _ in first }) == ContainerTests.expected)
    // A lone storage is not a tensor.
    #expect(file.unread.map(\.byteCount) == [6])
    #expect(file.unread.allSatisfy { $0.kind == .storage })
    #expect(file.warnings.allSatisfy { !$0.contains("left out") })
  }

  /// How PyTorch up to 0.4 wrote parameters and variables, by the instructions that follow the
  /// tensor.
  @Test(
    arguments: [
      ("ctorch.nn.parameter\nParameter\n", pickle(0x85, "R")),
      ("ctorch.nn.parameter\nParameter\n", pickle(0x88, 0x86, "R")),
      ("ctorch.nn.parameter\nParameter\n", pickle(0x85, "R", 0x88, 0x89, "N", 0x87, "b")),
      ("ctorch.nn.parameter\nParameter\n", pickle(0x85, 0x81)),
      ("ctorch.nn.parameter\nParameter\n", pickle(0x85, 0x81, 0x88, 0x89, "N", 0x87, "b")),
      ("ctorch.autograd.variable\nVariable\n", pickle(0x85, "R", 0x88, 0x89, "N", 0x87, "b")),
      ("ctorch.autograd\nVariable\n", pickle(0x85, 0x81)),
      ("cvendor.layers\nShardedParameter\n", pickle(0x85, "R")),
      // `__newobj__` as a call, as protocols 0 and 1 have it.
      ("ccopy_reg\n__newobj__\nctorch.nn.parameter\nParameter\n", pickle(0x86, "R")),
    ] as [(String, [UInt8])])
  func oldParametersAreRead(_ type: String, _ call: [UInt8]) throws {
    let directory = try ScratchDirectory()
    let tensor = pickle(type, TorchBuilder.tensor(), call)
    let path = try directory.write(TorchBuilder.archive(TorchBuilder.dictionary(tensor)).bytes)
    let file = try TensorFile.open(path)
    #expect(file.tensors.map(\.name) == ["w"])
    #expect(file["w"]?.contiguousBytes() == TorchBuilder.values)
    #expect(file.unread == [])
  }

  @Test func storagesWithoutATensorAreNamed() throws {
    let directory = try ScratchDirectory()
    let archive = TorchBuilder.archive(more: [
      .init("archive/data/1", [1, 2, 3]), .init("archive/data/2", []),
      .init("archive/.data/serialization_id", [1]),
    ])
    let file = try TensorFile.open(try directory.write(archive.bytes))
    #expect(file.tensors.map(\.name) == ["w"])
    #expect(
      file.unread == [
        UnreadValues(
          .storage, "archive/data/1", byteCount: 3, reason: "no tensor uses this storage")
      ])
    #expect(
      UnreadValues.warning(file.unread)
        == "1 storage (3 bytes) not used by any tensor: archive/data/1")
  }

  /// A tensor of an unsupported kind is named; its storages count as used.
  @Test func unreadTensorsAreNamed() throws {
    let file = try TensorFile.open(Fixtures.path("formats/left_out.pt"))
    let tensors = file.unread.filter { $0.kind == .tensor }
    #expect(!tensors.isEmpty)
    for tensor in tensors { #expect(file.warnings.contains("\(tensor.name): \(tensor.reason)")) }
    #expect(!file.unread.contains { $0.kind == .storage })
  }

  @Test func namesOfThePickleAreTold() throws {
    let directory = try ScratchDirectory()
    let bytes = pickle(
      0x80, 2, "}(", TorchBuilder.text("w"), TorchBuilder.tensor(), TorchBuilder.text("x"),
      "cos\nsystem\n", TorchBuilder.text("y"), "cvendor\nThing\n", "u.")
    let file = try TensorFile.open(try directory.write(TorchBuilder.archive(bytes).bytes))
    #expect(file.safety.dangerous.map(\.name) == ["os.system"])
    #expect(file.safety.unknown.map(\.name) == ["vendor.Thing"])
  }
}

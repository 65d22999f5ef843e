import Foundation
import ModelFormats
import TestSupport
import Testing

private typealias PB = ProtobufBuilder

/// Names in models, compared by bytes, not appearance, and the files that they lead to.
@Suite struct ONNXNameTests {
  /// "é" as one character and as two are two names, of files as of operators.
  @Test func namesThatLookAlikeAreTold() throws {
    let directory = try ScratchDirectory()
    let names = ["\u{e9}", "e\u{301}"]
    for (index, name) in names.enumerated() { try directory.write([1, UInt8(index)], as: name) }
    let tensors = names.flatMap {
      PB.tensor($0, PB.pair(13, "location", $0) + PB.integer(14, 1))
    }
    let nodes = names.flatMap { PB.bytes(1, PB.text(4, $0)) }
    let file = try TensorFile.open(try directory.write(PB.model(tensors, nodes), as: "model.onnx"))
    #expect(file.tensors.map { $0.contiguousBytes() } == [[1, 0], [1, 1]])
    let operators = file.metadata.filter { $0.key.hasPrefix("operator ") }
    #expect(
      operators.map { Array($0.key.utf8) }
        == ["operator e\u{301}", "operator \u{e9}"].map { Array($0.utf8) })
    #expect(operators.map(\.value) == ["1", "1"])
  }

  /// A combining mark after a slash does not hide the parent directory before it.
  @Test(arguments: [
    ("../\u{301}w", #"leaves the directory with "..""#), ("/\u{301}w", "is an absolute path"),
    ("a//\u{301}w", "contains an empty component"),
  ])
  func locationIsReadByItsBytes(location: String, reason: String) throws {
    let directory = try ScratchDirectory()
    let before = PB.tensor("v")
    let tensor = PB.tensor(PB.pair(13, "location", location) + PB.integer(14, 1))
    let model = PB.model(before, tensor)
    let error = try #require(throws: FormatError.self) {
      try TensorFile.open(try directory.write(model, as: "model.onnx"))
    }
    #expect(error.message == "the location of its external data \(reason)")
    #expect(error.offset == model.count - tensor.count)
    #expect(error.context == "w")
    #expect(error.code == .malformed)
  }

  @Test func linkOutOfTheDirectoryIsRefused() throws {
    let elsewhere = try ScratchDirectory()
    try elsewhere.write([1, 2], as: "secret")
    let directory = try ScratchDirectory()
    try FileManager.default.createSymbolicLink(
      atPath: directory.path("w.bin"), withDestinationPath: elsewhere.path("secret"))
    let message = PB.tensor(PB.pair(13, "location", "w.bin"), PB.integer(14, 1))
    let path = try directory.write(PB.model(message), as: "model.onnx")
    let error = try #require(throws: FormatError.self) { try TensorFile.open(path) }
    #expect(error.code == .malformed)
    #expect(
      error.message
        == "its external data w.bin is a symbolic link that leads out of the model's directory")
    #expect(error.context == "w")
  }
}

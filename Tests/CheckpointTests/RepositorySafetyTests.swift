import Checkpoint
import Foundation
import ModelFormats
import TestSupport
import Testing

/// What unread files of a repository would run.
@Suite struct RepositorySafetyTests {
  private static let attack = Array("cposix\nsystem\n(Vid\ntR.".utf8)

  /// Shards that only an unread index names, and pickles in directories without weights.
  @Test(arguments: [
    "unet/x.dat", "scheduler/scheduler.bin", "tokenizer/inner/x.pkl", "learned_embeds.bin",
  ])
  func everyFileIsLookedThrough(_ name: String) throws {
    let scratch = try Scratch()
    let model = try scratch.linkedRepository()
    try FileManager.default.createDirectory(
      atPath: scratch.path("model/tokenizer/inner"), withIntermediateDirectories: true)
    #expect(try ModelCheckpoint.open(model).safety.verdict == .safe)
    try scratch.write(RepositorySafetyTests.attack, as: "model/\(name)")
    let index = #"{"metadata":{},"weight_map":{"a":"x.dat"}}"#
    try scratch.write(Array(index.utf8), as: "model/unet/pytorch_model.bin.index.json")
    let safety = try ModelCheckpoint.open(model).safety
    #expect(safety.dangerous.map(\.name) == ["posix.system"])
    #expect(safety.dangerous.map(\.file) == [name])
  }

  /// A link to a directory is not followed, and is reported.
  @Test func linkToDirectoryIsTold() throws {
    let scratch = try Scratch()
    let folder = scratch.path("folder")
    let other = scratch.path("other")
    for path in [folder, other] {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    try scratch.write(RepositorySafetyTests.attack, as: "other/x.pkl")
    try FileManager.default.createSymbolicLink(
      atPath: folder + "/link", withDestinationPath: other)
    var files: [FileSafety] = []
    FileSafety.scan(folder) { files.append($0) }
    #expect(files.map(\.path) == [folder + "/link"])
    #expect(files.map(\.safety.verdict) == [.unknown])
    #expect(files.map(\.safety.notes) == [["a link to a directory, which was not followed"]])
  }
}

import ModelFormats
import TestSupport
import Testing

/// Files that torch and safetensors wrote, with what they read from them; Fixtures/formats/make.py
/// made both.
@Suite struct FixtureTests {
  static let files = ExpectedFile.manifest(Fixtures.path("formats/expected.json"))

  @Test func fixturesAreThere() {
    #expect(FixtureTests.files.count == 17)
  }

  @Test(arguments: files)
  func fileHoldsWhatItsReferenceReads(_ expected: ExpectedFile) throws {
    expected.check(try TensorFile.open(Fixtures.path("formats/\(expected.file)")))
  }

  /// safetensors 0.8.0 wrote `types.safetensors`; our header has the same order and spacing.
  @Test func referenceOrderGivesTheReferencesBytes() throws {
    let path = Fixtures.path("formats/types.safetensors")
    let file = try TensorFile.open(path)
    let directory = try ScratchDirectory()
    try Safetensors.write(
      file.tensors.shuffled(), metadata: file.metadata, to: directory.path("out"),
      order: .reference)
    let reference = try MappedFile(path: path)
    #expect(
      try directory.contents("out") == reference.withBytes(in: 0..<reference.count) { [UInt8]($0) })
  }

  @Test(arguments: FixtureTests.files.map(\.file).filter { !$0.hasSuffix(".safetensors") })
  func tensorsSurviveTheWayThroughSafetensors(_ name: String) throws {
    let source = try TensorFile.open(Fixtures.path("formats/\(name)"))
    let tensors = source.tensors.filter(\.dtype.isSafetensors)
    let directory = try ScratchDirectory()
    try Safetensors.write(tensors, to: directory.path("out"))
    let copy = try TensorFile.open(directory.path("out"))
    #expect(copy.tensors.map(\.info) == tensors.map(\.info))
    #expect(copy.tensors.map { $0.contiguousBytes() } == tensors.map { $0.contiguousBytes() })
  }

  @Test func whatIsLeftOutIsSaid() throws {
    let file = try TensorFile.open(Fixtures.path("formats/left_out.pt"))
    #expect(
      file.warnings == [
        "quantized: unsupported constructor _rebuild_qtensor; tensor skipped",
        "sparse: unsupported constructor _rebuild_sparse_tensor; tensor skipped",
      ])
  }

  @Test func storagesAreUsedInPlace() throws {
    let file = try TensorFile.open(Fixtures.path("formats/views.pt"))
    let whole = try #require(file["whole"])
    let rows = try #require(file["rows"])
    guard case .mapped = whole.storage, case .mapped = rows.storage else {
      Issue.record("a contiguous view is not used in place")
      return
    }
    #expect(file["tied"]?.offset == whole.offset)
    #expect(try #require(rows.offset) == #require(whole.offset) + 6 * 4)
    #expect(try #require(whole.offset) % 64 == 0)
  }
}

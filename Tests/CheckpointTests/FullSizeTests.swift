import Checkpoint
import FlatFormat
import Foundation
import ModelFormats
import TestSupport
import Testing

/// Stable Diffusion v1.5 at its real size.
@Suite(.serialized, .fullSize)
struct FullSizeTests {
  /// The published shapes, added up.
  @Test(arguments: WeightsFormat.allCases)
  func countsThePublishedShapes(format: WeightsFormat) throws {
    let path = try #require(Fixtures.fullSize)
    let clock = ContinuousClock()
    var summary: Summary?
    let time = try clock.measure {
      summary = Summary(try ModelCheckpoint.open(path, preferring: format))
    }
    let components = try #require(summary).components
    #expect(components.map(\.parameters) == [123_060_480, 859_520_964, 83_653_863])
    #expect(components.map(\.tensors) == [197, 686, 248])
    #expect(components.map(\.buffers) == [77, 0, 0])
    #expect(summary?.warnings == [])
    // Each of the twelve layers, and what is around them.
    #expect(
      components[0].terms.map(\.parameters)
        == [37_945_344, 59_136] + [Int](repeating: 7_087_872, count: 12) + [1_536])
    #if !DEBUG
      #expect(time < .milliseconds(300))
    #endif
    print("summary of \(path) as \(format.rawValue): \(time)")
  }

  @Test func holdsTheSameInBothFormats() throws {
    let path = try #require(Fixtures.fullSize)
    let left = try ModelCheckpoint.open(path, preferring: .safetensors)
    let right = try ModelCheckpoint.open(path, preferring: .bin)
    for (left, right) in zip(left.components, right.components) {
      #expect(left.format == .safetensors && right.format == .pytorch)
      let digests = Dictionary(
        uniqueKeysWithValues: zip(
          right.tensors.map(\.name), try TensorDigest.sha256(of: right.tensors)))
      for (tensor, digest) in zip(left.tensors, try TensorDigest.sha256(of: left.tensors)) {
        #expect(digests[tensor.name] == digest, "\(tensor.name)")
      }
    }
  }

  /// Needs as much free space as the repository takes, where temporary files are.
  @Test func convertsToAFlatFile() throws {
    let path = try #require(Fixtures.fullSize)
    let scratch = try Scratch()
    let source = try ModelCheckpoint.open(path)
    let clock = ContinuousClock()
    let time = try clock.measure {
      try Conversion(of: source, to: .sdflat, at: scratch.path("full.sdflat")).execute()
    }
    print("conversion of \(path) to sdflat: \(time)")
    let flat = try ModelCheckpoint.open(scratch.path("full.sdflat"))
    for (left, right) in zip(source.components, flat.components) {
      let digests = Dictionary(
        uniqueKeysWithValues: zip(
          left.tensors.map(\.name), try TensorDigest.sha256(of: left.tensors)))
      for (tensor, digest) in zip(right.tensors, try TensorDigest.sha256(of: right.tensors)) {
        #expect(digests[tensor.name] == digest, "\(tensor.name)")
      }
    }
    #expect(try FlatFile.verify(scratch.path("full.sdflat")).isSound)
  }
}

import Checkpoint
import Foundation
import ModelFormats
import TestSupport
import Testing

/// Random corruptions of a .sdflat file: none crashes, none goes unnoticed.
@Suite struct CorruptionTests {
  /// The number of corruptions; SDLOOM_CORRUPTIONS requests more than a quick run has time for.
  static let count =
    ProcessInfo.processInfo.environment["SDLOOM_CORRUPTIONS"].flatMap(Int.init) ?? 400

  /// The same numbers on every run: splitmix64.
  struct Random: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
      state &+= 0x9E37_79B9_7F4A_7C15
      var z = state
      z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
      return z ^ z >> 31
    }
  }

  enum Kind: CaseIterable {
    case flippedBit, flippedBits, byteOfHeader, truncated, extended, splicedHeader, swappedRegions
    case movedBytes
  }

  static func corrupt(
    _ bytes: [UInt8], _ other: [UInt8], _ kind: Kind, _ random: inout Random
  ) -> [UInt8] {
    var bytes = bytes
    let headerEnd = 64 + Int(bytes[16]) + Int(bytes[17]) << 8 + Int(bytes[18]) << 16
    func place(_ limit: Int) -> Int { Int.random(in: 0..<limit, using: &random) }
    switch kind {
    case .flippedBit:
      bytes[place(bytes.count)] ^= 1 << UInt8(place(8))
    case .flippedBits:
      for _ in 0..<(2 + place(30)) { bytes[place(bytes.count)] ^= 1 << UInt8(place(8)) }
    case .byteOfHeader:
      bytes[place(headerEnd)] = UInt8(place(256))
    case .truncated:
      bytes.removeLast(1 + place(bytes.count))
    case .extended:
      bytes += (0..<(1 + place(5000))).map { _ in UInt8(place(256)) }
    case .splicedHeader:
      // The beginning of another valid file, of a random length.
      let length = 1 + place(min(other.count, 2 * headerEnd))
      bytes.replaceSubrange(..<min(length, bytes.count), with: other[..<length])
    case .swappedRegions:
      let length = 64 * (1 + place(64))
      let first = place(bytes.count - length)
      let second = place(bytes.count - length)
      let moved = Array(bytes[first..<(first + length)])
      bytes.replaceSubrange(first..<(first + length), with: bytes[second..<(second + length)])
      bytes.replaceSubrange(second..<(second + length), with: moved)
    case .movedBytes:
      let length = 1 + place(4096)
      let from = place(bytes.count - length)
      bytes.insert(contentsOf: bytes[from..<(from + length)], at: place(bytes.count))
    }
    return bytes
  }

  @Test func noneGoesUnnoticed() throws {
    let scratch = try Scratch()
    // Small, with two components and files, so that most bytes are header and padding.
    var tensors: [Tensor] = (0..<24).map { index in
      .floats("layer.\(index).weight", (0..<(index * 16)).map { Float($0) })
    }
    tensors.append(.floats("wide", (0..<20_000).map { Float($0) }))
    for (name, values) in [("a", tensors), ("b", Array(tensors.dropFirst(5)))] {
      try Safetensors.write(values, to: scratch.path(name))
      try ConversionTests.convert(scratch.path(name), to: .sdflat, at: scratch.path("\(name).flat"))
    }
    let sound = try scratch.contents("a.flat")
    let other = try scratch.contents("b.flat")
    try FlatTools.requireSound(scratch.path("a.flat"))

    var random = Random(state: 2026)
    var changed = 0
    let path = scratch.path("corrupt")
    var number = 0
    while changed < CorruptionTests.count {
      defer { number += 1 }
      let kind = Kind.allCases[number % Kind.allCases.count]
      let bytes = CorruptionTests.corrupt(sound, other, kind, &random)
      // Skip corruptions that change nothing, or that produce the other valid file.
      guard bytes != sound, bytes != other else { continue }
      changed += 1
      try Data(bytes).write(to: URL(filePath: path))
      let error = try failure { try FlatTools.requireSound(path) }
      #expect(error != nil, "corruption \(number), \(kind), went unnoticed")
    }
    print("CorruptionTests: \(changed) corruptions, all noticed")
  }
}

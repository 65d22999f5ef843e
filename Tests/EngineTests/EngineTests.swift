import CKernels
import Glibc
import Testing

/// All tests of the engine, one after another: they would crowd the cores otherwise.
@Suite(.serialized)
struct EngineTests {}

/// An instruction set level of the kernels, forced for a test.
struct InstructionSet: Sendable, CustomTestStringConvertible {
  let level: sdk_isa
  let testDescription: String

  static let all = [
    InstructionSet(level: SDK_PLAIN, testDescription: "plain"),
    InstructionSet(level: SDK_AVX2, testDescription: "AVX2"),
    InstructionSet(level: SDK_AVX512, testDescription: "AVX-512"),
  ]

  /// Those that this CPU has; a CPU without the others cannot test them.
  static let available = all.filter { $0.level.rawValue <= sdk_isa_best().rawValue }

  /// Runs `body` with the kernels at this level.
  func using<R>(_ body: () throws -> R) rethrows -> R {
    let before = sdk_isa_current()
    sdk_isa_force(level)
    defer { sdk_isa_force(before) }
    return try body()
  }
}

/// Values as a kernel reads and writes them, at an unaligned address.
final class Stored {
  let type: sdk_type
  let count: Int
  private let base: UnsafeMutableRawPointer

  var bytes: UnsafeMutableRawPointer { base + 4 }

  /// Values rounded to `type`.
  init(_ values: [Float], _ type: sdk_type) {
    self.type = type
    count = values.count
    base = .allocate(byteCount: count * 4 + 8, alignment: 64)
    sdk_convert(values, SDK_F32, bytes, type, count)
  }

  /// What `write` writes; unwritten values stay NaN, and a write beyond the end is detected.
  init(count: Int, _ type: sdk_type, _ write: (UnsafeMutableRawPointer) -> Void) {
    self.type = type
    self.count = count
    let size = count * sdk_type_size(type)
    base = .allocate(byteCount: count * 4 + 8, alignment: 64)
    memset(base, 0xff, count * 4 + 8)
    write(bytes)
    let guards = UnsafeRawBufferPointer(start: bytes + size, count: 4)
    #expect(guards.allSatisfy { $0 == 0xff }, "written beyond the end")
  }

  deinit { base.deallocate() }

  var values: [Float] {
    [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
      sdk_convert(bytes, type, buffer.baseAddress, SDK_F32, count)
      initialized = count
    }
  }

  subscript(index: Int) -> Float { values[index] }
}

/// Sebastiano Vigna's SplitMix64: the same numbers on every run.
struct SplitMix {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  private mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  /// A number from zero to one less than `limit`.
  mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(limit)) }

  /// Approximately normal numbers: sums of twelve uniform ones.
  mutating func normals(_ count: Int, mean: Double = 0, deviation: Double = 1) -> [Float] {
    (0..<count).map { _ in
      let sum = (0..<12).reduce(0.0) { sum, _ in sum + Double(next() >> 11) * 0x1p-53 }
      return Float(mean + deviation * (sum - 6))
    }
  }
}

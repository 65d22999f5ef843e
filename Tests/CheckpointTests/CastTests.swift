import CKernels
import Checkpoint
import Crypto
import ModelFormats
import Testing

/// The C casts against numpy, torch, Swift's own Float16, and their plain versions.
@Suite struct CastTests {
  typealias Function = (UnsafeRawPointer?, UnsafeMutableRawPointer?, Int) -> Void

  static func narrow(_ function: Function, _ bits: [UInt32]) -> [UInt16] {
    var output = [UInt16](repeating: 0xAAAA, count: bits.count)
    bits.withUnsafeBytes { source in
      output.withUnsafeMutableBytes { function(source.baseAddress, $0.baseAddress, bits.count) }
    }
    return output
  }

  static func widen(_ function: Function, _ bits: [UInt16]) -> [UInt32] {
    var output = [UInt32](repeating: 0xAAAA_AAAA, count: bits.count)
    bits.withUnsafeBytes { source in
      output.withUnsafeMutableBytes { function(source.baseAddress, $0.baseAddress, bits.count) }
    }
    return output
  }

  /// F32 bits with the F16 of numpy 2 and the BF16 of torch 2.15:
  /// `np.array(bits, "u4").view("f4").astype("f2").view("u2")` and
  /// `torch.from_numpy(a).to(torch.bfloat16).view(torch.int16)`.
  static let goldens: [(single: UInt32, half: UInt16, brain: UInt16)] = [
    (0x0000_0000, 0x0000, 0x0000), (0x8000_0000, 0x8000, 0x8000),
    (0x3F80_0000, 0x3C00, 0x3F80), (0xBF80_0000, 0xBC00, 0xBF80),
    // Around half of the least subnormal half.
    (0x3300_0000, 0x0000, 0x3300), (0x3300_0001, 0x0001, 0x3300),
    (0x3380_0000, 0x0001, 0x3380), (0x33C0_0000, 0x0002, 0x33C0),
    (0xB3C0_0000, 0x8002, 0xB3C0),
    // From the largest subnormal half to the least normal one.
    (0x387F_C000, 0x03FF, 0x3880), (0x387F_E000, 0x0400, 0x3880),
    (0x387F_E001, 0x0400, 0x3880), (0x3880_0000, 0x0400, 0x3880),
    // Ties of halves.
    (0x3F80_1000, 0x3C00, 0x3F80), (0x3F80_1001, 0x3C01, 0x3F80),
    (0x3F80_3000, 0x3C02, 0x3F80),
    // The largest half, and what rounds to infinity.
    (0x477F_E000, 0x7BFF, 0x4780), (0x477F_EFFF, 0x7BFF, 0x4780),
    (0x477F_F000, 0x7C00, 0x4780), (0xC77F_F000, 0xFC00, 0xC780),
    (0x4780_0000, 0x7C00, 0x4780), (0x7F7F_FFFF, 0x7C00, 0x7F80),
    (0x7F80_0000, 0x7C00, 0x7F80), (0xFF80_0000, 0xFC00, 0xFF80),
    // Subnormal singles.
    (0x0000_0001, 0x0000, 0x0000), (0x007F_FFFF, 0x0000, 0x0080),
    // Ties of bfloat16.
    (0x3F80_8000, 0x3C04, 0x3F80), (0x3F80_8001, 0x3C04, 0x3F81),
    (0x3F81_8000, 0x3C0C, 0x3F82), (0x7F7F_8000, 0x7C00, 0x7F80),
    (0x7F7F_7FFF, 0x7C00, 0x7F7F),
    (0x3DCC_CCCD, 0x2E66, 0x3DCD), (0x4049_0FDB, 0x4248, 0x4049),
  ]

  @Test func matchesNumpyAndTorchOnEdgeCases() {
    let singles = CastTests.goldens.map(\.single)
    #expect(CastTests.narrow(sdk_cast_f32_f16_plain, singles) == CastTests.goldens.map(\.half))
    #expect(CastTests.narrow(sdk_cast_f32_f16, singles) == CastTests.goldens.map(\.half))
    #expect(CastTests.narrow(sdk_cast_f32_bf16_plain, singles) == CastTests.goldens.map(\.brain))
    #expect(CastTests.narrow(sdk_cast_f32_bf16, singles) == CastTests.goldens.map(\.brain))
  }

  /// A million bit patterns of a linear congruential generator, `v = v * 1664525 + 1013904223`
  /// from 1, NaNs made zero, cast by numpy and torch as above: the SHA-256 of the bytes.
  @Test func matchesNumpyAndTorchOnRandomBits() {
    var state: UInt32 = 1
    let singles: [UInt32] = (0..<(1 << 20)).map { _ in
      state = state &* 1_664_525 &+ 1_013_904_223
      return Float(bitPattern: state).isNaN ? 0 : state
    }
    let halves = bytes(CastTests.narrow(sdk_cast_f32_f16, singles))
    #expect(
      hexadecimal(SHA256.hash(data: halves))
        == "a7776be809d0fbd0c226207baa60ed37fef622833b391660b19557c5afa20053")
    let brains = bytes(CastTests.narrow(sdk_cast_f32_bf16, singles))
    #expect(
      hexadecimal(SHA256.hash(data: brains))
        == "cdf01d01fa43902ac12ac67c7850c0b87666ca83928ab84df44e31eaf5c3bc29")
    let count = bytes(singles).withUnsafeBytes {
      sdk_count_f16_overflow($0.baseAddress, singles.count)
    }
    #expect(count == 458_808)
  }

  /// All halves; NaNs made zero for numpy's SHA-256 only.
  @Test func widensEveryHalf() {
    let halves = (0...UInt16.max).map { $0 }
    let singles = CastTests.widen(sdk_cast_f16_f32, halves)
    #expect(singles == CastTests.widen(sdk_cast_f16_f32_plain, halves))
    for (half, single) in zip(halves, singles) {
      let expected = Float(Float16(bitPattern: half))
      let value = Float(bitPattern: single)
      #expect(
        expected.isNaN ? value.isNaN && value.sign == expected.sign : value == expected,
        "0x\(String(half, radix: 16))")
    }
    let numbers = singles.map { Float(bitPattern: $0).isNaN ? 0 : $0 }
    #expect(
      hexadecimal(SHA256.hash(data: bytes(numbers)))
        == "faa6d965574036872b0d39a42d1f8bee361d5be92b1e718155a69556a5abacdd")
    let finite = halves.filter { Float16(bitPattern: $0).isNaN == false }
    let back = CastTests.narrow(sdk_cast_f32_f16, CastTests.widen(sdk_cast_f16_f32, finite))
    #expect(back == finite)
  }

  @Test func keepsEveryBrainFloat() {
    let brains = (0...UInt16.max).map { $0 }
    let singles = CastTests.widen(sdk_cast_bf16_f32, brains)
    #expect(singles == brains.map { UInt32($0) << 16 })
    #expect(singles == CastTests.widen(sdk_cast_bf16_f32_plain, brains))
    let back = CastTests.narrow(sdk_cast_f32_bf16, singles)
    for (brain, result) in zip(brains, back) {
      let isNaN = Float(bitPattern: UInt32(brain) << 16).isNaN
      #expect(result == (isNaN ? brain | 0x40 : brain), "0x\(String(brain, radix: 16))")
    }
  }

  /// Every upper half of a single with lower halves around each rounding decision, at lengths that
  /// leave each remainder of a vector, and at odd addresses.
  @Test(arguments: [0, 1, 15, 16, 17, 31, 33])
  func fastEqualsPlain(remainder: Int) {
    let lows: [UInt32] = [0, 1, 0xFFF, 0x1000, 0x1001, 0x2000, 0x7FFF, 0x8000, 0x8001, 0xFFFF]
    for low in lows {
      var singles = stride(from: UInt32(0), through: 0xFFFF, by: 3).map { $0 << 16 | low }
      singles = Array(singles.prefix(singles.count / 64 * 64 + remainder))
      #expect(
        CastTests.narrow(sdk_cast_f32_f16, singles)
          == CastTests.narrow(sdk_cast_f32_f16_plain, singles))
      #expect(
        CastTests.narrow(sdk_cast_f32_bf16, singles)
          == CastTests.narrow(sdk_cast_f32_bf16_plain, singles))
      let shifted = [0xEE] + bytes(singles)
      shifted.withUnsafeBytes { buffer in
        guard let start = buffer.baseAddress.map({ $0 + 1 }) else { return }
        #expect(
          sdk_count_f16_overflow(start, singles.count)
            == sdk_count_f16_overflow_plain(start, singles.count))
        var fast = [UInt16](repeating: 0, count: singles.count)
        sdk_cast_f32_f16(start, &fast, singles.count)
        #expect(fast == CastTests.narrow(sdk_cast_f32_f16_plain, singles))
      }
    }
  }

  // MARK: Tensors

  static func values(_ tensor: Tensor, as dtype: DType, saturating: Bool = false) throws -> [UInt8]
  {
    var result: [UInt8] = []
    try tensor.withPieces(as: dtype, saturating: saturating) { (piece) throws(FormatError) in
      result += piece
    }
    return result
  }

  @Test func castsInPieces() throws {
    // More than one piece, with a remainder.
    let singles = (0..<300_001).map { Float($0) / 7 - 20_000 }
    let tensor = Tensor.floats("weight", singles)
    let halves = try CastTests.values(tensor, as: .float16)
    #expect(halves == bytes(singles.map { Float16($0).bitPattern }))
    let half = Tensor(
      name: "weight", dtype: .float16, shape: tensor.shape, storage: .memory(halves))
    let brains = try CastTests.values(half, as: .bfloat16)
    #expect(
      brains
        == bytes(
          CastTests.narrow(
            sdk_cast_f32_bf16_plain, singles.map { Float(Float16($0)).bitPattern })))
    #expect(try CastTests.values(tensor, as: .float32) == tensor.contiguousBytes())
  }

  @Test func namesTheTensorThatOverflows() throws {
    let tensor = Tensor.floats("weight", [1, 65_519.996, 65_520, -1e30, .infinity, .nan])
    let error = try #require(
      try failure { _ = try CastTests.values(tensor, as: .float16) })
    #expect(error.code == .mismatch)
    #expect(error.context == "weight")
    #expect(error.message.hasPrefix("2 of 6 values"))
    let saturated = try CastTests.values(tensor, as: .float16, saturating: true)
    #expect(
      Array(saturated.prefix(10))
        == bytes([0x3C00, 0x7BFF, 0x7BFF, 0xFBFF, 0x7C00] as [UInt16]))
    #expect(saturated[11] & 0x7E == 0x7E)
  }

  @Test(arguments: [DType.int64, .bool, .float64, .float8E8M0])
  func castsNothingElse(dtype: DType) throws {
    let error = try failure {
      _ = try CastTests.values(.zeros("ids", dtype, [4]), as: .float16)
    }
    #expect(error?.code == .unsupported)
    #expect(error?.context == "ids")
  }
}

func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
  bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}

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
    // Around half of the smallest subnormal half.
    (0x3300_0000, 0x0000, 0x3300), (0x3300_0001, 0x0001, 0x3300),
    (0x3380_0000, 0x0001, 0x3380), (0x33C0_0000, 0x0002, 0x33C0),
    (0xB3C0_0000, 0x8002, 0xB3C0),
    // From the largest subnormal half to the least normal one.
    (0x387F_C000, 0x03FF, 0x3880), (0x387F_E000, 0x0400, 0x3880),
    (0x387F_E001, 0x0400, 0x3880), (0x3880_0000, 0x0400, 0x3880),
    // Ties of halves.
    (0x3F80_1000, 0x3C00, 0x3F80), (0x3F80_1001, 0x3C01, 0x3F80),
    (0x3F80_3000, 0x3C02, 0x3F80),
    // The largest half, and values that round to infinity.
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

  /// F64 with the F32 and F16 of numpy 2 (`a.astype("f4")`, `a.astype("f2")`) and the BF16 nearest
  /// by exact arithmetic, ties to even (torch rounds twice, through F32).
  static let doubles: [(double: Double, single: UInt32, half: UInt16, brain: UInt16)] = [
    (0, 0, 0, 0), (-0.0, 0x8000_0000, 0x8000, 0x8000), (1, 0x3F80_0000, 0x3C00, 0x3F80),
    // Ties of halves, and values next to them that F32 cannot distinguish from the tie.
    (0x1.002p0, 0x3F80_1000, 0x3C00, 0x3F80), (0x1.0020000001p0, 0x3F80_1000, 0x3C01, 0x3F80),
    (0x1.001FFFFFFFp0, 0x3F80_1000, 0x3C00, 0x3F80), (0x1.006p0, 0x3F80_3000, 0x3C02, 0x3F80),
    // Ties of bfloat16, the same.
    (0x1.01p0, 0x3F80_8000, 0x3C04, 0x3F80), (0x1.0100000000001p0, 0x3F80_8000, 0x3C04, 0x3F81),
    (0x1.00FFFFFFFFFFFp0, 0x3F80_8000, 0x3C04, 0x3F80),
    // Subnormal halves and singles.
    (0x1p-25, 0x3300_0000, 0, 0x3300), (0x1.0000000000004p-25, 0x3300_0000, 1, 0x3300),
    (0x1p-149, 1, 0, 0), (0x1p-150, 0, 0, 0), (0x1.0000001p-150, 1, 0, 0),
    (0x1p-134, 0x0000_8000, 0, 0), (0x1.0000000001p-134, 0x0000_8000, 0, 1),
    (Double.leastNonzeroMagnitude, 0, 0, 0),
    // The largest half, and infinities.
    (65504, 0x477F_E000, 0x7BFF, 0x4780), (65519.99999999, 0x477F_F000, 0x7BFF, 0x4780),
    (65520, 0x477F_F000, 0x7C00, 0x4780), (.infinity, 0x7F80_0000, 0x7C00, 0x7F80),
    (-.infinity, 0xFF80_0000, 0xFC00, 0xFF80), (1e300, 0x7F80_0000, 0x7C00, 0x7F80),
  ]

  @Test func roundsDoublesOnce() {
    let values = CastTests.doubles.map(\.double)
    var singles = [UInt32](repeating: 0xAAAA_AAAA, count: values.count)
    var odd = singles
    values.withUnsafeBytes { source in
      singles.withUnsafeMutableBytes {
        sdk_cast_f64_f32(source.baseAddress, $0.baseAddress, values.count)
      }
      odd.withUnsafeMutableBytes {
        sdk_cast_f64_f32_odd(source.baseAddress, $0.baseAddress, values.count)
      }
    }
    #expect(singles == CastTests.doubles.map(\.single))
    #expect(CastTests.narrow(sdk_cast_f32_f16, odd) == CastTests.doubles.map(\.half))
    #expect(CastTests.narrow(sdk_cast_f32_bf16, odd) == CastTests.doubles.map(\.brain))
    let nan = Double(sign: .minus, exponentBitPattern: 0x7FF, significandBitPattern: 1 << 40)
    var single: UInt32 = 0
    withUnsafeBytes(of: nan) { sdk_cast_f64_f32_odd($0.baseAddress, &single, 1) }
    #expect(Float(bitPattern: single).isNaN && single >> 31 == 1)
  }

  /// Finite doubles beyond a type's largest value are counted, and clamped if requested.
  @Test(arguments: [DType.float32, .bfloat16, .float16])
  func countsDoublesWithoutAFiniteValue(type: DType) throws {
    let values = [1, 1e300, -1e300, .infinity, 3.4e38]
    let tensor = Tensor(
      name: "a", dtype: .float64, shape: Shape([5]),
      storage: .memory(values.withUnsafeBytes { Array($0) }))
    let error = try #require(throws: FormatError.self) { try tensor.withPieces(as: type) { _ in } }
    let count = type == .float32 ? 2 : 3
    #expect(error.message.hasPrefix("\(count) of 5 values are beyond "))
    #expect(error.message.hasSuffix(" the largest that \(type.rawValue) holds"))
    var bytes: [UInt8] = []
    try tensor.withPieces(as: type, saturating: true) { bytes += Array($0) }
    let largest: [DType: [UInt8]] = [
      .float32: [0xFF, 0xFF, 0x7F, 0x7F], .bfloat16: [0x7F, 0x7F], .float16: [0xFF, 0x7B],
    ]
    let width = type.bitWidth / 8
    #expect(Array(bytes[width..<(2 * width)]) == largest[type])
    #expect(bytes[3 * width - 1] == (largest[type]?.last ?? 0) | 0x80)
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
  /// leave every vector remainder, and at odd addresses.
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

  @Test(arguments: [DType.int64, .bool, .complex64, .float8E8M0])
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

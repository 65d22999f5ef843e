import CKernels
import Checkpoint
import Foundation
import ModelFormats
import Testing

/// The kernels of statistics at every level against sums in F64, value by value.
@Suite struct StatisticsKernelTests {
  static let levels = [SDK_PLAIN, SDK_AVX2, SDK_AVX512].filter {
    $0.rawValue <= sdk_isa_best().rawValue
  }

  /// The statistics of numbers, the mean and then the squared distances from it in two passes.
  static func reference(_ values: [Double], isFloatingPoint: Bool = true) -> sdk_statistics {
    var result = sdk_statistics()
    let finite = values.filter(\.isFinite)
    result.count = values.count
    result.finite = finite.count
    result.zeros = values.count { $0 == 0 }
    result.nans = values.count { $0.isNaN }
    result.infinities = values.count { $0.isInfinite }
    if isFloatingPoint {
      result.f16_overflows = finite.count { Float16($0).isInfinite }
      result.f16_underflows = finite.count { $0 != 0 && Float16($0) == 0 }
    }
    guard let first = finite.first, let least = finite.min(), let greatest = finite.max() else {
      return result
    }
    result.minimum = least
    result.maximum = greatest
    // Relative to the first value, so that the reference does not lose precision either.
    let shift = finite.reduce(0) { $0 + ($1 - first) } / Double(finite.count)
    result.mean = first + shift
    result.square = finite.reduce(0) { $0 + (($1 - first) - shift) * (($1 - first) - shift) }
    return result
  }

  static func expectEqual(
    _ found: sdk_statistics, _ expected: sdk_statistics, _ comment: String,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    func equal(_ found: Int, _ expected: Int, _ what: String) {
      #expect(found == expected, "\(comment): \(what)", sourceLocation: sourceLocation)
    }
    equal(found.count, expected.count, "count")
    equal(found.finite, expected.finite, "finite")
    equal(found.zeros, expected.zeros, "zeros")
    equal(found.nans, expected.nans, "NaN")
    equal(found.infinities, expected.infinities, "infinities")
    equal(found.f16_overflows, expected.f16_overflows, "overflows")
    equal(found.f16_underflows, expected.f16_underflows, "underflows")
    #expect(found.minimum == expected.minimum, "\(comment)", sourceLocation: sourceLocation)
    #expect(found.maximum == expected.maximum, "\(comment)", sourceLocation: sourceLocation)
    let spread = max(expected.maximum.magnitude, expected.minimum.magnitude)
    #expect(
      (found.mean - expected.mean).magnitude <= 1e-14 * spread, "\(comment): mean",
      sourceLocation: sourceLocation)
    #expect(
      found.square == expected.square
        || (found.square - expected.square).magnitude <= 1e-11 * expected.square,
      "\(comment): square",
      sourceLocation: sourceLocation)
  }

  static func statistics(
    _ bytes: UnsafeRawPointer?, _ type: sdk_number, _ count: Int, _ level: sdk_isa,
    histogram: UnsafeMutablePointer<UInt32>? = nil
  ) -> sdk_statistics {
    sdk_isa_force(level)
    defer { sdk_isa_force(sdk_isa_best()) }
    var result = sdk_statistics()
    sdk_statistics_of(bytes, type, count, &result, histogram)
    return result
  }

  /// Bits of a linear congruential generator, interspersed with special values.
  static func singles(_ count: Int, special: Bool) -> [Float] {
    let odd: [UInt32] = [
      0, 0x8000_0000, 1, 0x807F_FFFF, 0x3300_0000, 0xB300_0001, 0x32FF_FFFF, 0x477F_E000,
      0x477F_EFFF, 0x477F_F000, 0xC77F_F000, 0x7F7F_FFFF, 0x7F80_0000, 0xFF80_0000, 0x7FC0_0000,
      0xFFC0_0001, 0x7F80_0001,
    ]
    var state: UInt32 = 7
    return (0..<count).map { index in
      state = state &* 1_664_525 &+ 1_013_904_223
      if special, state >> 28 == 3 { return Float(bitPattern: odd[index % odd.count]) }
      return Float(Int32(bitPattern: state) >> 8) / 10_000_000 + 0.3
    }
  }

  @Test(arguments: levels, [0, 1, 7, 8, 15, 16, 17, 31, 33, 4096, 70_001])
  func singlesAndHalves(level: sdk_isa, count: Int) {
    for special in [false, true] {
      let singles = Self.singles(count, special: special)
      let halves = singles.map { Float16($0) }
      let brains = singles.map { UInt16(truncatingIfNeeded: $0.bitPattern >> 16) }
      let stored: [(sdk_number, [UInt8], [Double])] = [
        (SDK_NUMBER_F32, bytes(singles.map(\.bitPattern)), singles.map(Double.init)),
        (SDK_NUMBER_F16, bytes(halves.map(\.bitPattern)), halves.map { Double($0) }),
        (
          SDK_NUMBER_BF16, bytes(brains),
          brains.map { Double(Float(bitPattern: UInt32($0) << 16)) }
        ),
      ]
      for (type, bytes, values) in stored {
        Self.check(bytes, type, values, level, "\(type) \(count) \(special)")
      }
    }
  }

  /// At an odd address, with a histogram and without.
  private static func check(
    _ bytes: [UInt8], _ type: sdk_number, _ values: [Double], _ level: sdk_isa, _ label: String
  ) {
    let expected = reference(values)
    var histogram = [UInt32](repeating: 0, count: Int(SDK_HISTOGRAM_BINS))
    let results = ([0xEE] + bytes).withUnsafeBytes { buffer in
      let start = buffer.baseAddress.map { $0 + 1 }
      return [
        statistics(start, type, values.count, level),
        statistics(start, type, values.count, level, histogram: &histogram),
      ]
    }
    for result in results { expectEqual(result, expected, label) }
    var bins = [UInt32](repeating: 0, count: Int(SDK_HISTOGRAM_BINS))
    for value in values where !value.isNaN { bins[Int(Float(value).bitPattern >> 19)] += 1 }
    let found = histogram
    let isEqual = bins.indices.allSatisfy { $0 & 0xFF0 == 0xFF0 || found[$0] == bins[$0] }
    #expect(isEqual, "\(label)")
    #expect(found.reduce(0, +) == UInt32(values.count), "\(label)")
  }

  /// A mean far from zero: plain sums of squares would lose every digit.
  @Test(arguments: levels)
  func nothingCancels(level: sdk_isa) {
    let singles = (0..<100_003).map { 1_000_000 + Float($0 % 17) / 16 }
    let expected = Self.reference(singles.map(Double.init))
    Self.expectEqual(
      Self.statistics(singles, SDK_NUMBER_F32, singles.count, level), expected, "far")
    #expect((expected.square / Double(singles.count)).squareRoot() < 1)
  }

  @Test func otherNumbers() {
    let doubles = [1e300, -3, 0, -0.0, .nan, .infinity, 1e-40, 65519.999, 65520, 0x1p-25]
    Self.expectEqual(
      Self.statistics(bytes(doubles.map(\.bitPattern)), SDK_NUMBER_F64, doubles.count, SDK_PLAIN),
      {
        var expected = Self.reference(doubles)
        // Squares of 1e300 overflow F64.
        expected.square = .infinity
        return expected
      }(), "F64")
    // Sums of distances overflow F64, the mean does not.
    for (doubles, mean) in [
      ([1.7e308, -1.7e308, .nan], 0), ([1.7e308, 1.7e308, -1.7e308, -1.7e308], 0),
      ([-1.5e308, 1.5e308, 0, -1.5e308], -0.375e308),
      (
        Array(repeating: Double.greatestFiniteMagnitude, count: 3) + [-1],
        0.75 * .greatestFiniteMagnitude
      ),
    ] as [([Double], Double)] {
      let found = Self.statistics(
        bytes(doubles.map(\.bitPattern)), SDK_NUMBER_F64, doubles.count, SDK_PLAIN)
      #expect((found.mean - mean).magnitude <= 1e-15 * 1.7e308, "\(doubles)")
      #expect(found.square == .infinity, "\(doubles)")
    }
    func check<T: FixedWidthInteger>(_ type: sdk_number, _ values: [T]) {
      Self.expectEqual(
        Self.statistics(bytes(values), type, values.count, SDK_PLAIN),
        Self.reference(values.map { Double($0) }, isFloatingPoint: false), "\(T.self)")
    }
    check(SDK_NUMBER_I16, [-32768, 32767, 0, 5, 5] as [Int16])
    check(SDK_NUMBER_U16, [65535, 0, 65521] as [UInt16])
    check(SDK_NUMBER_I32, [.min, .max, 0] as [Int32])
    check(SDK_NUMBER_U32, [.max, 0, 77] as [UInt32])
    check(SDK_NUMBER_I64, [.min, .max, 0, 76] as [Int64])
    check(SDK_NUMBER_U64, [.max, 0, 1 << 63] as [UInt64])
  }
}

/// Statistics of tensors.
@Suite struct TensorStatisticsTests {
  static func one(_ tensor: Tensor) throws -> TensorStatistics {
    try #require(try TensorStatistics.of([tensor], histograms: true)[0])
  }

  /// More than one block, from a file; merged blocks equal one sum over all.
  @Test func blocksAddUp() throws {
    let scratch = try Scratch()
    let singles = StatisticsKernelTests.singles(1_000_001, special: true)
    let path = scratch.path("a.safetensors")
    try Safetensors.write([.floats("a", singles), .floats("b", [2, 4])], to: path)
    let results = try TensorStatistics.of(TensorFile.open(path).tensors, histograms: true)
    let a = try #require(results[0])
    let expected = StatisticsKernelTests.reference(singles.map(Double.init))
    #expect(a.count == 1_000_001)
    #expect(a.finite == expected.finite)
    #expect(a.nans == expected.nans)
    #expect(a.f16Overflows == expected.f16_overflows)
    #expect(a.f16Underflows == expected.f16_underflows)
    #expect(a.minimum == expected.minimum)
    #expect(a.maximum == expected.maximum)
    let mean = try #require(a.mean)
    let deviation = try #require(a.standardDeviation)
    let exact = (expected.square / Double(expected.finite)).squareRoot()
    #expect((mean - expected.mean).magnitude <= 1e-13 * expected.maximum)
    #expect((deviation - exact).magnitude <= 1e-10 * exact)
    #expect(a.histogram?.count == expected.finite)
    let b = try #require(results[1])
    #expect(b.mean == 3)
    #expect(b.standardDeviation == 1)
    var both = a
    both.add(b)
    #expect(both.finite == a.finite + 2)
    #expect(both.histogram?.count == a.finite + 2)
  }

  /// Blocks at both ends of F64, the first of them longer.
  @Test func meansOfBlocksStayInF64() throws {
    let block = (1 << 20) / 8
    let values =
      [Double](repeating: 1.6e308, count: block) + [Double](repeating: -1.6e308, count: block / 2)
    let statistics = try Self.one(
      Tensor(
        name: "t", dtype: .float64, shape: [values.count],
        storage: .memory(bytes(values.map(\.bitPattern)))))
    let mean = try #require(statistics.mean)
    #expect((mean / 1.6e308 - 1 / 3.0).magnitude < 1e-14)
    #expect(statistics.standardDeviation == .infinity)
  }

  /// Views are read element by element, in any memory order.
  @Test func viewsAreGathered() throws {
    let values = (0..<6_000).map { Float($0) }
    let tensor = Tensor(
      name: "t", dtype: .float32, shape: [50, 40],
      storage: .stridedMemory(bytes(values.map(\.bitPattern)), offset: 4 * 3, strides: [1, 100]))
    let statistics = try Self.one(tensor)
    #expect(statistics.minimum == 3)
    #expect(statistics.maximum == 3952)
    #expect(statistics.mean == 1977.5)
  }

  /// What torch gives for every byte of its 8-bit types:
  /// `v = torch.arange(256, dtype=torch.uint8).view(T).double()`, then of the finite values
  /// count, min, max and mean, and how many are zero, NaN and infinite.
  @Test(arguments: [
    (DType.float8E4M3, 254, -448.0, 448.0, 2, 2, 0),
    (.float8E5M2, 248, -57344.0, 57344.0, 2, 6, 2),
    (.float8E4M3FNUZ, 255, -240.0, 240.0, 1, 1, 0),
    (.float8E5M2FNUZ, 255, -57344.0, 57344.0, 1, 1, 0),
    (.float8E8M0, 255, 0x1p-127, 0x1p127, 0, 1, 0),
    (.uint8, 256, 0.0, 255.0, 1, 0, 0),
    (.int8, 256, -128.0, 127.0, 1, 0, 0),
    (.bool, 256, 0.0, 1.0, 1, 0, 0),
  ])
  func everyByte(
    dtype: DType, finite: Int, least: Double, greatest: Double, zeros: Int, nans: Int,
    infinities: Int
  ) throws {
    let statistics = try Self.one(
      Tensor(
        name: "t", dtype: dtype, shape: [256], storage: .memory((0...255).map { UInt8($0) })))
    #expect(statistics.finite == finite)
    #expect(statistics.minimum == least)
    #expect(statistics.maximum == greatest)
    #expect(statistics.zeros == zeros)
    #expect(statistics.nans == nans)
    #expect(statistics.infinities == infinities)
    #expect(statistics.histogram?.count == finite)
  }

  @Test func oddTensors() throws {
    let empty = try Self.one(.zeros("e", .float16, [0, 3]))
    #expect(empty.count == 0)
    #expect(empty.mean == nil)
    #expect(empty.extremes == nil)
    let complex = try Self.one(
      Tensor(
        name: "c", dtype: .complex64, shape: [1],
        storage: .memory(bytes([Float(1).bitPattern, Float(3).bitPattern]))))
    #expect(complex.count == 2)
    #expect(complex.mean == 2)
    let four = try Self.one(
      Tensor(name: "f", dtype: .float4, shape: [4], storage: .memory([0x72, 0xF0])))
    #expect(four.minimum == -6)
    #expect(four.maximum == 6)
    #expect(four.zeros == 1)
    let six = Tensor(
      name: "s", dtype: .float6E2M3, shape: [4], storage: .memory([0, 0, 0]))
    #expect(try TensorStatistics.of([six])[0] == nil)
  }

  @Test func aFileThatShrinksIsAnError() throws {
    let scratch = try Scratch()
    let path = scratch.path("a.safetensors")
    try Safetensors.write([.floats("a", [Float](repeating: 1, count: 10_000))], to: path)
    let tensors = try TensorFile.open(path).tensors
    let handle = try #require(FileHandle(forWritingAtPath: path))
    try handle.truncate(atOffset: 9_000)
    try handle.close()
    let error = try failure { _ = try TensorStatistics.of(tensors) }
    #expect(error?.code == .inputOutput)
    #expect(error?.offset == 9_000)
  }
}

@Suite struct ValueHistogramTests {
  static func histogram(_ values: [Float]) throws -> ValueHistogram {
    try #require(try TensorStatistics.of([.floats("v", values)], histograms: true)[0]?.histogram)
  }

  @Test func binsHoldTheirValues() throws {
    let histogram = try Self.histogram([-2, -1.99, -0.5, 0, 0, 1, 1.03, 1.07, .nan, .infinity])
    #expect(histogram.count == 8)
    #expect(histogram.bins.map(\.count) == [1, 1, 1, 2, 2, 1])
    #expect(histogram.bins[0].inner == -2)
    #expect(histogram.bins[0].outer == -2.125)
    #expect(histogram.bins[4].inner == 1)
    #expect(histogram.bins[4].outer == 1.0625)
    #expect(histogram.octaves.map(\.exponent) == [-1, 0, 1])
    #expect(histogram.octaves.map(\.negative) == [1, 1, 1])
    #expect(histogram.octaves.map(\.positive) == [0, 3, 0])
  }

  /// Several blocks, each with bins that the others lack, give the bins of one count over all.
  @Test func blocksAreMergedInOrder() throws {
    let values = (0..<900_000).map { index in
      let size = Float(1 + index % 7919) * (index < 300_000 ? 1e-6 : index < 600_000 ? 1 : 1e4)
      return index % 3 == 0 ? -size : size
    }
    var counts: [UInt32: Int] = [:]
    for value in values { counts[value.bitPattern >> 19, default: 0] += 1 }
    let bins = try Self.histogram(values).bins
    #expect(bins.count == counts.count)
    #expect(zip(bins, bins.dropFirst()).allSatisfy { $0.inner < $1.inner })
    #expect(bins.allSatisfy { counts[Float($0.inner).bitPattern >> 19] == $0.count })
  }

  @Test func linearBinsAddUp() throws {
    let values = (0..<64_000).map { Float($0) / 32_000 - 1 }
    let histogram = try Self.histogram(values)
    let bins = histogram.linear(bins: 64, in: -1...1)
    #expect((bins.reduce(0, +) - 64_000).magnitude < 1.5)
    // An even spread stays even.
    #expect(bins.allSatisfy { ($0 - 1000).magnitude < 40 })
    let median = try #require(histogram.quantile(0.5))
    #expect(median.magnitude < 0.01)
    #expect(try #require(histogram.quantile(0.9)) > 0.77)
    #expect(try Self.histogram([3, 3]).linear(bins: 4, in: 3...3) == [2, 0, 0, 0])
    #expect(try Self.histogram([]).quantile(0.5) == nil)
  }
}

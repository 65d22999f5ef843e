import CKernels
import Foundation
import Testing
import Threads

/// Each kernel at each instruction set against the same formula in double.
///
/// Sizes are chosen with and without remainders for vectors of 8 and of 16 values.
extension EngineTests {
  struct KernelTests {
    static let widths = [1, 7, 8, 16, 17, 33, 48, 100]
    static let types = [SDK_F32, SDK_BF16]

    @Test(arguments: InstructionSet.available, types)
    func activations(_ isa: InstructionSet, _ type: sdk_type) {
      let x = (-4000...4000).map { Float($0) / 100 } + [Float(0x1p-120), -0x1p-120, 88, -104]
      let stored = Stored(x, type)
      let functions: [(sdk_function, (Double) -> Double)] = [
        (SDK_SILU, { $0 / (1 + exp(-$0)) }),
        (SDK_GELU, EngineTests.gelu),
        (SDK_QUICK_GELU, { $0 / (1 + exp(-1.702 * $0)) }),
        (SDK_RELU, { max($0, 0) }),
        (SDK_LATENT_CLAMP, { 3 * tanh($0 / 3) }),
      ]
      for (function, expected) in functions {
        for count in Self.widths + [x.count] {
          let y = isa.using {
            Stored(count: count, type) { sdk_activation(stored.bytes, $0, type, count, function) }
          }
          for index in 0..<count {
            let value = expected(Double(stored[index]))
            let bound = max(1, abs(value)) * (type == SDK_F32 ? 5e-7 : 0x1p-8)
            #expect(abs(Double(y[index]) - value) <= bound, "\(function) of \(stored[index])")
          }
        }
      }
    }

    /// As Linux says it, in a list such as `0-3,8`.
    @Test func coresOfTheProcess() throws {
      let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
      let line = try #require(
        status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") })
      let list = try #require(line.split(separator: "\t").last)
      let count = try list.split(separator: ",").reduce(0) { count, range in
        let ends = try range.split(separator: "-").map { try #require(Int($0)) }
        return count + ends[ends.count - 1] - ends[0] + 1
      }
      #expect(Cores.count == count)
    }

    @Test(arguments: InstructionSet.available, types)
    func geglu(_ isa: InstructionSet, _ type: sdk_type) {
      var random = SplitMix(seed: 1)
      for channels in Self.widths {
        let rows = 5
        let x = Stored(random.normals(rows * 2 * channels), type)
        let y = isa.using {
          Stored(count: rows * channels, type) { sdk_geglu(x.bytes, $0, type, rows, channels) }
        }
        let expected = (0..<rows * channels).map { index in
          let first = index / channels * 2 * channels + index % channels
          return Double(x[first]) * EngineTests.gelu(Double(x[first + channels]))
        }
        #expect(relativeError(y.values, expected) < tolerance(type))
      }
    }

    @Test(arguments: InstructionSet.available, types)
    func sums(_ isa: InstructionSet, _ type: sdk_type) {
      var random = SplitMix(seed: 2)
      for channels in Self.widths {
        let rows = 6
        let a = Stored(random.normals(rows * channels), type)
        let b = Stored(random.normals(rows * channels), type)
        let sum = isa.using {
          Stored(count: rows * channels, type) {
            sdk_add(a.bytes, b.bytes, $0, type, rows * channels)
          }
        }
        #expect(
          relativeError(sum.values, zip(a.values, b.values).map { Double($0) + Double($1) })
            < tolerance(type))
        // Two rows of positions for three samples.
        let table = random.normals(2 * channels)
        let placed = isa.using {
          Stored(count: rows * channels, type) {
            sdk_add_rows(a.bytes, table, 2, $0, type, rows, channels)
          }
        }
        let expected = (0..<rows * channels).map {
          Double(a[$0]) + Double(table[$0 % (2 * channels)])
        }
        #expect(relativeError(placed.values, expected) < tolerance(type))
      }
    }

    @Test(arguments: InstructionSet.available, types)
    func layerNorm(_ isa: InstructionSet, _ type: sdk_type) {
      var random = SplitMix(seed: 3)
      for channels in Self.widths + [320, 768, 1280] {
        let rows = 3
        let x = Stored(random.normals(rows * channels, mean: 2), type)
        let gamma = random.normals(channels)
        let beta = random.normals(channels)
        let y = isa.using {
          Stored(count: rows * channels, type) {
            sdk_layer_norm(x.bytes, $0, type, rows, channels, 1e-5, gamma, beta)
          }
        }
        var expected: [Double] = []
        for row in 0..<rows {
          let values = x.values[row * channels..<(row + 1) * channels].map(Double.init)
          let (mean, variance) = moments(values)
          for (c, value) in values.enumerated() {
            expected.append(
              (value - mean) / (variance + 1e-5).squareRoot() * Double(gamma[c])
                + Double(beta[c]))
          }
        }
        #expect(relativeError(y.values, expected) < tolerance(type))
      }
    }

    struct GroupNormCase: Sendable {
      var batch = 1
      let rows: Int
      let channels: Int
      let groups: Int
      var mean = 0.5
      var hasOffset = false
      var silu = false
    }

    static let groupNorms = [
      GroupNormCase(rows: 1, channels: 8, groups: 2),
      GroupNormCase(batch: 2, rows: 7, channels: 24, groups: 3, hasOffset: true, silu: true),
      GroupNormCase(batch: 2, rows: 65, channels: 40, groups: 8, silu: true),
      GroupNormCase(rows: 64, channels: 33, groups: 11),
      GroupNormCase(batch: 3, rows: 129, channels: 320, groups: 32, hasOffset: true),
      GroupNormCase(rows: 4500, channels: 32, groups: 32, silu: true),
      // A mean far from zero must not cancel the deviation.
      GroupNormCase(rows: 1000, channels: 16, groups: 4, mean: 100),
    ]

    @Test(arguments: InstructionSet.available, groupNorms)
    func groupNorm(_ isa: InstructionSet, _ form: GroupNormCase) {
      for type in Self.types {
        var random = SplitMix(seed: 4)
        let count = form.batch * form.rows * form.channels
        let x = Stored(random.normals(count, mean: form.mean), type)
        let gamma = random.normals(form.channels)
        let beta = random.normals(form.channels)
        let offset = form.hasOffset ? random.normals(form.channels) : nil
        let scratch = UnsafeMutableRawPointer.allocate(
          byteCount: sdk_group_norm_scratch(form.batch, form.rows, form.channels), alignment: 8)
        defer { scratch.deallocate() }
        func run(_ y: UnsafeMutableRawPointer, _ offset: UnsafePointer<Float>?) {
          gamma.withUnsafeBufferPointer { gamma in
            beta.withUnsafeBufferPointer { beta in
              var kernel = sdk_group_norm_form(
                x: x.bytes, y: y, type: type, batch: form.batch, rows: form.rows,
                channels: form.channels, groups: form.groups, epsilon: 1e-6,
                silu: form.silu ? 1 : 0, gamma: gamma.baseAddress, beta: beta.baseAddress,
                offset: offset, scratch: scratch)
              sdk_group_norm(&kernel)
            }
          }
        }
        let y = isa.using {
          Stored(count: count, type) { y in
            if let offset {
              offset.withUnsafeBufferPointer { run(y, $0.baseAddress) }
            } else {
              run(y, nil)
            }
          }
        }
        let expected = form.expected(x.values, gamma, beta, offset)
        // In f32, y = x * scale + shift loses what the mean is above the deviation.
        let bound = type == SDK_F32 ? 2e-7 * (1 + abs(form.mean)) : tolerance(type)
        #expect(relativeError(y.values, expected) < bound)
      }
    }

    @Test(arguments: InstructionSet.available, widths)
    func layouts(_ isa: InstructionSet, _ channels: Int) {
      var random = SplitMix(seed: 5)
      for rows in [1, 9, 16, 64, 131] {
        for type in Self.types {
          let x = Stored(random.normals(2 * channels * rows), type).values
          let last = isa.using {
            Stored(count: x.count, type) { sdk_to_channels_last(x, $0, type, 2, channels, rows) }
          }
          for index in x.indices {
            let (batch, c, row) = (index / rows / channels, index / rows % channels, index % rows)
            #expect(last[(batch * rows + row) * channels + c] == x[index])
          }
          let back = isa.using {
            [Float](unsafeUninitializedCapacity: x.count) { buffer, count in
              sdk_from_channels_last(last.bytes, type, buffer.baseAddress, 2, channels, rows)
              count = x.count
            }
          }
          #expect(back == x)
        }
      }
    }

    @Test func movement() {
      // Two images of 2 x 3 pixels become 3 x 5: the last row and column are dropped.
      let x = (0..<12).map(Float.init)
      let doubled = Stored(count: 30, SDK_F32) { sdk_upsample(x, $0, 2, 2, 3, 3, 5, 4) }
      #expect(
        doubled.values == [
          0, 0, 1, 1, 2, 0, 0, 1, 1, 2, 3, 3, 4, 4, 5,
          6, 6, 7, 7, 8, 6, 6, 7, 7, 8, 9, 9, 10, 10, 11,
        ])
      let joined = Stored(count: 18, SDK_F32) { sdk_concatenate(x, 8, Array(x[4...]), 4, $0, 6) }
      #expect(
        joined.values == [0, 1, 4, 2, 3, 5, 4, 5, 6, 6, 7, 7, 8, 9, 8, 10, 11, 9])
    }
  }

  static func gelu(_ x: Double) -> Double { x * erfc(-x / 2.0.squareRoot()) / 2 }
}

extension EngineTests.KernelTests.GroupNormCase {
  fileprivate func expected(
    _ x: [Float], _ gamma: [Float], _ beta: [Float], _ offset: [Float]?
  ) -> [Double] {
    var y = [Double](repeating: 0, count: x.count)
    let members = channels / groups
    for sample in 0..<batch {
      for group in 0..<groups {
        let indices = (0..<rows * members).map {
          (sample * rows + $0 / members) * channels + group * members + $0 % members
        }
        let values = indices.map { Double(x[$0]) + Double(offset?[$0 % channels] ?? 0) }
        let (mean, variance) = moments(values)
        for (index, value) in zip(indices, values) {
          let normal =
            (value - mean) / (variance + 1e-6).squareRoot() * Double(gamma[index % channels])
            + Double(beta[index % channels])
          y[index] = silu ? normal / (1 + exp(-normal)) : normal
        }
      }
    }
    return y
  }
}

/// Mean and variance over all values.
private func moments(_ values: [Double]) -> (mean: Double, variance: Double) {
  let mean = values.reduce(0, +) / Double(values.count)
  let variance =
    values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count)
  return (mean, variance)
}

/// Rounding of f32, and of a result to the 8 bits of bf16 (2^-8 relative at most).
func tolerance(_ type: sdk_type) -> Double { type == SDK_F32 ? 5e-7 : 0x1p-8 }

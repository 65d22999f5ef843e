import CKernels
import Testing

extension EngineTests {
  /// NaN and infinity propagate through every kernel as IEEE 754 requires, at each instruction set:
  /// a broken weight must show in the image, not be hidden.
  struct SpecialValueTests {
    /// A result's kind; finite values are tested elsewhere.
    private enum Kind: Equatable {
      case nan, infinite, negativeInfinite, finite

      init(_ value: Float) {
        self =
          value.isNaN
          ? .nan : value.isFinite ? .finite : value > 0 ? .infinite : .negativeInfinite
      }
    }

    private static let special: [Float] = [.nan, .infinity, -.infinity]
    private static let types = [SDK_F32, SDK_BF16]

    @Test(arguments: InstructionSet.available, types)
    func activations(_ isa: InstructionSet, _ type: sdk_type) {
      // x sigmoid(x) and x (1 + erf(x / sqrt 2)) / 2 are infinity times zero at -infinity.
      let expected: [Kind] = [.nan, .infinite, .nan]
      for function in [SDK_SILU, SDK_GELU, SDK_QUICK_GELU] {
        for position in [0, 13, 16] {
          for (value, kind) in zip(Self.special, expected) {
            var x = [Float](repeating: 1, count: 17)
            x[position] = value
            let y = activation(x, isa, type, function)
            #expect(Kind(y[position]) == kind, "\(function) of \(value)")
            #expect(y.indices.allSatisfy { $0 == position || y[$0].isFinite })
          }
        }
        // For very negative inputs the sigmoid vanishes faster than the input grows.
        let y = activation([-1e4, -1e30, -3e38], isa, type, function)
        #expect(y.allSatisfy { abs($0) < 1e-20 }, "\(function): \(y)")
      }
    }

    /// Clamping: NaN stays, infinities become the bounds.
    @Test(arguments: InstructionSet.available, types)
    func bounds(_ isa: InstructionSet, _ type: sdk_type) {
      for (function, low, high) in [
        (SDK_RELU, Float(0), Float.infinity), (SDK_LATENT_CLAMP, -3, 3),
      ] {
        for position in [0, 13, 16] {
          var x = [Float](repeating: 1, count: 17)
          for (value, bound) in [(-Float.infinity, low), (Float.infinity, high)] {
            x[position] = value
            #expect(activation(x, isa, type, function)[position] == bound, "\(function)")
          }
          x[position] = .nan
          let y = activation(x, isa, type, function)
          #expect(y.indices.allSatisfy { y[$0].isNaN == ($0 == position) })
        }
      }
    }

    private func activation(
      _ x: [Float], _ isa: InstructionSet, _ type: sdk_type, _ function: sdk_function
    ) -> [Float] {
      let x = Stored(x, type)
      return isa.using {
        Stored(count: x.count, type) { sdk_activation(x.bytes, $0, type, x.count, function) }
      }.values
    }

    @Test(arguments: InstructionSet.available, types)
    func geglu(_ isa: InstructionSet, _ type: sdk_type) {
      let values = Self.special + [0, 1, -1]
      for a in values {
        for b in values {
          let x = Stored([Float](repeating: a, count: 9) + [Float](repeating: b, count: 9), type)
          let y = isa.using {
            Stored(count: 9, type) { sdk_geglu(x.bytes, $0, type, 1, 9) }
          }
          // gelu(-infinity) is NaN, gelu(1) positive, gelu(-1) negative.
          let gelu = b == -.infinity ? .nan : b
          #expect(y.values.allSatisfy { Kind($0) == Kind(a * gelu) }, "\(a), \(b)")
        }
      }
    }

    @Test(arguments: InstructionSet.available, types)
    func norms(_ isa: InstructionSet, _ type: sdk_type) {
      let channels = 24
      let rows = 70
      let ones = [Float](repeating: 1, count: channels)
      var random = SplitMix(seed: 12)
      for value in Self.special {
        for (row, channel) in [(0, 0), (33, 7), (69, 23)] {
          var values = random.normals(rows * channels)
          values[row * channels + channel] = value
          let x = Stored(values, type)
          let normal = isa.using {
            Stored(count: x.count, type) {
              sdk_layer_norm(x.bytes, $0, type, rows, channels, 1e-5, ones, ones)
            }
          }
          #expect(
            normal.values.indices.allSatisfy {
              normal.values[$0].isNaN == ($0 / channels == row)
            }, "layer norm, \(value)")
          for groups in [3, 24] {
            let members = channels / groups
            let y = isa.using { groupNorm(x, type, rows, channels, groups, ones) }.values
            #expect(
              y.indices.allSatisfy {
                y[$0].isNaN == ($0 % channels / members == channel / members)
              }, "\(groups) groups, \(value)")
          }
        }
      }
    }

    private func groupNorm(
      _ x: Stored, _ type: sdk_type, _ rows: Int, _ channels: Int, _ groups: Int, _ ones: [Float]
    ) -> Stored {
      Stored(count: x.count, type) { y in
        let scratch = UnsafeMutableRawPointer.allocate(
          byteCount: sdk_group_norm_scratch(1, rows, channels), alignment: 64)
        defer { scratch.deallocate() }
        ones.withUnsafeBufferPointer { ones in
          var form = sdk_group_norm_form()
          form.x = UnsafeRawPointer(x.bytes)
          form.y = y
          form.type = type
          form.batch = 1
          form.rows = rows
          form.channels = channels
          form.groups = groups
          form.epsilon = 1e-5
          form.gamma = ones.baseAddress
          form.beta = ones.baseAddress
          form.scratch = scratch
          sdk_group_norm(&form)
        }
      }
    }

    /// One bad value of q makes its query NaN, one of k every query, one of v its channel.
    @Test(arguments: InstructionSet.available, types)
    func attention(_ isa: InstructionSet, _ type: sdk_type) {
      let queries = 70
      let keys = 130
      let size = 10
      var random = SplitMix(seed: 13)
      for value in Self.special {
        // In the first, a middle and the last tile; among keys of one tile first, inside and last.
        for place in [0, 47, 48, 60, 69] {
          let (q, k, v) = (
            random.normals(queries * size), random.normals(keys * size),
            random.normals(keys * size)
          )
          var bad = q
          bad[place * size + 3] = value
          var y = attend(bad, k, v, size, isa, type)
          #expect(
            y.indices.allSatisfy { y[$0].isNaN == ($0 / size == place) }, "q: \(value) \(place)")
          if value.isNaN {
            bad = k
            bad[place * size + 3] = value
            y = attend(q, bad, v, size, isa, type)
            #expect(y.allSatisfy { $0.isNaN }, "k: \(value) \(place)")
          }
          bad = v
          bad[place * size + 3] = value
          y = attend(q, k, bad, size, isa, type)
          #expect(
            y.indices.allSatisfy { Kind(y[$0]) == ($0 % size == 3 ? Kind(value) : .finite) },
            "v: \(value) \(place)")
        }
      }
    }

    private func attend(
      _ q: [Float], _ k: [Float], _ v: [Float], _ size: Int, _ isa: InstructionSet,
      _ type: sdk_type
    ) -> [Float] {
      let (q, k, v) = (Stored(q, type), Stored(k, type), Stored(v, type))
      let (queries, keys) = (q.count / size, k.count / size)
      return isa.using {
        Stored(count: q.count, type) { y in
          let scratch = UnsafeMutableRawPointer.allocate(
            byteCount: sdk_attention_scratch(keys, size, sdk_threads()), alignment: 64)
          defer { scratch.deallocate() }
          var form = sdk_attention_form(
            q: q.bytes, k: k.bytes, v: v.bytes, y: y, type: type, batch: 1, queries: queries,
            keys: keys, heads: 1, size: size, q_stride: size, k_stride: size, v_stride: size,
            y_stride: size, scale: 1, causal: 0, scratch: scratch)
          sdk_attention(&form)
        }
      }.values
    }
  }
}

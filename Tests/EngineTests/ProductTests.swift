import CKernels
import Glibc
import Testing
import Threads

/// Matmuls and convolutions on packed weights, at each instruction set against sums in double.
extension EngineTests {
  struct ProductTests {
    struct Matrix: Sendable, CustomTestStringConvertible {
      let rows: Int
      let depth: Int
      let columns: Int
      var isGated = false
      var hasBias = true
      var hasResidual = true

      var testDescription: String {
        "\(rows)x\(depth)x\(columns)\(isGated ? ", gated" : "")\(hasBias ? "" : ", no bias")"
      }
    }

    /// Row counts below, at and above the tile size; column counts that leave a panel partly empty.
    static let matrices = [
      Matrix(rows: 1, depth: 2, columns: 1), Matrix(rows: 3, depth: 16, columns: 32),
      Matrix(rows: 14, depth: 66, columns: 33, hasBias: false),
      Matrix(rows: 15, depth: 40, columns: 100, hasResidual: false),
      Matrix(rows: 29, depth: 130, columns: 64, isGated: true),
      Matrix(rows: 5, depth: 8, columns: 96, isGated: true, hasBias: false, hasResidual: false),
      Matrix(rows: 700, depth: 20, columns: 40),
    ]

    @Test(arguments: InstructionSet.available, matrices)
    func products(_ isa: InstructionSet, _ form: Matrix) {
      for type in KernelTests.types {
        var random = SplitMix(seed: 11)
        let width = form.isGated ? form.columns / 2 : form.columns
        let x = Stored(random.normals(form.rows * form.depth), type)
        let weights = Stored(
          random.normals(
            form.columns * form.depth, deviation: 1 / Double(form.depth).squareRoot()), type)
        let bias = random.normals(form.columns)
        let residual = Stored(random.normals(form.rows * width), type)
        let packed = Packed(
          weights, outputs: form.columns, inputs: form.depth, taps: 1, type, isGated: form.isGated)
        var results: [[Float]] = []
        // One core and several sum up in the same order.
        for threads in [1, 3] {
          sdk_set_threads(Int32(threads))
          let y = isa.using {
            Stored(count: form.rows * width, type) { y in
              bias.withUnsafeBufferPointer { bias in
                var product = sdk_product_form(
                  x: x.bytes, type: type, y: y, y_type: type, rows: form.rows, depth: form.depth,
                  columns: form.columns, weights: packed.bytes,
                  bias: form.hasBias ? bias.baseAddress : nil,
                  residual: form.hasResidual ? UnsafeRawPointer(residual.bytes) : nil,
                  gated: form.isGated ? 1 : 0)
                sdk_product(&product)
              }
            }
          }
          results.append(y.values)
        }
        sdk_set_threads(Int32(Cores.count))
        #expect(results[0] == results[1])
        let (xs, ws, residuals) = (x.values, weights.values, residual.values)
        func sum(_ row: Int, _ column: Int) -> Double {
          (0..<form.depth).reduce(form.hasBias ? Double(bias[column]) : 0) {
            $0 + Double(xs[row * form.depth + $1]) * Double(ws[column * form.depth + $1])
          }
        }
        let expected = (0..<form.rows * width).map { index in
          let (row, column) = (index / width, index % width)
          let value =
            form.isGated
            ? sum(row, column) * EngineTests.gelu(sum(row, width + column)) : sum(row, column)
          return value + (form.hasResidual ? Double(residuals[index]) : 0)
        }
        #expect(relativeError(results[0], expected) < tolerance(type))
      }
    }

    struct Picture: Sendable, CustomTestStringConvertible {
      var batch = 1
      let height: Int
      let width: Int
      let inputs: Int
      let outputs: Int
      var stride = 1
      var isDoubled = false
      var hasResidual = true
      /// The VAE's encoder pads only at the bottom and right.
      var padding = 1
      /// Whether x is normalized as it is read, and SiLU follows.
      var isNormalized = false

      var testDescription: String {
        "\(batch)x\(height)x\(width), \(inputs) to \(outputs), stride \(stride)"
          + (isDoubled ? ", doubled" : "") + (isNormalized ? ", normalised" : "")
          + (padding == 1 ? "" : ", padding \(padding)")
      }
    }

    static let pictures = [
      Picture(height: 1, width: 1, inputs: 16, outputs: 16),
      Picture(batch: 2, height: 9, width: 7, inputs: 32, outputs: 48),
      Picture(height: 8, width: 12, inputs: 48, outputs: 32, isDoubled: true, hasResidual: false),
      Picture(batch: 2, height: 7, width: 5, inputs: 16, outputs: 80, isDoubled: true),
      Picture(height: 20, width: 37, inputs: 16, outputs: 16),
      // More inputs than are transformed at once, for tiles of any method.
      Picture(height: 6, width: 6, inputs: 400, outputs: 16),
    ]

    /// Tile strips that end at the image's edge and before it; channels in more than one part.
    static let normalized = [
      Picture(batch: 2, height: 9, width: 7, inputs: 32, outputs: 48, isNormalized: true),
      Picture(height: 5, width: 70, inputs: 16, outputs: 16, isNormalized: true),
      Picture(
        height: 4, width: 4, inputs: 272, outputs: 32, hasResidual: false, isNormalized: true),
    ]

    static let strided = [
      Picture(batch: 2, height: 9, width: 16, inputs: 32, outputs: 48, stride: 2),
      Picture(height: 8, width: 10, inputs: 16, outputs: 16, stride: 2, padding: 0),
    ]

    @Test(arguments: InstructionSet.available, pictures)
    func convolutions(_ isa: InstructionSet, _ form: Picture) {
      for type in KernelTests.types {
        for (method, isTransformed) in [
          (SDK_DIRECT, false), (SDK_WINOGRAD2, true), (SDK_WINOGRAD2, false),
          (SDK_WINOGRAD4, true), (SDK_WINOGRAD4, false),
        ] {
          let error = form.error(isa, type, method, isTransformed)
          // F(4x4) has larger rounding errors: it is not used in bf16.
          let bound = type == SDK_F32 ? 2e-6 : method == SDK_WINOGRAD4 ? 0x1p-6 : 0x1p-8
          #expect(error < bound, "\(type) by \(method), \(isTransformed)")
        }
      }
    }

    @Test(arguments: InstructionSet.available, normalized)
    func normalizedConvolutions(_ isa: InstructionSet, _ form: Picture) {
      for (type, method, products) in [
        (SDK_F32, SDK_DIRECT, SDK_F32), (SDK_F32, SDK_WINOGRAD2, SDK_F32),
        (SDK_F32, SDK_WINOGRAD4, SDK_F32), (SDK_BF16, SDK_DIRECT, SDK_BF16),
        (SDK_BF16, SDK_WINOGRAD2, SDK_BF16),
        // Widened: the result alone is rounded.
        (SDK_BF16, SDK_WINOGRAD4, SDK_F32),
      ] {
        let error = form.error(isa, type, method, false, products: products)
        #expect(error < (type == SDK_F32 ? 2e-6 : 0x1p-8), "\(type) by \(method)")
      }
    }

    @Test(arguments: InstructionSet.available, strided)
    func stridedConvolutions(_ isa: InstructionSet, _ form: Picture) {
      for type in KernelTests.types {
        #expect(form.error(isa, type, SDK_DIRECT, false) < tolerance(type) * 2)
      }
    }

    /// Whatever code packs the weights and whatever their type, the bytes are the same.
    @Test(arguments: InstructionSet.available, [SDK_F32, SDK_F16, SDK_BF16])
    func packing(_ isa: InstructionSet, _ source: sdk_type) {
      var random = SplitMix(seed: 12)
      for type in KernelTests.types {
        for (outputs, inputs, taps) in [(5, 2, 1), (64, 70, 1), (48, 80, 9)] {
          let weights = Stored(random.normals(outputs * inputs * taps), source)
          let plain = InstructionSet.all[0].using {
            Packed(weights, outputs: outputs, inputs: inputs, taps: taps, type)
          }
          let packed = isa.using {
            Packed(weights, outputs: outputs, inputs: inputs, taps: taps, type)
          }
          #expect(packed.count == plain.count)
          #expect(memcmp(packed.bytes, plain.bytes, plain.count) == 0, "\(type)")
        }
      }
    }
  }
}

/// Weights in panels.
private final class Packed {
  let bytes: UnsafeMutableRawPointer
  let count: Int

  init(
    _ weights: Stored, outputs: Int, inputs: Int, taps: Int, _ type: sdk_type,
    method: sdk_method = SDK_DIRECT, isGated: Bool = false
  ) {
    var form = sdk_packing(
      source: weights.bytes, source_type: weights.type, outputs: outputs, inputs: inputs,
      taps: taps, type: type, method: method, gated: isGated ? 1 : 0)
    count = sdk_packed_size(&form)
    bytes = .allocate(byteCount: count, alignment: 64)
    sdk_pack(&form, bytes)
  }

  deinit { bytes.deallocate() }
}

extension EngineTests.ProductTests.Picture {
  /// How far the kernel's result is from sums in double.
  fileprivate func error(
    _ isa: InstructionSet, _ type: sdk_type, _ method: sdk_method, _ isTransformed: Bool,
    products: sdk_type? = nil
  ) -> Double {
    var random = SplitMix(seed: 13)
    let (fromHeight, fromWidth) =
      isDoubled ? ((height + 1) / 2, (width + 1) / 2) : (height, width)
    let total = 2 * padding + (padding == 0 ? 1 : 0)
    let (toHeight, toWidth) = ((height + total - 3) / stride + 1, (width + total - 3) / stride + 1)
    let x = Stored(random.normals(batch * fromHeight * fromWidth * inputs), type)
    let weights = Stored(
      random.normals(outputs * inputs * 9, deviation: 1 / (9 * Double(inputs)).squareRoot()), type)
    let bias = random.normals(outputs)
    // [batch, scale and shift, inputs]
    let factors = random.normals(batch * 2 * inputs)
    let count = batch * toHeight * toWidth * outputs
    let residual = Stored(random.normals(count), type)
    let y = isa.using {
      Stored(count: count, type) { y in
        bias.withUnsafeBufferPointer { bias in
          let packed = Packed(
            weights, outputs: outputs, inputs: inputs, taps: 9, products ?? type,
            method: isTransformed ? method : SDK_DIRECT)
          var form = sdk_convolution_form()
          form.x = UnsafeRawPointer(x.bytes)
          form.x_type = type
          form.type = products ?? type
          form.y = y
          form.y_type = type
          form.batch = batch
          form.height = height
          form.width = width
          form.inputs = inputs
          form.outputs = outputs
          form.out_height = toHeight
          form.out_width = toWidth
          form.stride = stride
          form.pad_top = padding
          form.pad_left = padding
          form.doubled = isDoubled ? 1 : 0
          form.method = method
          form.transformed = isTransformed ? 1 : 0
          form.weights = UnsafeRawPointer(packed.bytes)
          form.bias = bias.baseAddress
          form.residual = hasResidual ? UnsafeRawPointer(residual.bytes) : nil
          // Only whether there are factors matters here.
          if isNormalized { form.factors = bias.baseAddress }
          let scratch = UnsafeMutableRawPointer.allocate(
            byteCount: sdk_convolution_scratch(&form, sdk_threads()), alignment: 64)
          defer { scratch.deallocate() }
          form.scratch = scratch
          factors.withUnsafeBufferPointer { factors in
            if isNormalized { form.factors = factors.baseAddress }
            form.silu = 1
            sdk_convolution(&form)
          }
        }
      }
    }
    let (xs, ws, residuals, ys) = (x.values, weights.values, residual.values, y.values)
    // Every pixel of small images, a sample of larger ones.
    let step = count > 2000 ? 7 : 1
    let places = Array(Swift.stride(from: 0, to: count, by: step))
    let expected = places.map { place -> Double in
      let (output, pixel) = (place % outputs, place / outputs)
      let (column, row) = (pixel % toWidth, pixel / toWidth % toHeight)
      let sample = pixel / toWidth / toHeight
      var sum = Double(bias[output]) + (hasResidual ? Double(residuals[place]) : 0)
      for tap in 0..<9 {
        var (i, j) = (row * stride + tap / 3 - padding, column * stride + tap % 3 - padding)
        guard 0..<height ~= i, 0..<width ~= j else { continue }
        if isDoubled { (i, j) = (i / 2, j / 2) }
        let at = ((sample * fromHeight + i) * fromWidth + j) * inputs
        for input in 0..<inputs {
          var value = Double(xs[at + input])
          if isNormalized {
            value *= Double(factors[2 * sample * inputs + input])
            value += Double(factors[(2 * sample + 1) * inputs + input])
            value /= 1 + exp(-value)
          }
          sum += value * Double(ws[(output * inputs + input) * 9 + tap])
        }
      }
      return sum
    }
    return relativeError(places.map { ys[$0] }, expected)
  }
}

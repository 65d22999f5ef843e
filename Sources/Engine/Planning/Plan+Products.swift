import CKernels
import ModelGraph

/// Steps computed by sdloom's matmul kernels.
extension Plan {
  /// A linear layer or 1x1 convolution; nil if oneDNN must compute it.
  func ownProduct(
    _ instruction: Program.Instruction, _ inputs: Int, _ outputs: Int
  ) throws -> Step? {
    let source = instruction.inputs[0]
    // bf16 values are multiplied in pairs.
    guard program.hasProducts, inputs % 2 == 0, let weight = instruction.node.weight else {
      return nil
    }
    var form = sdk_product_form()
    form.x = UnsafeRawPointer(pointer(source))
    form.type = type(source)
    form.y = pointer(instruction.output)
    form.y_type = type(instruction.output)
    form.rows = count(source) / inputs
    form.depth = inputs
    form.columns = outputs
    form.gated = instruction.isGated ? 1 : 0
    form.weights = try parameters.panels(
      weight, outputs: outputs, inputs: inputs, taps: 1, type: form.type,
      isGated: instruction.isGated)
    form.bias = try instruction.node.bias.map(parameters.vector)
    form.residual = instruction.residual.map { UnsafeRawPointer(pointer($0)) }
    let product = form
    return step(
      instruction, implementation: instruction.isGated ? "product, GEGLU" : "product",
      macs: form.rows * inputs * outputs
    ) {
      var form = product
      sdk_product(&form)
    }
  }

  /// A 3x3 convolution; nil if oneDNN must compute it.
  func ownConvolution(
    _ instruction: Program.Instruction, _ convolution: Convolution
  ) throws -> Step? {
    guard program.hasProducts, convolution.hasKernel, let weight = instruction.node.weight else {
      return nil
    }
    // Use the node's shapes: a value's storage may be viewed as tokens elsewhere.
    let from = shape(instruction.node.inputs[0].index)
    let to = shape(instruction.node.output.index)
    var form = sdk_convolution_form()
    form.x = UnsafeRawPointer(pointer(instruction.inputs[0]))
    form.x_type = type(instruction.inputs[0])
    let isSensitive = instruction.norm != nil && program.isSensitive(instruction.node)
    form.type = isSensitive ? SDK_F32 : form.x_type
    form.y = pointer(instruction.output)
    form.y_type = type(instruction.output)
    form.batch = from[0]
    form.height = from[2]
    form.width = from[3]
    form.inputs = convolution.inputChannels
    form.outputs = convolution.outputChannels
    form.out_height = to[2]
    form.out_width = to[3]
    form.stride = convolution.stride
    form.pad_top = convolution.padding.top
    form.pad_left = convolution.padding.left
    form.doubled = instruction.isDoubled ? 1 : 0
    // Only this method widens bf16 values. Its transformed weights would need as many bytes as the
    // rest of the VAE.
    let method =
      form.type != form.x_type
      ? (method: SDK_WINOGRAD4, isTransformed: false)
      : convolution.method(form.type, height: to[2], width: to[3])
    form.method = method.method
    form.transformed = method.isTransformed ? 1 : 0
    form.weights = try parameters.panels(
      weight, outputs: convolution.outputChannels, inputs: convolution.inputChannels, taps: 9,
      type: form.type, method: method.isTransformed ? method.method : SDK_DIRECT)
    form.bias =
      try instruction.node.bias.map(parameters.vector)
      ?? parameters.zeros(convolution.outputChannels)
    form.residual = instruction.residual.map { UnsafeRawPointer(pointer($0)) }
    // Norm factors precede the rest of the working memory.
    var norm: sdk_group_norm_form?
    var normBytes = 0
    if let node = instruction.norm, case .groupNorm(let groupNorm) = node.operation {
      let kernel = try self.groupNorm(instruction, node, groupNorm)
      normBytes =
        (sdk_group_norm_scratch(kernel.batch, kernel.rows, kernel.channels) + 63) / 64 * 64
      norm = kernel
      form.silu = groupNorm.silu ? 1 : 0
      // Only whether there are factors matters here; they are set when the step runs.
      form.factors = kernel.gamma
    }
    scratch.require(normBytes + sdk_convolution_scratch(&form, sdk_threads()))
    let implementation =
      switch method.method {
      case SDK_WINOGRAD2: "winograd 2x2"
      case SDK_WINOGRAD4: "winograd 4x4"
      default: "direct"
      }
    let (scratch, fixed, fixedNorm) = (scratch, form, norm)
    return step(
      instruction, implementation: implementation + (norm == nil ? "" : ", norm"),
      macs: to.reduce(1, *) * convolution.inputChannels * 9
    ) {
      var form = fixed
      if var norm = fixedNorm {
        norm.scratch = scratch.pointer
        form.factors = sdk_group_norm_factors(&norm)
      }
      form.scratch = scratch.pointer + normBytes
      sdk_convolution(&form)
    }
  }
}

extension Program {
  /// Whether a convolution multiplies in f32 in any case: a VAE decoder's at the resolution of latents,
  /// since the layers that follow magnify their errors. They are a fourteenth of its work.
  fileprivate func isSensitive(_ node: Graph.Node) -> Bool {
    guard graph.traits.contains(.magnifiesEarlyErrors),
      case .convolution(let form) = node.operation,
      form.keepsTransformed, case let shape = graph[node.output].shape, shape.count == 4
    else { return false }
    return shape[2] == .symbol(.height)
  }
}

extension Convolution {
  /// Whether the weights are small enough to be kept transformed.
  fileprivate var keepsTransformed: Bool { inputChannels * outputChannels <= 640 * 1920 }

  /// Whether sdloom has kernels for it.
  var hasKernel: Bool { kernel == 3 && inputChannels % 16 == 0 && outputChannels % 16 == 0 }

  /// Whether the output has the input's size, as required by Winograd's method and by fused norms
  /// and upsampling.
  var keepsSize: Bool { stride == 1 && padding == .all(1) }

  /// The method, and whether its weights are kept transformed.
  ///
  /// Measured on Zen 5: F(4x4) in f32, F(2x2) in bf16, whose range is too small for more. Small
  /// images have too few tiles to outweigh the larger weights. Transformed weights take 16 or 8
  /// times the bytes of a tap, so only those of wide images, which are few, are kept.
  fileprivate func method(
    _ type: sdk_type, height: Int, width: Int
  ) -> (method: sdk_method, isTransformed: Bool) {
    guard keepsSize else { return (SDK_DIRECT, false) }
    let edge = type == SDK_F32 ? 4 : 2
    let method = type == SDK_F32 ? SDK_WINOGRAD4 : SDK_WINOGRAD2
    // Decided by the weights only: they are packed once for all sizes.
    if keepsTransformed { return (method, true) }
    // For prompt and negative prompt, whatever the batch size: an image must not depend on the
    // other images in its batch.
    let tiles = 2 * ((height + edge - 1) / edge) * ((width + edge - 1) / edge)
    return tiles >= (type == SDK_F32 ? 16 : 64) ? (method, false) : (SDK_DIRECT, false)
  }
}

import ModelGraph

extension Lowering {
  /// Whether means and variances of group norms are computed in stages: in the F32 VAE, whose
  /// groups have up to a million values.
  ///
  /// ONNX Runtime's norms lose precision over so many. Measured with SD v1.5's decoder at 512 by
  /// 512 pixels: 8.0e-5 from diffusers with GroupNormalization, 8.2e-6 in stages. In F16 TensorRT's
  /// own kernels for norms matter more.
  var needsStages: Bool { graph.traits.contains(.needsWideRange) && real == .float32 }

  /// A group norm with plain operators: averages each row of the image, then the rows.
  mutating func stagedGroupNorm(
    _ input: Value, _ form: GroupNorm, weight: Value, bias: Value, at module: String
  ) -> Value {
    let values = grouped(input, form, at: module)
    let mean = mean(values, at: module)
    let centred = build.node("Sub", at: module, [values, mean], values.shape)
    let squares = build.node("Mul", at: module, [centred, centred], values.shape)
    let variance = self.mean(squares, at: module)
    let epsilon = build.constant(Float(form.epsilon), as: input.element)
    let sum = build.node("Add", at: module, [variance, epsilon], variance.shape)
    let deviation = build.node("Sqrt", at: module, [sum], sum.shape)
    let normalized = build.node("Div", at: module, [centred, deviation], values.shape)
    return scaledPerChannel(normalized, input.shape, weight: weight, bias: bias, at: module)
  }

  /// The mean over the last two axes, which keep size 1.
  private mutating func mean(_ values: Value, at module: String) -> Value {
    [3, 2].reduce(values) { values, axis in
      var shape = values.shape
      shape[axis] = 1
      // The axes became an input at opset 18.
      return options.opset.rawValue >= 18
        ? build.node("ReduceMean", at: module, [values, build.constant([axis])], shape)
        : build.node("ReduceMean", at: module, [values], shape, ["axes": .integers([axis])])
    }
  }

  /// An image as `[batch, groups, rows, width]`. The last axis is unchanged, so this shape and its
  /// inverse need no measured size.
  mutating func grouped(_ input: Value, _ form: GroupNorm, at module: String) -> Value {
    let channels = input.shape[1].fixed ?? 0
    return build.node(
      "Reshape", at: module, [input, build.constant([0, form.groups, -1, 0])],
      [
        input.shape[0], Dimension(form.groups), (channels / form.groups) * input.shape[2],
        input.shape[3],
      ])
  }

  /// The groups as an image again, times the weight plus the bias of each channel.
  mutating func scaledPerChannel(
    _ groups: Value, _ shape: [Dimension], weight: Value, bias: Value, at module: String
  ) -> Value {
    let channels = weight.shape[0].fixed ?? 0
    let picture = build.node(
      "Reshape", at: module, [groups, build.constant([0, channels, -1, 0])], shape)
    let perChannel = build.constant([-1, 1, 1])
    let column = [weight.shape[0], 1, 1]
    let scale = build.node("Reshape", at: module, [weight, perChannel], column)
    let shift = build.node("Reshape", at: module, [bias, perChannel], column)
    let scaled = build.node("Mul", at: module, [picture, scale], shape)
    return build.node("Add", at: module, [scaled, shift], shape)
  }
}

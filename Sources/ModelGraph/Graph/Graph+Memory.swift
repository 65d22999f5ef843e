extension Graph {
  /// The peak bytes of live values while the nodes run in order, every value as float32: inputs
  /// from the start, outputs to the end, others from their node to their last reader. An engine
  /// without fusion or recomputation needs this in addition to the weights.
  public func peakActivationBytes(_ sizes: Sizes) -> Int {
    let bytes = values.indices.map { index in
      values[index].shape.reduce(4) { product, dimension in
        let (result, overflow) = product.multipliedReportingOverflow(by: dimension.value(sizes))
        return overflow ? Int.max : result
      }
    }
    var lastUse = [Int](repeating: -1, count: values.count)
    for (position, node) in nodes.enumerated() {
      for input in node.inputs { lastUse[input.index] = position }
      lastUse[node.output.index] = max(lastUse[node.output.index], position)
    }
    for output in outputs { lastUse[output.index] = nodes.count }
    var ends = [[Int]](repeating: [], count: nodes.count + 1)
    for (value, position) in lastUse.enumerated() where position >= 0 {
      ends[position].append(value)
    }

    var alive = inputs.reduce(0) { Graph.sum($0, bytes[$1.index]) }
    var peak = alive
    for (position, node) in nodes.enumerated() {
      alive = Graph.sum(alive, bytes[node.output.index])
      peak = max(peak, alive)
      guard alive < .max else { return .max }
      for value in ends[position] { alive -= bytes[value] }
    }
    return peak
  }

  /// A configuration may describe networks of any size; sums beyond `Int` saturate.
  private static func sum(_ left: Int, _ right: Int) -> Int {
    let (sum, overflow) = left.addingReportingOverflow(right)
    return overflow ? .max : sum
  }
}

extension Graph {
  /// Whether it reads token ids, as a text encoder does.
  public var takesTokens: Bool { inputs.contains { self[$0].isInteger } }

  /// The graph for sizes that are known beforehand; symbols without a size stay.
  public func fixing(_ sizes: [Symbol: Int]) -> Graph {
    var graph = self
    graph.values = values.map { value in
      Value(
        name: value.name, shape: value.shape.map { $0.fixing(sizes) }, isInteger: value.isInteger)
    }
    return graph
  }
}

extension Dimension {
  /// The dimension with the symbols of `sizes` replaced by their sizes.
  func fixing(_ sizes: [Symbol: Int]) -> Dimension {
    if merged > 0 {
      // The result depends on both sides at once.
      guard factors.allSatisfy({ sizes[$0.symbol] != nil }) else { return self }
      var known = Sizes()
      for (symbol, size) in sizes { known[symbol] = size }
      return Dimension(value(known))
    }
    return factors.reduce(Dimension(constant)) { product, factor in
      guard let size = sizes[factor.symbol] else {
        return product * Dimension(1, [factor])
      }
      return product * Dimension((size + factor.divisor - 1) / factor.divisor)
    }
  }
}

/// A size that is only known when a graph is run.
public enum Symbol: String, Sendable, Hashable, CaseIterable {
  /// The number of images or prompts computed at once.
  case batch
  /// The height of the latent image; the image itself is eight times as high.
  case height
  /// The width of the latent image.
  case width
  /// The tokens of a prompt.
  case sequence
}

/// One dimension of a value: a constant times sizes that are known at run time.
///
/// The form `constant * product of ceil(symbol / divisor)` is closed under everything the networks
/// do: halving by a strided convolution, doubling, and flattening height by width.
public struct Dimension: Sendable, Hashable, ExpressibleByIntegerLiteral {
  /// `ceil(symbol / divisor)`.
  public struct Factor: Sendable, Hashable {
    /// The symbol.
    public let symbol: Symbol
    /// The divisor of the symbol.
    public let divisor: Int
  }

  /// The known factor.
  public let constant: Int
  /// The symbolic factors.
  public let factors: [Factor]
  /// Thousandths of an image's tokens that are merged with others, rounded down. At least one token
  /// per 2x2 window of the image, whose sides are the factors, remains.
  public let merged: Int

  public init(_ constant: Int, _ factors: [Factor] = []) {
    self.init(constant, factors, merged: 0)
  }

  private init(_ constant: Int, _ factors: [Factor], merged: Int) {
    self.constant = constant
    self.factors = factors
    self.merged = merged
  }

  /// The number of tokens left after merging `thousandths` of them.
  public func merging(thousandths: Int) -> Dimension {
    Dimension(constant, factors, merged: thousandths)
  }

  public init(integerLiteral value: Int) {
    self.init(value)
  }

  /// The size `symbol` itself.
  public static func symbol(_ symbol: Symbol) -> Dimension {
    Dimension(1, [Factor(symbol: symbol, divisor: 1)])
  }

  /// The value, if it is a constant.
  public var fixed: Int? { factors.isEmpty ? constant : nil }

  /// Half of it, rounded up; nil if it has no such form (an odd constant times a symbol).
  public var halved: Dimension? {
    guard merged == 0 else { return nil }
    if factors.isEmpty { return Dimension((constant + 1) / 2) }
    if constant % 2 == 0 { return Dimension(constant / 2, factors) }
    guard constant == 1, factors.count == 1 else { return nil }
    return Dimension(1, [Factor(symbol: factors[0].symbol, divisor: factors[0].divisor * 2)])
  }

  /// A multiple of it.
  public static func * (left: Int, right: Dimension) -> Dimension {
    precondition(right.merged == 0, "tokens are merged last")
    return Dimension(left * right.constant, right.factors)
  }

  /// The product of two, such as height times width.
  public static func * (left: Dimension, right: Dimension) -> Dimension {
    precondition(left.merged == 0 && right.merged == 0, "tokens are merged last")
    return Dimension(left.constant * right.constant, left.factors + right.factors)
  }

  /// Its value for given sizes.
  public func value(_ sizes: Sizes) -> Int {
    let sides = factors.map { (sizes[$0.symbol] + $0.divisor - 1) / $0.divisor }
    let count = sides.reduce(constant, *)
    guard merged > 0 else { return count }
    // Thousandths of the whole thousands and of the rest, so that no product overflows.
    let gone = count / 1000 * merged + count % 1000 * merged / 1000
    return max(sides.reduce(constant) { $0 * (($1 + 1) / 2) }, count - gone)
  }
}

extension Dimension: CustomStringConvertible {
  /// `320`, `height`, `ceil(width/2)`, `8*height`.
  public var description: String {
    let terms = factors.map { factor in
      factor.divisor == 1 ? factor.symbol.rawValue : "ceil(\(factor.symbol)/\(factor.divisor))"
    }
    let product = (constant == 1 && !terms.isEmpty ? terms : [String(constant)] + terms)
      .joined(separator: "*")
    return merged == 0 ? product : "merged(\(product))"
  }
}

/// The run-time sizes for which a graph's dimensions get values.
public struct Sizes: Sendable, Hashable {
  /// Images.
  public var batch: Int
  /// Rows of the latent image.
  public var height: Int
  /// Columns of the latent image.
  public var width: Int
  /// Tokens of a prompt.
  public var sequence: Int

  public init(batch: Int = 1, height: Int = 64, width: Int = 64, sequence: Int = 77) {
    self.batch = batch
    self.height = height
    self.width = width
    self.sequence = sequence
  }

  /// The value of a symbol.
  public subscript(symbol: Symbol) -> Int {
    get {
      switch symbol {
      case .batch: batch
      case .height: height
      case .width: width
      case .sequence: sequence
      }
    }
    set {
      switch symbol {
      case .batch: batch = newValue
      case .height: height = newValue
      case .width: width = newValue
      case .sequence: sequence = newValue
      }
    }
  }
}

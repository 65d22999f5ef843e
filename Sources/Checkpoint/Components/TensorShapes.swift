import ModelFormats

/// The shapes of a file's tensors, by name below a prefix.
struct TensorShapes {
  private let shapes: [String: [Int]]
  private let prefix: String
  /// Whether the names below the prefix have no dots, as in EMA weights.
  private let isDotless: Bool

  init(_ tensors: [Tensor]) {
    var shapes: [String: [Int]] = [:]
    for tensor in tensors { shapes[tensor.name] = tensor.shape.dimensions }
    self.init(shapes: shapes, prefix: "", isDotless: false)
  }

  private init(shapes: [String: [Int]], prefix: String, isDotless: Bool) {
    self.shapes = shapes
    self.prefix = prefix
    self.isDotless = isDotless
  }

  /// The tensors below a prefix.
  func below(_ prefix: String) -> TensorShapes {
    TensorShapes(shapes: shapes, prefix: prefix, isDotless: false)
  }

  /// The tensors below a prefix whose names have no dots.
  func withoutDots(below prefix: String) -> TensorShapes {
    TensorShapes(shapes: shapes, prefix: prefix, isDotless: true)
  }

  private func key(_ name: String) -> String {
    prefix + (isDotless ? name.filter { $0 != "." } : name)
  }

  /// The valid sizes in a configuration; an empty tensor may declare any size in its other
  /// dimensions.
  private static let sizes = 1...65_536

  /// The shape of the tensor with this name, if it has `rank` dimensions with valid sizes.
  func callAsFunction(_ name: String, rank: Int) -> [Int]? {
    shapes[key(name)].flatMap { shape in
      shape.count == rank && shape.allSatisfy(TensorShapes.sizes.contains) ? shape : nil
    }
  }

  func contains(_ name: String) -> Bool { shapes[key(name)] != nil }

  /// The number of consecutive names `name(0)`, `name(1)`, … that exist.
  func count(_ name: (Int) -> String) -> Int {
    var count = 0
    while contains(name(count)) { count += 1 }
    return count
  }
}

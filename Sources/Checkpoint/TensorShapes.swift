import ModelFormats

/// The shapes of a file's tensors, asked for by name behind a prefix.
struct TensorShapes {
  private let shapes: [String: [Int]]
  private let prefix: String

  init(_ tensors: [Tensor], wrapper: String) {
    var shapes: [String: [Int]] = [:]
    for tensor in tensors where tensor.name.hasPrefix(wrapper) {
      shapes[String(tensor.name.dropFirst(wrapper.count))] = tensor.shape.dimensions
    }
    self.init(shapes: shapes, prefix: "")
  }

  private init(shapes: [String: [Int]], prefix: String) {
    self.shapes = shapes
    self.prefix = prefix
  }

  /// The tensors behind a prefix.
  func below(_ prefix: String) -> TensorShapes {
    TensorShapes(shapes: shapes, prefix: prefix)
  }

  /// The sizes that a configuration may have; an empty tensor may claim any in its other dimensions.
  private static let sizes = 1...65_536

  /// The shape of the tensor of that name, where it is there with `rank` dimensions of sizes that
  /// networks have.
  func callAsFunction(_ name: String, rank: Int) -> [Int]? {
    shapes[prefix + name].flatMap { shape in
      shape.count == rank && shape.allSatisfy(TensorShapes.sizes.contains) ? shape : nil
    }
  }

  func contains(_ name: String) -> Bool { shapes[prefix + name] != nil }

  /// How many of the names that `name` gives for 0, 1, … are there, from the first on.
  func count(_ name: (Int) -> String) -> Int {
    var count = 0
    while contains(name(count)) { count += 1 }
    return count
  }
}

import ModelFormats

/// The shapes of a file's tensors, asked for by name behind a prefix.
struct TensorShapes {
  private let shapes: [String: [Int]]
  private let prefix: String
  /// Whether the file's names have no dots behind the prefix, as those of averages.
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

  /// The tensors behind a prefix.
  func below(_ prefix: String) -> TensorShapes {
    TensorShapes(shapes: shapes, prefix: prefix, isDotless: false)
  }

  /// The tensors behind a prefix whose names have lost their dots.
  func withoutDots(below prefix: String) -> TensorShapes {
    TensorShapes(shapes: shapes, prefix: prefix, isDotless: true)
  }

  private func key(_ name: String) -> String {
    prefix + (isDotless ? name.filter { $0 != "." } : name)
  }

  /// The sizes that a configuration may have; an empty tensor may claim any in its other dimensions.
  private static let sizes = 1...65_536

  /// The shape of the tensor of that name, where it is there with `rank` dimensions of sizes that
  /// networks have.
  func callAsFunction(_ name: String, rank: Int) -> [Int]? {
    shapes[key(name)].flatMap { shape in
      shape.count == rank && shape.allSatisfy(TensorShapes.sizes.contains) ? shape : nil
    }
  }

  func contains(_ name: String) -> Bool { shapes[key(name)] != nil }

  /// How many of the names that `name` gives for 0, 1, … are there, from the first on.
  func count(_ name: (Int) -> String) -> Int {
    var count = 0
    while contains(name(count)) { count += 1 }
    return count
  }
}

import Crypto
import ModelFormats
import ModelGraph
import OrderedJSON

/// The identity of a checkpoint's weights, independent of their file.
///
/// The SHA-256 of one line per parameter of the known networks, sorted by bytes:
///
///     unet conv_in.weight F32 [320, 4, 3, 3] <SHA-256 of the contiguous little-endian values>
///
/// Names and shapes are those of current diffusers, so a single file and a repository with the same
/// weights agree. Buffers, EMA weights and tensors of no known network are ignored; in a component
/// with an unknown network every tensor counts, under its own name. A name that is empty or
/// contains a space, a quotation mark, a backslash or an ASCII control character is quoted as JSON,
/// so different tensors have different lines.
public struct ContentHash: Sendable, Hashable {
  /// The hash of everything.
  public let sha256: String
  /// The hash of each component's lines.
  public let components: [(name: ComponentName, sha256: String)]

  /// Hashes every value, on all cores.
  ///
  /// - Returns: nil if there are no tensors to hash.
  /// - Throws: ``FormatError`` if reading fails.
  public init?(
    _ checkpoint: ModelCheckpoint, _ progress: (Int, Int) -> Void = { _, _ in }
  ) throws(FormatError) {
    var tensors: [Tensor] = []
    var heads: [[String]] = []
    var names: [ComponentName] = []
    for component in checkpoint.components
    where component.name != .other && component.name.averaged == nil {
      var lines: [String] = []
      for (name, tensor, shape) in ContentHash.parameters(of: component) {
        tensors.append(tensor)
        let words = [component.name.rawValue, name].map(ContentHash.word)
        lines.append("\(words[0]) \(words[1]) \(tensor.dtype.rawValue) \(shape) ")
      }
      guard !lines.isEmpty else { continue }
      heads.append(lines)
      names.append(component.name)
    }
    guard !tensors.isEmpty else { return nil }
    let total = tensors.reduce(0) { $0 + $1.byteCount }
    var digests = try TensorDigest.sha256(of: tensors) { progress($0, total) }[...]
    var all: [String] = []
    var components: [(name: ComponentName, sha256: String)] = []
    for (name, heads) in zip(names, heads) {
      let lines = zip(heads, digests).map { $0 + $1 + "\n" }
      digests = digests.dropFirst(heads.count)
      components.append((name, ContentHash.digest(lines)))
      all += lines
    }
    self.components = components
    sha256 = ContentHash.digest(all)
  }

  private static func parameters(
    of component: Component
  ) -> [(name: String, tensor: Tensor, shape: Shape)] {
    guard let manifest = component.manifest else {
      return component.tensors.map { ($0.name, $0, $0.shape) }
    }
    return manifest.parameters.compactMap { parameter in
      guard let position = manifest.position(parameter.name) else { return nil }
      return (parameter.name, component.tensors[position], Shape(parameter.shape))
    }
  }

  /// A name as a single word.
  private static func word(_ name: String) -> String {
    let isPlain =
      !name.isEmpty
      && name.utf8.allSatisfy {
        $0 > UInt8(ascii: " ") && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\")
          && $0 != 0x7F
      }
    return isPlain ? name : JSON.string(name).text(.compact)
  }

  private static func digest(_ lines: [String]) -> String {
    var hash = SHA256()
    let sorted = lines.map { Array($0.utf8) }.sorted { $0.lexicographicallyPrecedes($1) }
    for line in sorted { hash.update(data: line) }
    return Hexadecimal.text(hash.finalize())
  }

  public static func == (left: ContentHash, right: ContentHash) -> Bool {
    left.sha256 == right.sha256
  }

  public func hash(into hasher: inout Hasher) { hasher.combine(sha256) }
}

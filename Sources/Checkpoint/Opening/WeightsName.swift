/// The parsed name of a weights file in a component's directory.
///
///     diffusion_pytorch_model.safetensors                  the weights
///     diffusion_pytorch_model.fp16.safetensors             a variant of them
///     diffusion_pytorch_model.safetensors.index.json       the index of weights in shards
///     diffusion_pytorch_model.safetensors.index.fp16.json  the same of a variant
///
/// Source: `_add_variant` and the weights names of diffusers and transformers.
struct WeightsName: Hashable {
  let file: String
  let format: WeightsFormat
  /// For example `fp16` or `non_ema`; nil for the default weights.
  let variant: String?
  let isIndex: Bool

  private static let stems: [WeightsFormat: [String]] = [
    .safetensors: ["diffusion_pytorch_model", "model"],
    .bin: ["diffusion_pytorch_model", "pytorch_model"],
  ]

  /// Whether a file is a shard index of any variant.
  static func isIndex(_ file: String) -> Bool {
    file.hasSuffix(".index.json")
      || file.hasSuffix(".json")
        && WeightsFormat.allCases.contains { file.contains(".\($0.rawValue).index.") }
  }

  /// - Returns: nil for other files, including shards, which are only read through an index.
  init?(_ file: String) {
    for format in WeightsFormat.allCases {
      for stem in WeightsName.stems[format] ?? [] {
        let index = "\(stem).\(format.rawValue).index"
        for (start, end, isIndex) in [(stem, ".\(format.rawValue)", false), (index, ".json", true)]
        where file.hasPrefix(start) && file.hasSuffix(end)
          && file.utf8.count >= start.utf8.count + end.utf8.count
        {
          let middle = file.dropFirst(start.count).dropLast(end.count)
          let variant = middle.dropFirst()
          let isVariant =
            middle.first == "." && !variant.isEmpty
            && variant.utf8.allSatisfy {
              (0x61...0x7A).contains($0) || (0x41...0x5A).contains($0)
                || (0x30...0x39).contains($0) || $0 == 0x5F
            }
          guard middle.isEmpty || isVariant else { continue }
          self.file = file
          self.format = format
          self.variant = middle.isEmpty ? nil : String(variant)
          self.isIndex = isIndex
          return
        }
      }
    }
    return nil
  }
}

extension WeightsName {
  /// The shard number and count in a path: `model-00001-of-00005.safetensors`.
  static func shard(_ path: String) -> (place: Int, count: Int)? {
    let name = path.split(separator: "/").last ?? ""
    let parts = (name.lastIndex(of: ".").map { name[..<$0] } ?? name).split(separator: "-")
    guard parts.count >= 4, parts[parts.count - 2] == "of",
      [parts[parts.count - 3], parts[parts.count - 1]].allSatisfy({ $0.utf8.count == 5 }),
      let place = Int(parts[parts.count - 3]), let count = Int(parts[parts.count - 1])
    else { return nil }
    return (place, count)
  }
}

extension Directory {
  /// All weights with names that diffusers or transformers use.
  var weights: [WeightsName] { files.compactMap(WeightsName.init) }

  /// Weights files that are not read, under any name; for shards only their index.
  ///
  /// - Parameters:
  ///   - read: names or paths of the files that are read.
  ///   - prefix: the prefix for names.
  func unread(except read: [String], below prefix: String) -> [UnreadWeights] {
    let read = Set(read.map { $0.split(separator: "/").last.map(String.init) ?? $0 })
    let hasIndex = weights.contains { $0.isIndex && !read.contains($0.file) }
    return files.compactMap { file in
      guard !read.contains(file) else { return nil }
      if let name = WeightsName(file) {
        return UnreadWeights(
          path: prefix + file, format: name.format.rawValue, variant: name.variant)
      }
      let small = file.lowercased()
      guard let ending = UnreadWeights.formats.first(where: { small.hasSuffix($0.ending) }),
        !(hasIndex && small.contains("-of-"))
      else { return nil }
      return UnreadWeights(path: prefix + file, format: ending.format, variant: nil)
    }
  }

  /// The variants of the weights, sorted.
  var variants: [String] { Set(weights.compactMap(\.variant)).sorted() }

  /// The weights to read: of the requested variant, in the preferred format if there are two, a
  /// single file rather than shards; nil if the directory has none. If no variant is requested and
  /// all weights are of one variant, it is that one.
  func weights(_ choice: WeightsChoice) -> WeightsName? {
    let all = weights
    let hasPlain = all.contains { $0.variant == nil }
    let variant = choice.variant ?? (!hasPlain && variants.count == 1 ? variants[0] : nil)
    let candidates = all.filter { $0.variant == variant }
    let order = [choice.format] + WeightsFormat.allCases.filter { $0 != choice.format }
    for format in order {
      let found = candidates.filter { $0.format == format }
      if let name = found.first(where: { !$0.isIndex }) ?? found.first { return name }
    }
    return nil
  }
}

/// The formats of weights that a repository may contain side by side.
public enum WeightsFormat: String, Sendable, CaseIterable {
  case safetensors
  case bin
}

/// Which of a repository's weights to read.
public struct WeightsChoice: Sendable, Hashable {
  /// The format to read.
  public var format: WeightsFormat
  /// For example `fp16`; nil for the weights without a variant.
  public var variant: String?

  public init(format: WeightsFormat = .safetensors, variant: String? = nil) {
    self.format = format
    self.variant = variant
  }
}

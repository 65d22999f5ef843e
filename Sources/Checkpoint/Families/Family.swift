import ModelFormats
import OrderedJSON

/// A model family: its name, what proves it, and the contents of its files.
///
/// ``all`` is the only table of families. Recognition, splitting of files into components,
/// adapters' base models and `summary --json` use it.
package struct Family: Sendable {
  /// The id in `summary --json`: `flux1-dev`. Several rows may share one.
  package let id: String
  /// The display name: "FLUX.1 [dev]".
  package let name: String
  /// The coarser kind, `model.kind`.
  let kind: Recognition.Kind
  /// Whether sdgen can use it.
  package let isDrawn: Bool
  /// Conditions on the tensors; all conditions of one list prove the family.
  let marks: [[FamilyMark]]
  /// Variants: the first whose conditions are met is added to the title.
  let variants: [FamilyVariant]
  /// The network to which the marks apply.
  let part: ComponentName?
  /// Whether the marks apply to several networks together.
  var isOfSeveral: Bool { part == nil || !parts.isEmpty && id == "clip" }
  /// The classes of that network in diffusers or transformers, the usual one first; they prove the
  /// family if the tensors do not.
  let classes: [String]
  /// Required configuration values for a class to prove the family, if several share the class;
  /// false also matches an absent field.
  let fields: JSONObject
  /// The other networks in its single files, by name prefix.
  let parts: [FamilyPart]
  /// How adapters for its models are recognized; nil for rows without their own adapters.
  let adapter: AdapterMark?
  /// All ids in its adapter mark.
  package var adapterIDs: [String] { (adapter?.ids ?? []) + (adapter?.alike.sorted() ?? []) }

  init(
    _ id: String, _ name: String, _ kind: Recognition.Kind = .unknown, isDrawn: Bool = false,
    part: ComponentName? = nil, classes: [String] = [], fields: JSONObject = [:],
    variants: [FamilyVariant] = [],
    parts: [FamilyPart] = [], adapter: AdapterMark? = nil, marks: [[FamilyMark]]
  ) {
    self.id = id
    self.name = name
    self.kind = kind
    self.isDrawn = isDrawn
    self.part = part
    self.classes = classes
    self.fields = fields
    self.variants = variants
    self.parts = parts
    self.adapter = adapter
    self.marks = marks
  }

  /// Why tensors belong to this family; nil without proof.
  func proof(_ shapes: FamilyShapes) -> [String]? {
    for list in marks {
      var reasons: [String] = []
      let holds = list.allSatisfy { mark in
        guard let reason = mark.proof(shapes) else { return false }
        if !reason.isEmpty, !reasons.contains(reason) { reasons.append(reason) }
        return true
      }
      if holds { return reasons }
    }
    return nil
  }

  /// The title with the variant, and the reasons.
  func title(_ shapes: FamilyShapes) -> (title: String, reasons: [String]) {
    for variant in variants {
      let reasons = variant.marks.map { $0.proof(shapes) }
      if reasons.allSatisfy({ $0 != nil }) {
        return (
          variant.replaces ? variant.says : name + variant.says,
          reasons.compactMap { $0 }.filter { !$0.isEmpty }
        )
      }
    }
    return (name, [])
  }
}

/// A variant of a family, determined from tensors.
struct FamilyVariant: Sendable {
  /// The text added to the title, or replacing it.
  let says: String
  let replaces: Bool
  let marks: [FamilyMark]

  init(_ says: String, replaces: Bool = false, _ marks: FamilyMark...) {
    self.says = says
    self.replaces = replaces
    self.marks = marks
  }
}

/// A network among others in a single file.
struct FamilyPart: Sendable {
  let prefix: String
  let name: ComponentName
}

/// A condition on the names and shapes of a network's tensors.
struct FamilyMark: Sendable {
  private enum Test: Sendable {
    case has
    case lacks
    /// The dimension at `axis` (from the end if negative) is one of `sizes`.
    case size(axis: Int, sizes: [Int])
    /// The widths of a UNet's levels.
    case widths([[Int]])
    /// Residual blocks in each level of a UNet.
    case layers(Int)
  }

  /// Any of these; `*` at either end matches any text.
  private let patterns: [String]
  private let test: Test
  private let says: String
  /// Whether the mark is also met if no such tensor exists.
  private let isOptional: Bool

  static func has(_ patterns: String..., says: String = "") -> FamilyMark {
    FamilyMark(patterns: patterns, test: .has, says: says, isOptional: false)
  }

  static func lacks(_ patterns: String..., says: String = "") -> FamilyMark {
    FamilyMark(patterns: patterns, test: .lacks, says: says, isOptional: false)
  }

  static func size(
    _ patterns: String..., axis: Int, _ sizes: [Int], optional: Bool = false, says: String = ""
  ) -> FamilyMark {
    FamilyMark(
      patterns: patterns, test: .size(axis: axis, sizes: sizes), says: says, isOptional: optional)
  }

  static func widths(_ widths: [[Int]], says: String = "") -> FamilyMark {
    FamilyMark(patterns: [], test: .widths(widths), says: says, isOptional: false)
  }

  static func layers(_ count: Int, says: String = "") -> FamilyMark {
    FamilyMark(patterns: [], test: .layers(count), says: says, isOptional: false)
  }

  /// The tensor and what it proves; empty if the mark is met without evidence, nil if it is not
  /// met.
  func proof(_ shapes: FamilyShapes) -> String? {
    switch test {
    case .has:
      guard let found = shapes.first(patterns) else { return nil }
      return says.isEmpty ? "" : "\(shapes.shown(found)): \(says)"
    case .lacks:
      return shapes.first(patterns) == nil ? says : nil
    case .size(let axis, let sizes):
      guard let found = shapes.first(patterns) else { return isOptional ? "" : nil }
      let dimensions = found.shape.dimensions
      let index = axis < 0 ? dimensions.count + axis : axis
      guard dimensions.indices.contains(index), sizes.contains(dimensions[index]) else {
        return nil
      }
      return says.isEmpty ? "" : "\(shapes.shown(found)): \(says)"
    case .widths(let widths):
      guard widths.contains(shapes.levels.map(\.channels)) else { return nil }
      return says
    case .layers(let count):
      let levels = shapes.levels
      guard !levels.isEmpty, levels.allSatisfy({ $0.layers == count }) else { return nil }
      return says
    }
  }
}

/// The tensors of a network by name below a prefix, for marks.
struct FamilyShapes {
  /// The prefix before the network's own names.
  let prefix: String
  private let tensors: [Tensor]
  private let index: [String: Tensor]
  private let text: NameText
  /// Names, including the prefix, of tensors that the network has but the file lacks.
  private let missing: Set<String>
  /// A UNet's down levels; empty for other networks.
  let levels: [ConfigurationInference.Level]

  init(_ tensors: [Tensor], prefix: String, missing: Set<String> = []) {
    self.missing = missing
    let own =
      prefix.isEmpty
      ? tensors
      : tensors.filter { $0.name.hasPrefix(prefix) }.map {
        $0.renamed(String($0.name.dropFirst(prefix.count)))
      }
    self.tensors = own
    self.prefix = prefix
    index = Dictionary(own.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    text = NameText(own.map(\.name))
    let shapes = TensorShapes(own)
    let found =
      shapes.contains("conv_in.weight")
      ? ConfigurationInference.publishedLevels(shapes)
      : shapes.contains("input_blocks.0.0.weight")
        ? ConfigurationInference.singleFileLevels(shapes, isWhole: shapes.contains("out.2.weight"))
        : nil
    levels = found?.levels ?? []
  }

  /// Name in the file and shape, for reasons.
  func shown(_ tensor: Tensor) -> String {
    let name = prefix + tensor.name
    return tensor.renamed(name).shown + (missing.contains(name) ? " (missing, inferred)" : "")
  }

  /// The tensor for the first pattern with a match.
  func first(_ patterns: [String]) -> Tensor? {
    for pattern in patterns {
      if let tensor = first(pattern) { return tensor }
    }
    return nil
  }

  private func first(_ pattern: String) -> Tensor? {
    let isEnd = pattern.hasPrefix("*")
    let isStart = pattern.hasSuffix("*")
    guard isEnd || isStart else { return index[pattern] }
    let words = String(pattern.dropFirst(isEnd ? 1 : 0).dropLast(isStart ? 1 : 0))
    return text.first(containing: words, isAtStart: !isEnd, isAtEnd: !isStart).map { tensors[$0] }
  }

  /// Prefixes of the main network's names in files.
  private static let prefixes = [
    "", "model.diffusion_model.", "diffusion_model.", "unet.", "transformer.", "model.", "net.",
    "control_model.", "first_stage_model.", "vae.", "text_model.", "text_encoder.", "clip.",
    "image_encoder.", "visual.", "vision_tower.",
  ]

  /// Views of a network's tensors in which marks are searched, each with another prefix.
  ///
  /// - Parameters:
  ///   - tensors: under their bare names.
  ///   - missing: the names of missing tensors.
  static func views(of tensors: [Tensor], missing: Set<String> = []) -> [FamilyShapes] {
    prefixes.filter { prefix in
      prefix.isEmpty || tensors.contains { $0.name.hasPrefix(prefix) }
    }.map { FamilyShapes(tensors, prefix: $0, missing: missing) }
  }
}

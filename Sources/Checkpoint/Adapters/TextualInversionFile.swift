import ModelFormats
import OrderedJSON

/// A textual inversion file: vectors for one or more words, for one or more text encoders.
///
/// Source: Gal et al., "An Image is Worth One Word" (2022), and the files that the AUTOMATIC1111 web
/// UI, ComfyUI, OneTrainer and diffusers write.
public struct TextualInversionFile: Sendable {
  /// The form of the file.
  public enum Form: Sendable, Hashable {
    /// `string_to_param`, in PyTorch files of the original code and the web UI.
    case stringToParam
    /// `emb_params`, in safetensors files of the web UI.
    case embParams
    /// The tokens themselves, as in diffusers.
    case tokens
    /// The text encoders, each with its own vectors: `clip_l`, `clip_g`, `t5xxl`.
    case encoders
  }

  /// Vectors, `[count, width]`.
  public struct Entry: Sendable {
    /// The word in the file; nil if there is none.
    public let word: String?
    /// The text encoder, by ComfyUI's name; nil if the file does not say.
    public let encoder: String?
    /// As in the file: a single vector may lack the first dimension.
    public let tensor: Tensor

    /// The width of a vector.
    public var width: Int { tensor.shape.last }
    /// How many vectors stand for the word.
    public var count: Int { tensor.shape.rank == 2 ? tensor.shape[0] : 1 }
  }

  /// The form of the file.
  public let form: Form
  /// At least one; for several text encoders in the order above.
  public let entries: [Entry]
  /// Other tensors of the file.
  let others: [Tensor]

  /// Key names of text encoders, and the encoders' names.
  private static let encoders: [(key: String, name: String)] = [
    ("clip_l", "clip_l"), ("text_encoders_0", "clip_l"), ("clip_g", "clip_g"),
    ("text_encoders_1", "clip_g"), ("t5xxl", "t5xxl"), ("t5", "t5xxl"),
    ("text_encoders_2", "t5xxl"),
  ]

  /// The name of the web UI, and OneTrainer's.
  private static let parameters = ["emb_params", "emp_params"]

  /// The maximum number of tensors, and of vectors per word.
  private static let tensorLimit = 64
  private static let vectorLimit = 1024
  private static let widthLimit = 65_536

  /// Recognizes a textual inversion by names and shapes; nil for other files.
  ///
  /// - Parameter isExpected: whether the user said that it is one; then any width and any name of a
  ///   single tensor is accepted.
  public init?(_ tensors: [Tensor], isExpected: Bool = false) {
    guard (1...Self.tensorLimit).contains(tensors.count) else { return nil }
    func entries(
      _ tensors: [Tensor], _ word: (Tensor) -> String?, encoder: (Tensor) -> String? = { _ in nil }
    ) -> [Entry]? {
      guard !tensors.isEmpty, tensors.allSatisfy(Self.isVectors) else { return nil }
      return tensors.map { Entry(word: word($0), encoder: encoder($0), tensor: $0) }
    }
    // OneTrainer also stores vectors to append to the text encoder's output; no program here reads
    // them.
    let names = Self.encoders.map(\.key) + Self.parameters
    let outputs = tensors.filter {
      $0.name.hasSuffix("_out") && names.contains(String($0.name.dropLast(4)))
    }
    let tensors = tensors.filter { tensor in !outputs.contains { $0.name == tensor.name } }
    let prefix = "string_to_param."
    let learned = tensors.filter { $0.name.hasPrefix(prefix) }
    let parameters = tensors.filter { Self.parameters.contains($0.name) }
    func encoder(_ tensor: Tensor) -> (index: Int, name: String)? {
      Self.encoders.enumerated().first { $0.element.key == tensor.name }
        .map { ($0.offset, $0.element.name) }
    }
    let found: (form: Form, entries: [Entry])?
    if !learned.isEmpty {
      let isLone = learned.count == 1
      found = entries(learned) { isLone ? nil : String($0.name.dropFirst(prefix.count)) }
        .map { (.stringToParam, $0) }
    } else if !parameters.isEmpty {
      found = entries(parameters) { _ in nil }.map { (.embParams, $0) }
    } else if tensors.allSatisfy({ encoder($0) != nil }) {
      let sorted = tensors.sorted { encoder($0)?.index ?? 0 < encoder($1)?.index ?? 0 }
      found = entries(sorted, { _ in nil }, encoder: { encoder($0)?.name })
        .map { (.encoders, $0) }
    } else if Self.areTokens(tensors, isExpected: isExpected) {
      found = entries(tensors) { $0.name.isEmpty ? nil : $0.name }.map { (.tokens, $0) }
    } else {
      found = nil
    }
    guard let found else { return nil }
    form = found.form
    self.entries = found.entries
    let read = Set(found.entries.map(\.tensor.name))
    others = tensors.filter { !read.contains($0.name) } + outputs
  }

  private static func isVectors(_ tensor: Tensor) -> Bool {
    (1...2).contains(tensor.shape.rank) && tensor.elementCount > 0
      && tensor.dtype.isFloatingPoint
      && (tensor.shape.rank == 1 || tensor.shape[0] <= vectorLimit)
      && tensor.shape.last <= widthLimit
  }

  /// Whether the names are tokens: any short list of vectors as wide as a text encoder's, or other
  /// vectors under a token in brackets.
  private static func areTokens(_ tensors: [Tensor], isExpected: Bool) -> Bool {
    guard tensors.count <= 16, tensors.allSatisfy(isVectors) else { return false }
    func isBracketed(_ name: String) -> Bool { name.hasPrefix("<") && name.hasSuffix(">") }
    if tensors.allSatisfy({ isBracketed($0.name) }) { return true }
    let isKnown = tensors.allSatisfy { tensor in
      [768, 1024, 1280, 4096].contains(tensor.shape.last) && !tensor.name.contains(".")
        && (tensor.shape.rank == 1 || tensor.shape[0] <= 256)
    }
    return isKnown || isExpected && tensors.count == 1 && !tensors[0].name.hasSuffix(".weight")
  }

  /// The word from a file's name, if the file has none: the name without its extension, as in web
  /// UIs.
  public static func word(ofFile path: String) -> String {
    let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
    let name = slash.map { Substring(path.utf8[path.utf8.index(after: $0)...]) } ?? path[...]
    let endings = [".safetensors", ".pt", ".pth", ".bin", ".ckpt"]
    let lowered = name.lowercased()
    guard let ending = endings.first(where: { lowered.hasSuffix($0) && lowered != $0 }) else {
      return String(name)
    }
    return String(name.dropLast(ending.count))
  }

  // MARK: Words

  /// The model, from its text encoders and their widths; nil if unknown.
  public var family: String? {
    let names = Set(entries.compactMap(\.encoder))
    switch (names.contains("clip_l"), names.contains("clip_g"), names.contains("t5xxl")) {
    case (_, true, true): return "Stable Diffusion 3"
    case (_, true, false): return "Stable Diffusion XL"
    case (true, false, true): return "FLUX.1"
    case (false, false, true): return "a model with T5"
    default: return Self.family(ofWidth: entries[0].width)
    }
  }

  /// The family whose text encoder has this width; for SDXL, the larger one.
  public static func family(ofWidth width: Int) -> String? {
    switch width {
    case 768: "Stable Diffusion 1.x"
    case 1024: "Stable Diffusion 2.x"
    case 1280: "Stable Diffusion XL"
    case 4096: "a model with T5"
    default: nil
    }
  }

  /// For display: "textual inversion embedding for Stable Diffusion 1.x".
  var title: String {
    let words = form != .encoders && entries.count > 1 ? " of \(entries.count) tokens" : ""
    let title = "textual inversion embedding" + words + (family.map { " for \($0)" } ?? "")
    return form == .encoders ? "\(title): \(size)" : title
  }

  /// The number and width of vectors: "4 vectors, clip_l 768 and clip_g 1280 wide".
  public var size: String {
    guard form == .encoders else {
      let count = entries.reduce(0) { $0 + $1.count }
      return "\(count.of("vector")) of \(entries[0].width)"
    }
    let counts = entries.map(\.count)
    let isSame = Set(counts).count == 1
    let widths = entries.map { entry in
      "\(entry.encoder ?? "") \(entry.width)" + (isSame ? "" : " (\(entry.count))")
    }
    let last = widths.count > 1 ? " and " + (widths.last ?? "") : ""
    let list = (widths.count > 1 ? widths.dropLast().joined(separator: ", ") : widths[0]) + last
    let most = counts.max() ?? 0
    return "\(most.of("vector")), \(list) wide"
  }

  /// The names that decided.
  var reasons: [String] {
    let meaning =
      switch form {
      case .stringToParam: ": learned vectors, named as A1111 and the original code do"
      case .embParams: ": learned vectors, named as A1111 does"
      case .tokens: ": a token with the width of a text encoder's, named as diffusers does"
      case .encoders: ": one word's vectors for this text encoder"
      }
    var reasons = [entries[0].tensor.shown + meaning]
    if form == .encoders {
      reasons += entries.dropFirst().map { "\($0.tensor.shown): for another" }
      if Set(entries.map(\.count)).count > 1 {
        reasons.append("the text encoders have different numbers of vectors")
      }
    }
    return reasons + [size]
  }
}

// MARK: Conversion

extension TextualInversionFile {
  /// The tensors under the names that other programs read, with their sources.
  ///
  /// - Parameter isPyTorch: whether a PyTorch file is written, which stores one word's vectors in a
  ///   dictionary `string_to_param`.
  func converted(isPyTorch: Bool) -> [(source: Tensor, target: Tensor)] {
    entries.map { entry in
      let name: String
      if form == .encoders {
        name = entry.encoder ?? entry.tensor.name
      } else if entries.count > 1 {
        name = entry.word ?? entry.tensor.name
      } else {
        name = isPyTorch ? "*" : "emb_params"
      }
      let tensor = entry.tensor.reshaped(Shape([entry.count, entry.width]))
      return (entry.tensor, tensor.renamed(name))
    }
  }

  /// Whether a PyTorch file of it has the web UI's dictionary.
  var isOneWord: Bool { form != .encoders && entries.count == 1 }
}

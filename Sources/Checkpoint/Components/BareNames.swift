import ModelFormats
import OrderedJSON

/// The names of a file's tensors without the prefixes and wrappers of training and saving.
///
/// A training checkpoint stores its weights in dictionaries (`state_dict`, `params`, `ema`), and
/// distributed training or compilation wraps modules (`module.`, `_orig_mod.`). These are not part
/// of a network's own names.
package struct BareNames {
  /// The group of weights a tensor belongs to.
  enum Part: Sendable {
    case weights
    /// EMA weights, in a separate dictionary next to the weights.
    case averages
    /// Outside the networks; it keeps its full name.
    case beside
  }

  /// The bare name and group of each tensor.
  let names: [String]
  let parts: [Part]
  /// Warnings: dictionaries that contain the same networks.
  let warnings: [String]
  private let held: Set<ExactName>

  /// The bare names of the weights, and the full names of all others.
  func namesOfWeights(_ tensors: [Tensor]) -> [String] {
    zip(tensors, zip(names, parts)).map { $1.1 == .weights ? $1.0 : $0.name }
  }

  /// Whether a tensor of the weights has this bare name.
  func contains(_ name: String) -> Bool { held.contains(ExactName(name)) }

  init(_ tensors: [Tensor]) {
    var inner = tensors.map(\.name)
    let text = NameText(inner)
    if (BareNames.wrappers + BareNames.innerWords.map { ".\($0)." }).contains(where: text.contains)
    {
      inner = inner.map(BareNames.withoutInnerWrappers)
    }
    var dictionaries = Dictionaries(inner)
    dictionaries.choose(inner)
    var names: [String] = []
    var parts: [Part] = []
    var held: Set<ExactName> = []
    names.reserveCapacity(tensors.count)
    parts.reserveCapacity(tensors.count)
    for (tensor, name) in zip(tensors, inner) {
      let (part, dictionary) = dictionaries.place(of: name)
      // For unknown networks, no word is known to be a wrapper.
      let whole = dictionaries.isEmpty ? tensor.name : name
      let bare = part == .beside ? tensor.name : String(whole.dropFirst(dictionary.count))
      names.append(bare)
      parts.append(part)
      if part == .weights { held.insert(ExactName(bare)) }
    }
    self.names = names
    self.parts = parts
    self.held = held
    warnings = dictionaries.warnings
  }

  // MARK: Words

  /// Modules that wrap another anywhere in a network: torch.compile, FSDP and activation
  /// checkpointing.
  private static let wrappers = [
    "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module",
  ]
  /// Words between a network's prefix and the names in it: from data-parallel training, and from
  /// networks saved in their own dictionary.
  private static let innerWords: Set<Substring> = ["module", "state_dict", "model_state_dict"]
  private static let networks: Set<Substring> = [
    "diffusion_model", "unet", "vae", "text_encoder", "first_stage_model", "cond_stage_model",
    "control_model", "controlnet",
  ]
  /// Dictionaries and modules that contain complete networks.
  private static let words: Set<Substring> = [
    "state_dict", "model_state_dict", "module", "model", "net", "network", "params", "weights",
    "generator", "controlnet",
  ]
  /// Dictionaries of EMA weights.
  private static let averageWords: Set<Substring> = [
    "ema", "ema_model", "model_ema", "ema_state_dict", "state_dict_ema", "model_ema_state_dict",
    "ema_model_state_dict", "params_ema", "ema_params", "net_ema", "ema_net", "generator_ema",
    "ema_weights",
  ]
  /// Real files have two or three; a malicious name may consist only of such words.
  private static let depthLimit = 8
  private static let dictionaryLimit = 64

  /// The name without wrapper modules.
  private static func withoutInnerWrappers(_ name: String) -> String {
    var path = name.split(separator: ".", omittingEmptySubsequences: false)
    // Names of EMA weights have no dots.
    if path.count == 2, path[0] == "model_ema", path[1].hasPrefix("diffusion_model") {
      for wrapper in wrappers where path[1].contains(wrapper) {
        path[1] = Substring(path[1].split(separator: wrapper).joined())
      }
      return path.joined(separator: ".")
    }
    let count = path.count
    path.removeAll { wrappers.contains(String($0)) }
    var index = 1
    while index < path.count {
      if innerWords.contains(path[index]), networks.contains(path[index - 1]) {
        path.remove(at: index)
      } else {
        index += 1
      }
    }
    return path.count == count ? name : path.joined(separator: ".")
  }

  /// The dictionaries around a name, outermost first, each with a trailing dot.
  static func dictionaries(of name: String) -> [Substring] {
    var found: [Substring] = []
    var start = name.startIndex
    while found.count < depthLimit, let dot = name.utf8[start...].firstIndex(of: UInt8(ascii: "."))
    {
      let word = name[start..<dot]
      guard words.contains(word) || averageWords.contains(word) else { break }
      start = name.utf8.index(after: dot)
      found.append(name[..<start])
    }
    return found
  }

  /// Whether a name is in a dictionary of EMA weights.
  static func isInAverages(_ name: String) -> Bool {
    let words = dictionaries(of: name).last?.split(separator: ".") ?? []
    return words.contains { averageWords.contains($0) }
  }

  /// The parts of a file's name that its bare name omits, in order.
  static func removed(from name: String, bare: String) -> [String] {
    var rest = bare.split(separator: ".", omittingEmptySubsequences: false)[...]
    let removed = name.split(separator: ".", omittingEmptySubsequences: false).filter { word in
      if word == rest.first {
        rest = rest.dropFirst()
        return false
      }
      return true
    }
    return removed.map { $0.hasPrefix("diffusion_model") ? "_orig_mod" : String($0) }
  }

  // MARK: Dictionaries

  /// The dictionaries of a file that contain networks.
  private struct Dictionaries {
    /// Those that contain networks.
    private let found: [Substring]
    private var weights: [Substring] = []
    private var averages: [Substring] = []
    /// The prefix of the names if no network is known.
    private let lone: Substring
    private(set) var warnings: [String] = []

    /// Whether no network is known.
    var isEmpty: Bool { found.isEmpty }

    init(_ names: [String]) {
      var candidates: [Substring] = [""]
      var holdsNetworks = [false]
      var places: [Substring: Int] = ["": 0]
      for name in names {
        for dictionary in [""] + BareNames.dictionaries(of: name) {
          if places[dictionary] == nil, candidates.count < BareNames.dictionaryLimit {
            places[dictionary] = candidates.count
            candidates.append(dictionary)
            holdsNetworks.append(false)
          }
          guard let place = places[dictionary], !holdsNetworks[place] else { continue }
          holdsNetworks[place] = SingleFileLayout.isOfNetwork(name.dropFirst(dictionary.count))
        }
      }
      let all = Set(names.map(ExactName.init))
      for (index, dictionary) in candidates.enumerated() where !holdsNetworks[index] {
        let isModel = dictionary == "model." || dictionary.hasSuffix(".model.")
        holdsNetworks[index] =
          SingleFileLayout.marks.contains { mark in
            // `model.diffusion_model.` is one prefix, not a dictionary named `model`.
            !(isModel && mark.hasPrefix("diffusion_model."))
              && all.contains(ExactName(dictionary + mark))
          }
          || NetworkDescriptor.isMarked { all.contains(ExactName(dictionary + $0)) }
      }
      found = zip(candidates, holdsNetworks).filter(\.1).map(\.0)
      // If no network is known, only the usual dictionary is removed from the names.
      let state = candidates.filter { dictionary in
        dictionary.split(separator: ".").allSatisfy { $0 == "state_dict" }
      }
      lone = state.max { $0.utf8.count < $1.utf8.count } ?? ""
    }

    /// Decides which dictionaries are the weights and which are EMA weights: if several contain the
    /// same networks, the first.
    mutating func choose(_ names: [String]) {
      guard !found.isEmpty else { return }
      let isAverage = { (dictionary: Substring) in
        dictionary.split(separator: ".").contains { BareNames.averageWords.contains($0) }
      }
      var plain = found.filter { !isAverage($0) }
      var averaged = found.filter(isAverage)
      if plain.isEmpty { plain = [averaged.removeFirst()] }
      var bare: [Substring: Set<ExactName>] = [:]
      for name in names {
        guard let dictionary = dictionary(of: name) else { continue }
        bare[dictionary, default: []].insert(ExactName(String(name.dropFirst(dictionary.count))))
      }
      var taken = bare[plain[0]] ?? []
      weights = [plain[0]]
      for dictionary in plain.dropFirst() {
        let others = bare[dictionary] ?? []
        if taken.isDisjoint(with: others) {
          taken.formUnion(others)
          weights.append(dictionary)
        } else {
          refuse(dictionary, for: plain[0])
        }
      }
      let hasDotless = taken.contains { $0.text.hasPrefix("model_ema.") }
      for dictionary in averaged {
        if averages.isEmpty, !hasDotless {
          averages = [dictionary]
        } else {
          refuse(dictionary, for: averages.first ?? "model_ema.")
        }
      }
    }

    private mutating func refuse(_ dictionary: Substring, for other: Substring) {
      let shown = other.isEmpty ? "the names without it" : other[...]
      warnings.append(
        "\(dictionary) holds the same networks as \(shown), which are read; its tensors count as "
          + "unknown")
    }

    /// The innermost dictionary that contains networks.
    private func dictionary(of name: String) -> Substring? {
      found.filter { name.hasPrefix($0) }.max { $0.utf8.count < $1.utf8.count }
    }

    /// The group of a name, and its dictionary.
    func place(of name: String) -> (part: Part, dictionary: Substring) {
      guard !weights.isEmpty else { return (.weights, name.hasPrefix(lone) ? lone : "") }
      guard let dictionary = dictionary(of: name) else { return (.beside, "") }
      if weights.contains(dictionary) { return (.weights, dictionary) }
      return averages.contains(dictionary) ? (.averages, dictionary) : (.beside, "")
    }
  }
}

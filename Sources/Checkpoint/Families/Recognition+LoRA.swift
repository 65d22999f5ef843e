import ModelFormats
import OrderedJSON

/// Adapters: their method, base model and changes.
extension Recognition {
  /// Metadata of trainers that is worth showing.
  private static let quoted = [
    "ss_base_model_version", "ss_v2", "ss_network_module", "ss_network_dim", "ss_network_alpha",
    "modelspec.title",
  ]

  /// - Parameter metadata: the file's metadata.
  static func lora(
    _ names: RecognizedNames, metadata: [(key: String, value: String)]
  ) -> Recognition? {
    let text = NameText(names.tensors.lazy.map(\.name))
    guard AdapterMethod.mayBeNamed(in: text) || text.contains(AdapterContents.bundle) else {
      return nil
    }
    let contents = AdapterContents(names.tensors)
    guard contents.isAdapter else { return nil }
    let base = AdapterBase(contents, metadata: metadata)
    var reasons = contents.methods.map { method in
      "\(method.first.shown): one of \(method.tensors.of("tensor"))"
        + " of \(method.name)"
    }
    if let scale = contents.scale { reasons.append(scale) }
    let changed = base.networks.enumerated().map { index, network in
      "\(network.layers)"
        + (index == 0 ? (network.layers == 1 ? " weight" : " weights") : "")
        + " of the \(network.title)"
    }
    if !changed.isEmpty {
      reasons.append(
        "it changes " + changed.dropLast().joined(separator: ", ")
          + (changed.count > 1 ? " and " : "") + (changed.last ?? ""))
    }
    // Metadata is quoted below.
    if let because = base.because, !because.hasPrefix("metadata:") { reasons.append(because) }
    if base.family == nil, let prompts = contents.prompts { reasons.append(prompts) }
    let unsupported = contents.methods.filter { !$0.isApplied }.map(\.name)
    if !unsupported.isEmpty {
      reasons.append("not applied here: " + unsupported.joined(separator: ", "))
    }
    if !contents.embeddings.isEmpty {
      reasons.append(
        "it bundles textual inversions: " + Leftover.shown(contents.embeddings.map(\.word)))
    }
    if !contents.others.isEmpty {
      reasons.append(
        "of no layer: \(contents.others.count.of("tensor")) ("
          + Leftover.shown(contents.others.map(\.name)) + ")")
    }
    let written = quoted.compactMap { key in
      metadata.first { $0.key == key }.map { "\(key) \($0.value.prefix(80))" }
    }
    if !written.isEmpty {
      reasons.append("its metadata: " + written.joined(separator: ", "))
    }
    var recognition = Recognition(
      .lora, contents.title + (base.family.map { " for \($0)" } ?? ""), reasons)
    recognition.base = base.family.map { Recognition.Base(ids: base.ids, name: $0) }
    return recognition
  }
}

extension AdapterContents {
  /// A method of the file.
  struct Method {
    let name: String
    let first: Tensor
    let isApplied: Bool
    var tensors: Int
    var layers: Int
  }

  /// The methods of its layers, that of most layers first.
  var methods: [Method] {
    var result: [Method] = []
    for layer in known {
      guard let first = layer.first else { continue }
      let name = layer.methodName
      if let index = result.firstIndex(where: { $0.name == name }) {
        result[index].tensors += layer.all.count
        result[index].layers += 1
      } else {
        result.append(
          Method(
            name: name, first: first, isApplied: !layer.isForeign, tensors: layer.all.count,
            layers: 1))
      }
    }
    return result.enumerated().sorted {
      ($0.element.layers, -$0.offset) > ($1.element.layers, -$1.offset)
    }.map(\.element)
  }

  /// For example "LoHa", "LoRA and full differences".
  var title: String {
    let names = methods.map(\.name)
    guard let first = names.first else {
      return embeddings.isEmpty ? "LoRA" : "bundled textual inversions"
    }
    switch names.count {
    case 1: return first
    case 2: return "\(first) and \(names[1])"
    default: return "\(first) with " + names.dropFirst().joined(separator: ", ")
    }
  }

  /// Ranks and alphas, for example "its rank is 4, its alpha 2".
  var scale: String? {
    func range(_ values: [String], _ one: String, _ several: String, isFirst: Bool) -> String? {
      guard let low = values.first, let high = values.last else { return nil }
      return low == high
        ? "its \(one)\(isFirst ? " is" : "") \(low)"
        : "its \(several)\(isFirst ? " go" : "") from \(low) to \(high)"
    }
    let ranks = Set(
      known.compactMap { layer in layer.weightMethods.first?.rank?(layer) }
    ).sorted().map(String.init)
    let alphas = Set(
      known.compactMap { layer -> Float? in
        guard layer.weightMethods.first?.rank != nil else { return nil }
        return (try? layer.alpha()).flatMap { $0 }
      }
    ).sorted().map { $0 == $0.rounded() && abs($0) < 1e9 ? String(Int($0)) : "\($0)" }
    let rank = range(ranks, "rank", "ranks", isFirst: true)
    let alpha = range(alphas, "alpha", "alphas", isFirst: rank == nil)
    let parts = [rank, alpha].compactMap { $0 }
    return parts.isEmpty ? nil : parts.joined(separator: ", ")
  }

  /// The cross_attention_dim of a model of unknown family.
  var prompts: String? {
    for layer in known {
      let path = AdapterBase.Place(layer.name).path
      if path.contains("attn2_to_k"), let width = layer.size.inputs, let first = layer.first {
        return "\(first.shown): cross_attention_dim \(width)"
      }
    }
    return nil
  }
}

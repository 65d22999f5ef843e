import ModelFormats
import OrderedJSON

/// Weights of a component packed by quantizers: several per byte or word, or integers, with tables
/// and scales in other tensors. They are named and counted, but not unpacked.
///
/// Source: bitsandbytes' `functional.py` (`QuantState.as_dict`) and `nn/modules.py`; AutoGPTQ and
/// AutoAWQ's linear layers; nunchaku's `SVDQW4A4Linear`; compressed-tensors' `pack_quantized`;
/// optimum-quanto's `QTensor`; ComfyUI's `quant_ops.py`.
public struct PackedWeights: Sendable {
  /// How weights are packed.
  public enum Method: String, Sendable, CaseIterable {
    case nf4 = "packed 4-bit weights (bitsandbytes NF4)"
    case fp4 = "packed 4-bit weights (bitsandbytes FP4)"
    case llmInt8 = "8-bit integer weights (bitsandbytes LLM.int8)"
    case gptq = "packed weights (GPTQ)"
    case awq = "packed weights (AWQ)"
    case svdQuant = "packed 4-bit weights (SVDQuant, as nunchaku reads)"
    case compressedTensors = "packed weights (compressed-tensors)"
    case nvfp4 = "packed 4-bit weights (NVFP4)"
    case scaledInt8 = "8-bit integer weights with scales"
    case quanto = "quantised weights (optimum-quanto)"
  }

  /// The weights packed in one way.
  public struct Group: Sendable {
    /// How its weights are packed.
    public let method: Method
    /// The names of the packed tensors.
    public let weights: [String]
    /// Values before packing; nil if the file does not state it for all of them.
    public let parameters: Int?
  }

  fileprivate struct Weight {
    let tensor: Tensor
    let method: Method
    /// Values before packing, read on demand.
    let count: Count
  }

  fileprivate enum Count {
    case known(Int)
    /// In the `shape` of a JSON text.
    case state(Tensor)
    /// The product of a tensor's values.
    case shape(Tensor)
    case unknown

    /// Sizes declared in a file, whose product may overflow `Int`.
    static func product(_ left: Int, _ right: Int) -> Count {
      let (product, overflow) = left.multipliedReportingOverflow(by: right)
      return overflow ? .unknown : .known(product)
    }
  }

  private var weights: [Weight] = []
  /// Every tensor that belongs to a packed weight, the weight itself included.
  private var parts: Set<ExactName> = []

  /// Whether no weights are packed.
  public var isEmpty: Bool { weights.isEmpty }

  /// Whether the tensor with this name is a packed weight or belongs to one.
  public func isPart(_ name: String) -> Bool { parts.contains(ExactName(name)) }

  init(_ tensors: [Tensor]) {
    let marks = [
      "quant_state.bitsandbytes__", ".SCB", "qweight", "weight_packed", "weight_scale", "._data",
    ]
    guard marks.contains(where: NameText(tensors.lazy.map(\.name)).contains) else { return }
    let index = Dictionary(
      tensors.map { (ExactName($0.name), $0) }, uniquingKeysWith: { first, _ in first })
    for tensor in tensors { recognize(tensor, index) }
  }

  private mutating func recognize(_ tensor: Tensor, _ index: [ExactName: Tensor]) {
    let name = tensor.name
    func named(_ name: String) -> Tensor? { index[ExactName(name)] }
    func stem(_ ending: String) -> String? {
      name.hasSuffix(ending) ? String(name.dropLast(ending.count)) : nil
    }
    for (ending, method) in [("nf4", Method.nf4), ("fp4", .fp4)] {
      guard let weight = stem(".quant_state.bitsandbytes__" + ending), let packed = named(weight)
      else { continue }
      add(
        packed, method, .state(tensor), weight + ".",
        [
          "absmax", "quant_map", "nested_absmax", "nested_quant_map",
          "quant_state.bitsandbytes__" + ending,
        ])
    }
    if let path = stem("SCB"), let weight = named(path + "weight"), weight.dtype == .int8 {
      add(weight, .llmInt8, .known(weight.elementCount), path, ["SCB", "weight_format"])
    }
    if let path = stem("qweight") { recognize(tensor, below: path, named) }
    if let path = stem("weight_packed"), named(path + "weight_scale") != nil {
      add(
        tensor, .compressedTensors, named(path + "weight_shape").map { .shape($0) } ?? .unknown,
        path,
        [
          "weight_scale", "weight_shape", "weight_zero_point", "weight_g_idx",
          "weight_global_scale",
        ])
    }
    if let path = stem("weight_scale"), let weight = named(path + "weight") {
      let rest = [
        "weight_scale", "weight_scale_2", "input_scale", "weight_zero_point", "comfy_quant",
      ]
      if weight.dtype == .uint8, named(path + "weight_scale_2") != nil {
        add(weight, .nvfp4, .known(2 * weight.elementCount), path, rest)
      } else if weight.dtype == .int8 {
        add(weight, .scaledInt8, .known(weight.elementCount), path, rest)
      }
    }
    if let path = stem("._data"), named(path + "._scale") != nil {
      let isWhole = tensor.dtype == .int8 || tensor.dtype.isFloatingPoint
      add(
        tensor, .quanto, isWhole ? .known(tensor.elementCount) : .unknown, path + ".",
        ["_scale", "_shift"])
    }
  }

  /// Recognizes forms with packed values in `P.qweight`.
  private mutating func recognize(
    _ tensor: Tensor, below path: String, _ named: (String) -> Tensor?
  ) {
    if named(path + "wscales") != nil {
      // Two values per byte; layers that nunchaku leaves to AWQ have 8 per word.
      let count = tensor.dtype == .int32 ? 8 : 2
      add(
        tensor, .svdQuant, .known(count * tensor.elementCount), path,
        [
          "wscales", "wzeros", "wtscale", "wcscales", "smooth", "smooth_orig", "smooth_factor",
          "smooth_factor_orig", "lora_down", "lora_up", "proj_down", "proj_up",
        ])
      return
    }
    guard let scales = named(path + "scales"), tensor.shape.rank == 2, scales.shape.rank == 2 else {
      return
    }
    let outputs = scales.shape[1]
    let rest = ["scales", "qzeros", "g_idx"]
    guard tensor.shape[1] == outputs else {
      let isWhole = tensor.shape[1] > 0 && outputs.isMultiple(of: tensor.shape[1])
      add(tensor, .awq, isWhole ? .product(tensor.shape[0], outputs) : .unknown, path, rest)
      return
    }
    var inputs = named(path + "g_idx")?.elementCount
    if inputs == nil, let zeros = named(path + "qzeros"), zeros.shape.rank == 2, zeros.shape[1] > 0
    {
      // A zero point has as many bits of a word as a value.
      let (product, overflow) = tensor.shape[0].multipliedReportingOverflow(by: outputs)
      inputs = overflow ? nil : product / zeros.shape[1]
    }
    add(tensor, .gptq, inputs.map { .product($0, outputs) } ?? .unknown, path, rest)
  }

  private mutating func add(
    _ tensor: Tensor, _ method: Method, _ count: Count, _ path: String, _ others: [String]
  ) {
    guard parts.insert(ExactName(tensor.name)).inserted else { return }
    weights.append(Weight(tensor: tensor, method: method, count: count))
    for other in others { parts.insert(ExactName(path + other)) }
  }

  /// The packed weights by packing method, most frequent first.
  public var groups: [Group] {
    Method.allCases.compactMap { method in
      let members = weights.filter { $0.method == method }
      guard !members.isEmpty else { return nil }
      var sum: Int? = 0
      for member in members {
        let (total, overflow) = (sum ?? 0).addingReportingOverflow(member.parameters ?? 0)
        sum = sum == nil || member.parameters == nil || overflow ? nil : total
      }
      return Group(method: method, weights: members.map(\.tensor.name), parameters: sum)
    }.sorted { $0.weights.count > $1.weights.count }
  }

  /// For display: "120 packed 4-bit weights (bitsandbytes NF4)".
  public var description: String {
    groups.map { "\($0.weights.count) \($0.method.rawValue)" }.joined(separator: ", ")
  }

  /// Why a network with such weights cannot be used.
  func refusal(in path: String) -> FormatError? {
    guard let group = groups.first, let first = group.weights.first else { return nil }
    return FormatError(
      .unsupported, "packed weights are not supported: \(description)", file: path, context: first,
      hint: "use the original weights in F32, F16, BF16 or F8, or a GGUF file")
  }
}

extension PackedWeights.Weight {
  fileprivate var parameters: Int? {
    switch count {
    case .known(let count): return count
    case .unknown: return nil
    case .state(let tensor):
      guard tensor.dtype == .uint8, tensor.elementCount <= 1 << 16,
        let state = try? JSON(parsing: tensor.contiguousBytes().span.bytes),
        let sizes = state["shape"]?.array?.map(\.int)
      else { return nil }
      return Shape(sizes.map { $0 ?? -1 }).elementCount
    case .shape(let tensor):
      guard tensor.dtype == .int64, tensor.elementCount <= 8 else { return nil }
      let bytes = tensor.contiguousBytes()
      let sizes = stride(from: 0, to: bytes.count, by: 8).map { start in
        bytes.withUnsafeBytes { Int($0.loadUnaligned(fromByteOffset: start, as: Int64.self)) }
      }
      return Shape(sizes).elementCount
    }
  }
}

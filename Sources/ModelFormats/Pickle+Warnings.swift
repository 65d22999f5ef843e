extension Pickle {
  /// How many dangerous names are told one by one.
  private static let dangerLimit = 16

  /// What a person should know of the classes and functions that the pickle names.
  var globalWarnings: [String] {
    var warnings: [String] = []
    var unknown: [String] = []
    var dangerCount = 0
    for (global, offset) in globals {
      if let danger = global.danger {
        dangerCount += 1
        guard dangerCount <= Pickle.dangerLimit else { continue }
        warnings.append(
          "at byte \(offset) the pickle names \(global.spoken), which \(danger) where Python "
            + "unpickles it; nothing was run here")
      } else if !global.isKnown {
        unknown.append(global.spoken)
      }
    }
    if dangerCount > Pickle.dangerLimit {
      warnings.append("it names \(dangerCount - Pickle.dangerLimit) more of the kind")
    }
    if !unknown.isEmpty {
      let named = unknown.prefix(8).joined(separator: ", ")
      let rest = unknown.count > 8 ? " and \(unknown.count - 8) more" : ""
      warnings.append("objects of these classes were kept as data: \(named)\(rest)")
    }
    return warnings
  }
}

extension Pickle.Global {
  /// Whether this is one of the classes and functions that checkpoints hold as a matter of course.
  fileprivate var isKnown: Bool {
    switch module {
    case "collections": ["OrderedDict", "Counter", "defaultdict"].contains(name)
    case "builtins", "__builtin__":
      [
        "set", "frozenset", "bytearray", "bytes", "complex", "dict", "list", "tuple", "object",
        "int", "float", "str", "bool", "slice", "range",
      ].contains(name)
    case "_codecs": name == "encode"
    case "copyreg", "copy_reg": name == "_reconstructor"
    case "torch":
      name.hasSuffix("Storage") || ["Size", "device", "dtype", "Tensor"].contains(name)
        || DType(torchName: name) != nil || name.hasPrefix("per_tensor_")
        || name.hasPrefix("per_channel_")
    case "torch.cuda", "torch.storage": name.hasSuffix("Storage")
    case "torch._utils": name.hasPrefix("_rebuild_")
    case "torch._tensor", "torch.tensor": name.hasPrefix("_rebuild_from_type")
    case "torch.nn.parameter": name == "Parameter"
    case "torch.serialization": name == "_get_layout"
    case "torch.jit._pickle": name.hasPrefix("build_") || name == "restore_type_tag"
    case "numpy": ["dtype", "ndarray"].contains(name)
    case "numpy.core.multiarray", "numpy._core.multiarray":
      ["scalar", "_reconstruct"].contains(name)
    case "numpy.dtypes": name.hasSuffix("DType")
    default: module == "__torch__" || module.hasPrefix("__torch__.")
    }
  }
}

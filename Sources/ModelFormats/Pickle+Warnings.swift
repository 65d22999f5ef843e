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

extension Pickle {
  /// What the pickle names that checkpoints do not hold as a matter of course.
  var names: PickleNames {
    var names = PickleNames()
    for (global, _) in globals {
      if global.danger != nil {
        names.dangerous.append(global.spoken)
      } else if !global.isKnown {
        names.unknown.append(global.spoken)
      }
    }
    return names
  }
}

extension Pickle.Global {
  /// Whether this is one of the classes and functions that checkpoints hold as a matter of course.
  fileprivate var isKnown: Bool {
    switch module {
    case "collections": ["OrderedDict", "Counter", "defaultdict", "deque"].contains(name)
    case "argparse": name == "Namespace"
    case "builtins", "__builtin__":
      [
        "set", "frozenset", "bytearray", "bytes", "complex", "dict", "list", "tuple", "object",
        "int", "float", "str", "bool", "slice", "range",
      ].contains(name)
    case "_codecs": name == "encode"
    case "copyreg", "copy_reg": ["_reconstructor", "__newobj__", "__newobj_ex__"].contains(name)
    case "torch":
      name.hasSuffix("Storage") || name.hasSuffix("Tensor")
        || ["Size", "device", "dtype"].contains(name)
        || DType(torchName: name) != nil || name.hasPrefix("per_tensor_")
        || name.hasPrefix("per_channel_")
    case "torch.cuda", "torch.storage": name.hasSuffix("Storage") || name.hasSuffix("Tensor")
    case "torch.autograd", "torch.autograd.variable": name == "Variable"
    case "torch._utils": name.hasPrefix("_rebuild_")
    case "torch._tensor", "torch.tensor": name.hasPrefix("_rebuild_from_type")
    case let module where module.hasPrefix("torch.nn.modules."):
      // Modules of a model that was saved whole; what they make of their state is plain.
      !name.contains(".")
    case "torch.nn.parameter": ["Parameter", "Buffer"].contains(name)
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

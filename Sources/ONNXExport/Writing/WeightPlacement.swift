import Checkpoint
import Glibc
import ModelFormats
import ModelGraph
import OrderedJSON

/// The locations of an exported network's weight values.
struct WeightPlacement {
  /// The path of the model file.
  let modelPath: String
  /// An initializer per parameter of the graph, in order.
  var initializers: [ONNXModel.Initializer] = []
  /// The files with the values.
  var weightPaths: [String] = []
  /// A parameter whose values are to be written to ``weightPaths``.
  struct Copy {
    let parameter: Parameter
    /// The initializer's name.
    let name: String
    let offset: Int
  }

  var copies: [Copy] = []
  /// The dtype in which they are written.
  var dtype = DType.float32
  /// The size of the file to write.
  var copySize = 0
}

extension WeightPlacement {
  /// Offsets in a separate file. Large tensors start if a file can be mapped on every system (64
  /// KiB), others on a page.
  ///
  /// - Parameter names: the initializers' names.
  static func copying(
    _ parameters: [Parameter], names: [String], as dtype: DType, to directory: String
  ) throws(FormatError) -> WeightPlacement {
    var placement = WeightPlacement(modelPath: "\(directory)/model.onnx")
    guard let element = ONNXModel.Element(dtype) else {
      throw FormatError(.unsupported, "ONNX has no type for \(dtype.rawValue)")
    }
    let file = "model.onnx_data"
    placement.dtype = dtype
    placement.weightPaths = ["\(directory)/\(file)"]
    var offsets: [String: Int] = [:]
    for (parameter, name) in zip(parameters, names) {
      guard let length = Shape(parameter.shape).byteCount(of: dtype) else {
        throw FormatError(.unsupported, "the tensor is too large", context: name)
      }
      let offset: Int
      if let known = offsets[name] {
        offset = known
      } else {
        let alignment = length > 1 << 20 ? 1 << 16 : 1 << 12
        offset = (placement.copySize + alignment - 1) / alignment * alignment
        offsets[name] = offset
        placement.copies.append(Copy(parameter: parameter, name: name, offset: offset))
        placement.copySize = offset + length
      }
      placement.initializers.append(
        ONNXModel.Initializer(
          name: name, element: element, shape: parameter.shape,
          contents: .external(
            ONNXModel.ExternalData(location: file, offset: offset, length: length))))
    }
    return placement
  }

  /// The initializers' names: those of the tensors, or all parameters' own if any share a tensor, as
  /// the rows of OpenCLIP's `in_proj_weight`, so that readers find one naming.
  static func distinct(_ names: [String], of parameters: [Parameter]) -> [String] {
    var owners: [ExactName: String] = [:]
    for (name, parameter) in zip(names, parameters) {
      let owner = owners.updateValue(parameter.name, forKey: ExactName(name))
      if let owner, owner != parameter.name { return parameters.map(\.name) }
    }
    return names
  }

  /// Links the tensors in place. The model is `NAME/model.onnx` if the weights are in that
  /// directory, otherwise `NAME.onnx` above them.
  ///
  /// ONNX readers accept external data only from a real file next to or below the model: no
  /// symbolic link, no second hard link, no `..` (onnx's checker, from 1.21 on).
  ///
  /// - Parameter names: the initializers' names.
  static func linking(
    _ tensors: [Tensor], names: [String], of name: GraphName, to directory: String
  ) throws(FormatError) -> WeightPlacement {
    // By the path of the file as it was opened.
    var realPaths: [ExactName: String] = [:]
    for tensor in tensors {
      guard case .mapped(let file, _) = tensor.storage else {
        throw unlinkable(
          "its data cannot be linked: it is compressed, quantized or split",
          tensor)
      }
      guard realPaths[ExactName(file.path)] == nil else { continue }
      realPaths[ExactName(file.path)] = try realPath(of: file, tensor)
    }
    let places = [
      ("\(directory)/\(name)", "\(directory)/\(name)/model.onnx"),
      (directory, "\(directory)/\(name).onnx"),
    ]
    for (place, modelPath) in places {
      guard let root = canonicalPath(place) else { continue }
      let locations = realPaths.compactMapValues { relativePath($0, below: root) }
      guard locations.count == realPaths.count else { continue }
      if let present = canonicalPath(modelPath) {
        try refuseReplacing(present, modelPath, of: Array(realPaths.values))
      }
      var placement = WeightPlacement(modelPath: modelPath)
      placement.weightPaths = Set(realPaths.values).sorted()
      placement.initializers = try zip(tensors, names).map { tensor, name throws(FormatError) in
        try linked(tensor, as: name, locations: locations)
      }
      return placement
    }
    throw FormatError(
      .cannotCreate,
      "a model here cannot point to the weights in "
        + realPaths.values.sorted().joined(separator: ", ") + ": "
        + reason(realPaths, directory), file: "\(directory)/\(name)",
      hint:
        "export to the directory that holds the weights, or copy them: \(set: .placement, "copy")")
  }

  /// The target may be an ONNX model that contains the linked weights; replacing it would delete
  /// them.
  private static func refuseReplacing(
    _ present: String, _ modelPath: String, of weights: [String]
  ) throws(FormatError) {
    guard weights.contains(where: { ExactName($0) == ExactName(present) }) else { return }
    throw FormatError(
      .cannotCreate, "the model would take the place of the file that holds its weights",
      file: modelPath, hint: "copy the weights: \(set: .placement, "copy")")
  }

  /// The path from the directory `root` to `target`, both canonical; nil if it is not below.
  /// Compares bytes, as the file system does.
  private static func relativePath(_ target: String, below root: String) -> String? {
    let prefix = (root == "/" ? root : root + "/").utf8
    guard target.utf8.starts(with: prefix) else { return nil }
    return String(decoding: target.utf8.dropFirst(prefix.count), as: UTF8.self)
  }

  /// Why a model in `directory` cannot link to the weights.
  private static func reason(_ realPaths: [ExactName: String], _ directory: String) -> String {
    let rule = "readers of ONNX take them only from the same directory or below"
    let root = canonicalPath(directory)
    for (path, target) in realPaths.sorted(by: { $0.key.text < $1.key.text }) {
      // A path that looks as if it were there but is not goes through a link.
      let folder = canonicalPath(parent(of: path.text))
      let looksBelow =
        path.text.utf8.starts(with: "\(directory)/".utf8)
        || root.flatMap { root in folder.flatMap { relativePath($0 + "/", below: root) } } != nil
      if looksBelow {
        return "\(path.text) leads to \(target) through a symbolic link, and \(rule)"
      }
      if let from = device(of: directory), let to = device(of: target), from != to {
        return "they lie on another file system, and \(rule)"
      }
    }
    return rule
  }

  private static func parent(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// The file system of a path, or of the nearest directory above it that exists.
  private static func device(of path: String) -> dev_t? {
    var status = stat()
    var path = path
    while stat(path, &status) != 0 {
      guard path != "/", path != "." else { return nil }
      let slash = path.lastIndex(of: "/")
      path = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    }
    return status.st_dev
  }

  private static func linked(
    _ tensor: Tensor, as name: String, locations: [ExactName: String]
  ) throws(FormatError) -> ONNXModel.Initializer {
    guard let path = tensor.file?.path, let offset = tensor.offset,
      let location = locations[ExactName(path)]
    else { throw unlinkable("its values are not in a file", tensor) }
    // Also inside a name, compared as bytes.
    guard !zip(location.utf8, location.utf8.dropFirst()).contains(where: { $0 == 46 && $1 == 46 })
    else {
      throw unlinkable("readers of ONNX refuse paths with \"..\", such as \(location)", tensor)
    }
    guard let element = ONNXModel.Element(tensor.dtype) else {
      throw unlinkable("ONNX has no type for \(tensor.dtype.rawValue)", tensor)
    }
    return ONNXModel.Initializer(
      name: name, element: element, shape: tensor.shape.dimensions,
      contents: .external(
        ONNXModel.ExternalData(location: location, offset: offset, length: tensor.byteCount)))
  }

  /// The path of the file itself, which must have no other name.
  private static func realPath(
    of file: MappedFile, _ tensor: Tensor
  ) throws(FormatError) -> String {
    var status = stat()
    guard let path = canonicalPath(file.path), stat(path, &status) == 0 else {
      throw FormatError(.notFound, "the weights are no longer there", file: file.path)
    }
    guard status.st_nlink == 1 else {
      throw unlinkable("readers of ONNX refuse a file that has other hard links", tensor)
    }
    return path
  }

  private static func canonicalPath(_ path: String) -> String? {
    guard let resolved = realpath(path, nil) else { return nil }
    defer { free(resolved) }
    return FileName.text(resolved)
  }

  private static func unlinkable(_ reason: String, _ tensor: Tensor) -> FormatError {
    FormatError(
      .cannotCreate, "the model cannot point to this tensor: \(reason)", file: tensor.file?.path,
      context: tensor.name, hint: "copy the weights: \(set: .placement, "copy")")
  }
}

import ModelFormats
import OrderedJSON

extension FlatHeader {
  /// Reads a header and checks every field.
  ///
  /// - Parameter dataLength: the size of the data section, which the regions fill.
  /// - Throws: ``FormatError`` `malformed` with the field, or `unsupported` if the header requires
  ///   an unknown field.
  package init(_ object: JSONObject, dataLength: Int) throws(FormatError) {
    try FlatHeader.checkRequirements(object)
    let files = try FlatHeader.list(object, "files", at: "the header")
    let components = try FlatHeader.list(object, "components", at: "the header")
    self.init(files: [], components: [], provenance: object["provenance"])
    extensions.members = FlatHeader.unknown(
      object, known: ["files", "components", "provenance"])

    var paths: Set<ExactName> = []
    for (index, file) in files.enumerated() {
      let entry = try FlatHeader.file(file, at: "files[\(index)]")
      guard paths.insert(ExactName(entry.path)).inserted else {
        throw FlatHeader.failure("files[\(index)].path", "duplicate path: \(entry.path)")
      }
      self.files.append(entry)
      let unknown = FlatHeader.unknown(file, known: ["path"] + FlatHeader.regionFields)
      if !unknown.members.isEmpty { extensions.entries[ExactName(entry.path)] = unknown }
    }
    var names: Set<String> = []
    for (index, component) in components.enumerated() {
      let entry = try FlatHeader.component(component, paths: paths, at: "components[\(index)]")
      guard names.insert(entry.name).inserted else {
        throw FlatHeader.failure("components[\(index)].name", "duplicate name")
      }
      self.components.append(entry)
    }
    try checkLayout(dataLength: dataLength)
  }

  /// Every region must be exactly where the layout puts it, which excludes overlaps, gaps and wrong
  /// alignment.
  private func checkLayout(dataLength: Int) throws(FormatError) {
    var expected = self
    guard let end = try? expected.layOut(), end == dataLength else {
      throw FlatHeader.failure(
        "offset", "the regions of the header do not add up to the \(dataLength.of("byte")) of data")
    }
    func check(_ stated: Region, _ expected: Region, _ field: String) throws(FormatError) {
      guard stated.offset != expected.offset else { return }
      throw FlatHeader.failure(
        field, "the offset is \(stated.offset), but the layout requires \(expected.offset)")
    }
    for (stated, expected) in zip(files, expected.files) {
      try check(stated.region, expected.region, stated.path)
    }
    for (stated, expected) in zip(components, expected.components) {
      for (stated, expected) in zip(stated.tensors, expected.tensors) {
        try check(stated.region, expected.region, stated.name)
      }
    }
  }

  // MARK: Entries

  private static let regionFields = ["offset", "bytes", "xxh3"]

  private static func component(
    _ object: JSONObject, paths: Set<ExactName>, at field: String
  ) throws(FormatError) -> ComponentEntry {
    let name = try string(object, "name", at: field)
    guard isComponentName(name) else {
      throw failure("\(field).name", "invalid component name: \(name)")
    }
    let configuration = try optionalString(object, "configuration", at: field)
    if let configuration, !paths.contains(ExactName(configuration)) {
      throw failure("\(field).configuration", "no embedded file has this path: \(configuration)")
    }
    var entry = ComponentEntry(
      name: name, architecture: try optionalString(object, "architecture", at: field),
      configuration: configuration, tensors: [])
    entry.extensions.members = unknown(
      object, known: ["name", "architecture", "configuration", "tensors"])
    var names: Set<ExactName> = []
    for (index, element) in try list(object, "tensors", at: field).enumerated() {
      let tensor = try self.tensor(element, at: "\(field).tensors[\(index)]")
      guard names.insert(ExactName(tensor.name)).inserted else {
        throw failure(
          "\(field).tensors[\(index)].name", "duplicate name: \(tensor.name)")
      }
      entry.tensors.append(tensor)
      let unknown = unknown(element, known: ["name", "dtype", "shape"] + regionFields)
      if !unknown.members.isEmpty { entry.extensions.entries[ExactName(tensor.name)] = unknown }
    }
    return entry
  }

  private static func tensor(
    _ object: JSONObject, at field: String
  ) throws(FormatError) -> TensorEntry {
    let name = try string(object, "name", at: field)
    let type = try string(object, "dtype", at: field)
    guard let dtype = DType(rawValue: type) else {
      throw failure("\(field).dtype", "unknown type: \(type)", context: name)
    }
    guard let elements = object["shape"]?.array, elements.count <= 64 else {
      throw failure("\(field).shape", "not a list of dimensions", context: name)
    }
    var dimensions: [Int] = []
    for element in elements {
      guard let dimension = element.int, dimension >= 0 else {
        throw failure("\(field).shape", "not a list of dimensions", context: name)
      }
      dimensions.append(dimension)
    }
    let shape = Shape(dimensions)
    let region = try self.region(object, at: field)
    guard shape.byteCount(of: dtype) == region.byteCount else {
      throw failure(
        "\(field).bytes",
        "\(region.byteCount.of("byte is", "bytes are")) not \(shape) elements of \(type)",
        context: name)
    }
    return TensorEntry(name: name, dtype: dtype, shape: shape, region: region)
  }

  private static func file(_ object: JSONObject, at field: String) throws(FormatError) -> FileEntry
  {
    let path = try string(object, "path", at: field)
    guard isSafe(path) else {
      throw failure("\(field).path", "not a relative path inside a diffusers directory: \(path)")
    }
    return FileEntry(path: path, region: try region(object, at: field))
  }

  private static func region(_ object: JSONObject, at field: String) throws(FormatError) -> Region {
    guard let offset = object["offset"]?.int, offset >= 0 else {
      throw failure("\(field).offset", "not a byte offset")
    }
    guard let byteCount = object["bytes"]?.int, byteCount >= 0 else {
      throw failure("\(field).bytes", "not a number of bytes")
    }
    guard let checksum = Hexadecimal.number(try string(object, "xxh3", at: field)) else {
      throw failure("\(field).xxh3", "not sixteen hexadecimal digits")
    }
    return Region(offset: offset, byteCount: byteCount, checksum: checksum)
  }

  /// Whether this is a valid component name, which is a directory name: letters, digits, `_`, `-`
  /// and `.`, not starting with a dot.
  package static func isComponentName(_ name: String) -> Bool {
    !name.isEmpty && name.utf8.count <= 128 && !name.hasPrefix(".")
      && name.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"),
          UInt8(ascii: "."):
          true
        default: false
        }
      }
  }

  /// Whether a file may be extracted to this path.
  package static func isSafe(_ path: String) -> Bool {
    // Compare bytes: a combining mark would hide a slash among the characters.
    let parts = path.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
    return path.utf8.count <= 512 && parts.count <= 8
      && parts.allSatisfy { $0.first.map { $0 != UInt8(ascii: ".") } ?? false }
      && path.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F && $0 != "\\" }
  }

  // MARK: Fields

  /// A header lists the fields that a reader must support.
  private static func checkRequirements(_ object: JSONObject) throws(FormatError) {
    guard let list = object["requires"] else { return }
    guard let names = list.array else { throw failure("requires", "not a list of names") }
    let known: Set<String> = ["files", "components", "provenance"]
    for name in names {
      guard let text = name.string else { throw failure("requires", "not a list of names") }
      guard known.contains(text) else {
        throw FormatError(
          .unsupported, "the file requires the unknown field \(text)",
          context: "requires", hint: "use a newer version of this program")
      }
    }
  }

  private static func unknown(_ object: JSONObject, known: [String]) -> JSONObject {
    var rest = JSONObject()
    for member in object.members where !known.contains(member.key) {
      rest[member.key] = member.value
    }
    return rest
  }

  private static func list(
    _ object: JSONObject, _ key: String, at field: String
  ) throws(FormatError) -> [JSONObject] {
    guard let elements = object[key]?.array else {
      throw failure("\(field).\(key)", "not a list")
    }
    var objects: [JSONObject] = []
    for element in elements {
      guard let object = element.object else {
        throw failure("\(field).\(key)", "an element of the list is not an object")
      }
      objects.append(object)
    }
    return objects
  }

  private static func string(
    _ object: JSONObject, _ key: String, at field: String
  ) throws(FormatError) -> String {
    guard let text = object[key]?.string else {
      throw failure("\(field).\(key)", "not a string")
    }
    return text
  }

  private static func optionalString(
    _ object: JSONObject, _ key: String, at field: String
  ) throws(FormatError) -> String? {
    object[key] == nil ? nil : try string(object, key, at: field)
  }

  private static func failure(
    _ field: String, _ message: String, context: String? = nil
  ) -> FormatError {
    FormatError(
      .malformed, message, context: context.map { "\($0) (\(field))" } ?? field,
      hint: "convert the original weights again; this file was written incorrectly")
  }
}

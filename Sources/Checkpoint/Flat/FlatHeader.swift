import ModelFormats
import OrderedJSON

/// The header of a flat file: what it holds, and where.
struct FlatHeader: Sendable {
  /// A stretch of data with its checksum.
  struct Region: Sendable {
    /// From the data start.
    var offset = 0
    let byteCount: Int
    var checksum: UInt64 = 0
  }

  struct TensorEntry: Sendable {
    let name: String
    let dtype: DType
    let shape: Shape
    var region: Region
  }

  struct ComponentEntry: Sendable {
    let name: ComponentName
    let architecture: String?
    /// The path of the embedded file that is the component's `config.json`.
    let configuration: String?
    var tensors: [TensorEntry]
    var extensions = FlatExtensions()
  }

  struct FileEntry: Sendable {
    let path: String
    var region: Region
  }

  var files: [FileEntry]
  var components: [ComponentEntry]
  var provenance: JSON?
  var extensions = FlatExtensions()

  /// Gives every region its offset; returns the length of the data.
  ///
  /// - Throws: ``FormatError`` `unsupported` where the sum of all sizes has no place in a file.
  mutating func layOut() throws(FormatError) -> Int {
    var end = 0
    func place(_ region: inout Region) throws(FormatError) {
      let alignment = FlatFormat.alignment(of: region.byteCount)
      guard let offset = FlatFormat.aligned(end, to: alignment),
        case (let next, false) = offset.addingReportingOverflow(region.byteCount)
      else { throw FormatError(.unsupported, "the tensors are larger than any file") }
      region.offset = offset
      end = next
    }
    for index in files.indices { try place(&files[index].region) }
    for component in components.indices {
      for tensor in components[component].tensors.indices {
        try place(&components[component].tensors[tensor].region)
      }
    }
    return end
  }

  /// The header as JSON, members in the order of the specification.
  var json: JSON {
    var object = JSONObject()
    object["files"] = .array(
      files.map { entry in
        FlatHeader.json(
          ["path": .string(entry.path)], entry.region, extensions.entries[ExactName(entry.path)])
      })
    object["components"] = .array(components.map(FlatHeader.json))
    object["provenance"] = provenance
    extensions.append(to: &object)
    return .object(object)
  }

  private static func json(_ component: ComponentEntry) -> JSON {
    var object = JSONObject()
    object["name"] = .string(component.name.rawValue)
    object["architecture"] = component.architecture.map { .string($0) }
    object["configuration"] = component.configuration.map { .string($0) }
    object["tensors"] = .array(
      component.tensors.map { tensor in
        json(
          [
            "name": .string(tensor.name), "dtype": .string(tensor.dtype.rawValue),
            "shape": .array(tensor.shape.dimensions.map { .integer($0) }),
          ], tensor.region, component.extensions.entries[ExactName(tensor.name)])
      })
    component.extensions.append(to: &object)
    return .object(object)
  }

  private static func json(
    _ members: KeyValuePairs<String, JSON>, _ region: Region, _ unknown: JSONObject?
  ) -> JSON {
    var object = JSONObject(members)
    object["offset"] = .integer(region.offset)
    object["bytes"] = .integer(region.byteCount)
    object["xxh3"] = .string(Hexadecimal.text(region.checksum))
    for member in unknown?.members ?? [] { object[member.key] = member.value }
    return .object(object)
  }
}

/// Optional fields of a header that this program does not know and keeps as they are.
package struct FlatExtensions: Sendable {
  package init() {}

  /// Fields of the object itself.
  var members = JSONObject()
  /// Fields of the entries in its list, by name or path.
  var entries: [ExactName: JSONObject] = [:]

  func append(to object: inout JSONObject) {
    for member in members.members { object[member.key] = member.value }
  }
}

import ModelFormats
import OrderedJSON

/// The header of a .sdflat file: its contents and their locations.
public struct FlatHeader: Sendable {
  /// A range of data with its checksum.
  public struct Region: Sendable {
    /// From the data start.
    public package(set) var offset = 0
    /// The number of bytes, padding not counted.
    public let byteCount: Int
    /// XXH3 (64 bits) of the bytes.
    public package(set) var checksum: UInt64 = 0

    package init(offset: Int = 0, byteCount: Int, checksum: UInt64 = 0) {
      self.offset = offset
      self.byteCount = byteCount
      self.checksum = checksum
    }
  }

  /// A tensor, without its values.
  public struct TensorEntry: Sendable {
    /// Its name within the component.
    public let name: String
    /// The type of its elements.
    public let dtype: DType
    /// The size of each axis.
    public let shape: Shape
    /// Where its values are.
    public package(set) var region: Region

    package init(name: String, dtype: DType, shape: Shape, region: Region) {
      self.name = name
      self.dtype = dtype
      self.shape = shape
      self.region = region
    }
  }

  /// A component: a network's configuration and tensors.
  public struct ComponentEntry: Sendable {
    /// The directory in a diffusers repository: `unet`.
    public let name: String
    /// The class of the network, as `model_index.json` or its configuration names it.
    public let architecture: String?
    /// The path of the embedded file that is the component's `config.json`.
    public let configuration: String?
    /// Its tensors, in the order of the file.
    public package(set) var tensors: [TensorEntry]
    package var extensions = FlatExtensions()

    package init(
      name: String, architecture: String?, configuration: String?, tensors: [TensorEntry],
      extensions: FlatExtensions = FlatExtensions()
    ) {
      self.name = name
      self.architecture = architecture
      self.configuration = configuration
      self.tensors = tensors
      self.extensions = extensions
    }
  }

  /// A small file, kept byte for byte.
  public struct FileEntry: Sendable {
    /// Relative to the repository: `tokenizer/vocab.json`.
    public let path: String
    /// Where its bytes are.
    public package(set) var region: Region

    package init(path: String, region: Region) {
      self.path = path
      self.region = region
    }
  }

  /// The small files, in the order of the file.
  public package(set) var files: [FileEntry]
  /// The components, in the order of the file.
  public package(set) var components: [ComponentEntry]
  /// The sources and options of the file; nil if not recorded.
  package var provenance: JSON?
  package var extensions = FlatExtensions()

  package init(files: [FileEntry], components: [ComponentEntry], provenance: JSON? = nil) {
    self.files = files
    self.components = components
    self.provenance = provenance
  }

  /// Assigns every region's offset; returns the size of the data section.
  ///
  /// - Throws: ``FormatError`` `unsupported` if the total size overflows.
  mutating func layOut() throws(FormatError) -> Int {
    var end = 0
    func place(_ region: inout Region) throws(FormatError) {
      let alignment = FlatLayout.alignment(of: region.byteCount)
      guard let offset = FlatLayout.aligned(end, to: alignment),
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

  /// The header as JSON, with members in the specification's order.
  package var json: JSON {
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
    object["name"] = .string(component.name)
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

/// Optional header fields unknown to this version, which are preserved.
package struct FlatExtensions: Sendable {
  package init() {}

  /// Fields of the object itself.
  package var members = JSONObject()
  /// Fields of the entries in its list, by name or path.
  package var entries: [ExactName: JSONObject] = [:]

  func append(to object: inout JSONObject) {
    for member in members.members { object[member.key] = member.value }
  }
}

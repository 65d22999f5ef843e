import OrderedJSON

/// The PyTorch format before version 1.6: five consecutive pickles, then the storages.
///
///     pickle    the number 0x1950A86A20F9469CFC6C
///     pickle    the number 1001, the protocol's version
///     pickle    a dictionary on the machine that wrote
///     pickle    the object; storages stand in it as persistent identifiers
///     pickle    a list of storage keys
///     for each key, in the list's order: the number of elements in 8 bytes, then the elements
///
/// All numbers are little-endian on every machine.
///
/// Source: `_legacy_save` and `_legacy_load` in PyTorch's `torch/serialization.py`.
package enum TorchLegacy {
  /// The first of the five pickles is one number, 0x1950A86A20F9469CFC6C, in binary or as text.
  fileprivate static func isMarked(_ head: [UInt8]) -> Bool {
    let binary: [UInt8] = [
      0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E,
    ]
    // After nothing (protocol 1), after PROTO, or after PROTO and FRAME.
    let isBinary = [0, 2, 11].contains { head.dropFirst($0).starts(with: binary) }
    return isBinary || head.starts(with: "L119547037146038801333356L\n.".utf8)
  }

  /// The same number after its length, 10, which is an LF, became two bytes.
  static func isMangled(_ head: [UInt8]) -> Bool {
    let binary: [UInt8] = [0x8A, 0x0D, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50]
    return [0, 2, 11].contains { head.dropFirst($0).starts(with: binary) }
  }

  private static let magic: [UInt8] = [0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19]
  private static let protocolVersion = 1001

  /// Reads the object's tensors; values are not accessed.
  ///
  /// - Throws: ``FormatError``.
  package static func read(_ file: MappedFile) throws(FormatError) -> TensorFile {
    do throws(FormatError) {
      return try readChecked(file)
    } catch {
      throw error.inFile(file.path)
    }
  }

  private static func readChecked(_ file: MappedFile) throws(FormatError) -> TensorFile {
    let (object, places, end) = try storages(in: file, 0..<file.count)
    let walked = try TorchObject(object, source: places)
    var warnings: [String] = []
    if end < file.count {
      warnings.append(
        "\((file.count - end).of("byte follows", "bytes follow")) the last storage and "
          + (file.count - end == 1 ? "was" : "were") + " ignored")
    }
    return TensorFile(walked, of: file, warnings: warnings)
  }

  /// The end of the last storage of a file embedded in another; nil if unknown.
  static func end(in file: MappedFile, _ range: Range<Int>) -> Int? {
    (try? storages(in: file, range))?.end
  }

  /// Reads the pickles and finds the storages after them.
  private static func storages(
    in file: MappedFile, _ range: Range<Int>
  ) throws(FormatError) -> (object: Pickle, places: LegacyStorages, end: Int) {
    var position = range.lowerBound
    let magic = try nextPickle(in: file, range, &position)
    guard let node = magic.node(magic.root), case .bigInteger(TorchLegacy.magic) = node.kind else {
      throw FormatError(
        .malformed, "the file does not begin with PyTorch's magic number", offset: range.lowerBound)
    }
    let versionStart = position
    let version = try nextPickle(in: file, range, &position)
    guard case .integer(protocolVersion) = version.root else {
      throw FormatError(
        .unsupported, "the file does not have protocol \(protocolVersion)", offset: versionStart)
    }
    _ = try nextPickle(in: file, range, &position)
    let object = try nextPickle(in: file, range, &position, PickleMachine.Limits())
    let keysStart = position
    let keys = try nextPickle(in: file, range, &position)
    guard let list = keys.node(keys.root), case .list = list.kind else {
      throw FormatError(.malformed, "the storage keys are not a list", offset: keysStart)
    }
    var places = LegacyStorages(file: file, end: range.upperBound)
    let sizes = try LegacyStorages.sizes(in: object)
    for key in list.items {
      guard case .string(let key) = key, let size = sizes[ExactName(key)] else {
        throw FormatError(
          .malformed, "the storage keys include one that the object does not use", offset: keysStart
        )
      }
      try places.take(key, size, at: &position)
    }
    return (object, places, position)
  }

  private static func nextPickle(
    in file: MappedFile, _ range: Range<Int>, _ position: inout Int,
    _ limits: PickleMachine.Limits = .small
  ) throws(FormatError) -> Pickle {
    let pickle = try PickleMachine.run(
      file.bytes.extracting(position..<range.upperBound), base: position, limits: limits)
    position += pickle.byteCount
    return pickle
  }
}

/// The storages that follow the pickles.
private struct LegacyStorages: TorchStorageSource {
  struct Size {
    let byteCount: Int
    let width: Int
  }

  private let file: MappedFile
  /// The end of their file.
  private let end: Int
  private var places: [ExactName: (offset: Int, byteCount: Int)] = [:]

  init(file: MappedFile, end: Int) {
    self.file = file
    self.end = end
  }

  var byteCount: Int { file.count }

  var storages: [(key: String, name: String, byteCount: Int)] {
    places.filter { $0.value.byteCount > 0 }.sorted { $0.value.offset < $1.value.offset }
      .map { (key: $0.key.text, name: "storage \($0.key.text)", byteCount: $0.value.byteCount) }
  }

  /// The sizes of all storages that the object references, used by tensors or not.
  static func sizes(in pickle: Pickle) throws(FormatError) -> [ExactName: Size] {
    var sizes: [ExactName: Size] = [:]
    for (index, node) in pickle.nodes.enumerated() {
      guard case .persistent(let identifier) = node.kind,
        let parts = pickle.tuple(identifier), parts.count == 6,
        case .string("storage") = parts[0], case .string(let key) = parts[2],
        sizes[ExactName(key)] == nil
      else { continue }
      do throws(FormatError) {
        if let reference = try pickle.storageReference(.node(index)) {
          sizes[ExactName(key)] = Size(
            byteCount: reference.byteCount, width: (reference.dtype ?? .uint8).bitWidth / 8)
        } else if let width = quantizedWidth(pickle.global(parts[1])?.name),
          case .integer(let count) = parts[4],
          case (let byteCount, false) = count.multipliedReportingOverflow(by: width)
        {
          sizes[ExactName(key)] = Size(byteCount: byteCount, width: width)
        }
      } catch {
        var error = error
        error.offset = error.offset ?? node.offset
        throw error
      }
    }
    return sizes
  }

  /// The element size of a quantized tensor's storage, which is skipped.
  private static func quantizedWidth(_ type: String?) -> Int? {
    switch type {
    case "QInt8Storage", "QUInt8Storage", "QUInt4x2Storage", "QUInt2x4Storage": 1
    case "QInt32Storage": 4
    default: nil
    }
  }

  /// Records the location of a storage and moves past it.
  mutating func take(_ key: String, _ size: Size, at position: inout Int) throws(FormatError) {
    // A copy, so that the reader does not refer to `self`, which is changed below.
    let file = file
    var reader = ByteReader(
      file.bytes.extracting(position..<end), base: position, what: "the file")
    let count = try reader.integer(Int64.self)
    let (byteCount, overflow) = Int(count).multipliedReportingOverflow(by: size.width)
    guard !overflow, byteCount == size.byteCount else {
      throw FormatError(
        .malformed,
        "storage \(key) has \(count.of("element")), not the declared \(size.byteCount / size.width)",
        offset: position)
    }
    guard byteCount >= 0, byteCount <= reader.remaining else {
      throw FormatError(
        .truncated,
        "the file is truncated: storage \(key) has \(byteCount.of("byte")), but only \(reader.remaining) remain",
        offset: reader.offset, hint: Safetensors.downloadAgain)
    }
    guard places[ExactName(key)] == nil else {
      throw FormatError(.malformed, "storage \(key) is duplicated", offset: position)
    }
    places[ExactName(key)] = (reader.offset, byteCount)
    position = reader.offset + byteCount
  }

  func storage(
    _ reference: TorchStorageReference, swapWidth: Int
  ) throws(FormatError) -> TorchStorage {
    guard let place = places[ExactName(reference.key)] else {
      throw FormatError(.malformed, "its storage \(reference.key) is missing")
    }
    guard place.byteCount == reference.byteCount else {
      throw FormatError(
        .malformed,
        "its storage \(reference.key) has \(place.byteCount) bytes, not the "
          + "declared \(reference.byteCount)", offset: place.offset)
    }
    return .mapped(file, offset: place.offset, byteCount: place.byteCount)
  }
}

extension FormatDescriptor {
  /// PyTorch's form before version 1.6.
  public static let pytorchLegacy: FormatDescriptor = {
    var kind = FormatDescriptor("pytorchLegacy", .test { TorchLegacy.isMarked($0.bytes) })
    kind.format = .pytorch
    kind.read = TorchLegacy.read
    kind.mayRunCode = true
    kind.scanName = { _ in TensorFile.Format.pytorch.rawValue }
    kind.fuzzTarget = "torch-legacy"
    kind.rows = [Row(title: "PyTorch legacy (before 1.6)", reads: "yes", writes: "no")]
    return kind
  }()
}

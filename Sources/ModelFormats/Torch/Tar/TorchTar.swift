import OrderedJSON

/// The PyTorch format before version 0.1.10: a tar archive of four members.
///
///     sys_info   a pickle about the machine that wrote; not needed
///     storages   a pickled count; for each a pickle (key, location, class), the number of elements
///                in 8 bytes, the elements; a pickled list of views (key, root's key, offset, count)
///     tensors    a pickled count; for each a pickle (key, storage's key, class), the rank in 4
///                bytes and 4 more, sizes, strides and the offset in elements, 8 bytes each
///     pickle     the object; tensors stand in it as persistent identifiers, their keys as text
///
/// All numbers are little-endian.
///
/// Source: `legacy_load` in PyTorch's `torch/serialization.py`.
package enum TorchTar {
  /// The maximum number of storages, and of tensors.
  static let limit = 65_536

  /// Reads the object's tensors; values are not accessed.
  ///
  /// - Throws: ``FormatError``; `unrecognized` if the archive is not a checkpoint.
  package static func read(_ file: MappedFile) throws(FormatError) -> TensorFile {
    do throws(FormatError) {
      return try readChecked(file)
    } catch {
      throw error.inFile(file.path)
    }
  }

  /// The pickles in the members that contain several, with numbers between them: those a reader
  /// reaches before an error, and the one where it ends.
  ///
  /// - Returns: the pickles, and whether they are all, as far as the members could be followed.
  static func pickleStarts(
    in file: MappedFile, _ range: Range<Int>
  ) -> (ranges: [Range<Int>], isWhole: Bool) {
    guard let archive = try? TarArchive(file, range) else { return ([], false) }
    // A link with such a name refers to another member.
    let isWhole = ["storages", "tensors", "pickle"].allSatisfy { archive[$0] != nil }
    var source = TarStorages(file: file)
    do throws(FormatError) {
      if let storages = archive["storages"] { try source.readStorages(storages) }
      if let tensors = archive["tensors"] { try source.readTensors(tensors) }
    } catch {
      return (source.pickles.ranges, false)
    }
    return (source.pickles.ranges, isWhole)
  }

  private static func readChecked(_ file: MappedFile) throws(FormatError) -> TensorFile {
    let archive = try TarArchive(file)
    guard let storages = archive["storages"], let object = archive["pickle"] else {
      throw FormatError(
        .unrecognized, "this is a tar archive, not a file of tensors",
        hint: "unpack it and use the checkpoint inside")
    }
    guard let tensors = archive["tensors"] else {
      throw FormatError(
        .malformed,
        "this is a checkpoint of PyTorch before version 0.1.10, but the member tensors is missing",
        hint: "repack the archive with all of sys_info, storages, tensors and pickle")
    }
    var source = TarStorages(file: file)
    try source.readStorages(storages)
    try source.readTensors(tensors)
    let pickle = try PickleMachine.run(file.bytes.extracting(object), base: object.lowerBound)
    let walked = try TorchObject(pickle, source: source)
    return TensorFile(walked, of: file)
  }
}

/// The storages and tensors that the object refers to by key.
private struct TarStorages: TorchStorageSource {
  private let file: MappedFile
  private var places: [Int: (offset: Int, reference: TorchStorageReference)] = [:]
  private var tensors: [Int: TorchTensor] = [:]
  /// The pickles that were reached.
  let pickles = Pickles()

  final class Pickles {
    var ranges: [Range<Int>] = []
  }

  init(file: MappedFile) {
    self.file = file
  }

  var byteCount: Int { file.count }

  /// Views have the keys of their storages.
  var storages: [(key: String, name: String, byteCount: Int)] {
    places.values.filter { $0.reference.view == nil && $0.reference.byteCount > 0 }
      .sorted { $0.offset < $1.offset }
      .map {
        (
          key: $0.reference.key, name: "storage \($0.reference.key)",
          byteCount: $0.reference.byteCount
        )
      }
  }

  /// Walks a member with alternating pickles and binary numbers.
  private struct Cursor {
    let file: MappedFile
    var position: Int
    let end: Int
    let pickles: Pickles

    mutating func pickle() throws(FormatError) -> Pickle {
      pickles.ranges.append(position..<end)
      let pickle = try PickleMachine.run(
        file.bytes.extracting(position..<end), base: position, limits: .small)
      position += pickle.byteCount
      return pickle
    }

    mutating func count(_ what: String) throws(FormatError) -> Int {
      let start = position
      guard case .integer(let count) = try pickle().root, count >= 0 else {
        throw FormatError(.malformed, "invalid number of \(what)", offset: start)
      }
      guard count <= TorchTar.limit else {
        throw FormatError(
          .unsupported, "the file holds \(count) \(what); \(TorchTar.limit) is the limit",
          offset: start)
      }
      return count
    }

    mutating func integers(_ count: Int) throws(FormatError) -> [Int] {
      var reader = ByteReader(
        file.bytes.extracting(position..<end), base: position, what: "the member")
      var numbers: [Int] = []
      for _ in 0..<count { numbers.append(Int(try reader.integer(Int64.self))) }
      position = reader.offset
      return numbers
    }
  }

  mutating func readStorages(_ member: Range<Int>) throws(FormatError) {
    var cursor = Cursor(
      file: file, position: member.lowerBound, end: member.upperBound, pickles: pickles)
    for _ in 0..<(try cursor.count("storages")) {
      let start = cursor.position
      let pickle = try cursor.pickle()
      guard let parts = pickle.tuple(pickle.root), parts.count == 3,
        case .integer(let key) = parts[0],
        let location = TarStorages.text(parts[1]), let type = pickle.global(parts[2]),
        let dtype = DType(torchStorage: type.name)
      else {
        throw FormatError(.malformed, "a storage is not described", offset: start)
      }
      let count = try cursor.integers(1)[0]
      let (byteCount, overflow) = count.multipliedReportingOverflow(by: dtype.bitWidth / 8)
      guard count >= 0, !overflow, byteCount <= cursor.end - cursor.position else {
        throw FormatError(
          .truncated,
          "storage \(key) has \(count.of("element")) where \((cursor.end - cursor.position).of("byte is", "bytes are")) "
            + "left", offset: cursor.position - 8, hint: Safetensors.downloadAgain)
      }
      let reference = TorchStorageReference(
        key: String(key), dtype: dtype, byteCount: byteCount, location: location, view: nil)
      try add(key, cursor.position, reference, at: start)
      cursor.position += byteCount
    }
    try readViews(&cursor)
  }

  private mutating func readViews(_ cursor: inout Cursor) throws(FormatError) {
    let start = cursor.position
    let views = try cursor.pickle()
    guard let list = views.node(views.root), case .list = list.kind else {
      throw FormatError(.malformed, "the storage views are not a list", offset: start)
    }
    for item in list.items {
      guard let parts = views.tuple(item), parts.count == 4, case .integer(let key) = parts[0],
        case .integer(let root) = parts[1], case .integer(let first) = parts[2],
        case .integer(let count) = parts[3], let place = places[root],
        let width = place.reference.dtype.map({ $0.bitWidth / 8 }), first >= 0, count >= 0,
        first <= place.reference.byteCount / width,
        count <= place.reference.byteCount / width - first
      else {
        throw FormatError(.malformed, "a view exceeds its storage", offset: start)
      }
      let reference = TorchStorageReference(
        key: String(root), dtype: place.reference.dtype, byteCount: place.reference.byteCount,
        location: place.reference.location, view: (first * width)..<((first + count) * width))
      try add(key, place.offset, reference, at: start)
    }
  }

  private mutating func add(
    _ key: Int, _ offset: Int, _ reference: TorchStorageReference, at start: Int
  ) throws(FormatError) {
    guard places.updateValue((offset, reference), forKey: key) == nil else {
      throw FormatError(.malformed, "storage \(key) is duplicated", offset: start)
    }
  }

  mutating func readTensors(_ member: Range<Int>) throws(FormatError) {
    var cursor = Cursor(
      file: file, position: member.lowerBound, end: member.upperBound, pickles: pickles)
    for _ in 0..<(try cursor.count("tensors")) {
      let start = cursor.position
      let pickle = try cursor.pickle()
      guard let parts = pickle.tuple(pickle.root), parts.count == 3,
        case .integer(let key) = parts[0],
        case .integer(let storage) = parts[1], let place = places[storage],
        let dtype = place.reference.dtype
      else {
        throw FormatError(.malformed, "a tensor is not described", offset: start)
      }
      // The upper half of the first number is unused.
      let rank = try cursor.integers(1)[0] & 0xFFFF_FFFF
      guard rank <= 64 else {
        throw FormatError(
          .malformed, "tensor \(key) has \(rank.of("dimension"))", offset: cursor.position - 8)
      }
      let numbers = try cursor.integers(2 * rank + 1)
      let tensor = TorchTensor(
        storage: place.reference, dtype: dtype, offset: numbers[2 * rank],
        sizes: Array(numbers[..<rank]), strides: Array(numbers[rank..<(2 * rank)]))
      guard tensors.updateValue(tensor, forKey: key) == nil else {
        throw FormatError(.malformed, "tensor \(key) is duplicated", offset: start)
      }
    }
  }

  private static func text(_ value: PickleValue) -> String? {
    switch value {
    case .string(let text): text
    case .bytes(let bytes): String(decoding: bytes, as: UTF8.self)
    default: nil
    }
  }

  func tensor(_ identifier: PickleValue) throws(FormatError) -> TorchTensor? {
    guard let key = TarStorages.text(identifier).flatMap({ Int($0) }) else { return nil }
    if let tensor = tensors[key] { return tensor }
    // A storage may appear without a tensor.
    guard places[key] == nil else { return nil }
    throw FormatError(.malformed, "the object refers to a tensor \(key), which is missing")
  }

  func storage(
    _ reference: TorchStorageReference, swapWidth: Int
  ) throws(FormatError) -> TorchStorage {
    guard let key = Int(reference.key), let place = places[key] else {
      throw FormatError(.malformed, "its storage \(reference.key) is missing")
    }
    return .mapped(file, offset: place.offset, byteCount: reference.byteCount)
  }
}

extension FormatDescriptor {
  /// A tar archive; PyTorch's form before version 0.1.10 is one.
  public static let tar: FormatDescriptor = {
    var kind = FormatDescriptor(
      "tar",
      .test { head in
        head.bytes.count >= 262 && head.bytes[257..<262].elementsEqual("ustar".utf8)
      })
    kind.format = .pytorch
    kind.read = TorchTar.read
    kind.mayRunCode = true
    kind.fuzzTarget = "torch-tar"
    kind.rows = [Row(title: "PyTorch tar (before 0.1.10)", reads: "yes", writes: "no")]
    return kind
  }()
}

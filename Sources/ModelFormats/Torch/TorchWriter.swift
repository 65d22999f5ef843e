import OrderedJSON

/// Writes a PyTorch checkpoint like current `torch.save`: a zip archive of a pickle and one storage
/// per tensor. `torch.load` reads it with `weights_only=True`.
///
/// The object is an `OrderedDict` of the tensors by name, or a dictionary that contains it, as in
/// training checkpoints under `state_dict`. See `TorchCheckpoint` for the layout.
public final class TorchWriter: TensorWriter {
  /// The object to write.
  public indirect enum Object: Sendable {
    /// The tensors by name.
    case tensors
    case text(String)
    case integer(Int)
    case dictionary([(key: String, value: Object)])
  }

  /// The tensors to be written, in order.
  public let tensors: [TensorInfo]
  private static let root = "archive"
  private var archive: ZipWriter
  /// The tensor whose record comes next.
  private var next = 0
  private var isOpen = false

  /// Creates the file and writes its pickle.
  ///
  /// - Parameter key: the key of the state dict in an enclosing dictionary; nil if it is the object
  ///   itself.
  /// - Throws:
  ///   ``FormatError`` with code `mismatch` (duplicate name), `unsupported` (a type without a torch storage), `cannotCreate`, `inputOutput`.
  public convenience init(
    path: String, tensors: [TensorInfo], under key: String? = nil, overwrite: Bool = false
  ) throws(FormatError) {
    try self.init(
      path: path, tensors: tensors, under: key, overwrite: overwrite,
      narrowLimit: ZipWriter.narrowLimit)
  }

  /// - Parameter narrowLimit: as in ``ZipWriter``; smaller only in tests of large-file features.
  package convenience init(
    path: String, tensors: [TensorInfo], under key: String?, overwrite: Bool, narrowLimit: Int
  ) throws(FormatError) {
    try self.init(
      path: path, tensors: tensors,
      object: key.map { .dictionary([(key: $0, value: .tensors)]) } ?? .tensors,
      overwrite: overwrite, narrowLimit: narrowLimit)
  }

  /// Creates the file and writes its pickle.
  ///
  /// - Parameter object: the object to write, with each tensor once.
  /// - Throws: as ``init(path:tensors:under:overwrite:)``.
  package init(
    path: String, tensors: [TensorInfo], object: Object, overwrite: Bool,
    narrowLimit: Int = ZipWriter.narrowLimit
  ) throws(FormatError) {
    self.tensors = tensors
    let pickle: [UInt8]
    let byteCount: Int
    do throws(FormatError) {
      (pickle, byteCount) = try TorchWriter.pickle(tensors, object)
    } catch {
      throw error.inFile(path)
    }
    let file = try FileWriter(path: path, overwrite: overwrite)
    // A record needs at most about 300 bytes besides its values and name.
    try file.checkSpace(for: byteCount + pickle.count + 300 * (tensors.count + 4))
    archive = ZipWriter(file, narrowLimit: narrowLimit)
    try archive.write("\(TorchWriter.root)/data.pkl", pickle)
    try archive.write("\(TorchWriter.root)/byteorder", Array("little".utf8))
    try openRecords()
  }

  /// Appends bytes of the current tensor.
  public func write(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
    var start = 0
    while start < bytes.count {
      precondition(isOpen, "more values than declared")
      let count = min(archive.remaining, bytes.count - start)
      try unsafe archive.write(UnsafeRawBufferPointer(rebasing: bytes[start..<(start + count)]))
      start += count
      try endFullRecord()
    }
  }

  private func endFullRecord() throws(FormatError) {
    guard archive.remaining == 0 else { return }
    try archive.end()
    try openRecords()
  }

  /// Appends values from another file, unchanged.
  ///
  /// - Parameter seeing: called with each piece as it is copied.
  public func copy(
    _ range: Range<Int>, of source: MappedFile,
    seeing: (UnsafeRawBufferPointer) -> Void = { _ in }
  ) throws(FormatError) {
    var range = range
    while !range.isEmpty {
      precondition(isOpen, "more values than declared")
      let part = range.prefix(archive.remaining)
      try unsafe archive.copy(part, of: source, seeing: seeing)
      range = range.dropFirst(part.count)
      try endFullRecord()
    }
  }

  /// Completes the file and moves it to its path.
  public func commit() throws(FormatError) {
    guard !isOpen else {
      throw FormatError(
        .mismatch,
        "the values of \(tensors.count - next + 1) of \(tensors.count) tensors are missing",
        file: archive.file.path)
    }
    try archive.write("\(TorchWriter.root)/version", Array("3\n".utf8))
    try archive.finish()
    try archive.file.commit()
  }

  /// Opens the record of the next nonempty tensor; others get empty records.
  private func openRecords() throws(FormatError) {
    isOpen = false
    while next < tensors.count, !isOpen {
      let size = tensors[next].shape.byteCount(of: tensors[next].dtype) ?? 0
      try archive.begin("\(TorchWriter.root)/data/\(next)", size: size)
      next += 1
      if size == 0 { try archive.end() } else { isOpen = true }
    }
  }
}

extension TorchWriter {
  /// The pickle, and the bytes of all values.
  private static func pickle(
    _ tensors: [TensorInfo], _ object: Object
  ) throws(FormatError) -> (bytes: [UInt8], byteCount: Int) {
    var names: Set<ExactName> = []
    var total = 0
    for tensor in tensors {
      guard names.insert(ExactName(tensor.name)).inserted else {
        throw FormatError.duplicate(tensor.name)
      }
      let count = try WritableFormat.pytorch.byteCount(of: tensor)
      let (sum, overflow) = total.addingReportingOverflow(count)
      guard !overflow else {
        throw FormatError(
          .unsupported, "the tensors' total size exceeds 64 bits", context: tensor.name)
      }
      total = sum
    }
    var writer = PickleWriter()
    writer.object(object, tensors)
    return (writer.finish(), total)
  }
}

extension PickleWriter {
  fileprivate mutating func object(_ object: TorchWriter.Object, _ tensors: [TensorInfo]) {
    switch object {
    case .tensors: self.tensors(tensors)
    case .text(let text): self.text(text)
    case .integer(let value): integer(value)
    case .dictionary(let members):
      emit(.emptyDictionary)
      for (key, value) in members {
        text(key)
        self.object(value, tensors)
        emit(.setItem)
      }
    }
  }

  private mutating func tensors(_ tensors: [TensorInfo]) {
    emptyOrderedDictionary()
    for start in stride(from: 0, to: tensors.count, by: PickleWriter.batchSize) {
      emit(.mark)
      for index in start..<min(start + PickleWriter.batchSize, tensors.count) {
        text(tensors[index].name)
        tensor(tensors[index], key: String(index))
      }
      emit(.setItems)
    }
  }

  fileprivate mutating func emptyOrderedDictionary() {
    global("collections", "OrderedDict")
    emit(.emptyTuple)
    emit(.reduce)
  }

  /// A call of `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad,
  /// hooks)`, or of `_rebuild_tensor_v3` with the dtype appended, for types newer than typed
  /// storages.
  fileprivate mutating func tensor(_ tensor: TensorInfo, key: String) {
    let isTyped = tensor.dtype.torchStorage != nil
    global("torch._utils", isTyped ? "_rebuild_tensor_v2" : "_rebuild_tensor_v3")
    emit(.mark)
    emit(.mark)
    sharedText("storage")
    if let storage = tensor.dtype.torchStorage {
      global("torch", storage)
    } else {
      global("torch.storage", "UntypedStorage")
    }
    text(key)
    sharedText("cpu")
    let count = tensor.shape.elementCount ?? 0
    integer(isTyped ? count : tensor.shape.byteCount(of: tensor.dtype) ?? 0)
    emit(.tuple)
    emit(.binaryPersistentID)
    integer(0)
    tuple(tensor.shape.dimensions)
    tuple(tensor.shape.contiguousStrides)
    emit(.newFalse)
    emptyOrderedDictionary()
    if !isTyped, let name = tensor.dtype.torchName { global("torch", name) }
    emit(.tuple)
    emit(.reduce)
  }
}

extension WritableFormat {
  /// PyTorch's zip format, as `torch.save` writes it.
  public static let pytorch = WritableFormat(.pytorch, "PyTorch") { dtype in
    dtype.torchStorage != nil || dtype.torchName != nil
  }
}
